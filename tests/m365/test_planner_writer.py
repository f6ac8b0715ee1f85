"""Planner restored: etags that others overtake, limits, people who left, and killed steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base.item import StoredItem, Trouble
from m365.graph.errors import Clash, GraphProblem, MaybeDone
from m365.planner_body import details_body
from m365.planner_order import FIRST, Order, in_a_row
from m365.planner_target import PlannerLimit
from m365.planner_writer import PlannerWriter
from m365.service import Folder, Resource, Written
from simulator.planner_state import Plan, Planner, Task, place, planner_of
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.stage import Stage, TenantClock, stage
from tests.m365.test_services import CASES

CASE = CASES["planner"]
STEP = {"title": "one", "isChecked": True, "orderHint": "B"}
OTHER = {"title": "two", "isChecked": False, "orderHint": "A"}
ADDRESS = "https%3A//contoso%2Esharepoint%2Ecom/x"
DETAILS: dict[str, Any] = {
    "description": "How to",
    "previewType": "checklist",
    "checklist": {"s1": STEP, "s2": OTHER, "@odata.type": "x"},
    "references": {ADDRESS: {"alias": "Map", "type": "Other", "previewPriority": "A"}},
}


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        staged.resource = CASE.fresh_target(staged.tenant)
        yield staged


def of(on: Stage) -> Planner:
    return planner_of(on.tenant)


def writer_of(on: Stage) -> PlannerWriter:
    return PlannerWriter(on.writer, on.resource, TenantClock(on.tenant))


def folder(key: str, name: str, **raw: Any) -> StoredItem:
    role, _, own = key.partition(":")
    parent = "planner" if role == "plan" else f"plan:{raw.get('planId', 'p')}"
    return StoredItem(key, parent, "folder", name, {"role": role}, {"id": own, **raw}, ())


def item(key: str = "t1", details: Any = None, **raw: Any) -> StoredItem:
    whole = {"id": key, "title": "Order rope", "details": details or {}, "priority": 3, **raw}
    return StoredItem(key, "bucket:b", "planner-task", "Order rope", {}, whole, ())


def bucket_in(writer: PlannerWriter, plan: str = "Works", bucket: str = "To do") -> Folder:
    into = writer.ensure_folder(writer.root(), plan, folder("plan:p", plan))
    return writer.ensure_folder(into, bucket, folder("bucket:b", bucket))


def plan_of(on: Stage) -> Plan:
    (plan,) = of(on).of_group(on.resource.graph_id)
    return plan


def write(
    writer: PlannerWriter, stored: StoredItem, into: Folder, marker: str = "run:1"
) -> Written:
    return writer.write(stored, into, marker, None, new_name=False)


def task_of(on: Stage, written: Written) -> Task:
    return of(on).task(written.id)[1]


def causes(troubles: tuple[Trouble, ...]) -> list[tuple[str, str]]:
    return [(one.part, one.cause) for one in troubles]


# What comes back


def test_a_task_comes_back_with_everything_that_can_be_set(on: Stage) -> None:
    user = next(iter(on.tenant.users))
    writer = writer_of(on)
    stored = item(
        details=DETAILS, percentComplete=100, startDateTime="2026-01-01T08:00:00Z",
        dueDateTime="2026-02-01T08:00:00Z",
        appliedCategories={"category3": True, "category4": False}, orderHint="85A",
        assignments={user: {"orderHint": "RWk1", "assignedBy": {}}, "@odata.type": "x"},
        conversationThreadId="thread", createdBy={"user": {"id": "x"}},
    )  # fmt: skip
    made = write(writer, stored, bucket_in(writer))
    facts, details = task_of(on, made).task.facts, task_of(on, made).details.facts
    assert made.troubles == ()
    assert (facts["title"], facts["percentComplete"], facts["priority"]) == ("Order rope", 100, 3)
    assert facts["dueDateTime"] == "2026-02-01T08:00:00Z"
    assert list(facts["assignments"]) == [user]
    assert facts["appliedCategories"] == {"category3": True}
    steps = sorted(details["checklist"].values(), key=lambda one: str(one["orderHint"]))
    assert [(one["title"], one["isChecked"]) for one in steps] == [("two", False), ("one", True)]
    assert (details["description"], details["previewType"]) == ("How to", "checklist")
    assert details["references"][ADDRESS]["alias"] == "Map"


def test_plans_and_buckets_are_found_by_name_and_made_once_with_labels_and_order(on: Stage) -> None:
    labels = {"category1": "Urgent", "category2": None}
    stored = folder("plan:p", "Works", details={"categoryDescriptions": labels})
    for _ in range(2):
        writer = writer_of(on)
        into = writer.ensure_folder(writer.root(), "Works", stored)
        for name, hint in (("Done", "9"), ("To do", "1"), ("Doing", "5")):
            writer.ensure_folder(into, name, folder(f"bucket:{name}", name, orderHint=hint))
    buckets = sorted(plan_of(on).buckets.values(), key=lambda one: str(one.facts["orderHint"]))
    assert [one.facts["name"] for one in buckets] == ["To do", "Doing", "Done"]
    assert plan_of(on).details.facts["categoryDescriptions"]["category1"] == "Urgent"


def test_tasks_of_a_bucket_keep_their_order_whatever_order_they_are_written_in(on: Stage) -> None:
    writer = writer_of(on)
    into = bucket_in(writer)
    for hint in ("5", "1", "9", "3", "7"):
        write(writer, item(hint, title=f"T{hint}", orderHint=hint), into)
    found = sorted(plan_of(on).tasks.values(), key=lambda one: str(one.task.facts["orderHint"]))
    assert [one.task.facts["title"] for one in found] == ["T1", "T3", "T5", "T7", "T9"]


def test_hints_are_asked_for_as_documented() -> None:
    order = Order()
    assert order.hint("x") == FIRST
    order.placed("b", "B1")
    assert (order.hint("a"), order.hint("c")) == (" B1!", "B1 !")
    order.placed("d", "D1")
    assert order.hint("c") == "B1 D1!"
    assert [hint for _, hint in in_a_row("abc")] == [" !", " ! !", " ! ! !"]
    places = [place(hint) for _, hint in in_a_row("abcd")]
    assert places == sorted(places)
    assert len(set(places)) == 4


def test_the_original_folders_are_used_where_they_still_are(on: Stage) -> None:
    writer = writer_of(on)
    into = bucket_in(writer)
    plan_id, _, bucket_id = into.id.removeprefix("bucket:").partition("/")
    assert writer.original_folder(folder(f"plan:{plan_id}", "renamed")) == Folder(f"plan:{plan_id}")
    stored = folder(f"bucket:{bucket_id}", "renamed", planId=plan_id)
    assert writer.original_folder(stored) == into
    assert writer.original_folder(folder("plan:gone", "x")) is None
    assert writer.original_folder(folder("bucket:gone", "x", planId=plan_id)) is None
    assert writer.original_folder(folder("bucket:b", "x", planId="elsewhere")) is None


def test_a_folder_made_for_a_restore_is_the_beginning_of_its_plans_titles(on: Stage) -> None:
    writer = writer_of(on)
    top = writer.ensure_folder(writer.root(), "Restored in May", None)
    assert not of(on).of_group(on.resource.graph_id)  # nothing is made before it is needed
    plan = writer.ensure_folder(top, "Works", folder("plan:p", "Works"))
    write(writer, item(), writer.ensure_folder(plan, "To do", folder("bucket:b", "To do")))
    assert plan_of(on).plan.facts["title"] == "Restored in May - Works"


def test_a_task_whose_plan_nobody_knows_any_more_gets_a_plan(on: Stage) -> None:
    writer = writer_of(on)
    made = write(writer, item(), writer.root())
    assert made.outcome == "created"
    assert plan_of(on).plan.facts["title"] == "Restored tasks"


def test_plans_are_made_with_an_owner_where_containers_are_not_known() -> None:
    refused = GraphProblem("400", status_code=400)
    graph = ScriptedGraph(
        {
            "GET /groups/g/planner/plans": {"value": []},
            "POST /planner/plans": [refused, {"id": "new"}],
        }
    )
    writer = PlannerWriter(graph, Resource("group", "g"))
    assert writer.ensure_folder(writer.root(), "Works", folder("plan:p", "Works")).id == "plan:new"
    assert graph.bodies[-1] == {"owner": "g", "title": "Works"}


# What is refused


def test_who_has_left_is_not_assigned_and_everybody_else_is(on: Stage) -> None:
    here = list(on.tenant.users)[:2]
    left = "00000000-dead-0000-0000-000000000000"
    people = {user: {"orderHint": "x"} for user in (here[0], left, here[1])}
    writer = writer_of(on)
    into = bucket_in(writer)
    made = write(writer, item(assignments=people, percentComplete=50, orderHint="5"), into)
    assert causes(made.troubles) == [(f"assignment:{left}", "not-set")]
    facts = task_of(on, made).task.facts
    assert sorted(facts["assignments"]) == sorted(here)
    assert (facts["title"], facts["percentComplete"], facts["priority"]) == ("Order rope", 50, 3)


def test_one_property_that_is_refused_costs_that_property(on: Stage) -> None:
    writer = writer_of(on)
    dates = {"startDateTime": "2026-09-01T00:00:00Z", "dueDateTime": "2026-02-01T08:00:00Z"}
    made = write(writer, item(**dates), bucket_in(writer))
    assert causes(made.troubles) == [("dueDateTime", "not-set")]
    assert task_of(on, made).task.facts["startDateTime"] == dates["startDateTime"]


def test_a_checklist_that_is_too_long_costs_the_checklist_alone(on: Stage) -> None:
    of(on).steps_max = 1
    writer = writer_of(on)
    made = write(writer, item(details=DETAILS), bucket_in(writer))
    assert [(one.part, one.detail) for one in made.troubles] == [
        ("checklist", "MaximumChecklistItemsOnTask")
    ]
    found = task_of(on, made)
    assert found.details.facts["description"] == "How to"
    assert found.details.facts["references"]
    assert found.task.facts["title"] == "Order rope"


def test_a_full_plan_ends_with_the_limit_and_is_not_asked_again(on: Stage) -> None:
    writer = writer_of(on)
    full, free = bucket_in(writer, "Full"), bucket_in(writer, "Free")
    of(on).tasks_max = 0
    for _ in range(3):
        with pytest.raises(PlannerLimit) as raised:
            write(writer, item(details=DETAILS), full)
        assert raised.value.graph_code == "MaximumTasksInProject"
    assert on.tenant.counters.requests["POST /planner/tasks"] == 1
    of(on).tasks_max = 100
    assert write(writer, item(), free).outcome == "created"


def test_a_group_that_is_full_of_plans_ends_with_the_limit_too(on: Stage) -> None:
    of(on).plans_max = 0
    writer = writer_of(on)
    for _ in range(2):
        with pytest.raises(PlannerLimit) as raised:
            bucket_in(writer)
        assert raised.value.graph_code == "MaximumProjectsOwnedByUser"
    assert on.tenant.counters.requests["POST /planner/plans"] == 1


def test_addresses_stay_encoded_and_plain_ones_become_so() -> None:
    references = {ADDRESS: {"alias": "a"}, "https://contoso.example/a%20b#c": {"alias": None}}
    body = details_body({"references": references})
    assert set(body["references"]) == {ADDRESS, "https%3A//contoso%2Eexample/a%2520b%23c"}


# Etags


def scripted(**changes: Any) -> ScriptedGraph:
    script: dict[str, Any] = {
        "POST /planner/tasks": {"id": "t", "@odata.etag": "1"},
        "GET /planner/tasks/t": {"id": "t", "@odata.etag": "2"},
        "GET /planner/tasks/t/details": {"@odata.etag": "3"},
        "PATCH /planner/tasks/t/details": {},
        "PATCH /planner/tasks/t": {},
        "DELETE /planner/tasks/t": {},
    }
    return ScriptedGraph({**script, **changes})


def written_to(graph: ScriptedGraph, stored: StoredItem) -> Written:
    writer = PlannerWriter(graph, Resource("group", "g"))
    return write(writer, stored, Folder("bucket:p/b"))


@pytest.mark.parametrize("status", [409, 412])
def test_a_change_that_was_overtaken_is_repeated_on_what_is_there_now(status: int) -> None:
    clash = Clash("no", status_code=status)
    graph = scripted(**{"PATCH /planner/tasks/t/details": [clash, clash, {}]})
    assert written_to(graph, item(details={"description": "x"})).troubles == ()
    assert graph.count("GET /planner/tasks/t/details") == 3
    for_ever = scripted(**{"PATCH /planner/tasks/t/details": clash})
    with pytest.raises(Clash):
        written_to(for_ever, item(details={"description": "x"}))


def test_a_task_is_removed_with_the_etag_it_has_and_one_that_is_gone_is_fine(on: Stage) -> None:
    clash = Clash("no", status_code=412)
    graph = scripted(**{"DELETE /planner/tasks/t": [clash, {}]})
    PlannerWriter(graph, Resource("group", "g")).remove("t")
    assert graph.count("DELETE") == 2
    writer = writer_of(on)
    made = write(writer, item(), bucket_in(writer))
    writer.remove(made.id)
    writer.remove(made.id)
    assert not plan_of(on).tasks


def test_what_a_target_answers_otherwise_than_it_was_asked_is_noted() -> None:
    answer = {"description": "cut", "checklist": {}, "references": {ADDRESS: {"alias": "Map"}}}
    graph = scripted(**{"PATCH /planner/tasks/t/details": answer})
    noted = written_to(graph, item(details=DETAILS)).troubles
    assert [one.part for one in noted] == ["description", "previewType", "checklist"]


# Steps that were killed, and replacing


def test_half_a_task_is_known_by_its_title_and_written_anew(on: Stage) -> None:
    writer = writer_of(on)
    into = bucket_in(writer)
    on.tenant.faults.map("PATCH /planner/tasks/[^/]+/details", "eeeeeeeee", loop=True)
    with pytest.raises(GraphProblem):
        write(writer, item(details=DETAILS), into, "run:7")
    (half,) = writer.existing(into)
    assert (half.marker, half.complete) == ("run:7", False)
    assert half.key == writer.identity(item()).key
    on.tenant.faults.calm()
    writer.remove(half.id)
    write(writer, item(details=DETAILS), into, "run:7")
    (whole,) = writer.existing(into)
    assert (whole.marker, whole.complete) == ("", True)
    assert whole.same == writer.identity(item(details=DETAILS)).same


def test_a_long_title_keeps_its_end_once_the_task_is_whole(on: Stage) -> None:
    writer = writer_of(on)
    title = "long " * 51
    made = write(writer, item(details=DETAILS, title=title), bucket_in(writer))
    assert task_of(on, made).task.facts["title"] == title


def test_the_old_task_goes_only_when_the_new_one_is_whole(on: Stage) -> None:
    writer = writer_of(on)
    into = bucket_in(writer)
    write(writer, item(), into)
    (old,) = writer.existing(into)
    of(on).steps_max = 1
    made = writer.write(item(details=DETAILS), into, "run:2", old, new_name=False)
    assert made.outcome == "copied"
    assert causes(made.troubles)[-1] == ("replace", "old-one-kept")
    assert len(plan_of(on).tasks) == 2
    of(on).steps_max = 20
    made = writer.write(item(details=DETAILS), into, "run:3", old, new_name=False)
    assert (made.outcome, made.troubles) == ("replaced", ())
    assert old.id not in plan_of(on).tasks


def test_a_plan_or_bucket_made_without_an_answer_is_looked_for_before_it_is_made_again() -> None:
    plan, bucket = {"id": "new", "title": "Works"}, {"id": "b2", "name": "To do"}
    graph = ScriptedGraph(
        {
            "GET /groups/g/planner/plans": [{"value": []}, {"value": [plan]}],
            "POST /planner/plans": MaybeDone("no answer"),
            "GET /planner/plans/new/buckets": [{"value": []}, {"value": [bucket]}],
            "POST /planner/buckets": MaybeDone("no answer"),
        }
    )
    assert bucket_in(PlannerWriter(graph, Resource("group", "g"))) == Folder("bucket:new/b2")
    graph.script["GET /groups/g/planner/plans"] = {"value": []}
    with pytest.raises(MaybeDone):
        bucket_in(PlannerWriter(graph, Resource("group", "g")))


def test_a_task_without_its_details_in_the_backup_says_so(on: Stage) -> None:
    writer = writer_of(on)
    raw = {key: value for key, value in item().raw.items() if key != "details"}
    stored = StoredItem("t1", "bucket:b", "planner-task", "x", {}, raw, (), ("details: forbidden",))
    made = write(writer, stored, bucket_in(writer))
    assert causes(made.troubles) == [("details", "not-in-the-backup")]
