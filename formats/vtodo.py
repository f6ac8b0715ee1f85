"""Tasks as iCalendar (.ics, VTODO of RFC 5545), with their files inside.

Why not JSON: a VTODO opens in calendar and task programs, and it has a word for all that To Do
keeps: dates, repetition, reminder, categories, files, links. The stored object is downloadable
beside it.

Rules
- Items of a checklist are tasks of their own below the task (RELATED-TO), in their order.
- Days stay days; moments become UTC, for a floating time would mean another one elsewhere.
- Files are attached as base64 and stream through; links are attached as addresses.
- What VTODO cannot say of the status is said in X-HOLDFAST-STATUS.
- The same task gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from base.item import StoredItem
from base.zones import zone_of
from formats.content_lines import address, encoded, line, parameter, text, texts
from formats.files import safe_name
from formats.item_file import ItemFile, moment
from formats.rrule import rrule
from formats.text import words_of

_STATUS = {"inProgress": "IN-PROCESS", "completed": "COMPLETED"}
_PRIORITY = {"high": "1", "normal": "5", "low": "9"}


def task_file(item: StoredItem) -> ItemFile:
    """The task as a file named by its title."""
    files = any(part.role == "attachment" for part in item.parts)
    return ItemFile(
        name=safe_name(item.name, "task", ".ics"),
        media_type="text/calendar; charset=utf-8",
        size=None if files else sum(map(len, _calendar(item))),
        modified=moment(item.raw.get("lastModifiedDateTime")),
        blocks=lambda: _calendar(item),
    )


def _calendar(item: StoredItem) -> Iterator[bytes]:
    yield line("BEGIN", "VCALENDAR")
    yield line("VERSION", "2.0")
    yield line("PRODID", "-//Holdfast//Tasks//EN")
    yield line("BEGIN", "VTODO")
    yield from _head(item.id, item.raw)
    yield from _words(item)
    yield from _dates(item.raw)
    yield from _attached(item)
    yield from _reminder(item.raw)
    yield line("END", "VTODO")
    for place, step in enumerate(item.raw.get("checklistItems") or ()):
        yield from _step(item, step, place)
    yield line("END", "VCALENDAR")


def _head(uid: str, raw: Mapping[str, Any]) -> Iterator[bytes]:
    """What every VTODO has; DTSTAMP is the last change, not the hour of the export."""
    changed = raw.get("lastModifiedDateTime") or raw.get("createdDateTime")
    yield line("UID", text(uid))
    yield line("DTSTAMP", _stamp(changed) or "19700101T000000Z")
    for prop, value in (("CREATED", raw.get("createdDateTime")), ("LAST-MODIFIED", changed)):
        if _stamp(value):
            yield line(prop, _stamp(value))


def _words(item: StoredItem) -> Iterator[bytes]:
    raw = item.raw
    yield line("SUMMARY", text(raw.get("title") or ""))
    body = raw.get("body") or {}
    content = str(body.get("content") or "")
    if content and str(body.get("contentType")).lower() == "html":
        yield line("DESCRIPTION", text(words_of(content)))
        yield line("X-ALT-DESC;FMTTYPE=text/html", text(content))
    elif content:
        yield line("DESCRIPTION", text(content))
    status = str(raw.get("status") or "notStarted")
    yield line("STATUS", _STATUS.get(status, "NEEDS-ACTION"))
    if status not in (*_STATUS, "notStarted"):
        yield line("X-HOLDFAST-STATUS", text(status))
    yield line("PRIORITY", _PRIORITY.get(str(raw.get("importance")), "5"))
    if raw.get("categories"):
        yield line("CATEGORIES", texts(raw["categories"]))


def _dates(raw: Mapping[str, Any]) -> Iterator[bytes]:
    for name, prop in (("startDateTime", "DTSTART"), ("dueDateTime", "DUE")):
        day = str((raw.get(name) or {}).get("dateTime") or "")[:10].replace("-", "")
        if day.isdigit():
            yield line(f"{prop};VALUE=DATE", day)
    done = _in_utc(raw.get("completedDateTime"))
    if done:
        yield line("COMPLETED", done)
    rule = rrule(raw.get("recurrence") or {}, days=True)
    if rule:
        yield line("RRULE", rule)


def _attached(item: StoredItem) -> Iterator[bytes]:
    for link in item.raw.get("linkedResources") or ():
        if link.get("webUrl"):
            label = parameter("X-LABEL", link.get("displayName") or "")
            yield line(f"ATTACH{label}", address(link["webUrl"]))
        names = ("applicationName", "displayName", "externalId")
        yield line("X-LINKED-RESOURCE", texts((link.get(name) for name in names), ";"))
    for part in item.parts:
        if part.role == "attachment":
            kind = part.meta.get("contentType") or "application/octet-stream"
            facts = parameter("FMTTYPE", kind) + parameter("FILENAME", part.meta.get("name") or "")
            yield from encoded(f"ATTACH{facts};ENCODING=BASE64;VALUE=BINARY", part.open())


def _reminder(raw: Mapping[str, Any]) -> Iterator[bytes]:
    at = _in_utc(raw.get("reminderDateTime")) if raw.get("isReminderOn") else ""
    if at:
        yield line("BEGIN", "VALARM")
        yield line("ACTION", "DISPLAY")
        yield line("DESCRIPTION", text(raw.get("title") or ""))
        yield line("TRIGGER;VALUE=DATE-TIME", at)
        yield line("END", "VALARM")


def _step(item: StoredItem, step: Mapping[str, Any], place: int) -> Iterator[bytes]:
    yield line("BEGIN", "VTODO")
    yield from _head(f"{item.id}-{step.get('id') or place}", {**item.raw, **step})
    yield line("RELATED-TO;RELTYPE=PARENT", text(item.id))
    yield line("SUMMARY", text(step.get("displayName") or ""))
    yield line("STATUS", "COMPLETED" if step.get("isChecked") else "NEEDS-ACTION")
    if step.get("isChecked") and _stamp(step.get("checkedDateTime")):
        yield line("COMPLETED", _stamp(step.get("checkedDateTime")))
    yield line("END", "VTODO")


def _stamp(value: Any) -> str:
    """A time of Graph in iCalendar's form; "" where it is none."""
    found = moment(value)
    return found.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if found else ""


def _in_utc(stored: Mapping[str, Any] | None) -> str:
    """A dateTimeTimeZone in UTC; "" where it is none. An unknown zone counts as UTC."""
    words = str((stored or {}).get("dateTime") or "")[:19]
    try:
        local = datetime.fromisoformat(words)
    except ValueError:
        return ""
    zone = zone_of(str((stored or {}).get("timeZone") or "UTC"))
    return local.replace(tzinfo=zone or UTC).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
