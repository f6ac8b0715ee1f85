"""A list as files: a table that fools neither people nor spreadsheets, and exact JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from base.errors import NotFound
from base.item import StoredItem
from formats import COLLECTIONS
from formats.collection import ItemRow
from formats.list_sheet import row_words
from tests.formats.items import part

COLUMNS = [
    {"name": "Title", "displayName": "Order", "text": {}},
    {"name": "Amount", "displayName": "Amount", "currency": {}},
    {"name": "Urgent", "displayName": "Urgent", "boolean": {}},
    {"name": "Tags", "displayName": "Tags", "choice": {"displayAs": "checkBoxes"}},
    {"name": "Supplier", "displayName": "Supplier", "lookup": {"listId": "s"}},
    {"name": "Owner", "displayName": "Owner", "personOrGroup": {}},
    {"name": "Link", "displayName": "Link", "hyperlinkOrPicture": {}},
    {"name": "Total", "displayName": "Amount", "readOnly": True, "calculated": {}},
    {"name": "Secret", "displayName": "Secret", "hidden": True, "text": {}},
    {"name": "_UIVersionString", "displayName": "Version", "readOnly": True, "text": {}},
    {"name": "Modified", "displayName": "Modified", "readOnly": True, "dateTime": {}},
]
FIELDS = {
    "Title": "=1+2", "Amount": -3.5, "Urgent": False, "Tags": ["cold; wet", "a,b"],
    "SupplierLookupId": "7", "OwnerLookupId": "2", "Total": 9, "Secret": "hidden",
    "Link": {"Description": "Map", "Url": "https://example.com/?a=1"},
}  # fmt: skip
WORDS = {"Supplier": [{"id": 7, "value": 'Möller "GmbH"\nKai 2'}], "Owner": [{"id": 2}]}


class Lost(NotFound):
    code = "lost"


class Held:
    """Items as the engine hands them over."""

    left_out = (Lost,)

    def __init__(self, *items: StoredItem) -> None:
        self._items = {one.id: one for one in items}

    def rows(self) -> Iterator[ItemRow]:
        return (ItemRow(one.id, one.name, one.row) for one in self._items.values())

    def __iter__(self) -> Iterator[StoredItem]:
        return iter(self._items.values())

    def get(self, item_id: str) -> StoredItem:
        return self._items[item_id]


def row(number: int, raw: dict[str, Any], *missing: str) -> StoredItem:
    facts = {"modified": "2026-03-01T10:00:00Z"}
    return StoredItem(f"l:{number}", "l", "list-item", "=1+2", facts, raw, (), missing)


def files(*items: StoredItem) -> dict[str, bytes]:
    raw = {"id": "l", "columns": COLUMNS}
    folder = StoredItem("l", "lists", "folder", "Orders: 2026", {}, raw, ())
    made = COLLECTIONS["list-item"](folder, Held(*items))
    return {one.name: b"".join(one.blocks()) for one in made}


def whole(number: int = 1) -> StoredItem:
    raw = {
        "id": str(number), "fields": FIELDS, "words": WORDS,
        "createdDateTime": "2026-01-01T00:00:00Z", "contentType": {"name": "Item"},
        "createdBy": {"user": {"displayName": "Adele Vance"}},
        "lastModifiedBy": {"application": {"displayName": "Restore"}},
    }  # fmt: skip
    return row(number, raw)


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_the_table_has_the_columns_people_see_by_their_names() -> None:
    head, cells = table(files(whole())["Orders_ 2026.csv"])
    assert head[:2] == ["ID", "Order"]
    assert head[2] == "Amount (Amount)"
    assert head[8:] == [
        "Amount (Total)", "Content type", "Created", "Created by", "Modified", "Modified by",
    ]  # fmt: skip
    assert cells[8:] == ["9", "Item", "2026-01-01T00:00:00Z", "Adele Vance", "", "Restore"]


def test_cells_say_in_words_what_the_row_refers_to() -> None:
    _, cells = table(files(whole())["Orders_ 2026.csv"])
    assert cells[3:8] == [
        "No", "cold; wet; a,b", 'Möller "GmbH"\nKai 2', "#2", "Map (https://example.com/?a=1)",
    ]  # fmt: skip


def test_a_text_that_would_be_computed_is_guarded_and_a_number_is_none() -> None:
    _, cells = table(files(whole())["Orders_ 2026.csv"])
    assert cells[1:3] == ["'=1+2", "-3.5"]


def test_the_json_is_exact() -> None:
    lost = row(2, {}, "raw: damaged")
    found = json.loads(files(whole(), lost)["Orders_ 2026.json"])
    assert found["list"]["columns"] == COLUMNS
    assert found["items"][0]["raw"]["fields"] == FIELDS
    assert found["items"][1] == {"id": "l:2", "raw": {}, "missing": ["raw: damaged"]}


def test_a_lost_row_keeps_its_place_in_the_table() -> None:
    _, _, cells = table(files(whole(), row(2, {}, "raw: damaged"))["Orders_ 2026.csv"])
    assert cells[:2] == ["2", "'=1+2"]
    assert set(cells[2:]) == {""}


def test_attached_files_lie_beside_the_table() -> None:
    facts = {"attachments": True}
    parts = (part("attachment", b"%PDF", {"name": "bill: 1.pdf"}),)
    item = StoredItem("l:7", "l", "list-item", "x", facts, {"id": "7", "fields": {}}, parts)
    found = files(whole(), item)
    assert found["Orders_ 2026 - 7 - bill_ 1.pdf"] == b"%PDF"
    assert len(found) == 3


def test_a_row_by_itself_is_told_in_words() -> None:
    fields = FIELDS | {"Count_x0020_of": 3, "LinkTitle": "=1+2", "_UIVersionString": "1.0"}
    assert row_words({"fields": fields, "words": WORDS}) == [
        ("Title", "=1+2"), ("Amount", "-3.5"), ("Count of", "3"),
        ("Link", "Map (https://example.com/?a=1)"), ("Owner", "#2"), ("Secret", "hidden"),
        ("Supplier", 'Möller "GmbH"\nKai 2'), ("Tags", "cold; wet; a,b"), ("Total", "9"),
        ("Urgent", "No"),
    ]  # fmt: skip


def test_a_list_without_rows_is_a_header() -> None:
    found = files()
    assert len(table(found["Orders_ 2026.csv"])) == 1
    assert json.loads(found["Orders_ 2026.json"])["items"] == []
