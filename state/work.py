"""Work: what a run has to do, cut into shards; written once by the planner, read by each shard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from state.columns import from_columns, to_columns
from state.names import WORK
from state.port import Tables, Value


@dataclass(frozen=True, slots=True)
class WorkShard:
    """Some resources of a run, as JSON objects that only the engine reads; about 400 KB at most."""

    org: str
    run: str
    shard: int
    resources: tuple[Mapping[str, Any], ...]


class Work:
    """The work lists of all runs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, org: str, run: str, shards: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Stores the whole list. A second planner of the same run overwrites it."""
        rows: dict[str, dict[str, Value]] = {}
        for number, resources in enumerate(shards):
            rows[_key(number)] = to_columns(WorkShard(org, run, number, tuple(resources)))
        self._tables.upsert_many(WORK, _partition(org, run), rows)

    def get(self, org: str, run: str, shard: int) -> WorkShard | None:
        row = self._tables.get(WORK, _partition(org, run), _key(shard))
        return from_columns(WorkShard, row.values) if row else None

    def delete(self, org: str, run: str) -> None:
        """Removes the list of a run that is over."""
        self._tables.delete_partition(WORK, _partition(org, run))


def json_bytes(resources: Sequence[Mapping[str, Any]]) -> int:
    """Room that a shard takes in its row; keep it under 400,000."""
    return len(json.dumps(list(resources), separators=(",", ":")))


def _partition(org: str, run: str) -> str:
    return f"{org}~{run}"


def _key(shard: int) -> str:
    return f"{shard:06d}"
