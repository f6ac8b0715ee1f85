"""Which resources and services a run covers, from policy and directory, and the work list that says
so.

The directory is kept by delta (engine/directory.py), who has what is remembered
(engine/holdings.py), and the census compares both with the policy (engine/census.py): a quiet night
costs a request per feed of the directory and writes no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from base import log
from base.errors import Problem, Throttled
from base.messages import PLANNING, BackupRun, Drain, Planned, Shard
from engine import census, directory, patience, policies, reconcile, runs, throttling
from engine.assembly import App
from engine.holdings import GUEST, NO_LICENCE, NOT_PROVISIONED, Holdings, MoreToAsk
from engine.resources import REFUSED
from engine.site_holdings import ANOTHER_TENANT, SiteHoldings
from engine.site_rows import LEFT, NOT_SELECTED, SITES_UNTOLD
from m365 import SERVICES
from m365.archive import NO_ARCHIVE
from m365.graph.errors import TransientFailure
from m365.holdings import FORBIDDEN, LOCKED, NO_DRIVE, NO_MAILBOX
from m365.site_holdings import ARCHIVED
from state.progress import Progress
from state.resources import PROTECTED, ResourceRow
from state.runs import Run

SHARD_RESOURCES = 50
SHARDS_PER_LANE = 4  # so that one large mailbox does not hold up a lane at the end
_NOT_OFFERED = "mailbox-export-not-offered"  # why a tenant has no archives that can be read
# Reasons that are as they are; any other is a fault of this run and shows in its colour.
_SETTLED = frozenset(
    (
        "", NO_MAILBOX, NO_DRIVE, NO_ARCHIVE, NO_LICENCE, NOT_PROVISIONED, GUEST, LOCKED, FORBIDDEN,
        REFUSED, ARCHIVED, ANOTHER_TENANT, SITES_UNTOLD, _NOT_OFFERED, NOT_SELECTED, LEFT,
        census.REPLACED,
    )
)  # fmt: skip


_Works = list[dict[str, Any]]  # what becomes Drains


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
        rows = _covered(app, org, run)
        covered = [row for row in rows if row.state == PROTECTED]
        lanes, now = request.steps_at_once, app.clock.now()
        due = {_chain(row) for row in covered if reconcile.is_due(row, now)}
        shards = list(_shards(covered, due, lanes))
        shards += _follow_ups(shards, _to_follow_up(app, org, covered), lanes)
        app.work.put(org, run, shards)
        count = sum(len(shard) for shard in shards)
        app.runs.change(org, run, lambda one: _planned(one, count))
        return Planned("planned", shards=len(shards), resources=len(covered))
    except MoreToAsk as more:
        return Planned("throttled", code=PLANNING, retry_after_s=more.retry_after_s)
    except TransientFailure as problem:
        return Planned("throttled", code=problem.code, retry_after_s=patience.WAIT_S)
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
            follow_up=bool(one.get("follow_up")),
            recount=bool(one.get("recount")),
        )
        for one in (found.resources if found else ())
    ]


def _to_follow_up(app: App, org: str, rows: list[ResourceRow]) -> set[str]:
    """Those with items of which parts are to follow, or that may have some once this run has read
    them.
    """
    protection = policies.current(app, org)["protection"]
    if protection == policies.FAST:
        return set()
    fresh = protection == policies.PROGRESSIVE
    able = [row for row in rows if SERVICES[row.service].follows]
    return {_chain(row) for row in able if row.waiting or (fresh and row.head < 1)}


def _follow_ups(shards: list[_Works], chains: set[str], lanes: int) -> list[_Works]:
    """For every shard one more with a second step for those of which parts are to follow.

    A lane takes every `lanes`-th shard. Behind as many empty ones as complete the last turn, each
    lane meets the follow-ups of its own shards once it is through with them, never before.
    """
    found = [
        [{**work, "recount": False, "follow_up": True} for work in shard if _named(work) in chains]
        for shard in shards
    ]
    return [*([] for _ in range(-len(shards) % lanes)), *found] if any(found) else []


def _covered(app: App, org: str, run: str) -> list[ResourceRow]:
    """Rows for every service of everybody, brought up to date and written down. What keeps the run
    from protecting somebody it should is noted in its progress.
    """
    ends = app.clock.monotonic() + app.settings.step_seconds
    reader = app.reader(org)
    throttling.learn_licences(app, org, reader)
    known = directory.refresh(app, org, reader)
    under_way = app.runs.get(org, run)
    began = under_way.started if under_way else None
    holdings = Holdings(app, org, reader, ends, began)
    sites = SiteHoldings(app, org, reader, ends, began)
    try:
        counted = census.take(app, org, reader, known, holdings, sites)
    except Throttled as wait:
        if holdings.answers or sites.answers:
            raise MoreToAsk(wait.retry_after_s) from wait
        raise
    finally:
        holdings.save(known)
        sites.save()
    census.write(app, org, counted)
    for code in sorted(sites.untold):
        app.progress.put(Progress(org, run, f"sites: {code}", "failed", code))
    for service, reason in sorted({(row.service, row.reason) for row in counted.rows}):
        if reason not in _SETTLED:
            app.progress.put(Progress(org, run, f"{service}: {reason}", "failed", reason))
    policy = policies.current(app, org)
    for code in sorted(set(census.lost_groups(policy, known))):
        app.progress.put(Progress(org, run, f"groups: {code}", "failed", code))
    return counted.rows


def _shards(rows: list[ResourceRow], recount: set[str], lanes: int) -> Iterator[_Works]:
    """Shards of at most 50 resources, several for each lane where there is work for them.

    The services of one person stay in one shard, and so take turns: they share a mailbox's slots.
    """
    size = min(SHARD_RESOURCES, max(1, -(-len(rows) // (SHARDS_PER_LANE * lanes))))
    ordered = sorted(rows, key=lambda row: (_owner(row), row.service))
    shard: _Works = []
    for _, group in groupby(ordered, key=_owner):
        works = [
            {
                "service": row.service,
                "resource": row.resource,
                "snapshot": max(row.head, 0) + 1,
                "recount": _chain(row) in recount,
            }
            for row in group
        ]
        if shard and len(shard) + len(works) > size:
            yield shard
            shard = []
        shard += works
    if shard:
        yield shard


def _owner(row: ResourceRow) -> str:
    return str(row.facts.get("owner"))


def _chain(row: ResourceRow) -> str:
    return f"{row.service}/{row.resource}"


def _named(work: Mapping[str, Any]) -> str:
    return f"{work['service']}/{work['resource']}"
