"""Stores that lose answers, meet themselves, list stale or run full cost work, never data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.vault.collecting_world import World
from tests.vault.faults import (
    AnswersLate,
    FailsAt,
    FlipsLastByte,
    Forgets,
    HasItsOwnTime,
    IsFull,
    ListsStale,
    LosesAnAnswer,
    Passing,
    RefusesToDelete,
    SaysTaken,
)
from tests.vault.test_collect import FOREVER, WAIT, Vault, entry, large
from tests.vault.test_crashes import back_up, check, new_disk
from tests.vault.world import CHAIN, StillClock, open_vault
from vault import MemoryChunkIndex, Store
from vault.collect import Asked
from vault.problems import StepTooOld, StoreFull, StoreProblem, VaultDamaged
from vault.stores.folder import FolderStore
from vault.stores.memory import MemoryStore

TRIES = 20


def backed_up_through(
    faulty: Passing, disk: MemoryStore, index: MemoryChunkIndex, clock: StillClock | None = None
) -> int:
    """Backs up twice over, again after every problem, as steps are; how often it took."""
    for tries in range(1, TRIES):
        try:
            back_up(faulty, index, clock)
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


@pytest.mark.parametrize("unseen_by", [1, 2, 3, 5, 20])
def test_listings_that_are_behind_cost_retries_and_nothing_else(unseen_by: int) -> None:
    disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
    new_disk(disk)
    backed_up_through(ListsStale(disk, unseen_by), disk, index)
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


@pytest.mark.parametrize("answers", ["r" * 13 + "e", "r" * 16 + "eee", "r" * 20 + "e" * 9])
def test_a_store_that_is_busy_now_and_then_is_tried_again_by_the_next_step(answers: str) -> None:
    disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
    new_disk(disk)
    busy = FailsAt(disk, answers)
    assert backed_up_through(busy, disk, index) > 1
    check(open_vault(disk))


def test_one_wrong_bit_on_the_way_is_a_typed_problem_and_stays_nowhere() -> None:
    caught = 0
    for nth in range(1, 100):
        disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
        new_disk(disk)
        wire = FlipsLastByte(disk, nth)
        try:
            back_up(wire, index)
            check(open_vault(wire))
        except (VaultDamaged, AssertionError):
            caught += 1
            back_up(disk, index)
        check(open_vault(disk))
        assert open_vault(disk).verify(read_data=True).problems == [], nth
        if not wire.flipped:
            break
        assert caught == nth
    assert caught > 8


def test_a_blob_that_the_store_has_lost_is_named_whichever_it_is() -> None:
    disk, index = MemoryStore(StillClock()), MemoryChunkIndex()
    new_disk(disk)
    back_up(disk, index)
    newest = max(row.name for row in disk.list("s/"))
    for lost in [row.name for row in disk.list("")]:
        hole = Forgets(disk, lost)
        if lost.startswith(("config/", "keys/")):
            with pytest.raises(VaultDamaged):
                open_vault(hole)
            continue
        report = open_vault(hole).verify(read_data=True)
        if lost == newest:  # its pages are a round under way again; the records know better
            assert report.counts["snapshots"] == 1
        else:
            assert [finding.name for finding in report.problems] == [lost]


@pytest.mark.parametrize("late_s", [60.0, 3500.0])
def test_a_store_that_answers_late_delays_and_a_step_that_waited_too_long_starts_afresh(
    late_s: float,
) -> None:
    clock, index = StillClock(), MemoryChunkIndex()
    disk = MemoryStore(clock)
    new_disk(disk)
    late = AnswersLate(disk, clock, late_s)
    backed_up_through(late, disk, index, clock)
    check(open_vault(disk))
    too_late = AnswersLate(disk, clock, 7 * 3600)
    step = open_vault(too_late, clock, index).round("mail/late", 1).step()
    step.link("root", "link", finished=True)
    step.put(entry(step, "m", large(77)), "root")
    with pytest.raises(StepTooOld):
        step.commit(complete=True)
    assert open_vault(disk).verify(read_data=True).problems == []


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


@pytest.mark.parametrize("unseen_by", [1, 2, 5])
def test_a_collector_that_sees_new_blobs_late_goes_on_and_removes_nothing_that_is_needed(
    unseen_by: int,
) -> None:
    vault = Vault()
    for number in range(4):
        vault.back_up({"a": large(number), "keep": large(50)})
    for _ in range(3):
        vault.wait()
        stale = ListsStale(vault.store, unseen_by)
        collector = open_vault(stale, vault.clock, vault.index).collector()
        collector.begin([(CHAIN, 1), (CHAIN, 2)], Asked(confirmed=True))
        for _ in range(200):
            collector.slice(FOREVER)
        assert vault.is_clean()
        assert not vault.opened().collector().history().open
    assert len(vault.packs()) == 3  # the first one holds what all of them keep
    assert vault.content_of(4) == {"a": large(3), "keep": large(50)}


@pytest.mark.parametrize("days", [-1, 1])
def test_a_store_whose_clock_is_off_by_a_day_waits_as_long_as_any(days: int) -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    vault.back_up({"b": large(2)}, gone=("a",))
    timed = HasItsOwnTime(MemoryStore(vault.clock), vault.clock, timedelta(days=days))
    for row in vault.store.list(""):
        timed.put_new(row.name, vault.store.read(row.name))

    def cycle(*expiring: int) -> dict[str, int]:
        collector = open_vault(timed, vault.clock, vault.index).collector()
        collector.begin([(CHAIN, number) for number in expiring], Asked(confirmed=True))
        collector.slice(FOREVER)
        report = collector.report()
        assert report is not None
        return report.packs

    assert cycle(1) == {"too-young": 1, "needed": 1}
    vault.wait()
    assert cycle() == {"condemned": 1, "needed": 1}
    vault.wait(WAIT / 2)
    assert cycle() == {"waits": 1, "needed": 1}
    vault.wait(WAIT / 2)
    assert cycle() == {"deleted": 1, "needed": 1}


def test_a_vault_nobody_may_delete_from_is_backed_up_and_collected_without_an_error() -> None:
    vault = Vault()
    for number in range(4):
        vault.back_up({"a": large(number), "keep": large(50)})
    names = vault.names("")
    kept = RefusesToDelete(vault.store)
    for _ in range(3):
        vault.wait()
        collector = open_vault(kept, vault.clock, vault.index).collector()
        assert collector.begin([(CHAIN, 1), (CHAIN, 2)], Asked(confirmed=True))
        assert not collector.slice(FOREVER)
        assert vault.is_clean()
    assert set(names) <= set(vault.names(""))
    assert vault.content_of(1) == {"a": large(0), "keep": large(50)}


def test_a_folder_bears_writers_and_a_collector_as_memory_does(tmp_path: Path) -> None:
    world = World(11, chains=6, store=lambda clock: HasItsOwnTime(FolderStore(tmp_path), clock))
    outcome = world.run()
    assert outcome.lost == 0
    assert outcome.commits > 50
    assert outcome.deleted > 0
    assert not any((tmp_path / ".incoming").iterdir())


def test_thirty_two_writers_with_stalls_and_twins_beside_a_collector_lose_nothing() -> None:
    deleted = 0
    for seed in range(7, 17):  # names of packs are real dice: two runs may have had no garbage
        outcome = World(seed, chains=30).run()
        assert outcome.lost == 0
        assert outcome.commits > 200
        deleted += outcome.deleted
        if deleted and seed > 7:
            break
    assert deleted > 0
