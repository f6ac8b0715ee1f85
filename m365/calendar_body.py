"""The JSON a restored event is created from: what Graph lets an application set.

Rules
- Only named properties pass; everything read-only, volatile or computed is left out.
- No attendee is ever sent: Graph invites whom an event names, and has no way not to.
- No online meeting is made anew: it would have another link than people were given.
- Times go back as wall-clock times of the zone the event was made in, so that a series keeps its
  hour when the clocks change; a zone nobody knows any more leaves the moments as they were, in UTC.

Facts this file rests on: learn.microsoft.com/graph/api/user-post-events (the server sends
invitations to all attendees), /api/resources/event, /api/resources/recurrencerange.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from base.item import StoredItem
from base.zones import zone_of
from m365 import marks
from m365.calendar_json import CANCELLED, EXCEPTIONS

SETTABLE = (
    "subject", "body", "categories", "importance", "sensitivity", "showAs", "isAllDay",
    "isReminderOn", "reminderMinutesBeforeStart", "responseRequested", "allowNewTimeProposals",
    "hideAttendees",
)  # fmt: skip
_PATTERN = {
    "daily": (),
    "weekly": ("daysOfWeek", "firstDayOfWeek"),
    "absolutemonthly": ("dayOfMonth",),
    "relativemonthly": ("daysOfWeek", "index", "firstDayOfWeek"),
    "absoluteyearly": ("dayOfMonth", "month"),
    "relativeyearly": ("daysOfWeek", "index", "month", "firstDayOfWeek"),
}
_RANGE = {"enddate": ("endDate",), "numbered": ("numberOfOccurrences",), "noend": ()}
_MIDNIGHT = "00:00:00"


def event_body(raw: Mapping[str, Any], *, in_utc: bool = False) -> dict[str, Any]:
    """What a single event or a series is created from; `in_utc` for a server without its zone."""
    body = settable(raw)
    body |= times(raw, in_utc=in_utc)
    recurrence = raw.get("recurrence")
    if recurrence:
        body["recurrence"] = _recurrence(recurrence, "UTC" if in_utc else zone_name(raw))
    return body


def settable(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What can be set of an event or an exception, without its times."""
    body = {name: raw[name] for name in SETTABLE if raw.get(name) is not None}
    if body.get("showAs") == "unknown":
        del body["showAs"]
    places = [_plain(one) for one in raw.get("locations") or ()]
    if (raw.get("location") or {}).get("displayName"):
        body["location"] = _plain(raw["location"])
    if places:
        body["locations"] = places
    return body


def differing(exception: Mapping[str, Any], master: Mapping[str, Any]) -> dict[str, Any]:
    """What makes an exception of an occurrence: its times, and what is not as in the series."""
    own, common = settable(exception), settable(master)
    changes = {name: value for name, value in own.items() if common.get(name) != value}
    zones = {name: exception.get(name) or master.get(name) for name in _ZONES}
    return changes | times({**exception, **zones})


def times(raw: Mapping[str, Any], *, in_utc: bool = False) -> dict[str, Any]:
    """Start and end in the zone the event was made in."""
    start = "UTC" if in_utc else zone_name(raw)
    end = "UTC" if in_utc else zone_name(raw, "originalEndTimeZone")
    if raw.get("isAllDay"):
        end = start  # both have to be midnights of one zone
    found = {}
    for name, zone in (("start", start), ("end", end)):
        value = raw.get(name)
        if isinstance(value, Mapping) and value.get("dateTime"):
            found[name] = _local(value, zone, bool(raw.get("isAllDay")))
    return found


_ZONES = ("originalStartTimeZone", "originalEndTimeZone", "isAllDay")


def zone_name(raw: Mapping[str, Any], name: str = "originalStartTimeZone") -> str:
    """The zone an event was made in; that of its recurrence for a custom one; else UTC."""
    span = (raw.get("recurrence") or {}).get("range") or {}
    for found in (raw.get(name), span.get("recurrenceTimeZone")):
        if found and zone_of(str(found)) is not None:
            return "UTC" if str(found).startswith("tzone:") else str(found)
    return "UTC"


