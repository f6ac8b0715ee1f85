"""Five nights of the simulated month: changes, faults, lost tokens and people who come and go."""

from __future__ import annotations

import pytest

from benchmarks._month import nights
from benchmarks.month import measure

NIGHTS = 5


@pytest.fixture(scope="module")
def report():
    return measure(NIGHTS, seed=11, few=True)  # its one free night is hostile and loses every token


def test_every_mailbox_and_drive_is_stored_and_restores_as_the_tenant_has_it(report) -> None:
    assert report["differences"] == []
    for name in ("message", "event", "contact", "todoTask", "file"):
        assert report["compared"][f"{name} stored"] > 0
        assert report["compared"][f"{name} restored"] > 0


def test_what_failed_in_hostile_nights_was_made_good(report) -> None:
    assert report["faults"] > 0
    assert report["still_to_be_tried_again"] == 0
    assert report["nights"][-1]["state"] == "green"
    assert report["ok"]


def test_the_tenant_minds_nothing(report) -> None:
    assert report["offences"] == {}
    assert report["violations"] == []


def test_every_night_says_what_it_asked(report) -> None:
    assert [row["night"] for row in report["nights"]] == [1, 2, 3, 4, 5]
    first, *others = (row["requests"] for row in report["nights"])
    assert first > 0
    assert all(requests > 0 for requests in others)


@pytest.mark.parametrize("seed", range(5))
def test_a_month_of_any_seed_has_everything_in_it(seed: int) -> None:
    plan = nights(30, seed)
    happened = [name for one in plan for name in one.events]
    assert sorted(happened) == ["converted", "joins", "leaves", "loses-mailbox"]
    assert {one.weather for one in plan} >= {"calm", "hostile", "throttled", "storm", "heavy"}
    assert any(one.lost == 1.0 for one in plan)
    assert [one.weather for one in (plan[0], plan[-2], plan[-1])] == ["calm"] * 3
    assert nights(30, seed) == plan
