"""Vaults that earlier versions wrote open, byte for byte, with the product and without it; damaged
ones are named by both, and newer ones are refused with the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from base.errors import Problem
from tests.vault import golden, second_reader
from tests.vault.second_reader import run, spread
from tests.vault.world import StillClock
from vault import (
    KeySlot,
    PassphraseSlot,
    PublicKeySlot,
    Repository,
    UnknownFeature,
    VaultDamaged,
    WrongKey,
)
from vault.collect import Asked
from vault.entry import dumps
from vault.envelope import Kind

Blobs = dict[str, bytes]


@pytest.fixture(scope="module", params=golden.NAMES)
def kept(request: pytest.FixtureRequest) -> tuple[Blobs, dict[str, Any]]:
    return golden.golden(request.param)


@pytest.fixture
def blobs(kept: tuple[Blobs, dict[str, Any]]) -> Blobs:
    return dict(kept[0])


@pytest.fixture(scope="module")
def expected(kept: tuple[Blobs, dict[str, Any]]) -> dict[str, Any]:
    return kept[1]


@pytest.fixture
def copy(blobs: Blobs, tmp_path: Path) -> Path:
    return spread(blobs, tmp_path / "copy")


def test_there_is_a_golden_vault_of_this_version() -> None:
    assert golden.NAMES


def test_the_product_reads_every_byte_of_every_restore_point(
    blobs: Blobs, expected: dict[str, Any]
) -> None:
    repo = golden.opened(blobs, PassphraseSlot(expected["passphrase"]))
    assert golden.as_we_read(repo) == expected["points"]
    assert (
        sum(len(point["items"]) for rows in expected["points"].values() for point in rows.values())
        > 300
    )
    for name, value in expected["records"].items():
        assert repo.get_record(name) == value
    assert repo.verify(read_data=True).problems == []


def test_the_second_reader_extracts_every_byte_of_every_restore_point(
    copy: Path, tmp_path: Path, expected: dict[str, Any]
) -> None:
    said = run(
        copy, "extract", tmp_path / "out", "--number", "all", passphrase=expected["passphrase"]
    )
    assert (said.code, said.err) == (0, ""), said.out
    assert golden.as_extracted(tmp_path / "out") == golden.good_points(expected)
    for name, value in expected["records"].items():
        found = (tmp_path / "out" / "records" / "r" / name).read_bytes()
        assert json.loads(found) == value


def test_the_second_reader_finds_nothing_wrong_and_lists_all_there_is(
    copy: Path, expected: dict[str, Any]
) -> None:
    said = run(copy, "verify", passphrase=expected["passphrase"])
    assert (said.code, said.out.splitlines()[-1]) == (0, "all is well")
    said = run(copy, "list", passphrase=expected["passphrase"])
    assert said.code == 0
    lines = said.out.splitlines()
    for chain, rows in expected["points"].items():
        titles = [point["about"]["title"] for point in rows.values() if point["about"]]
        assert f"{chain} | {titles[-1]}" in lines
    assert "key check" in lines[0]
    assert len(lines) == 1 + sum(1 + len(rows) for rows in expected["points"].values())


def test_every_slot_opens_it(blobs: Blobs, copy: Path, expected: dict[str, Any]) -> None:
    pem = copy.parent / "private.pem"
    pem.write_text(expected["private_key"])
    slots: list[KeySlot] = [PublicKeySlot.from_private_pem(pem.read_bytes())]
    slots += [PassphraseSlot(expected[name]) for name in ("passphrase", "recovery")]
    for slot in slots:
        assert set(golden.opened(blobs, slot).chains()) == expected["points"].keys()
    assert run(copy, "list", "--private-key", pem).code == 0
    master = copy.parent / "master.bin"  # as a smart card, OpenSSL or Key Vault would unwrap it
    master.write_bytes(golden.opened(blobs, slots[0]).keys._master)
    assert run(copy, "list", "--master-file", master).code == 0
    (copy.parent / "pass").write_text(expected["recovery"] + "\n")
    assert run(copy, "--passphrase-file", copy.parent / "pass", "list").code == 0
    with pytest.raises(WrongKey):
        golden.opened(blobs, PassphraseSlot("a guess"))
    said = run(copy, "list", passphrase="a guess")
    assert (said.code, said.out) == (2, "")
    assert "passphrase, public-key" in said.err


def test_a_copy_of_the_two_containers_reads_like_a_folder(
    blobs: Blobs, tmp_path: Path, expected: dict[str, Any]
) -> None:
    packs = {name: data for name, data in blobs.items() if name.startswith("p/")}
    rest = {name: data for name, data in blobs.items() if name not in packs}
    spread(packs, tmp_path / "contoso-packs")
    meta = spread(rest, tmp_path / "contoso-meta")
    said = run(
        meta, "verify", "--packs", tmp_path / "contoso-packs", passphrase=expected["passphrase"]
    )
    assert said.code == 0
    assert run(meta, "verify", passphrase=expected["passphrase"]).code == 1


def test_extraction_writes_safe_names_only_and_overwrites_nothing(
    copy: Path, tmp_path: Path, expected: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    assert run(copy, "extract", out, passphrase=expected["passphrase"]).code == 0
    files = [path for path in out.rglob("*") if path.is_file()]
    rows = second_reader.manifest(out)
    assert {path.relative_to(out).as_posix() for path in files} == {
        *(row["path"] for row in rows), "manifest.csv"
    }  # fmt: skip
    for path in out.rglob("*"):
        assert path.name.isprintable()
        assert not set(path.name) & set('<>:"\\|?*')
        assert path.stem.upper() not in ("CON", "NUL")
    assert len({row["path"].casefold() for row in rows}) == len(rows)
    said = run(copy, "extract", out, passphrase=expected["passphrase"])
    assert said.code != 0
    assert "not empty" in said.err


def test_one_chain_or_one_restore_point_is_extracted_alone(
    copy: Path, tmp_path: Path, expected: dict[str, Any]
) -> None:
    def extracted(*arguments: str) -> tuple[int, Any]:
        out = tmp_path / "-".join(arguments).replace("/", "-")
        said = run(copy, "extract", out, *arguments, passphrase=expected["passphrase"])
        return said.code, golden.as_extracted(out) if out.exists() else None

    good = golden.good_points(expected)
    for chain, rows in good.items():
        newest, oldest = max(rows, key=int), min(rows, key=int)
        assert extracted("--chain", chain) == (0, {chain: {newest: rows[newest]}})
        found = extracted("--chain", chain, "--number", oldest)
        assert found == (0, {chain: {oldest: rows[oldest]}})
    assert extracted("--chain", "no/such:chain") == (1, None)
    assert extracted("--number", "999") == (1, None)


# --- Damaged ---


def flip(blobs: Blobs, name: str, at: int = -30) -> str:
    data = bytearray(blobs[name])
    data[at] ^= 1
    blobs[name] = bytes(data)
    return name


def swap(blobs: Blobs, prefix: str) -> str:
    one, two = of(blobs, prefix)[:2]
    blobs[one], blobs[two] = blobs[two], blobs[one]
    return two


def cut(blobs: Blobs, name: str) -> str:
    blobs[name] = blobs[name][: len(blobs[name]) // 2]
    return name


def stranger(blobs: Blobs, name: str) -> str:
    blobs[name] = b"?"
    return name


def without(blobs: Blobs, name: str) -> str:
    del blobs[name]
    return name


def of(blobs: Blobs, prefix: str) -> list[str]:
    return sorted(name for name in blobs if name.startswith(prefix))


def closed_page(blobs: Blobs) -> str:
    return next(name for name in of(blobs, "m/") if "s" + name[1:-7] in blobs)


def open_page(blobs: Blobs) -> str:
    newest = {name[2:42]: int(name[-10:]) for name in of(blobs, "s/")}
    return next(n for n in of(blobs, "m/") if int(n.split("/")[2]) > newest[n.split("/")[1]])


def newest_of_many(blobs: Blobs) -> str:
    chains = [name[2:42] for name in of(blobs, "s/")]
    chain = max(chains, key=chains.count)
    return of(blobs, f"s/{chain}/")[-1]


def largest(blobs: Blobs, prefix: str) -> str:
    return max(of(blobs, prefix), key=lambda name: len(blobs[name]))


DISEASES: dict[str, Callable[[Blobs], str]] = {
    "a pack is missing": lambda b: without(b, largest(b, "p/")),
    "a pack is half copied": lambda b: cut(b, largest(b, "p/")),
    "a bit of a pack flipped": lambda b: flip(b, largest(b, "p/"), 200),
    "a pack's checksum is wrong": lambda b: flip(b, largest(b, "p/")),
    "packs are swapped": lambda b: swap(b, "p/"),
    "a page of a restore point is missing": lambda b: without(b, closed_page(b)),
    "a page of a restore point is damaged": lambda b: flip(b, closed_page(b)),
    "pages are swapped": lambda b: swap(b, "m/"),
    "a page of an open round is damaged": lambda b: flip(b, open_page(b)),
    "a restore point is damaged": lambda b: flip(b, of(b, "s/")[0]),
    "the newest restore point is damaged": lambda b: flip(b, newest_of_many(b)),
    "restore points are swapped": lambda b: swap(b, "s/"),
    "a record is damaged": lambda b: flip(b, of(b, "r/")[0]),
    "sealed bytes that expire are damaged": lambda b: flip(b, of(b, "x/")[0]),
    "a forward is damaged": lambda b: flip(b, of(b, "fwd/")[0]),
    "a strange blob": lambda b: stranger(b, "readme.txt"),
}


@pytest.mark.parametrize("disease", DISEASES)
def test_both_readers_name_what_is_damaged(
    blobs: Blobs, expected: dict[str, Any], disease: str
) -> None:
    name = DISEASES[disease](blobs)
    ours = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).verify(read_data=True)
    assert name in {finding.name for finding in ours.problems}
    theirs = second_reader.findings(blobs, expected["passphrase"])
    assert name in {blob for _, blob in theirs}


def test_both_readers_name_a_gap(blobs: Blobs, expected: dict[str, Any]) -> None:
    chain = newest_of_many(blobs)[:-10]
    numbers = [int(name[-10:]) for name in of(blobs, chain)]
    lost = next(n for n in numbers if n - 1 in numbers and n + 1 in numbers and n > 1)
    name = without(blobs, f"{chain}{lost:010d}")
    ours = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).verify()
    assert {(one.code, one.name) for one in ours.problems} == {("snapshot-missing", name)}
    theirs = second_reader.findings(blobs, expected["passphrase"])
    assert theirs == {("snapshot-missing", name)}


def test_both_readers_name_a_gap_in_the_collectors_log(
    blobs: Blobs, expected: dict[str, Any]
) -> None:
    without(blobs, of(blobs, "gc/")[-2])
    ours = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).verify()
    assert "log-damaged" in {finding.code for finding in ours.problems}
    theirs = second_reader.findings(blobs, expected["passphrase"])
    assert "log-damaged" in {code for code, _ in theirs}


@pytest.mark.parametrize("lost", [1, 2])
def test_a_gap_that_a_repair_buried_is_explained_to_both_readers(
    blobs: Blobs, expected: dict[str, Any], lost: int
) -> None:
    chain = newest_of_many(blobs)[:-10]
    for name in of(blobs, chain)[5 : 5 + lost]:
        without(blobs, name)
    store = golden.stored(blobs)
    repo = Repository.open(store, PassphraseSlot(expected["passphrase"]), StillClock())
    repair = repo.repair(repo.verify(read_data=True))
    assert repair.carry_out(repair.plan(), by="repair-1")
    assert repo.verify(read_data=True).problems == []
    mended = {listed.name: store.read(listed.name) for listed in store.list("")}
    assert second_reader.findings(mended, expected["passphrase"]) == set()


def test_what_is_not_damaged_is_extracted_and_the_rest_is_named(
    blobs: Blobs, expected: dict[str, Any], tmp_path: Path
) -> None:
    name = flip(blobs, largest(blobs, "p/"), 200)
    said = run(
        spread(blobs, tmp_path / "copy"), "extract", tmp_path / "out",
        passphrase=expected["passphrase"],
    )  # fmt: skip
    assert said.code == 1
    rows = second_reader.manifest(tmp_path / "out")
    bad = [row for row in rows if row["problem"]]
    assert {row["problem"].split(":")[0] for row in bad} == {name}
    assert 0 < len(bad) < len(rows) / 2
    assert not any((tmp_path / "out" / row["path"]).exists() for row in bad)
    assert all((tmp_path / "out" / row["path"]).exists() for row in rows if not row["problem"])


# --- Sealed right, and yet another one than what follows says ---


def both_name(blobs: Blobs, expected: dict[str, Any], disease: str, name: str) -> None:
    ours = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).verify(read_data=True)
    assert (disease, name) in {(one.code, one.name) for one in ours.problems}
    assert (disease, name) in second_reader.findings(blobs, expected["passphrase"])


def test_a_restore_point_that_was_written_anew_breaks_the_chain(
    blobs: Blobs, expected: dict[str, Any]
) -> None:
    chain = newest_of_many(blobs)[:-10]
    *_, one, two = of(blobs, chain)
    resealed(blobs, expected, one, lambda document: document.update(by="somebody"))
    both_name(blobs, expected, "chain-broken", two)


def test_a_page_that_was_written_anew_is_not_the_one_its_restore_point_names(
    blobs: Blobs, expected: dict[str, Any]
) -> None:
    name = closed_page(blobs)
    ring = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).keys.ring
    blobs[name] = ring.seal(Kind.PAGE, name, ring.unseal(Kind.PAGE, name, blobs[name]))
    both_name(blobs, expected, "page-damaged", name)


def test_a_reference_to_another_chunk_than_its_id_says_hands_out_nothing(
    blobs: Blobs, expected: dict[str, Any]
) -> None:
    """Two small files in one group: the seal of the group alone does not tell them apart."""
    name = newest_of_many(blobs)
    vault = second_reader.opened(blobs, expected["passphrase"])
    refs: dict[Any, list[Any]] = {}
    for _, entry in vault.leaves(name, vault.snapshot(name)["roots"]["rows"]):
        for content in entry[6]:
            if len(content[3]) == 1 and content[4] == 0:
                refs.setdefault(tuple(content[3][0][1:5]), []).append(content[3][0])
    one, two = next(pair for pair in refs.values() if len(pair) > 1)[:2]
    wrong = [one[0], *two[1:]]
    entry = ["z", "", "message", "z", {}, {}, [["mime", two[6], {}, [wrong], 0]]]
    rows = dumps({"level": 0, "keys": [["", "1z", "z"]]}) + b"\n" + dumps(entry)
    items = dumps({"level": 0, "keys": [["z"]]}) + b"\n" + dumps(["", "1z"])
    roots = {"rows": rows.decode(), "items": items.decode()}
    resealed(blobs, expected, name, lambda document: document.update(roots=roots))
    repo = golden.opened(blobs, PassphraseSlot(expected["passphrase"]))
    snapshot = repo.snapshot(vault.snapshot(name)["chain"], int(name[-10:]))
    (found,) = repo.catalog(snapshot).items()
    with pytest.raises(VaultDamaged):
        b"".join(repo.read(found.contents[0]))
    named = second_reader.findings(blobs, expected["passphrase"])
    assert "pack-damaged" in {disease for disease, _ in named}


# --- Newer ---


def test_a_vault_that_needs_an_unknown_feature_is_refused(
    blobs: Blobs, expected: dict[str, Any], tmp_path: Path
) -> None:
    blobs["config/0001"] = blobs["config/0001"].replace(b'"catalog-1"', b'"catalog-2"')
    with pytest.raises(UnknownFeature) as refused:
        golden.opened(blobs, PassphraseSlot(expected["passphrase"]))
    assert refused.value.details["features"] == ["catalog-2"]
    said = run(spread(blobs, tmp_path / "copy"), "list", passphrase=expected["passphrase"])
    assert (said.code, said.out) == (2, "")
    assert "needs catalog-2" in said.err


def test_a_vault_whose_key_list_adds_a_feature_is_refused(
    blobs: Blobs, expected: dict[str, Any], tmp_path: Path
) -> None:
    store, slot = golden.stored(blobs), PassphraseSlot(expected["passphrase"])
    keys = Repository.open(store, slot, StillClock()).keys
    newer = {"read": ["streams-1"], "write": [], "collect": []}
    file = keys._file.next(replace(keys.ring, features=newer), keys._file.slots, keys._master)
    blobs[file.name] = file.to_bytes()
    with pytest.raises(UnknownFeature):
        golden.opened(blobs, slot)
    said = run(spread(blobs, tmp_path / "copy"), "list", passphrase=expected["passphrase"])
    assert said.code == 2
    assert "needs streams-1" in said.err


@pytest.mark.parametrize("operation", ["write", "collect"])
def test_what_only_writers_or_collectors_do_not_know_keeps_nobody_else_out(
    blobs: Blobs, expected: dict[str, Any], operation: str
) -> None:
    slot = PassphraseSlot(expected["passphrase"])
    store = golden.stored(blobs)
    keys = Repository.open(store, slot, StillClock()).keys
    newer = {"read": [], "write": [], "collect": [], operation: ["new-1"]}
    file = keys._file.next(replace(keys.ring, features=newer), keys._file.slots, keys._master)
    store.put_new(file.name, file.to_bytes())
    assert not second_reader.findings({**blobs, file.name: file.to_bytes()}, expected["passphrase"])
    if operation == "collect":
        repo = Repository.open(store, slot, StillClock())
        with pytest.raises(UnknownFeature):
            repo.collector()
        assert repo.rotate_data_key().name != file.name
        assert repo.keys.ring.features == newer


def resealed(
    blobs: Blobs, expected: dict[str, Any], name: str, change: Callable[[Any], None]
) -> None:
    """A restore point as a later version might have written it."""
    ring = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).keys.ring
    document = json.loads(ring.unseal(Kind.SNAPSHOT, name, blobs[name]))
    change(document)
    blobs[name] = ring.seal(Kind.SNAPSHOT, name, dumps(document))


def refused_by_both(blobs: Blobs, expected: dict[str, Any], name: str, reason: str) -> None:
    """Both readers name the blob, and say why."""
    repo = golden.opened(blobs, PassphraseSlot(expected["passphrase"]))
    with pytest.raises(UnknownFeature):
        golden.as_we_read(repo)
    assert name in {finding.name for finding in repo.verify(read_data=True).problems}
    check = second_reader.reader.Verification(second_reader.opened(blobs, expected["passphrase"]))
    check.run()
    assert any(reason in text for text in check.findings.values()), check.findings


def collects_nothing(blobs: Blobs, expected: dict[str, Any], name: str) -> None:
    """What a collector does not understand may need anything."""
    collector = golden.opened(blobs, PassphraseSlot(expected["passphrase"])).collector()
    assert collector.begin([], Asked(confirmed=True))
    assert not collector.slice(lambda: True)
    report = collector.report()
    assert report is not None
    assert name in {blob for blob, _ in report.damage}
    assert report.packs == {}


def test_an_object_of_format_2_is_refused(blobs: Blobs, expected: dict[str, Any]) -> None:
    name = newest_of_many(blobs)
    resealed(blobs, expected, name, lambda document: document.update(format=2))
    refused_by_both(blobs, expected, name, "has format 2")
    collects_nothing(blobs, expected, name)


def test_an_envelope_of_format_2_is_refused(blobs: Blobs, expected: dict[str, Any]) -> None:
    name = newest_of_many(blobs)
    blobs[name] = blobs[name][:9] + b"\x02" + blobs[name][10:]
    refused_by_both(blobs, expected, name, "has format 2")


def test_a_content_with_an_unknown_flag_is_refused(blobs: Blobs, expected: dict[str, Any]) -> None:
    name = newest_of_many(blobs)
    entry = ["z", "", "message", "z", {}, {}, [["mime", 0, {}, [], 4]]]
    rows = dumps({"level": 0, "keys": [["", "1z", "z"]]}) + b"\n" + dumps(entry)
    items = dumps({"level": 0, "keys": [["z"]]}) + b"\n" + dumps(["", "1z"])
    roots = {"rows": rows.decode(), "items": items.decode()}
    resealed(blobs, expected, name, lambda document: document.update(roots=roots))
    refused_by_both(blobs, expected, name, "has flags 4")
    collects_nothing(blobs, expected, name)


def test_a_box_of_an_unknown_kind_is_refused(blobs: Blobs, expected: dict[str, Any]) -> None:
    name = largest(blobs, "p/")
    body = blobs[name][:100] + b"\x05" + blobs[name][101:-44]
    blobs[name] = body + blobs[name][-44:-40] + hashlib.sha256(body).digest() + b"HOLDPACK"
    refused_by_both(blobs, expected, name, "is of kind 5")


def test_a_page_with_an_unknown_operation_is_refused(
    blobs: Blobs, expected: dict[str, Any]
) -> None:
    """Whoever merges it without knowing what it says would lose it."""
    name = open_page(blobs)
    repo = golden.opened(blobs, PassphraseSlot(expected["passphrase"]))
    ring = repo.keys.ring
    head, *lines = ring.unseal(Kind.PAGE, name, blobs[name]).split(b"\n")
    document = json.loads(head)
    document["ops"].append(["rename", "a", "b"])
    blobs[name] = ring.seal(Kind.PAGE, name, b"\n".join([dumps(document), *lines]))
    with pytest.raises(UnknownFeature):
        golden.opened(blobs, PassphraseSlot(expected["passphrase"])).round(
            document["chain"], document["number"]
        )
    collects_nothing(blobs, expected, name)


def test_a_problem_of_a_golden_vault_has_a_hint(blobs: Blobs, expected: dict[str, Any]) -> None:
    blobs["config/0001"] = b"{}"
    with pytest.raises(Problem) as refused:
        golden.opened(blobs, PassphraseSlot(expected["passphrase"]))
    assert refused.value.hint
