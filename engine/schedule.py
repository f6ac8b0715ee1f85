"""Which organizations are due: asked by a timer every few minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from base import log
from base.errors import Problem
from base.messages import BackupRun
from engine import policies, runs
from engine.assembly import App
from state.organizations import Organization

_ACTOR = "schedule"


def due_backups(app: App) -> list[BackupRun]:
    """The backups to start now: those whose time has come, and queued ones that nobody started.

    The id of a scheduled run follows from its time, and starting a story twice is harmless: two
    timers that fire at once, or one that dies half-way, make one run. A missed time is caught up
    once.
    """
    for record in list(app.organizations.due(app.clock.now())):
        try:
            _queue(app, record)
        except Problem as problem:  # one organization never holds up the others
            log.event("scheduled-backup-skipped", org=record.id, code=problem.code)
    waiting = []
    for record in app.organizations.all():
        run = runs.queued_backup(app, record.id) if record.active else None
        if run is not None:
            waiting.append(run)
    return waiting


def _queue(app: App, record: Organization) -> None:
    due = record.next_run_at
    assert due is not None, "due() lists organizations with a time only"
    try:
        runs.request_backup(app, record.id, _ACTOR, due=due)
    except runs.AlreadyRunning:
        log.event("scheduled-backup-skipped", org=record.id, code=runs.AlreadyRunning.code)
    app.organizations.change(record.id, lambda one: _moved_on(app, one, due))


def _moved_on(app: App, record: Organization, due: datetime) -> Organization:
    if record.next_run_at != due or not record.schedule:
        return record
    following = policies.next_start(record.schedule, record.time_zone, app.clock.now())
    return replace(record, next_run_at=following)
