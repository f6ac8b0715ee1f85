"""Keeps in the organization's own vault what tables alone must not hold: so that every table may be
lost.

Rule 1: mirrored are organizations, policies, the audit log, and runs that are over. Everything else
        in the tables is read off the vault (engine/rebuild.py) or lives no longer than a run.
Rule 2: what is written once (policies, audit) is written to the vault first, under a name that
        follows from its key: the vault decides who wins, so the audit's chain cannot fork, and its
        blobs prove it. A winner that died before its row is helped to it by whoever comes next.
Rule 3: what changes (an organization) becomes one record per version, behind its row; the highest
        version is the newest. Whoever changed it writes what the row says NOW until the newest
        version says it too, and only right behind the newest version he saw: so the last version is
        the last row, in whatever order writers get on. A run's record is its end.
Rule 4: a vault that cannot be opened for good (shredded, not made yet) mirrors nothing and stops
        nothing; storage that fails stops the write, as a table that fails does.

Records: row/{table}/{key}, for organizations row/organizations/{n}; each {"key", "values"} as the
row has them, so what is sealed in a row stays sealed in its record, besides the vault's own seal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from state.audit import INSTALLATION
from state.names import AUDIT, ORGANIZATIONS, POLICIES, RUNS
from state.organizations import ALL
from state.port import Row, RowExists, RowPage, Tables, Value
from state.runs import OVER
from vault import Repository, VaultDamaged

_ONCE = frozenset({POLICIES, AUDIT})
VaultOf = Callable[[str], Repository | None]  # None: it cannot be opened, for good


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row as the vault keeps it; no values: it was deleted."""

    name: str
    table: str
    key: str
    values: Mapping[str, Value] | None


class MirroredTables:
    """Tables whose irreplaceable rows go to the vault as well."""

    def __init__(self, inner: Tables, vault_of: VaultOf) -> None:
        self._inner = inner
        self._vault_of = vault_of

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        if table not in _ONCE:
            etag = self._inner.insert(table, partition, key, values)
            self._keep(table, partition, key, values)
            return etag
        vault = self._vault(partition)
        name, record = f"row/{table}/{key}", {"key": key, "values": dict(values)}
        if vault is not None and not vault.put_record(name, record):
            kept = vault.get_record(name)
            if kept is not None and kept != record:
                self._help(table, partition, kept)
                raise RowExists("The row is there already.", table=table)
        return self._inner.insert(table, partition, key, values)

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], etag: str | None
    ) -> str:
        written = self._inner.replace(table, partition, key, values, etag)
        self._keep(table, partition, key, values)
        return written

    def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> None:
        if table == ORGANIZATIONS:
            self._deleted(key)
        self._inner.delete(table, partition, key, etag)

    def get(self, table: str, partition: str, key: str) -> Row | None:
        return self._inner.get(table, partition, key)

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
        return self._inner.query(table, partition, first=first, last=last, after=after, limit=limit)

    def scan(self, table: str, partition: str, *, first: str = "", last: str = "") -> Iterator[Row]:
        return self._inner.scan(table, partition, first=first, last=last)

    def get_many(self, table: str, partition: str, keys: Sequence[str]) -> list[Row]:
        return self._inner.get_many(table, partition, keys)

    def partitions(self, table: str) -> Iterator[str]:
        return self._inner.partitions(table)

    def upsert_many(
        self, table: str, partition: str, rows: Mapping[str, Mapping[str, Value]]
    ) -> None:
        self._inner.upsert_many(table, partition, rows)

    def delete_partition(self, table: str, partition: str) -> None:
        self._inner.delete_partition(table, partition)

    def _keep(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> None:
        record = {"key": key, "values": dict(values)}
        if table == ORGANIZATIONS:
            self.keep_organization(key)
        elif table == RUNS and values.get("state") in OVER:
            vault = self._vault(partition)
            if vault is not None:
                vault.put_record(f"row/{RUNS}/{key}", record)

    def keep_organization(self, org: str) -> None:
        """Writes the row's present state down as the newest version, where it is not that yet."""
        vault = self._vault(org)
        while vault is not None:
            newest = newest_version(vault)
            row = self._inner.get(ORGANIZATIONS, ALL, org)
            if row is None or _same(newest, row.values):
                return
            vault.put_record(_behind(newest), {"key": org, "values": dict(row.values)})

    def _deleted(self, org: str) -> None:
        vault = self._vault(org)
        while vault is not None:
            newest = newest_version(vault)
            if newest.name and newest.values is None:
                return
            if vault.put_record(_behind(newest), {"key": org, "values": None}):
                return

    def _help(self, table: str, partition: str, kept: Mapping[str, Any]) -> None:
        """Writes the row of a winner that may have died before it could."""
        try:
            self._inner.insert(table, partition, kept["key"], kept["values"])
        except RowExists:
            return

    def _vault(self, org: str) -> Repository | None:
        return None if org == INSTALLATION else self._vault_of(org)


def newest_version(vault: Repository) -> KeptRow:
    """What was last kept of the organization itself; name "" when nothing was.

    `name` is the newest version's; where that does not open, the values are of the one before.
    """
    names = list(vault.list_records(f"row/{ORGANIZATIONS}/"))
    for name in reversed(names):
        with suppress(VaultDamaged):
            return replace(kept_row(vault, name), name=names[-1])
    return KeptRow(names[-1] if names else "", ORGANIZATIONS, "", None)


def kept_names(vault: Repository, after: str = "") -> Iterator[str]:
    """Names of all kept rows but the organization's own, behind `after`, in order."""
    for table in sorted((POLICIES, AUDIT, RUNS)):
        prefix = f"row/{table}/"
        if after < prefix or after.startswith(prefix):
            yield from vault.list_records(prefix, after)


def kept_row(vault: Repository, name: str) -> KeptRow:
    """Reads one. Raises VaultDamaged."""
    record = vault.get_record(name)
    if record is None:
        raise VaultDamaged("A kept row is missing.", name=name)
    return KeptRow(name, name.split("/")[1], record["key"], record["values"])


def _behind(newest: KeptRow) -> str:
    number = int(newest.name.rpartition("/")[2]) if newest.name else 0
    return f"row/{ORGANIZATIONS}/{number + 1:08d}"


def _same(newest: KeptRow, values: Mapping[str, Value]) -> bool:
    """When it runs next is no fact to keep: it would be a version per run."""
    if newest.values is None:
        return False
    kept, row = dict(newest.values), dict(values)
    kept.pop("next_run_at", None)
    row.pop("next_run_at", None)
    return kept == row
