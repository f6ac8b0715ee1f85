"""Moves what is needed out of packs that are mostly garbage, or small and many, into new ones.

Rule 1: nothing is deleted here. A moved pack gets a forward (vault/forward.py) once its boxes are
        durable elsewhere; from the next mark on nothing needs it, and the sweep removes it.
Rule 2: boxes move whole and are sealed anew under the active data key. Own boxes of different
        chains never come into one pack: a box that two chains need is a shared one, so what one
        chain alone needs says whose a pack is. Packs of which chains need boxes for themselves
        are moved by themselves, if at all.
Rule 3: a pack moves only when it is older than its storage tier bills for anyway, and never while
        it is condemned or moved already.
Rule 4: a forward is written within t_max_s of the new pack, which nothing needs until then: later
        that may be condemned.
Rule 5: a pack that cannot be read is left alone; verification names it.

Two compactions at once are harmless: for each pack one forward wins, and what the other one wrote
is garbage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from base.errors import Problem
from vault.entry import Place
from vault.forward import PREFIX as FORWARDS
from vault.forward import Forward, pack_of, put_forward
from vault.gc_log import History
from vault.index import Moment
from vault.mark import Live, Marks
from vault.pack import TARGET_BYTES, PackBuilder, open_pack
from vault.round import Bench
from vault.store import Listed

SMALL_BYTES = 1024 * 1024
SMALL_PACKS_MIN = 16  # of one chain; fewer are not worth the reads
SPARSE_SHARE = 0.5  # of the boxes
SPARSE, SMALL = "mostly-garbage", "small"
SHARED = ""  # the group of packs whose boxes several chains need


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pack worth moving; those of one `group` may be merged."""

    listed: Listed
    reason: str
    group: str


class Compaction:
    """Compacts after a sweep, with the marks of the same cycle."""

    def __init__(self, bench: Bench, history: History, marks: Marks) -> None:
        self._tools = bench.tools
        self._history = history
        self._live = marks.merged()
        self._groups = _groups_of(marks)
        self._sizes = marks.sizes

    def candidates(self, packs: Sequence[Listed]) -> Iterator[Candidate]:
        """What is worth moving, group by group."""
        moved = {pack_of(listed.name) for listed in self._tools.store.list(FORWARDS)}
        after = timedelta(days=self._history.begin.body["compact_after_days"])
        small: dict[str, list[Listed]] = {}
        for listed in packs:
            pack = pack_of(listed.name)
            bits = self._live.get(pack, 0)
            young = self._history.begin.at - listed.modified < after
            if young or not bits or pack in moved or pack in self._history.condemned:
                continue
            group = self._groups[pack]
            if listed.size < SMALL_BYTES:
                small.setdefault(group, []).append(listed)
            elif self._sizes[pack] <= listed.size * SPARSE_SHARE or (
                bits.bit_count() <= bits.bit_length() * SPARSE_SHARE
            ):
                yield Candidate(listed, SPARSE, group)
        for group, some in small.items():
            if len(some) >= SMALL_PACKS_MIN:
                for listed in some:
                    yield Candidate(listed, SMALL, group)

    def run(
        self, packs: Sequence[Listed], bytes_max: int, more: Callable[[], bool]
    ) -> dict[str, Any]:
        """Moves candidates while there is time and budget; the body of the record. However little
        time there is, one pack moves, or as many small ones as are worth merging.
        """
        done = {"packs": 0, "written": 0, "bytes_moved": 0, "complete": True}
        batch = _Batch(self, "")
        taken = 0
        for one in sorted(self.candidates(packs), key=lambda one: (one.group, one.listed.name)):
            if done["bytes_moved"] + batch.bytes >= bytes_max:
                break  # the next cycle goes on
            ends = one.group != batch.group or batch.full
            if taken and (ends or batch.packs >= SMALL_PACKS_MIN) and not more():
                done["complete"] = False
                break
            if ends:
                batch.store(done)
                batch = _Batch(self, one.group)
            taken += batch.take(one.listed)
        batch.store(done)
        return done


def _groups_of(marks: Marks) -> dict[str, str]:
    """Which packs may be merged with which (rule 2): those of one chain, and those that several
    chains need and none of them alone; a pack's own id where it stays by itself.
    """
    once: Live = {}
    twice: Live = {}
    for live in marks.live.values():
        for pack, bits in live.items():
            twice[pack] = twice.get(pack, 0) | once.get(pack, 0) & bits
            once[pack] = once.get(pack, 0) | bits
    groups = dict.fromkeys(once, SHARED)
    for chain_hash, live in marks.live.items():
        for pack, bits in live.items():
            if bits & ~twice[pack]:
                groups[pack] = chain_hash if groups[pack] == SHARED else pack
    return groups


class _Batch:
    """Boxes of some packs on their way into a new one."""

    def __init__(self, compaction: Compaction, group: str) -> None:
        self._tools = compaction._tools
        self._live = compaction._live
        self.group = group
        self._builder = PackBuilder(self._tools.ring, self._tools.config.chunking)
        self._moves: dict[str, dict[int, Place]] = {}

    @property
    def bytes(self) -> int:
        return 0 if self._builder.empty else self._builder.bytes

    @property
    def packs(self) -> int:
        return len(self._moves)

    @property
    def full(self) -> bool:
        return self.bytes >= TARGET_BYTES

    def take(self, listed: Listed) -> bool:
        """Adds what is needed of a pack; False: it cannot be read."""
        pack = pack_of(listed.name)
        try:
            opened = open_pack(self._tools.ring, pack, self._tools.store.read(listed.name))
            boxes = [box for box in opened if self._live[pack] >> box.location.box & 1]
        except Problem:
            return False
        places = self._moves[pack] = {}
        for box in boxes:
            place = places[box.location.box] = Place()
            self._builder.add(box.kind, box.domain, box.members, box.data, place)
        return True

    def store(self, done: dict[str, Any]) -> None:
        """Stores the new pack, then the forwards."""
        if self._builder.empty:
            return
        sealed = self._builder.seal(self._tools.verify)
        begun = Moment.now(self._tools.clock)
        self._tools.store.put_new(sealed.name, sealed.data)
        for pack, places in self._moves.items():
            if begun.age_s(self._tools.clock) > self._tools.config.t_max_s:
                break
            boxes = {number: place.location for number, place in places.items()}
            done["packs"] += put_forward(self._tools.store, self._tools.ring, Forward(pack, boxes))
        done["written"] += 1
        done["bytes_moved"] += len(sealed.data)
