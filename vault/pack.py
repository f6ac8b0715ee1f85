"""Packs: many boxes in one blob of about 16 MiB, readable box by box and described by themselves.

Rule 1: a pack's id is its salt, 32 random bytes chosen anew for every attempt, so no key is ever
        used twice.
Rule 2: a sealed pack is opened again - decrypted, unfolded, identified - before it is uploaded, so
        that bad memory or a bug never becomes a bad backup.

Theory of operation: boxes are collected as compressed plaintext. settle() lays out what came since
the last call - own boxes in order, shared ones shuffled, so that sizes in a pack do not spell a
known file - and only then every Place is known. Catalog nodes are laid out one by one, because each
may point at the one before.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vault.box import (
    DIRECTORY_NUMBER,
    FORMAT,
    HEADER_BYTES,
    NO_ID,
    TAG_BYTES,
    BoxKind,
    Domain,
    Member,
    PackKeys,
    blob_name,
    check_member,
)
from vault.config import Chunking
from vault.crypto import (
    Compression,
    compress,
    decompress,
    fresh_bytes,
    shuffled,
)
from vault.entry import Location, Place, bytes_of, dumps, text_of
from vault.keys import KeyRing
from vault.problems import UnknownFeature, VaultDamaged

MAGIC = b"HOLDPACK"
TARGET_BYTES = 16 * 1024 * 1024

_HEADER = struct.Struct(">8sHH16s32sIIIIIIB11x")  # 96 bytes
_TRAILER = struct.Struct(">I32s8s")


@dataclass(slots=True)
class _Box:
    kind: BoxKind
    domain: Domain
    members: tuple[Member, ...]
    payload: bytes  # compressed plaintext
    compression: Compression
    raw_bytes: int
    place: Place

    @property
    def id(self) -> bytes:
        """Bound into the seal of a box of one chunk; group members are checked by their ids."""
        return NO_ID if self.kind == BoxKind.GROUP else self.members[0].id


@dataclass(frozen=True, slots=True)
class SealedPack:
    """A finished pack, ready to be stored."""

    id: str
    data: bytes
    sha256: str
    shared: dict[bytes, Location]  # chunks others may find

    @property
    def name(self) -> str:
        return blob_name(self.id)


class PackBuilder:
    """A pack being filled."""

    def __init__(self, ring: KeyRing, chunking: Chunking, salt: bytes | None = None) -> None:
        """`salt` is given by test vectors only."""
        self._ring = ring
        self._chunking = chunking
        self._salt = salt or fresh_bytes(32)
        self.id = text_of(self._salt)
        self._waiting: list[_Box] = []
        self._settled: list[_Box] = []
        self._end = _HEADER.size
        self.bytes = _HEADER.size  # as it would be sealed now, without the directory

    @property
    def empty(self) -> bool:
        return not (self._waiting or self._settled)

    def add(
        self, kind: BoxKind, domain: Domain, members: Sequence[Member], data: bytes, place: Place
    ) -> None:
        """Takes one box; `place` becomes known at the next settle()."""
        compression, packed = compress(data)
        box = _Box(kind, domain, tuple(members), packed, compression, len(data), place)
        self._waiting.append(box)
        self.bytes += HEADER_BYTES + len(packed) + TAG_BYTES

    def plain(self, number: int) -> bytes:
        """The plaintext of a box that is laid out already."""
        box = self._settled[number]
        return decompress(box.compression, box.payload, box.raw_bytes)

    def settle(self) -> None:
        """Lays out the boxes added since the last call."""
        own = [box for box in self._waiting if box.domain == Domain.OWN]
        shared = [box for box in self._waiting if box.domain == Domain.SHARED]
        shuffled(shared)
        for box in own + shared:
            size = HEADER_BYTES + len(box.payload) + TAG_BYTES
            box.place.settle(Location(self.id, len(self._settled), self._end, size))
            self._settled.append(box)
            self._end += size
        self._waiting.clear()

    def seal(self, verify: bool = True) -> SealedPack:
        """The pack's bytes, opened again and checked unless `verify` is off. Once per builder."""
        self.settle()
        keys = PackKeys(self._ring, self._salt)
        parts = [self._header()]
        for number, box in enumerate(self._settled):
            fields = (box.kind, box.compression, box.domain, box.raw_bytes)
            parts.append(keys.seal_box(fields, number, box.id, box.payload))
            box.payload = b""  # memory: never a third copy of the pack
        directory = dumps({"boxes": [_described(box) for box in self._settled]})
        compression, packed = compress(directory)
        fields = (BoxKind.DIRECTORY, compression, Domain.SHARED, len(directory))
        parts.append(keys.seal_box(fields, DIRECTORY_NUMBER, NO_ID, packed))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        trailer = _TRAILER.pack(len(parts[-1]), digest.digest(), MAGIC)
        digest.update(trailer)
        data = b"".join([*parts, trailer])
        parts.clear()
        sealed = SealedPack(self.id, data, digest.hexdigest(), self._shared())
        if verify:
            for _ in _opened(self._ring, self.id, data):  # its checksum was computed just now
                pass
        return sealed

    def _header(self) -> bytes:
        kid, cut = self._ring.active_kid, self._chunking
        return _HEADER.pack(
            MAGIC,
            FORMAT,
            _HEADER.size,
            self._ring.vault_id,
            self._salt,
            kid,
            kid,
            0,
            cut.min_bytes,
            cut.average_bytes,
            cut.max_bytes,
            cut.normalization,
        )

    def _shared(self) -> dict[bytes, Location]:
        return {
            box.members[0].id: box.place.location
            for box in self._settled
            if box.domain == Domain.SHARED
        }


