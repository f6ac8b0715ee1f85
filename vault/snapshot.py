"""Snapshots: one service of one resource at one moment, immutable, linked to the one before by its
hash.

Rule 1 (I2): a snapshot is created only after every page it names.
Rule 2 (I4): links are read from committed pages and snapshots only; a snapshot holds all of them.
Rule 3: a round that is given up is voided by creating the very name its snapshot would have had, so
        exactly one of the two wins, also where nothing may be overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vault.catalog import roots_of
from vault.entry import dumps
from vault.envelope import Kind, insist_on_format
from vault.keys import KeyRing
from vault.problems import VaultDamaged
from vault.tree import EMPTY

FORMAT = 1
OK, VOID = "ok", "void"
DAMAGED = "damaged"  # what a list says of a snapshot that does not open
NO_ROOTS = roots_of(EMPTY, EMPTY)  # of a catalog without items


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What a list of snapshots shows; times are ISO 8601, UTC."""

    number: int
    status: str
    created: str
    by: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A closed round. A void one carries on the links and roots of the snapshot before it."""

    chain: str
    number: int
    status: str  # "ok" or "void"
    parent_sha256: str  # of the stored bytes of number - 1; "" for the first
    pages: tuple[str, ...]  # SHA-256 of each page manifest, in order
    links: Mapping[str, str]
    roots: Mapping[str, str]  # root nodes of the catalog's trees, as text
    counts: Mapping[str, int] = field(default_factory=dict)
    started: str = ""
    created: str = ""
    by: str = ""  # who closed it: a run's id
    about: Mapping[str, Any] = field(default_factory=dict)  # of the resource, for people: title …

    @property
    def info(self) -> SnapshotInfo:
        return SnapshotInfo(self.number, self.status, self.created, self.by, self.counts)

    @property
    def is_restart(self) -> bool:
        """Whether the round behind it begins with nothing (vault/void.py)."""
        return self.status == VOID and not self.links and dict(self.roots) == NO_ROOTS

    def same_as(self, other: Snapshot) -> bool:
        """Whether both close the same pages on the same parent."""
        mine = (self.chain, self.number, self.status, self.parent_sha256, self.pages)
        theirs = (other.chain, other.number, other.status, other.parent_sha256, other.pages)
        return mine == theirs


def name_of(chain_hash: str, number: int) -> str:
    """Where a snapshot lies."""
    return f"s/{chain_hash}/{number:010d}"


def seal_snapshot(ring: KeyRing, name: str, snapshot: Snapshot) -> bytes:
    """The envelope to store under `name`."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "chain": snapshot.chain,
        "number": snapshot.number,
        "status": snapshot.status,
        "parent_sha256": snapshot.parent_sha256,
        "pages": list(snapshot.pages),
        "links": dict(snapshot.links),
        "roots": dict(snapshot.roots),
        "counts": dict(snapshot.counts),
        "started": snapshot.started,
        "created": snapshot.created,
        "by": snapshot.by,
        "about": dict(snapshot.about),
    }
    return ring.seal(Kind.SNAPSHOT, name, dumps(document))


def open_snapshot(ring: KeyRing, name: str, sealed: bytes) -> Snapshot:
    """Raises VaultDamaged."""
    try:
        document = json.loads(ring.unseal(Kind.SNAPSHOT, name, sealed))
        insist_on_format(name, document)
        return Snapshot(
            chain=document["chain"],
            number=document["number"],
            status=document["status"],
            parent_sha256=document["parent_sha256"],
            pages=tuple(document["pages"]),
            links=document["links"],
            roots=document["roots"],
            counts=document["counts"],
            started=document["started"],
            created=document["created"],
            by=document["by"],
            about=document.get("about", {}),
        )
    except (ValueError, KeyError, TypeError) as damage:
        raise VaultDamaged("A snapshot cannot be read.", name=name) from damage
