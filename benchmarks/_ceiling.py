"""How near the governor comes to what the throttle limits allow, and whether it ever exceeds them.

Theory of operation. Time is simulated: an event queue drives requests of several workers, each a
Limiter of its own, that share one record in SQLite, against the limits as the simulated tenant
counts them (no sockets: only its counting is asked). A request arrives a few milliseconds after it
was let go, and takes a tenth of a second. What is measured is the governor alone: a real tenant
also has latency, and a run works on a few mailboxes at a time.
"""

from __future__ import annotations

import heapq
import random
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from base.errors import Throttled
from m365.graph.throttle import Limiter, Limits, Purpose, Scope
from simulator.tenant import Clock, Tenant
from simulator.throttle import Throttle, violations
from simulator.web import Answer, GraphError, Headers, Request, Route
from state.counting import CountingTables
from state.tables.sqlite import SqliteTables
from state.throttling import ThrottlingRecords

WORKERS = 4
MAILBOX_S = 1_800  # of which the first ten minutes, a full window to begin with, do not count
TENANT_WARM_S = 12
TENANT_S = TENANT_WARM_S + 3 * 10.3  # three whole windows of ten seconds, as we keep them
_LATENCY_S = 0.1
_ON_THE_WAY_S = 0.03
_STEP_S = 180.0
_SLEPT_MAX_S = 5.0  # a longer pause ends a step
_START = datetime(2026, 11, 24, 1, tzinfo=UTC)

Script = Generator[float, None, None]  # yields how long it wants to sleep


@dataclass(slots=True)
class Counted:
    """What a scenario came to; `served` in units, behind its beginning."""

    served: int = 0
    violations: int = 0
    table_operations: int = 0
    requests: int = 0


