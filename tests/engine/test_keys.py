"""Keys of an organization: Key Vault's answers, rotation, shredding, and the page to print."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from base.clock import SystemClock
from base.errors import InvalidInput, Problem, Throttled
from base.messages import BackupRun, Drain
from base.settings import Settings
from engine import backup, keys, organizations, plan, recovery, runs, upkeep
from engine.assembly import KEYS_LIVE, App, KeysForged, KeysRolledBack, OrganizationShredded
from engine.key_vault import (
    KeyVaultForbidden,
    KeyVaultKeyDisabled,
    KeyVaultKeyMissing,
    KeyVaultSlot,
)
from engine.keys import SlotWanted, Terms
from engine.recovery_kit import READER, where_blobs_lie
from tests.engine.fake_key_vault import KEY, FakeKeyVault, Identity
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, world
from vault import (
    NoRecoverySlot,
    PassphraseSlot,
    PublicKeySlot,
    Repository,
    SlotInUse,
    SlotNotAtHand,
    VaultDamaged,
    WrongKey,
)
from vault.stores.folder import FolderStore

OWN, RECOVERY = "a passphrase for tests", "a recovery passphrase"
OFFLINE = rsa.generate_private_key(65537, 3072)
PUBLIC_PEM = (
    OFFLINE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


class Ticking(SystemClock):
    """The machine's clock, and the time a test adds."""

    added_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s


def app_over(folder: Path, **more: Any) -> App:
    settings = Settings(_env_file=None, data_dir=folder, passphrase=SecretStr(OWN))
    return App(settings, scrypt_n=SCRYPT_N, **more)


def take_in(app: App, org: str = ORG) -> App:
    new = organizations.NewOrganization(
        name="Contoso & <Söhne>",
        tenant_id="contoso.example",
        credential=None,
        id=org,
        recovery_passphrase=RECOVERY,
    )
    organizations.create(app, new)
    return app


@pytest.fixture
def app(tmp_path: Path) -> App:
    return take_in(app_over(tmp_path))


@pytest.fixture
def backed_up(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=8), tmp_path) as made:
        made.back_up()
        yield made


def opens(app: App, passphrase: str) -> bool:
    store = FolderStore(app.settings.data_dir / "vaults" / ORG)
    try:
        Repository.open(store, PassphraseSlot(passphrase), app.clock)
    except WrongKey:
        return False
    return True


def acts(app: App) -> list[str]:
    return [row.action for row in app.audit.page(ORG).items]


# --- Key Vault ---


@pytest.fixture
def service() -> FakeKeyVault:
    return FakeKeyVault()


def in_azure(folder: Path, service: FakeKeyVault, clock: Ticking | None = None) -> App:
    """An installation whose service slot is a Key Vault key."""
    settings = Settings(_env_file=None, data_dir=folder, key_vault_key=KEY)

    def slot(key_id: str) -> KeyVaultSlot:
        return KeyVaultSlot(key_id, Identity(), service.transport())

    return App(settings, scrypt_n=SCRYPT_N, key_vault_slot=slot, clock=clock)


def test_a_vault_is_unwrapped_once_for_as_long_as_its_keys_live(
    tmp_path: Path, service: FakeKeyVault
) -> None:
    clock = Ticking()
    take_in(in_azure(tmp_path, service, clock))
    later = in_azure(tmp_path, service, clock)
    service.asked.clear()
    for _ in range(20):
        later.vault(ORG).seal("label", b"secret")
    assert service.asked.count("unwrapkey") == 1
    clock.added_s += KEYS_LIVE.total_seconds() + 1
    later.vault(ORG)
    assert service.asked.count("unwrapkey") == 2


def test_a_rotated_key_opens_what_its_older_version_wrapped_until_the_slots_are_rotated(
    tmp_path: Path, service: FakeKeyVault
) -> None:
    app = take_in(in_azure(tmp_path, service))
    first, second = min(service.versions), service.rotate()
    assert keys.show(app, ORG)["slots"][0]["key_id"] == f"{KEY}/{first}"
    done = keys.rotate_slots(app, ORG, "test", Terms([RECOVERY]))
    assert done["fresh_master"]
    assert done["slots"][0]["key_id"] == f"{KEY}/{second}"
    service.disabled.add(first)
    assert keys.show(in_azure(tmp_path, service), ORG)["recovery"]
    assert opens(app, RECOVERY)


