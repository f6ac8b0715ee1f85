"""The keys of an open vault: found again when they have grown, and changed while others work.

Rule 1: a change is one new file, keys/NNNN+1, created and never overwritten. Behind that its maker
        looks whether the file it follows is still there: if not, others went on (or shredded the
        vault), and it takes its own back. Of two changes at once one wins; the other is a problem.
Rule 2: older files go only when the newer one is durable and was opened, in ascending order up to
        the first that the store keeps, so that whoever follows a file that is gone can notice.
Rule 3: K_id, seed, name key and the config's hash are carried over; an older DEK stays, retired.
Rule 4: a change leaves at least two slots, at least one of them for recovery.
Rule 5: taking a slot away makes a fresh master secret unless the caller says otherwise: who held
        the slot cannot open later key files. What he could read before he can read for ever, if he
        kept a copy: the key file of then, or its DEKs. The remedy is a new DEK for what comes, and
        rewriting what is there.

Theory of operation: nobody is told of a new DEK. Writers keep the active one they opened the vault
with until they open it again; it stays in the list, so what they write stays readable. A reader who
meets an unknown kid looks at the list of key files once and opens the newest if it is another than
its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from vault.crypto import fresh_bytes
from vault.keys import KeyFile, KeyRing, Record, new_record, number_name, rewrapped
from vault.problems import (
    KeysChanged,
    KeysGone,
    Missing,
    NoRecoverySlot,
    SlotInUse,
    SlotMissing,
    SlotNotAtHand,
    StoreProblem,
    TooFewSlots,
    UnknownFeature,
    VaultDamaged,
    WrongKey,
)
from vault.slots import PUBLIC_KEY, KeySlot, PublicKeySlot, SlotInfo
from vault.store import Store

_NAME = re.compile(r"keys/[0-9]{4}")
_READ_TRIES = 5  # a key file may be superseded and removed between list and read


@dataclass(frozen=True, slots=True)
class NewSlot:
    """A slot to add, and what for: "service" or "recovery"."""

    slot: KeySlot
    purpose: str


@dataclass(frozen=True, slots=True)
class DataKey:
    """What may be shown of a data key."""

    kid: int
    state: str  # "active": seals what is written now; "retired": opens older objects
    created: str


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What a change did.

    `added`: ids of new slots. `left`: superseded key files that the store did not let go; who holds
    one of their slots opens them still.
    """

    name: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    fresh_master: bool


