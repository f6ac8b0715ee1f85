"""What the links of a team's feeds remember between two pages, as JSON text.

Theory of operation. A channel's link is the state of a small machine: `step` says what is asked for
next, `at` where it goes on, `threads` whose replies are read before that. Every page is one request
and leads to the next state, so a round may be cut behind any page and goes on with the next one.

A round of a channel: the list of messages where it is due (whole, with a reset of the feed; or back
to the list before), then the feed of changes, then nothing. The list goes first: what changes while
it is read, the feed behind it tells.

A whole list is due every FULL_EVERY: it finds what retention policies took away for good. Every
BACK_EVERY the list is read back to the one before it: the feed has been seen to miss replies.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from base.clock import iso, parse_iso

LIST, DELTA = "list", "delta"
FULL_EVERY = timedelta(days=30)
BACK_EVERY = timedelta(days=7)
DETAILS_EVERY = timedelta(days=7)
_OVERLAP = timedelta(days=1)  # the list is read so much further back than it has to be

Threads = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TeamLink:
    """When the team was last asked about itself, and what it said."""

    asked: str = ""
    told: str = ""

    @staticmethod
    def read(link: str) -> TeamLink:
        return TeamLink(**json.loads(link)) if link else TeamLink()

    def write(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def is_due(self, now: datetime) -> bool:
        return _is_due(self.asked, now)


@dataclass(frozen=True, slots=True)
class ChannelLink:
    """The state of a channel's feed.

    `listed`, `told`: digests of what the list of channels and the channel itself said, when it was
    `asked`. `due`: an event says that it would say something else now. `elsewhere`: its messages
    are not read here. `unread`: the code for which they could not be read. `whole`, `back`: when
    the list was last read whole, and at all. `delta`: where the feed of changes goes on; `refused`:
    it does not work for this channel. `since`: how far back the list is read; `began`: when.
    `sweeping`: the round began with a reset. `small`: pages were too heavy.
    """

    listed: str = ""
    asked: str = ""
    told: str = ""
    due: bool = False
    elsewhere: bool = False
    unread: str = ""
    whole: str = ""
    back: str = ""
    delta: str = ""
    refused: bool = False
    step: str = ""
    at: str = ""
    threads: Threads = ()
    since: str = ""
    began: str = ""
    sweeping: bool = False
    small: bool = False

    @staticmethod
    def read(link: str) -> ChannelLink:
        kept = json.loads(link) if link else {}
        kept["threads"] = tuple((root, at) for root, at in kept.get("threads", ()))
        return ChannelLink(**kept)

    def write(self) -> str:
        changed = {k: v for k, v in asdict(self).items() if v}
        return json.dumps(changed, separators=(",", ":"))

    @property
    def busy(self) -> bool:
        """Whether a round is under way."""
        return bool(self.step or self.threads)

    def is_due(self, now: datetime) -> bool:
        """Whether the channel is to be asked about itself."""
        return self.due or _is_due(self.asked, now)

    def begun(self, now: datetime) -> ChannelLink:
        """The first state of a round; the very same where one is under way."""
        if self.busy:
            return self
        if not self.whole or now - parse_iso(self.whole) >= FULL_EVERY:
            return self.afresh(now)
        back = parse_iso(self.back)
        if self.refused or now - back >= BACK_EVERY:
            return replace(self, step=LIST, since=iso(back - _OVERLAP), began=iso(now))
        return replace(self, step=DELTA)

    def afresh(self, now: datetime) -> ChannelLink:
        """Everything is listed again, and what is not seen is gone."""
        return replace(
            self, step=LIST, at="", threads=(), since="", began=iso(now), sweeping=True,
            refused=False, unread="",
        )  # fmt: skip

    def forgotten(self, now: datetime) -> ChannelLink:
        """The service no longer knows the link of the feed: it begins from nothing."""
        return replace(self.afresh(now), delta="")

    def smaller(self) -> ChannelLink:
        """The list or feed from its start, in small pages."""
        return replace(self, at="", small=True)

    def list_anew(self) -> ChannelLink:
        """The list from its start: its link is no longer known."""
        return replace(self, at="")

    def without_delta(self, now: datetime) -> ChannelLink:
        """The feed of changes does not work: the list is all there is, and in this round it is
        read, unless it was already.
        """
        refused = replace(self, delta="", at="", refused=True, step="")
        return refused.ended() if self.began else refused.begun(now)

    def list_read(self, at: str, threads: Threads) -> ChannelLink:
        """A page of the list was read; at its end the feed of changes follows."""
        if at:
            return replace(self, at=at, threads=threads)
        whole = self.whole if self.since else self.began
        behind = replace(self, at="", threads=threads, since="", whole=whole, back=self.began)
        return replace(behind, step=DELTA) if not self.refused else behind.ended()

    def delta_read(self, link: str, more: bool, threads: Threads, due: bool) -> ChannelLink:
        """A page of the feed was read."""
        read = replace(self, threads=threads, due=self.due or (due and not self.sweeping))
        return replace(read, at=link) if more else replace(read, delta=link).ended()

    def thread_read(self, at: str, *, anew: bool = False) -> ChannelLink:
        """A page of the replies of the first thread was read; `anew`: they begin again."""
        (root, _), *others = self.threads
        goes_on = ((root, at), *others) if at or anew else tuple(others)
        return replace(self, threads=goes_on).ended_if_done()

    def ended(self) -> ChannelLink:
        """Behind the last page, but for threads that are still to be read."""
        return replace(self, step="", at="").ended_if_done()

    def ended_if_done(self) -> ChannelLink:
        if self.busy:
            return self
        return replace(self, since="", began="", sweeping=False, unread="")

    def given_up(self, code: str) -> ChannelLink:
        """The messages cannot be read for now; the next round begins as this one did."""
        return replace(
            self, step="", at="", threads=(), since="", began="", sweeping=False, unread=code
        )


def _is_due(asked: str, now: datetime) -> bool:
    return not asked or now - parse_iso(asked) >= DETAILS_EVERY
