"""Paging and delta as one resumable cursor: a link goes in, pages and the next link come out.

Rules
- A link is opaque: followed as it is, whatever spelling of /delta it has. Its host is checked
  before its page is handed out, so that no foreign link is ever stored.
- A page may be empty and still have a nextLink; only a page without one ends the round.
- Headers are sent again with every page.
- A page that takes the service too long (504) is asked for again with half as many items. That
  works for a first request only: a nextLink remembers its page size, and the problem is raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from m365.graph.client import GraphReader, Scope
from m365.graph.errors import GatewayTimeout, TransientFailure

_PAGE_SIZE = re.compile(r"odata\.maxpagesize\s*=\s*(\d+)", re.IGNORECASE)
_PAGE_SIZE_GUESS = 200  # where the caller left it to the service
_PAGE_SIZE_MIN = 5


@dataclass(frozen=True, slots=True)
class DeltaPage:
    """One page. `link` continues: a nextLink while `more`, else the deltaLink.

    `link` is "" at the end of a plain list.
    """

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
    """Yields every page from `link` on, empty ones too.

    `link` is a first path ("/users/…/delta", with `params`), a nextLink or a deltaLink.
    `cost_first` is that of the first request: 2 units for a drive's delta without a token, else 1.
    Raises ResyncNeeded when the service forgot the link, ForeignHost for a page that leads away
    from Graph, TransientFailure for one that makes no sense or leads in a circle.
    """
    seen: set[int] = set()
    answer = _first(reader, link, params, headers, scope, cost_first)
    while True:
        page = _page(answer)
        if page.link:
            reader.place.graph_link(page.link)
        yield page
        if not page.more:
            return
        if hash(page.link) in seen:
            raise TransientFailure("A list led back to a page that was read already.")
        seen.add(hash(page.link))
        answer = reader.get(page.link, headers=headers, scope=scope, cost=cost_next)


def _first(
    reader: GraphReader,
    link: str,
    params: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    scope: Scope,
    cost: int,
) -> dict[str, Any]:
    given = dict(headers or {})
    while True:
        try:
            return reader.get(link, params=params, headers=given, scope=scope, cost=cost)
        except GatewayTimeout:
            smaller = _halved(given.get("Prefer", "")) if link.startswith("/") else None
            if smaller is None:
                raise
            given["Prefer"] = smaller


def _halved(prefer: str) -> str | None:
    """The Prefer header with half the page size; None when pages are small enough."""
    match = _PAGE_SIZE.search(prefer)
    size = (int(match[1]) if match else _PAGE_SIZE_GUESS) // 2
    if size < _PAGE_SIZE_MIN:
        return None
    wish = f"odata.maxpagesize={size}"
    if match:
        return prefer[: match.start()] + wish + prefer[match.end() :]
    return f"{prefer}, {wish}" if prefer else wish


def _page(answer: dict[str, Any]) -> DeltaPage:
    value = answer.get("value")
    next_link, delta_link = answer.get("@odata.nextLink"), answer.get("@odata.deltaLink")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise TransientFailure("A page of a list has no entries that make sense.")
    if isinstance(next_link, str) and next_link:
        return DeltaPage(value, next_link, more=True)
    return DeltaPage(value, delta_link if isinstance(delta_link, str) else "", more=False)
