"""What pages show, gathered from the engine; the same calls as the API's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from base.errors import Problem
from engine import browse as browsing
from engine import coverage, ledger, resources, runs
from engine import organizations as orgs
from engine.assembly import App

PAGE_ROWS = 100


def organizations(app: App) -> list[dict[str, Any]]:
    """Every organization with its newest backup."""
    found, _ = orgs.listed(app, limit=500)
    for one in found:
        newest, _ = runs.listed(app, one["id"], kind="backup", limit=20)
        one["newest"] = newest[0] if newest else None
    return found


def organization(app: App, org: str) -> dict[str, Any]:
    """Everything the organization's page shows."""
    return {
        "org": orgs.show(app, org),
        "runs": runs.listed(app, org, limit=10)[0],
        "resources": resources.listed(app, org, limit=500)[0],
        "coverage": coverage.statement(app, org),
        "ledger": ledger.listed(app, org, limit=20)[0],
    }


def run(app: App, org: str, run_id: str) -> dict[str, Any]:
    """A run, how its resources fare, and what they are called."""
    shown = runs.show(app, org, run_id)
    rows, _ = runs.progress_rows(app, org, run_id, limit=500)
    names = {f"{r.service}/{r.resource}": r.name for r in app.resources.all(org)}
    for row in rows:
        row["title"] = names.get(row["name"], row["name"])
    planned = shown["detail"].get("planned", 0)
    ended = sum(row["state"] not in ("more", "throttled", "started") for row in rows)
    share = 100 if shown["ended"] else round(100 * ended / planned) if planned else 0
    return {
        "org": orgs.show(app, org),
        "run": shown,
        "rows": rows,
        "share": min(share, 100),
        "live": shown["ended"] is None,
    }


def browse(
    app: App, org: str, service: str, resource: str, number: int | None, folder: str, after: str
) -> dict[str, Any]:
    """One page of a folder."""
    view = browsing.open_view(app, org, service, resource, number)
    listing = view.list(folder, after, PAGE_ROWS)
    row = app.resources.get(org, service, resource)
    return {
        "org": orgs.show(app, org),
        "service": app.service(service).title,
        "service_name": service,
        "resource": resource,
        "owner": row.name if row else resource,
        "snapshot": resources.snapshot_json(view.snapshot.info),
        "snapshots": [
            resources.snapshot_json(info)
            for info in browsing.snapshots(app, org, service, resource)
        ],
        "columns": resources.columns(service),
        "folder": browsing.row_json(listing.folder) if listing.folder else None,
        "path": [browsing.row_json(above) for above in listing.path],
        "entries": [browsing.row_json(entry) for entry in listing.entries],
        "next": listing.after,
        "total": listing.total,
    }


def problems() -> list[dict[str, Any]]:
    """Every problem this process knows, by code."""
    found = {
        kind.code: {"code": kind.code, "what": _first_line(kind), "hint": kind.hint}
        for kind in _below(Problem)
    }
    return [found[code] for code in sorted(found)]


def _below(kind: type[Problem]) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _first_line(kind: type[Problem]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
