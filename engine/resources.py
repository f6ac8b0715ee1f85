"""What of an organization is protected: chains, the rows that lists and pages show, and how steps
change them.

The rows are a cache: the vault's snapshots are the truth, and `note_snapshot` mirrors them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from base.clock import parse_iso
from base.errors import InvalidInput
from base.messages import Drain, Drained
from engine.assembly import App
from engine.backlog import Backlog
from m365 import SERVICES
from m365.holdings import LOCKED
from m365.service import Resource
from state.listing import RecordMissing
from state.progress import Progress
from state.resources import GONE, PROTECTED, SKIPPED, ResourceRow
from vault import Catalog, Entry, Missing, Repository, Snapshot, SnapshotInfo, VaultDamaged

# Services whose top folders people take for things of their own, and the word for one.
THINGS_BELOW: Mapping[str, str] = {"lists": "list", "teams": "channel", "planner": "plan"}
REFUSED = "refused-by-tenant"  # 401 or 403 where the documentation says that some tenants do so
_FINISHED = frozenset({"done", "unchanged"})
_FOLDERS_AT_ONCE = 500
_MOMENTS = (
    "last_seen", "head_at", "first_at", "verified_at", "cursor_stored_at", "reconciled_at",
)  # fmt: skip

# What becomes a segment of a path in Graph: nothing that could end the segment or climb out of it.
_GRAPH_ID = re.compile(r"(?!\.{1,2}$)[^/\\?#%\s\x00-\x1f\x7f]{1,1000}")


class UnknownChain(InvalidInput):
    """No such service, or not the id of a resource it knows."""

    code = "unknown-resource"
    hint = "List /resources of the organization for services and resource ids."


def chain(service: str, resource: str) -> str:
    """The name of one service of one resource in the vault: "mail/mailbox:6e7b…"."""
    found = SERVICES.get(service)
    kind, _, graph_id = resource.partition(":")
    if found is None or kind != found.resource_kind or not _GRAPH_ID.fullmatch(graph_id):
        raise UnknownChain("There is no such service of such a resource.")
    return f"{service}/{resource}"


def resource_of(resource: str) -> Resource:
    """The resource behind an id such as "drive:b!…"."""
    kind, _, graph_id = resource.partition(":")
    return Resource(kind, graph_id)


def note_step(app: App, request: Drain, answer: Drained) -> None:
    """Writes down how a step ended, where lists and the run's progress show it."""
    _note_progress(app, request, answer)
    if answer.state in ("more", "throttled"):
        return

    def ended(row: ResourceRow) -> ResourceRow:
        row = replace(row, last_run=request.run, last_outcome=answer.state, last_code=answer.code)
        if answer.state == "gone":
            return replace(row, state=GONE, reason=answer.code)
        if answer.state == "locked":
            return replace(row, state=SKIPPED, reason=LOCKED)
        if answer.state == "refused":
            return replace(row, state=SKIPPED, reason=REFUSED)
        if answer.state in _FINISHED:
            return replace(row, state=PROTECTED, reason="", verified_at=app.clock.now())
        return row

    try:
        app.resources.change(request.org, request.service, request.resource, ended)
    except RecordMissing:
        return  # the organization was deleted while the step ran


def _note_progress(app: App, request: Drain, answer: Drained) -> None:
    """Adds a step to what the run has done of its chain. A twin that asks for more time does not
    take back that the chain is done: the run may end on what it reads here.
    """
    name = f"{request.service}/{request.resource}" + ("/follow-up" if request.follow_up else "")

    def stepped(before: Progress | None) -> Progress:
        counts = Counter(before.counts if before else {})
        counts.update(answer.counts)
        if before and before.state in _FINISHED:
            return replace(before, counts=dict(counts))
        return Progress(request.org, request.run, name, answer.state, answer.code, dict(counts))

    app.progress.change(request.org, request.run, name, stepped)


def about(app: App, request: Drain) -> dict[str, Any]:
    """What people call a resource, for its restore points: a vault explains itself by it."""
    row = app.resources.get(request.org, request.service, request.resource)
    if row is None:
        return {}
    return {"title": row.name, "address": row.address, "facts": dict(row.facts)}


