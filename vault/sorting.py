"""Puts any number of records in order in little memory: an external sort over a sealed file.

Rule 1: what is written to the disk is compressed and sealed with a key that is drawn for the file
        and never leaves the process. The file has no name and ends with the process.
Rule 2: memory: records of about Budget.held_bytes, and while they are read one block of each run.
Rule 3: a sorter that is `bounded` writes about Budget.spilled_bytes at most: when it is full it
        keeps the lower half of its keys, and `beyond` says where the other half begins. Whoever
        fills it brings those again, to another sorter.

Theory of operation: records are tuples of text, numbers, bytes and None that compare with each
other; the first `key` fields say what belongs together. Held records that have become too many are
sorted and written as a run: blocks of some 32 KB, one behind the other. Reading merges the runs and
what is still held. What fits into memory never touches the disk.
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto import compress, decompress, fresh_bytes

Record = tuple[Any, ...]
Open = Callable[[], IO[bytes]]

RECORD_BYTES = 450  # what a record takes in memory beside a long line in it
BLOCK_BYTES = 32 * 1024  # of held records
_BLOCK_BYTES_MAX = 512 * 1024 * 1024  # no block unfolds to more
_MARSHAL = 2  # without references between objects, which take longer to find than to write


@dataclass(frozen=True, slots=True)
class Budget:
    """What a sorter may take; tests make it small."""

    held_bytes: int = 8 * 1024 * 1024
    spilled_bytes: int = 256 * 1024 * 1024  # half as much again while a full one is halved
    open_file: Open = tempfile.TemporaryFile


class Sorter:
    """Takes records in any order; iterating, as often as wanted, gives them in theirs."""

    def __init__(
        self, budget: Budget, key: int = 1, low: Record = (), bounded: bool = False
    ) -> None:
        """Records below `low` are left out, as they were taken before."""
        self._budget = budget
        self._key = key
        self._low = low
        self._full_bytes = budget.spilled_bytes if bounded else None
        self._held: list[Record] = []
        self._held_bytes = 0
        self._spilled: _Spilled | None = None
        self.beyond: Record | None = None  # where the keys begin that it did not take
        self.count = 0
        self.held_bytes_max = 0

    def add(self, record: Record, line_bytes: int = 0) -> None:
        """`line_bytes`: of a long field in it."""
        if record < self._low or (self.beyond is not None and record >= self.beyond):
            return
        self._held.append(record)
        self._held_bytes += RECORD_BYTES + line_bytes
        self.count += 1
        if self._held_bytes >= self._budget.held_bytes:
            self._spill()

    def __iter__(self) -> Iterator[Record]:
        self._note_held()
        self._held.sort()
        if self._spilled is None:
            return iter(self._held)
        return heapq.merge(*self._spilled.runs(), self._held)

    def close(self) -> None:
        """Frees what it holds, on the disk too."""
        self._held.clear()
        if self._spilled is not None:
            self._spilled.close()

    def _spill(self) -> None:
        self._note_held()
        if self._spilled is None:
            self._spilled = _Spilled(self._budget.open_file())
        self._held.sort()
        self._spilled.add_run(self._held, self._block_records())
        self._held.clear()
        self._held_bytes = 0
        if self._full_bytes is not None and self._spilled.size > self._full_bytes:
            self._keep_lower_half()

    def _keep_lower_half(self) -> None:
        assert self._spilled is not None
        full, half = self._spilled, _Spilled(self._budget.open_file())
        try:
            self.count = half.add_run(self._lower_half(), full.block_records)
        finally:
            full.close()
        self._spilled = half
        # Where one key has more than half of all records there is nothing to leave out.
        self._full_bytes = max(self._full_bytes or 0, 2 * half.size)

    def _lower_half(self) -> Iterator[Record]:
        wanted, last = self.count // 2, ()
        for number, record in enumerate(self):
            key = record[: self._key]
            if number >= wanted and key != last:
                self.beyond = key
                return
            last = key
            yield record

    def _block_records(self) -> int:
        return max(BLOCK_BYTES * len(self._held) // self._held_bytes, 1)

    def _note_held(self) -> None:
        self.held_bytes_max = max(self.held_bytes_max, self._held_bytes)


@dataclass(slots=True)
class _Run:
    """Sorted records: where the first block lies, its number, and the sizes of all as sealed."""

    at: int
    number: int
    sizes: array[int] = field(default_factory=lambda: array("I"))


class _Spilled:
    """A file of runs. Blocks are numbered, and the number is the nonce under the file's own key."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._aead = AESGCM(fresh_bytes(32))
        self._runs: list[_Run] = []
        self._blocks = 0
        self.block_records = 1  # of the run before
        self.size = 0

    def add_run(self, records: Iterable[Record], block_records: int) -> int:
        """Writes sorted records, and answers how many."""
        run = _Run(self.size, self._blocks)
        self.block_records = block_records
        records, count = iter(records), 0
        while block := list(islice(records, block_records)):
            count += len(block)
            kind, packed = compress(marshal.dumps(block, _MARSHAL))
            sealed = self._aead.encrypt(_nonce(self._blocks), bytes([kind]) + packed, None)
            self._file.seek(self.size)
            self._file.write(sealed)
            run.sizes.append(len(sealed))
            self._blocks += 1
            self.size += len(sealed)
        self._runs.append(run)
        return count

    def runs(self) -> Iterator[Iterator[Record]]:
        """Each run's records, a block at a time."""
        return map(self._read, self._runs)

    def close(self) -> None:
        self._file.close()

    def _read(self, run: _Run) -> Iterator[Record]:
        at = run.at
        for number, size in enumerate(run.sizes, run.number):
            self._file.seek(at)
            plain = self._aead.decrypt(_nonce(number), self._file.read(size), None)
            at += size
            # Only this process can have sealed it: nobody else's bytes are ever unfolded.
            block: list[Record] = marshal.loads(  # noqa: S302
                decompress(plain[0], plain[1:], _BLOCK_BYTES_MAX)
            )
            yield from block


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
