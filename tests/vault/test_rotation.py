"""Keys change while others read and write: nothing becomes unreadable, and nobody overwrites."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.vault.faults import MortalStore, PowerCut
from tests.vault.world import (
    CHAIN,
    RECOVERY,
    SLOT,
    StillClock,
    backed_up,
    close,
    ids_in,
    message,
    new_vault,
    noise,
    open_vault,
)
from vault import (
    CountingStore,
    Entry,
    KeysChanged,
    KeysGone,
    KeySlot,
    Listed,
    Missing,
    NewSlot,
    NoRecoverySlot,
    PassphraseSlot,
    PublicKeySlot,
    Repository,
    SlotInUse,
    SlotMissing,
    SlotNotAtHand,
    Store,
    StoreProblem,
    TooFewSlots,
    VaultDamaged,
    VaultExists,
    WrongKey,
)
from vault.rotation import key_files, shred
from vault.stores.memory import MemoryStore

OFFLINE = rsa.generate_private_key(65537, 3072)
OLD, NEW = RECOVERY, PassphraseSlot("a new passphrase", n=2**4)
NOW = StillClock().now()


class Immutable:
    """A store that refuses to delete some names, as a container under a retention policy does."""

    def __init__(self, store: Store, *kept: str) -> None:
        self._store = store
        self._kept = kept

    def put_new(self, name: str, data: bytes) -> bool:
        return self._store.put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.read(name, offset, length)

    def size(self, name: str) -> int | None:
        return self._store.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._store.list(prefix, after)

    def delete(self, name: str) -> None:
        if name in self._kept:
            raise StoreProblem("This blob may not be deleted yet.")
        self._store.delete(name)


class Interrupted(Immutable):
    """Does something else right before its first write, as a process that was slow meets it."""

    def __init__(self, store: Store, meanwhile: Callable[[], object]) -> None:
        super().__init__(store)
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def put_new(self, name: str, data: bytes) -> bool:
        if self._meanwhile:
            self._meanwhile.pop()()
        return super().put_new(name, data)


def replace_recovery(repo: Repository, slot: KeySlot = NEW) -> Any:
    add = [NewSlot(slot, "recovery")]
    return repo.keys.change_slots(NOW, add=add, drop=["1-2"])


def copy_of(store: MemoryStore) -> MemoryStore:
    copied = MemoryStore(StillClock())
    for row in store.list(""):
        copied.put_new(row.name, store.read(row.name))
    return copied


def opens(store: Store, slot: KeySlot) -> bool:
    try:
        Repository.open(store, slot, StillClock())
    except WrongKey:
        return False
    return True


# --- Data keys ---


def test_a_new_data_key_seals_what_comes_and_old_objects_stay_readable() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    backed_up(repo, [message("before")])
    change = repo.rotate_data_key()
    backed_up(repo, [message("behind")])
    assert (change.name, change.removed, change.left) == ("keys/0002", ("keys/0001",), ())
    assert [(key.kid, key.state) for key in repo.keys.data_keys] == [
        (1, "retired"),
        (2, "active"),
    ]
    for slot in (SLOT, RECOVERY):
        again = Repository.open(store, slot, StillClock())
        assert ids_in(again.catalog(again.snapshot(CHAIN, 2))).keys() == {"before", "behind"}
        assert again.verify(read_data=True).clean
    kids = {int.from_bytes(store.read(row.name)[12:16], "big") for row in store.list("s/")}
    assert kids == {1, 2}


def test_identity_seed_and_names_outlive_every_rotation() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    before = repo.keys.ring
    repo.rotate_data_key()
    replace_recovery(repo)
    ring = open_vault(store).keys.ring
    assert (ring.k_id, ring.seed, ring.name_key) == (before.k_id, before.seed, before.name_key)
    assert ring.config_sha256 == before.config_sha256
    assert ring.deks[1] == before.deks[1]


def test_a_step_that_is_half_way_commits_after_the_rotation_and_reads_back() -> None:
    store = MemoryStore()
    repo, other = new_vault(store), open_vault(store)
    data = noise(1, 300_000)
    step = repo.round(CHAIN, 1).step()
    step.put(Entry("a", "", "file", "a", contents=(step.add("content", data),)), "root")
    other.rotate_data_key()
    replace_recovery(other)
    step.link("root", "link", finished=True)
    snapshot = close(step.commit(complete=True))
    for reader in (repo, other, open_vault(store)):
        entry = reader.catalog(snapshot).get("a")
        assert entry is not None
        assert b"".join(reader.read(entry.contents[0])) == data
        assert reader.verify(read_data=True).clean


def test_a_round_goes_on_after_its_own_process_rotated() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    step = repo.round(CHAIN, 1).step()
    step.put(message("a"), "root")
    step.link("root", "link", finished=True)
    round_ = step.commit()
    repo.rotate_data_key()
    second = round_.step()
    second.put(message("b"), "root")
    close(second.commit(complete=True))
    assert open_vault(store).verify(read_data=True).clean


def test_a_reader_with_an_old_list_meets_a_new_key_and_looks_once() -> None:
    memory = MemoryStore()
    writer = new_vault(memory)
    counted = CountingStore(memory)
    reader = open_vault(counted)
    writer.rotate_data_key()
    backed_up(writer, [message("a")])
    backed_up(writer, [message("b")])
    counted.reset()
    for number in (1, 2, 1):
        assert reader.snapshot(CHAIN, number).number == number
    assert (counted.lists, counted.reads) == (1, 4)  # three snapshots and one key file
    reader.put_record("a", 1)  # still sealed with the key it knew as the active one
    assert open_vault(memory).get_record("a") == 1


def test_a_reader_whose_slot_was_taken_away_is_told_so() -> None:
    store = MemoryStore()
    writer = new_vault(store)
    reader = Repository.open(store, OLD, StillClock())
    replace_recovery(writer)
    writer.rotate_data_key()
    backed_up(writer, [message("a")])
    with pytest.raises(WrongKey):
        reader.snapshot(CHAIN, 1)


# --- Slots ---


def test_a_replaced_passphrase_opens_nothing_any_more_and_the_new_one_everything() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    backed_up(repo, [message("a")])
    change = replace_recovery(repo)
    assert (change.added, change.fresh_master) == (("2-1",), True)
    assert [slot.id for slot in repo.keys.slots] == ["1-1", "2-1"]
    assert not opens(store, OLD)
    assert opens(store, SLOT)
    again = Repository.open(store, NEW, StillClock())
    assert again.verify(read_data=True).clean


def test_a_copy_of_the_old_key_file_does_not_open_the_new_one() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    old_file = repo.keys._file
    master, _ = old_file.unwrap(OLD)
    replace_recovery(repo)
    assert repo.keys.file_name == "keys/0002"
    with pytest.raises(VaultDamaged):
        repo.keys._file.ring(master)


def test_a_kept_master_secret_is_open_to_the_holder_of_an_old_file_and_the_change_says_so() -> None:
    repo = new_vault()
    master, _ = repo.keys._file.unwrap(OLD)
    add = [NewSlot(NEW, "recovery")]
    change = repo.keys.change_slots(NOW, add=add, drop=["1-2"], fresh=False)
    assert not change.fresh_master
    assert repo.keys._file.ring(master).deks == repo.keys.ring.deks


def test_a_slot_that_stays_has_to_be_at_hand_for_a_fresh_master_secret() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    repo.add_slot(NEW)
    with pytest.raises(SlotNotAtHand) as told:
        repo.keys.change_slots(NOW, drop=["1-2"])
    assert told.value.details["slot"] == "2-1"
    wrong = PassphraseSlot("no such passphrase", n=2**4)
    with pytest.raises(SlotNotAtHand):
        repo.keys.change_slots(NOW, drop=["1-2"], at_hand=[wrong])
    assert key_files(store) == ["keys/0002"]
    repo.keys.change_slots(NOW, drop=["1-2"], at_hand=[wrong, NEW])
    assert [opens(store, slot) for slot in (SLOT, OLD, NEW)] == [True, False, True]


def test_an_offline_key_is_wrapped_anew_without_its_private_half() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    add = [NewSlot(PublicKeySlot(OFFLINE.public_key()), "recovery")]
    repo.keys.change_slots(NOW, add=add, fresh=False)
    change = repo.keys.change_slots(NOW, drop=["1-2"])
    assert change.fresh_master
    assert opens(store, PublicKeySlot(OFFLINE.public_key(), OFFLINE))
    assert not opens(store, OLD)


@pytest.mark.parametrize(
    ("drop", "problem"),
    [
        (["1-2", "2-1"], TooFewSlots),
        (["1-1"], SlotInUse),
        (["9-9"], SlotMissing),
    ],
)
def test_slots_that_must_stay_cannot_be_dropped(drop: list[str], problem: type[Exception]) -> None:
    store = MemoryStore()
    repo = new_vault(store)
    repo.add_slot(NEW)
    with pytest.raises(problem):
        repo.keys.change_slots(NOW, drop=drop, at_hand=[OLD, NEW])
    assert key_files(store) == ["keys/0002"]


def test_the_last_recovery_slot_cannot_be_dropped_however_many_others_there_are() -> None:
    repo = new_vault()
    repo.add_slot(NEW, purpose="service")
    with pytest.raises(NoRecoverySlot):
        repo.keys.change_slots(NOW, drop=["1-2"], at_hand=[NEW])


def test_ids_of_slots_are_never_used_twice() -> None:
    repo = new_vault()
    for _ in range(3):
        drop = [slot.id for slot in repo.keys.slots if slot.id not in ("1-1", "1-2")]
        repo.keys.change_slots(NOW, add=[NewSlot(NEW, "recovery")], drop=drop, fresh=False)
    assert [slot.id for slot in repo.keys.slots] == ["1-1", "1-2", "4-1"]


def test_superseded_files_that_the_store_keeps_are_named() -> None:
    memory = MemoryStore()
    new_vault(memory)
    repo = open_vault(Immutable(memory, "keys/0001"))
    assert replace_recovery(repo).left == ("keys/0001",)
    assert repo.rotate_data_key().left == ("keys/0001", "keys/0002")  # in order, up to the first
    assert open_vault(memory).rotate_data_key().removed == ("keys/0001", "keys/0002", "keys/0003")


# --- Two at once ---


@pytest.mark.parametrize("other", [Repository.rotate_data_key, replace_recovery])
def test_of_two_changes_at_once_one_wins_and_the_other_is_a_problem(
    other: Callable[[Repository], object],
) -> None:
    memory = MemoryStore()
    new_vault(memory)
    faster = open_vault(memory)
    slower = open_vault(Interrupted(memory, lambda: other(faster)))
    with pytest.raises(KeysChanged):
        slower.rotate_data_key()
    assert key_files(memory) == ["keys/0002"]
    slower.rotate_data_key()  # decides again, on what the other left
    assert open_vault(memory).keys.ring.deks == slower.keys.ring.deks


def test_a_change_that_slept_through_two_others_does_not_believe_it_happened() -> None:
    """The name it writes is free again by then."""
    memory = MemoryStore()
    new_vault(memory)
    faster = open_vault(memory)

    def twice() -> None:
        faster.rotate_data_key()
        faster.rotate_data_key()

    with pytest.raises(KeysChanged):
        open_vault(Interrupted(memory, twice)).rotate_data_key()
    assert key_files(memory) == ["keys/0003"]
    assert open_vault(memory).keys.ring.deks == faster.keys.ring.deks


def test_a_write_whose_answer_was_lost_is_taken_for_what_it_is() -> None:
    memory = MemoryStore()
    new_vault(memory)

    class Forgetful(Immutable):
        def put_new(self, name: str, data: bytes) -> bool:
            super().put_new(name, data)
            return super().put_new(name, data)  # a retry finds the first attempt's blob

    assert open_vault(Forgetful(memory)).rotate_data_key().name == "keys/0002"


def test_a_file_that_vanishes_between_list_and_read_is_looked_for_again() -> None:
    memory = MemoryStore()
    other = new_vault(memory)

    class Late(Immutable):
        rotated = False

        def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            if name.startswith("keys/") and not self.rotated:
                self.rotated = True
                other.rotate_data_key()
            return super().read(name, offset, length)

    assert open_vault(Late(memory)).keys.file_name == "keys/0002"


# --- Deaths ---


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
@pytest.mark.parametrize("layer", ["data", "slots"])
def test_a_death_at_any_store_call_leaves_the_old_keys_or_the_new_ones(
    layer: str, arrives: bool
) -> None:
    deaths = 0
    for calls in range(40):
        memory = MemoryStore()
        backed_up(new_vault(memory), [message("a")])
        repo = open_vault(memory)
        mortal = MortalStore(memory, calls, arrives=arrives)
        repo.keys._store = mortal
        try:
            repo.keys.rotate_data(NOW) if layer == "data" else replace_recovery(repo)
        except PowerCut:
            deaths += 1
        survivor = open_vault(memory)
        assert survivor.verify(read_data=True).clean
        recovery = [opens(memory, OLD), opens(memory, NEW)]
        assert sorted(recovery) == [False, True]
        if not mortal.died:
            break
        survivor.rotate_data_key()  # whatever was left is no obstacle
        backed_up(survivor, [message("b")])
        assert open_vault(memory).verify(read_data=True).clean
    else:
        raise AssertionError("it never got to its end")
    assert deaths >= 5


# --- Attackers who write to the store ---


def test_a_key_file_of_another_vault_grafted_in_is_refused() -> None:
    one, two = MemoryStore(), MemoryStore()
    new_vault(one)
    new_vault(two).rotate_data_key()
    one.put_new("keys/0002", two.read("keys/0002"))
    with pytest.raises(VaultDamaged, match="different vaults"):
        open_vault(one)
    document = json.loads(two.read("keys/0002"))
    document["vault_id"] = json.loads(one.read("keys/0001"))["vault_id"]
    one.delete("keys/0002")
    one.put_new("keys/0002", json.dumps(document).encode())
    with pytest.raises((VaultDamaged, WrongKey)):
        open_vault(one)


def test_an_older_key_file_under_a_newer_name_is_refused() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    first = store.read("keys/0001")
    replace_recovery(repo)
    store.put_new("keys/0003", first)
    with pytest.raises(VaultDamaged):
        open_vault(store)


def test_new_keys_made_by_who_knows_only_public_ones_are_refused_by_who_has_the_vault_open() -> (
    None
):
    store = MemoryStore()
    repo = new_vault(store)
    config = store.read("config/0001")
    forged = MemoryStore()
    forged.put_new("config/0001", config)
    stranger = Repository.create(forged, [SLOT, RECOVERY], StillClock())
    stranger.rotate_data_key()
    store.put_new("keys/0002", forged.read("keys/0002"))
    with pytest.raises(VaultDamaged):
        repo.rotate_data_key()
    assert repo.keys.file_name == "keys/0001"


def test_a_rolled_back_key_file_shows_in_the_first_object_of_a_newer_key() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    backed_up(repo, [message("a")])
    first = store.read("keys/0001")
    repo.rotate_data_key()
    backed_up(repo, [message("b")])
    store.delete("keys/0002")
    store.put_new("keys/0001", first)
    rolled_back = open_vault(store)
    assert rolled_back.snapshot(CHAIN, 1).number == 1
    with pytest.raises(VaultDamaged) as told:
        rolled_back.snapshot(CHAIN, 2)
    assert told.value.details["kid"] == 2
    assert told.value.details["name"].startswith("s/")
    found = rolled_back.verify(read_data=True).problems
    assert any(finding.name.startswith("s/") for finding in found)
    with pytest.raises(VaultDamaged):  # and whoever knew the newer file refuses to go on
        repo.rotate_data_key()


# --- Shredding ---


def test_after_shredding_no_key_opens_the_vault() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    backed_up(repo, [message("a")])
    repo.add_slot(PublicKeySlot(OFFLINE.public_key()))
    assert shred(store) == (("keys/0002",), ())
    for slot in (SLOT, RECOVERY, PublicKeySlot(OFFLINE.public_key(), OFFLINE)):
        with pytest.raises(KeysGone):
            Repository.open(store, slot, StillClock())
    with pytest.raises(VaultDamaged):
        repo.rotate_data_key()
    with pytest.raises(VaultExists):
        new_vault(store)
    assert shred(store) == ((), ())


def test_shredding_names_what_an_immutable_container_keeps() -> None:
    memory = MemoryStore()
    new_vault(memory)
    replace_recovery(open_vault(Immutable(memory, "keys/0001")))
    assert shred(Immutable(memory, "keys/0001")) == (("keys/0002",), ("keys/0001",))


def test_a_shredding_that_died_anywhere_is_ended_by_the_next() -> None:
    for calls in range(20):
        memory = MemoryStore()
        new_vault(memory)
        open_vault(Immutable(memory, "keys/0001")).rotate_data_key()
        mortal = MortalStore(memory, calls, arrives=bool(calls % 2))
        try:
            shred(mortal)
        except PowerCut:
            shred(memory)
        assert key_files(memory) == []
        if not mortal.died:
            assert calls >= 4  # two lists, two deletions
            return
    raise AssertionError("it never got to its end")


def test_a_rotation_that_meets_a_shredding_brings_no_key_back() -> None:
    memory = MemoryStore()
    new_vault(memory)
    repo = open_vault(Interrupted(memory, lambda: shred(memory)))
    with pytest.raises(KeysChanged):
        repo.rotate_data_key()
    assert key_files(memory) == []
    with pytest.raises(Missing):
        memory.read("keys/0002")
