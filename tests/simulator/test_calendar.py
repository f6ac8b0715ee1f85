"""Calendars of the simulated tenant: what the documentation promises, and what it merely allows."""

import base64
import random
from datetime import date, datetime, timedelta

import pytest

from simulator import Tenant, hostile, serve
from simulator.calendar_recurrence import checked, days_of
from simulator.calendar_state import calendars_of
from simulator.contoso_calendar import make
from tests.simulator.wire import Wire, settled

START = datetime(2026, 3, 23, 9, 0)  # noqa: DTZ001 - a wall clock
WINDOW = "startDateTime=2026-01-01T00:00:00Z&endDateTime=2026-12-31T00:00:00Z"
WEEKLY = {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"]}
FIVE = {"type": "numbered", "numberOfOccurrences": 5}
BODY = {
    "subject": "Lunch", "attendees": [{"emailAddress": {"address": "nora@ships.example"}}],
    "start": {"dateTime": "2026-03-10T12:00:00", "timeZone": "Pacific Standard Time"},
    "end": {"dateTime": "2026-03-10T14:00:00", "timeZone": "Pacific Standard Time"},
}  # fmt: skip


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def store(tenant, user):
    return calendars_of(tenant, user)


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


def series(store, **facts):
    facts = {"pattern": WEEKLY, "span": FIVE, **facts}
    return make(store, store.default, random.Random(1), "Series", START, **facts)


def single(store, subject="Single", start=START, **facts):
    return make(store, store.default, random.Random(2), subject, start, **facts)


def delta(user, store):
    return f"/users/{user}/calendars/{store.default.id}/calendarView/delta?{WINDOW}"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"type": "daily", "interval": 10}, ["2026-01-31", "2026-02-10", "2026-02-20"]),
        (
            {"type": "weekly", "interval": 2, "daysOfWeek": ["saturday", "sunday"],
             "firstDayOfWeek": "monday"},
            ["2026-01-31", "2026-02-01", "2026-02-14"],
        ),
        (
            {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31},
            ["2026-01-31", "2026-02-28", "2026-03-31"],
        ),
        (
            {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["friday"], "index": "last"},
            ["2026-02-27", "2026-03-27", "2026-04-24"],
        ),
        (
            {"type": "absoluteYearly", "interval": 1, "month": 2, "dayOfMonth": 29},
            ["2026-02-28", "2027-02-28", "2028-02-29"],
        ),
        (
            {"type": "relativeYearly", "interval": 1, "month": 11, "daysOfWeek": ["thursday"],
             "index": "fourth"},
            ["2026-11-26", "2027-11-25", "2028-11-23"],
        ),
    ],
)  # fmt: skip
def test_a_pattern_names_the_days_it_says(pattern, expected):
    span = {"type": "numbered", "numberOfOccurrences": 3, "startDate": "2026-01-31"}
    found = checked({"pattern": pattern, "range": span}, "UTC")
    assert [day.isoformat() for day in days_of(found, date(2100, 1, 1))] == expected


def test_lists_hold_masters_and_single_events_and_no_occurrences(wire, user, store):
    series(store)
    single(store)
    pages, _ = wire.walk(f"/users/{user}/calendars/{store.default.id}/events")
    assert sorted(one["type"] for page in pages for one in page) == [
        "seriesMaster", "singleInstance",
    ]  # fmt: skip


def test_a_series_keeps_its_wall_clock_over_the_change_of_the_clock(wire, user, store):
    event = series(store)  # from 23 March; European clocks change on the 29th
    key = store.event_id(event, immutable=True)
    found = wire.get(f"/users/{user}/events/{key}/instances?{WINDOW}")["value"]
    hours = [one["start"]["dateTime"][11:13] for one in found]
    assert hours == ["08", "07", "07", "07", "07"]
    assert {one["originalStartTimeZone"] for one in found} == {"W. Europe Standard Time"}


