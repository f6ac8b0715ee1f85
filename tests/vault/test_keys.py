"""Who can open a vault, and what happens with keys, labels and records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from base.errors import InvalidInput
from tests.vault.world import RECOVERY, SLOT, StillClock, backed_up, message, new_vault, open_vault
from vault import (
    PassphraseSlot,
    Repository,
    TooFewSlots,
    UnknownFeature,
    VaultDamaged,
    VaultExists,
    VaultMissing,
    WrongKey,
)
from vault.stores.memory import MemoryStore


class LendingSlot:
    """A slot as a Key Vault's: keeps the secret elsewhere and authenticates nothing itself."""

    kind = "lent"

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        self.kept.append(secret)
        return {"number": len(self.kept) - 1}

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes:
        return self.kept[record["number"]]


def rewritten(store: MemoryStore, name: str, **changes: object) -> None:
    document = json.loads(store.read(name))
    document.update(changes)
    store.delete(name)
    store.put_new(name, json.dumps(document).encode())


def test_every_slot_opens_the_same_vault() -> None:
    store = MemoryStore()
    lent = LendingSlot()
    made = Repository.create(store, [lent, RECOVERY], StillClock())
    sealed = made.seal("label", b"secret")
    for slot in (lent, RECOVERY):
        repo = Repository.open(store, slot, StillClock())
        assert repo.unseal("label", sealed) == b"secret"


def test_a_wrong_passphrase_is_a_wrong_key() -> None:
    store = MemoryStore()
    new_vault(store)
    with pytest.raises(WrongKey):
        Repository.open(store, PassphraseSlot("wrong", n=2**4), StillClock())
    with pytest.raises(WrongKey):
        Repository.open(store, LendingSlot(), StillClock())


def test_one_slot_is_refused_unless_said_to_be_enough() -> None:
    for slots in ([], [SLOT]):
        with pytest.raises(TooFewSlots):
            Repository.create(MemoryStore(), slots, StillClock())
    with pytest.raises(TooFewSlots):
        Repository.create(MemoryStore(), [], StillClock(), one_slot_is_enough=True)
    assert Repository.create(MemoryStore(), [SLOT], StillClock(), one_slot_is_enough=True)


def test_a_slot_can_be_added_and_the_old_ones_stay() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    backed_up(repo, [message("a")])
    third = PassphraseSlot("third", n=2**4)
    repo.add_slot(third)
    for slot in (SLOT, RECOVERY, third):
        assert Repository.open(store, slot, StillClock()).verify(read_data=True).clean
    assert [row.name for row in store.list("keys/")] == ["keys/0001", "keys/0002"]


def test_two_processes_adding_a_slot_do_not_overwrite_one_another() -> None:
    store = MemoryStore()
    new_vault(store)
    first, second = open_vault(store), open_vault(store)
    first.add_slot(PassphraseSlot("one", n=2**4))
    with pytest.raises(VaultExists):
        second.add_slot(PassphraseSlot("two", n=2**4))


def test_a_vault_is_not_made_over_another() -> None:
    store = MemoryStore()
    new_vault(store)
    with pytest.raises(VaultExists):
        new_vault(store)


def test_nothing_there_and_half_of_it_there_are_told_apart() -> None:
    with pytest.raises(VaultMissing):
        open_vault(MemoryStore())
    for lost in ("config/0001", "keys/0001"):
        store = MemoryStore()
        new_vault(store)
        store.delete(lost)
        with pytest.raises(VaultDamaged):
            open_vault(store)


def test_a_swapped_config_is_noticed() -> None:
    store = MemoryStore()
    new_vault(store)
    rewritten(store, "config/0001", t_max_s=10**9)
    with pytest.raises(VaultDamaged):
        open_vault(store)


