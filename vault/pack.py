"""Packs: many boxes in one blob of about 16 MiB, readable box by box and described by themselves.

Rule 1: a pack's id is its salt, 32 random bytes chosen anew for every attempt, so no key is ever
        used twice; box nonces are the box numbers, the directory's is 2^32-1.
Rule 2: a box authenticates its header (kind, compression, domain, kid, sizes), its number, its
        chunk's id, the pack and the vault: it opens at its own place only.
Rule 3: a sealed pack is opened again - decrypted, unfolded, identified - before it is uploaded, so
        that bad memory or a bug never becomes a bad backup.
Rule 4: the domain flag chooses the key: "own" boxes belong to the chain, "shared" ones to the
        organization.

Theory of operation: boxes are collected as compressed plaintext. settle() lays out what came since
the last call - own boxes in order, shared ones shuffled, so that sizes in a pack do not spell a
known file - and only then every Place is known. Catalog nodes are laid out one by one, because each
may point at the one before.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.config import Chunking
from vault.crypto import (
    Compression,
    compress,
    decompress,
    derived_key,
    fresh_bytes,
    shuffled,
)
from vault.entry import Location, Place, bytes_of, dumps, text_of
from vault.keys import KeyRing
from vault.problems import UnknownFeature, VaultDamaged

FORMAT = 1
MAGIC = b"HOLDPACK"
TARGET_BYTES = 16 * 1024 * 1024
RAW_BOX_BYTES_MAX = 64 * 1024 * 1024

_HEADER = struct.Struct(">8sHH16s32sIIIIIIB11x")  # 96 bytes
_BOX = struct.Struct(">IBBBBII")  # sealed length, kind, compression, domain, 0, kid, raw length
_TRAILER = struct.Struct(">I32s8s")
_DIRECTORY_NUMBER = 2**32 - 1
_NO_ID = bytes(32)
_TAG_BYTES = 16


class BoxKind(IntEnum):
    """What a box holds."""

    DIRECTORY = 0
    GROUP = 1
    CHUNK = 2
    NODE = 3
    LIST = 4


class Domain(IntEnum):
    """Whose key seals a box."""

    OWN = 0
    SHARED = 1


class IdType(IntEnum):
    """First byte under the HMAC of a chunk's id, so that one kind never passes for another."""

    CONTENT = 1
    LIST = 2
    NODE = 3


ID_TYPE = {
    BoxKind.GROUP: IdType.CONTENT,
    BoxKind.CHUNK: IdType.CONTENT,
    BoxKind.NODE: IdType.NODE,
    BoxKind.LIST: IdType.LIST,
}


def identify(ring: KeyRing, id_type: IdType, data: bytes | memoryview) -> bytes:
    """The keyed 32-byte id of a chunk."""
    mac = ring.identity()
    mac.update(bytes((id_type,)))
    mac.update(data)
    return mac.digest()


def blob_name(pack: str) -> str:
    """Where a pack lies, from its id."""
    text = bytes_of(pack).hex()
    return f"p/{text[:2]}/{text}"


@dataclass(frozen=True, slots=True)
class Member:
    """One chunk inside a box's plaintext."""

    id: bytes
    offset: int
    length: int


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
        return _NO_ID if self.kind == BoxKind.GROUP else self.members[0].id


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
        self.bytes += _BOX.size + len(packed) + _TAG_BYTES

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
            size = _BOX.size + len(box.payload) + _TAG_BYTES
            box.place.settle(Location(self.id, len(self._settled), self._end, size))
            self._settled.append(box)
            self._end += size
        self._waiting.clear()

    def seal(self, verify: bool = True) -> SealedPack:
        """The pack's bytes, opened again and checked unless `verify` is off. Once per builder."""
        self.settle()
        keys = _Keys(self._ring, self._salt)
        parts = [self._header()]
        for number, box in enumerate(self._settled):
            fields = (box.kind, box.compression, box.domain, box.raw_bytes)
            parts.append(keys.seal_box(fields, number, box.id, box.payload))
            box.payload = b""  # memory: never a third copy of the pack
        directory = dumps({"boxes": [_described(box) for box in self._settled]})
        compression, packed = compress(directory)
        fields = (BoxKind.DIRECTORY, compression, Domain.SHARED, len(directory))
        parts.append(keys.seal_box(fields, _DIRECTORY_NUMBER, _NO_ID, packed))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        trailer = _TRAILER.pack(len(parts[-1]), digest.digest(), MAGIC)
        digest.update(trailer)
        data = b"".join([*parts, trailer])
        parts.clear()
        sealed = SealedPack(self.id, data, digest.hexdigest(), self._shared())
        if verify:
            for _ in open_pack(self._ring, self.id, data):
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


