"""Calendars on a Graph that answers in ways the simulator does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from base.clock import Clock
from base.item import Change, StoredItem
from m365.calendar import CalendarSource
from m365.calendar_writer import CalendarWriter
from m365.marks import EVENT_MARKER
from m365.service import Folder
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import BOX, GONE, LOST, REFUSED, U
from tests.m365.scripted_restore import StillClock

CAL = "calendar:c1"
DELTA = f"GET {U}/calendars/c1/calendarView/delta"
EVENTS = f"GET {U}/calendars/c1/events"
INTO = Folder("c1", ("Calendar",))


class Graph(ScriptedGraph):
    """A script that has a time as well."""

    @property
    def clock(self) -> Clock:
        return StillClock()


def at(text: str, zone: str = "UTC") -> dict[str, str]:
    return {"dateTime": f"{text}.0000000", "timeZone": zone}


def event(key: str, **more: Any) -> dict[str, Any]:
    return {
        "id": key, "subject": f"About {key}", "body": {"contentType": "text", "content": "x"},
        "start": at("2026-11-03T10:00:00"), "end": at("2026-11-03T11:00:00"),
        "lastModifiedDateTime": "2026-11-01T00:00:00Z", "type": "singleInstance",
        "iCalUId": f"uid-{key}", "originalStartTimeZone": "Tokyo Standard Time", **more,
    }  # fmt: skip


def series(key: str, **more: Any) -> dict[str, Any]:
    pattern = {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday"], "month": 0,
               "dayOfMonth": 0, "index": "first", "firstDayOfWeek": "sunday"}  # fmt: skip
    span = {"type": "noEnd", "startDate": "2026-11-03", "endDate": "0001-01-01",
            "recurrenceTimeZone": "Tokyo Standard Time", "numberOfOccurrences": 0}  # fmt: skip
    recurrence = {"pattern": pattern, "range": span}
    return event(key, type="seriesMaster", recurrence=recurrence, **more)


def script(*events: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        f"GET {U}/calendars": {"value": [{"id": "c1", "name": "Calendar"}]},
        f"GET {U}/calendarGroups": GONE,
        DELTA: {"value": [], "@odata.deltaLink": "delta1"},
        EVENTS: {"value": list(events)},
        **more,
    }


def first_round(graph: Graph) -> tuple[dict[str, str], list[Change]]:
    links: dict[str, str] = {}
    found: list[Change] = []
    for page in CalendarSource(graph, BOX).changes({}, frozenset()):
        links[page.part] = page.link
        found += [one for one in page.entries if isinstance(one, Change) and one.kind == "event"]
    return links, found


def next_round(graph: Graph, links: dict[str, str]) -> list[Any]:
    found: list[Any] = []
    for page in CalendarSource(graph, BOX).changes(links, frozenset()):
        links[page.part] = page.link
        found += page.entries
    return found


def test_a_calendar_that_names_no_owner_is_an_own_one() -> None:
    _, found = first_round(Graph(script(event("a"))))
    assert [one.id for one in found] == ["a"]


def test_an_event_of_which_little_is_told_is_kept() -> None:
    bare = {"id": "a", "subject": None, "start": None, "attendees": None, "organizer": None,
            "body": None, "showAs": "onTheMoon", "@odata.type": "#microsoft.graph.x"}  # fmt: skip
    _, (found,) = first_round(Graph(script(bare)))
    assert (found.name, found.raw["showAs"], found.row["start"]) == ("", "onTheMoon", "")


@pytest.mark.parametrize("bare", ["x1", {"id": "x1"}])
def test_exceptions_of_which_only_ids_come_are_asked_for(bare: Any) -> None:
    whole = event("x1", type="exception", originalStart="2026-11-10T10:00:00Z")
    graph = Graph(script(**{
        f"GET {U}/events/s": series("s", exceptionOccurrences=[bare], cancelledOccurrences=None),
        f"GET {U}/events/s/calendar": {"id": "c1"},
        f"GET {U}/events/x1": whole,
    }))  # fmt: skip
    found = CalendarSource(graph, BOX).complete("s")
    assert [one["subject"] for one in found.raw["exceptionOccurrences"]] == ["About x1"]
    assert (found.parent, found.raw["cancelledOccurrences"]) == ("c1", [])


def test_exceptions_that_come_in_pages_are_read_to_their_end() -> None:
    pages = [
        series("s", exceptionOccurrences=[event("x1")], cancelledOccurrences=[]),
        {"value": [event("x2")]},
    ]
    pages[0]["exceptionOccurrences@odata.nextLink"] = "more"
    graph = Graph(script(**{
        f"GET {U}/events/s": pages[0], "GET more": pages[1],
        f"GET {U}/events/s/calendar": {"id": "c1"},
    }))  # fmt: skip
    found = CalendarSource(graph, BOX).complete("s")
    assert [one["id"] for one in found.raw["exceptionOccurrences"]] == ["x1", "x2"]
    assert not [name for name in found.raw if "@" in name]


def test_a_series_is_asked_for_all_that_is_documented_and_nothing_of_beta() -> None:
    graph = Graph(script(**{
        f"GET {U}/events/s": series("s", exceptionOccurrences=[], cancelledOccurrences=[]),
        f"GET {U}/events/s/calendar": {"id": "c1"},
    }))  # fmt: skip
    CalendarSource(graph, BOX).complete("s")
    first_round(graph)
    (asked,) = (call for call in graph.calls if call.startswith(f"GET {U}/events/s?"))
    for name in ("cancelledOccurrences", "exceptionOccurrences", "recurrence", "onlineMeeting"):
        assert name in asked
    assert not [call for call in graph.calls if "beta" in call]


def test_a_round_without_a_delta_link_draws_the_window_anew() -> None:
    graph = Graph(script(event("a")))
    links, _ = first_round(graph)
    graph.script["GET delta1"] = {"value": []}
    assert next_round(graph, links) == []
    next_round(graph, links)
    assert graph.count(DELTA) == 2
    assert graph.count(EVENTS) == 2


def test_a_token_that_is_lost_in_the_middle_of_a_round_ends_in_a_full_pass() -> None:
    graph = Graph(script(event("a")))
    links, _ = first_round(graph)
    graph.script["GET delta1"] = {"value": [event("b")], "@odata.nextLink": "next"}
    graph.script["GET next"] = LOST
    assert [one.id for one in next_round(graph, links)] == ["b", "a"]
    graph.script["GET delta1"] = {"value": [], "@odata.deltaLink": "delta1"}
    assert next_round(graph, links) == []


def test_an_entry_of_few_properties_is_asked_for_as_a_whole() -> None:
    graph = Graph(script(event("a")))
    links, _ = first_round(graph)
    graph.script["GET delta1"] = {"value": [{"id": "b"}], "@odata.deltaLink": "delta2"}
    notice, *_ = next_round(graph, links)
    assert (notice.id, notice.partial, notice.parent) == ("b", True, "c1")


def test_a_target_that_refuses_the_marker_is_listed_without_it() -> None:
    graph = Graph({EVENTS: [REFUSED, {"value": [event("a")]}]})
    (found,) = CalendarWriter(graph, BOX, StillClock()).existing(INTO)
    assert (found.key, found.marker) == ("uid-a", "")


def written(raw: Mapping[str, Any]) -> dict[str, Any]:
    graph = Graph({f"POST {U}/calendars/c1/events": {"id": "new"}})
    stored = StoredItem("a", "c1", "event", "About a", {}, raw, ())
    CalendarWriter(graph, BOX, StillClock()).write(stored, INTO, "run:1", None, new_name=False)
    (call,) = graph.calls
    body: dict[str, Any] = graph.sent(call)
    return body


def test_what_is_sent_names_nobody_and_makes_no_meeting() -> None:
    body = written(
        event(
            "a", attendees=[{"emailAddress": {"address": "x@y.example"}}], isOnlineMeeting=True,
            onlineMeetingProvider="teamsForBusiness", organizer={}, responseStatus={}, webLink="w",
            isDraft=False, createdDateTime="2026-01-01T00:00:00Z", changeKey="k",
            hasAttachments=False,
        )
    )  # fmt: skip
    assert set(body) == {
        "subject", "body", "start", "end", "transactionId", "singleValueExtendedProperties",
    }  # fmt: skip
    assert body["start"] == {"dateTime": "2026-11-03T19:00:00", "timeZone": "Tokyo Standard Time"}
    assert body["singleValueExtendedProperties"] == [{"id": EVENT_MARKER, "value": "run:1 uid-a"}]


def test_a_recurrence_is_sent_with_what_its_type_needs() -> None:
    assert written(series("s"))["recurrence"] == {
        "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday"],
                    "firstDayOfWeek": "sunday"},
        "range": {"type": "noEnd", "startDate": "2026-11-03",
                  "recurrenceTimeZone": "Tokyo Standard Time"},
    }  # fmt: skip


def test_every_request_that_creates_is_a_transaction_of_its_own() -> None:
    first, second = written(event("a")), written(event("a"))
    assert first["transactionId"] != second["transactionId"]


def test_whole_days_of_a_service_that_shows_them_in_utc_stay_their_days() -> None:
    """Some answers show a whole day as the midnight of its own zone, moved to UTC."""
    body = written(
        event(
            "a", isAllDay=True, start=at("2026-11-02T15:00:00"), end=at("2026-11-03T15:00:00"),
        )
    )  # fmt: skip
    assert [body[name]["dateTime"] for name in ("start", "end")] == [
        "2026-11-03T00:00:00", "2026-11-04T00:00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"originalStart": "2026-11-10T10:00:00Z"}, {}),  # instances that do not tell theirs
        ({"occurrenceId": "OID.s.2026-11-10"}, {"originalStart": "2026-11-10T10:00:00Z"}),
        ({}, {"originalStart": "2026-11-10T10:00:00Z"}),
    ],
)
def test_the_day_of_an_exception_is_found_by_whatever_is_told_of_it(
    told: Mapping[str, Any], shown: Mapping[str, Any]
) -> None:
    moved = "2026-11-12T07:00:00" if told else "2026-11-10T07:00:00"
    exception = event("x", type="exception", **told)
    exception["start"] = at(moved)
    raw = series("s", exceptionOccurrences=[exception], cancelledOccurrences=["OID.s.2026-11-17"])
    days = ("2026-11-03", "2026-11-10", "2026-11-17")
    instances = [{"id": day, "start": at(f"{day}T10:00:00")} | dict(shown) for day in days]
    for one, day in zip(instances, days, strict=True):
        one |= {"originalStart": f"{day}T10:00:00Z"} if shown else {}
    graph = Graph({
        f"POST {U}/calendars/c1/events": {"id": "new"}, f"PATCH {U}/events/new": {},
        f"GET {U}/events/new/instances": {"value": instances},
        f"PATCH {U}/events/2026-11-10": {}, f"DELETE {U}/events/2026-11-17": {},
    })  # fmt: skip
    stored = StoredItem("s", "c1", "event", "About s", {}, raw, ())
    done = CalendarWriter(graph, BOX, StillClock()).write(
        stored, INTO, "run:1", None, new_name=False
    )
    assert done.troubles == ()
    assert graph.sent(f"PATCH {U}/events/2026-11-10")["start"]["dateTime"].startswith(
        "2026-11-12" if told else "2026-11-10"
    )
