"""The SQLite adapter: the common suite, other processes, kill -9, and files that cannot be used."""

import multiprocessing
import os
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from state.port import RowChanged, RowExists
from state.problems import StateBusy, StateDamaged, StateNotWritable, StateTooNew
from state.tables.sqlite import SqliteTables
from tests.state.tables_suite import Suite

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def open_tables():
    """Opens tables and closes them at the end: Windows removes no file that is open."""
    opened: list[SqliteTables] = []

    def open_(path: Path, **options) -> SqliteTables:
        opened.append(SqliteTables(path, **options))
        return opened[-1]

    yield open_
    for tables in opened:
        tables.close()


class TestSqlite(Suite):
    @pytest.fixture
    def tables(self, tmp_path: Path):
        made = SqliteTables(tmp_path / "deep" / "state.sqlite")
        yield made
        made.close()


def _add(path: Path, times: int) -> None:
    tables = SqliteTables(path)
    for _ in range(times):
        while True:
            row = tables.get("counts", "p", "k")
            try:
                if row is None:
                    tables.insert("counts", "p", "k", {"n": 1})
                else:
                    tables.replace("counts", "p", "k", {"n": row.values["n"] + 1}, row.etag)
                break
            except (RowExists, RowChanged):
                continue
    tables.close()


def _write_until_killed(path: Path) -> None:
    tables = SqliteTables(path)
    turn = 0
    while True:
        turn += 1
        tables.upsert_many("torn", "p", {f"{n:02d}": {"turn": turn} for n in range(50)})


def test_several_processes_open_a_new_file_at_once_and_lose_no_change(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    workers = [SPAWN.Process(target=_add, args=(path, 15)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert open_tables(path).get("counts", "p", "k").values == {"n": 60}


def test_a_process_killed_while_writing_leaves_whole_transactions(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    worker = SPAWN.Process(target=_write_until_killed, args=(path,))
    worker.start()
    tables = open_tables(path)
    seen = 0
    while seen < 3:  # it is in the middle of its work, whatever the machine's speed
        row = tables.get("torn", "p", "00")
        seen = row.values["turn"] if row else 0
        time.sleep(0.001)
    worker.kill()
    worker.join()
    again = open_tables(path)
    turns = {row.values["turn"] for row in again.scan("torn", "p")}
    assert len(turns) == 1
    assert turns.pop() >= seen
    again.insert("torn", "p", "after", {"n": 1})


def test_records_survive_closing_and_opening(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    first = open_tables(path)
    etag = first.insert("runs", "p", "k", {"n": 1})
    first.close()
    second = open_tables(path)
    assert second.get("runs", "p", "k").etag == etag
    assert second.replace("runs", "p", "k", {"n": 2}, etag) != etag


def test_what_people_decided_is_synced_and_what_blobs_can_rebuild_is_not(
    tmp_path: Path, open_tables
):
    tables = open_tables(tmp_path / "state.sqlite", synced={"audit"})

    def level_after(table: str) -> int:
        tables.replace(table, "p", "k", {"n": 1}, None)
        with tables._connection() as connection:
            return connection.execute("PRAGMA synchronous").fetchone()[0]

    full, normal = 2, 1
    assert level_after("audit") == full
    assert level_after("chunks") == normal
    assert level_after("audit") == full


def test_a_damaged_file_is_named_as_such(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"this is no database, and it is long enough to be read" * 100)
    with pytest.raises(StateDamaged):
        open_tables(path)


def test_a_file_that_is_overwritten_later_is_named_damaged(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    tables = open_tables(path)
    tables.upsert_many("runs", "p", {f"{n:04d}": {"text": "x" * 500} for n in range(300)})
    tables.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(StateDamaged):
        list(open_tables(path).scan("runs", "p"))


def test_a_folder_in_place_of_the_file_is_not_writable(tmp_path: Path, open_tables):
    with pytest.raises(StateNotWritable):
        open_tables(tmp_path)


def test_a_file_in_place_of_the_folder_is_not_writable(tmp_path: Path, open_tables):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateNotWritable):
        open_tables(tmp_path / "file" / "state.sqlite")


@pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="permissions do not bind this user",
)
def test_a_read_only_file_is_not_writable(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    open_tables(path).close()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StateNotWritable):
            open_tables(path).insert("runs", "p", "k", {"n": 1})
    finally:
        tmp_path.chmod(0o755)


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path, open_tables):
    path = tmp_path / "state.sqlite"
    open_tables(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateTooNew):
        open_tables(path)


def test_a_writer_that_never_ends_is_reported_and_not_waited_for_for_ever(
    tmp_path: Path, open_tables
):
    path = tmp_path / "state.sqlite"
    tables = open_tables(path, busy_s=0.01)
    stuck = sqlite3.connect(path, isolation_level=None)
    stuck.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StateBusy):
            tables.insert("runs", "p", "k", {"n": 1})
        assert tables.get("runs", "p", "k") is None  # readers go on
    finally:
        stuck.execute("ROLLBACK")
        stuck.close()
    tables.insert("runs", "p", "k", {"n": 1})


def test_a_failed_write_leaves_no_transaction_behind(tmp_path: Path, open_tables):
    tables = open_tables(tmp_path / "state.sqlite")
    etag = tables.insert("runs", "p", "k", {"n": 1})
    for _ in range(3):
        with pytest.raises(RowExists):
            tables.insert("runs", "p", "k", {"n": 2})
    other = open_tables(tmp_path / "state.sqlite", busy_s=0.01)
    other.replace("runs", "p", "k", {"n": 3}, etag)
