"""Lists, columns and rows as Graph shows them.

Rules
- Fields without a value are left out, and those of hidden columns unless $select names them.
  Several choices come with their @odata.type.
- Of a lookup or a person there is the id alone, as text, under the name with LookupId behind it;
  where several are allowed an array of {LookupId, LookupValue}, with Email for persons.
- The words of a lookup come where $select inside of $expand=fields names it, for twelve at most.
- Calculated columns are worked out when they are shown: products, sums and texts put together.

https://learn.microsoft.com/graph/api/resources/fieldvalueset /listitem-get
"""

import re
from typing import Any
from urllib.parse import quote

from simulator.lists_state import ListItem, SiteList, lists_of, people_of
from simulator.tenant import Tenant
from simulator.web import GraphError, Json, Request

_REFERENCE = re.compile(r"\[([^\]]+)\]")
_TEXT = re.compile(r'"([^"]*)"')
LOOKUPS_MAX = 12


def list_json(tenant: Tenant, site_id: str, one: SiteList, *, system: bool = False) -> Json:
    """A list; `system`: with the facet that only comes where it is asked for."""
    url = f"{tenant.sites[site_id].get('webUrl', '')}/Lists/{quote(one.name)}"
    by: Json = {"user": {"displayName": "System Account"}}
    if one.by_app:
        by = {"application": {"displayName": one.by_app}}
    found: Json = {
        "@odata.etag": f'"{one.id},{one.etag}"', "createdDateTime": one.created,
        "description": one.description, "eTag": f'"{one.id},{one.etag}"', "id": one.id,
        "lastModifiedDateTime": one.modified, "name": one.name, "webUrl": url,
        "displayName": one.title, "createdBy": by, "parentReference": {"siteId": site_id},
        "list": {
            "contentTypesEnabled": len(one.content_types) > 2, "hidden": one.hidden,
            "template": one.template,
        },
    }  # fmt: skip
    if system and one.system:
        found["system"] = {}
    return found


def item_json(tenant: Tenant, site_id: str, of: SiteList, item: ListItem, request: Request) -> Json:
    """A row, with its fields where $expand asks for them."""
    content_type = next((t for t in of.content_types if t["name"] == item.content_type), {})
    found: Json = {
        "@odata.etag": f'"{item.guid},{item.etag}"', "createdDateTime": item.created,
        "eTag": f'"{item.guid},{item.etag}"', "id": str(item.id),
        "lastModifiedDateTime": item.modified, "webUrl": item_url(tenant, site_id, of, item),
        "createdBy": _by(tenant, site_id, item.author, item.by_app),
        "lastModifiedBy": _by(tenant, site_id, item.editor, item.by_app),
        "parentReference": {"id": item.guid, "siteId": site_id},
        "contentType": {"id": content_type.get("id", "0x01"), "name": item.content_type},
    }  # fmt: skip
    wanted = expanded_fields(request)
    if wanted is not None:
        found["fields@odata.context"] = f"{request.url_base}/$metadata#fields"
        found["fields"] = fields_json(tenant, site_id, of, item, wanted)
    return found


def item_url(tenant: Tenant, site_id: str, of: SiteList, item: ListItem) -> str:
    """Where a row lies; the folders of the list show in it and nowhere else."""
    base = f"{tenant.sites[site_id].get('webUrl', '')}/Lists/{quote(of.name)}"
    folders = "".join(f"/{quote(name)}" for name in item.folder.split("/") if name)
    last = f"{item.id}_.000"
    if item.content_type == "Folder":
        last = quote(str(item.values.get("Title", item.id)))
    return f"{base}{folders}/{last}"


def fields_json(
    tenant: Tenant, site_id: str, of: SiteList, item: ListItem, wanted: tuple[str, ...] = ()
) -> Json:
    """The fields of a row; `wanted`: names of a $select inside of $expand, () for all."""
    found: Json = {"@odata.etag": f'"{item.guid},{item.etag}"'}
    for column in of.columns:
        if not column.get("hidden") or column["name"] in wanted:
            found |= _field(tenant, site_id, of, item, column)
    found |= {
        "id": str(item.id), "ContentType": item.content_type, "Modified": item.modified,
        "Created": item.created, "AuthorLookupId": str(item.author),
        "EditorLookupId": str(item.editor), "_UIVersionString": f"{item.etag}.0",
        "Attachments": bool(item.attachments), "Edit": "", "ItemChildCount": "0",
        "FolderChildCount": "0", "_ComplianceFlags": "",
    }  # fmt: skip
    if "Title" in item.values:
        found["LinkTitle"] = found["LinkTitleNoMenu"] = item.values["Title"]
    if not wanted:
        return found
    words = _words_of(tenant, site_id, of, item, wanted)
    names = {name.lower() for name in wanted} | {"id"}
    kept = {name: value for name, value in found.items() if name.split("@")[0].lower() in names}
    return kept | words


