"""Lists through the whole product: protected, browsed, restored, taken back, exported."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from base.messages import ExportRun, RestoreRun, WriteBatch
from engine import export, policies, restore, restore_plan, runs
from engine.restore_plan import RestoreRequest
from simulator.contoso import month
from simulator.lists_content import lists_truth
from simulator.lists_state import SiteList, change_item, delete_item, lists_of
from tests.engine.mortal import Killed
from tests.engine.test_restore import dying
from tests.engine.world import ORG, World, calm_tenant, world
from tests.m365.cases_lists import facts_of, protected, site_of


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=23), tmp_path) as one:
        version = policies.show(one.app, ORG)["version"]
        policies.change(one.app, ORG, {"services": ["lists"], "protection": "full"}, version)
        yield one


def resource(made: World) -> str:
    return f"site:{site_of(made.tenant)}"


def titled(made: World, title: str) -> SiteList:
    lists = lists_of(made.tenant, site_of(made.tenant)).values()
    return next(one for one in lists if one.title == title)


def test_every_row_of_every_list_is_in_the_restore_point(made: World) -> None:
    for _ in range(2):
        assert made.back_up()["state"] in ("green", "amber")
        view = made.view("lists", resource(made))
        held = {entry.id for entry in view.catalog.items() if entry.kind == "list-item"}
        assert held == {
            f"{one.id}:{number}"
            for one in protected(made.tenant, site_of(made.tenant))
            for number in one.items
        }
        month(made.tenant)
    made.verify()


def test_lists_come_back_beside_the_old_ones_and_an_undo_takes_their_rows_away(
    made: World,
) -> None:
    site = site_of(made.tenant)
    made.back_up()
    before = lists_truth(made.tenant, site)
    expected = facts_of(made.tenant, site)
    rows = sum(len(one.items) for one in protected(made.tenant, site))
    run = made.restore(RestoreRequest("lists", resource(made), folder_name="Back"))
    assert run["counts"]["created"] == rows
    restored: Counter[tuple[object, ...]] = Counter()
    for (title, said), count in (facts_of(made.tenant, site) - expected).items():
        restored[str(title).removeprefix("Back - "), said] += count
    assert not expected - restored
    assert sum((restored - expected).values()) == 1  # the row whose files stayed behind
    taken = runs.request_undo(made.app, ORG, "test", run["id"])
    made.finish_restore(taken.id)
    after = lists_truth(made.tenant, site)
    assert [one for one in after if not one["title"].startswith("Back - ")] == before
    left = [one for one in after if one["title"].startswith("Back - ")]
    assert sum(len(one["items"]) for one in left) == 0


def test_a_list_that_was_spoiled_is_put_right_where_it_is(made: World) -> None:
    suppliers = titled(made, "Suppliers")
    made.back_up()
    wanted = {number: dict(item.values) for number, item in suppliers.items.items()}
    change_item(made.tenant, suppliers, suppliers.items[1], {"Title": "spoiled", "Rating": 5.0})
    delete_item(made.tenant, suppliers, suppliers.items[2])
    request = RestoreRequest(
        "lists", resource(made), folders=(suppliers.id,), place="original", conflict="replace"
    )
    run = made.restore(request)
    assert run["counts"]["replaced"] == 5
    assert run["counts"]["created"] == 1
    found = sorted(repr(item.values) for item in suppliers.items.values())
    assert found == sorted(map(repr, wanted.values()))
    again = made.restore(RestoreRequest(**{**request.to_json(), "conflict": "skip"}))
    assert (again["counts"]["skipped"], again["counts"].get("created", 0)) == (6, 0)


def test_a_list_leaves_as_a_table_and_as_json(made: World) -> None:
    made.back_up()
    body = RestoreRequest("lists", resource(made)).to_json()
    asked = runs.request_export(made.app, ORG, "test", body)
    export.write_export(made.app, ExportRun(ORG, asked.id))
    data = b"".join(export.read_archive(made.app, ORG, asked.id))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        text = archive.read(names["Suppliers.csv"]).decode("utf-8-sig")
        whole = json.loads(archive.read(names["Orders.json"]))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[1] for row in rows[1:4]] == [
        "Harbour Supplies", "Nordic Rope & Sail", "'=cmd|' /C calc'!A0",
    ]  # fmt: skip
    assert len(whole["items"]) == len(titled(made, "Orders").items)


WRITES_MAX = 60  # of one batch, until it survives


@pytest.mark.parametrize(
    ("place", "conflict", "outcome", "grown"),
    [
        ("folder", "skip", "created", 3),
        ("original", "skip", "created", 3),
        ("original", "copy", "copied", 3),
        ("original", "replace", "replaced", 0),
    ],
)
def test_a_batch_killed_at_any_write_and_repeated_writes_every_row_once(
    made: World, place: str, conflict: str, outcome: str, grown: int
) -> None:
    suppliers = titled(made, "Suppliers")
    made.back_up()
    items = tuple(f"{suppliers.id}:{number}" for number in (1, 3, 5))
    missing = conflict == "skip" and place == "original"
    for writes in range(1, WRITES_MAX):
        if missing:  # what is to come back is not there
            titles = {"Harbour Supplies", "=cmd|' /C calc'!A0", "東京海事"}
            for item in [i for i in suppliers.items.values() if i.values["Title"] in titles]:
                delete_item(made.tenant, suppliers, item)
        before = rows_of(made)
        wanted = RestoreRequest(
            "lists", resource(made), items=items, place=place, conflict=conflict
        )
        wanted, counted = restore_plan.prepare(made.app, ORG, wanted, look=False)
        run = runs.request_restore(made.app, ORG, "test", wanted, counted).id
        assert restore.plan_restore(made.app, RestoreRun(ORG, run)).batches == 1
        survived = False
        with suppress(Killed):
            batch = WriteBatch(ORG, run, 0)
            survived = restore.write_batch(dying(made, writes), batch).state == "done"
        ended = made.finish_restore(run)
        counts = ended["counts"]  # a row that a killed attempt copied is adopted as created
        assert sum(counts.get(name, 0) for name in {outcome, "created"}) == 3, (writes, ended)
        fresh = rows_of(made) - before
        assert len(fresh) == grown, writes
        assert len(set(titles_of(made, fresh))) == grown
        if survived:
            return
    raise AssertionError("the batch never survived")


def rows_of(made: World) -> set[str]:
    lists = lists_of(made.tenant, site_of(made.tenant)).values()
    return {f"{one.id}:{number}" for one in lists for number in one.items}


def titles_of(made: World, rows: set[str]) -> list[str]:
    lists = lists_of(made.tenant, site_of(made.tenant))
    ids = (row.rpartition(":") for row in rows)
    return [lists[of].items[int(number)].values["Title"] for of, _, number in ids]
