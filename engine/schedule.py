"""Which organizations are due: asked by a timer every few minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from base import log
from base.errors import Problem
from base.messages import BackupRun, Message
from engine import collect, policies, runs, upkeep
from engine.assembly import App
from state.organizations import Organization

_ACTOR = "schedule"
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_SHARE = 0.07  # of the packs, each week


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


def due_upkeep(app: App) -> Iterator[tuple[str, Message]]:
    """Stories of collections and verifications whose turn has come, written down already.

    Collections run daily where restore points expire, else weekly; verifications weekly, each with
    the next seven hundredths of the packs.
    """
    for record in upkeep.living(app):
        try:
            yield from _due_upkeep(app, record)
        except Problem as problem:  # one organization never holds up the others
            log.event("scheduled-upkeep-skipped", org=record.id, code=problem.code)


def _due_upkeep(app: App, record: Organization) -> Iterator[tuple[str, Message]]:
    if not record.active:
        return
    expires = not policies.retention(app, record.id).keeps_everything
    every = {"collect": _DAY if expires else _WEEK, "verify": _WEEK}
    now = app.clock.now()
    last = _last_asked(app, record, set(every), since=now - _WEEK)
    due = [kind for kind, pause in every.items() if last.get(kind, record.created) <= now - pause]
    if "collect" in due:
        yield "collect_vault", collect.request_collection(app, record.id, _ACTOR).message
    if "verify" in due:
        asked = runs.request_verification(app, record.id, _ACTOR, read_data=False, share=_SHARE)
        yield "verify_vault", asked.message


def _last_asked(
    app: App, record: Organization, kinds: set[str], since: datetime
) -> dict[str, datetime]:
    """When a run of each kind was last asked for, looking back to `since`; one that only says what
    it would do does not count.
    """
    found: dict[str, datetime] = {}
    after = ""
    while True:
        page = app.runs.page(record.id, after=after)  # newest first, backups among them
        for run in page.items:
            if run.requested <= since or found.keys() == kinds:
                return found
            if run.kind in kinds and not run.parameters.get("dry_run"):
                found.setdefault(run.kind, run.requested)
        if not page.after:
            return found
        after = page.after


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
