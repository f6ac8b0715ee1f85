"""Planner of the simulated tenant."""

import os
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator import Tenant, hostile, openapi, serve
from simulator.planner_content import fill_planner, planner_month, planner_truth
from simulator.planner_state import place, planner_of
from simulator.web import GraphError
from tests.simulator.wire import Wire

UNTIL = datetime(2026, 11, 20, 17, tzinfo=UTC)


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def group(tenant):
    members = [tenant.add_user(name).id for name in ("Adele Vance", "Jörg Müller")]
    made = tenant.add_group("Harbour Project", members)
    fill_planner(tenant, UNTIL, 6)
    return made.id


@pytest.fixture
def wire(tenant, group):
    with serve(tenant) as running:
        yield Wire(running)


def everything(wire, url):
    pages, _ = wire.walk(url)
    return [entry for page in pages for entry in page]


def plan_of(tenant):
    return next(plan for plan in planner_of(tenant).plans.values() if plan.tasks)


def test_plans_hold_buckets_and_tasks_and_tasks_their_details(wire, tenant, group):
    tenant.quirks = hostile()
    truth = {one["id"]: one for one in planner_truth(tenant)[group]}
    for plan in everything(wire, f"/groups/{group}/planner/plans"):
        path = f"/planner/plans/{plan['id']}"
        assert plan["container"]["containerId"] == group
        assert wire.get(f"{path}/details") == truth[plan["id"]]["details"]
        assert everything(wire, f"{path}/buckets") == truth[plan["id"]]["buckets"]
        for task in everything(wire, f"{path}/tasks"):
            details = wire.get(f"/planner/tasks/{task['id']}/details")
            assert {**task, "details": details} in truth[plan["id"]]["tasks"]
            assert len(task["id"]) == 28
            assert task["checklistItemCount"] == len(details["checklist"])
            assert task["hasDescription"] == bool(details["description"])


@pytest.mark.parametrize("mode", ["honoured", "ignored", "refused"])
def test_details_are_expanded_in_a_list_as_the_tenant_has_it(wire, tenant, mode):
    planner_of(tenant).expand = mode
    path = f"/planner/plans/{plan_of(tenant).plan.id}/tasks?$expand=details"
    if mode == "refused":
        assert wire.code("GET", path)[0] == 400
    else:
        inside = {"details" in one for one in everything(wire, path)}
        assert inside == {mode == "honoured"}


def test_every_change_needs_the_etag_of_what_is_there(wire, tenant):
    plan = plan_of(tenant)
    path = f"/planner/tasks/{next(iter(plan.tasks))}"
    task = wire.get(path)
    etag, title = task["@odata.etag"], {"title": "New"}
    assert wire.code("PATCH", path, title)[0] == 400
    assert wire.send("PATCH", path, title, If_Match=etag).status == 204
    assert wire.code("PATCH", path, title, If_Match=etag)[0] == 412
    assert wire.code("DELETE", path, If_Match=etag)[0] == 412
    etag = wire.get(path)["@odata.etag"]
    told = wire.send("PATCH", path, title, If_Match=etag, Prefer="return=representation").json()
    assert wire.send("DELETE", path, If_Match=told["@odata.etag"]).status == 204
    assert wire.send("GET", path).status == 404


def test_details_have_an_etag_of_their_own_and_their_task_may_not_follow(wire, tenant):
    here = planner_of(tenant)
    path = f"/planner/tasks/{next(iter(plan_of(tenant).tasks))}"
    for follows in (True, False):
        here.details_touch_tasks = follows
        task, details = wire.get(path), wire.get(f"{path}/details")
        etag = details["@odata.etag"]
        change = {"description": f"edited {follows}"}
        assert wire.send("PATCH", f"{path}/details", change, If_Match=etag).status == 204
        assert wire.get(f"{path}/details")["@odata.etag"] != etag
        assert (wire.get(path)["@odata.etag"] != task["@odata.etag"]) == follows


