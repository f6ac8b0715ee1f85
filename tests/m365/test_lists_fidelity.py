"""docs/services/lists.md says of every sort of column what comes back: as measured here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from m365.lists_writer import ListsWriter
from m365.service import Folder, Resource
from simulator.lists_json import allows_several, fields_json, kind_of, word
from simulator.lists_state import ListItem, SiteList, delete_item, lists_of, people_of
from tests import project
from tests.m365.cases_lists import ListsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage

PAGE = "docs/services/lists.md"
_ROW = re.compile(r"^\| ([^|`]+) \| (yes|partly) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
COLUMNS = {
    "Title": "text", "Notes": "several lines of text", "Story": "rich text",
    "Count_x0020_of_x0020_crates": "number", "Amount": "currency", "Urgent": "yes/no",
    "Due": "date", "Arrived": "date and time", "State": "choice", "Tags": "several choices",
    "Supplier": "lookup", "Others": "several lookups", "Follows": "lookup in the list itself",
    "Owner": "person", "Team": "several people", "Link": "link or picture", "Place": "place",
    "Topic": "managed metadata", "Total": "formula",
}  # fmt: skip
OF_THE_ROW = ("content type", "attached files", "who made and changed it, and when")


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(ListsCase()) as found:
        yield found


Place = tuple[str, SiteList, ListItem]  # site, list, row


def titled(on: Stage, title: str, site: str) -> SiteList:
    return next(one for one in lists_of(on.tenant, site).values() if one.title == title)


def said(on: Stage, site: str, of: SiteList, item: ListItem, name: str) -> Any:
    """The value of a column in words that mean the same in every site."""
    column = of.column(name) or {}
    value = item.values.get(name)
    if value is not None and kind_of(column) in ("lookup", "personOrGroup"):
        numbers = value if allows_several(column) else [value]
        if kind_of(column) == "personOrGroup":
            people = people_of(on.tenant, site).items
            return [people[number].values["EMail"] for number in numbers]
        return [word(on.tenant, site, column, number) for number in numbers]
    return fields_json(on.tenant, site, of, item).get(name)


def verdict(on: Stage, before: Place, after: Place, name: str) -> str:
    """What became of a column: yes, computed, as text, no."""
    old, new = said(on, *before, name), said(on, *after, name)
    column = after[1].column(name) or {}
    assert old is not None, name
    if new == old:
        return "computed" if kind_of(column) == "calculated" else "yes"
    flat = kind_of(column) == "text" and kind_of(before[1].column(name) or {}) != "text"
    return "as text" if flat and isinstance(new, str) and new else "no"


def of_the_row(before: ListItem, after: ListItem) -> list[str]:
    pairs = (
        (before.content_type, after.content_type),
        (before.attachments, after.attachments),
        ((before.created, before.author), (after.created, after.author)),
    )
    return ["yes" if old == new else "no" for old, new in pairs]


def measured(on: Stage, target: Resource, *, original: bool) -> dict[str, str]:
    """Every verdict of one order with a value in every column, restored."""
    site = on.resource.graph_id
    mirror = Mirror()
    mirror.round(on.source())
    writer = ListsWriter(on.writer, target)
    orders = titled(on, "Orders", site)
    into: dict[str, Folder] = {}
    for title in ("Suppliers", "Orders"):
        stored = mirror.items[titled(on, title, site).id].stored()
        folder = writer.original_folder(stored) if original else None
        into[title] = folder or writer.ensure_folder(writer.root(), title, stored)
    row = orders.items[3]
    row.attachments["bill.pdf"] = b"bill"
    if original:
        delete_item(on.tenant, orders, row)
    else:
        suppliers = titled(on, "Suppliers", site)
        for one in suppliers.items:
            item = mirror.items[f"{suppliers.id}:{one}"].stored()
            writer.write(item, into["Suppliers"], f"run:{one}", None, new_name=False)
        first = mirror.items[f"{orders.id}:1"].stored()
        writer.write(first, into["Orders"], "run:first", None, new_name=False)
    stored = mirror.items[f"{orders.id}:3"].stored()
    written = writer.write(stored, into["Orders"], "run:row", None, new_name=False)
    list_id, _, number = written.id.rpartition(":")
    made = lists_of(on.tenant, target.graph_id)[list_id]
    after = made.items[int(number)]
    was, now = (site, orders, row), (target.graph_id, made, after)
    found = {title: verdict(on, was, now, name) for name, title in COLUMNS.items()}
    return found | dict(zip(OF_THE_ROW, of_the_row(row, after), strict=True))


def test_the_page_says_of_every_sort_of_column_what_was_measured(on: Stage) -> None:
    new = measured(on, on.case.fresh_target(on.tenant), original=False)
    old = measured(on, on.resource, original=True)
    told = {row[1]: (row[3], row[4]) for row in _ROW.finditer(project.text(PAGE))}
    assert told == {title: (new[title], old[title]) for title in new}
