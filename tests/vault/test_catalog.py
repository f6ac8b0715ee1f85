"""Listings: their order, their pages, and what they cost in reads and memory."""

from __future__ import annotations

import random
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from base.errors import InvalidInput
from tests.vault.world import (
    CHAIN,
    StillClock,
    backed_up,
    close,
    folder,
    ids_in,
    listed,
    message,
    new_vault,
    noise,
    open_vault,
)
from vault import CountingStore, Entry, Missing, Repository
from vault.merge import Limits, Merge
from vault.sorting import RECORD_BYTES, Budget
from vault.stores.memory import MemoryStore

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def test_folders_come_first_then_the_rows_own_order_or_the_name() -> None:
    entries = [
        Entry("1", "", "file", "beta"),
        Entry("2", "", "file", "Alpha"),
        Entry("3", "", "folder", "zoo"),
        Entry("4", "", "folder", "Äpfel"),
        Entry("5", "", "file", "later", {"sort": "zz"}),
        Entry("6", "", "file", "sooner", {"sort": "aa"}),
        Entry("7", "", "file", "beta"),
    ]
    repo = new_vault()
    catalog = repo.catalog(backed_up(repo, entries))
    assert listed(catalog, "") == ["3", "4", "6", "2", "1", "7", "5"]
    assert listed(catalog, "", limit=1) == listed(catalog, "")


def test_names_with_lone_surrogates_and_long_names_are_kept() -> None:
    names = ["\ud800 half", "x" * 5000, "", "\x00", "a\nb", "\u202eright to left", "😀"]
    entries = [Entry(f"i{at}", "f\ud801", "file", name) for at, name in enumerate(names)]
    repo = new_vault()
    catalog = repo.catalog(backed_up(repo, entries))
    assert {entry.name for entry in catalog.items()} == set(names)
    assert len(listed(catalog, "f\ud801")) == len(names)
    assert repo.verify(read_data=True).clean


def test_an_entry_comes_back_as_it_was_put() -> None:
    repo = new_vault()
    step = repo.round(CHAIN, 1).step()
    contents = (step.add("raw", b"{}"), step.add("mime", noise(1, 70_000), {"type": "a"}))
    entry = Entry("i", "p", "message", "name", {"a": [1, None]}, {"fp": {"x": 1.5}}, contents)
    step.put(entry, "part")
    catalog = repo.catalog(close(step.commit(complete=True)))
    assert catalog.get("i") == entry
    assert catalog.children("p") == ([entry], "")
    assert catalog.get("none") is None
    assert catalog.children("none") == ([], "")
    assert catalog.count("none") == 0


def test_a_mark_of_another_listing_is_refused() -> None:
    repo = new_vault()
    catalog = repo.catalog(backed_up(repo, [message("a")]))
    for mark in ("nonsense", "W10", "!!", "WzEsMl0"):
        with pytest.raises(InvalidInput):
            catalog.children("inbox", after=mark)


def mailbox(rng: random.Random, count: int) -> list[Entry]:
    """Folders of all sizes; rows as large as a message's."""
    entries = [folder(f"folder-{number:02d}" + "x" * 100) for number in range(40)]
    for number in range(count):
        place = entries[min(int(rng.expovariate(0.25)), 39)].id
        row = {
            "sort": f"{rng.randrange(10**9):09d}",
            "from": noise(number, 60).hex(),
            "subject": f"Subject of message number {number}",
        }
        facts = {"fingerprint": noise(number, 32).hex()}
        id_ = noise(number, 57).hex()
        entries.append(Entry(id_, place, "message", f"Subject {number}", row, facts))
    return entries


def test_the_first_page_of_any_folder_at_any_restore_point_costs_three_reads() -> None:
    store = CountingStore(MemoryStore(StillClock()))
    repo = new_vault(store)
    rng = random.Random(3)
    entries = mailbox(rng, 15_000)
    backed_up(repo, entries)
    for _ in range(6):  # scattered changes that make the trees ragged
        changed = rng.sample(entries, 400)
        moved = [
            Entry(e.id, rng.choice(entries[:40]).id, e.kind, e.name, e.row, e.facts)
            for e in changed
            if e.kind != "folder"
        ]
        backed_up(repo, moved)
    shortest = 100
    for number in range(1, 8):
        for place in entries[:40]:
            fresh = open_vault(store)
            store.reset()
            catalog = fresh.catalog(fresh.snapshot(CHAIN, number))
            page, more = catalog.children(place.id, limit=50)
            assert store.reads <= 3
            if more:
                shortest = min(shortest, len(page))
            count = catalog.count(place.id)
            assert more or len(page) == count
            assert store.reads <= 6
    assert shortest >= 20  # pages that end with a leaf are still worth showing
    head = repo.head(CHAIN)
    assert head is not None
    for place in entries[:40]:
        assert len(listed(repo.catalog(head), place.id)) == repo.catalog(head).count(place.id)


