"""A channel or a chat of Teams as files: one page to read, and the messages as Graph sent them.

The order comes from a message's row, without reading the message: `created` is its
createdDateTime, `thread` the id of the message that begins its thread (its own, if it does).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from base.item import StoredItem
from formats.collection import Items
from formats.conversation_page import page
from formats.files import safe_name
from formats.item_file import ItemFile, moment

FORMAT = "holdfast-conversation/1"
_Key = tuple[float, str]  # when it was sent (epoch seconds, 0 where nobody knows), and its id


@dataclass(slots=True)
class _Order:
    """Where each message belongs; all that is held of a conversation."""

    threads: list[list[_Key]] = field(default_factory=list)
    newest: datetime | None = None

    @property
    def messages(self) -> list[_Key]:
        return sorted(key for thread in self.threads for key in thread)


def conversation_files(folder: StoredItem, items: Items) -> Iterable[ItemFile]:
    """The conversation as .html and as .json."""
    order = _order(items)
    yield ItemFile(
        name=safe_name(folder.name, "conversation", ".html"),
        media_type="text/html; charset=utf-8",
        size=None,
        modified=order.newest,
        blocks=lambda: page(folder, _threads(order, items), items.left_out),
        rebuilt=True,
    )
    yield ItemFile(
        name=safe_name(folder.name, "conversation", ".json"),
        media_type="application/json",
        size=None,
        modified=order.newest,
        blocks=lambda: _lines(folder, order, items),
        rebuilt=True,
    )


def _order(items: Items) -> _Order:
    """Threads by their first message, each from its first to its last."""
    found: dict[str, list[_Key]] = {}
    newest: datetime | None = None
    for one in items.rows():
        sent = moment(one.row.get("created"))
        key = (sent.timestamp() if sent else 0.0, one.id)
        found.setdefault(str(one.row.get("thread") or one.id), []).append(key)
        if sent is not None and (newest is None or sent > newest):
            newest = sent
    return _Order(sorted(sorted(thread) for thread in found.values()), newest)


def _threads(order: _Order, items: Items) -> Iterator[Iterator[StoredItem]]:
    for thread in order.threads:
        yield (items.get(item_id) for _, item_id in thread)


def _lines(folder: StoredItem, order: _Order, items: Items) -> Iterator[bytes]:
    """Shape: {format, name, conversation, messages: [{id, raw, missing?}]}, the oldest first, a
    line each.
    """
    head = {"format": FORMAT, "name": folder.name, "conversation": folder.raw}
    yield _json(head)[:-1] + b',"messages":['
    between = b"\n"
    for _, item_id in order.messages:
        item = items.get(item_id)
        line: dict[str, Any] = {"id": item.id, "raw": item.raw}
        if item.missing:
            line["missing"] = list(item.missing)
        yield between + _json(line)
        between = b",\n"
    yield b"\n]}\n"


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
