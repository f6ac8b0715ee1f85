"""What requests to Planner hold, made from stored objects: without what the service sets itself.

Values of open types name their type, or the service refuses them.

https://learn.microsoft.com/graph/api/resources/plannertask /plannerassignments
https://learn.microsoft.com/graph/api/resources/plannerchecklistitems /plannerexternalreferences
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from m365.planner_json import Raw, named
from m365.planner_order import FIRST, in_a_row

_TYPE = "@odata.type"
_ASSIGNMENT = "#microsoft.graph.plannerAssignment"
_STEP = "#microsoft.graph.plannerChecklistItem"
_REFERENCE = "#microsoft.graph.plannerExternalReference"
_FACTS = ("percentComplete", "priority", "startDateTime", "dueDateTime")
_BY_ITSELF = "automatic"
_NOT_IN_NAMES = ".:@#"


def task_body(raw: Mapping[str, Any], plan_id: str, bucket_id: str, title: str, hint: str) -> Raw:
    """What makes a task; details and what the service counts are no part of it."""
    body: Raw = {"planId": plan_id, "title": title, "orderHint": hint}
    if bucket_id:
        body["bucketId"] = bucket_id
    body.update({name: raw[name] for name in _FACTS if raw.get(name) is not None})
    if categories := dict.fromkeys(named(raw.get("appliedCategories")), True):
        body["appliedCategories"] = categories
    if people := assignments_body(raw):
        body["assignments"] = people
    return body


def assignments_body(raw: Mapping[str, Any]) -> Raw:
    """Who is to be assigned, by id of the user."""
    people = named(raw.get("assignments"))
    return {user: {_TYPE: _ASSIGNMENT, "orderHint": FIRST} for user in people}


def details_body(details: Mapping[str, Any]) -> Raw:
    """What is to be set of the details of a task; {} where a new task has them already."""
    body: Raw = {}
    if details.get("description"):
        body["description"] = details["description"]
    if details.get("previewType") not in (None, _BY_ITSELF):
        body["previewType"] = details["previewType"]
    if steps := _checklist(named(details.get("checklist"))):
        body["checklist"] = steps
    if references := _references(named(details.get("references"))):
        body["references"] = references
    return body


def one_by_one(body: Mapping[str, Any], without: Collection[str] = ()) -> Iterator[tuple[str, Raw]]:
    """The same a property at a time, and a person at a time: what each is called, and its body."""
    for name, value in body.items():
        if name == "assignments":
            for user, assignment in value.items():
                yield f"assignment:{user}", {name: {user: assignment}}
        elif name not in without:
            yield name, {name: value}


def not_taken(body: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    """Names of what was set and is otherwise in the answer; nothing where there was no answer."""
    if not answer:
        return []
    texts = (name for name in ("description", "previewType") if name in body)
    counted = (name for name in ("checklist", "references") if name in body)
    return [
        *(name for name in texts if answer.get(name) != body[name]),
        *(name for name in counted if len(named(answer.get(name))) < len(body[name])),
    ]


def _checklist(steps: Mapping[str, Any]) -> Raw:
    order = sorted(steps, key=lambda key: (str(steps[key].get("orderHint") or ""), key))
    return {
        key: {
            _TYPE: _STEP,
            "title": steps[key].get("title") or "",
            "isChecked": bool(steps[key].get("isChecked")),
            "orderHint": hint,
        }
        for key, hint in in_a_row(order)
    }


def _references(references: Mapping[str, Any]) -> Raw:
    """By address, which is the name of a property and encoded as such."""
    order = sorted(references, key=lambda key: str(references[key].get("previewPriority") or ""))
    made: Raw = {}
    for key, hint in in_a_row(order):
        given = {name: references[key].get(name) for name in ("alias", "type")}
        facts = {name: value for name, value in given.items() if value is not None}
        made[_encoded(key)] = {_TYPE: _REFERENCE, "previewPriority": hint, **facts}
    return made


def _encoded(address: str) -> str:
    """As the service gives it; one that comes plain is encoded: OData allows no such names."""
    if not any(sign in address for sign in _NOT_IN_NAMES):
        return address
    encoded = address.replace("%", "%25")
    for sign in _NOT_IN_NAMES:
        encoded = encoded.replace(sign, f"%{ord(sign):02X}")
    return encoded
