"""The coverage statement in the demo: fetched in every form there is, held against what the tenant
really has, and written down as a page.

Rule: whatever the tenant has stands in the statement once, under its state; whatever else stands
there is not protected and says why.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.demo_checks import Checks, Truth
from local.demo_client import Api

_Key = tuple[str, str]  # kind and id of a row
_States = frozenset[str]

PROTECTED, PARTLY, NOT = "protected", "partly", "not"
_STATES = (PROTECTED, PARTLY, NOT, "absent")
_OWNERS = ("user", "group", "site")
_COPIED = frozenset((PROTECTED, PARTLY))  # of what the truth does not say whether all is readable
_ANY = frozenset((PROTECTED, PARTLY, NOT))
_ROWS_AT_ONCE = 25
_NAME = "coverage-of-the-demo"
_HEAD = """# The demo's coverage statement

What [the statement](coverage.md) says of the demo's tenant after its third backup, row by row: \
people, groups and sites, and below each what belongs to it. Everybody and everything here is \
invented by the simulator. The demo compares the statement with the tenant's truth before it \
writes this page; [the same as JSON]({name}.json). Made by `python3 dev.py demo --coverage docs`.
"""


def exported(api: Api) -> bytes:
    """The statement as the JSON file that people download."""
    return b"".join(api.blocks("/coverage/export?format=json"))


def compared(checks: Checks, api: Api, data: bytes, truth: Truth) -> dict[str, Any]:
    """The statement in `data`, held against its other forms and against the truth."""
    said: dict[str, Any] = json.loads(data)
    rows: list[Truth] = said["rows"]
    _forms_agree(checks, api, said, rows)
    _times_and_reasons(checks, rows)
    _as_it_is(checks, rows, dict(_there(truth)))
    return said


def states(rows: Iterable[Truth]) -> list[tuple[str, str, str]]:
    """The state of everything that has a restore point."""
    return sorted((row["kind"], row["id"], row["state"]) for row in rows if row["last"])


def write(folder: Path, data: bytes) -> None:
    """The statement as a file for programs, and as a page."""
    (folder / f"{_NAME}.json").write_bytes(data)
    (folder / f"{_NAME}.md").write_text(page(json.loads(data)), encoding="utf-8")


def page(said: Truth) -> str:
    """A page of two tables: how much of each kind is protected, and every row."""
    return "\n".join(
        (
            _HEAD.format(name=_NAME),
            *_table(("Kind", "Protected", "Partly", "Not", "Of these not there"), _totals(said)),
            "",
            *_table(("What", "Name", "State", "Why", "Since", "Newest"), map(_line, said["rows"])),
            "",
        )
    )


# --- Comparisons ---


def _forms_agree(checks: Checks, api: Api, said: Truth, rows: Sequence[Truth]) -> None:
    """Pages, both files and the totals speak of the same rows."""
    paged = list(api.all_of(f"/coverage/rows?limit={_ROWS_AT_ONCE}"))
    checks.same("coverage in pages is what the file says", rows, paged, "rows")
    text = b"".join(api.blocks("/coverage/export?format=csv")).decode("utf-8-sig")
    lines = [
        (line["kind"], line["id"], line["state"]) for line in csv.DictReader(io.StringIO(text))
    ]
    wanted = [(row["kind"], row["id"], row["state"]) for row in rows]
    checks.same("coverage as CSV has the same rows", wanted, lines, "rows")
    counted = Counter((row["kind"], row["state"]) for row in rows)
    for kind, totals in said["totals"].items():
        for state in (PROTECTED, PARTLY, NOT):
            checks.same("coverage totals", counted[kind, state], totals[state], f"{kind} {state}")


def _times_and_reasons(checks: Checks, rows: Iterable[Truth]) -> None:
    for row in rows:
        where = f"{row['kind']} {row['id']}"
        checks.same("a gap has a reason", row["state"] != PROTECTED, bool(row["reasons"]), where)
        if row["state"] != NOT:
            dated = bool(row["since"] and row["last"] and row["since"] <= row["last"])
            checks.same("what is protected says since when", True, dated, where)


def _as_it_is(checks: Checks, rows: Iterable[Truth], there: Mapping[_Key, _States]) -> None:
    """What the tenant has is said once, with its state; nothing else passes for protected."""
    found: dict[_Key, list[str]] = {key: [] for key in there}
    below: dict[_Key, list[str]] = {key: [] for key in there if key[0] in _OWNERS}
    for row in rows:
        key = row["kind"], row["id"]
        if key not in there:
            checks.same("what is not there is not protected", NOT, row["state"], " ".join(key))
            continue
        found[key].append(row["state"])
        if key not in below:
            below[row["owner"]["kind"], row["owner"]["id"]].append(row["state"])
    for key, expected in there.items():
        where = " ".join(key)
        if not checks.same("rows of what is there", 1, len(found[key]), where):
            continue
        (state,) = found[key]
        expected = _of_owner(below[key]) if key in below else expected
        checks.same("state in the coverage statement", True, state in expected, f"{where} {state}")


def _of_owner(things: Iterable[str]) -> _States:
    """An owner may also have what is not there for us: another organization's channel."""
    told = set(things)
    if told <= {NOT}:
        return frozenset((NOT,))
    return _COPIED if told == {PROTECTED} else frozenset((PARTLY,))


