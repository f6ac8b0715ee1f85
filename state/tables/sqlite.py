"""The tables port in one SQLite file: for laptops, small companies and tests.

Rule 1: every write is one transaction that begins with BEGIN IMMEDIATE, so what it read is what
        it changes.
Rule 2: an etag is a number that the file hands out once; it never comes back, not even for a row
        that was deleted and made again.
Rule 3: a connection is used by one thread at a time and goes back to the pool without a
        transaction.

Theory of operation: write-ahead logging lets readers go on beside one writer, also in other
processes. A process killed at any moment loses nothing that was answered: finished transactions
are in the log, which the operating system holds, and half a transaction is dropped by the next one
who opens the file. Only a power cut can take the last transactions, as the log is synced at
checkpoints only; that is right for records which blobs can rebuild, and spares an fsync per step.
Tables that hold what people decided are synced at every commit (names.IRREPLACEABLE).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base.clock import Clock, SystemClock
from base.errors import Problem
from state.names import IRREPLACEABLE
from state.port import Row, RowChanged, RowExists, RowPage, Value
from state.problems import StateBusy, StateDamaged, StateNotWritable, StateTooNew
from state.rows import Cursor, batches, check_key, check_row, check_table

BUSY_S = 30.0  # a transaction takes milliseconds; whoever waits longer has met a stuck program
VERSION = 1
_KEYS_END = "\U0010ffff"  # behind every key

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS rows (
        tablename TEXT NOT NULL, partition TEXT NOT NULL, key TEXT NOT NULL,
        etag INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (tablename, partition, key)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS etags (last INTEGER NOT NULL)",
    "INSERT INTO etags SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM etags)",
    f"PRAGMA user_version = {VERSION}",
)


_ONE = "SELECT key, etag, body FROM rows WHERE tablename=? AND partition=? AND key=?"
_PAGE_FROM = """SELECT key, etag, body FROM rows
    WHERE tablename=? AND partition=? AND key>=? AND key<? ORDER BY key LIMIT ?"""
_PAGE_BEHIND = """SELECT key, etag, body FROM rows
    WHERE tablename=? AND partition=? AND key>? AND key<? ORDER BY key LIMIT ?"""


class SqliteTables:
    """Tables in the file `path`, made when missing. Safe between threads and between processes."""

    def __init__(
        self,
        path: Path,
        *,
        synced: Collection[str] = IRREPLACEABLE,
        busy_s: float = BUSY_S,
        clock: Clock | None = None,
    ) -> None:
        self._path = path
        self._synced = frozenset(synced)
        self._busy_s = busy_s
        self._clock = clock or SystemClock()
        self._idle: list[sqlite3.Connection] = []
        self._pool = threading.Lock()
        # SQLite waits by sleeping in growing steps; between our threads a lock is fairer.
        self._writer = threading.Lock()
        try:
            with _problems():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._prepare()
        except BaseException:
            self.close()  # nobody else can: the caller never gets this object
            raise

    def close(self) -> None:
        """Closes the pooled connections; the last one to close folds the log into the file."""
        with self._pool:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def get(self, table: str, partition: str, key: str) -> Row | None:
        check_table(table)
        check_key(partition, key)
        found = self._select(_ONE, (table, partition, key))
        return _row(partition, found[0]) if found else None

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        check_table(table)
        check_row(partition, key, values)
        with self._write(table) as connection:
            etag = _next_etag(connection)
            written = connection.execute(
                "INSERT INTO rows VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING",
                (table, partition, key, etag, _body(values)),
            )
            if written.rowcount != 1:
                raise RowExists("The row is there already.", table=table)
        return str(etag)

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], etag: str | None
    ) -> str:
        check_table(table)
        check_row(partition, key, values)
        with self._write(table) as connection:
            fresh = _next_etag(connection)
            if etag is None:
                _upsert(connection, table, partition, key, values, fresh)
            else:
                written = connection.execute(
                    "UPDATE rows SET etag=?, body=?"
                    " WHERE tablename=? AND partition=? AND key=? AND etag=?",
                    (fresh, _body(values), table, partition, key, _etag_number(etag)),
                )
                if written.rowcount != 1:
                    raise RowChanged("The row changed since it was read.", table=table)
        return str(fresh)

    def query(
        self,
        table: str,
        partition: str,
        *,
        first: str = "",
        last: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> RowPage:
        check_table(table)
        check_key(partition)
        seen = Cursor.read(after)
        statement, start = (_PAGE_BEHIND, seen) if seen >= first and seen else (_PAGE_FROM, first)
        found = self._select(statement, (table, partition, start, last or _KEYS_END, limit + 1))
        rows = tuple(_row(partition, one) for one in found[:limit])
        return RowPage(rows, Cursor.of(rows[-1].key) if len(found) > limit else "")

    def scan(self, table: str, partition: str, *, first: str = "", last: str = "") -> Iterator[Row]:
        after = ""
        while True:
            page = self.query(table, partition, first=first, last=last, after=after)
            yield from page.rows
            after = page.after
            if not after:
                return

    def get_many(self, table: str, partition: str, keys: Sequence[str]) -> list[Row]:
        check_table(table)
        check_key(partition, *keys)
        rows: list[Row] = []
        # One prepared statement per key costs microseconds and, unlike a list in JSON, takes NUL.
        with _problems(), self._connection() as connection:
            for key in dict.fromkeys(keys):
                found = connection.execute(_ONE, (table, partition, key)).fetchone()
                if found:
                    rows.append(_row(partition, found))
        return rows

    def partitions(self, table: str) -> Iterator[str]:
        check_table(table)
        before = ""
        while True:
            found = self._select(
                "SELECT min(partition) FROM rows WHERE tablename=? AND partition>?", (table, before)
            )
            if found[0][0] is None:
                return
            before = found[0][0]
            yield before

    def upsert_many(
        self, table: str, partition: str, rows: Mapping[str, Mapping[str, Value]]
    ) -> None:
        check_table(table)
        for batch in batches(partition, rows):
            with self._write(table) as connection:
                for key, values in batch:
                    _upsert(connection, table, partition, key, values, _next_etag(connection))

    def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> None:
        check_table(table)
        check_key(partition, key)
        with self._write(table) as connection:
            found = connection.execute(
                "SELECT etag FROM rows WHERE tablename=? AND partition=? AND key=?",
                (table, partition, key),
            ).fetchone()
            if etag is not None and (found is None or str(found[0]) != etag):
                raise RowChanged("The row changed since it was read.", table=table)
            connection.execute(
                "DELETE FROM rows WHERE tablename=? AND partition=? AND key=?",
                (table, partition, key),
            )

    def delete_partition(self, table: str, partition: str) -> None:
        check_table(table)
        with self._write(table) as connection:
            connection.execute(
                "DELETE FROM rows WHERE tablename=? AND partition=?", (table, partition)
            )

    def _select(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with _problems(), self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _write(self, table: str) -> Iterator[sqlite3.Connection]:
        """One transaction, undone when anything raises."""
        with _problems(), self._writer, self._connection() as connection:
            connection.execute(
                f"PRAGMA synchronous = {'FULL' if table in self._synced else 'NORMAL'}"
            )
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._pool:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool:
            self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
        )
        # On macOS only this makes an fsync reach the disk; elsewhere it changes nothing.
        connection.execute("PRAGMA fullfsync = ON")
        return connection

    def _prepare(self) -> None:
        """Makes the file and its tables; several processes may do so at once."""
        with self._connection() as connection:
            self._use_log(connection)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StateTooNew("The records were written by a later version.", version=version)
            if version == VERSION:
                return
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("COMMIT")

    def _use_log(self, connection: sqlite3.Connection) -> None:
        """Switches to write-ahead logging. SQLite does not wait for a lock here, so we do."""
        deadline = self._clock.monotonic() + self._busy_s
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or self._clock.monotonic() > deadline:
                    raise
                self._clock.sleep(0.02)
        if mode != "wal":
            raise StateNotWritable(
                "The data folder is on a disk that cannot be shared between programs.",
                hint="Put the data folder on a local disk, not on a network share.",
            )


def _next_etag(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("UPDATE etags SET last=last+1 RETURNING last").fetchone()[0]
    return number


def _etag_number(etag: str) -> int:
    """-1, which no row has, for an etag of another adapter."""
    return int(etag) if etag.isdecimal() else -1


def _upsert(
    connection: sqlite3.Connection,
    table: str,
    partition: str,
    key: str,
    values: Mapping[str, Value],
    etag: int,
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO rows VALUES (?,?,?,?,?)",
        (table, partition, key, etag, _body(values)),
    )


def _body(values: Mapping[str, Value]) -> str:
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":"))


def _row(partition: str, found: tuple[Any, ...]) -> Row:
    key, etag, body = found
    return Row(partition, key, json.loads(body), str(etag))


_BY_CODE: dict[int, tuple[type[Problem], str]] = {
    sqlite3.SQLITE_BUSY: (StateBusy, "The records stayed locked by another program."),
    sqlite3.SQLITE_LOCKED: (StateBusy, "The records stayed locked by another program."),
    sqlite3.SQLITE_CORRUPT: (StateDamaged, "The file of the records is damaged."),
    sqlite3.SQLITE_NOTADB: (StateDamaged, "The file of the records is not a database."),
    sqlite3.SQLITE_READONLY: (StateNotWritable, "The file of the records is read-only."),
    sqlite3.SQLITE_CANTOPEN: (StateNotWritable, "The file of the records cannot be opened."),
    sqlite3.SQLITE_PERM: (StateNotWritable, "The file of the records may not be opened."),
    sqlite3.SQLITE_FULL: (StateNotWritable, "The disk of the records is full."),
    sqlite3.SQLITE_IOERR: (StateNotWritable, "The disk of the records cannot be read or written."),
}


@contextmanager
def _problems() -> Iterator[None]:
    """Turns what SQLite and the file system report into something a person can act on."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in _BY_CODE:
            raise
        problem, message = _BY_CODE[code]
        raise problem(message) from error
    except OSError as error:
        raise StateNotWritable("The data folder cannot be made or opened.") from error
