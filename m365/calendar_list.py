"""Which calendars a mailbox shows, in which groups, and which of them are its own.

Rules
- Every calendar is asked for by one list; nothing in Graph v1.0 tells what changed in it. The link
  of the feed is a JSON text of ours that remembers what the list said last time.
- A calendar that belongs to somebody else is protected in the mailbox of its owner. Here it is a
  folder that holds nothing and says why (`row["note"]`).
- Groups are only asked for where the list of calendars changed, and once a week.

Theory of operation: the default calendar always belongs to the mailbox, so its owner is whom the
other calendars are compared with. An address may have changed since: what the mailbox may share
(canShare) is its own, and so is a calendar that names no owner.
Folders: a root of ours (Graph has none), the groups below it, the calendars in their groups.

Facts this file rests on: learn.microsoft.com/graph/api/user-list-calendars,
/api/resources/calendar (owner), /api/user-list-calendargroups.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from base.clock import iso, parse_iso
from base.item import Change
from m365.graph.client import BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, ItemGone, ResourceGone

ROOT = "calendars"  # the id and role of the folder above all groups
GROUPS_EVERY = timedelta(days=7)
SHARED = "This calendar belongs to somebody else; it is protected in the mailbox of its owner."
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "@odata.id", "@odata.type", "changeKey"))
_PAGE = {"$top": "100"}

_Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CalendarChanges:
    """What became of the list since the link that was given."""

    changed: tuple[Change, ...]  # groups before the calendars in them
    gone: tuple[str, ...]  # calendars
    gone_groups: tuple[str, ...]
    own: tuple[str, ...]  # ids of all calendars whose events are protected here
    link: str


@dataclass(slots=True)
class _Notes:
    """What the link of the feed remembers."""

    seen: dict[str, str] = field(default_factory=dict)  # folder id -> digest
    group_of: dict[str, str] = field(default_factory=dict)  # calendar id -> id of the folder above
    groups: str = ""  # when groups were read

    @staticmethod
    def read(link: str) -> _Notes:
        stored = json.loads(link) if link else {}
        return _Notes(stored.get("seen", {}), stored.get("group_of", {}), stored.get("groups", ""))

    def write(self) -> str:
        stored = {"seen": self.seen, "group_of": self.group_of, "groups": self.groups}
        return json.dumps(stored, separators=(",", ":"), sort_keys=True)


class CalendarList:
    """Reads the calendars of one mailbox; `base` is its path, "/users/{id}"."""

    def __init__(self, reader: GraphReader, base: str, scope: Scope) -> None:
        self._reader = reader
        self._base = base
        self._scope = scope

    def since(self, link: str, now: datetime) -> CalendarChanges:
        """The changes since `link`; everything where that is "". Raises ResourceGone."""
        before = _Notes.read(link)
        calendars = self.calendars()
        groups = self._groups(before, calendars, now)
        group_of, read_at = before.group_of, before.groups
        folders: dict[str, Change | None] = {ROOT: _root()}
        if groups is None:
            folders |= {key: None for key in before.seen if key not in {ROOT, *group_of}}
        else:
            read_at = iso(now)
            folders |= {key: _group(raw) for key, (raw, _) in groups.items()}
            inside = {one["id"]: one for _, some in groups.values() for one in some}
            calendars = {**inside, **calendars}
            above = {one["id"]: key for key, (_, some) in groups.items() for one in some}
            group_of = {key: above.get(key, ROOT) for key in calendars}
        mine = _owner(calendars)
        for key, raw in calendars.items():
            folders[key] = _calendar(raw, group_of[key], mine)
        seen = {
            key: before.seen[key] if change is None else _digest(change)
            for key, change in folders.items()
        }
        return CalendarChanges(
            changed=tuple(
                change
                for key, change in folders.items()
                if change is not None and before.seen.get(key) != seen[key]
            ),
            gone=tuple(key for key in before.group_of if key not in seen),
            gone_groups=tuple(key for key in before.seen if key not in {*seen, *before.group_of}),
            own=tuple(key for key, raw in calendars.items() if not _is_shared_in(raw, mine)),
            link=_Notes(seen, group_of, read_at).write(),
        )

    def calendars(self) -> dict[str, _Raw]:
        """Every calendar by its id. Raises ResourceGone."""
        path = f"{self._base}/calendars"
        try:
            pages = follow(self._reader, path, _PAGE, scope=self._scope)
            return {raw["id"]: raw for page in pages for raw in page.value}
        except ItemGone as gone:
            raise ResourceGone("The mailbox is not there.", request_id=gone.request_id) from gone

    def own(self) -> list[str]:
        """The ids of the calendars whose events are protected here."""
        calendars = self.calendars()
        mine = _owner(calendars)
        return [key for key, raw in calendars.items() if not _is_shared_in(raw, mine)]

    def _groups(
        self, before: _Notes, calendars: Mapping[str, _Raw], now: datetime
    ) -> dict[str, tuple[_Raw, list[_Raw]]] | None:
        """The groups with their calendars; None where what is remembered will do."""
        fresh = before.groups and now - parse_iso(before.groups) < GROUPS_EVERY
        if fresh and set(calendars) == set(before.group_of):
            return None
        try:
            found = follow(self._reader, f"{self._base}/calendarGroups", _PAGE, scope=self._scope)
            groups = [raw for page in found for raw in page.value]
        except GraphProblem as problem:
            if problem.status_code not in (400, 404, 501):
                raise
            return {}  # a tenant without groups: calendars lie below the root
        requests = [
            BatchRequest(
                f"{self._base}/calendarGroups/{quote(raw['id'], safe='')}/calendars?$top=100"
            )
            for raw in groups
        ]
        answers = self._reader.batch(requests, scope=self._scope) if requests else []
        return {
            raw["id"]: (raw, self._rest(answer.json()) if answer.status == 200 else [])
            for raw, answer in zip(groups, answers, strict=True)
        }

    def _rest(self, body: _Raw) -> list[_Raw]:
        entries = list(body.get("value", ()))
        while link := body.get("@odata.nextLink"):
            body = self._reader.get(link, scope=self._scope)
            entries += body.get("value", ())
        return entries


def _owner(calendars: Mapping[str, _Raw]) -> str:
    """The mailbox's own address: that of the owner of its default calendar; "" where unknown."""
    for raw in calendars.values():
        if raw.get("isDefaultCalendar"):
            return _address(raw)
    return ""


