"""What collections of records share: pages, and change by read, decide, write if unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from base.errors import NotFound
from state.port import Row, RowChanged, RowPage, Tables, Value

CHANGE_TRIES_MAX = 50  # each lost race means that another writer got on; nobody loses 50 in a row

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """Some records in their order; `after` continues, "" at the end."""

    items: tuple[_T, ...]
    after: str


class RecordMissing(NotFound):
    """There is no such record."""

    code = "record-missing"


def page_of(rows: RowPage, decode: Callable[[Row], _T]) -> Page[_T]:
    return Page(tuple(decode(row) for row in rows.rows), rows.after)


def change_row(
    tables: Tables,
    table: str,
    partition: str,
    key: str,
    decode: Callable[[Row], _T],
    encode: Callable[[_T], dict[str, Value]],
    change: Callable[[_T], _T],
) -> _T:
    """Applies `change` to the newest state of a record and stores it; answers what is stored.

    `change` may be called several times. Answering the same object stores nothing.
    """
    for _ in range(CHANGE_TRIES_MAX):
        row = tables.get(table, partition, key)
        if row is None:
            raise RecordMissing("There is no such record.", table=table)
        before = decode(row)
        after = change(before)
        if after is before:
            return before
        try:
            tables.replace(table, partition, key, encode(after), row.etag)
            return after
        except RowChanged:
            continue
    raise RowChanged("Too many writers change the same record.", table=table)
