"""A verification names each disease, what it costs and what mends it, in slices of any size."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vault.test_collect import Vault, large
from tests.vault.test_damage import CHAIN, OTHER, diagnosed, diseases, healthy, names, sick
from tests.vault.world import DamagedStore, StillClock, close, new_vault, noise, open_vault
from vault import Entry
from vault.box import blob_name
from vault.findings import WHAT, Disease
from vault.stores.memory import MemoryStore
from vault.verify import VerifyReport, Wanted

assert healthy
assert sick


def checked(
    store: DamagedStore, wanted: Wanted, more: Callable[[], bool] = lambda: True
) -> VerifyReport:
    """A whole verification in slices, each by a process of its own."""
    report = VerifyReport()
    while True:
        check = open_vault(store.copied()).verification(
            wanted, VerifyReport.from_json(report.to_json())
        )
        left = check.slice(more)
        report = check.report
        if not left:
            return report


def newest_box(store: DamagedStore, chain: str, item: str) -> tuple[str, int, int]:
    """Pack, number and place of the box that holds an item of the newest restore point."""
    repo = open_vault(store.copied())
    head = repo.head(chain)
    assert head is not None
    entry = repo.catalog(head).get(item)
    assert entry is not None
    location = entry.contents[0].refs[0].place.location
    return blob_name(location.pack), location.box, location.at


def test_a_damaged_box_names_the_items_in_it_and_no_others(sick: DamagedStore) -> None:
    name, box, at = newest_box(sick, CHAIN, "3-7")
    sick.spoil(name, at + 40)
    (finding,) = diagnosed(sick).problems
    assert (finding.name, finding.code, finding.level) == (name, "pack-damaged", 2)
    assert (finding.effect, finding.boxes, finding.newest) == ("lost", [box], True)
    assert finding.items == 300  # those of its group
    assert {(chain, parent) for chain, _, parent in finding.samples} == {(CHAIN, "inbox")}


def test_a_damaged_chunk_that_two_chains_share_counts_for_both(sick: DamagedStore) -> None:
    name, _, at = newest_box(sick, CHAIN, "large-3")
    sick.spoil(name, at + 40)
    (finding,) = diagnosed(sick).problems
    assert sorted(one[:2] for one in finding.samples) == [[OTHER, "large-3"], [CHAIN, "large-3"]]


def test_damage_of_an_old_restore_point_does_not_touch_the_newest(sick: DamagedStore) -> None:
    store = MemoryStore(StillClock())
    repo = new_vault(store)
    for number, data in enumerate((noise(1, 90_000), noise(2, 90_000)), 1):
        step = repo.round(CHAIN, number).step()
        step.put(Entry("a", "", "file", "a", contents=(step.add("content", data),)), "root")
        step.link("root", "x", finished=True)
        close(step.commit(complete=True))
    spoiled = DamagedStore(store)
    old = repo.catalog(repo.snapshot(CHAIN, 1)).get("a")
    assert old is not None
    location = old.contents[0].refs[0].place.location
    spoiled.spoil(blob_name(location.pack), location.at + 40)
    (finding,) = diagnosed(spoiled).problems
    assert (finding.items, finding.newest) == (1, False)


def test_a_missing_node_costs_the_restore_points_that_need_it(sick: DamagedStore) -> None:
    for lost in names(sick, "p/"):
        del sick.blobs[lost]
    found = diagnosed(sick, read_data=False)
    damaged = [one for one in found.problems if one.code == "catalog-damaged"]
    assert damaged
    assert all(one.effect == "lost" and one.name.startswith("s/") for one in damaged)


def test_a_head_that_was_rolled_back_is_known_by_its_owner(sick: DamagedStore) -> None:
    chain_hash = open_vault(sick.copied())._ring.chain_hash(CHAIN)
    newest = f"s/{chain_hash}/0000000003"
    heads = {CHAIN: (3, "")}
    assert checked(sick, Wanted(heads=heads)).clean
    del sick.blobs[newest]
    for name in names(sick, f"m/{chain_hash}/0000000004"):
        del sick.blobs[name]
    for name in names(sick, f"m/{chain_hash}/0000000003"):
        del sick.blobs[name]
    assert open_vault(sick.copied()).verify().clean  # nobody can tell without knowing
    report = checked(sick, Wanted(heads=heads))
    assert diseases(report) == {("head-rolled-back", newest)}


def test_a_chain_that_vanished_is_known_by_its_owner(sick: DamagedStore) -> None:
    chain_hash = open_vault(sick.copied())._ring.chain_hash(OTHER)
    for name in [n for n in sick.blobs if chain_hash in n]:
        del sick.blobs[name]
    report = checked(sick, Wanted(heads={OTHER: (3, ""), CHAIN: (3, "")}))
    assert diseases(report) == {("head-rolled-back", f"s/{chain_hash}")}


def test_an_old_restore_point_in_the_place_of_a_newer_one_is_damage(sick: DamagedStore) -> None:
    first, second = names(sick, "s/")[:2]
    sick.blobs[second] = sick.blobs[first]
    found = diseases(diagnosed(sick))
    assert ("snapshot-damaged", second) in found


def test_what_is_none_of_the_vaults_is_harmless(sick: DamagedStore) -> None:
    sick.blobs["notes.txt"] = b"hello"
    (finding,) = diagnosed(sick).problems
    assert (finding.code, finding.effect) == ("unknown-blob", "harmless")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("r/plan/1", "record-damaged"),
        ("fwd/ab/" + "ab" * 32, "forward-damaged"),
        ("gc/0000000001", "log-damaged"),
        ("keys/0000", "keys-damaged"),
    ],
)
def test_small_objects_are_named_by_what_they_are(sick: DamagedStore, name: str, code: str) -> None:
    sick.blobs[name] = b"garbage"
    assert code in {finding.code for finding in diagnosed(sick).problems}


def test_a_damaged_pack_that_nothing_needs_is_harmless() -> None:
    vault = Vault()
    step = vault.opened().round(CHAIN, 1).step()
    for number in range(200):
        step.put(Entry(f"m{number}", "", "x", "x", contents=(step.add("m", large(number)),)), "r")
    step._packer._land()
    spoiled = DamagedStore(vault.store)
    spoiled.spoil(names(spoiled, "p/")[0], 5000)
    (finding,) = diagnosed(spoiled).problems
    assert (finding.code, finding.effect) == ("pack-damaged", "harmless")


def test_slices_of_any_size_find_the_same(sick: DamagedStore) -> None:
    name, _, at = newest_box(sick, CHAIN, "3-7")
    sick.spoil(name, at + 40)
    del sick.blobs[names(sick, "m/")[1]]
    sick.blobs["notes.txt"] = b"hello"
    sick.spoil("r/plan/1")
    whole = checked(sick, Wanted(share=1.0))
    small = checked(sick, Wanted(share=1.0), lambda: False)
    assert {one.code for one in whole.problems} == {
        "pack-damaged", "page-missing", "unknown-blob", "record-damaged",
    }  # fmt: skip
    assert small.problems == whole.problems
    assert small.counts == whole.counts


def test_every_pack_has_its_turn_when_a_share_is_read_each_day(sick: DamagedStore) -> None:
    read: list[str] = []
    after = ""
    for _ in range(3):
        report = checked(sick, Wanted(share=1 / 3, after=after))
        assert report.counts["packs_read"] == 2
        after = report.packs_through
        read.append(after)
    assert len(set(read)) == 3
    assert checked(sick, Wanted(share=1 / 3, after=after)).packs_through == read[0]


def test_a_verification_beside_backups_and_collections_finds_nothing() -> None:
    """Everything happens between two pieces of a verification."""
    vault = Vault()
    for number in range(20):
        vault.back_up({"a": large(number), "keep": large(99)})
    vault.wait_days(9)
    report = VerifyReport()
    while True:
        check = vault.opened().verification(Wanted(share=1.0), report)
        known = check._known
        check._known = lambda known=known: _then(vault, known())  # type: ignore[method-assign]
        left = check.slice(lambda: False)
        report = check.report
        if not left:
            break
    assert report.problems == []
    assert vault.opened().verify(read_data=True).problems == []


def _then(vault: Vault, known: object) -> object:
    """A backup and a cycle come between a listing and what is done with it."""
    newest = vault.opened().numbers("mail/mailbox:11111111")[-1]
    vault.back_up({"a": large(newest), "keep": large(99)})
    vault.wait()
    vault.cycle(*range(1, newest - 1), confirmed=True)
    return known


def test_every_disease_says_what_mends_it() -> None:
    assert set(WHAT) == set(Disease)
    for _, message, repair in WHAT.values():
        assert message.endswith(".")
        assert repair.endswith(".")
