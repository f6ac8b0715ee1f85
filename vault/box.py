"""Boxes: what packs are made of, each sealed at its own place; ids of what is in them.

Rule 1: a box's nonce is its number in the pack, the directory's is 2^32-1; a pack's keys are used
        for this one pack.
Rule 2: a box authenticates its header (kind, compression, domain, kid, sizes), its number, its
        chunk's id, the pack and the vault: it opens at its own place only.
Rule 3: the domain flag chooses the key: "own" boxes belong to the chain, "shared" ones to the
        organization.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto import decompress, derived_key
from vault.entry import Location, bytes_of, text_of
from vault.keys import KeyRing
from vault.problems import UnknownFeature, VaultDamaged

FORMAT = 1
DIRECTORY_NUMBER = 2**32 - 1
NO_ID = bytes(32)
TAG_BYTES = 16
HEADER_BYTES = 16
RAW_BOX_BYTES_MAX = 64 * 1024 * 1024
_COPIED_BYTES = 64 * 1024  # below this a copy is cheaper than one more object

_HEADER = struct.Struct(">IBBBBII")  # sealed length, kind, compression, domain, 0, kid, raw length


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
    if len(data) < _COPIED_BYTES:
        return ring.identity_of(b"".join((bytes((id_type,)), data)))
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


def open_box(ring: KeyRing, location: Location, id_: bytes, sealed: bytes) -> tuple[BoxKind, bytes]:
    """One box read by itself: its kind and plaintext. `id_` is the id of the chunk asked for."""
    keys = PackKeys(ring, bytes_of(location.pack))
    kind, _, plain = keys.open_box(sealed, location.box, id_)
    return kind, plain


def check_member(ring: KeyRing, kind: BoxKind, plain: bytes, member: Member) -> None:
    """Raises VaultDamaged unless the member's bytes have the id it is known by."""
    part = memoryview(plain)[member.offset : member.offset + member.length]
    if len(part) != member.length or identify(ring, ID_TYPE[kind], part) != member.id:
        raise VaultDamaged("A chunk is not what its id says.")


class PackKeys:
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
        sealed_bytes = len(payload) + TAG_BYTES
        header = _HEADER.pack(sealed_bytes, kind, compression, domain, 0, kid, raw_bytes)
        cipher = self._cipher(kid, domain)
        return header + cipher.encrypt(_nonce(number), payload, self._aad(header, number, id_))

    def open_box(
        self, sealed: bytes | memoryview, number: int, id_: bytes
    ) -> tuple[BoxKind, Domain, bytes]:
        if len(sealed) < _HEADER.size + TAG_BYTES:
            raise VaultDamaged("A box is cut short.", name=blob_name(text_of(self._salt)))
        length, kind, compression, domain, zero, kid, raw_bytes = _HEADER.unpack_from(sealed)
        if length != len(sealed) - _HEADER.size or raw_bytes > RAW_BOX_BYTES_MAX:
            raise VaultDamaged("A box has the wrong size.", name=blob_name(text_of(self._salt)))
        if kind not in set(BoxKind) or domain not in set(Domain) or compression > 1 or zero:
            raise UnknownFeature("A box is of an unknown kind.", kind=kind)
        header = bytes(sealed[: _HEADER.size])
        # Group members authenticate by their own ids, so a group's seal binds none.
        bound = NO_ID if kind == BoxKind.GROUP else id_
        try:
            packed = self._cipher(kid, domain).decrypt(
                _nonce(number), sealed[_HEADER.size :], self._aad(header, number, bound)
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
