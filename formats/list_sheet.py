"""A SharePoint list as files: a table to read, its rows as Graph sent them, and what is attached.

Rules
- The table has the columns that people see, by the names they gave them: the row's number first,
  who made and changed it and when last. Lookups and people are in words, as they were when the row
  was read.
- Cells are as harmless as sheet.py makes them: what would be computed begins with an apostrophe.
  The JSON file is exact.
- A row whose object is lost keeps its place, with its number and its name.
- Attached files lie beside the table, each with the list's name and its row's number in front.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from base.field_text import field_text, words_text
from base.item import StoredItem
from formats.collection import Items, exact_json
from formats.files import safe_name
from formats.item_file import ItemFile, moment
from formats.sheet import csv_lines

FORMAT = "holdfast-list/1"
_OWN = ("ContentType", "Attachments", "Edit", "HoldfastRestore", "AppAuthor", "AppEditor")
_REFERRING = ("lookup", "personOrGroup")
_OF_EVERY_ROW = frozenset(
    ("id", "LinkTitle", "LinkTitleNoMenu", "ContentType", "Edit", "Attachments", "ItemChildCount",
     "FolderChildCount", "AuthorLookupId", "EditorLookupId", "AppAuthorLookupId",
     "AppEditorLookupId", "Created", "Modified", "HoldfastRestore")
)  # fmt: skip
_SPELLED = re.compile(r"_x(?![dD][89a-fA-F])([0-9a-fA-F]{4})_")  # no halves of characters
_LAST = ("Content type", "Created", "Created by", "Modified", "Modified by")

Raw = Mapping[str, Any]


def list_files(folder: StoredItem, items: Items) -> Iterable[ItemFile]:
    """The list as .csv and as .json, and the files attached to its rows."""
    newest = _newest(items)
    yield ItemFile(
        name=safe_name(folder.name, "list", ".csv"),
        media_type="text/csv; charset=utf-8",
        size=None,
        modified=newest,
        blocks=lambda: _table(folder, items),
        rebuilt=True,
    )
    yield ItemFile(
        name=safe_name(folder.name, "list", ".json"),
        media_type="application/json",
        size=None,
        modified=newest,
        blocks=lambda: exact_json(FORMAT, "list", folder, items),
        rebuilt=True,
    )

    yield from _attached(folder, items)


def row_words(raw: Raw) -> list[tuple[str, str]]:
    """A row by itself in words, by the names inside: what people call its columns the list knows.

    What SharePoint keeps of every row is left out.
    """
    fields, words = raw.get("fields") or {}, raw.get("words") or {}
    found = {name: words_text(told) for name, told in words.items()}
    for name, value in fields.items():
        own = name not in _OF_EVERY_ROW and not name.startswith("_") and "@" not in name
        if own and name.removesuffix("LookupId") not in found:
            found[name] = field_text(value)
    spelled = {_plain(name): text for name, text in found.items() if text}
    return sorted(spelled.items(), key=lambda one: (one[0] != "Title", one[0]))


def _plain(name: str) -> str:
    """The name of a column as it was first given: Count_x0020_of_x0020_crates."""
    return _SPELLED.sub(lambda match: chr(int(match[1], 16)), name)


def _attached(folder: StoredItem, items: Items) -> Iterator[ItemFile]:
    for one in items.rows():
        if not one.row.get("attachments"):
            continue
        item = items.get(one.id)
        number = item.id.rpartition(":")[2]
        for part in item.parts:
            if part.role == "attachment":
                name = part.meta.get("name") or "attachment"
                yield ItemFile(
                    name=safe_name(f"{folder.name} - {number} - {name}", "attachment"),
                    media_type="application/octet-stream",
                    size=part.size,
                    modified=moment(one.row.get("modified")),
                    blocks=part.open,
                )


def _newest(items: Items) -> datetime | None:
    found = (moment(one.row.get("modified")) for one in items.rows())
    return max((one for one in found if one is not None), default=None)


def _table(folder: StoredItem, items: Items) -> Iterator[bytes]:
    columns = _shown(folder.raw)
    head = ["ID", *_titles(columns), *_LAST]
    yield from csv_lines(head, (_cells(columns, item) for item in items))


def _shown(definition: Raw) -> list[Raw]:
    """The columns that people see and fill, and formulas."""
    found = [one for one in definition.get("columns") or () if isinstance(one, Mapping)]
    return [one for one in found if _is_shown(one)]


def _is_shown(column: Raw) -> bool:
    name = str(column.get("name") or "")
    if not name or name.startswith("_") or name in _OWN or column.get("hidden"):
        return False
    return not column.get("readOnly") or column.get("calculated") is not None


def _titles(columns: list[Raw]) -> list[str]:
    """Names as people see them; two of the same name are told apart by the name inside."""
    shown = [str(one.get("displayName") or one["name"]) for one in columns]
    times = Counter(title.casefold() for title in (*shown, "id", *map(str.casefold, _LAST)))
    return [
        title if times[title.casefold()] == 1 else f"{title} ({column['name']})"
        for title, column in zip(shown, columns, strict=True)
    ]


def _cells(columns: list[Raw], item: StoredItem) -> list[object]:
    raw = item.raw
    number = raw.get("id") or item.id.rpartition(":")[2]
    if not raw:
        cells: list[object] = [item.name if one["name"] == "Title" else "" for one in columns]
        return [number, *cells, *("" for _ in _LAST)]
    fields, words = raw.get("fields") or {}, raw.get("words") or {}
    last = (
        (raw.get("contentType") or {}).get("name"),
        raw.get("createdDateTime"),
        _who(raw.get("createdBy")),
        raw.get("lastModifiedDateTime"),
        _who(raw.get("lastModifiedBy")),
    )
    return [number, *(_cell(one, fields, words) for one in columns), *last]


def _cell(column: Raw, fields: Raw, words: Raw) -> object:
    name = str(column["name"])
    if name in words:
        return words_text(words[name])
    if any(column.get(kind) is not None for kind in _REFERRING) and name not in fields:
        number = fields.get(f"{name}LookupId")
        return "" if number is None else words_text([{"id": number}])
    value = fields.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return field_text(value)


def _who(identity: Any) -> str:
    """A person by name, or the application that acted."""
    for kind in ("user", "application"):
        found = (identity or {}).get(kind) or {}
        if found.get("displayName") or found.get("email"):
            return str(found.get("displayName") or found["email"])
    return ""
