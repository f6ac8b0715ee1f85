"""What groups plan: boards with buckets and tasks of every sort, and how they change in a month."""

import random
import uuid
from collections import Counter
from datetime import datetime, timedelta

from simulator.planner import details_json, plan_json, remove_bucket, task_json, thing_json
from simulator.planner_state import Plan, Planner, Task, place, planner_of
from simulator.tenant import Tenant
from simulator.web import Json

_BUCKETS = ("To do", "Doing", "Done ✓", "To do")
_TITLES = (
    "Order rope",
    "Paint the crane",
    "Berth №7",
    "錨を点検する",
    "Ask legal; then sign",
    "Order rope",
)
_ADDRESSES = ("https%3A//contoso%2Esharepoint%2Ecom/sites/x", "http%3A//www%2Eexample%2Ecom%3Aport")


def fill_planner(tenant: Tenant, until: datetime, count: int) -> None:
    """A plan for every Microsoft 365 group that has none, the first with an odd one beside it."""
    groups = [group for group in tenant.groups.values() if group.unified]
    for number, group in enumerate(groups):
        dice = random.Random(f"{tenant.seed} planner {number}")
        _Board(tenant, group.id, dice, until).ordinary("Harbour works", count)
        if number == 0:
            _Board(tenant, group.id, dice, until).odd()


def planner_month(tenant: Tenant, dice: random.Random, now: datetime, done: Counter[str]) -> None:
    """A month of all plans: tasks made, moved, ticked off, edited and deleted."""
    for plan in list(planner_of(tenant).plans.values()):
        _Board(tenant, plan.group, dice, now).month(plan, done)


def planner_truth(tenant: Tenant) -> Json:
    """By group: its plans with buckets, tasks and details as Graph shows them."""
    return {
        group_id: [
            plan_json("", plan)
            | {
                "details": details_json(plan.details, plan.plan.id),
                "buckets": [thing_json(one) for one in plan.buckets.values()],
                "tasks": [
                    task_json(one) | {"details": details_json(one.details, one.task.id)}
                    for one in plan.tasks.values()
                ],
            }
            for plan in planner_of(tenant).of_group(group_id)
        ]
        for group_id in tenant.groups
        if planner_of(tenant).of_group(group_id)
    }


