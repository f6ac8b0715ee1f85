"""The vault's duplicate look-up over the records: where an organization's large chunks lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from state.chunks import ChunkRow, Chunks
from state.port import Tables
from vault import Location


class KnownChunks:
    """A ChunkIndex of one organization; a lost or stale row costs a duplicate, never data."""

    def __init__(self, tables: Tables, org: str) -> None:
        self._chunks = Chunks(tables)
        self._org = org

    def find(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        """The places of those that are known."""
        found = self._chunks.find(self._org, [id_.hex() for id_ in ids])
        return {
            bytes.fromhex(id_): Location(row.pack, row.box, row.at, row.size)
            for id_, row in found.items()
        }

    def remember(self, found: Mapping[bytes, Location]) -> None:
        """Notes chunks whose pack is durable."""
        rows = {
            id_.hex(): ChunkRow(place.pack, place.box, place.at, place.size)
            for id_, place in found.items()
        }
        self._chunks.remember(self._org, rows)

    def generation(self) -> str:
        """Another one after the organization's rows were lost."""
        return self._chunks.generation(self._org)

    def forget(self, pack: str, ids: Collection[bytes]) -> set[bytes]:
        """Removes the rows among `ids` that point into a pack; answers which."""
        forgotten = self._chunks.forget(self._org, pack, [id_.hex() for id_ in ids])
        return {bytes.fromhex(id_) for id_ in forgotten}
