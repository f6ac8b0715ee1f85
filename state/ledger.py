"""The ledger: items, or parts of them, that could not be copied, why, and when to try again.

Rule 1: a row counts one try per run, however often a step of that run is repeated.
Rule 2: what is permanent (retry false) is listed for ever and never tried again by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from base.item import Trouble
from state.columns import from_columns, to_columns
from state.listing import Page, page_of
from state.names import LEDGER
from state.port import Row, Tables, Value

# Pauses after the first, second, … try. Most faults of the service pass within hours; what still
# fails after a week is worth one request a week.
PAUSES = (
    timedelta(0),
    timedelta(hours=4),
    timedelta(days=1),
    timedelta(days=3),
    timedelta(days=7),
)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One thing that was not copied. `cause` is a base.item.Cause or a problem's code."""

    org: str
    service: str
    resource: str
    item: str
    part: str
    cause: str
    retry: bool
    attempts: int
    first_seen: datetime
    last_seen: datetime
    next_try: datetime | None
    detail: str = ""
    run: str = ""


class Ledger:
    """The ledgers of all organizations."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def note(
        self,
        org: str,
        service: str,
        resource: str,
        troubles: Sequence[Trouble],
        *,
        run: str,
        now: datetime,
    ) -> None:
        """Adds or renews rows; one read and one write per hundred of them."""
        if not troubles:
            return
        wanted = {_key(service, resource, one.item_id, one.part): one for one in troubles}
        before = {row.key: _decode(row) for row in self._tables.get_many(LEDGER, org, [*wanted])}
        rows: dict[str, Mapping[str, Value]] = {}
        for key, trouble in wanted.items():
            row = _renewed(before.get(key), org, service, resource, trouble, run, now)
            rows[key] = to_columns(row)
        self._tables.upsert_many(LEDGER, org, rows)

    def page(
        self,
        org: str,
        *,
        service: str = "",
        resource: str = "",
        after: str = "",
        limit: int = 100,
    ) -> Page[LedgerRow]:
        """One page, by service and resource; of one of them only when it is named."""
        first, last = _span(service, resource)
        rows = self._tables.query(LEDGER, org, first=first, last=last, after=after, limit=limit)
        return page_of(rows, _decode)

    def all(self, org: str, service: str = "", resource: str = "") -> Iterator[LedgerRow]:
        first, last = _span(service, resource)
        for row in self._tables.scan(LEDGER, org, first=first, last=last):
            yield _decode(row)

    def due(
        self, org: str, service: str, resource: str, now: datetime, limit: int = 1000
    ) -> list[LedgerRow]:
        """Rows of one resource whose pause is over, at most `limit`; the rest waits a run."""
        found: list[LedgerRow] = []
        for row in self.all(org, service, resource):
            if row.retry and row.next_try is not None and row.next_try <= now:
                found.append(row)
                if len(found) == limit:
                    break
        return found

    def retry_now(self, row: LedgerRow, now: datetime) -> None:
        """Makes a row due, also a permanent one: somebody asked for it."""
        due = replace(row, retry=True, next_try=now)
        key = _key(row.service, row.resource, row.item, row.part)
        self._tables.replace(LEDGER, row.org, key, to_columns(due), None)

    def clear(self, org: str, service: str, resource: str, items: Collection[str]) -> None:
        """Removes every row of items that are whole now, or gone."""
        if not items:
            return
        # A resource has few rows: reading them all costs less than a query per item.
        for row in list(self.all(org, service, resource)):
            if row.item in items:
                key = _key(service, resource, row.item, row.part)
                self._tables.delete(LEDGER, org, key)

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(LEDGER, org)


def _renewed(
    before: LedgerRow | None,
    org: str,
    service: str,
    resource: str,
    trouble: Trouble,
    run: str,
    now: datetime,
) -> LedgerRow:
    again = before is not None and before.run == run
    attempts = (before.attempts if before else 0) + (0 if again else 1)
    pause = PAUSES[min(attempts, len(PAUSES)) - 1]
    return LedgerRow(
        org=org,
        service=service,
        resource=resource,
        item=trouble.item_id,
        part=trouble.part,
        cause=str(trouble.cause),
        retry=trouble.retry,
        attempts=attempts,
        first_seen=before.first_seen if before else now,
        last_seen=now,
        next_try=now + pause if trouble.retry else None,
        detail=trouble.detail,
        run=run,
    )


def _decode(row: Row) -> LedgerRow:
    return from_columns(LedgerRow, row.values)


def _key(service: str, resource: str, item: str, part: str) -> str:
    """Graph's ids of an item and its attachment together may be longer than a key: hashed."""
    name = hashlib.sha256(f"{item}\0{part}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{service}/{resource}/{name[:32]}"


def _span(service: str, resource: str) -> tuple[str, str]:
    """First and last key; "0" is the character behind "/"."""
    if not service:
        return "", ""
    above = f"{service}/{resource}" if resource else service
    return f"{above}/", f"{above}0"
