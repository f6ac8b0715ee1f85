"""What a vault would hold: the engine's part, played by the words of base/item.py alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from base.item import Change, FeedPage, Gone, Part, StoredItem, StoredPart, Trouble
from m365.graph.errors import ItemGone
from m365.service import Source


@dataclass(slots=True)
class Kept:
    """An item as the mirror keeps it: the change and its parts, read to the end."""

    change: Change
    parts: list[tuple[str, bytes, Mapping[str, Any]]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def stored(self) -> StoredItem:
        parts = tuple(
            StoredPart(role, len(data), meta, lambda data=data: iter((data,)))  # type: ignore[misc]
            for role, data, meta in self.parts
        )
        change = self.change
        return StoredItem(
            change.id, change.parent, change.kind, change.name, change.row, change.raw, parts
        )


class Mirror:
    """What a vault would hold after the pages of a source."""

    def __init__(self) -> None:
        self.items: dict[str, Kept] = {}
        self.links: dict[str, str] = {}
        self.finished: set[str] = set()
        self.fetched: Counter[str] = Counter()
        self.pages = 0
        self._resets: dict[str, tuple[str | None, set[str]]] = {}

    def round(self, source: Source, pages_max: int = 1_000_000) -> bool:
        """Takes pages until the round is over (True) or `pages_max` were taken (False)."""
        for page in source.changes(self.links, frozenset(self.finished)):
            self.apply(source, page)
            pages_max -= 1
            if pages_max == 0:
                return False
        self.finished.clear()
        return True

    def apply(self, source: Source, page: FeedPage) -> None:
        self.pages += 1
        if page.reset:
            self._resets[page.part] = (page.scope, set())
            self.finished.discard(page.part)
        for entry in page.entries:
            if isinstance(entry, Gone):
                self._remove(entry)
            else:
                self._put(source, entry)
        for part in page.dropped_parts:
            self.links.pop(part, None)
            self._resets.pop(part, None)
        if page.link:
            self.links[page.part] = page.link
        if not page.more:
            self.finished.add(page.part)
            self._sweep(page.part)

    def again(self, source: Source, item_id: str) -> None:
        """Fetches an item anew whose last attempt left something out."""
        self.items.pop(item_id)
        self._put(source, source.complete(item_id))

    def _put(self, source: Source, change: Change) -> None:
        before = self.items.get(change.id)
        if change.partial:
            change = (
                source.merge(before.change.raw, change) if before else source.complete(change.id)
            )
        for _, seen in self._resets.values():
            seen.add(change.id)
        kept = Kept(change)
        if before and _stands(before.change, change):
            kept.parts, kept.troubles = before.parts, before.troubles
        else:
            self.fetched[change.kind] += 1
            try:
                parts, kept.troubles = source.fetch(change)
            except ItemGone:
                return
            kept.parts = [(part.role, _bytes(part), part.meta) for part in parts]
        self.items[change.id] = kept

    def _remove(self, gone: Gone) -> None:
        kept = self.items.get(gone.id)
        if kept is None or gone.parent not in (None, kept.change.parent):
            return
        del self.items[gone.id]
        if gone.parent is None:  # a folder takes along what still lies in it
            for key in [key for key, one in self.items.items() if one.change.parent == gone.id]:
                self._remove(Gone(key))

    def _sweep(self, part: str) -> None:
        scope, seen = self._resets.pop(part, (None, None))
        if seen is None:
            return
        for key, kept in list(self.items.items()):
            if key not in seen and scope in (None, kept.change.parent):
                del self.items[key]


def _bytes(part: Part) -> bytes:
    return part.data if isinstance(part.data, bytes) else b"".join(part.data)


def _stands(before: Change, now: Change) -> bool:
    """Whether all parts are what they were."""
    same = before.fingerprint == now.fingerprint and before.prints == now.prints
    return now.fingerprint != "" and same and not now.stale
