"""What retention keeps and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.retention import Point, Retention, RetentionInvalid, plan

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2025, 1, 1, 1, 0, tzinfo=UTC)


def nightly(days: int) -> list[Point]:
    return [Point(number, START + timedelta(days=number)) for number in range(1, days + 1)]


def kept(points: list[Point], rules: Retention, now: datetime = START) -> list[int]:
    return [verdict.number for verdict in plan(points, rules, now, UTC) if verdict.kept]


def test_without_a_rule_everything_is_kept() -> None:
    assert kept(nightly(30), Retention()) == list(range(1, 31))


def test_the_last_ones_are_kept() -> None:
    assert kept(nightly(30), Retention(last=3)) == [28, 29, 30]


def test_days_without_a_backup_do_not_count() -> None:
    points = [Point(n, START + timedelta(days=10 * n)) for n in range(1, 9)]
    assert kept(points, Retention(daily=3)) == [6, 7, 8]


def test_grandfathers_fathers_and_sons() -> None:
    found = plan(nightly(400), Retention(daily=7, weekly=4, monthly=12, yearly=2), START, UTC)
    days = {START + timedelta(days=v.number) for v in found if v.kept}
    newest = START + timedelta(days=400)
    assert {newest - timedelta(days=n) for n in range(7)} <= days
    assert sum(1 for v in found if any(r.startswith("monthly") for r in v.reasons)) == 12
    yearly = [v for v in found if any(r.startswith("yearly") for r in v.reasons)]
    assert [(START + timedelta(days=v.number)).date().isoformat() for v in yearly] == [
        "2025-12-31",
        "2026-02-05",
    ]
    assert len(days) == 7 + 2 + 10  # what a rule keeps, another one may have kept already


def test_several_points_a_day_leave_the_newest_of_it() -> None:
    points = [Point(n, START + timedelta(hours=6 * n)) for n in range(1, 13)]
    assert [START + timedelta(hours=6 * n) for n in kept(points, Retention(daily=2))] == [
        datetime(2025, 1, 3, 19, 0, tzinfo=UTC),
        datetime(2025, 1, 4, 1, 0, tzinfo=UTC),
    ]


def test_a_day_is_the_organizations_day() -> None:
    late, early = (
        datetime(2025, 3, 29, 22, 30, tzinfo=UTC),
        datetime(2025, 3, 29, 23, 30, tzinfo=UTC),
    )
    points = [Point(1, late), Point(2, early), Point(3, early + timedelta(days=1))]
    in_utc = [v.number for v in plan(points, Retention(daily=3), START, UTC) if v.kept]
    in_berlin = [v.number for v in plan(points, Retention(daily=3), START, BERLIN) if v.kept]
    assert in_utc == [2, 3]
    assert in_berlin == [1, 2, 3]


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    points = [Point(1, first), Point(2, first + timedelta(hours=1))]
    found = plan(points, Retention(hourly=5), START, BERLIN)
    assert all(verdict.kept for verdict in found)


def test_what_is_held_or_recent_is_kept_with_its_reason() -> None:
    points = [*nightly(9), Point(10, START + timedelta(days=10))]
    points[2] = Point(3, points[2].created, held="legal hold")
    now = START + timedelta(days=10)
    found = {v.number: v.reasons for v in plan(points, Retention(within_days=2), now, UTC)}
    assert found[3] == ("held: legal hold",)
    assert [n for n, reasons in found.items() if "within 2 days" in reasons] == [8, 9, 10]
    assert found[1] == ()


def test_a_void_point_goes_and_never_displaces_a_good_one() -> None:
    points = [
        Point(1, START),
        Point(2, START + timedelta(hours=1), ok=False),
        Point(3, START + timedelta(days=1), ok=False),
    ]
    found = {v.number: v.reasons for v in plan(points, Retention(daily=1), START, UTC)}
    assert found == {1: ("newest good one", "daily 2025-01-01"), 2: (), 3: ("newest",)}


def test_the_oldest_is_not_kept_for_being_the_oldest() -> None:
    points = [Point(n, START + timedelta(hours=n)) for n in range(1, 4)]
    assert kept(points, Retention(yearly=9)) == [3]


def test_a_week_is_an_iso_week_that_may_reach_into_the_next_year() -> None:
    days = [datetime(2025, 12, day, 12, tzinfo=UTC) for day in (28, 29, 31)]
    points = [Point(n, at) for n, at in enumerate([*days, datetime(2026, 1, 4, 12, tzinfo=UTC)], 1)]
    found = {v.number: v.reasons for v in plan(points, Retention(weekly=2), START, UTC)}
    assert found[4][-1] == "weekly 2026-W01"
    assert found[1] == ("weekly 2025-W52",)
    assert found[2] == found[3] == ()


def test_a_point_of_a_clock_that_ran_ahead_has_its_day_and_the_numbers_keep_their_order() -> None:
    ahead = Point(2, START + timedelta(days=40))
    points = [Point(1, START), ahead, Point(3, START + timedelta(days=1))]
    found = {v.number: v.reasons for v in plan(points, Retention(last=1, daily=2), START, UTC)}
    assert found[3] == ("newest", "newest good one", "last 1", "daily 2025-01-02")
    assert found[2] == ("daily 2025-02-10",)
    assert found[1] == ()
    recent = plan(points, Retention(within_days=3), START + timedelta(days=5), UTC)
    assert [v.number for v in recent if v.kept] == [2, 3]


@pytest.mark.parametrize(
    "wrong", [{"daily": -1}, {"daily": "7"}, {"daily": True}, {"decades": 1}, {"last": 10**9}]
)
def test_rules_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RetentionInvalid):
        Retention.from_json(wrong)


POINTS = st.lists(st.tuples(st.integers(0, 60_000), st.booleans(), st.booleans()), max_size=40).map(
    lambda rows: [
        Point(n, START + timedelta(minutes=at), ok, "hold" if held else "")
        for n, (at, ok, held) in enumerate(sorted(rows), 1)
    ]
)
RULES = st.builds(
    Retention,
    *(st.integers(0, 6) for _ in range(7)),
)


@given(POINTS, RULES)
def test_the_newest_and_the_held_survive_any_rules(points: list[Point], rules: Retention) -> None:
    now = START + timedelta(days=42)
    found = {v.number: v for v in plan(points, rules, now, BERLIN)}
    good = [point.number for point in points if point.ok]
    assert all(found[n].kept for n in good[-1:])
    assert all(found[point.number].kept for point in points[-1:])
    assert all(found[point.number].kept for point in points if point.held)


@given(POINTS, RULES, RULES)
def test_more_generous_rules_never_remove_more(
    points: list[Point], rules: Retention, more: Retention
) -> None:
    now = START + timedelta(days=42)
    wider = Retention.from_json(
        {name: value + more.to_json()[name] for name, value in rules.to_json().items()}
    )
    if rules.keeps_everything:
        return
    before = {v.number for v in plan(points, rules, now, BERLIN) if v.kept}
    assert before <= {v.number for v in plan(points, wider, now, BERLIN) if v.kept}


@given(POINTS, RULES)
def test_what_was_kept_is_kept_when_asked_again(points: list[Point], rules: Retention) -> None:
    now = START + timedelta(days=42)
    left = [v.number for v in plan(points, rules, now, BERLIN) if v.kept]
    again = [point for point in points if point.number in left]
    assert [v.number for v in plan(again, rules, now, BERLIN) if v.kept] == left


@given(POINTS, RULES)
def test_every_verdict_has_its_reasons_and_rules_survive_json(
    points: list[Point], rules: Retention
) -> None:
    assert Retention.from_json(json.loads(json.dumps(rules.to_json()))) == rules
    found = plan(list(reversed(points)), rules, START + timedelta(days=42), BERLIN)
    assert [v.number for v in found] == [point.number for point in points]
    assert all(v.kept == bool(v.reasons) and all(v.reasons) for v in found)


@given(POINTS, RULES)
def test_pruning_after_every_backup_leaves_what_pruning_once_would(
    points: list[Point], rules: Retention
) -> None:
    left: list[Point] = []
    for point in points:
        left.append(point)
        verdicts = plan(left, rules, point.created, BERLIN)
        left = [one for one, verdict in zip(left, verdicts, strict=True) if verdict.kept]
    once = plan(points, rules, points[-1].created, BERLIN) if points else []
    assert [one.number for one in left] == [v.number for v in once if v.kept]
