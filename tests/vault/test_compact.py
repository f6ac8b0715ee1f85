"""Packs that are mostly garbage, or small and many, move into new ones; every content stays."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vault.faults import dies_at_every_call
from tests.vault.test_collect import FOREVER, Vault, large
from tests.vault.world import CHAIN, noise, open_vault
from vault import CountingStore, Missing, Store, VaultDamaged
from vault.box import BoxKind
from vault.collect import Asked
from vault.forward import Forward, pack_of, put_forward
from vault.gc_log import SWEPT
from vault.pack import open_pack
from vault.sweep import Action

WEEK_AND_MORE = 8
OTHER = "drive/other"


def quiet(vault: Vault, nights: int = 20) -> dict[str, bytes]:
    """A mailbox that receives one mail a night, and one of another chain that shares files."""
    held = {}
    for number in range(nights):
        held[f"m{number}"] = noise(number, 3_000 if number % 2 else 90_000)
        vault.back_up({f"m{number}": held[f"m{number}"]})
    vault.wait_days(WEEK_AND_MORE)
    return held


@pytest.fixture
def vault() -> Vault:
    return Vault()


def test_small_packs_of_a_quiet_mailbox_become_one(vault: Vault) -> None:
    held = quiet(vault)
    before = vault.packs()
    report = vault.cycle()
    assert (report.packs_compacted, report.packs_written) == (20, 1)
    assert before < vault.packs()
    assert vault.content_of(20) == held
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"condemned": 20, "needed": 1}
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"deleted": 20, "needed": 1}
    assert len(vault.packs()) == 1
    for number in (1, 7, 20):
        assert vault.content_of(number) == dict(itertools.islice(held.items(), number))
    assert vault.is_clean()


def two_quiet_mailboxes(vault: Vault) -> dict[str, dict[str, bytes]]:
    """Each receives a mail a night, and a file that the other one receives too."""
    held: dict[str, dict[str, bytes]] = {CHAIN: {}, OTHER: {}}
    for number in range(20):
        for seed, (chain, items) in enumerate(held.items(), 1):
            night = {f"m{number}": noise(seed * 1_000 + number, 2_000)}
            night[f"f{number}"] = noise(number, 70_000)
            items |= night
            vault.back_up(night, chain=chain)
    vault.wait_days(WEEK_AND_MORE)
    return held


def test_what_is_a_chains_own_is_merged_apart_from_that_of_another(vault: Vault) -> None:
    held = two_quiet_mailboxes(vault)
    before = vault.packs()
    report = vault.cycle()
    assert (report.packs_compacted, report.packs_written) == (40, 2)
    own = {new: own_ids(vault, new) for new in vault.packs() - before}
    assert sorted(len(ids) for ids in own.values()) == [20, 20]
    vault.wait()
    vault.cycle(confirmed=True)
    vault.wait()
    vault.cycle(confirmed=True)
    assert vault.packs() == set(own)
    for chain, items in held.items():
        assert vault.content_of(20, chain) == items
    assert vault.is_clean()


def own_ids(vault: Vault, name: str) -> set[bytes]:
    """Ids of the mails in a pack."""
    boxes = open_pack(vault.opened()._ring, pack_of(name), vault.store.read(name))
    return {box.members[0].id for box in boxes if box.kind == BoxKind.GROUP}


def test_small_packs_that_two_mailboxes_need_alike_become_one(vault: Vault) -> None:
    files = {f"f{number}": noise(number, 70_000) for number in range(17)}
    for chain in (CHAIN, OTHER):
        for id_, data in files.items():
            vault.back_up({id_: data}, chain=chain)
    vault.wait_days(WEEK_AND_MORE)
    report = vault.cycle()
    assert (report.packs_compacted, report.packs_written) == (17, 1)
    for chain in (CHAIN, OTHER):
        assert vault.content_of(17, chain) == files


def test_a_few_small_packs_are_not_worth_it_however_little_of_them_is_needed(vault: Vault) -> None:
    vault.back_up({f"m{n}": noise(n, 70_000) for n in range(10)})
    vault.back_up({}, gone=tuple(f"m{n}" for n in range(9)))
    vault.wait_days(WEEK_AND_MORE)
    assert vault.cycle(1, confirmed=True).packs_compacted == 0


def test_a_moved_chunk_is_found_where_it_lies_now(vault: Vault) -> None:
    held = quiet(vault)
    for _ in range(3):
        vault.cycle(confirmed=True)
        vault.wait()
    before = vault.packs()
    vault.back_up({"again": held["m0"]}, chain=OTHER)
    (new,) = vault.packs() - before or {""}
    assert vault.store.size(new) is None or vault.store.size(new) < 5_000  # type: ignore[operator]
    assert vault.content_of(1, OTHER) == {"again": held["m0"]}


def test_a_pack_of_which_little_is_needed_is_moved_and_goes(vault: Vault) -> None:
    vault.back_up({f"m{n}": large(n) for n in range(100)})
    vault.back_up({}, gone=tuple(f"m{n}" for n in range(80)))
    vault.wait_days(WEEK_AND_MORE)
    report = vault.cycle(1, confirmed=True)
    assert (report.packs_compacted, report.packs_written) == (1, 1)
    assert 2_000_000 < report.bytes_moved < 2_200_000
    vault.wait()
    assert vault.cycle(confirmed=True).packs[Action.CONDEMN] == 1
    vault.wait()
    assert vault.cycle(confirmed=True).packs[Action.DELETE] == 1
    assert vault.content_of(2) == {f"m{n}": large(n) for n in range(80, 100)}
    assert vault.is_clean()


def test_garbage_at_the_end_of_a_pack_counts_too(vault: Vault) -> None:
    vault.back_up({f"m{n}": noise(n, 60_000) for n in range(100)})
    vault.back_up({}, gone=tuple(f"m{n}" for n in range(20, 100)))
    vault.wait_days(WEEK_AND_MORE)
    assert vault.cycle(1, confirmed=True).packs_compacted == 1
    assert vault.content_of(2) == {f"m{n}": noise(n, 60_000) for n in range(20)}


def test_what_moved_twice_is_read_through_both_forwards(vault: Vault) -> None:
    vault.back_up({f"m{n}": large(n) for n in range(100)})
    gone = [f"m{n}" for n in range(100)]
    for number, count in ((2, 60), (3, 85)):
        vault.back_up({}, gone=tuple(gone[:count]))
        vault.wait_days(WEEK_AND_MORE)
        for expiring in ((number - 1,), (), ()):
            vault.cycle(*expiring, confirmed=True)
            vault.wait()
    assert len(vault.packs()) == 1
    assert len(vault.names("fwd/")) == 2
    assert vault.content_of(3) == {f"m{n}": large(n) for n in range(85, 100)}
    assert vault.is_clean()


def test_a_moved_box_costs_one_more_read_the_first_time_only(vault: Vault) -> None:
    quiet(vault)
    for _ in range(3):
        vault.cycle(confirmed=True)
        vault.wait()
    store = CountingStore(vault.store)
    repo = open_vault(store, vault.clock, vault.index)
    catalog = repo.catalog(repo.snapshot(CHAIN, 20))
    entries = {one.id: one for one in catalog.items()}
    store.reset()
    list(repo.read(entries["m0"].contents[0]))
    assert store.reads == 3  # the old pack, the forward, the box
    store.reset()
    list(repo.read(entries["m2"].contents[0]))
    assert store.reads == 3  # of another old pack


def test_forwards_go_when_no_restore_point_needs_them(vault: Vault) -> None:
    quiet(vault)
    for _ in range(3):
        vault.cycle(confirmed=True)
        vault.wait()
    assert len(vault.names("fwd/")) == 20
    vault.back_up({}, gone=tuple(f"m{n}" for n in range(20)))
    vault.cycle(*range(1, 21), confirmed=True)
    vault.wait()
    vault.cycle(confirmed=True)
    assert vault.names("fwd/") == []
    assert vault.content_of(21) == {}


def test_a_pack_that_the_tier_bills_for_anyway_is_left(vault: Vault) -> None:
    quiet(vault)
    assert vault.cycle(compact_after_days=30).packs_compacted == 0
    vault.wait_days(30)
    assert vault.cycle(compact_after_days=30, dry_run=True).packs_compacted == 20
    assert vault.cycle(compact_after_days=30).packs_compacted == 20


def test_a_budget_leaves_the_rest_to_the_next_cycle(vault: Vault) -> None:
    for number in range(3):
        ids = {f"{number}-{n}": large(number * 100 + n) for n in range(60)}
        vault.back_up(ids)
        vault.back_up({}, gone=tuple(list(ids)[:50]))
    vault.wait_days(WEEK_AND_MORE)
    moved = []
    for expiring in ((1, 2, 3, 4, 5), (), ()):
        moved.append(vault.cycle(*expiring, compact_bytes_max=500_000).packs_compacted)
    assert moved == [1, 1, 1]
    assert vault.is_clean()


def test_slices_without_any_time_left_bring_a_compaction_to_its_end(vault: Vault) -> None:
    quiet(vault)
    unreadable = min(vault.packs())
    data = vault.store.read(unreadable)
    vault.store.delete(unreadable)
    vault.store.put_new(unreadable, data[:-1])
    vault.wait_days(WEEK_AND_MORE)
    collector = vault.opened().collector()
    collector.begin([], Asked(compact_after_days=0))
    assert any(not collector.slice(lambda: False) for _ in range(100))
    report = collector.report()
    assert report is not None
    assert (report.packs_compacted, report.packs_written) == (16, 1)  # three are left: too few


def test_a_reader_that_holds_an_old_catalog_reads_on(vault: Vault) -> None:
    held = quiet(vault)
    repo = vault.opened()
    entries = list(repo.catalog(repo.snapshot(CHAIN, 20)).items())
    for _ in range(3):
        vault.cycle(confirmed=True)
        for one in entries:
            assert b"".join(repo.read(one.contents[0])) == held[one.id]
        vault.wait()


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_at_any_call_of_a_compaction_loses_nothing(arrives: bool) -> None:
    held: dict[str, bytes] = {}

    def start() -> Vault:
        vault = Vault()
        held.update(quiet(vault, 17))
        collector = vault.opened().collector()
        collector.begin([], Asked(confirmed=True))
        while not collector.history().of_kind("swept"):
            collector.slice(lambda: False)
        return vault

    def story(vault: Vault, store: Store) -> None:
        open_vault(store, vault.clock, vault.index).collector().slice(FOREVER)
        assert vault.content_of(17) == held

    def check(vault: Vault) -> None:
        for _ in range(3):
            vault.wait()
            vault.cycle(confirmed=True)
        assert vault.content_of(17) == held
        assert len(vault.packs()) <= 17

    dies_at_every_call(start, story, check, 30, arrives)


def test_moving_costs_a_read_and_a_forward_per_pack_and_a_write_per_new_one(vault: Vault) -> None:
    quiet(vault)
    store = CountingStore(vault.store)
    collector = open_vault(store, vault.clock, vault.index).collector()
    collector.begin([], Asked())
    history = collector.history()
    while not history.of_kind(SWEPT):
        history = collector._piece(history, FOREVER) or history
    store.reset()
    done = collector._piece(history, FOREVER)
    assert done is not None
    assert done.records[-1].body["packs"] == 20
    record = 1  # in the log, written and read back
    assert (store.reads, store.writes) == (20 + record, 20 + 1 + record)


FILES = 14  # a night: more than 1 MiB
NIGHT = st.tuples(
    st.sampled_from([CHAIN, OTHER]),
    st.integers(0, 40),  # content of the first file; nights overlap, so chains share some
    st.sets(st.integers(0, FILES - 1), max_size=4),  # what stays when the chain's next night comes
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NIGHT, min_size=2, max_size=8), st.integers(1, 2), st.booleans())
def test_whatever_is_needed_of_any_packs_reads_the_same_after_they_moved(
    nights: list[tuple[str, int, set[int]]], keep: int, sliced: bool
) -> None:
    vault = Vault()
    going: dict[str, tuple[str, ...]] = {CHAIN: (), OTHER: ()}
    for night, (chain, first, stays) in enumerate(nights):
        items = {f"{night}-{n}": noise(first + n, 90_000) for n in range(FILES)}
        vault.back_up({**items, "small": noise(night, 1_000)}, going[chain], chain)
        going[chain] = tuple(f"{night}-{n}" for n in range(FILES) if n not in stays)
    vault.wait_days(WEEK_AND_MORE)
    numbers = {chain: vault.opened().numbers(chain) for chain in going}
    held = {(c, n): vault.content_of(n, c) for c in going for n in numbers[c][-keep:]}
    expiring = [(c, n) for c in going for n in numbers[c][:-keep]]
    for _ in range(4):
        collector = vault.opened().collector()
        collector.begin(expiring, Asked(confirmed=True, compact_after_days=0))
        assert any(not collector.slice(lambda: not sliced) for _ in range(200))
        vault.wait()
        assert {(c, n): vault.content_of(n, c) for c, n in held} == held
    assert vault.is_clean()


def test_forwards_in_a_circle_are_damage_and_a_lost_target_is_missing(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    (name,) = vault.packs()
    repo = vault.opened()
    (entry,) = repo.catalog(repo.snapshot(CHAIN, 1)).items()
    location = entry.contents[0].refs[0].place.location
    vault.store.delete(name)
    with pytest.raises(Missing):
        list(vault.opened().read(entry.contents[0]))
    put_forward(vault.store, repo._ring, Forward(pack_of(name), {location.box: location}))
    with pytest.raises(VaultDamaged):
        list(vault.opened().read(entry.contents[0]))