def note_snapshot(app: App, request: Drain, repository: Repository, number: int) -> None:
    """Mirrors a new restore point into the resource's row."""
    named = chain(request.service, request.resource)
    snapshot, sha256 = repository.stored_snapshot(named, number)
    if snapshot.status != "ok":
        return
    newer = mirror_of(repository, snapshot, sha256)
    try:
        app.resources.change(request.org, request.service, request.resource, newer)
    except RecordMissing:
        return


def mirror_of(
    repository: Repository, snapshot: Snapshot, sha256: str
) -> Callable[[ResourceRow], ResourceRow]:
    """What makes a row say that this is its newest restore point; a row that has a newer one stays
    as it is.
    """
    catalog, at = repository.catalog(snapshot), parse_iso(snapshot.created)
    finer = snapshot.chain.partition("/")[0] in THINGS_BELOW
    folders = sum(1 for _ in top_folders(catalog)) if finer else 0

    def newer(row: ResourceRow) -> ResourceRow:
        if row.head >= snapshot.number:
            return row
        return replace(
            row,
            head=snapshot.number,
            head_sha256=sha256,
            head_at=at,
            first_at=row.first_at or _first_at(repository, snapshot),
            items=catalog.total,
            top_folders=folders,
            waiting=Backlog.of(snapshot.links).waiting,
            cursor_stored_at=at,
        )

    return newer


def top_folders(catalog: Catalog) -> Iterator[Entry]:
    """The folders right below the top one; a few reads, as folders come first in every listing."""
    root, after = next(iter(catalog.children("", limit=1)[0]), None), ""
    while root is not None:
        entries, after = catalog.children(root.id, after=after, limit=_FOLDERS_AT_ONCE)
        for entry in entries:
            if entry.kind != "folder":
                return
            yield entry
        if not after:
            return


def _first_at(repository: Repository, newest: Snapshot) -> datetime:
    """When the oldest restore point that is left was made."""
    for number in repository.numbers(newest.chain) if newest.number > 1 else ():
        with suppress(VaultDamaged, Missing):  # a verification names it; or it expired
            snapshot = repository.snapshot(newest.chain, number)
            if snapshot.status == "ok":
                return parse_iso(snapshot.created)
    return parse_iso(newest.created)


def note_counts(
    app: App, request: Drain, differences: Mapping[str, int], *, swept: bool
) -> tuple[str, ...]:
    """Writes down what a comparison of counts found; answers the feeds to be read from nothing.
    What is left behind a sweep is this tenant's way of counting.
    """

    def counted(row: ResourceRow) -> ResourceRow:
        new = {part for part, by in differences.items() if row.drift.get(part) != by}
        if new and not swept:
            return replace(row, sweep=tuple(sorted(new)))
        return replace(row, reconciled_at=app.clock.now(), drift=dict(differences), sweep=())

    try:
        row = app.resources.change(request.org, request.service, request.resource, counted)
    except RecordMissing:
        return ()
    return row.sweep


def row_json(row: ResourceRow) -> dict[str, Any]:
    """What the API and the console show of a resource."""
    shown = asdict(row)
    shown.pop("org")
    shown.pop("facts")
    shown.pop("head_sha256")
    shown.pop("sweep")
    shown["drift"] = sum(map(abs, row.drift.values()))
    shown["permissions"] = list(row.facts.get("permissions", ()))  # those that are missing
    shown["purpose"] = row.facts.get("purpose")  # of a mailbox: user, shared, room, equipment
    shown["deleted_at"] = row.facts.get("deleted")  # when its owner left, where that is known
    shown.pop("top_folders")
    for key in _MOMENTS:
        moment = shown[key]
        shown[key] = moment.isoformat() if moment else None
    shown["head"] = row.head if row.head >= 0 else None
    return shown


def listed(
    app: App, org: str, after: str = "", limit: int = 100
) -> tuple[list[dict[str, Any]], str]:
    """One page of resources, by service and id."""
    app.organization(org)
    page = app.resources.page(org, after=after, limit=limit)
    return [row_json(row) for row in page.items], page.after


def snapshot_json(info: SnapshotInfo) -> dict[str, Any]:
    """What a list of restore points shows."""
    return {
        "number": info.number,
        "status": info.status,
        "created": info.created,
        "run": info.by,
        "counts": dict(info.counts),
    }


def columns(service: str) -> list[dict[str, str]]:
    """The columns that fit a service's items."""
    return [
        {"key": column.key, "title": column.title, "type": column.type}
        for column in SERVICES[service].columns
    ]
