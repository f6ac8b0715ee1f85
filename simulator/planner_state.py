"""The plans of the simulated tenant's groups: buckets, tasks, details, etags and places in order.

Rules
- Every plan, bucket, task and details object has an etag of its own that changes with it.
- What a task tells of its details (counts, whether there is a description) follows them; whether
  its etag does, nobody documents: details_touch_tasks says.
- A hint of order is asked for as "<before> <behind>!"; what is given is a word between the two.
"""

import base64
from dataclasses import dataclass, field
from typing import Literal

from simulator.tenant import Tenant
from simulator.web import GraphError, Json

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Thing:
    """A plan, a bucket, a task or the details of one: facts are Graph's without id and etag."""

    id: str
    facts: Json
    number: int

    @property
    def etag(self) -> str:
        text = base64.b64encode(f"1-{self.number:08d}".encode()).decode("ascii")
        return f'W/"{text}"'


@dataclass(slots=True)
class Task:
    """A task with its details."""

    task: Thing
    details: Thing
    broken: int = 0
    """Status of every answer that would hold its details; 0: they are given."""
    boards: dict[str, Json] = field(default_factory=dict)
    """Where it stands in the views of the board, by the name of the format; else anywhere."""

    def counted(self) -> Json:
        """What the task tells of its details."""
        steps = list((self.details.facts.get("checklist") or {}).values())
        return {
            "hasDescription": bool(self.details.facts.get("description")),
            "previewType": self.details.facts.get("previewType", "automatic"),
            "checklistItemCount": len(steps),
            "activeChecklistItemCount": sum(not one.get("isChecked") for one in steps),
            "referenceCount": len(self.details.facts.get("references") or {}),
        }


@dataclass(slots=True)
class Plan:
    """A plan of a group."""

    plan: Thing
    details: Thing
    group: str
    buckets: dict[str, Thing] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    refused: int = 0
    """Status of every answer about its tasks; 0: they are given."""


@dataclass(slots=True)
class Planner:
    """All plans of a tenant, by id."""

    plans: dict[str, Plan] = field(default_factory=dict)
    numbers: int = 0
    refused_groups: set[str] = field(default_factory=set)
    expand: Literal["honoured", "ignored", "refused"] | None = None
    """$expand=details on lists of tasks; None: as To Do does with its own."""
    details_touch_tasks: bool = True
    tasks_max: int = 2_400
    plans_max: int = 200
    steps_max: int = 20

    def thing(self, facts: Json) -> Thing:
        """A new object with an id of 28 characters."""
        self.numbers += 1
        raw = f"planner {self.numbers}".encode().ljust(20, b"\x17") + bytes([self.numbers % 251])
        key = base64.urlsafe_b64encode(raw).decode("ascii")
        return Thing(key, dict(facts), self.numbers)

    def changed(self, thing: Thing) -> None:
        """Gives an object a new etag."""
        self.numbers += 1
        thing.number = self.numbers

    def plan(self, plan_id: str) -> Plan:
        return _found(self.plans.get(plan_id))

    def bucket(self, bucket_id: str) -> tuple[Plan, Thing]:
        for plan in self.plans.values():
            if bucket_id in plan.buckets:
                return plan, plan.buckets[bucket_id]
        raise _not_found()

    def task(self, task_id: str) -> tuple[Plan, Task]:
        for plan in self.plans.values():
            if task_id in plan.tasks:
                return plan, plan.tasks[task_id]
        raise _not_found()

    def of_group(self, group_id: str) -> list[Plan]:
        return [plan for plan in self.plans.values() if plan.group == group_id]

    def add_plan(self, group_id: str, title: str, stamp: str, by: Json) -> Plan:
        """A new plan of a group."""
        facts = {"title": title, "createdDateTime": stamp, "createdBy": by}
        labels = {f"category{number}": None for number in range(1, 26)}
        details = self.thing({"sharedWith": {}, "categoryDescriptions": labels})
        plan = Plan(self.thing(facts), details, group_id)
        self.plans[plan.plan.id] = plan
        return plan

    def add_bucket(self, plan: Plan, name: str, hint: str = " !") -> Thing:
        """A new bucket of a plan."""
        order = place(hint)
        made = self.thing({"name": name, "planId": plan.plan.id, "orderHint": order})
        plan.buckets[made.id] = made
        return made

    def add_task(self, plan: Plan, facts: Json, stamp: str, by: Json) -> Task:
        """A new task; facts may lack what has a default."""
        whole: Json = {
            "planId": plan.plan.id, "bucketId": None, "title": "", "orderHint": place(" !"),
            "assigneePriority": "", "percentComplete": 0, "startDateTime": None,
            "createdDateTime": stamp, "dueDateTime": None, "priority": 5, "createdBy": by,
            "completedDateTime": None, "completedBy": None, "conversationThreadId": None,
            "appliedCategories": {}, "assignments": {},
        }  # fmt: skip
        details = self.thing(
            {"description": "", "previewType": "automatic", "references": {}, "checklist": {}}
        )
        made = Task(self.thing(whole | facts), details)
        plan.tasks[made.task.id] = made
        return made

    def details_changed(self, task: Task) -> None:
        """The details of a task are new."""
        self.changed(task.details)
        if self.details_touch_tasks:
            self.changed(task.task)


def planner_of(tenant: Tenant) -> Planner:
    """All plans of a tenant."""
    found: Planner = tenant.room.setdefault("planner", Planner())
    return found


def place(hint: str) -> str:
    """What the service gives for a hint that was asked for; 400 for one that cannot be."""
    if not hint.endswith("!") or " " not in hint:
        raise GraphError(400, "", "The order hint is not valid.")
    return _evaluated(hint)


def _evaluated(hint: str) -> str:
    if not hint.endswith("!"):
        return hint
    before, _, behind = hint[:-1].rpartition(" ")
    if behind == "!":  # the neighbour behind is one that is asked for itself
        before, behind = before.removesuffix(" "), " !"
    return _between(_evaluated(before), _evaluated(behind))


def _between(before: str, behind: str) -> str:
    """A word behind one and before another; "" is the end of the list."""
    made, at = "", 0
    while True:
        low = _DIGITS.find(before[at]) if at < len(before) else 0
        high = _DIGITS.find(behind[at]) if at < len(behind) else len(_DIGITS)
        if high - low > 1:
            return made + _DIGITS[(low + high) // 2]
        made += _DIGITS[max(low, 0)]
        if high > low:
            behind = ""
        at += 1


def _found(plan: Plan | None) -> Plan:
    if plan is None:
        raise _not_found()
    return plan


def _not_found() -> GraphError:
    return GraphError(404, "", "The requested item is not found.")
