"""A chain against a dict: puts, moves, removals and sweeps in any order, in one or many passes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.vault.world import CHAIN, StillClock, close, ids_in, listed, new_vault, open_vault
from vault import Entry, Round, Snapshot, Step
from vault.merge import Limits
from vault.sorting import RECORD_BYTES, Budget
from vault.stores.memory import MemoryStore
from vault.tree import Shape

PARENTS = ["", "inbox", "archive", "i0", "i1", "i2"]
IDS = st.sampled_from([f"i{number}" for number in range(25)])


class Chain(RuleBasedStateMachine):
    """The model: id -> (parent, name), with the position of its last put for sweeps."""

    @initialize(small=st.booleans())
    def made(self, small: bool) -> None:
        store = MemoryStore(StillClock())
        new_vault(store)
        sorting = Budget(held_bytes=4 * RECORD_BYTES, spilled_bytes=600, open_file=BytesIO)
        tiny = Limits(sorting, write_bytes=2 * RECORD_BYTES, keep=9, shape=Shape(150, 3))
        limits = tiny if small else None
        self.repo = open_vault(store, limits=limits)
        self.model: dict[str, tuple[str, str, int]] = {}
        self.resets: dict[str, tuple[int, str | None]] = {}
        self.removed: dict[str, int] = {}  # recursively: when
        self.time = 0
        self.number = 1
        self.history: list[tuple[Snapshot, dict[str, tuple[str, str]]]] = []
        self.round: Round = self.repo.round(CHAIN, 1)
        self.step: Step = self.round.step()

    @rule(id_=IDS, parent=st.sampled_from(PARENTS), name=st.text(max_size=3))
    def put(self, id_: str, parent: str, name: str) -> None:
        self.time += 1
        self.step.put(Entry(id_, parent, "message", name), "any")
        self.model[id_] = (parent, name, self.time)

    @rule(id_=IDS, parent=st.sampled_from([None, *PARENTS]), recursive=st.booleans())
    def remove(self, id_: str, parent: str | None, recursive: bool) -> None:
        self.time += 1
        self.step.remove(id_, parent, recursive)
        lies_in = self.model[id_][0] if id_ in self.model else None
        if parent in (None, lies_in):
            self.model.pop(id_, None)
            if recursive:
                self.removed[id_] = self.time

    def remove_below(self) -> None:
        """What still lies below a folder that is gone, and was not put after it went, goes too."""
        gone = {id_: time for id_, time in self.removed.items() if id_ not in self.model}
        while True:
            below = {
                id_: gone[parent]
                for id_, (parent, _, put) in self.model.items()
                if parent in gone and put < gone[parent]
            }
            if not below:
                return
            for id_ in below:
                del self.model[id_]
            gone = below

    @rule(part=st.sampled_from("xy"), scope=st.sampled_from([None, *PARENTS]))
    def reset(self, part: str, scope: str | None) -> None:
        self.time += 1
        self.step.reset(part, scope)
        self.resets[part] = (self.time, scope)

    @rule(part=st.sampled_from("xy"))
    def finish(self, part: str) -> None:
        self.time += 1
        self.step.link(part, f"link-{self.time}", finished=True)
        if part in self.resets:
            since, scope = self.resets.pop(part)
            for id_, (parent, _, put) in list(self.model.items()):
                if scope in (None, parent) and put < since:
                    del self.model[id_]

    @rule()
    def commit(self) -> None:
        self.round = self.step.commit()
        self.step = self.round.step()

    @rule()
    def reopen_after_commit(self) -> None:
        self.step.commit()
        self.round = self.repo.round(CHAIN, self.number)
        self.step = self.round.step()

    @precondition(lambda self: self.step.dirty or self.round.pages)
    @rule()
    def close(self) -> None:
        snapshot = close(self.step.commit(complete=True))
        self.remove_below()
        plain = {id_: (parent, name) for id_, (parent, name, _) in self.model.items()}
        self.history.append((snapshot, plain))
        self.check(snapshot, plain)
        self.compare()
        self.number += 1
        self.resets, self.removed = {}, {}
        self.model = {id_: (parent, name, 0) for id_, (parent, name) in plain.items()}
        self.round = self.repo.round(CHAIN, self.number)
        self.step = self.round.step()

    def check(self, snapshot: Snapshot, plain: dict[str, tuple[str, str]]) -> None:
        catalog = self.repo.catalog(snapshot)
        assert ids_in(catalog) == {id_: parent for id_, (parent, _) in plain.items()}
        for parent in PARENTS:
            inside = [(n.casefold(), i) for i, (p, n) in plain.items() if p == parent]
            assert listed(catalog, parent, limit=3) == [id_ for _, id_ in sorted(inside)]
            assert catalog.count(parent) == len(inside)

    def compare(self) -> None:
        """The difference to every older snapshot is that of the models."""
        newest, after = self.history[-1]
        for older, before in self.history[:-1]:
            found: dict[str, Any] = {}
            for old, new in self.repo.catalog(newest).changes_since(self.repo.catalog(older)):
                id_ = (old or new).id  # type: ignore[union-attr]
                assert id_ not in found
                found[id_] = tuple(one and (one.parent, one.name) for one in (old, new))
            wanted = {
                id_: (before.get(id_), after.get(id_))
                for id_ in before.keys() | after.keys()
                if before.get(id_) != after.get(id_)
            }
            assert found == wanted

    @invariant()
    def old_snapshots_stay_as_they_were(self) -> None:
        if getattr(self, "history", None):
            snapshot, plain = self.history[0]
            self.check(snapshot, plain)

    def teardown(self) -> None:
        if hasattr(self, "repo"):
            assert self.repo.verify(read_data=True).clean


TestChain = Chain.TestCase
TestChain.settings = settings(max_examples=40, stateful_step_count=40)
