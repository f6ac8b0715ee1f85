"""What lists take when they are written to, and what they refuse.

Rules
- Fields are written by internal name; unknown ones and read-only ones are refused, with the whole
  request.
- A lookup or a person is written as its LookupId, several with @odata.type Collection(Edm.Int32)
  or Collection(Edm.String), several choices with Collection(Edm.String).
- Links and pictures, places, terms and thumbnails cannot be written: Graph says invalidRequest.
- Who wrote an item and when is the service's to say.
- A column is of one kind; a lookup has to name a list of the site, a formula columns of the list.

https://learn.microsoft.com/graph/api/listitem-create /list-post-columns /list-create
"""

import re
from datetime import UTC, datetime
from typing import Any

from simulator.lists_json import allows_several, kind_of
from simulator.lists_state import (
    KINDS,
    SiteList,
    add_column,
    internal_name,
    lists_of,
    people_of,
    quirks_of,
)
from simulator.tenant import Tenant
from simulator.web import GraphError, Json

_NOT_WRITTEN = ("hyperlinkOrPicture", "geolocation", "term", "thumbnail", "contentApprovalStatus")
_COLLECTIONS = ("collection(edm.int32)", "collection(edm.string)")
_REFERENCE = re.compile(r"\[([^\]]+)\]")
_SETTABLE = frozenset(
    ("columnGroup", "description", "displayName", "enforceUniqueValues", "hidden", "indexed",
     "name", "readOnly", "required", "defaultValue", "validation", "propagateChanges", "type",
     *KINDS)
)  # fmt: skip
TEMPLATES = (
    "genericList", "documentLibrary", "survey", "links", "announcements", "contacts", "events",
    "tasks", "discussionBoard", "issueTracking",
)  # fmt: skip
_SINGLE_LINE_MAX = 255


def values_of(tenant: Tenant, site_id: str, of: SiteList, given: Json) -> Json:
    """The values that written fields stand for; GraphError for what Graph does not take."""
    found: Json = {}
    for name, value in given.items():
        if "@" in name or name == "ContentType":
            continue
        column, by_id = _column(of, name)
        kind = kind_of(column)
        if column.get("readOnly") or kind == "calculated" or column["name"] == "Attachments":
            raise _invalid(f"Field '{name}' is read-only.")
        if value is None:
            found[column["name"]] = None
        elif kind in ("lookup", "personOrGroup"):
            if not by_id:
                raise _invalid(f"Field '{name}' is written by its LookupId.")
            declared = str(given.get(f"{name}@odata.type", ""))
            found[column["name"]] = _ids(tenant, site_id, column, value, declared)
        else:
            found[column["name"]] = _value(kind, column, value, given, name)
        _refuse_double(of, column, found[column["name"]])
    return found


def content_type_of(of: SiteList, body: Json) -> str:
    """The name of the content type that a new item is to have."""
    asked = body.get("contentType") or {}
    named = asked.get("name") or (body.get("fields") or {}).get("ContentType")
    for one in of.content_types:
        if named == one["name"] or (asked.get("id") and one["id"] == asked["id"]):
            return str(one["name"])
    if named or asked.get("id"):
        raise _invalid("The list has no such content type.")
    return "Item"


def checked_column(tenant: Tenant, site_id: str, into: SiteList | None, given: Json) -> Json:
    """A column as it is to be added; GraphError for what is none. `into` None: with a new list."""
    column = {name: value for name, value in given.items() if "@" not in name}
    name = column.get("name") or column.get("displayName")
    if not isinstance(name, str) or not name.strip() or name in quirks_of(tenant).refused_columns:
        raise _invalid("A column needs a name that is free.")
    unknown = sorted(set(column) - _SETTABLE - {"id", "isDeletable", "isReorderable", "isSealed"})
    if unknown or "id" in column:
        raise _invalid(f"{(unknown or ['id'])[0]} cannot be set.")
    kinds = [kind for kind in KINDS if column.get(kind) is not None]
    if len(kinds) > 1:
        raise _invalid("A column is of one kind.")
    if into is not None and into.column(internal_name(name)) is not None:
        raise GraphError(409, "nameAlreadyExists", "A column of that name exists.")
    if not kinds:
        column["text"] = {}
    if "lookup" in kinds:
        target = str(column["lookup"].get("listId", "")).strip("{}")
        if target not in lists_of(tenant, site_id):
            raise _invalid("The list of the lookup does not exist.")
    if "calculated" in kinds and into is not None:
        _refuse_unknown_references(into, str(column["calculated"].get("formula", "")))
    if "term" in kinds:
        raise _invalid("The term set does not exist.")
    return {**column, "name": name, "displayName": column.get("displayName") or name}


