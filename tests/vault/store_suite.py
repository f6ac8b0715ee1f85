"""What every store promises; a store's test file subclasses Suite and makes the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from base.errors import InvalidInput
from vault.problems import Missing
from vault.store import Store


class Suite:
    """Inherit, and give a fixture `store`: an empty one for every test. `twin` is the same place as
    another process sees it.
    """

    @pytest.fixture
    def twin(self, store: Store) -> Store:
        return store

    def test_a_new_blob_is_read_back(self, store: Store) -> None:
        assert store.put_new("p/ab/one", b"content")
        assert store.read("p/ab/one") == b"content"
        assert store.size("p/ab/one") == 7

    def test_a_taken_name_is_refused_and_keeps_its_bytes(self, store: Store) -> None:
        assert store.put_new("config/0001", b"first")
        assert not store.put_new("config/0001", b"second, longer")
        assert store.read("config/0001") == b"first"

    def test_of_many_writers_of_a_name_exactly_one_wins(self, store: Store, twin: Store) -> None:
        bodies = [f"writer {number}".encode() * 500 for number in range(8)]
        doors = [store, twin] * 4
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda at, body: at.put_new("m/a/1", body), doors, bodies))
        assert won.count(True) == 1
        assert store.read("m/a/1") == bodies[won.index(True)] == twin.read("m/a/1")

    def test_what_one_process_did_the_other_sees_at_once(self, store: Store, twin: Store) -> None:
        store.put_new("s/a/1", b"1")
        assert not twin.put_new("s/a/1", b"2")
        assert [row.name for row in twin.list("s/")] == ["s/a/1"]
        twin.delete("s/a/1")
        assert store.size("s/a/1") is None
        assert list(store.list("s/")) == []

    def test_a_listing_under_way_bears_writers_and_collectors(
        self, store: Store, twin: Store
    ) -> None:
        names = [f"m/a/{number:02d}" for number in range(20)]
        for name in names[::2]:
            store.put_new(name, b"")
        rows = store.list("m/")
        seen = [next(rows).name]
        for name in names[1::2]:
            twin.put_new(name, b"")
        twin.delete(names[10])
        seen += [row.name for row in rows]
        assert seen == sorted(set(seen))
        assert set(names[::2]) - {names[10]} <= set(seen) <= set(names)

    def test_a_range_is_read_without_the_rest(self, store: Store) -> None:
        store.put_new("p/ab/one", bytes(range(100)))
        assert store.read("p/ab/one", 10, 5) == bytes(range(10, 15))
        assert store.read("p/ab/one", 90) == bytes(range(90, 100))
        assert store.read("p/ab/one", 90, 500) == bytes(range(90, 100))
        assert store.read("p/ab/one", 20, 0) == b""
        assert store.read("p/ab/one", 100) == b""
        assert store.read("p/ab/one", 500, 7) == b""

    def test_an_empty_blob_is_a_blob(self, store: Store) -> None:
        assert store.put_new("r/empty", b"")
        assert store.read("r/empty") == b""
        assert store.size("r/empty") == 0

    def test_a_missing_blob_is_a_typed_problem(self, store: Store) -> None:
        with pytest.raises(Missing):
            store.read("p/ab/none")
        assert store.size("p/ab/none") is None

    def test_a_blob_of_17_mib_is_stored_whole(self, store: Store) -> None:
        data = bytes(17 * 1024 * 1024)
        assert store.put_new("p/cd/large", data)
        assert store.read("p/cd/large") == data

    def test_listings_come_in_name_order_below_a_prefix(self, store: Store) -> None:
        names = ["s/a/2", "s/a/10", "s/b/1", "m/a/1", "p/ab/x", "s/a-b/1", "s/a.b", "s/a/1"]
        for name in names:
            store.put_new(name, name.encode())
        wanted = sorted(name for name in names if name.startswith("s/"))
        assert [row.name for row in store.list("s/")] == wanted
        assert [row.name for row in store.list("s/a/")] == ["s/a/1", "s/a/10", "s/a/2"]
        assert [row.name for row in store.list("")] == sorted(names)
        assert [row.name for row in store.list("x/")] == []

    def test_a_listing_goes_on_behind_a_name(self, store: Store) -> None:
        for name in ("s/a/1", "s/a/2", "s/b/1", "s/c/1"):
            store.put_new(name, b"")
        assert [row.name for row in store.list("s/", after="s/a/1")] == ["s/a/2", "s/b/1", "s/c/1"]
        assert [row.name for row in store.list("s/", after="s/a/~")] == ["s/b/1", "s/c/1"]

    def test_a_listing_says_size_and_a_recent_time(self, store: Store) -> None:
        store.put_new("s/a/1", b"12345")
        (row,) = store.list("s/")
        assert row.size == 5
        assert abs(row.modified - datetime.now(UTC)) < timedelta(minutes=5)

    def test_deleting_twice_is_fine_and_frees_the_name(self, store: Store) -> None:
        store.put_new("p/ab/one", b"1")
        store.delete("p/ab/one")
        store.delete("p/ab/one")
        store.delete("p/none/at-all")
        assert store.size("p/ab/one") is None
        assert store.put_new("p/ab/one", b"2")

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "../up",
            "a//b",
            "A",
            "a/.hidden",
            "/a",
            "a b",
            "a\\b",
            "a/",
            "ä",
            "a\0",
            "r/con",
            "nul.json",
            "a/b.",
            "r/" + "a" * 199,
        ],
    )
    def test_a_name_not_every_store_can_spell_is_refused(self, store: Store, name: str) -> None:
        with pytest.raises(InvalidInput):
            store.put_new(name, b"")
