"""A bucket of a Planner plan as files: a table to read, and its tasks as Graph sent them.

Rules
- Tasks stand in the order they have in the bucket. People are ids: a backup of Planner holds no
  names, and those of labels lie with the plan.
- Cells are as harmless as sheet.py makes them. The JSON file is exact.
- A task whose object is lost keeps its line, with its title.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from base.item import StoredItem
from formats.collection import Items, exact_json
from formats.files import safe_name
from formats.item_file import ItemFile
from formats.sheet import csv_lines

FORMAT = "holdfast-plan/1"
_HEAD = (
    "Title", "Progress", "Priority", "Start", "Due", "Completed", "Assigned to", "Labels",
    "Description", "Checklist", "References", "Created", "Id",
)  # fmt: skip
_FACTS = ("Title", "Start", "Due", "Completed", "Labels", "References")
_TEXTS = ("Description", "Checklist")

Raw = Mapping[str, Any]


def bucket_files(folder: StoredItem, items: Items) -> Iterable[ItemFile]:
    """The bucket as .csv and as .json."""
    yield ItemFile(
        name=safe_name(folder.name, "bucket", ".csv"),
        media_type="text/csv; charset=utf-8",
        size=None,
        modified=None,
        blocks=lambda: csv_lines(_HEAD, map(_cells, _in_order(items))),
        rebuilt=True,
    )
    yield ItemFile(
        name=safe_name(folder.name, "bucket", ".json"),
        media_type="application/json",
        size=None,
        modified=None,
        blocks=lambda: exact_json(FORMAT, "bucket", folder, items),
        rebuilt=True,
    )


def task_words(item: StoredItem) -> tuple[list[tuple[str, str]], str]:
    """A task by itself: what there is to say of it, title by title; and its description, with a
    line for each step of its checklist.
    """
    said = {title: str(cell or "") for title, cell in zip(_HEAD, _cells(item), strict=True)}
    facts = [(title, said[title]) for title in _FACTS if said[title]]
    return facts, "\n\n".join(filter(None, (said[title] for title in _TEXTS)))


def _in_order(items: Items) -> Iterator[StoredItem]:
    """By the hints that Planner keeps, which are compared as text; a bucket holds few thousand."""
    order = sorted((str(one.raw.get("orderHint") or ""), one.id) for one in items)
    return (items.get(key) for _, key in order)


def _cells(item: StoredItem) -> list[object]:
    raw, row = item.raw, item.row
    details = raw.get("details")
    details = details if isinstance(details, Mapping) else {}
    return [
        raw.get("title") or item.name,
        row.get("progress"),
        row.get("priority"),
        raw.get("startDateTime"),
        raw.get("dueDateTime"),
        raw.get("completedDateTime"),
        "; ".join(_named(raw.get("assignments"))),
        "; ".join(_named(raw.get("appliedCategories"))),
        details.get("description"),
        "\n".join(_steps(_named(details.get("checklist")))),
        "\n".join(unquote(address) for address in _named(details.get("references"))),
        raw.get("createdDateTime"),
        item.id,
    ]


def _steps(checklist: Raw) -> Iterator[str]:
    """One line each, ticked or open, in their order."""
    steps = [one for one in checklist.values() if isinstance(one, Mapping)]
    for one in sorted(steps, key=lambda step: str(step.get("orderHint") or "")):
        yield f"[{'x' if one.get('isChecked') else ' '}] {one.get('title') or ''}"


def _named(values: Any) -> dict[str, Any]:
    """The entries of an open type, without the service's notes."""
    if not isinstance(values, Mapping):
        return {}
    return {k: v for k, v in values.items() if "@odata." not in k and v not in (None, False)}
