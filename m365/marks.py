"""The mark a restore leaves on what it wrote, so that a step that runs again finds its own work.

A mark is the restore's marker, with OPEN behind it while the item is not complete. Mail, events and
contacts keep it as a named property, tasks as an open extension (task_json.py).

https://learn.microsoft.com/graph/api/resources/extended-properties-overview
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem
from m365.service import Existing

_SET = "{8d0f9f1c-3c5e-4d0b-9a53-5f1c7b2e6a41}"
MARKER = f"String {_SET} Name HoldfastRestore"
EVENT_MARKER = f"String {_SET} Name HoldfastEvent"  # with the key of the event behind the mark
OPEN = "/open"


def expand(marker: str = MARKER) -> str:
    """The $expand by which a list gives the property."""
    return f"singleValueExtendedProperties($filter=id eq '{marker}')"


def read(raw: Mapping[str, Any], marker: str = MARKER) -> str:
    """What was written into the property; "" where the target does not give it."""
    for one in raw.get("singleValueExtendedProperties") or ():
        if str(one.get("id", "")).lower() == marker.lower():
            return str(one.get("value") or "")
    return ""


def existing(item_id: str, key: str, same: str, mark: str) -> Existing:
    """An item of a target with what its mark says."""
    complete = not mark.endswith(OPEN)
    return Existing(item_id, key, same, marker=mark.removesuffix(OPEN), complete=complete)


def listed(
    writer: GraphWriter, path: str, params: Mapping[str, str], expanded: str, scope: Scope
) -> Iterator[dict[str, Any]]:
    """The items of a list, with their marks (`expanded`) where the target gives them."""
    started = False
    try:
        for page in follow(writer, path, {**params, "$expand": expanded}, scope=scope):
            started = True
            yield from page.value
    except GraphProblem as problem:
        if started or problem.status_code != 400:
            raise
        for page in follow(writer, path, params, scope=scope):
            yield from page.value
