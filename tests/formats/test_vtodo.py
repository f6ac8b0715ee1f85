"""Tasks as iCalendar: dates, repetition, reminder, checklist, links and files in one file."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from base.item import StoredItem
from formats import file_of
from formats.rrule import rrule
from tests.formats.content_reader import properties, split, unescaped, values
from tests.formats.items import part


def task(*files: tuple[str, bytes], **raw: Any) -> StoredItem:
    parts = tuple(
        part("attachment", data, {"name": name, "contentType": "text/plain"}, step=10)
        for name, data in files
    )
    raw = {"title": "Call; Bob", "lastModifiedDateTime": "2026-11-01T10:00:00.1234567Z", **raw}
    return StoredItem("AAkA=", "list", "task", str(raw["title"] or ""), {}, raw, parts)


def calendar(item: StoredItem) -> bytes:
    return b"".join(file_of(item).blocks())


def at(moment: str, zone: str = "UTC") -> dict[str, str]:
    return {"dateTime": f"{moment}.0000000", "timeZone": zone}


def test_days_stay_days_and_moments_become_utc() -> None:
    data = calendar(
        task(
            dueDateTime=at("2027-01-04T00:00:00", "Pacific Standard Time"),
            startDateTime=at("2027-01-01T00:00:00"),
            reminderDateTime=at("2027-07-04T09:30:00", "W. Europe Standard Time"),
            isReminderOn=True, status="completed", completedDateTime=at("2027-01-05T00:00:00"),
        )
    )  # fmt: skip
    facts = {name: (parameters, value) for name, parameters, value in properties(data)}
    assert facts["DUE"] == ({"VALUE": "DATE"}, "20270104")
    assert facts["DTSTART"] == ({"VALUE": "DATE"}, "20270101")
    assert facts["TRIGGER"] == ({"VALUE": "DATE-TIME"}, "20270704T073000Z")
    assert facts["COMPLETED"] == ({}, "20270105T000000Z")
    assert facts["DTSTAMP"] == ({}, "20261101T100000Z")
    assert values(data, "STATUS") == ["COMPLETED"]


def test_a_status_only_to_do_knows_is_said_too() -> None:
    data = calendar(task(status="waitingOnOthers", importance="high", categories=["A,b", "C"]))
    assert values(data, "STATUS") == ["NEEDS-ACTION"]
    assert values(data, "X-HOLDFAST-STATUS") == ["waitingOnOthers"]
    assert values(data, "PRIORITY") == ["1"]
    assert split(values(data, "CATEGORIES")[0], ",") == ["A,b", "C"]


def test_the_body_is_text_and_html_stays_beside_it() -> None:
    data = calendar(task(body={"contentType": "html", "content": "<p>On <b>Monday</b>;</p>"}))
    assert unescaped(values(data, "DESCRIPTION")[0]) == "On Monday;"
    assert unescaped(values(data, "X-ALT-DESC")[0]) == "<p>On <b>Monday</b>;</p>"


def test_a_checklist_becomes_tasks_below_the_task_in_their_order() -> None:
    steps = [
        {"id": "1", "displayName": "First", "isChecked": True,
         "checkedDateTime": "2026-10-01T08:00:00Z"},
        {"id": "2", "displayName": "Then", "isChecked": False},
    ]  # fmt: skip
    data = calendar(task(checklistItems=steps))
    assert values(data, "SUMMARY") == ["Call\\; Bob", "First", "Then"]
    assert values(data, "RELATED-TO") == ["AAkA=", "AAkA="]
    assert values(data, "UID") == ["AAkA=", "AAkA=-1", "AAkA=-2"]
    assert values(data, "STATUS") == ["NEEDS-ACTION", "COMPLETED", "NEEDS-ACTION"]


def test_files_lie_inside_byte_for_byte_and_links_are_addresses() -> None:
    content = bytes(range(256)) * 5
    link = {"webUrl": "https://x.example/1,2", "displayName": "Order; 7", "applicationName": "P"}
    data = calendar(
        task(('größe: "a".txt', content), ("b" * 90 + "é.txt", b""), linkedResources=[link])
    )
    attached = [(p, v) for n, p, v in properties(data) if n == "ATTACH"]
    assert attached[0] == ({"X-LABEL": "Order; 7"}, "https://x.example/1,2")
    assert attached[1][0]["FILENAME"] == "größe: 'a'.txt"
    assert base64.b64decode(attached[1][1], validate=True) == content
    assert attached[2][0]["FILENAME"] == "b" * 90 + "é.txt"
    assert attached[2][1] == ""
    assert split(values(data, "X-LINKED-RESOURCE")[0], ";") == ["P", "Order; 7", ""]


def test_what_is_missing_or_null_harms_nothing() -> None:
    data = calendar(task(title=None, body=None, dueDateTime=None, recurrence=None, status=None))
    assert values(data, "SUMMARY") == [""]
    found = file_of(task())
    assert found.name == "Call; Bob.ics"
    assert found.size == len(b"".join(found.blocks()))


@pytest.mark.parametrize(
    ("pattern", "span", "rule"),
    [
        ({"type": "daily", "interval": 1}, {"type": "noEnd"}, "FREQ=DAILY"),
        (
            {"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "friday"],
             "firstDayOfWeek": "sunday"},
            {"type": "endDate", "endDate": "2027-12-31"},
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU;UNTIL=20271231",
        ),
        (
            {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31},
            {"type": "numbered", "numberOfOccurrences": 5},
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1;COUNT=5",
        ),
        (
            {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["tuesday"], "index": "last"},
            {},
            "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=-1",
        ),
        (
            {"type": "absoluteYearly", "interval": 1, "dayOfMonth": 4, "month": 7},
            {},
            "FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=4",
        ),
        ({"type": "hourlyInTheFuture"}, {}, ""),
        ({}, {}, ""),
    ],
)  # fmt: skip
def test_patterns_of_graph_are_rules_of_icalendar(
    pattern: dict[str, Any], span: dict[str, Any], rule: str
) -> None:
    assert rrule({"pattern": pattern, "range": span}, days=True) == rule
