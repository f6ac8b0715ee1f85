"""Mends what a verification found: nothing is changed, the chains go on behind the damage.

Rule 1: what is lost is written down (vault/lost.py) before any chain is told to begin anew, so that
        the round behind it refers to none of it.
Rule 2: a chain whose newest restore point lacks something begins anew: a void snapshot without
        links and roots. The next backup reads every feed from nothing, reuses what the newest
        readable restore point holds whole, and fetches the rest from the tenant.
Rule 3: an open round that lacks something is given up; the next backup builds it again.
Rule 4: older restore points stay as they are and say what they lack. One that is gone, or does not
        open, and is not the newest, is buried: the collector's log then explains the gap.
Rule 5: every damage is looked at again first: a blob may have come back from a replica.

A plan may be carried out twice, or by two at once: all names are the same, and all is create-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from base.errors import Problem
from vault.box import blob_name
from vault.check_packs import damaged_boxes
from vault.collect import Asked, Collector
from vault.findings import Disease, Effect, Finding
from vault.forward import PREFIX as FORWARDS
from vault.forward import get_forward, pack_of
from vault.lost import Lost
from vault.page import open_page
from vault.problems import Missing, RoundLost
from vault.round import Bench
from vault.snapshot import OK, Snapshot, open_snapshot
from vault.verify import VerifyReport
from vault.void import restart, void

Number = tuple[str, int]  # a chain's name and the number of a restore point or round
_PACKS = (Disease.PACK_MISSING, Disease.PACK_DAMAGED)
_POINTS = (Disease.SNAPSHOT_MISSING, Disease.SNAPSHOT_DAMAGED)


@dataclass(slots=True)
class Plan:
    """What a repair does. `left`: names of damaged blobs for which it can do nothing."""

    lost: Lost = field(default_factory=Lost)
    restart: list[str] = field(default_factory=list)  # chains that begin anew
    void: list[Number] = field(default_factory=list)  # open rounds to give up
    bury: list[Number] = field(default_factory=list)  # restore points that cannot be opened
    back: list[str] = field(default_factory=list)  # blobs that are whole again
    left: list[str] = field(default_factory=list)

    @property
    def lost_names(self) -> list[str]:
        """Blob names of the packs with lost boxes."""
        return sorted(blob_name(pack) for pack in self.lost.packs)

    @property
    def empty(self) -> bool:
        return not (self.lost.packs or self.restart or self.void or self.bury)


class Repair:
    """Plans and mends one vault from a verification's report."""

    def __init__(self, bench: Bench, report: VerifyReport, chains: Iterable[str] = ()) -> None:
        """`chains`: names known from elsewhere, for chains of which nothing can be opened."""
        self._bench = bench
        self._store, self._ring = bench.tools.store, bench.tools.ring
        self._report = report
        self._names = {self._ring.chain_hash(chain): chain for chain in chains}

    def plan(self, give_up: bool = False) -> Plan:
        """Looks at everything again; reads only. `give_up`: buries also older restore points whose
        catalog cannot be read whole.
        """
        plan = Plan()
        packs: dict[str, frozenset[int]] = {}
        for finding in self._report.problems:
            if finding.effect != Effect.LOST:
                continue
            if finding.code in _PACKS:
                boxes = self._lost_boxes(finding)
                if boxes is None:
                    plan.back.append(finding.name)
                else:
                    packs[pack_of(finding.name)] = boxes
            elif finding.code in _POINTS or (finding.code == Disease.CATALOG_DAMAGED and give_up):
                self._plan_point(plan, finding)
            elif finding.code in (Disease.RECORD_DAMAGED, Disease.FORWARD_DAMAGED):
                plan.left.append(finding.name)
        plan.lost = self._with_aliases(packs)
        self._plan_chains(plan)
        return plan

    def carry_out(self, plan: Plan, by: str, more: Callable[[], bool] = lambda: True) -> bool:
        """Does what a plan says; `by`: a run's id. False: the collector is at work, and restore
        points are not buried yet (do it again later), or it needs more time than there was.

        Raises RoundLost when a backup closed a round meanwhile: verify again.
        """
        if plan.lost.packs:
            self._bench.tools.lost.add(self._ring, plan.lost)
        for chain, number in plan.void:
            with suppress(RoundLost):  # it was closed, or given up already
                void(self._bench, chain, number)
        for chain in plan.restart:
            newest = self._newest(self._ring.chain_hash(chain))
            if newest is None or not newest.is_restart:
                restart(self._bench, chain, by)
        if not plan.bury:
            return True
        collector = Collector(self._bench)
        if not collector.begin(plan.bury, Asked(compact_bytes_max=0, by=by)):
            return False
        return not collector.slice(more)

    # --- Packs ---

    def _lost_boxes(self, finding: Finding) -> frozenset[int] | None:
        """Which boxes are lost, none for all; None: the pack is whole again."""
        try:
            data = self._store.read(finding.name)
        except Missing:
            return frozenset()
        boxes = damaged_boxes(self._ring, pack_of(finding.name), data)
        return None if boxes is None else frozenset(boxes)

    def _with_aliases(self, packs: dict[str, frozenset[int]]) -> Lost:
        """With the places from which the lost boxes once moved: old references name those."""
        lost = Lost(packs)
        if not packs:
            return lost
        forwards = []
        for listed in self._store.list(FORWARDS):
            with suppress(Problem):
                forward = get_forward(self._store, self._ring, pack_of(listed.name))
                forwards += [forward] if forward else []
        while True:
            found = {
                one.pack: frozenset(n for n, place in one.boxes.items() if lost.holds(place))
                for one in forwards
            }
            grown = lost.joined(Lost({pack: boxes for pack, boxes in found.items() if boxes}))
            if grown == lost:
                return lost
            lost = grown

    # --- Chains ---

    def _plan_chains(self, plan: Plan) -> None:
        for chain_hash in self._report.hurt:
            newest = self._newest(chain_hash)
            if newest is not None and newest.is_restart:
                continue  # it begins anew already
            chain = self._name_of(chain_hash)
            if chain:
                plan.restart.append(chain)
            else:
                plan.left.append(f"s/{chain_hash}")
        for chain_hash in self._report.stuck:
            chain = self._name_of(chain_hash)
            if chain and chain not in plan.restart and self._has_pages(chain_hash):
                plan.void.append((chain, self._number(chain_hash) + 1))

    def _plan_point(self, plan: Plan, finding: Finding) -> None:
        """Buries what is not the newest; before a newer good one exists nothing can be done."""
        _, chain_hash, number = finding.name.split("/")
        chain = self._name_of(chain_hash)
        newest = self._newest(chain_hash)
        behind = newest is not None and newest.status == OK and newest.number > int(number)
        if chain and behind and not finding.newest:
            plan.bury.append((chain, int(number)))
        elif chain_hash not in self._report.hurt:
            plan.left.append(finding.name)

    def _number(self, chain_hash: str) -> int:
        names = [listed.name for listed in self._store.list(f"s/{chain_hash}/")]
        return int(names[-1][-10:]) if names else 0

    def _newest(self, chain_hash: str) -> Snapshot | None:
        names = [listed.name for listed in self._store.list(f"s/{chain_hash}/")]
        return self._opened(names[-1]) if names else None

    def _opened(self, name: str) -> Snapshot | None:
        try:
            return open_snapshot(self._ring, name, self._store.read(name))
        except Problem:
            return None

    def _has_pages(self, chain_hash: str) -> bool:
        after = f"m/{chain_hash}/{self._number(chain_hash):010d}/~"
        return next(iter(self._store.list(f"m/{chain_hash}/", after)), None) is not None

    def _name_of(self, chain_hash: str) -> str:
        """A chain's name, from anything of it that opens; "" where nothing does."""
        if chain_hash not in self._names:
            name = next((chain for chain in self._told(chain_hash)), "")
            self._names[chain_hash] = name
        return self._names[chain_hash]

    def _told(self, chain_hash: str) -> Iterator[str]:
        for listed in self._store.list(f"s/{chain_hash}/"):
            snapshot = self._opened(listed.name)
            if snapshot is not None:
                yield snapshot.chain
        for listed in self._store.list(f"m/{chain_hash}/"):
            with suppress(Problem):
                yield open_page(self._ring, listed.name, self._store.read(listed.name)).chain
