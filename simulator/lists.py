"""Lists over HTTP: which there are, their columns, content types, rows, deltas and versions.

Rules
- Lists that are hidden from people are told where $select names `system`, and nowhere else.
- A list is named by its id, its name or its title.
- Rows come with fields only where $expand asks for them.
- A filter on a column without an index needs Prefer: HonorNonIndexedQueriesWarningMayFailRandomly,
  and is refused above the threshold of 5,000 rows whatever is preferred.
- Who may do what is Microsoft's permission table, operation by operation: columns take
  Sites.Manage.All, rows Sites.ReadWrite.All.
- The people of a site are nobody's to write.

https://learn.microsoft.com/graph/api/list-list /list-create /listitem-list /listitem-create
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from simulator import lists_delta, lists_write
from simulator.lists_json import fields_json, item_json, list_json
from simulator.lists_state import (
    ListItem,
    SiteList,
    add_column,
    add_item,
    add_list,
    change_item,
    delete_item,
    delete_list,
    lists_of,
    quirks_of,
)
from simulator.sites import open_site
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_READ = ("Sites.Read.All", "Sites.ReadWrite.All")
_READ_COLUMNS = (*_READ, "Sites.Manage.All", "Sites.FullControl.All")
_CREATE = ("Sites.Manage.All", "Sites.ReadWrite.All")
_WRITE_COLUMNS = ("Sites.Manage.All", "Sites.FullControl.All")
_WRITE = ("Sites.ReadWrite.All",)
_UNINDEXED = "HonorNonIndexedQueriesWarningMayFailRandomly"
_PAGE, _PAGE_MAX = 200, 5_000
_FILTER = re.compile(r"fields/(\w+)\s+(eq|ne|gt|ge|lt|le)\s+('(?:[^']|'')*'|[^\s]+)", re.IGNORECASE)
_BEGINS = re.compile(r"startswith\(fields/(\w+),\s*('(?:[^']|'')*')\)", re.IGNORECASE)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
    "begins": lambda a, b: a.startswith(b),
}  # fmt: skip


def list_lists(tenant: Tenant, request: Request, site: str) -> Answer:
    """GET /sites/{site}/lists."""
    site_id = open_site(tenant, site)
    system = "system" in _names(request.query.get("$select", ""))
    left_out = quirks_of(tenant).unlisted
    shown = [
        _list(tenant, site_id, one, request)
        for one in lists_of(tenant, site_id).values()
        if (system or not (one.hidden or one.system)) and one.id not in left_out
    ]
    return paged(tenant, request, f"/sites/{quote(site_id, safe=',')}/lists", shown)


def get_list(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """GET /sites/{site}/lists/{list}."""
    site_id, of = open_list(tenant, site, list_)
    if "$expand" in request.query and quirks_of(tenant).refuses_lists_expanded:
        raise _invalid("$expand is not supported.")
    body = _list(tenant, site_id, of, request)
    context = f"{request.url_base}/$metadata#sites('{site_id}')/lists/$entity"
    return Answer(200, {"@odata.context": context} | body)


def create_list(tenant: Tenant, request: Request, site: str) -> Answer:
    """POST /sites/{site}/lists."""
    site_id, body = open_site(tenant, site), request.json()
    title = body.get("displayName")
    template = (body.get("list") or {}).get("template") or "genericList"
    if not isinstance(title, str) or not title.strip() or template not in lists_write.TEMPLATES:
        raise _invalid("A list needs a displayName and a template.")
    if any(one.title.lower() == title.lower() for one in lists_of(tenant, site_id).values()):
        raise GraphError(409, "nameAlreadyExists", "A list of that name exists.")
    given = body.get("columns") or []
    for column in given:
        lists_write.checked_column(tenant, site_id, None, column)
    made = add_list(tenant, site_id, title, template)
    made.description = body.get("description") or ""
    made.by_app = request.app.display_name if request.app else ""
    lists_write.add_columns(tenant, site_id, made, given)
    return Answer(201, list_json(tenant, site_id, made))


def patch_list(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """PATCH …/lists/{list}: its title and description."""
    site_id, of = open_list(tenant, site, list_)
    body = request.json()
    of.title = body.get("displayName", of.title)
    of.description = body.get("description", of.description)
    of.modified, of.etag = tenant.clock.stamp(), of.etag + 1
    return Answer(200, list_json(tenant, site_id, of))


def remove_list(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """DELETE …/lists/{list}."""
    site_id, of = open_list(tenant, site, list_)
    delete_list(tenant, site_id, of.id)
    return Answer(204)


def list_columns(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """GET …/columns."""
    site_id, of = open_list(tenant, site, list_)
    return paged(tenant, request, f"{_path(site_id, of)}/columns", of.columns)


def create_column(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """POST …/columns."""
    site_id, of = open_list(tenant, site, list_)
    column = lists_write.checked_column(tenant, site_id, of, request.json())
    return Answer(201, add_column(tenant, of, column))


def patch_column(tenant: Tenant, request: Request, site: str, list_: str, column: str) -> Answer:
    """PATCH …/columns/{column}: what people call it, and what may be set of it."""
    _, of = open_list(tenant, site, list_)
    found = next((one for one in of.columns if column in (one["id"], one["name"])), None)
    if found is None:
        raise GraphError(404, "itemNotFound", "The column was not found.")
    given = request.json()
    refused = sorted(set(given) - {"displayName", "description", "hidden", "indexed", "required"})
    if refused:
        raise _invalid(f"{refused[0]} cannot be changed.")
    found |= given
    of.etag += 1
    return Answer(200, found)


def list_content_types(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """GET …/contentTypes."""
    site_id, of = open_list(tenant, site, list_)
    return paged(tenant, request, f"{_path(site_id, of)}/contentTypes", of.content_types)


def list_items(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """GET …/items."""
    site_id, of = open_list(tenant, site, list_)
    found = _filtered(tenant, site_id, of, request)
    size = request.whole("$top", _PAGE, _PAGE_MAX)
    after = int(request.query.get("$skiptoken", "0").rpartition("=")[2] or 0)
    rest = [item for item in found if item.id > after]
    path = f"{_path(site_id, of)}/items"
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection(listItem)"}
    body["value"] = [item_json(tenant, site_id, of, one, request) for one in rest[:size]]
    if len(rest) > size:
        query = request.query | {"$skiptoken": f"Paged=TRUE&p_ID={rest[size - 1].id}"}
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    return Answer(200, body)


def delta(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """GET …/items/delta."""
    site_id, of = open_list(tenant, site, list_)
    return lists_delta.delta(tenant, site_id, of, request)


def create_item(tenant: Tenant, request: Request, site: str, list_: str) -> Answer:
    """POST …/items."""
    site_id, of = open_list(tenant, site, list_)
    _refuse_people(of)
    body = request.json()
    values = lists_write.values_of(tenant, site_id, of, body.get("fields") or {})
    kind = lists_write.content_type_of(of, body)
    if kind == "Folder":
        raise _invalid("A folder cannot be created as an item.")
    values = {name: value for name, value in values.items() if value is not None}
    app = request.app.display_name if request.app else ""
    item = add_item(tenant, of, values, by=0, by_app=app, content_type=kind)
    request.query["$expand"] = "fields"
    return Answer(201, item_json(tenant, site_id, of, item, request))


def get_item(tenant: Tenant, request: Request, site: str, list_: str, item: str) -> Answer:
    """GET …/items/{item}."""
    site_id, of = open_list(tenant, site, list_)
    return Answer(200, item_json(tenant, site_id, of, open_item(of, item), request))


def get_fields(tenant: Tenant, request: Request, site: str, list_: str, item: str) -> Answer:
    """GET …/items/{item}/fields."""
    site_id, of = open_list(tenant, site, list_)
    wanted = tuple(_names(request.query.get("$select", ""), lower=False))
    return Answer(200, fields_json(tenant, site_id, of, open_item(of, item), wanted))


def patch_fields(tenant: Tenant, request: Request, site: str, list_: str, item: str) -> Answer:
    """PATCH …/items/{item}/fields."""
    site_id, of = open_list(tenant, site, list_)
    _refuse_people(of)
    found = open_item(of, item)
    expected = request.headers.get("if-match")
    if expected not in (None, "*", f'"{found.guid},{found.etag}"'):
        raise GraphError(412, "resourceModified", "ETag does not match current item's value.")
    values = lists_write.values_of(tenant, site_id, of, request.json())
    change_item(tenant, of, found, values, by=0)
    return Answer(200, fields_json(tenant, site_id, of, found))


def remove_item(tenant: Tenant, request: Request, site: str, list_: str, item: str) -> Answer:
    """DELETE …/items/{item}."""
    _, of = open_list(tenant, site, list_)
    _refuse_people(of)
    delete_item(tenant, of, open_item(of, item))
    return Answer(204)


def list_versions(tenant: Tenant, request: Request, site: str, list_: str, item: str) -> Answer:
    """GET …/items/{item}/versions: the current one too, newest first."""
    site_id, of = open_list(tenant, site, list_)
    found = open_item(of, item)
    now = {"number": found.etag, "modified": found.modified, "editor": found.editor}
    shown = []
    for one in ({**now, "values": found.values}, *found.versions):
        state = ListItem(
            found.id, found.guid, one["values"], found.created, one["modified"], found.author,
            one["editor"], found.by_app, found.content_type, found.folder, one["number"],
        )  # fmt: skip
        version: Json = {"id": f"{one['number']}.0", "lastModifiedDateTime": one["modified"]}
        if "fields" in request.query.get("$expand", ""):
            version["fields"] = fields_json(tenant, site_id, of, state)
        shown.append(version)
    return paged(tenant, request, f"{_path(site_id, of)}/items/{item}/versions", shown)


def open_list(tenant: Tenant, site: str, reference: str) -> tuple[str, SiteList]:
    """(id of the site, list) that a path names; refusals of the site first."""
    site_id = open_site(tenant, site)
    lists, wanted = lists_of(tenant, site_id), unquote(reference).strip("{}").lower()
    for one in lists.values():
        if wanted in (one.id.lower(), one.name.lower(), one.title.lower()):
            return site_id, one
    raise GraphError(404, "itemNotFound", "The specified list was not found.")


def open_item(of: SiteList, reference: str) -> ListItem:
    """The row that a path names."""
    if not reference.isdigit():
        raise _invalid("The id of an item is a number.")
    found = of.items.get(int(reference))
    if found is None:
        raise GraphError(404, "itemNotFound", "The resource could not be found.")
    return found


def _list(tenant: Tenant, site_id: str, one: SiteList, request: Request) -> Json:
    """A list with what $select and $expand ask for."""
    select = _names(request.query.get("$select", ""))
    full = list_json(tenant, site_id, one, system="system" in select)
    if select:
        full = {k: v for k, v in full.items() if k.lower() in select | {"id"} or "@" in k}
    expanded = request.query.get("$expand", "").lower()
    if "columns" in expanded:
        full["columns"] = one.columns
    if "contenttypes" in expanded:
        full["contentTypes"] = one.content_types
    return full


def _filtered(tenant: Tenant, site_id: str, of: SiteList, request: Request) -> list[ListItem]:
    found, text = list(of.items.values()), request.query.get("$filter")
    if text is None:
        return found
    begins = _BEGINS.fullmatch(text.strip())
    match = begins or _FILTER.fullmatch(text.strip())
    column = of.column(match[1].removesuffix("LookupId")) if match else None
    if begins and not quirks_of(tenant).knows_startswith:
        column = None
    if match is None or column is None:
        raise _invalid("The filter is not understood.")
    _refuse_without_index(tenant, column, len(found), request)
    name, compare = match[1], _ORDER[match[2].lower() if not begins else "begins"]
    wanted = _literal(match[2] if begins else match[3]).lower()
    values = ((item, fields_json(tenant, site_id, of, item, (name,)).get(name)) for item in found)
    return [item for item, value in values if value is not None and compare(_told(value), wanted)]


def _refuse_without_index(tenant: Tenant, column: Json, rows: int, request: Request) -> None:
    if column.get("indexed") or column["name"] == "ID":
        return
    if rows > quirks_of(tenant).threshold or request.prefer(_UNINDEXED) is None:
        raise _invalid(
            f"Field '{column['name']}' cannot be referenced in filter or orderby as it is not "
            f"indexed. Provide the 'Prefer: {_UNINDEXED}' header to allow this, but be warned "
            "that such queries may fail on large lists."
        )


def _told(value: Any) -> str:
    return str(value).lower()


def _literal(text: str) -> str:
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def paged(tenant: Tenant, request: Request, path: str, rows: list[Json]) -> Answer:
    """One page of a list that is not of rows; hostile tenants give short and empty ones too, but
    no two empty ones in a row: a link that comes twice leads in a circle.
    """
    at, _, after_empty = request.query.get("$skiptoken", "0").partition(".")
    start, size = int(at), request.whole("$top", _PAGE, _PAGE_MAX)
    quirks, left = tenant.quirks, len(rows) - int(at)
    if left > 1 and tenant.rng.random() < quirks.p_short_page:
        size = min(size, left // 2)
    if left > 0 and not after_empty and tenant.rng.random() < quirks.p_empty_page:
        size = 0
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{path.lstrip('/')}"}
    body["value"] = rows[start : start + size]
    if size < left:
        following = str(start + size) if size else f"{start}.1"
        query = request.query | {"$skiptoken": following}
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    return Answer(200, body)


def _path(site_id: str, of: SiteList) -> str:
    return f"/sites/{quote(site_id, safe=',')}/lists/{of.id}"


def _names(text: str, *, lower: bool = True) -> set[str]:
    names = (name.strip() for name in text.split(","))
    return {name.lower() if lower else name for name in names if name}


def _refuse_people(of: SiteList) -> None:
    if of.template == "userInformation":
        raise GraphError(403, "accessDenied", "The list of people cannot be written.")


def _invalid(message: str) -> GraphError:
    return GraphError(400, "invalidRequest", message)


_LISTS = "/sites/{site}/lists"
_LIST = f"{_LISTS}/{{list_}}"
_ITEM = f"{_LIST}/items/{{item}}"
ROUTES: tuple[Route, ...] = (
    Route("GET", _LISTS, list_lists, _READ, "sharepoint", 2),
    Route("POST", _LISTS, create_list, _CREATE, "sharepoint", 2),
    Route("GET", _LIST, get_list, _READ, "sharepoint", 1),
    Route("PATCH", _LIST, patch_list, _WRITE_COLUMNS, "sharepoint", 2),
    Route("DELETE", _LIST, remove_list, _WRITE_COLUMNS, "sharepoint", 2),
    Route("GET", f"{_LIST}/columns", list_columns, _READ_COLUMNS, "sharepoint", 2),
    Route("POST", f"{_LIST}/columns", create_column, _WRITE_COLUMNS, "sharepoint", 2),
    Route("PATCH", f"{_LIST}/columns/{{column}}", patch_column, _WRITE_COLUMNS, "sharepoint", 2),
    Route("GET", f"{_LIST}/contentTypes", list_content_types, _READ_COLUMNS, "sharepoint", 2),
    Route("GET", f"{_LIST}/items", list_items, _READ, "sharepoint", 2),
    Route("POST", f"{_LIST}/items", create_item, _WRITE, "sharepoint", 2),
    Route("GET", f"{_LIST}/items/delta", delta, _READ, "sharepoint", 2),
    Route("GET", _ITEM, get_item, (*_READ, "Sites.Manage.All"), "sharepoint", 1),
    Route("DELETE", _ITEM, remove_item, _WRITE, "sharepoint", 2),
    Route("GET", f"{_ITEM}/fields", get_fields, (*_READ, "Sites.Manage.All"), "sharepoint", 1),
    Route("PATCH", f"{_ITEM}/fields", patch_fields, _WRITE, "sharepoint", 2),
    Route("GET", f"{_ITEM}/versions", list_versions, _READ, "sharepoint", 2),
)  # fmt: skip
