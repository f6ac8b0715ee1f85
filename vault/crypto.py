"""Dice, key derivation and compression: the primitives every sealed byte of the vault goes through.

Rule 1: randomness comes from the operating system and only from here and keys.py.
Rule 2: a compressor is never shared between threads: two threads in one crash the process.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import zstandard
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.problems import VaultDamaged

LEVEL = 3  # zstd; level 9 gains half a percent on mail for four times the time

T = TypeVar("T")


class Compression(IntEnum):
    """How a plaintext is compressed before it is encrypted."""

    NONE = 0
    ZSTD = 1


class _Codecs(threading.local):
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def fresh_bytes(count: int) -> bytes:
    """Random bytes for salts, keys and ids."""
    return secrets.token_bytes(count)


def shuffled(items: list[T]) -> None:
    """Puts a list into an order nobody can guess."""
    secrets.SystemRandom().shuffle(items)


def sampled(items: Sequence[T], count: int) -> list[T]:
    """Some of the items, each as likely as any other."""
    return secrets.SystemRandom().sample(items, count)


def derived_key(secret: bytes, salt: bytes, info: str) -> bytes:
    """32 bytes by HKDF-SHA256."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


def compress(data: bytes) -> tuple[Compression, bytes]:
    """One zstd frame that states its content size, or the data itself where that is not smaller."""
    packed = _codecs.compressor.compress(data)
    if len(packed) >= len(data):
        return Compression.NONE, data
    # The library shrinks a buffer of the input's size, and the rest stays a hole behind each frame
    # that is kept; a copy lets the next one have the whole.
    return Compression.ZSTD, bytes(memoryview(packed))


def decompress(compression: int, data: bytes, raw_bytes_max: int) -> bytes:
    """Undoes compress. Raises VaultDamaged for no frame, or one that claims to be too large."""
    if compression == Compression.NONE:
        return data
    try:
        claimed = zstandard.frame_content_size(data)
        if not 0 <= claimed <= raw_bytes_max:
            raise VaultDamaged("A compressed frame states an impossible size.")
        return _codecs.decompressor.decompress(data)
    except zstandard.ZstdError as damage:
        raise VaultDamaged("A compressed frame does not unfold.") from damage
