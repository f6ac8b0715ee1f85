"""What the link of one calendar's feed remembers; opaque to everybody but the calendar's Source.

Theory of operation. A calendar is read in phases: "window" follows a fresh calendarView/delta to
its end without looking at what it brings, only to have a deltaLink from before everything that is
listed next; "list" reads every event of the calendar; "changes" follows the deltaLink from then on.
A link that is stored in the middle of a phase continues there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta

from base.clock import iso, parse_iso

BACK = timedelta(days=365)
AHEAD = timedelta(days=730)
WINDOW_LIFE = timedelta(days=180)  # then the window is drawn anew: 550 days ahead are left
FULL_EVERY = timedelta(days=7)
SLACK = timedelta(hours=1)  # between our clock and the service's

WINDOW, LIST, CHANGES = "window", "list", "changes"


@dataclass(frozen=True, slots=True)
class CalendarLink:
    """Times are ISO 8601 in UTC; `at` is a nextLink or deltaLink of Graph, "" before the first."""

    phase: str = WINDOW
    at: str = ""
    begin: str = ""  # the window
    end: str = ""
    drawn: str = ""  # when the window was drawn
    full: str = ""  # when the last full pass began
    asked: str = ""  # when the last round began
    begun: str = ""  # when this round began; "" between rounds
    news: bool = False  # whether anything was named in this round
    list_at: str = ""  # where the list goes on
    trusts: bool = False  # whether the list takes a series with the stored time as unchanged
    whole: bool = True  # whether pages have their usual size; false: a page was too heavy

    @staticmethod
    def read(text: str) -> CalendarLink:
        stored = json.loads(text)
        known = {one.name for one in fields(CalendarLink)}  # another version may say more
        return CalendarLink(**{name: stored[name] for name in known & set(stored)})

    def write(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def fresh(now: datetime, *, whole: bool = True) -> CalendarLink:
        """A feed that starts from nothing."""
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return CalendarLink(
            begin=iso(today - BACK), end=iso(today + AHEAD), drawn=iso(now), full=iso(now),
            asked=iso(now), whole=whole,
        )  # fmt: skip

    def is_stale(self, now: datetime) -> bool:
        """Whether the window has to be drawn anew."""
        return not self.at or now - parse_iso(self.drawn) >= WINDOW_LIFE

    def begins(self, now: datetime) -> CalendarLink:
        """At the beginning of a round, or in the middle of one that is resumed."""
        return self if self.begun else replace(self, begun=iso(now))

    def since(self) -> str:
        """From when on a change may not have been told of yet."""
        return iso(parse_iso(self.asked) - SLACK)

    def ended(self, delta_link: str, now: datetime) -> CalendarLink:
        """Behind the last page of changes: a full pass follows where it is due."""
        done = replace(self, at=delta_link, asked=self.begun, begun="", news=False)
        if now - parse_iso(self.full) < FULL_EVERY:
            return done
        return replace(done, phase=LIST, full=iso(now), trusts=True)

    def listed(self) -> CalendarLink:
        """Behind a full pass."""
        return replace(self, phase=CHANGES, list_at="", trusts=False, whole=True)
