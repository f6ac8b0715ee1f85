#!/usr/bin/env python3
"""Reads a Holdfast vault without Holdfast: lists, verifies and extracts what a copy of it holds.

Written from docs/vault-format.md alone ("§" in comments is a section of it), with Python 3.10 or
later, cryptography and zstandard. It only reads FOLDER, and never overwrites a file in TARGET.

    python3 read_a_vault.py FOLDER list
    python3 read_a_vault.py FOLDER verify
    python3 read_a_vault.py FOLDER extract TARGET [--chain NAME] [--number N | --number all]

FOLDER is a copy of the vault's blobs. Copied from Azure there are two, one per container: name the
one of `<prefix>-meta` FOLDER and give the one of `<prefix>-packs` with --packs.

The key: --passphrase-file, --private-key (the offline RSA key, PEM), or --master-file (32 bytes
that OpenSSL, a smart card or Key Vault has unwrapped, §3); else HOLDFAST_PASSPHRASE, else it asks.

Exit code 0: all is well. 1: something is damaged or missing; each such thing is named. 2: nothing
was read: no vault, not its key, or a vault that needs a newer reader.
"""

from __future__ import annotations

import argparse
import base64
import csv
import getpass
import hashlib
import hmac
import io
import json
import os
import re
import struct
import sys
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

FEATURES = {"packs-1", "catalog-1"}  # §2: what a vault may need of a reader, and this one can
ALGORITHMS = {
    "id": "hmac-sha256",
    "seal": "aes-256-gcm",
    "derive": "hkdf-sha256",
    "compress": "zstd",
    "cut": "fastcdc-2020-seeded",
}
KEY_LIST, PAGE, SNAPSHOT, RECORD, COLLECT, FORWARD = 1, 2, 3, 4, 6, 7  # §4: kinds of envelopes
ENVELOPES = {1: "key_list", 2: "page", 3: "snapshot", 4: "record", 6: "collect", 7: "forward"}
GROUP = 1  # §5: the kind of box that has many members
ID_TYPES = {1: 1, 2: 1, 3: 3, 4: 2}  # kind of box -> type byte under the HMAC of its members' ids
DIRECTORY = 2**32 - 1
ENVELOPE_BYTES_MAX, BOX_BYTES_MAX = 512 * 1024 * 1024, 64 * 1024 * 1024
MOVES_MAX = 64
NOTHING = dict.fromkeys(("rows", "items"), '{"level":0,"keys":[]}')  # §8: an empty catalog

Json = Any


class Damaged(Exception):
    """Bytes are not what they have to be; `name` is the blob."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


class Missing(Damaged):
    """There is no such blob."""


class Newer(Damaged):
    """Made by a later version, with something this reader does not know."""


class WrongKey(Exception):
    """No slot of the vault opens with this key."""


@contextmanager
def parsing(name: str) -> Iterator[None]:
    """Whatever a parser stumbles over is damage of the blob."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
        raise Damaged(name, f"cannot be read ({type(error).__name__})") from error


# --- Bytes (§1) ---


NAMES = re.compile(
    r"config/0001|keys/\d{4}|p/[0-9a-f]{2}/[0-9a-f]{64}|fwd/[0-9a-f]{2}/[0-9a-f]{64}|gc/\d{10}"
    r"|s/[0-9a-f]{40}/\d{10}|m/[0-9a-f]{40}/\d{10}/\d{6}|[rx]/[a-z0-9./-]+"
)


class Blobs:
    """Files below one folder, or two, by the names of the blobs they are copies of."""

    def __init__(self, *roots: Path) -> None:
        found: dict[str, Path] = {}
        for root in roots:
            for folder, folders, files in os.walk(root):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for path in (Path(folder, name) for name in files if not name.startswith(".")):
                    found[path.relative_to(root).as_posix()] = path
        self.paths = {name: path for name, path in found.items() if NAMES.fullmatch(name)}
        self.strange = sorted(found.keys() - self.paths.keys())

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.paths if name.startswith(prefix))

    def read(self, name: str, at: int = 0, size: int = -1) -> bytes:
        try:
            with self.paths[name].open("rb") as file:
                file.seek(at)
                return file.read(size)
        except (KeyError, FileNotFoundError):
            raise Missing(name, "is missing") from None


