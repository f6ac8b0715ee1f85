"""The collection protocol loses nothing, and every weaker one is caught losing data by this test.

HOLDFAST_MODEL_RUNS makes it long: that many runs of the whole protocol.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.vault.collecting_world import CarefreeStep, Outcome, World
from tests.vault.test_collect import FOREVER, Vault, large
from tests.vault.world import CHAIN, close
from vault import Entry, Location, Step, StepTooOld
from vault.collect import Asked, Collector
from vault.config import WAIT_S
from vault.forward import pack_of
from vault.gc_log import History
from vault.indexing import shared_chunks
from vault.mark import Live, Marker
from vault.store import Listed
from vault.sweep import Action, Sweep

RUNS = int(os.environ.get("HOLDFAST_MODEL_RUNS", "3"))
CAUGHT_WITHIN = 200  # runs; a few are enough, but the names of packs are real dice


class Naive(Sweep):
    """Deletes at once what nothing needs."""

    @staticmethod
    def decide(
        packs: Sequence[Listed], live: Live, history: History, wait: timedelta
    ) -> Iterator[tuple[Listed, Action]]:
        for listed in packs:
            yield listed, Action.NEEDED if live.get(pack_of(listed.name)) else Action.DELETE

    def _delete(self, listed: Listed, pack: str, total: int) -> Action:
        self._forget(pack, shared_chunks(self._tools, listed) or {})
        return super()._delete(listed, pack, total)


class AgeOnly(Naive):
    """Deletes at once what nothing needs and what is older than a day."""

    @staticmethod
    def decide(
        packs: Sequence[Listed], live: Live, history: History, wait: timedelta
    ) -> Iterator[tuple[Listed, Action]]:
        for listed, action in Naive.decide(packs, live, history, wait):
            old = history.begin.at - listed.modified >= timedelta(days=1)
            yield listed, action if old else Action.NEEDED


class RowsLate(Sweep):
    """Two phases, but the rows go only when the pack does."""

    def _condemn(self, listed: Listed, pack: str) -> Action:
        self._condemned.append(pack)
        return Action.CONDEMN

    def _delete(self, listed: Listed, pack: str, total: int) -> Action:
        self._forget(pack, shared_chunks(self._tools, listed) or {})
        return super()._delete(listed, pack, total)


class NoSecondLook(Sweep):
    """Two phases, rows removed first; rows that came back are not noticed."""

    def _is_findable(self, pack: str, shared: Mapping[bytes, Location]) -> bool:
        return False

    def _was_lost(self, pack: str) -> bool:
        return False


class BlindToLoss(Sweep):
    """The whole protocol, but nobody notices that tables were lost."""

    def _was_lost(self, pack: str) -> bool:
        return False


class OldMark(Sweep):
    """Two phases, but what was condemned is deleted without looking again."""

    @staticmethod
    def decide(
        packs: Sequence[Listed], live: Live, history: History, wait: timedelta
    ) -> Iterator[tuple[Listed, Action]]:
        for listed, action in Sweep.decide(packs, live, history, wait):
            condemned = history.condemned.get(pack_of(listed.name))
            waited = condemned is not None and history.begin.at - condemned.at >= wait
            yield listed, Action.DELETE if waited else action


class PagesAreNoRoots(Marker):
    """Only restore points count, not the pages of rounds under way."""

    def _open_page(self, name: str) -> None:
        return


def with_sweep(kind: type[Sweep]) -> type[Collector]:
    return type("Weaker", (Collector,), {"sweep": kind})


WEAKER: dict[str, tuple[type[Collector], type[Step]]] = {
    "naive mark and sweep": (with_sweep(Naive), Step),
    "age grace only": (with_sweep(AgeOnly), Step),
    "pages are no roots": (type("Weaker", (Collector,), {"marker": PagesAreNoRoots}), Step),
    "rows removed at deletion": (with_sweep(RowsLate), Step),
    "no second look at rows": (with_sweep(NoSecondLook), Step),
}


def test_the_protocol_loses_nothing() -> None:
    total = Outcome()
    for seed in range(RUNS):
        outcome = World(seed, careless_rebuild=seed % 2 == 1).run()
        assert outcome.lost == 0, f"seed {seed}"
        for name in Outcome.__slots__:
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
    print(f"{RUNS} runs: {total}")
    assert total.commits > 100 * RUNS
    assert total.deleted > 5 * RUNS
    assert total.resurrected > 0


@pytest.mark.parametrize("name", WEAKER)
def test_a_weaker_protocol_is_caught_losing_data(name: str) -> None:
    collector, step = WEAKER[name]
    for seed in range(CAUGHT_WITHIN):
        outcome = World(seed, collector, step, careless_rebuild=seed % 2 == 1).run()
        if outcome.lost:
            print(f"{name}: caught in run {seed + 1}, {outcome.lost} lost")
            return
    pytest.fail(f"{CAUGHT_WITHIN} runs of '{name}' lost nothing: the test is blind to it")


# --- What chance brings about too seldom to wait for it ---


class Late:
    """A writer who found a chunk, and commits when he is told to."""

    def __init__(
        self, vault: Vault, step: type[Step], chunk: int = 1, chain: str = "drive/late"
    ) -> None:
        self._step = step(vault.opened().round(chain, 1))
        self._found = self._step.add("content", large(chunk))
        self._step._packer.settle()

    def commit(self) -> None:
        self._step.put(Entry("f", "", "file", "f", contents=(self._found,)), "root")
        self._step.link("root", "end", finished=True)
        with suppress(StepTooOld):
            close(self._step.commit(complete=True))


def cycle(vault: Vault, collector: type[Collector], *expiring: int) -> None:
    one = collector(vault.opened()._bench)
    one.begin([(CHAIN, number) for number in expiring], Asked(confirmed=True))
    one.slice(FOREVER)


def garbage() -> Vault:
    """A chunk that only an expiring restore point needs."""
    vault = Vault()
    vault.back_up({"a": large(1)})
    vault.back_up({"b": large(2)}, gone=("a",))
    vault.wait()
    return vault


def a_writer_sleeps_from_before_the_condemnation_until_after_the_deletion(
    collector: type[Collector], step: type[Step]
) -> Vault:
    vault = garbage()
    late = Late(vault, step)
    for expiring in ((1,), (), ()):
        cycle(vault, collector, *expiring)
        vault.wait()
    late.commit()
    return vault


def a_writer_commits_between_the_condemnation_and_the_deletion(
    collector: type[Collector], step: type[Step]
) -> Vault:
    vault = garbage()
    late = Late(vault, step)
    cycle(vault, collector, 1)
    late.commit()
    for _ in range(2):
        vault.wait()
        cycle(vault, collector)
    return vault


def a_slow_rebuild_shows_a_condemned_pack_before_the_tables_are_lost(
    collector: type[Collector], step: type[Step]
) -> Vault:
    vault = garbage()
    rows = dict(vault.index._rows)
    cycle(vault, collector, 1)
    vault.index.remember(rows)
    vault.wait(timedelta(seconds=WAIT_S - 60))
    late = Late(vault, step)
    vault.index.lose()
    vault.wait(timedelta(minutes=3))
    cycle(vault, collector)
    late.commit()
    return vault


@pytest.mark.parametrize(
    ("scene", "collector", "step"),
    [
        (
            a_writer_sleeps_from_before_the_condemnation_until_after_the_deletion,
            Collector,
            CarefreeStep,
        ),
        (
            a_writer_commits_between_the_condemnation_and_the_deletion,
            with_sweep(OldMark),
            Step,
        ),
        (
            a_slow_rebuild_shows_a_condemned_pack_before_the_tables_are_lost,
            with_sweep(BlindToLoss),
            Step,
        ),
    ],
    ids=["no maximum age of a writer", "no fresh mark", "lost tables are not noticed"],
)
def test_a_weaker_protocol_loses_data_where_the_whole_one_does_not(
    scene: Callable[[type[Collector], type[Step]], Vault],
    collector: type[Collector],
    step: type[Step],
) -> None:
    assert scene(Collector, Step).opened().verify(read_data=True).problems == []
    lost = scene(collector, step).opened().verify(read_data=True).problems
    assert [finding.code for finding in lost] == ["pack-missing"]
