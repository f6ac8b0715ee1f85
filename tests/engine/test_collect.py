"""Retention and collection of an organization's vault, as the policy says and as its owner asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine import collect, keys, policies, runs, schedule, upkeep
from engine.collect import CollectRun
from engine.restore_plan import RestoreRequest
from state.runs import Run
from tests.engine.world import ORG, World, calm_tenant, world
from vault.collect import Asked
from vault.retention import RetentionInvalid


@pytest.fixture
def house(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=8), tmp_path) as made:
        yield made


def keep(made: World, **rules: int) -> None:
    before = policies.show(made.app, ORG)
    document = {**policies.current(made.app, ORG), "retention": rules}
    policies.change(made.app, ORG, document, before["version"])


def collected(made: World, **asked: bool) -> dict[str, Any]:
    """A collection from its request to its report."""
    requested = collect.request_collection(made.app, ORG, "test", **asked)
    request = CollectRun(ORG, requested.id, **asked)
    while (answer := collect.collect_slice(made.app, request))["state"] == "more":
        pass
    assert answer["state"] == "done", answer
    report = collect.report(made.app, ORG, requested.id)
    assert report is not None
    return report


def points(made: World, chain: str) -> list[int]:
    return made.app.vault(ORG).numbers(chain)


def grow(made: World, chain: str, count: int) -> None:
    """More restore points of a chain, a few hours apart."""
    vault = made.app.vault(ORG)
    for _ in range(count):
        number = vault.numbers(chain)[-1] + 1
        step = vault.round(chain, number).step()
        step.link("root", f"{number}", finished=True)
        step.commit(complete=True).close()


def test_without_retention_nothing_expires(house: World) -> None:
    house.back_up()
    chain = f"mail/{house.mailbox_id}"
    grow(house, chain, 4)
    report = collected(house)
    assert report["snapshots_expired"] == 0
    assert points(house, chain) == [1, 2, 3, 4, 5]


def test_what_the_policy_gives_up_expires_and_the_run_says_so(house: World) -> None:
    house.back_up()
    chain = f"mail/{house.mailbox_id}"
    grow(house, chain, 4)
    keep(house, last=2)
    said = collected(house, dry_run=True)
    assert points(house, chain) == [1, 2, 3, 4, 5]
    done = collected(house)
    assert said["snapshots_expired"] == done["snapshots_expired"] == 3
    assert points(house, chain) == [4, 5]
    shown = runs.listed(house.app, ORG, kind="collect")[0][0]
    assert (shown["state"], shown["counts"]["snapshots_expired"]) == ("green", 3)
    assert house.app.vault(ORG).verify(read_data=True).problems == []


def test_every_restore_point_says_why_it_is_kept(house: World) -> None:
    house.back_up()
    chain = f"mail/{house.mailbox_id}"
    grow(house, chain, 2)
    keep(house, last=1)
    rows = collect.retention(house.app, ORG, chain)
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert [bool(row["reasons"]) for row in rows] == [False, False, True]


def test_a_restore_point_that_a_run_reads_is_held(house: World) -> None:
    house.back_up()
    chain = f"mail/{house.mailbox_id}"
    grow(house, chain, 2)
    keep(house, last=1)
    wanted = RestoreRequest(service="mail", resource=house.mailbox_id, snapshot=1).to_json()
    now = house.app.clock.now()
    house.app.runs.create(
        Run(ORG, "export-20261124t000000-abc", "export", "running", now, "x", parameters=wanted)
    )
    collected(house)
    assert points(house, chain) == [1, 3]


def test_a_slice_may_run_twice_and_beside_its_ghost(house: World) -> None:
    house.back_up()
    chain = f"mail/{house.mailbox_id}"
    grow(house, chain, 3)
    keep(house, last=1)
    requested = collect.request_collection(house.app, ORG, "test")
    request = CollectRun(ORG, requested.id)
    answers = [collect.collect_slice(house.app, request)["state"] for _ in range(5)]
    assert answers == ["more", "done", "cancelled", "cancelled", "cancelled"]
    assert points(house, chain) == [4]


def test_a_cycle_of_another_run_is_brought_to_its_end_first(house: World) -> None:
    house.back_up()
    house.app.vault(ORG).collector().begin([], Asked(by="collect-that-died"))
    assert collected(house)["damage"] == []


def due(made: World) -> list[str]:
    return [story for story, _ in schedule.due_upkeep(made.app)]


def born(made: World, days_ago: int) -> None:
    then = made.app.clock.now() - timedelta(days=days_ago)
    made.app.organizations.change(ORG, lambda one: replace(one, created=then))


def test_collections_and_verifications_run_weekly_and_collections_daily_where_points_expire(
    house: World,
) -> None:
    house.back_up()
    born(house, 0)
    assert due(house) == []
    born(house, 2)
    assert due(house) == []
    keep(house, last=1)
    collect.request_collection(house.app, ORG, "test", dry_run=True)  # is no collection
    assert due(house) == ["collect_vault"]
    house.back_up()  # is newer than the collection
    assert due(house) == []
    born(house, 8)
    assert due(house) == ["verify_vault"]
    assert due(house) == []


def test_a_shredded_organization_holds_no_other_one_up(house: World) -> None:
    born(house, 8)
    keys.shred(house.app, ORG, "test", ORG)
    assert due(house) == []


def test_a_collection_that_nobody_started_is_found(house: World) -> None:
    house.back_up()
    requested = collect.request_collection(house.app, ORG, "test", dry_run=True)
    long_ago = house.app.clock.now() - upkeep.FORGOTTEN_AFTER - timedelta(seconds=1)
    house.app.runs.change(ORG, requested.id, lambda one: replace(one, requested=long_ago))
    assert ("collect_vault", requested.message) in upkeep.forgotten(house.app)


def test_a_cancelled_collection_stops(house: World) -> None:
    house.back_up()
    requested = collect.request_collection(house.app, ORG, "test")
    runs.cancel(house.app, ORG, requested.id, "test")
    assert collect.collect_slice(house.app, CollectRun(ORG, requested.id))["state"] == "cancelled"


def test_rules_that_cannot_be_meant_are_refused(house: World) -> None:
    with pytest.raises(RetentionInvalid):
        keep(house, daily=-3)
