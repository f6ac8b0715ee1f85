"""The tables port in Azure Table Storage; the only file that knows the service's library.

Rule 1: keys are spelled (state/rows.py) on the way in and read on the way out, so any text is a key
        and key order is SQLite's.
Rule 2: `after` of a page is the last key that was seen, not the service's continuation token:
        tokens are followed inside one call, since the service may answer empty pages that go on.
Rule 3: a missing table is made by the first write that meets it; reads take it for empty.

Costs, measured (one service operation each): get 2 ms of CPU, insert 2.4 ms, a row of a batch 0.65
ms, a row of a scan 0.03 ms. Hence get_many goes another way: state/tables/point_reads.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableClient,
    TableEntity,
    TableServiceClient,
    TransactionOperation,
    UpdateMode,
)

from base.clock import SystemClock
from base.errors import ConfigurationProblem, Throttled
from state.port import Row, RowChanged, RowExists, RowPage, Value
from state.problems import StateDenied, StateUnavailable
from state.rows import Cursor, batches, check_key, check_row, check_table, read_spelled, spell
from state.tables.point_reads import PointReads, Sign, key_signer, token_signer

PAGE_ROWS_MAX = 1000  # the service answers no more at once
PREFIX = "holdfast"
RETRY_AFTER_S = 10.0  # where the service does not say

_INT32 = range(-(2**31), 2**31)
_T = TypeVar("_T")


class AzureTables:
    """Tables in a storage account, each named `prefix` + its name. Safe between threads."""

    def __init__(self, service: TableServiceClient, sign: Sign, prefix: str = PREFIX) -> None:
        """Use one of the makers below."""
        self._service = service
        self._points = PointReads(service.url, sign)
        self._prefix = prefix

    @classmethod
    def from_connection_string(cls, connection: str, prefix: str = PREFIX) -> AzureTables:
        """With an account key: Azurite, or a laptop that keeps its records in Azure."""
        service = TableServiceClient.from_connection_string(connection)
        if not isinstance(service.credential, AzureNamedKeyCredential):
            raise ConfigurationProblem("The storage connection has no account key.")
        return cls(service, key_signer(service.credential, SystemClock()), prefix)

    @classmethod
    def from_credential(
        cls, account_url: str, credential: TokenCredential, prefix: str = PREFIX
    ) -> AzureTables:
        """With an identity that has the role Storage Table Data Contributor."""
        service = TableServiceClient(endpoint=account_url, credential=credential)
        return cls(service, token_signer(credential, SystemClock()), prefix)

    def close(self) -> None:
        self._service.close()
        self._points.close()

    def get(self, table: str, partition: str, key: str) -> Row | None:
        check_key(partition, key)
        with _problems():
            try:
                found = self._table(table).get_entity(spell(partition), spell(key))
            except ResourceNotFoundError:
                return None
        return _row(found)

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        check_row(partition, key, values)
        entity = _entity(partition, key, values)
        with _problems():
            try:
                return self._made(table, lambda client: _etag(client.create_entity(entity)))
            except ResourceExistsError as error:
                raise RowExists("The row is there already.", table=table) from error

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], etag: str | None
    ) -> str:
        check_row(partition, key, values)
        entity = _entity(partition, key, values)
        with _problems():
            if etag is None:
                return self._made(
                    table,
                    lambda client: _etag(client.upsert_entity(entity, mode=UpdateMode.REPLACE)),
                )
            try:
                return _etag(
                    self._table(table).update_entity(
                        entity,
                        mode=UpdateMode.REPLACE,
                        etag=etag,
                        match_condition=MatchConditions.IfNotModified,
                    )
                )
            except (ResourceModifiedError, ResourceNotFoundError) as error:
                raise RowChanged("The row changed since it was read.", table=table) from error

    def query(
        self,
        table: str,
        partition: str,
        *,
        first: str = "",
        last: str = "",
        after: str = "",
        limit: int = PAGE_ROWS_MAX,
    ) -> RowPage:
        check_key(partition)
        wanted = _filter(partition, first, last, Cursor.read(after))
        found, more = self._page(table, wanted, limit)
        rows = tuple(_row(entity) for entity in found)
        return RowPage(rows, Cursor.of(rows[-1].key) if more and rows else "")

    def scan(self, table: str, partition: str, *, first: str = "", last: str = "") -> Iterator[Row]:
        after = ""
        while True:
            page = self.query(table, partition, first=first, last=last, after=after)
            yield from page.rows
            after = page.after
            if not after:
                return

    def get_many(self, table: str, partition: str, keys: Sequence[str]) -> list[Row]:
        check_key(partition, *keys)
        check_table(table)
        wanted = list(dict.fromkeys(keys))
        answers = self._points.read(
            self._prefix + table, spell(partition), [spell(key) for key in wanted]
        )
        rows: list[Row] = []
        for key, answer in zip(wanted, answers, strict=True):
            if answer is None:
                again = self.get(table, partition, key)
                rows += [again] if again else []
            elif answer.entity is not None:
                rows.append(_decoded(answer.entity, answer.etag))
        return rows

    def partitions(self, table: str) -> Iterator[str]:
        before = ""
        while True:
            wanted = f"PartitionKey gt {_quoted(before)}"
            found, _ = self._page(table, wanted, 1, select=["PartitionKey"])
            if not found:
                return
            before = found[0]["PartitionKey"]
            yield read_spelled(before)

    def upsert_many(
        self, table: str, partition: str, rows: Mapping[str, Mapping[str, Value]]
    ) -> None:
        for batch in batches(partition, rows):
            with _problems():
                self._made(table, partial(_upsert, partition, batch))

    def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> None:
        check_key(partition, key)
        if etag is None:
            with _problems():
                self._table(table).delete_entity(spell(partition), spell(key))
            return
        # The library's delete_entity hides a missing row even when an etag is given; a transaction
        # of one does not.
        entity = _entity(partition, key, {})
        condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        with _problems():
            try:
                self._table(table).submit_transaction(
                    [(TransactionOperation.DELETE, entity, condition)]
                )
            except HttpResponseError as error:
                if _status(error) in (404, 412):
                    raise RowChanged("The row changed since it was read.", table=table) from error
                raise

    def delete_partition(self, table: str, partition: str) -> None:
        check_key(partition)
        wanted = _filter(partition, "", "", "")
        while True:
            found, _ = self._page(table, wanted, 100, select=["PartitionKey", "RowKey"])
            if not found:
                return
            with _problems():
                try:
                    self._table(table).submit_transaction(
                        [(TransactionOperation.DELETE, entity) for entity in found]
                    )
                except HttpResponseError as error:
                    if _status(error) != 404:
                        raise
                    # Somebody deletes the same rows: look at what is left.

    def _page(
        self, table: str, wanted: str, limit: int, select: list[str] | None = None
    ) -> tuple[list[TableEntity], bool]:
        """At most `limit` entities, and whether more may follow. A missing table has none."""
        found: list[TableEntity] = []
        with _problems():
            query = self._table(table).query_entities(
                wanted, results_per_page=min(limit, PAGE_ROWS_MAX), select=select
            )
            pages = query.by_page()
            try:
                for page in pages:
                    found.extend(page)
                    if len(found) >= limit:
                        break
            except ResourceNotFoundError:
                return [], False
        # Every page iterator of the library has it; the interface that mypy sees does not.
        more = getattr(pages, "continuation_token", None) is not None
        return found[:limit], more or len(found) > limit

    def _made(self, table: str, write: Callable[[TableClient], _T]) -> _T:
        """Writes, after making the table where it is missing."""
        client = self._table(table)
        try:
            return write(client)
        except HttpResponseError as error:
            if _status(error) != 404:  # no row need be there for these writes: it is the table
                raise
        self._service.create_table_if_not_exists(self._prefix + table)
        return write(client)

    def _table(self, table: str) -> TableClient:
        check_table(table)
        return self._service.get_table_client(self._prefix + table)


def _upsert(
    partition: str, batch: Sequence[tuple[str, Mapping[str, Value]]], client: TableClient
) -> None:
    client.submit_transaction(
        [
            (
                TransactionOperation.UPSERT,
                _entity(partition, key, values),
                {"mode": UpdateMode.REPLACE},
            )
            for key, values in batch
        ]
    )


def _filter(partition: str, first: str, last: str, seen: str) -> str:
    parts = [f"PartitionKey eq {_quoted(spell(partition))}"]
    if seen and seen >= first:
        parts.append(f"RowKey gt {_quoted(spell(seen))}")
    elif first:
        parts.append(f"RowKey ge {_quoted(spell(first))}")
    if last:
        parts.append(f"RowKey lt {_quoted(spell(last))}")
    return " and ".join(parts)


def _quoted(text: str) -> str:
    """A text inside a filter. (The library's own parameters break on texts with spaces.)"""
    return "'" + text.replace("'", "''") + "'"


def _entity(partition: str, key: str, values: Mapping[str, Value]) -> dict[str, Any]:
    entity: dict[str, Any] = {"PartitionKey": spell(partition), "RowKey": spell(key)}
    for column, value in values.items():
        wide = isinstance(value, int) and not isinstance(value, bool) and value not in _INT32
        entity[column] = EntityProperty(value, EdmType.INT64) if wide else value
    return entity


def _row(entity: TableEntity) -> Row:
    return _decoded(entity, str(entity.metadata["etag"]))


def _decoded(entity: Mapping[str, Any], etag: str) -> Row:
    values = {
        column: value.value if isinstance(value, EntityProperty) else value
        for column, value in entity.items()
        if column not in ("PartitionKey", "RowKey")
    }
    return Row(read_spelled(entity["PartitionKey"]), read_spelled(entity["RowKey"]), values, etag)


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer["etag"])


def _status(error: HttpResponseError) -> int:
    """The status of an answer, or of the failed part of a transaction."""
    return error.status_code or 0


@contextmanager
def _problems() -> Iterator[None]:
    """Turns what the library reports into something a person can act on, without addresses."""
    try:
        yield
    except (ResourceExistsError, ResourceNotFoundError, ResourceModifiedError):
        raise
    except ClientAuthenticationError as error:
        raise StateDenied("The storage account refuses our identity.") from error
    except HttpResponseError as error:
        status = _status(error)
        if status == 403:
            raise StateDenied("The storage account refuses our identity.") from error
        if status in (429, 500, 503):
            raise Throttled("The storage account is busy.", RETRY_AFTER_S, status=status) from error
        code = str(getattr(error, "error_code", "") or "")
        raise StateUnavailable(
            "The storage account answered with an error.", status=status, service_code=code
        ) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise StateUnavailable("The storage account cannot be reached.") from error
