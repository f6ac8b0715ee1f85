"""The keys of a vault: slots that unwrap one master secret, and the key list sealed under it.

Rule 1: keys/NNNN is created, never changed; the highest number wins. Losing every slot loses the
        vault.
Rule 2: K_id (identity), the cut seed and the name key never change for a vault's life: chunk ids,
        cuts and blob names depend on them. Data keys (DEKs) may be added; old ones stay so that old
        bytes open.
Rule 3: only this file and envelope.py, pack.py know key bytes; nothing here is ever logged.

Theory of operation: a slot (passphrase, Key Vault key) wraps the 32-byte master secret with its own
record as authenticated context. The key list - DEKs with their state, K_id, seed, name key, SHA-256
of the config - is an envelope under the master secret, so adding or exchanging a slot rewrites one
small object.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from base.clock import iso
from vault import envelope
from vault.envelope import Kind
from vault.problems import UnknownFeature, VaultDamaged, WrongKey

MAGIC = "holdfast keys"
FORMAT = 1
_SCRYPT_N_MAX = 2**22  # refuses a record that would eat all memory


class KeySlot(Protocol):
    """One way to the master secret. Raises WrongKey from unwrap when it is not the right one."""

    kind: str

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]: ...

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes: ...


class PassphraseSlot:
    """A slot a person can open: scrypt over a passphrase, AES-256-GCM over the secret."""

    kind = "passphrase"

    def __init__(self, passphrase: str, n: int = 2**17) -> None:
        """`n` is scrypt's cost (memory: n KiB); only tests go below the default."""
        self._passphrase = passphrase.encode()
        self._n = n

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        record: dict[str, Any] = {
            "n": self._n,
            "r": 8,
            "p": 1,
            "salt": secrets.token_bytes(32).hex(),
        }
        sealed = AESGCM(self._key(record)).encrypt(bytes(12), secret, _slot_aad(record, aad))
        return {**record, "wrapped": sealed.hex()}

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes:
        try:
            header = {key: record[key] for key in ("n", "r", "p", "salt")}
            sealed = bytes.fromhex(record["wrapped"])
            return AESGCM(self._key(header)).decrypt(bytes(12), sealed, _slot_aad(header, aad))
        except InvalidTag as wrong:
            raise WrongKey("The passphrase does not open this vault.") from wrong
        except (KeyError, ValueError, TypeError) as damage:
            raise VaultDamaged("A key slot cannot be read.") from damage

    def _key(self, record: Mapping[str, Any]) -> bytes:
        if not 2 <= record["n"] <= _SCRYPT_N_MAX or record["r"] > 32 or record["p"] > 16:
            raise VaultDamaged("A key slot asks for an impossible amount of work.")
        derive = Scrypt(
            bytes.fromhex(record["salt"]), length=32, n=record["n"], r=record["r"], p=record["p"]
        )
        return derive.derive(self._passphrase)


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """The opened key list of one vault."""

    vault_id: bytes
    config_sha256: bytes
    deks: Mapping[int, bytes]
    active_kid: int
    k_id: bytes
    seed: int  # below 2^63, keys the cut function
    name_key: bytes
    created: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def new(cls, vault_id: bytes, config_raw: bytes, now: datetime) -> Self:
        """Fresh random keys for a vault made now."""
        return cls(
            vault_id=vault_id,
            config_sha256=hashlib.sha256(config_raw).digest(),
            deks={1: secrets.token_bytes(32)},
            active_kid=1,
            k_id=secrets.token_bytes(32),
            seed=secrets.randbits(63),  # the library shifts it left by one
            name_key=secrets.token_bytes(32),
            created={1: iso(now)},
        )

    def dek(self, kid: int) -> bytes:
        """A data key by its number."""
        try:
            return self.deks[kid]
        except KeyError:
            raise VaultDamaged(
                "An object names a data key that the key list lacks.", kid=kid
            ) from None

    def identity(self) -> hmac.HMAC:
        """A fresh HMAC-SHA256 under K_id; feed it type byte and plaintext, its digest is the id."""
        return hmac.new(self.k_id, digestmod=hashlib.sha256)

    def chain_hash(self, chain: str) -> str:
        """40 hex digits that stand for a chain in blob names."""
        text = b"chain\x00" + chain.encode("utf-8", "surrogatepass")
        return hmac.digest(self.name_key, text, "sha256").hex()[:40]

    def seal(self, kind: Kind, name: str, data: bytes) -> bytes:
        """An envelope under the active data key."""
        secret = self.deks[self.active_kid]
        return envelope.seal(secret, self.active_kid, kind, self.vault_id, name, data)

    def unseal(self, kind: Kind, name: str, sealed: bytes) -> bytes:
        """The data of an envelope stored under `name`. Raises VaultDamaged."""
        return envelope.unseal(self.dek, kind, self.vault_id, name, sealed)

    def to_json(self) -> dict[str, Any]:
        """The key list as it is sealed."""
        deks = [
            {
                "kid": kid,
                "key": base64.b64encode(key).decode(),
                "state": "active" if kid == self.active_kid else "retired",
                "created": self.created.get(kid, ""),
            }
            for kid, key in sorted(self.deks.items())
        ]
        return {
            "config_sha256": self.config_sha256.hex(),
            "deks": deks,
            "k_id": base64.b64encode(self.k_id).decode(),
            "seed": f"{self.seed:016x}",
            "name_key": base64.b64encode(self.name_key).decode(),
        }

    @classmethod
    def from_json(cls, vault_id: bytes, data: bytes) -> Self:
        """Raises VaultDamaged."""
        try:
            document = json.loads(data)
            rows = document["deks"]
            return cls(
                vault_id=vault_id,
                config_sha256=bytes.fromhex(document["config_sha256"]),
                deks={row["kid"]: base64.b64decode(row["key"]) for row in rows},
                active_kid=next(row["kid"] for row in rows if row["state"] == "active"),
                k_id=base64.b64decode(document["k_id"]),
                seed=int(document["seed"], 16),
                name_key=base64.b64decode(document["name_key"]),
                created={row["kid"]: row["created"] for row in rows},
            )
        except (ValueError, KeyError, TypeError, StopIteration) as damage:
            raise VaultDamaged("The key list cannot be read.") from damage


