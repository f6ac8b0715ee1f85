"""What of an item is read again, and how parts longer than a step are put together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

from base.errors import Throttled
from base.item import Change, FeedPage, Part, Pieces, Trouble
from engine.copying import Copier
from engine.entries import PIECE, stored_item
from m365.graph.errors import TransientFailure
from m365.service import LiveCount
from tests.vault.world import CHAIN, new_vault
from vault import Entry, Repository, Round

PIECE_BYTES = 100_000


class Script:
    """A source of one item, "f", in a feed of one page; says what was read."""

    def __init__(self, change: Change, parts: Callable[[Script], list[Part]]) -> None:
        self.change = change
        self.parts = parts
        self.read: list[str] = []
        self.left: list[Collection[str]] = []

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        yield FeedPage("root", (self.change,), "end", more=False)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        self.left.append(frozenset(leave))
        return [part for part in self.parts(self) if part.role not in leave], []

    def complete(self, item_id: str) -> Change:
        return self.change

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return change

    def counts(self) -> Iterator[LiveCount]:
        yield from ()

    def lazily(self, name: str, data: bytes) -> Iterator[bytes]:
        self.read.append(name)
        yield data


class Blocks(Pieces):
    """Some pieces of noise."""

    def __init__(self, script: Script, count: int, breaks_at: int = -1) -> None:
        self.count = count
        self._script = script
        self.breaks_at = breaks_at

    def read(self, number: int) -> Iterator[bytes]:
        if number == self.breaks_at:
            raise Throttled("wait", 30.0)
        yield from self._script.lazily(f"piece {number}", bytes([number]) * PIECE_BYTES)

    def mark(self, number: int) -> str:
        return f"mark {number}"

    def check(self, marks: Sequence[str]) -> None:
        if marks != [f"mark {number}" for number in range(self.count)]:
            raise TransientFailure("not the whole")


class Stop(Exception):
    """The step's time is up."""


def change(**more: Any) -> Change:
    given = {"name": "big.bin", "raw": {"id": "f"}, "fingerprint": "a", "volatile": {"eTag": "1"}}
    return Change("f", "root", "file", **{**given, **more})


def step(
    repo: Repository, round_: Round, source: Script, pauses: float = float("inf")
) -> tuple[Round, list[Trouble]]:
    """One step that ends at the `pauses`-th question whether it is time."""
    copier, asked = Copier(repo, source, round_, tuple), 0

    def after_each() -> None:
        nonlocal asked
        asked += 1
        if asked >= pauses:
            raise Stop

    complete = False
    try:
        copier.retry(copier.interrupted(), after_each)
        for page in source.changes({}, frozenset()):
            copier.copy(page, after_each)
        complete = True
    except (Stop, Throttled):
        pass
    finally:
        copier.close()
    copier.keep_place()
    return copier.step.commit(complete=complete), copier.told()[0]


def backed_up(repo: Repository, source: Script) -> Entry:
    """A whole round; the entry it leaves."""
    numbers = repo.numbers(CHAIN)
    round_, _ = step(repo, repo.round(CHAIN, numbers[-1] + 1 if numbers else 1), source)
    return repo.catalog(round_.close()).get("f") or pytest.fail("the item is missing")


def small(script: Script) -> list[Part]:
    return [
        Part("content", b"bytes"),
        Part("version", script.lazily("v2", b"two"), {"id": "2"}, same="2"),
        Part("version", script.lazily("v1", b"one"), {"id": "1"}, same="1"),
    ]


def test_a_part_that_is_stored_as_it_is_is_kept_and_not_read() -> None:
    repo, source = new_vault(), Script(change(), small)
    backed_up(repo, source)
    assert source.read == ["v2", "v1"]
    source.parts = lambda script: [
        Part("version", script.lazily("v3", b"three"), {"id": "3"}, same="3"), *small(script)
    ]  # fmt: skip
    source.change = change(fingerprint="b")
    item = stored_item(repo, backed_up(repo, source))
    assert source.read == ["v2", "v1", "v3"]
    assert [(part.role, part.meta, part.read()) for part in item.parts] == [
        ("version", {"id": "3"}, b"three"), ("content", {}, b"bytes"),
        ("version", {"id": "2"}, b"two"), ("version", {"id": "1"}, b"one"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (change(stale=frozenset(("version",))), [{"content"}]),
        (change(prints={"version": "all"}), [{"content"}]),
        (change(name="renamed"), []),
        (change(volatile={"eTag": "2"}), []),
        (change(fingerprint="b"), [set()]),
    ],
    ids=["stale", "print", "renamed", "tags only", "content"],
)
def test_only_parts_that_changed_are_fetched(later: Change, left: list[set[str]]) -> None:
    repo, source = new_vault(), Script(change(), small)
    backed_up(repo, source)
    source.left.clear()
    source.change = later
    entry = backed_up(repo, source)
    assert source.left == left
    assert sorted(content.role for content in entry.contents) == [
        "content", "raw", "version", "version",
    ]  # fmt: skip


