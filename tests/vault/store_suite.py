"""What every store promises; a store's test file subclasses Suite and makes the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from base.errors import InvalidInput
from vault.problems import Missing
from vault.store import Store


class Suite:
    """Inherit, and give a fixture `store`: an empty one for every test."""

    def test_a_new_blob_is_read_back(self, store: Store) -> None:
        assert store.put_new("p/ab/one", b"content")
        assert store.read("p/ab/one") == b"content"
        assert store.size("p/ab/one") == 7

    def test_a_taken_name_is_refused_and_keeps_its_bytes(self, store: Store) -> None:
        assert store.put_new("config/0001", b"first")
        assert not store.put_new("config/0001", b"second, longer")
        assert store.read("config/0001") == b"first"

    def test_of_many_writers_of_a_name_exactly_one_wins(self, store: Store) -> None:
        bodies = [f"writer {number}".encode() * 500 for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda body: store.put_new("m/a/1", body), bodies))
        assert won.count(True) == 1
        assert store.read("m/a/1") == bodies[won.index(True)]

    def test_a_range_is_read_without_the_rest(self, store: Store) -> None:
        store.put_new("p/ab/one", bytes(range(100)))
        assert store.read("p/ab/one", 10, 5) == bytes(range(10, 15))
        assert store.read("p/ab/one", 90) == bytes(range(90, 100))
        assert store.read("p/ab/one", 90, 500) == bytes(range(90, 100))
        assert store.read("p/ab/one", 20, 0) == b""

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
        assert store.size("p/ab/one") is None
        assert store.put_new("p/ab/one", b"2")

    @pytest.mark.parametrize("name", ["", "../up", "a//b", "A", "a/.hidden", "/a", "a b", "a\\b"])
    def test_a_name_not_every_store_can_spell_is_refused(self, store: Store, name: str) -> None:
        with pytest.raises(InvalidInput):
            store.put_new(name, b"")
