"""Content types of sites and lists: told, made, copied from a site into its list, given to a row.

Rules
- A type of a site has its parent's id with "00" and 32 digits behind it; its copy in a list once
  more. A list has one copy of a type, and no two types of one name.
- A copy is asked for by the address of the site's type; one that leads elsewhere is refused.
- A type that is copied brings its columns along; one that was made has none of its own.

https://learn.microsoft.com/graph/api/site-list-contenttypes /site-post-contenttypes
https://learn.microsoft.com/graph/api/contenttype-addcopy
"""

from urllib.parse import unquote

from simulator import lists, lists_write
from simulator.lists_json import item_json
from simulator.lists_state import (
    FOLDER,
    ITEM,
    SiteList,
    add_column,
    fresh_id,
    quirks_of,
)
from simulator.sites import open_site
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_READ = ("Sites.Read.All", "Sites.ReadWrite.All", "Sites.Manage.All", "Sites.FullControl.All")
_WRITE = ("Sites.Manage.All", "Sites.FullControl.All")
_ROWS = ("Sites.ReadWrite.All",)
_SETTABLE = ("name", "description", "group", "base", "hidden", "readOnly", "sealed", "parentId")


def types_of(tenant: Tenant, site_id: str) -> list[Json]:
    """The content types of a site; those that every site has come first."""
    rooms = tenant.room.setdefault("site content types", {})
    if site_id not in rooms:
        rooms[site_id] = [
            _type("0x", "System", "_Hidden", ("0x", "System")),
            _type(ITEM, "Item", "List Content Types", ("0x", "System")),
            _type("0x0101", "Document", "Document Content Types", (ITEM, "Item")),
            _type(FOLDER, "Folder", "Folder Content Types", (ITEM, "Item")),
        ]
    found: list[Json] = rooms[site_id]
    return found


def add_type(
    tenant: Tenant, site_id: str, name: str, base: str = ITEM, *, type_id: str = ""
) -> Json:
    """A new content type of a site. type_id: the same as in another site of the tenant."""
    above = next(one for one in types_of(tenant, site_id) if one["id"] == base)
    found = type_id or f"{base}00{_digits(tenant)}"
    made = _type(found, name, "Custom Content Types", (base, above["name"]))
    types_of(tenant, site_id).append(made)
    return made


def copy_type(
    tenant: Tenant, into: SiteList, of_site: Json, columns: tuple[Json, ...] = ()
) -> Json:
    """The copy of a site's content type in a list, with the columns that the list lacks."""
    made = _type(
        f"{of_site['id']}00{_digits(tenant)}", of_site["name"], of_site["group"],
        (of_site["id"], of_site["name"]),
    )  # fmt: skip
    into.content_types.append(made)
    for column in columns:
        if into.column(column["name"]) is None:
            add_column(tenant, into, column)
    into.etag += 1
    return made


def list_site_types(tenant: Tenant, request: Request, site: str) -> Answer:
    """GET /sites/{site}/contentTypes."""
    site_id = open_site(tenant, site)
    return lists.paged(tenant, request, f"/sites/{site_id}/contentTypes", types_of(tenant, site_id))


def create_site_type(tenant: Tenant, request: Request, site: str) -> Answer:
    """POST /sites/{site}/contentTypes."""
    site_id, body = open_site(tenant, site), request.json()
    name, base = body.get("name"), (body.get("base") or {}).get("id")
    known = types_of(tenant, site_id)
    if not isinstance(name, str) or not name.strip() or set(body) - set(_SETTABLE):
        raise _invalid("A content type needs a name.")
    if base not in {one["id"] for one in known}:
        raise _invalid("The base of the content type does not exist.")
    if any(one["name"].lower() == name.lower() for one in known):
        raise GraphError(409, "nameAlreadyExists", "A content type of that name exists.")
    made = add_type(tenant, site_id, name, str(base))
    made |= {key: body[key] for key in ("description", "group") if body.get(key)}
    return Answer(201, made)


def add_copy(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """POST …/lists/{list}/contentTypes/addCopy."""
    if not quirks_of(tenant).knows_add_copy:
        raise _invalid("Unsupported segment type.")
    site_id, of = lists.open_list(tenant, site, list_)
    link = unquote(str(request.json().get("contentType") or ""))
    base = unquote(f"{request.url_base}/sites/{site_id}/contentTypes/")
    wanted = link.removeprefix(base) if link.startswith(base) else ""
    found = next((one for one in types_of(tenant, site_id) if one["id"] == wanted), None)
    if found is None:
        raise GraphError(404, "itemNotFound", "The content type was not found.")
    if any(one["name"].lower() == found["name"].lower() for one in of.content_types):
        raise GraphError(409, "nameAlreadyExists", "The list has that content type.")
    columns = tenant.room.get("content type columns", {}).get(found["id"], ())
    return Answer(201, copy_type(tenant, of, found, columns))


def patch_item(tenant: Tenant, request: Request, site: str, list_: str, item: str) -> Answer:
    """PATCH …/items/{item}: its content type."""
    site_id, of = lists.open_list(tenant, site, list_)
    found = lists.open_item(of, item)
    found.content_type = lists_write.content_type_of(of, request.json())
    found.etag += 1
    of.record(found, tenant.clock.stamp())
    return Answer(200, item_json(tenant, site_id, of, found, request))


def _type(type_id: str, name: str, group: str, base: tuple[str, str]) -> Json:
    return {
        "id": type_id, "name": name, "hidden": False, "description": "", "group": group,
        "readOnly": False, "sealed": False, "parentId": base[0],
        "base": {"id": base[0], "name": base[1]},
    }  # fmt: skip


def _digits(tenant: Tenant) -> str:
    return fresh_id(tenant).replace("-", "").upper()


def _invalid(message: str) -> GraphError:
    return GraphError(400, "invalidRequest", message)


_LIST = "/sites/{site}/lists/{list_}"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/sites/{site}/contentTypes", list_site_types, _READ, "sharepoint", 2),
    Route("POST", "/sites/{site}/contentTypes", create_site_type, _WRITE, "sharepoint", 2),
    Route("POST", f"{_LIST}/contentTypes/addCopy", add_copy, _WRITE, "sharepoint", 2),
    Route("PATCH", f"{_LIST}/items/{{item}}", patch_item, _ROWS, "sharepoint", 2),
)
