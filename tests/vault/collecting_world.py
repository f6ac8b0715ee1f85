"""A world in which writers stall, die and have twins while a collector works: real classes, virtual
time, one actor at a time.

Every actor is a thread that runs only while the scheduler waits for it, and hands control back
before every write, delete and look-up: so any interleaving can happen, and the same seed gives the
same one. A single request to storage may take up to half a day (SLOWEST); between requests an
actor may sleep for days. Time is the store's, the writers' and the collector's.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from base.clock import Clock
from base.errors import Problem
from tests.vault.faults import PowerCut
from tests.vault.world import SLOT, StillClock, new_vault, noise
from vault import Entry, Listed, Location, MemoryChunkIndex, Repository, Step, Store
from vault.collect import Asked, Collector
from vault.forward import pack_of
from vault.indexing import shared_chunks
from vault.stores.memory import MemoryStore

HOUR = 3600.0
SLOWEST = 12 * HOUR  # one request
CHUNKS = 60
CHAINS = 8
DAYS = 22
EXPIRE_AFTER = timedelta(days=2)
_CHUNKS = [noise(number, 66_000) for number in range(CHUNKS)]


class CarefreeStep(Step):
    """A writer without a maximum age: one of the weaker protocols."""

    def _refuse_if_old(self) -> None:
        return


@dataclass(slots=True)
class Outcome:
    """What happened in a run."""

    commits: int = 0
    cycles: int = 0
    lost: int = 0
    deleted: int = 0
    resurrected: int = 0
    found_again: int = 0


class World:
    """One run of one protocol."""

    def __init__(
        self,
        seed: int,
        collector: type[Collector] = Collector,
        step: type[Step] = Step,
        careless_rebuild: bool = False,
        chains: int = CHAINS,
        store: Callable[[Clock], Store] = MemoryStore,
        table_loss: float = 0.05,
    ) -> None:
        """`careless_rebuild`: one that sleeps for a day before it writes its rows; then the tables
        are not lost besides.
        """
        self.careless_rebuild = careless_rebuild
        self._chains = chains
        self.table_loss = table_loss  # how likely before each rebuild, which comes every few hours
        carefree = step is CarefreeStep
        self.sleepiness = 0.6 if carefree else 0.2  # of writers, before they commit
        self.longest_sleep = (240 if carefree else 100) * HOUR
        self.dice = random.Random(seed)
        self.clock = StillClock()
        self.store = store(self.clock)
        self.index = MemoryChunkIndex()
        new_vault(self.store, self.clock, self.index)
        self.collector_type = collector
        self.step_type = step
        self.outcome = Outcome()
        self._start = self.clock.moment
        self._queue: list[tuple[float, int, _Actor]] = []
        self._born = 0

    @property
    def now(self) -> float:
        return (self.clock.moment - self._start).total_seconds()

    def run(self) -> Outcome:
        """Lets everybody live for DAYS, then counts what cannot be read."""
        for chain in range(self._chains):
            for _ in range(2 if chain < 2 else 1):  # two chains have writers with twins
                self._enter(lambda actor, c=chain: _write(actor, f"mail/{c}"))  # type: ignore[misc]
        self._enter(_collect)
        self._enter(_lose_and_rebuild_rows)
        while self._queue:
            moment, _, actor = heapq.heappop(self._queue)
            self.clock.moment = self._start + timedelta(seconds=max(moment, self.now))
            delay = actor.turn(dying=moment > DAYS * 24 * HOUR)
            if delay is not None:
                self._born += 1
                heapq.heappush(self._queue, (self.now + delay, self._born, actor))
        self.outcome.lost = self._unreadable()
        return self.outcome

    def _enter(self, life: Callable[[_Actor], None]) -> None:
        self._born += 1
        heapq.heappush(self._queue, (self.dice.random() * HOUR, self._born, _Actor(self, life)))

    def _unreadable(self) -> int:
        """References of restore points and open rounds whose bytes are gone."""
        repo = Repository.open(self.store, SLOT, self.clock, self.index)
        return sum(
            max(1, finding.items)
            for finding in repo.verify(read_data=True).problems
            if finding.effect == "lost"
        )


class _Actor:
    """Somebody who runs when it is his turn."""

    def __init__(self, world: World, life: Callable[[_Actor], None]) -> None:
        self.world = world
        self.dice = random.Random(world.dice.random())
        self._life = life
        self._resume, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._delay: float | None = 0.0
        self._dying = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None
        self._thread.start()

    def turn(self, dying: bool) -> float | None:
        """Runs until the next pause; how long it sleeps, None at the end of its life."""
        self._dying = dying
        self._resume.release()
        self._paused.acquire()
        if self._failure is not None:
            raise self._failure
        return self._delay

    def sleep(self, seconds: float) -> None:
        """Hands control back."""
        self._delay = seconds
        self._paused.release()
        self._resume.acquire()
        if self._dying:
            raise _EndOfTime

    def stall(self, longest: float = 240 * HOUR, seldom: float = 0.04) -> None:
        """Mostly seconds, sometimes days."""
        if self.dice.random() < seldom:
            self.sleep(min(longest, self.dice.uniform(5 * HOUR, self.world.longest_sleep)))
        else:
            self.sleep(self.dice.random() * 60)

    def dies(self) -> None:
        if self.dice.random() < 0.02:
            raise PowerCut

    def _run(self) -> None:
        self._resume.acquire()
        try:
            self._life(self)
        except _EndOfTime:
            pass
        except BaseException as failure:
            self._failure = failure
        self._delay = None
        self._paused.release()


class _EndOfTime(BaseException):
    pass


class _Wire:
    """The store as an actor reaches it."""

    def __init__(self, actor: _Actor) -> None:
        self._actor, self._store = actor, actor.world.store

    def put_new(self, name: str, data: bytes) -> bool:
        if name.startswith("p/"):
            self._actor.stall()
        self._actor.stall(SLOWEST)
        self._actor.dies()
        created = self._store.put_new(name, data)
        self._actor.dies()
        return created

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.read(name, offset, length)

    def size(self, name: str) -> int | None:
        return self._store.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._store.list(prefix, after)

    def delete(self, name: str) -> None:
        self._actor.stall(SLOWEST, seldom=0.01)
        self._store.delete(name)
        if name.startswith("p/"):
            self._actor.world.outcome.deleted += 1


class _Rows:
    """The look-up as an actor reaches it."""

    def __init__(self, actor: _Actor) -> None:
        self._actor, self._index = actor, actor.world.index

    def find(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        found = self._index.find(ids)
        self._actor.stall()
        return found

    def remember(self, found: Mapping[bytes, Location]) -> None:
        self._actor.stall(SLOWEST)
        self._index.remember(found)

    def generation(self) -> str:
        return self._index.generation()

    def forget(self, pack: str, ids: Collection[bytes]) -> set[bytes]:
        self._actor.stall(SLOWEST, seldom=0.01)
        return self._index.forget(pack, ids)


def _opened(actor: _Actor) -> Repository:
    return Repository.open(_Wire(actor), SLOT, actor.world.clock, _Rows(actor))


def _write(actor: _Actor, chain: str) -> None:
    """Backs a chain up again and again."""
    repo = _opened(actor)
    while True:
        try:
            _back_up(actor, repo, chain)
        except PowerCut:
            repo = _opened(actor)  # a new process
        except Problem:
            pass  # too old, lost the race: the next step starts afresh
        actor.sleep(actor.dice.uniform(1, 8) * HOUR)


def _back_up(actor: _Actor, repo: Repository, chain: str) -> None:
    numbers = repo.numbers(chain)
    round_ = repo.round(chain, (numbers[-1] if numbers else 0) + 1)
    while not round_.closed:
        if round_.complete:
            round_.close()
            return
        step = actor.world.step_type(round_)
        for _ in range(actor.dice.randint(1, 3)):
            item = f"i{actor.dice.randrange(6)}"
            content = step.add("content", _CHUNKS[_fashionable(actor)])
            step.put(Entry(item, "", "file", item, contents=(content,)), "root")
        step.remove(f"i{actor.dice.randrange(6)}")
        last = actor.dice.random() < (0.06 if chain.endswith("7") else 0.7)
        step.link("root", f"{actor.world.now}", finished=last)
        step._packer._look_up()
        actor.stall(seldom=actor.world.sleepiness)
        round_ = step.commit(complete=last)
        actor.world.outcome.commits += not step.lost


def _fashionable(actor: _Actor) -> int:
    """What is stored comes in fashions, so that chunks are dropped and come back."""
    if actor.dice.random() < 0.3:
        return actor.dice.randrange(CHUNKS)
    return (int(actor.world.now / (30 * HOUR)) * 5 + actor.dice.randrange(9)) % CHUNKS


def _collect(actor: _Actor) -> None:
    """A cycle every few hours."""
    while True:
        try:
            collector = actor.world.collector_type(_opened(actor)._bench)
            collector.begin(_expiring(actor.world), Asked(confirmed=True))
            while collector.slice(lambda: actor.dice.random() < 0.5):
                actor.stall(SLOWEST, seldom=0.02)
            actor.world.outcome.cycles += 1
            report = collector.report()
            if report is not None:
                actor.world.outcome.resurrected += report.packs.get("needed-again", 0)
                actor.world.outcome.found_again += report.packs.get("found-again", 0)
        except PowerCut:
            pass
        actor.sleep(6 * HOUR)


def _expiring(world: World) -> list[tuple[str, int]]:
    repo = Repository.open(world.store, SLOT, world.clock, world.index)
    before = world.clock.moment - EXPIRE_AFTER
    return [
        (chain, int(listed.name[-10:]))
        for chain in repo.chains()
        for listed in world.store.list(f"s/{repo._ring.chain_hash(chain)}/")
        if listed.modified < before
    ]


def _lose_and_rebuild_rows(actor: _Actor) -> None:
    """The tables are lost now and then; what rebuilds them is as slow as everybody."""
    world = actor.world
    while True:
        actor.sleep(actor.dice.uniform(2, 12) * HOUR)
        if actor.dice.random() < world.table_loss and not world.careless_rebuild:
            world.index.lose()
        repo = _opened(actor)
        condemned = repo.collector().history().condemned
        rows: dict[bytes, Location] = {}
        for listed in list(world.store.list("p/")):
            if pack_of(listed.name) not in condemned:
                rows.update(shared_chunks(repo._bench.tools, listed) or {})
        if world.careless_rebuild:
            actor.stall(30 * HOUR, seldom=0.9)
        actor.stall(SLOWEST, seldom=0.9)
        world.index.remember(rows)