def _there(truth: Truth) -> Iterator[tuple[_Key, _States]]:
    """Everything that the tenant has, with the states that would be right."""
    yield from _of_people(truth)
    yield from _of_groups(truth)
    for site in truth["sites"]:
        if not site["personal"]:
            yield from _of_site(truth, site)


def _of_people(truth: Truth) -> Iterator[tuple[_Key, _States]]:
    for user in truth["users"]:
        key, guest = user["id"], "#EXT#" in user["userPrincipalName"]
        yield ("user", key), _COPIED
        if user["mailbox"]:
            broken = any(message["broken"] for message in truth["mailboxes"][key]["messages"])
            yield ("mailbox", f"mailbox:{key}"), _all_but(broken)
        if user["drive_id"]:
            yield ("onedrive", f"drive:{user['drive_id']}"), _drive(truth, user["drive_id"])
        if not guest:
            yield ("chats", f"user:{key}"), _COPIED
        if key in truth["archives"]:
            yield ("archive", f"archive:{key}"), _COPIED


def _of_groups(truth: Truth) -> Iterator[tuple[_Key, _States]]:
    for group in truth["groups"]:
        if group["unified"]:
            yield ("group", group["id"]), _COPIED
            yield ("group-mailbox", f"group:{group['id']}"), _COPIED
            yield ("plans", f"group:{group['id']}"), _all_but(False)
    for team, channels in truth["teams"].items():
        yield ("team", f"team:{team}"), _COPIED
        for channel in channels:  # one that was never opened is empty and cannot be read
            yield ("channel", channel["id"]), _COPIED if channel["messages"] else _ANY
    for plans in truth["planner"].values():
        for plan in plans:
            yield ("plan", f"plan:{plan['id']}"), _all_but(False)


def _of_site(truth: Truth, site: Truth) -> Iterator[tuple[_Key, _States]]:
    """A closed site hides what it has: one row stands for all of its libraries."""
    key, closed = site["id"], frozenset((NOT,))
    lists = [one for one in truth["lists"].get(key, ()) if not (one["hidden"] or one["system"])]
    lacking = {one["id"]: any(row["attachments"] for row in one["items"]) for one in lists}
    pages = truth["pages"].get(key, ())
    yield ("site", key), _COPIED
    yield ("lists", f"site:{key}"), closed if site["closed"] else _all_but(any(lacking.values()))
    unreadable = any(not one["readable"] for one in pages)
    yield ("pages", f"site:{key}"), closed if site["closed"] else _all_but(unreadable)
    if site["closed"]:
        return
    for drive_id in site["libraries"]:
        yield ("library", f"drive:{drive_id}"), _drive(truth, drive_id)
    for list_id, lacks in lacking.items():
        yield ("list", list_id), _all_but(lacks)


def _drive(truth: Truth, drive_id: str) -> _States:
    return _all_but(any(not one["readable"] for one in truth["drives"][drive_id]))


def _all_but(something: bool) -> _States:
    return frozenset((PARTLY if something else PROTECTED,))


# --- The page ---


def _table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(map(_cell, line))} |"


def _totals(said: Truth) -> Iterator[Sequence[Any]]:
    for kind, counts in said["totals"].items():
        yield kind, *(counts[state] or "" for state in _STATES)


def _line(row: Truth) -> Sequence[Any]:
    name = f"**{row['name']}**" if row["kind"] == row["owner"]["kind"] else row["name"]
    why = " ".join(_why(reason) for reason in row["reasons"])
    return row["kind"], name, row["state"], why, _day(row["since"]), _day(row["last"])


def _why(reason: Truth) -> str:
    return f"{reason['about']}: {reason['sentence']}" if reason["about"] else reason["sentence"]


def _day(moment: str | None) -> str:
    return (moment or "")[:16].replace("T", " ")


def _cell(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
