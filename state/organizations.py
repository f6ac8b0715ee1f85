"""Organizations: one Microsoft 365 tenant each, with its schedule, credentials and vault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from state.columns import from_columns, to_columns
from state.listing import Page, change_row, page_of
from state.names import ORGANIZATIONS
from state.port import Row, Tables

ALL = "organizations"  # one partition: hundreds of rows, read together by the timer


@dataclass(frozen=True, slots=True)
class Organization:
    """One protected tenant.

    `credential_sealed` and `restore_credential_sealed` are base64 of what the vault's key sealed,
    "" where none was given. `schedule` is a cron line, read in `time_zone` (IANA name).
    """

    id: str
    name: str
    tenant_id: str
    created: datetime
    vault_id: str = ""
    credential_sealed: str = ""
    restore_credential_sealed: str = ""
    active: bool = True
    schedule: str = ""
    time_zone: str = "UTC"
    next_run_at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Organizations:
    """All organizations of the installation."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def create(self, organization: Organization) -> None:
        """Raises RowExists when the id is taken."""
        self._tables.insert(ORGANIZATIONS, ALL, organization.id, to_columns(organization))

    def get(self, org: str) -> Organization | None:
        row = self._tables.get(ORGANIZATIONS, ALL, org)
        return _decode(row) if row else None

    def page(self, after: str = "", limit: int = 100) -> Page[Organization]:
        """One page by id."""
        rows = self._tables.query(ORGANIZATIONS, ALL, after=after, limit=limit)
        return page_of(rows, _decode)

    def all(self) -> Iterator[Organization]:
        for row in self._tables.scan(ORGANIZATIONS, ALL):
            yield _decode(row)

    def due(self, now: datetime) -> Iterator[Organization]:
        """Active organizations whose next run lies not in the future."""
        for organization in self.all():
            at = organization.next_run_at
            if organization.active and at is not None and at <= now:
                yield organization

    def change(self, org: str, change: Callable[[Organization], Organization]) -> Organization:
        """Read, change, write if unchanged, again when somebody was faster: listing.change_row."""
        return change_row(self._tables, ORGANIZATIONS, ALL, org, _decode, to_columns, change)

    def delete(self, org: str) -> None:
        self._tables.delete(ORGANIZATIONS, ALL, org)


def _decode(row: Row) -> Organization:
    return from_columns(Organization, row.values)
