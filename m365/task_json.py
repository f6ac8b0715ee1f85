"""A task of To Do as Changes keep it, and the JSON a restored one is created from.

Rules
- A task is whole when checklist and links lie in it, and the list of its files where it says that
  it has some. The feed brings them by $expand; where a tenant ignores that, they are asked for.
- Only named properties pass into a restored task; everything read-only or computed is left out.
- A completed task is created without its recurrence: completing a task of a series makes the next
  one, and a restore makes nothing that was not there.

Facts this file rests on: learn.microsoft.com/graph/api/resources/todotask, /api/todotask-update
(completedDateTime), /api/todotask-post-checklistitems (its dates may be set).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from base.item import Change

STEPS, LINKS, FILES = "checklistItems", "linkedResources", "attachments"
EXTENSION = "Holdfast.Restore"  # the open extension that keeps a restore's marker on a task
_TAILS = ("@odata.context", "@odata.etag", "@odata.count", "@odata.mediaEtag")
_FILE_FACTS = ("id", "name", "size", "lastModifiedDateTime")
_DATES = ("dueDateTime", "reminderDateTime", "startDateTime")
_COMPARED = (
    "title", "body", "categories", "importance", "isReminderOn", "status", "recurrence",
    "completedDateTime", *_DATES,
)  # fmt: skip
_STEP = ("displayName", "isChecked", "createdDateTime", "checkedDateTime")
_LINK = ("applicationName", "displayName", "externalId", "webUrl")


def lacks(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """What has to be asked for before the task is whole: parts of it, or "task" for all of it."""
    if any(name not in raw for name in ("title", "status", "body")):
        return ("task",)
    found = [name for name in (STEPS, LINKS) if not _listed(raw, name)]
    if raw.get("hasAttachments") is not False and not _listed(raw, FILES):
        found.append(FILES)
    return tuple(found)


def task_change(raw: Mapping[str, Any], list_id: str, *, partial: bool = False) -> Change:
    """A task as its feed, or a request for it, gave it."""
    kept = {name: _clean(value) for name, value in raw.items() if not name.endswith(_TAILS)}
    if not partial:  # stored the same whether Graph lists nothing or leaves the list out
        kept = {STEPS: [], LINKS: [], FILES: [], **kept}
    return Change(
        id=raw["id"],
        parent=list_id,
        kind="task",
        name=str(raw.get("title") or ""),
        raw=kept,
        volatile={name: value for name, value in raw.items() if name.endswith(_TAILS)},
        row={} if partial else _row(raw),
        fingerprint="" if partial else _fingerprint(raw),
        partial=partial,
    )


def file_bytes(answer: Mapping[str, Any]) -> bytes | None:
    """The content of an attachment's JSON, which the documentation shows wrapped in "value"; None
    where it is left out or garbled.
    """
    inner = answer.get("value")
    text = (inner if isinstance(inner, dict) else answer).get("contentBytes")
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def task_body(raw: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """What a task is created from: its links and the marker of the restore go with it."""
    body: dict[str, Any] = {"title": raw.get("title") or ""}
    for name in ("categories", "importance", "isReminderOn", "status"):
        if raw.get(name) is not None:
            body[name] = raw[name]
    if (raw.get("body") or {}).get("content"):
        body["body"] = {name: raw["body"].get(name) for name in ("content", "contentType")}
    body |= {name: _moment(raw[name]) for name in _DATES if raw.get(name)}
    if raw.get("status") == "completed":
        if raw.get("completedDateTime"):
            body["completedDateTime"] = _moment(raw["completedDateTime"])
    elif raw.get("recurrence"):
        body["recurrence"] = _clean(raw["recurrence"])
    links = [link_body(one) for one in raw.get(LINKS) or ()]
    if links:
        body[LINKS] = links
    return {**body, "extensions": [extension(mark)]}


def differing(wanted: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a task did not take; of a body and a rule it only counts that they are there."""
    return {
        name: value
        for name, value in wanted.items()
        if name in _COMPARED and _plain(name, value) != _plain(name, answer.get(name))
    }


def _plain(name: str, value: Any) -> Any:
    if name == "recurrence":
        return bool(value)
    if name == "body":
        return bool((value or {}).get("content"))
    if name == "categories":
        return sorted(value or ())
    if name.endswith("DateTime"):
        return moment(value)[: 19 if name == "reminderDateTime" else 10]
    return value


def extension(mark: str) -> dict[str, Any]:
    """The open extension that keeps a marker."""
    return {
        "@odata.type": "microsoft.graph.openTypeExtension",
        "extensionName": EXTENSION,
        "marker": mark,
    }


def step_body(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What an item of a checklist is created from."""
    return {name: stored[name] for name in _STEP if stored.get(name) is not None}


def link_body(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a linked resource is created from."""
    return {name: stored[name] for name in _LINK if stored.get(name) is not None}


def moment(stored: Mapping[str, Any] | None) -> str:
    """A date and time as To Do has it, to the second; "" where there is none."""
    return str((stored or {}).get("dateTime") or "").partition(".")[0]


def _moment(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {"dateTime": stored.get("dateTime"), "timeZone": stored.get("timeZone") or "UTC"}


def _listed(raw: Mapping[str, Any], name: str) -> bool:
    return isinstance(raw.get(name), list) and f"{name}@odata.nextLink" not in raw


def _clean(value: Any) -> Any:
    """Without what OData says of it, at any depth; its type stays."""
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _clean(inner)
        for name, inner in value.items()
        if not name.endswith(_TAILS) and name != "contentBytes"
    }


def _fingerprint(raw: Mapping[str, Any]) -> str:
    """Covers the files: nothing else of a task has to be fetched."""
    files = [[str(one.get(name)) for name in _FILE_FACTS] for one in raw.get(FILES) or ()]
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()[:32]


def _row(raw: Mapping[str, Any]) -> dict[str, Any]:
    due = moment(raw.get("dueDateTime"))
    return {
        "sort": due or "9",
        "status": str(raw.get("status") or ""),
        "due": due and f"{due}Z",
        "importance": str(raw.get("importance") or "normal"),
        "steps": len(raw.get(STEPS) or ()),
        "attachments": len(raw.get(FILES) or ()),
    }
