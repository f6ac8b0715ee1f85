"""What a preview tells of an item: plain words, whoever it is from."""

from __future__ import annotations

from typing import Any

import pytest

from base.item import StoredItem, StoredPart
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


def test_a_site_page_is_shown_with_the_words_of_its_canvas_and_nothing_of_its_markup() -> None:
    text = {
        "@odata.type": "#microsoft.graph.textWebPart",
        "innerHtml": (
            "<h2>Crane 7</h2><p onclick='x()'>Out of <b>order</b><script>alert(1)</script>"
        ),
    }
    served = {"searchablePlainTexts": [{"key": "title", "value": "Ring the pier master"}]}
    call = {"webPartType": "c4bd", "data": {"title": "Call", "serverProcessedContent": served}}
    canvas = {
        "horizontalSections": [{"columns": [{"webparts": [text, "odd"]}, None]}],
        "verticalSection": {"webparts": [call]},
    }
    found = preview.of(item("site-page", description="News & more", canvasLayout=canvas))
    assert found["people"] == [("Description", "News & more")]
    assert found["words"].split() == "Crane 7 Out of order Call Ring the pier master".split()
    for without in (item("site-page"), item("site-page", canvasLayout="odd")):
        assert preview.of(without)["words"] == "The backup holds no content of this page."


def test_a_task_of_a_plan_is_shown_with_its_dates_description_and_steps() -> None:
    details = {
        "description": "Grease <all> wheels",
        "checklist": {
            "b": {"title": "Check", "isChecked": False, "orderHint": "85B"},
            "a": {"title": "Order grease", "isChecked": True, "orderHint": "85A"},
        },
    }
    whole = item("planner-task", title="Crane 7", startDateTime="2026-11-24T08:00:00Z",
                 dueDateTime="2026-12-01T08:00:00Z", details=details)  # fmt: skip
    found = preview.of(whole)
    assert found["people"] == [
        ("Title", "Crane 7"),
        ("Start", "2026-11-24T08:00:00Z"),
        ("Due", "2026-12-01T08:00:00Z"),
    ]
    assert found["words"] == "Grease <all> wheels\n\n[x] Order grease\n[ ] Check"
    bare = preview.of(item("planner-task", title="Crane 8", details=None))
    assert (bare["people"], bare["words"]) == ([("Title", "Crane 8")], "")


def test_a_sticky_note_is_shown_with_its_words_and_the_names_of_its_pictures() -> None:
    picture = StoredPart("attachment", 3, {"name": "pier.png"}, lambda: iter((b"png",)))
    body = {"contentType": "html", "content": "<p>Milk</p><img src='x'><p>Eggs</p>"}
    found = preview.of(StoredItem("1", "notes", "note", "Milk", {}, {"body": body}, (picture,)))
    assert found == {
        "people": [],
        "words": "Milk\n\nEggs",
        "attachments": [{"name": "pier.png", "size": 3}],
    }
    plain = item("note", body={"contentType": "text", "content": "a < b"})
    assert preview.of(plain)["words"] == "a < b"


def test_what_teams_noted_is_shown_in_words() -> None:
    detail = {"@odata.type": "#microsoft.graph.chatRenamedEventMessageDetail"}
    raw = {"from": None, "body": {"contentType": "html", "content": "<systemEventMessage/>"},
           "eventDetail": {**detail, "chatDisplayName": "Dinner"}}  # fmt: skip
    found = preview.of(StoredItem("1", "talk", "chat-message", "", {}, raw, ()))
    assert found == {"people": [], "words": "Chat renamed: Dinner", "attachments": []}
