"""Events as items: what is kept of their JSON, what a page shows, and when parts are fetched anew.

Rules
- A series is one item: the master's JSON holds its exceptions (`exceptionOccurrences`) and the days
  that fell out (`cancelledOccurrences`) as Graph gives them, ordered, so that an unchanged series
  is the same bytes.
- What changes without meaning (etags, change keys) is kept apart, in exceptions left out.
- The fingerprint covers attachments and nothing else: an event that is renamed or moved is not
  downloaded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from base.item import Change
from m365.mail_attachments import without_bytes

KIND = "event"
# https://learn.microsoft.com/graph/api/resources/event
NAMES = (
    "allowNewTimeProposals", "attendees", "body", "bodyPreview", "categories", "changeKey",
    "createdDateTime", "end", "hasAttachments", "hideAttendees", "iCalUId", "id", "importance",
    "isAllDay", "isCancelled", "isDraft", "isOnlineMeeting", "isOrganizer", "isReminderOn",
    "lastModifiedDateTime", "location", "locations", "onlineMeeting", "onlineMeetingProvider",
    "onlineMeetingUrl", "organizer", "originalEndTimeZone", "originalStart",
    "originalStartTimeZone", "recurrence", "reminderMinutesBeforeStart", "responseRequested",
    "responseStatus", "sensitivity", "seriesMasterId", "showAs", "start", "subject",
    "transactionId", "type", "webLink",
)  # fmt: skip
EXCEPTIONS, CANCELLED = "exceptionOccurrences", "cancelledOccurrences"
_VOLATILE = frozenset(
    ("@odata.etag", "@odata.context", "@odata.type", "changeKey", "attachments@odata.context")
)
_ALSO_VOLATILE = frozenset((f"{EXCEPTIONS}@odata.context", f"{CANCELLED}@odata.type"))
_LISTED_FACTS = ("id", "size", "name", "lastModifiedDateTime")  # of an attachment
_NEWEST_FIRST = str.maketrans("0123456789", "9876543210")  # turns the order of times around


def whole(raw: Mapping[str, Any], calendar_id: str) -> Change:
    """A Change that holds all of an event, or all of a series."""
    kept = {key: value for key, value in raw.items() if key not in _VOLATILE | _ALSO_VOLATILE}
    if isinstance(kept.get("attachments"), list):
        kept["attachments"] = sorted(
            (without_bytes(one) for one in kept["attachments"]), key=lambda one: str(one.get("id"))
        )
        if not kept["attachments"]:
            del kept["attachments"]  # a feed that brings no attachments must say the same
    if EXCEPTIONS in kept:
        kept[EXCEPTIONS] = sorted(map(_exception, kept[EXCEPTIONS]), key=_original)
    if CANCELLED in kept:
        kept[CANCELLED] = sorted(map(str, kept[CANCELLED] or ()))
    return Change(
        id=raw["id"],
        parent=calendar_id,
        kind=KIND,
        name=raw.get("subject") or "",
        raw=kept,
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row=_row(kept),
        fingerprint=_fingerprint(kept),
    )


def notice(raw: Mapping[str, Any], calendar_id: str) -> Change:
    """A Change that only says that there is news of an event; `raw` is what is known of it."""
    return Change(
        id=raw["id"],
        parent=calendar_id,
        kind=KIND,
        name=raw.get("subject") or "",
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        partial=True,
    )


def is_master(raw: Mapping[str, Any]) -> bool:
    """Whether an entry is the master of a series, by its type or, lacking one, its recurrence."""
    return str(raw.get("type") or "").lower() == "seriesmaster" or bool(raw.get("recurrence"))


def may_have_files(raw: Mapping[str, Any]) -> bool:
    """Whether attachments have to be asked for; inline ones do not always count as having some."""
    body = str((raw.get("body") or {}).get("content") or "").lower()
    return bool(raw.get("hasAttachments")) or "cid:" in body


def exceptions_with_files(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The exceptions of a series that may have attachments."""
    return [one for one in raw.get(EXCEPTIONS) or () if may_have_files(one)]


def moment(value: Mapping[str, Any] | None) -> str:
    """A dateTimeTimeZone as ISO text: with Z where it is in UTC."""
    text = str((value or {}).get("dateTime") or "").split(".")[0].removesuffix("Z")
    return f"{text}Z" if text and (value or {}).get("timeZone", "UTC") == "UTC" else text


def _exception(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in _VOLATILE}


def _original(raw: Mapping[str, Any]) -> tuple[str, str]:
    return str(raw.get("originalStart") or ""), str(raw.get("id") or "")


def _fingerprint(raw: Mapping[str, Any]) -> str:
    files = raw.get("attachments")
    facts: list[Any] = []
    if isinstance(files, list):
        facts.append([[str(one.get(key)) for key in _LISTED_FACTS] for one in files])
    elif may_have_files(raw):
        facts.append(raw.get("lastModifiedDateTime"))
    facts += [
        (one.get("id"), one.get("lastModifiedDateTime")) for one in exceptions_with_files(raw)
    ]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _row(raw: Mapping[str, Any]) -> dict[str, Any]:
    files = raw.get("attachments")
    count = len(files) if isinstance(files, list) else int(bool(raw.get("hasAttachments")))
    start = moment(raw.get("start"))
    return {
        "sort": start.translate(_NEWEST_FIRST),
        "start": start,
        "end": moment(raw.get("end")),
        "organizer": _address(raw.get("organizer")),
        "attachments": count,
        "series": is_master(raw),
        "all_day": bool(raw.get("isAllDay")),
    }


def _address(recipient: Mapping[str, Any] | None) -> str:
    """As a person writes it: "Name <address>", or what there is of it."""
    mail = (recipient or {}).get("emailAddress") or {}
    name, address = str(mail.get("name") or ""), str(mail.get("address") or "")
    if not name or name == address:
        return address
    return f"{name} <{address}>" if address else name
