"""What became of every item of a restore, read from its sealed records."""

from __future__ import annotations

from typing import Any

from engine.assembly import App


def request_of(app: App, org: str, run: str) -> dict[str, Any]:
    """The request and the plan a restore was started with."""
    repository = app.vault(org)
    return {
        "request": repository.get_record(f"restore/{run}/request"),
        "plan": repository.get_record(f"restore/{run}/plan"),
    }


def rows(app: App, org: str, run: str, after: str = "") -> tuple[list[dict[str, Any]], str]:
    """The rows of one batch; `after` is the number of the next."""
    number = int(after) if after.isdecimal() and len(after) < 7 else 0
    repository = app.vault(org)
    found = repository.get_record(f"restore/{run}/done/{number:06d}")
    if found is None:
        return [], ""
    more = repository.get_record(f"restore/{run}/done/{number + 1:06d}") is not None
    return found, str(number + 1) if more else ""