def test_the_newest_version_is_taken_without_the_recovery_passphrase_if_the_master_stays(
    tmp_path: Path, service: FakeKeyVault
) -> None:
    app = take_in(in_azure(tmp_path, service))
    second = service.rotate()
    with pytest.raises(SlotNotAtHand):
        keys.rotate_slots(app, ORG, "test", Terms())
    done = keys.rotate_slots(app, ORG, "test", Terms(keep_master=True))
    assert done["slots"][0]["key_id"] == f"{KEY}/{second}"
    assert not done["fresh_master"]
    assert opens(app, RECOVERY)


@pytest.mark.parametrize(
    ("refusing", "problem"),
    [
        (lambda service: service.disabled.update(service.versions), KeyVaultKeyDisabled),
        (lambda service: setattr(service, "forbidden", True), KeyVaultForbidden),
        (lambda service: setattr(service, "gone", True), KeyVaultKeyMissing),
        (lambda service: setattr(service, "busy", 99), Throttled),
    ],
)
def test_every_refusal_of_key_vault_is_told_apart(
    tmp_path: Path,
    service: FakeKeyVault,
    refusing: Callable[[FakeKeyVault], None],
    problem: type[Problem],
) -> None:
    take_in(in_azure(tmp_path, service))
    refusing(service)
    with pytest.raises(problem) as told:
        in_azure(tmp_path, service).vault(ORG)
    assert told.value.status == 503
    assert "token" not in str(told.value.to_json())
    if isinstance(told.value, Throttled):
        assert told.value.retry_after_s == 7


def test_a_short_rush_at_key_vault_passes_by_itself(tmp_path: Path, service: FakeKeyVault) -> None:
    take_in(in_azure(tmp_path, service))
    service.busy = 2
    assert in_azure(tmp_path, service).vault(ORG)
    assert service.pauses == [7, 7]


def test_a_version_is_recorded_or_nothing_is_wrapped(tmp_path: Path, service: FakeKeyVault) -> None:
    service.may_get = False
    with pytest.raises(KeyVaultForbidden):
        take_in(in_azure(tmp_path, service))


def test_only_the_key_of_the_settings_unwraps(service: FakeKeyVault) -> None:
    slot = KeyVaultSlot(KEY, Identity(), service.transport())
    record = slot.wrap(bytes(32), b"")
    assert slot.unwrap(record, b"") == bytes(32)
    service.asked.clear()
    for other in (
        record["key_id"].replace("holdfast-tests", "somebody-else"),
        record["key_id"].replace("/wrap/", "/another/"),
        record["key_id"].replace(".vault.azure.net", ".vault.azure.net.example"),
        "",
    ):
        with pytest.raises(WrongKey):
            slot.unwrap({**record, "key_id": other}, b"")
    assert service.asked == []
    with pytest.raises(VaultDamaged):
        slot.unwrap({"key_id": record["key_id"]}, b"")


@pytest.mark.parametrize("key_id", ["", "http://a.vault.azure.net/keys/k", f"{KEY}/1/2", "https:/"])
def test_only_the_address_of_a_key_makes_a_slot(key_id: str) -> None:
    with pytest.raises(InvalidInput):
        KeyVaultSlot(key_id, Identity())


# --- Rotation while backups run ---


