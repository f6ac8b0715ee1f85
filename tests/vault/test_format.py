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
from tests.vault.stranger import Stranger
from tests.vault.world import CHAIN, SLOT, StillClock, close, folder, new_vault, noise
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


def test_a_stranger_reads_the_documented_vault(
    vectors: dict[str, Any], blobs: dict[str, bytes]
) -> None:
    stranger = Stranger(blobs, vectors["passphrase"])
    assert stranger.chain_hash(vectors["chain"]) == vectors["chain_hash"]
    assert stranger.deks[1].hex() == vectors["keys"]["dek"]
    assert stranger.seed == int(vectors["keys"]["seed"], 16)
    for row in vectors["ids"]:
        assert stranger.identity(row["type"], bytes.fromhex(row["data"])).hex() == row["id"]
    snapshot = stranger.snapshot(vectors["chain"], vectors["snapshot"])
    assert snapshot["links"] == vectors["links"]
    entries = stranger.entries(snapshot)
    for id_, wanted in vectors["items"].items():
        data = stranger.content(entries[id_][6][0])
        assert hashlib.sha256(data).hexdigest() == wanted["sha256"]


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


def test_a_stranger_reads_what_we_write_today() -> None:
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
    stranger = Stranger(blobs, "correct horse")
    assert SLOT.kind == "passphrase"
    entries = stranger.entries(stranger.snapshot(CHAIN, 2))
    assert entries.keys() == {"f0", *wanted}
    for id_, data in wanted.items():
        if len(data) != 60_000_000 and id_[-1] not in "0123456":
            continue  # every group is opened anew for each member: some of them are enough
        assert stranger.content(entries[id_][6][0]) == data
