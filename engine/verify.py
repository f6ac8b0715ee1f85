"""Reads back what a vault holds, slice by slice, and records what it finds; a damaged object never
stops the reading.

A slice's answer is kept sealed (x/verify/{run}/{n}) until the end, created once: a slice that runs
twice, or after a death, answers what is written. How much is read:

- quick: every hash chain, catalog and reference, no data;
- share: that part of the packs besides, beginning where the last one of a share stopped;
- full: every byte.

Besides, some items are restored to nowhere (engine/drill.py). The report is a sealed record: the
proof that this was tried, and how it went.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from base.errors import Problem
from engine import patience, runs
from engine.assembly import App
from engine.drill import drill
from state.progress import Progress
from vault import Repository, StoreProblem
from vault.verify import DONE, More, VerifyReport, Wanted

SAMPLES = 20  # items restored to nowhere, unless somebody asks for others
_SLICES_MAX = 100_000


def verify_slice(app: App, request: dict[str, Any]) -> dict[str, Any]:
    """Does the next slice of a verification.

    Input: {"org", "run", "read_data": bool, "share": float, "samples": items to restore to
    nowhere, "next": number of the slice}. Answers {"state": more|done|throttled|failed|cancelled,
    "next", "problems": n, "code", "retry_after_s"}.
    """
    org, run = request["org"], request["run"]
    number = int(request.get("next") or 0)
    try:
        if runs.is_cancelled(app, org, run):
            return {"state": "cancelled", "problems": 0, "code": ""}
        runs.started(app, org, run)
        ended = report(app, org, run)
        if ended is not None:  # the step before this one died behind it
            return _end(app, org, run, VerifyReport.from_json(ended))
        found = _slice(app, org, run, number, request)
        if found.phase != DONE and number < _SLICES_MAX:
            runs.heartbeat(app, org, run)
            app.progress.put(Progress(org, run, "vault", "more", counts=found.counts))
            return {"state": "more", "next": number + 1, "problems": len(found.problems)}
        return _end(app, org, run, found)
    except Problem as problem:
        if patience.passes(problem):
            wait_s = patience.WAIT_S
            answer = {"state": "throttled", "code": problem.code, "retry_after_s": wait_s}
            return {**answer, "next": number}
        runs.close(app, org, run, "red", code=problem.code)
        return {"state": "failed", "problems": 0, "code": problem.code}


def report(app: App, org: str, run: str) -> dict[str, Any] | None:
    """What a verification counted and found; None while it runs."""
    stored: dict[str, Any] | None = app.vault(org).get_record(f"verify/{run}/report")
    return stored


def _slice(app: App, org: str, run: str, number: int, request: dict[str, Any]) -> VerifyReport:
    vault = app.vault(org)
    done = _kept(vault, run, number)
    if done is not None:
        return done
    before = _kept(vault, run, number - 1) if number else None
    check = vault.verification(_wanted(app, org, vault, request), before)
    ends = app.clock.monotonic() + app.settings.step_seconds

    def more() -> bool:
        return app.clock.monotonic() < ends

    if not check.slice(more):
        _drill(app, org, vault, int(request.get("samples", SAMPLES)), check.report, more)
    data = json.dumps(check.report.to_json()).encode()
    if not vault.put_sealed(_part(run, number), data):
        return _kept(vault, run, number) or check.report  # another one was faster
    return check.report


def _kept(vault: Repository, run: str, number: int) -> VerifyReport | None:
    data = vault.get_sealed(_part(run, number))
    return None if data is None else VerifyReport.from_json(json.loads(data))


def _part(run: str, number: int) -> str:
    return f"verify/{run}/{number:06d}"


def _drill(
    app: App, org: str, vault: Repository, samples: int, report: VerifyReport, more: More
) -> None:
    done = drill(app, org, vault, samples, more)
    report.problems += done.findings
    report.counts["drill_items"], report.counts["drill_bytes"] = done.items, done.bytes
    report.counts["drill_too_large"] = done.too_large


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
    vault = app.vault(org)
    vault.put_record(f"verify/{run}/report", report.to_json())
    with suppress(StoreProblem):  # they are small, and a later collection may be allowed to
        vault.drop_sealed(f"verify/{run}")
    effects = [finding.effect for finding in report.problems]
    state = "red" if "lost" in effects else "amber" if effects else "green"
    counts = {
        "problems": len(effects),
        **{effect: effects.count(effect) for effect in set(effects)},
        "packs_read": report.counts["packs_read"],
        "drill_items": report.counts["drill_items"],
    }
    runs.close(app, org, run, state, counts=counts)
    return {"state": "done", "problems": len(effects), "code": ""}
