"""What is protected, partly or not, and why; and what the protection costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine import directory_search, resources
from engine.assembly import App


def statement(app: App, org: str) -> dict[str, Any]:
    """The coverage statement: totals by state and reason, and every row that is not simply
    protected.
    """
    app.organization(org)
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    gaps: list[dict[str, Any]] = []
    items = waiting = 0
    for row in app.resources.all(org):
        states[row.state] += 1
        items += row.items
        waiting += row.waiting
        troubled = row.state != "protected" or row.last_outcome in ("failed", "throttled")
        if troubled:
            reasons[row.reason or row.last_code] += 1
            gaps.append(resources.row_json(row))
    return {
        "resources": dict(states),
        "items": items,
        "waiting": waiting,
        "reasons": dict(reasons),
        "not_protected": gaps,
        "sites": directory_search.sites(app, org),
        "not_copied": sum(1 for _ in app.ledger.all(org)),
    }


def usage(app: App, org: str, limit: int = 100) -> dict[str, Any]:
    """Sums over the newest runs: requests, blob writes, items, stored bytes."""
    app.organization(org)
    totals: Counter[str] = Counter()
    runs = app.runs.page(org, limit=limit).items
    for run in runs:
        totals.update(run.progress)
    return {"runs": len(runs), "totals": dict(totals)}