class _Board:
    """Fills and changes plans of one group."""

    def __init__(self, tenant: Tenant, group_id: str, dice: random.Random, now: datetime) -> None:
        self.here: Planner = planner_of(tenant)
        self.dice, self.now = dice, now
        self.stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        members = [one for one in tenant.groups[group_id].members if one in tenant.users]
        self.people = members or list(tenant.users)
        self.group = group_id

    def ordinary(self, title: str, count: int) -> Plan:
        plan = self.here.add_plan(self.group, title, self.stamp, self._by())
        hint = ""
        for name in _BUCKETS[:3]:
            hint = str(self.here.add_bucket(plan, name, f"{hint} !").facts["orderHint"])
        plan.details.facts["categoryDescriptions"]["category1"] = "Urgent / 急ぎ"
        for number in range(count):
            self.task(plan, _TITLES[number % len(_TITLES)], self.dice.choice(list(plan.buckets)))
        return plan

    def odd(self) -> None:
        """A task in no bucket, one without details, one with all there is; and an empty plan."""
        plan = self.here.add_plan(self.group, "Harbour / phase 2: crane 🏗️", self.stamp, self._by())
        self.here.add_bucket(plan, "Empty bucket")
        bucket = self.here.add_bucket(plan, "Everything")
        self.task(plan, "In no bucket", None)
        bare = self.task(plan, "Nothing but a title", bucket.id)
        bare.details.facts |= {"description": "", "checklist": {}, "references": {}}
        bare.task.facts |= {"assignments": {}, "appliedCategories": {}, "dueDateTime": None}
        whole = self.task(plan, "All there is", bucket.id)
        whole.task.facts |= {
            "percentComplete": 100, "priority": 1, "completedDateTime": self.stamp,
            "completedBy": self._by(), "startDateTime": "2026-01-05T08:00:00Z",
            "dueDateTime": "2026-02-05T08:00:00Z",
            "appliedCategories": {"category1": True, "category25": True},
            "assignments": {user: self._assigned() for user in self.people[:2]},
        }  # fmt: skip
        whole.details.facts |= {
            "description": "Line one\nLine two – 詳細", "previewType": "reference",
            "checklist": self._steps(5), "references": self._references(),
        }  # fmt: skip
        self.here.add_plan(self.group, "Nothing yet", self.stamp, self._by())

    def task(self, plan: Plan, title: str, bucket: str | None) -> Task:
        due = self.now + timedelta(days=self.dice.randint(1, 90))
        people = self.dice.sample(self.people, min(len(self.people), self.dice.randint(0, 2)))
        facts: Json = {
            "title": title, "bucketId": bucket, "priority": self.dice.choice((1, 3, 5, 9)),
            "percentComplete": self.dice.choice((0, 0, 50)),
            "dueDateTime": due.strftime("%Y-%m-%dT10:00:00Z"),
            "assignments": {user: self._assigned() for user in people},
            "orderHint": place(f"{self.dice.choice('2468')} !"),
        }  # fmt: skip
        made = self.here.add_task(plan, facts, self.stamp, self._by())
        if self.dice.random() < 0.6:
            made.details.facts["description"] = f"How to: {title}"
        if self.dice.random() < 0.5:
            made.details.facts["checklist"] = self._steps(self.dice.randint(1, 3))
        return made

    def month(self, plan: Plan, done: Counter[str]) -> None:
        tasks = list(plan.tasks.values())
        if tasks:
            self._edit(plan, tasks, done)
        if len(tasks) > 3:
            del plan.tasks[self.dice.choice(tasks).task.id]
            done["planner tasks deleted"] += 1
        if len(plan.buckets) > 3:
            remove_bucket(plan, self.dice.choice(list(plan.buckets)))
            done["buckets deleted"] += 1
        elif plan.buckets:
            self.task(plan, "New this month", next(iter(plan.buckets)))
            self.here.add_bucket(plan, "Later")
            done["planner tasks made"] += 1

    def _edit(self, plan: Plan, tasks: list[Task], done: Counter[str]) -> None:
        task = self.dice.choice(tasks)
        task.task.facts["title"] = f"{task.task.facts['title']}!"
        self.here.changed(task.task)
        task = self.dice.choice(tasks)
        task.details.facts["description"] = f"Edited {self.stamp}"
        self.here.details_changed(task)
        if plan.buckets:
            task = self.dice.choice(tasks)
            task.task.facts["bucketId"] = self.dice.choice(list(plan.buckets))
            self.here.changed(task.task)
        done["planner tasks edited"] += 3

    def _steps(self, count: int) -> Json:
        hint, steps = "", {}
        for number in range(count):
            hint = place(f"{hint} !")
            key = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
            steps[key] = {
                "@odata.type": "#microsoft.graph.plannerChecklistItem",
                "isChecked": number % 2 == 0,
                "title": f"Step {number}",
                "orderHint": hint,
            } | self._edited()
        return steps

    def _references(self) -> Json:
        return {
            address: {
                "@odata.type": "#microsoft.graph.plannerExternalReference",
                "alias": f"Link {number}",
                "type": "Other",
                "previewPriority": place(f"{number} !"),
            }
            | self._edited()
            for number, address in enumerate(_ADDRESSES)
        }

    def _edited(self) -> Json:
        return {"lastModifiedDateTime": self.stamp, "lastModifiedBy": self._by()}

    def _assigned(self) -> Json:
        return {
            "@odata.type": "#microsoft.graph.plannerAssignment", "assignedDateTime": self.stamp,
            "orderHint": place(" !"), "assignedBy": self._by(),
        }  # fmt: skip

    def _by(self) -> Json:
        return {"user": {"displayName": None, "id": self.people[0] if self.people else ""}}
