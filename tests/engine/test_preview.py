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
            item(
                "list-item",
                fields={"Title": "Pier 4", "SupplierLookupId": "2", "Urgent": True},
                words={"Supplier": [{"id": 2, "value": "Fabrikam"}]},
            ),
            [("Title", "Pier 4"), ("Supplier", "Fabrikam"), ("Urgent", "Yes")],
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


def test_a_message_of_teams_is_shown_with_its_sender_and_words() -> None:
    raw = {
        "from": {"application": None, "user": {"displayName": "Ada"}},
        "createdDateTime": "2026-03-01T10:00:00Z",
        "deletedDateTime": None,
        "subject": "Lunch",
        "body": {
            "contentType": "html",
            "content": "<p>Soup <at>Grace</at><script>x</script>",
        },
        "attachments": [{"contentType": "reference", "name": "Menu.pdf"}, "odd"],
        "reactions": [{"reactionType": "like"}],
    }
    for kind in ("chat-message", "channel-message"):
        found = preview.of(StoredItem("1", "talk", kind, "Lunch", {}, raw, ()))
        assert found["people"] == [
            ("From", "Ada"),
            ("Subject", "Lunch"),
            ("Sent", "2026-03-01T10:00:00Z"),
            ("Reactions", "👍 1"),
            ("Attached", "Menu.pdf"),
        ]
        assert found["words"] == "Soup Grace"
        assert found["attachments"] == []


def test_what_teams_noted_is_shown_in_words() -> None:
    detail = {"@odata.type": "#microsoft.graph.chatRenamedEventMessageDetail"}
    raw = {"from": None, "body": {"contentType": "html", "content": "<systemEventMessage/>"},
           "eventDetail": {**detail, "chatDisplayName": "Dinner"}}  # fmt: skip
    found = preview.of(StoredItem("1", "talk", "chat-message", "", {}, raw, ()))
    assert found == {"people": [], "words": "Chat renamed: Dinner", "attachments": []}
