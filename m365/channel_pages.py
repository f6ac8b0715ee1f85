"""Messages of channels restored as pages: HTML files in the folder of the channel's files.

Rules
- A channel's files may lie in any drive (private and shared channels have sites of their own), so
  ids of this writer are those of a drive and of an item in it.
- What is written is a file like any other and goes the way of files (m365/drive_writer.py): never
  over what is there, compared when it has arrived, found again by a repeated step.
- A channel that is not there any more, or whose folder nobody has opened yet, gets a folder of its
  name in the team's own library.

https://learn.microsoft.com/graph/api/channel-get-filesfolder
https://learn.microsoft.com/graph/api/drive-get
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as with_
from typing import Any
from urllib.parse import quote

from base.item import StoredItem
from m365.drive_writer import DriveWriter
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import ItemGone, ResourceGone
from m365.service import Existing, Folder, Identity, Resource, Written

_BETWEEN = "/"  # of drive and item; in no id of either


class ChannelPages:
    """Writes the pages of one team."""

    keeps_markers = DriveWriter.keeps_markers

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer = writer
        self._scope = Scope.team(resource.graph_id)
        self._team = f"/teams/{quote(resource.graph_id, safe='')}"
        self._team_id = resource.graph_id
        self._drives: dict[str, DriveWriter] = {}
        self._top: Folder | None = None

    def root(self) -> Folder:
        """The top of the team's own library."""
        if self._top is None:
            path = f"/groups/{quote(self._team_id, safe='')}/drive"
            try:
                drive = self._writer.get(path, params={"$select": "id"}, scope=Scope.sharepoint())
            except ItemGone as problem:
                raise ResourceGone("The team has no library.") from problem
            drive_id = str(drive["id"])
            self._top = Folder(_joined(drive_id, self._drive(drive_id).root().id))
        return self._top

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        if stored is not None and not stored.parent:  # the team itself
            return into
        drive_id, drive, inside = self._at(into)
        made = drive.ensure_folder(inside, name, stored)
        return with_(made, id=_joined(drive_id, made.id))

    def original_folder(self, stored: StoredItem) -> Folder | None:
        if not stored.parent:
            return self.root()
        return self._files(stored.id)

    def identity(self, item: StoredItem) -> Identity:
        _, drive, _ = self._at(self.root())
        return drive.identity(_as_file(item))

    def existing(self, into: Folder) -> Iterator[Existing]:
        drive_id, drive, inside = self._at(into)
        for one in drive.existing(inside):
            yield with_(one, id=_joined(drive_id, one.id))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        drive_id, drive, inside = self._at(into)
        old = with_(replace, id=replace.id.partition(_BETWEEN)[2]) if replace else None
        written = drive.write(_as_file(item), inside, marker, old, new_name)
        return with_(written, id=_joined(drive_id, written.id) if written.id else "")

    def remove(self, item_id: str) -> None:
        drive_id, _, inside = item_id.partition(_BETWEEN)
        self._drive(drive_id).remove(inside)

    def _files(self, channel_id: str) -> Folder | None:
        """The folder of a channel's files; None where there is none."""
        path = f"{self._team}/channels/{quote(channel_id, safe='')}/filesFolder"
        try:
            found = self._writer.get(path, scope=self._scope)
        except ItemGone:
            return None
        drive_id = (found.get("parentReference") or {}).get("driveId")
        if not drive_id or not found.get("id"):
            return None
        return Folder(_joined(str(drive_id), str(found["id"])), (str(found.get("name") or ""),))

    def _at(self, folder: Folder) -> tuple[str, DriveWriter, Folder]:
        """The drive of a folder, and the folder as the drive knows it."""
        drive_id, _, item_id = folder.id.partition(_BETWEEN)
        return drive_id, self._drive(drive_id), with_(folder, id=item_id)

    def _drive(self, drive_id: str) -> DriveWriter:
        if drive_id not in self._drives:
            resource = Resource("drive", drive_id, self._team_id)
            self._drives[drive_id] = DriveWriter(self._writer, resource)
        return self._drives[drive_id]


def _joined(drive_id: str, item_id: str) -> str:
    return f"{drive_id}{_BETWEEN}{item_id}"


def _as_file(page: StoredItem) -> StoredItem:
    """A page as the item of a drive: as old as its newest message, so that it is known again."""
    at = page.raw.get("lastModifiedDateTime")
    times: Mapping[str, Any] = {"createdDateTime": at, "lastModifiedDateTime": at} if at else {}
    raw = {"name": page.name, "file": {"mimeType": "text/html"}, "fileSystemInfo": times}
    return with_(page, kind="file", raw=raw)