def test_backups_go_on_over_rotations_of_both_layers(backed_up: World) -> None:
    app = backed_up.app
    app.vault(ORG)
    keys.rotate_data(app, ORG, "test")
    assert int.from_bytes(app.vault(ORG).seal("label", b"")[12:16], "big") == 2
    twin = App(app.settings, scrypt_n=SCRYPT_N)
    twin.vault(ORG)  # another process, with the list as it is now
    run = runs.request_backup(app, ORG, "test").id
    done = keys.rotate_data(app, ORG, "test")
    assert [key["state"] for key in done["data_keys"]] == ["retired", "retired", "active"]
    slot = next(slot["id"] for slot in done["slots"] if slot["purpose"] == "recovery")
    keys.add_slot(app, ORG, "test", SlotWanted("passphrase", replaces=slot), Terms())
    assert backed_up.finish_backup(run)["state"] == "green"
    assert backed_up.mail_in_vault() == backed_up.mail_in_tenant()
    assert twin.vault(ORG).verify(read_data=True).problems == []
    backed_up.verify()


def test_without_a_recovery_slot_no_backup_starts_and_the_run_says_why(
    backed_up: World,
) -> None:
    app = backed_up.app
    folder = app.settings.data_dir / "vaults" / "alone"
    Repository.create(
        FolderStore(folder), [PassphraseSlot(OWN, SCRYPT_N)], app.clock, one_slot_is_enough=True
    )
    app.organizations.create(replace(app.organization(ORG), id="alone", facts={}))
    with pytest.raises(NoRecoverySlot):
        runs.request_backup(app, "alone", "test")
    scheduled = runs.request_backup(app, "alone", "schedule", due=app.clock.now())
    planned = plan.plan_backup(app, BackupRun("alone", scheduled.id))
    assert (planned.state, planned.code) == ("failed", NoRecoverySlot.code)
    assert not keys.show(app, "alone")["recovery"]
    wanted = SlotWanted("public-key", public_key=PUBLIC_PEM)
    assert keys.add_slot(app, "alone", "test", wanted, Terms())["recovery"]
    app.vault("alone").keys.insist_on_recovery()


def test_a_vault_whose_newest_key_file_was_removed_is_not_opened(app: App) -> None:
    file = app.settings.data_dir / "vaults" / ORG / "keys" / "0001"
    first = file.read_bytes()
    keys.rotate_data(app, ORG, "test")
    file.with_name("0002").unlink()
    file.write_bytes(first)
    later = App(app.settings, scrypt_n=SCRYPT_N)
    with pytest.raises(KeysRolledBack):
        later.vault(ORG)


# --- Slots ---


def test_a_replaced_recovery_passphrase_is_told_once_and_the_old_one_opens_nothing(
    app: App,
) -> None:
    old = keys.show(app, ORG)["slots"][1]["id"]
    done = keys.add_slot(app, ORG, "test", SlotWanted("passphrase", replaces=old), Terms())
    assert done["passphrase"] in done["recovery_kit"]
    assert opens(app, done["passphrase"])
    assert not opens(app, RECOVERY)
    assert keys.KEEPS_READING in done["notes"]
    assert done["passphrase"] not in str(keys.show(app, ORG))
    assert done["passphrase"] not in keys.recovery_kit(app, ORG).html()
    assert acts(app)[0] == "key-slot-added"


def test_another_service_passphrase_is_taken_over_by_adding_starting_and_dropping(
    app: App,
) -> None:
    new = "another passphrase of the service"
    keys.add_slot(
        app, ORG, "test", SlotWanted("passphrase", purpose="service", passphrase=new), Terms()
    )
    with pytest.raises(SlotInUse):
        keys.drop_slot(app, ORG, "test", "1-1", Terms([RECOVERY, new]))
    settings = app.settings.model_copy(update={"passphrase": SecretStr(new)})
    restarted = App(settings, scrypt_n=SCRYPT_N)
    keys.drop_slot(restarted, ORG, "test", "1-1", Terms([RECOVERY]))
    assert [opens(app, text) for text in (OWN, RECOVERY, new)] == [False, True, True]


def test_the_recovery_passphrase_is_neither_short_nor_the_services_own(app: App) -> None:
    for text in ("too short", OWN):
        with pytest.raises(InvalidInput):
            keys.add_slot(app, ORG, "test", SlotWanted("passphrase", passphrase=text), Terms())
    new = organizations.NewOrganization(
        name="B", tenant_id="b.example", credential=None, id="b", recovery_passphrase=OWN
    )
    with pytest.raises(InvalidInput):
        organizations.create(app, new)


