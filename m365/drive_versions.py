"""The older versions of a file, as parts of it.

Rules
- The list comes newest first and names the current version too, whose bytes the service hands out
  as content only (400 as a version); it is the first. A list that begins with the oldest is read
  to its end and turned round: else a version would be missing, and nobody would say so.
- A version never changes: id, date and size say which it is, and what is stored is not read again.
- A version that is refused costs that version; the ledger names it.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-list-versions,
/api/driveitemversion-get-contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any
from urllib.parse import quote

from base.item import Part
from m365.drive_content import Bytes
from m365.drive_history import VERSION, age
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow

COST_LIST = 2


def versions(
    reader: GraphReader, scope: Scope, files: Bytes, path: str, wanted: str
) -> Iterator[Part]:
    """The older versions of the item at `path`, newest first; `wanted`: "all" or how many."""
    older = islice(_newest_first(_listed(reader, scope, f"{path}/versions")), 1, None)
    for meta in older if wanted == "all" else islice(older, int(wanted)):
        if not meta["id"]:
            continue
        same = f"{meta['id']} {meta['modified']} {meta['size']}"
        at = f"{path}/versions/{quote(meta['id'], safe='')}"
        yield Part(VERSION, files.version(at, meta["size"], same), meta, same)


def _newest_first(listed: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    first = list(islice(listed, 2))
    if len(first) == 2 and age(first[0]) < age(first[1]):
        return iter(sorted(chain(first, listed), key=age, reverse=True))
    return chain(first, listed)


def _listed(reader: GraphReader, scope: Scope, path: str) -> Iterator[dict[str, Any]]:
    pages = follow(reader, path, scope=scope, cost_first=COST_LIST, cost_next=COST_LIST)
    for page in pages:
        yield from map(_meta, page.value)


def _meta(version: Mapping[str, Any]) -> dict[str, Any]:
    by = version.get("lastModifiedBy") or {}
    who = by.get("user") or by.get("application") or {}
    return {
        "id": str(version.get("id") or ""),
        "modified": version.get("lastModifiedDateTime") or "",
        "by": who.get("displayName") or who.get("email") or "",
        "size": version.get("size"),
    }
