"""The people that a site of the target knows, by mail address: their numbers are other ones there.

Rules: only the number of somebody who is known to the site can be written, and Graph makes nobody
known; the list of people is asked person by person, and read as a whole where its size forbids
that.

https://learn.microsoft.com/graph/api/listitem-list
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem
from m365.list_json import MISSING, Raw

_UNINDEXED = {"Prefer": "HonorNonIndexedQueriesWarningMayFailRandomly"}
_COST = 2


class People:
    """Numbers by address or name, remembered for as long as a writer lives."""

    def __init__(self, writer: GraphWriter, scope: Scope, path: Callable[[], str]) -> None:
        """`path`: of the site's list of people."""
        self._writer, self._scope, self._path = writer, scope, path
        self._known: dict[str, int | None] = {}
        self._all: dict[str, int] | None = None

    def number(self, person: Raw) -> int | None:
        """The number of a stored person ({"value", "email"}); None for somebody unknown here."""
        email = str(person.get("email") or "").lower()
        key = email or str(person.get("value") or "").lower()
        if not key:
            return None
        if key not in self._known:
            self._known[key] = self._found("EMail" if email else "Title", key)
        return self._known[key]

    def _found(self, column: str, key: str) -> int | None:
        if self._all is not None:
            return self._all.get(key)
        wanted = key.replace("'", "''")
        params = {"$expand": "fields", "$filter": f"fields/{column} eq '{wanted}'"}
        try:
            rows = self._rows(params)
            found = [number for number, fields in rows if key in _keys(fields)]
            return found[0] if found else None
        except MISSING:
            self._all = {}
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            self._all = {}
            for number, fields in self._rows({"$expand": "fields"}):
                for one in _keys(fields):
                    self._all.setdefault(one, number)
        return self._all.get(key)

    def _rows(self, params: dict[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
        pages = follow(
            self._writer, f"{self._path()}/items", params, _UNINDEXED, scope=self._scope,
            cost_first=_COST, cost_next=_COST,
        )  # fmt: skip
        for page in pages:
            for raw in page.value:
                if str(raw.get("id")).isdecimal():
                    yield int(raw["id"]), raw.get("fields") or {}


def people_path(lists: str, listed: list[dict[str, Any]]) -> str:
    """The path of the list of people among a site's lists; by its English name where none tells."""
    for raw in listed:
        template = str((raw.get("list") or {}).get("template") or "")
        if template == "userInformation" or raw.get("name") == "users":
            return f"{lists}/{quote(str(raw['id']), safe='')}"
    return f"{lists}/{quote('User Information List')}"


def _keys(fields: Raw) -> set[str]:
    texts = (fields.get(name) for name in ("EMail", "UserName", "Title"))
    return {str(text).lower() for text in texts if text}