@dataclass(frozen=True, slots=True, repr=False)
class KeyFile:
    """keys/NNNN: slot records around the master secret, and the sealed key list."""

    name: str
    vault_id: bytes
    slots: tuple[dict[str, Any], ...]
    sealed: bytes

    @classmethod
    def new(cls, ring: KeyRing, slots: Sequence[KeySlot]) -> tuple[KeyFile, bytes]:
        """The first key file and its master secret."""
        master = secrets.token_bytes(32)
        name = "keys/0001"
        records = tuple(_wrapped(slot, master, ring.vault_id) for slot in slots)
        return cls(name, ring.vault_id, records, _seal_list(master, name, ring, records)), master

    def unwrap(self, slot: KeySlot) -> bytes:
        """The master secret. Raises WrongKey when no record of the slot's kind opens."""
        for record in self.slots:
            if record.get("kind") != slot.kind:
                continue
            try:
                return slot.unwrap(record, _context(self.vault_id, slot.kind))
            except WrongKey:
                continue
        raise WrongKey("No key slot of this vault opens with this key.", kind=slot.kind)

    def ring(self, master: bytes) -> KeyRing:
        """The key list. Raises VaultDamaged."""
        data = envelope.unseal(
            lambda _: master, Kind.KEY_LIST, self.vault_id, self.name, self.sealed
        )
        if json.loads(data).get("slots_sha256") != _slots_sha256(self.slots):
            raise VaultDamaged("The key slots are not those of the key list.", name=self.name)
        return KeyRing.from_json(self.vault_id, data)

    def with_slot(self, slot: KeySlot, master: bytes) -> KeyFile:
        """The next key file: the same keys, one more slot."""
        name = f"keys/{int(self.name[-4:]) + 1:04d}"
        records = (*self.slots, _wrapped(slot, master, self.vault_id))
        sealed = _seal_list(master, name, self.ring(master), records)
        return replace(self, name=name, slots=records, sealed=sealed)

    def to_bytes(self) -> bytes:
        document = {
            "magic": MAGIC,
            "format": FORMAT,
            "vault_id": self.vault_id.hex(),
            "slots": list(self.slots),
            "sealed": base64.b64encode(self.sealed).decode(),
        }
        return json.dumps(document, indent=1).encode()

    @classmethod
    def parse(cls, name: str, raw: bytes) -> Self:
        """Raises VaultDamaged, UnknownFeature."""
        try:
            document = json.loads(raw)
            if document["magic"] != MAGIC:
                raise VaultDamaged("That is no key file.", name=name)
            if document["format"] != FORMAT:
                raise UnknownFeature("The key file has a newer format.", name=name)
            return cls(
                name=name,
                vault_id=bytes.fromhex(document["vault_id"]),
                slots=tuple(document["slots"]),
                sealed=base64.b64decode(document["sealed"], validate=True),
            )
        except (ValueError, KeyError, TypeError) as damage:
            raise VaultDamaged("A key file cannot be read.", name=name) from damage


def _wrapped(slot: KeySlot, master: bytes, vault_id: bytes) -> dict[str, Any]:
    return {"kind": slot.kind, **slot.wrap(master, _context(vault_id, slot.kind))}


def _context(vault_id: bytes, kind: str) -> bytes:
    return b"holdfast slot/1\x00" + vault_id + kind.encode()


def _slot_aad(header: Mapping[str, Any], aad: bytes) -> bytes:
    text = "|".join(f"{key}={header[key]}" for key in sorted(header))
    return aad + b"\x00" + text.encode()


def _seal_list(master: bytes, name: str, ring: KeyRing, slots: tuple[dict[str, Any], ...]) -> bytes:
    document = {**ring.to_json(), "slots_sha256": _slots_sha256(slots)}
    return envelope.seal(
        master, 0, Kind.KEY_LIST, ring.vault_id, name, json.dumps(document).encode()
    )


def _slots_sha256(slots: tuple[dict[str, Any], ...]) -> str:
    """Binds the slot records: not every kind of slot can authenticate its own."""
    text = json.dumps(slots, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
