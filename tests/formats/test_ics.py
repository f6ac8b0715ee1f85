"""Events as .ics, read back by a parser that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
from dateutil.rrule import rrulestr
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from base.item import StoredItem, StoredPart
from base.zones import zone_of
from formats import file_of
from formats.timezone import vtimezone

BERLIN = ZoneInfo("Europe/Berlin")
EVENT: dict[str, Any] = {
    "id": "AAkALevent", "iCalUId": "040000008200E00074C5B7101A82E008", "subject": "Grüße; a, b\\c",
    "createdDateTime": "2026-01-02T03:04:05Z", "lastModifiedDateTime": "2026-01-03T03:04:05Z",
    "body": {"contentType": "html", "content": "<html><body><p>one</p>two</body></html>"},
    "start": {"dateTime": "2026-03-24T08:00:00.0000000", "timeZone": "UTC"},
    "end": {"dateTime": "2026-03-24T09:30:00.0000000", "timeZone": "UTC"},
    "originalStartTimeZone": "W. Europe Standard Time",
    "originalEndTimeZone": "W. Europe Standard Time",
    "isAllDay": False, "showAs": "oof", "sensitivity": "private", "importance": "high",
    "location": {"displayName": "Pier 7"}, "categories": ["Red, dark", "Blue"],
    "isReminderOn": True, "reminderMinutesBeforeStart": 90,
    "organizer": {"emailAddress": {"name": "Adele; Vance", "address": "adele@contoso.example"}},
    "attendees": [
        {"type": "optional", "status": {"response": "accepted"},
         "emailAddress": {"name": "Nora \"N\" O'Hara", "address": "nora@ships.example"}},
        {"type": "resource", "status": {"response": "none"},
         "emailAddress": {"address": "room@contoso.example"}},
        {"type": "required", "emailAddress": {"name": "No Address"}},
    ],
}  # fmt: skip
WEEKLY = {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday"], "firstDayOfWeek": "sunday"}
NO_END = {"type": "noEnd", "startDate": "2026-03-24"}


def parsed(raw: Mapping[str, Any], *parts: StoredPart) -> icalendar.Calendar:
    item = StoredItem("AAkALevent", "cal", "event", raw.get("subject", ""), {}, raw, parts)
    data = b"".join(file_of(item).blocks())
    assert max(map(len, data.split(b"\r\n"))) <= 75
    found = icalendar.Calendar.from_ical(data)
    assert not any(event.errors for event in found.walk("VEVENT"))
    return found


def events(raw: Mapping[str, Any], *parts: StoredPart) -> list[icalendar.Event]:
    return list(parsed(raw, *parts).walk("VEVENT"))


def series(pattern: Mapping[str, Any], span: Mapping[str, Any] = NO_END, **more: Any) -> Any:
    return {**EVENT, "recurrence": {"pattern": pattern, "range": span}, **more}


def part(name: str, data: bytes, **meta: Any) -> StoredPart:
    facts = {"@odata.type": "#microsoft.graph.fileAttachment", "name": name, **meta}
    return StoredPart("attachment", len(data), facts, lambda: iter((data[:5], data[5:])))


def test_what_a_calendar_shows_of_an_event_comes_back() -> None:
    (event,) = events(EVENT)
    assert event["SUMMARY"] == "Grüße; a, b\\c"
    assert event["DTSTART"].dt == datetime(2026, 3, 24, 9, 0, tzinfo=BERLIN)
    assert event["DTEND"].dt - event["DTSTART"].dt == timedelta(minutes=90)
    assert event["UID"] == EVENT["iCalUId"]
    assert event["DESCRIPTION"] == "one\ntwo"
    assert "<p>one</p>" in event["X-ALT-DESC"]
    assert [str(one) for one in event["CATEGORIES"].cats] == ["Red, dark", "Blue"]
    assert event["CLASS"] == "PRIVATE"
    assert event["X-MICROSOFT-CDO-BUSYSTATUS"] == "OOF"
    (alarm,) = event.walk("VALARM")
    assert alarm["TRIGGER"].dt == timedelta(minutes=-90)


def test_people_are_named_and_nobody_is_invited() -> None:
    calendar = parsed(EVENT)
    assert "METHOD" not in calendar
    (event,) = calendar.walk("VEVENT")
    nora, room = event["ATTENDEE"]
    assert (str(nora), nora.params["PARTSTAT"]) == ("mailto:nora@ships.example", "ACCEPTED")
    assert nora.params["CN"] == "Nora 'N' O'Hara"
    assert room.params["CUTYPE"] == "RESOURCE"
    assert str(event["ORGANIZER"]) == "mailto:adele@contoso.example"


def test_a_series_keeps_its_hour_in_the_zone_that_comes_with_it() -> None:
    calendar = parsed(series(WEEKLY))
    (event,) = calendar.walk("VEVENT")
    zone = next(iter(calendar.walk("VTIMEZONE"))).to_tz()
    start = event["DTSTART"].dt
    rule = rrulestr(event["RRULE"].to_ical().decode(), dtstart=start.replace(tzinfo=None))
    first, second = islice(rule, 2)  # the clocks change between them
    offsets = [one.replace(tzinfo=zone).utcoffset() for one in (first, second)]
    assert offsets == [timedelta(hours=1), timedelta(hours=2)]
    assert (first.hour, second.hour) == (9, 9)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"type": "daily", "interval": 3}, ["2026-03-24", "2026-03-27", "2026-03-30"]),
        (WEEKLY | {"interval": 2}, ["2026-03-24", "2026-04-07", "2026-04-21"]),
        (
            {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31},
            ["2026-03-31", "2026-04-30", "2026-05-31"],
        ),
        (
            {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["friday"], "index": "last"},
            ["2026-03-27", "2026-04-24", "2026-05-29"],
        ),
        (
            {"type": "absoluteYearly", "interval": 1, "month": 2, "dayOfMonth": 29},
            ["2027-02-28", "2028-02-29", "2029-02-28"],
        ),
        (
            {"type": "relativeYearly", "interval": 1, "month": 11, "daysOfWeek": ["thursday"],
             "index": "fourth"},
            ["2026-11-26", "2027-11-25", "2028-11-23"],
        ),
    ],
)  # fmt: skip
def test_every_pattern_names_the_same_days(pattern: Mapping[str, Any], expected: list[str]) -> None:
    (event,) = events(series(pattern))
    start = datetime(2026, 3, 24, 9, 0)  # noqa: DTZ001 - a wall clock
    rule = rrulestr(event["RRULE"].to_ical().decode(), dtstart=start)
    found = [one.date().isoformat() for one in islice(rule, 3)]
    assert found == expected


def test_the_last_day_of_a_series_is_in_it_whatever_the_zone() -> None:
    span = {"type": "endDate", "startDate": "2026-03-23", "endDate": "2026-03-30"}
    late = {"dateTime": "2026-03-24T05:30:00.0000000", "timeZone": "UTC"}  # the evening before
    raw = series(
        WEEKLY | {"daysOfWeek": ["monday"]}, span, start=late,
        originalStartTimeZone="Pacific Standard Time",
    )  # fmt: skip
    (event,) = events(raw)
    until = event["RRULE"]["UNTIL"][0]
    assert until == datetime(2026, 3, 31, 6, 59, 59, tzinfo=UTC)
    assert datetime(2026, 3, 30, 22, 30, tzinfo=ZoneInfo("America/Los_Angeles")) <= until


def test_exceptions_and_days_that_fell_out_belong_to_their_series() -> None:
    moved = {"id": "AAkALx", "originalStart": "2026-03-31T07:00:00Z", "subject": "Later",
             "start": {"dateTime": "2026-04-01T10:00:00.0000000", "timeZone": "UTC"},
             "end": {"dateTime": "2026-04-01T10:15:00.0000000", "timeZone": "UTC"},
             "attendees": []}  # fmt: skip
    raw = series(
        WEEKLY, exceptionOccurrences=[moved], cancelledOccurrences=["OID.AAkALevent.2026-04-07"]
    )
    own = part("papers.txt", b"only then", occurrence="2026-03-31T07:00:00Z")
    master, exception = events(raw, part("all.txt", b"always"), own)
    assert master["EXDATE"].dts[0].dt == datetime(2026, 4, 7, 9, 0, tzinfo=BERLIN)
    assert exception["RECURRENCE-ID"].dt == datetime(2026, 3, 31, 9, 0, tzinfo=BERLIN)
    assert exception["DTSTART"].dt == datetime(2026, 4, 1, 12, 0, tzinfo=BERLIN)
    assert (exception["SUMMARY"], exception["UID"]) == ("Later", master["UID"])
    assert "RRULE" not in exception
    assert "ATTENDEE" not in exception
    assert exception["LOCATION"] == "Pier 7"  # as in the series
    assert [one["ATTACH"].params["X-FILENAME"] for one in (master, exception)] == [
        "all.txt", "papers.txt",
    ]  # fmt: skip


def test_whole_days_are_dates_in_every_zone() -> None:
    raw = {
        **EVENT, "isAllDay": True, "originalStartTimeZone": "Samoa Standard Time",
        "start": {"dateTime": "2026-05-07T00:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-05-09T00:00:00.0000000", "timeZone": "UTC"},
    }  # fmt: skip
    (event,) = events(raw)
    assert (event["DTSTART"].dt, event["DTEND"].dt) == (date(2026, 5, 7), date(2026, 5, 9))


def test_a_zone_nobody_knows_leaves_the_moments_as_they_are() -> None:
    (event,) = events({**EVENT, "originalStartTimeZone": "tzone://Microsoft/Custom"})
    assert event["DTSTART"].dt == datetime(2026, 3, 24, 8, 0, tzinfo=UTC)


def test_attachments_are_inside_byte_for_byte() -> None:
    data = bytes(range(256)) * 1_000
    name = 'Plan "A"; Größe.pdf'
    (event,) = events(EVENT, part(name, data, contentType="application/pdf"))
    assert event["ATTACH"].params["X-FILENAME"] == "Plan 'A'; Größe.pdf"
    assert event["ATTACH"].params["FMTTYPE"] == "application/pdf"
    assert icalendar.vBinary.from_ical(event["ATTACH"].to_ical()) == data


def test_an_event_of_which_little_is_known_is_still_a_file() -> None:
    (event,) = events({"subject": None, "start": None, "attendees": None, "body": None})
    assert event["UID"] == "AAkALevent"


def test_a_file_is_named_by_day_and_subject() -> None:
    item = StoredItem("x", "cal", "event", "Weekly: plan/do?", {}, EVENT, ())
    assert file_of(item).name.startswith("2026-03-24 Weekly")
    assert file_of(item).name.endswith(".ics")


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
     "Africa/Casablanca", "America/St_Johns", "America/Sao_Paulo"],
)  # fmt: skip
def test_a_zone_says_when_its_clocks_change(name: str) -> None:
    zone = ZoneInfo(name)
    component = icalendar.Component.from_ical(vtimezone(zone))
    read = component.to_tz(lookup_tzid=False)
    at = datetime(1991, 1, 1, 12, 30)  # noqa: DTZ001 - a wall clock
    while at.year < 2037:
        assert at.replace(tzinfo=read).utcoffset() == at.replace(tzinfo=zone).utcoffset(), at
        at += timedelta(days=5)


def test_zones_of_windows_are_those_of_the_unicode_consortium() -> None:
    for name, tz in WINDOWS_TO_OLSON.items():
        found = zone_of(name)
        assert found is not None, name
        now = datetime(2026, 7, 1, 12, tzinfo=UTC)
        assert now.astimezone(found).utcoffset() == now.astimezone(ZoneInfo(tz)).utcoffset()
    assert zone_of("tzone://Microsoft/Custom") is None
    assert zone_of("../etc/passwd") is None