def expanded_fields(request: Request) -> tuple[str, ...] | None:
    """Names in $expand=fields($select=…), () for all of them; None where fields are not asked."""
    text = request.query.get("$expand", request.query.get("expand", ""))
    match = re.search(r"fields(?:\((?:\$?select)=([^)]*)\))?", text, re.IGNORECASE)
    if match is None:
        return None
    return tuple(name.strip() for name in (match[1] or "").split(",") if name.strip())


def kind_of(column: Json) -> str:
    """What sort of column it is; "" for those that Graph describes without a facet."""
    from simulator.lists_state import KINDS

    return next((kind for kind in KINDS if column.get(kind) is not None), "")


def allows_several(column: Json) -> bool:
    """Whether a value of the column is a list."""
    kind = kind_of(column)
    facet = column.get(kind) or {}
    if kind == "choice":
        return facet.get("displayAs") == "checkBoxes"
    return bool(facet.get("allowMultipleValues") or facet.get("allowMultipleSelection"))


def word(tenant: Tenant, site_id: str, column: Json, item_id: int) -> str | None:
    """What a lookup or person shows; None where what it looks up is gone."""
    if kind_of(column) == "personOrGroup":
        found = people_of(tenant, site_id).items.get(item_id)
        return str(found.values["Title"]) if found else None
    facet = column["lookup"]
    target = lists_of(tenant, site_id).get(str(facet.get("listId", "")).strip("{}"))
    item = target.items.get(item_id) if target else None
    if item is None or target is None:
        return None
    shown = fields_json(tenant, site_id, target, item).get(facet.get("columnName") or "Title")
    return str(shown) if shown is not None else None


def _field(tenant: Tenant, site_id: str, of: SiteList, item: ListItem, column: Json) -> Json:
    name, kind = column["name"], kind_of(column)
    if kind == "calculated":
        value = _calculated(column["calculated"], of, item)
        return {name: value} if value is not None else {}
    if name not in item.values:
        return {}
    value = item.values[name]
    if kind in ("lookup", "personOrGroup"):
        if not allows_several(column):
            return {f"{name}LookupId": str(value)}
        return {name: [_looked_up(tenant, site_id, column, one) for one in value]}
    if kind == "choice" and isinstance(value, list):
        return {f"{name}@odata.type": "Collection(Edm.String)", name: value}
    return {name: value}


def _looked_up(tenant: Tenant, site_id: str, column: Json, item_id: int) -> Json:
    found: Json = {"LookupId": item_id, "LookupValue": word(tenant, site_id, column, item_id)}
    if kind_of(column) == "personOrGroup":
        known = people_of(tenant, site_id).items.get(item_id)
        found["Email"] = known.values.get("EMail") if known else None
    return found


def _words_of(
    tenant: Tenant, site_id: str, of: SiteList, item: ListItem, wanted: tuple[str, ...]
) -> Json:
    columns = [one for one in map(of.column, wanted) if one and kind_of(one) in _LOOKED_UP]
    if len(columns) > LOOKUPS_MAX:
        raise GraphError(400, "invalidRequest", "Too many lookup fields in one query.")
    found: Json = {}
    for column in columns:
        value = item.values.get(column["name"])
        if isinstance(value, int):
            found[column["name"]] = word(tenant, site_id, column, value)
    return found


_LOOKED_UP = ("lookup", "personOrGroup")


def _calculated(facet: Json, of: SiteList, item: ListItem) -> Any:
    """A formula of products and sums of numbers, or of texts put together with &."""
    formula = str(facet.get("formula", "")).removeprefix("=")
    if "&" in formula:
        return "".join(_piece(part.strip(), of, item) for part in formula.split("&"))
    total = 0.0
    for term in formula.split("+"):
        product = 1.0
        for factor in term.split("*"):
            value = _number(factor.strip(), of, item)
            if value is None:
                return None
            product *= value
        total += product
    return total


def _piece(text: str, of: SiteList, item: ListItem) -> str:
    literal = _TEXT.fullmatch(text)
    if literal is not None:
        return literal[1]
    value = _referred(text, of, item)
    return "" if value is None else str(value)


def _number(text: str, of: SiteList, item: ListItem) -> float | None:
    try:
        return float(text)
    except ValueError:
        value = _referred(text, of, item)
    return float(value) if isinstance(value, int | float) else None


def _referred(text: str, of: SiteList, item: ListItem) -> Any:
    """The value of the column that a formula names by what people call it."""
    match = _REFERENCE.fullmatch(text)
    shown = match[1] if match else text
    for column in of.columns:
        if shown in (column["displayName"], column["name"]):
            return item.values.get(column["name"])
    return None


def _by(tenant: Tenant, site_id: str, person_id: int, by_app: str) -> Json:
    if by_app and person_id == 0:
        return {"application": {"displayName": by_app}}
    found = people_of(tenant, site_id).items.get(person_id)
    if found is None:
        return {"user": {"displayName": "System Account"}}
    values = found.values
    return {"user": {"displayName": values["Title"], "email": values.get("EMail")}}
