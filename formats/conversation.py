"""A channel or a chat of Teams as files: the messages as Graph sent them, as one .json.

Rows: formats take the order from a message's row, without reading the message: `sent` is its
createdDateTime, `reply_to` the id of the message it answers ("" or absent for one that begins a
thread).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from base.item import StoredItem
from formats.collection import Items
from formats.files import safe_name
from formats.item_file import ItemFile

FORMAT = "holdfast-conversation/1"


def conversation_files(folder: StoredItem, items: Items) -> Iterable[ItemFile]:
    """The conversation as .json, oldest message first."""
    yield ItemFile(
        name=safe_name(folder.name, "conversation", ".json"),
        media_type="application/json",
        size=None,
        modified=None,
        blocks=lambda: _lines(folder, items),
        rebuilt=True,
    )


def _lines(folder: StoredItem, items: Items) -> Iterator[bytes]:
    """Shape: {format, name, conversation, messages: [{id, raw, missing?}]}, a line per message."""
    head = {"format": FORMAT, "name": folder.name, "conversation": folder.raw}
    yield _json(head)[:-1] + b',"messages":['
    between = b"\n"
    for _, item_id in sorted((_sent(row.row), row.id) for row in items.rows()):
        item = items.get(item_id)
        line: dict[str, Any] = {"id": item.id, "raw": item.raw}
        if item.missing:
            line["missing"] = list(item.missing)
        yield between + _json(line)
        between = b",\n"
    yield b"\n]}\n"


def _sent(row: Any) -> str:
    return str(row.get("sent") or "")


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
