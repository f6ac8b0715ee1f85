"""Restore points, what they hold, and the content of one item."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.answers import (
    FoundOut,
    ItemOut,
    ItemsOut,
    Page,
    PreviewOut,
    ResourceOut,
    SnapshotOut,
)
from api.auth import SignedIn
from api.deps import After, Limit, Org, ResourceName, ServiceName, SnapshotNumber, TheApp, page
from api.download import download
from engine import audit, browse, preview, resources, search

router = APIRouter(tags=["browse"])


@router.get("/organizations/{org}/resources", response_model=Page[ResourceOut])
def list_resources(org: Org, app: TheApp, after: After = "", limit: Limit = 100) -> Any:
    """Everything a policy covers: mailboxes and drives with their services, state and newest
    restore point.
    """
    found, more = resources.listed(app, org, after=after, limit=limit)
    return page(found, more)


@router.get("/organizations/{org}/snapshots", response_model=Page[SnapshotOut])
def list_snapshots(org: Org, app: TheApp, service: ServiceName, resource: ResourceName) -> Any:
    """The restore points of one service of one resource, newest first."""
    return page(
        [resources.snapshot_json(s) for s in browse.snapshots(app, org, service, resource)], ""
    )


def _view(
    org: Org,
    app: TheApp,
    service: ServiceName,
    resource: ResourceName,
    snapshot: SnapshotNumber = None,
) -> browse.View:
    return browse.open_view(app, org, service, resource, snapshot)


View = Annotated[browse.View, Depends(_view)]


@router.get("/organizations/{org}/items", response_model=ItemsOut)
def list_items(
    view: View,
    service: ServiceName,
    folder: Annotated[str, Query(max_length=1024)] = "",
    after: After = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """One page of a folder of a restore point, with its path and the service's columns."""
    listing = view.list(folder, after, limit)
    return {
        **page([browse.row_json(entry) for entry in listing.entries], listing.after),
        "folder": browse.row_json(listing.folder) if listing.folder else None,
        "path": [{"id": above.id, "name": above.name} for above in listing.path],
        "total": listing.total,
        "snapshot": view.snapshot.number,
        "columns": resources.columns(service),
    }


@router.get("/organizations/{org}/items/{item:path}/content")
def item_content(
    org: Org,
    item: str,
    who: SignedIn,
    app: TheApp,
    view: View,
    part: Annotated[str, Query(max_length=40)] = "",
    index: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> StreamingResponse:
    """The bytes of an item: a message as .eml, a file as it was; or one part of it
    (part=attachment&index=0).
    """
    stored = view.item(item)
    audit.note(app, org, who.id, "item-opened", run="", count=1)
    if part:
        one = browse.part_of(stored, part, index)
        return download(str(one.meta.get("name") or part), one.open(), size=one.size)
    exported = browse.as_file(stored)
    return download(exported.name, exported.blocks(), size=exported.size)


@router.get("/organizations/{org}/items/{item:path}/preview", response_model=PreviewOut)
def preview_item(org: Org, item: str, who: SignedIn, app: TheApp, view: View) -> dict[str, Any]:
    """What of an item can be shown safely: the words of a message or text file, plain text only."""
    entry = view.entry(item)
    audit.note(app, org, who.id, "item-previewed", run="", count=1)
    return {**browse.row_json(entry), **preview.of(view.item(item))}


@router.get("/organizations/{org}/search", response_model=Page[FoundOut])
def search_items(
    org: Org,
    app: TheApp,
    q: Annotated[str, Query(min_length=1, max_length=200)],
    service: Annotated[str, Query(max_length=40)] = "",
    resource: Annotated[str, Query(max_length=1024)] = "",
    limit: Limit = 100,
) -> Any:
    """Items of the newest restore points whose name or columns hold every word of `q`."""
    return page(search.find(app, org, q, service=service, resource=resource, limit=limit), "")


@router.get("/organizations/{org}/items/{item:path}", response_model=ItemOut)
def read_item(org: Org, item: str, who: SignedIn, app: TheApp, view: View) -> dict[str, Any]:
    """One item: its object as Graph sent it, its parts, where it lay."""
    entry = view.entry(item)
    stored = view.item(item)
    audit.note(app, org, who.id, "item-opened", run="", count=1)
    return {
        **browse.row_json(entry),
        "raw": stored.raw,
        "parts": [{"role": p.role, "size": p.size, "meta": dict(p.meta)} for p in stored.parts],
        "path": [{"id": above.id, "name": above.name} for above in view.path(entry)],
        "snapshot": view.snapshot.number,
    }
