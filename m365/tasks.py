"""Tasks: all lists of To Do of a mailbox, with checklists, linked resources and files.

Rules
- Feeds: "lists" and "list:<id>" (the tasks of one list). A list's feed is announced, with the link
  it starts from, before the page that names the list.
- The feed brings checklist, links and the list of files with each task; where a tenant ignores
  that, or refuses it, what is lacking is asked for, twenty to a $batch, before the page is given.
- The fingerprint covers the files, and nothing else: a task that is edited or completed downloads
  nothing again.
- Some tenants answer 401 or 403 to every application: the service is refusable, and no error.
- No permission beyond Tasks.Read.All.

Facts this file rests on: learn.microsoft.com/graph/api/todotask-delta ($select, $top, $expand),
/api/todotasklist-delta, /api/taskfileattachment-get ($value).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.feeds import each_whole
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResyncNeeded,
)
from m365.service import PASSED_ON, Column, LiveCount, Resource, Service, trouble_of
from m365.task_json import FILES, LINKS, STEPS, file_bytes, lacks, task_change
from m365.tasks_writer import FLAGGED, TasksWriter

ROOT = "todo"  # the folder above all lists: To Do has none, and lists have to lie somewhere
EXPAND = f"$expand={STEPS},{LINKS},{FILES}"
PAGE_ITEMS = 200
PAGE_ITEMS_SMALL = 10  # where a later page was too heavy: a nextLink keeps its page size
SMALL_BYTES = 3 * 1024 * 1024  # files above are streamed
_PREFER = {"Prefer": f"odata.maxpagesize={PAGE_ITEMS}"}
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "@odata.type"))


class TasksSource:
    """Reads the tasks of one mailbox; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.mailbox(resource.graph_id)
        self._lists = f"/users/{quote(resource.graph_id, safe='')}/todo/lists"
        self._expands = True  # until this tenant refuses it

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if "lists" not in finished:
            for page in self._all_lists(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        feeds.pop("lists")
        wanted = (one for one in feeds.items() if one[0] not in finished)
        yield from each_whole(self._tasks(part, link) for part, link in wanted)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        """The files of a task."""
        parts: list[Part] = []
        troubles: list[Trouble] = []
        for file in change.raw.get(FILES) or () if change.kind == "task" else ():
            try:
                parts.append(self._file(change, file))
            except PASSED_ON:
                raise
            except Problem as problem:
                if isinstance(problem, ItemGone):
                    self._get(self._task(change.parent, change.id))  # raises where it is the task
                troubles.append(trouble_of(change.id, f"attachment:{file['id']}", problem))
        return parts, troubles

    def _file(self, change: Change, file: Mapping[str, Any]) -> Part:
        """One file: as JSON where it is small, else streamed."""
        path = f"{self._task(change.parent, change.id)}/attachments/{quote(file['id'], safe='')}"
        if (file.get("size") or 0) > SMALL_BYTES:
            blocks = self._reader.stream(f"{path}/$value", scope=self._scope)
            return Part("attachment", blocks, file)
        data = file_bytes(self._get(path))
        if data is None:
            data = self._reader.get_raw(f"{path}/$value", scope=self._scope)
        return Part("attachment", data, file)

    def complete(self, item_id: str) -> Change:
        """A task is only reached through its list, so the lists are asked which of them has it."""
        lists = [raw["id"] for page in self._pages_of_lists() for raw in page.value]
        requests = [BatchRequest(self._task(key, item_id)) for key in lists]
        answers = self._reader.batch(requests, scope=self._scope) if requests else []
        for list_id, answer in zip(lists, answers, strict=True):
            if answer.status not in (400, 404):  # 400: an id the list cannot even read
                answer.json()
                return self._whole(list_id, item_id)
        raise ItemGone("The task is in none of the lists any more.", status_code=404)

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return self._whole(change.parent, change.id)

    def counts(self) -> Iterator[LiveCount]:
        """One request for the lists, and one for each of them."""
        lists = [raw["id"] for page in self._pages_of_lists() for raw in page.value]
        requests = [
            BatchRequest(f"{self._lists}/{quote(key, safe='')}/tasks?$count=true&$top=1&$select=id")
            for key in lists
        ]
        answers = self._reader.batch(requests, scope=self._scope) if requests else []
        for list_id, answer in zip(lists, answers, strict=True):
            items = answer.json().get("@odata.count") if answer.status < 400 else None
            if isinstance(items, int):
                yield LiveCount(f"list:{list_id}", list_id, items)

    def _all_lists(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the feeds of new lists, then the changes of the lists in one page."""
        known = {part.removeprefix("list:") for part in links if part != "lists"}
        before = json.loads(links["lists"])["delta"] if links.get("lists") else ""
        try:
            if not before:
                raise ResyncNeeded("There is no link yet.")
            named, gone, delta = self._changed_lists(before)
        except ResyncNeeded:
            named, _, delta = self._changed_lists(f"{self._lists}/delta")
            gone = {key for key in known if key not in named}
        for key in named:
            if key not in known:
                yield self._start(key)
        top = () if before else (Change(ROOT, "", "folder", "To Do", fingerprint="folder"),)
        yield FeedPage(
            part="lists",
            entries=(*top, *map(_list, named.values()), *(Gone(key) for key in gone)),
            link=json.dumps({"delta": delta}, separators=(",", ":")),
            more=False,
            dropped_parts=tuple(f"list:{key}" for key in gone if key in known),
        )

    def _changed_lists(self, link: str) -> tuple[dict[str, dict[str, Any]], set[str], str]:
        found: dict[str, dict[str, Any]] = {}
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
        for key, raw in found.items():
            if "displayName" not in raw:  # only a piece of it
                found[key] = {**self._get(f"{self._lists}/{quote(key, safe='')}"), **raw}
        return found, gone, last

    def _pages_of_lists(self) -> Iterator[DeltaPage]:
        return follow(self._reader, self._lists, {"$top": "100"}, scope=self._scope)

    def _start(self, list_id: str) -> FeedPage:
        """The first page of a list's feed: what lies in the list and is not seen again is gone."""
        path = f"{self._lists}/{quote(list_id, safe='')}/tasks/delta"
        return FeedPage(
            part=f"list:{list_id}",
            entries=(),
            link=f"{path}?{EXPAND}" if self._expands else path,
            more=True,
            reset=True,
            scope=list_id,
        )

    def _tasks(self, part: str, link: str) -> Iterator[FeedPage]:
        list_id = part.removeprefix("list:")
        try:
            if not link:
                raise ResyncNeeded("There is no link.")
            yield from self._follow(part, link)
        except (ResyncNeeded, GatewayTimeout) as problem:
            start = self._start(list_id)
            yield start
            lost = isinstance(problem, ResyncNeeded)
            yield from self._follow(part, start.link, PAGE_ITEMS if lost else PAGE_ITEMS_SMALL)
        except ItemGone:
            try:
                self._get(f"{self._lists}/{quote(list_id, safe='')}")
            except ItemGone:
                yield FeedPage(part, (Gone(list_id),), "", more=False, dropped_parts=(part,))
                return
            raise  # not the list: a feed must not end because of one odd answer

    def _follow(self, part: str, link: str, items: int = PAGE_ITEMS) -> Iterator[FeedPage]:
        list_id = part.removeprefix("list:")
        for page in self._pages(link, items):
            whole = self._completed(list_id, page.value)
            entries = tuple(_entry(raw, list_id) for raw in whole)
            yield FeedPage(part, entries, page.link, page.more)

    def _pages(self, link: str, items: int) -> Iterator[DeltaPage]:
        """The pages from `link` on; without $expand where the tenant refuses it."""
        prefer = {"Prefer": f"odata.maxpagesize={items}"}
        plain = link.removesuffix(f"?{EXPAND}")  # only a link of ours ends like that
        if not self._expands:
            link = plain
        first = True
        try:
            for page in follow(self._reader, link, headers=prefer, scope=self._scope):
                first = False
                yield page
            return
        except GraphProblem as problem:
            refused = first and link != plain and problem.status_code == 400
            if not refused or isinstance(problem, ResyncNeeded):
                raise
        self._expands = False
        yield from follow(self._reader, plain, headers=prefer, scope=self._scope)

    def _completed(
        self, list_id: str, tasks: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """The tasks of a page with what the feed did not bring; what cannot be had stays a piece.

        Of a task that comes twice only the last state is completed.
        """
        last = {raw["id"]: at for at, raw in enumerate(tasks)}
        held = [
            {**raw} for at, raw in enumerate(tasks) if last[raw["id"]] == at or "@removed" in raw
        ]
        asked = [(raw, name) for raw in held if "@removed" not in raw for name in lacks(raw)]
        requests = [
            BatchRequest(self._task(list_id, raw["id"]) + ("" if name == "task" else f"/{name}"))
            for raw, name in asked
        ]
        answers = self._reader.batch(requests, scope=self._scope) if requests else []
        for (raw, name), answer in zip(asked, answers, strict=True):
            body = _body(answer)
            if name != "task" and body is not None:
                raw[name] = self._rest(body)
                raw.pop(f"{name}@odata.nextLink", None)
        return list(held)

    def _whole(self, list_id: str, task_id: str) -> Change:
        path = self._task(list_id, task_id)
        raw = self._get(path)
        for name in lacks(raw):
            raw[name] = self._rest(self._get(f"{path}/{name}"))
        return task_change(raw, list_id)

    def _rest(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All entries of a list whose first page is given."""
        entries = list(body.get("value") or ())
        while link := body.get("@odata.nextLink"):
            body = self._get(str(link))
            entries += body.get("value") or ()
        return entries

    def _get(self, path: str) -> dict[str, Any]:
        return self._reader.get(path, scope=self._scope)

    def _task(self, list_id: str, task_id: str) -> str:
        return f"{self._lists}/{quote(list_id, safe='')}/tasks/{quote(task_id, safe='')}"


def _body(answer: BatchAnswer) -> dict[str, Any] | None:
    """The object of an answer in a batch; None where the task has to be asked for on its own."""
    try:
        return answer.json()
    except PASSED_ON:
        raise
    except Problem:
        return None


def _entry(raw: Mapping[str, Any], list_id: str) -> Change | Gone:
    if "@removed" in raw:  # "deleted" and "changed" alike say: no longer in this list
        return Gone(raw["id"], parent=list_id)
    return task_change(raw, list_id, partial=bool(lacks(raw)))


def _list(raw: Mapping[str, Any]) -> Change:
    return Change(
        id=raw["id"],
        parent=ROOT,
        kind="folder",
        name=str(raw.get("displayName") or ""),
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={"role": str(raw.get("wellknownListName") or "none")},
        fingerprint="folder",
    )


SERVICE = Service(
    name="tasks",
    title="Tasks",
    resource_kind="mailbox",
    item_kind="task",
    reads=("Tasks.Read.All",),
    writes=("Tasks.ReadWrite.All",),
    columns=(
        Column("status", "Status", "text"),
        Column("due", "Due", "datetime"),
        Column("importance", "Importance", "text"),
        Column("steps", "Steps", "count"),
        Column("attachments", "Attachments", "count"),
    ),
    source=TasksSource,
    writer=TasksWriter,
    refusable=True,
    not_captured=(
        "Tasks of Outlook's older interface as such: To Do shows the same ones.",
        "What other programs attach to a task as open extensions.",
    ),
    not_restorable=(
        "A restored task has dates of creation and change of its own.",
        f"The list of flagged mail ({FLAGGED}) follows the mail; its tasks are not written.",
        "A completed task comes back without its series: completing would make the next one.",
        "Lists that were shared come back as lists of their owner alone.",
    ),
)
