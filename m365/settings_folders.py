"""Which folders the rules of a mailbox mean, in words that another mailbox understands.

Folder ids belong to one mailbox. So the place of a folder is kept beside its id: the well-known
folder it is or lies under (whatever that is called in the mailbox's language), and the names from
there down: {"role": "inbox", "path": ["Projects"]}.

https://learn.microsoft.com/graph/api/resources/mailfolder
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem
from m365.mail_folders import ROLES, ROOT

_DEPTH_MAX = 100  # of folders inside folders; more is a circle
_FACTS = "$select=id,displayName,parentFolderId"
_LISTING = {"includeHiddenFolders": "true", "$select": "id,displayName", "$top": "100"}

Place = dict[str, Any]


class FolderNames:
    """Places of folders in one mailbox; `base` is its path, "/users/{id}"."""

    def __init__(self, reader: GraphReader, base: str, scope: Scope) -> None:
        self._reader = reader
        self._base = f"{base}/mailFolders"
        self._scope = scope
        self._roles: dict[str, str] | None = None  # folder id -> well-known name

    def places(self, folder_ids: Iterable[str]) -> dict[str, Place]:
        """By id: where each of the folders lies; those that are not there are left out."""
        wanted = list(folder_ids)
        if not wanted:
            return {}
        known = self._known_roles()
        above: dict[str, tuple[str, str]] = {}  # folder id -> name, parent
        waiting = [key for key in wanted if key not in known]
        for _ in range(_DEPTH_MAX):
            if not waiting:
                break
            found = self._facts(waiting)
            above.update(found)
            parents = {parent for _, parent in found.values() if parent}
            waiting = [key for key in parents if key not in known and key not in above]
        places = {key: _place(key, known, above) for key in wanted}
        return {key: place for key, place in places.items() if place is not None}

    def exists(self, folder_id: str) -> bool:
        """Whether the mailbox has a folder of this id."""
        return bool(self._id_of(folder_id))

    def find(self, place: Mapping[str, Any]) -> str:
        """The folder in the same place of this mailbox; "" where there is none."""
        at = self._id_of(str(place.get("role") or ROOT))
        for name in place.get("path") or ():
            at = self._child(at, str(name)) if at else ""
        return at

    def _id_of(self, reference: str) -> str:
        """The id of a folder named by id or well-known name; "" where there is none."""
        path = f"{self._base}/{quote(reference, safe='')}"
        try:
            return str(self._reader.get(path, params={"$select": "id"}, scope=self._scope)["id"])
        except GraphProblem as problem:
            if problem.status_code not in (400, 404):
                raise
            return ""

    def _known_roles(self) -> dict[str, str]:
        if self._roles is None:
            answers = self._ask(f"{role}?$select=id" for role in ROLES)
            self._roles = {
                str(answer.json()["id"]): role
                for role, answer in zip(ROLES, answers, strict=True)
                if answer.status not in (400, 404)  # no mailbox has every folder
            }
        return self._roles

    def _facts(self, folder_ids: list[str]) -> dict[str, tuple[str, str]]:
        """By id: name and parent of the folders that are there."""
        answers = self._ask(f"{quote(key, safe='')}?{_FACTS}" for key in folder_ids)
        found = {}
        for key, answer in zip(folder_ids, answers, strict=True):
            if answer.status not in (400, 404):
                raw = answer.json()
                name, parent = (raw.get(name) or "" for name in ("displayName", "parentFolderId"))
                found[key] = (str(name), str(parent))
        return found

    def _ask(self, paths: Iterable[str]) -> list[BatchAnswer]:
        requests = [BatchRequest(f"{self._base}/{path}") for path in paths]
        return self._reader.batch(requests, scope=self._scope)

    def _child(self, parent: str, name: str) -> str:
        path = f"{self._base}/{quote(parent, safe='')}/childFolders"
        try:
            for page in follow(self._reader, path, _LISTING, scope=self._scope):
                for raw in page.value:
                    if str(raw.get("displayName") or "").casefold() == name.casefold():
                        return str(raw["id"])
        except GraphProblem as problem:
            if problem.status_code not in (400, 404):
                raise
        return ""


def _place(
    key: str, known: Mapping[str, str], above: Mapping[str, tuple[str, str]]
) -> Place | None:
    path: list[str] = []
    for _ in range(_DEPTH_MAX):
        if key in known:
            return {"role": known[key], "path": path}
        if key not in above:
            return None
        name, key = above[key]
        path.insert(0, name)
    return None