def test_what_the_feed_calls_stale_is_read_though_it_says_it_is_the_same() -> None:
    repo, source = new_vault(), Script(change(), small)
    backed_up(repo, source)
    source.change = change(stale=frozenset(("version",)))
    backed_up(repo, source)
    assert source.read == ["v2", "v1", "v2", "v1"]
    source.change = change()
    backed_up(repo, source)
    assert len(source.read) == 4


def test_a_role_with_a_print_of_its_own_stays_whatever_else_changed() -> None:
    prints = {"version": "all"}
    repo, source = new_vault(), Script(change(prints=prints), small)
    backed_up(repo, source)
    source.change = change(prints=prints, fingerprint="b", name="renamed")
    entry = backed_up(repo, source)
    assert source.left[-1] == {"version"}
    assert source.read == ["v2", "v1"]
    assert len(entry.contents) == 4
    source.change = change(fingerprint="b", name="renamed")  # versions are not wanted any more
    backed_up(repo, source)
    assert source.left[-1] == {"content"}


def test_a_folder_has_parts_too() -> None:
    folder = Change("f", "", "folder", "top", raw={"id": "f"}, fingerprint="folder")
    repo = new_vault()
    source = Script(folder, lambda script: [Part("permissions", b"[]")])
    entry = backed_up(repo, source)
    assert [content.role for content in entry.contents] == ["raw", "permissions"]
    assert backed_up(repo, source).contents == entry.contents
    assert len(source.left) == 1


def long(count: int, breaks_at: int = -1) -> Callable[[Script], list[Part]]:
    return lambda script: [
        Part("content", Blocks(script, count, breaks_at), {"id": "c"}, same="state a")
    ]


def test_a_part_longer_than_a_step_is_read_once_whatever_step_ends() -> None:
    repo, source = new_vault(), Script(change(), long(5))
    round_ = repo.round(CHAIN, 1)
    for _ in range(4):
        round_, _ = step(repo, round_, source, pauses=1)
    assert not round_.complete
    round_, troubles = step(repo, round_, source)
    assert source.read == [f"piece {number}" for number in range(5)]
    assert troubles == []
    entry = repo.catalog(round_.close()).get("f")
    assert entry is not None
    (content,) = stored_item(repo, entry).parts
    assert (content.role, content.meta, content.size) == ("content", {"id": "c"}, 5 * PIECE_BYTES)
    assert content.read() == b"".join(bytes([number]) * PIECE_BYTES for number in range(5))
    assert not [one for one in entry.contents if one.role == PIECE]
    assert "missing" not in entry.facts


def test_a_pause_in_the_middle_keeps_the_pieces_before_it() -> None:
    repo, source = new_vault(), Script(change(), long(3, breaks_at=2))
    round_, _ = step(repo, repo.round(CHAIN, 1), source)
    source.parts = long(3)
    step(repo, round_, source)
    assert source.read == ["piece 0", "piece 1", "piece 2"]


def test_an_unfinished_part_is_never_taken_for_the_whole() -> None:
    repo, source = new_vault(), Script(change(), long(3))
    round_, troubles = step(repo, repo.round(CHAIN, 1), source, pauses=2)
    empty = round_.step()
    empty.link("other", "end", finished=True)
    entry = repo.catalog(empty.commit(complete=True).close()).get("f")
    assert entry is not None
    item = stored_item(repo, entry)
    assert (item.parts, item.missing) == ((), ("item: unfinished",))
    assert repo.verify(read_data=True).clean
    assert troubles == []  # nothing failed
    backed_up(repo, source)
    assert source.read == ["piece 0", "piece 1", "piece 2"]  # the next run goes on all the same


def test_pieces_of_two_states_are_never_joined() -> None:
    repo, source = new_vault(), Script(change(), long(3))
    round_, _ = step(repo, repo.round(CHAIN, 1), source, pauses=2)
    source.change = change(fingerprint="b")
    source.parts = lambda script: [Part("content", Blocks(script, 2), same="state b")]
    round_, _ = step(repo, round_, source)
    assert source.read == ["piece 0", "piece 1", "piece 0", "piece 1"]
    entry = repo.catalog(round_.close()).get("f")
    assert entry is not None
    assert stored_item(repo, entry).parts[0].size == 2 * PIECE_BYTES


def test_pieces_that_are_not_the_whole_are_no_content() -> None:
    class Wrong(Blocks):
        def mark(self, number: int) -> str:
            return "wrong"

    repo = new_vault()
    source = Script(change(), lambda script: [Part("content", Wrong(script, 2), same="a")])
    round_, troubles = step(repo, repo.round(CHAIN, 1), source)
    entry = repo.catalog(round_.close()).get("f")
    assert entry is not None
    assert stored_item(repo, entry).parts == ()
    assert [(one.part, one.cause, one.retry) for one in troubles] == [
        ("content", "graph-unstable", True)
    ]
