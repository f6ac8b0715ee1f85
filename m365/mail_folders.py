"""The folder tree of a mailbox: what changed in it, hidden folders included, search folders not.

Rules
- A round reads the whole change of the tree before it says anything: folders are few, and only a
  complete answer tells which of the known folders are gone.
- The link of the feed is a JSON text of ours, not a URL: the deltaLink, and what the delta cannot
  say (the ids behind well-known names, the search folders, the folders that only listings show).
- A folder that only listings show is gone when its parent was listed and it was not there.

Theory of operation
mailFolders/delta answers all folders flat, but takes no includeHiddenFolders. So every round also
lists the top level with that option, and where the delta named folders also their children (in a
first round: of all) and the root itself, twenty to a $batch. A round without changes costs two
requests. Counts of items change with every message; they are volatile and never make a folder
"changed" by themselves where only a listing shows it. Recoverable Items lie beside the tree people
see: their one folder that can be reached is asked for by name, and shown in the root.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from base.item import Change
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import Forbidden, ItemGone

ROOT = "msgfolderroot"
SEARCH_ROOT = "searchfolders"
RECOVERABLE = "recoverableitemsdeletions"  # what was deleted from Deleted Items, for some weeks
ROLES = (  # wellKnownName is beta only, so the names are resolved once per first round
    ROOT,
    SEARCH_ROOT,
    "inbox",
    "sentitems",
    "drafts",
    "deleteditems",
    "junkemail",
    "outbox",
    "archive",
    "conversationhistory",
)
_PREFER = {"Prefer": "odata.maxpagesize=200"}
_LISTING = "includeHiddenFolders=true&$top=100"
_VOLATILE = frozenset(
    (
        "@odata.etag",
        "@odata.context",
        "unreadItemCount",
        "totalItemCount",
        "childFolderCount",
        "sizeInBytes",
    )
)

_Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """What became of the tree since the link that was given; parents come before their children."""

    changed: tuple[Change, ...]
    gone: tuple[str, ...]
    link: str


@dataclass(slots=True)
class _Notes:
    """What the link of the feed remembers."""

    delta: str = ""
    roles: dict[str, str] = field(default_factory=dict)  # folder id -> well-known name
    skipped: set[str] = field(default_factory=set)  # search folders and what lies below them
    listed: dict[str, list[str]] = field(default_factory=dict)  # id -> [parent, digest]

    @staticmethod
    def read(link: str) -> _Notes:
        stored = json.loads(link)
        return _Notes(stored["delta"], stored["roles"], set(stored["skipped"]), stored["listed"])

    def write(self) -> str:
        stored = {
            "delta": self.delta,
            "roles": self.roles,
            "skipped": sorted(self.skipped),
            "listed": {key: self.listed[key] for key in sorted(self.listed)},
        }
        return json.dumps(stored, separators=(",", ":"))


class FolderTree:
    """Reads the tree of one mailbox; `base` is its path, "/users/{id}"."""

    def __init__(self, reader: GraphReader, base: str, scope: Scope) -> None:
        self._reader = reader
        self._base = f"{base}/mailFolders"
        self._scope = scope

    def whole(self, known: Collection[str]) -> FolderChanges:
        """All folders; `known` ids that are not among them are gone."""
        notes = _Notes()
        named, _ = self._delta(f"{self._base}/delta", notes)
        notes.roles = self._well_known()
        found, _ = self._listings(named, notes, known=(), everything=True)
        kept = {**_kept(found, notes), **self._recoverable(notes)}
        return FolderChanges(
            changed=_changes(kept, notes),
            gone=tuple(key for key in known if key not in kept),
            link=notes.write(),
        )

    def since(self, link: str, known: Collection[str]) -> FolderChanges:
        """The changes since `link`. Raises ResyncNeeded when the service lost its state."""
        notes = _Notes.read(link)
        before = dict(notes.listed)
        named, gone = self._delta(notes.delta, notes)
        named = {key: self._completed(raw) for key, raw in named.items()}
        found, seen = self._listings(named, notes, known=known, everything=False)
        gone -= seen.ids  # listed a moment later: a removal that is wrong empties a mailbox
        for key, (parent, _) in before.items():
            if parent in gone or (
                parent in seen.parents and key not in seen.ids and key not in named
            ):
                gone.add(key)
        for key in gone:
            notes.listed.pop(key, None)
            notes.skipped.discard(key)
        return FolderChanges(_changes(_kept(found, notes), notes), tuple(gone), notes.write())

    def below(self, folder_id: str, link: str) -> tuple[Change, ...]:
        """The folders that lie directly in a folder, as they are now."""
        notes = _Notes.read(link)
        (children,) = self._children([folder_id])
        found = {raw["id"]: raw for raw in children or ()}
        return _changes(_kept(found, notes), notes)

    def _delta(self, link: str, notes: _Notes) -> tuple[dict[str, _Raw], set[str]]:
        found: dict[str, _Raw] = {}
        gone: set[str] = set()
        for page in follow(self._reader, link, headers=_PREFER, scope=self._scope):
            for raw in page.value:
                if "@removed" in raw:
                    found.pop(raw["id"], None)
                    gone.add(raw["id"])
                else:
                    gone.discard(raw["id"])
                    found[raw["id"]] = {**found.get(raw["id"], {}), **raw}
            notes.delta = page.link
        return found, gone

    def _completed(self, raw: _Raw) -> _Raw:
        """The whole folder where the delta gave only a piece of it."""
        if "displayName" in raw and "parentFolderId" in raw:
            return raw
        return {
            **self._reader.get(f"{self._base}/{quote(raw['id'], safe='')}", scope=self._scope),
            **raw,
        }

    def _well_known(self) -> dict[str, str]:
        requests = [BatchRequest(f"{self._base}/{role}?$select=id") for role in ROLES]
        answers = self._reader.batch(requests, scope=self._scope)
        return {
            answer.json()["id"]: role
            for role, answer in zip(ROLES, answers, strict=True)
            if answer.status not in (400, 404)  # no mailbox has every folder, or knows every name
        }

    def _recoverable(self, notes: _Notes) -> dict[str, _Raw]:
        try:
            raw = self._reader.get(f"{self._base}/{RECOVERABLE}", scope=self._scope)
        except (ItemGone, Forbidden):
            return {}
        notes.roles[raw["id"]] = RECOVERABLE
        return {raw["id"]: raw}

    def _listings(
        self, named: Mapping[str, _Raw], notes: _Notes, known: Collection[str], *, everything: bool
    ) -> tuple[dict[str, _Raw], _Seen]:
        """What the delta named and what only listings show, which is news unless `known`."""
        found = dict(named)
        seen = _Seen()
        top = self._top(with_root=everything or bool(named), notes=notes)
        root = _root_of(notes)
        seen.ids.add(root)
        seen.parents.add(root)
        waiting = [*named, *self._news(top, found, notes, seen, known)]
        listed: set[str] = {root}
        while waiting:
            parents = [key for key in dict.fromkeys(waiting) if key not in listed]
            listed.update(parents)
            waiting = []
            wanted = [key for key in parents if _may_have_children(found[key], everything)]
            for parent, children in zip(wanted, self._children(wanted), strict=True):
                if children is not None:
                    seen.parents.add(parent)
                    waiting += self._news(children, found, notes, seen, known)
        return found, seen

    def _news(
        self,
        folders: Iterable[_Raw],
        found: dict[str, _Raw],
        notes: _Notes,
        seen: _Seen,
        known: Collection[str],
    ) -> list[str]:
        """Takes listed folders in; answers those that are new or changed and not named before."""
        news: list[str] = []
        for raw in folders:
            key = raw["id"]
            seen.ids.add(key)
            if key in found or key in notes.skipped:
                continue
            if key not in notes.listed and key in known:
                continue  # the delta tells about it when it changes
            digest = _digest(raw)
            if notes.listed.get(key, ["", ""])[1] == digest:
                continue
            notes.listed[key] = [raw.get("parentFolderId") or "", digest]
            found[key] = raw
            news.append(key)
        return news

    def _top(self, *, with_root: bool, notes: _Notes) -> list[_Raw]:
        """All folders of the first level and, where wanted, the root itself: one request."""
        path = f"{self._base}?{_LISTING}"
        if not with_root:
            return self._rest(self._reader.get(path, scope=self._scope))
        requests = [BatchRequest(f"{self._base}/{ROOT}"), BatchRequest(path)]
        root, top = (answer.json() for answer in self._reader.batch(requests, scope=self._scope))
        notes.roles[root["id"]] = ROOT
        return [root, *self._rest(top)]

    def _children(self, parents: list[str]) -> list[list[_Raw] | None]:
        """The children of each folder; None for a folder that vanished meanwhile."""
        requests = [
            BatchRequest(f"{self._base}/{quote(key, safe='')}/childFolders?{_LISTING}")
            for key in parents
        ]
        bodies = map(_body, self._reader.batch(requests, scope=self._scope)) if requests else ()
        return [None if body is None else self._rest(body) for body in bodies]

    def _rest(self, body: _Raw) -> list[_Raw]:
        """All entries of a list whose first page is given."""
        entries = list(body.get("value", ()))
        while link := body.get("@odata.nextLink"):
            body = self._reader.get(link, scope=self._scope)
            entries += body.get("value", ())
        return entries


@dataclass(slots=True)
class _Seen:
    """Which folders were listed, and whose children those were."""

    ids: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)


def _body(answer: BatchAnswer) -> _Raw | None:
    """The object of an answer in a batch; None for a folder that vanished meanwhile."""
    try:
        return answer.json()
    except ItemGone:
        return None


def _may_have_children(raw: Mapping[str, Any], everything: bool) -> bool:
    """Whether to list below a folder; whether the count includes hidden ones is not documented."""
    return not _is_search(raw) and (everything or raw.get("childFolderCount") != 0)


def _is_search(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("@odata.type", "")).endswith("mailSearchFolder")


def _digest(raw: Mapping[str, Any]) -> str:
    """Changes when a folder that only listings show has to be told about again."""
    facts = [raw.get("displayName"), raw.get("parentFolderId"), raw.get("childFolderCount")]
    facts.append(bool(raw.get("totalItemCount")))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _kept(found: dict[str, _Raw], notes: _Notes) -> dict[str, _Raw]:
    """Without search folders (their items are copies) and what lies below; those are noted."""
    for key, raw in found.items():
        if _is_search(raw) or notes.roles.get(key) == SEARCH_ROOT:
            notes.skipped.add(key)
    notes.skipped.update(key for key, role in notes.roles.items() if role == SEARCH_ROOT)
    spread = True
    while spread:
        below = {
            key
            for key, raw in found.items()
            if raw.get("parentFolderId") in notes.skipped and key not in notes.skipped
        }
        notes.skipped |= below
        spread = bool(below)
    for key in notes.skipped:
        notes.listed.pop(key, None)
    return {key: raw for key, raw in found.items() if key not in notes.skipped}


def _changes(found: Mapping[str, _Raw], notes: _Notes) -> tuple[Change, ...]:
    """Parents first, as far as both are in `found`."""
    ordered: dict[str, _Raw] = {}

    def place(key: str) -> None:
        trail = []
        while key in found and key not in ordered and key not in trail:
            trail.append(key)
            key = found[key].get("parentFolderId") or ""
        for one in reversed(trail):
            ordered[one] = found[one]

    for key in found:
        place(key)
    return tuple(_change(raw, notes) for raw in ordered.values())


def _root_of(notes: _Notes) -> str:
    return next(key for key, role in notes.roles.items() if role == ROOT)


def _change(raw: _Raw, notes: _Notes) -> Change:
    role = notes.roles.get(raw["id"], "")
    row = {"role": role, "hidden": bool(raw.get("isHidden")), "items": raw.get("totalItemCount", 0)}
    parent, name = str(raw.get("parentFolderId") or ""), raw.get("displayName") or role
    if role == RECOVERABLE:  # "Deletions", in a folder that no application sees
        parent, name = _root_of(notes), "Recoverable Items"
    return Change(
        id=raw["id"],
        parent="" if role == ROOT else parent,
        kind="folder",
        name=name,
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row=row,
        fingerprint="folder",
    )
