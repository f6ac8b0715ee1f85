"""Items of a drive that a restore writes into: found, made, named, dated, taken away.

https://learn.microsoft.com/graph/api/driveitem-update, /api/driveitem-post-children,
/api/driveitem-delete (into the recycle bin), /api/driveitem-list-versions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from m365.drive_upload import Place, seconds_of, times_of
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, ItemGone, PathTooLong
from m365.service import Folder

_LISTED = {"$select": "id,name,size,file,folder,package,fileSystemInfo,createdBy", "$top": "200"}
_FOUND = {"$select": "id,name,size,file,folder,package,fileSystemInfo,createdBy"}
PATH_CHARACTERS_MAX = 400  # of a path, decoded


class DriveTree:
    """One drive."""

    def __init__(self, writer: GraphWriter, scope: Scope, drive_id: str) -> None:
        self._writer = writer
        self._scope = scope
        self._base = f"/drives/{quote(drive_id, safe='!')}"

    def item(self, item_id: str) -> str:
        """The path of an item."""
        return f"{self._base}/items/{quote(item_id, safe='!')}"

    def root(self) -> str:
        """The id of the root."""
        answer = self._writer.get(f"{self._base}/root", params={"$select": "id"}, scope=self._scope)
        return str(answer["id"])

    def get(self, item_id: str, params: Mapping[str, str]) -> dict[str, Any]:
        return self._writer.get(self.item(item_id), params=params, scope=self._scope)

    def is_there(self, item_id: str) -> bool:
        try:
            self.get(item_id, {"$select": "id"})
        except ItemGone:
            return False
        return True

    def named(self, into: Folder, name: str) -> dict[str, Any] | None:
        """The item of that name in a folder, whatever the case; None where there is none."""
        path = Place.in_folder(self.item(into.id), name).path.removesuffix(":")
        try:
            return self._writer.get(path, params=_FOUND, scope=self._scope)
        except (ItemGone, PathTooLong):
            return None

    def children(self, folder_id: str) -> Iterator[dict[str, Any]]:
        pages = follow(
            self._writer, f"{self.item(folder_id)}/children", _LISTED, scope=self._scope,
            cost_first=2, cost_next=2,
        )  # fmt: skip
        for page in pages:
            yield from page.value

    def make_folder(self, into: Folder, name: str, times: Mapping[str, str]) -> dict[str, Any]:
        """The folder of that name, made where it is missing. Raises Clash where a file has it, and
        PathTooLong.
        """
        if is_too_deep(into, name):
            raise PathTooLong("A path is longer than SharePoint takes.")
        body: dict[str, Any] = {
            "name": name, "folder": {}, "@microsoft.graph.conflictBehavior": "fail",
        }  # fmt: skip
        if times:
            body["fileSystemInfo"] = dict(times)
        try:
            return self._writer.post(
                f"{self.item(into.id)}/children", body, scope=self._scope, repeatable=True
            )
        except Clash:
            found = self.named(into, name)
            if found is None or not is_folder(found):
                raise
            return found

    def rename(self, item_id: str, name: str, times: Mapping[str, str]) -> None:
        """Name and dates in one: renaming may touch the dates. Raises Clash."""
        body: dict[str, Any] = {"name": name}
        if times:
            body["fileSystemInfo"] = dict(times)
        made = self._writer.patch(self.item(item_id), body, scope=self._scope)
        if times_of(made):
            self.dated({**made, "id": item_id}, times)

    def dated(self, made: Mapping[str, Any], times: Mapping[str, str]) -> Mapping[str, Any]:
        """The same item once its dates are those of the backup."""
        if not times or seconds_of(times_of(made)) == seconds_of(times):
            return made
        changes = {"fileSystemInfo": dict(times)}
        return self._writer.patch(self.item(str(made["id"])), changes, scope=self._scope)

    def count_versions(self, item_id: str) -> int:
        """How many versions the drive keeps of a file, the current one included."""
        path = f"{self.item(item_id)}/versions"
        pages = follow(self._writer, path, {}, scope=self._scope, cost_first=2, cost_next=2)
        return sum(len(page.value) for page in pages)

    def remove(self, item_id: str) -> None:
        """Into the recycle bin; gone already is fine."""
        self._writer.delete(self.item(item_id), scope=self._scope)


def is_folder(raw: Mapping[str, Any]) -> bool:
    return raw.get("folder") is not None or raw.get("package") is not None


def is_by_application(raw: Mapping[str, Any]) -> bool:
    """Whether no person made it."""
    return (raw.get("createdBy") or {}).get("application") is not None


def is_too_deep(into: Folder, name: str) -> bool:
    """Whether a path is too long for sure; a shorter one may be, as what stands before the drive
    counts too: then the service says so.
    """
    return len("/".join((*into.path, name))) > PATH_CHARACTERS_MAX


def path_of(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Names from the root of the drive to an item, as far as it tells."""
    above = str((raw.get("parentReference") or {}).get("path") or "").partition("root:")[2]
    folders = [unquote(name) for name in above.split("/") if name]
    return (*folders, str(raw.get("name") or ""))