def add_columns(tenant: Tenant, site_id: str, into: SiteList, given: list[Json]) -> None:
    """The columns of a new list, one after another: a formula may name those before it."""
    for column in given:
        add_column(tenant, into, checked_column(tenant, site_id, into, column))


def _column(of: SiteList, name: str) -> tuple[Json, bool]:
    """The column that a field names, and whether by its LookupId."""
    found = of.column(name)
    if found is not None:
        return found, False
    base = name.removesuffix("LookupId")
    found = of.column(base) if base != name else None
    if found is None or kind_of(found) not in ("lookup", "personOrGroup"):
        raise _invalid(f"Field '{name}' is not recognized")
    return found, True


def _ids(tenant: Tenant, site_id: str, column: Json, value: Any, declared: str) -> Any:
    several = allows_several(column)
    if isinstance(value, list) != several:
        raise _invalid("The value of a lookup has another shape.")
    if several and declared.lower() not in _COLLECTIONS:
        raise _invalid("The type of a collection is not declared.")
    wanted = value if several else [value]
    if not all(str(one).isdigit() for one in wanted):
        raise _invalid("A LookupId is a number.")
    ids = [int(one) for one in wanted]
    if kind_of(column) == "personOrGroup":
        known = people_of(tenant, site_id).items
    else:
        target = str(column["lookup"].get("listId", "")).strip("{}")
        lists = lists_of(tenant, site_id)
        known = lists[target].items if target in lists else {}
    if any(one not in known for one in ids):
        raise _invalid("The item that is looked up does not exist.")
    return ids if several else ids[0]


def _value(kind: str, column: Json, value: Any, given: Json, name: str) -> Any:
    if kind in _NOT_WRITTEN:
        raise _invalid("Invalid request")
    if kind in ("number", "currency"):
        return _number(column.get(kind) or {}, value)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _invalid("A yes/no field takes true or false.")
        return value
    if kind == "dateTime":
        return _moment(value)
    if kind == "choice" and allows_several(column):
        declared = str(given.get(f"{name}@odata.type", "")).lower()
        if not isinstance(value, list) or declared != "collection(edm.string)":
            raise _invalid("Several choices are a Collection(Edm.String).")
        return [str(one) for one in value]
    if not isinstance(value, str):
        raise _invalid(f"Field '{name}' takes a text.")
    facet = column.get("text") or {}
    longest = facet.get("maxLength") or _SINGLE_LINE_MAX
    if kind == "text" and not facet.get("allowMultipleLines") and len(value) > longest:
        raise _invalid("The text is too long.")
    return value


def _number(facet: Json, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid("A number is expected.")
    low, high = facet.get("minimum"), facet.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        raise _invalid("The number is out of bounds.")
    return value


def _moment(value: Any) -> str:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise _invalid("A date is expected.") from None
    at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _refuse_double(of: SiteList, column: Json, value: Any) -> None:
    if value is None or not column.get("enforceUniqueValues"):
        return
    if any(one.values.get(column["name"]) == value for one in of.items.values()):
        raise _invalid("The value is there already, and the column takes no value twice.")


def _refuse_unknown_references(into: SiteList, formula: str) -> None:
    known = {one["displayName"] for one in into.columns} | {one["name"] for one in into.columns}
    for reference in _REFERENCE.findall(formula):
        if reference not in known:
            raise _invalid("The formula refers to a column that does not exist.")


def _invalid(message: str) -> GraphError:
    return GraphError(400, "invalidRequest", message)
