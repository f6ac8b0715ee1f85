"""A library of very many items: what a backup holds in memory does not grow with their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from base.item import Change, FeedPage, Part, Trouble
from engine.copying import Copier
from engine.entries import raw_of
from m365.service import LiveCount
from tests.vault.world import CHAIN, new_vault, open_vault
from vault.stores.folder import FolderStore

PAGE = 100
STEP_ITEMS = 200
WARM_PAGES = 4


class Library:
    """A drive of so many small files in one folder, told in pages."""

    def __init__(self, items: int, generation: int = 0) -> None:
        self.items = items
        self.generation = generation
        self.fetched = 0

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        for start in range(0, self.items, PAGE):
            stop = min(start + PAGE, self.items)
            entries = tuple(self._file(number) for number in range(start, stop))
            more = stop < self.items
            yield FeedPage("root", entries, f"link {stop}", more=more, reset=start == 0)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        self.fetched += 1
        return [Part("content", f"bytes of {change.id}".encode())], []

    def complete(self, item_id: str) -> Change:
        raise AssertionError("nothing is asked for one by one")

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return change

    def counts(self) -> Iterator[LiveCount]:
        yield from ()

    def _file(self, number: int) -> Change:
        name = f"file {number:07}.txt"
        raw = {"id": f"f{number}", "name": name, "seen": self.generation}
        return Change(f"f{number}", "root", "file", name, raw=raw, fingerprint=f"{number}")


def held_bytes(folder: Path, items: int) -> int:
    """The most that is held while so many items are copied, once the caches are warm."""
    store = FolderStore(folder)
    new_vault(store)
    repo = open_vault(store)
    library = Library(items)
    copier = Copier(repo, library, repo.round(CHAIN, 1), tuple, touched_max=500)

    def commit_now_and_then() -> None:
        if copier.step.items >= STEP_ITEMS:
            copier.keep_place()
            copier.exchange(copier.step.commit())

    tracemalloc.start()
    try:
        for number, page in enumerate(library.changes({}, frozenset())):
            copier.copy(page, commit_now_and_then)
            if number == WARM_PAGES:
                tracemalloc.reset_peak()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        copier.close()


def test_what_copying_holds_does_not_grow_with_the_number_of_items(tmp_path: Path) -> None:
    few = held_bytes(tmp_path / "few", 1_600)
    many = held_bytes(tmp_path / "many", 6_400)
    assert many < few * 1.15


class Flips(Library):
    """The same item again and again, whole and then in pieces."""

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        for number in range(self.items):
            whole = self._file(number)
            flip = replace(whole, raw={"id": whole.id, "read": True}, partial=True)
            more = number + 1 < self.items
            yield FeedPage("root", (whole, flip), f"link {number}", more=more)

    def complete(self, item_id: str) -> Change:
        self.fetched += 1
        return replace(self._file(int(item_id[1:])), raw={"id": item_id, "read": True})


def test_a_piece_of_an_item_is_completed_also_when_too_many_are_remembered() -> None:
    repo, library = new_vault(), Flips(6)
    copier = Copier(repo, library, repo.round(CHAIN, 1), tuple, touched_max=3)
    for page in library.changes({}, frozenset()):
        copier.copy(page, lambda: None)
    copier.close()
    catalog = repo.catalog(copier.step.commit(complete=True).close())
    for number in range(6):
        entry = catalog.get(f"f{number}")
        assert entry is not None
        assert raw_of(repo, entry) == {"id": f"f{number}", "read": True}
