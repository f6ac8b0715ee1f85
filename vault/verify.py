"""Checks a vault: what is named exists, what exists opens, what opens is what its id says.

L0: every snapshot follows the one before it by hash, without a gap, and so do its pages.
L1: every pack that a page vouches for, or a catalog points into, exists with its size.
L2: packs are read whole - checksum, seals, every chunk's id - all of them or a random share.
One damaged object is named and counted; it never ends the check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from base.errors import Problem
from vault.box import blob_name
from vault.crypto import sampled
from vault.entry import Content, Entry, Location, Reference, text_of
from vault.envelope import Kind
from vault.gc_log import History, read_history
from vault.pack import open_pack
from vault.page import name_of as page_name
from vault.page import open_page
from vault.problems import VaultDamaged
from vault.round import Bench
from vault.snapshot import OK, Snapshot, open_snapshot
from vault.snapshot import name_of as snapshot_name
from vault.tree import EMPTY, Node, child_reference


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the object's blob name, a problem's code, and a sentence."""

    name: str
    code: str
    message: str


@dataclass(slots=True)
class VerifyReport:
    """What was checked and what was found; clean means no problems."""

    counts: dict[str, int] = field(
        default_factory=lambda: {
            "chains": 0,
            "snapshots": 0,
            "pages": 0,
            "open_pages": 0,
            "items": 0,
            "nodes": 0,
            "packs": 0,
            "packs_read": 0,
            "boxes_read": 0,
            "packs_unreferenced": 0,
            "records": 0,
            "bytes": 0,
        }
    )
    problems: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems


def verify(bench: Bench, share: float) -> VerifyReport:
    """Runs all levels; `share` of the packs (0 to 1) is read whole."""
    return _Check(bench).run(share)


