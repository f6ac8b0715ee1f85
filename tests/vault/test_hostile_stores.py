"""Stores that lose answers, meet themselves, list stale or run full cost work, never data."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vault.collecting_world import World
from tests.vault.faults import IsFull, ListsStale, LosesAnAnswer, Passing, SaysTaken
from tests.vault.test_collect import FOREVER, Vault, large
from tests.vault.test_crashes import back_up, check, new_disk
from tests.vault.world import CHAIN, StillClock, open_vault
from vault import MemoryChunkIndex, Store
from vault.collect import Asked
from vault.problems import StoreFull, StoreProblem
from vault.stores.memory import MemoryStore

TRIES = 20


def backed_up_through(faulty: Passing, disk: MemoryStore, index: MemoryChunkIndex) -> int:
    """Backs up twice over, again after every problem, as steps are; how often it took."""
    for tries in range(1, TRIES):
        try:
            back_up(faulty, index)
        except StoreProblem:
            assert open_vault(disk).verify(read_data=True).problems == []
            continue
        return tries
    raise AssertionError("it never came through")


@pytest.mark.parametrize("habit", [LosesAnAnswer, SaysTaken])
def test_an_answer_that_lies_at_any_write_loses_and_doubles_nothing(
    habit: Callable[[Store, int], Passing],
) -> None:
    for nth in range(1, 100):
        disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
        new_disk(disk)
        faulty = habit(disk, nth)
        backed_up_through(faulty, disk, index)
        repo = open_vault(disk)
        check(repo)
        report = repo.verify(read_data=True)
        assert report.problems == [], nth
        assert report.counts["snapshots"] == 2
        if faulty.writes < nth:
            break
    assert nth > 8


@pytest.mark.parametrize("unseen", [1, 2, 3, 5])
def test_listings_that_are_behind_cost_retries_and_nothing_else(unseen: int) -> None:
    disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
    new_disk(disk)
    backed_up_through(ListsStale(disk, unseen), disk, index)
    check(open_vault(disk))
    assert open_vault(disk).verify(read_data=True).problems == []


def test_a_store_that_is_full_at_any_write_is_a_typed_problem_and_goes_on_with_space() -> None:
    for nth in range(1, 100):
        disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
        new_disk(disk)
        full = IsFull(disk, nth)
        try:
            back_up(full, index)
        except StoreFull:
            assert open_vault(disk).verify(read_data=True).problems == []
        back_up(disk, index)
        check(open_vault(disk))
        if not full.met:
            break
    assert nth > 8


def test_a_collection_over_a_store_that_loses_any_answer_removes_the_same() -> None:
    for nth in range(1, 60):
        vault = Vault()
        for number in range(4):
            vault.back_up({"a": large(number), "keep": large(50)})
        vault.wait()
        faulty = LosesAnAnswer(vault.store, nth)
        for _ in range(3):
            for _ in range(TRIES):
                try:
                    collector = open_vault(faulty, vault.clock, vault.index).collector()
                    collector.begin([(CHAIN, 1), (CHAIN, 2)], Asked(confirmed=True))
                    while collector.slice(FOREVER):
                        continue
                    break
                except StoreProblem:
                    continue
            vault.wait()
        assert vault.is_clean()
        assert len(vault.packs()) == 3  # the first one holds what all of them keep
        assert vault.content_of(4) == {"a": large(3), "keep": large(50)}
        if faulty.writes < nth:
            break
    assert nth > 10


def test_thirty_two_writers_with_stalls_and_twins_beside_a_collector_lose_nothing() -> None:
    outcome = World(7, chains=30).run()
    assert outcome.lost == 0
    assert outcome.commits > 200
    assert outcome.deleted > 3
