"""SharePoint's own interface, as far as lists need it: files attached to rows.

Rules
- It lies on SharePoint's host: on a machine of its own that is the other loopback name, with the
  paths of the sites.
- It takes tokens that were asked for that host, and of those only such as a certificate was given
  for: "Unsupported app only token." else. Roles are those of SharePoint itself, not of Graph.
- A token of Graph that is sent here is an offence.

https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread
https://learn.microsoft.com/sharepoint/dev/sp-add-ins/working-with-lists-and-list-items-with-rest
"""

import re
from urllib.parse import quote, urlsplit

from simulator.lists_state import ListItem, lists_of
from simulator.sites import open_site
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_ROLES = ("Sites.Read.All", "Sites.ReadWrite.All", "Sites.Manage.All", "Sites.FullControl.All")
_ROW = re.compile(
    r"(?P<web>/.*)?/_api/web/lists\(guid'(?P<list>[^']+)'\)/items\((?P<item>\d+)\)/AttachmentFiles"
    r"(?:\('(?P<name>(?:[^']|'')+)'\)/\$value)?",
    re.IGNORECASE,
)


def list_files(tenant: Tenant, request: Request, web: str) -> Answer:
    """GET …/AttachmentFiles: names and addresses."""
    item, site_url, _ = _open(tenant, request)
    folder = f"{urlsplit(site_url).path}/Lists/Attachments/{item.id}"
    found: list[Json] = [
        {"FileName": name, "ServerRelativeUrl": f"{folder}/{quote(name)}"}
        for name in item.attachments
    ]
    return Answer(200, {"value": found})


def get_file(tenant: Tenant, request: Request, web: str, name: str) -> Answer:
    """GET …/AttachmentFiles('name')/$value: its bytes."""
    item, _, wanted = _open(tenant, request)
    if wanted not in item.attachments:
        raise GraphError(404, "-2130575338", "The attachment does not exist.")
    return Answer(200, item.attachments[wanted], {"Content-Type": "application/octet-stream"})


def _open(tenant: Tenant, request: Request) -> tuple[ListItem, str, str]:
    """The row that a path names, its site's address, and the name of the file; refusals first."""
    issued = tenant.tokens.at_sharepoint(tenant, request.headers)
    if not issued.roles.intersection(_ROLES):
        raise GraphError(403, "-2147024891, System.UnauthorizedAccessException", "Access denied.")
    match = _ROW.fullmatch(request.path)
    if match is None:
        raise GraphError(404, "-1", "Cannot find resource for the request.")
    for site_id, site in tenant.sites.items():
        if urlsplit(str(site.get("webUrl", ""))).path.rstrip("/") == (match["web"] or ""):
            of = lists_of(tenant, open_site(tenant, site_id)).get(match["list"].lower())
            item = of.items.get(int(match["item"])) if of is not None else None
            if item is not None:
                return item, str(site["webUrl"]), (match["name"] or "").replace("''", "'")
    raise GraphError(404, "-2130575338", "Item does not exist.")


_ITEMS = "/_api/web/lists/items/AttachmentFiles"
ROUTES: tuple[Route, ...] = (
    Route("GET", f"/sites/{{web}}{_ITEMS}", list_files, (), "sharepoint"),
    Route("GET", f"/sites/{{web}}{_ITEMS}/{{name}}/$value", get_file, (), "sharepoint"),
)