class SimulatedClock:
    """Time that the event queue moves."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return _START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps here, and {seconds} s least of all")


class _TenantClock(Clock):
    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(_START)
        self._clock = clock

    def elapsed_s(self) -> float:
        return self._clock.passed_s


class Stage:
    """A tenant that counts, and workers that share a record."""

    def __init__(self, tables: CountingTables, workers: int, limits: Limits) -> None:
        self.clock = SimulatedClock()
        self.tenant = Tenant(1, clock=_TenantClock(self.clock))
        self.throttle = Throttle(self.tenant)
        record = ThrottlingRecords(tables)
        self.workers = [Limiter(self.clock, limits, record) for _ in range(workers)]
        self.tables = tables
        self.counted = Counted()
        self.count_from_s = 0.0
        self.dice = random.Random(7)
        self._events: list[tuple[float, int, Script]] = []
        self._order = count()

    def start(self, script: Script, at_s: float = 0.0) -> None:
        """Runs a script from a moment on."""
        heapq.heappush(self._events, (at_s, next(self._order), script))

    def run(self, until_s: float) -> Counted:
        """Lets time pass; answers what was counted from `count_from_s` on."""
        while self._events and self._events[0][0] < until_s:
            at_s, _, script = heapq.heappop(self._events)
            self.clock.passed_s = at_s
            sleep_s = next(script, None)
            if sleep_s is not None:
                self.start(script, at_s + sleep_s)
        self.counted.violations = violations(self.tenant)
        self.counted.table_operations = self.tables.reads + self.tables.writes
        return self.counted

    def request(
        self, limiter: Limiter, scope: Scope, purpose: Purpose = Purpose.BACKUP, cost: int = 1
    ) -> Generator[float, None, float]:
        """One request from asking for leave to its answer; or the pause a step is told to make."""
        while True:
            try:
                permit = limiter.enter(
                    "contoso", scope, cost, purpose=purpose, make_room=_come_back
                )
                break
            except Throttled as wait:
                if wait.retry_after_s > _SLEPT_MAX_S:
                    return wait.retry_after_s
                yield wait.retry_after_s + self.dice.random() * 0.005
        on_the_way_s = self.dice.random() * _ON_THE_WAY_S
        yield on_the_way_s
        self.counted.requests += 1
        mailbox = scope.key or None
        try:
            ticket = self.throttle.enter(_route(scope, cost), self._sent(), mailbox)
        except GraphError:
            permit.leave()
            return 0.0
        if self.clock.passed_s >= self.count_from_s:
            self.counted.served += cost
        yield _LATENCY_S - on_the_way_s
        self.throttle.leave(ticket)
        permit.leave()
        return 0.0

    def _sent(self) -> Request:
        app = self.tenant.backup_app
        return Request("GET", "", (), {}, Headers({}), b"", app, "")


@contextmanager
def stage(workers: int = WORKERS, limits: Limits | None = None) -> Iterator[Stage]:
    """A stage over records of its own. Nobody sleeps: whoever has to wait is told how long."""
    with tempfile.TemporaryDirectory() as folder:
        tables = SqliteTables(Path(folder) / "state.sqlite")
        yield Stage(CountingTables(tables), workers, limits or Limits(wait_max_s=0.0))
        tables.close()


def mailbox(seconds: float = MAILBOX_S) -> tuple[float, Counted]:
    """One mailbox, step after step on changing workers; the share of what its limits allow."""
    with stage() as on:
        on.count_from_s = 600.0
        on.start(_steps(on, Scope.mailbox("anna")))
        counted = on.run(seconds)
        return counted.served / (10_000 * (seconds - 600) / 600), counted


def tenant(mailboxes: int = 1_000, seconds: float = TENANT_S) -> tuple[float, Counted]:
    """Many mailboxes on several workers; what allows the least is the application as a whole."""
    with stage() as on:
        on.count_from_s = TENANT_WARM_S
        for number in range(mailboxes):
            limiter = on.workers[number % WORKERS]
            step = _Step(on, limiter, Scope.mailbox(f"user-{number}"), lasts_s=seconds)
            on.start(step.first())
        counted = on.run(seconds)
        per_s = min(mailboxes * 10_000 / 600, on.tenant.limits.app_requests / 10)
        return counted.served / (per_s * (seconds - TENANT_WARM_S)), counted


def sharepoint(seconds: float = 600) -> tuple[float, Counted]:
    """Drives of one tenant on several workers; the share of its units per minute."""
    with stage() as on:
        on.count_from_s = 120.0
        for number in range(4 * WORKERS):
            limiter = on.workers[number % WORKERS]
            on.start(_endless(on, limiter, Scope.sharepoint()))
        counted = on.run(seconds)
        return counted.served / (1_250 * (seconds - 120) / 60), counted


def figures() -> dict[str, Any]:
    """The keys of the bench."""
    found = {"mailbox": mailbox(), "tenant": tenant(), "sharepoint": sharepoint()}
    shares = {f"ceiling_share_{name}": round(share, 4) for name, (share, _) in found.items()}
    operations = {
        f"requests_per_table_operation_{name}": counted.requests // counted.table_operations
        for name, (_, counted) in found.items()
    }
    broken = sum(counted.violations for _, counted in found.values())
    return {**shares, "violations": broken, **operations}


def _steps(on: Stage, scope: Scope) -> Script:
    """What the story does: steps of three minutes, each on the next worker, none beside another;
    where a step is told to pause, the next one begins after the pause.
    """
    for number in count():
        step = _Step(on, on.workers[number % len(on.workers)], scope)
        on.start(step.first(), on.clock.passed_s)
        while step.readers:
            yield 0.05
        step.limiter.finished("contoso", scope)
        yield step.pause_s


class _Step:
    """A step: its first requests one after another, then three at a time, until its time is up."""

    def __init__(self, on: Stage, limiter: Limiter, scope: Scope, lasts_s: float = _STEP_S) -> None:
        self.limiter = limiter
        self.readers = 1
        self.pause_s = 0.0
        self._on = on
        self._scope = scope
        self._ends_s = on.clock.passed_s + lasts_s

    def first(self) -> Script:
        limits = self.limiter.limits
        for _ in range(limits.mailbox_visit + 1):
            yield from self._one()
        for _ in range(limits.mailbox_readers - 1):
            self.readers += 1
            self._on.start(self._more(), self._on.clock.passed_s)
        yield from self._more()

    def _more(self) -> Script:
        while not self.pause_s and self._on.clock.passed_s < self._ends_s:
            yield from self._one()
        self.readers -= 1

    def _one(self) -> Script:
        if not self.pause_s:
            self.pause_s = yield from self._on.request(self.limiter, self._scope)


def _endless(on: Stage, limiter: Limiter, scope: Scope) -> Script:
    """Request after request, whatever pauses are asked for."""
    while True:
        pause_s = yield from on.request(limiter, scope)
        if pause_s:
            yield pause_s


def _route(scope: Scope, cost: int) -> Route:
    kinds = {"mailbox": "outlook", "sharepoint": "sharepoint", "directory": "identity"}
    return Route("GET", "", _nothing, ("Any.Read",), kinds[scope.kind], cost)  # type: ignore[arg-type]


def _come_back() -> bool:
    """Instead of waiting for a slot, as a thread would."""
    raise Throttled("All slots are taken.", _LATENCY_S / 2)


def _nothing(*_: Any, **__: Any) -> Answer:
    return Answer()


if __name__ == "__main__":
    for name, value in figures().items():
        print(f"{name:44} {value}")
