"""The folders of a mailbox's contacts: what changed among them, the default one included.

Rules
- A round reads the whole change before it says anything: folders are few, and only a complete
  answer tells which of the known ones are gone.
- The link of the feed is a JSON text of ours: the deltaLink, the id of the default folder, and the
  ids of all folders. A folder whose parent is none of them lies beside the default one; both lie
  below a root of ours, as mailbox folders do below theirs.
- The default folder is not always listed, and nothing in a list tells it from the others: its id
  is the parentFolderId of any contact that /contacts shows. Where that list is empty the folder is
  asked for by the name Exchange knows it by, once, for that name is not documented; where that is
  refused each round asks /contacts again, one request, as much as the folder's feed would cost.

Facts this file rests on: learn.microsoft.com/graph/api/contactfolder-delta,
/api/user-list-contacts ("from the default contacts folder"); the name from
github.com/alcionai/corso, which reads real tenants by it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from base.item import Change
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, ItemGone, ResourceGone, ResyncNeeded

ROOT = "contacts"  # stands above all folders of contacts; no folder has that id
BY_NAME = "contacts"
DEFAULT = "default"  # the role of the folder that /contacts shows
_PREFER = {"Prefer": "odata.maxpagesize=200"}
_VOLATILE = frozenset(("@odata.etag", "@odata.context"))

_Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """What became of the folders since the link that was given; parents come first."""

    changed: tuple[Change, ...]
    gone: tuple[str, ...]
    link: str


class ContactFolders:
    """Reads the folders of one mailbox; `base` is its path, "/users/{id}"."""

    def __init__(self, reader: GraphReader, base: str, scope: Scope) -> None:
        self._reader = reader
        self._base = base
        self._scope = scope

    def since(self, link: str, known: Collection[str]) -> FolderChanges:
        """The changes since `link`; all of them from "". `known` ids that are not there any more
        are gone.
        """
        notes = json.loads(link) if link else {"delta": "", "default": "", "ids": []}
        known_default = str(notes["default"])
        default = known_default or self._default() or ("" if link else self._by_name())
        ids = set(notes["ids"])
        try:
            if not notes["delta"]:
                raise ResyncNeeded("There is no link yet.")
            named, gone, delta = self._delta(str(notes["delta"]))
            gone.discard(default)  # it cannot be deleted, whatever one odd entry says
        except ResyncNeeded:
            named, _, delta = self._delta(f"{self._base}/contactFolders/delta")
            gone = {key for key in known if key not in named and key != default}
            ids = {default} - {""}
        named = {key: raw for key, one in named.items() if (raw := self._completed(one))}
        if default != known_default and default not in named:
            named = {default: self._folder(default), **named}
        ids = (ids | set(named)) - gone
        stored = {"delta": delta, "default": default, "ids": sorted(ids)}
        changed = _changes(named, default, ids)
        if not link:
            changed = (Change(ROOT, "", "folder", "Contacts", fingerprint="folder"), *changed)
        return FolderChanges(changed, tuple(gone), json.dumps(stored, separators=(",", ":")))

    def below(self, folder_id: str) -> tuple[Change, ...]:
        """The folders that lie directly in a folder, as they are now."""
        path = f"{self._base}/contactFolders/{quote(folder_id, safe='')}/childFolders"
        found = {
            raw["id"]: raw
            for page in follow(self._reader, path, {"$top": "100"}, scope=self._scope)
            for raw in page.value
        }
        return _changes(found, "", {folder_id})

    def _delta(self, link: str) -> tuple[dict[str, _Raw], set[str], str]:
        found: dict[str, _Raw] = {}
        gone: set[str] = set()
        last = ""
        for page in follow(self._reader, link, headers=_PREFER, scope=self._scope):
            for raw in page.value:
                if "@removed" in raw:
                    found.pop(raw["id"], None)
                    gone.add(raw["id"])
                else:
                    gone.discard(raw["id"])
                    found[raw["id"]] = {**found.get(raw["id"], {}), **raw}
            last = page.link
        return found, gone, last

    def _completed(self, raw: _Raw) -> _Raw:
        """The whole folder where the delta gave only a piece of it; {} for one that is gone."""
        if "displayName" in raw and "parentFolderId" in raw:
            return raw
        path = f"{self._base}/contactFolders/{quote(raw['id'], safe='')}"
        try:
            return {**self._reader.get(path, scope=self._scope), **raw}
        except ItemGone:
            return {}

    def _default(self) -> str:
        """The id of the default folder; "" while it holds no contact to ask."""
        params = {"$select": "parentFolderId", "$top": "1"}
        path = f"{self._base}/contacts"
        for page in follow(self._reader, path, params, scope=self._scope):
            for raw in page.value:
                return str(raw.get("parentFolderId") or "")
        return ""

    def _by_name(self) -> str:
        path = f"{self._base}/contactFolders/{BY_NAME}"
        try:
            return str(self._reader.get(path, scope=self._scope).get("id") or "")
        except GraphProblem as problem:
            refused = problem.status_code in (400, 403, 404, 405, 501)
            if not refused or isinstance(problem, ResourceGone):
                raise
            return ""

    def _folder(self, folder_id: str) -> _Raw:
        return self._completed({"id": folder_id}) or {"id": folder_id}


def _changes(found: Mapping[str, _Raw], default: str, ids: Collection[str]) -> tuple[Change, ...]:
    """Parents first, as far as both are in `found`."""
    ordered: dict[str, _Raw] = {}

    def place(key: str) -> None:
        trail: list[str] = []
        while key in found and key not in ordered and key not in trail:
            trail.append(key)
            key = str(found[key].get("parentFolderId") or "")
        for one in reversed(trail):
            ordered[one] = found[one]

    for key in found:
        place(key)
    return tuple(_change(raw, key == default, ids) for key, raw in ordered.items())


def _change(raw: _Raw, is_default: bool, ids: Collection[str]) -> Change:
    above = str(raw.get("parentFolderId") or "")
    return Change(
        id=raw["id"],
        parent=above if above in ids and not is_default else ROOT,
        kind="folder",
        name=str(raw.get("displayName") or "Contacts"),
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={"role": DEFAULT if is_default else ""},
        fingerprint="folder",
    )
