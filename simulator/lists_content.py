"""The lists of Contoso's sites: one column of every sort, lookups, people; a month of them.

Rules: the same tenant has the same lists and lives the same months; every change goes through the
verbs of lists_state.
"""

import random
from collections import Counter

from simulator.lists_content_types import add_type, copy_type
from simulator.lists_json import kind_of
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
    people_of,
    person,
)
from simulator.tenant import Tenant
from simulator.web import Json

_SUPPLIERS = (
    "Harbour Supplies", "Nordic Rope & Sail", "=cmd|' /C calc'!A0", "Möller, Söhne \"GmbH\"",
    "東京海事", "Old Quay\tTraders",
)  # fmt: skip
_RICH = '<div class="ExternalClass1"><p>Two <b>containers</b><br>on Friday &amp; Monday</p></div>'
_PLACE: Json = {
    "DisplayName": "Harbour Office", "LocationUri": "https://www.example.com/places/1",
    "Address": {"Street": "Quay 1", "City": "Oslo", "State": "", "CountryOrRegion": "Norway"},
    "Coordinates": {"Latitude": 59.91, "Longitude": 10.74},
}  # fmt: skip
_CHOICES = ["Open", "On its way", "Done; closed"]
_TAGS = ["fragile", "cold, frozen", "ünusual"]


def fill_lists(
    tenant: Tenant, site_id: str, dice: random.Random, *, rows: int = 12, folders: bool = False
) -> None:
    """The lists of one site: suppliers, orders that look them up, a log, and what is hidden.
    `folders`: one order lies in a folder of its list.
    """
    people = [
        person(tenant, site_id, str(user.properties["displayName"]), str(user.properties["mail"]))
        for user in tenant.users.values()
        if user.properties["mail"]
    ] or [person(tenant, site_id, "Site Owner", f"owner@{tenant.domain}")]
    suppliers = _suppliers(tenant, site_id, people)
    orders = _orders(tenant, site_id, suppliers, people, dice, rows)
    if folders:
        add_item(tenant, orders, {"Title": "2025"}, by=people[0], content_type="Folder")
        add_item(tenant, orders, {"Title": "Order of 2025"}, by=people[0], folder="2025")
    log = add_list(tenant, site_id, "Watch log / Übergabe", columns=[{"name": "Note", "text": {}}])
    log.description = "Who had the watch"
    for number in range(3):
        add_item(tenant, log, {"Title": f"Watch {number + 1}", "Note": "calm"}, by=people[0])
    library = add_list(tenant, site_id, "Documents", "documentLibrary")
    add_column(tenant, library, {"name": "Confidential", "boolean": {}})
    add_item(tenant, library, {"Title": "handbook", "Confidential": True}, by=people[0])
    settings = add_list(tenant, site_id, "Site settings store", hidden=True)
    add_item(tenant, settings, {"Title": "theme: harbour"}, by=people[0])
    links = add_list(tenant, site_id, "Sharing Links", "sharingLinks", hidden=True, system=True)
    add_item(tenant, links, {"Title": "https://example.com/s/1"}, by=people[0])


def lists_month(tenant: Tenant, site_id: str, dice: random.Random, done: Counter[str]) -> None:
    """A month of one site's lists: rows and a list new, rows changed and gone, a list gone."""
    number = int(tenant.room.get("months", 0))
    for of in list(lists_of(tenant, site_id).values()):
        if of.is_library or of.hidden or of.system or not of.items:
            continue
        everybody = list(of.items.values())
        for item in dice.sample(everybody, min(2, len(everybody))):
            change_item(tenant, of, item, _edit(tenant, site_id, of, item), by=1)
            done["list items changed"] += 1
        victim = dice.choice(everybody)
        if len(everybody) > 2 and not _is_looked_up(tenant, site_id, of, victim):
            delete_item(tenant, of, victim)
            done["list items deleted"] += 1
        add_item(tenant, of, {"Title": f"Month {number}"}, by=1)
        done["list items written"] += 1
        if of.title == "Orders":
            add_column(tenant, of, {"name": f"Month{number}", "text": {}})
    found = [one for one in lists_of(tenant, site_id).values() if one.title.startswith("Month ")]
    for one in found:
        delete_list(tenant, site_id, one.id)
        done["lists deleted"] += 1
    fresh = add_list(tenant, site_id, f"Month {number}")
    add_item(tenant, fresh, {"Title": "first"}, by=1)
    done["lists made"] += 1


def lists_truth(tenant: Tenant, site_id: str) -> list[Json]:
    """Every list of a site with its columns and rows; values by internal name, ids as they are."""
    people = people_of(tenant, site_id).items
    return [
        {
            "id": one.id, "name": one.name, "title": one.title, "template": one.template,
            "hidden": one.hidden, "system": one.system, "description": one.description,
            "columns": [
                {"name": column["name"], "displayName": column["displayName"]}
                | {"kind": kind_of(column), "readOnly": column["readOnly"]}
                for column in one.columns
            ],
            "content_types": [kind["name"] for kind in one.content_types],
            "items": [
                {
                    "id": item.id, "values": item.values, "created": item.created,
                    "modified": item.modified, "content_type": item.content_type,
                    "folder": item.folder, "attachments": sorted(item.attachments),
                    "author": people[item.author].values["EMail"] if item.author in people else "",
                }
                for item in one.items.values()
            ],
        }
        for one in lists_of(tenant, site_id).values()
    ]  # fmt: skip