# --- Cryptography (§3, §4, §5) ---


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derived(secret: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(SHA256(), 32, salt, info.encode()).derive(secret)


def unfolded(name: str, compression: int, data: bytes, bytes_max: int) -> bytes:
    if compression == 0:
        return data
    try:
        if not 0 <= zstandard.frame_content_size(data) <= bytes_max:
            raise Damaged(name, "claims an impossible size")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError:
        raise Damaged(name, "does not unfold") from None


def open_envelope(
    name: str, sealed: bytes, kind: int, vault_id: bytes, secrets: dict[int, bytes]
) -> bytes:
    """§4: the plaintext of a small object."""
    header = sealed[:48]
    with parsing(name):
        magic, version, found, compression, kid, salt = struct.unpack(">8sHBBI32s", header)
    if magic == b"HOLDOBJ1" and (version != 1 or compression > 1 or found not in ENVELOPES):
        raise Newer(name, f"has format {version}, kind {found}, compression {compression}")
    if (magic, found) != (b"HOLDOBJ1", kind):
        raise Damaged(name, "is no such object")
    if kid not in secrets:
        raise Damaged(name, f"names the data key {kid}, which the key list lacks")
    cipher = AESGCM(derived(secrets[kid], salt, "object/" + ENVELOPES[kind]))
    try:
        data = cipher.decrypt(bytes(12), sealed[48:], header + vault_id + name.encode())
    except InvalidTag:
        raise Damaged(name, "does not authenticate") from None
    return unfolded(name, compression, data, ENVELOPE_BYTES_MAX)


@dataclass
class Holder:
    """What the person at the keyboard has: one of these."""

    passphrase: bytes | None = None
    private_key: Any = None
    master: bytes | None = None

    def unwrap(self, slot: dict[str, Json], vault_id: bytes) -> bytes | None:
        """§3: the master secret of a slot; None: it is not this holder's."""
        if self.master is not None:
            return self.master
        try:
            if slot["kind"] == "passphrase" and self.passphrase is not None:
                return self._by_passphrase(slot, vault_id, self.passphrase)
            if slot["kind"] == "public-key" and self.private_key is not None:
                oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
                wrapped = base64.b64decode(slot["wrapped"])
                return bytes(self.private_key.decrypt(wrapped, oaep))
        except (InvalidTag, ValueError, KeyError, TypeError):
            pass
        return None

    @staticmethod
    def _by_passphrase(slot: dict[str, Json], vault_id: bytes, passphrase: bytes) -> bytes:
        n, r, p, salt = slot["n"], slot["r"], slot["p"], slot["salt"]
        if not (2 <= n <= 2**22 and 1 <= r <= 32 and 1 <= p <= 16):
            raise ValueError("more work than a slot may ask for")
        key = Scrypt(bytes.fromhex(salt), 32, n, r, p).derive(passphrase)
        tail = f"n={n}|p={p}|r={r}|salt={salt}".encode()
        aad = b"holdfast slot/1\0" + vault_id + b"passphrase\0" + tail
        return AESGCM(key).decrypt(bytes(12), bytes.fromhex(slot["wrapped"]), aad)


def config_of(blobs: Blobs) -> tuple[bytes, str]:
    """§2: the vault's id and the config's SHA-256; refuses a vault that needs a newer reader."""
    name = "config/0001"
    raw = blobs.read(name)
    with parsing(name):
        config = json.loads(raw)
        if config["magic"] != "holdfast vault":
            raise Damaged(name, "is no vault's config")
        refuse_unknown(name, config["format"], config["features"]["read"])
        if config["algorithms"] != ALGORITHMS:
            raise Newer(name, "names other algorithms")
        return bytes.fromhex(config["vault_id"]), hashlib.sha256(raw).hexdigest()


def refuse_unknown(name: str, version: Json, features: Iterable[str] = ()) -> None:
    if version != 1:
        raise Newer(name, f"has format {version}")
    unknown = sorted(set(features) - FEATURES)
    if unknown:
        raise Newer(name, f"needs {', '.join(unknown)}")


# --- The vault ---


class Vault:
    """An open vault: what lies under a name, a reference, a content, a root."""

    def __init__(self, blobs: Blobs, holder: Holder) -> None:
        self.blobs = blobs
        self.vault_id, config_sha256 = config_of(blobs)
        names = [name for name in blobs.names("keys/") if re.fullmatch(r"keys/\d{4}", name)]
        if not names:
            raise Missing("keys/0001", "is missing, and so is every other key file")
        keys = self._key_list(names[-1], holder)
        if keys["config_sha256"] != config_sha256:
            raise Damaged("config/0001", "is not the one this vault was made with")
        with parsing(names[-1]):
            self.deks = {row["kid"]: base64.b64decode(row["key"]) for row in keys["deks"]}
            self.k_id = base64.b64decode(keys["k_id"])
            self.name_key = base64.b64decode(keys["name_key"])
        self._groups: OrderedDict[tuple[str, int], tuple[int, bytes]] = OrderedDict()

    def _key_list(self, name: str, holder: Holder) -> dict[str, Json]:
        """§3: the key list of a key file, by the first slot that opens."""
        with parsing(name):
            file = json.loads(self.blobs.read(name))
            if file["magic"] != "holdfast keys" or file["vault_id"] != self.vault_id.hex():
                raise Damaged(name, "is not this vault's key file")
            refuse_unknown(name, file["format"])
            slots, sealed = file["slots"], base64.b64decode(file["sealed"], validate=True)
            if base64.b64encode(sealed).decode() != file["sealed"]:
                raise Damaged(name, "is not spelled as it was written")
            masters = (holder.unwrap(slot, self.vault_id) for slot in slots)
            master = next((one for one in masters if one is not None), None)
        if master is None:
            kinds = ", ".join(sorted({str(slot.get("kind")) for slot in slots}))
            raise WrongKey(f"The vault has slots of these kinds: {kinds}. None opens with this.")
        with parsing(name):
            keys = json.loads(open_envelope(name, sealed, KEY_LIST, self.vault_id, {0: master}))
            text = json.dumps(slots, sort_keys=True, separators=(",", ":"))
            refuse_unknown(name, 1, keys["features"].get("read", ()))
            if keys["slots_sha256"] != hashlib.sha256(text.encode()).hexdigest():
                raise Damaged(name, "has other slots than its key list says")
            return dict(keys)

    def open(self, name: str, kind: int) -> bytes:
        """The plaintext of an envelope."""
        return open_envelope(name, self.blobs.read(name), kind, self.vault_id, self.deks)

    def document(self, name: str, kind: int) -> dict[str, Json]:
        """The JSON in an envelope that has a format of its own."""
        with parsing(name):
            document = json.loads(self.open(name, kind))
            refuse_unknown(name, document["format"])
            return dict(document)

    @property
    def key_check(self) -> str:
        """§3: what the recovery kit prints, and nobody else can make."""
        return hmac.digest(self.k_id, b"\0holdfast key check", "sha256").hex()[:16]

    def chain_hash(self, chain: str) -> str:
        text = b"chain\0" + chain.encode("utf-8", "surrogatepass")
        return hmac.digest(self.name_key, text, "sha256").hex()[:40]

    def open_box(self, pack: bytes, number: int, sealed: bytes, id_: bytes) -> tuple[int, bytes]:
        """§5: kind and plaintext of a box; `id_` is 32 zero bytes for the directory."""
        name = pack_name(pack)
        header = bytes(sealed[:16])
        with parsing(name):
            size, kind, compression, domain, zero, kid, raw = struct.unpack(">IBBBBII", header)
        if kind > 4 or domain > 1 or compression > 1 or zero:
            raise Newer(name, f"box {number} is of kind {kind}, domain {domain}")
        if size != len(sealed) - 16 or raw > BOX_BYTES_MAX or kid not in self.deks:
            raise Damaged(name, f"box {number} has a wrong header")
        secret = derived(self.deks[kid], pack, "pack/shared" if domain else "pack/own")
        aad = struct.pack(">H16s32sI", 1, self.vault_id, pack, number) + header
        bound = bytes(32) if kind == GROUP else id_
        try:
            data = AESGCM(secret).decrypt(number.to_bytes(12, "big"), sealed[16:], aad + bound)
        except InvalidTag:
            raise Damaged(name, f"box {number} does not authenticate") from None
        plain = unfolded(name, compression, data, BOX_BYTES_MAX)
        if len(plain) != raw:
            raise Damaged(name, f"box {number} unfolds to a wrong size")
        return kind, plain

    def member(
        self, name: str, kind: int, plain: bytes, id_: bytes, offset: int, length: int
    ) -> bytes:
        """The part of a box that an id stands for."""
        part = plain[offset : offset + length]
        found = hmac.digest(self.k_id, bytes([ID_TYPES[kind]]) + part, "sha256")
        if offset < 0 or len(part) != length or found != id_:
            raise Damaged(name, "a chunk is not what its id says")
        return part

    def piece(self, reference: Json) -> bytes:
        """§6: the bytes a reference points at."""
        with parsing("a reference"):
            id_text, pack, box, at, size, offset, length = reference
            id_ = from_base64url(id_text)
        known = self._groups.get((pack, box))
        if known is None:
            known = self._box(pack, box, at, size, id_)
            if known[0] == GROUP:
                self._groups[pack, box] = known
                if len(self._groups) > 64:
                    self._groups.popitem(last=False)
        return self.member(pack_name(from_base64url(pack)), *known, id_, offset, length)

    def _box(self, pack: str, box: int, at: int, size: int, id_: bytes) -> tuple[int, bytes]:
        """Where it lies, or where a compaction moved it (§10)."""
        for _ in range(MOVES_MAX):
            salt = from_base64url(pack)
            name = pack_name(salt)
            if name in self.blobs.paths:
                return self.open_box(salt, box, self.blobs.read(name, at, size), id_)
            forward = "fwd" + name[1:]
            moved = self.forward(forward) if forward in self.blobs.paths else {}
            if box not in moved:
                raise Missing(name, "is missing, and some of it is needed")
            pack, box, at, size = moved[box]
        raise Damaged(pack_name(from_base64url(pack)), "was moved in a circle")

    def directory(self, name: str, data: bytes) -> list[Json]:
        """§5: [at, size, kind, domain, plaintext length, members] of every box of a pack."""
        salt, end = bytes.fromhex(name[5:]), len(data) - 44
        with parsing(name):
            header = struct.unpack_from(">8sHH16s32sIII", data)
            magic, version, size, vault_id, named, _, _, flags = header
            length, digest, last = struct.unpack_from(">I32s8s", data, end)
        if magic == b"HOLDPACK" and (version, size, flags) != (1, 96, 0):
            raise Newer(name, f"has format {version}, flags {flags}")
        if (magic, vault_id, named) != (b"HOLDPACK", self.vault_id, salt):
            raise Damaged(name, "is not the pack its name says")
        if last != b"HOLDPACK" or hashlib.sha256(data[:end]).digest() != digest:
            raise Damaged(name, "has a wrong checksum")
        _, text = self.open_box(salt, DIRECTORY, data[end - length : end], bytes(32))
        with parsing(name):
            return list(json.loads(text)["boxes"])

    def forward(self, name: str) -> dict[int, Json]:
        """§10: number of a box -> [pack, box, at, size]."""
        document = self.document(name, FORWARD)
        with parsing(name):
            return {int(number): place for number, place in document["boxes"].items()}

    def content(self, content: Json) -> Iterator[bytes]:
        """§6: the bytes of a content, piece by piece."""
        with parsing("a content"):
            _, size, _, references, flags, *more = content
            if flags not in range(4):
                raise Newer("a content", f"has flags {flags}")
            if flags & 1:
                references = [one for row in references for one in json.loads(self.piece(row))]
            segments = more[0] if flags & 2 else [[0, len(references)]]
            counts = [segment[-1] for segment in segments]
            if sum(counts) != len(references) or min(counts, default=0) < 0:
                raise Damaged("a content", "has segments that do not cover it")
        pieces = map(self.piece, references)
        for encoding, *parameters, count in segments:
            run = islice(pieces, count)
            if encoding > 1:
                raise Newer("a content", f"is encoded in way {encoding}")
            for block in in_base64(run, *parameters) if encoding else run:
                size -= len(block)
                yield block
        if size:
            raise Damaged("a content", "has not the size it had when it was stored")

    def node(self, name: str, text: str) -> tuple[int, list[tuple[list[str], Json]]]:
        """§8: level of a node of a tree, and its keys and values."""
        with parsing(name):
            head, *lines = text.split("\n")
            document = json.loads(head)
            return document["level"], list(
                zip(document["keys"], map(json.loads, lines), strict=True)
            )

    def leaves(self, name: str, text: str) -> Iterator[tuple[list[str], Json]]:
        """Keys and values of a tree, in order."""
        level, rows = self.node(name, text)
        for key, value in rows:
            if level == 0:
                yield key, value
            else:
                yield from self.leaves(name, self.piece(value[1:]).decode("ascii"))

    def snapshot(self, name: str) -> dict[str, Json]:
        """§8: a restore point, known to be the one its name says."""
        document = self.document(name, SNAPSHOT)
        with parsing(name):
            place = f"s/{self.chain_hash(document['chain'])}/{document['number']:010d}"
            if place != name or document["status"] not in ("ok", "void"):
                raise Damaged(name, "is not the restore point its name says")
        return document

    def page(self, name: str) -> tuple[dict[str, Json], list[Json]]:
        """§7: head and entries of a page, known to be the one its name says."""
        with parsing(name):
            head, *lines = self.open(name, PAGE).split(b"\n")
            document = json.loads(head)
            refuse_unknown(name, document["format"])
            place = f"{document['number']:010d}/{document['seq']:06d}"
            if f"m/{self.chain_hash(document['chain'])}/{place}" != name:
                raise Damaged(name, "is not the page its name says")
            return document, [json.loads(line) for line in lines]


def pack_name(pack: bytes) -> str:
    return f"p/{pack.hex()[:2]}/{pack.hex()}"


def in_base64(pieces: Iterable[bytes], line_chars: int, line_end: int) -> Iterator[bytes]:
    """§6: bytes written as base64 in lines, with line ends between them."""
    if line_chars < 4 or line_chars % 4 or line_end not in (0, 1):
        raise Damaged("a content", "has impossible lines")
    step, end = line_chars // 4 * 3, b"\n" if line_end else b"\r\n"
    rest, between = b"", b""
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % step
        lines = [base64.b64encode(rest[at : at + step]) for at in range(0, whole, step)]
        if lines:
            yield between + end.join(lines)
            between = end
        rest = rest[whole:]
    if rest:
        yield between + base64.b64encode(rest)


# --- verify: all there is to check with the key ---


UNKNOWN = -1  # how many values lie below a node that cannot be read whole


@dataclass
class Verification:
    """Checks everything; what is wrong is in `findings` as (disease, blob) -> words."""

    vault: Vault
    findings: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        self.tombstones: dict[str, list[tuple[int, int, str]]] = {}
        self.seen: set[bytes] = set()  # contents that were read
        self.subtrees: dict[str, int] = {}  # id of a node -> values below it
        blobs = self.vault.blobs
        for name in blobs.strange:
            self.found("unknown-blob", name, "is none of the vault's")
        with self.noting("log-damaged"):
            self.log(blobs.names("gc/"))
        for name in blobs.names("p/"):
            with self.noting("pack-damaged"):
                self.count("packs")
                self.pack(name)
        for name in blobs.names("fwd/"):
            with self.noting("forward-damaged"):
                self.vault.forward(name)
        for name in blobs.names("r/") + blobs.names("x/"):
            with self.noting("record-damaged"):
                self.count("records")
                self.vault.open(name, RECORD)
        chains = {name.split("/")[1] for name in blobs.names("s/") + blobs.names("m/")}
        for chain in sorted(chains | self.tombstones.keys()):
            self.count("chains")
            self.chain(chain)

    def found(self, disease: str, name: str, text: str) -> None:
        self.findings.setdefault((disease, name), text)

    @contextmanager
    def noting(self, disease: str, name: str = "") -> Iterator[None]:
        """Goes on behind damage, having named it."""
        try:
            yield
        except Damaged as damage:
            self.found(disease, name or damage.name, damage.text)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def log(self, names: list[str]) -> None:
        """§10: the collector's records, back to the one that repeats the state."""
        expected = ""
        for at, name in enumerate(reversed(names)):
            sealed = self.vault.blobs.read(name)
            document = self.vault.document(name, COLLECT)
            digest = hashlib.sha256(sealed).hexdigest()
            if name != f"gc/{document['seq']:010d}" or (at and digest != expected):
                raise Damaged(name, "is not the record its name or the next record says")
            expected = document["prior"]
            if document["kind"] == "begin":
                with parsing(name):
                    self.tombstones = document["body"]["state"]["tombstones"]
                return
            if at + 1 < len(names) and names[-at - 2] != f"gc/{document['seq'] - 1:010d}":
                raise Damaged(f"gc/{document['seq'] - 1:010d}", "is missing")
        if names:
            raise Damaged(names[0], "is not the first record of a cycle")

    def pack(self, name: str) -> None:
        """§5: a whole pack: header, checksum, directory, every box, every id."""
        salt, place = bytes.fromhex(name[5:]), 96
        data = self.vault.blobs.read(name)
        rows = self.vault.directory(name, data)
        with parsing(name):
            for number, (at, size, kind, _, _, members) in enumerate(rows):
                found, plain = self.vault.open_box(
                    salt, number, data[at : at + size], from_base64url(members[0][0])
                )
                if at != place or found != kind:
                    raise Damaged(name, "has a directory that does not describe it")
                place = at + size
                for id_text, offset, length in members:
                    self.vault.member(name, kind, plain, from_base64url(id_text), offset, length)
            if place != len(data) - 44 - struct.unpack_from(">I", data, len(data) - 44)[0]:
                raise Damaged(name, "has bytes that its directory does not describe")

    def chain(self, chain: str) -> None:
        """§7, §8: restore points and pages follow one another; all they need is there."""
        blobs = self.vault.blobs
        before, number, newest = (0, ""), 0, ""
        for name in blobs.names(f"s/{chain}/"):
            number = int(name[-10:])
            sealed = blobs.read(name)
            with self.noting("snapshot-damaged", name):
                self.count("restore points")
                snapshot = self.vault.snapshot(name)
                self.follows(chain, name, snapshot, before)
                self.closed_pages(name, snapshot)
                newest = name
                with self.noting("catalog-damaged", name):
                    self.catalog(name, snapshot["roots"])
            before = (number, hashlib.sha256(sealed).hexdigest())
        for _, last, _ in self.tombstones.get(chain, ()):
            if last >= number:  # the newest restore point never expires
                self.found("snapshot-missing", f"s/{chain}/{last + 1:010d}", "is missing")
        prior = ""
        for name in blobs.names(f"m/{chain}/"):
            if int(name.split("/")[2]) > number:
                prior = self.open_page(name, prior)
        if newest:
            with self.noting("catalog-damaged", newest):
                self.compare_trees(newest)

    def follows(
        self, chain: str, name: str, snapshot: dict[str, Json], before: tuple[int, str]
    ) -> None:
        """The hash of the restore point before it, over gaps that tombstones explain."""
        number, rows = snapshot["number"], self.tombstones.get(chain, ())
        digest = before[1]
        if before[0] != number - 1:
            tombs = [row for row in rows if row[0] <= number - 1 <= row[1]]
            if not tombs:
                self.found("snapshot-missing", f"{name[:-10]}{number - 1:010d}", "is missing")
                return
            digest = tombs[0][2]
        buried = any(row[0] <= number <= row[1] for row in rows)  # and could not be deleted yet
        if digest != snapshot["parent_sha256"] and not buried:
            self.found("chain-broken", name, "does not follow the restore point before it")

    def closed_pages(self, name: str, snapshot: dict[str, Json]) -> None:
        """The pages a restore point was made of; nothing of what it holds depends on them."""
        prior = ""
        for seq, digest in enumerate(snapshot["pages"]):
            page = f"m/{name[2:]}/{seq:06d}"
            self.count("pages")
            try:
                found = hashlib.sha256(self.vault.blobs.read(page)).hexdigest()
                if found != digest or self.vault.page(page)[0]["prior"] != prior:
                    raise Damaged(page, "is not the page its restore point names")
            except Missing as missing:
                self.found("page-missing", page, missing.text)
            except Damaged as damage:
                self.found("page-damaged", page, damage.text)
            prior = digest

    def open_page(self, name: str, prior: str) -> str:
        """A page of a round that no restore point closes yet."""
        self.count("open pages")
        with self.noting("open-page-damaged", name):
            head, entries = self.vault.page(name)
            if head["prior"] != prior:
                raise Damaged(name, "does not follow the page before it")
            for entry in entries:
                self.entry(name, entry)
            self.catalog(name, head.get("roots") or {})
        return hashlib.sha256(self.vault.blobs.read(name)).hexdigest()

    def catalog(self, name: str, roots: dict[str, str]) -> None:
        counts = {self.subtree(name, text, -1) for text in roots.values()}
        if UNKNOWN in counts:
            raise Damaged(name, "has a catalog that cannot be read whole")
        if len(counts) > 1:
            raise Damaged(name, "lists another number of items by folder than by id")

    def subtree(self, name: str, text: str, above: int) -> int:
        """How many values lie below a node; nodes that restore points share are read once."""
        level, rows = self.vault.node(name, text)
        self.count("nodes")
        keys = [tuple(key) for key, _ in rows]
        if sorted(set(keys)) != keys or (above >= 0 and level != above - 1):
            raise Damaged(name, "has a node out of order")
        if level == 0:
            for key, value in rows:
                if len(key) == 3:  # the tree of rows; the other one's values hold no references
                    self.entry(name, value)
            return len(rows)
        counts = []
        for _, (below, *reference) in rows:
            counts.append(self.child(name, reference, level))
            if counts[-1] not in (below, UNKNOWN):
                raise Damaged(name, "has a node that counts wrongly")
        return UNKNOWN if UNKNOWN in counts else sum(counts)

    def child(self, name: str, reference: Json, level: int) -> int:
        id_ = reference[0]
        if id_ not in self.subtrees:
            self.subtrees[id_] = UNKNOWN
            with self.blaming(name):
                text = self.vault.piece(reference).decode("ascii")
                self.subtrees[id_] = self.subtree(name, text, level)
        return self.subtrees[id_]

    def entry(self, name: str, entry: Json) -> None:
        """Reads every content once."""
        self.count("items")
        for content in entry[6]:
            stands_for = hashlib.sha256(json.dumps(content[1:]).encode()).digest()
            if stands_for in self.seen:
                continue
            self.seen.add(stands_for)
            self.count("contents")
            with self.blaming(name):
                for _ in self.vault.content(content):
                    pass

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Names the pack that is damaged; where it is none, the restore point or page at hand."""
        try:
            yield
        except Damaged as damage:
            if damage.name.startswith("p/"):
                disease = "pack-missing" if isinstance(damage, Missing) else "pack-damaged"
                self.found(disease, damage.name, damage.text)
            else:
                self.found("catalog-damaged", name, str(damage))

    def compare_trees(self, name: str) -> None:
        """Both trees of a restore point say the same of every item."""
        roots = NOTHING | self.vault.snapshot(name)["roots"]
        rows = {key[2]: key[:2] for key, _ in self.vault.leaves(name, roots["rows"])}
        items = {key[0]: value for key, value in self.vault.leaves(name, roots["items"])}
        if rows != items:
            raise Damaged(name, "has items that are not where the way to them leads")


# --- extract: files that any system can name ---

DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\.|$)", re.IGNORECASE)
UNSPEAKABLE = re.compile(r'[<>:"/\\|?*]')
NAME_CHARS_MAX, PATH_CHARS_MAX = 80, 200
EXTENSIONS = {"raw": ".json", "mime": ".eml"}


def safe_name(text: str) -> str:
    """A file name for Windows, macOS and Linux: no path, device, control or direction mark."""
    text = UNSPEAKABLE.sub("_", unicodedata.normalize("NFC", text))
    text = "".join("_" if unicodedata.category(one)[0] == "C" else one for one in text)
    stem, dot, extension = text.rpartition(".")
    if dot and stem and len(extension) <= 10:
        extension = dot + extension
    else:
        stem, extension = text, ""
    text = (stem[: NAME_CHARS_MAX - len(extension)] + extension).strip(" .") or "_"
    while len(text.encode()) > 200:
        text = text[1:]
    return "_" + text if DEVICES.match(text) else text


class Extraction:
    """Writes one restore point below a folder: a folder per item, a file per content."""

    def __init__(self, vault: Vault, target: Path, manifest: Any) -> None:
        self.vault, self.target, self.manifest = vault, target, manifest
        self.taken = {(target, "manifest.csv"): 1, (target, "records"): 1}
        self.roots: dict[str, Path] = {}  # of chains
        self.problems: list[str] = []

    def snapshot(self, name: str, snapshot: dict[str, Json]) -> None:
        self.label = [snapshot["chain"], snapshot["number"]]
        if snapshot["chain"] not in self.roots:
            folder = self.unique(self.target, safe_name(snapshot["chain"]))
            self.roots[snapshot["chain"]] = folder
        self.root = self.roots[snapshot["chain"]] / f"{snapshot['number']:04d}"
        self.folders = {"": self.root}
        self.entries: dict[str, tuple[str, str]] = {}  # id -> parent, name
        rows = (NOTHING | snapshot["roots"])["rows"]
        for _, (id_, parent, _, text, *_) in self.vault.leaves(name, rows):
            self.entries[id_] = (parent, text)
        parents = {parent for parent, _ in self.entries.values()}
        for _, entry in self.vault.leaves(name, rows):
            self.item(entry, is_folder=entry[2] == "folder" or entry[0] in parents)

    def records(self) -> None:
        """Plans and reports (§4), under the names they have."""
        self.label = ["", ""]
        for name in self.vault.blobs.names("r/") + self.vault.blobs.names("x/"):
            folder = self.target.joinpath("records", *map(safe_name, name.split("/")[:-1]))
            path = self.unique(folder, safe_name(name.rpartition("/")[2]))
            self.write(path, "record", name, partial(self._record, name))

    def _record(self, name: str) -> list[bytes]:
        return [self.vault.open(name, RECORD)]

    def item(self, entry: Json, is_folder: bool) -> None:
        id_, parent, kind, name, row, facts, contents = entry
        if is_folder:
            folder = self.folder(id_)
        else:
            folder = self.unique(self.folder(parent), safe_name(name))
        described = []
        for content in contents:
            role, size, meta = content[:3]
            path = self.unique(folder, file_name(role, meta, name))
            digest = self.write(path, role, id_, partial(self.vault.content, content))
            file = {"role": role, "size": size, "meta": meta, "file": path.name, "sha256": digest}
            described.append(file)
        about = {"id": id_, "parent": parent, "kind": kind, "name": name, "row": row}
        whole = json.dumps({**about, "facts": facts, "contents": described}, indent=1).encode()
        self.write(self.unique(folder, "item.json"), "item", id_, lambda: [whole])

    def folder(self, id_: str) -> Path:
        """Where the folder of an id is; an unknown parent becomes a folder, a circle is cut."""
        way: dict[str, str] = {}
        at = id_
        while at not in self.folders and at not in way:
            parent, way[at] = self.entries.get(at, ("", at))
            at = parent
        here = self.folders.get(at, self.root)
        for step, name in reversed(way.items()):
            if len(str(here.relative_to(self.root))) > PATH_CHARS_MAX:
                here = self.root / "_deep"
            here = self.folders[step] = self.unique(here, safe_name(name))
        return here

    def unique(self, folder: Path, name: str) -> Path:
        """A path nothing else has, whatever a file system takes for the same name."""
        while True:
            key = (folder, unicodedata.normalize("NFC", name).casefold())
            times = self.taken[key] = self.taken.get(key, 0) + 1
            if times == 1:
                return folder / name
            stem, dot, extension = name.rpartition(".")
            name = f"{stem or extension} ({times}){dot + extension if stem else ''}"

    def write(self, path: Path, role: str, id_: str, read: Any) -> str:
        """Writes a new file; damaged content leaves none. Answers the SHA-256 of its bytes."""
        digest, size, problem = hashlib.sha256(), 0, ""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                for block in read():
                    file.write(block)
                    digest.update(block)
                    size += len(block)
            except Damaged as damage:
                problem = str(damage)
        if problem:
            path.unlink()
            self.problems.append(problem)
        sha256 = "" if problem else digest.hexdigest()
        where = path.relative_to(self.target).as_posix()
        self.manifest.writerow([*self.label, id_, role, size, sha256, where, problem])
        return sha256


def file_name(role: str, meta: Json, item: str) -> str:
    """The name of a content's file: its role, and the extension it had."""
    named = meta.get("name") if isinstance(meta, dict) else None
    if isinstance(named, str) and named:
        return safe_name(f"{role}-{named}")
    return safe_name(role + (EXTENSIONS.get(role) or Path(safe_name(item)).suffix or ".bin"))


# --- The command line ---


def chains(vault: Vault) -> dict[str, list[str]]:
    """chain -> blobs of its restore points, ascending. One of which none opens has its hash."""
    found: dict[str, list[str]] = {}
    for name in vault.blobs.names("s/"):
        found.setdefault(name.split("/")[1], []).append(name)
    named = {}
    for chain, names in found.items():
        label = chain
        for name in reversed(names):
            with suppress(Damaged):
                label = vault.snapshot(name)["chain"]
                break
        named[label] = names
    return dict(sorted(named.items()))


def shown(value: Json) -> str:
    """Text of strangers, harmless to a terminal."""
    return "".join(one if one.isprintable() else "?" for one in str(value))


def list_points(vault: Vault) -> int:
    damaged = 0
    for chain, names in chains(vault).items():
        lines, title = [], ""
        for name in names:
            number = int(name[-10:])
            try:
                row = vault.snapshot(name)
                level, values = vault.node(name, (NOTHING | row["roots"])["rows"])
            except Damaged as damage:
                damaged += 1
                lines.append(f"  {number:6}  DAMAGED: {damage.text}")
                continue
            items = sum(value[0] for _, value in values) if level else len(values)
            lines.append(f"  {number:6}  {row['created']}  {row['status']:4}  {items} items")
            title = row["about"].get("title", title)
        print("\n".join([f"{shown(chain)} | {shown(title)}", *map(shown, lines)]))
    return int(damaged > 0)


def verify(vault: Vault) -> int:
    check = Verification(vault)
    check.run()
    print("; ".join(f"{count} {what}" for what, count in check.counts.items()))
    for (disease, name), text in sorted(check.findings.items()):
        print(f"{disease}  {shown(name)}  {text}")
    print(f"{len(check.findings)} findings" if check.findings else "all is well")
    return int(bool(check.findings))


def extract(vault: Vault, target: Path, chain: str | None, number: str | None) -> int:
    wanted = [
        name
        for label, names in chains(vault).items()
        if chain in (None, label)
        for name in chosen(vault, names, number)
    ]
    if not wanted and (chain, number) != (None, None):
        raise SystemExit("There is no such restore point.")
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise SystemExit(f"{target} is not empty.")
    with (target / "manifest.csv").open("x", encoding="utf-8", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow("chain number item role size sha256 path problem".split())
        extraction = Extraction(vault, target, manifest)
        for name in wanted:
            try:
                snapshot = vault.snapshot(name)
                if snapshot["status"] == "ok" or number not in (None, "all"):
                    extraction.snapshot(name, snapshot)
            except Damaged as damage:
                extraction.problems.append(str(damage))
        if chain is None:
            extraction.records()
    for problem in sorted(set(extraction.problems)):
        print(shown(problem))
    print(f"{len(extraction.problems)} problems" if extraction.problems else "all is well")
    return int(bool(extraction.problems))


def chosen(vault: Vault, names: list[str], number: str | None) -> list[str]:
    """The restore points of a chain to extract: the newest good one, unless told which; newer ones
    that are damaged come before it, so that they are named.
    """
    if number is not None:
        return [name for name in names if number in ("all", str(int(name[-10:])))]
    passed = []
    for name in reversed(names):
        passed.append(name)
        with suppress(Damaged):
            if vault.snapshot(name)["status"] == "ok":
                break
    return passed


def holder_of(asked: argparse.Namespace) -> Holder:
    if asked.master_file:
        return Holder(master=asked.master_file.read_bytes())
    if asked.private_key:
        pem = asked.private_key.read_bytes()
        try:
            return Holder(private_key=load_pem_private_key(pem, None))
        except TypeError:
            password = getpass.getpass("Password of the private key: ")
            return Holder(private_key=load_pem_private_key(pem, password.encode()))
    if asked.passphrase_file:
        text = asked.passphrase_file.read_text("utf-8").strip()
    else:
        text = os.environ.get("HOLDFAST_PASSPHRASE")  # noqa: TID251 - it knows nothing of ours
        text = text or getpass.getpass("Passphrase: ")
    return Holder(passphrase=text.encode())


def print_anything() -> None:
    """A terminal that cannot show a letter gets its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> int:
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("folder", type=Path, help="a copy of the vault's blobs")
    reader.add_argument("verb", choices=["list", "verify", "extract"])
    reader.add_argument("target", type=Path, nargs="?", help="where to extract to; new or empty")
    reader.add_argument("--packs", type=Path, help="a copy of the container with packs, if apart")
    for option in ("--passphrase-file", "--private-key", "--master-file"):
        reader.add_argument(option, type=Path)
    reader.add_argument("--chain", help="extract this one only; its name as list shows it")
    reader.add_argument("--number", help='the restore point to extract, or "all"; else the newest')
    asked = reader.parse_intermixed_args()
    if (asked.verb == "extract") != (asked.target is not None):
        reader.error("a target goes with extract")
    print_anything()
    roots = [root for root in (asked.folder, asked.packs) if root]
    try:
        vault = Vault(Blobs(*roots), holder_of(asked))
        print(f"vault {vault.vault_id.hex()}, key check {vault.key_check}: compare it with the kit")
        if asked.verb == "list":
            return list_points(vault)
        if asked.verb == "verify":
            return verify(vault)
        return extract(vault, asked.target, asked.chain, asked.number)
    except (Damaged, WrongKey) as problem:
        print(shown(problem), file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
