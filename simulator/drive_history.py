"""Older versions and permissions of drive items, read.

Rules: versions come newest first, the current one among them, which is no version where its bytes
are asked for; both lists have pages.
"""

from typing import TYPE_CHECKING
from urllib.parse import quote

from simulator.drive_download import all_versions, one_version, refuse_unreadable
from simulator.drive_item import Item, Version
from simulator.drive_json import download_url, permissions_json, version_json
from simulator.drive_names import invalid
from simulator.drive_state import Drive
from simulator.web import Answer, Json, Request

if TYPE_CHECKING:
    from simulator.tenant import Tenant


def list_versions(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    found = [_version(version) for version in all_versions(item)]
    return _paged(request, f"{path(drive, item)}/versions", found, drive.quirks.versions_page)


def get_version(
    tenant: "Tenant", request: Request, drive: Drive, item: Item, version: str
) -> Answer:
    return Answer(200, _version(one_version(item, version)))


def get_content(
    tenant: "Tenant", request: Request, drive: Drive, item: Item, version: str
) -> Answer:
    refuse_unreadable(item)
    found = one_version(item, version)
    if found.number == item.version:
        raise invalid("You cannot get the content of the current version.")
    url = download_url(drive, item, request, tenant.clock.now(), found)
    return Answer(302, None, {"Location": url})


def list_permissions(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    found = permissions_json(drive, item)
    return _paged(request, f"{path(drive, item)}/permissions", found, drive.quirks.permissions_page)


def path(drive: Drive, item: Item) -> str:
    """Of an item, as links spell it."""
    return f"/drives/{quote(drive.id, safe='!')}/items/{item.id}"


def _paged(request: Request, at: str, found: list[Json], size: int) -> Answer:
    """One page of a list, and where it goes on; the token stands for how many were seen."""
    start = int(request.query.get("$skiptoken", "0"))
    body: Json = {"value": found[start : start + size]}
    if start + size < len(found):
        body["@odata.nextLink"] = f"{request.url_base}{at}?$skiptoken={start + size}"
    return Answer(200, body)


def _version(version: Version) -> Json:
    return version_json(version.number, version.content.size, version.modified, version.modified_by)