def test_an_added_or_changed_slot_is_noticed() -> None:
    store = MemoryStore()
    lent = LendingSlot()
    Repository.create(store, [lent, RECOVERY], StillClock())
    slots = json.loads(store.read("keys/0001"))["slots"]
    rewritten(store, "keys/0001", slots=[*slots, {"kind": "lent", "number": 0, "note": "mine"}])
    with pytest.raises(VaultDamaged):
        Repository.open(store, lent, StillClock())


def test_keys_of_another_vault_are_noticed() -> None:
    one, two = MemoryStore(), MemoryStore()
    new_vault(one)
    new_vault(two)
    one.delete("keys/0001")
    one.put_new("keys/0001", two.read("keys/0001"))
    with pytest.raises(VaultDamaged):
        open_vault(one)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"features": {"read": ["packs-1", "catalog-1", "holograms-1"], "write": [], "collect": []}},
        {"features": {"read": [], "write": ["ghosts-1"], "collect": []}},
        {"algorithms": {"id": "md5"}},
    ],
)
def test_a_vault_that_needs_more_than_we_know_is_refused(change: dict[str, object]) -> None:
    store = MemoryStore()
    new_vault(store)
    rewritten(store, "config/0001", **change)
    with pytest.raises(UnknownFeature):
        open_vault(store)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b"\xff", b'{"magic": 1}', b"null"])
def test_garbage_for_config_or_keys_is_damage(raw: bytes) -> None:
    for name in ("config/0001", "keys/0001"):
        store = MemoryStore()
        new_vault(store)
        store.delete(name)
        store.put_new(name, raw)
        with pytest.raises(VaultDamaged):
            open_vault(store)


def test_a_slot_that_asks_for_all_memory_is_refused() -> None:
    store = MemoryStore()
    new_vault(store)
    slots = json.loads(store.read("keys/0001"))["slots"]
    slots[0]["n"] = 2**40
    rewritten(store, "keys/0001", slots=slots)
    with pytest.raises(VaultDamaged):
        open_vault(store)


def test_sealed_secrets_are_bound_to_label_and_vault() -> None:
    repo, other = new_vault(), new_vault()
    sealed = repo.seal("credential/backup", b"secret")
    assert b"secret" not in sealed
    assert repo.unseal("credential/backup", sealed) == b"secret"
    for opener, label, data in (
        (repo, "credential/restore", sealed),
        (other, "credential/backup", sealed),
        (repo, "credential/backup", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (repo, "credential/backup", sealed[:20]),
        (repo, "credential/backup", b""),
    ):
        with pytest.raises(VaultDamaged):
            opener.unseal(label, data)


def test_records_are_created_once_and_read_back() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    assert repo.put_record("restore/run-1/plan", {"batches": 3, "name": "Zoë"})
    assert not repo.put_record("restore/run-1/plan", {"batches": 4})
    assert repo.put_record("restore/run-2/plan", [])
    assert repo.get_record("restore/run-1/plan") == {"batches": 3, "name": "Zoë"}
    assert repo.get_record("restore/none") is None
    assert list(repo.list_records("restore/run-1/")) == ["restore/run-1/plan"]
    assert list(repo.list_records()) == ["restore/run-1/plan", "restore/run-2/plan"]
    assert not any(b"batches" in store.read(row.name) for row in store.list("r/"))
    with pytest.raises(InvalidInput):
        repo.put_record("../config/0001", 1)


def test_a_record_moved_to_another_name_does_not_open() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    repo.put_record("a", 1)
    store.put_new("r/b", store.read("r/a"))
    with pytest.raises(VaultDamaged):
        repo.get_record("b")


def test_sealed_parts_lie_apart_from_records() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    assert repo.put_sealed("export/run-1/part/000001", b"zip")
    assert not repo.put_sealed("export/run-1/part/000001", b"other")
    assert repo.get_sealed("export/run-1/part/000001") == b"zip"
    assert repo.get_sealed("export/run-1/part/000002") is None
    assert list(repo.list_records()) == []
