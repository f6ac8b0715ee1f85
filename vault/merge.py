"""Merges the pages of a finished round into the catalog, in constant memory.

Rule 1: pages count in order and operations within a page in order; the last one decides
        (vault/outcome.py has this and what sweeps remove).
Rule 2: recursive removals are judged by the state at the end of the round: what still lies below a
        folder that is gone, and was not put after the folder went, is gone too. (A feed lists
        changes in no reliable order: a subfolder that was moved out first may be listed after its
        old parent's removal.)
Rule 3: memory: what a few sorters hold (vault/sorting.py), Limits.write_bytes of changes, and a
        byte per operation.
Rule 4: the pages are read twice, once for what becomes of each item and once for the entries that
        go into the catalog. Only a round that a sorter's share of the disk does not hold, some
        million items, is taken in ranges of ids and of rows, with a reading for each.

Theory of operation. Everything is sorted and then joined, so that what belongs together meets and
nothing is held in order to be found. Operations sorted by id, beside the item's old place, say what
becomes of the item: its outcome. Outcomes come in the order of the tree of items and are written
there; of each put is noted whether it "wins", and old rows that have to go are sorted by key. In
the second reading the entries of winning puts are sorted by key, meet the old rows, and are written
to the tree of rows. For Rule 2 the ids of folders that are gone, sorted, meet the puts sorted by
their final parents, and the old rows; what is found there is the next level.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from vault.catalog import Catalog, end_of
from vault.entry import dumps
from vault.outcome import OLD, Outcome, Sweeps, outcome_of
from vault.page import PUT, REMOVE, PageManifest
from vault.sorting import RECORD_BYTES, Budget, Record, Sorter
from vault.tree import Key, Node, Shape, TreeWriter, Walk

Pages = Callable[[], Iterator[PageManifest]]  # all pages of the round, anew at every call
_Change = tuple[Key, bytes | None]
_ID, _ROW = 1, 3  # fields of a record's key
_GONE = b""  # instead of a line, for a row that has to go; sorts before any line
_by_id = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a merge holds at once; tests make it small."""

    sorting: Budget = field(default_factory=Budget)
    write_bytes: int = 8 * 1024 * 1024  # of changes that one update of a tree takes
    keep: int = 5_000  # operations of a round's pages that stay in memory between the readings
    shape: Shape = field(default_factory=Shape)  # of the catalog's trees


