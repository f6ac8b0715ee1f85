"""Stores a finished pack beside the step that fills the next one.

Rule 1: one pack of a process is under way beside the steps; while it is, other steps store theirs
        themselves. So memory grows by one pack, however many steps there are.
Rule 2: packs are sealed one at a time: a sealed pack and its parts are twice its size.
Rule 3: what goes wrong comes out of landed(), which a step calls before its next pack and before
        its page: nothing that refers to a pack is written before the pack is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

SEALING = threading.Lock()
_place = threading.Semaphore(1)
_thread = ThreadPoolExecutor(1, thread_name_prefix="pack")


class Shipment(Generic[T]):
    """One pack on its way."""

    def __init__(self, work: Callable[[], T], size: int, beside: bool = True) -> None:
        """`size`: bytes held until it landed. Not `beside`, or with no place free, the work is done
        when this returns.
        """
        self._future: Future[T]
        self.size = size
        if beside and _place.acquire(blocking=False):
            self._future = _thread.submit(_beside, work)
        else:
            self._future = Future()
            self._future.set_result(work())

    def landed(self) -> T:
        """What the work answered, or raised."""
        return self._future.result()


def _beside(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        _place.release()
