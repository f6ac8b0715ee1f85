"""Stores with one bad habit each."""

from __future__ import annotations

from collections.abc import Iterator

from vault import Listed, Store
from vault.problems import StoreFull, StoreProblem


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
    """Listings do not show the last few writes; reads by name do."""

    def __init__(self, store: Store, unseen: int) -> None:
        super().__init__(store)
        self._unseen = unseen
        self._last: list[str] = []

    def put_new(self, name: str, data: bytes) -> bool:
        created = super().put_new(name, data)
        self._last = [*self._last, name][-self._unseen :]
        return created

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return (one for one in super().list(prefix, after) if one.name not in self._last)


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
