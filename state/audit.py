"""Who did what: append-only, each row with the hash of the one before.

Rule 1: rows are only ever inserted, under consecutive numbers: two writers cannot extend the same
        row, so the chain never forks.
Rule 2: the chain shows changed, removed and inserted rows. It cannot show that its newest rows were
        cut off: engine/audit.py holds it against the vault, which keeps every row as well.

Theory of operation: numbers count down in keys, so one query answers the newest row; an append
reads it and inserts the next number. Whoever loses that race reads again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from base.clock import Clock
from base.errors import Conflict
from state.columns import from_columns, to_columns, whole
from state.listing import Page, page_of
from state.names import AUDIT
from state.port import Row, RowExists, Tables

INSTALLATION = "installation~"  # the chain of what concerns no single organization
APPEND_TRIES_MAX = 200  # each lost race means that another row was written

_NUMBER_END = 10**12


class AuditBusy(Conflict):
    """Other writers were faster every time."""

    code = "audit-busy"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One act. `target` and `detail` hold ids, counts and codes, never content or addresses."""

    number: int  # from 1, without gaps
    at: datetime
    actor: str
    action: str  # "restore.start"
    target: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    before: str = ""  # hash of row number - 1
    hash: str = ""


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest row of a chain; number 0 and hash "" for an empty one."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What verify found: rows read, and the newest number that does not fit (0: none)."""

    rows: int
    broken_at: int
    reason: str = ""

    @property
    def intact(self) -> bool:
        return self.broken_at == 0


class Audit:
    """The chains of all organizations, and one of the installation."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def append(
        self,
        org: str,
        actor: str,
        action: str,
        target: str,
        detail: Mapping[str, Any] | None = None,
    ) -> AuditRow:
        """Adds a row at the end of an organization's chain (or of INSTALLATION)."""
        for _ in range(APPEND_TRIES_MAX):
            head = self.head(org)
            row = _chained(head, self._clock.now(), actor, action, target, detail or {})
            try:
                self._tables.insert(AUDIT, org, _key(row.number), to_columns(row))
                return row
            except RowExists:
                continue
        raise AuditBusy("The audit log is written by too many at once.")

    def head(self, org: str) -> AuditHead:
        newest = self.page(org, limit=1).items
        return AuditHead(newest[0].number, newest[0].hash) if newest else AuditHead(0, "")

    def page(self, org: str, after: str = "", limit: int = 100) -> Page[AuditRow]:
        """Newest first."""
        return page_of(self._tables.query(AUDIT, org, after=after, limit=limit), _decode)

    def verify(self, org: str, known: AuditHead | None = None) -> AuditCheck:
        """Reads the chain, newest first. `known` is an older head that must still be in it."""
        rows, expected = 0, None
        known_seen = known is None or known.number == 0
        for stored in self._tables.scan(AUDIT, org):
            row = _decode(stored)
            rows += 1
            reason = _misfit(row, stored.key, expected, known)
            if reason:
                return AuditCheck(rows, row.number, reason)
            known_seen = known_seen or (known is not None and row.number == known.number)
            expected = AuditHead(row.number - 1, row.before)
        if expected is not None and expected.number > 0:
            return AuditCheck(rows, expected.number, "missing")
        if known is not None and not known_seen:
            return AuditCheck(rows, known.number, "cut-off")
        return AuditCheck(rows, 0)


def number_of(key: str) -> int:
    """The number of the row with a key."""
    return _NUMBER_END - int(key)


def _misfit(row: AuditRow, key: str, expected: AuditHead | None, known: AuditHead | None) -> str:
    """Why a row does not fit behind the newer one; "" when it does."""
    if key != _key(row.number) or row.hash != _hash(row):
        return "changed"
    if expected is not None and expected.number != row.number:
        return "missing"
    if expected is not None and expected.hash != row.hash:
        return "replaced"
    if known is not None and known.number == row.number and known.hash != row.hash:
        return "replaced"
    return ""


def _chained(
    head: AuditHead,
    at: datetime,
    actor: str,
    action: str,
    target: str,
    detail: Mapping[str, Any],
) -> AuditRow:
    # Through JSON and back, so that what is hashed is what will be read.
    plain = json.loads(json.dumps(detail))
    row = AuditRow(
        head.number + 1, at, whole(actor), whole(action), whole(target), plain, head.hash
    )
    return replace(row, hash=_hash(row))


def _hash(row: AuditRow) -> str:
    values = asdict(row)
    del values["hash"]
    values["at"] = row.at.astimezone(UTC).isoformat()
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _key(number: int) -> str:
    return f"{_NUMBER_END - number:012d}"


def _decode(row: Row) -> AuditRow:
    return from_columns(AuditRow, row.values)
