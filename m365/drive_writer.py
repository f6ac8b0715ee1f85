"""Files restored into a drive: structure, dates, versions in order, and sharing by choice.

Rules
- Whoever sees a restored file under its name sees all of it. One request does that for a plain
  file (drive_upload.py); what takes more is built under another name first (drive_making.py), and
  that is the only way a file is replaced.
- What is there is never overwritten: the old file of a replacement goes to the recycle bin once the
  new one is complete. Folders are never replaced.
- What arrived is compared by quickXorHash, by size where there is none; not where SharePoint
  rewrites content.
- A name that SharePoint does not take becomes a safe one, and a path that is too long ends in a
  folder of few characters at the top; both say so.

Facts this file rests on: learn.microsoft.com/graph/api/resources/driveitem,
/resources/filesysteminfo; onedrive-api-docs issue 935 (Office files change on upload).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace as with_
from typing import Any

from base.item import StoredItem, Trouble
from m365 import drive_names as names
from m365 import drive_sharing
from m365.drive_history import editions, is_rewritten
from m365.drive_making import NAME_TAKEN, Making, Wish, differences, is_ours
from m365.drive_sharing import DriveSharing
from m365.drive_tree import DriveTree, is_by_application, is_folder, is_too_deep, path_of
from m365.drive_upload import LONG_BYTES, Place, Uploads, seconds_of, times_of
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import Clash, ItemGone, MaybeDone, PathTooLong
from m365.service import Existing, Folder, Identity, Resource, Step, Written

RENAMED = "renamed"  # SharePoint does not take the name
PATH_SHORTENED = "path-shortened"  # it lies in a folder "deep-…" at the top
_LOOKS_MAX = 3  # after answers that were lost


class DriveWriter:
    """Restores into one drive.

    `versions`: older versions first, each with its dates. `permissions`: what items are explicitly
    shared with is shared again, without mailing anybody.
    """

    keeps_markers = False  # a file has no place of its own for one; its description is the owner's

    def __init__(
        self,
        writer: GraphWriter,
        resource: Resource,
        *,
        versions: bool = False,
        permissions: bool = False,
    ) -> None:
        scope = Scope.sharepoint()
        self._tree = DriveTree(writer, scope, resource.graph_id)
        self._uploads = Uploads(writer, scope)
        self._sharing = DriveSharing(writer, scope) if permissions else None
        self._making = Making(self._tree, self._uploads, self._sharing)
        self._versions = versions
        self._top: Folder | None = None  # of the restore, where it has a folder of its own

    def work_in(self, step: Step) -> None:
        self._uploads.step = step

    def root(self) -> Folder:
        return Folder(self._tree.root())

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        times = times_of(stored.raw) if stored else {}
        item_id = stored.id if stored else ""
        safe = names.safe(name)
        cause = RENAMED if safe != name else ""
        try:
            folder = self._folder(into, safe, times)
        except Clash:  # a file has that name
            folder, cause = self._folder(into, names.beside(name, item_id), times), NAME_TAKEN
        except PathTooLong:
            folder, cause = self._deep(f"{into.id}/{safe}", times), PATH_SHORTENED
        if stored is None:
            self._top = folder
        troubles = (Trouble(item_id, "item", cause, retry=False),) if cause else ()
        return with_(folder, troubles=troubles)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        if not stored.parent:
            return self.root()
        try:
            select = "id,name,folder,package,parentReference"
            found = self._tree.get(stored.id, {"$select": select})
        except ItemGone:
            return None
        if not is_folder(found):
            return None
        return Folder(str(found["id"]), path_of(found))

    def finish_folder(self, stored: StoredItem, folder: Folder) -> tuple[Trouble, ...]:
        """Shares a folder that the restore names with whom it was shared."""
        if self._sharing is None:
            return ()
        return tuple(self._sharing.share(stored, self._tree.item(folder.id)))

    def identity(self, item: StoredItem) -> Identity:
        content = item.part("content")
        size = content.size if content else item.row.get("size")
        return Identity(names.key(item.name), _same(names.safe(item.name), size, item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        for child in self._tree.children(into.id):
            name = str(child.get("name") or "")
            if not is_folder(child):  # no file is a folder's double, whatever its name
                yield Existing(str(child["id"]), names.key(name), _same_and_ours(name, child))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        content = item.part("content")
        if content is None:
            return Written("", "skipped", (_nothing_stored(item),))
        beside = names.beside(item.name, marker)
        wish = Wish(
            item=item,
            editions=editions(item, content, self._versions),
            into=into,
            name=beside if new_name else names.safe(item.name),
            beside=beside,
            unfinished=names.unfinished(item.name, marker),
            replaces=replace.id if replace else "",
            new_name=new_name,
        )
        written = self._in_reach(wish)
        if wish.name not in (item.name, beside) and written.id:
            renamed = Trouble(item.id, "item", RENAMED, retry=False)
            return with_(written, troubles=(*written.troubles, renamed))
        return written

    def remove(self, item_id: str) -> None:
        self._tree.remove(item_id)

    def _in_reach(self, wish: Wish) -> Written:
        """Where it belongs, or where the path is shorter."""
        try:
            return self._write(wish)
        except PathTooLong:
            deep = self._deep(wish.into.id, {})
        try:
            written = self._write(with_(wish, into=deep))
        except PathTooLong as problem:
            nowhere = Trouble(wish.item.id, "item", problem.code, retry=False)
            return Written("", "failed", (nowhere,))
        shorter = Trouble(wish.item.id, "item", PATH_SHORTENED, retry=False)
        return with_(written, troubles=(*written.troubles, shorter))

    def _folder(self, into: Folder, name: str, times: Mapping[str, str]) -> Folder:
        made = self._tree.make_folder(into, name, times)
        return Folder(str(made["id"]), (*into.path, name))

    def _deep(self, stands_for: str, times: Mapping[str, str]) -> Folder:
        """A folder at the top of the restore that stands for one whose path is too long."""
        top = self._top or self.root()
        return self._folder(top, f"deep-{names.tag(stands_for, 12)}", times)

    def _write(self, wish: Wish) -> Written:
        if is_too_deep(wish.into, wish.name):
            raise PathTooLong("A path is longer than SharePoint takes.")
        shared = self._sharing is not None and drive_sharing.grants_anything(wish.item)
        long = wish.editions[-1].part.size > LONG_BYTES
        if not (wish.replaces or shared or long or len(wish.editions) > 1):
            written = self._at_once(wish)
            if written is not None:
                return written
        return self._making.make(wish)

    def _at_once(self, wish: Wish) -> Written | None:
        """By one session, which shows the file when it is whole; None where that cannot be."""
        (edition,) = wish.editions
        place = Place.in_folder(self._tree.item(wish.into.id), wish.name)
        outcome = "copied" if wish.new_name else "created"
        for look in range(1, _LOOKS_MAX + 1):
            try:
                sent = self._uploads.by_session(place, edition)
                break
            except (Clash, MaybeDone) as problem:
                found = self._tree.named(wish.into, wish.name)
                if found is not None and is_ours(self._tree, wish, found):
                    return Written(str(found["id"]), outcome)
                if found is not None and isinstance(problem, Clash):
                    return self._beside(wish)
                if look == _LOOKS_MAX:
                    raise
        if sent is None:
            return None
        made = self._tree.dated(sent.made, edition.times)
        troubles = differences(self._tree, wish.item, edition, made, sent.quick_xor)
        return Written(str(made["id"]), outcome, tuple(troubles))

    def _beside(self, wish: Wish) -> Written | None:
        """Something has the name: it stays, and ours is kept under another one."""
        if wish.name == wish.beside:
            taken = Trouble(wish.item.id, "item", NAME_TAKEN, retry=False)
            return Written("", "skipped", (taken,))
        written = self._at_once(with_(wish, name=wish.beside, new_name=True))
        if written is None or not written.id:
            return written
        taken = Trouble(wish.item.id, "item", NAME_TAKEN, retry=False)
        return with_(written, troubles=(*written.troubles, taken))


def _same(name: str, size: Any, raw: Mapping[str, Any]) -> str:
    """Equal for the same state of a file, also where SharePoint rewrote it and gives no hash."""
    times = seconds_of(times_of(raw))
    bytes_ = "rewritten" if is_rewritten(name) else size
    return json.dumps((name, bytes_, *times.values()))


def _same_and_ours(name: str, child: Mapping[str, Any]) -> str:
    """What a repeated step may take for its own write: never what a person put there."""
    if not is_by_application(child):
        return "by-a-person"
    return _same(name, child.get("size"), child)


def _nothing_stored(item: StoredItem) -> Trouble:
    """The backup has no bytes of this file; it says why."""
    causes = (text.removeprefix("content: ") for text in item.missing if text.startswith("content"))
    return Trouble(item.id, "content", next(causes, "no-content"), retry=False)
