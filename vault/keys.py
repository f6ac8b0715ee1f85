"""The keys of a vault: one master secret that slots wrap, and the key list sealed under it.

Rule 1: keys/NNNN is created, never changed; the highest number wins. Losing every slot loses the
        vault.
Rule 2: K_id (identity), the cut seed and the name key never change for a vault's life: chunk ids,
        cuts and blob names depend on them. Data keys (DEKs) may be added; old ones stay so that old
        bytes open.
Rule 3: only this file, rotation.py, envelope.py and pack.py know key bytes; nothing here is ever
        logged.

Theory of operation: a slot (slots.py) wraps the 32-byte master secret. The key list - DEKs with
their state, K_id, seed, name key, SHA-256 of the config and of the slot records - is an envelope
under the master secret, so adding or exchanging a slot or a DEK rewrites one small object.
rotation.py says how that is done while others read and write.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from base.clock import iso
from vault import envelope
from vault.config import insist_on_known
from vault.envelope import Kind
from vault.problems import UnknownFeature, VaultDamaged, WrongKey
from vault.slots import RECOVERY, SERVICE, KeySlot, SlotInfo, context

MAGIC = "holdfast keys"
FORMAT = 1
FIRST = "keys/0001"

_CHECK = b"\x00holdfast key check"  # no id begins with byte 0

_LASTING = ("id", "kind", "purpose", "created")  # fields of a record that no wrapping changes

Record = dict[str, Any]  # of a slot, as a key file holds it


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
    features: Mapping[str, list[str]] = field(default_factory=dict)  # added since config/0001
    look_again: Callable[[int], bytes | None] | None = field(default=None, compare=False)

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

    def with_new_dek(self, now: datetime) -> KeyRing:
        """The same keys and a fresh data key, which is the active one."""
        kid = max(self.deks) + 1
        return replace(
            self,
            deks={**self.deks, kid: secrets.token_bytes(32)},
            active_kid=kid,
            created={**self.created, kid: iso(now)},
        )

    def dek(self, kid: int, name: str = "") -> bytes:
        """A data key by its number, looked for again in the newest key file if it is unknown.

        Raises VaultDamaged that names the object (`name`) and the kid.
        """
        key = self.deks.get(kid)
        if key is None and self.look_again is not None:
            key = self.look_again(kid)
        if key is None:
            named = {"name": name} if name else {}
            raise VaultDamaged(
                "An object names a data key that the key list lacks: it is damaged, or a newer key "
                "file is gone.",
                kid=kid,
                **named,
            )
        return key

    def identity(self) -> hmac.HMAC:
        """A fresh HMAC-SHA256 under K_id; feed it type byte and plaintext, its digest is the id."""
        return hmac.new(self.k_id, digestmod=hashlib.sha256)

    def identity_of(self, data: bytes) -> bytes:
        """The same in one go: `data` is type byte and plaintext."""
        return hmac.digest(self.k_id, data, "sha256")

    @property
    def check(self) -> str:
        """16 hex digits that tell this vault's lasting keys from anybody else's, not secret: who
        knows only the public half of a slot's key can make another key file, but never this value.
        """
        return hmac.digest(self.k_id, _CHECK, "sha256").hex()[:16]

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
        return envelope.unseal(lambda kid: self.dek(kid, name), kind, self.vault_id, name, sealed)

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
            "features": dict(self.features),
            "deks": deks,
            "k_id": base64.b64encode(self.k_id).decode(),
            "seed": f"{self.seed:016x}",
            "name_key": base64.b64encode(self.name_key).decode(),
        }

    @classmethod
    def from_json(cls, vault_id: bytes, data: bytes) -> Self:
        """Raises VaultDamaged; UnknownFeature for a vault that has become a newer one's."""
        try:
            document = json.loads(data)
            features = document["features"]
            insist_on_known(features, "read", "write")
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
                features=features,
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
    def new(cls, ring: KeyRing, slots: Sequence[KeySlot], now: datetime) -> KeyFile:
        """The first key file, with a fresh master secret. The first slot is the service's, the
        others are for recovery.
        """
        master = secrets.token_bytes(32)
        records = tuple(
            new_record(slot, RECOVERY if at else SERVICE, f"1-{at + 1}", master, ring.vault_id, now)
            for at, slot in enumerate(slots)
        )
        return cls._sealed(FIRST, ring, records, master)

    def next(self, ring: KeyRing, records: Sequence[Record], master: bytes) -> KeyFile:
        """The key file that follows this one."""
        return self._sealed(number_name(self.number + 1), ring, tuple(records), master)

    @classmethod
    def _sealed(
        cls, name: str, ring: KeyRing, records: tuple[Record, ...], master: bytes
    ) -> KeyFile:
        document = {**ring.to_json(), "slots_sha256": _slots_sha256(records)}
        data = json.dumps(document).encode()
        sealed = envelope.seal(master, 0, Kind.KEY_LIST, ring.vault_id, name, data)
        return cls(name, ring.vault_id, records, sealed)

    @property
    def number(self) -> int:
        return int(self.name.removeprefix("keys/"))

    @property
    def infos(self) -> tuple[SlotInfo, ...]:
        """What may be shown of the slots."""
        return tuple(SlotInfo.of(record) for record in self.slots)

    def unwrap(self, slot: KeySlot) -> tuple[bytes, Record]:
        """The master secret and the record that gave it. Raises WrongKey when no record of the
        slot's kind opens.
        """
        for record in self.slots:
            if record.get("kind") != slot.kind:
                continue
            try:
                return slot.unwrap(record, context(self.vault_id, slot.kind)), record
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
            vault_id = bytes.fromhex(document["vault_id"])
            sealed = base64.b64decode(document["sealed"], validate=True)
            spelled = (vault_id.hex(), base64.b64encode(sealed).decode())
            if spelled != (document["vault_id"], document["sealed"]):
                raise VaultDamaged("A key file is not spelled as we spell it.", name=name)
            return cls(name, vault_id, tuple(document["slots"]), sealed)
        except (ValueError, KeyError, TypeError) as damage:
            raise VaultDamaged("A key file cannot be read.", name=name) from damage


def number_name(number: int) -> str:
    """The name of a key file."""
    return f"keys/{number:04d}"


def new_record(
    slot: KeySlot, purpose: str, id_: str, master: bytes, vault_id: bytes, now: datetime
) -> Record:
    """What a key file keeps of a slot."""
    wrapped = slot.wrap(master, context(vault_id, slot.kind))
    return {"id": id_, "kind": slot.kind, "purpose": purpose, "created": iso(now), **wrapped}


def rewrapped(record: Record, slot: KeySlot, master: bytes, vault_id: bytes) -> Record:
    """The record of the same slot around another master secret."""
    kept: Record = {key: record[key] for key in _LASTING if key in record}
    return {**kept, **slot.wrap(master, context(vault_id, slot.kind))}


def _slots_sha256(slots: tuple[Record, ...]) -> str:
    """Binds the slot records: not every kind of slot can authenticate its own."""
    text = json.dumps(slots, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
