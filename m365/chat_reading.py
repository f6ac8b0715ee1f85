"""What the link of a person's chats remembers: how far a reading of the messages has come.

There is no delta for chats, so a reading asks for what was modified since the one before began,
less an hour: messages may show up late, and clocks differ. What was read within that hour already
is remembered by a mark of a few bytes, so that a person who writes nothing has no news.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from base.clock import iso, parse_iso

OVERLAP = timedelta(hours=1)
FULL_EVERY = timedelta(days=30)  # what vanished without a tombstone is only found by reading it all
MARKS_MAX = 500  # more than that is told again, which costs a comparison each
_MARK_CHARS = 16

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
        again = iso(parse_iso(self.begun) - OVERLAP)
        new = [_mark(raw) for raw in page if _modified(raw) >= again]
        told = tuple(dict.fromkeys((*self.told, *new)))[-MARKS_MAX:]
        return replace(self, at=at, opened=True, chat=chat, told=told)

    def ended(self) -> Reading:
        """Behind the last page."""
        since = iso(parse_iso(self.begun) - OVERLAP)
        return Reading(since=since, full=self.full, export=self.export, marks=self.told)

    def write(self) -> str:
        known = {
            key: value
            for key, value in asdict(self).items()
            if value not in ("", (), False) or key == "export"
        }
        return json.dumps(known, separators=(",", ":"))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}


def _mark(raw: Raw) -> str:
    told = (raw.get("chatId"), raw.get("id"), raw.get("lastModifiedDateTime"), raw.get("etag"))
    return hashlib.sha256(repr(told).encode("utf-8", "backslashreplace")).hexdigest()[:_MARK_CHARS]


def _modified(raw: Raw) -> str:
    """Comparable with iso(); what has no time is taken for new."""
    return str(raw.get("lastModifiedDateTime") or "9")
