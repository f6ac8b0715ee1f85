"""Takes JSON into events: what may be set, what Exchange makes of it, and the mail it would send.

Whoever makes, changes or deletes a meeting as its organizer makes Exchange mail its attendees;
Graph has no way to leave that out. Nothing is mailed here: counters.meeting_mail counts it.
"""

import re
from datetime import date, datetime, time, timedelta
from typing import Any

from simulator import extended
from simulator.calendar_recurrence import checked
from simulator.calendar_state import Calendar, Calendars, Event
from simulator.calendar_zones import from_utc, to_utc, zone
from simulator.mail_create import attachment_from
from simulator.tenant import Tenant
from simulator.web import GraphError, Json

SETTABLE = (
    "subject", "body", "categories", "importance", "sensitivity", "showAs", "isAllDay",
    "isReminderOn", "reminderMinutesBeforeStart", "responseRequested", "allowNewTimeProposals",
    "hideAttendees", "location", "locations", "attendees", "isOnlineMeeting",
    "onlineMeetingProvider",
)  # fmt: skip
_ENUMS = {
    "importance": ("low", "normal", "high"),
    "sensitivity": ("normal", "personal", "private", "confidential"),
    "showAs": ("free", "tentative", "busy", "oof", "workingElsewhere", "unknown"),
    "onlineMeetingProvider": ("unknown", "teamsForBusiness", "skypeForBusiness"),
}
_TAG = re.compile(r"<[^>]*>")
_NEVER = "0001-01-01T00:00:00Z"


def blank(store: Calendars) -> Json:
    """The properties of an event nobody has said anything of."""
    return {
        "categories": [], "transactionId": None, "reminderMinutesBeforeStart": 15,
        "isReminderOn": True, "subject": "", "bodyPreview": "", "importance": "normal",
        "sensitivity": "normal", "isAllDay": False, "isCancelled": False, "isOrganizer": True,
        "responseRequested": True, "showAs": "busy", "onlineMeetingUrl": None,
        "isOnlineMeeting": False, "onlineMeetingProvider": "unknown", "onlineMeeting": None,
        "allowNewTimeProposals": True, "isDraft": False, "hideAttendees": False,
        "responseStatus": {"response": "organizer", "time": _NEVER},
        "body": {"contentType": "html", "content": ""},
        "location": {"displayName": "", "locationType": "default"}, "locations": [],
        "attendees": [], "organizer": {"emailAddress": dict(store.owner)},
    }  # fmt: skip


def from_json(tenant: Tenant, store: Calendars, calendar: Calendar, body: Json) -> Event:
    """A new event; the same transactionId again gives the one that is there."""
    transaction = body.get("transactionId")
    if transaction:
        for event in store.events.values():
            if event.properties.get("transactionId") == transaction:
                return event
    if not calendar.can_edit:
        raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials.")
    properties = blank(store) | _given(body) | {"transactionId": transaction}
    start, start_zone = _time(body, "start")
    end, end_zone = _time(body, "end")
    _refuse_odd_days(properties, start, end)
    if to_utc(end, end_zone) < to_utc(start, start_zone):
        raise GraphError(400, "ErrorCalendarEndDateIsEarlierThanStartDate", "End is before start.")
    event = Event(0, calendar, properties, start, end, start_zone, end_zone)
    if body.get("recurrence") is not None:
        event.repeat(checked(body["recurrence"], start_zone))
    event.extended = extended.given(body)
    if properties["isOnlineMeeting"]:
        join = f"https://teams.microsoft.com/l/meetup-join/{tenant.rng.getrandbits(64):x}"
        properties["onlineMeeting"] = {"joinUrl": join}
    for number, entry in enumerate(body.get("attachments") or [], 1):
        event.attachments[number] = attachment_from(number, entry, tenant.clock.stamp())
    store.add_event(calendar, event)
    event.lag = tenant.quirks.read_after_write_lag
    _mail(tenant, "invitation", properties["attendees"])
    return event


