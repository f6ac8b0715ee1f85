"""What a round's operations make of one item: whether it is there at its end, and where.

Rule 1: operations count in their order, the last one decides; a removal with a parent counts only
        while the item lies in that parent.
Rule 2: a sweep removes what lies in its scope and was not put since its reset. It is made at the
        end of the feed that was reset, so an operation after that end finds it done.

Shapes. An event is (id, position, PUT, parent, sort), (id, position, REMOVE, parent or None,
recursive) or (id, -1, OLD, parent, sort): where the previous catalog has the item. Positions number
the operations of the round. Both are plain tuples, as there may be millions to be sorted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vault.page import DROP, END, PUT, RESET
from vault.tree import Walk

OLD = "old"

Event = tuple[str, int, str, str | None, Any]
# id | position of the put that decides, -1: the item is gone | parent, sort | the same before, None
# where it was not there | position of its recursive removal, -1 without
Outcome = tuple[str, int, str | None, str | None, str | None, str | None, int]


class Sweeps:
    """The sweeps of a round."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, str | None]] = {}  # part: position and scope of its reset
        self._made: dict[str | None, list[tuple[int, int]]] = {}  # scope: positions of reset, end

    def take(self, op: list[Any], position: int) -> None:
        """Any operation that is no put and no removal, in order."""
        part = op[1]
        if op[0] == RESET:
            self._open[part] = (position, op[2])
        elif op[0] == END and part in self._open:
            reset, scope = self._open.pop(part)
            self._made.setdefault(scope, []).append((reset, position))
        elif op[0] == DROP:
            self._open.pop(part, None)

    @property
    def everywhere(self) -> bool:
        """Whether one goes through the whole catalog."""
        return None in self._made

    @property
    def scopes(self) -> list[str]:
        """Parents that some go through."""
        return sorted(scope for scope in self._made if scope is not None)

    def removed(self, parent: str, put: int, now: int | None = None) -> bool:
        """Whether what lies in `parent` since its put at a position, -1 before the round, is swept
        away before the position `now`; None: before the round's end.
        """
        return any(
            put < reset and (now is None or end < now)
            for scope in ((None, parent) if self._made else ())
            for reset, end in self._made.get(scope, ())
        )


def outcome_of(id_: str, events: Iterable[Event], places: Walk, sweeps: Sweeps) -> Outcome | None:
    """The outcome of an item's events, in order; None: the round leaves it as it was. `places` is
    asked for where it was when no event says so.
    """
    events = list(events)
    parent, sort = old_parent, old_sort = _place_before(id_, events, places)
    at, removed = -1, -1
    for _, position, kind, where, more in events:
        if parent is not None and sweeps.removed(parent, at, position):
            parent = None
        if kind == PUT:
            parent, sort, at = where, more, position
        elif kind != OLD and where in (None, parent):
            parent = None
            removed = position if more else removed
    if parent is not None and sweeps.removed(parent, at):
        parent = None
    if parent is None:
        return id_, -1, None, None, old_parent, old_sort, removed
    return None if at < 0 else (id_, at, parent, sort, old_parent, old_sort, removed)


def _place_before(
    id_: str, events: list[Event], places: Walk
) -> tuple[str, str] | tuple[None, None]:
    first = events[0]
    if first[2] == OLD:
        assert first[3] is not None
        return first[3], first[4]
    line = places.get((id_,))
    if line is None:
        return None, None
    parent, sort = json.loads(line)
    return parent, sort
