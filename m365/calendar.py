"""Calendar: every event of every own calendar of a mailbox, a series with all its exceptions.

Rules
- Feeds: "calendars" (see calendar_list.py) and "calendar:<id>" (the events of one calendar, see
  calendar_link.py). A calendar's feed is announced before the page that names the calendar.
- The delta over a window only notices changes cheaply. That nothing outside of the window is
  missed is the full pass: at first, every seven days, and whenever the service forgot the window.
- An occurrence is never asked for: it names its series, and a changed series is read once.
- Pages of single events are whole; a series costs one request when it changed, an event with
  attachments that the delta names costs one for their list.
- No permission beyond Calendars.Read, nothing of beta, and no answer is ever sent to an invitation.

Theory of operation. Graph keeps what differs in a series inside its master, so whatever happens to
an occurrence changes the master's lastModifiedDateTime ([MS-OXOCAL] 2.2.1.44). The delta names
changed occurrences with their master; a removed one only by its own id, which tells nothing, and
nothing outside of the window. So where it names anything, the events changed since the last round
are listed as well: one request for a calendar that has news, none for one that has not.

Facts this file rests on: learn.microsoft.com/graph/api/event-delta (takes a window and no other
option), /delta-query-events, /api/resources/event (exceptionOccurrences, cancelledOccurrences).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.calendar_event import EventReader
from m365.calendar_json import is_master, may_have_files, whole
from m365.calendar_link import CHANGES, LIST, WINDOW, CalendarLink
from m365.calendar_list import CalendarList
from m365.calendar_writer import CalendarWriter
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    AnswerTooLarge,
    Forbidden,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResyncNeeded,
    TransientFailure,
)
from m365.service import Column, LiveCount, Resource, Service

PAGE_ITEMS = 200  # events with bodies in one answer; the wire halves it after a first 504
PAGE_ITEMS_SMALL = 20  # where a later page was too heavy: a nextLink keeps its size
OCCURRENCES = 500  # entries of the window's feed in one answer, mostly occurrences, which are small
_NOT_COUNTED = (400, 404, 501)
_LIST_PART, _PART = "calendars", "calendar:"
_WHOLE = ("subject", "body", "start", "lastModifiedDateTime")  # a piece lacks one of them


class CalendarSource:
    """Reads the calendars of one mailbox; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._list = CalendarList(reader, self._base, self._scope)
        self._events = EventReader(reader, self._base, self._scope)
        self._refused = dict[str, Forbidden]()  # calendars that answered so in this step

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if _LIST_PART not in finished:
            for page in self._calendars(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        feeds.pop(_LIST_PART, None)
        failed: TransientFailure | None = None
        for part, link in feeds.items():
            if part not in finished:
                try:
                    yield from self._calendar(part, CalendarLink.read(link))
                except TransientFailure as problem:
                    failed = failed or problem  # one bad calendar does not keep the others away
                except Forbidden as problem:
                    self._refused[part.removeprefix(_PART)] = problem
        if len(self._refused) == len(feeds) and self._refused:
            raise next(iter(self._refused.values()))  # not a calendar, but the service is refused
        for key in self._refused:
            yield FeedPage(f"{_PART}{key}", (_notice(key),), "", more=False)
        if failed is not None:
            raise failed

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        return ([], []) if change.kind == "folder" else self._events.parts(change)

    def complete(self, item_id: str) -> Change:
        if item_id in self._refused:
            raise self._refused[item_id]  # a row of the ledger, tried again in the next run
        try:
            return self._events.read(item_id)
        except GraphProblem as problem:
            if problem.status_code == 400 and self._is_calendar(item_id):
                raise ItemGone("A calendar that refused is read by its feed again.") from problem
            raise

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        if change.kind == "folder":
            return self.complete(change.id)
        told = change.raw.get("lastModifiedDateTime")
        if told and told == raw.get("lastModifiedDateTime"):
            return whole({**raw, **change.volatile}, change.parent)
        return self._events.read(change.id)

    def counts(self) -> Iterator[LiveCount]:
        for key in self._list.own():
            path = f"{self._base}/calendars/{quote(key, safe='')}/events/$count"
            try:
                count = self._reader.get_raw(path, scope=self._scope).decode("utf-8-sig")
            except GraphProblem as problem:
                if problem.status_code in _NOT_COUNTED:
                    continue  # it went away just now, or this tenant does not count calendars
                raise
            yield LiveCount(f"calendar:{key}", key, int(count))

    def _calendars(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the feeds of new calendars, then the changes of the list in one page."""
        now = self._reader.clock.now()
        found = self._list.since(links.get(_LIST_PART, ""), now)
        parts = [f"{_PART}{key}" for key in found.own]
        for part in parts:
            if not links.get(part):  # a new one, or one whose counts differ
                yield FeedPage(part, (), CalendarLink.fresh(now).write(), more=True)
        lost = tuple(part for part in links if part != _LIST_PART and part not in parts)
        gone = dict.fromkeys((*found.gone, *(part.removeprefix(_PART) for part in lost)))
        if gone:  # first, for a calendar that is no longer an own one comes again as a shared one
            entries = tuple(Gone(key) for key in gone)
            before = links[_LIST_PART]
            yield FeedPage(_LIST_PART, entries, before, more=True, dropped_parts=lost)
        groups = (Gone(key) for key in found.gone_groups)  # last: their calendars moved out of them
        yield FeedPage(_LIST_PART, (*found.changed, *groups), found.link, more=False)

    def _calendar(self, part: str, link: CalendarLink) -> Iterator[FeedPage]:
        try:
            yield from self._follow(part, link)
        except (ResyncNeeded, GatewayTimeout, AnswerTooLarge) as problem:
            self._events.expands &= not isinstance(problem, AnswerTooLarge)
            whole_pages = isinstance(problem, ResyncNeeded)
            fresh = CalendarLink.fresh(self._reader.clock.now(), whole=whole_pages)
            yield FeedPage(part, (), fresh.write(), more=True)
            yield from self._follow(part, fresh)
        except ItemGone:
            calendar_id = part.removeprefix(_PART)
            if self._exists(calendar_id):
                raise  # not the calendar: a feed must not end because of one odd answer
            yield FeedPage(part, (Gone(calendar_id),), "", more=False, dropped_parts=(part,))

    def _follow(self, part: str, link: CalendarLink) -> Iterator[FeedPage]:
        """All phases that are left of a round."""
        now = self._reader.clock.now()
        if link.phase == CHANGES and link.is_stale(now):
            link = CalendarLink.fresh(now, whole=link.whole)
        if link.phase == CHANGES:
            follows = self._changed(part, link.begins(now), now)
        elif link.phase == WINDOW:
            follows = self._window(part, link)
        else:
            follows = self._listed(part, link)
        for page in follows:
            link = CalendarLink.read(page.link)
            yield page
        if link.phase == LIST:
            yield from self._listed(part, link)

    def _window(self, part: str, link: CalendarLink) -> Iterator[FeedPage]:
        """The first round of a window; nothing of it is looked at: see calendar_link.py."""
        path = (
            f"{self._base}/calendars/{quote(part.removeprefix(_PART), safe='')}/calendarView/delta"
        )
        path += f"?startDateTime={link.begin}&endDateTime={link.end}"
        for page in self._pages(link.at or path, link):
            link = replace(link, at=page.link, phase=WINDOW if page.more else LIST)
            yield FeedPage(part, (), link.write(), more=True)

    def _changed(self, part: str, link: CalendarLink, now: datetime) -> Iterator[FeedPage]:
        """What the window's feed names since the last round."""
        calendar_id = part.removeprefix(_PART)
        told: set[str] = set()  # ids named in this step already
        for page in self._pages(link.at, link):
            entries = list(self._named(page.value, calendar_id, told))
            news = link.news or bool(entries)
            if page.more:
                link = replace(link, at=page.link, news=news)
                yield FeedPage(part, tuple(entries), link.write(), more=True)
                continue
            if news:
                entries += self._modified(calendar_id, link.since(), told)
            link = link.ended(page.link, now)
            yield FeedPage(part, tuple(entries), link.write(), more=link.phase == LIST)

    def _named(
        self, values: list[dict[str, Any]], calendar_id: str, told: set[str]
    ) -> Iterator[Change | Gone]:
        """Entries of the window's feed: of a series its master, whatever was named of it."""
        for raw in values:
            if "@removed" in raw:  # an event, or an occurrence, which nobody holds
                yield Gone(raw["id"], parent=calendar_id)
            elif raw.get("seriesMasterId") or is_master(raw):
                master = str(raw.get("seriesMasterId") or raw["id"])
                if master not in told:
                    told.add(master)
                    yield self._events.notice({"id": master}, calendar_id)
            else:
                told.add(raw["id"])
                if may_have_files(raw) or any(name not in raw for name in _WHOLE):
                    yield self._events.notice({"id": raw["id"]}, calendar_id)
                else:
                    yield whole(raw, calendar_id)

    def _modified(self, calendar_id: str, since: str, told: set[str]) -> Iterator[Change]:
        """What changed since then and was not named: see the theory of operation."""
        path = f"{self._base}/calendars/{quote(calendar_id, safe='')}/events"
        for page in self._events.pages(path, PAGE_ITEMS, f"lastModifiedDateTime ge {since}"):
            for raw in page.value:
                if raw["id"] not in told:
                    told.add(raw["id"])
                    yield self._events.listed(raw, calendar_id, trusts=False)

    def _listed(self, part: str, link: CalendarLink) -> Iterator[FeedPage]:
        """Every event of the calendar; what is not seen until the end is gone."""
        calendar_id = part.removeprefix(_PART)
        if not link.list_at:
            yield FeedPage(part, (), link.write(), more=True, reset=True, scope=calendar_id)
        path = f"{self._base}/calendars/{quote(calendar_id, safe='')}/events"
        for page in self._events.pages(
            link.list_at or path, PAGE_ITEMS if link.whole else PAGE_ITEMS_SMALL
        ):
            entries = tuple(
                self._events.listed(raw, calendar_id, link.trusts) for raw in page.value
            )
            link = replace(link, list_at=page.link) if page.more else link.listed()
            yield FeedPage(part, entries, link.write(), page.more)

    def _pages(self, path: str, link: CalendarLink) -> Iterator[DeltaPage]:
        size = OCCURRENCES if link.whole else PAGE_ITEMS_SMALL
        prefer = {"Prefer": f"odata.maxpagesize={size}"}
        return follow(self._reader, path, headers=prefer, scope=self._scope)

    def _is_calendar(self, item_id: str) -> bool:
        try:
            return self._exists(item_id)
        except GraphProblem:
            return False

    def _exists(self, calendar_id: str) -> bool:
        path = f"{self._base}/calendars/{quote(calendar_id, safe='')}"
        try:
            self._reader.get(path, params={"$select": "id"}, scope=self._scope)
        except ItemGone:
            return False
        return True


def _notice(calendar_id: str) -> Change:
    """A Change that the ledger is to say why there is none of."""
    return Change(calendar_id, "", "folder", raw={"id": calendar_id}, partial=True)


SERVICE = Service(
    name="calendar",
    title="Calendar",
    resource_kind="mailbox",
    item_kind="event",
    reads=("Calendars.Read",),
    writes=("Calendars.ReadWrite",),
    columns=(
        Column("start", "Start", "datetime"),
        Column("end", "End", "datetime"),
        Column("organizer", "Organizer", "address"),
        Column("series", "Repeats", "flag"),
        Column("attachments", "Attachments", "count"),
    ),
    source=CalendarSource,
    writer=CalendarWriter,
    options={"list_attendees": "Write who attended below the text of each event; nobody is mailed"},
    not_captured=(
        "Calendars that somebody else shared: they are protected in the mailbox of their owner.",
        "With whom a calendar is shared: no application may read it.",
        "Calendars of groups: Graph shows an application a window of them only.",
        "What other programs attach to an event as extended properties or open extensions.",
    ),
    not_restorable=(
        "Attendees are kept in the backup and not put back: Graph would invite every one of them.",
        "The link of an online meeting is not made anew; it stays in the text of the event.",
        "The mailbox becomes the organizer of what it had only accepted; answers do not come back.",
        "Calendars that others share with this mailbox are restored in the mailbox of their owner.",
    ),
)
