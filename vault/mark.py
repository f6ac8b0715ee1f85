"""Finds out which boxes of which packs are needed, chain by chain.

Rule 1: roots are all snapshots that exist, void ones too, and the pages of rounds that are not
        closed. A page of a closed number that its snapshot does not name is a leftover.
Rule 2: boxes that a compaction moved count where they lie now: in the last of their packs that is
        stored. A new pack that nothing needed for a while may be gone when somebody comes who
        found a box in the old one.
Rule 3: damage is noted and never guessed around: a snapshot or node that cannot be read, or a gap
        in a chain that no tombstone explains. Whoever collects then removes nothing.

Costs: every node of a chain is read once, however many restore points share it (about 21 reads for
1,000 items); a pack in the result takes about 250 bytes of memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from base.errors import Problem
from vault.box import blob_name
from vault.entry import CONTENT_FLAGS, LISTED, Content, Reference
from vault.forward import MOVES_MAX, Forward, get_forward
from vault.gc_log import History
from vault.page import name_of as page_name
from vault.page import open_page
from vault.problems import UnknownFeature, VaultDamaged
from vault.round import Bench
from vault.snapshot import OK, Snapshot, open_snapshot
from vault.snapshot import name_of as snapshot_name
from vault.store import Store
from vault.tree import Node, child_reference

Live = dict[str, int]  # pack id -> bitmap of the boxes that are needed


@dataclass(slots=True)
class Marks:
    """What the chains marked so far need, and what is wrong with them."""

    live: dict[str, Live] = field(default_factory=dict)  # by chain hash
    forwards: set[str] = field(default_factory=set)  # packs whose forward was needed
    leftovers: list[str] = field(default_factory=list)  # pages that nobody needs
    damage: list[tuple[str, str]] = field(default_factory=list)  # blob name, code of a problem
    # Bytes of the boxes needed, by pack; what n chains need counts n times: never too few.
    sizes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "live": {
                chain_hash: {pack: f"{bits:x}" for pack, bits in live.items()}
                for chain_hash, live in self.live.items()
            },
            "forwards": sorted(self.forwards),
            "leftovers": self.leftovers,
            "damage": self.damage,
            "sizes": self.sizes,
        }

    def add(self, document: Mapping[str, Any]) -> None:
        """Adds what to_json of other chains' marks gave."""
        for chain_hash, live in document["live"].items():
            self.live[chain_hash] = {pack: int(bits, 16) for pack, bits in live.items()}
        self.forwards |= set(document["forwards"])
        self.leftovers += document["leftovers"]
        self.damage += [(name, code) for name, code in document["damage"]]
        for pack, size in document["sizes"].items():
            self.sizes[pack] = self.sizes.get(pack, 0) + size

    def merged(self) -> Live:
        """What any chain needs."""
        merged: Live = {}
        for live in self.live.values():
            for pack, bits in live.items():
                merged[pack] = merged.get(pack, 0) | bits
        return merged


def chain_hashes(store: Store, after: str = "") -> Iterator[str]:
    """Every chain with a snapshot or a page, in order, behind `after`."""
    while True:
        found = [_next_chain(store, prefix, after) for prefix in ("s/", "m/")]
        chains = [one for one in found if one]
        if not chains:
            return
        after = min(chains)
        yield after


def _next_chain(store: Store, prefix: str, after: str) -> str:
    # "~" sorts behind every number of a chain.
    first = next(iter(store.list(prefix, f"{prefix}{after}/~" if after else "")), None)
    return "" if first is None else first.name.split("/")[1]


