"""Which resources and services a run covers, from policy and directory, and the work list that says
so.

Everybody in the directory is either protected or skipped with a reason: nothing is left out
silently. Who has a mailbox or a drive is asked of those that no earlier run found one for; what
vanishes is noticed by its own step, so a quiet night costs the directory a handful of requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from base import log
from base.errors import Problem, Throttled
from base.messages import BackupRun, Drain, Planned, Shard
from engine import patience, policies, runs
from engine.assembly import App, missing_rights
from m365 import SERVICES
from m365.directory import FORBIDDEN, LOCKED, NO_DRIVE, NO_MAILBOX, Directory, Person
from state.progress import Progress
from state.resources import PROTECTED, SKIPPED, ResourceRow
from state.runs import Run

SHARD_RESOURCES = 50
SHARDS_PER_LANE = 4  # so that one large mailbox does not hold up a lane at the end
NOT_SELECTED = "not-selected"
LEFT = "left-the-directory"
PERMISSION_MISSING = "permission-missing"
_NONE = "none-"  # begins the Graph id in a row of somebody who has no such resource
# Reasons that are as they are; any other is a fault of this run and shows in its colour.
_SETTLED = frozenset(("", NO_MAILBOX, NO_DRIVE, LOCKED, FORBIDDEN, NOT_SELECTED, LEFT))


def plan_backup(app: App, request: BackupRun) -> Planned:
    """Writes the work list of a run; answers how many shards it has."""
    org, run = request.org, request.run
    try:
        if not runs.keeps_lease(app, org, run):
            raise runs.AlreadyRunning("Another backup of this organization holds the lease.")
        if runs.is_cancelled(app, org, run):
            return Planned("failed", code="cancelled")
        runs.started(app, org, run)
        app.vault(org).keys.insist_on_recovery()
        rows = _covered(app, org)
        app.resources.put_many(rows)
        for service, reason in sorted({(row.service, row.reason) for row in rows}):
            if reason not in _SETTLED:
                app.progress.put(Progress(org, run, f"{service}: {reason}", "failed", reason))
        covered = [row for row in rows if row.state == PROTECTED]
        lanes = request.steps_at_once
        shards = list(_shards(covered, lanes))
        # Behind everybody's first protection: a step per resource of which parts are to follow.
        shards += _shards(_to_follow_up(app, org, covered), lanes, follow_up=True)
        app.work.put(org, run, shards)
        count = len(covered)
        app.runs.change(org, run, lambda one: _planned(one, count))
        return Planned("planned", shards=len(shards), resources=count)
    except Throttled as wait:
        return Planned("throttled", code=wait.code, retry_after_s=wait.retry_after_s)
    except Problem as problem:
        if patience.passes(problem):
            return Planned("throttled", code=problem.code, retry_after_s=patience.WAIT_S)
        log.event("plan-failed", org=org, run=run, code=problem.code)
        return Planned("failed", code=problem.code)


def _planned(run: Run, count: int) -> Run:
    return replace(run, detail={**run.detail, "planned": count})


def shard_resources(app: App, shard: Shard) -> list[Drain]:
    """The resources of one shard of a run's work list."""
    found = app.work.get(shard.org, shard.run, shard.shard)
    return [
        Drain(
            shard.org,
            shard.run,
            one["service"],
            one["resource"],
            one["snapshot"],
            bool(one.get("follow_up")),
        )
        for one in (found.resources if found else ())
    ]


def _to_follow_up(app: App, org: str, rows: list[ResourceRow]) -> list[ResourceRow]:
    """Those with items of which parts are to follow, or that may have some once this run has read
    them.
    """
    protection = policies.current(app, org)["protection"]
    if protection == policies.FAST:
        return []
    fresh = protection == policies.PROGRESSIVE
    able = [row for row in rows if SERVICES[row.service].follows]
    return [row for row in able if row.waiting or (fresh and row.head < 1)]


