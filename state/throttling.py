"""What workers tell one another about throttling: one small JSON object per tenant and scope, and
changed only by who has seen what is there.

Rule: a cache. Losing a row costs a minute of care, never data: claims in it run out by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from state.columns import from_columns, to_columns
from state.names import THROTTLING
from state.port import RowChanged, RowExists, Tables


@dataclass(frozen=True, slots=True)
class ThrottlingRow:
    """`name` is "sharepoint", "directory", "mailboxes", "app" or "mailbox:{user id}"."""

    tenant: str
    name: str
    content: Mapping[str, Any]


class ThrottlingRecords:
    """The throttling of all tenants, by tenant id as the organization's record spells it, in small
    letters.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self, tenant: str, name: str) -> tuple[Mapping[str, Any], str]:
        """The content and its etag; ({}, "") where there is none."""
        row = self._tables.get(THROTTLING, tenant, name)
        if row is None:
            return {}, ""
        return from_columns(ThrottlingRow, row.values).content, row.etag

    def write(self, tenant: str, name: str, content: Mapping[str, Any], etag: str) -> bool:
        """Writes it unless somebody else did since; whether it worked."""
        values = to_columns(ThrottlingRow(tenant, name, content))
        try:
            if etag:
                self._tables.replace(THROTTLING, tenant, name, values, etag)
            else:
                self._tables.insert(THROTTLING, tenant, name, values)
        except (RowChanged, RowExists):
            return False
        return True

    def remove(self, tenant: str, name: str, etag: str) -> bool:
        """Removes it unless somebody wrote it since; whether it worked."""
        try:
            self._tables.delete(THROTTLING, tenant, name, etag or None)
        except RowChanged:
            return False
        return True

    def all(self, tenant: str) -> Iterator[ThrottlingRow]:
        """Everything of a tenant, by name."""
        for row in self._tables.scan(THROTTLING, tenant):
            yield from_columns(ThrottlingRow, row.values)

    def delete_all(self, tenant: str) -> None:
        self._tables.delete_partition(THROTTLING, tenant)
