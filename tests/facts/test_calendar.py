"""Calendar: what Microsoft documents of windows, series and their exceptions, and invitations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from base.item import StoredItem
from simulator.calendar_state import Calendars, Event, calendars_of
from simulator.contoso_calendar import make
from tests.m365.cases_calendar import CalendarCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage

DAILY = {"type": "daily", "interval": 1}
START = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - a wall clock


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CalendarCase()) as found:
        yield found


@pytest.fixture
def store(on: Stage) -> Calendars:
    return calendars_of(on.tenant, on.resource.graph_id)


def asked(on: Stage) -> list[str]:
    """The targets of all requests from now on, as "METHOD /path?query"."""
    plain, heard = on.tenant.faults.letter, list[str]()

    def letter(operation: str, target: str, *, by_chance: bool = True) -> str:
        heard.append(target)
        return plain(operation, target, by_chance=by_chance)

    on.tenant.faults.letter = letter  # type: ignore[method-assign]
    return heard


def series(store: Calendars, occurrences: int, subject: str = "Daily") -> Event:
    span = {"type": "numbered", "numberOfOccurrences": occurrences}
    return make(store, store.default, Random(1), subject, START, pattern=DAILY, span=span)


def read(on: Stage, mirror: Mirror) -> None:
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()


def stored(mirror: Mirror, subject: str) -> StoredItem:
    kept = [one for one in mirror.items.values() if one.change.raw.get("subject") == subject]
    (one,) = kept
    return one.stored()


def test_a_window_is_asked_with_both_its_ends_and_nothing_else_and_never_of_beta(
    on: Stage,
) -> None:
    heard, mirror = asked(on), Mirror()
    read(on, mirror)
    read(on, mirror)
    windows = [parse_qs(urlsplit(one).query) for one in heard if "calendarView" in one]
    first = [one for one in windows if "$skiptoken" not in one and "$deltatoken" not in one]
    assert first
    assert all(set(one) == {"startDateTime", "endDateTime"} for one in first)
    assert not [one for one in heard if "/beta/" in one]


@pytest.mark.parametrize("years", [-9, 9])
def test_what_changes_outside_of_the_window_is_found_by_the_next_full_pass(
    on: Stage, store: Calendars, years: int
) -> None:
    when = START.replace(year=START.year + years)
    with on.tenant.lock:
        changed = make(store, store.default, Random(2), "Far away", when)
        deleted = make(store, store.default, Random(3), "Farther away", when)
    mirror = Mirror()
    read(on, mirror)
    with on.tenant.lock:
        store.change_event(changed, subject="Still far away")
        store.delete_event(deleted)
    on.tenant.clock.advance(timedelta(days=8).total_seconds())
    read(on, mirror)


def test_a_window_is_fixed_in_its_token_and_drawn_anew_before_it_is_used_up(
    on: Stage, store: Calendars
) -> None:
    mirror = Mirror()
    read(on, mirror)
    heard = asked(on)
    on.tenant.clock.advance(timedelta(days=200).total_seconds())
    with on.tenant.lock:
        make(
            store, store.default, Random(4), "Next year", on.tenant.clock.now().replace(tzinfo=None)
        )
    read(on, mirror)
    assert [one for one in heard if "startDateTime" in one]


def test_occurrences_and_exceptions_lead_to_one_item_for_each_series(
    on: Stage, store: Calendars
) -> None:
    with on.tenant.lock:
        event = series(store, 10)
    mirror = Mirror()
    read(on, mirror)
    days = list(event.days(START.date() + timedelta(days=30)))
    with on.tenant.lock:
        store.change_occurrence(event, days[2], subject="Another subject")
        store.cancel_occurrence(event, days[4])
    read(on, mirror)
    raw = stored(mirror, "Daily").raw
    assert len(raw["exceptionOccurrences"]) == len(raw["cancelledOccurrences"]) == 1
    with on.tenant.lock:
        store.cancel_occurrence(event, days[2])  # a removal names the occurrence, not the series
    read(on, mirror)
    raw = stored(mirror, "Daily").raw
    assert (len(raw["exceptionOccurrences"]), len(raw["cancelledOccurrences"])) == (0, 2)


def test_an_event_that_moves_to_another_calendar_is_in_that_calendar_alone(
    on: Stage, store: Calendars
) -> None:
    with on.tenant.lock:
        there = store.add_calendar("Somewhere else")
        event = series(store, 5)
    mirror = Mirror()
    read(on, mirror)
    for target in (there, store.default, there):
        with on.tenant.lock:
            store.move_event(event, target)
        read(on, mirror)


def test_an_event_with_five_hundred_exceptions_is_kept_and_restored(
    on: Stage, store: Calendars
) -> None:
    with on.tenant.lock:
        event = series(store, 520, "Long")
        days = list(event.days(START.date() + timedelta(days=600)))
        for number, day in enumerate(days[:500]):
            store.change_occurrence(event, day, subject=f"Exception {number}")
        store.cancel_occurrence(event, days[510])
    mirror = Mirror()
    read(on, mirror)
    kept = stored(mirror, "Long")
    assert len(kept.raw["exceptionOccurrences"]) == 500
    before = on.reader.counters.requests
    mirror.round(on.source())
    assert on.reader.counters.requests - before < 20  # a quiet round does not read it again

    target = on.case.fresh_target(on.tenant)
    writer = on.target(target)
    written = writer.write(kept, writer.root(), "run:1", None, new_name=False)

    assert [one for one in written.troubles if one.part.startswith("occurrence")] == []
    restored = [
        one for one in calendars_of(on.tenant, target.graph_id).events.values() if one.is_series
    ]
    (copy,) = restored
    assert subjects(copy) == subjects(event)
    assert copy.cancelled == event.cancelled
    assert not on.tenant.counters.meeting_mail


def subjects(event: Event) -> Counter[tuple[Any, Any]]:
    return Counter((day, facts.get("subject")) for day, facts in event.changed.items())