class _Check:
    def __init__(self, bench: Bench) -> None:
        self._tools = bench.tools
        self._reader = bench.reader
        self._report = VerifyReport()
        self._sizes: dict[str, int] = {}  # stored packs
        self._vouched: dict[str, tuple[int, str]] = {}  # packs of pages: size, SHA-256
        self._nodes: set[bytes] = set()
        self._lists: set[bytes] = set()
        self._bad_packs: set[str] = set()
        self._history = History()

    def run(self, share: float) -> VerifyReport:
        counts = self._report.counts
        for listed in self._tools.store.list("p/"):
            self._sizes[listed.name] = listed.size
            counts["packs"] += 1
            counts["bytes"] += listed.size
        self._guard("gc/", self._read_history)
        # Pages first: a snapshot's check looks at the hashes found here.
        pages = self._pages()
        for chain_hash, names in _by_chain(item.name for item in self._tools.store.list("s/")):
            counts["chains"] += 1
            self._chain(chain_hash, names, pages)
        counts["open_pages"] = sum(len(rows) for rows in pages.values())
        self._packs(share)
        self._records()
        return self._report

    def _read_history(self) -> None:
        self._history = read_history(self._tools.store, self._tools.ring)

    def _pages(self) -> dict[str, list[str]]:
        """SHA-256 of every page per round prefix; opens each and notes the packs it vouches for."""
        found: dict[str, list[str]] = {}
        for listed in self._tools.store.list("m/"):
            self._report.counts["pages"] += 1
            rows = found.setdefault(listed.name.rpartition("/")[0], [])

            def check(name: str = listed.name, rows: list[str] = rows) -> None:
                sealed = self._tools.store.read(name)
                prior = rows[-1] if rows else ""
                rows.append(hashlib.sha256(sealed).hexdigest())
                page = open_page(self._tools.ring, name, sealed)
                where = page_name(self._tools.ring.chain_hash(page.chain), page.number, page.seq)
                if where != name or page.seq != len(rows) - 1 or page.prior != prior:
                    raise VaultDamaged("A page does not follow the one before it.")
                for pack in page.packs:
                    self._vouched[blob_name(pack.id)] = (pack.size, pack.sha256)

            self._guard(listed.name, check)
        return found

    def _chain(self, chain_hash: str, names: list[str], pages: dict[str, list[str]]) -> None:
        before: tuple[int, str] = (0, "")  # number and SHA-256 of the snapshot before
        for name in names:
            self._report.counts["snapshots"] += 1
            number = int(name[-10:])
            tombstone = self._history.explains(chain_hash, number - 1)
            if number != before[0] + 1 and tombstone is not None:
                before = (number - 1, tombstone.sha256)
            if number != before[0] + 1 and self._history.explains(chain_hash, number) is None:
                self._found(name, VaultDamaged.code, "The snapshot before this one is missing.")
            stored = pages.pop(f"m/{chain_hash}/{number:010d}", [])
            try:
                sealed = self._tools.store.read(name)
                buried = self._history.explains(chain_hash, number)  # and not deleted yet
                follows = before if number == before[0] + 1 and buried is None else None
                before = (number, hashlib.sha256(sealed).hexdigest())
                self._snapshot(name, sealed, follows, stored)
            except Problem as problem:
                before = (number, before[1] if number == before[0] else "?")
                self._found(name, problem.code, problem.message)

    def _snapshot(
        self, name: str, sealed: bytes, before: tuple[int, str] | None, stored: list[str]
    ) -> None:
        snapshot = open_snapshot(self._tools.ring, name, sealed)
        if snapshot_name(self._tools.ring.chain_hash(snapshot.chain), snapshot.number) != name:
            raise VaultDamaged("A snapshot is not the one its name says.")
        if before is not None and before[1] not in ("?", snapshot.parent_sha256):
            raise VaultDamaged("A snapshot does not follow the one before it.")
        if snapshot.status == OK and list(snapshot.pages) != stored:
            raise VaultDamaged("The pages of a snapshot are not those it was closed with.")
        self._catalog(snapshot)

    def _catalog(self, snapshot: Snapshot) -> None:
        """Every node not seen before, and every reference of the entries in it."""
        for text in snapshot.roots.values():
            root = Node.parse(text.encode("ascii"))
            if root != EMPTY:
                self._node(root)

    def _node(self, node: Node) -> None:
        self._report.counts["nodes"] += 1
        for key, line in zip(node.keys, node.lines, strict=True):
            if node.level > 0:
                reference = child_reference(line)
                if reference.id not in self._nodes:
                    self._nodes.add(reference.id)
                    self._reach(reference, descend=True)
            elif len(key) == 3:  # a row; the other tree's leaves hold no references
                self._report.counts["items"] += 1
                for content in Entry.from_json(json.loads(line)).contents:
                    self._content(content)

    def _content(self, content: Content) -> None:
        for reference in content.refs:
            self._reach(reference, descend=False)
            if content.listed and reference.id not in self._lists:
                self._lists.add(reference.id)
                whole = Content("", {}, 0, (reference,), listed=True)
                self._guard(
                    blob_name(reference.place.location.pack),
                    lambda whole=whole: self._listed(whole),  # type: ignore[misc]
                )

    def _listed(self, content: Content) -> None:
        for reference in self._reader.references(content):
            self._reach(reference, descend=False)

    def _reach(self, reference: Reference, descend: bool) -> None:
        """L1: the pack is there and long enough; names each bad pack once."""
        location = reference.place.location
        name = blob_name(location.pack)
        if name in self._bad_packs:
            return
        if self._sizes.get(name, 0) < location.at + location.size:
            self._bad(location, "A pack that items need is missing or cut short.")
        elif descend:
            self._guard(name, lambda: self._node(self._reader.node(reference)))

    def _bad(self, location: Location, message: str) -> None:
        name = blob_name(location.pack)
        self._bad_packs.add(name)
        self._found(name, VaultDamaged.code, message)

    def _packs(self, share: float) -> None:
        for name, (size, _) in self._vouched.items():
            if self._sizes.get(name) != size and name not in self._bad_packs:
                self._bad_packs.add(name)
                self._found(name, VaultDamaged.code, "A pack is missing or has another size.")
        self._report.counts["packs_unreferenced"] = len(self._sizes.keys() - self._vouched.keys())
        names = [name for name in self._vouched if name not in self._bad_packs]
        wanted = len(names) if share >= 1 else round(len(names) * share)
        for name in sampled(names, wanted):
            self._guard(name, lambda name=name: self._read(name))  # type: ignore[misc]

    def _read(self, name: str) -> None:
        self._report.counts["packs_read"] += 1
        data = self._tools.store.read(name)
        if hashlib.sha256(data).hexdigest() != self._vouched[name][1]:
            raise VaultDamaged("A pack is not the one its page vouches for.")
        pack = text_of(bytes.fromhex(name.rpartition("/")[2]))
        for _ in open_pack(self._tools.ring, pack, data):
            self._report.counts["boxes_read"] += 1

    def _records(self) -> None:
        for listed in self._tools.store.list("r/"):
            self._report.counts["records"] += 1

            def check(name: str = listed.name) -> None:
                self._tools.ring.unseal(Kind.RECORD, name, self._tools.store.read(name))

            self._guard(listed.name, check)

    def _guard(self, name: str, check: Callable[[], None]) -> None:
        try:
            check()
        except Problem as problem:
            self._found(name, problem.code, problem.message)

    def _found(self, name: str, code: str, message: str) -> None:
        self._report.problems.append(Finding(name, code, message))


def _by_chain(names: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    current, held = "", list[str]()
    for name in names:
        chain_hash = name.split("/")[1]
        if held and chain_hash != current:
            yield current, held
            held = []
        current = chain_hash
        held.append(name)
    if held:
        yield current, held
