"""The keys of an organization's vault: who opens it, what seals new data, and their end.

Whoever is signed in may do all of this until there are roles; it is the owner's work, and every act
is in the audit log. vault/rotation.py says what a change guarantees while backups run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from base.clock import iso, parse_iso
from base.errors import InvalidInput, Problem
from base.ids import new_passphrase
from engine import audit, runs
from engine.assembly import KEY_FILE, SHREDDED, App
from engine.recovery_kit import RecoveryKit, where_blobs_lie
from state.organizations import Organization
from vault import KeyChange, KeySlot, NewSlot, PublicKeySlot, Repository, SlotInfo
from vault.rotation import key_files, shown_slots
from vault.rotation import shred as shred_keys

PASSPHRASE_MIN = 12  # characters
_RUNS_LOOKED_AT = 50
_KEY_ID = re.compile(r"https://[a-z0-9.-]+/keys/[A-Za-z0-9-]+/[0-9a-f]+")  # goes into a command

KEEPS_READING = (
    "Who held a slot that is gone and kept a copy of its key file still reads whatever was sealed "
    "with the data keys of then, for ever. Rotate the data key so that he cannot read what comes; "
    "what is there would have to be written anew."
)
SOFT_DELETED = (
    "A deleted blob can come back: soft delete and versions of the storage account keep it for "
    "their days, and copies of the vault keep it until you delete them."
)


@dataclass(frozen=True, slots=True)
class SlotWanted:
    """A slot to add. `kind`: passphrase, public-key or azure-key-vault, each with its own field; a
    passphrase is made when none is given. `replaces`: id of a slot that goes with the same change.
    """

    kind: str
    purpose: str = "recovery"
    passphrase: str = ""
    public_key: str = ""
    key_id: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How slots change: passphrases of slots that stay, so that a fresh master secret can be
    wrapped for them; or the master secret is kept.
    """

    passphrases: Sequence[str] = ()
    keep_master: bool = False


# --- Looking ---


def show(app: App, org: str) -> dict[str, Any]:
    """Slots and data keys with their dates, and whether people can open the vault without us."""
    keys = _fresh(app, org).keys
    now = app.clock.now()
    active = next(key for key in keys.data_keys if key.state == "active")
    return {
        "key_file": keys.file_name,
        "check": keys.ring.check,
        "recovery": keys.recovers,
        "slots": [_slot(info, keys.opened_by) for info in keys.slots],
        "data_keys": [asdict(key) for key in keys.data_keys],
        "data_key_age_days": (now - parse_iso(active.created)).days if active.created else None,
        "superseded": [name for name in key_files(app.store(org)) if name < keys.file_name],
    }


def recovery_kit(app: App, org: str, passphrase: str = "") -> RecoveryKit:
    """What to print and keep; with a passphrase only in the one answer that made it."""
    record = app.organization(org)
    keys = _fresh(app, org).keys
    return RecoveryKit(
        name=record.name,
        org=org,
        vault_id=record.vault_id,
        check=keys.ring.check,
        made=iso(app.clock.now()),
        places=where_blobs_lie(app.settings, org),
        key_file=keys.file_name,
        slots=keys.slots,
        passphrase=passphrase,
    )


# --- Changing ---


def rotate_data(app: App, org: str, by: str) -> dict[str, Any]:
    """A fresh data key for what is written from now on; old ones go on opening old objects.
    Processes that have the vault open use the one before for 15 minutes at most.
    """
    change = app.vault(org).rotate_data_key()
    return _changed(app, org, by, "data-key-rotated", change)


def rotate_slots(app: App, org: str, by: str, terms: Terms) -> dict[str, Any]:
    """Wraps a fresh master secret for every slot, a Key Vault key in its newest version."""
    change = app.vault(org).keys.change_slots(
        app.clock.now(), at_hand=_at_hand(app, terms), fresh=not terms.keep_master
    )
    return _changed(app, org, by, "key-slots-rotated", change)


def add_slot(app: App, org: str, by: str, wanted: SlotWanted, terms: Terms) -> dict[str, Any]:
    """Adds a slot, and takes the one it replaces away. A passphrase made here is in this answer and
    never again.
    """
    made = new_passphrase() if wanted.kind == "passphrase" and not wanted.passphrase else ""
    slot = _slot_for(app, replace(wanted, passphrase=wanted.passphrase or made))
    drop = [wanted.replaces] if wanted.replaces else []
    change = app.vault(org).keys.change_slots(
        app.clock.now(),
        add=[NewSlot(slot, wanted.purpose)],
        drop=drop,
        at_hand=_at_hand(app, terms),
        fresh=bool(drop) and not terms.keep_master,
    )
    answer = _changed(app, org, by, "key-slot-added", change, dropped=drop)
    kit = recovery_kit(app, org, made).text() if made else ""
    return {**answer, "passphrase": made, "recovery_kit": kit}


def drop_slot(app: App, org: str, by: str, slot: str, terms: Terms) -> dict[str, Any]:
    """Takes a slot away, never the last one for recovery, never the service's own."""
    change = app.vault(org).keys.change_slots(
        app.clock.now(), drop=[slot], at_hand=_at_hand(app, terms), fresh=not terms.keep_master
    )
    return _changed(app, org, by, "key-slot-dropped", change, dropped=[slot])


