"""A round: snapshot number n of a chain while it is built page by page, and the step that builds
one page.

Rule 1: names come from the round - same number, next page - never from the attempt. A step that
        loses the race for its page adopts what the winner committed; its own packs become garbage.
Rule 2 (I1): packs are durable before the page that refers to them is created.
Rule 3 (I2): every page exists before the snapshot that names it is created.
Rule 4 (I3): look-up rows are written after their pack and before the page; a step older than T_MAX
        since its first look-up or stored pack commits nothing, because a collector may have
        condemned what it found or stored.
Rule 5 (I4): links come from committed pages and snapshots only.
Rule 6: a step writes at most one partial pack and one page beside full packs; a step without
        changes and without links writes nothing; closing writes one snapshot.

Theory of operation: opening a round reads the snapshot before it and its last pages back to one
that carries the round's state (every 16th does). The last step merges all pages into the catalog,
and the new catalog nodes ride in that step's pack, so that closing is one small write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base.clock import Clock, iso
from vault.catalog import Catalog
from vault.entry import Entry
from vault.merge import Limits
from vault.packing import Tools
from vault.page import PageManifest, RoundState, open_page
from vault.page import name_of as page_name
from vault.problems import (
    Missing,
    RoundIncomplete,
    RoundLost,
    RoundOutOfOrder,
    VaultDamaged,
)
from vault.reader import Reader
from vault.snapshot import OK, Snapshot, open_snapshot, seal_snapshot
from vault.snapshot import name_of as snapshot_name

if TYPE_CHECKING:
    from vault.step import Step


@dataclass(frozen=True, slots=True)
class Bench:
    """What rounds and steps of one open vault share."""

    tools: Tools
    reader: Reader
    limits: Limits


@dataclass(frozen=True, slots=True)
class Committed:
    """A page as it lies in the store."""

    page: PageManifest
    sha256: str


class Round:
    """A round as it stood when it was opened; commit() answers the next state."""

    def __init__(
        self,
        bench: Bench,
        chain: str,
        number: int,
        parent: Snapshot | None,
        parent_sha256: str,
        snapshot: Snapshot | None,
        state: RoundState,
        tail: tuple[Committed, ...],
    ) -> None:
        """`tail`: the last pages, oldest first; at least the very last one if there is any."""
        self.bench = bench
        self.chain = chain
        self.number = number
        self.snapshot = snapshot
        self._parent = parent
        self._parent_sha256 = parent_sha256
        self._state = state
        self._tail = tail
        self._recent: dict[str, bytes] | None = None
        self._previous: Catalog | None = None

    @property
    def closed(self) -> bool:
        """Whether its snapshot exists, ok or void."""
        return self.snapshot is not None

    @property
    def closed_by(self) -> str:
        """Who closed it, as given to close(); "" while open."""
        return self.snapshot.by if self.snapshot else ""

    @property
    def pages(self) -> int:
        """Committed pages, also the number of the next one."""
        return self._tail[-1].page.seq + 1 if self._tail else 0

    @property
    def packs(self) -> int:
        """Packs that the last page's step wrote."""
        return len(self._tail[-1].page.packs) if self._tail else 0

    @property
    def troubles(self) -> list[dict[str, Any]]:
        """What the last page's step could not copy, as given to Step.trouble()."""
        return self._tail[-1].page.troubles if self._tail else []

    @property
    def complete(self) -> bool:
        """Whether its last page says the round ended; so of every closed round."""
        if self.snapshot is not None:
            return self.snapshot.status == OK
        return bool(self._tail) and self._tail[-1].page.complete

    @property
    def links(self) -> dict[str, str]:
        """Every known feed's link, this round's included."""
        if self.snapshot is not None:
            return dict(self.snapshot.links)
        return self._state.applied_to({} if self._parent is None else self._parent.links)

    @property
    def finished(self) -> frozenset[str]:
        """Feeds brought to their end in this round."""
        return self._state.finished

    @property
    def state(self) -> RoundState:
        """What the committed pages add up to."""
        return self._state

    @property
    def last_sha256(self) -> str:
        """Of the last page, "" before the first."""
        return self._tail[-1].sha256 if self._tail else ""

    @property
    def parent(self) -> Snapshot | None:
        """The snapshot before this round; None for the first and for a closed one."""
        return self._parent

    @property
    def previous(self) -> Catalog | None:
        """The catalog before this round; None for the first."""
        if self._parent is None:
            return None
        if self._previous is None:
            self._previous = Catalog(self._parent.roots, self.bench.reader.node)
        return self._previous

    def recent(self, id_: str) -> Entry | None:
        """An entry that pages since the last movement of a link have put: work of a step that was
        cut.

        Seeing it again in the feed, put it again into the step (nothing is stored twice): a sweep
        must know that it is still there.
        """
        line = self._since_link.get(id_)
        return None if line is None else Entry.from_json(json.loads(line))

    def recent_entries(self) -> Iterator[Entry]:
        """All of those entries, one after another."""
        return (Entry.from_json(json.loads(line)) for line in self._since_link.values())

    @property
    def _since_link(self) -> dict[str, bytes]:
        if self._recent is None:
            self._recent = self._trail()
        return self._recent

    def step(self, clock: Clock | None = None) -> Step:
        """A fresh step for the next page."""
        from vault.step import Step

        return Step(self, clock)

    def close(self, by: str = "", about: Mapping[str, Any] | None = None) -> Snapshot:
        """Creates the snapshot, or adopts the one that closed the same pages. `by`: a run's id;
        `about`: what people call the resource, JSON, so that a vault explains itself.

        Raises RoundIncomplete, RoundLost (another run closed or voided this number).
        """
        if self.snapshot is not None:
            return self.snapshot
        last = self._tail[-1] if self._tail else None
        if last is None or not last.page.complete:
            raise RoundIncomplete("The round has no complete page.", number=self.number)
        page, tools = last.page, self.bench.tools
        snapshot = Snapshot(
            chain=self.chain,
            number=self.number,
            status=OK,
            parent_sha256=self._parent_sha256,
            pages=(*(page.pages or ()), last.sha256),
            links=self.links,
            roots=page.roots or {},
            counts=page.totals or {},
            started=page.began,
            created=iso(tools.clock.now()),
            by=by,
            about=about or {},
        )
        name = snapshot_name(tools.ring.chain_hash(self.chain), self.number)
        sealed = seal_snapshot(tools.ring, name, snapshot)
        if self._is_history(name) or not tools.store.put_new(name, sealed):
            found = read_snapshot(tools, self.chain, self.number)
            if found is None or not found[0].same_as(snapshot):
                raise RoundLost("Another run closed this snapshot number.", number=self.number)
            snapshot = found[0]
        self.snapshot = snapshot
        return snapshot

    def _is_history(self, name: str) -> bool:
        """Whether a later snapshot exists: then this one was closed, and perhaps it has expired;
        who slept through that must not bring it back without what it needs.
        """
        chain = name.rpartition("/")[0] + "/"
        return next(iter(self.bench.tools.store.list(chain, after=name)), None) is not None

    def after(self, committed: Committed) -> Round:
        """The round once a page was committed."""
        page = committed.page
        tail = (committed,) if page.links else (*self._tail, committed)
        return Round(
            self.bench,
            self.chain,
            self.number,
            self._parent,
            self._parent_sha256,
            None,
            self._state.after(page),
            tail,
        )

    def reopened(self) -> Round:
        """The round as the store has it now."""
        return open_round(self.bench, self.chain, self.number)

    def read_page(self, seq: int) -> Committed:
        """A page from the store. Raises VaultDamaged, Missing."""
        return _read_page(self.bench.tools, self.chain, self.number, seq)

    def _trail(self) -> dict[str, bytes]:
        """Newest page first, one at a time: a long file puts its entry into page after page."""
        found: dict[str, bytes | None] = {}
        for seq in range(self.pages - 1, -1, -1):
            known = next((one for one in self._tail if one.page.seq == seq), None)
            page = (known or self.read_page(seq)).page
            found = {**dict(page.changes()), **found}
            if page.links:
                break
        return {id_: line for id_, line in found.items() if line is not None}


