"""Drive items, drives, versions and permissions as Graph writes them, and pre-authenticated URLs.

Rules: a download URL carries all it needs (item, version, expiry, seal), so the simulator keeps
no list of them; $select gives what is named and nothing else.
"""

import hmac
from datetime import datetime
from urllib.parse import quote, urlencode

from simulator.drive_facets import media_facets, requested_facets
from simulator.drive_item import Change, Item, Version
from simulator.drive_state import Drive
from simulator.web import Json, Request

DOWNLOAD_PATH = "/_layouts/15/download.aspx"
_SEAL_KEY = b"pre-authenticated urls of the simulated tenant"


def stamp(at: datetime) -> str:
    """A time as Graph writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def drive_json(drive: Drive) -> Json:
    """A drive resource."""
    used = drive.used_bytes()
    return {
        "id": drive.id,
        "driveType": drive.drive_type,
        "name": drive.name,
        "webUrl": drive.web_url,
        "createdDateTime": stamp(drive.created),
        "lastModifiedDateTime": stamp(drive.log[-1].at),
        "owner": drive.owner,
        "quota": {
            "deleted": 0,
            "remaining": max(drive.quota_bytes - used, 0),
            "state": "normal" if used < drive.quota_bytes else "exceeded",
            "total": drive.quota_bytes,
            "used": used,
        },
    }


def item_json(drive: Drive, item: Item, request: Request, now: datetime) -> Json:
    """A driveItem as GET, children and write answers show it."""
    full = _facets(drive, item)
    full["parentReference"] = parent_reference(drive, item.parent_id, with_path=True)
    if item.is_file:
        full[drive.quirks.download_url_name] = download_url(drive, item, request, now)
    select = request.query.get("$select")
    return selected(full | requested_facets(drive, item, select or ""), select)


def delta_json(drive: Drive, change: Change, request: Request, now: datetime) -> Json:
    """A driveItem of a delta page, in the state the change left it; not yet $select-ed."""
    item, quirks = drive.items[change.item_id], drive.quirks
    if change.deleted:
        gone: Json = {"id": item.id, "deleted": {"state": "deleted"}}
        if quirks.deleted_names:
            gone["name"] = change.name
        if quirks.deleted_parents:
            gone["parentReference"] = parent_reference(drive, change.parent_id, with_path=False)
        return gone
    full = _facets(drive, item, change)
    full["parentReference"] = parent_reference(drive, change.parent_id, quirks.parent_path)
    if not quirks.ctag:
        full.pop("cTag", None)
    if item.is_file and not item.deleted:
        full[quirks.download_url_name] = download_url(drive, item, request, now)
    return full


def parent_reference(drive: Drive, parent_id: str | None, with_path: bool) -> Json:
    """Where an item lies; the root's has no id."""
    reference: Json = {"driveType": drive.drive_type, "driveId": drive.id}
    if parent_id is not None:
        reference["id"] = parent_id
        if with_path:
            path = "/".join(quote(name) for name in drive.path(drive.items[parent_id]))
            reference["path"] = f"/drives/{drive.id}/root:" + (f"/{path}" if path else "")
    return reference


def version_json(number: int, size: int, modified: datetime, by: Json) -> Json:
    return {
        "id": f"{number}.0",
        "lastModifiedBy": by,
        "lastModifiedDateTime": stamp(modified),
        "size": size,
        "publication": {"level": "published", "versionId": f"{number}.0"},
    }


def permissions_json(drive: Drive, item: Item) -> list[Json]:
    """Own permissions, then those of the folders above, marked as inherited."""
    found = list(item.permissions)
    above = item.parent_id
    while above is not None:
        parent = drive.items[above]
        origin: Json = {"inheritedFrom": {"driveId": drive.id, "id": parent.id}}
        if not drive.quirks.inherited_from:
            origin = {}
        found += [{**permission, **origin} for permission in parent.permissions]
        above = parent.parent_id
    return found


def is_shared(drive: Drive, item: Item, inherited: bool) -> bool:
    """Whether an item has the shared facet; inherited: a shared folder above counts too."""
    if item.permissions:
        return True
    if not inherited or item.parent_id is None:
        return False
    return is_shared(drive, drive.items[item.parent_id], inherited)


def selected(full: Json, select: str | None) -> Json:
    """Only the named properties; a download URL may be named with or without its namespace."""
    if not select:
        return full
    names = {_bare(name) for name in select.split(",")}
    return {name: value for name, value in full.items() if _bare(name) in names}


def download_url(
    drive: Drive, item: Item, request: Request, now: datetime, version: Version | None = None
) -> str:
    """A URL on the other host that needs no token, until it expires."""
    number = version.number if version else item.version
    expiry = int(now.timestamp()) + drive.quirks.download_url_ttl_s
    query = {
        "drive": drive.id,
        "UniqueId": item.id,
        "version": str(number),
        "tempauth": f"{expiry}.{_seal(drive.id, item.id, str(number), str(expiry))}",
    }
    return f"{request.content_base}{DOWNLOAD_PATH}?{urlencode(query)}"


def is_genuine(query: dict[str, str], now: datetime) -> bool:
    """Whether a download URL was made here and has not expired."""
    expiry, _, seal = query.get("tempauth", "").partition(".")
    names = ("drive", "UniqueId", "version")
    expected = _seal(*(query.get(name, "") for name in names), expiry)
    return hmac.compare_digest(seal, expected) and now.timestamp() <= int(expiry)


def _facets(drive: Drive, item: Item, state: Change | None = None) -> Json:
    """All properties but parentReference and the download URL."""
    content = state.content if state else item.content
    facets: Json = {
        "id": item.id,
        "name": state.name if state else item.name,
        "createdDateTime": stamp(item.created),
        "lastModifiedDateTime": stamp(item.modified),
        "eTag": f'"{{{item.guid}}},{state.etag if state else item.etag}"',
        "cTag": f'"c:{{{item.guid}}},{item.ctag if item.is_file else 0}"',
        "size": content.size if content is not None else drive.total_size(item),
        "webUrl": "/".join([drive.web_url, *(quote(name) for name in drive.path(item))]),
        "createdBy": item.created_by,
        "lastModifiedBy": item.modified_by,
        "fileSystemInfo": {
            "createdDateTime": stamp(item.created),
            "lastModifiedDateTime": stamp(item.modified),
        },
    }
    if content is not None and item.told_size is not None:
        facets["size"] = item.told_size
    if is_shared(drive, item, inherited=True):
        facets["shared"] = {"scope": "users"}
    if item.kind == "root":
        facets["root"] = {}
    if item.kind in ("root", "folder"):
        facets["folder"] = {"childCount": len(drive.children(item))}
    elif item.kind == "package":
        facets["package"] = {"type": item.package_type}
    elif content is not None:
        facets["file"] = {"mimeType": item.mime_type}
        if drive.quirks.hashes and not item.hashless:
            facets["file"]["hashes"] = {"quickXorHash": content.quickxorhash}
        facets |= media_facets(facets["name"], content)
        if item.infected:
            facets["malware"] = {"description": "EICAR_Test_File"}
    return facets | item.facets


def _bare(name: str) -> str:
    return name.strip().lower().removeprefix("@").removeprefix("microsoft.graph.")


def _seal(*parts: str) -> str:
    return hmac.new(_SEAL_KEY, "\n".join(parts).encode(), "sha256").hexdigest()[:32]
