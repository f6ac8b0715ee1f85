"""Folders of a restore point that leave it as files of their own, for exports and for recovery.

Rule 1: a folder chosen whole gives the whole; of messages chosen one by one the file holds those.
Rule 2: a damaged message costs itself, not its channel: the file says so, and so does its line.
Rule 3: a walk over the selection comes first; then each folder is read, page by page of the
        catalog. Held are only the folders, and the ids of what was chosen one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from base.item import StoredItem, StoredPart
from engine.browse import PAGE_MAX, View
from engine.entries import stored_item
from formats import COLLECTIONS, ArchiveEntry, ItemFile
from formats.collection import ItemRow
from vault import Entry, Missing, VaultDamaged

LEFT_OUT = (VaultDamaged, Missing)  # what costs one file or message, and nothing else


class Gathering:
    """Puts items aside that are files together; afterwards gives the files and a line per item."""

    def __init__(
        self,
        view: View,
        place: Callable[[Entry], Sequence[str]],
        each: Callable[[], None] = lambda: None,
    ) -> None:
        """`place` answers the folders above an entry, `each` is called for every item read."""
        self._view, self._place, self._each = view, place, each
        self._chosen: dict[tuple[str, str], dict[str, None] | None] = {}  # None: the whole folder

    def takes(self, entry: Entry, *, alone: bool = False) -> bool:
        """Whether the item is one of a folder's file; `alone`: chosen by itself."""
        if entry.kind not in COLLECTIONS:
            return False
        of = (entry.parent, entry.kind)
        if not alone:
            self._chosen[of] = None
        else:
            ids = self._chosen.setdefault(of, {})
            if ids is not None:
                ids[entry.id] = None
        return True

    def entries(self) -> Iterator[ArchiveEntry]:
        """Of every folder its files, and behind them a line for each item they hold."""
        for (folder_id, kind), ids in self._chosen.items():
            items = _Items(self._view, folder_id, kind, ids, self._each)
            folder, folders = _folder(self._view, folder_id), self._place_of(folder_id)
            for file in COLLECTIONS[kind](folder, items):
                yield ArchiveEntry(folder, tuple(folders), file)
            within = (*folders, folder.name)
            for entry in items.entries():
                problem = items.problems.get(entry.id, "")
                yield ArchiveEntry(_bare(entry), within, None, folder_id, problem)

    def _place_of(self, folder_id: str) -> Sequence[str]:
        entry = self._view.catalog.get(folder_id)
        return self._place(entry) if entry is not None else ()


def files_of(
    view: View, folder_id: str, kind: str, ids: Iterable[str] | None
) -> Iterator[ItemFile]:
    """The files of one folder, or of the items of it that `ids` names."""
    chosen = None if ids is None else dict.fromkeys(ids)
    items = _Items(view, folder_id, kind, chosen, lambda: None)
    yield from COLLECTIONS[kind](_folder(view, folder_id), items)


class _Items:
    """formats.collection.Items of a restore point."""

    left_out = LEFT_OUT

    def __init__(
        self,
        view: View,
        folder: str,
        kind: str,
        ids: Mapping[str, None] | None,
        each: Callable[[], None],
    ) -> None:
        self._view, self._folder, self._kind, self._ids = view, folder, kind, ids
        self._each = each
        self.problems: dict[str, str] = {}

    def entries(self) -> Iterator[Entry]:
        if self._ids is not None:
            yield from (self._view.entry(item_id) for item_id in self._ids)
            return
        after = ""
        while True:
            found, after = self._view.catalog.children(self._folder, after=after, limit=PAGE_MAX)
            yield from (entry for entry in found if entry.kind == self._kind)
            if not after:
                return

    def rows(self) -> Iterator[ItemRow]:
        for entry in self.entries():
            yield ItemRow(entry.id, entry.name, entry.row)

    def __iter__(self) -> Iterator[StoredItem]:
        return map(self._item, self.entries())

    def get(self, item_id: str) -> StoredItem:
        return self._item(self._view.entry(item_id))

    def _item(self, entry: Entry) -> StoredItem:
        self._each()
        try:
            item = stored_item(self._view.repository, entry)
        except LEFT_OUT as damage:
            self.problems[entry.id] = damage.code
            bare = _bare(entry)
            return replace(bare, missing=(*bare.missing, f"item: {damage.code}"))
        return replace(item, parts=tuple(self._noting(entry.id, part) for part in item.parts))

    def _noting(self, item_id: str, part: StoredPart) -> StoredPart:
        """The part, which leaves a note for the item's line where it turns out to be damaged."""

        def opened() -> Iterator[bytes]:
            try:
                yield from part.open()
            except LEFT_OUT as damage:
                self.problems[item_id] = damage.code
                raise

        return replace(part, open=opened)


def _folder(view: View, folder_id: str) -> StoredItem:
    """A folder as far as it can be read."""
    entry = view.catalog.get(folder_id)
    if entry is None:
        return StoredItem(folder_id, "", "folder", "", {}, {}, ())
    try:
        return stored_item(view.repository, entry)
    except LEFT_OUT:
        return _bare(entry)


def _bare(entry: Entry) -> StoredItem:
    """An item as its listing has it: nothing of the vault is read."""
    return StoredItem(
        id=entry.id,
        parent=entry.parent,
        kind=entry.kind,
        name=entry.name,
        row=entry.row,
        raw={},
        parts=(),
        missing=tuple(entry.facts.get("missing", ())),
    )
