"""Reads back what a vault holds and records what it finds; a damaged object never stops the
reading.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from base.errors import Problem
from engine import runs
from engine.assembly import App


def verify_slice(app: App, request: dict[str, Any]) -> dict[str, Any]:
    """Checks an organization's vault: chains and reachability, and the data itself where asked.

    Input: {"org", "run", "read_data": bool}. Answers {"state": done|failed, "problems": n, "code"}.
    """
    org, run = request["org"], request["run"]
    try:
        runs.started(app, org, run)
        found = app.vault(org).verify(read_data=bool(request.get("read_data", True)))
        app.vault(org).put_record(f"verify/{run}/report", asdict(found))
        state = "red" if found.problems else "green"
        runs.close(app, org, run, state, counts={"problems": len(found.problems)})
        return {"state": "done", "problems": len(found.problems), "code": ""}
    except Problem as problem:
        runs.close(app, org, run, "red", code=problem.code)
        return {"state": "failed", "problems": 0, "code": problem.code}


def report(app: App, org: str, run: str) -> dict[str, Any] | None:
    """What a verification counted and found; None while it runs."""
    stored: dict[str, Any] | None = app.vault(org).get_record(f"verify/{run}/report")
    return stored
