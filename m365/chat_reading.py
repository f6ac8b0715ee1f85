"""What the link of a person's chats remembers: how far a reading of the messages has come.

There is no delta for chats, so a reading asks for what was modified since the newest message that
is known, and at the latest since the reading before it began; less an hour, because messages may
show up late. The service's own times decide, so a clock of ours that is ahead loses nothing. What
was told of that hour already is remembered by marks of a few bytes: a person who writes nothing has
no news.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from base.clock import iso, parse_iso

OVERLAP = timedelta(hours=1)
FULL_EVERY = timedelta(days=30)  # what vanished without a tombstone is only found by reading it all
MARKS_MAX = 1_000  # more than that is told again, which costs a comparison each
_MARK_CHARS = 16
_ALWAYS = 1 << 40  # seconds; what has no time is taken for new

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a person's messages, under way (`begun` is set) or ended."""

    since: str = ""  # modified after this time (ISO); "": everything
    begun: str = ""  # when the reading under way began (ISO)
    at: str = ""  # where its list goes on
    full: str = ""  # when the newest reading of everything began; "": there was none
    export: bool = True  # from the export of all chats, else chat by chat
    opened: bool = False  # its first page was told
    chat: str = ""  # chat by chat: the one that is being read, or with an empty `at` was read
    newest: int = 0  # when the newest known message was modified (seconds since 1970)
    marks: tuple[str, ...] = ()  # what earlier readings told of the time after `since`
    told: tuple[str, ...] = ()  # what this one told of the time that the next one asks for again

    @staticmethod
    def of(link: str, now: datetime) -> Reading:
        """The reading that a link stands for, or a new one behind it."""
        found = Reading.read(link) if link else Reading()
        return found if found.begun else found._next(now)

    @staticmethod
    def read(link: str) -> Reading:
        """What write() wrote."""
        return Reading(**_tuples(json.loads(link)))

    def _next(self, now: datetime) -> Reading:
        if not self.full or now - parse_iso(self.full) >= FULL_EVERY:
            return Reading(begun=iso(now), full=iso(now))
        return replace(self, begun=iso(now))

    @property
    def opens(self) -> bool:
        """Whether its next page is the first one of a reading of everything."""
        return not self.opened and self.reads_everything

    @property
    def reads_everything(self) -> bool:
        return not self.since

    def from_start(self, *, export: bool = True) -> Reading:
        """The same reading from its beginning, its list in the given way."""
        return replace(self, at="", opened=False, chat="", told=(), export=export)

    def has_passed(self, chat_id: str) -> bool:
        """Whether a chat was read, where it goes chat by chat in the order of their ids."""
        return chat_id < self.chat or (chat_id == self.chat and not self.at)

    def knows(self, raw: Raw) -> bool:
        """Whether an earlier reading has told this state of a message."""
        return not self.reads_everything and _mark(raw) in self.marks

    def passed(self, page: Iterable[Raw], at: str, chat: str = "") -> Reading:
        """Behind a page; `at` goes on."""
        listed = list(page)
        times = [time for time in map(_modified, listed) if time != _ALWAYS]
        found = replace(self, at=at, opened=True, chat=chat, newest=max((self.newest, *times)))
        marks = dict.fromkeys((*self.told, *map(_mark, listed)))
        again = [mark for mark in marks if _time_of(mark) >= found._asked_again]
        again.sort(key=_time_of)
        return replace(found, told=tuple(again[-MARKS_MAX:]))

    def ended(self) -> Reading:
        """Behind the last page."""
        since = iso(datetime.fromtimestamp(max(self._asked_again, 0), UTC))
        return Reading(
            since=since, full=self.full, export=self.export, newest=self.newest, marks=self.told
        )

    @property
    def _asked_again(self) -> int:
        """Where the next reading begins (seconds since 1970)."""
        known = min(int(parse_iso(self.begun).timestamp()), self.newest)
        return known - int(OVERLAP.total_seconds())

    def write(self) -> str:
        known = {
            key: value
            for key, value in asdict(self).items()
            if value not in ("", (), False, 0) or key == "export"
        }
        return json.dumps(known, separators=(",", ":"))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}


def _mark(raw: Raw) -> str:
    """Shape: seconds:hash; another one for every state of a message."""
    told = (raw.get("chatId"), raw.get("id"), raw.get("lastModifiedDateTime"), raw.get("etag"))
    digest = hashlib.sha256(repr(told).encode("utf-8", "backslashreplace")).hexdigest()
    return f"{_modified(raw)}:{digest[:_MARK_CHARS]}"


def _time_of(mark: str) -> int:
    return int(mark.partition(":")[0])


def _modified(raw: Raw) -> int:
    try:
        return int(parse_iso(str(raw.get("lastModifiedDateTime"))).timestamp())
    except ValueError:
        return _ALWAYS
