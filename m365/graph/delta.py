"""Paging and delta as one resumable cursor: a link goes in, pages and the next link come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from m365.graph.client import GraphReader, Scope


@dataclass(frozen=True, slots=True)
class DeltaPage:
    """One page. `link` continues: a nextLink while `more`, else the deltaLink ("" for a plain list)."""

    value: list[dict[str, Any]]
    link: str
    more: bool


def follow(
    reader: GraphReader,
    link: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    scope: Scope,
    cost_first: int = 1,
    cost_next: int = 1,
) -> Iterator[DeltaPage]:
    """Yields every page from `link` on, empty ones too; raises ResyncNeeded."""
    raise NotImplementedError
