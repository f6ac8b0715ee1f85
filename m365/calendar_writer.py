"""Events restored as what they were: series with every exception and every day that fell out.

Rules
- Nothing is sent: no attendee is named, and an event that has attendees is neither changed nor
  deleted, because Exchange would mail them.
- An event is created whole by JSON, its attachments follow, then exceptions (PATCH of an instance)
  and cancelled days (DELETE of an instance); the last PATCH takes the mark of unfinished work away.
- A request that creates carries a transactionId, so repeating it makes one event.
- The id an event has across calendars cannot be set: a restored one remembers it beside the marker,
  so that a second restore recognizes it.

Facts this file rests on: learn.microsoft.com/graph/api/user-post-events, /api/event-update,
/api/event-list-instances, /api/event-delete (the organizer's deletion sends a cancellation).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace as with_
from typing import Any
from urllib.parse import quote

from base import ids
from base.clock import Clock, SystemClock
from base.item import Cause, StoredItem, StoredPart, Trouble
from m365 import marks
from m365.calendar_body import (
    event_body,
    key_of,
    mark_of,
    same_of,
    with_attendees,
)
from m365.calendar_event import OCCURRENCE
from m365.calendar_folders import CalendarFolders
from m365.calendar_list import ROOT
from m365.calendar_series import SeriesWriter
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import Clash, GraphProblem, ItemGone
from m365.mail_upload import AttachmentWriter
from m365.service import Existing, Folder, Identity, Resource, Written

REQUEST_BYTES_MAX = 3_800_000  # a request may have 4 MB
_COMPARED = "id,iCalUId,subject,start,end,isAllDay,recurrence"
_MARKED = marks.expand(marks.EVENT_MARKER)


class CalendarWriter:
    """Restores into the calendars of one mailbox.

    `list_attendees`: the attendees are written below the text of the event, for people to read.
    """

    keeps_markers = True

    def __init__(
        self,
        writer: GraphWriter,
        resource: Resource,
        clock: Clock | None = None,
        *,
        list_attendees: bool = False,
    ) -> None:
        self._writer = writer
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._folders = CalendarFolders(writer, self._base, self._scope)
        self._attach = AttachmentWriter(
            writer, self._base, self._scope, clock or SystemClock(), items="events"
        )
        self._series = SeriesWriter(writer, self._base, self._scope, self._attach)
        self._list_attendees = list_attendees

    def root(self) -> Folder:
        return Folder(ROOT)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        return self._folders.ensure(into, name, stored)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        return self._folders.original(stored)

    def identity(self, item: StoredItem) -> Identity:
        return Identity(key_of(item.raw), same_of(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        calendar = self._folders.calendar(into, make=False)
        for raw in self._events(calendar) if calendar else ():
            mark, key = mark_of(raw)
            yield marks.existing(raw["id"], key or key_of(raw), same_of(raw), mark)

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        troubles = [
            Trouble(item.id, part, cause, retry=False)
            for part, _, cause in (text.rpartition(": ") for text in item.missing)
        ]
        calendar = self._folders.calendar(into, make=True)
        too_large = _size(item.raw) > REQUEST_BYTES_MAX
        has_more = too_large or bool(item.parts) or self._series.has_work(item)
        key = key_of(item.raw)
        made = self._create(
            item, calendar, f"{marker}{marks.OPEN if has_more else ''} {key}", troubles
        )
        if has_more:
            self._add_files(item, made, too_large, troubles)
            self._series.write(item, made, troubles)
            mark = {"singleValueExtendedProperties": [_mark(f"{marker} {key}")]}
            path = self._event(made)
            self._attach.patiently(lambda: self._writer.patch(path, mark, scope=self._scope))
        if replace is None:
            return Written(made, "copied" if new_name else "created", tuple(troubles))
        if any(trouble.retry for trouble in troubles) or self._would_mail(replace.id):
            troubles.append(Trouble(item.id, "replace", "old-one-kept", retry=False))
            return Written(made, "copied", tuple(troubles))
        self._writer.delete(self._event(replace.id), scope=self._scope)
        return Written(made, "replaced", tuple(troubles))

    def remove(self, item_id: str) -> None:
        if self._would_mail(item_id):
            raise Clash("The event has attendees now; deleting it would mail them.")
        self._writer.delete(self._event(item_id), scope=self._scope)

    def _create(self, item: StoredItem, calendar: str, mark: str, troubles: list[Trouble]) -> str:
        """The id of the new event; a zone the server does not know is given up for UTC."""
        body = self._body(item)
        body["singleValueExtendedProperties"] = [_mark(mark)]
        body["transactionId"] = ids.new_request_id()
        path = f"{self._base}/calendars/{quote(calendar, safe='')}/events"
        try:
            made = self._writer.post(path, body, scope=self._scope, repeatable=True)
        except GraphProblem as problem:
            if "timezone" not in problem.graph_code.lower():
                raise
            body |= event_body(item.raw, in_utc=True)
            made = self._writer.post(path, body, scope=self._scope, repeatable=True)
            troubles.append(Trouble(item.id, "time zone", "not-set", retry=False))
        return str(made["id"])

    def _body(self, item: StoredItem) -> dict[str, Any]:
        body = event_body(item.raw)
        if self._list_attendees:
            body = with_attendees(body, item.raw)
        if _size(item.raw) > REQUEST_BYTES_MAX:
            preview = item.raw.get("bodyPreview") or ""
            body["body"] = {"contentType": "text", "content": preview}
        return body

    def _add_files(
        self, item: StoredItem, event_id: str, too_large: bool, troubles: list[Trouble]
    ) -> None:
        """The attachments of the event itself; those of exceptions follow with them."""
        own = tuple(part for part in item.parts if OCCURRENCE not in part.meta)
        added, noted = self._attach.add_all(event_id, with_(item, parts=own)) if own else (0, [])
        troubles += noted
        if too_large:
            troubles.append(Trouble(item.id, "body", Cause.TOO_LARGE, retry=False))
            meta = {"name": "original text.html", "contentType": "text/html"}
            self._attach.add_file(event_id, meta, _body_part(item))
            added += 1
        if not added:
            return
        present = self._attach.count(event_id)
        if present != added:
            detail = f"{present} of {added}"
            troubles.append(
                Trouble(item.id, "attachments", "attachments-differ", retry=True, detail=detail)
            )

    def _would_mail(self, event_id: str) -> bool:
        """Whether deleting an event would send a cancellation: it is a meeting of this mailbox."""
        params = {"$select": "attendees,isOrganizer"}
        try:
            found = self._writer.get(self._event(event_id), params=params, scope=self._scope)
        except ItemGone:
            return False
        return bool(found.get("attendees")) and found.get("isOrganizer") is not False

    def _events(self, calendar: str) -> Iterator[dict[str, Any]]:
        """What lies in a calendar, with our marker where the target gives it."""
        path = f"{self._base}/calendars/{quote(calendar, safe='')}/events"
        params = {"$select": _COMPARED, "$top": "200"}
        yield from marks.listed(self._writer, path, params, _MARKED, self._scope)

    def _event(self, event_id: str) -> str:
        return f"{self._base}/events/{quote(event_id, safe='')}"


def _mark(value: str) -> dict[str, str]:
    return {"id": marks.EVENT_MARKER, "value": value}


def _size(raw: Mapping[str, Any]) -> int:
    """Bytes of the request that creates the event, nearly all of them its text."""
    return len(json.dumps(raw.get("body") or {}, ensure_ascii=False).encode("utf-8", "replace"))


def _body_part(item: StoredItem) -> StoredPart:
    data = str((item.raw.get("body") or {}).get("content") or "").encode("utf-8", "replace")
    return StoredPart("body", len(data), {}, lambda: iter((data,)))
