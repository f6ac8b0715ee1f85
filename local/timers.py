"""Fires the timer functions of function_app.py by their schedules, as the Functions host does.

A timer that was due while nothing ran fires once, past due. One killed while it runs fires again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim

from base import log
from base.clock import Clock
from local.host import TimerFunction
from local.instances import Instances

_WAIT_S_MAX = 1.0  # how long the thread sleeps without looking at the clock again


class Timers:
    """The timer functions of one host. Start it, or call fire_due by hand."""

    def __init__(
        self, timers: Sequence[TimerFunction], instances: Instances, clock: Clock, client: Any
    ) -> None:
        """`client` is handed to the functions as their durable client."""
        for timer in timers:  # a schedule that cannot be followed shows at the start
            next_occurrence(timer.schedule, clock.now())
        self._timers = timers
        self._instances = instances
        self._clock = clock
        self._client = client
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_firing, name="timers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Call it before the host stops: a timer function that runs needs the host."""
        self._stopping.set()
        self._thread.join(grace_s)

    def fire_due(self) -> list[str]:
        """Runs what is due, one after another, and answers the names."""
        return [timer.name for timer in self._timers if self._fire_if_due(timer)]

    def _fire_if_due(self, timer: TimerFunction) -> bool:
        now = self._clock.now()
        due = self._instances.timer_due(timer.name)
        if due is not None and due > now.timestamp():
            return False
        if due is not None:
            missed = next_occurrence(timer.schedule, datetime.fromtimestamp(due, UTC)) <= now
            self._run(timer, past_due=missed)
        following = next_occurrence(timer.schedule, now)
        self._instances.set_timer_due(timer.name, following.timestamp())
        return due is not None

    def _run(self, timer: TimerFunction, past_due: bool) -> None:
        try:
            asyncio.run(timer.run(past_due, self._client))
        except Exception as error:  # noqa: BLE001  (whatever it raises, it fires again later)
            log.event("timer-failed", timer=timer.name, error=type(error).__name__)

    def _keep_firing(self) -> None:
        while not self._stopping.is_set():
            self.fire_due()
            self._stopping.wait(_WAIT_S_MAX)


def next_occurrence(schedule: str, after: datetime) -> datetime:
    """The first moment behind `after` that an NCRONTAB schedule of six fields names, in UTC.

    Raises ValueError where day and weekday are both restricted: NCRONTAB wants both to hold,
    cronsim one of them.
    """
    fields = schedule.split()
    if len(fields) != 6 or "*" not in (fields[3], fields[5]):
        raise ValueError("That is no schedule this host can follow.")
    return next(CronSim(schedule, after.astimezone(UTC)))