def test_a_plan_with_buckets_and_tasks_is_made_in_a_group(wire, tenant, group):
    by_url = {"url": f"https://graph.microsoft.com/v1.0/groups/{group}"}
    plan = wire.post("/planner/plans", {"container": by_url, "title": "New"})
    wire.post("/planner/plans", {"owner": group, "title": "As before"})
    assert wire.code("POST", "/planner/plans", {"title": "Nowhere"})[0] == 400
    bucket = wire.post("/planner/buckets", {"name": "B", "planId": plan["id"], "orderHint": " !"})
    user = next(iter(tenant.users))
    kind = "#microsoft.graph.plannerAssignment"
    body = {"planId": plan["id"], "bucketId": bucket["id"], "title": "T", "percentComplete": 100,
            "assignments": {user: {"@odata.type": kind, "orderHint": " !"}}}  # fmt: skip
    task = wire.post("/planner/tasks", body)
    assert task["completedDateTime"]
    assert list(task["assignments"]) == [user]
    assert task in everything(wire, f"/planner/buckets/{bucket['id']}/tasks")
    path = f"/planner/tasks/{task['id']}/details"
    step = {"@odata.type": "microsoft.graph.plannerChecklistItem", "title": "s", "orderHint": " !"}
    etag = wire.get(path)["@odata.etag"]
    wire.send("PATCH", path, {"checklist": {"a": step, "b": step}}, If_Match=etag)
    etag = wire.get(path)["@odata.etag"]
    wire.send("PATCH", path, {"checklist": {"a": None}}, If_Match=etag)
    assert list(wire.get(path)["checklist"]) == ["b"]


def test_what_planner_does_not_take_is_refused_with_400_or_the_name_of_a_limit(wire, tenant):
    plan = plan_of(tenant)
    base = {"planId": plan.plan.id, "title": "T"}
    nobody = {
        "no such user": {"@odata.type": "#microsoft.graph.plannerAssignment", "orderHint": " !"}
    }
    for wrong in (
        {"orderHint": "85A"}, {"bucketId": "elsewhere"}, {"assignments": nobody},
        {"startDateTime": "2026-02-01T00:00:00Z", "dueDateTime": "2026-01-01T00:00:00Z"},
    ):  # fmt: skip
        assert wire.code("POST", "/planner/tasks", {**base, **wrong})[0] == 400
    planner_of(tenant).tasks_max = 0
    assert wire.code("POST", "/planner/tasks", base) == (403, "MaximumTasksInProject")


def test_hints_give_places_between_their_neighbours():
    first = place(" !")
    behind, before = place(f"{first} !"), place(f" {first}!")
    between = place(f"{first} {behind}!")
    assert before < first < between < behind
    assert place(" !") < place(" ! !") < place(" ! ! !")
    assert place("  !!") < place(" !")
    for wrong in ("85A", "a b", ""):
        with pytest.raises(GraphError):
            place(wrong)


def test_groups_and_plans_may_refuse_and_roles_are_asked_for(wire, tenant, group):
    plan_of(tenant).refused = 403
    assert wire.send("GET", f"/planner/plans/{plan_of(tenant).plan.id}/tasks").status == 403
    planner_of(tenant).refused_groups.add(group)
    assert wire.send("GET", f"/groups/{group}/planner/plans").status == 403
    assert wire.send("GET", "/groups/no-such-group/planner/plans").status == 404
    nobody = Wire(wire.running, tenant.add_app("Nobody", ("User.Read.All",)))
    assert nobody.code("GET", f"/groups/{group}/planner/plans")[0] == 403
    reader = Wire(wire.running, tenant.add_app("Reader", ("Tasks.Read.All",)))
    assert reader.code("POST", "/planner/plans", {"owner": group, "title": "x"})[0] == 403


def test_a_month_changes_plans_and_the_truth_has_all_of_it(tenant, group):
    before, done = planner_truth(tenant), Counter()
    for number in range(3):
        planner_month(tenant, random.Random(number), UNTIL, done)
    assert {"planner tasks edited", "planner tasks deleted", "planner tasks made"} <= set(done)
    assert planner_truth(tenant) != before


def test_answers_fit_the_schema(wire, tenant, group):
    names = os.environ.get(openapi.ENVIRONMENT, "")
    paths = [Path(one) for one in names.split(os.pathsep) if "v1.0" in one]
    if not paths:
        pytest.skip(f"{openapi.ENVIRONMENT} names no document")
    document = openapi._Document(paths[0]).load()

    def fits(name, answer):
        schema = {"$ref": f"#/components/schemas/microsoft.graph.{name}"}
        assert openapi._mismatch(document, schema, answer, name, 0) is None

    for plan in wire.get(f"/groups/{group}/planner/plans")["value"]:
        fits("plannerPlan", plan)
        fits("plannerPlanDetails", wire.get(f"/planner/plans/{plan['id']}/details"))
        for bucket in wire.get(f"/planner/plans/{plan['id']}/buckets")["value"]:
            fits("plannerBucket", bucket)
        for task in wire.get(f"/planner/plans/{plan['id']}/tasks")["value"]:
            fits("plannerTask", task)
            fits("plannerTaskDetails", wire.get(f"/planner/tasks/{task['id']}/details"))
