"""Sticky notes restored into a mailbox, with their pictures.

Rules
- A note is made with its words and a marker; pictures follow, and a last PATCH takes the mark of
  unfinished work away (marks.py).
- Notes often have no title, so two collide when they read alike: an edited note is another one.
- Notes lie flat: a folder made for a restore becomes the beginning of their titles.

https://learn.microsoft.com/graph/api/resources/note (pictures up to 3 MB)
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.clock import Clock, SystemClock
from base.errors import Problem
from base.item import Cause, StoredItem, StoredPart, Trouble
from m365 import marks
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import GraphProblem, MaybeDone
from m365.note_json import ROOT, body_of, same
from m365.service import PASSED_ON, Existing, Folder, Identity, Resource, Written, trouble_of
from m365.visibility import patiently

PICTURE_BYTES_MAX = 3 * 1024 * 1024


class NotesWriter:
    """Restores notes into one mailbox."""

    keeps_markers = True

    def __init__(self, writer: GraphWriter, resource: Resource, clock: Clock | None = None) -> None:
        self._writer = writer
        self._scope = Scope.mailbox(resource.graph_id)
        self._notes = f"/users/{quote(resource.graph_id, safe='')}/notes"
        self._clock = clock or SystemClock()

    def root(self) -> Folder:
        return Folder(ROOT)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        return Folder(ROOT, (*into.path, name)) if stored is None else into

    def original_folder(self, stored: StoredItem) -> Folder | None:
        return self.root()

    def identity(self, item: StoredItem) -> Identity:
        return Identity(same(item.raw), same(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        before = f"{' - '.join(into.path)} - " if into.path else ""
        for raw in self._listed():
            bare = {**raw, "subject": str(raw.get("subject") or "").removeprefix(before)}
            yield marks.existing(str(raw["id"]), same(bare), same(bare), marks.read(raw))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        rows = [text.rpartition(": ") for text in item.missing if text.startswith("attachment")]
        troubles = [Trouble(item.id, part, cause, retry=False) for part, _, cause in rows]
        pictures = [part for part in item.parts if part.role == "attachment"]
        mark = marker + marks.OPEN if pictures else marker
        note_id = self._create(body_of(item.raw, " - ".join(into.path)), mark)
        for part in pictures:
            self._attach(item, note_id, part, troubles)
        if pictures:
            self._finish(note_id, marker)
        if replace is None:
            return Written(note_id, "copied" if new_name else "created", tuple(troubles))
        if troubles:
            troubles.append(Trouble(item.id, "replace", "old-one-kept", retry=False))
            return Written(note_id, "copied", tuple(troubles))
        self.remove(replace.id)
        return Written(note_id, "replaced", tuple(troubles))

    def remove(self, item_id: str) -> None:
        self._writer.delete(self._note(item_id), scope=self._scope)

    def _create(self, body: Mapping[str, Any], mark: str) -> str:
        """The id of the new note; unmarked where the target keeps no marks."""
        marked = {**body, "singleValueExtendedProperties": _property(mark)}
        try:
            return str(self._post(marked, mark)["id"])
        except GraphProblem as problem:
            if problem.status_code != 400 or isinstance(problem, MaybeDone):
                raise
        return str(self._writer.post(self._notes, body, scope=self._scope)["id"])

    def _post(self, body: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """Creates once: without an answer the notes are asked whether it was done."""
        try:
            return self._writer.post(self._notes, body, scope=self._scope)
        except MaybeDone:
            for raw in self._listed():
                if marks.read(raw) == mark:
                    return raw
            return self._writer.post(self._notes, body, scope=self._scope)

    def _attach(
        self, item: StoredItem, note_id: str, part: StoredPart, troubles: list[Trouble]
    ) -> None:
        role = f"attachment:{part.meta.get('id', '')}"
        if part.size > PICTURE_BYTES_MAX:
            troubles.append(Trouble(item.id, role, Cause.TOO_LARGE, retry=False))
            return
        names = ("name", "contentType", "contentId", "isInline")
        facts = {name: part.meta[name] for name in names if part.meta.get(name) is not None}
        data = base64.b64encode(part.read()).decode("ascii")
        kind = "#microsoft.graph.fileAttachment"
        body = {"@odata.type": kind, **facts, "contentBytes": data}
        path = f"{self._note(note_id)}/attachments"
        try:
            patiently(self._clock, lambda: self._writer.post(path, body, scope=self._scope))
        except (MaybeDone, *PASSED_ON):
            raise
        except Problem as problem:
            troubles.append(trouble_of(item.id, role, problem))

    def _finish(self, note_id: str, marker: str) -> None:
        """Takes the mark of unfinished work away. A target that keeps no marks has none."""
        body = {"singleValueExtendedProperties": _property(marker)}
        try:
            patiently(
                self._clock,
                lambda: self._writer.patch(self._note(note_id), body, scope=self._scope),
            )
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise

    def _listed(self) -> Iterator[dict[str, Any]]:
        params = {"$top": "100"}
        yield from marks.listed(self._writer, self._notes, params, marks.expand(), self._scope)

    def _note(self, note_id: str) -> str:
        return f"{self._notes}/{quote(note_id, safe='')}"


def _property(mark: str) -> list[dict[str, str]]:
    return [{"id": marks.MARKER, "value": mark}]
