"""Tasks restored into To Do with checklists, linked resources and files.

Rules
- A task is created with its links and a marker in one request; checklist and files follow, and a
  last PATCH takes the mark of unfinished work away. A killed attempt is found by that mark.
- Lists are flat: a folder made for a restore becomes the beginning of its lists' names, and no
  list of its own until a task is to lie in it.
- The list of flagged mail follows the mail: nothing is written into it.
- Two tasks collide when title and due date agree.
- Upload sessions of To Do lie on Graph itself and ask for the token, unlike those of mail.

Facts this file rests on: learn.microsoft.com/graph/api/todotasklist-post-tasks,
/api/opentypeextension-post-opentypeextension (with a new task), /graph/todo-attachments (25 MB,
ranges under 4 MB, bytes go to …/content).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.clock import Clock, SystemClock
from base.errors import Problem
from base.item import Cause, StoredItem, StoredPart, Trouble
from m365 import marks
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, ItemGone, MaybeDone
from m365.service import PASSED_ON, Existing, Folder, Identity, Resource, Written, trouble_of
from m365.task_json import (
    EXTENSION,
    LINKS,
    STEPS,
    differing,
    extension,
    link_body,
    moment,
    step_body,
)
from m365.task_json import task_body as body_of
from m365.visibility import patiently

_PLANNED = "new:"  # begins the id of a list that is made with its first task
FLAGGED = "flaggedEmails"  # the well-known name of the list that follows flagged mail
POST_BYTES_MAX = 3_000_000  # as base64 still under the 4 MB a request may have
SESSION_BYTES_MAX = 25 * 1024 * 1024
BLOCK_BYTES = 11 * 327_680  # ranges have to stay under 4 MB
_ID = f"microsoft.graph.openTypeExtension.{EXTENSION}"
_MARKED = f"extensions($filter=id eq '{_ID}')"
_REFUSABLE = ("completedDateTime", "extensions", LINKS)  # the links are then added one by one
_NOT_KEPT = (400, 404, 405, 501)
_ATTEMPTS = 3  # sessions begun for one file


class TasksWriter:
    """Restores tasks into one mailbox."""

    keeps_markers = True

    def __init__(self, writer: GraphWriter, resource: Resource, clock: Clock | None = None) -> None:
        self._writer = writer
        self._scope = Scope.mailbox(resource.graph_id)
        self._lists = f"/users/{quote(resource.graph_id, safe='')}/todo/lists"
        self._clock = clock or SystemClock()
        self._held: list[dict[str, Any]] | None = None  # the lists of the target
        self._where: dict[str, str] = {}  # task id -> list id: a task is only reached through it

    def root(self) -> Folder:
        """The default list: what lies in no list of its own goes there."""
        return Folder(self._well_known("defaultList") or self._list("Tasks"))

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        name = " - ".join((*into.path, name if name.strip() else "(no name)"))
        if stored is not None and stored.row.get("role") == FLAGGED:
            return Folder(FLAGGED, (name,))
        if stored is not None and not into.path and stored.row.get("role") == "defaultList":
            return Folder(self.root().id, (name,))
        if stored is None and not self._named(name):
            return Folder(f"{_PLANNED}{name}", (name,))
        return Folder(self._list(name), (name,))

    def original_folder(self, stored: StoredItem) -> Folder | None:
        role = str(stored.row.get("role") or "")
        if role == FLAGGED:
            return Folder(FLAGGED, (stored.name,))
        if role == "defaultList" or not stored.parent:
            return self.root()
        for raw in self._all():
            if raw["id"] == stored.id:
                return Folder(stored.id, (str(raw.get("displayName") or ""),))
        return None

    def identity(self, item: StoredItem) -> Identity:
        return Identity(_key(item.raw), _same(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        there = into.id != FLAGGED and not into.id.startswith(_PLANNED)
        for raw in self._tasks(into.id) if there else ():
            self._where[raw["id"]] = into.id
            mark = _mark(raw)
            yield marks.existing(raw["id"], _key(raw), _same(raw), mark)

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        if into.id == FLAGGED:
            why = Trouble(item.id, "item", Cause.DERIVED, retry=False, detail=FLAGGED)
            return Written("", "skipped", (why,))
        if into.id.startswith(_PLANNED):
            into = Folder(self._list(into.id.removeprefix(_PLANNED)), into.path)
        rows = [text.rpartition(": ") for text in item.missing if text.startswith("attachment")]
        troubles = [Trouble(item.id, part, cause, retry=False) for part, _, cause in rows]
        files = [part for part in item.parts if part.role == "attachment"]
        more = bool(files or item.raw.get(STEPS))
        made = self._create(item, into, marker + marks.OPEN if more else marker, troubles)
        if more:
            self._add_steps(made, item.raw.get(STEPS) or ())
            for part in files:
                self._add_file(item, made, part, troubles)
            self._finish(made, marker)
        if replace is None:
            return Written(made, "copied" if new_name else "created", tuple(troubles))
        if any(trouble.retry for trouble in troubles):
            troubles.append(Trouble(item.id, "replace", "old-one-kept", retry=False))
            return Written(made, "copied", tuple(troubles))
        self.remove(replace.id)
        return Written(made, "replaced", tuple(troubles))

    def remove(self, item_id: str) -> None:
        lists = [self._where[item_id]] if item_id in self._where else [r["id"] for r in self._all()]
        for list_id in lists:
            try:
                if self._writer.delete(self._path(list_id, item_id), scope=self._scope):
                    return
            except GraphProblem as problem:
                if problem.status_code != 400:  # an id this list cannot even read
                    raise

    def _create(self, item: StoredItem, into: Folder, mark: str, troubles: list[Trouble]) -> str:
        """The id of the new task; without what some tenants refuse, where one does."""
        wanted = body_of(item.raw, mark)
        if item.raw.get("recurrence") and "recurrence" not in wanted:
            troubles.append(Trouble(item.id, "recurrence", "left-out-of-a-done-task", retry=False))
        refusable = [name for name in _REFUSABLE if name in wanted]
        while True:
            try:
                made = self._post(into, wanted, mark)
                break
            except GraphProblem as problem:
                if problem.status_code != 400 or not refusable:
                    raise
                del wanted[refusable.pop(0)]
        task_id = str(made["id"])
        self._where[task_id] = into.id
        troubles += self._checked(item, wanted, made)
        for link in (item.raw.get(LINKS) or ())[len(made.get(LINKS) or ()) :]:
            self._add(task_id, LINKS, link_body(link))
        return task_id

    def _checked(
        self, item: StoredItem, wanted: Mapping[str, Any], made: Mapping[str, Any]
    ) -> Iterator[Trouble]:
        """Sets once more what the task did not take; what it does not take even then."""
        full = body_of(item.raw, "")
        left = differing(full, made)
        if left:
            changes = {**left, **({"status": full["status"]} if "status" in full else {})}
            path = self._path(self._where[str(made["id"])], str(made["id"]))
            try:
                left = differing(left, self._writer.patch(path, changes, scope=self._scope))
            except GraphProblem as problem:
                if problem.status_code != 400:
                    raise
        for name in sorted(left):
            day = name == "completedDateTime"  # many tenants take today
            cause = Cause.DERIVED if day else "not-set"
            yield Trouble(item.id, "properties", cause, retry=False, detail=name)

    def _post(self, into: Folder, body: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """Creates once: without an answer the list is asked whether it was done."""
        path = f"{self._lists}/{quote(into.id, safe='')}/tasks"
        try:
            return self._writer.post(path, body, scope=self._scope)
        except MaybeDone:
            for raw in self._tasks(into.id):
                if _mark(raw) == mark:
                    path_of_links = f"{self._path(into.id, raw['id'])}/{LINKS}"
                    links = self._writer.get(path_of_links, scope=self._scope)
                    return {**raw, LINKS: links.get("value")}
            return self._writer.post(path, body, scope=self._scope)

    def _add_steps(self, task_id: str, steps: Any) -> None:
        """The checklist, in the order it had: To Do shows the oldest first."""
        for step in sorted(steps, key=lambda one: str(one.get("createdDateTime") or "")):
            self._add(task_id, STEPS, step_body(step))

    def _add(self, task_id: str, kind: str, body: Mapping[str, Any]) -> None:
        """One part of a task. Without an answer the task stays marked as unfinished: the next
        attempt writes it anew.
        """
        path = f"{self._path(self._where[task_id], task_id)}/{kind}"
        patiently(self._clock, lambda: self._writer.post(path, body, scope=self._scope))

    def _add_file(
        self, item: StoredItem, task_id: str, part: StoredPart, troubles: list[Trouble]
    ) -> None:
        role = f"attachment:{part.meta.get('id', '')}"
        if part.size > SESSION_BYTES_MAX:
            troubles.append(Trouble(item.id, role, Cause.TOO_LARGE, retry=False))
            return
        facts = {"name": part.meta.get("name") or "attachment"}
        if part.meta.get("contentType"):
            facts["contentType"] = part.meta["contentType"]
        try:
            if part.size < POST_BYTES_MAX:
                data = base64.b64encode(part.read()).decode("ascii")
                kind = "#microsoft.graph.taskFileAttachment"
                body = {"@odata.type": kind, **facts, "contentBytes": data}
                self._add(task_id, "attachments", body)
            else:
                self._upload(task_id, facts, part)
        except (MaybeDone, *PASSED_ON):
            raise
        except Problem as problem:
            troubles.append(trouble_of(item.id, role, problem))

    def _upload(self, task_id: str, facts: Mapping[str, Any], part: StoredPart) -> None:
        path = f"{self._path(self._where[task_id], task_id)}/attachments/createUploadSession"
        body = {"attachmentInfo": {"attachmentType": "file", "size": part.size, **facts}}
        for attempt in range(1, _ATTEMPTS + 1):
            session = patiently(
                self._clock,
                lambda: self._writer.post(path, body, scope=self._scope, repeatable=True),
            )
            try:
                self._send(str(session["uploadUrl"]), part)
                return
            except ItemGone:  # the session, not the task: that one was just asked
                if attempt == _ATTEMPTS:
                    raise

    def _send(self, url: str, part: StoredPart) -> None:
        start = 0
        for block in _blocks(part.open()):
            end = start + len(block)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes {start}-{end - 1}/{part.size}",
            }
            try:
                self._writer.put(f"{url}/content", data=block, headers=headers, scope=self._scope)
            except GraphProblem as problem:
                if problem.status_code != 416:  # a range that arrived, and its answer was lost
                    raise
            start = end

    def _finish(self, task_id: str, marker: str) -> None:
        """Takes the mark of unfinished work away. A tenant that keeps no extensions has no mark."""
        path = f"{self._path(self._where[task_id], task_id)}/extensions"
        try:
            self._writer.patch(f"{path}/{_ID}", extension(marker), scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code not in _NOT_KEPT:
                raise

    def _tasks(self, list_id: str) -> Iterator[dict[str, Any]]:
        """The tasks of a list, with our marker where the target gives it."""
        path = f"{self._lists}/{quote(list_id, safe='')}/tasks"
        params = {"$top": "100"}
        yield from marks.listed(self._writer, path, params, _MARKED, self._scope)

    def _all(self) -> list[dict[str, Any]]:
        if self._held is None:
            pages = follow(self._writer, self._lists, {"$top": "100"}, scope=self._scope)
            self._held = [raw for page in pages for raw in page.value]
        return self._held

    def _well_known(self, role: str) -> str:
        found = (raw["id"] for raw in self._all() if raw.get("wellknownListName") == role)
        return str(next(found, ""))

    def _named(self, name: str) -> str:
        """The id of a list by its name; "" where there is none."""
        for raw in self._all():
            if str(raw.get("displayName") or "").casefold() == name.casefold():
                return str(raw["id"])
        return ""

    def _list(self, name: str) -> str:
        return self._named(name) or self._make(name)

    def _make(self, name: str) -> str:
        """A new list; without an answer the lists are asked whether it was made."""
        before = {raw["id"] for raw in self._all()}
        try:
            made = self._writer.post(self._lists, {"displayName": name}, scope=self._scope)
        except MaybeDone:
            self._held = None
            fresh = [raw for raw in self._all() if raw["id"] not in before]
            made = next((raw for raw in fresh if raw.get("displayName") == name), {})
            if not made:
                raise
            return str(made["id"])
        self._all().append({"displayName": name, **made})
        return str(made["id"])

    def _path(self, list_id: str, task_id: str) -> str:
        return f"{self._lists}/{quote(list_id, safe='')}/tasks/{quote(task_id, safe='')}"


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Ranges of one size, whatever the pieces are; the last one is shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK_BYTES:
            yield bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
    if held:
        yield bytes(held)


def _mark(raw: Mapping[str, Any]) -> str:
    """The marker of a restore, as it was written; "" where the target does not give it."""
    for one in raw.get("extensions") or ():
        name = str(one.get("extensionName") or one.get("id") or "")
        if name.casefold().endswith(EXTENSION.casefold()):
            return str(one.get("marker") or "")
    return ""


def _key(raw: Mapping[str, Any]) -> str:
    """What a person would take for the same task."""
    title = " ".join(str(raw.get("title") or "").casefold().split())
    return json.dumps([title, moment(raw.get("dueDateTime"))[:10]])


def _same(raw: Mapping[str, Any]) -> str:
    facts = [_key(raw), raw.get("status"), raw.get("importance")]
    facts.append(" ".join(str((raw.get("body") or {}).get("content") or "").split()))
    text = json.dumps(facts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]
