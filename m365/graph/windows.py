"""What was spent within the last seconds, counted in cells of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Window:
    """At most `limit` within any `seconds`; `limit` may change at any time."""

    __slots__ = ("_cell_s", "_seconds", "_spent", "_total", "limit")

    def __init__(self, limit: int, seconds: float, cells: int = 60) -> None:
        self.limit = limit
        self._seconds = seconds
        self._cell_s = seconds / cells
        self._spent: deque[tuple[float, int]] = deque()  # end of the cell, units
        self._total = 0

    def wait_s(self, now: float, cost: int) -> float:
        """Seconds until `cost` fits. A cost above the limit fits an empty window."""
        self._forget(now)
        over = self._total + cost - self.limit
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

    def used(self, now: float) -> int:
        """What was spent and still counts."""
        self._forget(now)
        return self._total

    def empty(self, now: float) -> bool:
        """Whether nothing counts any more."""
        self._forget(now)
        return not self._spent

    def cells(self, now: float, count_max: int) -> list[tuple[float, int]]:
        """(end, units) of what still counts, in few cells, none earlier than it was."""
        self._forget(now)
        step = -(-len(self._spent) // count_max) or 1
        cells = list(self._spent)
        groups = [cells[at : at + step] for at in range(0, len(cells), step)]
        return [(group[-1][0], sum(units for _, units in group)) for group in groups]

    def inherit(self, cells: Iterable[tuple[float, int]]) -> None:
        """Counts what somebody else spent as if it were our own."""
        given = list(cells)
        self._total += sum(units for _, units in given)
        self._spent = deque(sorted([*self._spent, *given]))

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] + self._seconds <= now:
            self._total -= self._spent.popleft()[1]