def patch(tenant: Tenant, store: Calendars, event: Event, day: date | None, body: Json) -> None:
    """Changes an event, a series, or one occurrence, which becomes an exception."""
    changes = _given(body)
    start, end = event.times(day)
    if "start" in body:
        start = _moved(body, "start", event.zone)
    if "end" in body:
        end = _moved(body, "end", event.end_zone)
    merged = event.properties | (event.changed.get(day, {}) if day else {}) | changes
    _refuse_odd_days(merged, start, end)
    values = extended.given(body)
    moved = {k: v for k, v in (("start", start), ("end", end)) if k in body}
    if day is not None:
        if body.get("recurrence") is not None:
            raise GraphError(400, "ErrorInvalidRequest", "An occurrence has no recurrence.")
        if changes or moved:
            store.change_occurrence(event, day, **changes, **moved)
    else:
        if moved:
            event.before = (event.start, event.end)
            event.start, event.end = start, end
        if body.get("recurrence") is not None:
            event.recurrence = checked(body["recurrence"], event.zone)
        event.extended.update(values)
        store.change_event(event, **changes)
    _mail(tenant, "update", merged["attendees"])


def remove(tenant: Tenant, store: Calendars, event: Event, day: date | None) -> None:
    """Deletes an event or cancels one occurrence of a series."""
    attendees = event.properties["attendees"] if event.properties.get("isOrganizer") else []
    if day is None:
        store.delete_event(event)
    else:
        store.cancel_occurrence(event, day)
    _mail(tenant, "cancellation", attendees)


def _mail(tenant: Tenant, kind: str, attendees: list[Json]) -> None:
    if attendees:
        tenant.counters.meeting_mail[kind] += len(attendees)


def _given(body: Json) -> Json:
    found: Json = {}
    for name in SETTABLE:
        if name in body and body[name] is not None:
            found[name] = _checked(name, body[name])
    if "body" in found:
        found["bodyPreview"] = preview(found["body"])
    if "location" in found and "locations" not in found:
        found["locations"] = [found["location"]] if found["location"].get("displayName") else []
    return found


def _checked(name: str, value: Any) -> Any:
    if name in _ENUMS:
        for known in _ENUMS[name]:
            if known.lower() == str(value).lower():
                return known
        raise _wrong(name)
    if name in ("categories", "locations", "attendees") and not isinstance(value, list):
        raise _wrong(name)
    if name.startswith("is") and not isinstance(value, bool):
        raise _wrong(name)
    if name == "attendees":
        return [_attendee(one) for one in value]
    if name == "body":
        kind = str(value.get("contentType", "text")).lower()
        content = value.get("content", "")
        if kind not in ("text", "html") or not isinstance(content, str):
            raise _wrong("body")
        if kind == "html" and "<html" not in content.lower():
            head = "<html>\r\n<head>\r\n</head>\r\n<body>\r\n"
            content = f"{head}{content}\r\n</body>\r\n</html>\r\n"
        return {"contentType": kind, "content": content}
    return value


def _attendee(one: Any) -> Json:
    address = (one.get("emailAddress") or {}) if isinstance(one, dict) else {}
    if not address.get("address"):
        raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
    status = {"response": "none", "time": _NEVER}
    return {"type": str(one.get("type") or "required"), "status": status, "emailAddress": address}


def _time(body: Json, name: str) -> tuple[datetime, str]:
    found = body.get(name)
    if not isinstance(found, dict) or not isinstance(found.get("dateTime"), str):
        raise _wrong(name)
    named = str(found.get("timeZone") or "UTC")
    zone(named)
    text = found["dateTime"].removesuffix("Z")
    if "." in text:
        text = text[: text.index(".")]
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None), named
    except ValueError:
        raise _wrong(name) from None


def _moved(body: Json, name: str, kept: str) -> datetime:
    """A new time in the zone the event has."""
    local, named = _time(body, name)
    return local if named == kept else from_utc(to_utc(local, named), kept)


def _refuse_odd_days(properties: Json, start: datetime, end: datetime) -> None:
    if not properties.get("isAllDay"):
        return
    if start.time() != time.min or end.time() != time.min or end - start < timedelta(days=1):
        raise GraphError(
            400,
            "ErrorInvalidRequest",
            "The Event.Start and Event.End of an all-day event need to be set to midnight.",
        )


def preview(body: Json) -> str:
    text = body["content"]
    if body["contentType"] == "html":
        text = _TAG.sub("", re.sub(r"(?is)<(style|head)\b.*?</\1>", "", text))
    return str(text).strip()[:255]


def _wrong(name: str) -> GraphError:
    return GraphError(400, "ErrorPropertyValidationFailure", f"The value of '{name}' is not valid.")
