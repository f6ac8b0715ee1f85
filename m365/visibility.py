"""What was created a moment ago, and is not there yet for the next request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from base.clock import Clock
from m365.graph.errors import ItemGone

_LAG_S = (0.05, 0.25, 0.7, 2.0)

_Answer = TypeVar("_Answer")


def patiently(clock: Clock, call: Callable[[], _Answer]) -> _Answer:
    """Repeats a call whose 404 only says that a fresh item is not visible yet."""
    for wait_s in _LAG_S:
        try:
            return call()
        except ItemGone:
            clock.sleep(wait_s)
    return call()