def _suppliers(tenant: Tenant, site_id: str, people: list[int]) -> SiteList:
    rating: Json = {"name": "Rating", "number": {"decimalPlaces": "one", "maximum": 5}}
    made = add_list(tenant, site_id, "Suppliers", columns=[rating])
    for index, name in enumerate(_SUPPLIERS):
        values: Json = {"Title": name, "Rating": index / 2}
        add_item(tenant, made, values, by=people[index % len(people)])
    return made


def _orders(
    tenant: Tenant, site_id: str, suppliers: SiteList, people: list[int], dice: random.Random,
    rows: int,
) -> SiteList:  # fmt: skip
    made = add_list(tenant, site_id, "Orders", columns=_columns(suppliers))
    parent: Json = {"listId": made.id, "columnName": "Title"}
    add_column(tenant, made, {"name": "Follows", "lookup": parent})
    copy_type(tenant, made, add_type(tenant, site_id, "Express order"))
    for index in range(rows):
        values = _values(suppliers, people, dice, index)
        files = {"bill.pdf": b"%PDF-1.4 bill"} if index == 1 else {}
        kind = "Express order" if index == 2 else "Item"
        if index > 0:
            values["Follows"] = 1
        item = add_item(tenant, made, values, by=people[0], content_type=kind, attachments=files)
        if index == 4:
            change_item(tenant, made, item, {"Amount": 1.25}, by=people[-1])
    bare = add_item(tenant, made, {}, by=people[0])
    change_item(tenant, made, bare, {"Count_x0020_of_x0020_crates": 0}, by=people[0])
    return made


def _edit(tenant: Tenant, site_id: str, of: SiteList, item: ListItem) -> Json:
    """Another value; not the one that lookups show, which changes what other rows show too."""
    if not _is_looked_up(tenant, site_id, of, item):
        return {"Title": f"{item.values.get('Title', '')}*"}
    return {"Rating": 4.5} if of.column("Rating") else {"Notes": f"edited {item.etag} times"}


def _values(suppliers: SiteList, people: list[int], dice: random.Random, index: int) -> Json:
    return {
        "Title": f"Order {index + 1}" if index else "-1+2",
        "Notes": f"line one\nline two, \"{index}\"", "Story": _RICH,
        "Count_x0020_of_x0020_crates": index + 1, "Amount": round(dice.uniform(1, 900), 2),
        "Urgent": index % 2 == 0, "Due": f"2026-0{1 + index % 9}-15T00:00:00Z",
        "Arrived": f"2026-01-{index + 1:02d}T08:30:00Z", "State": _CHOICES[index % 3],
        "Tags": _TAGS[: 1 + index % 3], "Supplier": 1 + index % len(suppliers.items),
        "Others": [1, 2 + index % 3], "Owner": people[index % len(people)],
        "Team": people[:2], "Link": {"Description": "Map", "Url": "https://example.com/m?a=1&b=2"},
        "Place": _PLACE,
        "Topic": {"Label": "Freight", "TermGuid": "d1c5a0f3-0000-4000-8000-00000000000a",
                  "WssId": 3},
    }  # fmt: skip


def _columns(suppliers: SiteList) -> list[Json]:
    looked: Json = {"listId": suppliers.id, "columnName": "Title"}
    return [
        {"name": "Notes", "text": {"allowMultipleLines": True, "linesForEditing": 6}},
        {"name": "Story", "text": {"allowMultipleLines": True, "textType": "richText"}},
        {"name": "Count of crates", "number": {"decimalPlaces": "none", "minimum": 0}},
        {"name": "Amount", "currency": {"locale": "nb-NO"}},
        {"name": "Urgent", "boolean": {}, "defaultValue": {"value": "0"}},
        {"name": "Due", "dateTime": {"displayAs": "standard", "format": "dateOnly"}},
        {"name": "Arrived", "dateTime": {"displayAs": "standard", "format": "dateTime"}},
        {"name": "State", "choice": {"choices": _CHOICES, "displayAs": "dropDownMenu"},
         "indexed": True},
        {"name": "Tags", "choice": {"choices": _TAGS, "displayAs": "checkBoxes",
                                    "allowTextEntry": True}},
        {"name": "Supplier", "lookup": looked | {"allowMultipleValues": False}},
        {"name": "Others", "lookup": looked | {"allowMultipleValues": True}},
        {"name": "Owner", "personOrGroup": {"allowMultipleSelection": False,
                                            "chooseFromType": "peopleOnly"}},
        {"name": "Team", "personOrGroup": {"allowMultipleSelection": True,
                                           "chooseFromType": "peopleAndGroups"}},
        {"name": "Link", "hyperlinkOrPicture": {"isPicture": False}},
        {"name": "Place", "geolocation": {}},
        {"name": "Topic", "term": {"allowMultipleValues": False}},
        {"name": "Total", "calculated": {"formula": "=[Count of crates]*Amount",
                                         "outputType": "currency", "format": "dateOnly"}},
        {"name": "Label", "calculated": {"formula": '=Title&" / "&State', "outputType": "text"}},
    ]  # fmt: skip


def _is_looked_up(tenant: Tenant, site_id: str, of: SiteList, item: ListItem) -> bool:
    for one in lists_of(tenant, site_id).values():
        for column in one.columns:
            if str((column.get("lookup") or {}).get("listId", "")) != of.id:
                continue
            for row in one.items.values():
                value = row.values.get(column["name"])
                if value is not None and item.id in (value if isinstance(value, list) else [value]):
                    return True
    return False
