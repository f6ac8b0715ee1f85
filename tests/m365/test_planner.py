"""Planner beyond the suite: details nobody tells of, plans that are refused, and odd answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.item import Cause, Change, FeedPage, Gone
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    ResourceGone,
    TransientFailure,
)
from m365.planner import FULL_EVERY, PlannerSource
from m365.service import Resource
from simulator.planner import remove_bucket
from simulator.planner_state import Plan, Planner, Task, planner_of
from tests.m365.cases_planner import kept
from tests.m365.mirror import Mirror
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.stage import Stage, canonical, stage
from tests.m365.test_services import CASES

CASE = CASES["planner"]
AT = datetime(2026, 11, 20, tzinfo=UTC)
PLANS = "GET /groups/g/planner/plans"
PLAN = "GET /planner/plans/p"
TASKS = f"{PLAN}/tasks"
DETAILS = "GET /planner/tasks/{task}/details"
LIST = "GET /planner/plans/{plan}/tasks"
GONE = ItemGone("gone", status_code=404)
ABSENT = ResourceGone("gone", graph_code="ResourceNotFound", status_code=404)


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        yield staged


def of(on: Stage) -> Planner:
    return planner_of(on.tenant)


def plans(on: Stage) -> list[Plan]:
    return of(on).of_group(on.resource.graph_id)


def tasks(on: Stage) -> list[Task]:
    return [task for plan in plans(on) for task in plan.tasks.values()]


def read(on: Stage, mirror: Mirror | None = None) -> Mirror:
    mirror = mirror or Mirror()
    on.tenant.counters.requests.clear()
    mirror.fetched.clear()
    assert mirror.round(on.source())
    return mirror


def is_true(on: Stage, mirror: Mirror) -> bool:
    found = {key: canonical(one.change.raw) for key, one in mirror.items.items()}
    return {key: data for key, data in found.items() if ":" not in key and key != "planner"} == {
        task.task.id: canonical(kept(task)) for task in tasks(on)
    }


class Group(ScriptedGraph):
    """A scripted group with one plan, at a fixed time."""

    at = AT

    @property
    def clock(self) -> Any:
        now = self.at

        class Fixed:
            def now(self) -> datetime:
                return now

        return Fixed()


def group(*listed: dict[str, Any], **changes: Any) -> Group:
    script: dict[str, Any] = {
        PLANS: {"value": [{"id": "p", "title": "Works", "@odata.etag": "1"}]},
        PLAN: {"id": "p", "title": "Works"},
        f"{PLAN}/details": {"@odata.etag": "2", "id": "p", "sharedWith": {}},
        f"{PLAN}/buckets": {"value": [{"id": "b", "name": "To do", "planId": "p"}]},
        TASKS: {"value": list(listed)},
    }
    for one in listed:
        script[f"GET /planner/tasks/{one['id']}/details"] = {"id": one["id"], "description": "d"}
    return Group({**script, **changes})


def task(key: str, told: str = "1", **more: Any) -> dict[str, Any]:
    return {"@odata.etag": told, "id": key, "title": key, "planId": "p", "bucketId": "b", **more}


def source(graph: ScriptedGraph) -> PlannerSource:
    return PlannerSource(graph, Resource("group", "g"))


def run(graph: Group, link: str = "") -> list[FeedPage]:
    return list(source(graph).changes({"planner": link} if link else {}, frozenset()))


def told(pages: list[FeedPage]) -> list[str]:
    return [
        f"gone {entry.id}" if isinstance(entry, Gone) else entry.id
        for page in pages
        for entry in page.entries
        if entry.id != "planner"
    ]


def change_of(pages: list[FeedPage], key: str) -> Change:
    found = [one for page in pages for one in page.entries if one.id == key]
    assert isinstance(found[-1], Change)
    return found[-1]


# What a round costs


def test_a_group_without_plans_costs_one_request(on: Stage) -> None:
    for plan in plans(on):
        del of(on).plans[plan.plan.id]
    mirror = read(on)
    assert read(on, mirror).items.keys() == {"planner"}
    assert on.tenant.counters.requests == {"GET /groups/{group}/planner/plans": 1}


def test_a_quiet_group_costs_its_plans_and_a_list_of_tasks_for_each(on: Stage) -> None:
    read(on, read(on))
    requests = on.tenant.counters.requests
    assert requests[LIST] == len(plans(on)) == 3
    assert requests["GET /groups/{group}/planner/plans"] == 1
    assert requests["POST /$batch"] == 1
    assert requests[DETAILS] == 0


@pytest.mark.parametrize("expand", ["ignored", "refused"])
def test_where_details_are_not_expanded_only_tasks_that_are_news_are_asked_for_theirs(
    on: Stage, expand: Any
) -> None:
    of(on).expand = expand
    mirror = read(on)
    assert on.tenant.counters.requests[DETAILS] == len(tasks(on))
    one = tasks(on)[0]
    one.task.facts["title"] = "Another title"
    of(on).changed(one.task)
    read(on, mirror)
    assert on.tenant.counters.requests[DETAILS] == 1
    assert is_true(on, mirror)
    read(on, mirror)
    assert on.tenant.counters.requests[DETAILS] == 0
    again = {"ignored": 0, "refused": 1}[expand]
    assert on.tenant.counters.requests[LIST] == len(plans(on)) + again


# Details that change alone


def edit_step(on: Stage) -> Task:
    """A checklist item gets another title: no count changes, nor need the etag of the task."""
    of(on).details_touch_tasks = False
    one = next(task for task in tasks(on) if task.details.facts["checklist"])
    next(iter(one.details.facts["checklist"].values()))["title"] = "Edited"
    of(on).details_changed(one)
    return one


def test_an_edit_that_only_details_tell_of_shows_at_once_where_they_are_expanded(on: Stage) -> None:
    mirror = read(on)
    one = edit_step(on)
    read(on, mirror)
    assert is_true(on, mirror)
    assert mirror.fetched == {"planner-task": 1}
    assert "Edited" in str(mirror.items[one.task.id].change.raw)


def test_elsewhere_it_is_found_within_a_week_and_nothing_else_is_told_anew(on: Stage) -> None:
    of(on).expand = "ignored"
    mirror = read(on)
    edit_step(on)
    read(on, mirror)
    assert not is_true(on, mirror)
    on.tenant.clock.advance(FULL_EVERY.total_seconds())
    read(on, mirror)
    assert is_true(on, mirror)
    assert on.tenant.counters.requests[DETAILS] == len(tasks(on))
    assert mirror.fetched == {"planner-task": 1}
    read(on, mirror)
    assert on.tenant.counters.requests[DETAILS] == 0


def test_a_full_reading_that_was_interrupted_begins_again_with_that_plan_only() -> None:
    graph = group(task("t1"))
    link = run(graph)[-1].link
    later = group(task("t1"))
    later.at = AT + FULL_EVERY - timedelta(seconds=1)
    assert run(later, link)[-1].link == link
    later.at = AT + FULL_EVERY
    later.batched.clear()
    again = run(later, link)
    assert told(again) == []
    assert later.batched.count("/planner/tasks/t1/details") == 1
    later.batched.clear()
    run(later, again[-1].link)
    assert "/planner/tasks/t1/details" not in later.batched


# What goes, and what only moves


def test_tasks_buckets_and_plans_that_were_deleted_are_gone(on: Stage) -> None:
    mirror = read(on)
    first, second, third = plans(on)
    del first.tasks[next(iter(first.tasks))]
    remove_bucket(first, next(iter(first.buckets)))
    del of(on).plans[second.plan.id]
    read(on, mirror)
    assert is_true(on, mirror)
    folders = {key for key in mirror.items if ":" in key}
    assert folders == {
        f"plan:{first.plan.id}", f"plan:{third.plan.id}",
        *(f"bucket:{key}" for key in first.buckets),
    }  # fmt: skip


def test_a_task_that_moves_to_another_bucket_or_plan_has_only_moved(on: Stage) -> None:
    mirror = read(on)
    first, second, _ = plans(on)
    key, one = next(iter(first.tasks.items()))
    bucket = next(iter(second.buckets))
    second.tasks[key] = first.tasks.pop(key)
    one.task.facts |= {"planId": second.plan.id, "bucketId": bucket}
    of(on).changed(one.task)
    read(on, mirror)
    assert mirror.items[key].change.parent == f"bucket:{bucket}"
    assert is_true(on, mirror)


def test_a_task_that_is_not_listed_is_asked_for_before_it_is_gone() -> None:
    link = run(group(task("t1"), task("t2")))[-1].link
    slipped = group(task("t1"), **{"GET /planner/tasks/t2": task("t2")})
    assert told(run(slipped, link)) == []
    for missing in (GONE, ABSENT):
        deleted = group(task("t1"), **{"GET /planner/tasks/t2": missing})
        assert told(run(deleted, link)) == ["gone t2"]


def test_a_plan_that_is_deleted_between_two_requests_is_no_trouble() -> None:
    link = run(group(task("t1")))[-1].link
    for answer in (GONE, ABSENT):
        graph = group(**{TASKS: answer, PLAN: answer, f"{PLAN}/buckets": answer})
        assert told(run(graph, link)) == ["gone plan:p"]


# What is refused


def test_a_group_that_nobody_may_read_is_refused_and_one_that_is_gone_is_gone(on: Stage) -> None:
    of(on).refused_groups.add(on.resource.graph_id)
    with pytest.raises(Forbidden):
        read(on)
    assert CASE.service.refusable
    with pytest.raises(ResourceGone):
        run(group(**{PLANS: GONE}))


def test_a_plan_that_is_refused_is_told_once_and_keeps_what_is_stored_of_it(on: Stage) -> None:
    mirror = read(on)
    first = plans(on)[0]
    before = {key for key, one in mirror.items.items() if key in first.tasks}
    first.refused = 403
    read(on, mirror)
    folder = mirror.items[f"plan:{first.plan.id}"]
    assert [(one.part, one.cause) for one in folder.troubles] == [("tasks", Cause.FORBIDDEN)]
    assert before <= mirror.items.keys()
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert not any(page.entries for page in pages)
    with pytest.raises(Forbidden):
        on.source().complete(f"plan:{first.plan.id}")
    first.refused = 0
    del first.tasks[next(iter(first.tasks))]
    read(on, mirror)
    assert mirror.items[f"plan:{first.plan.id}"].troubles == []
    assert is_true(on, mirror)


def test_a_plan_whose_details_or_buckets_are_refused_leaves_the_others_alone() -> None:
    no = Forbidden("no", status_code=403)
    for refused in (f"{PLAN}/details", f"{PLAN}/buckets"):
        graph = group(**{refused: no})
        graph.script[PLANS] = {"value": [{"id": "p", "title": "x"}, {"id": "q", "title": "y"}]}
        graph.script["GET /planner/plans/q/details"] = {"id": "q"}
        graph.script["GET /planner/plans/q/buckets"] = {"value": []}
        graph.script["GET /planner/plans/q/tasks"] = {"value": []}
        assert told(run(graph)) == ["plan:p", "plan:q"]


@pytest.mark.parametrize(("status", "retry"), [(403, False), (404, True), (500, True)])
def test_a_task_whose_details_are_refused_is_kept_without_them(
    on: Stage, status: int, retry: bool
) -> None:
    one = tasks(on)[0]
    one.broken = status
    mirror = read(on)
    found = mirror.items[one.task.id]
    assert [(t.part, t.retry) for t in found.troubles] == [("details", retry)]
    assert "details" not in found.change.raw
    assert is_true(on, mirror)
    assert not read(on, mirror).fetched
    one.broken = 0
    mirror.again(on.source(), one.task.id)
    assert mirror.items[one.task.id].troubles == []
    assert is_true(on, mirror)


def test_a_plan_that_fails_is_a_row_and_the_next_round_reads_it(on: Stage) -> None:
    mirror = Mirror()
    first = plans(on)[0]
    on.tenant.faults.map(f"/planner/plans/{first.plan.id}/tasks", "e", loop=True)
    read(on, mirror)
    (trouble,) = mirror.items[f"plan:{first.plan.id}"].troubles
    assert (trouble.cause, trouble.retry) == (TransientFailure.code, True)
    assert {key for plan in plans(on)[1:] for key in plan.tasks} <= mirror.items.keys()
    on.tenant.faults.calm()
    read(on, mirror)
    assert is_true(on, mirror)
    with pytest.raises(TransientFailure):  # but where nothing is known of the plans
        run(group(**{PLANS: TransientFailure("500", status_code=500)}))


def test_a_plan_that_stumbles_is_tried_again_at_the_end_of_the_round(on: Stage) -> None:
    first = plans(on)[0]
    on.tenant.faults.map(f"/planner/plans/{first.plan.id}/tasks", "eee")
    mirror = read(on)
    assert mirror.items[f"plan:{first.plan.id}"].troubles == []
    assert is_true(on, mirror)


def test_a_task_whose_bucket_is_only_known_in_the_next_round_moves_into_it() -> None:
    early = group(task("t1", bucketId="new"))
    link = run(early)[-1].link
    later = group(task("t1", bucketId="new"))
    later.script[f"{PLAN}/buckets"] = {"value": [{"id": "new", "name": "New", "planId": "p"}]}
    later.script["GET /planner/buckets/b"] = GONE
    assert change_of(run(later, link), "t1").parent == "bucket:new"


# Odd answers


def test_tasks_in_no_bucket_or_in_one_nobody_knows_lie_in_their_plan() -> None:
    pages = run(group(task("t1", bucketId=None), task("t2", bucketId="elsewhere"), task("t3")))
    parents = {key: change_of(pages, key).parent for key in ("t1", "t2", "t3")}
    assert parents == {"t1": "plan:p", "t2": "plan:p", "t3": "bucket:b"}


def test_details_that_are_expanded_for_some_tasks_are_asked_for_of_the_others() -> None:
    inside = {"@odata.etag": "9", "id": "t1", "description": "inside"}
    graph = group(task("t1", details=inside), task("t2", details=None))
    pages = run(graph)
    assert change_of(pages, "t1").raw["details"] == {"id": "t1", "description": "inside"}
    assert change_of(pages, "t1").volatile == {"@odata.etag": "1", "details@odata.etag": "9"}
    assert change_of(pages, "t2").raw["details"]["description"] == "d"
    assert [one for one in graph.batched if "/tasks/" in one] == ["/planner/tasks/t2/details"]


def test_missing_and_unknown_properties_do_no_harm() -> None:
    odd = {"id": "t/1 é", "title": None, "percentComplete": "?", "priority": None, "assignments": 3}
    path = "GET /planner/tasks/t%2F1%20%C3%A9/details"
    graph = group(**{path: {"id": "t/1 é", "checklist": None}})
    graph.script[TASKS] = {"value": [{"title": "no id"}, odd, odd], "@odata.nextLink": "next"}
    graph.script["GET next"] = {"value": []}
    graph.script[PLANS] = {"value": [{"id": "p"}, {"title": "no id"}]}
    pages = run(graph)
    change = change_of(pages, "t/1 é")
    assert (change.name, change.row["progress"], change.row["assigned"]) == ("(no title)", "", 0)
    assert change_of(pages, "plan:p").name == "(no title)"
    assert told(run(graph, pages[-1].link)) == []


def test_a_400_that_is_not_about_expanding_is_a_trouble_of_the_plan() -> None:
    graph = group(**{TASKS: GraphProblem("400", status_code=400)})
    reading = source(graph)
    pages = list(reading.changes({}, frozenset()))
    _, troubles = reading.fetch(change_of(pages, "plan:p"))
    assert [(one.part, one.cause) for one in troubles] == [("tasks", GraphProblem.code)]
    assert graph.count(TASKS) == 2


def test_the_link_stays_small() -> None:
    listed = [task(f"{number:028d}") for number in range(2_000)]
    link = run(group(*listed))[-1].link
    assert len(link) < 2_000 * 55


def test_a_task_that_moved_to_a_plan_of_another_group_is_gone() -> None:
    graph = group(task("t1"), task("t2"))
    link = run(graph)[-1].link
    graph.script[TASKS] = {"value": [task("t2")]}
    graph.script["GET /planner/tasks/t1"] = task("t1", "2", planId="elsewhere")
    pages = run(graph, link)
    assert told(pages) == ["gone t1"]
    graph.calls.clear()
    assert told(run(graph, pages[-1].link)) == []
    assert "GET /planner/tasks/t1" not in graph.calls
