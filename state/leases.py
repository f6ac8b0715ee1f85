"""Leases: at most one holder of a name until a moment; taken over only when that moment has passed.

Rule 1: a lease says who may begin or go on, not who can write: what the holder commits must be safe
        beside a ghost that does not know yet that it lost. `turn` grows with every take-over.
Rule 2: times come from the caller's clock. Machines that disagree by more than a lease lasts can
        both believe that they hold it; rule 1 makes that harmless.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from state.columns import from_columns, to_columns
from state.names import LEASES
from state.port import RowChanged, RowExists, Tables


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a name until when."""

    org: str
    name: str
    holder: str
    expires: datetime
    turn: int = 1


class Leases:
    """The leases of all organizations."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def acquire(
        self, org: str, name: str, holder: str, now: datetime, lasts: timedelta
    ) -> Lease | None:
        """The lease, new, renewed or taken over; None while somebody else holds it."""
        row = self._tables.get(LEASES, org, name)
        try:
            if row is None:
                lease = Lease(org, name, holder, now + lasts)
                self._tables.insert(LEASES, org, name, to_columns(lease))
                return lease
            held = from_columns(Lease, row.values)
            if held.holder != holder and held.expires > now:
                return None
            turn = held.turn if held.holder == holder else held.turn + 1
            lease = Lease(org, name, holder, now + lasts, turn)
            self._tables.replace(LEASES, org, name, to_columns(lease), row.etag)
            return lease
        except (RowExists, RowChanged):
            # Somebody was faster. That was us if Azure's answer to the first try got lost.
            lost_to = self.current(org, name)
            ours = lost_to is not None and lost_to.holder == holder and lost_to.expires > now
            return lost_to if ours else None

    def renew(self, lease: Lease, now: datetime, lasts: timedelta) -> Lease | None:
        """The same lease for longer; None when it was taken over or released meanwhile."""
        row = self._tables.get(LEASES, lease.org, lease.name)
        if row is None:
            return None
        held = from_columns(Lease, row.values)
        if (held.holder, held.turn) != (lease.holder, lease.turn):
            return None
        longer = replace(held, expires=now + lasts)
        try:
            self._tables.replace(LEASES, lease.org, lease.name, to_columns(longer), row.etag)
        except RowChanged:
            return None
        return longer

    def release(self, org: str, name: str, holder: str) -> None:
        """Gives the name up, if `holder` has it; the row stays, so that turns go on counting."""
        row = self._tables.get(LEASES, org, name)
        if row is None:
            return
        held = from_columns(Lease, row.values)
        if held.holder != holder:
            return
        free = replace(held, holder="", expires=datetime.min.replace(tzinfo=held.expires.tzinfo))
        try:
            self._tables.replace(LEASES, org, name, to_columns(free), row.etag)
        except RowChanged:
            return  # taken over meanwhile: it is not ours to release

    def current(self, org: str, name: str) -> Lease | None:
        """Who holds it now, expired or not; None when nobody does."""
        row = self._tables.get(LEASES, org, name)
        lease = from_columns(Lease, row.values) if row else None
        return lease if lease and lease.holder else None

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(LEASES, org)