def moment_of(value: Mapping[str, Any]) -> datetime | None:
    """A dateTimeTimeZone as an aware time; None where its zone or its text makes no sense."""
    zone = zone_of(str(value.get("timeZone") or "UTC"))
    try:
        found = datetime.fromisoformat(str(value.get("dateTime")).split(".")[0])
    except ValueError:
        return None
    return found.replace(tzinfo=zone or UTC) if found.tzinfo is None else found


def key_of(raw: Mapping[str, Any]) -> str:
    """What collides: the id an event has across calendars; else what a person would compare."""
    return str(raw.get("uid") or raw.get("iCalUId") or "") or same_of(raw)


def same_of(raw: Mapping[str, Any]) -> str:
    """Equal for events that read the same in a calendar."""
    recurrence = raw.get("recurrence") or None
    facts = [
        raw.get("subject") or "",
        bool(raw.get("isAllDay")),
        *(_utc(raw.get(name) or {}) for name in ("start", "end")),
        _recurrence(recurrence, "") if recurrence else None,
    ]
    text = json.dumps(facts, sort_keys=True).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def mark_of(raw: Mapping[str, Any]) -> tuple[str, str]:
    """(marker, key) that a restore left on an event; ("", "") where it was made by nobody of us."""
    mark, _, key = marks.read(raw, marks.EVENT_MARKER).partition(" ")
    return mark, key


def with_attendees(body: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an event with the list of its attendees below: the only way that mails nobody."""
    people = [_person(one) for one in raw.get("attendees") or ()]
    if not people:
        return dict(body)
    text = dict(body.get("body") or {"contentType": "text", "content": ""})
    content = str(text.get("content") or "")
    if str(text.get("contentType")).lower() == "html":
        rows = "".join(f"<li>{html.escape(one)}</li>" for one in people)
        block = f"<p>Attendees:</p><ul>{rows}</ul>"
        at = content.lower().rfind("</body>")
        at = at if at >= 0 else len(content)
        text["content"] = content[:at] + block + content[at:]
    else:
        text["content"] = "\r\n".join((content, "Attendees:", *people, ""))
    return {**body, "body": text}


def occurrences(item: StoredItem) -> tuple[list[Mapping[str, Any]], list[str]]:
    """(exceptions, days that were taken out as yyyy-MM-dd) of a stored series."""
    days = [str(one).rpartition(".")[2] for one in item.raw.get(CANCELLED) or ()]
    return list(item.raw.get(EXCEPTIONS) or ()), days


def _local(value: Mapping[str, Any], zone: str, all_day: bool) -> dict[str, str]:
    text = str(value["dateTime"]).split(".")[0].removesuffix("Z")
    if all_day and text.endswith(_MIDNIGHT):
        return {"dateTime": text, "timeZone": zone}  # a whole day is the same day everywhere
    at, rules = moment_of(value), zone_of(zone)
    if at is None or rules is None:
        return {"dateTime": text, "timeZone": str(value.get("timeZone") or "UTC")}
    return {"dateTime": f"{at.astimezone(rules):%Y-%m-%dT%H:%M:%S}", "timeZone": zone}


def _utc(value: Mapping[str, Any]) -> str:
    at = moment_of(value)
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if at else str(value.get("dateTime") or "")


def _recurrence(stored: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """A recurrence with what its type needs; Graph fills the rest with zeros and first days."""
    pattern, span = stored.get("pattern") or {}, stored.get("range") or {}
    of_pattern = _PATTERN.get(str(pattern.get("type")).lower(), tuple(pattern))
    of_range = _RANGE.get(str(span.get("type")).lower(), tuple(span))
    names = ("type", "interval", *of_pattern)
    found = {
        "pattern": {name: pattern[name] for name in names if pattern.get(name) is not None},
        "range": {name: span[name] for name in ("type", "startDate", *of_range) if name in span},
    }
    if zone:
        found["range"]["recurrenceTimeZone"] = zone
    return found


def _plain(place: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in place.items() if value is not None and "@" not in name}


def _person(attendee: Mapping[str, Any]) -> str:
    mail = attendee.get("emailAddress") or {}
    name, address = str(mail.get("name") or ""), str(mail.get("address") or "")
    shown = f"{name} <{address}>" if name and address and name != address else name or address
    answer = (attendee.get("status") or {}).get("response")
    more = [str(one) for one in (attendee.get("type"), answer) if one and one != "none"]
    return f"{shown} ({', '.join(more)})" if more else shown
