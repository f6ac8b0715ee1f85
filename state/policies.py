"""Policies: what of an organization is protected. A version is written once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from state.columns import Plain, Sealing, from_columns, sealed, to_columns
from state.listing import Page, page_of
from state.names import POLICIES
from state.port import Row, RowChanged, RowExists, Tables

_VERSION_END = 10**9  # versions count down in keys, so that the newest comes first


@dataclass(frozen=True, slots=True)
class Policy:
    """One version. `document` is JSON: services, include and exclude lists, folders, retention."""

    org: str
    version: int
    changed: datetime
    changed_by: str
    document: Mapping[str, Any] = sealed(factory=dict)


class Policies:
    """The policies of all organizations."""

    def __init__(self, tables: Tables, sealing: Sealing | None = None) -> None:
        self._tables = tables
        self._sealing = sealing or Plain()

    def current(self, org: str) -> Policy | None:
        newest = self.versions(org, limit=1).items
        return newest[0] if newest else None

    def versions(self, org: str, after: str = "", limit: int = 100) -> Page[Policy]:
        """Newest first."""
        rows = self._tables.query(POLICIES, org, after=after, limit=limit)
        return page_of(rows, self._decode)

    def put_if_version(self, policy: Policy, version: int) -> None:
        """Stores `policy`, numbered version + 1, if the current one is `version` (0: none yet).

        Raises RowChanged when another version has become current since.
        """
        assert policy.version == version + 1, "a policy follows the one it was made from"
        current = self.current(policy.org)
        if (current.version if current else 0) != version:
            raise RowChanged("The policy has changed since it was read.", table=POLICIES)
        columns = to_columns(policy, lambda text: self._sealing.seal(policy.org, text))
        try:
            self._tables.insert(
                POLICIES, policy.org, f"{_VERSION_END - policy.version:09d}", columns
            )
        except RowExists as error:
            raise RowChanged("The policy has changed since it was read.", table=POLICIES) from error

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(POLICIES, org)

    def _decode(self, row: Row) -> Policy:
        return from_columns(
            Policy, row.values, lambda text: self._sealing.open(row.partition, text)
        )
