"""One chain's share of a verification: its restore points, pages, and what they need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from base.errors import Problem
from vault.box import blob_name
from vault.entry import Content, Entry, Location, Reference
from vault.findings import Disease, Finding
from vault.forward import MOVES_MAX, get_forward
from vault.gc_log import History, read_history
from vault.page import name_of as page_name
from vault.page import open_page
from vault.problems import Missing, VaultDamaged
from vault.round import Bench
from vault.snapshot import OK, Snapshot, open_snapshot
from vault.snapshot import name_of as snapshot_name
from vault.tree import EMPTY, Node, child_reference


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored: sizes of packs by id, packs that moved, and the collector's log."""

    sizes: Mapping[str, int]
    moved: set[str]
    history: History


@dataclass(frozen=True, slots=True)
class _Point:
    """A restore point, or an open round (number 0), being looked through."""

    name: str
    chain: str
    newest: bool

    @property
    def is_open(self) -> bool:
        return self.name.startswith("m/")


@dataclass(slots=True)
class _Seen:
    """Nodes and lists looked at already; those with damage in or below them."""

    good: set[bytes] = field(default_factory=set)
    bad: set[bytes] = field(default_factory=set)


class ChainCheck:
    """Checks one chain; findings and counts are read afterwards."""

    def __init__(
        self,
        bench: Bench,
        known: Known,
        heads: Mapping[str, tuple[int, str]],
        damaged: Mapping[str, Finding] | None = None,
    ) -> None:
        """`heads`: chain -> number and SHA-256 of a restore point that exists. With `damaged` packs
        only what needs those is looked for, and noted in their findings.
        """
        self._store, self._ring = bench.tools.store, bench.tools.ring
        self._reader = bench.reader
        self._known = known
        self._heads = {self._ring.chain_hash(chain): head for chain, head in heads.items()}
        self._damaged = damaged
        self._seen = _Seen()
        self._restarted = False
        self._bad_packs: dict[str, Finding] = {}
        self._opened_boxes: dict[Location, bool] = {}
        self.findings: list[Finding] = []
        self.hurt = False  # the newest restore point lacks something, or does not open
        self.stuck = False  # the open round lacks something
        self.counts = dict.fromkeys(("snapshots", "pages", "open_pages", "items", "nodes"), 0)

    def run(self, chain_hash: str) -> None:
        """Checks the chain."""
        names = [listed.name for listed in self._store.list(f"s/{chain_hash}/")]
        snapshots = self._snapshots(chain_hash, names)
        if self._damaged is None:
            self._head(chain_hash, snapshots)
        pages = self._stored_pages(chain_hash)
        newest = max((int(name[-10:]) for name in names), default=0)
        good = [one for one, _ in snapshots.values() if one is not None and one.status == OK]
        head = good[-1].number if good else 0
        top = snapshots[max(snapshots)][0] if snapshots else None
        self._restarted = top is not None and top.is_restart
        if snapshots and top is None:
            self._is_newest(snapshot_name(chain_hash, newest))
            self._note_hurt(True)
        if self._damaged is None:
            for number, (snapshot, _) in snapshots.items():
                self._closed_pages(chain_hash, number, snapshot)
        for number in sorted(snapshots, reverse=True):
            snapshot = snapshots[number][0]
            if snapshot is not None:
                point = _Point(snapshot_name(chain_hash, number), snapshot.chain, number >= head)
                self._catalog(point, snapshot.roots)
        # Behind the restore points: what the newest one shares with them counts as its own.
        self._open_pages(chain_hash, {n: rows for n, rows in pages.items() if n > newest})

    def _is_newest(self, name: str) -> None:
        """What was found of a blob concerns the newest restore point."""
        for finding in self.findings:
            finding.newest |= finding.name == name

    def _note_hurt(self, hurt: bool) -> None:
        """Of a chain that begins anew anyway, nothing newest can be hurt."""
        self.hurt |= hurt and not self._restarted

    # --- L0 ---

    def _snapshots(
        self, chain_hash: str, names: list[str]
    ) -> dict[int, tuple[Snapshot | None, str]]:
        """Every stored restore point with the SHA-256 of its bytes; None where it does not open."""
        found: dict[int, tuple[Snapshot | None, str]] = {}
        before: tuple[int, str] = (0, "")
        for name in names:
            number = int(name[-10:])
            try:
                sealed = self._store.read(name)
            except Missing:
                continue  # it expired meanwhile
            digest = hashlib.sha256(sealed).hexdigest()
            snapshot = self._opened(chain_hash, name, sealed)
            found[number] = (snapshot, digest)
            self.counts["snapshots"] += 1
            if snapshot is not None and self._damaged is None:
                self._insist_on_order(chain_hash, snapshot, before)
            before = (number, digest if snapshot is not None else "")  # damage has another hash
        return found

    def _opened(self, chain_hash: str, name: str, sealed: bytes) -> Snapshot | None:
        try:
            snapshot = open_snapshot(self._ring, name, sealed)
            if snapshot_name(self._ring.chain_hash(snapshot.chain), snapshot.number) != name:
                raise VaultDamaged("A snapshot is not the one its name says.")
        except Problem:
            self._found(Disease.SNAPSHOT_DAMAGED, name, 0)
            return None
        return snapshot

    def _insist_on_order(
        self, chain_hash: str, snapshot: Snapshot, before: tuple[int, str]
    ) -> None:
        number, digest = before
        history = self._known.history
        if number < snapshot.number - 1:
            if history.explains(chain_hash, snapshot.number - 1) is None:
                history = self._fresh_history()  # it may have expired meanwhile
            tombstone = history.explains(chain_hash, snapshot.number - 1)
            if tombstone is None:
                missing = snapshot_name(chain_hash, snapshot.number - 1)
                self._found(Disease.SNAPSHOT_MISSING, missing, 0)
                return
            digest = tombstone.sha256
        # One that is buried and not deleted yet has lost the hash of the one before it.
        buried = history.explains(chain_hash, snapshot.number) is not None
        damaged = number == snapshot.number - 1 and number > 0 and not digest
        if digest != snapshot.parent_sha256 and not (buried or damaged):
            name = snapshot_name(chain_hash, snapshot.number)
            self._found(Disease.CHAIN_BROKEN, name, 0)

    def _fresh_history(self) -> History:
        try:
            return read_history(self._store, self._ring)
        except Problem:
            return self._known.history

    def _head(self, chain_hash: str, snapshots: Mapping[int, tuple[Snapshot | None, str]]) -> None:
        """The newest restore point that the owner remembers."""
        number, digest = self._heads.get(chain_hash, (0, ""))
        name = snapshot_name(chain_hash, number)
        if number > max(snapshots, default=0):
            self._found(Disease.HEAD_ROLLED_BACK, name, 0)
            self._is_newest(name)
        elif number in snapshots and snapshots[number][0] is not None:
            if digest not in ("", snapshots[number][1]):
                self._found(Disease.CHAIN_BROKEN, name, 0)

    def _stored_pages(self, chain_hash: str) -> dict[int, list[str]]:
        pages: dict[int, list[str]] = {}
        for listed in self._store.list(f"m/{chain_hash}/"):
            pages.setdefault(int(listed.name.split("/")[2]), []).append(listed.name)
            self.counts["pages"] += 1
        return pages

    def _closed_pages(self, chain_hash: str, number: int, snapshot: Snapshot | None) -> None:
        if snapshot is None or snapshot.status != OK:
            return
        for seq, digest in enumerate(snapshot.pages):
            name = page_name(chain_hash, number, seq)
            try:
                sealed = self._store.read(name)
                open_page(self._ring, name, sealed)
                if hashlib.sha256(sealed).hexdigest() != digest:
                    raise VaultDamaged("A page is not the one its snapshot names.")
            except Missing:
                if self._store.size(snapshot_name(chain_hash, number)) is None:
                    return  # the restore point expires right now
                self._found(Disease.PAGE_MISSING, name, 0)
            except Problem:
                self._found(Disease.PAGE_DAMAGED, name, 0)

    # --- L1 ---

    def _open_pages(self, chain_hash: str, pages: Mapping[int, list[str]]) -> None:
        for rows in pages.values():
            prior = ""
            for name in rows:
                self.counts["open_pages"] += 1
                try:
                    sealed = self._store.read(name)
                    page = open_page(self._ring, name, sealed)
                    where = page_name(self._ring.chain_hash(page.chain), page.number, page.seq)
                    if where != name or page.prior != prior:
                        raise VaultDamaged("A page does not follow the one before it.")
                except Problem:
                    self._found(Disease.OPEN_PAGE_DAMAGED, name, 0)
                    self.stuck = True
                    break
                prior = hashlib.sha256(sealed).hexdigest()
                point = _Point(name, page.chain, newest=False)
                for line in page.lines:
                    self._entry(point, line)
                self._catalog(point, page.roots or {})

    def _catalog(self, point: _Point, roots: Mapping[str, str]) -> None:
        whole = True
        for text in roots.values():
            root = Node.parse(text.encode("ascii"))
            if root != EMPTY:
                whole &= self._node(point, root)
        if not whole and self._damaged is None:
            finding = Finding.of(Disease.CATALOG_DAMAGED, point.name, 1)
            finding.newest = point.newest
            self.findings.append(finding)
            self._note_hurt(point.newest)
            self.stuck |= point.is_open

    def _node(self, point: _Point, node: Node) -> bool:
        """Whether the node can be read with all below it."""
        whole = True
        self.counts["nodes"] += 1
        for key, line in zip(node.keys, node.lines, strict=True):
            if node.level > 0:
                whole &= self._child(point, child_reference(line))
            elif len(key) == 3:  # a row; the other tree's leaves hold no references
                self.counts["items"] += 1
                whole &= self._entry(point, line)
        return whole

    def _child(self, point: _Point, reference: Reference) -> bool:
        if reference.id in self._seen.bad:
            return False
        if reference.id in self._seen.good:
            return True
        location = reference.place.location
        finding = self._lost(point, reference)
        if finding is not None:
            self._touch(finding, point, "catalog", "")
        whole = False
        try:
            whole = self._node(point, self._reader.node(reference))
        except Problem:
            if finding is None and self._damaged is None:
                bad = self._bad_pack(Disease.PACK_DAMAGED, self._where(location).pack, 1)
                self._touch(bad, point, "catalog", "")
        (self._seen.good if whole else self._seen.bad).add(reference.id)
        return whole

    def _entry(self, point: _Point, line: bytes) -> bool:
        """Whether the entry can be read; what is wrong with what it needs is noted."""
        try:
            entry = Entry.from_json(json.loads(line))
        except (Problem, ValueError):
            return False
        lost: dict[str, Finding] = {}
        for content in entry.contents:
            for reference in content.refs:
                self._need(point, reference, lost)
                if content.listed:
                    self._list(point, reference, lost)
        for finding in lost.values():
            self._touch(finding, point, entry.id, entry.parent)
        return True

    def _touch(self, finding: Finding, point: _Point, item: str, parent: str) -> None:
        finding.touches(point.chain, item, parent, point.newest)
        self._note_hurt(point.newest)
        self.stuck |= point.is_open

    def _need(self, point: _Point, reference: Reference, lost: dict[str, Finding]) -> None:
        finding = self._lost(point, reference)
        if finding is not None:
            lost[finding.name] = finding

    def _list(self, point: _Point, reference: Reference, lost: dict[str, Finding]) -> None:
        try:
            whole = Content("", {}, 0, (reference,), listed=True)
            for inner in self._reader.references(whole):
                self._need(point, inner, lost)
        except Problem:
            if self._damaged is None and not lost:
                pack = self._where(reference.place.location).pack
                finding = self._bad_pack(Disease.PACK_DAMAGED, pack, 1)
                lost[finding.name] = finding

    def _lost(self, point: _Point, reference: Reference) -> Finding | None:
        """What is wrong with the pack a box lies in, if anything is."""
        place = self._where(reference.place.location)
        if self._damaged is not None:
            finding = self._damaged.get(place.pack)
            if finding is None:
                return None
            if finding.boxes:
                return finding if place.box in finding.boxes else None
            return None if self._opens(place, reference) else finding  # nobody knows its boxes
        if place.pack in self._bad_packs:
            return self._bad_packs[place.pack]
        if self._known.sizes.get(place.pack, 0) >= place.at + place.size:
            return None
        now = self._store.size(blob_name(place.pack))  # younger than our listing
        if now is not None and now >= place.at + place.size:
            return None
        if self._store.size(point.name) is None:
            return None  # who named it has expired meanwhile
        return self._bad_pack(Disease.PACK_MISSING, place.pack, 1)

    def _opens(self, place: Location, reference: Reference) -> bool:
        """Whether a box of a pack that cannot be read as a whole can be read by itself."""
        if place not in self._opened_boxes:
            try:
                self._reader.chunk(reference)
                self._opened_boxes[place] = True
            except Problem:
                self._opened_boxes[place] = False
        return self._opened_boxes[place]

    def _where(self, location: Location) -> Location:
        """Where a box lies now."""
        for _ in range(MOVES_MAX):
            if location.pack in self._known.sizes:
                return location
            try:
                moved = get_forward(self._store, self._ring, location.pack)
            except Problem:
                return location
            if moved is None or location.box not in moved.boxes:
                return location
            location = moved.boxes[location.box]
        return location

    def _bad_pack(self, disease: Disease, pack: str, level: int) -> Finding:
        if pack not in self._bad_packs:
            self._bad_packs[pack] = Finding.of(disease, blob_name(pack), level)
            self.findings.append(self._bad_packs[pack])
        return self._bad_packs[pack]

    def _found(self, disease: Disease, name: str, level: int) -> None:
        if self._damaged is None:
            self.findings.append(Finding.of(disease, name, level))
