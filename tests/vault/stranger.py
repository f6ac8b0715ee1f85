"""A reader written from docs/vault-format.md alone: it imports nothing of the product."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KINDS = {1: "key_list", 2: "page", 3: "snapshot", 4: "record"}
DOMAINS = {0: "pack/own", 1: "pack/shared"}
ID_TYPES = {1: 1, 2: 1, 3: 3, 4: 2}  # box kind: type byte


def b64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hkdf(secret: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(SHA256(), 32, salt, info.encode()).derive(secret)


def unfolded(compression: int, data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data) if compression else data


class Stranger:
    """Blobs by name, and a passphrase."""

    def __init__(self, blobs: dict[str, bytes], passphrase: str) -> None:
        self.blobs = blobs
        config = json.loads(blobs["config/0001"])
        assert (config["magic"], config["format"]) == ("holdfast vault", 1)
        self.vault_id = bytes.fromhex(config["vault_id"])
        name = max(name for name in blobs if name.startswith("keys/"))
        file = json.loads(blobs[name])
        master = self._master(file["slots"][0], passphrase)
        keys = json.loads(self.envelope(name, 1, base64.b64decode(file["sealed"]), {0: master}))
        assert keys["config_sha256"] == hashlib.sha256(blobs["config/0001"]).hexdigest()
        text = json.dumps(file["slots"], sort_keys=True, separators=(",", ":"))
        assert keys["slots_sha256"] == hashlib.sha256(text.encode()).hexdigest()
        self.deks = {row["kid"]: base64.b64decode(row["key"]) for row in keys["deks"]}
        self.k_id = base64.b64decode(keys["k_id"])
        self.name_key = base64.b64decode(keys["name_key"])
        self.seed = int(keys["seed"], 16)

    def _master(self, slot: dict[str, Any], passphrase: str) -> bytes:
        key = hashlib.scrypt(
            passphrase.encode(),
            salt=bytes.fromhex(slot["salt"]),
            n=slot["n"],
            r=slot["r"],
            p=slot["p"],
            dklen=32,
        )
        tail = f"n={slot['n']}|p={slot['p']}|r={slot['r']}|salt={slot['salt']}"
        aad = b"holdfast slot/1\x00" + self.vault_id + b"passphrase\x00" + tail.encode()
        return AESGCM(key).decrypt(bytes(12), bytes.fromhex(slot["wrapped"]), aad)

    def envelope(
        self, name: str, kind: int, sealed: bytes, secrets: dict[int, bytes] | None = None
    ) -> bytes:
        header = sealed[:48]
        magic, version, found, compression, kid, salt = struct.unpack(">8sHBBI32s", header)
        assert (magic, version, found) == (b"HOLDOBJ1", 1, kind)
        key = hkdf((secrets or self.deks)[kid], salt, f"object/{KINDS[kind]}")
        aad = header + self.vault_id + name.encode()
        return unfolded(compression, AESGCM(key).decrypt(bytes(12), sealed[48:], aad))

    def chain_hash(self, chain: str) -> str:
        text = b"chain\x00" + chain.encode()
        return hmac.digest(self.name_key, text, "sha256").hex()[:40]

    def identity(self, id_type: int, data: bytes) -> bytes:
        return hmac.digest(self.k_id, bytes([id_type]) + data, "sha256")

    def reference(self, values: list[Any]) -> bytes:
        """The bytes a reference points at."""
        id_, pack, number, at, size, offset, length = values
        salt = b64u(pack)
        sealed = self.blobs[f"p/{salt.hex()[:2]}/{salt.hex()}"][at : at + size]
        header = sealed[:16]
        _, kind, compression, domain, _, kid, raw = struct.unpack(">IBBBBII", header)
        bound = bytes(32) if kind == 1 else b64u(id_)
        aad = struct.pack(">H16s32sI", 1, self.vault_id, salt, number) + header + bound
        key = hkdf(self.deks[kid], salt, DOMAINS[domain])
        plain = unfolded(
            compression, AESGCM(key).decrypt(number.to_bytes(12, "big"), sealed[16:], aad)
        )
        assert len(plain) == raw
        data = plain[offset : offset + length]
        assert self.identity(ID_TYPES[kind], data) == b64u(id_)
        return data

    def content(self, values: list[Any]) -> bytes:
        _, size, _, references, flags = values
        assert flags in (0, 1)
        if flags:
            references = [ref for one in references for ref in json.loads(self.reference(one))]
        data = b"".join(self.reference(ref) for ref in references)
        assert len(data) == size
        return data

    def snapshot(self, chain: str, number: int) -> dict[str, Any]:
        """A snapshot whose pages and parent are what it says."""
        place = f"{self.chain_hash(chain)}/{number:010d}"
        name = f"s/{place}"
        snapshot: dict[str, Any] = json.loads(self.envelope(name, 3, self.blobs[name]))
        assert (snapshot["chain"], snapshot["number"]) == (chain, number)
        before = self.blobs.get(f"s/{self.chain_hash(chain)}/{number - 1:010d}")
        wanted = hashlib.sha256(before).hexdigest() if before else ""
        assert snapshot["parent_sha256"] == wanted
        for seq, digest in enumerate(snapshot["pages"]):
            page = f"m/{place}/{seq:06d}"
            assert hashlib.sha256(self.blobs[page]).hexdigest() == digest
            assert self.envelope(page, 2, self.blobs[page])
        return snapshot

    def values(self, node: str) -> list[tuple[list[str], Any]]:
        """Keys and values of a tree, from a node's text."""
        head, *lines = node.split("\n")
        parsed = json.loads(head)
        pairs = list(zip(parsed["keys"], map(json.loads, lines), strict=True))
        if parsed["level"] == 0:
            return pairs
        return [
            pair for _, line in pairs for pair in self.values(self.reference(line[1:]).decode())
        ]

    def entries(self, snapshot: dict[str, Any]) -> dict[str, list[Any]]:
        """Every entry by id, checked to be found through both trees."""
        rows = {key[2]: (key, entry) for key, entry in self.values(snapshot["roots"]["rows"])}
        items = {key[0]: place for key, place in self.values(snapshot["roots"]["items"])}
        assert items == {id_: key[:2] for id_, (key, _) in rows.items()}
        return {id_: entry for id_, (_, entry) in rows.items()}
