"""A worker's stake in a limit that other workers use too, kept in a small record.

Rules
- The record is looked at when a stake is first used, then every half minute while it is used (what
  concerns mailboxes and the application: every minute; after a refusal: every ten seconds), never
  per request. It is written when something changes, or the claim would run out.
- Nobody spends on a claim that has run out.
- Where the record cannot be reached, an eighth of the limit goes on being used, one slot of a
  mailbox, and the log says so. Never more, and never nothing.

Theory of operation
look() is called without the lock of the limiter: under the lock it notes what the worker needs,
without it reads, settles (shares.py) and writes if unchanged, under the lock it takes over what
came out. Meanwhile others spend on the old share, which the record keeps until the look after.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from base import log
from base.clock import Clock
from base.errors import Problem
from m365.graph.limits import UNITS, Part, Purpose
from m365.graph.record import SharedRecord
from m365.graph.shares import Ask, Cells
from m365.graph.sharing import Entry, Needs, Outcome
from m365.graph.windows import Window

LASTS_S = 90.0
LOOK_S = 30.0
_STARVED_S = 5.0  # a stake with less than its due looks again so soon
_SPARE_S = 0.5  # and so soon where nobody has claimed the rest
_SAFETY_S = 5.0  # a claim is given up so long before it runs out
_ALONE_S = 15.0
_ALONE_SHARE = 8
_CELLS_MAX = 60
_FORGOTTEN = 20  # who leaves having used less than limit // _FORGOTTEN leaves nothing


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a stake is kept, whose time it goes by, and the lock of its caller."""

    record: SharedRecord
    clock: Clock
    lock: AbstractContextManager[Any]
    sole: bool = False  # nobody else is there to leave anything for