def _is_shared_in(raw: Mapping[str, Any], mine: str) -> bool:
    theirs = _address(raw)
    return bool(mine and theirs) and theirs != mine and raw.get("canShare") is not True


def _address(raw: Mapping[str, Any]) -> str:
    return str((raw.get("owner") or {}).get("address") or "").lower()


def _root() -> Change:
    return Change(
        id=ROOT,
        parent="",
        kind="folder",
        name="Calendars",
        row={"role": ROOT},
        fingerprint="folder",
    )


def _group(raw: _Raw) -> Change:
    return _folder(raw, ROOT, {"role": "group"})


def _calendar(raw: _Raw, group: str, mine: str) -> Change:
    row = {"role": "default" if raw.get("isDefaultCalendar") else "calendar"}
    if raw.get("canEdit") is False:
        row["read_only"] = "yes"
    if _is_shared_in(raw, mine):
        row |= {"role": "shared", "note": SHARED}
    return _folder(raw, group, row)


def _folder(raw: _Raw, parent: str, row: dict[str, Any]) -> Change:
    return Change(
        id=raw["id"],
        parent=parent,
        kind="folder",
        name=raw.get("name") or "",
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row=row,
        fingerprint="folder",
    )


def _digest(change: Change) -> str:
    facts = json.dumps([change.parent, change.raw, change.row], sort_keys=True)
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:12]