def checked_passphrase(app: App, text: str, field: str) -> str:
    """A passphrase that may open a vault without the service. Raises InvalidInput."""
    if len(text) < PASSPHRASE_MIN:
        raise InvalidInput("The recovery passphrase has at least 12 characters.", field=field)
    own = app.settings.passphrase
    if own is not None and own.get_secret_value() == text:
        raise InvalidInput(
            "The recovery passphrase has to be another one than the service's own.", field=field
        )
    return text


# --- The end ---


def shred(app: App, org: str, by: str, confirm: str) -> dict[str, Any]:
    """Destroys every key of the organization's vault; nothing opens it any more. May be repeated.

    First runs are cancelled and it is written down that none may begin, then the key files go, so
    that a death in between leaves an organization that is stopped and can be shredded again.
    Processes that have the vault open forget its keys within 15 minutes; what they write until then
    nobody can read.
    """
    app.organization(org)
    if confirm != org:
        raise InvalidInput("Confirm with the id of the organization.", field="confirm")
    store = app.store(org)
    slots = shown_slots(store)
    audit.note(app, org, by, "shred-started")
    with suppress(Problem):  # where nothing opens the vault any more no run goes on either
        for run in app.runs.page(org, limit=_RUNS_LOOKED_AT).items:
            if not run.over:
                runs.cancel(app, org, run.id, by)
    at = iso(app.clock.now())

    def stopped(record: Organization) -> Organization:
        facts = {**record.facts, SHREDDED: record.facts.get(SHREDDED, at)}
        return replace(record, active=False, next_run_at=None, facts=facts)

    app.organizations.change(org, stopped)
    removed, left = shred_keys(store)
    app.close_vault(org)
    audit.note(app, org, by, "shredded", removed=len(removed), left=len(left))
    key_ids = sorted({slot.key_id for slot in slots if _KEY_ID.fullmatch(slot.key_id)})
    return {
        "shredded": not left,
        "removed": list(removed),
        "left": list(left),
        "key_vault_keys": key_ids,
        "remaining": _remaining(app, org, left, key_ids),
    }


def _remaining(app: App, org: str, left: Sequence[str], key_ids: Sequence[str]) -> list[str]:
    """What only the owner can do, said plainly."""
    told = []
    if left:
        told.append(
            f"The store kept {', '.join(left)}, which a retention policy allows it to: who holds a "
            "slot of them still opens the vault. Shred again when the policy has run out; until "
            "then destroy every recovery passphrase and private key."
        )
    if app.settings.storage == "azure":
        told.append(
            f"{SOFT_DELETED} Look: az storage blob list --container-name {org}-meta --prefix "
            "keys/ --include dv --auth-mode login"
        )
    else:
        told.append("Backups and snapshots of the vault's folder hold the key files, too.")
    told += [
        f"Key Vault: {key_id} also wraps the keys of every other organization of this "
        "installation, so it is not touched. Only if this was the last one: az keyvault key "
        f"delete --id {key_id.rpartition('/')[0]}, and after its soft-delete days, or at once "
        "without purge protection, az keyvault key purge with the same address."
        for key_id in key_ids
    ]
    return told


# --- Inside ---


def _fresh(app: App, org: str) -> Repository:
    """The vault with the newest keys, whoever changed them."""
    vault = app.vault(org)
    vault.keys.refresh()
    return vault


def _changed(
    app: App, org: str, by: str, action: str, change: KeyChange, dropped: Sequence[str] = ()
) -> dict[str, Any]:
    """Writes a change down and says what it means."""

    def known(record: Organization) -> Organization:
        newest = max(change.name, record.facts.get(KEY_FILE, ""))
        return replace(record, facts={**record.facts, KEY_FILE: newest})

    app.organizations.change(org, known)
    detail = {"file": change.name, "added": list(change.added), "dropped": list(dropped)}
    audit.note(app, org, by, action, left=len(change.left), **detail)
    return {
        **show(app, org),
        "added": list(change.added),
        "fresh_master": change.fresh_master,
        "notes": _notes(app, change, dropped),
    }


def _notes(app: App, change: KeyChange, dropped: Sequence[str]) -> list[str]:
    told = [KEEPS_READING] if dropped else []
    if dropped and not change.fresh_master:
        told.append(
            "The master secret stayed: who held the slot that is gone and kept an old key file "
            "opens later ones too. Rotate the slots with the passphrases of those that stay."
        )
    if change.left:
        told.append(
            f"The store kept {', '.join(change.left)}: old slots still open those files and what "
            "their data keys seal."
        )
    elif app.settings.storage == "azure":
        told.append(SOFT_DELETED)
    return told


def _at_hand(app: App, terms: Terms) -> list[KeySlot]:
    return [app.passphrase_slot(text) for text in terms.passphrases]


def _slot_for(app: App, wanted: SlotWanted) -> KeySlot:
    if wanted.kind == "passphrase":
        if wanted.purpose == "service":
            return app.passphrase_slot(wanted.passphrase)
        return app.passphrase_slot(checked_passphrase(app, wanted.passphrase, "passphrase"))
    if wanted.kind == "public-key":
        if wanted.purpose == "service":
            raise InvalidInput("An offline key is for recovery.", field="purpose")
        return PublicKeySlot.from_public_pem(wanted.public_key)
    if wanted.kind == "azure-key-vault":
        return app.key_vault_slot(wanted.key_id)
    raise InvalidInput("There is no such kind of slot.", field="kind")


def _slot(info: SlotInfo, opened_by: str) -> dict[str, Any]:
    return {**asdict(info), "recovers": info.recovers, "in_use": info.id == opened_by}
