"""Finds items by name and by what their columns show, in the newest restore point of each resource.

It reads the catalogs themselves, entry after entry, so it costs what a listing of everything costs:
fine for some hundred thousand items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.assembly import App
from engine.browse import View, open_view, row_json
from vault import Entry


def find(
    app: App, org: str, text: str, *, service: str = "", resource: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """The first `limit` items that hold every word of `text`, with where they lie."""
    app.organization(org)
    words = text.casefold().split()
    found: list[dict[str, Any]] = []
    for row in app.resources.all(org, service):
        if row.head < 0 or resource not in ("", row.resource):
            continue
        view = open_view(app, org, row.service, row.resource)
        for entry in _matching(view, words):
            place = {"service": row.service, "resource": row.resource, "owner": row.name}
            found.append({**row_json(entry), **place, "snapshot": view.snapshot.number})
            if len(found) >= limit:
                return found
    return found


def _matching(view: View, words: list[str]) -> Iterator[Entry]:
    for entry in view.catalog.items():
        if all(word in _shown(entry) for word in words):
            yield entry


def _shown(entry: Entry) -> str:
    """Name and text columns of an entry, in lower case."""
    texts = [entry.name]
    for value in entry.row.values():
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            texts += map(str, value)
    return "\n".join(texts).casefold()