class Merge:
    """One merge: `previous` and all pages of the round make the roots of the next catalog."""

    def __init__(self, previous: Catalog, pages: Pages, limits: Limits | None = None) -> None:
        self._previous = previous
        self._pages = pages
        self._limits = limits or Limits()
        self._wins = bytearray()  # per operation: whether it is a put that decides
        self._stack = ExitStack()
        self._sorters: list[Sorter] = []
        self._update_bytes_max = 0
        self.passes = 0  # readings of all pages

    @property
    def held_bytes_max(self) -> int:
        """The most that one sorter held, or one update of a tree was given."""
        held = (sorter.held_bytes_max for sorter in self._sorters)
        return max(self._update_bytes_max, *held)

    def run(self, rows: TreeWriter, items: TreeWriter) -> tuple[Node, Node]:
        """The roots of both trees; nodes below them go through the writers."""
        with self._stack:
            outcomes, gone = self._sorter(), self._sorter()
            for outcome in self._outcomes():
                outcomes.add(outcome)
                if outcome[6] >= 0 and outcome[1] < 0:
                    gone.add((outcome[0], outcome[6]))
            below = self._below(gone, outcomes) if gone.count else self._sorter()
            departed = self._sorter()
            changes = self._item_changes(heapq.merge(outcomes, below), departed)
            items_root = self._written(items, self._previous.items_tree.root, changes)
            outcomes.close()
            below.close()
            return self._written_rows(rows, departed), items_root

    def _outcomes(self) -> Iterator[Outcome]:
        """What becomes of every item the round says something about, by id."""
        low: Record | None = ()
        while low is not None:
            events = self._sorter(_ID, low, bounded=True)
            sweeps = self._sort_events(events)
            places = Walk(self._previous.items_tree)
            everywhere = self._old_places(low, events.beyond) if sweeps.everywhere else ()
            for id_, some in groupby(heapq.merge(events, everywhere), key=_by_id):
                outcome = outcome_of(id_, some, places, sweeps)
                if outcome is not None:
                    yield outcome
            low = events.beyond
            events.close()

    def _sort_events(self, events: Sorter) -> Sweeps:
        sweeps = Sweeps()
        for position, (op, _) in enumerate(self._operations()):
            if op[0] in (PUT, REMOVE):
                events.add((op[1], position, op[0], op[2], op[3]))
            else:
                sweeps.take(op, position)
        if not sweeps.everywhere:
            old = Walk(self._previous.rows)
            for scope in sweeps.scopes:
                for parent, sort, id_ in old.keys((scope,), end_of(scope)):
                    events.add((id_, -1, OLD, parent, sort))
        return sweeps

    def _old_places(self, low: Key, high: Key | None) -> Iterator[Record]:
        for (id_,), line in self._previous.items_tree.scan(low, high):
            parent, sort = json.loads(line)
            yield id_, -1, OLD, parent, sort

    def _below(self, gone: Sorter, outcomes: Sorter) -> Sorter:
        """Rule 2: outcomes of what goes with folders that are gone, level by level. `gone`: their
        ids, and when they went.
        """
        below, puts = self._sorter(), self._sorter()
        for id_, at, parent, _, *before, _ in outcomes:
            if at >= 0:
                puts.add((parent, id_, at, *before))
        while gone.count:
            level, old = self._sorter(), self._sorter()
            for (_, moment), (_, id_, at, *before) in _joined(gone, puts):
                if at < moment:
                    below.add((id_, -1, None, None, *before, -1))
                    level.add((id_, moment))
            walk = Walk(self._previous.rows)
            for folder, moment in gone:
                for parent, sort, id_ in walk.keys((folder,), end_of(folder)):
                    old.add((id_, moment, parent, sort))
            for id_, moment, *before in _unmatched(old, outcomes):
                below.add((id_, -1, None, None, *before, -1))
                level.add((id_, moment))
            gone.close()
            old.close()
            gone = level
        puts.close()
        return below

    def _item_changes(self, outcomes: Iterable[Record], departed: Sorter) -> Iterator[_Change]:
        """Changes of the tree of items. Notes which puts win, and which old rows have to go."""
        for id_, some in groupby(outcomes, key=_by_id):
            # What went with its folder has a second outcome, which is the first by position.
            _, at, parent, sort, old_parent, old_sort, _ = next(some)
            if at >= 0:
                self._wins[at] = 1
            if at >= 0 and (parent, sort) == (old_parent, old_sort):
                continue
            if old_parent is not None:
                departed.add((old_parent, old_sort, id_, _GONE))
            if at >= 0:
                yield (id_,), dumps([parent, sort])
            elif old_parent is not None:
                yield (id_,), None

    def _written_rows(self, writer: TreeWriter, departed: Sorter) -> Node:
        root, wins = self._previous.rows.root, self._wins
        low: Record | None = () if departed.count or any(wins) else None
        while low is not None:
            rows = self._sorter(_ROW, low, bounded=True)
            for (op, line), won in zip(self._operations(), wins, strict=True):
                if won:
                    rows.add((op[2], op[3], op[1], line), len(line))
            going = _between(departed, low, rows.beyond)
            changes = ((row[:3], row[3] or None) for row in heapq.merge(going, rows))
            root = self._written(writer, root, changes)
            low = rows.beyond
            rows.close()
        return root

    def _written(self, writer: TreeWriter, root: Node, changes: Iterable[_Change]) -> Node:
        """Applies changes some at a time; removals come first, so a value for the key wins."""
        held: list[_Change] = []
        held_bytes = 0
        for change in changes:
            if held and held[-1][0] == change[0]:
                held.pop()
            elif held_bytes >= self._limits.write_bytes:
                root = writer.update(root, held)
                held, held_bytes = [], 0
            held.append(change)
            held_bytes += RECORD_BYTES + len(change[1] or b"")
            self._update_bytes_max = max(self._update_bytes_max, held_bytes)
        return writer.update(root, held)

    def _operations(self) -> Iterator[tuple[list[Any], bytes]]:
        """All operations of the round, a put with its entry's line."""
        count = 0
        for page in self._pages():
            lines = iter(page.lines)
            for op in page.ops:
                yield op, next(lines) if op[0] == PUT else b""
            count += len(page.ops)
        self._wins.extend(bytes(count - len(self._wins)))
        self.passes += 1

    def _sorter(self, key: int = _ID, low: Record = (), bounded: bool = False) -> Sorter:
        sorter = Sorter(self._limits.sorting, key, low, bounded)
        self._sorters.append(sorter)
        return self._stack.enter_context(closing(sorter))


def _joined(ones: Iterable[Record], many: Iterable[Record]) -> Iterator[tuple[Record, Record]]:
    """Pairs that agree in their first field; both are sorted by it, and `ones` has it once."""
    ones = iter(ones)
    one = next(ones, None)
    for other in many:
        while one is not None and one[0] < other[0]:
            one = next(ones, None)
        if one is None:
            return
        if one[0] == other[0]:
            yield one, other


def _unmatched(records: Iterable[Record], others: Iterable[Record]) -> Iterator[Record]:
    """Records whose first field no other has; both are sorted by it."""
    others = iter(others)
    other = next(others, None)
    for record in records:
        while other is not None and other[0] < record[0]:
            other = next(others, None)
        if other is None or other[0] != record[0]:
            yield record


def _between(records: Iterable[Record], low: Record, beyond: Record | None) -> Iterator[Record]:
    for record in records:
        if beyond is not None and record >= beyond:
            return
        if record >= low:
            yield record
