"""The governor: who may send when, so that no limit of Microsoft 365 is hit and restores go first.

Rules
- One Limiter per process; every request of every reader and writer passes it.
- A pause belongs to a lane: one mailbox, all of SharePoint of a tenant, the directory of a tenant.
  Nothing is sent in a lane before its pause has ended, whoever was told to wait.
- Waits of up to `wait_max_s` are slept; a longer one is handed up as Throttled, because a function
  that sleeps is paid for.
- What workers share (limits.py) they share through a record (stake.py, shares.py). Without one a
  process takes itself for the only one.
- A mailbox has four slots for all workers. A backup uses three of them, a batch all four, because
  Outlook runs four of its requests at a time; a restore that waits gets the next free one. The
  first few requests of a backup in a mailbox go one after another without any claim: most nights
  there are no more, and one slot is kept for them.

Theory of operation
A lane holds the moment its pause ends, requests in flight, and a stake in each limit. Before a
request its stakes are asked in turn; one whose record is due is looked at first, outside the lock.
Behind every lane stand two more stakes: the application's over all tenants, and for mailboxes and
teams the tenant's, through which workers tell one another of pauses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from base.clock import Clock, SystemClock
from base.errors import Throttled
from base.ids import fraction, fresh_slug
from m365.graph.lanes import Lane
from m365.graph.limits import BEHIND, UNITS, UPLOADS, WRITES, Limits, Part, Purpose, Scope
from m365.graph.record import MemoryRecord, SharedRecord
from m365.graph.stake import LOOK_S, Keeping, Stake
from m365.graph.windows import Window

__all__ = ["Limiter", "Limits", "Permit", "Purpose", "Scope", "SharedRecord", "Window"]

_KIND_OF = {behind: kind for kind, behind in BEHIND.items()}
INSTALLATION = "installation"  # the tenant under which the application's own limit is kept
_BACKOFF_MAX_S = 300.0
_IDLE_LANES_MAX = 2000  # mailboxes remembered although nothing is going on in them
# Longer than any request may take; only an abandoned stream holds a slot so long.
_SLOT_WAIT_S = 300.0
_TOLD_S = 2.0  # shorter pauses are over before anybody hears of them


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
    """All limits, as one process keeps them. Thread-safe."""

    def __init__(
        self,
        clock: Clock | None = None,
        limits: Limits | None = None,
        record: SharedRecord | None = None,
        worker: str = "",
    ) -> None:
        """Without a record the process is the only one. With the name of a `worker` that died it
        goes on with its claims; without one it gets a fresh name.
        """
        self._clock = clock or SystemClock()
        self.limits = limits or Limits()
        self._lanes: dict[tuple[str, Scope], Lane] = {}
        self._changed = threading.Condition()
        self._sole = record is None
        self._worker = worker or fresh_slug("worker")
        self._keeping = Keeping(record or MemoryRecord(), self._clock, self._changed, self._sole)
        self._app = self._stake(INSTALLATION, "app", "app")
        self._behind: dict[tuple[str, str], Stake] = {}

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
        purpose: Purpose = Purpose.BACKUP,
    ) -> Permit:
        """Waits for the end of a pause, for budget and for a slot.

        `alone`: a batch, of which Outlook runs four requests at a time, so it takes all slots of a
        mailbox. `make_room` is asked before waiting for a slot, as long as it says True: it frees
        one that the calling thread itself holds. Raises Throttled where the wait is longer than the
        limits allow to sleep.
        """
        costs = {UNITS: cost, UPLOADS: upload_bytes, WRITES: int(writing)}
        slept_s = 0.0
        while True:
            with self._changed:
                lane = self._lane(tenant, scope, self._clock.monotonic())
                found = self._admitted(lane, purpose, costs, alone, make_room)
            if isinstance(found, Permit):
                return found
            if isinstance(found, Stake):
                self._look(found)
                continue
            slept_s += found
            stake = lane.stakes[purpose]
            if slept_s > self.limits.wait_max_s:
                stake.count("held")
                raise Throttled("Microsoft 365 asks for a pause.", found, scope=scope.kind)
            if found > 0:
                stake.count("waited_ms", int(found * 1000))
                self._clock.sleep(found)

    def one_by_one(self, tenant: str, scope: Scope, requests: int) -> bool:
        """Whether a batch is better sent as single requests (Lane.one_by_one)."""
        with self._changed:
            now = self._clock.monotonic()
            return self._lane(tenant, scope, now).one_by_one(requests, now)

    def finished(self, tenant: str, scope: Scope, purpose: Purpose = Purpose.BACKUP) -> None:
        """A step will send nothing more: gives back what others may be waiting for."""
        if not scope.key and purpose != Purpose.RESTORE:
            return  # the next step goes on with it
        with self._changed:
            lane = self._lanes.get((tenant.lower(), scope))
            if lane is None or lane.busy:
                return
            lane.end_visit()
            stake = lane.stakes[purpose]
        stake.leave()

    def tell(self, tenant: str) -> None:
        """A run is over: writes down what this process has counted, so that people see it."""
        with self._changed:
            now = self._clock.monotonic()
            lanes = [lane for (of, _), lane in self._lanes.items() if of == tenant.lower()]
            stakes = {one for lane in lanes if not lane.has_slots for one in lane.stakes.values()}
            stakes |= {one for (of, _), one in self._behind.items() if of == tenant.lower()}
            stakes.add(self._app)
            due = [stake for stake in stakes if stake.tell(now)]
            for stake in due:
                stake.looking = True
        for stake in due:
            self._look(stake)

    def in_flight(self, tenant: str, scope: Scope) -> int:
        """Requests under way in a lane."""
        with self._changed:
            return self._lane(tenant, scope, self._clock.monotonic()).flying

    # --- What the service says ---

    def refused(
        self, tenant: str, scope: Scope, asked_s: float | None, why: str = "refused"
    ) -> float:
        """Starts a pause after a 429 or 503 and returns its length in seconds.

        `asked_s` is what the service said; without it the back-off doubles from one second. `why`
        is shown to people.
        """
        with self._changed:
            lane = self._lane(tenant, scope, self._clock.monotonic())
            if asked_s is None:
                base_s = min(_BACKOFF_MAX_S, 2.0**lane.strikes)
                asked_s = base_s * (0.75 + fraction() / 2)
                lane.strikes += 1
        self._pause(tenant, lane, asked_s, why)
        return asked_s

    def accepted(self, tenant: str, scope: Scope) -> None:
        """An answer came: the next back-off starts small again."""
        with self._changed:
            lane = self._lanes.get((tenant.lower(), scope))
            if lane is not None:
                lane.strikes = 0

    def told_remaining(
        self, tenant: str, scope: Scope, remaining: int, reset_s: float, limit: int = 0
    ) -> None:
        """Takes the RateLimit headers into account, which count what all our workers used."""
        with self._changed:
            now = self._clock.monotonic()
            lane = self._lane(tenant, scope, now)
            if remaining > 0 and scope.kind == "sharepoint":
                whole = max(limit or self.limits.sharepoint_units_per_min, remaining)
                for stake in lane.stakes.values():
                    stake.used_by_others(now, remaining / whole)
        if remaining <= 0:
            self._pause(tenant, lane, reset_s, "nothing is left of the minute")

    def told_used(self, tenant: str, scope: Scope, used: float) -> None:
        """Takes x-ms-throttle-limit-percentage into account: 0.8 to 1.8 of the limit is used."""
        with self._changed:
            now = self._clock.monotonic()
            for stake in self._lane(tenant, scope, now).stakes.values():
                if UNITS in stake.windows:
                    stake.used_by_others(now, 1 - used)

    def learn_licences(self, tenant: str, licences: int) -> None:
        """How many licences a tenant has (0: not known), which SharePoint's limits follow; told to
        all workers at once.
        """
        with self._changed:
            lane = self._lane(tenant, Scope.sharepoint(), self._clock.monotonic())
            teller = lane.stakes[Purpose.BACKUP]
            teller.learn_licences(licences)
            if teller.looking:
                return  # with the look after this one
            teller.looking = True
        self._look(teller)

    # --- Lanes and their stakes ---

    def _lane(self, tenant: str, scope: Scope, now: float) -> Lane:
        key = (tenant.lower(), scope)
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= _IDLE_LANES_MAX:
                self._lanes = {k: v for k, v in self._lanes.items() if not v.idle(now)}
            lane = self._lanes[key] = self._new_lane(tenant.lower(), scope)
        return lane

    def _new_lane(self, tenant: str, scope: Scope) -> Lane:
        kind, others = scope.kind, [self._app]
        if kind == "sharepoint":
            stakes = {one: self._stake(tenant, kind, kind, one) for one in Purpose}
            return Lane(scope, stakes, self.limits, self._sole, False, others)
        name = f"{kind}:{scope.key}" if scope.key else kind
        stake = self._stake(tenant, kind, name)
        has_slots = kind == "mailbox"
        stakes = dict.fromkeys(Purpose, stake)
        lane = Lane(scope, stakes, self.limits, self._sole, has_slots, others)
        if scope.key:
            behind = (tenant, BEHIND[kind])
            if behind not in self._behind:
                self._behind[behind] = self._stake(tenant, behind[1], behind[1])
            others.append(self._behind[behind])
            lane.paused_until = self._until(self._behind[behind], scope.key)
        return lane

    def _stake(self, tenant: str, kind: str, name: str, purpose: Purpose | None = None) -> Stake:
        def parts_of(licences: int) -> tuple[tuple[Part, ...], int]:
            limits = self.limits.with_licences(licences)
            return limits.parts(kind), limits.sharepoint_units_per_day * (kind == "sharepoint")

        key = self._worker if purpose is None else f"{self._worker}/{purpose.name.lower()}"
        look_s = LOOK_S if kind in ("sharepoint", "directory") else 2 * LOOK_S
        given = Purpose.BACKUP if purpose is None else purpose
        return Stake(self._keeping, tenant, name, key, given, parts_of, look_s)

    def _admitted(
        self,
        lane: Lane,
        purpose: Purpose,
        costs: dict[str, int],
        alone: bool,
        make_room: Callable[[], bool] | None,
    ) -> Permit | Stake | float:
        """A permit; or the stake to look at first; or seconds to wait, 0 after a wait for a
        slot.
        """
        now = self._clock.monotonic()
        due = lane.due(purpose, alone, now)
        wait_s = 0.0
        if due is None:
            wait_s = lane.wait_s(purpose, costs, now)
            if wait_s <= 0 and lane.has_room(purpose, alone, now):
                lane.take(purpose, costs, alone, now)
                return Permit(partial(self._left, lane, purpose))
            due = lane.due(purpose, alone, now)  # what is too small is looked at before it is slept
        if due is not None:
            due.looking = True
            return due
        if wait_s <= 0 and (make_room is None or not make_room()):
            self._await_slot(lane, purpose, now)
        return max(0.0, wait_s)

    def _await_slot(self, lane: Lane, purpose: Purpose, now: float) -> None:
        restoring, stake = purpose == Purpose.RESTORE, lane.stakes[purpose]
        if not lane.flying and not stake.looking:
            # Another worker has the slots: it gives one back with its next look or step.
            stake.count("held")
            raise Throttled("Another worker is in the mailbox.", stake.look_soon(now))
        lane.waiting += 1
        lane.restores_waiting += restoring
        try:
            if not self._changed.wait(timeout=_SLOT_WAIT_S):
                raise Throttled("All slots of a mailbox are taken.", self.limits.wait_max_s)
        finally:
            lane.waiting -= 1
            lane.restores_waiting -= restoring

    def _left(self, lane: Lane, purpose: Purpose) -> None:
        with self._changed:
            lane.leave(purpose)
            self._changed.notify_all()

    def _look(self, stake: Stake) -> None:
        """Looks at a record, and takes over the pauses that other workers met."""
        try:
            stake.look()
        finally:
            with self._changed:
                for name in stake.pauses:
                    kind = _KIND_OF.get(stake.name, stake.name) if name else stake.name
                    lane = self._lanes.get((stake.tenant, Scope(kind, name)))
                    if lane is not None:
                        lane.paused_until = max(lane.paused_until, self._until(stake, name))
                self._changed.notify_all()

    # --- Pauses ---

    def _pause(self, tenant: str, lane: Lane, pause_s: float, why: str) -> None:
        """Pauses a lane here and, where it is worth it, everywhere."""
        with self._changed:
            until = self._clock.monotonic() + pause_s
            lane.paused_until = max(lane.paused_until, until)
            teller, name = lane.others[-1], lane.scope.key
            if not name:
                held = [one for one in lane.stakes.values() if one.valid(until - pause_s)]
                teller = held[0] if held else lane.stakes[Purpose.BACKUP]
            teller.count("refused")
            if pause_s < _TOLD_S:
                return
            fresh = teller.paused(name, self._clock.now().timestamp() + pause_s, why)
            if not fresh or teller.looking:
                return  # with the look after this one
            teller.looking = True
        self._look(teller)

    def _until(self, stake: Stake, name: str) -> float:
        """The end of a pause that the record names, by our own clock."""
        until, _ = stake.pauses.get(name, (0.0, ""))
        left_s = until - self._clock.now().timestamp()
        return self._clock.monotonic() + left_s if left_s > 0 else 0.0
