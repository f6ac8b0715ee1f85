"""Who may send when: slots per mailbox, budgets per tenant, pauses that the service asked for.

Rules
- One Limiter per process; every request of every reader and writer passes it.
- A pause belongs to a lane: one mailbox, all of SharePoint of a tenant, the directory of a tenant.
  Nothing is sent in a lane before its pause has ended, whoever was told to wait.
- Waits of up to `wait_max_s` are slept; a longer one is handed up as Throttled, because a function
  that sleeps is paid for.
- A mailbox has three slots for reading and one for writing. Together they are the four requests
  that Outlook allows per app and mailbox, so a backup and a restore need not know of each other.

Theory of operation
A lane holds: the moment its pause ends, requests in flight, and windows. A window is a sliding sum
over cells of time ("1,250 units in 60 s"); a request that would exceed it waits until old cells
have left it. Numbers:
https://learn.microsoft.com/graph/throttling-limits
https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from base.clock import Clock, SystemClock
from base.errors import Throttled
from base.ids import fraction

_BACKOFF_MAX_S = 300.0
_IDLE_LANES_MAX = 2000  # mailboxes remembered although nothing is going on in them
_SLOT_WAIT_S = (
    300.0  # longer than any request may take; only an abandoned stream holds a slot so long
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which limits a request falls under. `key` is the mailbox's user id, "" elsewhere."""

    kind: str
    key: str = ""

    @classmethod
    def mailbox(cls, user_id: str) -> Self:
        """Everything in one mailbox: mail, calendar, contacts, tasks."""
        return cls("mailbox", user_id.lower())

    @classmethod
    def sharepoint(cls) -> Self:
        """All drives, lists and sites of the tenant."""
        return cls("sharepoint")

    @classmethod
    def directory(cls) -> Self:
        """Users, groups, organization."""
        return cls("directory")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use; the defaults are the documented limits of the smallest tenants."""

    mailbox_readers: int = 3
    mailbox_writers: int = 1
    mailbox_requests_per_10_min: int = 9_600  # of 10,000: other workers and clocks are not exact
    mailbox_upload_bytes_per_5_min: int = 150 * 1024 * 1024
    sharepoint_units_per_min: int = 1_250
    sharepoint_units_per_day: int = 1_200_000
    wait_max_s: float = 5.0

    @classmethod
    def for_licences(cls, licences: int) -> Self:
        """SharePoint's limits grow with the number of licences in the tenant."""
        steps = sum(licences > bound for bound in (1_000, 5_000, 15_000, 50_000))
        return cls(
            sharepoint_units_per_min=1_250 * (steps + 1),
            sharepoint_units_per_day=1_200_000 * (steps + 1),
        )


class Window:
    """At most `limit` within any `seconds`, counted in cells of time."""

    def __init__(self, limit: int, seconds: float, cells: int = 60) -> None:
        self._limit = limit
        self._seconds = seconds
        self._cell_s = seconds / cells
        self._spent: deque[tuple[float, int]] = deque()  # end of the cell, units
        self._total = 0

    def wait_s(self, now: float, cost: int) -> float:
        """Seconds until `cost` fits. A cost above the limit fits an empty window."""
        self._forget(now)
        over = self._total + cost - self._limit
        if over <= 0 or not self._spent:
            return 0.0
        for end, units in self._spent:
            over -= units
            if over <= 0:
                return end + self._seconds - now
        return self._spent[-1][0] + self._seconds - now

    def spend(self, now: float, cost: int) -> None:
        """Counts `cost` as used now."""
        self._total += cost
        if self._spent and now < self._spent[-1][0]:
            end, units = self._spent[-1]
            self._spent[-1] = (end, units + cost)
        else:
            self._spent.append((now + self._cell_s, cost))

    def at_least(self, now: float, spent: int) -> None:
        """Others of our app used the same budget: counts at least `spent` of it as used."""
        self._forget(now)
        if spent > self._total:
            self.spend(now, spent - self._total)

    def empty(self, now: float) -> bool:
        self._forget(now)
        return not self._spent

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] + self._seconds <= now:
            self._total -= self._spent.popleft()[1]


@dataclass(slots=True)
class _Lane:
    readers_max: int | None
    writers_max: int | None
    windows: list[Window]
    uploads: Window | None = None
    paused_until: float = 0.0
    strikes: int = 0  # refusals in a row that named no time
    reading: int = 0
    writing: int = 0
    waiting: int = 0
    alone: bool = False  # a batch is under way

    def wait_s(self, now: float, cost: int, upload_bytes: int) -> float:
        waits = [window.wait_s(now, cost) for window in self.windows]
        if self.uploads is not None and upload_bytes:
            waits.append(self.uploads.wait_s(now, upload_bytes))
        return max(0.0, self.paused_until - now, *waits)

    def has_room(self, writing: bool, alone: bool) -> bool:
        if alone:
            return self.readers_max is None or self.reading + self.writing == 0
        if self.alone:
            return False
        if writing:
            return self.writers_max is None or self.writing < self.writers_max
        return self.readers_max is None or self.reading < self.readers_max

    def idle(self, now: float) -> bool:
        busy = self.reading or self.writing or self.waiting or self.paused_until > now
        return not busy and all(window.empty(now) for window in self.windows)


