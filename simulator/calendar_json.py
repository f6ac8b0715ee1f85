"""How calendars, events and occurrences look as JSON, and what $select and $expand make of them."""

import base64
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from simulator.calendar_state import Calendar, CalendarGroup, Calendars, Event
from simulator.calendar_zones import from_utc, to_utc
from simulator.expansion import extended_json, extensions_json
from simulator.mail_json import applied, attachment_select, change_key, wants_immutable
from simulator.mailbox import Attachment
from simulator.tenant import Tenant
from simulator.web import GraphError, Json, Request

PROPERTIES = (
    "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "transactionId",
    "originalStartTimeZone", "originalEndTimeZone", "iCalUId", "reminderMinutesBeforeStart",
    "isReminderOn", "hasAttachments", "subject", "bodyPreview", "importance", "sensitivity",
    "isAllDay", "isCancelled", "isOrganizer", "responseRequested", "seriesMasterId", "showAs",
    "type", "webLink", "onlineMeetingUrl", "isOnlineMeeting", "onlineMeetingProvider",
    "allowNewTimeProposals", "isDraft", "hideAttendees", "originalStart", "recurrence",
    "responseStatus", "body", "start", "end", "location", "locations", "attendees", "organizer",
    "onlineMeeting",
)  # fmt: skip
ON_REQUEST = ("cancelledOccurrences", "exceptionOccurrences")
_BASIC_LACKS = frozenset(("body", "bodyPreview", "attendees", "onlineMeeting"))
_OF_OCCURRENCE = ("id", "seriesMasterId", "type", "start", "end", "originalStart")
CALENDAR_PROPERTIES = (
    "id", "name", "color", "hexColor", "isDefaultCalendar", "changeKey", "canShare",
    "canViewPrivateItems", "canEdit", "allowedOnlineMeetingProviders",
    "defaultOnlineMeetingProvider", "isTallyingResponses", "isRemovable", "owner",
)  # fmt: skip
_NESTED = re.compile(r"([A-Za-z]+)(?:\((.*)\))?", re.DOTALL)
_BY_ID = {
    "singlevalueextendedproperties": "extended",
    "multivalueextendedproperties": "extended_lists",
    "extensions": "extensions",
}
_EXTENDED_ID = re.compile(r"id eq '([^']+)'", re.IGNORECASE)
_FULL = frozenset(("Calendars.Read", "Calendars.ReadWrite"))


@dataclass(frozen=True, slots=True)
class View:
    """What an answer shows of an event."""

    immutable: bool
    salt: int
    zone: str = "UTC"
    select: frozenset[str] | None = None
    attachments: bool = False
    attachment_select: frozenset[str] | None = None
    exceptions: bool = False
    extended: tuple[str, ...] = ()
    extended_lists: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    text_body: bool = False
    basic: bool = False


def view_of(tenant: Tenant, request: Request) -> View:
    """The view a request asks for by $select, $expand and Prefer."""
    known = (*PROPERTIES, *ON_REQUEST, "id", *tenant.room.get("further event properties", ()))
    view = replace(
        plain_view(tenant, request),
        zone=request.prefer("outlook.timezone") or "UTC",
        select=_select(request.query.get("$select"), known, "event"),
        text_body=request.prefer("outlook.body-content-type") == "text",
        basic=request.app is not None and not request.app.roles & _FULL,
    )
    for name, inner in _expansions(request.query.get("$expand", "")):
        view = _expanded(view, name, inner)
    return view


def plain_view(tenant: Tenant, request: Request) -> View:
    """How ids are to be spelled, and nothing else."""
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    return View(immutable, tenant.rng.getrandbits(32) if salted else 0)


def _expanded(view: View, name: str, inner: str) -> View:
    lower = name.lower()
    if lower == "attachments" and not view.basic:
        wanted = re.fullmatch(r"\$select=(.*)", inner) if inner else None
        if inner and wanted is None:
            raise _bad_query("$expand")
        select = frozenset(part.strip() for part in wanted[1].split(",")) if wanted else None
        return replace(view, attachments=True, attachment_select=select)
    if lower == "exceptionoccurrences":
        return replace(view, exceptions=True)
    field = _BY_ID.get(lower)
    if field is not None and not view.basic:
        names = _EXTENDED_ID.findall(inner)
        if not names:
            raise _bad_query("$expand")
        wanted_ids: Json = {field: tuple(names)}
        return replace(view, **wanted_ids)
    raise _bad_query("$expand")