class RoundPages:
    """All pages of a round in order, for the readings of a merge; a small round is read once."""

    def __init__(self, round_: Round, draft: PageManifest) -> None:
        self._round = round_
        self._draft = draft
        self._kept: list[PageManifest] | None = []
        self.sha256s: list[str] = []
        self.began = draft.created
        self.totals = dict(draft.counts)

    def __call__(self) -> Iterator[PageManifest]:
        """The first reading checks the hash chain and adds up what pages counted.

        Raises VaultDamaged, Missing.
        """
        if len(self.sha256s) < self._round.pages:
            yield from self._first_reading()
        elif self._kept is not None:
            yield from self._kept
        else:
            for seq in range(self._round.pages):
                yield self._round.read_page(seq).page
        yield self._draft

    def _first_reading(self) -> Iterator[PageManifest]:
        held = 0
        for seq in range(self._round.pages):
            committed = self._round.read_page(seq)
            page = committed.page
            if page.prior != (self.sha256s[-1] if self.sha256s else ""):
                raise VaultDamaged("A page does not follow the one before it.", seq=seq)
            self.sha256s.append(committed.sha256)
            self.began = page.created if seq == 0 else self.began
            for name, value in page.counts.items():
                self.totals[name] = self.totals.get(name, 0) + value
            held += len(page.ops)
            if held > self._round.bench.limits.keep:
                self._kept = None
            if self._kept is not None:
                self._kept.append(page)
            yield page


