"""The folders of a mailbox as the import and export API tells them, across all its mailboxes.

Rules
- A round reads the whole change of the tree before it says anything, as for mail.
- The link of the feed is a JSON text of ours: the mailbox it is about, its delta links, and where
  folders lie that are not in the mailbox itself.
- A folder's parentMailboxUrl (beta; archives that expanded) is opaque: it is put in front of
  /folders/…, and the client checks its host like that of any link.
- The tree has one top folder. Where the service does not tell of it, it is known as the parent of
  those that have no other.

Theory of operation
folders/delta tells of all folders flat. That it always does is nowhere promised, and there is a
delta for the children of a folder too; so a folder that claims children of which none was told gets
a link of its own, kept when something came of it. In a mailbox that is told flat a round without
changes costs one request. Search folders are left out: their items are copies. Hidden folders are
not told by the delta and hold settings of programs, not what people wrote.

https://learn.microsoft.com/graph/api/mailboxfolder-delta
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from base.item import Change
from m365.graph.client import BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import ItemGone

TOP = "msgfolderroot"
TOP_UNTOLD = "top"  # where no folder names its parent
_SEARCHES = "searchfolders"
_PREFER = {"Prefer": "odata.maxpagesize=200"}
_VOLATILE = frozenset(
    ("@odata.etag", "@odata.context", "totalItemCount", "childFolderCount", "parentMailboxUrl")
)

_Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TreeChanges:
    """What became of the tree since the link that was given."""

    changed: tuple[Change, ...]
    gone: tuple[str, ...]
    link: str


@dataclass(slots=True)
class Notes:
    """What the link of the feed remembers. `mailbox` is a path."""

    mailbox: str
    top: str = ""
    levels: dict[str, str] = field(default_factory=dict)  # folder ("" for all) -> delta link
    homes: dict[str, str] = field(default_factory=dict)  # folder -> link of its mailbox
    parents: set[str] = field(default_factory=set)  # folders of which a child was told
    skipped: set[str] = field(default_factory=set)  # search folders and what lies below them

    @staticmethod
    def read(link: str) -> Notes:
        stored = json.loads(link)
        return Notes(
            stored["mailbox"], stored["top"], stored["levels"], stored["homes"],
            set(stored["parents"]), set(stored["skipped"]),
        )  # fmt: skip

    def write(self) -> str:
        stored = {
            "mailbox": self.mailbox,
            "top": self.top,
            "levels": self.levels,
            "homes": self.homes,
            "parents": sorted(self.parents),
            "skipped": sorted(self.skipped),
        }
        return json.dumps(stored, separators=(",", ":"))

    def home(self, folder_id: str) -> str:
        """The path or link of the mailbox a folder lies in."""
        return self.homes.get(folder_id, self.mailbox)

    def path(self, folder_id: str) -> str:
        """The path or link of a folder."""
        return f"{self.home(folder_id)}/folders/{quote(folder_id, safe='')}"


class MailboxTree:
    """Reads the folders of mailboxes of one user."""

    def __init__(self, reader: GraphReader, scope: Scope) -> None:
        self._reader = reader
        self._scope = scope

    def whole(self, mailbox: str, known: Collection[str]) -> TreeChanges:
        """All folders of the mailbox at a path; `known` ids that are not among them are gone."""
        notes = Notes(mailbox)
        found, _ = self._read(notes, {"": ""})
        changed = self._changes(found, notes, known=())
        if notes.top not in found:
            top = Change(id=notes.top, parent="", kind="folder", fingerprint="folder")
            changed = (top, *changed)
        there = {change.id for change in changed}
        gone = tuple(key for key in known if key not in there)
        return TreeChanges(changed, gone, notes.write())

    def since(self, link: str, known: Collection[str]) -> TreeChanges:
        """The changes since `link`. Raises ResyncNeeded when the service lost its state."""
        notes = Notes.read(link)
        found, gone = self._read(notes, dict(notes.levels))
        gone.discard(notes.top)  # it goes only with the mailbox
        for key in gone:
            notes.levels.pop(key, None)
            notes.homes.pop(key, None)
            notes.skipped.discard(key)
        changed = self._changes(found, notes, known)
        return TreeChanges(changed, tuple(gone), notes.write())

    def below(self, folder_id: str, link: str, known: Collection[str]) -> tuple[Change, ...]:
        """The folders that lie directly in a folder, as they are now."""
        notes = Notes.read(link)
        found: dict[str, _Raw] = {}
        path = f"{notes.path(folder_id)}/childFolders"
        for page in follow(self._reader, path, {"$top": "100"}, scope=self._scope):
            found |= {raw["id"]: raw for raw in page.value}
        return self._changes(found, notes, {*known, folder_id})

    def home(self, mailbox: str, folder_id: str) -> str:
        """The mailbox one folder lies in, asked from the service. Raises ItemGone."""
        path = Notes(mailbox).path(folder_id)
        return home_of(self._reader.get(path, scope=self._scope), mailbox)

    def _read(self, notes: Notes, levels: dict[str, str]) -> tuple[dict[str, _Raw], set[str]]:
        """Follows every link; levels that are met for the first time are read to their end too."""
        found: dict[str, _Raw] = {}
        gone: set[str] = set()
        while levels:
            for parent, link in levels.items():
                self._read_level(parent, link, notes, found, gone)
            for raw in found.values():
                _note_home(raw, notes)
                notes.parents.add(str(raw.get("parentFolderId") or ""))
            levels = dict.fromkeys(_untold(found, notes), "")
        return found, gone

    def _read_level(
        self, parent: str, link: str, notes: Notes, found: dict[str, _Raw], gone: set[str]
    ) -> None:
        here: dict[str, _Raw] = {}
        left: set[str] = set()
        start = f"{notes.path(parent)}/childFolders" if parent else f"{notes.mailbox}/folders"
        try:
            pages = follow(
                self._reader, link or f"{start}/delta", headers=_PREFER, scope=self._scope
            )
            for page in pages:
                for raw in page.value:
                    _take(raw, here, left)
                notes.levels[parent] = page.link
        except ItemGone:
            if not parent:
                raise
            notes.levels[parent] = ""  # the folder went away meanwhile; its parent's level tells so
        if parent and not here and not link:
            notes.levels[parent] = ""  # its children are hidden ones: nothing will come of it
        # What left one level and is told by another has moved.
        gone.update(left - found.keys())
        gone.difference_update(here)
        found.update(here)

    def _changes(
        self, found: dict[str, _Raw], notes: Notes, known: Collection[str]
    ) -> tuple[Change, ...]:
        found = self._completed(found, notes)
        for raw in found.values():
            _note_home(raw, notes)
        _note_top(found, notes, known)
        _note_searches(found, notes)
        notes.levels = {key: link for key, link in notes.levels.items() if link}
        places = {*found, *known, notes.top}
        changes = [
            _change(raw, notes, places) for key, raw in found.items() if key not in notes.skipped
        ]
        return tuple(changes)

    def _completed(self, found: dict[str, _Raw], notes: Notes) -> dict[str, _Raw]:
        """The whole folders where the delta gave only pieces; without those that vanished."""
        pieces = [
            key
            for key, raw in found.items()
            if "displayName" not in raw or "parentFolderId" not in raw
        ]
        if not pieces:
            return found
        beta = notes.mailbox.startswith("/beta/")
        requests = [BatchRequest(Notes(notes.mailbox).path(key)[5 * beta :]) for key in pieces]
        whole = dict(found)
        for key, answer in zip(
            pieces, self._reader.batch(requests, self._scope, beta=beta), strict=True
        ):
            try:
                whole[key] = {**answer.json(), **found[key]}
            except ItemGone:
                del whole[key]
        return whole


def _take(raw: _Raw, found: dict[str, _Raw], gone: set[str]) -> None:
    if "@removed" in raw:
        found.pop(raw["id"], None)
        gone.add(raw["id"])
    else:
        gone.discard(raw["id"])
        found[raw["id"]] = {**found.get(raw["id"], {}), **raw}


def _untold(found: Mapping[str, _Raw], notes: Notes) -> Iterator[str]:
    """Folders that claim children of which nothing was told, and that have no link yet."""
    for key, raw in found.items():
        met = key in notes.parents or key in notes.levels
        if raw.get("childFolderCount") and not met:
            yield key


def home_of(raw: Mapping[str, Any], mailbox: str) -> str:
    """The mailbox a folder says it lies in; `mailbox`, a path, where that is this one."""
    url = raw.get("parentMailboxUrl")
    if not isinstance(url, str) or not url:
        return mailbox
    same = unquote(urlsplit(url).path).rstrip("/").lower() == unquote(mailbox).lower()
    return mailbox if same else url.rstrip("/")


def _note_home(raw: Mapping[str, Any], notes: Notes) -> None:
    """Remembers the mailbox of a folder where it is another one; a piece may not speak of it."""
    if "parentMailboxUrl" not in raw:
        return
    home = home_of(raw, notes.mailbox)
    notes.homes.pop(str(raw["id"]), None)
    if home != notes.mailbox:
        notes.homes[str(raw["id"])] = home


def _note_top(found: Mapping[str, _Raw], notes: Notes, known: Collection[str]) -> None:
    """The top folder: the one that is told as such, else the parent that nobody is."""
    for key, raw in found.items():
        if str(raw.get("wellKnownName") or "").lower() == TOP:
            notes.top = key
            return
    if notes.top:
        return
    above = (str(raw.get("parentFolderId") or "") for raw in found.values())
    unknown = [key for key in above if key and key not in found and key not in known]
    notes.top = max(set(unknown), key=lambda key: (unknown.count(key), key), default=TOP_UNTOLD)


def _note_searches(found: Mapping[str, _Raw], notes: Notes) -> None:
    for key, raw in found.items():
        if str(raw.get("wellKnownName") or "").lower() == _SEARCHES:
            notes.skipped.add(key)
    spread = True
    while spread:
        below = {
            key
            for key, raw in found.items()
            if raw.get("parentFolderId") in notes.skipped and key not in notes.skipped
        }
        notes.skipped |= below
        spread = bool(below)


def _change(raw: _Raw, notes: Notes, places: Collection[str]) -> Change:
    role = str(raw.get("wellKnownName") or "").lower()
    parent = str(raw.get("parentFolderId") or "")
    if raw["id"] == notes.top:
        parent = ""
    elif parent not in places:
        parent = notes.top
    items = raw.get("totalItemCount")
    return Change(
        id=raw["id"],
        parent=parent,
        kind="folder",
        name=str(raw.get("displayName") or role),
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={
            "role": role,
            "type": str(raw.get("type") or ""),
            "items": items if isinstance(items, int) else 0,
        },
        fingerprint="folder",
    )
