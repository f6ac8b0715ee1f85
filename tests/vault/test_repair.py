"""Diseases planted one by one: each is named with what it costs, and chains go on behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.vault.test_collect import Vault, large
from tests.vault.test_damage import names
from tests.vault.world import (
    CHAIN,
    RECOVERY,
    SLOT,
    DamagedStore,
    StillClock,
    close,
    folder,
    new_vault,
    noise,
    open_vault,
)
from vault import Chunking, Entry, Location, Repository, VerifyReport
from vault.box import BoxKind, Domain, blob_name
from vault.entry import text_of
from vault.forward import Forward, pack_of, put_forward
from vault.forward import name_of as forward_name
from vault.lost import Lost
from vault.pack import read_directory
from vault.stores.memory import MemoryStore

LISTED = noise(77, 6_000_000)


@pytest.fixture(scope="module")
def healthy() -> DamagedStore:
    """A chain of three restore points and an open round, with boxes of every kind."""
    store = MemoryStore(StillClock())
    repo = Repository.create(
        store, [SLOT, RECOVERY], StillClock(), Chunking(65_536, 131_072, 262_144, 2)
    )
    for number in (1, 2, 3):
        step = repo.round(CHAIN, number).step()
        step.put(folder("inbox"), "folders")
        for item in range(300):
            content = step.add("mime", noise(number * 1000 + item, 300))
            step.put(Entry(f"{number}-{item}", "inbox", "message", "x", contents=(content,)), "p")
        for name, data in (("large", noise(number, 80_000)), ("listed", LISTED + bytes([number]))):
            content = step.add("content", data)
            step.put(Entry(f"{name}-{number}", "inbox", "file", "x", contents=(content,)), "p")
        step.link("p", f"link-{number}", finished=True)
        close(step.commit(complete=True))
    round_ = repo.round(CHAIN, 4)
    for page in range(3):
        step = round_.step()
        content = step.add("mime", noise(9000 + page, 300))
        step.put(Entry(f"open-{page}", "inbox", "message", "x", contents=(content,)), "p")
        round_ = step.commit()
    repo.put_record("plan/1", {"a": 1})
    return DamagedStore(store)


@pytest.fixture
def sick(healthy: DamagedStore) -> DamagedStore:
    copy = DamagedStore(MemoryStore())
    copy.blobs = dict(healthy.blobs)
    return copy


def verified(store: DamagedStore) -> VerifyReport:
    return open_vault(store.copied()).verify(read_data=True)


def points(store: DamagedStore) -> list[str]:
    return names(store, "s/")


@dataclass(frozen=True)
class Planted:
    """What a disease leads to: codes by effect, and whether the newest restore point is hurt."""

    found: set[tuple[str, str]]
    hurt: bool = False
    stuck: bool = False


def _swap(store: DamagedStore) -> None:
    one, two = names(store, "p/")[:2]
    store.blobs[one], store.blobs[two] = store.blobs[two], store.blobs[one]


def _graft(store: DamagedStore) -> None:
    """A pack of another vault, under its own name."""
    other = MemoryStore(StillClock())
    step = new_vault(other).round(CHAIN, 1).step()
    step.put(Entry("a", "", "file", "a", contents=(step.add("content", noise(1, 90_000)),)), "p")
    step.commit()
    (grafted,) = names(DamagedStore(other), "p/")
    store.blobs[grafted] = other.read(grafted)


def _truncate_newest_pack_of_open_round(store: DamagedStore) -> None:
    pack = _packs_of_page(store, names(store, "m/")[-1])[0]
    store.blobs[pack] = store.blobs[pack][:150]


def _packs_of_page(store: DamagedStore, name: str) -> list[str]:
    repo = open_vault(store.copied())
    _, _, number, seq = name.split("/")
    page = repo.round(CHAIN, int(number)).read_page(int(seq)).page
    return [blob_name(pack.id) for pack in page.packs]


def _replay(store: DamagedStore) -> None:
    store.blobs[points(store)[2]] = store.blobs[points(store)[1]]


DISEASES: dict[str, tuple[Callable[[DamagedStore], object], Planted]] = {
    "missing snapshot in the middle": (
        lambda store: store.blobs.pop(points(store)[1]),
        Planted({("snapshot-missing", "lost")}),
    ),
    "damaged snapshot in the middle": (
        lambda store: store.spoil(points(store)[1]),
        Planted({("snapshot-damaged", "lost")}),
    ),
    "damaged newest snapshot": (
        lambda store: store.spoil(points(store)[2]),
        Planted({("snapshot-damaged", "lost")}, hurt=True),
    ),
    "replayed old snapshot": (_replay, Planted({("snapshot-damaged", "lost")}, hurt=True)),
    "missing page of a closed round": (
        lambda store: store.blobs.pop(names(store, "m/")[1]),
        Planted({("page-missing", "unproved")}),
    ),
    "damaged page of a closed round": (
        lambda store: store.spoil(names(store, "m/")[1]),
        Planted({("page-damaged", "unproved")}),
    ),
    "missing page of the open round": (
        lambda store: store.blobs.pop(names(store, "m/")[-2]),
        Planted({("open-page-damaged", "lost")}, stuck=True),
    ),
    "damaged page of the open round": (
        lambda store: store.spoil(names(store, "m/")[-1]),
        Planted({("open-page-damaged", "lost")}, stuck=True),
    ),
    "truncated pack of the open round": (
        _truncate_newest_pack_of_open_round,
        Planted({("pack-missing", "lost")}, stuck=True),
    ),
    "grafted pack": (_graft, Planted({("pack-damaged", "harmless")})),
    "damaged record": (
        lambda store: store.spoil("r/plan/1"),
        Planted({("record-damaged", "lost")}),
    ),
    "unknown blob": (
        lambda store: store.blobs.update({"notes.txt": b"hello"}),
        Planted({("unknown-blob", "harmless")}),
    ),
}


@pytest.mark.parametrize("disease", DISEASES)
def test_a_planted_disease_is_named(sick: DamagedStore, disease: str) -> None:
    plant, planted = DISEASES[disease]
    plant(sick)
    report = verified(sick)
    assert {(one.code, one.effect) for one in report.problems} == planted.found
    assert (bool(report.hurt), bool(report.stuck)) == (planted.hurt, planted.stuck)


@pytest.mark.parametrize("disease", [name for name, (_, one) in DISEASES.items() if one.hurt])
def test_a_chain_whose_newest_restore_point_is_hurt_begins_anew(
    sick: DamagedStore, disease: str
) -> None:
    DISEASES[disease][0](sick)
    store = sick.copied()
    repo = open_vault(store)
    report = repo.verify(read_data=True)
    repair = repo.repair(report, [CHAIN])
    plan = repair.plan()
    assert (plan.restart, plan.void) == ([CHAIN], [])
    assert repair.carry_out(plan, "verify-1")
    assert repair.plan().restart == []  # once is enough
    round_ = open_vault(store).round(CHAIN, 5)
    assert round_.links == {}
    assert round_.pages == 0
    step = round_.step()
    step.put(folder("inbox"), "p")
    step.link("p", "new", finished=True)
    snapshot = close(step.commit(complete=True))
    assert [one.id for one in repo.catalog(snapshot).items()] == ["inbox"]
    after = repo.verify(read_data=True)
    assert {one.code for one in after.problems} == {"snapshot-damaged"}  # the old one, as it was
    assert (after.hurt, after.stuck) == ([], [])

    assert repo.repair(after).plan().bury == [(CHAIN, 3)]
    assert repo.repair(after).carry_out(repo.repair(after).plan(), "verify-2")
    assert repo.verify(read_data=True).problems == []


@pytest.mark.parametrize("disease", [name for name, (_, one) in DISEASES.items() if one.stuck])
def test_a_damaged_open_round_is_given_up_and_the_links_before_it_stay(
    sick: DamagedStore, disease: str
) -> None:
    DISEASES[disease][0](sick)
    store = sick.copied()
    repo = open_vault(store)
    repair = repo.repair(repo.verify(read_data=True))
    plan = repair.plan()
    assert (plan.restart, plan.void) == ([], [(CHAIN, 4)])
    assert repair.carry_out(plan, "verify-1")
    assert repair.carry_out(plan, "verify-1")
    assert repo.round(CHAIN, 5).links == {"p": "link-3"}
    after = repo.verify(read_data=True)
    assert all(one.effect == "harmless" for one in after.problems)
    assert (after.hurt, after.stuck) == ([], [])


def test_a_damaged_restore_point_in_the_middle_is_given_up(sick: DamagedStore) -> None:
    sick.spoil(points(sick)[1])
    store = sick.copied()
    repo = open_vault(store)
    repair = repo.repair(repo.verify())
    assert repair.plan().bury == [(CHAIN, 2)]
    assert repair.carry_out(repair.plan(), "verify-1")
    assert repo.numbers(CHAIN) == [1, 3]
    assert repo.verify(read_data=True).problems == []


@pytest.mark.parametrize("gap", [(2,), (1, 2)])
def test_restore_points_that_vanished_are_explained_so_that_collecting_goes_on(
    sick: DamagedStore, gap: tuple[int, ...]
) -> None:
    for name in [points(sick)[number - 1] for number in gap]:
        del sick.blobs[name]
    store = sick.copied()
    repo = open_vault(store)
    repair = repo.repair(repo.verify())
    plan = repair.plan()
    assert plan.bury == [(CHAIN, 2)]  # the one before the gap's end; the log covers the rest
    assert repair.carry_out(plan, "verify-1")
    assert repo.verify(read_data=True).problems == []
    report = repo.collector().report()
    assert report is not None
    assert report.damage == []


@pytest.mark.parametrize(
    ("kind", "domain", "codes"),
    [
        (BoxKind.GROUP, Domain.OWN, {"pack-damaged"}),
        (BoxKind.CHUNK, Domain.SHARED, {"pack-damaged"}),
        (BoxKind.LIST, Domain.OWN, {"pack-damaged"}),
        (BoxKind.NODE, Domain.OWN, {"pack-damaged", "catalog-damaged"}),
    ],
)
def test_a_flipped_bit_is_named_by_its_box_and_all_that_needs_it(
    sick: DamagedStore, kind: BoxKind, domain: Domain, codes: set[str]
) -> None:
    name, number, at = _box(sick, kind, domain)
    sick.spoil(name, at + 30)
    report = verified(sick)
    assert {one.code for one in report.problems} == codes
    (pack,) = [one for one in report.problems if one.code == "pack-damaged"]
    assert (pack.name, pack.boxes, pack.effect) == (name, [number], "lost")
    assert pack.items >= 1
    plan = open_vault(sick.copied()).repair(report).plan()
    assert plan.lost == Lost({pack_of(name): frozenset({number})})
    assert plan.restart == ([CHAIN] if report.hurt else [])


def _box(store: DamagedStore, kind: BoxKind, domain: Domain) -> tuple[str, int, int]:
    ring = open_vault(store.copied())._ring
    for name in names(store, "p/"):
        data = store.blobs[name]
        rows = read_directory(ring, pack_of(name), len(data), _ranges_of(data))
        for row in rows:
            if (row.kind, row.domain) == (kind, domain):
                return name, row.number, row.at
    raise AssertionError("no such box")


def _ranges_of(data: bytes) -> Callable[[int, int], bytes]:
    return lambda at, length: data[at : at + length]


def test_a_pack_of_another_vault_in_the_place_of_ours_is_damage(sick: DamagedStore) -> None:
    ours = names(sick, "p/")
    _graft(sick)
    (grafted,) = set(names(sick, "p/")) - set(ours)
    sick.blobs[ours[0]] = sick.blobs.pop(grafted)
    found = {one.name: one for one in verified(sick).problems}
    assert found[ours[0]].effect == "lost"


def test_swapped_packs_are_both_damaged_whole(sick: DamagedStore) -> None:
    _swap(sick)
    found = {one.name: one for one in verified(sick).problems if one.code.startswith("pack")}
    assert set(names(sick, "p/")[:2]) <= set(found)


def test_lost_chunks_are_stored_anew_though_every_row_says_where_they_are() -> None:
    """The look-up rows of a lost pack cannot be found by the pack: its directory is lost too."""
    vault = Vault()
    vault.back_up({"a": large(1)})
    (lost,) = vault.names("p/")
    vault.store.delete(lost)
    repo = vault.opened()
    report = repo.verify()
    assert report.hurt
    repair = repo.repair(report)
    assert repair.carry_out(repair.plan(), "verify-1")
    vault.back_up({"a": large(1)})
    vault.back_up({"b": large(1)}, chain="drive/drive:2")
    newest = vault.opened().numbers(CHAIN)[-1]
    assert vault.content_of(newest) == {"a": large(1)}
    assert vault.content_of(1, "drive/drive:2") == {"b": large(1)}
    chunks = sum(len(vault.store.read(name)) for name in vault.names("p/"))
    assert chunks < 2 * len(large(1))  # stored once more, not once per item


def test_without_the_record_the_lost_chunk_would_be_referred_to_again() -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    vault.store.delete(vault.names("p/")[0])
    vault.back_up({"a": large(1)})
    assert vault.opened().verify().hurt


def test_boxes_that_moved_into_a_lost_pack_are_lost_by_their_old_places_too() -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    (name,) = vault.names("p/")
    repo = vault.opened()
    moved = Location(text_of(b"a" * 32), 3, 96, 50)
    oldest = Location(text_of(b"b" * 32), 7, 96, 50)
    here = Location(pack_of(name), 0, 96, 50)
    put_forward(vault.store, repo._ring, Forward(moved.pack, {3: here, 4: oldest}))
    put_forward(vault.store, repo._ring, Forward(oldest.pack, {7: moved}))
    vault.store.delete(name)
    lost = repo.repair(repo.verify()).plan().lost
    assert lost.holds(here)
    assert lost.holds(moved)
    assert lost.holds(oldest)
    assert lost.holds(Location(moved.pack, 4, 96, 50))  # in two moves
    assert not lost.holds(Location(moved.pack, 5, 96, 50))


@pytest.mark.parametrize("wrong", ["elsewhere", "damaged"])
def test_a_wrong_forward_costs_what_it_should_lead_to(wrong: str) -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    (name,) = vault.names("p/")
    pack, ring = pack_of(name), vault.opened()._ring
    vault.store.delete(name)
    if wrong == "elsewhere":
        boxes = {number: Location(text_of(b"c" * 32), number, 96, 50) for number in range(9)}
        put_forward(vault.store, ring, Forward(pack, boxes))
    else:
        vault.store.put_new(forward_name(pack), b"garbage")
    report = vault.opened().verify()
    codes = {one.code for one in report.problems}
    assert "pack-missing" in codes
    assert ("forward-damaged" in codes) == (wrong == "damaged")
    assert report.hurt


def test_a_repair_that_dies_before_the_chains_has_lost_nothing() -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    vault.store.delete(vault.names("p/")[0])
    repo = vault.opened()
    repair = repo.repair(repo.verify())
    plan = repair.plan()
    repo._bench.tools.lost.add(repo._ring, plan.lost)  # and then it died
    assert repair.plan() == plan
    assert repair.carry_out(plan, "again")
    assert len(vault.names("r/lost/")) == 1
    assert repo.round(CHAIN, 3).links == {}


def test_what_two_records_say_adds_up() -> None:
    one = Lost({"a": frozenset({1}), "b": frozenset()})
    two = Lost({"a": frozenset({2}), "b": frozenset({3}), "c": frozenset({4})})
    both = one.joined(two)
    assert both == two.joined(one)
    assert both.packs == {"a": {1, 2}, "b": frozenset(), "c": {4}}
    assert both.holds(Location("b", 9, 0, 0))
    assert not both.holds(Location("c", 9, 0, 0))


@pytest.mark.parametrize("at", [9, -60, -20])
def test_a_pack_whose_frame_alone_is_damaged_has_lost_nothing(sick: DamagedStore, at: int) -> None:
    """Header, directory, trailer: references read the boxes without them."""
    name, _, _ = _box(sick, BoxKind.CHUNK, Domain.SHARED)
    sick.spoil(name, at)
    report = verified(sick)
    assert [(one.name, one.code, one.effect) for one in report.problems] == [
        (name, "pack-damaged", "harmless")
    ]
    assert report.hurt == []


def test_more_damage_in_a_pack_of_a_damaged_node_is_counted_too(sick: DamagedStore) -> None:
    node, _, at = _box(sick, BoxKind.NODE, Domain.OWN)
    sick.spoil(node, at + 30)
    alone = verified(sick)
    data = sick.blobs[node]
    ring = open_vault(sick.copied())._ring
    rows = read_directory(ring, pack_of(node), len(data), _ranges_of(data))
    group = next(row for row in rows if row.kind == BoxKind.GROUP)
    sick.spoil(node, group.at + 30)
    both = verified(sick)
    (one,) = [finding for finding in alone.problems if finding.code == "pack-damaged"]
    (two,) = [finding for finding in both.problems if finding.code == "pack-damaged"]
    assert two.items > one.items
    assert len(two.boxes) == 2


def test_restore_points_whose_list_is_damaged_block_the_collector_until_they_are_given_up() -> None:
    vault = Vault()
    many = {f"m{number}": noise(number, 300) for number in range(400)}
    vault.back_up(many)
    spoiled = DamagedStore(vault.store)
    name, _, at = _box(spoiled, BoxKind.NODE, Domain.OWN)
    spoiled.spoil(name, at + 30)
    vault.store.delete(name)
    vault.store.put_new(name, spoiled.blobs[name])
    repo = vault.opened()
    repair = repo.repair(repo.verify(read_data=True))
    assert repair.carry_out(repair.plan(), "verify-1")
    vault.back_up(many)
    assert vault.content_of(3) == many
    assert vault.cycle().damage != []

    repo = vault.opened()
    repair = repo.repair(repo.verify(read_data=True))
    assert repair.plan().empty is False  # the box is still lost
    assert repair.plan().bury == []
    plan = repair.plan(give_up=True)
    assert plan.bury == [(CHAIN, 1)]
    assert repair.carry_out(plan, "verify-2")
    assert vault.opened().numbers(CHAIN) == [2, 3]
    vault.wait_days(5)
    assert vault.cycle(2).damage == []
    assert vault.content_of(3) == many
