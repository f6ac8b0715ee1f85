"""Sealed small objects: everything the vault writes that is not a pack travels in this envelope.

Rule 1: every envelope has its own key, HKDF-SHA256(DEK, salt, info) with a fresh 32-byte salt, so
        its one nonce (zero) never repeats under a key and there is no count of messages to watch.
Rule 2: the header, the vault's id and the object's name are authenticated: bytes moved to another
        name, kind or vault do not open.

Layout (integers big-endian): magic "HOLDOBJ1" | u16 format 1 | u8 kind | u8 compression | u32 kid |
salt 32 | AES-256-GCM ciphertext and 16-byte tag. docs/vault-format.md is the full text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto import Compression, compress, decompress, derived_key, fresh_bytes
from vault.problems import UnknownFeature, VaultDamaged

FORMAT = 1
MAGIC = b"HOLDOBJ1"
RAW_BYTES_MAX = 512 * 1024 * 1024  # refuses envelopes that claim to unfold to more

_HEADER = struct.Struct(">8sHBBI32s")
_NONCE = bytes(12)


class Kind(IntEnum):
    """What an envelope holds; part of its key's derivation and of its authenticated header."""

    KEY_LIST = 1
    PAGE = 2
    SNAPSHOT = 3
    RECORD = 4
    SECRET = 5
    COLLECT = 6
    FORWARD = 7


def seal(
    secret: bytes,
    kid: int,
    kind: Kind,
    vault_id: bytes,
    name: str,
    data: bytes,
    salt: bytes | None = None,
) -> bytes:
    """An envelope around `data`, to be stored at `name`; `salt` is for test vectors only."""
    salt = salt or fresh_bytes(32)
    compression, packed = compress(data)
    header = _HEADER.pack(MAGIC, FORMAT, kind, compression, kid, salt)
    key = derived_key(secret, salt, f"object/{kind.name.lower()}")
    return header + AESGCM(key).encrypt(_NONCE, packed, _aad(header, vault_id, name))


def unseal(
    secret_of: Callable[[int], bytes], kind: Kind, vault_id: bytes, name: str, sealed: bytes
) -> bytes:
    """The data of an envelope. `secret_of` answers the secret of a kid. Raises VaultDamaged."""
    if len(sealed) < _HEADER.size + 16:
        raise VaultDamaged("A sealed object is cut short.", name=name)
    magic, version, found, compression, kid, salt = _HEADER.unpack_from(sealed)
    if magic != MAGIC or found != kind:
        raise VaultDamaged("A sealed object is not what its name says.", name=name)
    if version != FORMAT or compression not in (Compression.NONE, Compression.ZSTD):
        raise UnknownFeature("A sealed object has a newer format.", name=name, format=version)
    header = sealed[: _HEADER.size]
    key = derived_key(secret_of(kid), salt, f"object/{kind.name.lower()}")
    try:
        packed = AESGCM(key).decrypt(
            _NONCE, memoryview(sealed)[_HEADER.size :], _aad(header, vault_id, name)
        )
    except InvalidTag as damage:
        raise VaultDamaged("A sealed object does not authenticate.", name=name) from damage
    return decompress(compression, packed, RAW_BYTES_MAX)


def insist_on_format(name: str, document: Mapping[str, Any]) -> None:
    """Raises UnknownFeature for the JSON of an object that a later version wrote."""
    if document["format"] != FORMAT:
        raise UnknownFeature("An object has a newer format.", name=name, format=document["format"])


def _aad(header: bytes, vault_id: bytes, name: str) -> bytes:
    return header + vault_id + name.encode()