def test_exceptions_and_cancelled_days_are_told_only_for_one_master_and_on_request(
    wire, user, store
):
    event = series(store)
    days = list(event.days(date(2027, 1, 1)))
    store.change_occurrence(event, days[1], subject="Other")
    store.cancel_occurrence(event, days[2])
    key = store.event_id(event, immutable=True)
    path = f"/users/{user}/events/{key}"
    plain = wire.get(path)
    assert "cancelledOccurrences" not in plain
    assert "exceptionOccurrences" not in plain
    asked = "?$select=cancelledOccurrences,exceptionOccurrences&$expand=exceptionOccurrences"
    found = wire.get(path + asked)
    assert found["cancelledOccurrences"] == [f"OID.{key}.2026-04-06"]
    (other,) = found["exceptionOccurrences"]
    assert (other["type"], other["subject"], other["seriesMasterId"]) == ("exception", "Other", key)
    listed = wire.get(f"/users/{user}/events{asked}")["value"]
    assert not any("exceptionOccurrences" in one for one in listed)


def test_the_feed_of_a_window_needs_the_window_and_takes_no_options(wire, user, store):
    path = f"/users/{user}/calendars/{store.default.id}/calendarView/delta"
    assert wire.code("GET", path)[0] == 400
    for option in ("$select=id", "$expand=attachments", "$filter=type eq 'x'", "$top=5"):
        assert wire.code("GET", f"{path}?{WINDOW}&{option}")[0] == 400


def test_the_feed_of_a_window_brings_masters_with_their_occurrences(wire, user, store):
    series(store)
    single(store)
    single(store, "Outside", START + timedelta(days=900))
    pages, link = wire.walk(delta(user, store))
    held = settled(pages)
    kinds = sorted(one["type"] for one in held.values())
    assert kinds == ["occurrence"] * 5 + ["seriesMaster", "singleInstance"]
    assert not any("subject" in one for one in held.values() if one["type"] == "occurrence")
    assert wire.walk(link)[0] == [[]]


def test_what_changes_shows_in_the_feed_and_removals_name_occurrences(wire, user, store):
    event, other = series(store), single(store)
    days = list(event.days(date(2027, 1, 1)))
    _, link = wire.walk(delta(user, store))
    store.cancel_occurrence(event, days[0])
    store.change_occurrence(event, days[1], subject="Other")
    target = store.add_calendar("Elsewhere")
    store.move_event(other, target)
    pages, _ = wire.walk(link)
    entries = [one for page in pages for one in page]
    removed = {one["id"] for one in entries if "@removed" in one}
    assert removed == {
        store.event_id(event, days[0], immutable=True), store.event_id(other, immutable=True),
    }  # fmt: skip
    assert {one["type"] for one in settled(pages).values()} == {
        "seriesMaster", "occurrence", "exception",
    }  # fmt: skip


def test_the_window_stays_in_the_token(wire, user, store):
    _, link = wire.walk(delta(user, store))
    single(store, "Outside", START + timedelta(days=900))
    pages, _ = wire.walk(link)
    assert [one for page in pages for one in page if "@removed" not in one] == []


def test_a_hostile_feed_may_name_a_changed_day_without_its_master(tenant, wire, user, store):
    tenant.quirks = hostile()
    events = [series(store) for _ in range(12)]
    _, link = wire.walk(delta(user, store))
    for event in events:
        store.change_occurrence(event, list(event.days(date(2027, 1, 1)))[1], subject="Other")
    held = settled(wire.walk(link)[0]).values()
    assert 0 < sum(one["type"] == "seriesMaster" for one in held) < 12
    assert sum(one["type"] == "exception" for one in held) == 12


def test_lost_tokens_answer_410(tenant, wire, user, store):
    _, link = wire.walk(delta(user, store))
    tenant.feeds.lose(lambda feed: feed.startswith("calendarView"))
    status, code = wire.code("GET", link)
    assert (status, code.lower()) == (410, "syncstatenotfound")


def test_betas_feed_knows_no_window_and_gives_few_properties(wire, user, store):
    event = series(store)
    url = f"{wire.running.url}/beta/users/{user}/calendars/{store.default.id}/events/delta"
    pages, _ = wire.walk(url)
    (one,) = settled(pages).values()
    assert one["id"] == store.event_id(event, immutable=True)
    assert "subject" not in one


