"""Checks a vault in slices: what is named exists, what exists opens, and is what its id says.

L0: every restore point follows the one before it by hash, over gaps that tombstones explain; so do
    pages; no chain ends before the restore point its owner remembers; the collector's log is whole.
L1: every catalog can be read, and every box that anything refers to lies inside a pack that exists.
L2: packs are read whole: checksum, seals, every chunk's id. All of them, a share, or the next ones
    behind where the last check stopped, so that in time each has its turn.
(L3, restoring samples, needs to know what items are: engine/verify.py.)

Rule 1: one damaged object is named and counted; it never ends the check.
Rule 2: a slice ends when its time is over; its state is small JSON, and the next slice goes on from
        there in any process. A slice that ran twice finds the same.
Rule 3: what a collector deletes or a writer adds meanwhile is no finding: before something is
        called missing, it is looked for once more, and so is what named it.

Costs: memory for the names and sizes of all packs (about 200 bytes each) and for the nodes of the
chain at hand; L0 and L1 read every snapshot, page and node once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from base.errors import Problem
from vault.check_chain import ChainCheck, Known
from vault.check_packs import PackCheck, check_rest
from vault.findings import Disease, Finding
from vault.forward import PREFIX as FORWARDS
from vault.forward import pack_of
from vault.gc_log import History, read_history
from vault.mark import chain_hashes
from vault.round import Bench

More = Callable[[], bool]
CHAINS, PACKS, AFFECTED, REST, DONE = "chains", "packs", "affected", "rest", "done"
_COUNTS = (
    "chains", "snapshots", "pages", "open_pages", "items", "nodes", "packs", "packs_read",
    "boxes_read", "records", "bytes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much to check. `share` of the packs is read: 0 none, 1 all, between: that many, behind
    `after` and round again. `heads`: chain -> [number, SHA-256] of restore points known to exist.
    """

    share: float = 0.0
    after: str = ""
    heads: Mapping[str, tuple[int, str]] = field(default_factory=dict)


@dataclass(slots=True)
class VerifyReport:
    """What was checked and found so far; also the state from which the next slice goes on."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    problems: list[Finding] = field(default_factory=list)
    phase: str = CHAINS
    after: str = ""  # the last chain hash or pack that is done
    hurt: list[str] = field(default_factory=list)  # chain hashes: the newest restore point lacks
    stuck: list[str] = field(default_factory=list)  # chain hashes: the open round lacks something
    packs_through: str = ""  # where the next check of a share goes on

    @property
    def clean(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> VerifyReport:
        problems = [Finding.from_json(one) for one in values["problems"]]
        return cls(**{**values, "problems": problems})


class Verification:
    """One check of a whole vault, slice by slice."""

    def __init__(self, bench: Bench, wanted: Wanted, report: VerifyReport | None = None) -> None:
        """`report`: what earlier slices answered."""
        self._bench = bench
        self._store = bench.tools.store
        self._wanted = wanted
        self.report = report or VerifyReport()

    def slice(self, more: More) -> bool:
        """Goes on while `more()`; True: there is work left."""
        steps = {
            CHAINS: self._chains,
            PACKS: self._packs,
            AFFECTED: self._affected,
            REST: self._rest,
        }
        while self.report.phase != DONE:
            steps[self.report.phase](more)
            if not more():
                break
        return self.report.phase != DONE

    def _chains(self, more: More) -> None:
        known = self._known()
        counts = self.report.counts
        counts["packs"] = len(known.sizes)
        counts["bytes"] = sum(known.sizes.values())
        for chain_hash in chain_hashes(self._store, self.report.after):
            check = ChainCheck(self._bench, known, self._wanted.heads)
            check.run(chain_hash)
            counts["chains"] += 1
            for name, value in check.counts.items():
                counts[name] += value
            for finding in check.findings:
                self._add(finding)
            self._note(check, chain_hash)
            self.report.after = chain_hash
            if not more():
                return
        self._lost_chains(set(chain_hashes(self._store)))
        self._go_on(PACKS)

    def _lost_chains(self, there: set[str]) -> None:
        """Chains that the owner remembers and of which nothing is left."""
        ring = self._bench.tools.ring
        for chain in self._wanted.heads:
            chain_hash = ring.chain_hash(chain)
            if chain_hash not in there:
                self._add(Finding.of(Disease.HEAD_ROLLED_BACK, f"s/{chain_hash}", 0))

    def _packs(self, more: More) -> None:
        check = PackCheck(self._bench, self._wanted.share, self._wanted.after)
        for name, boxes, damaged in check.run(self.report.after):
            self.report.counts["packs_read"] += 1
            self.report.counts["boxes_read"] += boxes
            if damaged is not None:
                finding = self._of(name) or Finding.of(Disease.PACK_DAMAGED, name, 2)
                finding.boxes = damaged
                if finding.code == Disease.PACK_DAMAGED:  # more of it may be damaged than was seen
                    finding.level, finding.items, finding.samples = 2, 0, []
                self._add(finding)
            self.report.after = self.report.packs_through = name
            if not more():
                return
        self._go_on(AFFECTED)

    def _affected(self, more: More) -> None:
        """What needs the packs that turned out to be damaged."""
        damaged = {
            pack_of(one.name): one for one in self.report.problems
            if one.code == Disease.PACK_DAMAGED and one.level == 2
        }  # fmt: skip
        if damaged:
            known = self._known()
            for chain_hash in chain_hashes(self._store, self.report.after):
                check = ChainCheck(self._bench, known, {}, damaged)
                check.run(chain_hash)
                self._note(check, chain_hash)
                self.report.after = chain_hash
                if not more():
                    return
        for finding in damaged.values():
            if not finding.items:
                finding.is_needless()
        self._go_on(REST)

    def _rest(self, more: More) -> None:
        records, findings = check_rest(self._bench)
        self.report.counts["records"] = records
        for finding in findings:
            self._add(finding)
        self._go_on(DONE)

    def _note(self, check: ChainCheck, chain_hash: str) -> None:
        for noted, rows in ((check.hurt, self.report.hurt), (check.stuck, self.report.stuck)):
            if noted and chain_hash not in rows:
                rows.append(chain_hash)

    def _known(self) -> Known:
        """What a chain's check compares with, listed anew in every slice."""
        sizes = {pack_of(one.name): one.size for one in self._store.list("p/")}
        moved = {pack_of(one.name) for one in self._store.list(FORWARDS)}
        return Known(sizes, moved, self._history())

    def _history(self) -> History:
        try:
            return read_history(self._store, self._bench.tools.ring)
        except Problem:
            return History()  # check_rest names what is wrong with the log

    def _add(self, finding: Finding) -> None:
        known = next(
            (
                one for one in self.report.problems
                if (one.name, one.code) == (finding.name, finding.code)
            ),
            None,
        )  # fmt: skip
        if known is None:
            self.report.problems.append(finding)
        elif known is not finding:  # another chain lost something with the same pack
            known.items += finding.items
            known.newest |= finding.newest
            known.samples = (known.samples + finding.samples)[:20]

    def _of(self, name: str) -> Finding | None:
        return next((one for one in self.report.problems if one.name == name), None)

    def _go_on(self, phase: str) -> None:
        self.report.phase, self.report.after = phase, ""
