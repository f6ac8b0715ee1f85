"""The collector's log, gc/{seq}: what was removed and why, and how far the cycle has come.

Rule 1: create-only, numbered without a gap, each record with the SHA-256 of the one before. Whoever
        creates the next number has the cycle; the loser reads the log again. No lease is needed.
Rule 2: a cycle begins with a record that repeats the whole state (tombstones, condemned packs), so
        the records before it are not needed any more.
Rule 3: times are the store's own: when a record was created, by the store's clock. Waits are
        differences between two of them; a collector's own clock decides nothing.
Rule 4: records name chain hashes, numbers, packs and counts; nothing of a customer's.

Theory of operation: the state of a cycle is the fold of its records. Any process may continue it,
after a death at any line: a record is created after the deletions it tells of, and deleting twice
is harmless.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from base.clock import parse_iso
from vault.entry import dumps
from vault.envelope import Kind, insist_on_format
from vault.keys import KeyRing
from vault.problems import Missing, VaultDamaged
from vault.store import Store

FORMAT = 1
PREFIX = "gc/"
BEGIN, EXPIRED, MARKED = "begin", "expired", "marked"
SWEPT, COMPACTED, ENDED = "swept", "compacted", "ended"


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `at` is the store's time of its creation."""

    seq: int
    at: datetime
    sha256: str
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Restore points `first` to `last` of a chain have expired; `sha256` is of the last one's
    stored bytes, so that the chain of hashes goes on behind the gap.
    """

    first: int
    last: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Condemned:
    """When a pack was condemned, by the store's clock, and the generation of the look-up then."""

    at: datetime
    index: str


@dataclass(slots=True)
class History:
    """The log from the record that began the newest cycle; empty where nothing was ever collected.

    `condemned`: pack id -> when and under which index.
    """

    records: list[Record] = field(default_factory=list)
    condemned: dict[str, Condemned] = field(default_factory=dict)
    tombstones: dict[str, list[Tombstone]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        return self.records[-1].seq if self.records else 0

    @property
    def open(self) -> bool:
        """Whether a cycle is under way."""
        return bool(self.records) and self.records[-1].kind != ENDED

    @property
    def begin(self) -> Record:
        """The record that began the newest cycle."""
        return self.records[0]

    def of_kind(self, kind: str) -> list[Record]:
        """Records of the newest cycle."""
        return [record for record in self.records if record.kind == kind]

    def explains(self, chain_hash: str, number: int) -> Tombstone | None:
        """The tombstone that covers a restore point."""
        for one in self.tombstones.get(chain_hash, ()):
            if one.first <= number <= one.last:
                return one
        return None


def name_of(seq: int) -> str:
    """Where a record lies."""
    return f"{PREFIX}{seq:010d}"


def read_history(store: Store, ring: KeyRing) -> History:
    """The newest cycle. Raises VaultDamaged for a gap or a record that is not what it says."""
    listed = {one.name: one.modified for one in store.list(PREFIX)}
    records: list[Record] = []
    expected = ""  # SHA-256 that the next record, one number higher, names as the one before it
    for name in sorted(listed, reverse=True):
        record, prior = _read(store, ring, name, listed[name])
        if records and (record.seq != records[0].seq - 1 or record.sha256 != expected):
            raise VaultDamaged("The collector's log has a gap.", name=name)
        expected = prior
        records.insert(0, record)
        if record.kind == BEGIN:
            return _folded(records)
    if records:
        raise VaultDamaged("The collector's log has no beginning.", name=name_of(records[0].seq))
    return History()


def append(
    store: Store, ring: KeyRing, history: History, kind: str, body: Mapping[str, Any]
) -> History | None:
    """The log with one more record; None: read the log again, another collector was faster."""
    last = history.records[-1] if history.records else None
    name = name_of(history.seq + 1)
    document = {
        "format": FORMAT,
        "seq": history.seq + 1,
        "prior": last.sha256 if last else "",
        "kind": kind,
        "body": body,
    }
    if not store.put_new(name, ring.seal(Kind.COLLECT, name, dumps(document))):
        return None
    found = list(store.list(PREFIX, after=name_of(history.seq)))
    if [one.name for one in found] != [name]:
        return None  # a late listing; or others went on, whose record of this number was pruned
    record, _ = _read(store, ring, name, found[0].modified)
    return _folded([record] if kind == BEGIN else [*history.records, record])


def is_newest(store: Store, history: History) -> bool:
    """Whether nobody wrote a record behind these. The next number alone does not tell: a cycle that
    ended meanwhile pruned it.
    """
    if store.size(name_of(history.seq + 1)) is not None:
        return False
    return next(iter(store.list(PREFIX, after=name_of(history.seq))), None) is None


def before(store: Store, history: History) -> list[str]:
    """Names of the records before the newest cycle: nobody needs them."""
    first = name_of(history.begin.seq)
    return [one.name for one in store.list(PREFIX) if one.name < first]


def state_of(history: History) -> dict[str, Any]:
    """The state as the record that begins a cycle repeats it."""
    return {
        "condemned": {
            pack: [one.at.isoformat(), one.index] for pack, one in history.condemned.items()
        },
        "tombstones": {
            chain_hash: [[one.first, one.last, one.sha256] for one in rows]
            for chain_hash, rows in history.tombstones.items()
        },
    }


def buried(
    tombstones: Mapping[str, list[Tombstone]], chain_hash: str, number: int, sha256: str
) -> dict[str, list[Tombstone]]:
    """The tombstones with one more restore point in them; neighbours become one."""
    rows = list(tombstones.get(chain_hash, ()))
    if any(one.first <= number <= one.last for one in rows):
        return dict(tombstones)  # it could not be deleted the last time
    before = next((one for one in rows if one.last == number - 1), None)
    after = next((one for one in rows if one.first == number + 1), None)
    kept = [one for one in rows if one not in (before, after)]
    new = Tombstone(
        before.first if before else number,
        after.last if after else number,
        after.sha256 if after else sha256,
    )
    return {**tombstones, chain_hash: sorted([*kept, new], key=lambda one: one.first)}


def _read(store: Store, ring: KeyRing, name: str, at: datetime) -> tuple[Record, str]:
    try:
        sealed = store.read(name)
        document = json.loads(ring.unseal(Kind.COLLECT, name, sealed))
        insist_on_format(name, document)
        if name_of(document["seq"]) != name:
            raise VaultDamaged("A record of the collector is not the one its name says.", name=name)
        digest = hashlib.sha256(sealed).hexdigest()
        record = Record(document["seq"], at, digest, document["kind"], document["body"])
        return record, document["prior"]
    except Missing as gone:
        raise VaultDamaged("A record of the collector is missing.", name=name) from gone
    except (ValueError, KeyError, TypeError) as damage:
        raise VaultDamaged("A record of the collector cannot be read.", name=name) from damage


def _folded(records: list[Record]) -> History:
    state = records[0].body["state"]
    condemned = {
        pack: Condemned(parse_iso(at), index) for pack, (at, index) in state["condemned"].items()
    }
    for record in records[1:]:
        if record.kind == SWEPT:
            for pack in record.body["forgiven"]:
                condemned.pop(pack, None)
            one = Condemned(record.at, record.body["index"])
            condemned.update(dict.fromkeys(record.body["condemned"], one))
    tombstones = {
        chain_hash: [Tombstone(*row) for row in rows]
        for chain_hash, rows in state["tombstones"].items()
    }
    return History(records, condemned, tombstones)
