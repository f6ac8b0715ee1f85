"""Removes what no restore point needs any more, beside any number of writers, without a lock.

Rule 1: a pack is deleted only when it was condemned in an earlier cycle, at least `wait_s` before
        this cycle began; nothing needed it then, and a complete mark of this cycle, made after that
        wait, finds nothing that needs it now.
Rule 2: its look-up rows are removed before it is condemned, and looked for again before it is
        deleted. Where a row came back (a writer that slept before it remembered its pack, a rebuild
        of the tables) somebody may have found it: it is condemned no longer, and a later cycle
        begins with it from the start. So it is where the look-up is of another generation: rows
        were lost, and nobody can tell.
Rule 3: a pack without references is condemned only when it is older than any step may be.
Rule 4: any damage found while marking, and the cycle condemns and deletes nothing.
Rule 5: a delete that the store refuses (an immutable container) is for later and never an error. A
        restore point that cannot be deleted stays one, and what it needs stays needed.
Rule 6: per cycle at most `share_max` of the stored bytes are deleted unless somebody confirmed it.

Theory of operation. begin() writes tombstones for the restore points that expire; then slices
delete those, mark, sweep and compact; each ends with a record in the log (vault/gc_log.py), so the
cycle survives any death, and of two collectors one goes on. Why nothing is lost: a step commits
within t_max_s of the first look-up or stored pack it relies on, plus what its last request takes.
So whoever found a pack by its rows before it was condemned has committed, or never will, when the
mark that decides begins; and after it was condemned nobody can find it, but by a row that a rebuild
of the tables inserts which began before: that ends t_max_s and a request later, and whoever found
the pack then has committed another t_max_s and a request later. wait_s covers all of it. The
safety parameters, and what they may not go below:

| | default | floor |
|---|---|---|
| wait_s (config) | 48 h | 6 x t_max_s |
| age of a pack before it is condemned | 48 h | wait_s |
| share_max | 10 % | |
| a round without a new page is given up | 14 days | |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

from vault import gc_log
from vault.compact import Compaction
from vault.config import insist_on_known
from vault.forward import PREFIX as FORWARDS
from vault.forward import pack_of
from vault.gc_log import BEGIN, COMPACTED, ENDED, EXPIRED, MARKED, SWEPT, History
from vault.mark import Marker, Marks, chain_hashes
from vault.problems import Missing, RoundLost, RoundOutOfOrder, VaultDamaged
from vault.round import Bench
from vault.snapshot import OK, open_snapshot
from vault.snapshot import name_of as snapshot_name
from vault.sweep import Sweep, decide, removed
from vault.void import give_up_abandoned

ABANDONED_AFTER = timedelta(days=14)
# Damage, which the mark notes, or a race that somebody else won.
_NOT_GIVEN_UP = (Missing, VaultDamaged, RoundLost, RoundOutOfOrder)
More = Callable[[], bool]  # whether there is time for another piece


@dataclass(frozen=True, slots=True)
class Asked:
    """What a cycle is to do; a dry run only writes its notes into the log."""

    dry_run: bool = False
    confirmed: bool = False  # more than share_max may be deleted
    share_max: float = 0.10
    compact_bytes_max: int = 1024**3
    by: str = ""  # whose cycle it is: a run's id
    compact_after_days: int = 7  # what the storage tier bills for anyway: cool 30, cold 90


@dataclass(slots=True)
class Report:
    """What a cycle did, or would do: packs and bytes by action, and what else it met."""

    packs: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    snapshots_expired: int = 0
    snapshots_refused: int = 0
    pages_dropped: int = 0
    rounds_given_up: int = 0
    forwards_dropped: int = 0
    packs_compacted: int = 0
    packs_written: int = 0
    bytes_moved: int = 0
    damage: list[tuple[str, str]] = field(default_factory=list)


class Collector:
    """Cycles over one vault. Several may run; each piece of work is one's."""

    marker = Marker  # the tests' weaker protocols put others here
    sweep = Sweep

    def __init__(self, bench: Bench, wait: timedelta | None = None) -> None:
        """`wait`: longer than the config's, if given. Raises UnknownFeature."""
        self._bench = bench
        self._tools = bench.tools
        config = bench.tools.config
        config.insist_on("collect")
        insist_on_known(bench.tools.ring.features, "collect")
        floor = timedelta(seconds=max(config.wait_s, 6 * config.t_max_s))
        self._wait = max(wait or floor, floor)

    def history(self) -> History:
        """The log of the newest cycle. Raises VaultDamaged."""
        return gc_log.read_history(self._tools.store, self._tools.ring)

    def begin(self, expiring: Sequence[tuple[str, int]], asked: Asked) -> bool:
        """Begins a cycle unless one is under way. `expiring`: chains and numbers of restore points
        that retention gives up; the newest and the newest good one of a chain are never among them.
        """
        history = self.history()
        if history.open:
            return False
        tombstones = dict(history.tombstones)
        rows: list[tuple[str, int]] = []
        for chain_hash, number, sha256 in self._expirable(expiring):
            rows.append((chain_hash, number))
            if not asked.dry_run:
                tombstones = gc_log.buried(tombstones, chain_hash, number, sha256)
        state = gc_log.state_of(History(history.records, history.condemned, tombstones))
        body = {**asdict(asked), "expiring": rows, "state": state}
        return self._append(history, BEGIN, body) is not None

    def slice(self, more: More) -> bool:
        """Does the next pieces of the cycle while `more()`; True: there is work left. Losing a race
        is no error: the other collector did that piece.
        """
        history = self.history()
        while history.open:
            after = self._piece(history, more)
            if after is None:
                return True
            history = after
            if not more():
                return history.open
        return False

    def report(self, history: History | None = None) -> Report | None:
        """What the newest cycle did; None while it is under way or where there was none."""
        history = history or self.history()
        ended = history.of_kind(ENDED)
        return Report(**ended[0].body["report"]) if ended else None

    def _piece(self, history: History, more: More) -> History | None:
        expired, marked = history.of_kind(EXPIRED), history.of_kind(MARKED)
        swept, compacted = history.of_kind(SWEPT), history.of_kind(COMPACTED)
        begin = history.begin.body
        if not begin["dry_run"] and not (expired and expired[-1].body["complete"]):
            return self._expire(history, more)
        if not (marked and marked[-1].body["complete"]):
            return self._mark(history, more)
        marks = _marks_of(history)
        if not begin["dry_run"] and not marks.damage:
            if not (swept and swept[-1].body["complete"]):
                return self._sweep(history, marks, more)
            if not (compacted and compacted[-1].body["complete"]):
                return self._compact(history, marks, more)
        return self._end(history, marks)

    # --- Restore points that expire ---

    def _expirable(self, expiring: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int, str]]:
        for chain, rows in groupby(sorted(set(expiring)), key=lambda row: row[0]):
            chain_hash = self._tools.ring.chain_hash(chain)
            try:
                newest = _newest(self._bench, chain_hash)
            except (Missing, VaultDamaged):
                continue  # the mark says so; nothing of this chain expires until it is mended
            for _, number in rows:
                if number not in newest and number < max(newest, default=0):
                    yield chain_hash, number, self._sha256(chain_hash, number)

    def _sha256(self, chain_hash: str, number: int) -> str:
        """Of a restore point's stored bytes; of one that was lost, or does not open, what the next
        one says of it.
        """
        store, ring = self._tools.store, self._tools.ring
        with suppress(Missing, VaultDamaged):
            name = snapshot_name(chain_hash, number)
            sealed = store.read(name)
            open_snapshot(ring, name, sealed)
            return hashlib.sha256(sealed).hexdigest()
        with suppress(Missing, VaultDamaged):
            name = snapshot_name(chain_hash, number + 1)
            return open_snapshot(ring, name, store.read(name)).parent_sha256
        return ""  # a gap of several: the last of them has it

    def _expire(self, history: History, more: More) -> History | None:
        """Deletes the restore points that the cycle buried: the snapshot first, then its pages."""
        done = history.of_kind(EXPIRED)
        start = done[-1].body["through"] if done else 0
        rows = history.begin.body["expiring"]
        refused = pages = 0
        through = start
        for chain_hash, number in rows[start:]:
            if removed(self._tools.store, snapshot_name(chain_hash, number)):
                prefix = f"m/{chain_hash}/{number:010d}/"
                for listed in list(self._tools.store.list(prefix)):
                    pages += removed(self._tools.store, listed.name)
            else:
                refused += 1
            through += 1
            if not more():
                break
        body = {"through": through, "refused": refused, "pages": pages}
        return self._append(history, EXPIRED, {**body, "complete": through == len(rows)})

    # --- Marking ---

    def _mark(self, history: History, more: More) -> History | None:
        dry_run = history.begin.body["dry_run"]
        gone = {(row[0], row[1]) for row in history.begin.body["expiring"]} if dry_run else set()
        moved = {pack_of(listed.name) for listed in self._tools.store.list(FORWARDS)}
        marker = self.marker(self._bench, history, moved, gone)
        done = history.of_kind(MARKED)
        after = done[-1].body["after"] if done else ""
        given_up, complete = 0, True
        abandoned = history.begin.at - ABANDONED_AFTER
        for chain_hash in chain_hashes(self._tools.store, after):
            if not dry_run:
                with suppress(*_NOT_GIVEN_UP):
                    given_up += give_up_abandoned(self._bench, chain_hash, abandoned)
            marker.chain(chain_hash)
            after = chain_hash
            if not more():
                complete = next(chain_hashes(self._tools.store, after), None) is None
                break
        body = {**marker.marks.to_json(), "after": after, "given_up": given_up}
        return self._append(history, MARKED, {**body, "complete": complete})

    # --- Sweeping ---

    def _sweep(self, history: History, marks: Marks, more: More) -> History | None:
        sweep = self.sweep(self._bench, history, marks, self._wait)
        return self._append(history, SWEPT, sweep.run(more))

    def _compact(self, history: History, marks: Marks, more: More) -> History | None:
        done = history.of_kind(COMPACTED)
        moved = sum(record.body["bytes_moved"] for record in done)
        packs = list(self._tools.store.list("p/"))
        compaction = Compaction(self._bench, history, marks)
        budget = history.begin.body["compact_bytes_max"] - moved
        return self._append(history, COMPACTED, compaction.run(packs, budget, more))

    # --- The end ---

    def _end(self, history: History, marks: Marks) -> History | None:
        begin = history.begin.body
        report = Report(damage=marks.damage[:100], snapshots_expired=len(begin["expiring"]))
        for record in history.of_kind(EXPIRED):
            report.snapshots_refused += record.body["refused"]
            report.pages_dropped += record.body["pages"]
        report.rounds_given_up = sum(r.body["given_up"] for r in history.of_kind(MARKED))
        for record in history.of_kind(SWEPT):
            report.pages_dropped += record.body["pages"]
            report.forwards_dropped += record.body["forwards"]
            for action, (times, size) in record.body["actions"].items():
                report.packs[action] = report.packs.get(action, 0) + times
                report.bytes[action] = report.bytes.get(action, 0) + size
        for record in history.of_kind(COMPACTED):
            report.packs_compacted += record.body["packs"]
            report.packs_written += record.body["written"]
            report.bytes_moved += record.body["bytes_moved"]
        if begin["dry_run"] and not marks.damage:
            packs = list(self._tools.store.list("p/"))
            for listed, action in decide(packs, marks.merged(), history, self._wait):
                report.packs[action] = report.packs.get(action, 0) + 1
                report.bytes[action] = report.bytes.get(action, 0) + listed.size
            compaction = Compaction(self._bench, history, marks)
            report.packs_compacted = sum(1 for _ in compaction.candidates(packs))
        ended = self._append(history, ENDED, {"report": asdict(report)})
        if ended is not None:
            self._prune(ended)
        return ended

    def _prune(self, history: History) -> None:
        for name in gc_log.before(self._tools.store, history):
            removed(self._tools.store, name)

    def _append(self, history: History, kind: str, body: Mapping[str, Any]) -> History | None:
        return gc_log.append(self._tools.store, self._tools.ring, history, kind, body)


def _newest(bench: Bench, chain_hash: str) -> set[int]:
    """The newest restore point of a chain and its newest good one."""
    names = [listed.name for listed in bench.tools.store.list(f"s/{chain_hash}/")]
    newest = {int(name[-10:]) for name in names[-1:]}
    for name in reversed(names):
        snapshot = open_snapshot(bench.tools.ring, name, bench.tools.store.read(name))
        if snapshot.status == OK:
            return {*newest, snapshot.number}
    return newest


def _marks_of(history: History) -> Marks:
    marks = Marks()
    for record in history.of_kind(MARKED):
        marks.add(record.body)
    return marks
