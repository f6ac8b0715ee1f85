"""The JSON a restored message or attached item is created from: what Graph lets an application set.

Rules
- Only named properties pass; everything read-only, volatile or computed is left out.
- Receipts are never asked for again: marking a restored message as read must not send mail.
- A message that was received or sent is created with PR_MESSAGE_FLAGS, without MSGFLAG_UNSENT; else
  Exchange makes a draft of it. Both MAPI dates are set; else it would be one of today.
- The place in a thread is set (PidTagConversationIndex), so that a conversation stays together.

Facts this file rests on: [MS-OXCMSG] 2.2.1.6 (PidTagMessageFlags), [MS-OXOMSG] (client submit and
delivery time, conversation index), learn.microsoft.com/graph/api/resources/followupflag (a due date
needs a start date), /extended-properties-overview.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from m365.marks import MARKER

READ, UNREAD = "1", "0"  # MSGFLAG_READ or nothing; 8 would be MSGFLAG_UNSENT, a draft
_FLAGS = "Integer 0x0E07"
_SENT = "SystemTime 0x0039"
_RECEIVED = "SystemTime 0x0E06"
_THREAD = "Binary 0x0071"
_CLASS = "String 0x001A"
_OPTIONAL = (_THREAD, _CLASS)
_FLAG_DATES = ("startDateTime", "dueDateTime", "completedDateTime")

_RECIPIENTS = ("toRecipients", "ccRecipients", "bccRecipients", "replyTo")
_MESSAGE = (
    "subject",
    "body",
    "from",
    "sender",
    *_RECIPIENTS,
    "importance",
    "inferenceClassification",
    "categories",
    "flag",
    "isRead",
    "internetMessageId",
)
_DRAFT_ONLY = ("isReadReceiptRequested", "isDeliveryReceiptRequested")
_EVENT = (
    "subject",
    "body",
    "start",
    "end",
    "location",
    "locations",
    "isAllDay",
    "importance",
    "sensitivity",
    "showAs",
    "categories",
    "reminderMinutesBeforeStart",
    "isReminderOn",
)
_CONTACT_LEFT_OUT = frozenset(("id", "createdDateTime", "lastModifiedDateTime", "parentFolderId"))
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


def message_body(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a message is created from, without extended properties."""
    names = _MESSAGE + _DRAFT_ONLY if raw.get("isDraft") else _MESSAGE
    body = {name: raw[name] for name in names if raw.get(name) is not None}
    for name in _RECIPIENTS:
        if name in body:
            body[name] = [one for one in body[name] if _has_address(one)]
    for name in ("from", "sender"):
        if name in body and not _has_address(body[name]):
            del body[name]
    if "flag" in body:
        body["flag"] = flag(body["flag"])
    if not (body.get("body") or {}).get("content"):
        body.pop("body", None)  # none, rather than an empty page
    return body


def extended_properties(
    raw: Mapping[str, Any], marker: str, flags: str, message_class: str = ""
) -> list[dict[str, str]]:
    """The marker, dates and thread, the class where it is no ordinary one, and the flags of
    everything but drafts.
    """
    found = [{"id": MARKER, "value": marker}]
    if not raw.get("isDraft"):
        found.append({"id": _FLAGS, "value": flags})
    stored = (
        (_SENT, raw.get("sentDateTime")),
        (_RECEIVED, raw.get("receivedDateTime")),
        (_THREAD, raw.get("conversationIndex")),
        (_CLASS, message_class),
    )
    return found + [{"id": prop, "value": str(value)} for prop, value in stored if value]


def flag(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A follow-up flag as Graph takes it: no empty dates, and no due date without a start."""
    kept = {name: value for name, value in stored.items() if value is not None and name[0] != "@"}
    if "dueDateTime" in kept:
        kept.setdefault("startDateTime", kept["dueDateTime"])
    return kept


def differing(wanted: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """What create did not take and a PATCH can set."""
    changes: dict[str, Any] = {}
    if bool(answer.get("isRead")) != bool(wanted.get("isRead")):
        changes["isRead"] = bool(wanted.get("isRead"))
    for name in ("importance", "inferenceClassification"):
        if name in wanted and answer.get(name, wanted[name]) != wanted[name]:
            changes[name] = wanted[name]
    if sorted(answer.get("categories") or ()) != sorted(wanted.get("categories") or ()):
        changes["categories"] = wanted.get("categories") or []
    flagged, now = wanted.get("flag") or {}, answer.get("flag") or {}
    status = flagged.get("flagStatus", "notFlagged")
    lacks = any(flagged.get(name) and not now.get(name) for name in _FLAG_DATES)
    if (now.get("flagStatus") or "notFlagged") != status or lacks:
        changes["flag"] = flagged or {"flagStatus": "notFlagged"}
    return changes


def attempts(body: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Bodies to try one after another, each with what it leaves out: nothing, recipients without
    an address, then what a message can do without.
    """
    yield dict(body), ()
    cleaned, dropped = with_valid_recipients(body)
    left_out = ("recipients",) if dropped else ()
    if dropped:
        yield cleaned, left_out
    name = "singleValueExtendedProperties"
    plain = {key: value for key, value in cleaned.items() if key != "internetMessageHeaders"}
    plain[name] = [one for one in cleaned[name] if one["id"] not in _OPTIONAL]
    if plain != cleaned:
        yield plain, (*left_out, "properties")


def with_valid_recipients(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Only recipients that look like SMTP addresses, and how many had to go."""
    cleaned, dropped = dict(body), 0
    for name in _RECIPIENTS:
        valid = [one for one in body.get(name, ()) if _ADDRESS.fullmatch(_address(one))]
        dropped += len(body.get(name, ())) - len(valid)
        if name in body:
            cleaned[name] = valid
    return cleaned, dropped


def attached_item(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The item of an itemAttachment, cleaned of what Graph does not take; {} where it cannot."""
    kind = str(stored.get("@odata.type", "#microsoft.graph.message"))
    if kind.endswith("event"):
        body = {name: stored[name] for name in _EVENT if stored.get(name) is not None}
    elif kind.endswith("contact"):
        body = {
            name: value
            for name, value in stored.items()
            if value is not None and name not in _CONTACT_LEFT_OUT and "@odata" not in name
        }
    elif "essage" in kind:
        body = message_body(stored)
        kind = "#microsoft.graph.message"
        for name in ("sentDateTime", "receivedDateTime"):
            if stored.get(name):
                body[name] = stored[name]
        nested = [_nested(one) for one in stored.get("attachments") or ()]
        if not all(nested):
            return {}
        if nested:
            body["attachments"] = nested
    else:
        return {}
    return {"@odata.type": kind, **body}


def _nested(attachment: Mapping[str, Any]) -> dict[str, Any]:
    """A file inside an attached item; {} for what can only be carried as MIME."""
    if not attachment.get("contentBytes"):
        return {}
    names = ("@odata.type", "name", "contentType", "isInline", "contentId", "contentBytes")
    return {name: attachment[name] for name in names if attachment.get(name) is not None}


def _has_address(recipient: Mapping[str, Any]) -> bool:
    mail = recipient.get("emailAddress") or {}
    return bool(mail.get("address") or mail.get("name"))


def _address(recipient: Mapping[str, Any]) -> str:
    return str((recipient.get("emailAddress") or {}).get("address") or "")
