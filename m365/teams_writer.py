"""Messages restored into channels that exist, with the sender and the time they had.

Rules
- Teams takes such messages in migration mode only: it is started before the first message of a
  channel, members see a banner meanwhile, and finish() ends it, whatever became of the restore.
- The channel is dated back to before the messages, for good: nothing older can be written.
- No two messages of a channel have one time. Where another has it (a deleted one keeps it), the
  message is a millisecond or a few later, and the report says so.
- Before anything is written the channel is read: what is there is not written twice, neither what
  people left there nor what an attempt that was killed has written.
- A reply goes below the message it answered: the one with that time, or what was written for it.
- No application can take a message away again: an undo says so.

https://learn.microsoft.com/graph/api/channel-startmigration /channel-completemigration
https://learn.microsoft.com/graph/api/chatmessage-post /chatmessage-post-replies
https://learn.microsoft.com/graph/api/chatmessage-softdelete (delegated only)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from base.clock import iso, parse_iso
from base.item import Cause, StoredItem, Trouble
from m365.chat_message import words_of
from m365.graph.client import GraphWriter
from m365.graph.delta import follow
from m365.graph.errors import Clash, Forbidden, GraphProblem
from m365.service import Existing, Folder, Identity, Resource, Writer, Written
from m365.teams_import import body_of, is_own_work, key_of, moment_of, same_words
from m365.teams_json import Raw, channel_path
from m365.teams_pages import PageWriter
from m365.teams_target import MessagesStay, TargetChannels

MOVED = "time-moved"  # a message has a time of its own now: a millisecond or a few later
_MOVES_MAX = 50  # milliseconds
_IN_PROGRESS = "inProgress"
_REFUSED = (400, 403, 404)  # there is no migration of ours to end
_WITH_REPLIES = {"$top": "50", "$expand": "replies"}


class AnsweredIsMissing(GraphProblem):
    """The message that a reply answered is not in the channel."""

    code: ClassVar[str] = "answered-message-missing"
    hint = "Restore the message that begins the thread as well."


def team_writer(writer: GraphWriter, resource: Resource, *, migration: bool = False) -> Writer:
    """Messages by migration mode where it was asked for; else pages into the channels' files."""
    return MessageWriter(writer, resource) if migration else PageWriter(writer, resource)


@dataclass(slots=True)
class _Channel:
    """A target channel: when its messages were sent (milliseconds), and whether it takes more."""

    at: dict[int, Raw]
    since: str  # when the stored channel was created, "" where nobody knows
    migrating: bool = False


