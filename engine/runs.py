"""The record of every run: requested, started, progress, cancelled, ended; and green, amber or red
by rule.

Rule 1: at most one backup of an organization at a time: its lease is taken when the run is
        requested, renewed by every step, and given up when the run is closed.
Rule 2: a run is green when everything it covers was copied, or left out for a documented cause that
        the ledger names (malware, say); amber when items or resources failed but the rest was
        copied; red when nothing was, or the run itself broke.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from base.errors import Conflict, NotFound
from base.ids import new_run_id, scheduled_run_id
from base.messages import (
    BackupEnded,
    BackupRun,
    ExportRun,
    Message,
    RestoreRun,
    RunClosed,
)
from engine import throttling, undo
from engine.assembly import App
from engine.restore_plan import RestorePlan, RestoreRequest, settled
from state.port import RowExists
from state.progress import Progress
from state.runs import Run

LEASE = "backup"
LEASE_LASTS = timedelta(hours=2)  # longer than any pause a step may be told to make
_WRITTEN = ("created", "replaced", "copied", "folder", "removed")
_PULSE_S = 20.0
_WRITTEN_WITHIN = timedelta(minutes=1)  # a run is written down right behind its lease


class AlreadyRunning(Conflict):
    """A backup of the organization is under way."""

    code = "backup-running"
    hint = "Watch the run that is under way, or cancel it."


class RunMissing(NotFound):
    """No such run."""

    code = "run-missing"


@dataclass(frozen=True, slots=True)
class Requested:
    """A run that was written down, and the message that starts its story."""

    id: str
    message: Message


# --- Requesting ---


def request_backup(app: App, org: str, by: str, due: datetime | None = None) -> Requested:
    """Writes a backup down and takes the organization's lease. With `due` the id follows from that
    time.
    """
    app.organization(org)
    now = app.clock.now()
    if due is None:
        app.vault(org).keys.insist_on_recovery()  # a scheduled run says so when it is planned
        run = new_run_id("backup", now)
    else:
        run = scheduled_run_id("backup", due, hashlib.sha256(org.encode()).hexdigest()[:6])
    _free_abandoned(app, org, now)
    if app.leases.acquire(org, LEASE, run, now, LEASE_LASTS) is None:
        raise AlreadyRunning("A backup of this organization is under way.")
    with suppress(RowExists):  # another timer wrote this scheduled run down
        app.runs.create(Run(org, run, "backup", "queued", now, by))
    return Requested(run, _backup_message(app, org, run))


def _free_abandoned(app: App, org: str, now: datetime) -> None:
    """Gives up the lease of a run that is over, or that died before it was written down."""
    lease = app.leases.current(org, LEASE)
    if lease is None:
        return
    run = app.runs.get(org, lease.holder)
    taken_at = lease.expires - LEASE_LASTS
    if run.over if run is not None else now - taken_at > _WRITTEN_WITHIN:
        app.leases.release(org, LEASE, lease.holder)


def queued_backup(app: App, org: str) -> BackupRun | None:
    """The organization's newest backup, if nothing has started it yet."""
    for run in app.runs.page(org, limit=10).items:
        if run.kind == "backup":
            return _backup_message(app, org, run.id) if run.state == "queued" else None
    return None


def _backup_message(app: App, org: str, run: str) -> BackupRun:
    return BackupRun(org, run, app.settings.steps_at_once)


def request_restore(
    app: App, org: str, by: str, wanted: RestoreRequest, plan: RestorePlan
) -> Requested:
    """Writes a restore down with its request and plan."""
    now = app.clock.now()
    run = new_run_id("restore", now)
    app.vault(org).put_record(f"restore/{run}/request", wanted.to_json())
    app.vault(org).put_record(f"restore/{run}/plan", asdict(plan))
    app.runs.create(Run(org, run, "restore", "queued", now, by, parameters=wanted.to_json()))
    app.audit.append(org, by, "restore-started", run, {"items": plan.items})
    return Requested(run, RestoreRun(org, run))


def request_undo(app: App, org: str, by: str, undone: str) -> Requested:
    """Writes down a run that takes a restore back."""
    wanted = undo.request_of(app, org, undone)
    now = app.clock.now()
    run = new_run_id("restore", now)
    app.vault(org).put_record(f"restore/{run}/request", wanted)
    app.runs.create(Run(org, run, "restore", "queued", now, by, parameters=wanted))
    app.audit.append(org, by, "restore-undone", undone, {"run": run})
    return Requested(run, RestoreRun(org, run))


