"""What the timer tidies: runs that nobody works on any more, and archives whose time is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from base import log
from base.errors import Problem
from base.messages import ExportRun, Message, RestoreRun
from engine import runs
from engine.assembly import SHREDDED, App
from engine.collect import CollectRun
from engine.rebuild import RebuildRun
from state.organizations import Organization
from state.runs import Run

STALLED_AFTER = timedelta(hours=6)  # without a heartbeat; the longest pause of a step is one hour
EXPORTS_LIVE = timedelta(days=7)
STALLED = "stalled"
FORGOTTEN_AFTER = timedelta(minutes=2)
_STORIES: dict[str, tuple[str, Callable[[Run], Message]]] = {
    "restore": ("restore_items", lambda run: RestoreRun(run.org, run.id)),
    "export": ("export_items", lambda run: ExportRun(run.org, run.id)),
    "rebuild": ("rebuild_records", lambda run: RebuildRun(run.org, run.id)),
    "collect": ("collect_vault", lambda run: CollectRun(run.org, run.id, **run.parameters)),
    "verify": ("verify_vault", lambda run: runs.VerifyRun(run.org, run.id, **run.parameters)),
}
_RUNS_LOOKED_AT = 50  # the newest of each organization


def tend(app: App) -> None:
    """Ends stalled runs as red and removes expired archives, organization by organization."""
    for organization in living(app):
        for run in app.runs.page(organization.id, limit=_RUNS_LOOKED_AT).items:
            try:
                _tend(app, run)
            except Problem as problem:  # one run never holds up the others
                log.event("upkeep-failed", org=run.org, run=run.id, code=problem.code)


def forgotten(app: App) -> list[tuple[str, Message]]:
    """Stories of restores, exports and verifications that were written down and never started.

    Their process died between the two. Starting a story twice is harmless.
    """
    found: list[tuple[str, Message]] = []
    for organization in living(app):
        for run in app.runs.page(organization.id, limit=_RUNS_LOOKED_AT).items:
            waiting = app.clock.now() - run.requested > FORGOTTEN_AFTER
            if run.state == "queued" and run.kind in _STORIES and waiting:
                story, message = _STORIES[run.kind]
                found.append((story, message(run)))
    return found


def living(app: App) -> Iterator[Organization]:
    """Organizations whose runs can be read; those of a shredded one never again."""
    return (record for record in app.organizations.all() if SHREDDED not in record.facts)


def _tend(app: App, run: Run) -> None:
    now = app.clock.now()
    alive = run.heartbeat or run.started or run.requested
    if run.state == "running" and now - alive > STALLED_AFTER:
        log.event("run-stalled", org=run.org, run=run.id)
        runs.close(app, run.org, run.id, "red", code=STALLED)
    expired = run.kind == "export" and run.ended and now - run.ended > EXPORTS_LIVE
    if expired and not run.detail.get("expired"):
        app.vault(run.org).drop_sealed(f"export/{run.id}/part")
        detail = {**run.detail, "expired": True}
        app.runs.change(run.org, run.id, lambda one: replace(one, detail=detail))
