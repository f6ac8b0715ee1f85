"""The shapes services hand over and formats take: what a change feed says, and what an item is made
of.

A service (m365/) produces Changes and Parts; the engine keeps them in the vault and gives writers
and formats a StoredItem back. Nobody here knows how bytes are stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why an item or a part of it was not copied, once and for all: documented, permanent, not ours
    to mend.
    """

    MALWARE = "malware"  # the service refuses the content: 403 malwareDetected
    # ErrorCorruptData, ErrorCannotOpenFileAttachment, ErrorInvalidRecipients
    CORRUPT = "corrupt-in-service"
    LOCKED = "locked"  # 423 or resourceLocked: archived or held site
    NOT_DOWNLOADABLE = "not-downloadable"  # OneNote files that only answer 404 or 503
    NO_CONTENT = "no-content"  # the service has an item but no bytes for it
    TOO_LARGE = "too-large"  # over a limit of the target
    NOT_SUPPORTED = "not-supported"  # Graph offers no way for an application
    FORBIDDEN = "forbidden"  # 403 for this one item
    DERIVED = "derived"  # the service makes it from other items by itself


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that was not copied: a row of the ledger.

    `cause` is a Cause when it is permanent, else the code of the problem that made it fail and
    `retry` is true: the next run tries again. `detail` holds codes and request ids, never content.
    """

    item_id: str
    part: str  # "item", or the part's role and id: "mime", "attachment:AAMk…", "content"
    cause: str
    retry: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a change feed.

    `raw` is the object as Graph sent it without what changes without meaning; that lies in
    `volatile` (etags, change keys) and is kept beside it so that unchanged objects deduplicate.
    Download URLs are secrets and live in `secret` only: never stored, never logged.
    `fingerprint` covers everything the parts (MIME, attachments, file bytes) depend on: where it
    equals the stored one, parts need not be fetched again; "" never equals.
    `prints` holds, by role, what parts of that role depend on instead (who an item is shared with,
    how many versions are wanted): where it equals the stored one they stay whatever else changed.
    `stale` names roles whose parts the feed itself says have changed, whatever the prints.
    `partial` says that raw holds only the changed properties (a read-state flip): merge, do not
    replace.
    """

    id: str
    parent: str  # id of the folder it lies in; "" for a root
    kind: str  # "folder", or the service's word for its item: "message", "file"
    name: str = ""  # what a person sees: subject, file name, folder name
    raw: Mapping[str, Any] = field(default_factory=dict)
    volatile: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, Any] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)  # values of the service's columns
    fingerprint: str = ""
    partial: bool = False
    prints: Mapping[str, str] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Gone:
    """An entry that says an item is no longer there.

    With `parent` set it only counts while the item still lies in that folder: an Outlook message
    that moved shows as removed from the old folder, before or after it shows up in the new one.
    """

    id: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """One answer of a change feed, with where to continue.

    `part` names the feed inside the resource ("root" for a drive, "folder:<id>" for a mail folder);
    `link` continues it: a nextLink while `more`, the deltaLink of a finished round otherwise.
    `reset` marks the first page of a feed that starts from nothing (first run, or token lost: 410):
    what lies in `scope` and is not seen until the feed is finished is gone. Scope: a folder's id,
    or None for the whole resource.
    """

    part: str
    entries: tuple[Change | Gone, ...]
    link: str
    more: bool
    reset: bool = False
    scope: str | None = None
    dropped_parts: tuple[str, ...] = ()  # feeds that no longer exist: their folder was deleted


class Pieces(ABC):
    """The bytes of a part that may take longer than a step: pieces, each kept by itself until all
    are there. Part.same has to say which state of the bytes they are pieces of.
    """

    count: int

    @abstractmethod
    def read(self, number: int) -> Iterator[bytes]:
        """The bytes of one piece, from 0 on; raises what its source raises."""

    @abstractmethod
    def mark(self, number: int) -> str:
        """What check() has to know of a piece that has just been read to its end."""

    @abstractmethod
    def check(self, marks: Sequence[str]) -> None:
        """Raises a Problem where the pieces, by their marks, are not the whole."""

    def __iter__(self) -> Iterator[bytes]:
        """All of them at once, for who has the time."""
        marks = []
        for number in range(self.count):
            yield from self.read(number)
            marks.append(self.mark(number))
        self.check(marks)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that belong to an item: its MIME, one attachment, a file's content.

    `meta` is stored with it (an attachment's JSON without its bytes), as it is once `data` was
    read. `data` is bytes, or for what
    may be large or dear an iterable of bytes, read once, which asks for nothing before it is read.
    `same` tells parts of a role apart and changes with their bytes: where the stored item has a
    part of this role that says the same, that one is kept and `data` is not read. `common`: other
    resources hold the same bytes, so storing them once is worth a look-up even if they are few.
    """

    role: str  # "mime", "attachment", "content"
    data: bytes | Iterable[bytes]
    meta: Mapping[str, Any] = field(default_factory=dict)
    same: str = ""
    common: bool = False


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part as it comes back out of the vault; `open` streams it anew at every call."""

    role: str
    size: int
    meta: Mapping[str, Any]
    open: Callable[[], Iterator[bytes]]
    open_at: Callable[[int], Iterator[bytes]] | None = None  # the same from an offset on

    def after(self, offset: int) -> Iterator[bytes]:
        """The bytes from `offset` on; what lies before is not read where that can be spared."""
        if self.open_at is not None:
            yield from self.open_at(offset)
            return
        for block in self.open():
            if len(block) > offset:
                yield block[offset:]
            offset = max(0, offset - len(block))

    def read(self) -> bytes:
        """The whole part; only for what is known to be small."""
        return b"".join(self.open())


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item of a snapshot: what writers restore and formats export."""

    id: str
    parent: str
    kind: str
    name: str
    row: Mapping[str, Any]
    raw: Mapping[str, Any]
    parts: tuple[StoredPart, ...]
    missing: tuple[str, ...] = ()  # parts that could not be copied, as "role: cause"

    def part(self, role: str) -> StoredPart | None:
        """The first part with that role."""
        return next((part for part in self.parts if part.role == role), None)