class Keys:
    """The opened key file of a vault; safe for several threads."""

    def __init__(self, store: Store, slot: KeySlot, file: KeyFile) -> None:
        """Opens `file`. Raises WrongKey, VaultDamaged."""
        self._store = store
        self._slot = slot
        self._lock = threading.RLock()
        self._take(file)

    @classmethod
    def open(cls, store: Store, slot: KeySlot, vault_id: bytes) -> Keys:
        """Opens the newest key file. Raises WrongKey, VaultDamaged, UnknownFeature."""
        return cls(store, slot, _newest(store, vault_id))

    @property
    def ring(self) -> KeyRing:
        """The key list as it is known now."""
        return replace(self._ring, look_again=self._look_again)

    @property
    def file_name(self) -> str:
        """The key file that is known now."""
        return self._file.name

    @property
    def slots(self) -> tuple[SlotInfo, ...]:
        return self._file.infos

    @property
    def opened_by(self) -> str:
        """The id of the slot that this process uses."""
        return str(self._mine.get("id", ""))

    @property
    def data_keys(self) -> tuple[DataKey, ...]:
        ring = self._ring
        return tuple(
            DataKey(
                kid, "active" if kid == ring.active_kid else "retired", ring.created.get(kid, "")
            )
            for kid in sorted(ring.deks)
        )

    @property
    def recovers(self) -> bool:
        """Whether the vault has a recovery slot."""
        return any(slot.recovers for slot in self.slots)

    def insist_on_recovery(self) -> None:
        """Raises NoRecoverySlot for a vault that would be lost together with its service."""
        if not self.recovers:
            raise NoRecoverySlot("The vault has no recovery slot.")

    def refresh(self) -> None:
        """Opens the newest key file if it is not the one that is known. Raises VaultDamaged where
        the known one is gone and nothing newer is there: somebody removed it.
        """
        with self._lock:
            newest = _newest(self._store, self._file.vault_id, unless=self._file)
            if newest.number < self._file.number:
                raise VaultDamaged(
                    "The vault's newest key file was removed.",
                    name=self._file.name,
                    hint="Bring it back from soft delete or a replica before anything else.",
                )
            if newest is not self._file:
                self._take(newest)

    def rotate_data(self, now: datetime) -> KeyChange:
        """A fresh data key for what is written from now on. Raises KeysChanged, StoreProblem."""
        with self._lock:
            self.refresh()
            ring = self._ring.with_new_dek(now)
            return self._change(ring, self._file.slots, self._master, ())

    def change_slots(
        self,
        now: datetime,
        *,
        add: Sequence[NewSlot] = (),
        drop: Collection[str] = (),
        at_hand: Sequence[KeySlot] = (),
        fresh: bool = True,
    ) -> KeyChange:
        """Adds slots, takes slots away, wraps the service's own one anew (a Key Vault key's newest
        version), and with `fresh` all others around a new master secret too; `at_hand` opens those
        that this process cannot.

        Raises KeysChanged, SlotMissing, SlotInUse, SlotNotAtHand, TooFewSlots, NoRecoverySlot.
        """
        with self._lock:
            self.refresh()
            self._check_drop(drop)
            master = fresh_bytes(32) if fresh else self._master
            records = list(self._kept(drop, at_hand, master, fresh))
            number = self._file.number + 1
            vault_id, added = self._file.vault_id, []
            for at, new in enumerate(add):
                added.append(f"{number}-{at + 1}")
                records.append(new_record(new.slot, new.purpose, added[-1], master, vault_id, now))
            _check_slots(records)
            return self._change(self._ring, records, master, added)

    # --- Inside ---

    def _take(self, file: KeyFile) -> None:
        master, mine = file.unwrap(self._slot)
        ring = file.ring(master)
        before: KeyRing | None = getattr(self, "_ring", None)
        if before is not None and _lasting(ring) != _lasting(before):
            raise VaultDamaged("A newer key file holds other lasting keys.", name=file.name)
        self._file, self._master, self._mine, self._ring = file, master, mine, ring

    def _look_again(self, kid: int) -> bytes | None:
        """A data key that was not known when the vault was opened."""
        with self._lock:
            if kid not in self._ring.deks:
                newest = _newest(self._store, self._file.vault_id, unless=self._file)
                if newest.number > self._file.number:
                    self._take(newest)
            return self._ring.deks.get(kid)

    def _check_drop(self, drop: Collection[str]) -> None:
        there = {slot.id for slot in self.slots}
        for id_ in drop:
            if id_ not in there:
                raise SlotMissing("There is no such key slot.", slot=id_)
            if id_ == self.opened_by:
                raise SlotInUse("This slot opens the vault for the service.", slot=id_)

    def _kept(
        self, drop: Collection[str], at_hand: Sequence[KeySlot], master: bytes, fresh: bool
    ) -> Iterator[Record]:
        for record in self._file.slots:
            if record.get("id") in drop:
                continue
            if record is self._mine:
                yield rewrapped(record, self._slot, master, self._file.vault_id)
            elif fresh:
                slot = self._slot_of(record, at_hand)
                yield rewrapped(record, slot, master, self._file.vault_id)
            else:
                yield record

    def _slot_of(self, record: Record, at_hand: Sequence[KeySlot]) -> KeySlot:
        """What can wrap a secret for the holder of this record."""
        if record.get("kind") == PUBLIC_KEY:
            return PublicKeySlot.from_record(record)
        alone = replace(self._file, slots=(record,))
        for slot in (self._slot, *at_hand):
            try:
                if alone.unwrap(slot)[0] == self._master:
                    return slot
            except WrongKey:
                continue
        raise SlotNotAtHand(
            "A slot that stays cannot be wrapped anew without its key.",
            slot=record.get("id"),
            kind=record.get("kind"),
        )

    def _change(
        self, ring: KeyRing, records: Sequence[Record], master: bytes, added: Sequence[str]
    ) -> KeyChange:
        before, file = self._file, self._file.next(ring, records, master)
        raw = file.to_bytes()
        if file.ring(file.unwrap(self._slot)[0]).deks != ring.deks:
            raise VaultDamaged("A new key file does not open.", name=file.name)
        self._store.put_new(file.name, raw)  # False may be our own write whose answer was lost
        names = _names(self._store)
        try:
            if self._store.read(file.name) != raw:
                raise KeysChanged("Another process changed the keys.")
        except Missing:
            raise KeysChanged("Other processes changed the keys.") from None
        if self._store.size(before.name) is None:  # no listing decides this: it may be late
            self._store.delete(file.name)
            raise KeysChanged("The key file that this change follows is gone.", name=before.name)
        fresh = master != self._master
        self._take(file)
        removed, left = _remove(self._store, [name for name in names if name < file.name])
        return KeyChange(file.name, tuple(added), removed, left, fresh)


