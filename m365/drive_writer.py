"""Files restored into a drive, with their dates.

Rules
- What is there is never lost: a file is replaced by an upload session on the item itself, which
  takes effect in one moment behind the last byte; until then, and as a version afterwards, the old
  content stays. Nothing is deleted to make room for an upload.
- A file and its dates appear together: fileSystemInfo goes into the session. Only what cannot use
  a session (empty files, tenants that refuse sessions) is uploaded first and dated afterwards.
- A lost session is never resumed from byte 0: a new one is made.
- What arrived is compared by size and quickXorHash, except where SharePoint rewrites content.
- A copy beside an existing file has a name that follows from the marker, so that a repeated step
  meets its own copy and not a third one.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-createuploadsession,
/api/driveitem-put-content, /api/driveitem-post-children, /resources/filesysteminfo;
onedrive-api-docs issue 935 (Office files change on upload).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.item import StoredItem, StoredPart, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, Forbidden, ItemGone, MaybeDone, SessionGone
from m365.quickxorhash import QuickXorHash
from m365.service import Existing, Folder, Identity, Resource, Written

NAME_CHARACTERS_MAX = 255  # of one name in SharePoint
PUT_BYTES_MAX = 4 * 1024 * 1024  # sent as one request where a tenant refuses upload sessions
_ATTEMPTS = 3  # sessions begun for one file
_LISTED = {"$select": "id,name,size,file,folder,package,fileSystemInfo,createdBy", "$top": "200"}
_CONFLICT = "@microsoft.graph.conflictBehavior"
_TIMES = ("createdDateTime", "lastModifiedDateTime")
_REWRITTEN = frozenset(  # SharePoint promotes properties into these, so their bytes change
    "doc docx docm dot dotx dotm xls xlsx xlsm xlsb xlt xltx xltm ppt pptx pptm pot potx potm pps "
    "ppsx ppsm vsd vsdx one onetoc2 onepkg pub mpp msg htm html aspx".split()
)


class DriveWriter:
    """Restores into one drive."""

    keeps_markers = False  # a file has no place of its own for one; its description is the owner's

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer = writer
        self._scope = Scope.sharepoint()
        self._base = f"/drives/{quote(resource.graph_id, safe='!')}"

    def root(self) -> Folder:
        return Folder(self._get(f"{self._base}/root", {"$select": "id"})["id"])

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        body: dict[str, Any] = {"name": name, "folder": {}, _CONFLICT: "fail"}
        times = _times(stored.raw) if stored else {}
        if times:
            body["fileSystemInfo"] = times
        try:
            made = self._writer.post(
                f"{self._item(into.id)}/children", body, scope=self._scope, repeatable=True
            )
        except Clash:
            found = self._child(into.id, name)
            if found is None or not _is_folder(found):
                raise  # a file has that name
            made = found
        return Folder(made["id"], (*into.path, name))

    def original_folder(self, stored: StoredItem) -> Folder | None:
        if not stored.parent:
            return self.root()
        try:
            found = self._get(self._item(stored.id), {"$select": "id,name,folder,package"})
        except ItemGone:
            return None
        if not _is_folder(found):
            return None
        return Folder(found["id"], (str(found.get("name") or ""),))

    def identity(self, item: StoredItem) -> Identity:
        content = item.part("content")
        size = content.size if content else item.row.get("size")
        return Identity(_key(item.name), _same(item.raw, size))

    def existing(self, into: Folder) -> Iterator[Existing]:
        for child in self._children(into.id):
            yield Existing(child["id"], _key(child.get("name") or ""), _same_and_ours(child))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        content = item.part("content")
        if content is None:
            return Written("", "skipped", (_nothing_stored(item),))
        name = _name_beside(item.name, marker) if new_name else item.name
        at = _Place(self._item(into.id), name, new_name)
        if replace is not None:
            at = _Place(self._item(replace.id), name, overwrite=True, addressed=True)
        try:
            made, hasher = self._upload(at, content, _times(item.raw))
        except Clash:
            found = self._child(into.id, name)
            if found is not None and _is_ours(found, item, content):
                return Written(found["id"], "created")
            return Written("", "skipped", (Trouble(item.id, "item", "name-taken", retry=False),))
        if replace is not None and made.get("name", name) != name:
            made = self._patch(made["id"], {"name": name})
        outcome = "replaced" if replace else "copied" if new_name else "created"
        return Written(made["id"], outcome, tuple(self._checked(item, content, made, hasher)))

    def remove(self, item_id: str) -> None:
        self._writer.delete(self._item(item_id), scope=self._scope)

    def _upload(
        self, at: _Place, content: StoredPart, times: Mapping[str, str]
    ) -> tuple[dict[str, Any], QuickXorHash]:
        """The new driveItem with its dates set, and the hash of what was sent."""
        if content.size == 0:
            return self._put(at, b"", times)
        try:
            return self._by_session(at, content, times)
        except Forbidden:
            # The documented application permission of sessions is Sites.ReadWrite.All; with
            # Files.ReadWrite.All alone a tenant may refuse them, but not a plain PUT.
            if content.size > PUT_BYTES_MAX:
                raise
        return self._put(at, content.read(), times)

    def _by_session(
        self, at: _Place, content: StoredPart, times: Mapping[str, str]
    ) -> tuple[dict[str, Any], QuickXorHash]:
        item: dict[str, Any] = {_CONFLICT: at.on_conflict}
        if not at.addressed:
            item["name"] = at.name
        if times:
            item["fileSystemInfo"] = dict(times)
        for attempt in range(1, _ATTEMPTS + 1):
            session = self._writer.post(
                f"{at.path}/createUploadSession",
                {"item": item},
                scope=self._scope,
                repeatable=True,
            )
            hasher = QuickXorHash()
            try:
                made = self._writer.upload(
                    session["uploadUrl"],
                    content.size,
                    _hashed(content.open(), hasher),
                    scope=self._scope,
                )
                return self._dated(made, times), hasher
            except (SessionGone, MaybeDone):  # if it was done, the next one meets its own file
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _put(
        self, at: _Place, data: bytes, times: Mapping[str, str]
    ) -> tuple[dict[str, Any], QuickXorHash]:
        """One request. A PUT replaces what has the name, so a free name is made sure of before."""
        if at.on_conflict == "fail" and self._is_taken(at):
            raise Clash("Something of that name is there already.")
        hasher = QuickXorHash()
        hasher.update(data)
        headers = {"Content-Type": "application/octet-stream"}
        made = self._writer.put(f"{at.path}/content", data=data, headers=headers, scope=self._scope)
        return self._dated(made, times), hasher

    def _is_taken(self, at: _Place) -> bool:
        try:
            self._get(at.path.removesuffix(":"), {"$select": "id"})
        except ItemGone:
            return False
        return True

    def _dated(self, made: dict[str, Any], times: Mapping[str, str]) -> dict[str, Any]:
        """The same item once its dates are those of the backup."""
        if not times or _seconds(_times(made)) == _seconds(times):
            return made
        return self._patch(made["id"], {"fileSystemInfo": dict(times)})

    def _checked(
        self, item: StoredItem, content: StoredPart, made: dict[str, Any], sent: QuickXorHash
    ) -> Iterator[Trouble]:
        """What differs between what was sent and what the drive says it has."""
        if made.get("size") is None or not _quick_xor(made):
            made = {**made, **self._get(self._item(made["id"]), {"$select": "id,name,size,file"})}
        arrived = _quick_xor(made)
        equal = made.get("size") == content.size and (not arrived or arrived == sent.base64())
        if equal:
            return
        if _extension(item.name) in _REWRITTEN:
            yield Trouble(item.id, "content", "rewritten-by-service", retry=False)
        else:
            yield Trouble(item.id, "content", "content-mismatch", retry=True)

    def _child(self, parent: str, name: str) -> dict[str, Any] | None:
        key = _key(name)
        return next((c for c in self._children(parent) if _key(c.get("name") or "") == key), None)

    def _children(self, parent: str) -> Iterator[dict[str, Any]]:
        path = f"{self._item(parent)}/children"
        pages = follow(self._writer, path, _LISTED, scope=self._scope, cost_first=2, cost_next=2)
        for page in pages:
            yield from page.value

    def _get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        return self._writer.get(path, params=params, scope=self._scope)

    def _patch(self, item_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        return self._writer.patch(self._item(item_id), changes, scope=self._scope)

    def _item(self, item_id: str) -> str:
        return f"{self._base}/items/{quote(item_id, safe='!')}"


class _Place:
    """Where a file goes: a new name in a folder, or the item itself that it replaces."""

    def __init__(self, base: str, name: str, overwrite: bool, addressed: bool = False) -> None:
        self.name = name
        self.addressed = addressed
        self.on_conflict = "replace" if overwrite else "fail"
        self.path = base if addressed else f"{base}:/{quote(name, safe='')}:"


def _is_folder(raw: Mapping[str, Any]) -> bool:
    return raw.get("folder") is not None or raw.get("package") is not None


def _is_ours(found: Mapping[str, Any], item: StoredItem, content: StoredPart) -> bool:
    """Whether the file in the way is what we sent before the answer or the session was lost."""
    hashes = {_quick_xor(found), _quick_xor(item.raw)} - {""}
    same_content = found.get("size") == content.size and len(hashes) <= 1
    same_content = same_content or _extension(item.name) in _REWRITTEN
    return same_content and _seconds(_times(found)) == _seconds(_times(item.raw))


def _hashed(blocks: Iterator[bytes], hasher: QuickXorHash) -> Iterator[bytes]:
    for block in blocks:
        hasher.update(block)
        yield block


def _key(name: str) -> str:
    """Names collide in SharePoint whatever their case."""
    return name.casefold()


def _same(raw: Mapping[str, Any], size: Any) -> str:
    """Equal for equal content; without a hash only the very same state of the item is equal."""
    quick_xor = _quick_xor(raw)
    if size == 0:
        return "empty"
    if quick_xor:
        return f"{quick_xor}:{size}"
    times = _seconds(_times(raw))
    return f"no-hash:{size}:{times.get('lastModifiedDateTime', '')}"


def _same_and_ours(child: Mapping[str, Any]) -> str:
    """What a repeated step may take for its own write: never what a person put there."""
    if _is_folder(child):
        return "folder"
    by_application = (child.get("createdBy") or {}).get("application") is not None
    return _same(child, child.get("size")) if by_application else "by-a-person"


def _quick_xor(raw: Mapping[str, Any]) -> str:
    return str(((raw.get("file") or {}).get("hashes") or {}).get("quickXorHash") or "")


def _times(raw: Mapping[str, Any]) -> dict[str, str]:
    """The dates a person sees: those of the file system, else those of the service."""
    system = raw.get("fileSystemInfo") or {}
    found = {name: system.get(name) or raw.get(name) for name in _TIMES}
    return {name: str(value) for name, value in found.items() if value}


def _seconds(times: Mapping[str, str]) -> dict[str, str]:
    """Without fractions of seconds, which SharePoint does not keep."""
    return {name: value.split(".")[0].rstrip("Z") for name, value in times.items()}


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _name_beside(name: str, marker: str) -> str:
    """ "Plan.pdf" becomes "Plan (restored 3fa9c1).pdf": the same for the same marker."""
    tag = hashlib.sha256(marker.encode()).hexdigest()[:6]
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    tail = f" (restored {tag}){dot}{extension}"
    return stem[: NAME_CHARACTERS_MAX - len(tail)] + tail


def _nothing_stored(item: StoredItem) -> Trouble:
    """The backup has no bytes of this file; it says why."""
    causes = (text.removeprefix("content: ") for text in item.missing if text.startswith("content"))
    return Trouble(item.id, "content", next(causes, "no-content"), retry=False)
