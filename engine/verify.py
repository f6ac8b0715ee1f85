"""Reads back what a vault holds, slice by slice, and records what it finds; a damaged object never
stops the reading.

A slice's answer is a sealed record of the run (verify/{run}/slice/{n}), created once: a slice that
runs twice, or after a death, answers what is written. How much is read:

- quick: every hash chain, catalog and reference, no data;
- share: that part of the packs besides, beginning where the last one of a share stopped;
- full: every byte.
"""

from __future__ import annotations

from typing import Any

from base.errors import Problem
from engine import runs
from engine.assembly import App
from vault import Repository
from vault.verify import VerifyReport, Wanted

_SLICES_MAX = 100_000


def verify_slice(app: App, request: dict[str, Any]) -> dict[str, Any]:
    """Does the next slice of a verification.

    Input: {"org", "run", "read_data": bool, "share": float, "next": number of the slice}. Answers
    {"state": more|done|failed|cancelled, "next", "problems": n, "code"}.
    """
    org, run = request["org"], request["run"]
    number = int(request.get("next") or 0)
    try:
        if runs.is_cancelled(app, org, run):
            return {"state": "cancelled", "problems": 0, "code": ""}
        runs.started(app, org, run)
        report = _slice(app, org, run, number, request)
        if report.phase != "done" and number < _SLICES_MAX:
            runs.heartbeat(app, org, run)
            return {"state": "more", "next": number + 1, "problems": len(report.problems)}
        return _end(app, org, run, report)
    except Problem as problem:
        runs.close(app, org, run, "red", code=problem.code)
        return {"state": "failed", "problems": 0, "code": problem.code}


def report(app: App, org: str, run: str) -> dict[str, Any] | None:
    """What a verification counted and found; None while it runs."""
    stored: dict[str, Any] | None = app.vault(org).get_record(f"verify/{run}/report")
    return stored


def _slice(app: App, org: str, run: str, number: int, request: dict[str, Any]) -> VerifyReport:
    vault = app.vault(org)
    name = f"verify/{run}/slice/{number:06d}"
    done = vault.get_record(name)
    if done is not None:
        return VerifyReport.from_json(done)
    before = vault.get_record(f"verify/{run}/slice/{number - 1:06d}") if number else None
    check = vault.verification(
        _wanted(app, org, vault, request),
        None if before is None else VerifyReport.from_json(before),
    )
    ends = app.clock.monotonic() + app.settings.step_seconds
    check.slice(lambda: app.clock.monotonic() < ends)
    if not vault.put_record(name, check.report.to_json()):
        return _slice(app, org, run, number, request)  # another one was faster
    return check.report


def _wanted(app: App, org: str, vault: Repository, request: dict[str, Any]) -> Wanted:
    share = float(request.get("share") or 0)
    if not share and request.get("read_data", True):
        share = 1.0
    heads = {
        f"{row.service}/{row.resource}": (row.head, row.head_sha256)
        for row in app.resources.all(org)
        if row.head > 0
    }
    return Wanted(share, _continues_behind(app, org, vault) if share < 1 else "", heads)


def _continues_behind(app: App, org: str, vault: Repository) -> str:
    """The last pack that an earlier verification of a share read."""
    for run in app.runs.page(org, kind="verify", limit=50).items:
        found = vault.get_record(f"verify/{run.id}/report") if run.over else None
        if found and found["packs_through"]:
            return str(found["packs_through"])
    return ""


def _end(app: App, org: str, run: str, report: VerifyReport) -> dict[str, Any]:
    app.vault(org).put_record(f"verify/{run}/report", report.to_json())
    effects = [finding.effect for finding in report.problems]
    state = "red" if "lost" in effects else "amber" if effects else "green"
    counts = {
        "problems": len(effects),
        **{effect: effects.count(effect) for effect in set(effects)},
        "packs_read": report.counts["packs_read"],
    }
    runs.close(app, org, run, state, counts=counts)
    return {"state": "done", "problems": len(effects), "code": ""}