def key_files(store: Store) -> list[str]:
    """The names of all key files, the newest last."""
    return _names(store)


def shown_slots(store: Store) -> list[SlotInfo]:
    """The slots of every key file that can be parsed, as they say themselves: nothing is opened, so
    nothing of it is proved.
    """
    found: list[SlotInfo] = []
    for name in _names(store):
        with suppress(VaultDamaged, UnknownFeature, Missing):
            found += KeyFile.parse(name, store.read(name)).infos
    return found


def shred(store: Store) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Removes every key file, so that no slot opens the vault again; answers which went and which
    the store kept. A change of keys that was under way meanwhile undoes itself (rule 1).
    """
    removed: list[str] = []
    left: list[str] = []
    while names := [name for name in _names(store) if name not in left]:
        for name in names:
            (left if _remove(store, [name])[1] else removed).append(name)
    return tuple(removed), tuple(left)


def _remove(store: Store, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Deletes in the given order up to the first name that the store keeps."""
    for at, name in enumerate(names):
        try:
            store.delete(name)
        except StoreProblem:
            return tuple(names[:at]), tuple(names[at:])
    return tuple(names), ()


def _names(store: Store) -> list[str]:
    return [listed.name for listed in store.list("keys/") if _NAME.fullmatch(listed.name)]


def _newest(store: Store, vault_id: bytes, unless: KeyFile | None = None) -> KeyFile:
    """The key file of the highest number, or `unless` if that is the one."""
    for _ in range(_READ_TRIES):
        names = _names(store)
        if not names:
            raise KeysGone("The vault has no key file.", name=number_name(1))
        if unless is not None and names[-1] == unless.name:
            return unless
        try:
            file = KeyFile.parse(names[-1], store.read(names[-1]))
        except Missing:
            continue
        if file.vault_id != vault_id:
            raise VaultDamaged("config and keys are of different vaults.", name=names[-1])
        return file
    raise KeysChanged("The keys change all the time.")


def _lasting(ring: KeyRing) -> tuple[bytes, int, bytes, bytes]:
    """What a vault keeps for life."""
    return ring.k_id, ring.seed, ring.name_key, ring.config_sha256


def _check_slots(records: Sequence[Record]) -> None:
    infos = [SlotInfo.of(record) for record in records]
    if len(infos) < 2:
        raise TooFewSlots("A vault needs a second key slot for recovery.", slots=len(infos))
    if not any(info.recovers for info in infos):
        raise NoRecoverySlot("No recovery slot would be left.")
