"""SharePoint lists of the simulated tenant: columns, content types, items, and their log.

Rules
- Values of an item are kept by the internal names of its columns: a lookup and a person as the id
  of an item of another list (or several), everything else as it was written.
- Ids of items count from one in every list and are never given out twice.
- Every change of an item is logged with the state it left, for delta; the list's date of change
  follows its items.
- The people of a site are items of its hidden "User Information List".
- A name that is no internal name is spelled as SharePoint does: a space becomes _x0020_.

https://learn.microsoft.com/graph/api/resources/list /columndefinition /listitem
"""

import copy
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from simulator.tenant import Tenant
from simulator.web import Json

KINDS = (
    "boolean", "calculated", "choice", "contentApprovalStatus", "currency", "dateTime",
    "geolocation", "hyperlinkOrPicture", "lookup", "number", "personOrGroup", "term", "text",
    "thumbnail",
)  # fmt: skip
ITEM, FOLDER = "0x01", "0x0120"
PEOPLE = "User Information List"
_PLAIN = re.compile(r"\w")


@dataclass(slots=True)
class ListQuirks:
    """What Graph allows itself with lists."""

    page_size: int = 200
    delta_fields: Literal["honoured", "ignored"] = "honoured"
    """$expand=fields on items/delta."""
    deleted_parents: bool = True
    """Deleted items come with parentReference and contentType, as Microsoft's example has them."""
    threshold: int = 5_000
    """Rows from which on a filter on a column without an index is refused."""
    unlisted: set[str] = field(default_factory=set)
    """Ids of lists that the listing leaves out although they are there."""
    refused_columns: set[str] = field(default_factory=set)
    """Names that no column of a client may have."""
    knows_startswith: bool = True
    """startswith in a filter."""
    knows_add_copy: bool = True
    """contentTypes/addCopy."""
    refuses_lists_expanded: bool = False
    """$expand=columns,contentTypes on one list is refused."""


@dataclass(slots=True)
class ListItem:
    """A row."""

    id: int
    guid: str
    values: Json
    created: str
    modified: str
    author: int
    editor: int
    by_app: str = ""
    """The application that created it; "" for a person."""
    content_type: str = "Item"
    folder: str = ""
    """Names of the folders it lies in, with slashes between."""
    etag: int = 1
    versions: list[Json] = field(default_factory=list)
    """Earlier states, newest first: {number, modified, editor, values}."""
    attachments: dict[str, bytes] = field(default_factory=dict)
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ListChange:
    """The state a change left an item in."""

    sequence: int
    item: ListItem


@dataclass(slots=True)
class SiteList:
    """A list of a site."""

    id: str
    name: str
    title: str
    template: str
    created: str
    modified: str
    columns: list[Json]
    content_types: list[Json]
    hidden: bool = False
    system: bool = False
    description: str = ""
    by_app: str = ""
    etag: int = 1
    items: dict[int, ListItem] = field(default_factory=dict)
    log: list[ListChange] = field(default_factory=list)
    last_id: int = 0
    generation: int = 0
    reset_code: str = "resyncChangesApplyDifferences"

    @property
    def is_library(self) -> bool:
        return self.template in ("documentLibrary", "webPageLibrary", "pictureLibrary")

    def column(self, name: str) -> Json | None:
        """A column by its internal name."""
        return next((one for one in self.columns if one["name"] == name), None)

    def record(self, item: ListItem, now: str) -> None:
        """Notes a change of an item."""
        self.log.append(ListChange(len(self.log) + 1, copy.deepcopy(item)))
        self.modified = now
        self.etag += 1

    def forget_tokens(self, code: str = "resyncChangesApplyDifferences") -> None:
        """From now on older delta tokens answer 410 with this code."""
        self.generation += 1
        self.reset_code = code


def lists_of(tenant: Tenant, site_id: str) -> dict[str, SiteList]:
    """The lists of a site by id."""
    rooms = tenant.room.setdefault("lists", {})
    if site_id not in rooms:
        rooms[site_id] = {}
        people = add_list(tenant, site_id, PEOPLE, "userInformation", hidden=True, system=True)
        people.name = "users"
        for name in ("EMail", "Name", "UserName", "JobTitle"):
            add_column(tenant, people, {"name": name, "text": {}})
    found: dict[str, SiteList] = rooms[site_id]
    return found


def quirks_of(tenant: Tenant) -> ListQuirks:
    """The quirks of the tenant's lists."""
    found: ListQuirks = tenant.room.setdefault("list quirks", ListQuirks())
    return found


def add_list(
    tenant: Tenant,
    site_id: str,
    title: str,
    template: str = "genericList",
    *,
    hidden: bool = False,
    system: bool = False,
    columns: Iterable[Json] = (),
) -> SiteList:
    """A new list with the columns every list has, and these."""
    now = tenant.clock.stamp()
    made = SiteList(
        fresh_id(tenant), _list_name(tenant, site_id, title), title, template, now, now,
        _own_columns(tenant), _own_content_types(), hidden, system,
    )  # fmt: skip
    lists_of(tenant, site_id)[made.id] = made
    for column in columns:
        add_column(tenant, made, column)
    return made


def add_column(tenant: Tenant, into: SiteList, given: Json) -> Json:
    """A new column."""
    name = internal_name(str(given["name"]))
    column: Json = {
        "columnGroup": "Custom Columns", "description": "", "displayName": given["name"],
        "enforceUniqueValues": False, "hidden": False, "id": fresh_id(tenant), "indexed": False,
        "readOnly": "calculated" in given, "required": False,
    } | copy.deepcopy(given) | {"name": name}  # fmt: skip
    into.columns.append(column)
    into.etag += 1
    return column


