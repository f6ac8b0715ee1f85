"""Order in Planner: a place is asked for between two others, and the service answers with a hint.

A hint that the service gave cannot be set; a request names its neighbours instead, as
"<hint before> <hint behind>!", either of them empty. What is asked for in this way may itself be
named as a neighbour in the same request.

https://learn.microsoft.com/graph/api/resources/planner-order-hint-format
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

FIRST = " !"


class Order:
    """The entries of one list that were restored, in the order they had."""

    def __init__(self) -> None:
        self._placed: list[tuple[str, str]] = []  # the hint of the backup, the hint of the target

    def hint(self, stored: str) -> str:
        """Asks for the place of an entry among those that are there already."""
        at = bisect_left(self._placed, (stored, ""))
        before = self._placed[at - 1][1] if at else ""
        behind = self._placed[at][1] if at < len(self._placed) else ""
        return f"{before} {behind}!"

    def placed(self, stored: str, given: str) -> None:
        """Keeps the hint the service gave to an entry."""
        if given:
            insort(self._placed, (stored, given))


def in_a_row(entries: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each entry with a hint that puts it behind the one before it, for one request."""
    hint = ""
    for entry in entries:
        hint = f"{hint} !"
        yield entry, hint
