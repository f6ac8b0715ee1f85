"""Drives over HTTP: items, content, pre-authenticated downloads, uploads, versions, sharing.

Rules: a drive is reached as /drives/{id}, /users/{id}/drive, /groups/{id}/drive and
/sites/{id}/drive, and an item by id or by path; every operation exists under all of these names.
What a drive is and does lies in drive_state.py, deltas in drive_delta.py, upload sessions in
drive_upload.py, shapes in drive_json.py.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from simulator import drive_delta, drive_history, drive_sharing, drive_upload, sites
from simulator.drive_download import (
    Downloads,
    download,
    downloads,
    refuse_unreadable,
)
from simulator.drive_facets import get_label
from simulator.drive_item import DriveQuirks, Item
from simulator.drive_json import (
    DOWNLOAD_PATH,
    download_url,
    drive_json,
    item_json,
    permissions_json,
)
from simulator.drive_names import BEHAVIORS, Behavior, invalid, not_found
from simulator.drive_state import Drive, truth
from simulator.filebytes import Content, LiteralBytes, SpooledBytes
from simulator.plain_lists import listed
from simulator.web import Answer, GraphError, Json, Request, Route

if TYPE_CHECKING:
    from simulator.tenant import Tenant

__all__ = ["ROUTES", "Downloads", "Drive", "DriveQuirks", "Item", "downloads", "truth"]

READ = (
    "Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All",
    "Sites.FullControl.All",
)  # fmt: skip
WRITE = ("Files.ReadWrite.All", "Sites.ReadWrite.All", "Sites.FullControl.All")
PUT_MAX = 250 * 1024 * 1024
_LOCKED = "Access to this site has been blocked. Please contact the administrator to resolve this."


# Which drive, which item


def find_drive(tenant: "Tenant", where: dict[str, str]) -> Drive:
    """The drive a path names; 404 and 423 as SharePoint gives them."""
    if "drive" in where:
        drive = tenant.drives.get(where["drive"])
    elif "user" in where:
        sites.refuse_unlicensed(tenant)
        drive = tenant.drives.get(tenant.user(where["user"]).drive_id or "")
        if drive is None:
            raise GraphError(404, "ResourceNotFound", "User's mysite not found.")
    else:
        found = _owned(tenant, where)
        drive = found[0] if found else None
    if drive is None:
        raise not_found()
    site = sites.site_of(tenant, drive.id)
    if site:
        sites.refuse_locked(tenant, site)
    if drive.locked is not None:
        status, inner_code = drive.locked
        raise GraphError(status, "notAllowed", _LOCKED, inner_code=inner_code)
    return drive


def _owned(tenant: "Tenant", where: dict[str, str]) -> list[Drive]:
    """Drives of a user, group or site."""
    if "user" in where:
        return [find_drive(tenant, where)]
    if "group" in where:
        ids = sites.group_drives(tenant, where["group"])
    else:
        ids = sites.site_drives(tenant, where["site"])
    return [tenant.drives[drive_id] for drive_id in ids]


def find_item(drive: Drive, where: dict[str, str]) -> Item:
    """The item a path names, by id, by names, or by names below an id."""
    item = drive.get(where.get("item", "root"))
    if "path" not in where:
        return item
    return drive.by_path(_names(where["path"]), item)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


# Reading


def get_drive(tenant: "Tenant", request: Request, **where: str) -> Answer:
    return Answer(200, _drive(tenant, request, find_drive(tenant, where)))


def list_drives(tenant: "Tenant", request: Request, **where: str) -> Answer:
    found = [drive_json(drive) for drive in _owned(tenant, where)]
    owner = next(name for name in ("user", "group", "site") if name in where)
    return listed(tenant, request, f"/{owner}s/{where[owner]}/drives", found)


def get_item(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    return _item(tenant, request, drive, find_item(drive, where))


def list_children(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    folder = find_item(drive, where)
    children, now = drive.children(folder), tenant.clock.now()
    start = int(request.query.get("$skiptoken", "0"))
    size = request.whole("$top", 200, 1000)
    part = children[start : start + size]
    body: Json = {"value": [item_json(drive, item, request, now) for item in part]}
    if start + size < len(children):
        kept = {"$skiptoken": str(start + size)}
        kept |= {name: request.query[name] for name in ("$select", "$top") if name in request.query}
        path = drive_history.path(drive, folder)
        body["@odata.nextLink"] = f"{request.url_base}{path}/children?{urlencode(kept)}"
    return Answer(200, body)


def get_delta(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    if find_item(drive, where).kind != "root":
        raise invalid("Delta is only supported on the root of a drive.")
    return drive_delta.delta(tenant, drive, request)


def get_content(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    item = find_item(drive, where)
    refuse_unreadable(item)
    return Answer(302, None, {"Location": download_url(drive, item, request, tenant.clock.now())})


# Writing


def create_item(tenant: "Tenant", request: Request, **where: str) -> Answer:
    """A folder, or an empty file to upload into."""
    drive = find_drive(tenant, where)
    wish, now, by = request.json(), tenant.clock.now(), _identity(request)
    parent, name = find_item(drive, where), str(wish.get("name", ""))
    behavior, times = _behavior(wish, "fail"), _times(wish)
    if "folder" in wish:
        item = drive.create_folder(parent, name, behavior, by, now, times)
    elif "file" in wish:
        item, _ = drive.put_file(parent, name, LiteralBytes(b""), behavior, by, now, times)
    else:
        raise invalid("One of folder and file is required.")
    return Answer(201, item_json(drive, item, request, now))


def update_item(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    item = find_item(drive, where)
    _match(request, item)
    _refuse_open(item)
    wish, now = request.json(), tenant.clock.now()
    reference = wish.get("parentReference") or {}
    if reference.get("driveId", drive.id) != drive.id:
        raise invalid("An item cannot be moved to another drive.")
    if "name" in wish or "id" in reference:
        parent = drive.get(reference["id"]) if "id" in reference else None
        above = parent or drive.items[item.parent_id or item.id]
        drive.rename(item, str(wish.get("name", item.name)), above, _identity(request), now)
    times = _times(wish)
    if times is not None:
        drive.set_times(item, *times, at=now)
    return _item(tenant, request, drive, item)


def delete_item(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    item = find_item(drive, where)
    _match(request, item)
    _refuse_open(item)
    drive.delete(item, tenant.clock.now())
    return Answer(204)


def put_content(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    announced = int(request.headers.get("content-length", len(request.body)))
    if announced > PUT_MAX or announced != len(request.body):
        raise GraphError(413, "requestEntityTooLarge", "Use an upload session.")
    now = tenant.clock.now()
    behavior = _behavior(request.query, "replace")
    parent, name = _target(drive, where)
    content, by = _stored(request.body), _identity(request)
    item, is_new = drive.put_file(parent, name, content, behavior, by, now)
    return Answer(201 if is_new else 200, item_json(drive, item, request, now))


def create_upload_session(tenant: "Tenant", request: Request, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    if drive.quirks.sessions_need_sites and request.app is not None:
        if not request.app.roles & {"Sites.ReadWrite.All", "Sites.FullControl.All"}:
            raise GraphError(403, "accessDenied", "Access denied")
    wish = request.json() if request.body else {}
    properties = wish.get("item") or {}
    parent, name = _target(drive, where)
    return drive_upload.create(
        tenant, drive, parent, str(properties.get("name", name)), wish, request,
        _identity(request), _times(properties), _behavior(properties, "replace"),
    )  # fmt: skip


def restore_version(tenant: "Tenant", request: Request, version: str, **where: str) -> Answer:
    drive = find_drive(tenant, where)
    item = find_item(drive, where)
    return drive_sharing.restore_version(tenant, drive, item, version, _identity(request))


def _on_item(act: "_Handler") -> "_Handler":
    """A handler that is given the drive and the item of the path."""

    def handle(tenant: "Tenant", request: Request, **where: str) -> Answer:
        drive = find_drive(tenant, where)
        rest = {name: where[name] for name in ("permission", "version") if name in where}
        return act(tenant, request, drive, find_item(drive, where), **rest)

    return handle


# Parts


def _drive(tenant: "Tenant", request: Request, drive: Drive) -> Json:
    """A drive; sharePointIds come only where $select names them."""
    shown = {**drive_json(drive), "sharePointIds": sites.sharepoint_ids(tenant, drive.id)}
    names = {name.strip() for name in request.query.get("$select", "").split(",")}
    if names == {""}:
        names = shown.keys() - {"sharePointIds"}
    return {name: value for name, value in shown.items() if name in names | {"id"}}


def _item(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    body = item_json(drive, item, request, tenant.clock.now())
    if "permissions" not in request.query.get("$expand", ""):
        return Answer(200, body)
    return Answer(200, {**body, "permissions": permissions_json(drive, item)}, {"x-cost": "5"})


def _target(drive: Drive, where: dict[str, str]) -> tuple[Item, str]:
    """(parent, name) that a write to a path or an existing item means."""
    if "path" in where:
        *folders, name = _names(where["path"]) or [""]
        return drive.by_path(folders, drive.get(where.get("item", "root"))), name
    item = find_item(drive, where)
    if not item.is_file or item.parent_id is None:
        raise invalid("Only files have content.")
    return drive.items[item.parent_id], item.name


def _match(request: Request, item: Item) -> None:
    expected = request.headers.get("if-match")
    if expected not in (None, "*", f'"{{{item.guid}}},{item.etag}"'):
        raise GraphError(412, "resourceModified", "ETag does not match current item's value.")


def _refuse_open(item: Item) -> None:
    if item.open_elsewhere:
        raise GraphError(423, "resourceLocked", "The resource is locked.")


def _behavior(source: Json | dict[str, str], default: Behavior) -> Behavior:
    value = source.get("@microsoft.graph.conflictBehavior", default)
    for known in BEHAVIORS:
        if value == known:
            return known
    raise invalid("Unknown conflictBehavior.")


def _times(wish: Json) -> tuple[datetime, datetime] | None:
    info = wish.get("fileSystemInfo")
    if not info:
        return None
    created, modified = info.get("createdDateTime"), info.get("lastModifiedDateTime")
    try:
        found = [
            datetime.fromisoformat(text) for text in (created or modified, modified or created)
        ]
    except (TypeError, ValueError):
        raise invalid("fileSystemInfo holds no times.") from None
    first, second = (time if time.tzinfo else time.replace(tzinfo=UTC) for time in found)
    return first, second


def _identity(request: Request) -> Json:
    app = request.app
    if app is None:
        return {"application": {"displayName": "SharePoint App"}}
    return {"application": {"id": app.app_id, "displayName": app.display_name}}


def _stored(body: bytes) -> Content:
    if len(body) < 1024 * 1024:
        return LiteralBytes(body)
    spooled = SpooledBytes()
    spooled.append(body)
    return spooled


# Routes

_BASES = ("/drives/{drive}", "/users/{user}/drive", "/groups/{group}/drive", "/sites/{site}/drive")
_ITEMS = ("/root", "/items/{item}", "/root:/{path}", "/items/{item}:/{path}")
_Handler = Callable[..., Answer]
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...], int], ...] = (
    ("GET", "", get_item, READ, 1),
    ("PATCH", "", update_item, WRITE, 2),
    ("DELETE", "", delete_item, WRITE, 2),
    ("GET", "/children", list_children, READ, 2),
    ("POST", "/children", create_item, WRITE, 2),
    ("GET", "/delta", get_delta, READ, 2),
    ("GET", "/content", get_content, READ, 1),
    ("PUT", "/content", put_content, WRITE, 2),
    ("POST", "/createUploadSession", create_upload_session, WRITE, 2),
    ("GET", "/versions", _on_item(drive_history.list_versions), READ, 2),
    ("GET", "/versions/{version}", _on_item(drive_history.get_version), READ, 1),
    ("GET", "/versions/{version}/content", _on_item(drive_history.get_content), READ, 1),
    ("GET", "/permissions", _on_item(drive_history.list_permissions), READ, 5),
    ("GET", "/retentionLabel", _on_item(get_label), READ, 1),
    ("POST", "/versions/{version}/restoreVersion", restore_version, WRITE, 2),
    ("POST", "/permanentDelete", _on_item(drive_sharing.delete_for_good), WRITE, 2),
    ("POST", "/restore", drive_sharing.restore_deleted, WRITE, 2),
    ("POST", "/invite", _on_item(drive_sharing.invite), WRITE, 5),
    ("POST", "/createLink", _on_item(drive_sharing.create_link), WRITE, 5),
    ("GET", "/permissions/{permission}", _on_item(drive_sharing.get_permission), READ, 5),
    ("PATCH", "/permissions/{permission}", _on_item(drive_sharing.update_permission), WRITE, 5),
    ("DELETE", "/permissions/{permission}", _on_item(drive_sharing.delete_permission), WRITE, 5),
)


def _routes() -> Iterator[Route]:
    for base in _BASES:
        yield Route("GET", base, get_drive, READ, "sharepoint", 1)
        yield Route("GET", f"{base}/delta", get_delta, READ, "sharepoint", 2)
        for where in _ITEMS:
            for method, tail, handler, roles, cost in _OPERATIONS:
                yield Route(method, base + where + tail, handler, roles, "sharepoint", cost)
    for owner in ("/users/{user}", "/groups/{group}", "/sites/{site}"):
        yield Route("GET", f"{owner}/drives", list_drives, READ, "sharepoint", 2)
    yield Route("GET", DOWNLOAD_PATH, download)
    session = drive_upload.UPLOAD_PATH + "/{session}"
    yield Route("PUT", session, drive_upload.put_range)
    yield Route("GET", session, drive_upload.status)
    yield Route("DELETE", session, drive_upload.cancel)


ROUTES: tuple[Route, ...] = tuple(_routes())
