"""The lists of the target site: found, made and completed while a restore runs.

Rules
- A list is found by its name as people see it; libraries and SharePoint's own lists are no targets.
- A list is made in one request with the columns that any tenant takes; where that is refused, bare
  and column by column. Only a list of ours gets columns, and what it lacks is added whenever it is
  met again: a killed attempt is completed.
- Formulas are made after the columns they may name, whichever way round they are stored.
- A lookup is made when the list it leads to is met; at the latest before the first row, and then as
  text where there is no such list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, GraphProblem, Locked, MaybeDone
from m365.list_content_types import ContentTypes, wanted_types
from m365.list_fields import column_body, mark_column
from m365.list_json import (
    MISSING,
    Raw,
    is_hidden,
    is_library,
    kind_of,
    of_site,
    own_columns,
    target_of,
    template_of,
)
from m365.list_target import COST_OF_LIST, Target

_SELECT = {"$select": "id,name,displayName,list,system"}
_PLAIN_TEMPLATE = "genericList"


class Targets:
    """The lists of one site, as far as they were needed."""

    def __init__(self, writer: GraphWriter, scope: Scope, lists: str) -> None:
        """`lists` is the path of the site's lists."""
        self._writer, self._scope, self._lists = writer, scope, lists
        self.types = ContentTypes(writer, scope, lists.removesuffix("/lists"))
        self._listed: list[dict[str, Any]] | None = None
        self._known: dict[str, Target] = {}
        self._standing: dict[str, Target] = {}  # by the id of the stored list, in lower case

    @property
    def listed(self) -> list[dict[str, Any]]:
        """What the site lists, hidden lists too."""
        if self._listed is None:
            self._listed = self._all(self._lists, _SELECT)
        return self._listed

    def check(self) -> None:
        """Asks whether the site is there and open. Raises ResourceGone, ResourceLocked."""
        params = {"$select": "id", "$top": "1"}
        try:
            self._writer.get(self._lists, params=params, scope=self._scope, cost=COST_OF_LIST)
        except (*MISSING, Locked) as problem:
            raise of_site(problem) from problem

    def path(self, list_id: str) -> str:
        return f"{self._lists}/{quote(list_id, safe='')}"

    def known(self, list_id: str) -> Target:
        """A list by id, with its columns."""
        if list_id not in self._known:
            name = next(
                (str(raw.get("displayName") or "") for raw in self.listed if raw["id"] == list_id),
                "",
            )
            path = self.path(list_id)
            found = [one for one in self._all(f"{path}/columns") if one.get("name")]
            columns: dict[str, Raw] = {str(one["name"]): one for one in found}
            self._known[list_id] = Target(list_id, name, path, columns, self._writer, self._scope)
        return self._known[list_id]

    def looked_up(self, list_id: str) -> Target | None:
        """The list that a lookup of the target leads to; None where it is gone."""
        for known in self._known.values():
            if known.id.lower() == list_id.lower():
                return known
        try:
            return self.known(list_id) if list_id else None
        except MISSING:
            return None

    def standing_for(self, stored_id: str) -> Target | None:
        """The list that a stored one is restored into, or the original where it is still there."""
        found = self._standing.get(stored_id.lower())
        if found is None and any(raw["id"].lower() == stored_id.lower() for raw in self.listed):
            return self.looked_up(stored_id)
        return found

    def original(self, stored_id: str, definition: Raw) -> Target | None:
        """The very list that was backed up, where it still exists."""
        for raw in self.listed:
            if raw["id"].lower() == stored_id.lower():
                target = self.known(str(raw["id"]))
                target.is_original = True
                return self._stands(target, stored_id, definition)
        return None

    def ensure(self, name: str, stored_id: str, definition: Raw) -> Target:
        """The list of that name, made where it is missing; with the columns it is to have."""
        found = self._named(name)
        target = self.known(found) if found else self._make(name, definition)
        self._stands(target, stored_id, definition)
        self._complete(target)
        self._link_up()
        return target

    def settle(self, target: Target) -> None:
        """Before the first row: lookups that found no list become text."""
        if not target.is_ours:
            return
        for column in own_columns(target.stored):
            name, kind = str(column["name"]), kind_of(column)
            there = target.columns.get(name)
            if there is None and kind == "lookup":
                leads_to = self.standing_for(target_of(column))
                there = self._add_lookup(target, column, leads_to) if leads_to else None
            if there is None:
                self._try(target, column_body(column, as_text=True))
            if kind_of(target.columns.get(name) or {}) == "text" != kind:
                target.flat.add(name)

    def forget(self, list_id: str, number: int) -> None:
        """A row that was removed."""
        if list_id in self._known:
            self._known[list_id].forget(number)

    def _stands(self, target: Target, stored_id: str, definition: Raw) -> Target:
        target.stored = definition
        self._standing[stored_id.lower()] = target
        return target

    def _named(self, name: str) -> str:
        for raw in self.listed:
            title = str(raw.get("displayName") or raw.get("name") or "")
            if title.casefold() == name.casefold() and not (is_library(raw) or is_hidden(raw)):
                return str(raw["id"])
        return ""

    def _make(self, name: str, definition: Raw) -> Target:
        """A new list of ours."""
        template = template_of(definition) or _PLAIN_TEMPLATE
        body: dict[str, Any] = {"displayName": name, "list": {"template": template}}
        if definition.get("description"):
            body["description"] = definition["description"]
        columns = [mark_column(), *(column_body(one) for one in self._early(definition))]
        plain = {**body, "list": {"template": _PLAIN_TEMPLATE}}
        attempts = [{**body, "columns": columns}, {**plain, "columns": columns}, plain]
        if wanted_types(definition):
            typed = {"template": template, "contentTypesEnabled": True}
            attempts.insert(0, {**body, "columns": columns, "list": typed})
        for attempt in attempts:
            try:
                made = self._post_list(name, attempt)
                break
            except GraphProblem as problem:
                if problem.status_code != 400 or attempt is plain:
                    raise
        self.listed.append({"displayName": name, "list": {"template": template}, **made})
        target = self.known(str(made["id"]))
        if not target.is_ours:
            self._add(target, mark_column())
        return target

    def _post_list(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates once: without an answer, or beside one of that name, the lists are read again."""
        try:
            return self._writer.post(self._lists, body, scope=self._scope)
        except (MaybeDone, Clash):
            self._listed = None
            found = self._named(name)
            if not found:
                raise
            return {"id": found}

    def _complete(self, target: Target) -> None:
        """Adds the columns a list of ours lacks: plain ones, then formulas."""
        if not target.is_ours:
            return
        early = self._early(target.stored)
        late = [one for one in own_columns(target.stored) if kind_of(one) == "calculated"]
        for column in early:
            if str(column["name"]) not in target.columns:
                self._add_plain(target, column)
        late = [one for one in late if str(one["name"]) not in target.columns]
        while late:
            left = [one for one in late if not self._try(target, column_body(one))]
            if len(left) == len(late):
                break  # settle() makes text of them
            late = left
        self._name_title(target)
        self.types.bring(target)

    def _early(self, definition: Raw) -> list[Raw]:
        """The columns that need no other list and no other column."""
        found = own_columns(definition)
        late = ("lookup", "calculated")
        return [one for one in found if one["name"] != "Title" and kind_of(one) not in late]

    def _add_plain(self, target: Target, column: Raw) -> None:
        plain, bare = column_body(column), column_body(column, bare=True)
        if not self._try(target, plain) and not self._try(target, bare):
            self._try(target, column_body(column, as_text=True))  # rows say what they go without

    def _name_title(self, target: Target) -> None:
        """People may have given Title another name."""
        wanted = next((c for c in own_columns(target.stored) if c["name"] == "Title"), {})
        there, name = target.columns.get("Title") or {}, wanted.get("displayName")
        if name and there.get("id") and there.get("displayName") != name:
            path = f"{target.path}/columns/{quote(str(there['id']), safe='')}"
            try:
                self._writer.patch(path, {"displayName": name}, scope=self._scope)
            except GraphProblem as problem:
                if problem.status_code not in (400, 404, 405):
                    raise

    def _link_up(self) -> None:
        """Makes the lookups whose lists have both been met."""
        for one in self._standing.values():
            for column in own_columns(one.stored) if one.is_ours else ():
                leads_to = self._standing.get(target_of(column).lower())
                missing = str(column["name"]) not in one.columns
                if kind_of(column) == "lookup" and missing and leads_to is not None:
                    self._add_lookup(one, column, leads_to)

    def _add_lookup(self, target: Target, column: Raw, leads_to: Target) -> Raw | None:
        body = column_body(column)
        facet = {k: v for k, v in body["lookup"].items() if k != "primaryLookupColumnId"}
        body["lookup"] = {**facet, "listId": leads_to.id}
        return target.columns.get(str(column["name"])) if self._try(target, body) else None

    def _try(self, target: Target, body: Mapping[str, Any]) -> bool:
        """Whether the list took the column."""
        try:
            self._add(target, body)
        except GraphProblem as problem:
            if problem.status_code != 400 and not isinstance(problem, Clash):
                raise
            return False
        return True

    def _add(self, target: Target, body: Mapping[str, Any]) -> None:
        """One more column; one that is there already, of an attempt without answer, is fine."""
        name = str(body["name"])
        try:
            made = self._writer.post(f"{target.path}/columns", body, scope=self._scope)
        except (MaybeDone, Clash):
            there = {str(one.get("name")): one for one in self._all(f"{target.path}/columns")}
            if name not in there:
                raise
            made = there[name]
        target.columns[name] = {**body, **made, "name": name}

    def _all(self, path: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        pages = follow(
            self._writer, path, params, scope=self._scope,
            cost_first=COST_OF_LIST, cost_next=COST_OF_LIST,
        )  # fmt: skip
        return [raw for page in pages for raw in page.value]