def test_whoever_invites_is_counted(tenant, wire, user):
    made = wire.post(f"/users/{user}/events", BODY)
    assert made["originalStartTimeZone"] == "Pacific Standard Time"
    assert made["start"] == {"dateTime": "2026-03-10T19:00:00.0000000", "timeZone": "UTC"}
    wire.send("PATCH", f"/users/{user}/events/{made['id']}", {"subject": "Dinner"})
    wire.send("DELETE", f"/users/{user}/events/{made['id']}")
    assert dict(tenant.counters.meeting_mail) == {"invitation": 1, "update": 1, "cancellation": 1}


def test_the_same_transaction_makes_one_event(wire, user, store):
    body = BODY | {"transactionId": "7E163156-7762-4BEB-A1C6-729EA81755A7"}
    first, second = (wire.post(f"/users/{user}/events", body) for _ in range(2))
    assert first["id"] == second["id"]
    assert len(store.events) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"isAllDay": True}, "ErrorInvalidRequest"),
        ({"start": {"dateTime": "2026-03-10T12:00:00", "timeZone": "Mars"}},
         "TimeZoneNotSupportedException"),
        ({"recurrence": {"pattern": {"type": "weekly", "interval": 1},
                         "range": {"type": "noEnd", "startDate": "2026-03-10"}}},
         "ErrorPropertyValidationFailure"),
    ],
)  # fmt: skip
def test_events_that_make_no_sense_are_refused(wire, user, change, code):
    assert wire.code("POST", f"/users/{user}/events", BODY | change) == (400, code)


def test_an_occurrence_that_is_changed_becomes_an_exception_and_a_deleted_one_is_cancelled(
    wire, user, store
):
    event = series(store)
    key = store.event_id(event, immutable=True)
    first, second, *_ = wire.get(f"/users/{user}/events/{key}/instances?{WINDOW}")["value"]
    wire.send("PATCH", f"/users/{user}/events/{first['id']}", {"subject": "Other"})
    wire.send("DELETE", f"/users/{user}/events/{second['id']}")
    assert [day.isoformat() for day in event.changed] == ["2026-03-23"]
    assert [day.isoformat() for day in event.cancelled] == ["2026-03-30"]


def test_files_are_added_small_and_large(wire, user, store):
    key = store.event_id(single(store), immutable=True)
    path = f"/users/{user}/events/{key}/attachments"
    small = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt"}
    wire.post(path, small | {"contentBytes": base64.b64encode(b"hello").decode()})
    size = 3_300_000
    item = {"attachmentType": "file", "name": "b.bin", "size": size}
    session = wire.post(f"{path}/createUploadSession", {"AttachmentItem": item})
    answer = wire.send(
        "PUT", session["uploadUrl"], b"x" * size, bare=True,
        Content_Range=f"bytes 0-{size - 1}/{size}",
    )  # fmt: skip
    assert answer.status == 201
    listed = wire.get(f"/users/{user}/events/{key}?$expand=attachments($select=id,name,size)")
    first, second = listed["attachments"]
    assert "contentBytes" not in first
    value = wire.send("GET", f"{path}/{second['id']}/$value")
    assert value.data == b"x" * size


def test_names_of_calendars_are_taken_once(wire, user):
    wire.post(f"/users/{user}/calendars", {"name": "Work"})
    assert wire.code("POST", f"/users/{user}/calendars", {"name": "work"}) == (
        409, "ErrorFolderExists",
    )  # fmt: skip


def test_nothing_is_shown_without_the_permission(tenant, wire, user, store):
    single(store)
    app = tenant.add_app("Basic", ("Calendars.ReadBasic.All",))
    basic = Wire(wire.running, app)
    (one,) = basic.get(f"/users/{user}/events")["value"]
    assert "body" not in one
    assert "attendees" not in one
    assert basic.code("POST", f"/users/{user}/events", BODY)[0] == 403
    mail = Wire(wire.running, tenant.add_app("Mail", ("Mail.ReadWrite",)))
    assert mail.code("GET", f"/users/{user}/calendars")[0] == 403


def test_regular_ids_die_with_a_move_and_immutable_ones_live(wire, user, store):
    event = single(store)
    plain, immutable = store.event_id(event, immutable=False), store.event_id(event, immutable=True)
    store.move_event(event, store.add_calendar("Elsewhere"))
    assert wire.code("GET", f"/users/{user}/events/{plain}")[0] == 404
    assert wire.get(f"/users/{user}/events/{immutable}")["subject"] == "Single"
