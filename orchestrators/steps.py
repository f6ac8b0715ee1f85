"""How stories take a step: one that may crash, one that has to succeed, and a pause.

Steps answer expected failures as data. A step that raises is a surprise (a bug, a timeout): the SDK
throws a plain Exception into the story whose text differs between versions, so nobody reads it.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from azure.durable_functions import DurableOrchestrationContext

Story = Generator[Any, Any, dict[str, Any] | None]  # None: it continued as new

STEPS_PER_GENERATION = 50  # a step and the pause before it are 8 events: 400 of the 500 allowed
WAITS_MAX = 100  # times in a row one thing may be throttled before it is given up for this run
WAIT_S_MAX = 3600.0  # the longest single pause; asking again is cheap
_AS_ASKED = 20  # so many pauses in a row are as long as was asked for; those behind them double
_DOUBLED_S = 60.0, 5  # from a minute, so often: 100 pauses outlast any day's budget
CRASHED = "step-crashed"
THROTTLED_TOO_LONG = "throttled-too-long"

_PLAN_WAITS_MAX = 24  # with the longest pause a day; 8 events each
_ATTEMPTS = 3
_ATTEMPT_PAUSE_S = 60.0


def attempt(task: Any) -> Generator[Any, Any, dict[str, Any] | None]:
    """The answer of a task, or None when it raised."""
    try:
        answer: dict[str, Any] = yield task
    except Exception:  # noqa: BLE001  (the SDK raises nothing narrower)
        return None
    return answer


def insist(
    context: DurableOrchestrationContext, step: str, request: dict[str, Any]
) -> Generator[Any, Any, dict[str, Any] | None]:
    """The answer of a step that should not be skipped: up to three attempts, then None."""
    for number in range(_ATTEMPTS):
        if number:
            yield pause(context, _ATTEMPT_PAUSE_S)
        answer = yield from attempt(context.call_activity(step, request))
        if answer is not None:
            return answer
    return None


def patiently(
    context: DurableOrchestrationContext, step: str, request: dict[str, Any]
) -> Generator[Any, Any, dict[str, Any]]:
    """The answer of a step that may be told to wait; failed when it raised or waited too often."""
    for _ in range(_PLAN_WAITS_MAX):
        answer = yield from attempt(context.call_activity(step, request))
        if answer is None:
            return {"state": "failed", "code": CRASHED}
        if answer["state"] != "throttled":
            return answer
        yield pause(context, answer["retry_after_s"])
    return {"state": "failed", "code": THROTTLED_TOO_LONG}


def wait_s(asked_s: float, waits: int) -> float:
    """Seconds to wait behind so many pauses in a row. A service whose budget of the day is spent
    may ask for a minute at a time, and refused requests count: so pauses grow.
    """
    first_s, doublings = _DOUBLED_S
    grown_s = first_s * 2 ** min(waits - _AS_ASKED, doublings) if waits >= _AS_ASKED else 0.0
    return min(max(asked_s, grown_s, 0.0), WAIT_S_MAX)


def pause(context: DurableOrchestrationContext, seconds: float) -> Any:
    """A timer task: at least a second, at most an hour."""
    wait = timedelta(seconds=min(max(seconds, 1.0), WAIT_S_MAX))
    return context.create_timer(context.current_utc_datetime + wait)
