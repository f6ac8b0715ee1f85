"""Mends what a verification found: says first what it is going to do, then does it.

Rule 1: nothing is mended unasked, and a dry run changes nothing.
Rule 2: no backup runs meanwhile: a repair holds the lease of backups while it writes.
Rule 3: what is lost comes from the tenant with the next backup, not from here.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from base.errors import Conflict
from base.ids import fresh_slug
from engine import audit, runs, verify
from engine.assembly import App
from vault import RepairPlan, VerifyReport

_LEASE_LASTS = timedelta(minutes=10)
_COLLECTS_S = 30.0  # for restore points that are given up; the next collection does the rest

_SAYS = {
    "lost": "Is written down as lost: nothing refers to it again, and look-ups do not find it.",
    "restart": (
        "The next backup reads the whole resource again: it reuses what is whole, fetches the "
        "rest from the tenant, and makes a new restore point with all of it."
    ),
    "void": "The backup that was under way is given up; the next one starts it again.",
    "bury": (
        "The restore point is given up: the collector's log explains its absence, and collecting "
        "goes on."
    ),
    "back": "Is whole again: nothing to do.",
    "left": "Cannot be mended from here: restore the blob from soft delete or a replica.",
}


class VerificationNotOver(Conflict):
    """The verification is still under way, or ended without a report."""

    code = "verification-not-over"
    hint = "Wait for the verification to end, or start another one; then repair what it found."


def repair(
    app: App, org: str, run: str, by: str, *, dry_run: bool = True, give_up: bool = False
) -> dict[str, Any]:
    """Mends what a verification found. `give_up`: also older restore points whose list of items
    cannot be read whole, which keep the collector from collecting.

    Answers {"dry_run", "complete", "actions": [{"action", "name", "says"}]}; not complete: do it
    again later. Raises VerificationNotOver, AlreadyRunning.
    """
    runs.show(app, org, run)
    found = verify.report(app, org, run)
    if found is None:
        raise VerificationNotOver("The verification has no report yet.")
    vault = app.vault(org)
    chains = [f"{row.service}/{row.resource}" for row in app.resources.all(org)]
    mending = vault.repair(VerifyReport.from_json(found), chains)
    plan = mending.plan(give_up)
    answer = {"dry_run": dry_run, "complete": True, "actions": _told(plan)}
    if dry_run or plan.empty:
        return answer
    now = app.clock.now()
    holder = f"repair-{now:%Y%m%dt%H%M%S}-{fresh_slug('x')}"
    if app.leases.acquire(org, runs.LEASE, holder, now, _LEASE_LASTS) is None:
        raise runs.AlreadyRunning("A backup of this organization is under way.")
    try:
        ends = app.clock.monotonic() + _COLLECTS_S
        answer["complete"] = mending.carry_out(plan, run, lambda: app.clock.monotonic() < ends)
    finally:
        app.leases.release(org, runs.LEASE, holder)
    counts = {
        kind: len(rows) for kind, rows in asdict(plan).items() if isinstance(rows, list) and rows
    }
    audit.note(app, org, by, "vault-repaired", run=run, lost=len(plan.lost.packs), **counts)
    return answer


def _told(plan: RepairPlan) -> list[dict[str, str]]:
    named = [("lost", pack) for pack in plan.lost_names]
    named += [("restart", chain) for chain in plan.restart]
    named += [("void", f"{chain}, {number}") for chain, number in plan.void]
    named += [("bury", f"{chain}, {number}") for chain, number in plan.bury]
    named += [("back", name) for name in plan.back]
    named += [("left", name) for name in plan.left]
    return [{"action": kind, "name": name, "says": _SAYS[kind]} for kind, name in named]
