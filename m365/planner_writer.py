"""Planner restored into a group: plans, buckets, tasks and their details.

Rules
- A task is made in one request; its details follow, with the etag they have. Until they are in, the
  restore's marker stands behind the task's title: a killed attempt is found by it, taken away and
  written anew. No other place for a marker is not a person's.
- Every change names the etag it builds on. Where somebody was faster (409, 412) the object is read
  again and the change repeated.
- What the target refuses as a whole is set piece by piece, each person by himself; what is refused
  alone is named.
- A plan that is full is not asked again: its tasks fail with the limit that was met.
- Two tasks collide when title and due date agree.

https://learn.microsoft.com/graph/api/planner-post-plans /planner-post-buckets /planner-post-tasks
https://learn.microsoft.com/graph/api/resources/planner-overview
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.clock import Clock, SystemClock
from base.item import StoredItem, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, ItemGone, MaybeDone, ResourceGone
from m365.planner_body import details_body, not_taken, one_by_one, task_body
from m365.planner_json import BUCKET, DETAILS, PLAN, ROOT, Raw, has_details, named
from m365.planner_order import Order
from m365.planner_target import PlannerTarget, is_limit
from m365.seen import tag
from m365.service import Existing, Folder, Identity, Resource, Written

TITLE_CHARACTERS_MAX = 255
_MARK = re.compile(r" \[restoring (\S+)\]$")
_SAME = ("title", "percentComplete", "priority", "startDateTime", "dueDateTime")
_REFUSED = (400, 403, 404, 422)
_LOST = "Restored tasks"  # the plan of tasks whose plan the backup does not know


class PlannerWriter:
    """Restores tasks into one group."""

    keeps_markers = False  # of a finished task

    def __init__(self, writer: GraphWriter, resource: Resource, clock: Clock | None = None) -> None:
        self._writer = writer
        self._scope = Scope.other("planner")
        clock = clock or SystemClock()
        self._target = PlannerTarget(writer, resource.graph_id, self._scope, clock)
        self._orders: dict[str, Order] = {}  # by plan and bucket

    def root(self) -> Folder:
        return Folder(ROOT)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        if stored is None:  # a folder made for a restore: the beginning of its plans' titles
            return Folder(ROOT, (*into.path, name))
        if into.id == ROOT:
            title = " - ".join((*into.path, name))
            return Folder(f"{PLAN}{self._target.plan(title, stored.raw)}")
        plan_id, _ = _ids(into)
        return _bucket(plan_id, self._target.bucket(plan_id, name, stored.raw))

    def original_folder(self, stored: StoredItem) -> Folder | None:
        if not stored.parent:
            return self.root()
        if stored.id.startswith(PLAN):
            plan_id = stored.id.removeprefix(PLAN)
            return Folder(stored.id) if plan_id in self._target.plans() else None
        plan_id = str(stored.raw.get("planId") or stored.parent.removeprefix(PLAN))
        bucket_id = stored.id.removeprefix(BUCKET)
        if plan_id in self._target.plans() and bucket_id in self._target.buckets(plan_id):
            return _bucket(plan_id, bucket_id)
        return None

    def identity(self, item: StoredItem) -> Identity:
        return Identity(_key(item.raw), _same(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        plan_id, bucket_id = _ids(into)
        path = f"/planner/plans/{quote(plan_id, safe='')}/tasks"
        if bucket_id:
            path = f"/planner/buckets/{quote(bucket_id, safe='')}/tasks"
        for page in follow(self._writer, path, scope=self._scope) if plan_id else ():
            for raw in page.value:
                if raw.get("id") and (bucket_id or not raw.get("bucketId")):
                    yield _existing(raw)

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        if into.id == ROOT:
            title = " - ".join((*into.path, _LOST))
            into = Folder(f"{PLAN}{self._target.plan(title, {})}")
        plan_id, bucket_id = _ids(into)
        making = _Making(self._writer, self._scope, self._target, item)
        order = self._orders.setdefault(into.id, Order())
        stored_hint = str(item.raw.get("orderHint") or "")
        with self._target.room(plan_id):
            made = making.make(plan_id, bucket_id, marker, order.hint(stored_hint))
        order.placed(stored_hint, str(made.get("orderHint") or ""))
        making.finish()
        troubles = [*self._target.troubles(item.id), *making.troubles]
        task_id = str(made["id"])
        if replace is None:
            return Written(task_id, "copied" if new_name else "created", tuple(troubles))
        if making.troubles:
            troubles.append(Trouble(item.id, "replace", "old-one-kept", retry=False))
            return Written(task_id, "copied", tuple(troubles))
        self.remove(replace.id)
        return Written(task_id, "replaced", tuple(troubles))

    def remove(self, item_id: str) -> None:
        path = f"/planner/tasks/{quote(item_id, safe='')}"
        try:
            self._target.delete(path)
        except (ItemGone, ResourceGone):
            return


class _Making:
    """Makes one task out of a stored one, and knows what could not be set."""

    def __init__(
        self, writer: GraphWriter, scope: Scope, target: PlannerTarget, item: StoredItem
    ) -> None:
        self._writer, self._scope, self._target = writer, scope, target
        self._item, self._raw = item, item.raw
        self._title = str(item.raw.get("title") or item.name)
        self._details = details_body(item.raw[DETAILS]) if has_details(item.raw) else {}
        self._marked = bool(self._details)  # as unfinished
        self._made: Raw = {}
        self.troubles: list[Trouble] = []
        if not has_details(item.raw):
            self._note(DETAILS, "not-in-the-backup")

    def make(self, plan_id: str, bucket_id: str, marker: str, hint: str) -> Raw:
        """The new task, without details; marked as unfinished where something is to follow."""
        marked = _marked(self._title, marker)
        title = marked if self._marked else self._title
        body = task_body(self._raw, plan_id, bucket_id, title, hint)
        try:
            self._made = self._post(body)
        except GraphProblem as problem:
            if _is_final(problem):
                raise
            self._marked = True
            needed = ("planId", "bucketId", "title")
            bare = {name: body[name] for name in needed if name in body}
            self._made = self._post({**bare, "title": marked})
            self._set_each(self._path(), one_by_one(body, needed))
        return self._made

    def finish(self) -> None:
        """Sets the details, and takes the mark away."""
        if self._details:
            self._set_details(f"{self._path()}/{DETAILS}")
        if self._marked:
            etag = str(self._made.get("@odata.etag") or "")
            self._target.change(self._path(), {"title": self._title}, etag)

    def _set_details(self, path: str) -> None:
        try:
            left = not_taken(self._details, self._target.change(path, self._details))
        except GraphProblem as problem:
            if problem.status_code not in _REFUSED:
                raise
            self._set_each(path, one_by_one(self._details))
            return
        for name in left:
            self._note(name, "not-set")

    def _set_each(self, path: str, parts: Iterator[tuple[str, Raw]]) -> None:
        """One property after another, each person too, and names those that are refused."""
        etag = ""
        for name, part in parts:
            try:
                etag = str(self._target.change(path, part, etag).get("@odata.etag") or "")
            except GraphProblem as problem:
                if problem.status_code not in _REFUSED:
                    raise
                self._note(name, "not-set", problem.graph_code)

    def _post(self, body: Mapping[str, Any]) -> Raw:
        return self._writer.post("/planner/tasks", body, scope=self._scope)

    def _path(self) -> str:
        return f"/planner/tasks/{quote(str(self._made['id']), safe='')}"

    def _note(self, part: str, cause: str, detail: str = "") -> None:
        self.troubles.append(Trouble(self._item.id, part, cause, retry=False, detail=detail))


def _is_final(problem: GraphProblem) -> bool:
    """Whether asking for less of a task is of no use."""
    if isinstance(problem, MaybeDone) or problem.status_code not in _REFUSED:
        return True
    return is_limit(problem) and "assign" not in problem.graph_code.lower()


def _ids(folder: Folder) -> tuple[str, str]:
    """Plan and bucket of a folder of the target."""
    if folder.id.startswith(BUCKET):
        plan_id, _, bucket_id = folder.id.removeprefix(BUCKET).partition("/")
        return plan_id, bucket_id
    return (folder.id.removeprefix(PLAN), "") if folder.id != ROOT else ("", "")


def _bucket(plan_id: str, bucket_id: str) -> Folder:
    return Folder(f"{BUCKET}{plan_id}/{bucket_id}")


def _marked(title: str, marker: str) -> str:
    tail = f" [restoring {marker}]"
    return title[: TITLE_CHARACTERS_MAX - len(tail)] + tail


def _existing(raw: Mapping[str, Any]) -> Existing:
    title = str(raw.get("title") or "")
    found = _MARK.search(title)
    if found is None:
        return Existing(str(raw["id"]), _key(raw), _same(raw))
    bare = {**raw, "title": title[: found.start()]}
    return Existing(str(raw["id"]), _key(bare), _same(bare), marker=found[1], complete=False)


def _key(raw: Mapping[str, Any]) -> str:
    return f"{str(raw.get('title') or '').casefold()}|{raw.get('dueDateTime') or ''}"


def _same(raw: Mapping[str, Any]) -> str:
    facts: list[Any] = [raw.get(name) or "" for name in _SAME]
    return tag([*facts, sorted(named(raw.get("appliedCategories")))])
