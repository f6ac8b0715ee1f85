"""SharePoint's own interface, as far as lists need it: files attached to rows.

Rules
- It lies on SharePoint's host: on a machine of its own that is the other loopback name, with the
  paths of the sites.
- It takes tokens that were asked for that host, and of those only such as a certificate was given
  for: "Unsupported app only token." else. Roles are those of SharePoint itself, not of Graph.
- A file of a name that the row has is refused; nothing is overwritten.
- A token of Graph that is sent here is an offence.

https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread
https://learn.microsoft.com/sharepoint/dev/sp-add-ins/working-with-lists-and-list-items-with-rest
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from simulator.lists_state import ListItem, SiteList, lists_of
from simulator.sites import open_site
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_WRITE_ROLES = ("Sites.ReadWrite.All", "Sites.Manage.All", "Sites.FullControl.All")
_ROLES = ("Sites.Read.All", *_WRITE_ROLES)
_ROW = re.compile(
    r"(?P<web>/.*)?/_api/web/lists\(guid'(?P<list>[^']+)'\)/items\((?P<item>\d+)\)/AttachmentFiles"
    r"(?:\('(?P<name>(?:[^']|'')+)'\)/\$value|/add\(FileName='(?P<new>(?:[^']|'')+)'\))?",
    re.IGNORECASE,
)


def list_files(tenant: Tenant, request: Request, web: str) -> Answer:
    """GET …/AttachmentFiles: names and addresses."""
    at = _open(tenant, request)
    return Answer(200, {"value": [_file_json(at, name) for name in at.item.attachments]})


def get_file(tenant: Tenant, request: Request, web: str, name: str) -> Answer:
    """GET …/AttachmentFiles('name')/$value: its bytes."""
    at = _open(tenant, request)
    if at.name not in at.item.attachments:
        raise GraphError(404, "-2130575338", "The attachment does not exist.")
    data = at.item.attachments[at.name]
    return Answer(200, data, {"Content-Type": "application/octet-stream"})


def add_file(tenant: Tenant, request: Request, web: str, name: str) -> Answer:
    """POST …/AttachmentFiles/add(FileName='name'): the body is the file."""
    at = _open(tenant, request, _WRITE_ROLES)
    if any(one.lower() == at.name.lower() for one in at.item.attachments):
        raise GraphError(400, "-2130575257", "The specified name is already in use.")
    at.item.attachments[at.name] = request.body
    at.item.modified, at.item.etag = tenant.clock.stamp(), at.item.etag + 1
    at.of.record(at.item, at.item.modified)
    return Answer(200, _file_json(at, at.name))


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path names: a row of a list of a site, and a file."""

    site_url: str
    of: SiteList
    item: ListItem
    name: str


def _open(tenant: Tenant, request: Request, roles: tuple[str, ...] = _ROLES) -> _Place:
    """What the path names; refusals first."""
    issued = tenant.tokens.at_sharepoint(tenant, request.headers)
    if not issued.roles.intersection(roles):
        raise GraphError(403, "-2147024891, System.UnauthorizedAccessException", "Access denied.")
    match = _ROW.fullmatch(request.path)
    if match is None:
        raise GraphError(404, "-1", "Cannot find resource for the request.")
    name = (match["name"] or match["new"] or "").replace("''", "'")
    for site_id, site in tenant.sites.items():
        if urlsplit(str(site.get("webUrl", ""))).path.rstrip("/") == (match["web"] or ""):
            of = lists_of(tenant, open_site(tenant, site_id)).get(match["list"].lower())
            item = of.items.get(int(match["item"])) if of is not None else None
            if of is not None and item is not None:
                return _Place(str(site["webUrl"]), of, item, name)
    raise GraphError(404, "-2130575338", "Item does not exist.")


def _file_json(at: _Place, name: str) -> Json:
    folder = f"{urlsplit(at.site_url).path}/Lists/Attachments/{at.item.id}"
    return {"FileName": name, "ServerRelativeUrl": f"{folder}/{quote(name)}"}


_ITEMS = "/_api/web/lists/items/AttachmentFiles"
ROUTES: tuple[Route, ...] = (
    Route("GET", f"/sites/{{web}}{_ITEMS}", list_files, (), "sharepoint"),
    Route("GET", f"/sites/{{web}}{_ITEMS}/{{name}}/$value", get_file, (), "sharepoint"),
    Route("POST", f"/sites/{{web}}{_ITEMS}/add(FileName)/{{name}}", add_file, (), "sharepoint", 2),
)