class Marker:
    """Marks chains; `gone` are restore points to be taken for removed, as (chain hash, number)."""

    def __init__(
        self,
        bench: Bench,
        history: History,
        moved: Collection[str],
        gone: Collection[tuple[str, int]] = (),
    ) -> None:
        """`moved`: packs that have a forward."""
        self._store, self._ring = bench.tools.store, bench.tools.ring
        self._reader = bench.reader
        self._history = history
        self._moved = moved
        self._gone = gone
        self._forwards: dict[str, Forward] = {}
        self._stored: dict[str, bool] = {}  # of packs on either side of a forward
        self._live: Live = {}
        self._seen: set[bytes] = set()  # nodes and lists of the chain being marked
        self.marks = Marks()

    def chain(self, chain_hash: str) -> None:
        """Marks everything one chain needs."""
        self._live, self._seen = {}, set()
        self.marks.live[chain_hash] = self._live
        numbers: dict[int, Snapshot | None] = {}
        before: tuple[int, str] = (0, "")
        for listed in self._store.list(f"s/{chain_hash}/"):
            number = int(listed.name[-10:])
            numbers[number] = None
            try:
                sealed = self._store.read(listed.name)
                digest = hashlib.sha256(sealed).hexdigest()
                numbers[number] = snapshot = open_snapshot(self._ring, listed.name, sealed)
                self._insist_on_place(chain_hash, snapshot, listed.name, before)
                before = (number, digest)
                if (chain_hash, number) not in self._gone:
                    self._roots(snapshot.roots)
            except Problem as problem:
                self.marks.damage.append((listed.name, problem.code))
                before = (number, "")
        self._pages(chain_hash, numbers)

    def _insist_on_place(
        self, chain_hash: str, snapshot: Snapshot, name: str, before: tuple[int, str]
    ) -> None:
        where = snapshot_name(self._ring.chain_hash(snapshot.chain), snapshot.number)
        number, digest = before
        if number != snapshot.number - 1:
            tombstone = self._history.explains(chain_hash, snapshot.number - 1)
            digest = tombstone.sha256 if tombstone else "no tombstone"
        # One that is buried and not deleted yet has lost the hash of the one before it.
        buried = self._history.explains(chain_hash, snapshot.number) is not None
        if where != name or (digest != snapshot.parent_sha256 and not buried):
            raise VaultDamaged("A snapshot does not follow the one before it.", name=name)

    def _pages(self, chain_hash: str, snapshots: Mapping[int, Snapshot | None]) -> None:
        newest = max(snapshots, default=0)
        for listed in self._store.list(f"m/{chain_hash}/"):
            _, _, number_text, seq = listed.name.split("/")
            number = int(number_text)
            if number > newest:
                self._open_page(listed.name)
                continue
            snapshot = snapshots.get(number)
            gone = (chain_hash, number) in self._gone
            if number in snapshots and snapshot is None:
                continue  # it is damaged: nothing can be said of its pages
            named = snapshot is not None and snapshot.status == OK and not gone
            if snapshot is None or not named or int(seq) >= len(snapshot.pages):
                self.marks.leftovers.append(listed.name)

    def _open_page(self, name: str) -> None:
        """A page of a round that is not closed: its entries, and its catalog if it is the last."""
        try:
            page = open_page(self._ring, name, self._store.read(name))
            if page_name(self._ring.chain_hash(page.chain), page.number, page.seq) != name:
                raise VaultDamaged("A page is not the one its name says.", name=name)
            for line in page.lines:
                self._entry(line)
            self._roots(page.roots or {})
        except Problem as problem:
            self.marks.damage.append((name, problem.code))

    def _roots(self, roots: Mapping[str, str]) -> None:
        for text in roots.values():
            self._node(Node.parse(text.encode("ascii")))

    def _node(self, node: Node) -> None:
        for key, line in zip(node.keys, node.lines, strict=True):
            if node.level == 0:
                if len(key) == 3:  # a row; leaves of the other tree hold no references
                    self._entry(line)
                continue
            reference = child_reference(line)
            place = reference.place.location
            self._need(place.pack, place.box, place.size)
            if reference.id not in self._seen:
                self._seen.add(reference.id)
                self._node(self._reader.node(reference))

    def _entry(self, line: bytes) -> None:
        try:
            for _, _, _, references, flags, *_ in json.loads(line)[6]:
                if flags not in CONTENT_FLAGS:
                    raise UnknownFeature("A content has unknown flags.", flags=flags)
                for values in references:
                    self._need(values[1], values[2], values[4])
                    if flags & LISTED:
                        self._list(Reference.from_json(values))
        except (ValueError, TypeError, IndexError) as damage:
            raise VaultDamaged("A catalog entry cannot be read.") from damage

    def _list(self, reference: Reference) -> None:
        if reference.id in self._seen:
            return
        self._seen.add(reference.id)
        for inner in self._reader.references(Content("", {}, 0, (reference,), listed=True)):
            place = inner.place.location
            self._need(place.pack, place.box, place.size)

    def _need(self, pack: str, box: int, size: int) -> None:
        if pack in self._moved:
            pack, box = self._followed(pack, box)
        bits = self._live.get(pack, 0)
        if not bits >> box & 1:
            self._live[pack] = bits | 1 << box
            self.marks.sizes[pack] = self.marks.sizes.get(pack, 0) + size

    def _followed(self, pack: str, box: int) -> tuple[str, int]:
        """Where a box is needed that moved (rule 2); where it went last if no pack has it."""
        places = [(pack, box)]
        while (place := self._next_place(*places[-1])) is not None:
            if len(places) > MOVES_MAX:
                raise VaultDamaged("Forwards of packs go in a circle.", name=blob_name(pack))
            places.append(place)
        last = len(places) - 1
        stored = (at for at in range(last, -1, -1) if self._is_stored(places[at][0]))
        last = next(stored, last)
        self.marks.forwards.update(passed for passed, _ in places[:last])
        return places[last]

    def _next_place(self, pack: str, box: int) -> tuple[str, int] | None:
        if pack not in self._moved:
            return None
        if pack not in self._forwards:
            moved = get_forward(self._store, self._ring, pack)
            self._forwards[pack] = moved or Forward(pack, {})
        place = self._forwards[pack].boxes.get(box)
        return None if place is None else (place.pack, place.box)

    def _is_stored(self, pack: str) -> bool:
        if pack not in self._stored:
            self._stored[pack] = self._store.size(blob_name(pack)) is not None
        return self._stored[pack]
