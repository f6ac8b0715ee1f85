"""Resources: what of an organization is protected or skipped, and how far its backups have come.

A cache for lists and pages: the vault's snapshots are the truth, and these rows are built from
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from state.columns import Plain, Sealing, from_columns, sealed, to_columns
from state.listing import Page, change_row, page_of
from state.names import RESOURCES
from state.port import Row, Tables, Value

PROTECTED, SKIPPED, GONE = "protected", "skipped", "gone"


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One service of one resource. `head` is the number of the newest snapshot, -1 without one."""

    org: str
    service: str  # "mail"
    resource: str  # "mailbox:6e7b…"
    kind: str = ""  # "mailbox"; with whose: "user", "group", "site" in facts
    name: str = sealed("")  # for people
    address: str = sealed("")
    state: str = PROTECTED  # PROTECTED, SKIPPED, GONE
    reason: str = ""  # code of why it is skipped or gone
    last_run: str = ""
    last_outcome: str = ""  # done, unchanged, failed, gone, …
    last_code: str = ""
    last_seen: datetime | None = None  # when the directory last listed it
    head: int = -1
    head_sha256: str = ""  # of the snapshot as it is stored: a roll-back of the storage shows
    head_at: datetime | None = None
    first_at: datetime | None = None  # of its first restore point, as far as anybody remembers
    items: int = 0
    top_folders: int = 0  # where they are things of their own: lists, channels, plans
    waiting: int = 0  # items of which parts are still to follow, about
    reconciled_at: datetime | None = None  # when live counts were last compared with stored ones
    drift: Mapping[str, int] = field(default_factory=dict)  # live minus stored that a sweep left
    sweep: tuple[str, ...] = ()  # feeds to be read from nothing, because counts differ
    verified_at: datetime | None = None
    cursor_stored_at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Resources:
    """The resources of all organizations."""

    def __init__(self, tables: Tables, sealing: Sealing | None = None) -> None:
        self._tables = tables
        self._sealing = sealing or Plain()

    def get(self, org: str, service: str, resource: str) -> ResourceRow | None:
        row = self._tables.get(RESOURCES, org, _key(service, resource))
        return self._decode(row) if row else None

    def page(
        self, org: str, *, service: str = "", after: str = "", limit: int = 100
    ) -> Page[ResourceRow]:
        """One page, by service and resource id; of one service only when it is named."""
        first, last = _span(service)
        rows = self._tables.query(RESOURCES, org, first=first, last=last, after=after, limit=limit)
        return page_of(rows, self._decode)

    def all(self, org: str, service: str = "") -> Iterator[ResourceRow]:
        first, last = _span(service)
        for row in self._tables.scan(RESOURCES, org, first=first, last=last):
            yield self._decode(row)

    def create(self, row: ResourceRow) -> None:
        """Raises RowExists when there is such a row."""
        key = _key(row.service, row.resource)
        self._tables.insert(RESOURCES, row.org, key, self._encode(row))

    def put_many(self, rows: Iterable[ResourceRow]) -> None:
        """Writes rows, overwriting; for planning."""
        ordered = sorted(rows, key=attrgetter("org"))
        for org, some in groupby(ordered, key=attrgetter("org")):
            self._tables.upsert_many(
                RESOURCES,
                org,
                {_key(one.service, one.resource): self._encode(one) for one in some},
            )

    def change(
        self, org: str, service: str, resource: str, change: Callable[[ResourceRow], ResourceRow]
    ) -> ResourceRow:
        """Read, change, write if unchanged, again when somebody was faster: listing.change_row."""
        key = _key(service, resource)
        return change_row(self._tables, RESOURCES, org, key, self._decode, self._encode, change)

    def delete(self, org: str, service: str, resource: str) -> None:
        """Removes a row; for one that stood for nothing, never for one with restore points."""
        self._tables.delete(RESOURCES, org, _key(service, resource))

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(RESOURCES, org)

    def _encode(self, one: ResourceRow) -> dict[str, Value]:
        return to_columns(one, lambda text: self._sealing.seal(one.org, text))

    def _decode(self, row: Row) -> ResourceRow:
        return from_columns(
            ResourceRow, row.values, lambda text: self._sealing.open(row.partition, text)
        )


def _key(service: str, resource: str) -> str:
    return f"{service}/{resource}"


def _span(service: str) -> tuple[str, str]:
    """First and last key of a service; "0" is the character behind "/"."""
    return (f"{service}/", f"{service}0") if service else ("", "")
