"""The bytes of files and attachments, made when read and never held longer than needed.

Rules: content is immutable; what the same seed gives is the same for ever; read() touches only
the blocks it is asked for, so a file of a gigabyte needs no memory.
"""

import hashlib
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import IO, Protocol

from simulator import prose
from simulator.quickxorhash import QuickXorHash

_BLOCK = 256 * 1024
_READ = 1024 * 1024
_SPOOL_MAX = 4 * 1024 * 1024


class Content(Protocol):
    """Bytes with a size and hashes."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...

    @property
    def quickxorhash(self) -> str: ...

    @property
    def sha256(self) -> str: ...


class _Hashed:
    """Hashes of something that can be read, each computed once."""

    _quickxorhash: str | None = None
    _sha256: str | None = None

    @property
    def size(self) -> int:
        raise NotImplementedError

    def read(self, offset: int, length: int) -> bytes:
        raise NotImplementedError

    @property
    def quickxorhash(self) -> str:
        """base64, as in file.hashes."""
        if self._quickxorhash is None:
            hasher = QuickXorHash()
            for piece in pieces(self):
                hasher.update(piece)
            self._quickxorhash = hasher.base64()
        return self._quickxorhash

    @property
    def sha256(self) -> str:
        """Hex; for comparisons only, Graph never shows it."""
        if self._sha256 is None:
            hasher = hashlib.sha256()
            for piece in pieces(self):
                hasher.update(piece)
            self._sha256 = hasher.hexdigest()
        return self._sha256


class LiteralBytes(_Hashed):
    """Bytes at hand."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class SeededBytes(_Hashed):
    """`size` bytes as a pure function of (seed, offset).

    kind is "random" (pictures, archives), "text" (prose) or "mixed" (an eighth of prose, as in a
    PDF); head and tail replace the first and last bytes, so that a kind is recognised.
    """

    def __init__(
        self, seed: str, size: int, kind: str = "random", head: bytes = b"", tail: bytes = b""
    ) -> None:
        self._seed = seed
        self._size = size
        self._kind = kind
        self._head = head[:size]
        self._tail = tail if len(head) + len(tail) <= size else b""

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        first, last = offset // _BLOCK, (end - 1) // _BLOCK
        blocks = [self._block(index) for index in range(first, last + 1)]
        skip = offset - first * _BLOCK
        data = b"".join(blocks) if len(blocks) > 1 else blocks[0]
        return data[skip : skip + end - offset]

    def _block(self, index: int) -> bytes:
        start = index * _BLOCK
        length = min(_BLOCK, self._size - start)
        data = _MAKERS[self._kind](self._seed, index, length)
        if index == 0 and self._head:
            data = self._head[:length] + data[len(self._head) :]
        tail_from = self._size - len(self._tail)
        if self._tail and start + length > tail_from:
            cut = max(tail_from - start, 0)
            skip = max(start - tail_from, 0)
            data = data[:cut] + self._tail[skip : skip + length - cut]
        return data


class BuiltBytes(_Hashed):
    """Bytes that a function makes whole (small things such as a .docx); the last few are kept."""

    def __init__(self, build: Callable[[], bytes]) -> None:
        self._build = build
        self._size: int | None = None

    @property
    def size(self) -> int:
        if self._size is None:
            self._size = len(_built(self._build))
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        return _built(self._build)[offset : offset + length]


class SpooledBytes(_Hashed):
    """Bytes written to the simulator; beyond 4 MiB they lie in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_MAX)  # noqa: SIM115
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        with self._lock:
            self._file.seek(self._size)
            self._file.write(data)
            self._size += len(data)
            self._quickxorhash = self._sha256 = None

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length)


def pieces(content: Content | _Hashed, offset: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Stream content in pieces of 1 MiB."""
    stop = content.size if end is None else min(end, content.size)
    while offset < stop:
        piece = content.read(offset, min(_READ, stop - offset))
        yield piece
        offset += len(piece)


@lru_cache(maxsize=32)
def _built(build: Callable[[], bytes]) -> bytes:
    return build()


@lru_cache(maxsize=16)
def _random_block(seed: str, index: int, length: int) -> bytes:
    return hashlib.shake_128(f"{seed}:{index}".encode()).digest(length)


@lru_cache(maxsize=16)
def _prose_block(seed: str, index: int, length: int) -> bytes:
    return prose.running_text(random.Random(f"{seed}:{index}"), length)


@lru_cache(maxsize=16)
def _mixed_block(seed: str, index: int, length: int) -> bytes:
    text = prose.running_text(random.Random(f"{seed}:{index}"), length // 8)
    return text + _random_block(seed, index, length - len(text))


_MAKERS = {"random": _random_block, "text": _prose_block, "mixed": _mixed_block}
