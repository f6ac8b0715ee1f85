"""Events written back: nobody is mailed, nothing is moved, and series are what they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

import simulator
from base.errors import Throttled
from base.item import StoredItem
from m365.calendar_writer import CalendarWriter
from m365.graph.errors import Clash
from m365.service import Existing, Folder, Resource
from simulator.calendar_state import Calendars, Event, calendars_of
from simulator.calendar_zones import CUSTOM
from simulator.contoso_calendar import file_of, make
from tests.m365.cases_calendar import CalendarCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, TenantClock

START = datetime(2026, 3, 24, 9, 0)  # noqa: DTZ001 - a wall clock; a Tuesday before the change
WEEKLY = {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday"]}
DAILY = {"type": "daily", "interval": 1}


class Place:
    """A mailbox that is read, and an empty one that is written to."""

    def __init__(self, running: simulator.Running) -> None:
        self.on = Stage(CalendarCase(), running)
        self.tenant = running.tenant
        self.source: Calendars = calendars_of(self.tenant, self.on.resource.graph_id)
        self.resource = Resource("mailbox", self.tenant.add_user("Target").id)
        self.target: Calendars = calendars_of(self.tenant, self.resource.graph_id)

    def writer(self, resource: Resource | None = None, **options: Any) -> CalendarWriter:
        clock = TenantClock(self.tenant)
        return CalendarWriter(self.on.writer, resource or self.resource, clock, **options)

    def event(self, **facts: Any) -> Event:
        start = facts.pop("start", START)
        return make(self.source, self.source.default, random.Random(1), "Event", start, **facts)

    def stored(self, event: Event) -> StoredItem:
        mirror = Mirror()
        mirror.round(self.on.source())
        return mirror.items[self.source.event_id(event, immutable=True)].stored()

    def restored(self, event: Event, **options: Any) -> Event:
        """The event as it stands in the target after a restore without troubles."""
        writer = self.writer(**options)
        written = writer.write(self.stored(event), writer.root(), "run:1", None, new_name=False)
        assert written.troubles == ()
        return self.target.find(written.id)[0]


@pytest.fixture
def place() -> Iterator[Place]:
    tenant = simulator.Tenant(3)
    tenant.add_user("Adele Vance")
    with simulator.serve(tenant) as running:
        yield Place(running)


def days_of(event: Event, count: int) -> list[date]:
    found = event.days(date(9000, 1, 1))
    return [next(found) for _ in range(count)]


def test_nobody_is_mailed_whatever_is_restored(place: Place) -> None:
    event = place.event(guests=3, pattern=WEEKLY)
    place.source.change_occurrence(event, days_of(event, 2)[1], subject="Other")
    place.source.cancel_occurrence(event, days_of(event, 3)[2])
    made = place.restored(event)
    assert made.properties["attendees"] == []
    assert not place.tenant.counters.meeting_mail


def test_attendees_are_listed_in_the_text_when_that_is_asked_for(place: Place) -> None:
    made = place.restored(place.event(guests=2), list_attendees=True)
    text = made.properties["body"]["content"]
    assert "Nora O&#x27;Hara, Ships &lt;nora@ships.example&gt; (required, accepted)" in text
    assert text.index("Attendees") < text.index("</body>")
    assert not place.tenant.counters.meeting_mail


@pytest.mark.parametrize(
    "zone", ["W. Europe Standard Time", "Pacific Standard Time", "Nepal Standard Time", "UTC"]
)
def test_a_series_keeps_its_zone_and_its_hour(place: Place, zone: str) -> None:
    event = place.event(pattern=WEEKLY, zone=zone)
    made = place.restored(event)
    assert (made.zone, made.start, made.end) == (zone, event.start, event.end)
    assert made.recurrence == event.recurrence


def test_a_custom_zone_leaves_the_moments_as_they_were(place: Place) -> None:
    made = place.restored(place.event(zone=CUSTOM))
    assert (made.zone, made.start) == ("UTC", START - timedelta(hours=3))


def test_a_zone_the_server_does_not_know_is_given_up_for_utc(place: Place) -> None:
    item = place.stored(place.event())
    odd = {**item.raw, "originalStartTimeZone": "West Bank Standard Time"}
    writer = place.writer()
    written = writer.write(replace(item, raw=odd), writer.root(), "run:1", None, new_name=False)
    assert [trouble.cause for trouble in written.troubles] == ["not-set"]
    made = place.target.find(written.id)[0]
    assert (made.zone, made.start) == ("UTC", START - timedelta(hours=1))


def test_whole_days_stay_the_same_days(place: Place) -> None:
    event = place.event(
        start=START.replace(hour=0), minutes=2880, isAllDay=True, zone="Samoa Standard Time"
    )
    made = place.restored(event)
    assert (made.start, made.end, made.zone) == (event.start, event.end, event.zone)


def test_500_exceptions_and_a_day_taken_out_come_back(place: Place) -> None:
    event = place.event(pattern=DAILY)
    days = days_of(event, 501)
    for number, day in enumerate(days[:-1]):
        start = event.times(day)[0] + timedelta(minutes=number % 50)
        end = start + timedelta(minutes=10)
        place.source.change_occurrence(event, day, subject=f"Day {number}", start=start, end=end)
    place.source.cancel_occurrence(event, days[-1])
    before = place.on.writer.counters.requests
    made = place.restored(event)
    assert [made.changed[day]["subject"] for day in days[:-1]] == [
        f"Day {number}" for number in range(500)
    ]
    assert [made.times(day) for day in days[:-1]] == [event.times(day) for day in days[:-1]]
    assert made.cancelled == {days[-1]}
    spent = place.on.writer.counters.requests - before
    assert spent <= 501 + 10  # one for each day, the series itself, and the list of its instances


def test_exceptions_far_apart_are_found_in_windows_graph_allows(place: Place) -> None:
    yearly = {"type": "absoluteYearly", "interval": 1, "month": 3, "dayOfMonth": 24}
    event = place.event(pattern=yearly)
    for day in days_of(event, 12):
        place.source.change_occurrence(event, day, subject=f"{day.year}")
    made = place.restored(event)
    assert [made.changed[day]["subject"] for day in days_of(event, 12)] == [
        str(2026 + number) for number in range(12)
    ]


def test_an_exception_gets_its_own_attachments_beyond_those_of_its_series(place: Place) -> None:
    event = place.event(pattern=WEEKLY)
    event.attachments[1] = file_of(random.Random(1), 1, 500)
    day = days_of(event, 1)[0]
    own = file_of(random.Random(2), 2, 700, "own.txt")
    event.own_attachments[day] = {1: event.attachments[1], 2: own}
    place.source.change_occurrence(event, day, subject="Other")
    made = place.restored(event)
    assert [one.properties["name"] for one in made.files(day).values()] == [
        "agenda 1.pdf", "own.txt",
    ]  # fmt: skip
    assert len(made.attachments) == 1


def test_an_occurrence_that_cannot_be_found_is_a_note_and_the_series_stays(place: Place) -> None:
    event = place.event(pattern=WEEKLY, span={"type": "numbered", "numberOfOccurrences": 3})
    place.source.change_occurrence(event, days_of(event, 1)[0], subject="Other")
    item = place.stored(event)
    (exception,) = item.raw["exceptionOccurrences"]
    far = {**exception, "originalStart": "2031-01-01T08:00:00Z"}
    raw = {**item.raw, "exceptionOccurrences": [exception, far]}
    writer = place.writer()
    written = writer.write(replace(item, raw=raw), writer.root(), "run:1", None, new_name=False)
    assert [one.cause for one in written.troubles] == ["occurrence-not-found"]
    assert written.outcome == "created"
    assert len(place.target.find(written.id)[0].changed) == 1


def test_a_text_that_is_too_large_for_a_request_is_attached(place: Place) -> None:
    long = "<html><body>" + "ü" * 4_000_000 + "</body></html>"
    event = place.event(body={"contentType": "html", "content": long}, bodyPreview="start of it")
    writer = place.writer()
    written = writer.write(place.stored(event), writer.root(), "run:1", None, new_name=False)
    assert [(one.part, one.cause) for one in written.troubles] == [("body", "too-large")]
    made = place.target.find(written.id)[0]
    (file,) = made.attachments.values()
    assert file.content is not None
    assert file.content.read(0, file.content.size).decode() == long
    assert made.properties["body"]["content"] == "start of it"


def test_an_unfinished_event_is_told_from_a_finished_one(place: Place) -> None:
    event = place.event(pattern=WEEKLY)
    place.source.cancel_occurrence(event, days_of(event, 2)[1])
    item, writer = place.stored(event), place.writer()
    place.tenant.faults.map(r"/instances", "uuuuuuuuuu")
    with pytest.raises(Throttled):
        writer.write(item, writer.root(), "run:1", None, new_name=False)
    (half,) = writer.existing(writer.root())
    assert (half.marker, half.complete) == ("run:1", False)
    writer.remove(half.id)
    place.tenant.faults.calm()
    writer.write(item, writer.root(), "run:1", None, new_name=False)
    (whole,) = writer.existing(writer.root())
    assert (whole.marker, whole.complete, whole.key) == ("run:1", True, item.raw["iCalUId"])


def test_a_second_restore_recognizes_the_first_and_the_original(place: Place) -> None:
    event = place.event()
    item = place.stored(event)
    writer = place.writer()
    writer.write(item, writer.root(), "run:1", None, new_name=False)
    (found,) = writer.existing(writer.root())
    home = place.writer(place.on.resource)
    (original,) = home.existing(home.root())
    assert {found.key, original.key} == {writer.identity(item).key}
    assert {found.same, original.same} == {writer.identity(item).same}
    assert (found.marker, original.marker) == ("run:1", "")


def test_replacing_never_deletes_a_meeting_with_attendees(place: Place) -> None:
    event = place.event(guests=2)
    item = place.stored(event)
    home = place.writer(place.on.resource)
    (old,) = home.existing(home.root())
    written = home.write(item, home.root(), "run:1", old, new_name=False)
    assert (written.outcome, [one.cause for one in written.troubles]) == (
        "copied", ["old-one-kept"],
    )  # fmt: skip
    assert event.number in place.source.events
    assert not place.tenant.counters.meeting_mail


def test_what_a_mailbox_had_only_accepted_is_replaced(place: Place) -> None:
    event = place.event(guests=2, isOrganizer=False)
    item = place.stored(event)
    home = place.writer(place.on.resource)
    (old,) = home.existing(home.root())
    assert home.write(item, home.root(), "run:1", old, new_name=False).outcome == "replaced"
    assert event.number not in place.source.events
    assert not place.tenant.counters.meeting_mail


def test_undo_leaves_what_has_become_a_meeting(place: Place) -> None:
    made = place.restored(place.event())
    made.properties["attendees"] = [{"emailAddress": {"address": "nora@ships.example"}}]
    key = place.target.event_id(made, immutable=True)
    with pytest.raises(Clash):
        place.writer().remove(key)
    assert made.number in place.target.events
    assert not place.tenant.counters.meeting_mail


def test_online_meetings_are_not_made_anew(place: Place) -> None:
    join = {"joinUrl": "https://teams.example/old"}
    made = place.restored(place.event(isOnlineMeeting=True, onlineMeeting=join))
    assert made.properties["isOnlineMeeting"] is False


def test_a_restore_of_its_own_is_a_group_of_calendars(place: Place) -> None:
    work = place.source.add_calendar("Work", place.source.add_group("Projects"))
    make(place.source, work, random.Random(1), "Inside", START)
    place.event()
    mirror = Mirror()
    mirror.round(place.on.source())
    for run in range(2):  # the second finds what the first made
        writer = place.writer()
        top = writer.ensure_folder(writer.root(), "Restored 1", None)
        known: dict[str, Folder] = {}
        for key, kept in mirror.items.items():
            if kept.change.kind == "folder" and kept.change.parent:
                above = known.get(kept.change.parent, top)
                known[key] = writer.ensure_folder(above, kept.change.name, kept.stored())
        for kept in mirror.items.values():
            if kept.change.kind == "event" and run == 0:
                into = known[kept.change.parent]
                writer.write(kept.stored(), into, "run:1", None, new_name=False)
    group = next(one for one in place.target.groups.values() if one.name == "Restored 1")
    made = {
        one.name: sum(event.calendar is one for event in place.target.events.values())
        for one in place.target.calendars.values()
        if one.group is group
    }
    assert made == {"Calendar (Restored 1)": 1, "Projects / Work": 1}


def test_events_restored_alone_lie_in_one_calendar_of_their_group(place: Place) -> None:
    item = place.stored(place.event())
    for number in range(2):
        writer = place.writer()
        top = writer.ensure_folder(writer.root(), "Restored 1", None)
        assert len(list(writer.existing(top))) == number
        writer.write(item, top, f"run:{number}", None, new_name=False)
    assert [one.name for one in place.target.calendars.values()] == ["Calendar", "Restored 1"]


def test_read_only_and_shared_calendars_take_nothing(place: Place) -> None:
    boss = {"name": "Boss", "address": "boss@contoso.example"}
    days = place.source.add_calendar("Birthdays", can_edit=False)
    place.source.add_calendar("Boss", owner=boss)
    mirror = Mirror()
    mirror.round(place.on.source())
    home = place.writer(place.on.resource)
    stored = {kept.change.name: kept.stored() for kept in mirror.items.values()}
    assert home.original_folder(stored["Birthdays"]) is None
    made = home.ensure_folder(home.root(), "Birthdays", stored["Birthdays"])
    assert made.id != days.id
    before = len(place.source.calendars)
    home.ensure_folder(home.root(), "Boss", stored["Boss"])
    assert len(place.source.calendars) == before


def test_originals_are_found_by_id_and_the_default_calendar_by_its_role(place: Place) -> None:
    work = place.source.add_calendar("Work")
    mirror = Mirror()
    mirror.round(place.on.source())
    home, away = place.writer(place.on.resource), place.writer()
    stored = mirror.items[work.id].stored()
    assert home.original_folder(stored) == Folder(work.id, ("Work",))
    assert away.original_folder(stored) is None
    default = mirror.items[place.source.default.id].stored()
    found = away.original_folder(default)
    assert found is not None
    assert found.id == place.target.default.id


def test_existing_events_of_nobody_of_us_have_no_marker(place: Place) -> None:
    place.event()
    home = place.writer(place.on.resource)
    (found,) = home.existing(home.root())
    assert isinstance(found, Existing)
    assert (found.marker, found.complete) == ("", True)
