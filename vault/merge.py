"""Merges the pages of a finished round into the catalog, in bounded memory.

Rule 1: pages count in order and operations within a page in order; the last one decides.
Rule 2: a removal with a parent counts only while the item lies in that parent; a reset's sweep,
        made when its feed reaches its end, removes what lies in its scope and was not put since the
        reset.
Rule 3: recursive removals are judged by the state at the end of the round: what still lies below a
        folder that is gone, and was not put after the folder went, is gone too. (A feed lists
        changes in no reliable order: a subfolder that was moved out first may be listed after its
        old parent's removal.)
Rule 4: memory: at most Limits.resolve item states or Limits.write entries at a time, plus a byte
        per put; larger rounds read their pages again, once per pass.

Theory of operation. Resolving: for a share of the ids at a time, run through all operations and
note per put whether it is the item's final state ("wins"), and which old rows have to go. Writing:
for a range of keys at a time, collect the winning entries and the old keys to remove, and apply
them to the tree.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vault.catalog import Catalog, end_of
from vault.entry import dumps
from vault.page import PUT, REMOVE, RESET, PageManifest
from vault.tree import Key, Node, Shape, TreeWriter

Pages = Callable[[], Iterator[PageManifest]]  # all pages of the round, anew at every call


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a merge holds at once; tests make it small."""

    resolve: int = 150_000  # item states, about 350 bytes each
    write: int = 40_000  # entries, about 1.5 KB each
    keep: int = 20_000  # operations of a round's pages that stay in memory between passes
    shape: Shape = field(default_factory=Shape)  # of the catalog's trees


@dataclass(frozen=True, slots=True)
class _State:
    """Where an item stands while operations are run through; parent None: it is not there."""

    parent: str | None
    page: int = -1  # of its last put; -1: from the previous catalog
    op: int = -1


@dataclass(slots=True)
class _Departures:
    """Old rows that have to go; kept as compressed runs, because a round may remove everything."""

    runs: list[bytes] = field(default_factory=list)
    open: list[tuple[str, str, str, bool]] = field(default_factory=list)
    count: int = 0

    def add(self, id_: str, parent: str, sort: str, gone: bool) -> None:
        """`gone`: the item is no longer there; else only its row moves."""
        self.open.append((id_, parent, sort, gone))
        self.count += 1
        if len(self.open) >= 1000:
            self.runs.append(zlib.compress(dumps(self.open), 1))
            self.open.clear()

    def __iter__(self) -> Iterator[tuple[str, str, str, bool]]:
        for run in self.runs:
            yield from map(tuple, json.loads(zlib.decompress(run)))
        yield from self.open


