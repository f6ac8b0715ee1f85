"""A power cut at every single store call: the vault stays clean, the next run finishes."""

from __future__ import annotations

import pytest

from tests.vault.world import (
    CHAIN,
    MortalStore,
    PowerCut,
    StillClock,
    folder,
    ids_in,
    noise,
    open_vault,
)
from vault import Entry, MemoryChunkIndex, Repository, Store
from vault.stores.memory import MemoryStore

FIRST = {f"m{number}": noise(number, 700) for number in range(12)} | {"large": noise(99, 90_000)}
SECOND = {"m3": b"changed", "new": noise(7, 80_000), "large2": noise(99, 90_000)}


def back_up(store: Store, index: MemoryChunkIndex) -> None:
    """Brings the chain to snapshot 2, from whatever is there: what a new process does."""
    repo = open_vault(store, index=index)
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


@pytest.mark.parametrize("write_arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_at_any_store_call_loses_and_doubles_nothing(write_arrives: bool) -> None:
    calls = 0
    while True:
        disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
        new_disk(disk)
        mortal = MortalStore(disk, calls, write_arrives=write_arrives)
        try:
            back_up(mortal, index)
        except PowerCut:
            report = open_vault(disk).verify(read_data=True)
            assert report.clean, (calls, report.problems)
            back_up(disk, index)
        repo = open_vault(disk)
        check(repo)
        report = repo.verify(read_data=True)
        assert report.clean, (calls, report.problems)
        assert report.counts["snapshots"] == 2
        if not mortal.died:
            break
        calls += 1
    assert calls >= 20


@pytest.mark.parametrize("write_arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_while_a_vault_is_made_leaves_one_that_can_be_made(write_arrives: bool) -> None:
    from vault import VaultExists

    for calls in range(6):
        disk = MemoryStore(StillClock())
        mortal = MortalStore(disk, calls, write_arrives=write_arrives)
        try:
            new_disk(mortal)
        except PowerCut:
            try:
                new_disk(disk)
            except VaultExists:
                assert write_arrives
        assert open_vault(disk).verify().clean


def new_disk(store: Store) -> None:
    from tests.vault.world import new_vault

    new_vault(store)
