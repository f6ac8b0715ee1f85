"""Site pages and Planner through the whole engine: what facts say of them, backed up and back."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from base.messages import ExportRun, RestoreRun, WriteBatch
from engine import export, policies, restore, restore_plan, runs
from engine.restore_plan import RestoreRequest
from m365 import SERVICES
from simulator.pages_state import site_pages
from simulator.planner_state import planner_of
from simulator.sites import add_site
from tests.engine.world import ORG, World, calm_tenant
from tests.facts.stage import timed_world
from tests.m365.cases_pages import PagesCase
from tests.m365.cases_pages import facts as page_facts
from tests.m365.cases_planner import PlannerCase, tasks_of
from tests.m365.cases_planner import facts as task_facts

PAGES, PLANNER = PagesCase(), PlannerCase()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with timed_world(calm_tenant(seed=7), tmp_path) as one:
        policies.change(one.app, ORG, {"services": ["pages", "planner"]}, 1)
        yield one


def site_of(made: World) -> str:
    return PAGES.resource(made.tenant).graph_id


def group_of(made: World) -> str:
    return PLANNER.resource(made.tenant).graph_id


def pages(made: World, site: str) -> Counter[Any]:
    return Counter(page_facts(one) for one in site_pages(made.tenant, site).pages.values())


def tasks(made: World, group: str) -> Counter[Any]:
    return Counter(task_facts(task) for _, task in tasks_of(made.tenant, group))


def test_pages_and_tasks_come_back_where_they_lay_after_they_were_deleted(made: World) -> None:
    assert made.back_up()["state"] == "green"
    site, group = site_of(made), group_of(made)
    before = pages(made, site), tasks(made, group)
    site_pages(made.tenant, site).pages.clear()
    for plan in planner_of(made.tenant).of_group(group):
        plan.tasks.clear()
    for service, resource in (("pages", f"site:{site}"), ("planner", f"group:{group}")):
        done = made.restore(RestoreRequest(service, resource, place="original"))
        assert done["state"] in ("green", "amber"), done  # amber: web parts Graph does not take
    assert (pages(made, site), tasks(made, group)) == before
    made.verify()


def test_they_come_back_elsewhere_and_an_undo_takes_them_away_again(made: World) -> None:
    made.back_up()
    site, group = site_of(made), group_of(made)
    other = add_site(made.tenant, "Other", "https://contoso.sharepoint.com/sites/other")
    elsewhere = made.tenant.add_group("Elsewhere", []).id
    for service, resource, target in (
        ("pages", f"site:{site}", f"site:{other}"),
        ("planner", f"group:{group}", f"group:{elsewhere}"),
    ):
        request = RestoreRequest(service, resource, target=target, place="original")
        done = made.restore(request)
        restored = pages(made, other) if service == "pages" else tasks(made, elsewhere)
        expected = pages(made, site) if service == "pages" else tasks(made, group)
        assert restored == expected
        undone = runs.request_undo(made.app, ORG, "test", done["id"])
        made.finish_restore(undone.id)
    assert (pages(made, other), tasks(made, elsewhere)) == (Counter(), Counter())


def test_a_batch_that_was_killed_writes_no_page_and_no_task_twice(made: World) -> None:
    made.back_up()
    site, group = site_of(made), group_of(made)
    other = add_site(made.tenant, "Other", "https://contoso.sharepoint.com/sites/other")
    elsewhere = made.tenant.add_group("Elsewhere", []).id
    for service, resource, target in (
        ("pages", f"site:{site}", f"site:{other}"),
        ("planner", f"group:{group}", f"group:{elsewhere}"),
    ):
        request = RestoreRequest(service, resource, target=target, place="original")
        wanted, counted = restore_plan.prepare(made.app, ORG, request)
        run = runs.request_restore(made.app, ORG, "test", wanted, counted).id
        restore.plan_restore(made.app, RestoreRun(ORG, run))
        killed_at_every_write(made, run, DYING[service])
        made.finish_restore(run)
    assert pages(made, other) == pages(made, site)
    assert tasks(made, elsewhere) == tasks(made, group)


# Between making a page and publishing it lies a moment that docs/services/pages.md admits.
DYING = {"pages": "^POST /sites/[^/]+/pages$", "planner": "^(POST|PATCH|DELETE) /planner"}


def killed_at_every_write(made: World, run: str, writes: str) -> None:
    """Attempts that die at the first write, the second, the third, … until one comes through."""
    for number in range(200):
        made.tenant.faults.map(writes, "." * number + "t")
        made.tenant.limits.retry_after_s = 600
        answer = restore.write_batch(made.app, WriteBatch(ORG, run, 0))
        made.tenant.faults.calm()
        made.tenant.clock.advance(601)
        if answer.state == "done":
            assert number > 2
            return
        assert answer.state == "throttled"
    raise AssertionError("the batch does not end")


def test_quiet_sites_and_groups_write_nothing_and_cost_what_was_said(made: World) -> None:
    made.back_up()
    for one in site_pages(made.tenant, site_of(made)).pages.values():
        one.silent = False
    made.back_up()
    heads = made.view("pages", f"site:{site_of(made)}").snapshot.number
    made.tenant.counters.requests.clear()
    made.back_up()
    assert made.view("pages", f"site:{site_of(made)}").snapshot.number == heads
    sites = [one for one, site in made.tenant.sites.items() if not site.get("isPersonalSite")]
    assert made.requests("/pages") == len(sites)
    plans = planner_of(made.tenant).plans
    assert made.requests("/planner/plans/{plan}/tasks") == len(plans)
    assert made.requests("/planner/tasks") == 0


def test_an_export_holds_a_page_to_read_and_a_table_of_each_bucket(made: World) -> None:
    made.back_up()
    names = set()
    for service, resource in (
        ("pages", f"site:{site_of(made)}"), ("planner", f"group:{group_of(made)}"),
    ):  # fmt: skip
        run = runs.request_export(
            made.app, ORG, "test", RestoreRequest(service, resource).to_json()
        ).id
        assert export.write_export(made.app, ExportRun(ORG, run)).state == "done"
        data = b"".join(export.read_archive(made.app, ORG, run))
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names |= set(archive.namelist())
            for name in archive.namelist():
                if name.endswith(".html"):
                    text = archive.read(name).decode()
                    assert "<script" not in text
                elif name.endswith(".json") and name != "manifest.json":
                    assert json.loads(archive.read(name))["format"] == "holdfast-plan/1"
    assert "Home.html" in {name.rpartition("/")[2] for name in names}
    assert {"To do.csv", "To do.json"} <= {name.rpartition("/")[2] for name in names}


def test_no_permission_to_write_is_asked_for_to_read_them() -> None:
    for name in ("pages", "planner"):
        assert not [one for one in SERVICES[name].reads if "Write" in one or "FullControl" in one]
