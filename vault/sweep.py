"""Condemns packs without references, and deletes those whose wait is over.

The rules stand at the top of vault/collect.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from vault import gc_log
from vault.box import blob_name
from vault.entry import Location
from vault.forward import PREFIX as FORWARDS
from vault.forward import get_forward, pack_of
from vault.gc_log import SWEPT, History
from vault.index import Moment
from vault.indexing import shared_chunks
from vault.mark import Live, Marks
from vault.problems import StoreForbidden, StoreImmutable, StoreNotWritable
from vault.round import Bench
from vault.store import Listed, Store

_REFUSED = (StoreImmutable, StoreNotWritable, StoreForbidden)
_AGE_MIN = timedelta(days=1)


class Action(StrEnum):
    """What becomes of a pack in this cycle."""

    NEEDED = "needed"
    RESURRECTED = "needed-again"
    YOUNG = "too-young"
    CONDEMN = "condemned"
    WAITS = "waits"
    DELETE = "deleted"
    FOUND_AGAIN = "found-again"  # rows came back, or may have: it is condemned no longer
    LATER = "refused-by-the-store"
    CAPPED = "over-the-share"
    UNREADABLE = "unreadable"


def removed(store: Store, name: str) -> bool:
    """Deletes a blob; False: the store does not allow it, not yet or not to us."""
    try:
        store.delete(name)
    except _REFUSED:
        return False
    return True


def decide(
    packs: Sequence[Listed], live: Live, history: History, wait: timedelta
) -> Iterator[tuple[Listed, Action]]:
    """Every stored pack with what this cycle may do with it; `live` is this cycle's whole mark."""
    began = history.begin.at
    for listed in packs:
        pack = pack_of(listed.name)
        condemned = history.condemned.get(pack)
        if live.get(pack):
            yield listed, Action.NEEDED if condemned is None else Action.RESURRECTED
        elif condemned is None:
            old = began - listed.modified >= max(wait, _AGE_MIN)
            yield listed, Action.CONDEMN if old else Action.YOUNG
        else:
            waited = began - condemned.at >= wait
            yield listed, Action.DELETE if waited else Action.WAITS