@pytest.mark.parametrize(
    "wanted",
    [
        SlotWanted("public-key"),
        SlotWanted("public-key", purpose="service", public_key=PUBLIC_PEM),
        SlotWanted("azure-key-vault", key_id="https://evil.example/keys/k"),
        SlotWanted("hologram"),
    ],
)
def test_what_is_no_slot_is_refused_before_anything_changes(app: App, wanted: SlotWanted) -> None:
    with pytest.raises(InvalidInput):
        keys.add_slot(app, ORG, "test", wanted, Terms())
    assert keys.show(app, ORG)["key_file"] == "keys/0001"


def test_an_offline_key_recovers_a_copy_of_the_vault(backed_up: World, tmp_path: Path) -> None:
    app = backed_up.app
    wanted = SlotWanted("public-key", public_key=PUBLIC_PEM)
    keys.add_slot(app, ORG, "test", wanted, Terms())
    opened = recovery.open_folder(
        app.settings.data_dir / "vaults" / ORG, PublicKeySlot(OFFLINE.public_key(), OFFLINE)
    )
    done = recovery.extract(opened, tmp_path / "out", service="mail")
    assert done.files
    assert not done.lost


# --- The end ---


def test_after_shredding_nothing_opens_and_runs_stop(backed_up: World) -> None:
    app = backed_up.app
    run = runs.request_backup(app, ORG, "test").id
    with pytest.raises(InvalidInput):
        keys.shred(app, ORG, "test", "contoso ")
    done = keys.shred(app, ORG, "an owner", ORG)
    assert done["shredded"]
    assert done["removed"] == ["keys/0001"]
    assert acts(app)[:3] == ["shredded", "run-cancelled", "shred-started"]
    step = backup.drain(app, Drain(ORG, run, "mail", backed_up.mailbox_id, 2))
    assert (step.state, step.code) == ("failed", OrganizationShredded.code)
    assert plan.plan_backup(app, BackupRun(ORG, run)).code == OrganizationShredded.code
    upkeep.tend(app)
    assert upkeep.forgotten(app) == []
    for process in (app, App(app.settings, scrypt_n=SCRYPT_N)):
        with pytest.raises(OrganizationShredded):
            runs.request_backup(process, ORG, "test")
        with pytest.raises(OrganizationShredded):
            keys.rotate_data(process, ORG, "test")
    with pytest.raises(VaultDamaged):
        opens(app, OWN)
    assert organizations.show(app, ORG)["shredded_at"]
    assert list(app.organizations.due(app.clock.now())) == []
    again = keys.shred(app, ORG, "an owner", ORG)
    assert (again["shredded"], again["removed"]) == (True, [])


def test_shredding_names_the_key_vault_key_and_leaves_it_alone(
    tmp_path: Path, service: FakeKeyVault
) -> None:
    app = take_in(in_azure(tmp_path, service))
    version = max(service.versions)
    service.asked.clear()
    done = keys.shred(app, ORG, "an owner", ORG)
    assert done["key_vault_keys"] == [f"{KEY}/{version}"]
    assert any(f"az keyvault key delete --id {KEY}," in told for told in done["remaining"])
    assert service.asked == []


def test_a_planted_key_file_puts_no_words_into_a_command(app: App) -> None:
    planted = app.settings.data_dir / "vaults" / ORG / "keys" / "0009"
    slot = '{"kind": "azure-key-vault", "key_id": "https://a.vault.azure.net/keys/k/1; rm -rf ~"}'
    head = '"magic": "holdfast keys", "format": 1, "vault_id": "00"'
    planted.write_text(f'{{{head}, "slots": [{slot}], "sealed": ""}}')
    done = keys.shred(app, ORG, "an owner", ORG)
    assert done["removed"] == ["keys/0001", "keys/0009"]
    assert "rm -rf" not in str(done)


# --- The page to print ---


