"""What a preview tells of an item: plain words, whoever it is from."""

from __future__ import annotations

from typing import Any

import pytest

from base.item import StoredItem
from engine import preview


def item(kind: str, **raw: Any) -> StoredItem:
    return StoredItem(id="i", parent="", kind=kind, name="", row={}, raw=raw, parts=(), missing=())


@pytest.mark.parametrize(
    ("shown", "lines"),
    [
        (
            item(
                "event",
                organizer={"emailAddress": {"name": "Ada", "address": "ada@contoso.com"}},
                attendees=[{"emailAddress": {"address": "bo@contoso.com"}, "type": "required"}],
                start={"dateTime": "2026-11-24T09:00:00.0000000", "timeZone": "UTC"},
                location={"displayName": "Pier 4"},
            ),
            [
                ("Organizer", "Ada <ada@contoso.com>"),
                ("Attendees", "bo@contoso.com"),
                ("Starts", "2026-11-24T09:00:00.0000000"),
                ("Where", "Pier 4"),
            ],
        ),
        (
            item("contact", emailAddresses=[{"address": "c@x.example"}], companyName="Fabrikam"),
            [("E-mail", "c@x.example"), ("Company", "Fabrikam")],
        ),
        (
            item("task", dueDateTime={"dateTime": "2026-12-01T00:00:00"}, companyName=None),
            [("Due", "2026-12-01T00:00:00")],
        ),
        (item("event", start=None, location="odd"), []),
    ],
)
def test_events_contacts_and_tasks_say_who_when_and_where(
    shown: StoredItem, lines: list[tuple[str, str]]
) -> None:
    assert preview.of(shown)["people"] == lines


def test_the_words_of_a_page_come_without_its_markup() -> None:
    body = {"contentType": "html", "content": "<p>Hello <script>alert(1)</script>there</p>"}
    words = preview.of(item("event", body=body))["words"]
    assert "Hello" in words
    assert "<" not in words
    assert preview.of(item("contact", personalNotes="met at the pier"))["words"].startswith("met")