def request_export(app: App, org: str, by: str, body: dict[str, Any]) -> Requested:
    """Writes an export down; the restore point is settled now, so that a later step reads the same
    one.
    """
    wanted = settled(app, org, RestoreRequest.from_json(body))
    now = app.clock.now()
    run = new_run_id("export", now)
    app.vault(org).put_record(f"export/{run}/request", wanted.to_json())
    app.runs.create(Run(org, run, "export", "queued", now, by, parameters=wanted.to_json()))
    app.audit.append(org, by, "export-started", run)
    return Requested(run, ExportRun(org, run))


def request_verification(
    app: App, org: str, by: str, read_data: bool, share: float = 0.0, samples: int = 20
) -> Requested:
    """Writes a verification down. `share` of the packs is read, or all with `read_data`; `samples`
    items are restored to nowhere.
    """
    app.organization(org)
    now = app.clock.now()
    run = new_run_id("verify", now)
    asked = {"read_data": read_data, "share": share, "samples": samples}
    app.runs.create(Run(org, run, "verify", "queued", now, by, parameters=asked))
    return Requested(run, VerifyRun(org, run, read_data, share, samples))


@dataclass(frozen=True, slots=True)
class VerifyRun(Message):
    """Starts the story of one verification."""

    org: str
    run: str
    read_data: bool = True
    share: float = 0.0
    samples: int = 20


# --- While it runs ---


def started(app: App, org: str, run: str) -> None:
    """Marks a run as running; harmless when repeated."""
    now = app.clock.now()

    def running(one: Run) -> Run:
        if one.over or one.state == "running":
            return one
        return replace(one, state="running", started=now, heartbeat=now)

    app.runs.change(org, run, running)


def heartbeat(app: App, org: str, run: str) -> None:
    """Says that a run is alive, and keeps the lease of a backup."""
    app.runs.beat(org, run, app.clock.now())


class Pulse:
    """Heartbeats of a step that works item by item: at most one every 20 seconds is written."""

    def __init__(self, app: App, org: str, run: str) -> None:
        self._app, self._org, self._run = app, org, run
        self._next = 0.0

    def beat(self) -> None:
        """Call it as often as you like."""
        now = self._app.clock.monotonic()
        if now >= self._next:
            self._next = now + _PULSE_S
            heartbeat(self._app, self._org, self._run)


def keeps_lease(app: App, org: str, run: str) -> bool:
    """Renews a backup's lease; False when another run has taken it over."""
    return app.leases.acquire(org, LEASE, run, app.clock.now(), LEASE_LASTS) is not None


def is_cancelled(app: App, org: str, run: str) -> bool:
    """Whether somebody asked the run to stop, or it is over already."""
    one = app.runs.get(org, run)
    return one is None or one.over


def note_batch(
    app: App, org: str, run: str, batch: int, counts: Mapping[str, int], code: str = ""
) -> None:
    """Writes down how a batch of a restore ended. `code`: of the first item that failed, or, with
    no counts, of what kept the whole batch from being written.
    """
    state = "done" if counts else "failed"
    app.progress.put(Progress(org, run, f"batch-{batch:06d}", state, code, counts=dict(counts)))


def cancel(app: App, org: str, run: str, by: str) -> None:
    """Asks a run to stop at its next step."""
    show(app, org, run)
    app.audit.append(org, by, "run-cancelled", run)
    close(app, org, run, "cancelled")


# --- The end ---


