"""Where an organization's large chunks lie: the look-up that saves storing them twice.

A cache: a lost row costs a duplicate, never data. One partition per first hex digit of the id, so
that the rows of a step go into few transactions and no partition gets hot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from state.columns import from_columns, to_columns
from state.names import CHUNKS
from state.port import Tables, Value

_HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """The pack, the number of the box in it, and the first byte and bytes of the sealed box."""

    pack: str
    box: int
    at: int
    size: int


class Chunks:
    """The chunks of all organizations; ids are lower-case hex."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def find(self, org: str, ids: Collection[str]) -> dict[str, ChunkRow]:
        """The known ones among `ids`."""
        found: dict[str, ChunkRow] = {}
        for digit, some in _by_digit(ids).items():
            for row in self._tables.get_many(CHUNKS, _partition(org, digit), some):
                found[row.key] = from_columns(ChunkRow, row.values)
        return found

    def remember(self, org: str, chunks: Mapping[str, ChunkRow]) -> None:
        """Adds rows; of two writers of the same chunk the last one is found, and both are right."""
        for digit, some in _by_digit(chunks).items():
            rows: dict[str, Mapping[str, Value]] = {id_: to_columns(chunks[id_]) for id_ in some}
            self._tables.upsert_many(CHUNKS, _partition(org, digit), rows)

    def forget(self, org: str, ids: Collection[str]) -> None:
        """Removes rows, for the collector: before a pack is condemned, never after."""
        for digit, some in _by_digit(ids).items():
            for id_ in some:
                self._tables.delete(CHUNKS, _partition(org, digit), id_)

    def delete_all(self, org: str) -> None:
        for digit in _HEX:
            self._tables.delete_partition(CHUNKS, _partition(org, digit))


def _by_digit(ids: Collection[str]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for id_ in ids:
        assert id_[:1] in _HEX, "a chunk id is lower-case hex"
        groups[id_[0]].append(id_)
    return groups


def _partition(org: str, digit: str) -> str:
    return f"{org}~{digit}"
