"""A time zone as VTIMEZONE of RFC 5545: when its clocks change, day by day, for two generations.

Theory of operation: the rules of the tz database change with laws and are not RRULEs, so the
moments themselves are listed. They are found by asking the zone for its offset once a day and then
within the day; a zone is asked once per process.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from formats.content_lines import line, text

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)

_Offset = tuple[timedelta, timedelta, str]  # from UTC, of it daylight saving, name


@lru_cache(maxsize=600)
def vtimezone(zone: ZoneInfo) -> bytes:
    """The component with every change of the clock from 1970 to 2037."""
    changes = defaultdict[tuple[timedelta, _Offset], list[datetime]](list)
    first = _offset(_FIRST, zone)
    changes[first[0], first].append(_FIRST.replace(tzinfo=None))
    at, before = _FIRST, first
    while at < _LAST:
        after = _offset(at + _DAY, zone)
        if after != before:
            moment = _moment(at, zone, before)
            changes[before[0], after].append((moment + before[0]).replace(tzinfo=None))
        at, before = at + _DAY, after
    parts = [line("BEGIN", "VTIMEZONE"), line("TZID", text(zone.key))]
    for (offset, (to, saving, name)), moments in changes.items():
        kind = "DAYLIGHT" if saving else "STANDARD"
        starts, *others = (f"{one:%Y%m%dT%H%M%S}" for one in moments)
        parts += [line("BEGIN", kind), line("DTSTART", starts)]
        parts += [line("RDATE", ",".join(others))] if others else []
        parts += [line("TZNAME", text(name)), line("TZOFFSETFROM", _signed(offset))]
        parts += [line("TZOFFSETTO", _signed(to)), line("END", kind)]
    return b"".join((*parts, line("END", "VTIMEZONE")))


def _offset(moment: datetime, zone: ZoneInfo) -> _Offset:
    local = moment.astimezone(zone)
    return local.utcoffset() or timedelta(), local.dst() or timedelta(), local.tzname() or ""


def _moment(day: datetime, zone: ZoneInfo, before: _Offset) -> datetime:
    """The minute within a day at which the offset changes, by halving."""
    low, high = day, day + _DAY
    while high - low > _MINUTE:
        middle = low + (high - low) / 2
        middle = middle.replace(second=0, microsecond=0)
        if middle in (low, high):
            break
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


def _signed(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
