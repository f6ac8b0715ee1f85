"""Where an organization's large chunks lie: the look-up that saves storing them twice.

A cache: a lost row costs a duplicate, never data. One partition per organization: the rows of a
pack go into one transaction, and a partition takes 2,000 rows a second, more than eight steps at
once can store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from base.ids import fresh_slug
from state.columns import from_columns, to_columns
from state.names import CHUNKS
from state.port import RowChanged, RowExists, Tables, Value

_GENERATION = "generation"  # no chunk's id, which are hex


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
        rows = self._tables.get_many(CHUNKS, org, list(ids))
        return {row.key: from_columns(ChunkRow, row.values) for row in rows}

    def remember(self, org: str, chunks: Mapping[str, ChunkRow]) -> None:
        """Adds rows; of two writers of the same chunk the last one is found, and both are right."""
        rows: dict[str, Mapping[str, Value]] = {
            id_: to_columns(chunk) for id_, chunk in chunks.items()
        }
        self._tables.upsert_many(CHUNKS, org, rows)

    def forget(self, org: str, pack: str, ids: Collection[str]) -> set[str]:
        """Removes the rows among `ids` that point into a pack; answers which."""
        forgotten: set[str] = set()
        for row in self._tables.get_many(CHUNKS, org, list(ids)):
            if row.values["pack"] != pack:
                continue
            with suppress(RowChanged):  # somebody stored the chunk again: it points elsewhere now
                self._tables.delete(CHUNKS, org, row.key, row.etag)
            forgotten.add(row.key)
        return forgotten

    def generation(self, org: str) -> str:
        """A text that lies among the rows and is lost with them; a new one is made then."""
        while True:
            row = self._tables.get(CHUNKS, org, _GENERATION)
            if row is not None:
                return str(row.values["id"])
            with suppress(RowExists):
                self._tables.insert(CHUNKS, org, _GENERATION, {"id": fresh_slug("rows")})

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(CHUNKS, org)
