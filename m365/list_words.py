"""What lookups and people of rows show: Graph gives their numbers, and the words are asked for.

Rules
- A few numbers are asked for one by one, many by reading the list they are of until the last one
  has been seen: whichever costs less.
- Words are remembered for the step, and never for longer.
- What cannot be read (a list that is gone, or not ours to see) has no words; the number stays.

https://learn.microsoft.com/graph/api/listitem-list
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from m365.graph.client import BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import Forbidden, GraphProblem, TransientFailure
from m365.list_json import LOOKED_UP, MISSING, Raw, kind_of, own_columns, references, target_of

PAGE_ITEMS = 200  # rows of a page where nothing else is asked for
COST_OF_LIST = 2
_KEPT_MAX = 50_000


class Words:
    """The words of one site's lookups and people; safe to use from several threads."""

    def __init__(
        self, reader: GraphReader, scope: Scope, lists: str, people: Callable[[], str]
    ) -> None:
        """`lists` is the path of the site's lists; `people` names the list of people."""
        self._reader, self._scope, self._lists, self._people = reader, scope, lists, people
        self._known: dict[tuple[str, int], dict[str, str]] = {}
        self._lock = threading.Lock()

    def of(self, definition: Raw, rows: Iterable[Raw]) -> list[dict[str, Any]]:
        """For each row (its fields) the words by column."""
        with self._lock:
            return self._of(definition, list(rows))

    def _of(self, definition: Raw, rows: list[Raw]) -> list[dict[str, Any]]:
        columns = [one for one in own_columns(definition) if kind_of(one) in LOOKED_UP]
        found: list[dict[str, Any]] = [{} for _ in rows]
        for column in columns:
            told = [references(fields, column) for fields in rows]
            is_person = kind_of(column) == "personOrGroup"
            lacking = {
                one["id"] for some in told for one in some if _lacks(one, is_person=is_person)
            }
            self._ask(column, lacking)
            for at, some in enumerate(told):
                if some:
                    found[at][str(column["name"])] = [self._worded(column, one) for one in some]
        return found

    def _ask(self, column: Raw, ids: Collection[int]) -> None:
        """Brings the words of some numbers into what is known."""
        target = self._target(column)
        missing = sorted(number for number in ids if (target, number) not in self._known)
        if not missing or not target:
            return
        if len(self._known) > _KEPT_MAX:
            self._known.clear()
        shown = _shown(column)
        pages = missing[-1] // PAGE_ITEMS + 1
        try:
            if len(missing) <= pages * COST_OF_LIST:
                self._one_by_one(target, missing, shown)
            else:
                self._in_a_row(target, missing[-1], shown)
        except (*MISSING, Forbidden):
            pass
        except GraphProblem as problem:
            if isinstance(problem, TransientFailure) or problem.status_code != 400:
                raise
        for number in missing:
            self._known.setdefault((target, number), {})

    def _one_by_one(self, target: str, ids: list[int], shown: str) -> None:
        base = f"{self._lists}/{quote(target, safe='')}/items"
        requests = [BatchRequest(f"{base}/{number}?$expand=fields") for number in ids]
        answers = self._reader.batch(requests, scope=self._scope)
        for number, answer in zip(ids, answers, strict=True):
            try:
                raw = answer.json()
            except (*MISSING, Forbidden):
                continue
            self._known[target, number] = _texts(raw.get("fields") or {}, shown)

    def _in_a_row(self, target: str, last: int, shown: str) -> None:
        path = f"{self._lists}/{quote(target, safe='')}/items"
        pages = follow(
            self._reader, path, {"$expand": "fields"}, scope=self._scope,
            cost_first=COST_OF_LIST, cost_next=COST_OF_LIST,
        )  # fmt: skip
        for page in pages:
            for raw in page.value:
                if str(raw.get("id")).isdecimal():
                    fields = raw.get("fields") or {}
                    self._known[target, int(raw["id"])] = _texts(fields, shown)
                    last = -1 if int(raw["id"]) >= last else last
            if last < 0:
                return

    def _worded(self, column: Raw, one: dict[str, Any]) -> dict[str, Any]:
        known = self._known.get((self._target(column), one["id"]), {})
        found: dict[str, Any] = {"id": one["id"]}
        value, email = one.get("value") or known.get("value"), one.get("email")
        if value:
            found["value"] = value
        if kind_of(column) == "personOrGroup" and (email or known.get("email")):
            found["email"] = email or known["email"]
        return found

    def _target(self, column: Raw) -> str:
        return self._people() if kind_of(column) == "personOrGroup" else target_of(column)


def _lacks(one: Mapping[str, Any], *, is_person: bool) -> bool:
    return not one.get("value") or (is_person and not one.get("email"))


def _shown(column: Raw) -> str:
    """The field that a lookup shows."""
    if kind_of(column) == "personOrGroup":
        return "Title"
    return str((column.get("lookup") or {}).get("columnName") or "Title")


def _texts(fields: Raw, shown: str) -> dict[str, str]:
    value = fields.get(shown)
    found = {"value": str(value) if value not in (None, "") else str(fields.get("Title") or "")}
    if isinstance(fields.get("EMail"), str) and fields["EMail"]:
        found["email"] = fields["EMail"]
    elif isinstance(fields.get("UserName"), str) and "@" in fields["UserName"]:
        found["email"] = fields["UserName"]
    return found
