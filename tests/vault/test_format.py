"""docs/vault-format.md is true: its vectors open, and its reader reads what we write today."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.vault.cut_specification import gear_table
from tests.vault.second_reader import manifest, opened, run, spread
from tests.vault.world import CHAIN, StillClock, close, folder, new_vault, noise
from vault import Entry, PassphraseSlot, Repository
from vault.box import IdType, identify
from vault.keys import KeyRing
from vault.stores.memory import MemoryStore

DOCUMENT = Path(__file__).parents[2] / "docs" / "vault-format.md"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    text = DOCUMENT.read_text(encoding="utf-8")
    block = text.split("```json\n")[1].split("\n```")[0]
    loaded: dict[str, Any] = json.loads(block)
    return loaded


@pytest.fixture(scope="module")
def blobs(vectors: dict[str, Any]) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in vectors["blobs"].items()}


def test_the_documented_vault_opens_and_holds_what_it_says(
    vectors: dict[str, Any], blobs: dict[str, bytes]
) -> None:
    store = MemoryStore()
    for name, data in blobs.items():
        store.put_new(name, data)
    repo = Repository.open(store, PassphraseSlot(vectors["passphrase"]), StillClock())
    assert list(repo.chains()) == [vectors["chain"]]
    snapshot = repo.snapshot(vectors["chain"], vectors["snapshot"])
    assert snapshot.links == vectors["links"]
    catalog = repo.catalog(snapshot)
    found = {entry.id: entry for entry in catalog.items() if entry.contents}
    assert found.keys() == vectors["items"].keys()
    for id_, wanted in vectors["items"].items():
        data = b"".join(repo.read(found[id_].contents[0]))
        assert found[id_].parent == wanted["parent"]
        assert len(data) == wanted["size"]
        assert hashlib.sha256(data).hexdigest() == wanted["sha256"]
    record = vectors["record"]
    assert repo.get_record(record["name"]) == record["value"]
    assert repo.verify(read_data=True).clean


def test_the_second_reader_extracts_the_documented_vault(
    vectors: dict[str, Any], blobs: dict[str, bytes], tmp_path: Path
) -> None:
    folder = spread(blobs, tmp_path / "copy")
    said = run(folder, "verify", passphrase=vectors["passphrase"])
    assert (said.code, said.err) == (0, ""), said.out
    target = tmp_path / "out"
    assert run(folder, "extract", target, passphrase=vectors["passphrase"]).code == 0
    rows = {row["item"]: row for row in manifest(target) if row["role"] not in ("item", "record")}
    for id_, wanted in vectors["items"].items():
        data = (target / rows[id_]["path"]).read_bytes()
        assert rows[id_]["sha256"] == hashlib.sha256(data).hexdigest() == wanted["sha256"]
        assert (len(data), rows[id_]["problem"]) == (wanted["size"], "")


def test_the_second_reader_derives_the_documented_values(
    vectors: dict[str, Any], blobs: dict[str, bytes]
) -> None:
    vault = opened(blobs, vectors["passphrase"])
    assert vault.chain_hash(vectors["chain"]) == vectors["chain_hash"]
    assert vault.deks[1].hex() == vectors["keys"]["dek"]
    for row in vectors["ids"]:
        data, id_ = bytes.fromhex(row["data"]), bytes.fromhex(row["id"])
        for kind, type_byte in {1: 1, 3: 3, 4: 2}.items():
            if type_byte == row["type"]:
                assert vault.member("", kind, data, id_, 0, len(data)) == data


def test_derived_values_are_the_documented_ones(vectors: dict[str, Any]) -> None:
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    seed = int.from_bytes(keys["seed"], "big")
    ring = KeyRing(bytes(16), b"", {1: keys["dek"]}, 1, keys["k_id"], seed, keys["name_key"])
    assert ring.chain_hash(vectors["chain"]) == vectors["chain_hash"]
    for row in vectors["ids"]:
        found = identify(ring, IdType(row["type"]), bytes.fromhex(row["data"]))
        assert found.hex() == row["id"]
    gear = vectors["gear"]
    assert gear_table(int(gear["seed"], 16))[0] == int(gear["first"], 16)


def test_the_second_reader_extracts_what_we_write_today(tmp_path: Path) -> None:
    store = MemoryStore()
    repo = new_vault(store)
    rng = random.Random(2)
    sizes = [0, 1, 500, 65_535, 65_536, 300_000, 2_000_000, 60_000_000]
    sizes += [rng.randrange(20_000) for _ in range(1500)]
    wanted: dict[str, bytes] = {}
    for number in (1, 2):
        step = repo.round(CHAIN, number).step()
        step.put(folder("f0"), "root")
        for at, size in enumerate(sizes[: 1600 if number == 1 else 4]):
            id_, data = f"{number}-{at:05d}", noise(at + number, size)
            content = step.add("mime", data)
            row = {"from": noise(at, 100).hex()}
            step.put(Entry(id_, f"f{at % 3}", "message", id_, row, {}, (content,)), "root")
            wanted[id_] = data
        close(step.commit(complete=True))
    blobs = {row.name: store.read(row.name) for row in store.list("")}
    folder_ = spread(blobs, tmp_path / "copy")
    assert run(folder_, "verify", passphrase="correct horse").code == 0
    said = run(folder_, "extract", tmp_path / "out", passphrase="correct horse")
    assert (said.code, said.err) == (0, "")
    rows = {row["item"]: row for row in manifest(tmp_path / "out") if row["role"] == "mime"}
    assert rows.keys() == wanted.keys()
    for id_, data in wanted.items():
        assert (tmp_path / "out" / rows[id_]["path"]).read_bytes() == data
