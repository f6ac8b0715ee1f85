"""A power cut at every single store call: the vault stays clean, the next run finishes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.vault.faults import (
    MeetsAnother,
    MortalStore,
    PowerCut,
    RefusesToDelete,
    dies_at_every_call,
)
from tests.vault.world import (
    CHAIN,
    RECOVERY,
    SLOT,
    StillClock,
    folder,
    ids_in,
    new_vault,
    noise,
    open_vault,
)
from vault import Entry, MemoryChunkIndex, Repository, RoundLost, Store, VaultExists
from vault.config import Chunking
from vault.stores.memory import MemoryStore

FIRST = {f"m{number}": noise(number, 700) for number in range(12)} | {"large": noise(99, 90_000)}
SECOND = {"m3": b"changed", "new": noise(7, 80_000), "large2": noise(99, 90_000)}


def back_up(store: Store, index: MemoryChunkIndex, clock: StillClock | None = None) -> None:
    """Brings the chain to snapshot 2, from whatever is there: what a new process does."""
    repo = open_vault(store, clock, index)
    for number, items in ((1, FIRST), (2, SECOND)):
        round_ = repo.round(CHAIN, number)
        pages = [list(items)[start : start + 5] for start in range(0, len(items), 5)]
        while not round_.complete:
            page = round_.pages
            step = round_.step()
            if page == 0:
                step.put(folder("inbox"), "folders")
                if number == 2:
                    step.remove("m4", parent="inbox")
            for id_ in pages[page]:
                content = step.add("mime", items[id_])
                step.put(Entry(id_, "inbox", "message", id_, contents=(content,)), "inbox")
            last = page + 1 == len(pages)
            step.link("inbox", f"link-{number}-{page}", finished=last)
            round_ = step.commit(complete=last)
        round_.close(by="run")


def check(repo: Repository) -> None:
    """Everything is there exactly once, with its bytes."""
    wanted = {**FIRST, **SECOND}
    del wanted["m4"]
    head = repo.head(CHAIN)
    assert head is not None
    catalog = repo.catalog(head)
    assert set(ids_in(catalog)) == {"inbox", *wanted}
    for id_, data in wanted.items():
        entry = catalog.get(id_)
        assert entry is not None
        assert b"".join(repo.read(entry.contents[0])) == data
    assert head.links == {"inbox": "link-2-0"}


@dataclass
class World:
    """A new vault, and the table of look-ups beside it."""

    store: MemoryStore = field(default_factory=lambda: MemoryStore(StillClock()))
    index: MemoryChunkIndex = field(default_factory=MemoryChunkIndex)

    def __post_init__(self) -> None:
        new_disk(self.store)


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_at_any_store_call_loses_and_doubles_nothing(arrives: bool) -> None:
    def story(world: World, store: Store) -> None:
        back_up(RefusesToDelete(store), world.index)  # nothing but a collector deletes

    def finished(world: World) -> None:
        repo = open_vault(world.store)
        check(repo)
        assert repo.verify().counts["snapshots"] == 2

    dies_at_every_call(World, story, finished, 20, arrives)


LISTED = noise(98, 18 * 1024 * 1024)  # more than one pack


def new_world_of_small_chunks() -> World:
    world = World()
    world.store = MemoryStore(StillClock())
    small = Chunking(64 * 1024, 128 * 1024, 256 * 1024)
    Repository.create(world.store, [SLOT, RECOVERY], StillClock(), small)
    return world


def back_up_one_large_file(world: World, store: Store) -> None:
    """One step that stores two packs and a list of references."""
    round_ = open_vault(store, index=world.index).round("drive/a", 1)
    if not round_.complete:
        step = round_.step()
        content = step.add("content", [LISTED])
        step.put(Entry("f", "", "file", "f", contents=(content,)), "root")
        step.link("root", "link", finished=True)
        round_ = step.commit(complete=True)
        assert content.listed
    round_.close(by="run")


def check_large_file(world: World) -> None:
    repo = open_vault(world.store)
    entry = repo.catalog(repo.snapshot("drive/a", 1)).get("f")
    assert entry is not None
    assert b"".join(repo.read(entry.contents[0])) == LISTED
    assert len(list(world.store.list("p/"))) >= 2


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_between_the_packs_of_a_step_loses_nothing(arrives: bool) -> None:
    dies_at_every_call(
        new_world_of_small_chunks, back_up_one_large_file, check_large_file, 8, arrives
    )


def test_two_attempts_at_the_same_work_meet_at_any_call_and_agree() -> None:
    for nth in itertools.count(1):
        world = World()
        one = MeetsAnother(world.store, nth, partial(back_up, world.store, world.index))
        while True:
            try:
                back_up(one, world.index)
            except RoundLost:
                continue  # the other finished this round; the next attempt goes on behind it
            break
        check(open_vault(world.store))
        report = open_vault(world.store).verify(read_data=True)
        assert report.problems == [], nth
        assert report.counts["snapshots"] == 2
        if not one.met:
            break
    assert nth > 20


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
def test_a_rotation_in_the_middle_of_a_backup_may_die_at_any_call(arrives: bool) -> None:
    def story(world: World, store: Store) -> None:
        repo = open_vault(store, index=world.index)
        round_ = repo.round(CHAIN, 1)
        if not round_.complete:
            step = round_.step()
            content = step.add("mime", noise(1, 700))
            repo.rotate_data_key()
            step.put(Entry("m", "", "message", "m", contents=(content,)), "inbox")
            step.link("inbox", "link", finished=True)
            round_ = step.commit(complete=True)
        round_.close(by="run")

    def check_message(world: World) -> None:
        repo = open_vault(world.store)
        head = repo.head(CHAIN)
        entry = repo.catalog(head).get("m") if head else None
        assert entry is not None
        assert b"".join(repo.read(entry.contents[0])) == noise(1, 700)

    dies_at_every_call(World, story, check_message, 12, arrives)


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_while_a_vault_is_made_leaves_one_that_can_be_made(arrives: bool) -> None:
    for calls in range(6):
        disk = MemoryStore(StillClock())
        mortal = MortalStore(disk, calls, arrives=arrives)
        try:
            new_disk(mortal)
        except PowerCut:
            try:
                new_disk(disk)
            except VaultExists:
                assert arrives
        assert open_vault(disk).verify().clean


def new_disk(store: Store) -> None:
    new_vault(store)