class MessageWriter:
    """Writes messages into the channels of one team."""

    keeps_markers = False

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer = writer
        self._target = TargetChannels(writer, resource)
        self._open: dict[str, _Channel] = {}
        self._since: dict[str, str] = {}

    def root(self) -> Folder:
        return self._target.root()

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        return self._noted(self._target.place(into, name, stored), stored)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        found = self._target.original(stored)
        return self._noted(found, stored) if found else None

    def identity(self, item: StoredItem) -> Identity:
        return Identity(key_of(item.raw), words_of(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        self._open.pop(into.id, None)  # as it is now
        for raw in self._channel(into).at.values():
            if not raw.get("deletedDateTime"):
                yield Existing(str(raw["id"]), key_of(raw), words_of(raw))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        raw = item.raw
        if is_own_work(raw):
            derived = Trouble(item.id, "item", Cause.DERIVED, retry=False)
            return Written("", "skipped", (derived,))
        if raw.get("deletedDateTime"):
            return Written("", "skipped")
        channel = self._channel(into)
        there = _there(channel, raw)
        if there is not None:
            return Written(str(there["id"]), "skipped")
        path = f"{channel_path(self._target.team, into.id)}/messages"
        if raw.get("replyToId"):
            path += f"/{quote(_answered(channel, raw), safe='')}/replies"
        made, troubles = self._sent(item, into, channel, path)
        return Written(str(made["id"]), "created", troubles)

    def remove(self, item_id: str) -> None:
        raise MessagesStay("Applications cannot delete messages of channels.")

    def finish(self) -> None:
        """Ends migration mode in every channel of the team where it is ours; safe to repeat."""
        for channel_id, raw in self._target.listed(anew=True).items():
            if raw.get("migrationMode", _IN_PROGRESS) != _IN_PROGRESS:
                continue
            path = f"{channel_path(self._target.team, channel_id)}/completeMigration"
            try:
                self._writer.post(path, scope=self._target.scope, repeatable=True)
            except GraphProblem as problem:
                if problem.status_code not in _REFUSED:
                    raise

    # --- One message ---

    def _sent(
        self, item: StoredItem, into: Folder, channel: _Channel, path: str
    ) -> tuple[Raw, tuple[Trouble, ...]]:
        """Sends a message under the first free time."""
        wanted = moment_of(item.raw)
        self._migrate(into, channel, wanted)
        for moment in range(wanted, wanted + _MOVES_MAX):
            if moment in channel.at:
                continue
            body, troubles = body_of(item, moment)
            try:
                made = self._post(into, channel, path, body)
            except Clash:  # somebody else has the time, and no list told of it
                channel.at[moment] = {"deletedDateTime": "?"}
                continue
            channel.at[moment] = {**item.raw, "id": made.get("id"), "replyToId": None}
            if item.raw.get("replyToId"):
                channel.at[moment]["replyToId"] = item.raw["replyToId"]
            if moment != wanted:
                troubles += (Trouble(item.id, "item", MOVED, retry=False),)
            return made, troubles
        raise Clash("Every time near that of the message is taken.")

    def _post(self, into: Folder, channel: _Channel, path: str, body: Raw) -> Raw:
        try:
            return self._writer.post(path, body, scope=self._target.scope)
        except Forbidden:
            # The end of another restore of ours may have ended the migration of this one.
            if self._is_migrating(into):
                raise
            channel.migrating = False
            self._migrate(into, channel, moment_of(body))
            return self._writer.post(path, body, scope=self._target.scope)

    # --- Migration mode ---

    def _migrate(self, into: Folder, channel: _Channel, moment: int) -> None:
        """Puts the channel into migration mode, dated back to before what will be written."""
        if channel.migrating:
            return
        path = channel_path(self._target.team, into.id)
        now = self._writer.get(path, scope=self._target.scope)
        if now.get("migrationMode") != _IN_PROGRESS:
            dates = [str(now.get("createdDateTime") or ""), channel.since]
            earliest = min((parse_iso(one) for one in dates if one), default=None)
            first = parse_iso("1970-01-01T00:00:00Z") + timedelta(milliseconds=moment)
            before = min(first, earliest or first) - timedelta(seconds=1)
            body = {"conversationCreationDateTime": iso(before)}
            try:
                self._writer.post(f"{path}/startMigration", body, scope=self._target.scope)
            except GraphProblem as problem:
                # 400 says that it is under way already, as an answer that was lost may have left it
                if problem.status_code != 400 and not self._is_migrating(into):
                    raise
        channel.migrating = True

    def _is_migrating(self, into: Folder) -> bool:
        path = channel_path(self._target.team, into.id)
        found = self._writer.get(path, scope=self._target.scope)
        return found.get("migrationMode") == _IN_PROGRESS

    # --- The channel as it is ---

    def _noted(self, folder: Folder, stored: StoredItem | None) -> Folder:
        if stored is not None and stored.parent:
            self._since[folder.id] = str(stored.raw.get("createdDateTime") or "")
        return folder

    def _channel(self, into: Folder) -> _Channel:
        if into.id not in self._open:
            at: dict[int, Raw] = {}
            for raw in self._messages(into.id):
                at[moment_of(raw)] = raw
            self._open[into.id] = _Channel(at, self._since.get(into.id, ""))
        return self._open[into.id]

    def _messages(self, channel_id: str) -> Iterator[Raw]:
        path = f"{channel_path(self._target.team, channel_id)}/messages"
        scope = self._target.scope
        for page in follow(self._writer, path, _WITH_REPLIES, scope=scope):
            for raw in page.value:
                yield raw
                replies = raw.get("replies")
                yield from ({"replyToId": raw["id"], **one} for one in replies or ())
                link = str(raw.get("replies@odata.nextLink") or "")
                if not isinstance(replies, list):
                    link = f"{path}/{quote(str(raw['id']), safe='')}/replies"
                for more in follow(self._writer, link, scope=scope) if link else ():
                    yield from ({"replyToId": raw["id"], **one} for one in more.value)


def _there(channel: _Channel, raw: Mapping[str, Any]) -> Raw | None:
    """The same message, where it is in the channel: left there, or written by an attempt before."""
    wanted = moment_of(raw)
    for moment in range(wanted, wanted + _MOVES_MAX):
        found = channel.at.get(moment)
        if found is None:
            return None
        if found.get("deletedDateTime"):
            continue
        same_sender = key_of(found).partition(" ")[2] == key_of(raw).partition(" ")[2]
        if same_sender and (moment == wanted or same_words(found, raw)):
            return found
    return None


def _answered(channel: _Channel, raw: Mapping[str, Any]) -> str:
    """The id of the message below which a reply belongs.

    That of the original is its time; what was written for it has that time or one shortly behind.
    """
    root = str(raw["replyToId"])
    start = int(root) if root.isdigit() else 0
    deleted = ""
    for moment in range(start, start + _MOVES_MAX):
        found = channel.at.get(moment)
        if found is None or found.get("replyToId"):
            continue
        if not found.get("deletedDateTime"):
            return str(found["id"])
        deleted = deleted or str(found.get("id") or "")
    if deleted:
        return deleted
    by_id = next((one for one in channel.at.values() if str(one.get("id")) == root), None)
    if by_id is None:
        raise AnsweredIsMissing("The message that the reply answered is not in the channel.")
    return root
