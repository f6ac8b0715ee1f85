"""Page manifests: what one step copied, with the links that continue it. The commit point.

Rule 1: data and the links that cover it are in one create-only object; there is no other place for
        links.
Rule 2: its name, m/{chain}/{number}/{seq}, comes from the round, never from the attempt.
Rule 3: operations keep the order they were made in: order decides what an item ends up as.

Layout: one line of JSON (the head), then one line of JSON per entry put, sealed as one envelope.
Entries are lines of their own so that a merge can copy them without parsing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vault.entry import dumps
from vault.envelope import Kind, insist_on_format
from vault.keys import KeyRing
from vault.packing import WrittenPack
from vault.problems import UnknownFeature, VaultDamaged

FORMAT = 1
PUT, REMOVE, RESET, END, DROP = "put", "remove", "reset", "end", "drop"
_OPS = {PUT, REMOVE, RESET, END, DROP}
STATE_EVERY = 16  # pages; every so many carry the round's state so that opening a round reads few


@dataclass(frozen=True, slots=True)
class RoundState:
    """What a round's pages add up to: changed links, feeds at their end, feeds that vanished."""

    links: Mapping[str, str] = field(default_factory=dict)
    finished: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()

    def after(self, page: PageManifest) -> RoundState:
        """The state once `page` is committed."""
        if page.state is not None:
            return page.state
        links = {part: link for part, link in self.links.items() if part not in page.dropped}
        links.update(page.links)
        gone = set(page.dropped)
        # A feed that moved on without reaching its end is open again (it was reset).
        finished = (self.finished - page.links.keys() - gone) | set(page.finished)
        dropped = (self.dropped | gone) - page.links.keys()
        return RoundState(links, frozenset(finished), frozenset(dropped))

    def applied_to(self, links: Mapping[str, str]) -> dict[str, str]:
        """All links, from those the round started with."""
        kept = {part: link for part, link in links.items() if part not in self.dropped}
        return {**kept, **self.links}


@dataclass(frozen=True, slots=True)
class PageManifest:
    """One page. `ops` are lists starting with PUT, REMOVE, RESET, END or DROP; `lines` are the
    entries put.

    PUT [id, parent, sort, part] uses the next line; REMOVE [id, parent or None, recursive];
    RESET [part, scope or None]; END [part]; DROP [part].
    """

    chain: str
    number: int
    seq: int
    prior: str  # SHA-256 of the page before, "" for the first
    started: str  # SHA-256 of the links the step started from
    created: str
    ops: list[list[Any]]
    lines: list[bytes]
    links: dict[str, str]
    finished: list[str]
    dropped: list[str]
    troubles: list[dict[str, Any]]
    packs: list[WrittenPack]
    counts: dict[str, int]
    complete: bool = False
    roots: dict[str, str] | None = None  # of the merged catalog; only on a complete page
    pages: list[str] | None = None  # SHA-256 of all pages before; only on a complete page
    totals: dict[str, int] | None = None  # of the whole round; only on a complete page
    began: str = ""  # when the round's first page was made; only on a complete page
    state: RoundState | None = None

    def changes(self) -> Iterator[tuple[str, bytes | None]]:
        """(id, entry line) of puts and (id, None) of removals, in order."""
        lines = iter(self.lines)
        for op in self.ops:
            if op[0] == PUT:
                yield op[1], next(lines)
            elif op[0] == REMOVE:
                yield op[1], None


def name_of(chain_hash: str, number: int, seq: int) -> str:
    """Where a page lies."""
    return f"m/{chain_hash}/{number:010d}/{seq:06d}"


def links_sha256(links: Mapping[str, str]) -> str:
    """Stands for a set of links."""
    return hashlib.sha256(dumps(dict(sorted(links.items())))).hexdigest()


def seal_page(ring: KeyRing, name: str, page: PageManifest) -> bytes:
    """The envelope to store under `name`."""
    head: dict[str, Any] = {
        "format": FORMAT,
        "chain": page.chain,
        "number": page.number,
        "seq": page.seq,
        "prior": page.prior,
        "started": page.started,
        "created": page.created,
        "complete": page.complete,
        "links": page.links,
        "finished": page.finished,
        "dropped": page.dropped,
        "troubles": page.troubles,
        "packs": [[pack.id, pack.size, pack.sha256] for pack in page.packs],
        "counts": page.counts,
        "ops": page.ops,
    }
    if page.complete:
        head["roots"] = page.roots
        head["pages"] = page.pages
        head["totals"] = page.totals
        head["began"] = page.began
    if page.state is not None:
        head["state"] = {
            "links": dict(page.state.links),
            "finished": sorted(page.state.finished),
            "dropped": sorted(page.state.dropped),
        }
    return ring.seal(Kind.PAGE, name, b"\n".join([dumps(head), *page.lines]))


def open_page(ring: KeyRing, name: str, sealed: bytes) -> PageManifest:
    """Raises VaultDamaged."""
    first, *lines = ring.unseal(Kind.PAGE, name, sealed).split(b"\n")
    try:
        head = json.loads(first)
        insist_on_format(name, head)
        if not {op[0] for op in head["ops"]} <= _OPS:
            raise UnknownFeature("A page has operations of a newer version.", name=name)
        state = head.get("state")
        return PageManifest(
            chain=head["chain"],
            number=head["number"],
            seq=head["seq"],
            prior=head["prior"],
            started=head["started"],
            created=head["created"],
            ops=head["ops"],
            lines=lines,
            links=head["links"],
            finished=head["finished"],
            dropped=head["dropped"],
            troubles=head["troubles"],
            packs=[WrittenPack(*row) for row in head["packs"]],
            counts=head["counts"],
            complete=head["complete"],
            roots=head.get("roots"),
            pages=head.get("pages"),
            totals=head.get("totals"),
            began=head.get("began", ""),
            state=None if state is None else _state(state),
        )
    except (ValueError, KeyError, TypeError) as damage:
        raise VaultDamaged("A page manifest cannot be read.", name=name) from damage


def _state(document: Mapping[str, Any]) -> RoundState:
    return RoundState(
        document["links"], frozenset(document["finished"]), frozenset(document["dropped"])
    )
