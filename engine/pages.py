"""Conversations restored as pages: what no application may write back message by message, people
can still read, in a file beside where it was.

A restore of such a service (m365.service.Service.page_unless) goes over a PageView instead of the
restore point itself: in place of messages it shows one page for each of their folders, and a page
is an item as any other, of kind "page", with the facts of a file and a part "content". So plans,
conflicts, repeats and undo are the ones of every restore: a page has the same name and the same
bytes whenever it is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from base.clock import iso
from base.item import StoredItem, StoredPart
from engine.browse import View
from engine.gathering import files_of
from formats import COLLECTIONS, ItemFile
from m365.service import Service
from vault import Entry

PAGE = "page"  # the kind of the items, and what their ids begin with
_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a restore names: ids of items and of folders; all of it, where both are empty."""

    items: Collection[str]
    folders: Collection[str]


class PageView(View):
    """A restore point that shows pages in place of messages."""

    def __init__(self, view: View, chosen: Chosen) -> None:
        self.repository, self.snapshot, self.catalog = view.repository, view.snapshot, view.catalog
        self._chosen = chosen
        self._sizes: dict[str, int] = {}

    def paged(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries, with a page behind them for each folder of messages among them."""
        pages: dict[str, None] = {}
        for entry in entries:
            if entry.kind in COLLECTIONS:
                pages[f"{PAGE}:{entry.kind}:{entry.parent}"] = None
            else:
                yield entry
        yield from map(self.entry, pages)

    def entry(self, item_id: str) -> Entry:
        kind, folder_id = _page_of(item_id)
        if not kind:
            return super().entry(item_id)
        return Entry(item_id, folder_id, PAGE, self._file(kind, folder_id).name)

    def item(self, item_id: str) -> StoredItem:
        kind, folder_id = _page_of(item_id)
        if not kind:
            return super().item(item_id)
        file = self._file(kind, folder_id)
        if item_id not in self._sizes:  # an upload has to know it beforehand
            self._sizes[item_id] = sum(len(block) for block in file.blocks())
        content = StoredPart("content", self._sizes[item_id], {}, file.blocks)
        return StoredItem(item_id, folder_id, PAGE, file.name, {}, _facts(file), (content,))

    def _file(self, kind: str, folder_id: str) -> ItemFile:
        files = files_of(self, folder_id, kind, self._alone(folder_id))
        return next(file for file in files if file.media_type.startswith(_HTML))

    def _alone(self, folder_id: str) -> list[str] | None:
        """The messages of a folder that were chosen one by one; None: all of it was chosen."""
        folder = super().entry(folder_id)
        above = {folder_id, *(one.id for one in self.path(folder))}
        everything = not self._chosen.items and not self._chosen.folders
        if everything or above.intersection(self._chosen.folders):
            return None
        items = dict.fromkeys(self._chosen.items)
        return [one for one in items if super(PageView, self).entry(one).parent == folder_id]


def as_restored(view: View, service: Service, options: Collection[str], chosen: Chosen) -> View:
    """The restore point as a restore with these options goes over it."""
    if not service.page_unless or service.page_unless in options:
        return view
    return PageView(view, chosen)


def _facts(file: ItemFile) -> dict[str, Any]:
    """What a drive is told of a page: as old as its newest message, by which it is known again."""
    at = iso(file.modified) if file.modified else None
    times = {"createdDateTime": at, "lastModifiedDateTime": at} if at else {}
    return {"file": {"mimeType": _HTML}, "fileSystemInfo": times}


def _page_of(item_id: str) -> tuple[str, str]:
    """Kind of the messages and folder of a page; "" for what is none."""
    head, _, rest = item_id.partition(":")
    kind, _, folder_id = rest.partition(":")
    return (kind, folder_id) if head == PAGE and kind in COLLECTIONS else ("", "")
