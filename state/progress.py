"""Progress: how each chain of a run, or each batch of a restore, fares; one row each, so writers
never collide.

Rule: a row holds totals of its chain so far, not a difference, so that a step written twice counts
        once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from state.columns import from_columns, to_columns
from state.listing import CHANGE_TRIES_MAX, Page, page_of
from state.names import PROGRESS
from state.port import Row, RowChanged, RowExists, Tables


@dataclass(frozen=True, slots=True)
class Progress:
    """`name` is a chain "{service}/{resource}" or a batch number; `state` the outcome of its last
    step.
    """

    org: str
    run: str
    name: str
    state: str
    code: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


class ProgressRows:
    """The progress of all runs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, one: Progress) -> None:
        self._tables.replace(
            PROGRESS, _partition(one.org, one.run), one.name, to_columns(one), None
        )

    def change(
        self, org: str, run: str, name: str, change: Callable[[Progress | None], Progress]
    ) -> None:
        """Read, change, write if unchanged; `change` is given None while there is no row yet, and
        may be called several times.
        """
        partition = _partition(org, run)
        for _ in range(CHANGE_TRIES_MAX):
            row = self._tables.get(PROGRESS, partition, name)
            values = to_columns(change(_decode(row) if row else None))
            try:
                if row is None:
                    self._tables.insert(PROGRESS, partition, name, values)
                else:
                    self._tables.replace(PROGRESS, partition, name, values, row.etag)
                return
            except (RowExists, RowChanged):
                continue
        raise RowChanged("Others kept changing this progress.", table=PROGRESS)

    def page(self, org: str, run: str, after: str = "", limit: int = 1000) -> Page[Progress]:
        rows = self._tables.query(PROGRESS, _partition(org, run), after=after, limit=limit)
        return page_of(rows, _decode)

    def delete(self, org: str, run: str) -> None:
        self._tables.delete_partition(PROGRESS, _partition(org, run))


def _partition(org: str, run: str) -> str:
    return f"{org}~{run}"


def _decode(row: Row) -> Progress:
    return from_columns(Progress, row.values)
