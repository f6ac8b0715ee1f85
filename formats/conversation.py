"""A channel or a chat of Teams as files: one page to read, and the messages as Graph sent them.

The order comes from a message's row, without reading the message: `created` is its
createdDateTime, `thread` the id of the message that begins its thread (its own, if it does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from base.item import StoredItem
from formats.collection import Items, exact_json
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
        blocks=lambda: exact_json(
            FORMAT, "conversation", folder, _sorted(order, items), "messages"
        ),
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


def _sorted(order: _Order, items: Items) -> Iterator[StoredItem]:
    return (items.get(item_id) for _, item_id in order.messages)
