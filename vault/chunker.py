"""Cuts large content where the content says so, so that an edit rewrites one chunk and not the
file.

Rule 1: the cut function never changes (FastCDC 2020, gear table keyed by the vault's seed,
        parameters in config/0001); golden vectors and a pure-Python specification in tests hold it
        in place.
Rule 2: memory: one chunk of at most `max_bytes`, copied once; the stream is read as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyfastcdc import FastCDC

from vault.config import Chunking


class Chunker:
    """Cuts streams; make one per step, it is not for several threads."""

    def __init__(self, chunking: Chunking, seed: int) -> None:
        self._cdc = FastCDC(
            chunking.average_bytes,
            min_size=chunking.min_bytes,
            max_size=chunking.max_bytes,
            normalized_chunking=chunking.normalization,  # type: ignore[arg-type]
            seed=seed,
        )

    def cut(self, data: bytes | Iterable[bytes]) -> Iterator[bytes]:
        """The chunks of a content in order; together they are the content."""
        if isinstance(data, bytes):
            for chunk in self._cdc.cut_buf(data):
                yield bytes(chunk.data)
            return
        for chunk in self._cdc.cut_stream(_Reader(iter(data))):
            yield bytes(chunk.data)  # the view is only valid until the next chunk


class _Reader:
    """An iterator of bytes as a stream; holds the rest of one piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readinto(self, b: memoryview) -> int:
        filled = 0
        while filled < len(b):
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
                continue
            count = min(len(self._rest), len(b) - filled)
            b[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled
