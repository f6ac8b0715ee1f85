"""Planner: the plans of a Microsoft 365 group, their buckets, and tasks with details.

Rules
- There is no change feed in v1.0: plans, buckets and tasks are listed, and compared with what was
  told before (seen.py). A quiet group costs one request for its plans and one for the tasks of each
  plan; details and buckets of twenty plans share a request, ten plans a batch.
- Details of a task are an object with an etag of its own. Where the list of tasks expands them,
  every edit shows; it is asked to. Where it does not, details are read of tasks that tell something
  else than before, and every FULL_EVERY of all tasks: nobody documents that the etag of a task
  follows its details.
- One feed, "planner"; its link remembers what was told. A round that was interrupted lists anew.
- What is no longer listed is asked for by its id before it is taken for gone; a task that moved to
  another plan of the group is only somewhere else, one in a plan of another group is gone.
- A plan that cannot be read, also when it is tried again at the end of the round, is a row in the
  ledger: what is stored of it stays, the others go on.

https://learn.microsoft.com/graph/api/plannergroup-list-plans /plannerplan-list-buckets
https://learn.microsoft.com/graph/api/plannerplan-list-tasks /plannertaskdetails-get
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from urllib.parse import quote

from base.clock import iso, parse_iso
from base.errors import Problem, Throttled
from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    GraphProblem,
    ItemGone,
    ResourceGone,
    TransientFailure,
    Unauthorized,
)
from m365.planner_json import (
    BUCKET,
    DETAILS,
    PLAN,
    PlannerSeen,
    PlanSeen,
    Raw,
    bucket_folder,
    has_details,
    plan_folder,
    root,
    task,
    told,
)
from m365.planner_writer import PlannerWriter
from m365.seen import tag
from m365.service import Column, LiveCount, Resource, Service, trouble_of

FEED = "planner"
FULL_EVERY = timedelta(days=7)
HANDED_ON = 100  # tasks at once
_MISSING = (ItemGone, ResourceGone)  # of one plan, bucket or task: the code tells no difference
_ENDS_THE_ROUND = (Throttled, Unauthorized)
_NOT_EXPANDED = (400, 501)

_Answers = tuple[BatchAnswer, BatchAnswer]  # of a plan: those with its details and its buckets


@dataclass(frozen=True, slots=True)
class _Plan:
    """A plan as it is listed now, with its buckets by id."""

    raw: Raw
    buckets: dict[str, Raw]

    @property
    def id(self) -> str:
        return str(self.raw["id"])


class PlannerSource:
    """Reads the plans of one group; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.other("planner")
        self._plans = f"/groups/{quote(resource.graph_id, safe='')}/planner/plans"
        self._expands = True
        self._troubles: dict[str, list[Trouble]] = {}  # by id of a plan's folder

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        if FEED in finished:
            return
        link = links.get(FEED, "")
        known = PlannerSeen.from_link(link)
        if not link:
            yield FeedPage(FEED, (root(),), known.link(), more=True, reset=True)
        listed: set[str] = set()
        unread: set[str] = set()
        again: list[Raw] = []  # plans that stumbled, for the end of the round
        for raw, answers, last in self._turns(again):
            key, problem = str(raw["id"]), None
            seen = known.plans.setdefault(key, PlanSeen())
            try:
                for entries in self._plan(self._opened(raw, answers), seen, listed):
                    yield FeedPage(FEED, tuple(entries), known.link(), more=True)
                seen.refused = False
            except _ENDS_THE_ROUND:
                raise
            except GraphProblem as refusal:
                if isinstance(refusal, _MISSING) and not self._exists(_plan_path(key)):
                    continue  # deleted since it was listed
                if isinstance(refusal, TransientFailure) and not last:
                    again.append(raw)
                    continue
                problem = refusal
            listed.add(f"{PLAN}{key}")
            if problem is not None:
                unread.add(key)
                yield from self._unread(raw, seen, problem, known)
        gone = tuple(self._gone(known, listed, unread))
        yield FeedPage(FEED, gone, known.link(), more=False)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        """Nothing: details lie in the object. Says why, where they do not."""
        if change.kind == "folder":
            return [], self._troubles.pop(change.id, [])
        if change.fingerprint:
            return [], []
        path = _task_path(change.id)
        try:
            self._get(f"{path}/{DETAILS}")
        except (Throttled, Unauthorized):
            raise
        except _MISSING as problem:
            self._item(path)  # raises where it is the task
            return [], [trouble_of(change.id, DETAILS, problem)]
        except Problem as problem:
            return [], [trouble_of(change.id, DETAILS, problem)]
        return [], [Trouble(change.id, DETAILS, TransientFailure.code, retry=True)]

    def complete(self, item_id: str) -> Change:
        if item_id.startswith(PLAN):
            path = _plan_path(item_id.removeprefix(PLAN))
            plan = {**self._item(path), DETAILS: self._item(f"{path}/{DETAILS}")}
            self._get(f"{path}/tasks", {"$top": "1"})  # raises as long as they are refused
            return plan_folder(plan)
        if item_id.startswith(BUCKET):
            bucket = self._item(_bucket_path(item_id))
            return bucket_folder(bucket, str(bucket.get("planId") or ""))
        path = _task_path(item_id)
        raw = {**self._item(path), DETAILS: self._item(f"{path}/{DETAILS}")}
        bucket_id = str(raw.get("bucketId") or "")
        return task(raw, str(raw.get("planId") or ""), {bucket_id} - {""})

    def merge(self, raw: Mapping[str, object], change: Change) -> Change:
        return change  # tasks always come whole

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # every round lists all of them

    def _turns(self, again: list[Raw]) -> Iterator[tuple[Raw, _Answers, bool]]:
        """Every plan of the group with the answers that hold its details and its buckets, then
        those that were put into `again`, for the last time.
        """
        try:
            pages = list(follow(self._reader, self._plans, scope=self._scope))
        except ItemGone as problem:
            raise problem.told_as(ResourceGone, "The group is not there.") from problem
        plans = {str(raw["id"]): raw for page in pages for raw in page.value if raw.get("id")}
        for raw, answers in self._answers(list(plans.values())):
            yield raw, answers, False
        for raw, answers in self._answers(again):
            yield raw, answers, True

    def _answers(self, plans: list[Raw]) -> Iterator[tuple[Raw, _Answers]]:
        paths = [_plan_path(str(raw["id"])) for raw in plans]
        found = iter(
            self._ask([f"{path}/{what}" for path in paths for what in (DETAILS, "buckets")])
        )
        for raw in plans:
            yield raw, (next(found), next(found))

    def _opened(self, raw: Raw, answers: _Answers) -> _Plan:
        """Raises what refuses the details or the buckets."""
        details, first = answers
        whole = {**raw, DETAILS: details.json()}
        return _Plan(whole, {str(one["id"]): one for one in self._rest(first) if one.get("id")})

    def _plan(self, plan: _Plan, seen: PlanSeen, listed: set[str]) -> Iterator[list[Change]]:
        """What is news in one plan. `listed` gathers what there is."""
        tasks = self._tasks(plan.id)
        first = next(tasks, [])  # where tasks are refused, nothing of the plan is news
        entries: list[Change] = []
        if seen.refused or seen.told != told(plan.raw):
            entries.append(plan_folder(plan.raw))
        for key, raw in plan.buckets.items():
            listed.add(f"{BUCKET}{key}")
            if seen.entries.tells(f"{BUCKET}{key}", told(raw)):
                entries.append(bucket_folder(raw, plan.id))
                seen.entries.note(f"{BUCKET}{key}", told(raw), "")
        seen.told = told(plan.raw)
        if entries:
            yield entries
        now = self._reader.clock.now()
        full = not seen.read or now - parse_iso(seen.read) >= FULL_EVERY
        expanded = True
        for some in chain((first,), tasks):
            listed.update(str(raw["id"]) for raw in some)
            expanded = expanded and all(map(has_details, some))
            for start in range(0, len(some), HANDED_ON):
                news = list(self._news(plan, some[start : start + HANDED_ON], seen, full))
                if news:
                    yield news
        if full and not expanded:
            seen.read = iso(now)

    def _news(self, plan: _Plan, listed: list[Raw], seen: PlanSeen, full: bool) -> Iterator[Change]:
        """Tasks that are something else than was read, with their details."""
        entries = seen.entries
        tells = {str(raw["id"]): _told_in(plan, raw) for raw in listed}
        asked = [
            raw
            for raw in listed
            if entries.tells(str(raw["id"]), tells[str(raw["id"])])
            or (full and not has_details(raw))
        ]
        lacking = [raw for raw in asked if not has_details(raw)]
        answers = self._ask([f"{_task_path(str(raw['id']))}/{DETAILS}" for raw in lacking])
        found = {str(r["id"]): _details(a) for r, a in zip(lacking, answers, strict=True)}
        for raw in asked:
            details = found.get(str(raw["id"]))
            change = task({**raw, DETAILS: details} if details else raw, plan.id, plan.buckets)
            whole = tag([change.raw, change.volatile]) if change.fingerprint else ""
            as_read = entries.is_as_read(change.id, whole)
            same = as_read and not entries.tells(change.id, tells[change.id])
            entries.note(change.id, tells[change.id], whole)
            if not same:
                yield change

    def _tasks(self, plan_id: str) -> Iterator[list[Raw]]:
        """The tasks of a plan, with details where the tenant expands them."""
        path = f"{_plan_path(plan_id)}/tasks"
        if self._expands:
            try:
                yield from self._pages(path, {"$expand": DETAILS})
                return
            except GraphProblem as problem:
                if problem.status_code not in _NOT_EXPANDED:
                    raise
                self._expands = False
        yield from self._pages(path, {})

    def _pages(self, path: str, params: Mapping[str, str]) -> Iterator[list[Raw]]:
        for page in follow(self._reader, path, params, scope=self._scope):
            yield [raw for raw in page.value if raw.get("id")]

    def _rest(self, answer: BatchAnswer) -> list[Raw]:
        """All entries of a list whose first page is given."""
        body = answer.json()
        entries = list(body.get("value") or ())
        if link := body.get("@odata.nextLink"):
            for page in follow(self._reader, str(link), scope=self._scope):
                entries += page.value
        return entries

    def _unread(
        self, raw: Raw, seen: PlanSeen, problem: GraphProblem, known: PlannerSeen
    ) -> Iterator[FeedPage]:
        """A plan that could not be read, once; what is stored of it stays."""
        if not seen.refused:
            seen.refused = True
            change = replace(plan_folder(raw), fingerprint="")
            self._troubles[change.id] = [trouble_of(change.id, "tasks", problem)]
            yield FeedPage(FEED, (change,), known.link(), more=True)

    def _gone(self, known: PlannerSeen, listed: set[str], unread: set[str]) -> Iterator[Gone]:
        """What was there and is not: plans with all they hold, then single buckets and tasks."""
        for key in [key for key in known.plans if f"{PLAN}{key}" not in listed]:
            if not self._exists(_plan_path(key)):
                del known.plans[key]
                yield Gone(f"{PLAN}{key}")
        for key, plan in known.plans.items():
            if key in unread or f"{PLAN}{key}" not in listed:
                continue
            for entry in plan.entries.missing(listed):
                if not self._is_here(entry, known):
                    plan.entries.forget((entry,))
                    yield Gone(entry)

    def _is_here(self, entry: str, known: PlannerSeen) -> bool:
        """Whether a bucket or task that is not listed is there, and in a plan of the group."""
        bucket = entry.startswith(BUCKET)
        try:
            raw = self._get(_bucket_path(entry) if bucket else _task_path(entry))
        except _MISSING:
            return False
        return not raw.get("planId") or raw["planId"] in known.plans

    def _exists(self, path: str) -> bool:
        try:
            self._get(path)
        except _MISSING:
            return False
        return True

    def _item(self, path: str) -> Raw:
        """One object; what is not there is an item that is gone, whatever the code says."""
        try:
            return self._get(path)
        except ResourceGone as problem:
            raise problem.told_as(ItemGone, "The item is not there any more.") from problem

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> Raw:
        return self._reader.get(path, params=params, scope=self._scope)

    def _ask(self, paths: list[str]) -> list[BatchAnswer]:
        requests = [BatchRequest(path) for path in paths]
        return self._reader.batch(requests, scope=self._scope) if requests else []


def _told_in(plan: _Plan, raw: Raw) -> str:
    """The tag of a listed task; another one once its bucket is known, for then it lies there."""
    return told(raw if raw.get("bucketId") in plan.buckets else {**raw, "bucketId": None})


def _details(answer: BatchAnswer) -> Raw | None:
    """The details of a task; None where they have to be asked for on their own."""
    try:
        return answer.json()
    except (Throttled, Unauthorized):
        raise
    except Problem:
        return None


def _plan_path(plan_id: str) -> str:
    return f"/planner/plans/{quote(plan_id, safe='')}"


def _bucket_path(folder_id: str) -> str:
    return f"/planner/buckets/{quote(folder_id.removeprefix(BUCKET), safe='')}"


def _task_path(task_id: str) -> str:
    return f"/planner/tasks/{quote(task_id, safe='')}"


SERVICE = Service(
    name="planner",
    title="Planner",
    resource_kind="group",
    item_kind="planner-task",
    reads=("Tasks.Read.All",),
    writes=("Tasks.ReadWrite.All",),
    columns=(
        Column("progress", "Progress", "text"),
        Column("due", "Due", "datetime"),
        Column("priority", "Priority", "text"),
        Column("assigned", "Assigned to", "count"),
        Column("steps", "Checklist", "count"),
    ),
    source=PlannerSource,
    writer=PlannerWriter,
    refusable=True,
    not_restorable=(
        "Restored plans, buckets and tasks are new ones, with ids, dates and authors of their own.",
        "Planner may tell people that they are assigned to a restored task.",
        "Comments on a task are mail of the group, which no application can write.",
        "Whom a plan was shared with beyond its group, and the order of tasks in board views.",
    ),
    not_captured=(
        "Comments on tasks: older ones are mail of the group, newer ones are in Graph's beta only.",
        "Premium plans, and plans that belong to no group: no call of v1.0 lists them.",
        "The order of tasks in board views: a request for each task and view, and nothing to read.",
    ),
)
