"""Work done ahead by a few threads, and taken in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TypeVar

AHEAD = 5  # items being fetched or waiting to be added: bounds memory

_T = TypeVar("_T")


def in_turn(jobs: Iterator[Future[_T]]) -> Iterator[_T]:
    """Yields in order while later jobs are being done."""
    waiting: deque[Future[_T]] = deque()
    try:
        for job in jobs:
            waiting.append(job)
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for left in waiting:
            left.cancel()


def ready(job: _T) -> Future[_T]:
    """A job that is done."""
    done: Future[_T] = Future()
    done.set_result(job)
    return done
