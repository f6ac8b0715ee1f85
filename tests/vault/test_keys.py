"""Who can open a vault, and what happens with keys, labels and records."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from base.errors import InvalidInput
from tests.vault.world import RECOVERY, SLOT, StillClock, backed_up, message, new_vault, open_vault
from vault import (
    NoRecoverySlot,
    PassphraseSlot,
    PublicKeySlot,
    Repository,
    TooFewSlots,
    UnknownFeature,
    VaultDamaged,
    VaultExists,
    VaultMissing,
    WrongKey,
)
from vault.keys import KeyFile
from vault.stores.memory import MemoryStore


def spki(key: Any) -> str:
    """A public key in PEM."""
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return str(pem, "ascii")


def rsa_pem(bits: int) -> str:
    return spki(rsa.generate_private_key(65537, bits).public_key())


OFFLINE = rsa.generate_private_key(65537, 3072)
PUBLIC_PEM = spki(OFFLINE.public_key())
PRIVATE_PEM = OFFLINE.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"a pin"),
)


class LendingSlot:
    """A slot as a Key Vault's: keeps the secret elsewhere and authenticates nothing itself."""

    kind = "lent"

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        self.kept.append(secret)
        return {"number": len(self.kept) - 1}

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes:
        kept: bytes = self.kept[record["number"]]
        return kept


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


def test_the_first_slot_is_the_services_and_the_others_are_for_recovery() -> None:
    service, recovery = new_vault().keys.slots
    assert (service.id, service.purpose, service.recovers) == ("1-1", "service", False)
    assert (recovery.id, recovery.purpose, recovery.recovers) == ("1-2", "recovery", True)
    assert service.created == recovery.created == "2026-11-24T06:00:00Z"
    assert service.fingerprint != recovery.fingerprint


def test_a_vault_without_a_recovery_slot_says_so_and_opens_all_the_same() -> None:
    store = MemoryStore()
    Repository.create(store, [SLOT], StillClock(), one_slot_is_enough=True)
    repo = open_vault(store)
    with pytest.raises(NoRecoverySlot):
        repo.keys.insist_on_recovery()
    repo.add_slot(RECOVERY)
    repo.keys.insist_on_recovery()


def test_a_second_slot_that_needs_a_service_is_no_recovery() -> None:
    repo = Repository.create(MemoryStore(), [SLOT, LendingSlot()], StillClock())
    with pytest.raises(NoRecoverySlot):
        repo.keys.insist_on_recovery()


def test_an_offline_key_wraps_with_its_public_half_and_opens_with_its_private_one() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    sealed = repo.seal("label", b"secret")
    repo.add_slot(PublicKeySlot.from_public_pem(PUBLIC_PEM))
    with pytest.raises(WrongKey):
        Repository.open(store, PublicKeySlot.from_public_pem(PUBLIC_PEM), StillClock())
    offline = PublicKeySlot.from_private_pem(PRIVATE_PEM, "a pin")
    assert Repository.open(store, offline, StillClock()).unseal("label", sealed) == b"secret"
    other = rsa.generate_private_key(65537, 3072)
    with pytest.raises(WrongKey):
        Repository.open(store, PublicKeySlot(other.public_key(), other), StillClock())
    with pytest.raises(WrongKey):
        PublicKeySlot.from_private_pem(PRIVATE_PEM, "another pin")


def test_openssl_alone_opens_the_slot_of_an_offline_key(tmp_path: Path) -> None:
    """The command that vault/slots.py documents."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here")
    store = MemoryStore()
    new_vault(store).add_slot(PublicKeySlot.from_public_pem(PUBLIC_PEM))
    file = KeyFile.parse("keys/0002", store.read("keys/0002"))
    record = next(record for record in file.slots if record["kind"] == "public-key")
    (tmp_path / "wrapped.bin").write_bytes(base64.b64decode(record["wrapped"]))
    (tmp_path / "private.pem").write_bytes(PRIVATE_PEM)
    options = ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"]
    command = [openssl, "pkeyutl", "-decrypt", "-inkey", "private.pem", "-passin", "pass:a pin"]
    command += ["-in", "wrapped.bin", "-out", "master.bin"]
    command += [part for option in options for part in ("-pkeyopt", option)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert file.ring((tmp_path / "master.bin").read_bytes()).deks == open_vault(store)._ring.deks


@pytest.mark.parametrize(
    "pem", ["", "no key", rsa_pem(2048), ec.generate_private_key(ec.SECP256R1()).public_key()]
)
def test_only_a_strong_rsa_key_becomes_a_recovery_slot(pem: Any) -> None:
    text = pem if isinstance(pem, str) else spki(pem)
    with pytest.raises(InvalidInput):
        PublicKeySlot.from_public_pem(text)


def test_a_vault_is_not_made_over_another() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    with pytest.raises(VaultExists):
        new_vault(store)
    repo.rotate_data_key()  # keys/0001 is gone now, its name is free
    with pytest.raises(VaultExists):
        new_vault(store)
    backed_up(repo, [message("a")])
    store.delete("keys/0002")
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