def close(
    app: App,
    org: str,
    run: str,
    state: str,
    *,
    counts: Mapping[str, int] | None = None,
    code: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Run:
    """Ends a run; the first end stays."""
    now = app.clock.now()

    def ended(one: Run) -> Run:
        if one.over:
            return one
        return replace(
            one,
            state=state,
            ended=now,
            code=code,
            progress=dict(counts or {}),
            detail=dict(detail or {}),
        )

    closed = app.runs.change(org, run, ended)
    app.leases.release(org, LEASE, run)
    return closed


def close_backup(app: App, ended: BackupEnded) -> RunClosed:
    """Adds up a backup and says how it went."""
    states, counts, codes = _added_up(app, ended.org, ended.run)
    if ended.crashed:
        states["failed"] += len(ended.crashed)
    state = _verdict(states, counts, ended.code)
    code = ended.code or (_commonest(codes) if state == "red" else "")
    detail = {
        "resources": dict(states),
        "given_up": list(ended.crashed)[:20],
        **_heads(app, ended.org),
    }
    closed = close(app, ended.org, ended.run, state, counts=counts, code=code, detail=detail)
    app.work.delete(ended.org, ended.run)
    throttling.tell(app, ended.org)
    return RunClosed(closed.state, dict(closed.progress), closed.code)


def _heads(app: App, org: str) -> dict[str, Any]:
    """Stands for the newest restore points of everything, in the record of the run: should storage
    and records be rolled back, a copy of that record shows it.
    """
    heads = sorted(
        f"{row.service}/{row.resource} {row.head} {row.head_sha256}\n"
        for row in app.resources.all(org)
        if row.head > 0
    )
    digest = hashlib.sha256("".join(heads).encode()).hexdigest()
    return {"heads": len(heads), "heads_sha256": digest}


def _verdict(states: Counter[str], counts: Counter[str], code: str) -> str:
    good = states["done"] + states["unchanged"]
    bad = states["failed"] + states["throttled"] + states["more"]
    if code or (bad and not good):
        return "red"
    if states["cancelled"]:
        return "cancelled"
    if bad or states["gone"] or states["locked"] or counts["failed_items"]:
        return "amber"
    return "green"


def close_restore(app: App, run: RestoreRun) -> RunClosed:
    """Adds up a restore: green when every item was written or rightly skipped."""
    states, counts, codes = _added_up(app, run.org, run.run)
    written = sum(counts[outcome] for outcome in _WRITTEN)
    failed = counts["failed"] or states["failed"] or run.crashed
    if run.code or (failed and not written):
        state = "red"
    elif failed or counts["incomplete"]:
        state = "amber"
    else:
        state = "green"
    closed = close(app, run.org, run.run, state, counts=counts, code=run.code or _commonest(codes))
    return RunClosed(closed.state, dict(closed.progress), closed.code)


def _commonest(codes: Counter[str]) -> str:
    return codes.most_common(1)[0][0] if codes else ""


def _added_up(app: App, org: str, run: str) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """How many chains (or batches) ended how, the sums of their counts, and codes of failures."""
    states: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    after = ""
    while True:
        page = app.progress.page(org, run, after=after)
        for one in page.items:
            states[one.state] += 1
            counts.update(one.counts)
            if one.code:
                codes[one.code] += 1
        after = page.after
        if not after:
            return states, counts, codes


# --- Showing ---


def show(app: App, org: str, run: str) -> dict[str, Any]:
    """A run as the API shows it, with live progress while it is under way."""
    one = app.runs.get(org, run)
    if one is None:
        raise RunMissing("There is no such run.")
    shown = _shown(one)
    if not one.over:
        states, counts, _ = _added_up(app, org, run)
        shown["counts"] = dict(counts)
        planned = one.detail.get("planned", 0)
        shown["detail"] = {**one.detail, "planned": planned, "resources": dict(states)}
        waiting = states["throttled"] or not states  # a chain, or the plan
        shown["detail"]["pauses"] = throttling.shown(app, org)["pauses"] if waiting else []
    return shown


def listed(
    app: App, org: str, kind: str = "", after: str = "", limit: int = 50
) -> tuple[list[dict[str, Any]], str]:
    """One page of runs, newest first."""
    app.organization(org)
    page = app.runs.page(org, kind=kind, after=after, limit=limit)
    return [_shown(run) for run in page.items], page.after


def progress_rows(
    app: App, org: str, run: str, after: str = "", limit: int = 200
) -> tuple[list[dict[str, Any]], str]:
    """How each chain or batch of a run fares."""
    page = app.progress.page(org, run, after=after, limit=limit)
    rows = [
        {"name": one.name, "state": one.state, "code": one.code, "counts": dict(one.counts)}
        for one in page.items
    ]
    return rows, page.after


def _shown(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "state": run.state,
        "requested_by": run.requested_by,
        "started": run.started.isoformat() if run.started else None,
        "ended": run.ended.isoformat() if run.ended else None,
        "counts": dict(run.progress),
        "code": run.code,
        "detail": dict(run.detail),
    }