class Sweep:
    """One slice of condemning and deleting."""

    decide = staticmethod(decide)

    def __init__(self, bench: Bench, history: History, marks: Marks, wait: timedelta) -> None:
        self._tools = bench.tools
        self._history = history
        self._marks = marks
        self._live = marks.merged()
        self._wait = wait
        done = history.of_kind(SWEPT)
        self._through = done[-1].body["through"] if done else ""
        self._deleted_bytes = sum(record.body["deleted_bytes"] for record in done)
        self._actions: dict[str, list[int]] = {}
        self._index = self._tools.index.generation()  # before any row goes
        self._condemned: list[str] = []
        self._forgiven: list[str] = []

    def run(self, more: Callable[[], bool]) -> dict[str, Any]:
        """Works through the packs in name order; the body of the record."""
        packs = list(self._tools.store.list("p/"))
        total = sum(listed.size for listed in packs)
        first = not self._through
        pages = self._drop_leftovers() if first else 0
        forwards = self._drop_forwards({listed.name for listed in packs}) if first else 0
        complete = True
        for listed, action in self.decide(packs, self._live, self._history, self._wait):
            if listed.name <= self._through:
                continue
            if not self._through_with(listed, action, total):
                complete = False
                break
            self._through = listed.name
            if not more():
                complete = listed is packs[-1]
                break
        gone = self._history.condemned.keys() - {pack_of(listed.name) for listed in packs}
        return {
            "through": self._through,
            "complete": complete,
            "condemned": self._condemned,
            "index": self._index,
            "forgiven": sorted({*self._forgiven, *gone}),
            "deleted_bytes": self._deleted_bytes,
            "actions": self._actions,
            "pages": pages,
            "forwards": forwards,
        }

    def _through_with(self, listed: Listed, action: Action, total: int) -> bool:
        """Carries an action out. False: the log moved on, somebody else is at work."""
        pack = pack_of(listed.name)
        if action == Action.RESURRECTED:
            self._forgiven.append(pack)
        elif action == Action.CONDEMN:
            action = self._condemn(listed, pack)
        elif action == Action.DELETE:
            if not self._goes_on():
                return False
            action = self._delete(listed, pack, total)
        times_and_bytes = self._actions.setdefault(action, [0, 0])
        times_and_bytes[0] += 1
        times_and_bytes[1] += listed.size
        return True

    def _condemn(self, listed: Listed, pack: str) -> Action:
        shared = shared_chunks(self._tools, listed)
        if shared is None:  # no row of it can be removed
            return Action.UNREADABLE
        self._forget(pack, shared)
        self._condemned.append(pack)
        return Action.CONDEMN

    def _delete(self, listed: Listed, pack: str, total: int) -> Action:
        begin = self._history.begin.body
        over = self._deleted_bytes + listed.size > begin["share_max"] * total
        if over and self._deleted_bytes and not begin["confirmed"]:
            return Action.CAPPED
        shared = shared_chunks(self._tools, listed)
        if shared is None:  # no row of it can be removed
            return Action.UNREADABLE
        if self._was_lost(pack) or self._is_findable(pack, shared):
            # Its rows go when it is condemned anew, in a later cycle. Removed here, and this slice
            # dead before its record, nobody would know any more that somebody may have found it.
            self._forgiven.append(pack)
            return Action.FOUND_AGAIN
        if not removed(self._tools.store, listed.name):
            return Action.LATER
        self._forgiven.append(pack)
        self._deleted_bytes += listed.size
        return Action.DELETE

    def _was_lost(self, pack: str) -> bool:
        """Whether rows were lost since it was condemned: one that came back may be among them."""
        condemned = self._history.condemned.get(pack)
        return condemned is not None and condemned.index != self._index

    def _is_findable(self, pack: str, shared: Mapping[bytes, Location]) -> bool:
        """Whether a row points into the pack again."""
        found = self._tools.index.find(list(shared)) if shared else {}
        return any(place.pack == pack for place in found.values())

    def _forget(self, pack: str, shared: Mapping[bytes, Location]) -> None:
        """Removes the rows that point into the pack; new ones point to where its boxes moved."""
        forgotten = self._tools.index.forget(pack, list(shared)) if shared else set()
        if not forgotten:
            return
        forward = get_forward(self._tools.store, self._tools.ring, pack)
        if forward is not None:
            boxes = {id_: shared[id_].box for id_ in forgotten}
            self._remember_moved(
                {id_: forward.boxes[box] for id_, box in boxes.items() if box in forward.boxes}
            )

    def _remember_moved(self, places: dict[bytes, Location]) -> None:
        """Rows for boxes that moved. Where nothing needs a box any more, its new pack may be
        condemned or gone; and a collector that slept is late, as a rebuild may be (indexing.py).
        """
        begun = Moment.now(self._tools.clock)
        live = {
            id_: place
            for id_, place in places.items()
            if self._live.get(place.pack, 0) >> place.box & 1
        }
        in_time = self._goes_on() and begun.age_s(self._tools.clock) <= self._tools.config.t_max_s
        if live and in_time:
            self._tools.index.remember(live)

    def _goes_on(self) -> bool:
        """Whether no other collector went on meanwhile: then this mark would be old."""
        return gc_log.is_newest(self._tools.store, self._history)

    def _drop_leftovers(self) -> int:
        return sum(removed(self._tools.store, name) for name in self._marks.leftovers)

    def _drop_forwards(self, stored: set[str]) -> int:
        """Forwards that no reference needed, of packs that are gone."""
        dropped = 0
        for listed in list(self._tools.store.list(FORWARDS)):
            pack = pack_of(listed.name)
            old = self._history.begin.at - listed.modified >= self._wait
            if old and pack not in self._marks.forwards and blob_name(pack) not in stored:
                dropped += removed(self._tools.store, listed.name)
        return dropped
