"""One event at a time: the whole of a series, and the attachments of both.

Rules
- A series is read by one request: the master by its id, with its exceptions and its cancelled days.
- $select is needed for those two, and leaves out what it does not name: so it names every
  documented property and every other one that a list of this mailbox has shown.
- Exceptions have the attachments of their series; only where they differ they are kept again, with
  the occurrence in their meta.

Facts this file rests on: learn.microsoft.com/graph/api/resources/event (cancelledOccurrences,
exceptionOccurrences: "only on $select and $expand, in a GET of the master by its id").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from base.item import Change, Part, Trouble
from m365.calendar_json import (
    CANCELLED,
    EXCEPTIONS,
    KIND,
    NAMES,
    exceptions_with_files,
    is_master,
    notice,
    whole,
)
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import GraphProblem, ItemGone
from m365.mail_attachments import LISTED, AttachmentReader

_ATTACHMENTS = f"attachments($select={LISTED})"
_NOT_PLAIN = frozenset(("attachments", EXCEPTIONS, CANCELLED))
OCCURRENCE = "occurrence"  # in the meta of an attachment: originalStart of the exception it is of

_Raw = dict[str, Any]


class EventReader:
    """Reads events of one mailbox; safe to use from several threads."""

    def __init__(self, reader: GraphReader, base: str, scope: Scope) -> None:
        self._reader = reader
        self._base = f"{base}/events"
        self._scope = scope
        self._files = AttachmentReader(reader, base, scope, items="events")
        self._names = set[str]()  # properties this mailbox shows that NAMES lacks
        self._parents = dict[str, str]()  # event id -> id of the calendar it was named in
        self.expands = True  # until this tenant refuses $expand=attachments

    def notice(self, raw: Mapping[str, Any], calendar_id: str) -> Change:
        """A Change that read() will complete."""
        self._parents[raw["id"]] = calendar_id
        return notice(raw, calendar_id)

    def listed(self, raw: Mapping[str, Any], calendar_id: str, trusts: bool) -> Change:
        """An entry of a list of events: all of a single one, a notice of a series.

        `trusts`: a series that is stored with the same lastModifiedDateTime is not read again.
        """
        self._names.update(key for key in raw if "@" not in key and key not in _NOT_PLAIN)
        if is_master(raw):
            return self.notice(raw if trusts else {"id": raw["id"]}, calendar_id)
        return whole(raw, calendar_id)

    def pages(self, path: str, items: int, where: str = "") -> Iterator[DeltaPage]:
        """The pages of a list of events, with the lists of their attachments where the tenant
        expands them and does not send their bytes along.

        `path`: that of a list, with `where` as its $filter, or a nextLink.
        """
        prefer = {"Prefer": f"odata.maxpagesize={items}"}
        first_page = "?" not in path
        if where:
            path = f"{path}?$filter={quote(where, safe=':')}"
        if first_page and self.expands:
            mark = "&" if where else "?"
            pages = self._first_pages(f"{path}{mark}$expand={_ATTACHMENTS}", prefer)
            if pages is not None:
                yield from pages
                return
        yield from follow(self._reader, path, headers=prefer, scope=self._scope)

    def read(self, event_id: str) -> Change:
        """All of an event or of a series. Raises ItemGone."""
        raw = self._get(event_id)
        while link := raw.pop(f"{EXCEPTIONS}@odata.nextLink", ""):
            body = self._reader.get(link, scope=self._scope)
            raw[EXCEPTIONS] += body.get("value") or []
            raw[f"{EXCEPTIONS}@odata.nextLink"] = body.get("@odata.nextLink") or ""
        if not is_master(raw):
            raw = {key: value for key, value in raw.items() if key not in (EXCEPTIONS, CANCELLED)}
        elif raw.get(EXCEPTIONS):
            raw[EXCEPTIONS] = list(self._whole(raw[EXCEPTIONS]))
        return whole(raw, self._parents.get(event_id) or self._parent(event_id))

    def parts(self, change: Change) -> tuple[list[Part], list[Trouble]]:
        """The attachments of an event and of the exceptions that have others than their series."""
        parts, troubles = self._files.all_of(change)
        for exception in exceptions_with_files(change.raw):
            try:
                own, more = self._own_parts(change, exception)
            except ItemGone:
                continue  # the exception went away; the next round tells
            parts += own
            troubles += more
        return parts, troubles

    def _first_pages(self, link: str, prefer: Mapping[str, str]) -> Iterator[DeltaPage] | None:
        """The expanded pages; None where the tenant does not expand as asked."""
        pages = follow(self._reader, link, headers=prefer, scope=self._scope)
        try:
            first = next(pages)
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            self.expands = False
            return None
        if any(
            "contentBytes" in one for raw in first.value for one in raw.get("attachments") or ()
        ):
            self.expands = False
            return None
        return _chained(first, pages)

    def _get(self, event_id: str) -> _Raw:
        """One event with all that can be had of it; less where the tenant refuses an option."""
        more = sorted(self._names - set(NAMES))
        forms = [(names, files) for names in (more, []) for files in (True, False)]
        forms = [form for form in forms if self.expands or not form[1]]
        for number, (names, files) in enumerate(forms, 1):
            params = {
                "$select": ",".join((*NAMES, *names, CANCELLED, EXCEPTIONS)),
                "$expand": f"{EXCEPTIONS},{_ATTACHMENTS}" if files else EXCEPTIONS,
            }
            try:
                path = f"{self._base}/{quote(event_id, safe='')}"
                found = self._reader.get(path, params=params, scope=self._scope)
            except GraphProblem as problem:
                if problem.status_code != 400 or number == len(forms):
                    raise
                continue
            if not names:
                self._names.clear()
            self.expands = files
            return found
        raise AssertionError("the last form raises or returns")

    def _whole(self, exceptions: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
        """Exceptions as objects, where the service gives no more than their ids."""
        for one in exceptions:
            if isinstance(one, Mapping) and "start" in one:
                yield one
                continue
            key = one.get("id") if isinstance(one, Mapping) else one
            try:
                yield self._reader.get(
                    f"{self._base}/{quote(str(key), safe='')}", scope=self._scope
                )
            except ItemGone:
                continue

    def _parent(self, event_id: str) -> str:
        """The calendar an event lies in, for one that no feed of this step has named."""
        path = f"{self._base}/{quote(event_id, safe='')}/calendar"
        found = self._reader.get(path, params={"$select": "id"}, scope=self._scope)
        return str(found["id"])

    def _own_parts(
        self, change: Change, exception: Mapping[str, Any]
    ) -> tuple[list[Part], list[Trouble]]:
        troubles: list[Trouble] = []
        listed = self._files.listing(exception["id"], troubles)
        if _facts(listed) == _facts(change.raw.get("attachments") or ()):
            return [], []
        raw = {**exception, "attachments": listed}
        parts, more = self._files.all_of(Change(exception["id"], change.id, KIND, raw=raw))
        day = str(exception.get("originalStart") or exception["id"])
        return (
            [replace(part, meta={**part.meta, OCCURRENCE: day}) for part in parts],
            [replace(trouble, item_id=change.id) for trouble in (*troubles, *more)],
        )


def _chained(first: DeltaPage, rest: Iterator[DeltaPage]) -> Iterator[DeltaPage]:
    yield first
    yield from rest


def _facts(files: Any) -> list[tuple[str, str]]:
    return sorted((str(one.get("name")), str(one.get("size"))) for one in files)
