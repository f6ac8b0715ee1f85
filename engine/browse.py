"""List and open what a restore point holds. Reads the vault only; Microsoft 365 is never asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from base.errors import NotFound
from base.item import StoredItem, StoredPart
from engine import resources
from engine.assembly import App
from engine.backlog import LATER
from engine.entries import stored_item
from formats import ItemFile, file_of
from vault import Catalog, Entry, Missing, Repository, Snapshot, SnapshotInfo

PAGE_MAX = 500


class SnapshotMissing(NotFound):
    """No such restore point."""

    code = "snapshot-missing"
    hint = "List /snapshots of the organization for those that exist."


class ItemMissing(NotFound):
    """The restore point holds no such item."""

    code = "item-missing"
    hint = "The item may lie in an older or newer restore point."


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a folder. `after` continues; "" at the end. `path` leads from the root to the
    folder.
    """

    folder: Entry | None
    path: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    after: str
    total: int


class View:
    """One restore point of one service of one resource, opened for reading."""

    def __init__(self, repository: Repository, snapshot: Snapshot) -> None:
        self.repository = repository
        self.snapshot = snapshot
        self.catalog: Catalog = repository.catalog(snapshot)

    def entry(self, item_id: str) -> Entry:
        """The catalog entry of an item or folder."""
        entry = self.catalog.get(item_id)
        if entry is None:
            raise ItemMissing("This restore point holds no such item.")
        return entry

    def item(self, item_id: str) -> StoredItem:
        """An item with its parts, read when they are opened."""
        return stored_item(self.repository, self.entry(item_id))

    def root(self) -> Entry | None:
        """The top folder of the resource."""
        entries, _ = self.catalog.children("", limit=1)
        return entries[0] if entries else None

    def path(self, entry: Entry) -> tuple[Entry, ...]:
        """The folders from the root down to the one the entry lies in."""
        above: list[Entry] = []
        seen = {entry.id}
        parent = self.catalog.get(entry.parent) if entry.parent else None
        while parent is not None and parent.id not in seen:
            above.append(parent)
            seen.add(parent.id)
            parent = self.catalog.get(parent.parent) if parent.parent else None
        return tuple(reversed(above))

    def list(self, folder: str = "", after: str = "", limit: int = 100) -> Listing:
        """One page of a folder ("" is the top one): folders first, then items in their order."""
        here = self.entry(folder) if folder else self.root()
        if here is None:
            return Listing(None, (), (), "", 0)
        entries, more = self.catalog.children(here.id, after=after, limit=min(limit, PAGE_MAX))
        return Listing(here, self.path(here), tuple(entries), more, self.catalog.count(here.id))

    def below(self, folder: str) -> Iterator[Entry]:
        """Everything in a folder and under it, folders before what they hold."""
        waiting = [folder]
        while waiting:
            parent, after = waiting.pop(), ""
            while True:
                entries, after = self.catalog.children(parent, after=after, limit=PAGE_MAX)
                for entry in entries:
                    yield entry
                    if entry.kind == "folder":
                        waiting.append(entry.id)
                if not after:
                    break


def open_view(app: App, org: str, service: str, resource: str, number: int | None = None) -> View:
    """Opens a restore point; without a number the newest."""
    repository = app.vault(org)
    chain = resources.chain(service, resource)
    try:
        snapshot = repository.head(chain) if number is None else repository.snapshot(chain, number)
    except Missing:
        snapshot = None
    if snapshot is None or snapshot.status != "ok":
        raise SnapshotMissing("There is no such restore point.")
    return View(repository, snapshot)


def snapshots(app: App, org: str, service: str, resource: str) -> list[SnapshotInfo]:
    """Every restore point of one service of one resource, newest first."""
    found = app.vault(org).snapshots(resources.chain(service, resource))
    return sorted(found, key=lambda info: info.number, reverse=True)


def part_of(item: StoredItem, role: str, index: int = 0) -> StoredPart:
    """One part of an item: its MIME, its n-th attachment, its file content."""
    parts = [part for part in item.parts if part.role == role]
    if index >= len(parts):
        raise ItemMissing("The item has no such part.")
    return parts[index]


def as_file(item: StoredItem) -> ItemFile:
    """The item as a file to download: a message as .eml, a file as it was."""
    return file_of(item)


def row_json(entry: Entry) -> dict[str, Any]:
    """What a listing shows of one entry: id, parent, kind, name, size, columns, what is missing."""
    return {
        "id": entry.id,
        "parent": entry.parent,
        "kind": entry.kind,
        "name": entry.name,
        "columns": dict(entry.row),
        "missing": list(entry.facts.get("missing", ())),
        "to_follow": list(entry.facts.get(LATER, ())),
    }
