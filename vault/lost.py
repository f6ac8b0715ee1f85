"""Boxes that are known to be lost, kept as records r/lost/…, so that nobody refers to them again.

Rule 1: a lost box is never reused: not from an item's previous version, not from a look-up row, not
        from what a process remembers. What the tenant still has is stored anew.
Rule 2: knowing too much costs a duplicate, never data: a box that came back from a replica stays
        on the list, and only restore points that pointed at it read it.

Costs: one listing for a step that would reuse something; none for a step without changes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from base.errors import Problem
from vault.entry import Content, Location, Reference, dumps
from vault.envelope import Kind
from vault.keys import KeyRing
from vault.store import Store

PREFIX = "r/lost/"
References = Callable[[Content], Iterator[Reference]]


@dataclass(frozen=True, slots=True)
class Lost:
    """Pack id -> numbers of its lost boxes, none for all of them."""

    packs: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def holds(self, place: Location) -> bool:
        """Whether the box at that place is lost."""
        boxes = self.packs.get(place.pack)
        return boxes is not None and (not boxes or place.box in boxes)

    def touches(self, content: Content, references: References) -> bool:
        """Whether a content needs a lost box; `references` resolves its reference lists."""
        if not self.packs:
            return False
        if any(self.holds(one.place.location) for one in content.refs):
            return True
        if not content.listed:
            return False
        try:
            return any(self.holds(one.place.location) for one in references(content))
        except Problem:
            return True

    def joined(self, other: Lost) -> Lost:
        """What either knows."""
        packs = dict(self.packs)
        for pack, boxes in other.packs.items():
            before = packs.get(pack)
            everything = not boxes or (before is not None and not before)
            packs[pack] = frozenset() if everything else boxes | (before or frozenset())
        return Lost(packs)


class LostRecords:
    """The records of one vault; safe for several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read: dict[str, Lost] = {}

    def known(self, ring: KeyRing) -> Lost:
        """What is known now: one listing, and a read for every record that is new."""
        found = Lost()
        for listed in self._store.list(PREFIX):
            with self._lock:
                one = self._read.get(listed.name)
            if one is None:
                one = _parsed(ring.unseal(Kind.RECORD, listed.name, self._store.read(listed.name)))
                with self._lock:
                    self._read[listed.name] = one
            found = found.joined(one)
        return found

    def add(self, ring: KeyRing, lost: Lost) -> bool:
        """Writes a record; False: the same was written before."""
        packs = {pack: sorted(boxes) for pack, boxes in sorted(lost.packs.items())}
        data = dumps({"packs": packs})
        name = f"{PREFIX}{hashlib.sha256(data).hexdigest()[:32]}"
        return self._store.put_new(name, ring.seal(Kind.RECORD, name, data))


def _parsed(data: bytes) -> Lost:
    packs = json.loads(data)["packs"]
    return Lost({pack: frozenset(boxes) for pack, boxes in packs.items()})
