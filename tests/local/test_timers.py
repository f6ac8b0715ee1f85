"""Timer functions fire by their schedules, once for what was missed, on a clock handed in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.host import TimerFunction
from local.instances import Instances
from local.timers import Timers, next_occurrence
from tests.orchestrators.fake_steps import START, JumpingClock


class Fired:
    """Every five minutes, into a list of (minute, past due, client)."""

    def __init__(self, clock: JumpingClock, error: Exception | None = None) -> None:
        self.seen: list[tuple[int, bool, Any]] = []
        self._clock, self._error = clock, error

    async def run(self, past_due: bool, client: Any) -> None:
        minute = int((self._clock.moment - START).total_seconds()) // 60
        self.seen.append((minute, past_due, client))
        if self._error:
            raise self._error


def timers_of(fired: Fired, clock: JumpingClock, path: Path | str = ":memory:") -> Timers:
    function = TimerFunction("tick", "0 */5 * * * *", fired.run)
    return Timers([function], Instances(path, clock), clock, "client")


def test_a_timer_fires_at_each_moment_its_schedule_names() -> None:
    clock = JumpingClock()
    fired = Fired(clock)
    timers = timers_of(fired, clock)
    for _ in range(17):
        timers.fire_due()
        clock.sleep(60)
    assert fired.seen == [(5, False, "client"), (10, False, "client"), (15, False, "client")]


def test_a_timer_missed_while_nothing_ran_fires_once_and_past_due(tmp_path: Path) -> None:
    clock = JumpingClock()
    fired = Fired(clock)
    instances = Instances(tmp_path / "host.db", clock)
    function = TimerFunction("tick", "0 */5 * * * *", fired.run)
    Timers([function], instances, clock, None).fire_due()
    instances.close()
    clock.sleep(3600)
    again = Timers([function], Instances(tmp_path / "host.db", clock), clock, None)
    again.fire_due()
    again.fire_due()
    assert fired.seen == [(60, True, None)]


def test_a_timer_that_fails_fires_again_at_its_next_moment() -> None:
    clock = JumpingClock()
    fired = Fired(clock, RuntimeError("boom"))
    timers = timers_of(fired, clock)
    for _ in range(11):
        timers.fire_due()
        clock.sleep(60)
    assert len(fired.seen) == 2


def test_a_timer_killed_while_it_ran_fires_again() -> None:
    clock = JumpingClock()
    fired = Fired(clock, KeyboardInterrupt())  # type: ignore[arg-type]
    timers = timers_of(fired, clock)
    timers.fire_due()
    clock.sleep(360)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            timers.fire_due()
    assert len(fired.seen) == 2


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("0 */5 * * * *", timedelta(), timedelta(minutes=5)),
        ("30 0 * * * *", timedelta(seconds=30), timedelta(hours=1, seconds=30)),
        ("0 15 2 * * *", timedelta(), timedelta(hours=20, minutes=15)),
        ("0 0 6 * * 3", timedelta(), timedelta(days=1)),  # Wednesday, as START is a Tuesday
    ],
)
def test_schedules_of_six_fields_are_read_with_the_seconds_first(
    schedule: str, after: timedelta, expected: timedelta
) -> None:
    assert next_occurrence(schedule, START + after) == START + expected


def test_the_next_moment_is_in_utc_whatever_zone_it_is_asked_in() -> None:
    moment = datetime.fromisoformat("2026-11-24T23:30:00-05:00")
    expected = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
    assert next_occurrence("0 0 6 * * *", moment) == expected


@pytest.mark.parametrize("schedule", ["*/5 * * * *", "0 0 6 1 * 3", "nonsense"])
def test_schedules_it_cannot_follow_are_refused_at_the_start(schedule: str) -> None:
    clock = JumpingClock()
    function = TimerFunction("tick", schedule, Fired(clock).run)
    with pytest.raises(ValueError, match="schedule"):
        Timers([function], Instances(":memory:", clock), clock, None)