class Stake:
    """What this worker may use of one scope, for one purpose. Its caller holds the lock."""

    def __init__(
        self,
        keeping: Keeping,
        tenant: str,
        name: str,
        key: str,
        purpose: Purpose,
        parts_of: Callable[[int], tuple[tuple[Part, ...], int]],
        look_s: float = LOOK_S,
    ) -> None:
        """`key` is who we are in the record; `parts_of` gives the parts and the day's budget (0:
        none) by the number of licences.
        """
        self.purpose = purpose
        self.tenant, self.name = tenant, name
        self.looking = False
        self.alone = False
        self.pauses: dict[str, tuple[float, str]] = {}  # of all workers, by the clock on the wall
        self.slots = 0
        self.slots_used = 0
        self.slots_wanted = 0
        self._keeping = keeping
        self._sole = keeping.sole
        self._parts_of = parts_of
        self._look_s = look_s
        self._lasts_s = LASTS_S * look_s / LOOK_S
        self._entry = Entry(keeping.record, tenant, name, key, parts_of, self._lasts_s)
        self._parts, self._day_limit = parts_of(0)
        self.windows = {part.name: _window(part) for part in self._parts if part.seconds}
        self._set_timed()
        self.next_look = -1e18  # monotonic; never behind the end of the claim
        self._until = self._looked = self._began = -1e18
        self._hungry: set[str] = set()
        self._grant = self._spent = 0
        self._day_free_at = 0.0
        self._workers = 1
        self._spare = False
        self._counts: Counter[str] = Counter()
        self._requests = 0
        self._news: dict[str, tuple[float, str]] = {}
        self._licences: int | None = None
        self._tell = False

    # --- By every request ---

    def valid(self, now: float) -> bool:
        """Whether there is a claim to spend on."""
        return now < self._until

    def wait_s(self, now: float, costs: Mapping[str, int]) -> float:
        """Seconds until all costs fit, or until it is worth asking again."""
        longest = 0.0
        for name, limit, window in self._timed:
            cost = costs[name]
            if not cost:
                continue
            wait_s = window.wait_s(now, cost)
            small = window.limit < cost and window.limit < limit
            if wait_s > 0 or small:
                self._hungry.add(name)
                if small or window.limit * self._workers < limit * 9 // 10:
                    wait_s = self._sooner(now, wait_s, small)
                longest = max(longest, wait_s)
        if self._day_limit and self._spent + costs[UNITS] > self._grant:
            longest = max(longest, self._day_wait_s(now))
        return longest

    def spend(self, now: float, costs: Mapping[str, int]) -> None:
        """Counts a request as sent."""
        for name, _, window in self._timed:
            cost = costs[name]
            if cost:
                window.spend(now, cost)
        self._spent += costs[UNITS]
        self._requests += 1

    def used_by_others(self, now: float, allowed_share: float) -> None:
        """The service says that so little of the whole is left, whoever used the rest."""
        window, whole = self.windows[UNITS], self._parts[0]
        kept = whole.kept if self.purpose != Purpose.RESTORE else 0
        limit = window.limit if self.valid(now) else whole.limit - kept
        window.at_least(now, limit - math.ceil(limit * max(0.0, allowed_share)))

    def count(self, what: str, number: int = 1) -> None:
        """Adds to what the record shows to people."""
        self._counts[what] += number

    def paused(self, name: str, until: float, why: str) -> bool:
        """Notes that nothing is to be sent until then, since 1970; whether that is news."""
        known = max(self._news.get(name, (0.0,))[0], self.pauses.get(name, (0.0,))[0])
        if until <= known + 1.0:
            return False
        self._news[name] = (until, why)
        self.next_look = -1e18
        return True

    def look_soon(self, now: float) -> float:
        """Another worker has what is needed: looks earlier; seconds until then."""
        wait_s = _SPARE_S if self._spare else _STARVED_S
        self.next_look = min(self.next_look, max(now, self._looked + wait_s))
        return max(0.05, self.next_look - now)

    def make_way(self, now: float, for_restore: bool) -> bool:
        """Another purpose of this very process needs more: gives up at once what it does not use,
        and beside a restore more than that. Whether that has to be told.
        """
        if not self.valid(now):
            return False
        least: dict[str, int] = {}
        spare = 0
        for name, limit, window in self._timed:
            part = next(one for one in self._parts if one.name == name)
            needed = window.used(now) * 3 // 2
            if for_restore:
                needed = min(needed, int(limit * part.beside_restore))
            least[name] = max(needed, window.used(now), limit // 50)
            spare = max(spare, (window.limit - least[name]) * 20 // limit)
        if spare <= 0:
            return False
        for name, _, window in self._timed:
            window.limit = min(window.limit, least[name])
        self.next_look = self._began = -1e18
        return True

    def small(self, now: float) -> bool:
        """Whether it has less than its due."""
        return self.valid(now) and any(
            window.limit * self._workers < limit * 9 // 10 for _, limit, window in self._timed
        )

    def look_again(self, now: float) -> None:
        """Something has changed in the record."""
        self.next_look = min(self.next_look, now)

    def tell(self, now: float) -> bool:
        """A run is over: what was counted is to be written down; whether there is something."""
        self._tell = bool(self._requests) and self.valid(now) and not self.looking
        return self._tell

    def learn_licences(self, licences: int) -> None:
        """How many licences the tenant has; told to all workers with the next look."""
        self._licences = licences
        self.next_look = -1e18

    @property
    def others_there(self) -> bool:
        """Whether other workers had claims when we last looked."""
        return self._workers > 1

    def idle(self, now: float) -> bool:
        """Whether nothing is going on and nothing is left to say."""
        quiet = not (self.looking or self._news or self.slots_used)
        return quiet and all(window.empty(now) for window in self.windows.values())

    # --- Now and then ---

    def look(self) -> None:
        """Reads the record, settles, and writes it where that changes something.

        The caller has set `looking`, and holds no lock.
        """
        outcome: Outcome | None = None
        trouble: Problem | None = None
        with self._keeping.lock:
            needs = self._needs()
        try:
            outcome = self._entry.exchange(needs)
        except Problem as problem:
            trouble = problem
        finally:
            with self._keeping.lock:
                self.looking = False
                if outcome is not None:
                    self._take(needs, outcome)
                else:
                    self._go_on_alone(needs, trouble)

    def leave(self) -> None:
        """Gives the claim back with what was used on it. The caller holds no lock."""
        with self._keeping.lock:
            if not self.valid(self._keeping.clock.monotonic()) or self.alone or self.looking:
                return
            self.looking = True
            needs = self._needs()
            ahead = needs.now - needs.monotonic
            left = self._left(needs.monotonic, ahead)
            self._until = -1e18
            self.slots = 0
        try:
            self._entry.leave(needs, left)
            handed_over = left
        except Problem:
            handed_over = {}
        with self._keeping.lock:
            self.looking = False
            self._settle_up(needs)
            self.next_look = -1e18
            for name in handed_over:  # the record has it now, and gives it back when we return
                part = next(one for one in self._parts if one.name == name)
                self.windows[name] = _window(part)
            self._set_timed()

    def _needs(self) -> Needs:
        clock = self._keeping.clock
        monotonic = clock.monotonic()
        if not self.valid(monotonic):
            self._began = monotonic  # what it will need is not known yet
        asks: dict[str, Ask] = {}
        for part in self._parts:
            if not part.seconds:
                want = max(1, self.slots_wanted, self.slots_used)
                held = self.slots if self.valid(monotonic) else 0
                asks[part.name] = Ask(want, self.slots_used, held, want >= part.limit)
                continue
            window = self.windows[part.name]
            used = window.used(monotonic)
            held = window.limit if self.valid(monotonic) else 0
            want = max(part.limit // part.least, 2 * used)
            first = self.purpose == Purpose.RESTORE and part.beside_restore < 1
            if self._sole or first or part.name in self._hungry:
                want = part.limit
            elif monotonic - self._began < self._look_s:
                want = max(want, part.limit // part.first)
            asks[part.name] = Ask(want, min(used, part.limit), held)
        return Needs(
            self.purpose, self._grant, clock.now().timestamp(), monotonic, asks, self._spent,
            {**self._counts, "requests": self._requests, "units": self._spent},
            dict(self._news), self._licences, self._tell or not self.valid(monotonic),
        )  # fmt: skip

    def _take(self, needs: Needs, outcome: Outcome) -> None:
        """Takes over what came out of a look."""
        shared, now = outcome.shared, needs.monotonic
        self.alone = False
        self._looked = now
        self.next_look = now + (min(10.0, self._look_s) if shared.pauses else self._look_s)
        self.pauses = shared.pauses
        self._workers = max(1, len(shared.claims))
        self._spare = any(
            10 * sum(claim.shares.get(part.name, 0) for claim in shared.claims.values())
            < 9 * part.limit
            for part in self._parts
            if part.seconds
        )
        self._parts, self._day_limit = self._parts_of(shared.licences)
        self._set_timed()
        if outcome.shares is None:
            self.next_look = min(self.next_look, self._until)
            return
        self._until = now + self._lasts_s - _SAFETY_S
        self._hungry.clear()
        self._settle_up(needs)
        self._grant, self._day_free_at = outcome.grant, outcome.free_at - needs.now + now
        ahead = needs.now - now
        for part in self._parts:
            share = outcome.shares[part.name]
            if not part.seconds:
                self.slots = share.limit
            else:
                self.windows[part.name].limit = share.limit
                self.windows[part.name].inherit((at - ahead, n) for at, n in share.inherited)
            if share.written > share.limit:  # the record follows as soon as we have shrunk
                self.next_look = min(self.next_look, now + 3.0)

    def _set_timed(self) -> None:
        self._timed = [
            (part.name, part.limit, self.windows[part.name]) for part in self._parts if part.seconds
        ]

    def _settle_up(self, needs: Needs) -> None:
        """Forgets what the record knows by now."""
        self._spent -= needs.spent
        self._requests -= needs.counts["requests"]
        self._counts.subtract(
            {name: count for name, count in needs.counts.items() if name in self._counts}
        )
        self._news = {
            name: news for name, news in self._news.items() if needs.pauses.get(name) != news
        }
        self._licences = None
        self._tell = False

    def _go_on_alone(self, needs: Needs, trouble: Problem | None) -> None:
        """The record cannot be reached, or others were faster each time: a careful share."""
        now = self._looked = needs.monotonic
        self._news.clear()
        self.next_look = now + (_ALONE_S if trouble else 2.0)
        if self.valid(self.next_look):
            return  # the claim holds until the next try
        if not self.alone and trouble:
            log.event("throttling-record-unavailable", scope=self.name[:10], code=trouble.code)
        self.alone = True
        self._until = self.next_look + 1.0
        self._grant = self._spent + self._parts[0].limit // _ALONE_SHARE if self._parts else 0
        for part in self._parts:
            careful = max(1, part.limit // _ALONE_SHARE)
            if part.seconds:
                self.windows[part.name].limit = careful
            else:
                self.slots = max(1, self.slots_used)

    def _left(self, now: float, ahead: float) -> dict[str, Cells]:
        """What counts on behind us, where it is enough to matter."""
        found: dict[str, Cells] = {}
        for part in self._parts:
            if part.seconds and self.windows[part.name].used(now) > part.limit // _FORGOTTEN:
                cells = self.windows[part.name].cells(now, _CELLS_MAX)
                found[part.name] = [(end + ahead, units) for end, units in cells]
        return found

    def _sooner(self, now: float, wait_s: float, small: bool) -> float:
        """A starved stake looks again soon instead of waiting for its own share."""
        until_look = self.look_soon(now)
        return until_look if small else min(wait_s, until_look)

    def _day_wait_s(self, now: float) -> float:
        if self._spent:  # the next look books it, grants more, or says when there will be
            self.next_look = min(self.next_look, max(now, self._looked + 1.0))
            return max(0.01, self.next_look - now)
        return max(0.05, self._day_free_at - now)


def _window(part: Part) -> Window:
    seconds = part.seconds + part.slack_s
    return Window(0, seconds, max(1, round(seconds / part.cell_s)) if part.cell_s else 60)
