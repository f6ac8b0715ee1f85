"""What the vault keeps of an item, and how it points at bytes.

A Reference names a chunk by its keyed id and says where it lies: pack, box, and the place inside
the box. While a step is being written the place is not known yet; it is settled before anything is
committed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vault.problems import UnknownFeature, VaultDamaged

INLINE_REFERENCES_MAX = 32  # longer lists are stored as chunks of kind list
FOLDER = "folder"
LISTED, _SEGMENTED = 1, 2  # flags of a content
CONTENT_FLAGS = range(4)  # known ones and their sums
_AS_IS, _BASE64 = 0, 1  # how a segment is written
_LINE_ENDS = (b"\r\n", b"\n")
_JSON = json.JSONEncoder(separators=(",", ":"))  # one for all: making it costs as much as it does


def text_of(raw: bytes) -> str:
    """Bytes in JSON: base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    """Undoes text_of. Raises ValueError."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as damage:
        raise ValueError("not base64") from damage


@dataclass(frozen=True, slots=True)
class Location:
    """Where a box lies: the pack's id, the box's number, first byte and bytes of the sealed box."""

    pack: str  # 43 characters, base64url of the pack's 32 random bytes
    box: int
    at: int
    size: int

    def to_json(self) -> list[Any]:
        """Shape: [pack, box, at, size]."""
        return [self.pack, self.box, self.at, self.size]

    @classmethod
    def from_json(cls, values: list[Any]) -> Self:
        return cls(str(values[0]), int(values[1]), int(values[2]), int(values[3]))


class Place:
    """A Location that becomes known when its pack's layout is settled; compares by value."""

    __slots__ = ("_location",)

    def __init__(self, location: Location | None = None) -> None:
        self._location = location

    @property
    def location(self) -> Location:
        assert self._location is not None, "asked for a location before the step was committed"
        return self._location

    @property
    def known(self) -> bool:
        return self._location is not None

    def settle(self, location: Location) -> None:
        """Says where it is, once."""
        assert self._location is None, "a place is settled once"
        self._location = location

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._location == other._location

    def __hash__(self) -> int:
        return hash(self._location)

    def __repr__(self) -> str:
        return f"Place({self._location})"


@dataclass(frozen=True, slots=True)
class Reference:
    """One chunk: its keyed id, its box, and offset and length within the box's plaintext."""

    id: bytes
    place: Place
    offset: int
    length: int

    def to_json(self) -> list[Any]:
        """Shape: [id, pack, box, at, size, offset, length]."""
        return [text_of(self.id), *self.place.location.to_json(), self.offset, self.length]

    @classmethod
    def from_json(cls, values: list[Any]) -> Self:
        """Raises ValueError, TypeError, IndexError for what is no reference."""
        place = Place(Location.from_json(values[1:5]))
        return cls(bytes_of(values[0]), place, int(values[5]), int(values[6]))


@dataclass(frozen=True, slots=True)
class Base64:
    """Text that stands for stored bytes: base64 in lines of `line_chars` (a multiple of 4), with
    line ends between them but not behind the last.
    """

    line_chars: int
    line_end: bytes = b"\r\n"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of a content's references; with `text`, their bytes together are written as such."""

    refs: int
    text: Base64 | None = None

    def to_json(self) -> list[Any]:
        """Shape: [0, references], or [1, characters of a line, 0 CRLF or 1 LF, references]."""
        if self.text is None:
            return [_AS_IS, self.refs]
        return [_BASE64, self.text.line_chars, _LINE_ENDS.index(self.text.line_end), self.refs]

    @classmethod
    def from_json(cls, values: list[Any]) -> Self:
        """Raises UnknownFeature, VaultDamaged."""
        if values[0] == _AS_IS:
            return cls(values[1])
        if values[0] != _BASE64:
            raise UnknownFeature("A content is written in an unknown way.", encoding=values[0])
        if values[1] < 4 or values[1] % 4:
            raise VaultDamaged("A content has impossible lines.")
        return cls(values[3], Base64(values[1], _LINE_ENDS[values[2]]))


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of an item under a role ("raw", "mime", "attachment", "content").

    `listed` says that `refs` point at reference lists, which hold the references in order.
    `segments`, where there are any, cover all references: parts of the content are stored decoded.
    """

    role: str
    meta: Mapping[str, Any]
    size: int  # of the content as it was given, and as it is read
    refs: tuple[Reference, ...]
    listed: bool = False
    segments: tuple[Segment, ...] = ()

    def to_json(self) -> list[Any]:
        """Shape: [role, size, meta, references, flags], with flag 2 also the segments; flag 1:
        listed, others are reserved.
        """
        refs = [ref.to_json() for ref in self.refs]
        flags = LISTED * self.listed + _SEGMENTED * bool(self.segments)
        values = [self.role, self.size, dict(self.meta), refs, flags]
        if self.segments:
            values.append([segment.to_json() for segment in self.segments])
        return values

    @classmethod
    def from_json(cls, values: list[Any]) -> Self:
        flags = values[4]
        if flags not in CONTENT_FLAGS:
            raise UnknownFeature("A content has unknown flags.", flags=flags)
        refs = tuple(Reference.from_json(ref) for ref in values[3])
        rows = values[5] if flags & _SEGMENTED else ()
        segments = tuple(Segment.from_json(row) for row in rows)
        return cls(values[0], values[2], values[1], refs, bool(flags & LISTED), segments)


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a catalog.

    `row` is shown in listings and may carry "sort", the text its folder is sorted by; `facts` holds
    anything the engine keeps beside it. Both are JSON.
    """

    id: str
    parent: str
    kind: str
    name: str
    row: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    contents: tuple[Content, ...] = ()

    @property
    def sort(self) -> str:
        """Folders first, then the row's sort text, else the name without regard to case."""
        text = self.row.get("sort")
        if not isinstance(text, str):
            text = self.name.casefold()
        return ("0" if self.kind == FOLDER else "1") + text[:200]

    def to_json(self) -> list[Any]:
        """Shape: [id, parent, kind, name, row, facts, contents]."""
        contents = [content.to_json() for content in self.contents]
        row, facts = dict(self.row), dict(self.facts)
        return [self.id, self.parent, self.kind, self.name, row, facts, contents]

    @classmethod
    def from_json(cls, values: list[Any]) -> Self:
        """Raises VaultDamaged."""
        try:
            id_, parent, kind, name, row, facts, contents = values
            parsed = tuple(Content.from_json(content) for content in contents)
            return cls(id_, parent, kind, name, row, facts, parsed)
        except (ValueError, TypeError, IndexError) as damage:
            raise VaultDamaged("A catalog entry cannot be read.") from damage


def dumps(value: Any) -> bytes:
    """JSON as the vault stores it: compact ASCII, so lone surrogates of file names survive."""
    return _JSON.encode(value).encode("ascii")
