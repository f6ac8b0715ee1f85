"""The plans and buckets of a group that is restored into, and changes that name their etag.

https://learn.microsoft.com/graph/api/planner-post-plans /planner-post-buckets
https://learn.microsoft.com/graph/api/resources/planner-overview (etags, limits)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from base.clock import Clock
from base.item import Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, GraphProblem, MaybeDone
from m365.planner_json import DETAILS, Raw, named
from m365.planner_order import Order
from m365.visibility import patiently

_ATTEMPTS = 4  # at a change that other changes overtake
_ETAG = "@odata.etag"
_REFUSED = (400, 403, 404, 422)


class PlannerLimit(GraphProblem):
    """A limit of Planner: too many plans, buckets or tasks."""

    code = "planner-limit"
    status = 409
    hint = "Remove what is no longer needed in Planner, or restore into another group or plan."


class PlannerTarget:
    """What a restore finds and makes around its tasks."""

    def __init__(self, writer: GraphWriter, group_id: str, scope: Scope, clock: Clock) -> None:
        self._writer, self._scope, self._clock = writer, scope, clock
        self._group_id = group_id
        self._group = f"/groups/{quote(group_id, safe='')}"
        self._plans: dict[str, str] | None = None  # titles by id
        self._buckets: dict[str, dict[str, str]] = {}  # by plan: names by id
        self._orders: dict[str, Order] = {}  # of buckets, by plan
        self._full: dict[str, PlannerLimit] = {}  # by plan; "" for the group
        self._not_set: list[tuple[str, str]] = []

    def plans(self) -> dict[str, str]:
        """Titles of the group's plans, by id."""
        if self._plans is None:
            self._plans = self._listed(f"{self._group}/planner/plans", "title")
        return self._plans

    def buckets(self, plan_id: str) -> dict[str, str]:
        """Names of a plan's buckets, by id."""
        if plan_id not in self._buckets:
            path = f"/planner/plans/{quote(plan_id, safe='')}/buckets"
            self._buckets[plan_id] = self._listed(path, "name")
        return self._buckets[plan_id]

    def plan(self, title: str, stored: Mapping[str, Any]) -> str:
        """The id of the plan of that title, made if missing, with the names of its labels."""
        found = _named(self.plans(), title)
        if found:
            return found
        with self.room(""):
            made = self._make_plan(title)
        plan_id = str(made["id"])
        self.plans()[plan_id] = title
        labels = named((stored.get(DETAILS) or {}).get("categoryDescriptions"))
        if labels:
            path = f"/planner/plans/{quote(plan_id, safe='')}/{DETAILS}"
            try:
                self.change(path, {"categoryDescriptions": labels})
            except GraphProblem as problem:
                if problem.status_code not in _REFUSED:
                    raise
                self._not_set.append(("plan", problem.graph_code))
        return plan_id

    def bucket(self, plan_id: str, name: str, stored: Mapping[str, Any]) -> str:
        """The id of a bucket of a plan by its name, made if missing, at the place it had."""
        found = _named(self.buckets(plan_id), name)
        if found:
            return found
        order = self._orders.setdefault(plan_id, Order())
        hint = str(stored.get("orderHint") or "")
        body = {"name": name, "planId": plan_id, "orderHint": order.hint(hint)}
        with self.room(plan_id):
            try:
                made = self._writer.post("/planner/buckets", body, scope=self._scope)
            except MaybeDone:
                del self._buckets[plan_id]
                found = _named(self.buckets(plan_id), name)
                if not found:
                    raise
                return found
        order.placed(hint, str(made.get("orderHint") or ""))
        self.buckets(plan_id)[str(made["id"])] = name
        return str(made["id"])

    @contextmanager
    def room(self, plan_id: str) -> Iterator[None]:
        """Turns the refusals of a plan that is full (of a group: "") into PlannerLimit, and does
        not ask a full one again.
        """
        if plan_id in self._full:
            raise self._full[plan_id]
        try:
            yield
        except GraphProblem as problem:
            if not is_limit(problem):
                raise
            self._full[plan_id] = problem.told_as(PlannerLimit, "Planner takes no more here.")
            raise self._full[plan_id] from problem

    def troubles(self, item_id: str) -> list[Trouble]:
        """What could not be set of plans that were made since the last call."""
        told, self._not_set = self._not_set, []
        return [Trouble(item_id, part, "not-set", retry=False, detail=text) for part, text in told]

    def change(self, path: str, body: Mapping[str, Any], etag: str = "") -> Raw:
        """The changed object, or {}. `etag`: what is known of it; read where "", or overtaken."""
        headers = {"Prefer": "return=representation"}
        for attempt in range(_ATTEMPTS):
            headers["If-Match"] = etag or self._etag(path)
            try:
                return patiently(
                    self._clock,
                    lambda: self._writer.patch(path, body, headers=headers, scope=self._scope),
                )
            except Clash:
                etag = ""
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt ends the loop")

    def delete(self, path: str) -> None:
        """Deletes what a path names. Raises ItemGone where it is not there."""
        for attempt in range(_ATTEMPTS):
            headers = {"If-Match": self._etag(path, patient=False)}
            try:
                self._writer.delete(path, headers=headers, scope=self._scope)
                return
            except Clash:
                if attempt == _ATTEMPTS - 1:
                    raise

    def _make_plan(self, title: str) -> Raw:
        """A new plan of the group; without an answer its plans are asked whether it was made."""
        before = set(self.plans())
        url = self._writer.place.graph_link(self._group)
        body: Raw = {"container": {"url": url}, "title": title}
        try:
            try:
                return self._writer.post("/planner/plans", body, scope=self._scope)
            except GraphProblem as problem:
                if problem.status_code != 400 or isinstance(problem, MaybeDone):
                    raise
            body = {"owner": self._group_id, "title": title}  # as it was before containers
            return self._writer.post("/planner/plans", body, scope=self._scope)
        except MaybeDone:
            self._plans = None
            made = {key: name for key, name in self.plans().items() if key not in before}
            found = _named(made, title)
            if not found:
                raise
            return {"id": found}

    def _listed(self, path: str, name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for page in follow(self._writer, path, scope=self._scope):
            found |= {str(raw["id"]): str(raw.get(name) or "") for raw in page.value}
        return found

    def _etag(self, path: str, *, patient: bool = True) -> str:
        def read() -> Raw:
            return self._writer.get(path, scope=self._scope)

        return str((patiently(self._clock, read) if patient else read()).get(_ETAG) or "*")


def is_limit(problem: GraphProblem) -> bool:
    """Whether Planner refuses because there is too much of something: 403 with the limit's name."""
    return problem.status_code == 403 and problem.graph_code.lower().startswith("maximum")


def _named(names: Mapping[str, str], name: str) -> str:
    """The id of what has a name; "" where nothing has it."""
    return next((key for key, one in names.items() if one.casefold() == name.casefold()), "")
