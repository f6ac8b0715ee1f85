"""What every adapter of the tables port must do; a test module of an adapter inherits Suite."""

import math
import string
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import Problem
from state.counting import CountingTables
from state.port import RowChanged, RowExists, Tables
from state.rows import CursorInvalid, RowInvalid

# Each is legal in a key here although Table Storage forbids it, or has a trap of its own.
HARD_KEYS = (
    "a/b",
    "a\\b",
    "a#b",
    "a?b",
    "50%",
    "%2F",
    "tab\there",
    "nul\x00",
    "del\x7f",
    "c1\x85",
    "o'clock",
    "a''b",
    "plus+and&=",
    " leading",
    "trailing ",
    "dots..",
    "~",
    "~z000041",
    "é",
    "e\u0301",
    "漢字",
    "🙂",
    "\ue000",
    "@ref",
    "A",
    "a",
)

CHARACTERS = st.one_of(
    st.sampled_from(" !\"#$%&'./0>?@[\\]^~z1\x00\x1f\x7f\x80\ue000\U00010000aA"),
    st.characters(exclude_categories=["Cs"]),
)
KEYS = st.text(CHARACTERS, min_size=1, max_size=12)


class Suite:
    """Tests take `tables`, a fixture of the adapter's module, and a table of their own."""

    table = "suite"

    @pytest.fixture(autouse=True)
    def _own_table(self, request: pytest.FixtureRequest) -> None:
        name = "".join(c for c in request.node.originalname if c in string.ascii_letters)
        self.table = f"t{name}"[-40:]

    def test_a_row_comes_back_as_it_was_written(self, tables: Tables):
        values = {
            "text": "x",
            "empty": "",
            "quote": 'o\'clock "and" \\',
            "lines": "a\r\nb\x00\t",
            "unicode": "é漢🙂\u202e",
            "date": "2026-11-24T06:05:17Z",
            "small": -1,
            "edge": 2**31,
            "large": 2**63 - 1,
            "lowest": -(2**63),
            "whole": 1.0,
            "half": 0.5,
            "endless": math.inf,
            "yes": True,
            "no": False,
        }
        tables.insert(self.table, "p", "k", values)
        row = tables.get(self.table, "p", "k")
        assert row is not None
        assert dict(row.values) == values
        assert {k: type(v) for k, v in row.values.items()} == {
            k: type(v) for k, v in values.items()
        }
        assert (row.partition, row.key) == ("p", "k")

    def test_what_was_never_written_is_empty_and_not_an_error(self, tables: Tables):
        assert tables.get(self.table, "p", "k") is None
        assert tables.query(self.table, "p").rows == ()
        assert tables.get_many(self.table, "p", ["k"]) == []
        assert list(tables.partitions(self.table)) == []
        tables.delete(self.table, "p", "k")
        tables.delete_partition(self.table, "p")

    def test_a_second_insert_is_refused_and_changes_nothing(self, tables: Tables):
        tables.insert(self.table, "p", "k", {"n": 1})
        with pytest.raises(RowExists):
            tables.insert(self.table, "p", "k", {"n": 2})
        assert tables.get(self.table, "p", "k").values == {"n": 1}

    def test_replace_writes_the_whole_row_and_forgets_old_columns(self, tables: Tables):
        tables.replace(self.table, "p", "k", {"a": 1, "b": 2}, None)
        tables.replace(self.table, "p", "k", {"a": 3}, None)
        assert tables.get(self.table, "p", "k").values == {"a": 3}

    def test_replace_with_an_etag_succeeds_once(self, tables: Tables):
        first = tables.insert(self.table, "p", "k", {"n": 1})
        assert tables.get(self.table, "p", "k").etag == first
        second = tables.replace(self.table, "p", "k", {"n": 2}, first)
        assert second != first
        with pytest.raises(RowChanged):
            tables.replace(self.table, "p", "k", {"n": 3}, first)
        assert tables.get(self.table, "p", "k").values == {"n": 2}
        assert tables.get(self.table, "p", "k").etag == second

    def test_replace_with_an_etag_does_not_bring_a_deleted_row_back(self, tables: Tables):
        etag = tables.insert(self.table, "p", "k", {"n": 1})
        tables.delete(self.table, "p", "k")
        with pytest.raises(RowChanged):
            tables.replace(self.table, "p", "k", {"n": 2}, etag)
        assert tables.get(self.table, "p", "k") is None

    def test_an_etag_of_a_deleted_row_does_not_fit_its_successor(self, tables: Tables):
        old = tables.insert(self.table, "p", "k", {"n": 1})
        tables.delete(self.table, "p", "k", old)
        new = tables.insert(self.table, "p", "k", {"n": 1})
        assert new != old
        with pytest.raises(RowChanged):
            tables.replace(self.table, "p", "k", {"n": 2}, old)

    def test_delete_with_an_etag_needs_the_row_unchanged_and_there(self, tables: Tables):
        old = tables.insert(self.table, "p", "k", {"n": 1})
        new = tables.replace(self.table, "p", "k", {"n": 2}, old)
        with pytest.raises(RowChanged):
            tables.delete(self.table, "p", "k", old)
        tables.delete(self.table, "p", "k", new)
        with pytest.raises(RowChanged):
            tables.delete(self.table, "p", "k", new)

    def test_of_many_concurrent_inserts_one_wins(self, tables: Tables):
        def insert(number: int) -> int:
            try:
                tables.insert(self.table, "p", "k", {"winner": number})
            except RowExists:
                return -1
            return number

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number in pool.map(insert, range(24)) if number >= 0]
        assert len(winners) == 1
        assert tables.get(self.table, "p", "k").values == {"winner": winners[0]}

    def test_concurrent_changes_by_etag_lose_nothing(self, tables: Tables):
        tables.insert(self.table, "p", "k", {"n": 0})

        def add_one(_: int) -> None:
            while True:
                row = tables.get(self.table, "p", "k")
                try:
                    tables.replace(self.table, "p", "k", {"n": row.values["n"] + 1}, row.etag)
                    return
                except RowChanged:
                    continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add_one, range(20)))
        assert tables.get(self.table, "p", "k").values == {"n": 20}

    def test_keys_may_hold_any_character(self, tables: Tables):
        for number, key in enumerate(HARD_KEYS):
            tables.insert(self.table, key, key, {"n": number})
        for number, key in enumerate(HARD_KEYS):
            row = tables.get(self.table, key, key)
            assert (row.partition, row.key, row.values["n"]) == (key, key, number)
            assert [one.key for one in tables.query(self.table, key).rows] == [key]
            tables.replace(self.table, key, key, {"n": -number}, row.etag)
        assert sorted(tables.partitions(self.table)) == sorted(HARD_KEYS)
        for key in HARD_KEYS:
            tables.delete(self.table, key, key)
        assert list(tables.partitions(self.table)) == []

    def test_rows_come_in_the_order_of_their_keys(self, tables: Tables):
        tables.upsert_many(self.table, "p", {key: {"n": 1} for key in reversed(HARD_KEYS)})
        assert [row.key for row in tables.scan(self.table, "p")] == sorted(HARD_KEYS)
        found = {row.key for row in tables.get_many(self.table, "p", list(HARD_KEYS))}
        assert found == set(HARD_KEYS)

    @given(keys=st.sets(KEYS, min_size=1, max_size=8), data=st.data())
    @settings(
        max_examples=15,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    def test_any_span_of_any_keys_is_what_sorting_says(
        self, tables: Tables, keys: set[str], data: st.DataObject
    ):
        first, last = data.draw(st.sampled_from(sorted(keys))), data.draw(KEYS)
        tables.delete_partition(self.table, "p")
        tables.upsert_many(self.table, "p", {key: {"n": 1} for key in keys})
        found = [row.key for row in tables.scan(self.table, "p", first=first, last=last)]
        assert found == [key for key in sorted(keys) if first <= key < last]

    def test_pages_follow_one_another_without_gap_or_repeat(self, tables: Tables):
        keys = [f"k{number:03d}" for number in range(25)]
        tables.upsert_many(self.table, "p", {key: {"n": 1} for key in keys})
        tables.upsert_many(self.table, "q", {key: {"n": 2} for key in keys})
        seen, after, pages = [], "", 0
        while True:
            page = tables.query(self.table, "p", first="k002", last="k020", after=after, limit=7)
            assert len(page.rows) <= 7
            seen += [row.key for row in page.rows]
            after, pages = page.after, pages + 1
            if not after:
                break
        assert seen == keys[2:20]
        assert pages <= 4

    def test_paging_goes_on_where_it_was_when_rows_come_and_go(self, tables: Tables):
        tables.upsert_many(self.table, "p", {key: {"n": 1} for key in "bdfh"})
        page = tables.query(self.table, "p", limit=2)
        tables.delete(self.table, "p", "d")
        tables.insert(self.table, "p", "a", {"n": 1})
        tables.insert(self.table, "p", "e", {"n": 1})
        rest = tables.query(self.table, "p", after=page.after, limit=10)
        assert [row.key for row in page.rows] == ["b", "d"]
        assert [row.key for row in rest.rows] == ["e", "f", "h"]

    def test_a_page_that_ends_exactly_at_the_last_row_is_not_followed_by_rows(self, tables: Tables):
        tables.upsert_many(self.table, "p", {key: {"n": 1} for key in "abcd"})
        page = tables.query(self.table, "p", limit=4)
        assert len(page.rows) == 4
        assert page.after == "" or tables.query(self.table, "p", after=page.after).rows == ()

    @pytest.mark.parametrize("after", ["x", "k:a", "%%%", "aé", "YWJj"])
    def test_a_made_up_continuation_is_refused(self, tables: Tables, after: str):
        with pytest.raises(CursorInvalid):
            tables.query(self.table, "p", after=after)

    def test_more_rows_than_one_answer_holds_are_all_scanned(self, tables: Tables):
        keys = [f"{number:05d}" for number in range(1105)]
        tables.upsert_many(self.table, "p", {key: {"n": 1} for key in keys})
        assert [row.key for row in tables.scan(self.table, "p")] == keys
        wanted = [*keys[:1100:3], "none of them"]
        found = tables.get_many(self.table, "p", wanted)
        assert sorted(row.key for row in found) == keys[:1100:3]
        tables.delete_partition(self.table, "p")
        assert tables.query(self.table, "p").rows == ()

    def test_many_rows_come_with_their_columns_and_etags(self, tables: Tables):
        values = {"s": "é ' 🙂", "n": -(2**63), "m": 7, "f": 1.5, "whole": 2.0, "b": True, "e": ""}
        keys = ["a", "b'c", "d/e", "f?g#h", "é ü"]
        for key in keys:
            tables.insert(self.table, "p", key, values)
        found = tables.get_many(self.table, "p", [*keys, "missing"])
        assert [row.key for row in found] == keys
        for row in found:
            one = tables.get(self.table, "p", row.key)
            assert row == one
            assert {k: type(v) for k, v in row.values.items()} == {
                k: type(v) for k, v in values.items()
            }
            tables.replace(self.table, "p", row.key, {"n": 1}, row.etag)

    def test_a_key_asked_for_twice_is_found_once(self, tables: Tables):
        tables.insert(self.table, "p", "a", {"n": 1})
        assert len(tables.get_many(self.table, "p", ["a", "a"])) == 1

    @pytest.mark.parametrize(
        "bad",
        [
            {"n": None},
            {"n": 2**63},
            {"n": b"bytes"},
            {"n": ["list"]},
            {"n": "x" * 32_001},
            {"n": "🙂" * 16_001},
            {"n": "half \ud83d"},
            {"not a name": 1},
            {"PartitionKey": "p"},
            {f"c{number}": 1 for number in range(251)},
            {f"c{number}": "x" * 32_000 for number in range(15)},
        ],
        ids=lambda bad: next(iter(bad)),
    )
    def test_a_row_that_one_adapter_could_not_keep_is_refused_by_all(self, tables: Tables, bad):
        for write in (
            lambda: tables.insert(self.table, "p", "k", bad),
            lambda: tables.replace(self.table, "p", "k", bad, None),
            lambda: tables.upsert_many(self.table, "p", {"j": {"n": 1}, "k": bad}),
        ):
            with pytest.raises(RowInvalid):
                write()
        assert tables.query(self.table, "p").rows == ()

    @pytest.mark.parametrize("key", ["", "x" * 513, "/" * 257, "é" * 70, "half \udc00"])
    def test_keys_that_one_adapter_could_not_keep_are_refused_by_all(self, tables: Tables, key):
        with pytest.raises(RowInvalid):
            tables.insert(self.table, "p", key, {"n": 1})
        with pytest.raises(RowInvalid):
            tables.get(self.table, key, "k")

    def test_long_keys_and_large_rows_fit(self, tables: Tables):
        key = "/" * 256
        values = {f"c{number}": "é" * 32_000 for number in range(14)}
        tables.insert(self.table, "x" * 512, key, values)
        assert tables.get(self.table, "x" * 512, key).values == values
        found = tables.get_many(self.table, "x" * 512, [f"{n:03d}" + "/" * 254 for n in range(20)])
        assert found == []

    def test_large_rows_are_written_in_transactions_that_fit(self, tables: Tables):
        rows = {
            f"{number:02d}": {f"c{column}": "漢" * 30_000 for column in range(4)}
            for number in range(12)
        }
        tables.upsert_many(self.table, "p", rows)
        assert [row.key for row in tables.scan(self.table, "p")] == sorted(rows)

    def test_an_upsert_overwrites_and_leaves_other_rows(self, tables: Tables):
        tables.upsert_many(self.table, "p", {"a": {"n": 1}, "b": {"n": 1}})
        before = tables.get(self.table, "p", "b").etag
        tables.upsert_many(self.table, "p", {"b": {"m": 2}, "c": {"m": 2}})
        rows = {row.key: dict(row.values) for row in tables.scan(self.table, "p")}
        assert rows == {"a": {"n": 1}, "b": {"m": 2}, "c": {"m": 2}}
        assert tables.get(self.table, "p", "b").etag != before
        tables.upsert_many(self.table, "p", {})

    def test_readers_never_see_half_a_transaction(self, tables: Tables):
        keys = [f"{number:02d}" for number in range(20)]
        tables.upsert_many(self.table, "p", {key: {"turn": 0} for key in keys})

        def write() -> None:
            for turn in range(1, 9):
                tables.upsert_many(self.table, "p", {key: {"turn": turn} for key in keys})

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            torn = 0
            while not writing.done():
                page = tables.query(self.table, "p")
                torn += len({row.values["turn"] for row in page.rows}) != 1
            writing.result()
        assert torn == 0

    def test_partitions_and_tables_do_not_mix(self, tables: Tables):
        other = f"{self.table}x"[-40:] if len(self.table) < 40 else "otherTable"
        tables.insert(self.table, "p", "k", {"n": 1})
        tables.insert(self.table, "q", "k", {"n": 2})
        tables.insert(other, "p", "k", {"n": 3})
        tables.delete_partition(self.table, "p")
        assert list(tables.partitions(self.table)) == ["q"]
        assert tables.get(other, "p", "k").values == {"n": 3}
        tables.delete(other, "p", "k")

    @pytest.mark.parametrize("name", ["", "ab", "with-hyphen", "x" * 41, "rows; DROP"])
    def test_names_of_tables_that_azure_would_not_take_are_refused(self, tables: Tables, name: str):
        with pytest.raises(Problem):
            tables.insert(name, "p", "k", {"n": 1})

    def test_operations_are_counted_as_the_service_bills_them(self, tables: Tables):
        counted = CountingTables(tables)
        counted.upsert_many(self.table, "p", {f"{n:04d}": {"n": n} for n in range(250)})
        assert (counted.reads, counted.writes, counted.rows_written) == (0, 3, 250)
        counted.get_many(self.table, "p", [f"{n:04d}" for n in range(30)])
        assert counted.reads == 30
        assert sum(1 for _ in counted.scan(self.table, "p")) == 250
        assert counted.reads == 31
        etag = counted.insert(self.table, "p", "x", {"n": 1})
        counted.replace(self.table, "p", "x", {"n": 2}, etag)
        counted.delete(self.table, "p", "x")
        assert (counted.writes, counted.rows_written) == (6, 253)
