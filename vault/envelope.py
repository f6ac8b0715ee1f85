"""Sealed small objects: everything the vault writes that is not a pack travels in this envelope.

Rule 1: every envelope has its own key, HKDF-SHA256(DEK, salt, info) with a fresh 32-byte salt, so its one
        nonce (zero) never repeats under a key and there is no count of messages to watch.
Rule 2: the header, the vault's id and the object's name are authenticated: bytes moved to another name,
        kind or vault do not open.

Layout (integers big-endian): magic "HOLDOBJ1" | u16 format 1 | u8 kind | u8 compression | u32 kid |
salt 32 | AES-256-GCM ciphertext and 16-byte tag. docs/vault-format.md is the full text.
"""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Callable
from enum import IntEnum

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.problems import UnknownFeature, VaultDamaged

FORMAT = 1
MAGIC = b"HOLDOBJ1"
LEVEL = 3  # zstd; level 9 gains half a percent on mail for four times the time
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


class Compression(IntEnum):
    """How the plaintext is compressed before it is encrypted."""

    NONE = 0
    ZSTD = 1


class _Codecs(threading.local):
    """One compressor and decompressor per thread: sharing one between threads crashes the process."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def compress(data: bytes) -> bytes:
    """One zstd frame that states its content size."""
    return _codecs.compressor.compress(data)


def decompress(data: bytes, raw_bytes_max: int) -> bytes:
    """Undoes compress. Raises VaultDamaged for what is no frame or claims to be larger than allowed."""
    try:
        claimed = zstandard.frame_content_size(data)
        if not 0 <= claimed <= raw_bytes_max:
            raise VaultDamaged("A compressed frame states an impossible size.")
        return _codecs.decompressor.decompress(data)
    except zstandard.ZstdError as damage:
        raise VaultDamaged("A compressed frame does not unfold.") from damage


def derived_key(secret: bytes, salt: bytes, info: str) -> bytes:
    """32 bytes by HKDF-SHA256."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


def seal(
    secret: bytes,
    kid: int,
    kind: Kind,
    vault_id: bytes,
    name: str,
    data: bytes,
    salt: bytes | None = None,
) -> bytes:
    """An envelope around `data` under the name it will be stored at; `salt` only for test vectors."""
    salt = salt or secrets.token_bytes(32)
    packed = compress(data)
    compression = Compression.ZSTD
    if len(packed) >= len(data):
        packed, compression = data, Compression.NONE
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
    if compression == Compression.NONE:
        return packed
    return decompress(packed, RAW_BYTES_MAX)


def _aad(header: bytes, vault_id: bytes, name: str) -> bytes:
    return header + vault_id + name.encode()