class Permit:
    """One request's place in its lane, given back by leave() or at the end of a with block."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave: Callable[[], None] | None = leave

    def leave(self) -> None:
        """Gives the place back; a second call does nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.leave()


class Limiter:
    """All limits of one process. Thread-safe."""

    def __init__(self, clock: Clock | None = None, limits: Limits | None = None) -> None:
        self._clock = clock or SystemClock()
        self.limits = limits or Limits()
        self._lanes: dict[tuple[str, Scope], _Lane] = {}
        self._changed = threading.Condition()

    def enter(
        self,
        tenant: str,
        scope: Scope,
        cost: int = 1,
        *,
        writing: bool = False,
        alone: bool = False,
        upload_bytes: int = 0,
        make_room: Callable[[], bool] | None = None,
    ) -> Permit:
        """Waits for the end of a pause, for budget and for a slot.

        `alone`: a batch, of which Outlook runs four requests at a time, so it takes all slots of a
        mailbox. `make_room` is asked before waiting for a slot, as long as it says True: it frees
        one that the calling thread itself holds. Raises Throttled where the wait is longer than the
        limits allow to sleep.
        """
        slept_s = 0.0
        while True:
            with self._changed:
                lane = self._lane(tenant, scope)
                wait_s = lane.wait_s(self._clock.monotonic(), cost, upload_bytes)
                if wait_s <= 0:
                    if lane.has_room(writing, alone):
                        return self._taken(lane, cost, writing, alone, upload_bytes)
                    if make_room is None or not make_room():
                        self._await_slot(lane)
                    continue
            slept_s += wait_s
            if slept_s > self.limits.wait_max_s:
                raise Throttled("Microsoft 365 asks for a pause.", wait_s, scope=scope.kind)
            self._clock.sleep(wait_s)

    def refused(self, tenant: str, scope: Scope, asked_s: float | None) -> float:
        """Starts a pause after a 429 or 503 and returns its length in seconds.

        `asked_s` is what the service said; without it the back-off doubles from one second.
        """
        with self._changed:
            lane = self._lane(tenant, scope)
            if asked_s is None:
                base_s = min(_BACKOFF_MAX_S, 2.0**lane.strikes)
                asked_s = base_s * (0.75 + fraction() / 2)
                lane.strikes += 1
            until = self._clock.monotonic() + asked_s
            lane.paused_until = max(lane.paused_until, until)
            return asked_s

    def accepted(self, tenant: str, scope: Scope) -> None:
        """An answer came: the next back-off starts small again."""
        with self._changed:
            self._lane(tenant, scope).strikes = 0

    def told_remaining(self, tenant: str, scope: Scope, remaining: int, reset_s: float) -> None:
        """Takes the RateLimit headers into account, which count what all our workers used."""
        with self._changed:
            lane, now = self._lane(tenant, scope), self._clock.monotonic()
            if remaining <= 0:
                lane.paused_until = max(lane.paused_until, now + reset_s)
            elif scope.kind == "sharepoint":
                lane.windows[0].at_least(now, self.limits.sharepoint_units_per_min - remaining)

    def in_flight(self, tenant: str, scope: Scope) -> int:
        """Requests under way in a lane."""
        with self._changed:
            lane = self._lane(tenant, scope)
            return lane.reading + lane.writing

    def _lane(self, tenant: str, scope: Scope) -> _Lane:
        key = (tenant.lower(), scope)
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= _IDLE_LANES_MAX:
                now = self._clock.monotonic()
                self._lanes = {k: v for k, v in self._lanes.items() if not v.idle(now)}
            lane = self._lanes[key] = self._new_lane(scope)
        return lane

    def _new_lane(self, scope: Scope) -> _Lane:
        limits = self.limits
        if scope.kind == "mailbox":
            return _Lane(
                limits.mailbox_readers,
                limits.mailbox_writers,
                [Window(limits.mailbox_requests_per_10_min, 600)],
                uploads=Window(limits.mailbox_upload_bytes_per_5_min, 300),
            )
        if scope.kind == "sharepoint":
            minute = Window(limits.sharepoint_units_per_min, 60)
            day = Window(limits.sharepoint_units_per_day, 86_400, cells=144)
            return _Lane(None, None, [minute, day])
        return _Lane(None, None, [])

    def _taken(
        self, lane: _Lane, cost: int, writing: bool, alone: bool, upload_bytes: int
    ) -> Permit:
        now = self._clock.monotonic()
        for window in lane.windows:
            window.spend(now, cost)
        if lane.uploads is not None and upload_bytes:
            lane.uploads.spend(now, upload_bytes)
        if writing:
            lane.writing += 1
        else:
            lane.reading += 1
        lane.alone = alone and lane.readers_max is not None
        return Permit(lambda: self._left(lane, writing))

    def _await_slot(self, lane: _Lane) -> None:
        lane.waiting += 1
        try:
            if not self._changed.wait(timeout=_SLOT_WAIT_S):
                raise Throttled("All slots of a mailbox are taken.", self.limits.wait_max_s)
        finally:
            lane.waiting -= 1

    def _left(self, lane: _Lane, writing: bool) -> None:
        with self._changed:
            if writing:
                lane.writing -= 1
            else:
                lane.reading -= 1
            lane.alone = False  # who is alone is the only one who can leave
            self._changed.notify_all()
