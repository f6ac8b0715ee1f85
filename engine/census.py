"""A row for every service of everybody and every site: protected, or skipped with the reason.

Rule 1: nobody is left out silently: who is in the directory has a row for each service of the
        policy; who left keeps the rows that have restore points.
Rule 2: a row is of a resource, by its id. Somebody new with an old address starts anew, and the
        history of the one before stays what it was.
Rule 3: only rows that changed are written. When somebody was last seen is written once a week.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from engine import policies, selection
from engine.assembly import App, missing_rights
from engine.directory import PERMISSION_MISSING, Known
from engine.holdings import ASK, Holdings
from engine.resources import REFUSED
from engine.site_holdings import SiteHoldings
from engine.site_rows import LEFT, NOT_SELECTED, Entry, SiteRows
from m365 import SERVICES
from m365.connection import shows
from m365.directory import GROUPS, Group, Person
from m365.graph.client import GraphReader
from state.resources import GONE, PROTECTED, SKIPPED, ResourceRow

REPLACED = "replaced"  # the person has another one now
SEEN_AGAIN = timedelta(days=7)  # how old last_seen may be; and how long a refusal is believed
NONE = "none-"  # begins the Graph id in a row of somebody who has no such resource

_Owner = Person | Group


@dataclass(slots=True)
class Census:
    """All rows of an organization, which of them to write and which to remove."""

    rows: list[ResourceRow] = field(default_factory=list)
    changed: list[ResourceRow] = field(default_factory=list)
    surplus: list[ResourceRow] = field(default_factory=list)


def take(
    app: App, org: str, reader: GraphReader, known: Known, holdings: Holdings, sites: SiteHoldings
) -> Census:
    """Compares policy, directory and the rows of earlier runs; asks about those nobody knows.

    Raises Throttled and MoreToAsk; then nothing is written, and holdings and sites keep the
    answers.
    """
    counted = _Count(app, org, reader, known, holdings, sites)
    for service in counted.policy["services"]:
        counted.service(service)
    counted.rest()
    return counted.census


def write(app: App, org: str, census: Census) -> None:
    """Brings the rows up to date."""
    app.resources.put_many(census.changed)
    for row in census.surplus:
        app.resources.delete(org, row.service, row.resource)


def has_resource(row: ResourceRow) -> bool:
    """Whether the row is of a mailbox or drive, not of somebody who has none."""
    return not row.resource.startswith(f"{row.kind}:{NONE}")


class _Count:
    """The census while it is taken."""

    def __init__(
        self,
        app: App,
        org: str,
        reader: GraphReader,
        known: Known,
        holdings: Holdings,
        sites: SiteHoldings,
    ) -> None:
        self.census = Census()
        self.policy = policies.current(app, org)
        self._org, self._reader, self._known, self._holdings = org, reader, known, holdings
        self._sites = SiteRows(self.policy, reader, known, holdings, sites)
        self._now = app.clock.now()
        self._asked: set[tuple[str, str]] = set()
        self._before: dict[tuple[str, str], list[ResourceRow]] = defaultdict(list)
        for row in app.resources.all(org):
            self._before[row.service, str(row.facts.get("owner", ""))].append(row)
        self._people = selection.People(self.policy["selection"], known)
        drives = self.policy["drives"]
        self._drives = selection.People(drives, known) if drives else self._people
        teams = self.policy["teams"]
        self._teams = selection.Teams(teams) if teams else None

    def service(self, name: str) -> None:
        """The rows of one service for everybody who could have it."""
        service = SERVICES[name]
        kind = service.resource_kind
        missing = missing_rights(self._reader, service.reads)
        owners = self._owners(kind)
        chosen = {one.id: self._chosen(name, kind, one) for one in owners}
        if kind in ASK and (kind == "mailbox" or not missing):
            asked = [one for one in owners if chosen[one.id] is not None]
            people = [one for one in asked if isinstance(one, Person)]
            self._ask(kind, people)
            missing = self._still_missing(missing, people)
        for owner in owners:
            before = self._before.pop((name, owner.id), [])
            by = chosen[owner.id]
            facts: dict[str, Any] = {"owner": owner.id}
            if by:
                facts["by"] = by
            graph_id, reason = self._found(kind, owner)
            if by is None:
                reason = NOT_SELECTED
            elif missing:
                reason = PERMISSION_MISSING
                facts["permissions"] = list(missing)
            purpose = self._holdings.purpose(owner.id) if kind == "mailbox" else ""
            if purpose:
                facts["purpose"] = purpose
            self._settle(self._row(name, kind, owner, graph_id, reason, facts), before)
        if kind in ("drive", "site"):  # behind people, whose OneDrives are known by now
            self._of_sites(name, kind, missing_rights(self._reader, service.reads))

    def _of_sites(self, service: str, kind: str, missing: tuple[str, ...]) -> None:
        """The rows of one service for every site: one, or one for each of its libraries."""
        rows = self._before
        with_points = {
            owner
            for (name, owner), before in rows.items()
            if name == service and any(map(has_resource, before))
        }
        for owner, entries in self._sites.of(kind, missing, with_points):
            before = {one.resource: one for one in rows.pop((service, owner), [])}
            for entry in _spread(entries, before, kind):
                facts: dict[str, Any] = {"owner": owner, **entry.facts}
                row = self._entry_row(service, kind, owner, entry, facts)
                same = before.pop(row.resource, None)
                self._keep(_renewed(same, row) if same else row, same)
            for gone in before.values():
                if has_resource(gone):
                    self._keep(replace(gone, state=SKIPPED, reason=LEFT), gone)
                else:
                    self.census.surplus.append(gone)

    def rest(self) -> None:
        """Rows of earlier runs that nobody in the directory has now."""
        for (service, owner), rows in self._before.items():
            reason = LEFT if service in self.policy["services"] else NOT_SELECTED
            removed = self._known.removed.get(owner) or self._known.removed_sites.get(owner)
            for row in rows:
                if reason == LEFT and not has_resource(row):
                    self.census.surplus.append(row)
                    continue
                facts = dict(row.facts)
                if reason == LEFT and removed is not None:
                    facts["deleted"] = removed.removed
                self._keep(replace(row, state=SKIPPED, reason=reason, facts=facts), row)

    def _owners(self, kind: str) -> list[Person] | list[Group]:
        groups = self._known.groups.values()
        match kind:
            case "group":
                return [one for one in groups if one.unified]
            case "team":
                return [one for one in groups if one.team]
            case "site":
                return []
            case _:
                return list(self._known.people.values())

    def _chosen(self, service: str, kind: str, owner: _Owner) -> str | None:
        if isinstance(owner, Group) and kind == "team" and self._teams:
            return "" if self._teams.takes(owner) else None
        if isinstance(owner, Group):
            return self._people.group(owner)
        rows = self._before.get((service, owner.id), ())
        before = next((str(row.facts["by"]) for row in rows if row.facts.get("by")), "")
        return (self._drives if kind == "drive" else self._people).person(owner, before)

    def _ask(self, kind: str, people: list[Person]) -> None:
        """Asks about each person once, however many services the kind has."""
        people = [one for one in people if (kind, one.id) not in self._asked]
        self._asked.update((kind, one.id) for one in people)
        vanished: set[str] = set()
        services = [name for name, one in SERVICES.items() if one.resource_kind == kind]
        for person in people:
            rows = [row for name in services for row in self._before.get((name, person.id), ())]
            for row in rows:
                if row.state == GONE:
                    vanished.add(person.id)
                elif row.state == PROTECTED and row.head >= 0:
                    self._holdings.believe(kind, person.id, row.resource.partition(":")[2])
        self._holdings.ask(kind, people, vanished, self._known)
        if kind == "mailbox":
            self._holdings.ask_purposes(people)

    def _still_missing(self, missing: tuple[str, ...], people: list[Person]) -> tuple[str, ...]:
        """Without what Exchange has granted past the token, which shows where a mailbox is read."""
        there = [one.id for one in people if missing and self._found("mailbox", one)[0]]
        if not there:
            return missing
        return tuple(one for one in missing if not shows(self._reader, one, there))

    def _found(self, kind: str, owner: _Owner) -> tuple[str, str]:
        """Graph id and reason, one of them empty; both where nobody has asked."""
        if isinstance(owner, Group):
            return owner.id, ""
        found = self._holdings.found(kind, owner)
        if kind not in ASK:  # everybody is a user
            return ("", found.reason) if found else (owner.id, "")
        return (found.id, found.reason) if found else ("", "")

    def _row(
        self,
        service: str,
        kind: str,
        owner: _Owner,
        graph_id: str,
        reason: str,
        facts: Mapping[str, Any],
    ) -> ResourceRow:
        address = owner.mail
        if isinstance(owner, Person):
            address = address or owner.user_principal_name
        entry = Entry(graph_id, owner.display_name, address, reason)
        return self._entry_row(service, kind, owner.id, entry, facts)

    def _entry_row(
        self, service: str, kind: str, owner: str, entry: Entry, facts: Mapping[str, Any]
    ) -> ResourceRow:
        return ResourceRow(
            org=self._org,
            service=service,
            resource=f"{kind}:{entry.graph_id or NONE + (entry.key or owner)}",
            kind=kind,
            name=entry.name,
            address=entry.address,
            state=SKIPPED if entry.reason else PROTECTED,
            reason=entry.reason,
            last_seen=self._now,
            facts=facts,
        )

    def _settle(self, row: ResourceRow, before: list[ResourceRow]) -> None:
        """Puts the row beside, or in the place of, those that the owner had."""
        same = next((one for one in before if one.resource == row.resource), None)
        if same is None and not has_resource(row):
            same = max(filter(has_resource, before), key=lambda one: one.head, default=None)
        if same is not None:
            row = _renewed(same, row)
        self._keep(row, same)
        for other in before:
            if other is same:
                continue
            if has_resource(other):
                self._keep(replace(other, state=SKIPPED, reason=REPLACED), other)
            else:
                self.census.surplus.append(other)

    def _keep(self, row: ResourceRow, before: ResourceRow | None) -> None:
        if before is not None:
            row = _believing(row, before)
            seen = before.last_seen
            recent = seen is not None and (row.last_seen or seen) - seen < SEEN_AGAIN
            if recent and replace(row, last_seen=seen) == before:
                self.census.rows.append(before)
                return
        self.census.rows.append(row)
        self.census.changed.append(row)


def _spread(entries: list[Entry], before: Mapping[str, ResourceRow], kind: str) -> Iterator[Entry]:
    """The entries of a site; one that stands for the site as a whole is said of everything that has
    rows already.
    """
    held = [row for row in before.values() if has_resource(row)]
    for entry in entries:
        if entry.graph_id or entry.key or not held:
            yield entry
            continue
        for row in held:
            graph_id = row.resource.removeprefix(f"{kind}:")
            yield replace(entry, graph_id=graph_id, name=row.name, address=row.address)


def _renewed(same: ResourceRow, row: ResourceRow) -> ResourceRow:
    """A row with what is known now."""
    return replace(
        same,
        name=row.name,
        address=row.address,
        state=row.state,
        reason=row.reason,
        last_seen=row.last_seen,
        facts=row.facts,
    )


def _believing(row: ResourceRow, before: ResourceRow) -> ResourceRow:
    """A tenant that refused a service is not asked again every night."""
    if before.reason != REFUSED or row.state != PROTECTED or before.last_seen is None:
        return row
    if row.last_seen is None or row.last_seen - before.last_seen >= SEEN_AGAIN:
        return row
    return replace(row, state=before.state, reason=before.reason, last_seen=before.last_seen)


def lost_groups(policy: Mapping[str, Any], known: Known) -> Iterator[str]:
    """What of a policy's groups cannot be followed now: a code for the run's record."""
    for name in ("selection", "drives"):
        chosen = policy[name]
        if not chosen:
            continue
        people = selection.People(chosen, known)
        if people.needs_groups and GROUPS.name in known.unread:
            yield known.unread[GROUPS.name]
        elif people.needs_groups and people.lost_groups:
            yield "selection-unknown"
