"""What makes a restored series the one that was kept: its exceptions, and the days taken out.

Rules
- The instances of the new series are listed once, in windows around the days that are wanted, and
  matched by the day their pattern names (originalStart), never by what an exception became.
- What cannot be found or set is a Trouble of that day; the series and its other days stay.
- No attendee is put onto an occurrence.

Facts this file rests on: learn.microsoft.com/graph/api/event-list-instances, /api/event-update;
"OID.{master}.{yyyy-MM-dd}" of cancelledOccurrences names a day of the series' own zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import quote

from base.clock import iso, parse_iso
from base.errors import Problem
from base.item import StoredItem, Trouble
from base.zones import zone_of
from m365.calendar_body import differing, moment_of, occurrences, zone_name
from m365.calendar_event import OCCURRENCE
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.mail_upload import AttachmentWriter
from m365.service import PASSED_ON, trouble_of

_AROUND = timedelta(days=2)  # a day of any zone lies in its UTC day or beside it
_WINDOW_MAX = timedelta(days=1500)  # Graph refuses windows of more than 1,825 days

_Raw = dict[str, Any]


class SeriesWriter:
    """Writes occurrences of series of one mailbox."""

    def __init__(
        self, writer: GraphWriter, base: str, scope: Scope, attach: AttachmentWriter
    ) -> None:
        self._writer = writer
        self._base = f"{base}/events"
        self._scope = scope
        self._attach = attach

    def has_work(self, item: StoredItem) -> bool:
        """Whether anything of a stored series differs from its pattern."""
        exceptions, cancelled = occurrences(item)
        return bool(exceptions or cancelled)

    def write(self, item: StoredItem, master_id: str, troubles: list[Trouble]) -> None:
        """Changes and removes occurrences of the new series until it is as the stored one."""
        exceptions, cancelled = occurrences(item)
        days = [day for day in map(_day_of, exceptions) if day] + [*map(_date, cancelled)]
        wanted = sorted(day for day in days if day)
        if not wanted:
            return
        instances = _Instances(item.raw, self._instances(master_id, wanted))
        for exception in exceptions:
            found = instances.of(exception)
            part = f"occurrence:{exception.get('originalStart') or exception.get('id')}"
            self._guarded(item, part, found, troubles, exception)
        for day in cancelled:
            self._guarded(item, f"occurrence:{day}", instances.on(day), troubles, None)

    def _guarded(
        self,
        item: StoredItem,
        part: str,
        instance: str,
        troubles: list[Trouble],
        exception: Mapping[str, Any] | None,
    ) -> None:
        if not instance:
            troubles.append(Trouble(item.id, part, "occurrence-not-found", retry=False))
            return
        path = f"{self._base}/{quote(instance, safe='')}"
        try:
            if exception is None:
                self._writer.delete(path, scope=self._scope)
                return
            self._writer.patch(path, differing(exception, item.raw), scope=self._scope)
            self._files(item, instance, exception, troubles)
        except PASSED_ON:
            raise
        except Problem as problem:
            troubles.append(trouble_of(item.id, part, problem))

    def _files(
        self, item: StoredItem, instance: str, exception: Mapping[str, Any], troubles: list[Trouble]
    ) -> None:
        """Attachments an exception has beyond those of its series."""
        day = str(exception.get("originalStart") or exception.get("id"))
        common = {_fact(part.meta) for part in item.parts if OCCURRENCE not in part.meta}
        own = [part for part in item.parts if part.meta.get(OCCURRENCE) == day]
        more = tuple(part for part in own if _fact(part.meta) not in common)
        if more:
            troubles += self._attach.add_all(instance, replace(item, parts=more))[1]
        if own and common - {_fact(part.meta) for part in own}:
            part_name = f"occurrence:{day}"
            troubles.append(Trouble(item.id, part_name, "attachment-of-series-kept", retry=False))

    def _instances(self, master_id: str, wanted: list[date]) -> Iterator[_Raw]:
        """The instances of a series around the days that are wanted."""
        path = f"{self._base}/{quote(master_id, safe='')}/instances"
        for begin, end in _windows(wanted):
            params = {
                "startDateTime": iso(begin),
                "endDateTime": iso(end),
                "$select": "id,start,originalStart,isAllDay,type",
                "$top": "500",
            }
            pages = self._attach.patiently(
                lambda params=params: list(  # type: ignore[misc]
                    follow(self._writer, path, params, scope=self._scope)
                )
            )
            for page in pages:
                yield from page.value


class _Instances:
    """The instances of a new series by the moment and by the day their pattern names."""

    def __init__(self, raw: Mapping[str, Any], found: Iterator[_Raw]) -> None:
        self._by_moment: dict[str, str] = {}
        self._by_day: dict[str, str] = {}
        self._zone = zone_of(zone_name(raw)) or UTC
        for one in found:
            start = moment_of(one.get("start") or {})
            if start is None:
                continue
            original = _moment(one.get("originalStart")) or f"{start.astimezone(UTC):%Y%m%d%H%M}"
            all_day = bool(raw.get("isAllDay"))
            day = start.date() if all_day else start.astimezone(self._zone).date()
            self._by_moment.setdefault(original, one["id"])
            self._by_day.setdefault(day.isoformat(), one["id"])

    def of(self, exception: Mapping[str, Any]) -> str:
        """The instance an exception was made of; "" where there is none."""
        found = self._by_moment.get(_moment(exception.get("originalStart")), "")
        day = _day_of(exception, self._zone)
        return found or (self._by_day.get(day.isoformat(), "") if day else "")

    def on(self, day: str) -> str:
        """The instance of a day; "" where there is none."""
        return self._by_day.get(day, "")


def _windows(wanted: list[date]) -> Iterator[tuple[datetime, datetime]]:
    """Windows that hold every day that is wanted, none longer than Graph allows."""
    first = last = wanted[0]
    for day in [*wanted[1:], None]:
        if day is not None and day - first <= _WINDOW_MAX:
            last = day
            continue
        begin = datetime(first.year, first.month, first.day, tzinfo=UTC) - _AROUND
        yield begin, datetime(last.year, last.month, last.day, tzinfo=UTC) + _AROUND
        if day is not None:
            first = last = day


def _day_of(exception: Mapping[str, Any], zone: tzinfo = UTC) -> date | None:
    """The day of a zone an exception was made of; its own where nothing else is told."""
    try:
        return parse_iso(str(exception.get("originalStart"))).astimezone(zone).date()
    except ValueError:
        named = _date(str(exception.get("occurrenceId") or "").rpartition(".")[2])
        start = moment_of(exception.get("start") or {})
        return named or (start.astimezone(zone).date() if start else None)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _moment(text: Any) -> str:
    try:
        return f"{parse_iso(str(text)).astimezone(UTC):%Y%m%d%H%M}"
    except ValueError:
        return ""


def _fact(meta: Mapping[str, Any]) -> tuple[Any, Any]:
    return meta.get("name"), meta.get("size")
