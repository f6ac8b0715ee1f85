"""A drive: its items, the log of what changed, and the rules of names and sizes.

Rules: state changes only through the verbs of Drive, each of which appends to the log the
delta reads; items are marked deleted and never dropped, as delta must still speak of them.
Names are compared without case, as SharePoint does.
"""

import base64
import random
import threading
from collections.abc import Iterator
from datetime import datetime

from simulator.drive_item import Change, DriveQuirks, Item, Kind, Version
from simulator.drive_names import (
    OFFICE,
    PATH_MAX,
    Behavior,
    check_name,
    conflict,
    invalid,
    mime_of,
    not_found,
    promoted,
)
from simulator.filebytes import Content
from simulator.web import GraphError, Json


class Drive:
    """The items of one drive and everything that has happened to them."""

    made_later = False
    """Items are made when they are asked for (drive_later.py)."""

    def __init__(
        self,
        drive_id: str,
        owner: Json,
        created: datetime,
        *,
        seed: int = 0,
        drive_type: str = "business",
        name: str = "OneDrive",
        web_url: str = "https://contoso-my.sharepoint.com/personal/nobody/Documents",
        quota_bytes: int = 1_099_511_627_776,
    ) -> None:
        self.id = drive_id
        self.owner = owner
        self.drive_type = drive_type
        self.name = name
        self.web_url = web_url
        self.created = created
        self.quota_bytes = quota_bytes
        self.quirks = DriveQuirks()
        self.locked: tuple[int, str] | None = None
        """(423, "resourceLocked") or (403, ...): every request is refused."""
        self.lock = threading.RLock()
        self.items: dict[str, Item] = {}
        self.log: list[Change] = []
        self.rounds: dict[str, list[Change]] = {}
        """Delta rounds planned lately (drive_delta.py)."""
        self.generation = 1
        self.reset_code = "resyncChangesApplyDifferences"
        self._dice = random.Random(f"{seed}:{drive_id}")
        self._children: dict[str, dict[str, str]] = {}
        self._used_bytes = 0
        self._sizes: tuple[int, dict[str, int]] = (-1, {})
        self.root = self._add("root", None, "root", created, created, owner, None)

    @property
    def seq(self) -> int:
        """The number of the latest change."""
        return len(self.log)

    def get(self, item_id: str) -> Item:
        """A living item by id; 404 itemNotFound otherwise."""
        if item_id == "root":
            return self.root
        item = self.items.get(item_id)
        if item is None or item.deleted:
            raise not_found()
        return item

    def by_path(self, segments: list[str], start: Item | None = None) -> Item:
        """A living item by the names that lead to it; 404 itemNotFound otherwise."""
        item = start or self.root
        for segment in segments:
            child_id = self._children.get(item.id, {}).get(segment.lower())
            if child_id is None:
                raise not_found()
            item = self.items[child_id]
        return item

    def children(self, item: Item) -> list[Item]:
        """Living children in order of arrival."""
        return [self.items[child] for child in self._children.get(item.id, {}).values()]

    def path(self, item: Item) -> list[str]:
        """Names from the root to the item, the root's left out."""
        segments: list[str] = []
        while item.parent_id is not None:
            segments.append(item.name)
            item = self.items[item.parent_id]
        return segments[::-1]

    def living(self) -> Iterator[Item]:
        """Every item that is not deleted, the root included."""
        return (item for item in self.items.values() if not item.deleted)

    def used_bytes(self) -> int:
        return self._used_bytes

    def total_size(self, item: Item) -> int:
        """A file's size, or that of everything below a folder."""
        if item.is_file:
            return item.size
        if self._sizes[0] != self.seq:
            sizes: dict[str, int] = {}
            for each in self.living():
                size, above = each.size, each.parent_id
                while size and above is not None:
                    sizes[above] = sizes.get(above, 0) + size
                    above = self.items[above].parent_id
            self._sizes = (self.seq, sizes)
        return self._sizes[1].get(item.id, 0)

    def create_folder(
        self,
        parent: Item,
        name: str,
        behavior: Behavior,
        by: Json,
        at: datetime,
        times: tuple[datetime, datetime] | None = None,
        kind: Kind = "folder",
    ) -> Item:
        """A new folder; with "replace" an existing one of that name is returned."""
        with self.lock:
            existing = self._clash(parent, name)
            if existing is not None and behavior == "replace" and not existing.is_file:
                return existing
            name = self._free_name(parent, name, behavior, existing)
            created, modified = times or (at, at)
            return self._add(name, parent, kind, created, modified, by, None, logged_at=at)

    def put_file(
        self,
        parent: Item,
        name: str,
        content: Content,
        behavior: Behavior,
        by: Json,
        at: datetime,
        times: tuple[datetime, datetime] | None = None,
    ) -> tuple[Item, bool]:
        """Write a file; (item, whether it is new). Its type follows from its name."""
        with self.lock:
            if self.used_bytes() + content.size > self.quota_bytes:
                raise GraphError(507, "quotaLimitReached", "Insufficient storage.")
            existing = self._clash(parent, name)
            if existing is not None and behavior == "replace" and existing.is_file:
                self.write(existing, content, by, at, times)
                return existing, False
            if existing is not None and behavior == "replace":
                raise conflict()
            name = self._free_name(parent, name, behavior, existing)
            created, modified = times or (at, at)
            item = self._add(name, parent, "file", created, modified, by, content, logged_at=at)
            item.mime_type = mime_of(name)
            return item, True

    def write(
        self,
        item: Item,
        content: Content,
        by: Json,
        at: datetime,
        times: tuple[datetime, datetime] | None = None,
    ) -> None:
        """New content for a file; the old one becomes a version."""
        with self.lock:
            if item.content is not None:
                before = Version(item.version, item.content, item.modified, item.modified_by)
                item.versions.insert(0, before)
                del item.versions[self.quirks.versions_kept :]
            item.version += 1
            self._used_bytes -= item.size
            item.content = self._as_stored(item.name, item.id, content)
            self._used_bytes += item.size
            item.created, item.modified = times or (item.created, at)
            item.modified_by = by
            item.ctag += 1
            self._record(item, at)

    def rename(self, item: Item, name: str, parent: Item, by: Json, at: datetime) -> None:
        """Rename, move, or both."""
        with self.lock:
            if item.kind == "root":
                raise invalid("The root cannot be renamed or moved.")
            if self._is_below(parent, item):
                raise invalid("A folder cannot be moved into itself.")
            check_name(name)
            existing = self._clash(parent, name)
            if existing is not None and existing is not item:
                raise conflict()
            self._check_path(parent, name)
            assert item.parent_id is not None
            self._children[item.parent_id].pop(item.name.lower(), None)
            item.name, item.parent_id, item.modified_by = name, parent.id, by
            item.modified = at if self.quirks.rename_dates else item.modified
            self._children.setdefault(parent.id, {})[name.lower()] = item.id
            self._record(item, at)

    def set_times(self, item: Item, created: datetime, modified: datetime, at: datetime) -> None:
        with self.lock:
            item.created, item.modified = created, modified
            self._record(item, at)

    def share(self, item: Item, permission: Json, at: datetime) -> None:
        """Add a permission of its own to an item."""
        with self.lock:
            item.permissions.append(permission)
            self._record(item, at, sharing=True)

    def shared(self, item: Item, at: datetime) -> None:
        """Somebody changed an item's permissions."""
        with self.lock:
            self._record(item, at, sharing=True)

    def delete(self, item: Item, at: datetime, for_good: bool = False) -> None:
        """Delete an item and everything below it: into the recycle bin, or past it."""
        with self.lock:
            if item.kind == "root":
                raise invalid("The root cannot be deleted.")
            for each in self._subtree(item):
                each.deleted, each.recycled = True, not for_good
                self._used_bytes -= each.size
                self._record(each, at, cause_id=None if each is item else item.id)
            assert item.parent_id is not None
            self._children[item.parent_id].pop(item.name.lower(), None)

    def forget_tokens(self, code: str = "resyncChangesApplyDifferences") -> None:
        """From now on older delta tokens answer 410 with this code."""
        self.generation += 1
        self.reset_code = code

    def _add(
        self,
        name: str,
        parent: Item | None,
        kind: Kind,
        created: datetime,
        modified: datetime,
        by: Json,
        content: Content | None,
        logged_at: datetime | None = None,
    ) -> Item:
        item_id = "01" + base64.b32encode(self._dice.randbytes(20)).decode("ascii")
        item = Item(
            item_id,
            name,
            parent.id if parent else None,
            kind,
            created,
            modified,
            by,
            by,
            _guid(self._dice),
        )
        if content is not None:
            item.content = self._as_stored(name, item_id, content)
            self._used_bytes += item.size
        self.items[item.id] = item
        if parent is not None:
            self._children.setdefault(parent.id, {})[name.lower()] = item.id
        item.etag = 0
        self._record(item, logged_at or created)
        return item

    def _record(
        self, item: Item, at: datetime, cause_id: str | None = None, sharing: bool = False
    ) -> None:
        item.etag += 1
        self.log.append(
            Change(
                len(self.log) + 1,
                item.id,
                at,
                item.name,
                item.parent_id,
                item.etag,
                item.content,
                item.deleted,
                cause_id,
                sharing,
            )
        )

    def _clash(self, parent: Item, name: str) -> Item | None:
        child_id = self._children.get(parent.id, {}).get(name.lower())
        return self.items[child_id] if child_id is not None else None

    def _free_name(self, parent: Item, name: str, behavior: Behavior, existing: Item | None) -> str:
        check_name(name)
        if parent.is_file:
            raise invalid("The parent is not a folder.")
        if existing is not None:
            if behavior != "rename":
                raise conflict()
            stem, dot, suffix = name.rpartition(".")
            stem, suffix = (stem, dot + suffix) if stem else (name, "")
            number = 1
            while self._clash(parent, f"{stem} {number}{suffix}") is not None:
                number += 1
            name = f"{stem} {number}{suffix}"
        self._check_path(parent, name)
        return name

    def _check_path(self, parent: Item, name: str) -> None:
        if sum(len(part) + 1 for part in self.path(parent)) + len(name) > PATH_MAX:
            raise GraphError(400, "pathIsTooLong", "The resulting path has too many characters.")

    def _is_below(self, item: Item, ancestor: Item) -> bool:
        below: Item | None = item
        while below is not None:
            if below is ancestor:
                return True
            below = self.items[below.parent_id] if below.parent_id else None
        return False

    def _subtree(self, item: Item) -> list[Item]:
        found = [item]
        for each in found:
            found.extend(self.children(each))
        return found

    def _as_stored(self, name: str, item_id: str, content: Content) -> Content:
        if self.quirks.rewrite_office and name.lower().endswith(OFFICE):
            return promoted(content, item_id)
        return content


