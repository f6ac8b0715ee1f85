"""A restore of channels as pages: each goes as a file to where the files of its channel lie.

The file is written, compared, replaced and taken back as every other file (m365/drive_writer.py).
An item's id is that of its drive and its own.

https://learn.microsoft.com/graph/api/channel-get-filesfolder
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from base.item import StoredItem
from m365.drive_writer import DriveWriter
from m365.graph.client import GraphWriter
from m365.graph.errors import GraphProblem, ItemGone
from m365.service import Existing, Folder, Identity, Resource, Step, Written
from m365.teams_json import channel_path
from m365.teams_target import MessagesStay, TargetChannels


class FilesNotReady(GraphProblem):
    """Teams has not made the folder of a channel's files yet."""

    code: ClassVar[str] = "channel-files-not-ready"
    hint = "Open the tab Files of the channel in Teams once, then restore again."


class PageWriter:
    """Writes pages into the files of one team's channels."""

    keeps_markers = False

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer = writer
        self._target = TargetChannels(writer, resource)
        self._places: dict[Folder, tuple[str, Folder]] = {}
        self._step: Step | None = None

    def work_in(self, step: Step) -> None:
        self._step = step

    def root(self) -> Folder:
        return self._target.root()

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        return self._target.place(into, name, stored)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        return self._target.original(stored)

    def identity(self, item: StoredItem) -> Identity:
        return self._drive("").identity(item)

    def existing(self, into: Folder) -> Iterator[Existing]:
        drive_id, folder = self._place(into)
        for one in self._drive(drive_id).existing(folder):
            yield replace(one, id=f"{drive_id}/{one.id}")

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        drive_id, folder = self._place(into)
        old = _in_drive(replace) if replace else None
        written = self._drive(drive_id).write(item, folder, marker, old, new_name)
        made = f"{drive_id}/{written.id}" if written.id else ""
        return Written(made, written.outcome, written.troubles)

    def remove(self, item_id: str) -> None:
        drive_id, _, key = item_id.rpartition("/")
        if not drive_id:  # of a restore by migration mode, which is taken back without its option
            raise MessagesStay("Applications cannot delete messages of channels.")
        self._drive(drive_id).remove(key)

    def _place(self, into: Folder) -> tuple[str, Folder]:
        """Drive and folder that stand for a channel, and the folder of the restore in it."""
        if into not in self._places:
            path = f"{channel_path(self._target.team, into.id)}/filesFolder"
            try:
                found = self._writer.get(path, scope=self._target.scope)
            except ItemGone as problem:
                raise problem.told_as(
                    FilesNotReady, "The channel has no folder of files yet."
                ) from problem
            drive_id = str((found.get("parentReference") or {}).get("driveId") or "")
            if not drive_id or not found.get("id"):
                raise FilesNotReady("The channel's folder of files names no drive.")
            folder = Folder(str(found["id"]))
            for name in into.path:
                folder = self._drive(drive_id).ensure_folder(folder, name, None)
            self._places[into] = (drive_id, folder)
        return self._places[into]

    def _drive(self, drive_id: str) -> DriveWriter:
        drive = DriveWriter(self._writer, Resource("drive", drive_id))
        if self._step is not None:  # a page may be too large for one step
            drive.work_in(self._step)
        return drive


def _in_drive(existing: Existing) -> Existing:
    return replace(existing, id=existing.id.rpartition("/")[2])