@dataclass(frozen=True, slots=True)
class OpenedBox:
    """A box as it came out of a pack: its members' plaintext is checked against their ids."""

    kind: BoxKind
    domain: Domain
    location: Location
    members: tuple[Member, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """A box as the directory has it; `size` counts its header and tag."""

    number: int
    at: int
    size: int
    kind: BoxKind
    domain: Domain
    members: tuple[Member, ...]


def open_pack(ring: KeyRing, pack: str, data: bytes) -> Iterator[OpenedBox]:
    """Opens and checks a whole pack box by box. Raises VaultDamaged, UnknownFeature."""
    _checked_header(ring, pack, data)
    _, digest, _ = _TRAILER.unpack_from(data, len(data) - _TRAILER.size)
    if hashlib.sha256(memoryview(data)[: -_TRAILER.size]).digest() != digest:
        raise VaultDamaged("A pack's checksum is wrong.", name=blob_name(pack))
    yield from _opened(ring, pack, data)


def _opened(ring: KeyRing, pack: str, data: bytes) -> Iterator[OpenedBox]:
    """The boxes of a pack, each checked; the seals leave little for the checksum to find."""
    keys = PackKeys(ring, _checked_header(ring, pack, data))
    directory_bytes, _, magic = _TRAILER.unpack_from(data, len(data) - _TRAILER.size)
    body = memoryview(data)[: -_TRAILER.size]
    if magic != MAGIC:
        raise VaultDamaged("A pack does not end as one.", name=blob_name(pack))
    if not HEADER_BYTES + TAG_BYTES <= directory_bytes <= len(body) - _HEADER.size:
        raise VaultDamaged("A pack's directory is out of bounds.", name=blob_name(pack))
    sealed = body[len(body) - directory_bytes :]
    _, _, text = keys.open_box(sealed, DIRECTORY_NUMBER, NO_ID)
    for number, values in enumerate(json.loads(text)["boxes"]):
        row = _directory_row(number, values)
        location = Location(pack, number, row.at, row.size)
        id_ = NO_ID if row.kind == BoxKind.GROUP else row.members[0].id
        _, _, plain = keys.open_box(body[row.at : row.at + row.size], number, id_)
        for member in row.members:
            check_member(ring, row.kind, plain, member)
        yield OpenedBox(row.kind, row.domain, location, row.members, plain)


DIRECTORY_TAIL_BYTES = 64 * 1024  # of most packs the end that holds the whole directory


def read_directory(
    ring: KeyRing, pack: str, size: int, read: Callable[[int, int], bytes]
) -> list[DirectoryRow]:
    """What boxes a pack of `size` bytes has, from its end. `read`: offset and length. Raises
    VaultDamaged, and what `read` raises.
    """
    tail = read(max(0, size - DIRECTORY_TAIL_BYTES), min(size, DIRECTORY_TAIL_BYTES))
    if len(tail) < _TRAILER.size:
        raise VaultDamaged("A pack is cut short.", name=blob_name(pack))
    length, _, magic = _TRAILER.unpack_from(tail, len(tail) - _TRAILER.size)
    end = size - _TRAILER.size
    if magic != MAGIC or not HEADER_BYTES + TAG_BYTES <= length <= end - _HEADER.size:
        raise VaultDamaged("A pack's directory is out of bounds.", name=blob_name(pack))
    if length + _TRAILER.size > len(tail):
        tail = read(end - length, length + _TRAILER.size)
    sealed = tail[-_TRAILER.size - length : -_TRAILER.size]
    _, _, text = PackKeys(ring, bytes_of(pack)).open_box(sealed, DIRECTORY_NUMBER, NO_ID)
    return [_directory_row(number, row) for number, row in enumerate(json.loads(text)["boxes"])]


def _directory_row(number: int, values: list[Any]) -> DirectoryRow:
    at, size, kind, domain, _, members = values
    known = tuple(Member(bytes_of(m[0]), m[1], m[2]) for m in members)
    return DirectoryRow(number, at, size, BoxKind(kind), Domain(domain), known)


def _described(box: _Box) -> list[Any]:
    place = box.place.location
    members = [[text_of(m.id), m.offset, m.length] for m in box.members]
    return [place.at, place.size, int(box.kind), int(box.domain), box.raw_bytes, members]


def _checked_header(ring: KeyRing, pack: str, data: bytes) -> bytes:
    """The salt of a pack that is one of ours."""
    if len(data) < _HEADER.size + _TRAILER.size:
        raise VaultDamaged("A pack is cut short.", name=blob_name(pack))
    magic, version, length, vault_id, salt, _, _, flags, *_ = _HEADER.unpack_from(data)
    if magic != MAGIC or vault_id != ring.vault_id or text_of(salt) != pack:
        raise VaultDamaged("A blob is not the pack its name says.", name=blob_name(pack))
    if version != FORMAT or length != _HEADER.size or flags:
        raise UnknownFeature("A pack has a newer format.", format=version, flags=flags)
    return bytes(salt)
