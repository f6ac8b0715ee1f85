"""The duplicate look-up for chunks of 64 KiB and more; small pieces are never looked up.

Rule 1 (I3): an id is remembered only after the pack that holds it is durable, and before the page
        that uses it is committed.
Rule 2: a remembered answer counts as looked up when it was learnt, and dies after T_MAX / 2; a
        collector may rely on that.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from base.clock import Clock
from vault.crypto import fresh_bytes
from vault.entry import Location


class ChunkIndex(Protocol):
    """Where the organization's large chunks lie. Loss of rows costs duplicates, never data."""

    def find(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        """The known ones among `ids`."""
        ...

    def remember(self, found: Mapping[bytes, Location]) -> None:
        """Adds rows; a row that is there already stays as it is."""
        ...

    def forget(self, pack: str, ids: Collection[bytes]) -> set[bytes]:
        """Removes the rows among `ids` that point into a pack; answers which. Collectors only."""
        ...

    def generation(self) -> str:
        """Says whether rows may have been lost: it is another one after they were. Never ""."""
        ...


class MemoryChunkIndex:
    """An index that lives as long as the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, Location] = {}
        self._generation = fresh_bytes(8).hex()

    def find(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        with self._lock:
            return {id_: self._rows[id_] for id_ in ids if id_ in self._rows}

    def remember(self, found: Mapping[bytes, Location]) -> None:
        with self._lock:
            for id_, location in found.items():
                self._rows.setdefault(id_, location)

    def forget(self, pack: str, ids: Collection[bytes]) -> set[bytes]:
        with self._lock:
            here = {i for i in ids if i in self._rows and self._rows[i].pack == pack}
            for id_ in here:
                del self._rows[id_]
            return here

    def generation(self) -> str:
        return self._generation

    def lose(self) -> None:
        """Forgets everything, as tables that were deleted."""
        with self._lock:
            self._rows.clear()
            self._generation = fresh_bytes(8).hex()


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of this process by both its clocks: one may be set, the other may sleep."""

    wall: datetime
    ticks: float

    @classmethod
    def now(cls, clock: Clock) -> Self:
        return cls(clock.now(), clock.monotonic())

    def age_s(self, clock: Clock) -> float:
        """Seconds since then, by the clock that counted more."""
        wall_s = (clock.now() - self.wall).total_seconds()
        return max(wall_s, clock.monotonic() - self.ticks)


class RecentChunks:
    """The last answers of an index, shared by the steps of a process; safe for several threads."""

    def __init__(self, clock: Clock, lifetime_s: float, entries_max: int = 100_000) -> None:
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._rows: OrderedDict[bytes, tuple[Location, Moment]] = OrderedDict()

    def get(self, id_: bytes) -> tuple[Location, Moment] | None:
        """The location and when it was looked up."""
        with self._lock:
            row = self._rows.get(id_)
            if row is None:
                return None
            if row[1].age_s(self._clock) > self._lifetime_s:
                del self._rows[id_]
                return None
            self._rows.move_to_end(id_)
            return row

    def put(self, id_: bytes, location: Location, looked_up: Moment) -> None:
        with self._lock:
            self._rows[id_] = (location, looked_up)
            while len(self._rows) > self._entries_max:
                self._rows.popitem(last=False)
