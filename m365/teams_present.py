"""The messages that a channel holds, as a restore into it has to know them.

Rules
- A channel is read from Graph once in a restore, before the restore writes into it, and what was
  read is noted for its later steps: a channel of 20,000 messages is 400 requests, not 400 a batch.
- A step that may go on where another was killed reads the channel itself, and so does one whose
  message clashes with what was noted: nothing that was written unseen is written twice.
- Of a message only that is kept by which it is known again.

https://learn.microsoft.com/graph/api/channel-list-messages
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from base.item import Change
from m365.chat_message import words_of
from m365.graph.client import GraphReader, Scope
from m365.seen import tag
from m365.teams_channel import ChannelReader
from m365.teams_import import moment_of, sender_of
from m365.teams_link import LIST, ChannelLink

MOVES_MAX = 50  # milliseconds by which a message may be later than it was

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Present:
    """One message of a channel. `moment`: when it was sent, in milliseconds since 1970; `words`
    changes with what it says; `root`: id of the message it answers.
    """

    moment: int
    sender: str
    id: str
    root: str = ""
    deleted: bool = False
    words: str = ""

    @staticmethod
    def of(raw: Raw) -> Present:
        """What is kept of a message as Graph sends it."""
        return Present(
            moment_of(raw),
            sender_of(raw),
            str(raw.get("id") or ""),
            str(raw.get("replyToId") or ""),
            bool(raw.get("deletedDateTime")),
            words_tag(raw),
        )

    @property
    def key(self) -> str:
        """What it collides on: Teams lets nobody send two in one millisecond."""
        return f"{self.moment} {self.sender}"


def words_tag(raw: Raw) -> str:
    """Equal for messages that say the same; pictures have other addresses in each."""
    return tag(words_of(raw))


@dataclass(slots=True)
class Held:
    """What a channel holds, by moment. `noted`: as it was when the restore began."""

    at: dict[int, Present] = field(default_factory=dict)
    noted: bool = False
    migrating: bool = False

    @staticmethod
    def of(messages: Iterable[Present]) -> Held:
        """The channel that holds these."""
        return Held({one.moment: one for one in messages})

    @staticmethod
    def read(note: str) -> Held:
        """What write() wrote."""
        return Held({one[0]: Present(*one) for one in json.loads(note)}, noted=True)

    def write(self) -> str:
        """As a note for later steps."""
        return json.dumps([astuple(one) for one in self.at.values()], separators=(",", ":"))

    def same(self, wanted: Present) -> Present | None:
        """The same message, where it is here: left, or written by an attempt before."""
        for moment in range(wanted.moment, wanted.moment + MOVES_MAX):
            found = self.at.get(moment)
            if found is None:
                return None
            if found.deleted or found.sender != wanted.sender:
                continue
            if moment == wanted.moment or found.words == wanted.words:
                return found
        return None

    def root(self, root: str) -> str:
        """The id of the message that replies to a stored one belong below; "" for none. The id of
        a message is its time; what was written for it has that time or one shortly behind.
        """
        start = int(root) if root.isdecimal() else 0
        near = (self.at.get(moment) for moment in range(start, start + MOVES_MAX))
        roots = [one for one in near if one is not None and not one.root and one.id]
        roots.sort(key=lambda one: one.deleted)
        if roots:
            return roots[0].id
        return root if any(one.id == root for one in self.at.values()) else ""


def messages_of(
    reader: GraphReader, scope: Scope, team_id: str, channel_id: str
) -> Iterator[Present]:
    """Every message and reply of a channel as it is now, one request a page."""
    channel = ChannelReader(reader, scope, team_id, channel_id)
    for page in channel.pages(ChannelLink()):
        changes = (one for one in page.entries if isinstance(one, Change))
        yield from (Present.of(one.raw) for one in changes)
        if channel.state.step != LIST and not channel.state.threads:  # the feed tells no more
            return
