"""What plans, buckets and tasks of Planner are as items, and what the feed's link remembers.

Ids of folders say what they are, "plan:<id>" and "bucket:<id>"; a task's id is its own. A task's
details lie in its object under "details", as Graph gives them where it expands them.

https://learn.microsoft.com/graph/api/resources/plannertask /plannertaskdetails /plannerplan
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from base.item import Change
from m365.seen import Seen, tag

Raw = dict[str, Any]

DETAILS = "details"
ROOT = "planner"
PLAN, BUCKET = "plan:", "bucket:"
_NO_NAME = "(no title)"
_NOTES = ("@odata.context", f"{DETAILS}@odata.context")  # say where an answer came from
_ETAG = "@odata.etag"
_PROGRESS = {0: "not started", 100: "completed"}
_PRIORITIES = ((1, "urgent"), (4, "important"), (7, "medium"), (10, "low"))


@dataclass(slots=True)
class PlanSeen:
    """What is known of one plan: its own tag, when all details were read, buckets and tasks."""

    told: str = ""
    read: str = ""
    refused: bool = False
    entries: Seen = field(default_factory=Seen)


@dataclass(slots=True)
class PlannerSeen:
    """The link of the feed: every plan that was read."""

    plans: dict[str, PlanSeen] = field(default_factory=dict)

    @staticmethod
    def from_link(link: str) -> PlannerSeen:
        plans = json.loads(link)["plans"] if link else {}
        return PlannerSeen(
            {
                key: PlanSeen(one["told"], one["read"], one["refused"], Seen(one["entries"]))
                for key, one in plans.items()
            }
        )

    def link(self) -> str:
        plans = {
            key: {
                "told": one.told,
                "read": one.read,
                "refused": one.refused,
                "entries": one.entries.tags(),
            }
            for key, one in self.plans.items()
        }
        return json.dumps({"plans": plans}, separators=(",", ":"))


def root() -> Change:
    """The folder that holds all plans of a group."""
    return Change(ROOT, "", "folder", "Planner", fingerprint="folder")


def plan_folder(raw: Mapping[str, Any]) -> Change:
    """A plan as the folder of its buckets; its details, where they are known, inside."""
    kept, volatile = _parted(raw)
    return Change(
        id=f"{PLAN}{raw['id']}",
        parent=ROOT,
        kind="folder",
        name=str(raw.get("title") or _NO_NAME),
        raw=kept,
        volatile=volatile,
        row={"role": "plan"},
        fingerprint=f"folder {tag(kept)}",
    )


def bucket_folder(raw: Mapping[str, Any], plan_id: str) -> Change:
    """A bucket as the folder of its tasks."""
    kept, volatile = _parted(raw)
    return Change(
        id=f"{BUCKET}{raw['id']}",
        parent=f"{PLAN}{plan_id}",
        kind="folder",
        name=str(raw.get("name") or _NO_NAME),
        raw=kept,
        volatile=volatile,
        row={"role": "bucket"},
        fingerprint="folder",
    )


def task(raw: Mapping[str, Any], plan_id: str, buckets: Collection[str]) -> Change:
    """A task; below its plan where it lies in no bucket that is known."""
    kept, volatile = _parted(raw)
    bucket = str(raw.get("bucketId") or "")
    return Change(
        id=str(raw["id"]),
        parent=f"{BUCKET}{bucket}" if bucket in buckets else f"{PLAN}{plan_id}",
        kind="planner-task",
        name=str(raw.get("title") or _NO_NAME),
        raw=kept,
        volatile=volatile,
        row={
            "progress": _progress(raw.get("percentComplete")),
            "due": str(raw.get("dueDateTime") or ""),
            "priority": _priority(raw.get("priority")),
            "assigned": len(named(raw.get("assignments"))),
            "steps": raw.get("checklistItemCount") or 0,
        },
        fingerprint=tag(kept) if has_details(raw) else "",
    )


def has_details(raw: Mapping[str, Any]) -> bool:
    return isinstance(raw.get(DETAILS), dict)


def told(raw: Mapping[str, Any]) -> str:
    """The tag of what a list tells of a plan, a bucket or a task, its etag included."""
    return tag({name: value for name, value in raw.items() if name not in _NOTES})


def named(values: Any) -> Raw:
    """The entries of an open type: everything that is no note of the service."""
    if not isinstance(values, dict):
        return {}
    return {k: v for k, v in values.items() if "@odata." not in k and v not in (None, False)}


def _parted(raw: Mapping[str, Any]) -> tuple[Raw, Raw]:
    """The object, and the etags, which change without a meaning."""
    kept = {name: value for name, value in raw.items() if name not in (*_NOTES, _ETAG)}
    volatile: Raw = {_ETAG: raw[_ETAG]} if _ETAG in raw else {}
    if has_details(raw):
        details = dict(raw[DETAILS])
        details.pop("@odata.context", None)
        if _ETAG in details:
            volatile[f"{DETAILS}{_ETAG}"] = details.pop(_ETAG)
        kept[DETAILS] = details
    return kept, volatile


def _progress(percent: Any) -> str:
    if not isinstance(percent, int):
        return ""
    return _PROGRESS.get(percent, "in progress")


def _priority(value: Any) -> str:
    if not isinstance(value, int):
        return ""
    return next((words for limit, words in _PRIORITIES if value <= limit), "low")
