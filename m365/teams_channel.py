"""Reads the messages of one channel, page after page, from one state of its link to the next.

Rules
- One page of the answer is one page of the feed, with its replies: expanded ones at once; where
  there are more, or none were expanded, the thread is read behind the page.
- The first page of a whole list carries the reset.
- A lost link leads to a whole list and a feed from nothing; a feed that is refused otherwise, to
  the list alone (a feed without messages has been seen to answer 400 to its own link).
- The list of messages tells no order: it is read back to a moment by whole pages, and what it
  misses is found by the next whole list.

https://learn.microsoft.com/graph/api/channel-list-messages /chatmessage-list-replies
https://learn.microsoft.com/graph/api/chatmessage-delta
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from base.clock import parse_iso
from base.item import Change, FeedPage, Gone
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    AnswerTooLarge,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResourceGone,
    ResyncNeeded,
    TransientFailure,
)
from m365.teams_json import change_of, channel_path, item_id, part_of
from m365.teams_link import DELTA, LIST, ChannelLink, Threads

TOP, TOP_SMALL = "50", "5"
_REFUSED = 400
_EVENT = "eventDetail"
_WITH_REPLIES = {"$expand": "replies"}


Entries = tuple[Change | Gone, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """One answer: the changes in it, and threads to be read behind it."""

    changes: Entries
    threads: Threads
    told_event: bool
    newest: str  # when anything in it was last changed; "" where nobody knows


class ChannelReader:
    """Follows the feed of one channel."""

    def __init__(self, reader: GraphReader, scope: Scope, team_id: str, channel_id: str) -> None:
        self._reader, self._scope = reader, scope
        self._channel = channel_id
        self._part = part_of(channel_id)
        self._path = f"{channel_path(team_id, channel_id)}/messages"
        self._seen: set[int] = set()  # links that led on, of the list or feed
        self._seen_replies: set[int] = set()  # the same of one thread
        self._anew = False  # a list whose link was lost was begun again
        self.state = ChannelLink()

    def pages(self, link: ChannelLink) -> Iterator[FeedPage]:
        """The pages of a round, or what is left of it; `state` is behind the last that was read."""
        now = self._reader.clock.now()
        begins = not link.busy
        self.state = link.begun(now)
        reset = begins and self.state.sweeping
        while True:
            changes: Entries = ()
            try:
                changes, self.state = self._step()
            except GraphProblem as problem:
                reset = self._recover(problem, now) or reset
            page = FeedPage(self._part, changes, self.state.write(), self.state.busy)
            yield replace(page, reset=True, scope=self._channel) if reset else page
            reset = False
            if not page.more:
                return

    def _recover(self, problem: GraphProblem, now: datetime) -> bool:
        """Another way to go on, once each; whether it begins with a reset. Raises what it was given
        where there is none.
        """
        state = self.state
        large = isinstance(problem, AnswerTooLarge)
        heavy = large or isinstance(problem, GatewayTimeout)
        forgot = isinstance(problem, ResyncNeeded)
        refused = type(problem) is GraphProblem and problem.status_code == _REFUSED
        at = state.threads[0][1] if state.threads else state.at
        if heavy and not state.threads and not state.small:
            token = state.step == DELTA and (at or state.delta)
            if token and not large:
                raise problem  # the page size is in the link; the next run tries again
            self.state = state.forgotten(now).smaller() if token else state.smaller()
        elif not (forgot or refused):
            raise problem
        elif state.threads or state.step == LIST:
            if not at or self._anew:
                raise problem
            self._anew = True
            self.state = state.thread_read("", anew=True) if state.threads else state.list_anew()
        elif forgot and (at or state.delta):
            self.state = state.forgotten(now)
        else:
            self.state = state.without_delta(now)
        self._seen.clear()
        self._seen_replies.clear()
        return self.state.sweeping and not state.sweeping

    def _step(self) -> tuple[Entries, ChannelLink]:
        """Asks for the next page: its changes, and the state behind it."""
        state = self.state
        if state.threads:
            return self._thread(state)
        return self._delta(state) if state.step == DELTA else self._list(state)

    def _thread(self, state: ChannelLink) -> tuple[Entries, ChannelLink]:
        root, at = state.threads[0]
        try:
            path = f"{self._path}/{quote(root, safe='')}/replies"
            page = self._page(at or path, {"$top": TOP}, self._seen_replies)
        except (ItemGone, ResourceGone):  # with the message; a whole list will miss it
            return (), state.thread_read("")
        replies = (_reply(raw, root) for raw in page.value if raw.get("id"))
        changes = tuple(change_of(self._channel, raw) for raw in replies)
        if not page.more:
            self._seen_replies.clear()
        return changes, state.thread_read(page.link if page.more else "")

    def _list(self, state: ChannelLink) -> tuple[Entries, ChannelLink]:
        options = {"$top": TOP_SMALL if state.small else TOP, **_WITH_REPLIES}
        page = self._page(state.at or self._path, options, self._seen)
        read = self._read(page, state.since)
        on = page.link if page.more and not _is_older(read, state.since) else ""
        return read.changes, state.list_read(on, read.threads)

    def _delta(self, state: ChannelLink) -> tuple[Entries, ChannelLink]:
        link = state.at or state.delta or f"{self._path}/delta"
        options = {"$top": TOP_SMALL if state.small else TOP, **_WITH_REPLIES}
        page = self._page(link, options, self._seen)
        read = self._read(page)
        following = state.delta_read(page.link, page.more, read.threads, read.told_event)
        return read.changes, following

    def _page(self, link: str, options: Mapping[str, str], seen: set[int]) -> DeltaPage:
        first = link.startswith("/")
        page = next(follow(self._reader, link, options if first else None, scope=self._scope))
        if page.more and hash(page.link) in seen:
            raise TransientFailure("A list led back to a page that was read already.")
        seen.add(hash(page.link))
        return page

    def _read(self, page: DeltaPage, since: str = "") -> _Read:
        """What a page says, without messages that were last changed before `since`."""
        changes: list[Change | Gone] = []
        threads: list[tuple[str, str]] = []
        events, times = False, []
        for raw in page.value:
            if not raw.get("id"):
                continue
            if "@removed" in raw:  # as other feeds say it
                changes.append(Gone(item_id(self._channel, raw)))
                continue
            replies = raw.get("replies")
            told = [one for one in replies if one.get("id")] if isinstance(replies, list) else []
            at = str(raw.get("replies@odata.nextLink") or "")
            if not raw.get("replyToId") and (at or not isinstance(replies, list)):
                if at:
                    self._reader.place.graph_link(at)  # no foreign link is ever kept
                threads.append((str(raw["id"]), at))
            for one in (raw, *(_reply(one, raw["id"]) for one in told)):
                events = events or bool(one.get(_EVENT))
                times.append(_changed_at(one))
                if not _is_before(times[-1], since):
                    changes.append(change_of(self._channel, one))
        newest = max(times, default="") if all(times) else ""
        return _Read(tuple(changes), tuple(threads), events, newest)


def _reply(raw: Mapping[str, Any], root: str) -> dict[str, Any]:
    """A reply that says what it answers, also where the answer left that out or empty."""
    return {**raw, "replyToId": raw.get("replyToId") or root}


def _changed_at(raw: Mapping[str, Any]) -> str:
    return str(raw.get("lastModifiedDateTime") or raw.get("createdDateTime") or "")


def _is_older(read: _Read, since: str) -> bool:
    """Whether all of a page was last changed before a moment."""
    return not read.threads and _is_before(read.newest, since)


def _is_before(changed: str, since: str) -> bool:
    try:
        return bool(since and changed) and parse_iso(changed) < parse_iso(since)
    except ValueError:  # a time that makes no sense is none
        return False
