"""Runs: executions of an organization's backup, restore, export or verification; newest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from base.errors import InvalidInput
from state.columns import Plain, Sealing, from_columns, sealed, to_columns
from state.listing import Page, change_row
from state.names import RUNS
from state.port import Row, Tables, Value

STATES = ("queued", "running", "green", "amber", "red", "cancelled", "failed")
OVER = frozenset({"green", "amber", "red", "cancelled", "failed"})

_STARTED = re.compile(r"[a-z]+-([0-9]{8})t([0-9]{6})-")
_TIME_END = 10**14 - 1  # above every yyyymmddhhmmss


@dataclass(frozen=True, slots=True)
class Run:
    """One run: `progress` holds counts, `detail` codes, `parameters` what was asked for."""

    org: str
    id: str
    kind: str  # backup, restore, export, verify, collect, rebuild
    state: str  # one of STATES
    requested: datetime
    requested_by: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    heartbeat: datetime | None = None
    progress: Mapping[str, int] = field(default_factory=dict)
    code: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = sealed(factory=dict)

    @property
    def over(self) -> bool:
        return self.state in OVER


class Runs:
    """The runs of all organizations."""

    def __init__(self, tables: Tables, sealing: Sealing | None = None) -> None:
        self._tables = tables
        self._sealing = sealing or Plain()

    def create(self, run: Run) -> None:
        """Raises RowExists when there is such a run."""
        self._tables.insert(RUNS, run.org, run_key(run.id), self._encode(run))

    def get(self, org: str, run: str) -> Run | None:
        row = self._tables.get(RUNS, org, run_key(run))
        return self._decode(row) if row else None

    def page(
        self, org: str, *, kind: str = "", state: str = "", after: str = "", limit: int = 100
    ) -> Page[Run]:
        """Newest first. With a filter a page may hold fewer than `limit` although more follow."""
        rows = self._tables.query(RUNS, org, after=after, limit=limit)
        runs = (self._decode(row) for row in rows.rows)
        chosen = (run for run in runs if kind in ("", run.kind) and state in ("", run.state))
        return Page(tuple(chosen), rows.after)

    def change(self, org: str, run: str, change: Callable[[Run], Run]) -> Run:
        """Read, change, write if unchanged, again when somebody was faster: listing.change_row."""
        return change_row(self._tables, RUNS, org, run_key(run), self._decode, self._encode, change)

    def beat(self, org: str, run: str, now: datetime) -> Run:
        """Notes that the run is alive, unless it is over."""
        return self.change(org, run, lambda one: one if one.over else replace(one, heartbeat=now))

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(RUNS, org)

    def _encode(self, run: Run) -> dict[str, Value]:
        return to_columns(run, lambda text: self._sealing.seal(run.org, text))

    def _decode(self, row: Row) -> Run:
        return from_columns(Run, row.values, lambda text: self._sealing.open(row.partition, text))


def run_key(run: str) -> str:
    """The row of a run: its start counted down, so that the newest sorts first."""
    started = _STARTED.match(run)
    if started is None:
        raise InvalidInput("That is not the id of a run.", field="run")
    return f"{_TIME_END - int(started[1] + started[2]):014d}-{run}"
