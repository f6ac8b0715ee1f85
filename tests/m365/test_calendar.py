"""Calendars read: what a round costs, what no window shows, and what a hostile mailbox may hold."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pytest

import simulator
from base.item import Change, FeedPage, Gone
from m365.calendar_link import CalendarLink
from m365.calendar_list import ROOT, SHARED
from m365.graph.errors import Forbidden, ItemGone
from simulator.calendar_state import Calendar, Calendars, Event, calendars_of
from simulator.contoso_calendar import file_of, make
from tests.m365.cases_calendar import CalendarCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage

WEEKLY = {"type": "weekly", "interval": 1, "daysOfWeek": ["monday", "thursday"]}
DAILY = {"type": "daily", "interval": 1}
WEEK_S = 7 * 86_400


class Place:
    """A mailbox with nothing in it, its reader, and what a vault would hold of it."""

    def __init__(self, running: simulator.Running) -> None:
        self.on = Stage(CalendarCase(), running)
        self.tenant = running.tenant
        self.user = self.on.resource.graph_id
        self.store: Calendars = calendars_of(self.tenant, self.user)
        self.mirror = Mirror()
        self.today = self.tenant.clock.now().replace(tzinfo=None, hour=9, minute=0, second=0)

    def single(self, subject: str = "Single", days: int = 3, **facts: Any) -> Event:
        return self._make(subject, days, facts)

    def series(self, days: int = -20, **facts: Any) -> Event:
        return self._make("Series", days, {"pattern": WEEKLY, **facts})

    def round(self) -> int:
        """A round of the source; how many requests it took."""
        before = self.on.reader.counters.requests
        assert self.mirror.round(self.on.source())
        return self.on.reader.counters.requests - before

    def pages(self) -> list[FeedPage]:
        return list(self.on.source().changes(self.mirror.links, frozenset()))

    def held(self, event: Event) -> Change:
        return self.mirror.items[self.key(event)].change

    def key(self, event: Event) -> str:
        return self.store.event_id(event, immutable=True)

    def agrees(self) -> bool:
        return self.on.found(self.mirror) == self.on.truth()

    def _make(self, subject: str, days: int, facts: dict[str, Any]) -> Event:
        calendar: Calendar = facts.pop("calendar", self.store.default)
        start = self.today + timedelta(days=days)
        return make(self.store, calendar, random.Random(subject), subject, start, **facts)


@pytest.fixture
def place() -> Iterator[Place]:
    tenant = simulator.Tenant(3)
    tenant.add_user("Adele Vance")
    with simulator.serve(tenant) as running:
        yield Place(running)


def days_of(event: Event, count: int) -> list[date]:
    found = event.days(date(9000, 1, 1))
    return [next(found) for _ in range(count)]


# What a round costs


def test_an_idle_round_asks_for_the_list_and_once_for_each_own_calendar(place: Place) -> None:
    place.store.add_calendar("Work")
    place.store.add_calendar("Theirs", owner={"name": "Boss", "address": "boss@contoso.example"})
    place.series()
    place.round()
    assert place.round() == 3
    assert not any(page.entries or page.reset for page in place.pages())


def test_a_first_round_reads_a_series_once_and_single_events_with_their_page(place: Place) -> None:
    place.round()
    idle = place.round()
    for number in range(30):
        place.single(f"Single {number}")
    place.series(pattern=DAILY, days=-300)
    # The series, two more pages of its 1,030 occurrences, and the list of what changed.
    assert place.round() == idle + 1 + 2 + 1
    assert place.agrees()


def test_a_series_of_which_many_days_changed_is_read_once(place: Place) -> None:
    event = place.series(pattern=DAILY)
    place.round()
    idle = place.round()
    for day in days_of(event, 40):
        place.store.change_occurrence(event, day, subject=f"Day {day}")
    assert place.round() <= idle + 4
    assert len(place.held(event).raw["exceptionOccurrences"]) == 40
    assert place.agrees()


def test_a_calendar_with_news_costs_one_request_more(place: Place) -> None:
    event = place.single()
    place.round()
    idle = place.round()
    place.store.change_event(event, subject="Other")
    assert place.round() == idle + 1
    assert place.held(event).name == "Other"


# What the window does not show


def test_a_change_outside_of_the_window_is_found_within_a_week(place: Place) -> None:
    past, future = place.single("Past", -1_000), place.single("Future", 1_500)
    gone = place.single("Gone", -900)
    old = place.series(-1_500, span={"type": "numbered", "numberOfOccurrences": 9})
    place.round()
    place.store.change_event(past, subject="Other past")
    place.store.delete_event(gone)
    place.store.change_occurrence(old, days_of(old, 3)[2], subject="Other day")
    place.round()
    assert not place.agrees()
    place.tenant.clock.advance(WEEK_S)
    place.store.touch(old)
    place.round()
    assert place.agrees()
    assert place.held(past).name == "Other past"
    assert place.key(gone) not in place.mirror.items
    assert place.held(future).name == "Future"


def test_what_changes_outside_of_the_window_is_found_with_other_news_of_its_calendar(
    place: Place,
) -> None:
    past, near = place.single("Past", -1_000), place.single("Near")
    old = place.series(-1_500, span={"type": "numbered", "numberOfOccurrences": 9})
    place.round()
    place.store.change_event(past, subject="Other past")
    place.store.change_occurrence(old, days_of(old, 3)[2], subject="Other day")
    new = place.single("New", -2_000)
    place.round()
    assert place.key(new) not in place.mirror.items
    place.store.change_event(near, subject="Other near")
    place.round()
    assert place.agrees()
    assert place.held(new).name == "New"


def test_an_event_that_is_put_off_beyond_the_window_is_not_taken_for_deleted(
    place: Place,
) -> None:
    event = place.single()
    place.round()
    later = timedelta(days=1_500)
    place.store.move_in_time(event, event.start + later, event.end + later)
    assert isinstance(place.pages()[1].entries[0], Gone)  # which is what the feed says
    place.round()
    assert place.agrees()


def test_a_full_pass_reads_no_series_again_that_did_not_change(place: Place) -> None:
    for _ in range(5):
        place.series()
    place.round()
    place.tenant.clock.advance(WEEK_S)
    place.round()
    asked = place.tenant.counters.requests
    assert asked["GET /users/{user}/events/{event}"] == 5  # all of them in the first round
    assert asked["GET /users/{user}/calendars/{calendar}/events"] == 2
    assert place.agrees()


def test_the_window_is_drawn_anew_before_it_gets_stale(place: Place) -> None:
    place.round()
    place.tenant.clock.advance(181 * 86_400)
    late = place.single("Two years ahead of then", 181 + 720)
    place.round()
    place.store.delete_event(late)
    place.round()
    assert place.key(late) not in place.mirror.items
    link = next(v for k, v in place.mirror.links.items() if k.startswith("calendar:"))
    assert CalendarLink.read(link).end > f"{datetime.now():%Y}"  # noqa: DTZ005 - the year only


def test_a_series_that_began_before_the_window_is_followed_in_it(place: Place) -> None:
    event = place.series(-2_000)
    place.round()
    day = next(iter(event.days_between(place.today, place.today + timedelta(days=30))))
    place.store.cancel_occurrence(event, day)
    place.round()
    assert place.held(event).raw["cancelledOccurrences"] == [
        f"OID.{place.key(event)}.{day.isoformat()}"
    ]


# What feeds leave unsaid


def test_a_removed_occurrence_leads_to_its_series_without_the_master_being_named(
    place: Place,
) -> None:
    event, other = place.series(), place.single()
    place.round()
    place.tenant.quirks.p_duplicate = 1.0  # the feed names removed days without their master
    seen = 0
    for day in days_of(event, 12):
        place.store.cancel_occurrence(event, day)
        place.round()
        seen += place.agrees()
    assert seen == 12
    assert place.held(other).name == "Single"


def test_an_event_that_moved_is_one_item_in_its_new_calendar(place: Place) -> None:
    work = place.store.add_calendar("Work")
    single, series = place.single(), place.series()
    place.round()
    for event in (single, series):
        place.store.move_event(event, work)
    place.round()
    assert {place.held(event).parent for event in (single, series)} == {work.id}
    assert place.agrees()


def test_a_lost_token_in_any_spelling_ends_in_a_full_pass(place: Place) -> None:
    gone, kept = place.single("Gone"), place.series()
    for _ in range(3):
        place.round()
        place.tenant.feeds.lose(lambda feed: True)
    place.store.delete_event(gone)
    place.round()
    assert place.key(gone) not in place.mirror.items
    assert place.held(kept).name == "Series"


# Calendars


def test_a_shared_calendar_is_a_folder_that_says_why_it_is_empty(place: Place) -> None:
    boss = {"name": "Boss", "address": "boss@contoso.example"}
    shared = place.store.add_calendar("Boss", owner=boss)
    place.single("Theirs", calendar=shared)
    place.round()
    found = place.mirror.items[shared.id].change
    assert (found.kind, found.row["note"]) == ("folder", SHARED)
    assert not [one for one in place.mirror.items.values() if one.change.parent == shared.id]
    assert f"calendar:{shared.id}" not in place.mirror.links


def test_calendars_lie_in_their_groups_below_one_root(place: Place) -> None:
    group = place.store.add_group("Projects")
    inner = place.store.add_calendar("Inner", group)
    place.round()
    folders = {key: one.change for key, one in place.mirror.items.items()}
    assert folders[ROOT].parent == ""
    assert folders[group.id].parent == ROOT
    assert folders[inner.id].parent == group.id


def test_renamed_new_and_deleted_calendars_show_in_the_next_round(place: Place) -> None:
    old = place.store.add_calendar("Old")
    event = place.single(calendar=old)
    place.round()
    place.store.default.name = "Renamed"
    place.store.delete_calendar(old)
    new = place.store.add_calendar("New")
    place.round()
    items = place.mirror.items
    assert items[place.store.default.id].change.name == "Renamed"
    assert old.id not in items
    assert place.key(event) not in items
    assert f"calendar:{old.id}" not in place.mirror.links
    assert items[new.id].change.name == "New"


def test_a_group_that_is_given_up_takes_along_no_calendar_that_moved_out_of_it(
    place: Place,
) -> None:
    group = place.store.add_group("Projects")
    work = place.store.add_calendar("Work", group)
    event = place.single(calendar=work)
    place.round()
    work.group = place.store.default.group
    del place.store.groups[group.id]
    place.tenant.clock.advance(WEEK_S)  # groups are looked at once a week
    place.mirror.apply(place.on.source(), place.pages()[0])
    assert group.id not in place.mirror.items
    assert place.mirror.items[work.id].change.parent == work.group.id
    assert place.held(event).name == "Single"


def test_two_calendars_of_one_name_stay_two(place: Place) -> None:
    first, second = place.store.add_calendar("Twin"), place.store.add_calendar("Other")
    second.name = "Twin"
    events = [place.single("One", calendar=first), place.single("Two", calendar=second)]
    place.round()
    assert [place.held(event).parent for event in events] == [first.id, second.id]


def test_a_calendar_that_goes_away_in_the_middle_of_a_round_ends_its_feed_only(
    place: Place,
) -> None:
    doomed = place.store.add_calendar("Doomed")
    lost, kept = place.single("Lost", calendar=doomed), place.single("Kept")
    place.round()
    pages = place.on.source().changes(place.mirror.links, frozenset())
    place.mirror.apply(place.on.source(), next(pages))  # the list still names it
    place.store.delete_calendar(doomed)
    place.store.change_event(kept, subject="Kept still")
    for page in pages:
        place.mirror.apply(place.on.source(), page)
    assert doomed.id not in place.mirror.items
    assert place.key(lost) not in place.mirror.items
    assert place.held(kept).name == "Kept still"


# Events


def test_500_exceptions_are_one_item_and_one_request(place: Place) -> None:
    event = place.series(-300, pattern=DAILY)
    for day in days_of(event, 500):
        place.store.change_occurrence(event, day, subject=f"Day {day}")
    first = place.round()
    found = place.held(event).raw["exceptionOccurrences"]
    assert [one["subject"] for one in found] == [f"Day {day}" for day in days_of(event, 500)]
    assert first < 20
    assert place.on.tenant.counters.requests["GET /users/{user}/events/{event}"] == 1


def test_properties_nobody_knew_are_kept_of_single_events_and_of_series(place: Place) -> None:
    place.tenant.room["further event properties"] = ("futureProperty",)
    events = [place.single(futureProperty={"a": 1}), place.series(futureProperty={"a": 2})]
    place.round()
    assert [place.held(event).raw["futureProperty"] for event in events] == [{"a": 1}, {"a": 2}]


def test_a_property_that_may_be_listed_and_not_selected_costs_no_series(place: Place) -> None:
    place.single(oddProperty=1)
    event = place.series()
    place.round()
    assert place.held(event).name == "Series"
    assert place.agrees()


def test_an_exception_has_the_attachments_in_which_it_differs(place: Place) -> None:
    event = place.series()
    same, other = days_of(event, 2)
    event.attachments[1] = file_of(random.Random(1), 1, 500)
    own = file_of(random.Random(2), 2, 700, "own.txt")
    event.own_attachments[other] = {1: event.attachments[1], 2: own}
    for day in (same, other):
        place.store.change_occurrence(event, day, subject="x")
    place.round()
    parts = place.mirror.items[place.key(event)].parts
    assert [(meta["name"], "occurrence" in meta) for _, _, meta in parts] == [
        ("agenda 1.pdf", False), ("agenda 1.pdf", True), ("own.txt", True),
    ]  # fmt: skip


def test_an_unchanged_event_is_not_downloaded_again(place: Place) -> None:
    event = place.single()
    event.attachments[1] = file_of(random.Random(1), 1, 500)
    place.round()
    place.mirror.fetched.clear()
    place.store.change_event(event, subject="Renamed", showAs="free")
    place.round()
    assert place.mirror.fetched == {}
    assert place.held(event).name == "Renamed"


def test_a_calendar_that_goes_away_while_it_is_counted_is_left_out(place: Place) -> None:
    doomed = place.store.add_calendar("Doomed")
    place.tenant.faults.map(f"{doomed.id}/events/.count", "m", loop=True)
    (count,) = place.on.source().counts()
    assert count.scope == place.store.default.id


def test_an_item_to_be_tried_again_finds_its_calendar(place: Place) -> None:
    work = place.store.add_calendar("Work")
    event = place.single(calendar=work)
    place.round()
    place.mirror.again(place.on.source(), place.key(event))
    assert place.held(event).parent == work.id


def test_removals_name_the_calendar_they_are_about(place: Place) -> None:
    event = place.single()
    place.round()
    place.store.delete_event(event)
    gone = [one for page in place.pages() for one in page.entries if isinstance(one, Gone)]
    assert gone == [Gone(place.key(event), place.store.default.id)]


def test_live_counts_are_those_of_own_calendars(place: Place) -> None:
    place.store.add_calendar("Theirs", owner={"name": "Boss", "address": "boss@contoso.example"})
    place.single()
    place.series()
    (count,) = place.on.source().counts()
    assert (count.scope, count.items) == (place.store.default.id, 2)
    place.round()
    assert count.part in place.mirror.links


# A tenant that does not do as asked


@pytest.mark.parametrize("expand", ["refused", "ignored"])
def test_attachments_come_whatever_the_tenant_makes_of_the_expansion(
    place: Place, expand: Literal["refused", "ignored"]
) -> None:
    place.tenant.quirks.delta_expand = expand
    events = [place.single(), place.series()]
    for event in events:
        event.attachments[1] = file_of(random.Random(1), 1, 500)
    place.round()
    for event in events:
        kept = place.mirror.items[place.key(event)]
        assert [meta["name"] for _, _, meta in kept.parts] == ["agenda 1.pdf"]
        assert "contentBytes" not in str(kept.change.raw)
    assert place.round() == 2


def test_a_page_that_is_too_heavy_is_asked_for_in_small_ones(place: Place) -> None:
    for number in range(450):
        place.single(f"Single {number}")
    place.tenant.faults.map(r"calendars/[^/]+/events", ".gggg")  # the second page, and its retries
    place.round()
    assert place.agrees()
    link = next(v for k, v in place.mirror.links.items() if k.startswith("calendar:"))
    assert CalendarLink.read(link).whole


def test_a_calendar_that_refuses_does_not_keep_the_others_away(place: Place) -> None:
    locked = place.store.add_calendar("Locked")
    work = place.store.add_calendar("Work")
    events = [place.single("Home"), place.single("Work", calendar=work)]
    place.tenant.faults.map(f"calendars/{locked.id}/", "p", loop=True)
    source = place.on.source()
    *pages, last = source.changes({}, frozenset())
    for page in pages:
        place.mirror.apply(source, page)
    assert [place.held(event).name for event in events] == ["Home", "Work"]
    (notice,) = last.entries
    assert (last.link, last.more, notice.id) == ("", False, locked.id)
    assert isinstance(notice, Change)
    with pytest.raises(Forbidden):  # which the engine writes into the ledger
        source.merge({}, notice)
    place.tenant.faults.calm()
    with pytest.raises(ItemGone):  # the row is done with: the feed is read again
        place.on.source().complete(locked.id)
    place.round()
    assert place.agrees()


def test_calendars_that_all_refuse_are_a_service_that_refuses(place: Place) -> None:
    place.tenant.faults.map("calendars/", "p", loop=True)
    with pytest.raises(Forbidden):
        place.pages()


def test_a_feed_whose_counts_differ_is_read_from_nothing(place: Place) -> None:
    kept, lost = place.single("Kept"), place.single("Lost")
    place.round()
    del place.store.events[lost.number]  # no feed tells of it
    place.round()
    assert not place.agrees()
    part = f"calendar:{place.store.default.id}"
    place.mirror.links[part] = ""
    place.round()
    assert place.agrees()
    assert place.held(kept).name == "Kept"


def test_calendars_without_groups_lie_below_the_root(place: Place) -> None:
    place.tenant.faults.map(r"calendarGroups$", "m", loop=True)
    event = place.single()
    place.round()
    assert place.mirror.items[place.store.default.id].change.parent == ROOT
    assert place.held(event).name == "Single"


def test_a_renamed_owner_keeps_his_calendars(place: Place) -> None:
    work = place.store.add_calendar("Work")
    event = place.single(calendar=work)
    place.round()
    old = {"name": "Adele Vance", "address": "old.name@contoso.example"}
    work.owner, work.can_share = old, True
    place.round()
    assert place.held(event).name == "Single"