def open_pack(ring: KeyRing, pack: str, data: bytes) -> Iterator[OpenedBox]:
    """Opens and checks a whole pack box by box. Raises VaultDamaged, UnknownFeature."""
    keys = _Keys(ring, _checked_header(ring, pack, data))
    directory_bytes, digest, magic = _TRAILER.unpack_from(data, len(data) - _TRAILER.size)
    body = memoryview(data)[: -_TRAILER.size]
    if magic != MAGIC or hashlib.sha256(body).digest() != digest:
        raise VaultDamaged("A pack's checksum is wrong.", name=blob_name(pack))
    if not _BOX.size + _TAG_BYTES <= directory_bytes <= len(body) - _HEADER.size:
        raise VaultDamaged("A pack's directory is out of bounds.", name=blob_name(pack))
    sealed = body[len(body) - directory_bytes :]
    _, _, text = keys.open_box(sealed, _DIRECTORY_NUMBER, _NO_ID)
    for number, row in enumerate(json.loads(text)["boxes"]):
        at, size, kind, domain, _, members = row
        location = Location(pack, number, at, size)
        known = tuple(Member(bytes_of(m[0]), m[1], m[2]) for m in members)
        id_ = _NO_ID if kind == BoxKind.GROUP else known[0].id
        _, _, plain = keys.open_box(body[at : at + size], number, id_)
        for member in known:
            check_member(ring, BoxKind(kind), plain, member)
        yield OpenedBox(BoxKind(kind), Domain(domain), location, known, plain)


def open_box(ring: KeyRing, location: Location, id_: bytes, sealed: bytes) -> tuple[BoxKind, bytes]:
    """One box read by itself: its kind and plaintext. `id_` is the id of the chunk asked for."""
    keys = _Keys(ring, bytes_of(location.pack))
    kind, _, plain = keys.open_box(sealed, location.box, id_)
    return kind, plain


def check_member(ring: KeyRing, kind: BoxKind, plain: bytes, member: Member) -> None:
    """Raises VaultDamaged unless the member's bytes have the id it is known by."""
    part = memoryview(plain)[member.offset : member.offset + member.length]
    if len(part) != member.length or identify(ring, ID_TYPE[kind], part) != member.id:
        raise VaultDamaged("A chunk is not what its id says.")


class _Keys:
    """The keys of one pack."""

    def __init__(self, ring: KeyRing, salt: bytes) -> None:
        self._ring = ring
        self._salt = salt
        self._ciphers: dict[tuple[int, int], AESGCM] = {}

    def seal_box(
        self, fields: tuple[int, int, int, int], number: int, id_: bytes, payload: bytes
    ) -> bytes:
        """`fields`: kind, compression, domain, raw length."""
        kind, compression, domain, raw_bytes = fields
        kid = self._ring.active_kid
        sealed_bytes = len(payload) + _TAG_BYTES
        header = _BOX.pack(sealed_bytes, kind, compression, domain, 0, kid, raw_bytes)
        cipher = self._cipher(kid, domain)
        return header + cipher.encrypt(_nonce(number), payload, self._aad(header, number, id_))

    def open_box(
        self, sealed: bytes | memoryview, number: int, id_: bytes
    ) -> tuple[BoxKind, Domain, bytes]:
        if len(sealed) < _BOX.size + _TAG_BYTES:
            raise VaultDamaged("A box is cut short.", name=blob_name(text_of(self._salt)))
        length, kind, compression, domain, zero, kid, raw_bytes = _BOX.unpack_from(sealed)
        if length != len(sealed) - _BOX.size or raw_bytes > RAW_BOX_BYTES_MAX:
            raise VaultDamaged("A box has the wrong size.", name=blob_name(text_of(self._salt)))
        if kind not in set(BoxKind) or domain not in set(Domain) or compression > 1 or zero:
            raise UnknownFeature("A box is of an unknown kind.", kind=kind)
        header = bytes(sealed[: _BOX.size])
        # Group members authenticate by their own ids, so a group's seal binds none.
        bound = _NO_ID if kind == BoxKind.GROUP else id_
        try:
            packed = self._cipher(kid, domain).decrypt(
                _nonce(number), sealed[_BOX.size :], self._aad(header, number, bound)
            )
        except InvalidTag as damage:
            raise VaultDamaged(
                "A box does not authenticate.", name=blob_name(text_of(self._salt)), box=number
            ) from damage
        plain = decompress(compression, packed, raw_bytes)
        if len(plain) != raw_bytes:
            raise VaultDamaged("A box unfolds to the wrong size.", box=number)
        return BoxKind(kind), Domain(domain), plain

    def _cipher(self, kid: int, domain: int) -> AESGCM:
        cipher = self._ciphers.get((kid, domain))
        if cipher is None:
            info = "pack/own" if domain == Domain.OWN else "pack/shared"
            secret = self._ring.dek(kid, blob_name(text_of(self._salt)))
            cipher = AESGCM(derived_key(secret, self._salt, info))
            self._ciphers[kid, domain] = cipher
        return cipher

    def _aad(self, header: bytes, number: int, id_: bytes) -> bytes:
        start = struct.pack(">H16s32sI", FORMAT, self._ring.vault_id, self._salt, number)
        return start + header + id_


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _described(box: _Box) -> list[Any]:
    place = box.place.location
    members = [[text_of(m.id), m.offset, m.length] for m in box.members]
    return [place.at, place.size, int(box.kind), int(box.domain), box.raw_bytes, members]


def _checked_header(ring: KeyRing, pack: str, data: bytes) -> bytes:
    """The salt of a pack that is one of ours."""
    if len(data) < _HEADER.size + _TRAILER.size:
        raise VaultDamaged("A pack is cut short.", name=blob_name(pack))
    magic, version, _, vault_id, salt, *_ = _HEADER.unpack_from(data)
    if magic != MAGIC or vault_id != ring.vault_id or text_of(salt) != pack:
        raise VaultDamaged("A blob is not the pack its name says.", name=blob_name(pack))
    if version != FORMAT:
        raise UnknownFeature("A pack has a newer format.", format=version)
    return bytes(salt)
