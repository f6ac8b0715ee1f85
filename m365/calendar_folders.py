"""Where restored events go: groups and calendars of the target, found or made.

Rules
- Graph knows two levels: groups, and calendars in them. A restore's own folder is a group; a group
  inside of it is no level of its own, its name goes in front of those of its calendars.
- A calendar is never made twice, and never taken for one of the same name in another group.
- Calendars that were shared with the mailbox are not made: their events lie with their owner.
- A read-only calendar (birthdays, holidays) takes nothing: a calendar of its name is made beside.

Facts this file rests on: learn.microsoft.com/graph/api/calendargroup-post-calendars; names are
unique among the calendars of a mailbox (409 ErrorFolderExists).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from base.item import StoredItem
from m365.calendar_list import ROOT
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, GraphProblem, MaybeDone
from m365.service import Folder

_GROUP = "group:"
_MY_CALENDARS = "0006f0b7-0000-0000-c000-000000000046"  # class id of the group everybody has
_NAMES_MAX = 20  # tries for a name that is not taken
_PAGE = {"$top": "100"}


class CalendarFolders:
    """Groups and calendars of one mailbox; `base` is its path, "/users/{id}"."""

    def __init__(self, writer: GraphWriter, base: str, scope: Scope) -> None:
        self._writer = writer
        self._base = base
        self._scope = scope
        self._default = ""

    def ensure(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        """The group or calendar of that name, made if missing."""
        name = name if name.strip() else "(no name)"
        role = str(stored.row.get("role") or "") if stored is not None else ""
        path = (*into.path, name)
        if role == "shared":
            return Folder(into.id, into.path)
        if role in ("default", "calendar"):
            color = str((stored.raw if stored else {}).get("color") or "auto")
            return Folder(self._calendar_in(into, name, color), path)
        if into.id.startswith(_GROUP):
            mine = stored is not None and stored.raw.get("classId") == _MY_CALENDARS
            return Folder(into.id, into.path if mine else path)
        if into.id != ROOT:
            return Folder(into.id, into.path)  # nothing lies inside a calendar
        return Folder(_GROUP + self._group(name), path)

    def original(self, stored: StoredItem) -> Folder | None:
        """The folder itself where it still exists in the target and can be written to."""
        role = str(stored.row.get("role") or "")
        if not stored.parent or role == ROOT:
            return Folder(ROOT)
        if role == "shared":
            return Folder(ROOT)
        if role == "default":
            return Folder(self.default(), (stored.name,))
        kind = "calendarGroups" if role == "group" else "calendars"
        path = f"{self._base}/{kind}/{quote(stored.id, safe='')}"
        try:
            found = self._writer.get(path, scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code not in (400, 404):
                raise
            return None
        if found.get("canEdit") is False:
            return None
        return Folder(_GROUP + stored.id if role == "group" else stored.id, (stored.name,))

    def calendar(self, into: Folder, *, make: bool) -> str:
        """The calendar that events of a folder lie in; "" where there is none and none is made."""
        if into.id == ROOT:
            return self.default()
        if not into.id.startswith(_GROUP):
            return into.id
        name = into.path[-1] if into.path else "Calendar"
        if make:
            return self._calendar_in(into, name, "auto")
        return self._named(self._calendars(into), _names(into, name))

    def default(self) -> str:
        """The id of the calendar that events go to when nothing else is said."""
        if not self._default:
            path = f"{self._base}/calendar"
            found = self._writer.get(path, params={"$select": "id"}, scope=self._scope)
            self._default = str(found["id"])
        return self._default

    def _group(self, name: str) -> str:
        path = f"{self._base}/calendarGroups"
        found = self._named(self._all(path), [name])
        if found:
            return found
        try:
            return str(self._writer.post(path, {"name": name}, scope=self._scope)["id"])
        except (Clash, MaybeDone):
            found = self._named(self._all(path), [name])
            if not found:
                raise
            return found

    def _calendar_in(self, into: Folder, name: str, color: str) -> str:
        """The calendar in a group, under the first of its possible names that nobody else has."""
        names = _names(into, name)
        found = self._named(self._calendars(into), names)
        if found:
            return found
        for at, one in enumerate(names, 1):
            body = {"name": one} | ({} if color == "auto" else {"color": color})
            try:
                return str(self._writer.post(self._path(into), body, scope=self._scope)["id"])
            except (Clash, MaybeDone):
                found = self._named(self._calendars(into), names)
                if found:
                    return found
                if at == len(names):
                    raise
        raise AssertionError("the last name returns or raises")

    def _calendars(self, into: Folder) -> Iterator[dict[str, Any]]:
        return (raw for raw in self._all(self._path(into)) if raw.get("canEdit") is not False)

    def _path(self, into: Folder) -> str:
        if into.id == ROOT:
            return f"{self._base}/calendars"
        return (
            f"{self._base}/calendarGroups/{quote(into.id.removeprefix(_GROUP), safe='')}/calendars"
        )

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        for page in follow(self._writer, path, _PAGE, scope=self._scope):
            yield from page.value

    @staticmethod
    def _named(found: Iterator[dict[str, Any]], names: list[str]) -> str:
        """The id of the first entry that has one of the names; earlier names go first."""
        by_name = {str(raw.get("name") or "").casefold(): str(raw["id"]) for raw in found}
        return next((by_name[one.casefold()] for one in names if one.casefold() in by_name), "")


def _names(into: Folder, name: str) -> list[str]:
    """What a calendar may be called: its name with the groups between, then the same with more."""
    inner = " / ".join((*into.path[1:], name))
    if into.path and inner == into.path[0]:
        return [inner, *(f"{inner} {number}" for number in range(2, _NAMES_MAX))]
    group = into.path[0] if into.path else "restored"
    tails = [group, *(f"{group} {number}" for number in range(2, _NAMES_MAX))]
    return [inner, *(f"{inner} ({tail})" for tail in tails)]
