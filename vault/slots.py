"""Ways to the master secret: what a passphrase, an offline RSA key or a Key Vault key keeps of it.

Rule 1: a slot's record holds nothing secret; every slot of a key file wraps the same 32 bytes.
Rule 2: purpose "service" is what the running service opens the vault with; purpose "recovery" is
        held by people, away from the service and its cloud. Only kinds that open without any
        service count as recovery.
Rule 3: the key list holds the SHA-256 of all records (keys.py), so each field of a record is
        authenticated, also of kinds that cannot authenticate anything themselves.

Kind "public-key" is made with nothing but an RSA public key of at least 3072 bits, and opened with
its private key, by us or by OpenSSL alone. Record: {id, kind, purpose, created, algorithm:
"RSA-OAEP-256", public_key: base64 of the DER SubjectPublicKeyInfo, wrapped: base64}. RSAES-OAEP of
RFC 8017 with SHA-256 for both the hash and MGF1 and an empty label (smart cards know no others):

    python3 -c 'import base64, json, sys
    for slot in json.load(open(sys.argv[1]))["slots"]:
        if slot["kind"] == "public-key":
            open("wrapped.bin", "wb").write(base64.b64decode(slot["wrapped"]))' keys/0001
    openssl pkeyutl -decrypt -inkey private.pem -in wrapped.bin -out master.bin \\
        -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from base.errors import InvalidInput
from vault.crypto import fresh_bytes
from vault.problems import VaultDamaged, WrongKey

SERVICE, RECOVERY = "service", "recovery"
PASSPHRASE, PUBLIC_KEY = "passphrase", "public-key"
RSA_OAEP_256 = "RSA-OAEP-256"
RSA_BITS_MIN = 3072
_SCRYPT_N_MAX = 2**22  # refuses a record that would eat all memory


class KeySlot(Protocol):
    """One way to the master secret. Raises WrongKey from unwrap when it is not the right one."""

    kind: str

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]: ...

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes: ...


class PassphraseSlot:
    """A slot a person can open: scrypt over a passphrase, AES-256-GCM over the secret."""

    kind = PASSPHRASE

    def __init__(self, passphrase: str, n: int = 2**17) -> None:
        """`n` is scrypt's cost (memory: n KiB); only tests go below the default."""
        self._passphrase = passphrase.encode()
        self._n = n

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        record: dict[str, Any] = {"n": self._n, "r": 8, "p": 1, "salt": fresh_bytes(32).hex()}
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


class PublicKeySlot:
    """A slot of an RSA key kept offline: its public half wraps, its private half unwraps."""

    kind = PUBLIC_KEY

    def __init__(self, public: rsa.RSAPublicKey, private: rsa.RSAPrivateKey | None = None) -> None:
        """Use one of the makers below."""
        self._public = public
        self._private = private

    @classmethod
    def from_public_pem(cls, pem: str) -> Self:
        """Raises InvalidInput for anything but an RSA public key of at least 3072 bits."""
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidInput("That is no public key in PEM.", field="public_key") from error
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS_MIN:
            raise InvalidInput(
                "The recovery key has to be an RSA key of at least 3072 bits.", field="public_key"
            )
        return cls(key)

    @classmethod
    def from_private_pem(cls, pem: bytes, password: str | None = None) -> Self:
        """Raises InvalidInput, WrongKey for a wrong password."""
        try:
            key = load_pem_private_key(pem, password.encode() if password else None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise WrongKey(
                "The private key cannot be opened.", hint="Give a PEM file and its password."
            ) from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise InvalidInput("The recovery key is no RSA key.", field="private_key")
        return cls(key.public_key(), key)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The slot of a record, able to wrap. Raises VaultDamaged."""
        try:
            key = load_der_public_key(base64.b64decode(record["public_key"]))
        except (KeyError, ValueError, TypeError, UnsupportedAlgorithm) as damage:
            raise VaultDamaged("A key slot cannot be read.") from damage
        if not isinstance(key, rsa.RSAPublicKey):
            raise VaultDamaged("A key slot holds another kind of key than it says.")
        return cls(key)

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        """OAEP has no associated data that every tool knows: rule 3 binds the record."""
        return {
            "algorithm": RSA_OAEP_256,
            "public_key": base64.b64encode(self._spki()).decode(),
            "wrapped": base64.b64encode(self._public.encrypt(secret, _OAEP)).decode(),
        }

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes:
        try:
            mine = base64.b64decode(record["public_key"]) == self._spki()
            wrapped = base64.b64decode(record["wrapped"])
        except (KeyError, ValueError, TypeError) as damage:
            raise VaultDamaged("A key slot cannot be read.") from damage
        if self._private is None or not mine:
            raise WrongKey("This is not the private key of the slot.")
        try:
            return self._private.decrypt(wrapped, _OAEP)
        except ValueError as damage:
            raise VaultDamaged("A key slot does not open with its own key.") from damage

    def _spki(self) -> bytes:
        return self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_OAEP = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """What may be shown of a slot.

    `id` is unique in the vault's life ("3-1": first slot made by keys/0003); `fingerprint` is the
    SHA-256 of an RSA key's SubjectPublicKeyInfo, else of the record; `key_id` is a Key Vault key's
    address with its version, "" for other kinds.
    """

    id: str
    kind: str
    purpose: str
    created: str
    fingerprint: str
    key_id: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Reads a record of a key file."""
        if record.get("kind") == PUBLIC_KEY:
            shown = base64.b64decode(str(record.get("public_key", "")))
        else:
            shown = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
        return cls(
            id=str(record.get("id", "")),
            kind=str(record.get("kind", "")),
            purpose=str(record.get("purpose", "")),
            created=str(record.get("created", "")),
            fingerprint=hashlib.sha256(shown).hexdigest(),
            key_id=str(record.get("key_id", "")),
        )

    @property
    def recovers(self) -> bool:
        """Whether people can open the vault with it when the service and its cloud are gone."""
        return self.purpose == RECOVERY and self.kind in (PASSPHRASE, PUBLIC_KEY)


def context(vault_id: bytes, kind: str) -> bytes:
    """What a slot that can authenticate something binds its record to."""
    return b"holdfast slot/1\x00" + vault_id + kind.encode()


def _slot_aad(header: Mapping[str, Any], aad: bytes) -> bytes:
    text = "|".join(f"{key}={header[key]}" for key in sorted(header))
    return aad + b"\x00" + text.encode()