def event_json(
    store: Calendars, event: Event, view: View, day: date | None = None, *, whole_id: bool = False
) -> Json:
    """An event, or one occurrence of it; whole_id: asked for by the id of the one event."""
    found = _facts(store, event, view, day)
    if view.basic:
        found = {name: value for name, value in found.items() if name not in _BASIC_LACKS}
    series = event.is_series and day is None and whole_id
    if series and view.select and "cancelledOccurrences" in view.select:
        master = found["id"]
        found["cancelledOccurrences"] = [
            f"OID.{master}.{one.isoformat()}" for one in sorted(event.cancelled)
        ]
    if view.select is not None:
        found = {name: value for name, value in found.items() if name in {*view.select, "id"}}
    shown: Json = {"@odata.etag": f'W/"{change_key(store.mailbox, event.change)}"', **found}
    if series and view.exceptions and view.select and "exceptionOccurrences" in view.select:
        plain = replace(view, select=None, exceptions=False, attachments=False, extended=())
        shown["exceptionOccurrences"] = [
            {"@odata.type": "#microsoft.graph.event", **event_json(store, event, plain, one)}
            for one in event.changed
        ]
    if view.attachments:
        shown["attachments"] = [
            attachment_json(store, event, day, file, view, view.attachment_select)
            for file in event.files(day).values()
        ]
    by_id = {
        "singleValueExtendedProperties": extended_json(event.extended, view.extended),
        "multiValueExtendedProperties": extended_json(event.extended_lists, view.extended_lists),
    }
    if view.extensions:
        by_id["extensions"] = extensions_json(event.extensions, view.extensions)
    return shown | {name: values for name, values in by_id.items() if values}


def _facts(store: Calendars, event: Event, view: View, day: date | None) -> Json:
    changed = event.changed.get(day, {}) if day else {}
    found = event.properties | {k: v for k, v in changed.items() if k not in ("start", "end")}
    found = dict(found)
    kind = "seriesMaster" if event.is_series else "singleInstance"
    if day is not None:
        kind = "exception" if day in event.changed else "occurrence"
    start, end = event.times(day)
    found["id"] = store.event_id(event, day, immutable=view.immutable, salt=view.salt)
    found |= {
        "changeKey": change_key(store.mailbox, event.change),
        "originalStartTimeZone": event.zone, "originalEndTimeZone": event.end_zone,
        "hasAttachments": bool(event.files(day)), "type": kind,
        "webLink": f"https://outlook.office365.com/owa/?itemid={quote(found['id'], safe='')}",
        "start": shown_time(start, event.zone, view.zone, bool(found.get("isAllDay"))),
        "end": shown_time(end, event.end_zone, view.zone, bool(found.get("isAllDay"))),
        "recurrence": event.recurrence if day is None else None, "seriesMasterId": None,
    }  # fmt: skip
    if day is not None:
        found["seriesMasterId"] = store.event_id(event, immutable=view.immutable, salt=view.salt)
        found["originalStart"] = _original(event, day)
        found["iCalUId"] = f"{found['iCalUId']}{day:%Y%m%d}"
        found.setdefault("occurrence", None)
        del found["occurrence"]
    if view.text_body and isinstance(found.get("body"), dict):
        found["body"] = {"contentType": "text", "content": found["bodyPreview"]}
    return found


def occurrence_json(store: Calendars, event: Event, view: View, day: date) -> Json:
    """An occurrence as a feed tells of it: only what makes it one."""
    whole = _facts(store, event, view, day)
    etag = f'W/"{change_key(store.mailbox, event.change)}"'
    return {"@odata.etag": etag} | {name: whole[name] for name in _OF_OCCURRENCE}


def shown_time(local: datetime, zone: str, wanted: str, all_day: bool) -> Json:
    """A time in the zone that was asked for; a whole day stays the same day in every zone."""
    shown = local if all_day else from_utc(to_utc(local, zone), wanted)
    return {"dateTime": f"{shown:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": wanted}


def _original(event: Event, day: date) -> str:
    start = datetime.combine(day, event.start.time())
    return f"{to_utc(start, event.zone):%Y-%m-%dT%H:%M:%S}Z"


