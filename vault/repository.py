"""The facade of a vault: make or open it, build rounds, read snapshots, keep small sealed records.

Rule 1: everything is create-only; nothing here changes a blob, and only keys that were superseded
        and parts that expired are deleted.
Rule 2: the vault is usable with nothing but its blobs and one key: no table, no index is needed to
        read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from base.clock import Clock
from base.errors import InvalidInput
from vault import config as config_file
from vault.catalog import Catalog
from vault.collect import Collector
from vault.config import Chunking, Config
from vault.crypto import fresh_bytes
from vault.entry import Content, Entry, dumps
from vault.envelope import Kind
from vault.index import ChunkIndex, MemoryChunkIndex, RecentChunks
from vault.indexing import index_packs
from vault.keys import KeyFile, KeyRing
from vault.lost import Lost, LostRecords
from vault.merge import Limits
from vault.packing import Tools
from vault.problems import (
    Missing,
    TooFewSlots,
    VaultDamaged,
    VaultExists,
    VaultMissing,
)
from vault.reader import Reader
from vault.repair import Repair
from vault.rotation import KeyChange, Keys, NewSlot, key_files
from vault.round import Bench, Round, open_round, read_snapshot
from vault.slots import RECOVERY, KeySlot
from vault.snapshot import DAMAGED, OK, Snapshot, SnapshotInfo, open_snapshot
from vault.snapshot import name_of as snapshot_name
from vault.store import OwnNames, Store
from vault.verify import Verification, VerifyReport, Wanted
from vault.void import void

JSON = Any  # dict, list, str, int, float, bool or None, nested
_RECORD = re.compile(r"[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*")


class Repository:
    """An open vault; safe for several threads (a step is not)."""

    def __init__(
        self,
        store: Store,
        config: Config,
        keys: Keys,
        clock: Clock,
        known: ChunkIndex | None,
        limits: Limits | None = None,
    ) -> None:
        """Use create() or open()."""
        store = OwnNames(store)  # a stranger's blob is named by verification and met by nobody else
        ring = keys.ring
        recent = RecentChunks(clock, lifetime_s=config.t_max_s / 2)
        index, lost = known or MemoryChunkIndex(), LostRecords(store)
        tools = Tools(store, config, ring, clock, index, recent, lost)
        self._store = store
        self._ring = ring
        self._clock = clock
        self.keys = keys
        self._reader = Reader(store, ring)
        self._bench = Bench(tools, self._reader, limits or Limits())

    @classmethod
    def create(
        cls,
        store: Store,
        slots: Sequence[KeySlot],
        clock: Clock,
        chunking: Chunking | None = None,
        known: ChunkIndex | None = None,
        one_slot_is_enough: bool = False,
    ) -> Repository:
        """Makes a vault. Raises TooFewSlots, VaultExists, StoreProblem.

        One slot alone is refused unless the caller says that it is enough: whoever loses the only
        key loses every backup. A creation that died half-way is finished.
        """
        if not slots or (len(slots) < 2 and not one_slot_is_enough):
            raise TooFewSlots("A vault needs a second key slot for recovery.", slots=len(slots))
        now = clock.now()
        config = Config.new(fresh_bytes(16), chunking or Chunking(), now)
        if not store.put_new(config_file.NAME, config.raw):
            config = Config.parse(store.read(config_file.NAME))
            _refuse_a_used_place(store)
        ring = KeyRing.new(config.vault_id, config.raw, now)
        key_file = KeyFile.new(ring, slots, now)
        keys = Keys(store, slots[0], key_file)  # opens, before it is written
        if not store.put_new(key_file.name, key_file.to_bytes()):
            raise VaultExists("There is a vault here already.")
        return cls(store, config, keys, clock, known)

    @classmethod
    def open(
        cls,
        store: Store,
        slot: KeySlot,
        clock: Clock,
        known: ChunkIndex | None = None,
        limits: Limits | None = None,
    ) -> Repository:
        """Opens a vault. Raises VaultMissing, WrongKey, VaultDamaged, UnknownFeature."""
        try:
            config = Config.parse(store.read(config_file.NAME))
        except Missing:
            raise _no_vault(store) from None
        keys = Keys.open(store, slot, config.vault_id)
        if hashlib.sha256(config.raw).digest() != keys.ring.config_sha256:
            raise VaultDamaged("config/0001 is not the one this vault was made with.")
        return cls(store, config, keys, clock, known, limits)

    @property
    def vault_id(self) -> str:
        """32 hex digits."""
        return self._ring.vault_id.hex()

    def add_slot(self, slot: KeySlot, purpose: str = RECOVERY) -> KeyChange:
        """One more way to the keys; see Keys.change_slots."""
        return self.keys.change_slots(self._clock.now(), add=[NewSlot(slot, purpose)], fresh=False)

    def rotate_data_key(self) -> KeyChange:
        """A fresh data key for the rounds opened from now on. Raises KeysChanged, StoreProblem."""
        change = self.keys.rotate_data(self._clock.now())
        self._ring = self.keys.ring
        self._reader = Reader(self._store, self._ring)
        tools = replace(self._bench.tools, ring=self._ring)
        self._bench = Bench(tools, self._reader, self._bench.limits)
        return change

    def seal(self, label: str, data: bytes) -> bytes:
        """Seals a small secret under the organization's key, bound to its label."""
        return self._ring.seal(Kind.SECRET, label, data)

    def unseal(self, label: str, sealed: bytes) -> bytes:
        """Undoes seal. Raises VaultDamaged for another label, another vault or changed bytes."""
        return self._ring.unseal(Kind.SECRET, label, sealed)

    def put_record(self, name: str, value: JSON) -> bool:
        """Keeps a small sealed JSON value under a name of ours; False when the name is taken."""
        return self._put(_record_blob(name), dumps(value))

    def get_record(self, name: str) -> JSON | None:
        """The value of a record, None when there is none. Raises VaultDamaged."""
        data = self._get(_record_blob(name))
        return None if data is None else json.loads(data)

    def list_records(self, prefix: str = "", after: str = "") -> Iterator[str]:
        """Names of records that start with `prefix`, in order; those behind `after`."""
        for listed in self._store.list(f"r/{prefix}", f"r/{after}" if after else ""):
            yield listed.name.removeprefix("r/")

    def put_sealed(self, name: str, data: bytes) -> bool:
        """Keeps sealed bytes that will expire (a part of an export); False: name taken."""
        return self._put(f"x/{_checked(name)}", data)

    def get_sealed(self, name: str) -> bytes | None:
        """The bytes put_sealed kept, None when there are none. Raises VaultDamaged."""
        return self._get(f"x/{_checked(name)}")

    def drop_sealed(self, prefix: str) -> int:
        """Removes what put_sealed kept under a name and "/"; answers how many. Raises
        StoreProblem.
        """
        names = [listed.name for listed in self._store.list(f"x/{_checked(prefix)}/")]
        for name in names:
            self._store.delete(name)
        return len(names)

    def round(self, chain: str, number: int) -> Round:
        """The round that builds snapshot `number`. Raises RoundOutOfOrder, VaultDamaged."""
        if number < 1:
            raise InvalidInput("Snapshots are numbered from 1.", field="number")
        return open_round(self._bench, chain, number)

    def void(self, chain: str, number: int) -> None:
        """Gives up a round for good. Raises RoundLost when it was closed, RoundOutOfOrder."""
        void(self._bench, chain, number)

    def index_packs(self, after: str, at_once: int) -> Iterator[str]:
        """Remembers the shared chunks of packs behind `after`, batch by batch; each time the last
        pack that is done. See vault/indexing.py.
        """
        return index_packs(self._bench.tools, after, at_once)

    def collector(self) -> Collector:
        """What removes garbage; for an identity that may delete."""
        return Collector(self._bench)

    def repair(self, report: VerifyReport, chains: Iterable[str] = ()) -> Repair:
        """What mends the findings of a verification; `chains`: names known from elsewhere."""
        return Repair(self._bench, report, chains)

    def lost(self) -> Lost:
        """The boxes that are known to be lost; one listing."""
        return self._bench.tools.lost.known(self._ring)

    def needs_lost(self, entry: Entry, lost: Lost) -> bool:
        """Whether an item cannot be read whole any more."""
        return any(lost.touches(one, self._reader.references) for one in entry.contents)

    def reusable(self, round_: Round) -> Catalog | None:
        """The catalog whose contents a round may refer to again: the one before it or, of a chain
        that begins anew, the newest that can be opened. Reading it may find damage.
        """
        if round_.parent is None or not round_.parent.is_restart:
            return round_.previous
        newest = self.head(round_.chain)
        return None if newest is None else self.catalog(newest)

    def chains(self) -> Iterator[str]:
        """Every chain with a snapshot that opens, in the order of their hashes."""
        after = ""
        while (first := next(iter(self._store.list("s/", after)), None)) is not None:
            prefix = first.name.rpartition("/")[0] + "/"
            for listed in self._store.list(prefix):
                with suppress(VaultDamaged, Missing):  # a verification names it
                    yield open_snapshot(
                        self._ring, listed.name, self._store.read(listed.name)
                    ).chain
                    break
            after = prefix + "~"  # behind every number of this chain

    def numbers(self, chain: str) -> list[int]:
        """Numbers of a chain's snapshots, void ones too, ascending; one listing."""
        prefix = f"s/{self._ring.chain_hash(chain)}/"
        return [int(listed.name.removeprefix(prefix)) for listed in self._store.list(prefix)]

    def snapshot(self, chain: str, number: int) -> Snapshot:
        """A snapshot. Raises Missing, VaultDamaged."""
        return self.stored_snapshot(chain, number)[0]

    def stored_snapshot(self, chain: str, number: int) -> tuple[Snapshot, str]:
        """A snapshot and the SHA-256 of its stored bytes. Raises Missing, VaultDamaged."""
        found = read_snapshot(self._bench.tools, chain, number)
        if found is None:
            raise Missing("There is no snapshot of that number.", number=number)
        return found

    def blob_of(self, snapshot: Snapshot) -> str:
        """The name under which a snapshot is stored."""
        return snapshot_name(self._ring.chain_hash(snapshot.chain), snapshot.number)

    def head(self, chain: str) -> Snapshot | None:
        """The newest snapshot that opens and is not void."""
        for number in reversed(self.numbers(chain)):
            with suppress(VaultDamaged, Missing):  # a verification names it; or it expired
                snapshot = self.snapshot(chain, number)
                if snapshot.status == OK:
                    return snapshot
        return None

    def snapshots(self, chain: str) -> list[SnapshotInfo]:
        """What a list of snapshots shows, ascending, damaged ones too; one read per snapshot."""
        found = []
        for number in self.numbers(chain):
            with suppress(Missing):  # it expired meanwhile
                try:
                    found.append(self.snapshot(chain, number).info)
                except VaultDamaged:
                    found.append(SnapshotInfo(number, DAMAGED, "", "", {}))
        return found

    def catalog(self, snapshot: Snapshot) -> Catalog:
        """What a snapshot holds; its first nodes are in memory already."""
        return Catalog(snapshot.roots, self._reader.node)

    def read(self, content: Content, start: int = 0) -> Iterator[bytes]:
        """The bytes of a content, from `start` on, checked, chunk by chunk. Raises VaultDamaged,
        Missing.
        """
        return self._reader.read(content, start)

    def verify(self, read_data: bool | float = False) -> VerifyReport:
        """Checks the whole vault; `read_data`: True for every pack, or a share between 0 and 1."""
        check = self.verification(Wanted(share=float(read_data)))
        check.slice(lambda: True)
        return check.report

    def verification(self, wanted: Wanted, report: VerifyReport | None = None) -> Verification:
        """A check in slices; `report` is what the slices before answered."""
        return Verification(self._bench, wanted, report)

    def _put(self, blob: str, data: bytes) -> bool:
        return self._store.put_new(blob, self._ring.seal(Kind.RECORD, blob, data))

    def _get(self, blob: str) -> bytes | None:
        try:
            sealed = self._store.read(blob)
        except Missing:
            return None
        return self._ring.unseal(Kind.RECORD, blob, sealed)


def _record_blob(name: str) -> str:
    return f"r/{_checked(name)}"


def _checked(name: str) -> str:
    if not _RECORD.fullmatch(name):
        raise InvalidInput("A record's name is a-z, 0-9 and - . / characters.", field="name")
    return name


def _refuse_a_used_place(store: Store) -> None:
    """A config without anything else is a creation that died; a vault that was used, or whose keys
    were destroyed, is never given new keys.
    """
    if key_files(store) or any(next(store.list(kind), None) for kind in ("s/", "m/", "p/")):
        raise VaultExists("There is a vault here already.")


def _no_vault(store: Store) -> VaultMissing | VaultDamaged:
    """Nothing at all, or a vault that lost its config."""
    if next(store.list("keys/"), None) is not None:
        return VaultDamaged("The vault has lost its config/0001.", name=config_file.NAME)
    return VaultMissing("There is no vault here.")
