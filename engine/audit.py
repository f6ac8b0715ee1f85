"""The audit log: who did what; ids, counts and codes only."""

from __future__ import annotations

from typing import Any

from engine.assembly import App


def note(app: App, org: str, actor: str, action: str, **detail: Any) -> None:
    """Adds an entry to the organization's chain."""
    target = str(detail.pop("run", "")) or org
    app.audit.append(org, actor, action, target, detail)


def listed(
    app: App, org: str, after: str = "", limit: int = 100
) -> tuple[list[dict[str, Any]], str]:
    """One page, newest first."""
    page = app.audit.page(org, after=after, limit=limit)
    rows = [
        {
            "number": row.number,
            "at": row.at.isoformat(),
            "actor": row.actor,
            "action": row.action,
            "target": row.target,
            "detail": dict(row.detail),
            "hash": row.hash,
        }
        for row in page.items
    ]
    return rows, page.after
