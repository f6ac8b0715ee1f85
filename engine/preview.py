"""What of an item can be shown safely: its words, its people, its attachments; never its markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.item import StoredItem
from formats.conversation_words import attachment_words, event_words, name_of, reaction_words
from formats.list_sheet import row_words
from formats.page import page_words
from formats.plan import task_words
from formats.text import TEXT_MAX, words_of

_FILE_BYTES_MAX = 64 * 1024
_PEOPLE = (
    ("From", "from"),
    ("To", "toRecipients"),
    ("Cc", "ccRecipients"),
    ("Organizer", "organizer"),
    ("Attendees", "attendees"),
)
_FACTS = (  # title, and the way to a text in the object of an event, a contact, a task or a page
    ("Starts", ("start", "dateTime")),
    ("Ends", ("end", "dateTime")),
    ("Where", ("location", "displayName")),
    ("Due", ("dueDateTime", "dateTime")),
    ("Company", ("companyName",)),
    ("Mobile", ("mobilePhone",)),
    ("Description", ("description",)),
)
_TALK = ("channel-message", "chat-message")
_TEXT_TYPES = ("text/", "application/json", "application/xml")


def of(item: StoredItem) -> dict[str, Any]:
    """Shape: {people: [[title, names or facts]], words, attachments: [{name, size}]}. Plain text
    only.
    """
    if item.kind in _TALK:
        return _talk(item.raw)
    if item.kind == "planner-task":
        facts, words = task_words(item)
        return {"people": facts, "words": words[:TEXT_MAX], "attachments": []}
    attached = [part for part in item.parts if part.role == "attachment"]
    of_row = row_words(item.raw) if item.kind == "list-item" else []
    return {
        "people": [*_people(item.raw), *_facts(item.raw), *of_row],
        "words": _words(item),
        "attachments": [
            {"name": str(part.meta.get("name") or "(no name)"), "size": part.size}
            for part in attached
        ],
    }


def _talk(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A message of Teams: who, when it was edited or deleted, and what it says."""
    listed = raw.get("attachments")
    attached = [attachment_words(one) for one in listed or () if isinstance(one, Mapping)]
    facts = (
        ("Subject", raw.get("subject")),
        ("Sent", raw.get("createdDateTime")),
        ("Edited", raw.get("lastEditedDateTime")),
        ("Deleted", raw.get("deletedDateTime")),
        ("Reactions", reaction_words(raw)),
        ("Attached", ", ".join(filter(None, attached))),  # links: their files lie elsewhere
    )
    event = event_words(raw) if isinstance(raw.get("eventDetail"), Mapping) else ""
    sender = [] if event else [("From", name_of(raw))]
    return {
        "people": [*sender, *((title, str(value)) for title, value in facts if value)],
        "words": event or _body(raw),
        "attachments": [],
    }


def _words(item: StoredItem) -> str:
    if item.kind == "site-page":
        return page_words(item.raw)
    return _body(item.raw) or _file_text(item)


def _file_text(item: StoredItem) -> str:
    """The beginning of a file that is text by its type; bytes that are none show as marks."""
    content = item.part("content")
    if content is None or not str(item.row.get("type", "")).startswith(_TEXT_TYPES):
        return ""
    held = b""
    for block in content.open():
        held += block[: _FILE_BYTES_MAX - len(held)]
        if len(held) >= _FILE_BYTES_MAX:
            break
    return held.decode("utf-8-sig", "replace")


def _people(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The address lines of an item: ("To", "Ada <ada@contoso.com>, ...")."""
    found = []
    for title, key in _PEOPLE:
        value = raw.get(key) or []
        listed = [value] if isinstance(value, dict) else value
        known = [one for one in listed if isinstance(one, Mapping)]
        names = [_address(one.get("emailAddress") or {}) for one in known]
        if names:
            found.append((title, ", ".join(names)))
    own = [_address(one) for one in raw.get("emailAddresses") or ()]  # a contact's
    return [*found, ("E-mail", ", ".join(own))] if own else found


def _facts(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for title, way in _FACTS:
        value: Any = raw
        for name in way:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value:
            found.append((title, value))
    return found


def _address(one: Mapping[str, Any]) -> str:
    name, address = str(one.get("name") or ""), str(one.get("address") or "")
    return f"{name} <{address}>" if name and address and name != address else name or address


def _body(raw: Mapping[str, Any]) -> str:
    body = raw.get("body") or {}
    content = str(body.get("content") or raw.get("personalNotes") or "")
    if str(body.get("contentType")).lower() == "html":
        return words_of(content)
    return content[:TEXT_MAX]
