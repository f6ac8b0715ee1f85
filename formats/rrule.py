"""Graph's patternedRecurrence as an RRULE of RFC 5545; pure.

https://learn.microsoft.com/graph/api/resources/patternedrecurrence
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

_FREQUENCY = {
    "daily": "DAILY",
    "weekly": "WEEKLY",
    "absolutemonthly": "MONTHLY",
    "relativemonthly": "MONTHLY",
    "absoluteyearly": "YEARLY",
    "relativeyearly": "YEARLY",
}
_INDEX = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_SHORTEST_MONTH = 28
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def rrule(recurrence: Mapping[str, Any], *, days: bool = False, zone: tzinfo = UTC) -> str:
    """The rule's value; "" where there is none, or one of a kind this does not know.

    `days`: what repeats has a day and no time, so the end is a day too; else it is the last moment
    of that day in `zone`.
    """
    pattern = recurrence.get("pattern") or {}
    kind = str(pattern.get("type") or "").lower()
    if kind not in _FREQUENCY:
        return ""
    parts = [f"FREQ={_FREQUENCY[kind]}"]
    if (pattern.get("interval") or 1) > 1:
        parts.append(f"INTERVAL={pattern['interval']}")
    parts += _when(kind, pattern)
    parts += _until(recurrence.get("range") or {}, days, zone)
    return ";".join(parts)


def _when(kind: str, pattern: Mapping[str, Any]) -> list[str]:
    names = [str(day).lower() for day in pattern.get("daysOfWeek") or ()]
    weekdays = ",".join(name[:2].upper() for name in names if name in _DAYS)
    found = []
    if kind.endswith("yearly") and pattern.get("month"):
        found.append(f"BYMONTH={pattern['month']}")
    if kind.startswith("absolute") and pattern.get("dayOfMonth"):
        found += _day_of_month(int(pattern["dayOfMonth"]))
    elif kind == "weekly" and weekdays:
        found.append(f"BYDAY={weekdays}")
        first = str(pattern.get("firstDayOfWeek") or "sunday").lower()
        found.append(f"WKST={first[:2].upper()}")
    elif kind.startswith("relative") and weekdays:
        index = _INDEX.get(str(pattern.get("index") or "first").lower(), 1)
        found.append(f"BYDAY={weekdays}")  # of several days the first that comes counts
        found.append(f"BYSETPOS={index}")
    return found


def _day_of_month(day: int) -> list[str]:
    """The day; in a month that lacks it Outlook means the last one, RFC 5545 none."""
    if day <= _SHORTEST_MONTH:
        return [f"BYMONTHDAY={day}"]
    possible = ",".join(map(str, range(_SHORTEST_MONTH, day + 1)))
    return [f"BYMONTHDAY={possible}", "BYSETPOS=-1"]


def _until(span: Mapping[str, Any], days: bool, zone: tzinfo) -> list[str]:
    kind = str(span.get("type") or "").lower()
    if kind == "numbered" and span.get("numberOfOccurrences"):
        return [f"COUNT={span['numberOfOccurrences']}"]
    try:
        end = date.fromisoformat(str(span.get("endDate")))
    except ValueError:
        return []
    if kind != "enddate":
        return []
    last = datetime.combine(end, time(23, 59, 59), zone).astimezone(UTC)
    return [f"UNTIL={end:%Y%m%d}" if days else f"UNTIL={last:%Y%m%dT%H%M%SZ}"]