def open_round(bench: Bench, chain: str, number: int) -> Round:
    """The round of a number, with the pages that exist. Raises RoundOutOfOrder, VaultDamaged."""
    tools = bench.tools
    chain_hash = tools.ring.chain_hash(chain)
    snapshot = read_snapshot(tools, chain, number)
    if snapshot is not None:
        return Round(bench, chain, number, None, "", snapshot[0], RoundState(), ())
    parent, parent_sha256 = None, ""
    if number > 1:
        found = read_snapshot(tools, chain, number - 1)
        if found is None:
            raise RoundOutOfOrder("The snapshot before this one is missing.", number=number)
        parent, parent_sha256 = found
    prefix = page_name(chain_hash, number, 0)[:-6]
    names = [listed.name for listed in tools.store.list(prefix)]
    if names != [page_name(chain_hash, number, seq) for seq in range(len(names))]:
        raise VaultDamaged("A page of a round is missing.", number=number)
    pages: list[Committed] = []
    for seq in range(len(names) - 1, -1, -1):
        pages.insert(0, _read_page(tools, chain, number, seq))
        if pages[0].page.state is not None:
            break
    state = RoundState()
    for committed in pages:
        state = state.after(committed.page)
    return Round(bench, chain, number, parent, parent_sha256, None, state, tuple(pages))


def read_snapshot(tools: Tools, chain: str, number: int) -> tuple[Snapshot, str] | None:
    """A snapshot and the SHA-256 of its stored bytes; None: there is none. Raises VaultDamaged."""
    name = snapshot_name(tools.ring.chain_hash(chain), number)
    try:
        sealed = tools.store.read(name)
    except Missing:
        return None
    snapshot = open_snapshot(tools.ring, name, sealed)
    if snapshot.chain != chain or snapshot.number != number:
        raise VaultDamaged("A snapshot is not the one its name says.", name=name)
    return snapshot, hashlib.sha256(sealed).hexdigest()


def _read_page(tools: Tools, chain: str, number: int, seq: int) -> Committed:
    name = page_name(tools.ring.chain_hash(chain), number, seq)
    sealed = tools.store.read(name)
    page = open_page(tools.ring, name, sealed)
    if (page.chain, page.number, page.seq) != (chain, number, seq):
        raise VaultDamaged("A page is not the one its name says.", name=name)
    return Committed(page, hashlib.sha256(sealed).hexdigest())