def _covered(app: App, org: str) -> list[ResourceRow]:
    """A row for every service of everybody, protected or skipped with the reason."""
    policy = policies.current(app, org)
    now = app.clock.now()
    before = list(app.resources.all(org))
    known = {_key(row): row for row in sorted(before, key=_has_resource)}
    reader = app.reader(org)
    people = list(Directory(reader).users())
    rows: list[ResourceRow] = []
    for service in policy["services"]:
        missing = missing_rights(reader, SERVICES[service].reads)
        chosen = [one for one in people if _selected(policy["selection"], one)]
        finder = _Finder(Directory(reader), service, known)
        found = {} if missing else finder.of_all(chosen)
        reasons = {one.id: PERMISSION_MISSING for one in chosen} if missing else {}
        for person in people:
            resource, reason = found.get(person.id) or (
                finder.known(person),
                reasons.get(person.id, NOT_SELECTED),
            )
            facts = {"permissions": list(missing)} if reason == PERMISSION_MISSING else {}
            row = _row(org, service, person, resource, reason, facts)
            rows.append(replace(_kept(row, known.get((service, person.id))), last_seen=now))
    seen = {(row.service, row.resource) for row in rows}
    present = {_key(row) for row in rows}
    for row in before:
        if (row.service, row.resource) in seen:
            continue
        if _key(row) in present and not _has_resource(row):
            app.resources.delete(org, row.service, row.resource)  # its person has one by now
            continue
        reason = LEFT if row.service in policy["services"] else NOT_SELECTED
        rows.append(replace(row, state=SKIPPED, reason=reason))
    return rows


def _key(row: ResourceRow) -> tuple[str, str]:
    return row.service, str(row.facts.get("owner", ""))


def _has_resource(row: ResourceRow) -> bool:
    """Whether the row is of a mailbox or drive, not of somebody who has none."""
    return not row.resource.startswith(f"{row.kind}:{_NONE}")


class _Finder:
    """Finds the mailbox or drive of each person, asking only where no earlier run found one."""

    def __init__(
        self,
        directory: Directory,
        service: str,
        known: Mapping[tuple[str, str], ResourceRow],
    ) -> None:
        self._directory = directory
        self._service = service
        self._kind = SERVICES[service].resource_kind
        self._known = known

    def of_all(self, people: list[Person]) -> dict[str, tuple[str, str]]:
        """By person: resource id ("" without one) and the reason why there is none."""
        asked = [one.id for one in people if not self._is_sure(one)]
        ask = self._directory.mailboxes_of if self._kind == "mailbox" else self._directory.drives_of
        answers = ask(asked)
        found = {one.id: (self.known(one), "") for one in people if self._is_sure(one)}
        for person, answer in answers.items():
            found[person] = (f"{self._kind}:{answer.id}" if answer.id else "", answer.reason)
        return found

    def known(self, person: Person) -> str:
        """The resource an earlier run found, "" if none did."""
        row = self._known.get((self._service, person.id))
        return row.resource if row and _has_resource(row) else ""

    def _is_sure(self, person: Person) -> bool:
        row = self._known.get((self._service, person.id))
        return row is not None and row.state == PROTECTED and row.head >= 0


def _selected(selection: Mapping[str, Any], person: Person) -> bool:
    named = {str(one).casefold() for one in selection.get("users", ())}
    names = {person.id.casefold(), person.mail.casefold(), person.user_principal_name.casefold()}
    hit = bool(named & (names - {""}))
    match selection.get("mode", "all"):
        case "include":
            return hit
        case "exclude":
            return not hit
        case _:
            return True


def _row(
    org: str,
    service: str,
    person: Person,
    resource: str,
    reason: str,
    facts: Mapping[str, Any],
) -> ResourceRow:
    kind = SERVICES[service].resource_kind
    return ResourceRow(
        org=org,
        service=service,
        resource=resource or f"{kind}:{_NONE}{person.id}",
        kind=kind,
        name=person.display_name or person.user_principal_name,
        address=person.mail or person.user_principal_name,
        state=SKIPPED if reason else PROTECTED,
        reason=reason,
        facts={"owner": person.id, **facts},
    )


def _kept(row: ResourceRow, before: ResourceRow | None) -> ResourceRow:
    """A fresh row with what earlier runs wrote down about the same resource."""
    if before is None or before.resource != row.resource:
        return row
    return replace(
        before,
        name=row.name,
        address=row.address,
        state=row.state,
        reason=row.reason,
        facts=row.facts,
    )


def _shards(
    rows: list[ResourceRow], lanes: int, *, follow_up: bool = False
) -> Iterator[list[dict[str, Any]]]:
    """Shards of at most 50 resources, several for each lane where there is work for them.

    The services of one person stay in one shard, and so take turns: they share a mailbox's slots.
    """
    size = min(SHARD_RESOURCES, max(1, -(-len(rows) // (SHARDS_PER_LANE * lanes))))
    ordered = sorted(rows, key=lambda row: (str(row.facts.get("owner")), row.service))
    shard: list[dict[str, Any]] = []
    for _, group in groupby(ordered, key=lambda row: str(row.facts.get("owner"))):
        works = [
            {
                "service": row.service,
                "resource": row.resource,
                "snapshot": max(row.head, 0) + 1,
                **({"follow_up": True} if follow_up else {}),
            }
            for row in group
        ]
        if shard and len(shard) + len(works) > size:
            yield shard
            shard = []
        shard += works
    if shard:
        yield shard