def attachment_json(
    store: Calendars,
    event: Event,
    day: date | None,
    item: Attachment,
    view: View,
    select: frozenset[str] | None = None,
    *,
    expand_item: bool = False,
) -> Json:
    """An attachment of an event; contentBytes unless $select leaves them out."""
    found: Json = {"@odata.type": item.properties["@odata.type"]}
    found["id"] = store.event_id(
        event, day, immutable=view.immutable, salt=view.salt, file=item.number
    )
    names = ["lastModifiedDateTime", "name", "contentType", "size", "isInline"]
    if item.kind == "fileAttachment":
        names += ["contentId", "contentLocation"]
    for name in names:
        if select is None or name in select:
            found[name] = item.properties.get(name)
    if item.kind == "referenceAttachment" and select is None:
        found |= {k: v for k, v in item.properties.items() if k not in found}
    wanted = select is None or "contentBytes" in select
    if item.kind == "fileAttachment" and wanted and item.content is not None:
        whole = item.content.read(0, item.content.size)
        found["contentBytes"] = base64.b64encode(whole).decode("ascii")
    if expand_item and item.item is not None:
        found["item"] = item.item
    return found


def calendar_json(store: Calendars, calendar: Calendar, select: frozenset[str] | None) -> Json:
    """A calendar."""
    own = calendar.can_share
    own = calendar.owner == store.owner if own is None else own
    found: Json = {
        "id": calendar.id, "name": calendar.name, "color": calendar.color, "hexColor": "",
        "isDefaultCalendar": calendar.default,
        "changeKey": change_key(store.mailbox, calendar.change), "canShare": own,
        "canViewPrivateItems": own, "canEdit": calendar.can_edit,
        "allowedOnlineMeetingProviders": ["teamsForBusiness"],
        "defaultOnlineMeetingProvider": "teamsForBusiness",
        "isTallyingResponses": calendar.default, "isRemovable": calendar.removable,
        "owner": dict(calendar.owner),
    }  # fmt: skip
    return found if select is None else {k: v for k, v in found.items() if k in {*select, "id"}}


def calendar_select(request: Request) -> frozenset[str] | None:
    """$select of calendars."""
    return _select(request.query.get("$select"), CALENDAR_PROPERTIES, "calendar")


def group_json(store: Calendars, group: CalendarGroup) -> Json:
    """A group of calendars."""
    return {
        "id": group.id, "name": group.name, "classId": group.class_id,
        "changeKey": change_key(store.mailbox, group.change),
    }  # fmt: skip


def headers_of(request: Request) -> dict[str, str]:
    """The Preference-Applied header, with the zone where one was asked for."""
    found = applied(request)
    zone = request.prefer("outlook.timezone")
    if zone:
        rest = found.get("Preference-Applied")
        found["Preference-Applied"] = ", ".join(filter(None, (rest, f'outlook.timezone="{zone}"')))
    return found


def attachments_select(request: Request) -> frozenset[str] | None:
    """$select of a list of attachments."""
    return attachment_select(request)


def window_of(request: Request) -> tuple[datetime, datetime]:
    """startDateTime and endDateTime in UTC; 400 where one is missing."""
    return _moment(request, "startDateTime"), _moment(request, "endDateTime")


def _moment(request: Request, name: str) -> datetime:
    text = request.query.get(name) or request.query.get(name.lower())
    if not text:
        raise GraphError(
            400, "ErrorInvalidParameter", f"This request requires a time window; {name} is missing."
        )
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise GraphError(400, "ErrorInvalidParameter", f"{name} is no date.") from None
    return (found - (found.utcoffset() or timedelta())).replace(tzinfo=None)


def _expansions(text: str) -> list[tuple[str, str]]:
    """(name, what stands in its brackets) of every part of an $expand."""
    parts, depth, at = [""], 0, 0
    for at in range(len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if text[at] == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += text[at]
    found = []
    for part in filter(None, (one.strip() for one in parts)):
        match = _NESTED.fullmatch(part)
        if match is None:
            raise _bad_query("$expand")
        found.append((match[1], match[2] or ""))
    return found


def _select(text: str | None, known: tuple[str, ...], kind: str) -> frozenset[str] | None:
    if text is None:
        return None
    by_lower = {name.lower(): name for name in known}
    wanted: set[Any] = {by_lower.get(part.strip().lower(), part) for part in text.split(",")}
    for name in wanted - {*known}:
        raise GraphError(
            400,
            "RequestBroker--ParseUri",
            f"Could not find a property named '{name}' on type 'microsoft.graph.{kind}'.",
        )
    return frozenset(wanted)


def _bad_query(option: str) -> GraphError:
    return GraphError(400, "ErrorInvalidUrlQuery", f"The query option {option} is not supported.")
