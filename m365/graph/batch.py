"""$batch: many small GETs in one round trip, twenty at a time; it saves round trips, no quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One GET inside a batch. `url` is relative, "/users/…", and may hold a query."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to one request of a batch; `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: Any

    def json(self) -> dict[str, Any]:
        """The object that came back. Raises what a single GET would have raised: ItemGone, Throttled, …"""
        raise NotImplementedError
