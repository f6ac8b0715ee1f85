"""The audit log: one chain however many write, and a chain that shows what was done to it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from state.audit import INSTALLATION, AuditHead
from state.counting import CountingTables
from state.names import AUDIT
from state.records import Records

ORG = "contoso"


@pytest.fixture
def ten(records: Records) -> Records:
    for number in range(10):
        records.audit.append(ORG, "ada", "restore.start", f"run-{number}", {"items": number})
    return records


def key_of(records: Records, number: int) -> str:
    rows = records.tables.scan(AUDIT, ORG)
    return next(row.key for row in rows if row.values["number"] == number)


def test_rows_come_newest_first_with_their_chain_intact(ten: Records):
    page = ten.audit.page(ORG, limit=3)
    assert [row.number for row in page.items] == [10, 9, 8]
    assert page.items[0].before == page.items[1].hash
    assert ten.audit.page(ORG, after=page.after, limit=1).items[0].number == 7
    check = ten.audit.verify(ORG)
    assert (check.rows, check.intact) == (10, True)


def test_an_empty_chain_is_intact(records: Records):
    assert records.audit.verify(ORG).intact
    assert records.audit.head(ORG) == AuditHead(0, "")


def test_concurrent_appends_keep_one_chain(records: Records):
    def append(number: int) -> None:
        records.audit.append(ORG, f"actor-{number}", "x", "y")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(append, range(30)))
    check = records.audit.verify(ORG)
    assert (check.rows, check.intact) == (30, True)
    assert len({row.actor for row in records.audit.page(ORG).items}) == 30


def test_an_append_costs_one_read_and_one_write(records: Records, counted: CountingTables):
    records.audit.append(ORG, "ada", "x", "y")
    records.audit.append(ORG, "ada", "x", "y")
    assert (counted.reads, counted.writes) == (2, 2)


@pytest.mark.parametrize("column", ["actor", "action", "target", "detail", "at", "before", "hash"])
def test_a_changed_row_is_found(ten: Records, column: str):
    key = key_of(ten, 4)
    row = ten.tables.get(AUDIT, ORG, key)
    other = "2020-01-01T00:00:00+00:00" if column == "at" else '{"items":99}'
    ten.tables.replace(AUDIT, ORG, key, {**row.values, column: other}, None)
    check = ten.audit.verify(ORG)
    assert (check.broken_at, check.reason) == (4, "changed")


def test_a_row_taken_out_is_found(ten: Records):
    ten.tables.delete(AUDIT, ORG, key_of(ten, 4))
    assert ten.audit.verify(ORG).reason == "missing"


def test_the_oldest_row_taken_out_is_found(ten: Records):
    ten.tables.delete(AUDIT, ORG, key_of(ten, 1))
    check = ten.audit.verify(ORG)
    assert (check.broken_at, check.reason) == (1, "missing")


def test_a_row_replaced_by_one_with_a_right_hash_is_found(ten: Records, records: Records):
    records.audit.append("elsewhere", "eve", "x", "y")
    for _ in range(3):
        records.audit.append("elsewhere", "eve", "x", "y")
    forged = next(
        row for row in records.tables.scan(AUDIT, "elsewhere") if row.values["number"] == 4
    )
    ten.tables.replace(AUDIT, ORG, forged.key, dict(forged.values), None)
    check = ten.audit.verify(ORG)
    assert (check.broken_at, check.reason) == (4, "replaced")


def test_a_cut_off_end_is_found_by_who_kept_the_head(ten: Records):
    known = ten.audit.head(ORG)
    ten.audit.append(ORG, "ada", "x", "y")
    assert ten.audit.verify(ORG, known).intact
    for number in (11, 10, 9):
        ten.tables.delete(AUDIT, ORG, key_of(ten, number))
    assert ten.audit.verify(ORG).intact  # the chain alone cannot tell
    assert ten.audit.verify(ORG, known).reason == "cut-off"


def test_a_chain_written_anew_is_found_by_who_kept_the_head(ten: Records):
    known = ten.audit.head(ORG)
    ten.tables.delete_partition(AUDIT, ORG)
    for _ in range(12):
        ten.audit.append(ORG, "eve", "x", "y")
    assert ten.audit.verify(ORG).intact
    assert ten.audit.verify(ORG, known).reason == "replaced"


def test_a_wholly_deleted_chain_is_found_by_who_kept_the_head(ten: Records):
    known = ten.audit.head(ORG)
    ten.tables.delete_partition(AUDIT, ORG)
    assert ten.audit.verify(ORG, known).reason == "cut-off"


def test_organizations_and_the_installation_have_chains_of_their_own(records: Records):
    records.audit.append(INSTALLATION, "ada", "organization.create", ORG)
    records.audit.append(ORG, "ada", "run.start", "r", {"half": "\ud83d", "list": [1]})
    assert records.audit.head(INSTALLATION).number == 1
    assert records.audit.head(ORG).number == 1
    assert records.audit.verify(ORG).intact
