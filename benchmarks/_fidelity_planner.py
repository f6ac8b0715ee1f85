"""Plans, buckets and tasks that together use every property, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks._fidelity import Scene, Shown, named, without_notes
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant
from simulator.planner_state import place, planner_of

_BOARDS = ("assignedToTaskBoardFormat", "bucketTaskBoardFormat", "progressTaskBoardFormat")
_Raw = Mapping[str, Any]


class Planner:
    """Planner among the subjects of the measurement."""

    service = "planner"

    def furnish(self, tenant: Tenant) -> Scene:
        planner = planner_of(tenant)
        plan = next(iter(planner.plans.values()))
        plan.details.facts["sharedWith"] = {next(iter(tenant.users)): True}
        other = planner.of_group(plan.group)[1]
        first, second = other.buckets.values()
        second.facts["orderHint"] = place(f"{first.facts['orderHint']} !")
        full = next(t for t in other.tasks.values() if t.task.facts["title"] == "All there is")
        full.task.facts |= {"assigneePriority": place(" !"), "conversationThreadId": "AAQk thread"}
        hint = {"orderHint": place("7 !")}
        by_person = {"orderHintsByAssignee": {"x": hint["orderHint"]}, "unassignedOrderHint": "7"}
        full.boards = dict(zip(_BOARDS, (by_person, hint, hint), strict=True))
        left = next(t for t in plan.tasks.values() if t.task.facts["assignments"])
        gone = dict(next(iter(left.task.facts["assignments"].values())))
        left.task.facts["assignments"] = {tenant.new_id(): gone}  # of somebody who has left
        target = tenant.add_group("Fresh Start", list(tenant.groups[plan.group].members))
        return Scene(
            plan.group, target.id, {"selection": {"mode": "include", "groups": [plan.group]}}
        )

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        plans, buckets, tasks = graph.all(f"/groups/{where}/planner/plans"), [], []
        for plan in plans:
            path = f"/planner/plans/{plan['id']}"
            plan["details"] = graph.get(f"{path}/details")
            buckets += graph.all(f"{path}/buckets")
            tasks += graph.all(f"{path}/tasks")
        for task in tasks:
            path = f"/planner/tasks/{task['id']}"
            task["details"] = graph.get(f"{path}/details")
            for name in _BOARDS:
                format_ = graph.get(f"{path}/{name}")
                task[name] = {k: v for k, v in format_.items() if k != "id" and "@" not in k}
        return named(_entries(where, plans, buckets, tasks))

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        view = installation.view(self.service, f"group:{where}")
        of: dict[str, list[_Raw]] = {"plan": [], "bucket": [], "": []}
        for entry in view.catalog.items():
            item = view.item(entry.id)
            if item.raw:
                raw = {**item.raw, **entry.facts.get("volatile", {})}
                of[str(entry.row.get("role") or "")].append(raw)
        return named(_entries(where, of["plan"], of["bucket"], of[""]))


def _entries(
    group: str, plans: Sequence[_Raw], buckets: Sequence[_Raw], tasks: Sequence[_Raw]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Plans and what lies in them, with names where Planner has ids, ranks for hints."""
    titles = {str(one["id"]): str(one["title"]) for one in plans}
    names = {str(one["id"]): str(one["name"]) for one in buckets}
    for plan in plans:
        mine = [one for one in tasks if one["planId"] == plan["id"]]
        facts = {**plan, "owner": plan["owner"] == group}
        facts["container"] = {**plan["container"], "containerId": facts["owner"], "url": ""}
        facts["details"] = {k: v for k, v in plan["details"].items() if k != "id" and "@" not in k}
        facts["buckets"] = sorted(one["name"] for one in buckets if one["planId"] == plan["id"])
        facts["tasks"] = sorted(one["title"] for one in mine)
        yield "plannerPlan", plan["title"], facts
        yield "plannerPlanDetails", plan["title"], plan["details"]
    for bucket in buckets:
        mine = [one for one in tasks if one["bucketId"] == bucket["id"]]
        facts = {**bucket, "planId": titles[bucket["planId"]]}
        facts["tasks"] = sorted(one["title"] for one in mine)
        facts["orderHint"] = _rank(bucket, buckets, "planId")
        yield "plannerBucket", f"{facts['planId']}/{bucket['name']}", facts
    for task in tasks:
        facts = {**task, "planId": titles[task["planId"]]}
        facts["bucketId"] = names.get(task["bucketId"] or "", "")
        facts["orderHint"] = _rank(task, tasks, "planId", "bucketId")
        facts["assignments"] = sorted(task["assignments"])
        details = _details(task["details"])
        facts["details"] = {name: value for name, value in details.items() if name != "id"}
        name = f"{facts['planId']}/{facts['bucketId']}/{task['title']} {task['dueDateTime']}"
        yield "plannerTask", name, facts
        yield "plannerTaskDetails", name, details


def _details(raw: _Raw) -> dict[str, Any]:
    """Entries in their order, without hints and who changed them."""
    steps = sorted(raw["checklist"].values(), key=lambda one: str(one["orderHint"]))
    links = sorted(raw["references"].items(), key=lambda one: str(one[1]["previewPriority"]))
    return {
        **without_notes(raw),
        "checklist": [(one["title"], one["isChecked"]) for one in steps],
        "references": [(address, one["alias"], one["type"]) for address, one in links],
    }


def _rank(one: _Raw, among: Sequence[_Raw], *of: str) -> int:
    """Its place, from 1, among those that lie where it lies."""
    beside = [other for other in among if all(other[name] == one[name] for name in of)]
    return 1 + sorted(str(other["orderHint"]) for other in beside).index(str(one["orderHint"]))
