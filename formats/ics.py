"""Events as iCalendar (.ics, VEVENT of RFC 5545): a series with its exceptions, files inside.

Rules
- Times keep the zone they were made in, under its tz name, with the VTIMEZONE that goes with it; a
  zone nobody knows leaves the moments in UTC. Whole days are dates.
- Exceptions are VEVENTs of their own with a RECURRENCE-ID; days that fell out are EXDATEs.
- Files are attached as base64 and stream through; only the events themselves are held in memory.
- The file invites nobody: it has no METHOD. What the backup lacks is told in X-HOLDFAST-MISSING.
- The same event gives the same bytes.

Facts this file rests on: RFC 5545, [MS-OXCICAL] (names beginning with X-MICROSOFT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from base.clock import parse_iso
from base.item import StoredItem, StoredPart
from base.zones import zone_of
from formats.content_lines import address, encoded, line, parameter, text, texts
from formats.files import safe_name
from formats.item_file import ItemFile, moment
from formats.rrule import rrule
from formats.text import words_of
from formats.timezone import vtimezone

_CLASS = {"personal": "PRIVATE", "private": "PRIVATE", "confidential": "CONFIDENTIAL"}
_PRIORITY = {"high": "1", "low": "9"}
_ROLE = {"optional": "OPT-PARTICIPANT", "resource": "NON-PARTICIPANT"}
_ANSWER = {
    "accepted": "ACCEPTED",
    "declined": "DECLINED",
    "tentativelyAccepted": "TENTATIVE",
    "organizer": "ACCEPTED",
}
_START_ZONE, _END_ZONE = "originalStartTimeZone", "originalEndTimeZone"
_NOT_INHERITED = ("attendees", "recurrence", "isCancelled", "cancelledOccurrences")

_Raw = Mapping[str, Any]


def event_file(item: StoredItem) -> ItemFile:
    """The event as a file named by its day and subject."""
    at = _moment(item.raw.get("start"))
    day = f"{at:%Y-%m-%d} " if at else ""
    return ItemFile(
        name=safe_name(f"{day}{item.name or 'no subject'}", "event", ".ics"),
        media_type="text/calendar; charset=utf-8",
        size=None,
        modified=moment(item.raw.get("lastModifiedDateTime")),
        blocks=lambda: _calendar(item),
    )


def _calendar(item: StoredItem) -> Iterator[bytes]:
    exceptions = [
        ({**{k: v for k, v in item.raw.items() if k not in _NOT_INHERITED}, **one}, one)
        for one in item.raw.get("exceptionOccurrences") or ()
    ]
    yield line("BEGIN", "VCALENDAR")
    yield line("VERSION", "2.0")
    yield line("PRODID", "-//Holdfast//Calendar//EN")
    for zone in _zones([item.raw, *(whole for whole, _ in exceptions)]):
        yield vtimezone(zone)
    yield from _series(item)
    for whole, exception in exceptions:
        yield from _exception(item, whole, exception)
    yield line("END", "VCALENDAR")


def _series(item: StoredItem) -> Iterator[bytes]:
    """The single event, or the master of a series."""
    raw = item.raw
    yield line("BEGIN", "VEVENT")
    yield from _event(raw, item)
    rule = rrule(
        raw.get("recurrence") or {}, days=bool(raw.get("isAllDay")), zone=_zone(raw, _START_ZONE)
    )
    if rule:
        yield line("RRULE", rule)
        yield from _taken_out(raw)
    for missing in item.missing:
        yield line("X-HOLDFAST-MISSING", text(missing))
    yield from _attached([part for part in item.parts if not part.meta.get("occurrence")])
    yield line("END", "VEVENT")


def _exception(item: StoredItem, whole: _Raw, exception: _Raw) -> Iterator[bytes]:
    original = str(exception.get("originalStart") or "")
    at = moment(original) or _moment(exception.get("start"))
    if at is None:
        return
    yield line("BEGIN", "VEVENT")
    yield from _event(whole, item)
    yield _time_line("RECURRENCE-ID", at, item.raw, _START_ZONE)
    own = [part for part in item.parts if original and part.meta.get("occurrence") == original]
    yield from _attached(own)
    yield line("END", "VEVENT")


def _event(raw: _Raw, item: StoredItem) -> Iterator[bytes]:
    """What a single event, a master and an exception have alike; the id is that of the series."""
    uid = item.raw.get("uid") or item.raw.get("iCalUId") or item.id
    changed = raw.get("lastModifiedDateTime") or raw.get("createdDateTime")
    yield line("UID", text(uid))
    yield line("DTSTAMP", _stamp(changed) or "19700101T000000Z")
    for prop, value in (("CREATED", raw.get("createdDateTime")), ("LAST-MODIFIED", changed)):
        if _stamp(value):
            yield line(prop, _stamp(value))
    for prop, key, zone in (("DTSTART", "start", _START_ZONE), ("DTEND", "end", _END_ZONE)):
        at = _moment(raw.get(key))
        if at is not None:
            yield _time_line(prop, at, raw, zone)
    yield line("SUMMARY", text(raw.get("subject") or ""))
    yield from _words(raw)
    yield from _facts(raw)
    yield from _people(raw)
    if raw.get("isReminderOn"):
        yield line("BEGIN", "VALARM")
        yield line("ACTION", "DISPLAY")
        yield line("DESCRIPTION", text(raw.get("subject") or "Reminder"))
        yield line("TRIGGER", f"-PT{int(raw.get('reminderMinutesBeforeStart') or 0)}M")
        yield line("END", "VALARM")


def _words(raw: _Raw) -> Iterator[bytes]:
    body = raw.get("body") or {}
    content = str(body.get("content") or "")
    if content and str(body.get("contentType")).lower() == "html":
        yield line("DESCRIPTION", text(words_of(content)))
        yield line("X-ALT-DESC;FMTTYPE=text/html", text(content))
    elif content:
        yield line("DESCRIPTION", text(content))


def _facts(raw: _Raw) -> Iterator[bytes]:
    place = (raw.get("location") or {}).get("displayName")
    if place:
        yield line("LOCATION", text(place))
    if raw.get("categories"):
        yield line("CATEGORIES", texts(raw["categories"]))
    busy = str(raw.get("showAs") or "busy")
    status = "TENTATIVE" if busy == "tentative" else "CONFIRMED"
    yield line("STATUS", "CANCELLED" if raw.get("isCancelled") else status)
    yield line("TRANSP", "TRANSPARENT" if busy in ("free", "workingElsewhere") else "OPAQUE")
    yield line("X-MICROSOFT-CDO-BUSYSTATUS", text(busy.upper()))
    yield line("CLASS", _CLASS.get(str(raw.get("sensitivity")), "PUBLIC"))
    yield line("PRIORITY", _PRIORITY.get(str(raw.get("importance")), "5"))
    join = (raw.get("onlineMeeting") or {}).get("joinUrl")
    if join:
        yield line("X-MICROSOFT-SKYPETEAMSMEETINGURL", text(join))


def _people(raw: _Raw) -> Iterator[bytes]:
    attendees = raw.get("attendees") or ()
    mail = (raw.get("organizer") or {}).get("emailAddress") or {}
    if attendees and mail.get("address"):
        yield line(f"ORGANIZER{_name(mail)}", f"mailto:{address(mail['address'])}")
    for one in attendees:
        mail = one.get("emailAddress") or {}
        if not mail.get("address"):
            continue
        kind, answer = str(one.get("type")), str((one.get("status") or {}).get("response"))
        facts = parameter("ROLE", _ROLE.get(kind, "REQ-PARTICIPANT"))
        facts += parameter("PARTSTAT", _ANSWER.get(answer, "NEEDS-ACTION"))
        facts += parameter("CUTYPE", "RESOURCE") if kind == "resource" else ""
        yield line(f"ATTENDEE{facts}{_name(mail)}", f"mailto:{address(mail['address'])}")


def _name(mail: _Raw) -> str:
    return parameter("CN", mail["name"]) if mail.get("name") else ""


def _taken_out(raw: _Raw) -> Iterator[bytes]:
    """The days that fell out of a series, at the hour the series has."""
    start = _moment(raw.get("start"))
    zone = _zone(raw, _START_ZONE)
    for one in raw.get("cancelledOccurrences") or ():
        try:
            day = date.fromisoformat(str(one).rpartition(".")[2])
        except ValueError:
            continue
        hour = time.min if raw.get("isAllDay") or start is None else start.astimezone(zone).time()
        yield _time_line("EXDATE", datetime.combine(day, hour, zone), raw, _START_ZONE)


def _attached(parts: list[StoredPart]) -> Iterator[bytes]:
    for part in parts:
        meta = part.meta
        kind = str(meta.get("@odata.type", ""))
        name = parameter("X-FILENAME", meta.get("name") or "attachment")
        if part.role != "attachment":
            continue
        if kind.endswith("referenceAttachment"):
            yield line(f"X-HOLDFAST-LINK{name}", address(meta.get("sourceUrl") or ""))
            continue
        media = "message/rfc822" if kind.endswith("itemAttachment") else meta.get("contentType")
        facts = parameter("FMTTYPE", media or "application/octet-stream") + name
        yield from encoded(f"ATTACH{facts};ENCODING=BASE64;VALUE=BINARY", part.open())


def _time_line(prop: str, at: datetime, raw: _Raw, zone_key: str) -> bytes:
    """A moment as its zone shows it; a whole day as a date, which Graph writes as a midnight."""
    zone = _zone(raw, zone_key)
    local = at.astimezone(zone)
    if raw.get("isAllDay"):
        day = at if at.time() == time.min else local
        return line(f"{prop};VALUE=DATE", f"{day:%Y%m%d}")
    if isinstance(zone, ZoneInfo):
        return line(f"{prop}{parameter('TZID', zone.key)}", f"{local:%Y%m%dT%H%M%S}")
    return line(prop, f"{local:%Y%m%dT%H%M%SZ}")


def _zones(events: list[_Raw]) -> list[ZoneInfo]:
    """Every zone that times of these events are written in."""
    timed = [raw for raw in events if not raw.get("isAllDay")]
    found = {_zone(raw, key) for raw in timed for key in (_START_ZONE, _END_ZONE)}
    zones = [zone for zone in found if isinstance(zone, ZoneInfo)]
    return sorted(zones, key=lambda zone: zone.key)


def _zone(raw: _Raw, name: str) -> tzinfo:
    """The zone an event was made in; that of its recurrence for a custom one; else UTC."""
    span = (raw.get("recurrence") or {}).get("range") or {}
    for found in (raw.get(name), span.get("recurrenceTimeZone")):
        zone = zone_of(str(found)) if found else None
        if zone is not None:
            return UTC if zone.key == "Etc/UTC" else zone
    return UTC


def _moment(value: _Raw | None) -> datetime | None:
    """A dateTimeTimeZone as an aware time; None where it makes no sense."""
    try:
        found = parse_iso(str((value or {}).get("dateTime")).split(".")[0].removesuffix("Z"))
    except ValueError:
        return None
    zone = zone_of(str((value or {}).get("timeZone") or "UTC"))
    return found.replace(tzinfo=zone or UTC)


def _stamp(value: Any) -> str:
    """A time of Graph in iCalendar's form; "" where it is none."""
    found = moment(value)
    return found.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if found else ""
