"""Processes that die: a store and tables that end the process at their n-th write, before or after
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from base.settings import Settings
from engine.assembly import App
from state.port import Tables
from tests.engine.world import SCRYPT_N
from vault import Listed, Store


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class Death:
    """Comes at the n-th write from now; `arrives`: that write is done all the same."""

    def __init__(self, writes: int, *, arrives: bool) -> None:
        self._left = writes
        self.arrives = arrives
        self.came = False

    def due(self) -> bool:
        self._left -= 1
        self.came = self.came or self._left == 0
        return self._left == 0


class MortalStore:
    """A store below an app."""

    def __init__(self, store: Store, death: Death) -> None:
        self._store, self._death = store, death

    def put_new(self, name: str, data: bytes) -> bool:
        if not self._death.due():
            return self._store.put_new(name, data)
        if self._death.arrives:
            self._store.put_new(name, data)
        raise Killed

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.read(name, offset, length)

    def size(self, name: str) -> int | None:
        return self._store.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._store.list(prefix, after)

    def delete(self, name: str) -> None:
        raise AssertionError("nothing but a collector deletes")


class MortalTables:
    """Tables below an app; reads pass."""

    def __init__(self, tables: Tables, death: Death) -> None:
        self._tables, self._death = tables, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Any]) -> str:
        return self._write("insert", table, partition, key, values)

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Any], etag: str | None
    ) -> str:
        return self._write("replace", table, partition, key, values, etag)

    def upsert_many(self, table: str, partition: str, rows: Mapping[str, Any]) -> None:
        self._write("upsert_many", table, partition, rows)

    def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> None:
        self._write("delete", table, partition, key, etag)

    def delete_partition(self, table: str, partition: str) -> None:
        self._write("delete_partition", table, partition)

    def _write(self, method: str, *given: Any) -> Any:
        if not self._death.due():
            return getattr(self._tables, method)(*given)
        if self._death.arrives:
            getattr(self._tables, method)(*given)
        raise Killed


class MortalApp(App):
    """The app of a process that dies at a write of its vault or of its records."""

    def __init__(
        self, settings: Settings, *, vault: Death | None = None, records: Death | None = None
    ) -> None:
        self._vault_death = vault
        self._records_death = records
        super().__init__(settings, scrypt_n=SCRYPT_N)

    def _make_store(self, org: str) -> Store:
        store = super()._make_store(org)
        return MortalStore(store, self._vault_death) if self._vault_death else store

    def _make_tables(self) -> Tables:
        tables = super()._make_tables()
        if self._records_death is None:
            return tables
        mortal: Any = MortalTables(tables, self._records_death)
        return mortal
