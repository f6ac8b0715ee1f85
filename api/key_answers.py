"""What api/keys.py answers: nothing secret, save a passphrase in the one answer that made it."""

from __future__ import annotations

from pydantic import Field

from api.answers import Out


class SlotOut(Out):
    """One way to the keys; nothing of it is secret."""

    id: str
    kind: str = Field(description="passphrase, public-key, azure-key-vault")
    purpose: str = Field(description="service or recovery")
    created: str
    fingerprint: str = Field(description="SHA-256 of the public key, else of the slot's record")
    key_id: str = Field(description="of a Key Vault key, with its version")
    recovers: bool = Field(description="opens the vault without the service and its cloud")
    in_use: bool = Field(description="the service opened the vault with it")


class DataKeyOut(Out):
    """A key that seals data."""

    kid: int
    state: str = Field(description="active: seals what is written; retired: opens older objects")
    created: str


class KeysOut(Out):
    """Who opens the vault, and what seals its data."""

    key_file: str
    check: str = Field(description="tells this vault's keys from forged ones; not secret")
    recovery: bool = Field(description="without a recovery slot no backup starts")
    slots: list[SlotOut]
    data_keys: list[DataKeyOut]
    data_key_age_days: int | None
    superseded: list[str] = Field(description="older key files that the store keeps")


class KeysChangedOut(KeysOut):
    """The keys after a change, and what the change means."""

    added: list[str] = Field(description="ids of new slots")
    fresh_master: bool
    notes: list[str] = Field(description="what the change does not undo, in sentences")


class SlotAddedOut(KeysChangedOut):
    """A new slot; once and never again the passphrase that was made for it, with a kit to print."""

    passphrase: str
    recovery_kit: str


class ShreddedOut(Out):
    """What was destroyed, and what only the owner can still do."""

    shredded: bool
    removed: list[str]
    left: list[str] = Field(description="key files that an immutable container kept")
    key_vault_keys: list[str]
    remaining: list[str]
