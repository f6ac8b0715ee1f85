"""A bucket of a plan as files: a table in the order of the bucket, and exact JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from base.errors import Problem
from base.item import StoredItem
from formats import COLLECTIONS
from formats.collection import ItemRow

DETAILS = {
    "description": "Line one\nline two",
    "checklist": {
        "@odata.type": "#microsoft.graph.plannerChecklistItems",
        "a": {"title": "second", "isChecked": False, "orderHint": "B"},
        "b": {"title": "first", "isChecked": True, "orderHint": "A"},
    },
    "references": {"https%3A//contoso%2Eexample/a%3Fb": {"alias": "Map"}},
}
WHOLE = {
    "id": "t1", "title": "=cmd()", "orderHint": "85A", "priority": 1, "percentComplete": 50,
    "dueDateTime": "2026-02-05T08:00:00Z", "assignments": {"u1": {}, "u2": {"orderHint": "x"}},
    "appliedCategories": {"category3": True, "category4": False}, "details": DETAILS,
}  # fmt: skip


class Held:
    """Items as the engine hands them over."""

    left_out: tuple[type[Problem], ...] = ()

    def __init__(self, *items: StoredItem) -> None:
        self._items = {one.id: one for one in items}

    def rows(self) -> Iterator[ItemRow]:
        return (ItemRow(one.id, one.name, one.row) for one in self._items.values())

    def __iter__(self) -> Iterator[StoredItem]:
        return iter(self._items.values())

    def get(self, item_id: str) -> StoredItem:
        return self._items[item_id]


def task(key: str, raw: dict[str, Any], *missing: str) -> StoredItem:
    row = {"progress": "in progress", "priority": "urgent"}
    return StoredItem(key, "bucket:b", "planner-task", "Title", row, raw, (), missing)


def files(*items: StoredItem) -> dict[str, bytes]:
    folder = StoredItem("bucket:b", "plan:p", "folder", "To do", {}, {"id": "b"}, ())
    made = COLLECTIONS["planner-task"](folder, Held(*items))
    return {one.name: b"".join(one.blocks()) for one in made}


def test_the_table_has_the_order_of_the_bucket_and_computes_nothing() -> None:
    made = files(task("t1", WHOLE), task("t0", {"id": "t0", "title": "before", "orderHint": "1"}))
    rows = list(csv.DictReader(io.StringIO(made["To do.csv"].decode("utf-8-sig"))))
    assert [row["Title"] for row in rows] == ["before", "'=cmd()"]
    whole = rows[1]
    assert whole["Checklist"] == "[x] first\n[ ] second"
    assert whole["References"] == "https://contoso.example/a?b"
    assert (whole["Labels"], whole["Assigned to"]) == ("category3", "u1; u2")
    assert whole["Description"] == "Line one\nline two"
    assert whole["Due"] == "2026-02-05T08:00:00Z"


def test_the_json_has_every_task_as_it_was_and_says_what_is_missing() -> None:
    made = json.loads(files(task("t1", WHOLE), task("t2", {}, "details: forbidden"))["To do.json"])
    assert (made["name"], made["bucket"]) == ("To do", {"id": "b"})
    assert made["items"] == [
        {"id": "t1", "raw": WHOLE},
        {"id": "t2", "raw": {}, "missing": ["details: forbidden"]},
    ]


def test_odd_tasks_and_an_empty_bucket_have_files_too() -> None:
    odd: dict[str, Any] = {
        "title": None,
        "details": "?",
        "assignments": [],
        "appliedCategories": None,
    }
    made = files(task("t1", odd), task("t2", {"details": {"checklist": {"a": "x"}}}))
    rows = list(csv.DictReader(io.StringIO(made["To do.csv"].decode("utf-8-sig"))))
    assert [row["Title"] for row in rows] == ["Title", "Title"]
    assert json.loads(files()["To do.json"])["items"] == []
