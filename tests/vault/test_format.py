"""docs/vault-format.md is true: its vectors open, and its reader reads what we write today."""

from __future__ import annotations

import random
from pathlib import Path

from tests.vault import golden
from tests.vault.cut_specification import gear_table
from tests.vault.second_reader import manifest, opened, run, spread
from tests.vault.world import CHAIN, close, folder, new_vault, noise
from vault import Entry, PassphraseSlot
from vault.box import IdType, identify
from vault.keys import KeyRing
from vault.stores.memory import MemoryStore

BLOBS, VECTORS = golden.documented()


def test_the_documented_vault_opens_and_holds_what_it_says() -> None:
    repo = golden.opened(BLOBS, PassphraseSlot(VECTORS["passphrase"]))
    assert golden.as_we_read(repo) == VECTORS["points"]
    for name, value in VECTORS["records"].items():
        assert repo.get_record(name) == value
    assert repo.verify(read_data=True).problems == []


def test_the_second_reader_extracts_the_documented_vault(tmp_path: Path) -> None:
    copy = spread(BLOBS, tmp_path / "copy")
    said = run(copy, "verify", passphrase=VECTORS["passphrase"])
    assert (said.code, said.err) == (0, ""), said.out
    arguments = ("extract", tmp_path / "out", "--number", "all")
    assert run(copy, *arguments, passphrase=VECTORS["passphrase"]).code == 0
    assert golden.as_extracted(tmp_path / "out") == golden.good_points(VECTORS)


def test_the_documented_vault_has_one_of_each_thing() -> None:
    vault = opened(BLOBS, VECTORS["passphrase"])
    assert {name.split("/")[0] for name in BLOBS} == {
        "config", "fwd", "gc", "keys", "m", "p", "r", "s", "x"
    }  # fmt: skip
    kinds = {
        row[2]
        for name in BLOBS
        if name.startswith("p/")
        for row in vault.directory(name, BLOBS[name])
    }
    assert kinds == {1, 2, 3, 4}
    points = [name for name in BLOBS if name.startswith("s/")]
    roots = [(name, vault.snapshot(name)["roots"]["rows"]) for name in points]
    entries = [entry for name, root in roots for _, entry in vault.leaves(name, root)]
    assert {content[4] for entry in entries for content in entry[6]} == {0, 1, 2}
    assert {vault.snapshot(name)["status"] for name in points} == {"ok", "void"}
    log = [vault.document(name, 6) for name in BLOBS if name.startswith("gc/")]
    assert any(one["kind"] == "begin" and one["body"]["state"]["tombstones"] for one in log)


def test_the_second_reader_derives_the_documented_values() -> None:
    vault = opened(BLOBS, VECTORS["passphrase"])
    for chain, chain_hash in VECTORS["chain_hash"].items():
        assert vault.chain_hash(chain) == chain_hash
    assert vault.deks[1].hex() == VECTORS["keys"]["dek"]
    kinds = {1: 1, 3: 3, 2: 4}  # type byte: a kind of box
    for row in VECTORS["ids"]:
        data, id_ = bytes.fromhex(row["data"]), bytes.fromhex(row["id"])
        assert vault.member("", kinds[row["type"]], data, id_, 0, len(data)) == data


def test_derived_values_are_the_documented_ones() -> None:
    keys = {name: bytes.fromhex(value) for name, value in VECTORS["keys"].items()}
    seed = int.from_bytes(keys["seed"], "big")
    ring = KeyRing(bytes(16), b"", {1: keys["dek"]}, 1, keys["k_id"], seed, keys["name_key"])
    for chain, chain_hash in VECTORS["chain_hash"].items():
        assert ring.chain_hash(chain) == chain_hash
    for row in VECTORS["ids"]:
        found = identify(ring, IdType(row["type"]), bytes.fromhex(row["data"]))
        assert found.hex() == row["id"]
    gear = VECTORS["gear"]
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
