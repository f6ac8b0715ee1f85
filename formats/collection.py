"""Folders that people know as one thing, and so get as files of their own: a list, a channel.

A Collect makes the files of one such folder out of its items. It reads them as often as it needs
to and holds none of them: a channel may have hundreds of thousands of messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from base.errors import Problem
from base.item import StoredItem
from formats.item_file import ItemFile


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What a listing knows of an item: cheap, its object is not read."""

    id: str
    name: str
    row: Mapping[str, Any]


class Items(Protocol):
    """The items of one kind in one folder, or those of them that were asked for."""

    @property
    def left_out(self) -> tuple[type[Problem], ...]:
        """What reading a part may raise where its bytes are lost: say so and go on."""
        ...

    def rows(self) -> Iterator[ItemRow]:
        """All of them in the order of a listing, anew at every call."""
        ...

    def __iter__(self) -> Iterator[StoredItem]:
        """All of them in the order of a listing, anew at every call.

        One whose object is lost has an empty `raw` and says so in `missing`.
        """
        ...

    def get(self, item_id: str) -> StoredItem:
        """One of them, for what needs another order: a point read."""
        ...


# The folder and its items -> files beside where the folder would lie. A pure function: the same
# items give the same bytes at every reading.
Collect = Callable[[StoredItem, Items], Iterable[ItemFile]]


def exact_json(
    form: str, kind: str, folder: StoredItem, items: Iterable[StoredItem], within: str = "items"
) -> Iterator[bytes]:
    """Shape: {format, name, <kind>: the folder's object, <within>: [{id, raw, missing?}]}, a line
    for each item.
    """
    head = {"format": form, "name": folder.name, kind: folder.raw}
    yield _json(head)[:-1] + b"," + _json(within) + b":["
    between = b"\n"
    for item in items:
        line: dict[str, Any] = {"id": item.id, "raw": item.raw}
        if item.missing:
            line["missing"] = list(item.missing)
        yield between + _json(line)
        between = b",\n"
    yield b"\n]}\n"


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