class Merge:
    """One merge: `previous` and all pages of the round make the roots of the next catalog."""

    def __init__(self, previous: Catalog, pages: Pages, limits: Limits | None = None) -> None:
        self._previous = previous
        self._pages = pages
        self._limits = limits or Limits()
        self._wins: list[bytearray] = []  # per page, per put: whether it is the item's final state
        self._departures = _Departures()
        self._removed: dict[str, tuple[int, int]] = {}  # recursively, and gone: when
        self._touched: set[int] = (
            set()
        )  # hashes of ids; only filled where recursive removals need it
        self.held_max = 0  # item states or entries held at once
        self.passes = 0

    def run(self, rows: TreeWriter, items: TreeWriter) -> tuple[Node, Node]:
        """The roots of both trees; nodes below them go through the writers."""
        touched, recursive = self._survey()
        shares = 1 + touched // self._limits.resolve
        for share in range(shares):
            self._resolve(share, shares, recursive)
        if self._removed:
            self._remove_below()
        changed = sum(map(sum, self._wins)) + self._departures.count
        return (
            self._write_rows(rows, 1 + changed // self._limits.write),
            self._write_items(items, 1 + changed // self._limits.resolve),
        )

    def _survey(self) -> tuple[int, bool]:
        """How many item states the round may touch, and whether it removes recursively."""
        touched, recursive = 0, False
        for page in self._pages():
            self._wins.append(bytearray(len(page.lines)))
            for op in page.ops:
                if op[0] == RESET:
                    scope = op[2]
                    rows = self._previous
                    touched += rows.total if scope is None else rows.count(scope)
                elif op[0] in (PUT, REMOVE):
                    touched += 1
                    recursive |= op[0] == REMOVE and bool(op[3])
        self.passes += 1
        return touched, recursive

    def _resolve(self, share: int, shares: int, recursive: bool) -> None:
        """Final states of one share of the ids."""
        run = _Run(self._previous, share, shares)
        for number, page in enumerate(self._pages()):
            run.take(number, page)
        self.passes += 1
        self.held_max = max(self.held_max, len(run.states))
        for id_, state in run.states.items():
            if recursive:
                self._touched.add(hash(id_))
            if state.parent is not None and state.page >= 0:
                self._wins[state.page][state.op] = 1
            before = run.place_before(id_)
            if before is not None and state.parent is None:
                self._departures.add(id_, *before, True)
            elif before is not None and state.page >= 0:
                if before != (state.parent, run.sorts.get(id_)):
                    self._departures.add(id_, *before, False)
            if state.parent is None and id_ in run.removed_at:
                self._removed[id_] = run.removed_at[id_]

    def _remove_below(self) -> None:
        """Rule 3: level by level below the folders that went."""
        frontier = dict(self._removed)
        while frontier:
            below: dict[str, tuple[int, int]] = {}
            for parent, moment in frontier.items():
                for key, _ in self._previous.rows.scan((parent,), end_of(parent)):
                    if hash(key[2]) not in self._touched:
                        self._departures.add(key[2], key[0], key[1], True)
                        below[key[2]] = moment
            for number, page in enumerate(self._pages()):
                self._remove_puts_below(number, page, frontier, below)
            self.passes += 1
            frontier = below

    def _remove_puts_below(
        self,
        number: int,
        page: PageManifest,
        frontier: dict[str, tuple[int, int]],
        below: dict[str, tuple[int, int]],
    ) -> None:
        put = -1
        for position, op in enumerate(page.ops):
            if op[0] != PUT:
                continue
            put += 1
            moment = frontier.get(op[2])
            if moment is None or not self._wins[number][put] or (number, position) > moment:
                continue
            self._wins[number][put] = 0
            below[op[1]] = moment
            before = self._previous.place_of(op[1])
            if before is not None:
                self._departures.add(op[1], *before, True)

    def _winners(self) -> Iterator[tuple[str, str, str, bytes]]:
        """(id, parent, sort, line) of every put that decides."""
        for page, wins in zip(self._pages(), self._wins, strict=True):
            puts = (op for op in page.ops if op[0] == PUT)
            for op, line, wins_ in zip(puts, page.lines, wins, strict=True):
                if wins_:
                    yield op[1], op[2], op[3], line
        self.passes += 1

    def _write_rows(self, writer: TreeWriter, passes: int) -> Node:
        def changes() -> Iterator[tuple[Key, bytes | None]]:
            for id_, parent, sort, _ in self._departures:
                yield (parent, sort, id_), None
            for id_, parent, sort, line in self._winners():
                yield (parent, sort, id_), line

        return self._write(writer, self._previous.rows.root, changes, passes)

    def _write_items(self, writer: TreeWriter, passes: int) -> Node:
        def changes() -> Iterator[tuple[Key, bytes | None]]:
            for id_, _, _, gone in self._departures:
                if gone:
                    yield (id_,), None
            for id_, parent, sort, _ in self._winners():
                yield (id_,), dumps([parent, sort])

        return self._write(writer, self._previous.items_tree.root, changes, passes)

    def _write(
        self,
        writer: TreeWriter,
        root: Node,
        changes: Callable[[], Iterator[tuple[Key, bytes | None]]],
        passes: int,
    ) -> Node:
        """Applies changes range by range; removals come first, so a value for the key wins."""
        for low, high in _ranges(changes, passes):
            held = {
                key: line for key, line in changes() if key >= low and (high is None or key < high)
            }
            self.held_max = max(self.held_max, len(held))
            root = writer.update(root, sorted(held.items(), key=lambda change: change[0]))
        return root


class _Run:
    """Operations run through for one share of the ids."""

    def __init__(self, previous: Catalog, share: int, shares: int) -> None:
        self._previous = previous
        self._share = share
        self._shares = shares
        self._resets: dict[str, tuple[int, int, str | None]] = {}  # part: page, position, scope
        self._put_at: dict[str, tuple[int, int]] = {}  # position of the last put
        self.states: dict[str, _State] = {}
        self.sorts: dict[str, str] = {}
        self.removed_at: dict[str, tuple[int, int]] = {}

    def take(self, number: int, page: PageManifest) -> None:
        """Runs through one page."""
        put = -1
        for position, op in enumerate(page.ops):
            match op[0]:
                case "put":
                    put += 1
                    if self._mine(op[1]):
                        self.states[op[1]] = _State(op[2], number, put)
                        self.sorts[op[1]] = op[3]
                        self._put_at[op[1]] = (number, position)
                case "remove":
                    if self._mine(op[1]):
                        self._remove(op[1], op[2], (number, position) if op[3] else None)
                case "reset":
                    self._resets[op[1]] = (number, position, op[2])
                case "end":
                    if op[1] in self._resets:
                        self._sweep(*self._resets.pop(op[1]))
                case "drop":
                    self._resets.pop(op[1], None)

    def place_before(self, id_: str) -> tuple[str, str] | None:
        """Parent and sort text in the previous catalog."""
        return self._previous.place_of(id_) if self._previous.total else None

    def _mine(self, id_: str) -> bool:
        return (
            self._shares == 1
            or zlib.crc32(id_.encode("utf-8", "surrogatepass")) % (self._shares) == self._share
        )

    def _remove(self, id_: str, parent: str | None, recursive: tuple[int, int] | None) -> None:
        state = self.states.get(id_)
        if state is None:
            before = self.place_before(id_)
            state = _State(None if before is None else before[0])
        if parent is None or state.parent == parent:
            self.states[id_] = _State(None)
            if recursive is not None:
                self.removed_at[id_] = recursive

    def _sweep(self, page: int, position: int, scope: str | None) -> None:
        """What lies in scope and was not put since the reset is gone."""
        rows = self._previous.rows
        old = rows.scan() if scope is None else rows.scan((scope,), end_of(scope))
        for key, _ in old:
            if key[2] not in self.states and self._mine(key[2]):
                self.states[key[2]] = _State(None)
        for id_, state in self.states.items():
            in_scope = state.parent is not None and scope in (None, state.parent)
            if in_scope and self._put_at.get(id_, (-1, -1)) < (page, position):
                self.states[id_] = _State(None)


def _ranges(
    changes: Callable[[], Iterator[tuple[Key, bytes | None]]], passes: int
) -> list[tuple[Key, Key | None]]:
    """Key ranges of about equal numbers of changes."""
    if passes == 1:
        return [((), None)]
    sample = sorted(key for at, (key, _) in enumerate(changes()) if at % 64 == 0)
    cuts = [sample[len(sample) * number // passes] for number in range(1, passes)]
    bounds = [(), *sorted(set(cuts))]
    return list(zip(bounds, [*bounds[1:], None], strict=True))
