"""What the calendars of a mailbox really hold, in a shape made for comparisons.

Times are in UTC; of a series every exception and every day that was taken out is told.
"""

from datetime import date
from typing import Any

from simulator.calendar_json import PROPERTIES
from simulator.calendar_state import Calendars, Event, calendars_of
from simulator.calendar_zones import to_utc
from simulator.mailbox import Attachment
from simulator.tenant import Tenant
from simulator.web import Json

_DERIVED = (
    "changeKey", "hasAttachments", "webLink", "type", "seriesMasterId", "originalStart",
    "originalStartTimeZone", "originalEndTimeZone", "start", "end", "recurrence",
)  # fmt: skip
_KEPT = tuple(name for name in PROPERTIES if name not in _DERIVED)


def calendar_truth(tenant: Tenant, user: str, *, hashes: bool = True) -> Json:
    """{calendars: […], events: […]} of one mailbox; shared-in calendars are marked and empty."""
    store = calendars_of(tenant, user)
    return {
        "calendars": [
            {"id": one.id, "name": one.name, "group": one.group.name, "default": one.default,
             "shared_in": one.owner != store.owner, "can_edit": one.can_edit}
            for one in store.calendars.values()
        ],
        "events": [
            event_truth(store, event, hashes=hashes)
            for event in store.events.values()
            if event.calendar.owner == store.owner
        ],
    }  # fmt: skip


def event_truth(store: Calendars, event: Event, *, hashes: bool = True) -> Json:
    """An event with its immutable id, calendar, properties, times, exceptions and attachments."""
    found: Json = {
        "id": store.event_id(event, immutable=True), "calendar_id": event.calendar.id,
        "calendar": [event.calendar.group.name, event.calendar.name],
        "series": event.is_series, "recurrence": event.recurrence,
        "cancelled": sorted(day.isoformat() for day in event.cancelled),
        "exceptions": [_occurrence(event, day, hashes) for day in sorted(event.changed)],
        "extended": dict(event.extended),
    }  # fmt: skip
    found |= {name: event.properties.get(name) for name in _KEPT}
    return found | _times(event, None) | _files(event, None, hashes)


def _occurrence(event: Event, day: date, hashes: bool) -> Json:
    changed = {k: v for k, v in event.changed[day].items() if k in _KEPT}
    found: dict[str, Any] = {"day": day.isoformat(), "changed": changed}
    return found | _times(event, day) | _files(event, day, hashes)


def _times(event: Event, day: date | None) -> Json:
    """Moments in UTC; of whole days the days themselves, which no zone moves."""
    start, end = event.times(day)
    if not event.properties["isAllDay"]:
        start, end = to_utc(start, event.zone), to_utc(end, event.end_zone)
    zones = {"start_zone": event.zone, "end_zone": event.end_zone}
    return {"start": start.isoformat(), "end": end.isoformat()} | zones


def _files(event: Event, day: date | None, hashes: bool) -> Json:
    return {"attachments": [_file(one, hashes) for one in event.files(day).values()]}


def _file(item: Attachment, hashes: bool) -> Json:
    content = item.content
    return {
        "kind": item.kind, "name": item.properties.get("name"),
        "contentType": item.properties.get("contentType"),
        "isInline": bool(item.properties.get("isInline")),
        "contentId": item.properties.get("contentId"),
        "bytes": content.size if content is not None else None,
        "sha256": content.sha256 if hashes and content is not None else None,
    }  # fmt: skip
