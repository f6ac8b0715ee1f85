"""What pages show, gathered from the engine; the same calls as the API's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import available_timezones

from base.errors import Problem
from console import forms
from engine import browse as browsing
from engine import (
    coverage,
    directory_search,
    ledger,
    policies,
    preview,
    resources,
    restore_report,
    runs,
    throttling,
    verify,
)
from engine import organizations as orgs
from engine.assembly import App
from engine.coverage_rows import Wanted
from engine.coverage_things import STATES
from engine.coverage_words import title
from engine.restore_plan import RestorePlan, RestoreRequest

PAGE_ROWS = 100
PICKED_MAX = 8  # of each kind, below a search box
_BLANK = {"name": "", "tenant_id": "", "client_id": "", "restore_client_id": ""}
TARGETS_MAX = 500  # mailboxes or drives in one drop-down list


def dashboard(
    app: App, problem: Problem | None = None, kept: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Every organization with its newest backup; `kept` is what a refused form held."""
    found, _ = orgs.listed(app, limit=500)
    for one in found:
        newest, _ = runs.listed(app, one["id"], kind="backup", limit=20)
        one["newest"] = newest[0] if newest else None
    return {"organizations": found, "problem": problem, "kept": {**_BLANK, **(kept or {})}}


def organization(app: App, org: str) -> dict[str, Any]:
    """Everything the organization's page shows."""
    return {
        "org": orgs.show(app, org),
        "runs": runs.listed(app, org, limit=10)[0],
        "resources": resources.listed(app, org, limit=500)[0],
        "coverage": coverage.counts(app, org),
        "throttling": throttling.shown(app, org),
        "ledger": ledger.listed(app, org, limit=20)[0],
        "policy": policies.show(app, org),
        "services": policies.services(),
    }


def covered(app: App, org: str, wanted: Wanted, after: str) -> dict[str, Any]:
    """The coverage statement: totals, and one page of rows."""
    said = coverage.statement(app, org)
    rows, more = said["rows"], said["next"]
    if after or wanted != Wanted():
        rows, more = coverage.listed(app, org, wanted, after)
    return {
        "org": orgs.show(app, org),
        "said": said,
        "rows": rows,
        "next": more or "",
        "wanted": wanted,
        "states": STATES,
        "titles": {kind: title(kind) for kind in said["totals"]},
        "begun": not after,
    }


def policy(
    app: App,
    org: str,
    problem: Problem | None = None,
    refused: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The policy as the form shows it; `refused` is what a form held that was not accepted."""
    stored = policies.show(app, org)
    shown = {**stored, **(refused or {})}
    shown["choices"] = {  # a form may hold a few of them
        name: {**values, **shown["choices"].get(name, {})}
        for name, values in stored["choices"].items()
    }
    return {
        "named": directory_search.named(app, org, shown),
        "org": orgs.show(app, org),
        "policy": shown,
        "schedule": forms.rhythm_of(shown["schedule"]),
        "protections": forms.PROTECTIONS,
        "rhythms": {name: title for name, (title, _) in forms.RHYTHMS.items()},
        "services": policies.services(),
        "choices": policies.offered(),
        "rules": forms.RETENTION,
        "time_zones": sorted(available_timezones()),
        "problem": problem,
    }


def picked(app: App, org: str, into: str, text: str) -> dict[str, Any]:
    """What a search box of the policy form finds; `into` is the selection it is for."""
    kinds = (into,) if into in ("sites", "teams") else ("users", "groups")
    found = directory_search.picked(app, org, kinds, text, PICKED_MAX) if text.strip() else []
    return {"org": orgs.show(app, org), "into": into, "found": found, "text": text.strip()}


def plan(app: App, org: str, wanted: RestoreRequest, plan: RestorePlan) -> dict[str, Any]:
    """A dry run, with the name of whom it writes to."""
    target = app.resources.get(org, wanted.service, wanted.target)
    return {
        "org": orgs.show(app, org),
        "wanted": wanted,
        "plan": plan,
        "target": target.name if target else wanted.target,
        "elsewhere": wanted.target != wanted.resource,
    }


def run(app: App, org: str, run_id: str, after: str = "") -> dict[str, Any]:
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
        **_report(app, org, shown, after),
    }


def _report(app: App, org: str, shown: dict[str, Any], after: str) -> dict[str, Any]:
    """What a restore did to each item, or what a verification found."""
    report: dict[str, Any] = {"report": [], "next": "", "undoes": "", "findings": None}
    if shown["kind"] == "restore":
        report["report"], report["next"] = restore_report.rows(app, org, shown["id"], after)
        request = restore_report.request_of(app, org, shown["id"])["request"] or {}
        report["undoes"] = request.get("undo", "")
    elif shown["kind"] == "verify":
        found = verify.report(app, org, shown["id"])
        report["findings"] = found["problems"] if found else None
    return report


def browse(
    app: App, org: str, service: str, resource: str, number: int | None, folder: str, after: str
) -> dict[str, Any]:
    """One page of a folder."""
    view = browsing.open_view(app, org, service, resource, number)
    listing = view.list(folder, after, PAGE_ROWS)
    entries = list(listing.entries)
    while listing.after and len(entries) < PAGE_ROWS:  # the vault's pages may be short
        listing = view.list(folder, listing.after, PAGE_ROWS - len(entries))
        entries += listing.entries
    row, about = app.resources.get(org, service, resource), app.service(service)
    return {
        "org": orgs.show(app, org),
        "service": about.title,
        "restorable": about.writer is not None,
        "options": about.options,
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
        "entries": [browsing.row_json(entry) for entry in entries],
        "next": listing.after,
        "total": listing.total,
        "targets": _targets(app, org, service, resource),
    }


def _targets(app: App, org: str, service: str, resource: str) -> list[dict[str, str]]:
    """To whom else this could be restored."""
    found = [
        {"resource": row.resource, "name": row.name, "address": row.address}
        for row in app.resources.all(org)
        if row.service == service and row.resource != resource and row.state == "protected"
    ]
    return sorted(found, key=lambda one: one["name"].casefold())[:TARGETS_MAX]


def item(
    app: App, org: str, service: str, resource: str, number: int | None, item_id: str
) -> dict[str, Any]:
    """One item: columns, headers of a message, its words, its attachments."""
    view = browsing.open_view(app, org, service, resource, number)
    entry = view.entry(item_id)
    stored = view.item(item_id)
    row = app.resources.get(org, service, resource)
    seen = preview.of(stored)
    return {
        "org": orgs.show(app, org),
        "service": app.service(service).title,
        "service_name": service,
        "resource": resource,
        "owner": row.name if row else resource,
        "snapshot": resources.snapshot_json(view.snapshot.info),
        "columns": resources.columns(service),
        "item": browsing.row_json(entry),
        "path": [browsing.row_json(above) for above in view.path(entry)],
        "people": seen["people"],
        "words": seen["words"],
        "attached": seen["attachments"],
        "whole": any(part.role in ("mime", "content") for part in stored.parts),
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
    return next(iter((kind.__doc__ or "").strip().splitlines()), "")
