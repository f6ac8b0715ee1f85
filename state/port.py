"""The port to small records: partitioned tables with etags, in SQLite and in Azure Tables.

Guarantees every adapter gives, checked by tests/state/tables_suite.py:
- a row is (partition, key) -> flat dict of str, int (64 bits), float and bool values, no None;
  strings up to 32,000 UTF-16 units, a row up to 900 KB counted in UTF-16; keys are any non-empty
  text of at most 512 characters (fewer where state/rows.py must spell them out);
- insert fails with RowExists when the row is there; replace with an etag fails with RowChanged when
  the row changed since; both are atomic, also between processes;
- query answers rows of one partition in key order, from `first` (inclusive) to `last` (exclusive),
  and pages with an opaque `after`; reads see all finished writes;
- upsert_many writes transactions of up to 100 rows of one partition, each all or none; all rows are
  checked before the first one is written.

A connection that breaks while Azure answers is tried again: an insert or replace that came through
may then report RowExists or RowChanged. Callers read the row and compare, as with any lost race.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from base.errors import Problem

Value = str | int | float | bool


class RowExists(Problem):
    """Another writer made the row first."""

    code = "row-exists"
    status = 409
    hint = "Read what is there before deciding to make it again."


class RowChanged(Problem):
    """Another writer changed or removed the row since it was read."""

    code = "row-changed"
    status = 409
    hint = "Somebody else was faster: read it again, and decide whether the change is still meant."


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the etag of the version that was read."""

    partition: str
    key: str
    values: Mapping[str, Value]
    etag: str


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows in key order; `after` continues, "" at the end."""

    rows: tuple[Row, ...]
    after: str


class Tables(Protocol):
    """One installation's records. Table names: 3 to 40 letters, made on first use."""

    def get(self, table: str, partition: str, key: str) -> Row | None: ...

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        """Creates the row and answers its etag, or raises RowExists."""
        ...

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], etag: str | None
    ) -> str:
        """Writes the whole row; with an etag only if it is unchanged (RowChanged)."""
        ...

    def query(
        self,
        table: str,
        partition: str,
        *,
        first: str = "",
        last: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> RowPage: ...

    def scan(self, table: str, partition: str, *, first: str = "", last: str = "") -> Iterator[Row]:
        """All pages of a query, one row after another."""
        ...

    def get_many(self, table: str, partition: str, keys: Sequence[str]) -> list[Row]:
        """The rows of one partition that exist among `keys`, in any order, in few operations."""
        ...

    def partitions(self, table: str) -> Iterator[str]:
        """Every partition that has a row; for rebuilding and deleting, not for hot paths."""
        ...

    def upsert_many(
        self, table: str, partition: str, rows: Mapping[str, Mapping[str, Value]]
    ) -> None:
        """Writes any number of rows of one partition, overwriting, at most 100 at once."""
        ...

    def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> None:
        """Removes the row; a missing one is fine unless an etag is given (RowChanged)."""
        ...

    def delete_partition(self, table: str, partition: str) -> None: ...
