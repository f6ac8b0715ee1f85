"""Backups, sleepers, open rounds, lost tables, rebuilds and cycles in any order lose nothing.

Hypothesis finds how the coarser protocols lose data; for the subtle ones see test_collect_model.py.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.vault.test_collect import FOREVER, Vault, large
from tests.vault.test_collect_model import (
    AgeOnly,
    Late,
    Naive,
    PagesAreNoRoots,
    with_sweep,
)
from tests.vault.world import CHAIN
from vault import Entry, Location, Step
from vault.collect import Asked, Collector
from vault.config import T_MAX_S

CHUNK = st.integers(1, 2)
REBUILD_MAX = timedelta(seconds=3 * T_MAX_S)  # from reading the log to its last row


class Collecting(RuleBasedStateMachine):
    """Time moves only by a rule; every rule is one process that does one thing."""

    collector: type[Collector] = Collector

    def __init__(self) -> None:
        super().__init__()
        self.vault = Vault()
        self.late: Late | None = None
        self.lates = self.opened = 0
        self.rows: tuple[dict[bytes, Location], object] | None = None

    @rule(item=st.sampled_from("ab"), chunk=CHUNK)
    def back_up(self, item: str, chunk: int) -> None:
        self.vault.back_up(
            {item: large(chunk)}, gone=() if chunk % 2 else ("ba"["ab".index(item)],)
        )

    @precondition(lambda self: self.late is None)
    @rule(chunk=CHUNK)
    def a_writer_looks_up(self, chunk: int) -> None:
        self.lates += 1
        self.late = Late(self.vault, Step, chunk, f"drive/{self.lates}")

    @precondition(lambda self: self.late is not None)
    @rule()
    def the_writer_commits(self) -> None:
        assert self.late is not None
        self.late.commit()
        self.late = None

    @rule(chunk=CHUNK)
    def a_page_stays_open(self, chunk: int) -> None:
        self.opened += 1
        step = self.vault.opened().round(f"mail/open{self.opened}", 1).step()
        content = step.add("content", large(chunk))
        step.put(Entry("f", "", "file", "f", contents=(content,)), "root")
        step.commit()

    @rule(hours=st.sampled_from([12, 49, 50]))
    def time_passes(self, hours: int) -> None:
        self.vault.wait(timedelta(hours=hours))

    @rule()
    def a_rebuild_reads_the_vault(self) -> None:
        self.rows = (dict(self.vault.index._rows), self.vault.clock.moment)

    @precondition(lambda self: self.rows is not None)
    @rule()
    def the_rebuild_writes_its_rows(self) -> None:
        assert self.rows is not None
        rows, begun = self.rows
        if self.vault.clock.moment - begun <= REBUILD_MAX:  # type: ignore[operator]
            self.vault.index.remember(rows)
        self.rows = None

    @rule()
    def the_tables_are_lost(self) -> None:
        self.vault.index.lose()

    @rule()
    def a_cycle_runs(self) -> None:
        numbers = self.vault.opened().numbers(CHAIN)
        one = self.collector(self.vault.opened()._bench)
        one.begin([(CHAIN, number) for number in numbers[:-1]], Asked(confirmed=True))
        one.slice(FOREVER)

    def teardown(self) -> None:
        problems = self.vault.opened().verify(read_data=True).problems
        assert [finding.code for finding in problems] == []


_QUICK = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
_SEARCH = settings(
    _QUICK, max_examples=3_000, phases=(Phase.generate,), database=None, report_multiple_bugs=False
)

TestCollecting = Collecting.TestCase
TestCollecting.settings = _QUICK

WEAKER: dict[str, type[Collector]] = {
    "naive mark and sweep": with_sweep(Naive),
    "age grace only": with_sweep(AgeOnly),
    "pages are no roots": type("Weaker", (Collector,), {"marker": PagesAreNoRoots}),
}


@pytest.mark.timeout(600)  # as long as the search takes
@pytest.mark.parametrize("name", WEAKER)
def test_hypothesis_finds_how_a_weaker_protocol_loses_data(name: str) -> None:
    machine = type("Weaker", (Collecting,), {"collector": WEAKER[name]})
    with pytest.raises(AssertionError, match="pack-missing"):
        run_state_machine_as_test(machine, settings=_SEARCH)
