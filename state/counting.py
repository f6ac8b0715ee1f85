"""Tables that count: service operations and rows, for tests, benchmarks and the usage page."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

from state.port import Row, RowPage, Tables, Value
from state.rows import batches


class CountingTables:
    """Any tables, with counts of operations as Table Storage would bill them.

    `reads` and `writes` are operations (a page, a transaction), `rows_written` rows.
    """

    def __init__(self, inner: Tables) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.reads = 0
        self.writes = 0
        self.rows_written = 0

    def get(self, table: str, partition: str, key: str) -> Row | None:
        self._count(reads=1)
        return self._inner.get(table, partition, key)

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        self._count(writes=1, rows=1)
        return self._inner.insert(table, partition, key, values)

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], etag: str | None
    ) -> str:
        self._count(writes=1, rows=1)
        return self._inner.replace(table, partition, key, values, etag)

    def query(
        self,
        table: str,
        partition: str,
        *,
        first: str = "",
        last: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> RowPage:
        self._count(reads=1)
        return self._inner.query(table, partition, first=first, last=last, after=after, limit=limit)

    def scan(self, table: str, partition: str, *, first: str = "", last: str = "") -> Iterator[Row]:
        after = ""
        while True:
            page = self.query(table, partition, first=first, last=last, after=after)
            yield from page.rows
            after = page.after
            if not after:
                return

    def get_many(self, table: str, partition: str, keys: Sequence[str]) -> list[Row]:
        self._count(reads=len(keys))
        return self._inner.get_many(table, partition, keys)

    def partitions(self, table: str) -> Iterator[str]:
        self._count(reads=1)
        for partition in self._inner.partitions(table):
            self._count(reads=1)
            yield partition

    def upsert_many(
        self, table: str, partition: str, rows: Mapping[str, Mapping[str, Value]]
    ) -> None:
        transactions = sum(1 for _ in batches(partition, rows))
        self._count(writes=transactions, rows=len(rows))
        self._inner.upsert_many(table, partition, rows)

    def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> None:
        self._count(writes=1, rows=1)
        self._inner.delete(table, partition, key, etag)

    def delete_partition(self, table: str, partition: str) -> None:
        self._count(writes=1)
        self._inner.delete_partition(table, partition)

    def _count(self, reads: int = 0, writes: int = 0, rows: int = 0) -> None:
        with self._lock:
            self.reads += reads
            self.writes += writes
            self.rows_written += rows
