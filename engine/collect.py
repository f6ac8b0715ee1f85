"""Retention and collection of an organization's vault: what expires by its policy, and what nothing
needs any more.

A collection is a run of slices; the vault's own log says how far its cycle has come, so a slice may
run twice, beside another, or die at any line. The cycle of another run is brought to its end first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from zoneinfo import ZoneInfo

from base.clock import parse_iso
from base.errors import Problem
from base.ids import new_run_id
from base.messages import Message
from engine import policies, runs
from engine.assembly import App
from engine.runs import Requested
from state.runs import Run
from vault import Repository
from vault.collect import Asked, Report
from vault.retention import Point, Verdict, plan

KIND = "collect"
_BILLED_DAYS = {"Cool": 30, "Cold": 90}  # for so long at least, whatever becomes of a pack


@dataclass(frozen=True, slots=True)
class CollectRun(Message):
    """Starts the story of one collection, and asks each of its slices."""

    org: str
    run: str
    dry_run: bool = False
    confirmed: bool = False


def request_collection(
    app: App, org: str, by: str, dry_run: bool = False, confirmed: bool = False
) -> Requested:
    """Writes a collection down. `dry_run`: only says what it would do; `confirmed`: it may delete
    more than the usual share at once.
    """
    app.organization(org)
    now = app.clock.now()
    run = new_run_id(KIND, now)
    asked = {"dry_run": dry_run, "confirmed": confirmed}
    app.runs.create(Run(org, run, KIND, "queued", now, by, parameters=asked))
    app.audit.append(org, by, "collection-started", run, asked)
    return Requested(run, CollectRun(org, run, dry_run, confirmed))


def collect_slice(app: App, request: CollectRun) -> dict[str, Any]:
    """Does the next slice. Answers {"state": more|done|failed|cancelled, "code"}."""
    org, run = request.org, request.run
    try:
        if runs.is_cancelled(app, org, run):
            return {"state": "cancelled", "code": ""}
        runs.started(app, org, run)
        runs.heartbeat(app, org, run)
        vault = app.vault(org)
        collector = vault.collector()
        history = collector.history()
        ours = bool(history.records) and history.begin.body["by"] == run
        if not history.open and ours:
            report = collector.report(history)
            assert report is not None, "a cycle that is not open has its report"
            return _end(app, request, report)
        if not history.open:
            days = _BILLED_DAYS.get(app.settings.pack_tier or "", 7)
            asked = Asked(request.dry_run, request.confirmed, by=run, compact_after_days=days)
            collector.begin(list(_expiring(app, org, vault)), asked)
        ends = app.clock.monotonic() + app.settings.step_seconds
        collector.slice(lambda: app.clock.monotonic() < ends)
        return {"state": "more", "code": ""}
    except Problem as problem:
        runs.close(app, org, run, "red", code=problem.code)
        return {"state": "failed", "code": problem.code}


def report(app: App, org: str, run: str) -> dict[str, Any] | None:
    """What a collection did or would do; None while it runs."""
    stored: dict[str, Any] | None = app.vault(org).get_record(f"collect/{run}/report")
    return stored


def retention(app: App, org: str, chain: str) -> list[dict[str, Any]]:
    """Every restore point of a chain with the reasons why the policy keeps it; without any, it
    expires with the next collection.
    """
    return [asdict(verdict) for verdict in _Planner(app, org).verdicts(chain)]


class _Planner:
    """Applies the policy's retention to the restore points of chains."""

    def __init__(self, app: App, org: str) -> None:
        self._vault = app.vault(org)
        self.rules = policies.retention(app, org)
        self._zone = ZoneInfo(app.organization(org).time_zone)
        self._now = app.clock.now()
        self._held = set(_in_use(app, org))

    def verdicts(self, chain: str) -> list[Verdict]:
        points = [
            Point(
                info.number,
                parse_iso(info.created),
                info.status == "ok",
                "a run reads it" if (chain, info.number) in self._held else "",
            )
            for info in self._vault.snapshots(chain)
            if info.created  # a damaged one is for a repair to give up
        ]
        return plan(points, self.rules, self._now, self._zone)


def _expiring(app: App, org: str, vault: Repository) -> Iterator[tuple[str, int]]:
    planner = _Planner(app, org)
    if planner.rules.keeps_everything:
        return
    for chain in vault.chains():
        for verdict in planner.verdicts(chain):
            if not verdict.kept:
                yield chain, verdict.number


def _in_use(app: App, org: str) -> Iterator[tuple[str, int]]:
    """Restore points that a restore or an export under way reads."""
    for run in app.runs.page(org, limit=200).items:
        wanted = run.parameters
        if run.kind in ("restore", "export") and not run.over and wanted.get("snapshot"):
            yield f"{wanted.get('service')}/{wanted.get('resource')}", int(wanted["snapshot"])


def _end(app: App, request: CollectRun, found: Report) -> dict[str, Any]:
    app.vault(request.org).put_record(f"collect/{request.run}/report", asdict(found))
    counts = {
        "snapshots_expired": found.snapshots_expired,
        "packs_deleted": found.packs.get("deleted", 0),
        "bytes_deleted": found.bytes.get("deleted", 0),
        "packs_condemned": found.packs.get("condemned", 0),
        "packs_compacted": found.packs_compacted,
        "damage": len(found.damage),
    }
    state = "amber" if found.damage or found.packs.get("unreadable") else "green"
    runs.close(app, request.org, request.run, state, counts=counts)
    return {"state": "done", "code": ""}
