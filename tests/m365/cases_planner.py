"""Planner: what the services' suite knows of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.planner import details_json, task_json
from simulator.planner_state import Plan, Task, planner_of
from tests.m365.stage import RAW, Truth, canonical

_FACTS = (
    "title", "percentComplete", "priority", "startDateTime", "dueDateTime", "appliedCategories",
)  # fmt: skip


class PlannerCase:
    """Plans of the group that has one of every sort."""

    service: Service = SERVICES["planner"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        plan = next(iter(planner_of(tenant).plans.values()))
        return Resource("group", plan.group)

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("group", tenant.add_group("Empty Target", []).id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        found: Counter[Truth] = Counter()
        for plan, task in tasks_of(tenant, resource.graph_id):
            data = canonical(kept(task))
            path = (*path_of(plan, task), str(task.task.facts["title"]))
            found[Truth(path, len(data), hashlib.sha256(data).hexdigest())] += 1
        return found

    def main_part(self) -> str:
        return RAW

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """There are none that the service could forget."""

    def idle_requests_max(self, folders: int) -> int:
        return folders  # the plans, a batch, and the tasks of each plan

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        plan, task = planner_of(tenant).task(item_id)
        del plan.tasks[task.task.id]

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.groups[resource.graph_id]

    def content_pattern(self) -> str:
        return r"GET /planner/plans/[^/]+/tasks"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return Counter(
            (*path_of(plan, task), *facts(task)) for plan, task in tasks_of(tenant, target.graph_id)
        )

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return self.restored(tenant, resource)


def tasks_of(tenant: simulator.Tenant, group_id: str) -> list[tuple[Plan, Task]]:
    plans = planner_of(tenant).of_group(group_id)
    return [(plan, task) for plan in plans for task in plan.tasks.values()]


def path_of(plan: Plan, task: Task) -> tuple[str, ...]:
    bucket = plan.buckets.get(task.task.facts["bucketId"] or "")
    return (plan.plan.facts["title"], *((bucket.facts["name"],) if bucket else ()))


def kept(task: Task) -> dict[str, Any]:
    """The object a backup keeps: the task with its details, without etags."""
    whole = task_json(task)
    if not task.broken:
        whole["details"] = details_json(task.details, task.task.id)
        del whole["details"]["@odata.etag"]
    del whole["@odata.etag"]
    return whole


def facts(task: Task) -> tuple[Any, ...]:
    """What a person would miss of a task."""
    details = task.details.facts
    steps = sorted(details["checklist"].values(), key=lambda one: str(one["orderHint"]))
    references = sorted(
        details["references"].items(), key=lambda one: str(one[1]["previewPriority"])
    )
    return (
        canonical({name: task.task.facts[name] for name in _FACTS}),
        tuple(sorted(task.task.facts["assignments"])),
        (details["description"], details["previewType"]),
        tuple((one["title"], one["isChecked"]) for one in steps),
        tuple((address, one.get("alias"), one.get("type")) for address, one in references),
    )
