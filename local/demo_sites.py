"""What the demo compares of lists, site pages, teams, chats and plans: what the backup holds, and
what a restore wrote, against the tenant's truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlencode

from local.demo_checks import Checks, Truth
from local.demo_client import Api

_Truths = Sequence[Truth]
_PLAIN = (str, bool, int, float)  # values that a row shows as they are


def lists_backed_up(checks: Checks, api: Api, resource: str, number: int, truth: Truth) -> None:
    """Every row of every list that people see, value by value."""
    lists = {one["id"]: one for one in truth["lists"].get(_id(resource), ()) if _is_seen(one)}
    rows = {
        f"{one['id']}:{row['id']}": (one, row) for one in lists.values() for row in one["items"]
    }
    found = _found(api, "lists", resource, number)
    items = {key: entry for key, entry in found.items() if entry["kind"] != "folder"}
    checks.same("rows of lists in the restore point", sorted(rows), sorted(items), resource)
    where = _where("lists", resource, number)
    for key in rows.keys() & items.keys():
        of, row = rows[key]
        checks.same("list of the row", of["title"], items[key]["path"][0], key)
        fields = _object(api, key, where)["fields"]
        for name, value in _plain_values(row).items():
            if name not in fields and f"{name}LookupId" in fields:  # a number, which Graph quotes
                value, name = str(value), f"{name}LookupId"
            checks.same("value in a row", value, fields.get(name), f"{key} {name}")


def lists_restored(checks: Checks, rows: _Truths, before: _Truths, after: _Truths) -> None:
    """Every restored row says what the original said, in the list of the same columns."""
    originals, copies = _rows_of(before), _rows_of(after)
    for row in rows:
        if row["kind"] == "folder" or row["outcome"] == "skipped":
            continue
        copy = copies.get(row["new_id"])
        if checks.same("row restored", True, copy is not None, row["id"]) and copy is not None:
            for name, value in _plain_values(originals[row["id"]]).items():
                if f"{name}LookupId" not in originals[row["id"]]["values"]:
                    checks.same("restored value", value, copy["values"].get(name), row["id"])


def pages_restored(checks: Checks, rows: _Truths, before: _Truths, after: _Truths) -> None:
    """Every restored page reads as the original did."""
    _restored(checks, rows, before, after, ("title", "description", "pageLayout", "titleArea"))


def tasks_restored(checks: Checks, rows: _Truths, before: _Truths, after: _Truths) -> None:
    """Every restored task of a plan says what the original said."""
    flat = [[task for plan in plans for task in plan["tasks"]] for plans in (before, after)]
    names = ("title", "percentComplete", "priority", "dueDateTime", "startDateTime")
    _restored(checks, rows, flat[0], flat[1], names)


def _restored(
    checks: Checks, rows: _Truths, before: _Truths, after: _Truths, names: Sequence[str]
) -> None:
    originals = {one["id"]: one for one in before}
    copies = {one["id"]: one for one in after}
    for row in rows:
        if row["kind"] == "folder" or row["outcome"] == "skipped":
            continue
        original, copy = originals[row["id"]], copies.get(row["new_id"])
        if checks.same(f"{row['kind']} restored", True, copy is not None, row["id"]) and copy:
            for name in names:
                what = f"restored {row['kind']} {name}"
                checks.same(what, original.get(name), copy.get(name), row["id"])


def pages_backed_up(checks: Checks, api: Api, resource: str, number: int, truth: Truth) -> None:
    """Every page with its title, and with the canvas that Graph gives."""
    pages = {one["id"]: one for one in truth["pages"].get(_id(resource), ())}
    found = _items(_found(api, "pages", resource, number))
    checks.same("site pages in the restore point", sorted(pages), sorted(found), resource)
    where = _where("pages", resource, number)
    for key in pages.keys() & found.keys():
        if not pages[key]["readable"]:
            checks.skip("the service cannot give the canvas of these pages")
            continue
        raw = _object(api, key, where)
        checks.same("title of a page", pages[key]["title"], raw["title"], key)
        checks.same("canvas of a page", pages[key]["canvas"], raw.get("canvasLayout"), key)


def teams_backed_up(checks: Checks, api: Api, resource: str, number: int, truth: Truth) -> None:
    """Every message and reply of every channel, with what it shows."""
    channels = truth["teams"][_id(resource)]
    said = {f"{of['id']}:{one['id']}": one for of in channels for one in of["messages"]}
    _messages(checks, api, ("teams", resource, number), said)


def chats_backed_up(checks: Checks, api: Api, resource: str, number: int, truth: Truth) -> None:
    """Every message of chats that somebody sees; what is gone is told of within a month."""
    said = {
        f"{of['id']}:{one['id']}": one
        for of in truth["chats"]
        for one in of["messages"]
        if _id(resource) in one["seen_by"]
    }
    _messages(checks, api, ("chats", resource, number), said, late=True)


def planner_backed_up(checks: Checks, api: Api, resource: str, number: int, truth: Truth) -> None:
    """Every task of every plan, with its details."""
    plans = truth["planner"].get(_id(resource), ())
    tasks = {one["id"]: one for plan in plans for one in plan["tasks"]}
    found = _items(_found(api, "planner", resource, number))
    checks.same("tasks of plans in the restore point", sorted(tasks), sorted(found), resource)
    where = _where("planner", resource, number)
    for key in tasks.keys() & found.keys():
        raw = _object(api, key, where)
        for name in ("title", "percentComplete", "priority", "dueDateTime", "appliedCategories"):
            checks.same(f"task {name}", tasks[key].get(name), raw.get(name), key)
        for name in ("description", "checklist", "references"):
            expected = tasks[key]["details"].get(name)
            checks.same(f"task {name}", expected, (raw.get("details") or {}).get(name), key)


HELD: Mapping[str, Callable[[Checks, Api, str, int, Truth], None]] = {
    "lists": lists_backed_up,
    "pages": pages_backed_up,
    "teams": teams_backed_up,
    "chats": chats_backed_up,
    "planner": planner_backed_up,
}


RESTORED: Mapping[str, Callable[[Checks, _Truths, _Truths, _Truths], None]] = {
    "lists": lists_restored,
    "pages": pages_restored,
    "planner": tasks_restored,
}


def _messages(
    checks: Checks,
    api: Api,
    of: tuple[str, str, int],
    said: Mapping[str, Truth],
    late: bool = False,
) -> None:
    service, resource, number = of
    found = _items(_found(api, service, resource, number))
    where = _where(service, resource, number)
    by_message = {}
    for key in found:
        shown = _shown(api, key, where)
        raw = shown["raw"]
        place = raw.get("chatId") or raw["channelIdentity"]["channelId"]
        by_message[f"{place}:{raw['id']}"] = shown
    there = sorted(by_message.keys() & said.keys() if late else by_message)
    checks.same(f"messages of {service}", sorted(said), there, resource)
    for message_id in said.keys() & by_message.keys():
        one, shown = said[message_id], by_message[message_id]
        key, raw = shown["id"], shown["raw"]
        checks.same("message is a tombstone", one["deleted"], bool(raw.get("deletedDateTime")), key)
        if one["deleted"]:
            continue
        kinds = [entry["reactionType"] for entry in raw.get("reactions") or ()]
        checks.same("reactions to a message", one["reactions"], kinds, key)
        if shown["missing"]:
            checks.skip("the service keeps pictures of other organizations' chats back")
            continue
        hosted = [part["meta"].get("id") for part in shown["parts"] if part["role"] == "hosted"]
        words = unquote(json.dumps(raw))  # an edit may have taken a picture out of it
        expected = sorted(content_id for content_id in one["hosted"] if content_id in words)
        checks.same("hosted contents", expected, sorted(hosted), key)
        for index, content_id in enumerate(hosted):
            held = api.part_sha256(key, {**where, "index": str(index)}, "hosted")
            checks.same("hosted content bytes", one["hosted"].get(content_id), held, key)


def _rows_of(lists: _Truths) -> dict[str, Truth]:
    return {f"{one['id']}:{row['id']}": row for one in lists for row in one["items"]}


def _plain_values(row: Truth) -> dict[str, Any]:
    return {name: value for name, value in row["values"].items() if isinstance(value, _PLAIN)}


def _is_seen(one: Truth) -> bool:
    return not (one["hidden"] or one["system"] or one["template"] == "documentLibrary")


def _found(api: Api, service: str, resource: str, number: int) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in api.items(service, resource, number)}


def _items(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: entry for key, entry in found.items() if entry["kind"] != "folder"}


def _object(api: Api, key: str, where: Mapping[str, str]) -> dict[str, Any]:
    raw: dict[str, Any] = _shown(api, key, where)["raw"]
    return raw


def _shown(api: Api, key: str, where: Mapping[str, str]) -> dict[str, Any]:
    return api.of_org("GET", f"/items/{quote(key, safe='')}?{urlencode(where)}")


def _where(service: str, resource: str, number: int) -> dict[str, str]:
    return {"service": service, "resource": resource, "snapshot": str(number)}


def _id(resource: str) -> str:
    return resource.split(":", 1)[1]