def truth(drive: Drive) -> list[Json]:
    """What the drive holds, for comparisons: living items without the root.

    Each is {id, path (list of names), kind, size, quickXorHash, sha256, created, modified,
    infected, readable, versions (older ones, newest first), permissions (its own)}; sha256 is a
    function, as a large file takes seconds.
    """
    with drive.lock:
        return [_true(drive, item) for item in drive.living() if item.kind != "root"]


def recycled(drive: Drive) -> list[Json]:
    """What lies in the recycle bin, as truth() tells it of what lives."""
    with drive.lock:
        return [_true(drive, item) for item in drive.items.values() if item.recycled]


def _true(drive: Drive, item: Item) -> Json:
    content = item.content
    return {
        "id": item.id,
        "path": drive.path(item),
        "kind": item.kind,
        "size": item.size,
        "quickXorHash": content.quickxorhash if content is not None else None,
        "sha256": (lambda: content.sha256) if content is not None else None,
        "created": item.created,
        "modified": item.modified,
        "infected": item.infected,
        "readable": not item.infected and item.out_of_order is None,
        "versions": [_version(one) for one in item.versions],
        "permissions": [dict(one) for one in item.permissions],
    }


def _version(one: Version) -> Json:
    when = one.modified.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"id": f"{one.number}.0", "size": one.content.size, "modified": when}


def _guid(dice: random.Random) -> str:
    text = f"{dice.getrandbits(128):032X}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
