"""Stores with one bad habit each, and stories told again with a death at every store call."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from base.clock import Clock
from tests.vault.world import open_vault
from vault import Listed, Missing, Store
from vault.problems import StoreFull, StoreImmutable, StoreProblem
from vault.stores.memory import MemoryStore


class Passing:
    """Hands everything on; the base of the others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writes = 0

    def put_new(self, name: str, data: bytes) -> bool:
        self.writes += 1
        return self._store.put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.read(name, offset, length)

    def size(self, name: str) -> int | None:
        return self._store.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._store.list(prefix, after)

    def delete(self, name: str) -> None:
        self._store.delete(name)


class PowerCut(Exception):
    """The process died."""


class MortalStore(Passing):
    """Dies behind `calls` calls; a dying write or removal may have reached the disk or not."""

    def __init__(self, store: Store, calls: int, *, arrives: bool) -> None:
        super().__init__(store)
        self._left = calls
        self._arrives = arrives
        self._lock = threading.RLock()  # what is under way beside a step dies with it
        self.died = False

    def put_new(self, name: str, data: bytes) -> bool:
        with self._lock:
            self._step(lambda: super(MortalStore, self).put_new(name, data))
            return super().put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._lock:
            self._step()
            return super().read(name, offset, length)

    def size(self, name: str) -> int | None:
        with self._lock:
            self._step()
            return super().size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        with self._lock:
            self._step()
            return super().list(prefix, after)

    def delete(self, name: str) -> None:
        with self._lock:
            self._step(lambda: super(MortalStore, self).delete(name))
            super().delete(name)

    def _step(self, change: Callable[[], object] = lambda: None) -> None:
        self._left -= 1
        if self._left < 0:
            if self._left == -1 and self._arrives:
                change()
            self.died = True
            raise PowerCut


class HasStore(Protocol):
    """The world of a story: its store outlives processes."""

    store: MemoryStore


W = TypeVar("W", bound=HasStore)


def dies_at_every_call(
    start: Callable[[], W],
    story: Callable[[W, Store], object],
    check: Callable[[W], object],
    calls_min: int,
    arrives: bool,
) -> None:
    """Tells the story in a fresh world with a death behind 0, 1, 2 … calls, until it lives. After
    each death the vault has to be clean; then the story is told again, and checked.
    """
    for calls in itertools.count():
        world = start()
        mortal = MortalStore(world.store, calls, arrives=arrives)
        try:
            story(world, mortal)
        except PowerCut:
            assert open_vault(world.store).verify(read_data=True).problems == [], calls
            story(world, world.store)
        check(world)
        assert open_vault(world.store).verify(read_data=True).problems == [], calls
        if not mortal.died:
            break
    assert calls >= calls_min, f"the story has {calls} calls"


class LosesAnAnswer(Passing):
    """The n-th write arrives, and says that it failed."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__(store)
        self._nth = nth

    def put_new(self, name: str, data: bytes) -> bool:
        created = super().put_new(name, data)
        if self.writes == self._nth:
            raise StoreProblem("The connection broke.")
        return created


class SaysTaken(Passing):
    """The n-th write arrives, and is told that somebody else was faster: a retry met itself."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__(store)
        self._nth = nth

    def put_new(self, name: str, data: bytes) -> bool:
        created = super().put_new(name, data)
        return created and self.writes != self._nth


class ListsStale(Passing):
    """The next few listings do not show a write; reads by name do."""

    def __init__(self, store: Store, unseen_by: int) -> None:
        super().__init__(store)
        self._unseen_by = unseen_by
        self._left: dict[str, int] = {}

    def put_new(self, name: str, data: bytes) -> bool:
        created = super().put_new(name, data)
        if created:
            self._left[name] = self._unseen_by
        return created

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        unseen = set(self._left)
        self._left = {name: left - 1 for name, left in self._left.items() if left > 1}
        return (one for one in super().list(prefix, after) if one.name not in unseen)


class IsFull(Passing):
    """No space from the n-th write on, until somebody makes room."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__(store)
        self._nth = nth
        self.met = False

    def put_new(self, name: str, data: bytes) -> bool:
        if self.writes + 1 >= self._nth:
            self.met = True
            raise StoreFull("No space.")
        return super().put_new(name, data)


class FailsAt(Passing):
    """Answers "r" rightly and "e" with an error, call after call, over and over."""

    def __init__(self, store: Store, answers: str) -> None:
        super().__init__(store)
        self._answers = itertools.cycle(answers)

    def put_new(self, name: str, data: bytes) -> bool:
        self._answer()
        return super().put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._answer()
        return super().read(name, offset, length)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self._answer()
        return super().list(prefix, after)

    def _answer(self) -> None:
        if next(self._answers) == "e":
            raise StoreProblem("The storage is busy.")


class AnswersLate(Passing):
    """Every write takes as long as it says."""

    def __init__(self, store: Store, clock: Clock, late_s: float) -> None:
        super().__init__(store)
        self._clock, self._late_s = clock, late_s

    def put_new(self, name: str, data: bytes) -> bool:
        created = super().put_new(name, data)
        self._clock.sleep(self._late_s)
        return created


class FlipsLastByte(Passing):
    """The n-th read of a pack, page or snapshot comes with one wrong bit."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__(store)
        self._left = nth
        self.flipped = ""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().read(name, offset, length)
        self._left -= name[:2] in ("p/", "m/", "s/")
        if self._left == 0 and data and not self.flipped:
            self.flipped = name
            return data[:-1] + bytes([data[-1] ^ 1])
        return data


class Forgets(Passing):
    """Has lost one blob."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__(store)
        self._name = name

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name == self._name:
            raise Missing("There is no such blob.", name=name)
        return super().read(name, offset, length)

    def size(self, name: str) -> int | None:
        return None if name == self._name else super().size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return (one for one in super().list(prefix, after) if one.name != self._name)


class RefusesToDelete(Passing):
    """A container with an immutability policy."""

    def delete(self, name: str) -> None:
        raise StoreImmutable("The blob is protected.")


class MeetsAnother(Passing):
    """Right before its n-th call somebody else does something whole."""

    def __init__(self, store: Store, nth: int, other: Callable[[], object]) -> None:
        super().__init__(store)
        self._left = nth
        self._other = other
        self.met = False

    def put_new(self, name: str, data: bytes) -> bool:
        self._step()
        return super().put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._step()
        return super().read(name, offset, length)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self._step()
        return super().list(prefix, after)

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.met = True
            self._other()


class HasItsOwnTime(Passing):
    """Says when blobs were made by a clock of its own, and how far that is off."""

    def __init__(self, store: Store, clock: Clock, off: timedelta = timedelta(0)) -> None:
        super().__init__(store)
        self._clock, self._off = clock, off
        self._made: dict[str, datetime] = {}

    def put_new(self, name: str, data: bytes) -> bool:
        at = self._clock.now() + self._off
        created = super().put_new(name, data)
        if created:
            self._made[name] = at
        return created

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return (replace(one, modified=self._made[one.name]) for one in super().list(prefix, after))
