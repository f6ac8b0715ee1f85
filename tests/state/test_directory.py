"""Directory records: what is kept comes back whole or not at all, and idle nights write nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from state import directory
from state.counting import CountingTables
from state.directory import Kept
from state.names import DIRECTORY
from state.port import Tables
from state.records import Records
from tests.state.conftest import NOW, FixedClock, Mirror

ORG, USERS = "contoso", "users"


def people(count: int, **facts: Any) -> dict[str, dict[str, Any]]:
    return {
        f"user-{number}": {"displayName": f"Person {number}", **facts} for number in range(count)
    }


def kept(records: dict[str, Any], link: str = "https://graph/delta?token=1") -> Kept:
    return Kept(records, link, NOW, NOW)


def operations(counted: CountingTables) -> int:
    return counted.reads + counted.writes


def stored(records: Records, count: int = 300) -> Kept:
    assert records.directory.write(ORG, USERS, Kept(), kept(people(count)))
    return records.directory.read(ORG, USERS)


def test_what_is_written_comes_back(records: Records) -> None:
    found = stored(records)
    assert replace(found, etag="") == kept(people(300))
    assert records.directory.read("other", USERS) == Kept()
    assert records.directory.read(ORG, "groups") == Kept()


def test_feeds_of_an_organization_are_apart_and_go_with_it(records: Records) -> None:
    stored(records)
    records.directory.write(ORG, "groups", Kept(), kept({"g": {"members": ["user-1"]}}))
    assert records.directory.read(ORG, "groups").records == {"g": {"members": ["user-1"]}}
    assert len(records.directory.read(ORG, USERS).records) == 300
    records.directory.delete_all(ORG)
    assert records.directory.read(ORG, USERS) == Kept()


def test_names_links_and_members_are_sealed(records: Records, counted: CountingTables) -> None:
    stored(records, 3)
    for row in counted.scan(DIRECTORY, ORG):
        for column, value in row.values.items():
            if column in ("link", "text"):
                assert str(value).startswith("sealed for contoso: ")
        assert "Person" not in str(row.values)
        assert "graph" not in str(row.values).replace(str(row.values.get("link")), "")


def test_ten_thousand_people_are_few_operations(records: Records, counted: CountingTables) -> None:
    stored(records, 10_000)
    assert (
        operations(counted) <= 12
    )  # three transactions of shelves, the feed twice, and reading it
    before = operations(counted)
    found = records.directory.read(ORG, USERS)
    assert len(found.records) == 10_000
    assert operations(counted) - before <= 3


def test_one_changed_person_rewrites_one_shelf(records: Records, counted: CountingTables) -> None:
    found = stored(records, 10_000)
    before = operations(counted)
    after = dict(found.records)
    after["user-7"] = {"displayName": "Renamed"}
    del after["user-8"]
    assert records.directory.write(ORG, USERS, found, kept(after, "link-2"))
    assert operations(counted) - before <= 4
    again = records.directory.read(ORG, USERS)
    assert (again.records, again.link) == (after, "link-2")


def test_a_new_link_alone_is_one_write(records: Records, counted: CountingTables) -> None:
    found = stored(records)
    before = operations(counted)
    assert records.directory.write(ORG, USERS, found, replace(found, link="link-2"))
    assert operations(counted) - before == 1


def test_of_two_writers_the_faster_one_stays(records: Records) -> None:
    found = stored(records)
    first, second = (people(301, by=name) for name in ("first", "second"))
    assert records.directory.write(ORG, USERS, found, kept(first, "link-first"))
    assert not records.directory.write(ORG, USERS, found, kept(second, "link-second"))
    assert not records.directory.write(ORG, USERS, Kept(), kept(second, "link-second"))
    now = records.directory.read(ORG, USERS)
    assert (now.records, now.link) == (first, "link-first")


class Dying:
    """Tables that die behind so many writes."""

    def __init__(self, tables: Tables, writes: int) -> None:
        self._tables, self._left = tables, writes

    def __getattr__(self, name: str) -> Any:
        if name in ("insert", "replace", "upsert_many"):
            if self._left == 0:
                raise SystemExit
            self._left -= 1
        return getattr(self._tables, name)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_who_died_while_writing_leaves_what_was_known_or_nothing(
    records: Records, counted: CountingTables, writes: int
) -> None:
    found = stored(records)
    dying = Records(Dying(counted, writes), FixedClock(), Mirror())
    after = people(290, by="the dead")
    with pytest.raises(SystemExit):
        dying.directory.write(ORG, USERS, found, kept(after, "link-2"))

    left = records.directory.read(ORG, USERS)

    assert left.records == ({} if writes else found.records)
    assert left.link == ("" if writes else found.link)
    assert records.directory.write(ORG, USERS, left, kept(after, "link-3"))
    assert records.directory.read(ORG, USERS).records == after


def test_a_shelf_that_is_lost_or_torn_means_that_nothing_is_known(
    records: Records, counted: CountingTables
) -> None:
    stored(records)
    shelf, other, *_ = counted.scan(DIRECTORY, ORG, first=f"{USERS}/", last=f"{USERS}0")
    counted.delete(DIRECTORY, ORG, shelf.key)
    assert records.directory.read(ORG, USERS).records == {}
    counted.replace(DIRECTORY, ORG, shelf.key, shelf.values, None)
    assert len(records.directory.read(ORG, USERS).records) == 300
    counted.replace(DIRECTORY, ORG, shelf.key, {**shelf.values, "digest": "0"}, None)
    assert records.directory.read(ORG, USERS).records == {}
    counted.replace(DIRECTORY, ORG, shelf.key, other.values, None)
    assert records.directory.read(ORG, USERS).whole_at is None


def test_a_group_of_a_hundred_thousand_goes_over_several_rows_and_shrinks_again(
    records: Records, counted: CountingTables
) -> None:
    members = [f"{number:032x}"[::-1] for number in range(0, 100_000 * 7_919, 7_919)]
    records.directory.write(ORG, "groups", Kept(), kept({"g": {"members": members}}))
    found = records.directory.read(ORG, "groups")
    assert found.records["g"]["members"] == members
    pieces = sum(1 for _ in counted.scan(DIRECTORY, ORG, first="groups/", last="groups0"))
    assert pieces > 1
    records.directory.write(ORG, "groups", found, kept({"g": {"members": ["a"]}}))
    assert records.directory.read(ORG, "groups").records == {"g": {"members": ["a"]}}


def test_a_row_holds_a_piece_even_where_sealing_makes_it_larger() -> None:
    assert directory.PIECE_CHARS * 4 // 3 + 1_000 < 450_000


def test_half_a_surrogate_pair_in_a_name_is_kept(records: Records) -> None:
    odd = {"u\ud800": {"displayName": "half \ud83d"}}
    records.directory.write(ORG, USERS, Kept(), kept(odd))
    assert records.directory.read(ORG, USERS).records == odd


def test_times_of_a_feed_come_back(records: Records) -> None:
    early = NOW - timedelta(days=5)
    records.directory.write(ORG, USERS, Kept(), Kept({}, "", None, early))
    found = records.directory.read(ORG, USERS)
    assert (found.link, found.link_at, found.whole_at) == ("", None, early)