def add_item(
    tenant: Tenant,
    into: SiteList,
    values: Json,
    *,
    by: int = 1,
    by_app: str = "",
    content_type: str = "Item",
    folder: str = "",
    attachments: dict[str, bytes] | None = None,
    at: str = "",
) -> ListItem:
    """A new row."""
    into.last_id += 1
    now = at or tenant.clock.stamp()
    item = ListItem(
        into.last_id, fresh_id(tenant), dict(values), now, now, by, by, by_app, content_type,
        folder, attachments=dict(attachments or {}),
    )  # fmt: skip
    into.items[item.id] = item
    into.record(item, tenant.clock.stamp())
    return item


def change_item(tenant: Tenant, of: SiteList, item: ListItem, values: Json, by: int = 1) -> None:
    """Other values for a row; a value of None is taken away. The state before is a version."""
    item.versions.insert(
        0,
        {
            "number": item.etag, "modified": item.modified, "editor": item.editor,
            "values": dict(item.values),
        },
    )  # fmt: skip
    item.values |= values
    item.values = {name: value for name, value in item.values.items() if value is not None}
    item.modified, item.editor = tenant.clock.stamp(), by
    item.etag += 1
    of.record(item, item.modified)


def delete_item(tenant: Tenant, of: SiteList, item: ListItem) -> None:
    """A row into the recycle bin."""
    item.deleted = True
    of.items.pop(item.id)
    of.record(item, tenant.clock.stamp())


def delete_list(tenant: Tenant, site_id: str, list_id: str) -> None:
    """A list with everything in it."""
    del lists_of(tenant, site_id)[list_id]


def people_of(tenant: Tenant, site_id: str) -> SiteList:
    """The list of the people a site knows."""
    found = lists_of(tenant, site_id).values()
    return next(one for one in found if one.template == "userInformation")


def person(tenant: Tenant, site_id: str, display_name: str, address: str) -> int:
    """The id of a person in a site, who is made known to it where that is new."""
    people = people_of(tenant, site_id)
    for item in people.items.values():
        if item.values.get("EMail", "").lower() == address.lower():
            return item.id
    values = {
        "Title": display_name, "EMail": address, "UserName": address,
        "Name": f"i:0#.f|membership|{address.lower()}",
    }  # fmt: skip
    return add_item(tenant, people, values, content_type="Person").id


def fresh_id(tenant: Tenant) -> str:
    """A GUID that costs the tenant's dice nothing."""
    number = tenant.room["list ids"] = int(tenant.room.get("list ids", 0)) + 1
    return str(uuid.uuid5(uuid.UUID(tenant.id), f"list {number}"))


def internal_name(name: str) -> str:
    """The name of a column in URLs and fields."""
    spelled = (c if _PLAIN.match(c) and c.isascii() else f"_x{ord(c):04x}_" for c in name)
    return "".join(spelled)[:64]


def _list_name(tenant: Tenant, site_id: str, title: str) -> str:
    taken = {one.name.lower() for one in lists_of(tenant, site_id).values()}
    wanted = re.sub(r'[#%&*:<>?/{|}"~\\]', "", title).strip() or "List"
    name, number = wanted, 1
    while name.lower() in taken:
        name, number = f"{wanted}{number}", number + 1
    return name


def _own_content_types() -> list[Json]:
    return [
        {
            "id": f"{ITEM}00A7470EADF4194E2E9ED1031B61DA0884", "name": "Item", "hidden": False,
            "description": "Create a new list item.", "group": "List Content Types",
            "readOnly": False, "sealed": False, "base": {"id": ITEM, "name": "Item"},
        },
        {
            "id": f"{FOLDER}00A7470EADF4194E2E9ED1031B61DA0885", "name": "Folder", "hidden": False,
            "description": "Create a new folder.", "group": "Folder Content Types",
            "readOnly": False, "sealed": True, "base": {"id": FOLDER, "name": "Folder"},
        },
    ]  # fmt: skip


_COLUMNS: tuple[tuple[str, str, Json, bool], ...] = (
    ("Title", "Title", {"text": {"allowMultipleLines": False, "maxLength": 255}}, False),
    ("ContentType", "Content Type", {"text": {"allowMultipleLines": False}}, False),
    ("Attachments", "Attachments", {"boolean": {}}, False),
    ("ID", "ID", {"number": {"decimalPlaces": "none"}}, True),
    ("Modified", "Modified", {"dateTime": {"format": "dateTime"}}, True),
    ("Created", "Created", {"dateTime": {"format": "dateTime"}}, True),
    ("Author", "Created By", {"personOrGroup": {"allowMultipleSelection": False}}, True),
    ("Editor", "Modified By", {"personOrGroup": {"allowMultipleSelection": False}}, True),
    ("_UIVersionString", "Version", {"text": {"allowMultipleLines": False}}, True),
    ("Edit", "Edit", {}, True),
    ("LinkTitleNoMenu", "Title", {}, True),
    ("LinkTitle", "Title", {}, True),
    ("ItemChildCount", "Item Child Count", {"lookup": {"columnName": "ItemChildCount"}}, True),
    ("FolderChildCount", "Folder Child Count", {"lookup": {"columnName": "Count"}}, True),
    ("_ComplianceFlags", "Retention label", {"lookup": {"columnName": "_ComplianceFlags"}}, True),
)


def _own_columns(tenant: Tenant) -> list[Json]:
    return [
        {
            "columnGroup": "_Hidden" if read_only else "Custom Columns", "description": "",
            "displayName": title, "enforceUniqueValues": False, "hidden": False,
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "indexed": False, "name": name,
            "readOnly": read_only, "required": name == "Title",
        } | copy.deepcopy(kind)
        for name, title, kind, read_only in _COLUMNS
    ]  # fmt: skip
