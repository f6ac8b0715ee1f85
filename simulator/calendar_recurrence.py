"""Which days a series falls on: Graph's recurrence patterns and ranges."""

import calendar as months
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count

from simulator.web import GraphError, Json

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_INDEX = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1}
PATTERNS = (
    "daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly",
)  # fmt: skip
RANGES = ("endDate", "noEnd", "numbered")


def checked(recurrence: Json, zone: str) -> Json:
    """A recurrence as Exchange keeps it; 400 for one that makes no sense."""
    pattern, span = recurrence.get("pattern"), recurrence.get("range")
    if not isinstance(pattern, dict) or not isinstance(span, dict):
        raise _wrong("A recurrence has a pattern and a range.")
    kind, end = _of(pattern.get("type"), PATTERNS), _of(span.get("type"), RANGES)
    if not isinstance(pattern.get("interval"), int) or pattern["interval"] < 1:
        raise _wrong("The interval must be at least 1.")
    days = [_of(day, DAYS) for day in pattern.get("daysOfWeek") or []]
    if kind in ("weekly", "relativeMonthly", "relativeYearly") and not days:
        raise _wrong("daysOfWeek is required.")
    if kind.startswith("absolute") and not 1 <= int(pattern.get("dayOfMonth") or 0) <= 31:
        raise _wrong("dayOfMonth is required.")
    if kind.endswith("Yearly") and not 1 <= int(pattern.get("month") or 0) <= 12:
        raise _wrong("month is required.")
    if end == "numbered" and int(span.get("numberOfOccurrences") or 0) < 1:
        raise _wrong("numberOfOccurrences must be positive.")
    shown = {
        "type": kind, "interval": pattern["interval"], "month": int(pattern.get("month") or 0),
        "dayOfMonth": int(pattern.get("dayOfMonth") or 0),
        "firstDayOfWeek": _of(pattern.get("firstDayOfWeek") or "sunday", DAYS),
        "index": _of(pattern.get("index") or "first", tuple(_INDEX)),
    }  # fmt: skip
    if days:
        shown["daysOfWeek"] = days
    return {
        "pattern": shown,
        "range": {
            "type": end, "startDate": _day(span.get("startDate")).isoformat(),
            "endDate": _day(span.get("endDate")).isoformat() if end == "endDate" else "0001-01-01",
            "recurrenceTimeZone": span.get("recurrenceTimeZone") or zone,
            "numberOfOccurrences": int(span.get("numberOfOccurrences") or 0)
            if end == "numbered" else 0,
        },
    }  # fmt: skip


def days_of(recurrence: Json, until: date) -> Iterator[date]:
    """Every day of a series from its first on, up to `until`."""
    pattern, span = recurrence["pattern"], recurrence["range"]
    start = date.fromisoformat(span["startDate"])
    last = until
    if span["type"] == "endDate":
        last = min(until, date.fromisoformat(span["endDate"]))
    left = span["numberOfOccurrences"] if span["type"] == "numbered" else -1
    for day in _endless(pattern, start):
        if day > last or left == 0:
            return
        if day >= start:
            left -= 1
            yield day


def _endless(pattern: Json, start: date) -> Iterator[date]:
    kind, step = pattern["type"], pattern["interval"]
    if kind == "daily":
        yield from (start + timedelta(days=step * k) for k in count())
    elif kind == "weekly":
        first = DAYS.index(pattern["firstDayOfWeek"])
        week = start - timedelta(days=(start.weekday() - first) % 7)
        offsets = sorted((DAYS.index(day) - first) % 7 for day in pattern["daysOfWeek"])
        for k in count():
            yield from (week + timedelta(days=7 * step * k + offset) for offset in offsets)
    else:
        yearly = kind.endswith("Yearly")
        month = pattern["month"] if yearly else start.month
        for k in range(0, (9000 - start.year) * (1 if yearly else 12), step):
            total = start.year * 12 + month - 1 + (12 * k if yearly else k)
            found = _in_month(pattern, total // 12, total % 12 + 1)
            if found is not None:
                yield found


def _in_month(pattern: Json, year: int, month: int) -> date | None:
    length = months.monthrange(year, month)[1]
    if pattern["type"].startswith("absolute"):
        return date(year, month, min(pattern["dayOfMonth"], length))
    wanted = {DAYS.index(day) for day in pattern["daysOfWeek"]}
    every = [date(year, month, day) for day in range(1, length + 1)]
    return [day for day in every if day.weekday() in wanted][_INDEX[pattern["index"]]]


def _of(value: object, known: tuple[str, ...]) -> str:
    for name in known:
        if name.lower() == str(value).lower():
            return name
    raise _wrong(f"'{value}' is not valid in a recurrence.")


def _day(value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise _wrong(f"'{value}' is no date.") from None


def _wrong(text: str) -> GraphError:
    return GraphError(400, "ErrorPropertyValidationFailure", text)