def test_a_few_changes_among_many_items_write_little() -> None:
    store = CountingStore(MemoryStore(StillClock()))
    repo = new_vault(store)
    entries = mailbox(random.Random(4), 15_000)
    backed_up(repo, entries)
    whole = store.bytes_written
    store.reset()
    repo_again = open_vault(store)
    backed_up(repo_again, [message("new", entries[0].id)])
    assert store.writes == 3
    assert store.bytes_written < whole / 40
    assert store.reads < 15


def test_a_small_catalog_lies_in_the_snapshot_and_needs_no_pack() -> None:
    store = CountingStore(MemoryStore())
    repo = new_vault(store)
    store.reset()
    snapshot = backed_up(repo, [message(f"m{number}") for number in range(50)])
    assert store.writes == 2
    store.reset()
    assert len(listed(repo.catalog(snapshot), "inbox")) == 50
    assert store.reads == 0


def built_in_pages(repo: Repository, entries: list[Entry], page: int) -> Merge:
    round_ = repo.round(CHAIN, len(repo.numbers(CHAIN)) + 1)
    for start in range(0, len(entries), page):
        step = round_.step()
        for entry in entries[start : start + page]:
            step.put(entry, "root")
        step.link("root", f"at-{start}", finished=start + page >= len(entries))
        round_ = step.commit(complete=start + page >= len(entries))
    close(round_)
    assert step.merge is not None
    return step.merge


SMALL = Limits(Budget(held_bytes=300 * RECORD_BYTES), 300 * RECORD_BYTES, keep=500)


def shuffled(count: int) -> list[Entry]:
    rng = random.Random(5)
    entries = [message(f"m{number:05d}", f"f{rng.randrange(9)}") for number in range(count)]
    rng.shuffle(entries)
    return entries


@pytest.mark.parametrize("count", [1500, 6000])
def test_a_round_of_any_size_is_read_twice_and_merged_within_its_limits(count: int) -> None:
    store = CountingStore(MemoryStore(StillClock()))
    new_vault(store)
    repo = open_vault(store, limits=SMALL)
    entries = shuffled(count)
    merge = built_in_pages(repo, entries, 300)
    head = repo.head(CHAIN)
    assert head is not None
    assert ids_in(repo.catalog(head)) == {entry.id: entry.parent for entry in entries}
    assert merge.held_bytes_max <= 310 * RECORD_BYTES
    assert merge.passes == 2
    # A second round that sees one item again removes all others, in the same bounds.
    step = repo.round(CHAIN, 2).step()
    step.reset("root", None)
    step.put(entries[7], "root")
    step.link("root", "again", finished=True)
    snapshot = close(step.commit(complete=True))
    assert ids_in(repo.catalog(snapshot)) == {entries[7].id: entries[7].parent}
    assert step.merge is not None
    assert step.merge.held_bytes_max <= 310 * RECORD_BYTES
    assert step.merge.passes == 2


def test_a_round_larger_than_its_share_of_the_disk_is_merged_in_ranges() -> None:
    store = MemoryStore(StillClock())
    new_vault(store)
    files: list[Measured] = []

    def opened() -> Measured:
        files.append(Measured())
        return files[-1]

    sorting = Budget(300 * RECORD_BYTES, spilled_bytes=60_000, open_file=opened)
    repo = open_vault(store, limits=Limits(sorting, 300 * RECORD_BYTES))
    entries = shuffled(6000)
    merge = built_in_pages(repo, entries, 400)
    head = repo.head(CHAIN)
    assert head is not None
    assert ids_in(repo.catalog(head)) == {entry.id: entry.parent for entry in entries}
    assert 3 <= merge.passes <= 12
    assert all(file.closed for file in files)
    # A run more than the share; and the outcomes of all items, of which none may be left out.
    assert sorted(file.size for file in files)[-2] <= 80_000


class Measured(BytesIO):
    """A file that still says how long it was once it is closed."""

    size = 0

    def write(self, data: Buffer) -> int:
        written = super().write(data)
        self.size = max(self.size, self.tell())
        return written


def test_a_merge_that_fails_leaves_no_file_open() -> None:
    files: list[Measured] = []

    def opened() -> Measured:
        files.append(Measured())
        return files[-1]

    store = MemoryStore(StillClock())
    new_vault(store)
    repo = open_vault(store, limits=Limits(Budget(RECORD_BYTES, open_file=opened), keep=0))
    round_ = repo.round(CHAIN, 1)
    for entry in shuffled(3):
        step = round_.step()
        step.put(entry, "root")
        round_ = step.commit()
    store.delete(next(listed.name for listed in store.list("m/")))
    step = round_.step()
    step.link("root", "end", finished=True)
    with pytest.raises(Missing):
        step.commit(complete=True)
    assert all(file.closed for file in files)