def test_the_recovery_kit_names_what_is_needed_and_escapes_names(app: App) -> None:
    kit = keys.recovery_kit(app, ORG)
    page, text = kit.html(), kit.text()
    assert "Contoso &amp; &lt;Söhne&gt;" in page
    assert "<Söhne>" not in page
    for wanted in (
        app.organization(ORG).vault_id,
        str(app.settings.data_dir / "vaults" / ORG),
        "python3 read_a_vault.py vault extract TARGET",
        "keys/0001",
        *(slot.fingerprint for slot in kit.slots),
    ):
        assert wanted in page
        assert wanted[:32] in text
    assert "@page" in page
    assert "src=" not in page
    assert OWN not in page + text
    assert RECOVERY not in page + text


def test_the_recovery_kit_of_azure_names_containers_and_how_to_copy_them(
    tmp_path: Path, app: App
) -> None:
    settings = Settings(
        _env_file=None,
        storage="azure",
        data_dir=tmp_path,
        vault_account_url="https://acct.blob.core.windows.net",
        state_account_url="https://acct.table.core.windows.net",
        passphrase=SecretStr(OWN),
    )
    places = "\n".join(where_blobs_lie(settings, ORG))
    assert "contoso-meta" in places
    assert "az storage blob download-batch --source contoso-packs" in places
    assert keys.recovery_kit(app, ORG).passphrase == ""


# --- Somebody who writes to the store ---


def test_keys_made_with_nothing_but_public_ones_are_told_from_the_vaults_own(
    tmp_path: Path, service: FakeKeyVault
) -> None:
    app = take_in(in_azure(tmp_path / "ours", service))
    stranger = take_in(in_azure(tmp_path / "forged", service))
    ours, forged = (one.settings.data_dir / "vaults" / ORG for one in (app, stranger))
    (forged / "config" / "0001").write_bytes((ours / "config" / "0001").read_bytes())
    (forged / "keys" / "0001").unlink()
    Repository.create(
        FolderStore(forged), [stranger.key_slot(), PassphraseSlot(RECOVERY, SCRYPT_N)], app.clock
    )
    keys.rotate_data(with_the_check_of(stranger), ORG, "a stranger")
    kit = keys.recovery_kit(app, ORG)
    (ours / "keys" / "0002").write_bytes((forged / "keys" / "0002").read_bytes())
    with pytest.raises(KeysForged):
        in_azure(tmp_path / "ours", service).vault(ORG)
    with pytest.raises(VaultDamaged):
        app.vault(ORG).keys.refresh()
    assert kit.check in kit.text()
    assert (
        Repository.open(FolderStore(ours), app.key_slot(), app.clock).keys.ring.check != kit.check
    )


def with_the_check_of(app: App) -> App:
    """The stranger's own records say nothing of a check."""
    app.organizations.change(ORG, lambda one: replace(one, facts={}))
    app.close_vault(ORG)
    return app


# --- Without us ---


def test_the_commands_of_the_kit_read_a_vault_whose_keys_were_changed(
    backed_up: World, tmp_path: Path
) -> None:
    app = backed_up.app
    keys.rotate_data(app, ORG, "test")
    backed_up.back_up()
    wanted = SlotWanted("public-key", public_key=PUBLIC_PEM)
    keys.add_slot(app, ORG, "test", wanted, Terms())
    done = keys.add_slot(app, ORG, "test", SlotWanted("passphrase", replaces="1-2"), Terms())
    pem = OFFLINE.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "private.pem").write_bytes(pem)
    (tmp_path / "vault").symlink_to(app.settings.data_dir / "vaults" / ORG)
    text = keys.recovery_kit(app, ORG).text()
    for command, environment in (
        ("python3 read_a_vault.py vault verify", {"HOLDFAST_PASSPHRASE": done["passphrase"]}),
        ("python3 read_a_vault.py --private-key private.pem vault verify", {}),
    ):
        assert command in text
        words = [sys.executable, str(READER), *command.split()[2:]]
        told = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert told.returncode == 0, told.stdout + told.stderr
        assert done["check"] in told.stdout
