"""Messages restored into channels that exist, with the sender and the time they had.

Rules
- Teams takes such messages in migration mode only: it is started before the first message of a
  channel, members see a banner meanwhile, and finish() ends it, whatever became of the restore.
- The channel is dated back to before the messages, for good: nothing older can be written.
- No two messages of a channel have one time. Where another has it (a deleted one keeps it), the
  message is a millisecond or a few later, and the report says so.
- Before anything is written the channel is read (teams_present.py): what is there is not written
  twice, neither what people left there nor what an attempt that was killed has written.
- A reply goes below the message it answered: the one with that time, or what was written for it.
- No application can take a message away again: an undo says so.

https://learn.microsoft.com/graph/api/channel-startmigration /channel-completemigration
https://learn.microsoft.com/graph/api/chatmessage-post /chatmessage-post-replies
https://learn.microsoft.com/graph/api/chatmessage-softdelete (delegated only)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as _replaced
from datetime import timedelta
from typing import ClassVar
from urllib.parse import quote

from base.clock import iso, parse_iso
from base.item import Cause, StoredItem, Trouble
from m365.graph.client import GraphWriter
from m365.graph.errors import Clash, Forbidden, GraphProblem
from m365.service import Existing, Folder, Identity, Resource, Step, Writer, Written
from m365.teams_import import body_of, is_own_work, moment_of, sender_of
from m365.teams_json import Raw, channel_path
from m365.teams_pages import PageWriter
from m365.teams_present import MOVES_MAX, Held, Present, messages_of
from m365.teams_target import MessagesStay, TargetChannels

MOVED = "time-moved"  # a message has a time of its own now: a millisecond or a few later
_IN_PROGRESS = "inProgress"
_REFUSED = (400, 403, 404)  # there is no migration of ours to end


class AnsweredIsMissing(GraphProblem):
    """The message that a reply answered is not in the channel."""

    code: ClassVar[str] = "answered-message-missing"
    hint = "Restore the message that begins the thread as well."


def team_writer(writer: GraphWriter, resource: Resource, *, migration: bool = False) -> Writer:
    """Messages by migration mode where it was asked for; else pages into the channels' files."""
    return MessageWriter(writer, resource) if migration else PageWriter(writer, resource)


class MessageWriter:
    """Writes messages into the channels of one team."""

    keeps_markers = False

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer = writer
        self._target = TargetChannels(writer, resource)
        self._step: Step | None = None
        self._is_first = False
        self._held: dict[str, Held] = {}
        self._made: dict[str, str] = {}  # ids in the target, of items that passed here
        self._since: dict[str, str] = {}  # when stored channels were created

    def work_in(self, step: Step) -> None:
        self._step, self._is_first = step, step.is_first()

    def root(self) -> Folder:
        return self._target.root()

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        return self._known_since(self._target.place(into, name, stored), stored)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        found = self._target.original(stored)
        return self._known_since(found, stored) if found else None

    def identity(self, item: StoredItem) -> Identity:
        present = Present.of(item.raw)
        return Identity(present.key, present.words)

    def existing(self, into: Folder) -> Iterator[Existing]:
        held = self._channel(into, anew=into.id in self._held)
        for one in held.at.values():
            if not one.deleted:
                yield Existing(one.id, one.key, one.words)

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        raw = item.raw
        if is_own_work(raw):
            derived = Trouble(item.id, "item", Cause.DERIVED, retry=False)
            return Written("", "skipped", (derived,))
        if raw.get("deletedDateTime"):
            return Written("", "skipped")
        if not sender_of(raw) or not moment_of(raw):  # migration mode takes nothing without
            unsigned = Trouble(item.id, "item", Cause.NOT_SUPPORTED, retry=False)
            return Written("", "skipped", (unsigned,))
        held = self._channel(into)
        try:
            written = self._put(item, into, held)
        except Clash:
            if not held.noted:
                raise
            written = self._put(item, into, self._channel(into, anew=True))
        self._made[item.id] = written.id
        return written

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

    def _put(self, item: StoredItem, into: Folder, held: Held) -> Written:
        """Sends a message under the first free time, unless the channel has it."""
        wanted = Present.of(item.raw)
        there = held.same(wanted)
        if there is not None:
            return Written(there.id, "skipped")
        path = f"{channel_path(self._target.team, into.id)}/messages"
        if wanted.root:
            path += f"/{quote(self._answered(item, wanted.root, held), safe='')}/replies"
        self._migrate(into, held, wanted.moment)
        for moment in range(wanted.moment, wanted.moment + MOVES_MAX):
            if moment in held.at:
                continue
            body, troubles = body_of(item, moment)
            try:
                made = str(self._post(into, held, path, body).get("id") or "")
            except Clash:
                if held.noted:
                    raise
                # Somebody else has the time, and no list told of it.
                held.at[moment] = Present(moment, "", "", deleted=True)
                continue
            held.at[moment] = _replaced(wanted, moment=moment, id=made)
            if moment != wanted.moment:
                troubles += (Trouble(item.id, "item", MOVED, retry=False),)
            return Written(made, "created", troubles)
        raise Clash("Every time near that of the message is taken.")

    def _answered(self, item: StoredItem, root: str, held: Held) -> str:
        """The id of the message below which a reply belongs."""
        stored = item.id.rpartition("/")[0]
        found = self._made.get(stored) or (self._step.written(stored) if self._step else "")
        found = found or held.root(root)
        if not found:
            raise AnsweredIsMissing("The message that the reply answered is not in the channel.")
        return found

    def _post(self, into: Folder, held: Held, path: str, body: Raw) -> Raw:
        try:
            return self._writer.post(path, body, scope=self._target.scope)
        except Forbidden:
            # The end of another restore of ours may have ended the migration of this one.
            if self._is_migrating(into):
                raise
            held.migrating = False
            self._migrate(into, held, moment_of(body))
            return self._writer.post(path, body, scope=self._target.scope)

    # --- Migration mode ---

    def _migrate(self, into: Folder, held: Held, moment: int) -> None:
        """Puts the channel into migration mode, dated back to before what will be written."""
        if held.migrating:
            return
        path = channel_path(self._target.team, into.id)
        now = self._writer.get(path, scope=self._target.scope)
        if now.get("migrationMode") != _IN_PROGRESS:
            dates = [str(now.get("createdDateTime") or ""), self._since.get(into.id, "")]
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
        held.migrating = True

    def _is_migrating(self, into: Folder) -> bool:
        path = channel_path(self._target.team, into.id)
        found = self._writer.get(path, scope=self._target.scope)
        return found.get("migrationMode") == _IN_PROGRESS

    # --- The channel as it is ---

    def _known_since(self, folder: Folder, stored: StoredItem | None) -> Folder:
        if stored is not None and stored.parent:
            self._since[folder.id] = str(stored.raw.get("createdDateTime") or "")
        return folder

    def _channel(self, into: Folder, *, anew: bool = False) -> Held:
        """What the channel holds: as noted, where nothing of ours can have been written unseen;
        else, and where it has to be `anew`, as it is now.
        """
        if into.id not in self._held or anew:
            self._held[into.id] = self._noted(into.id, anew) or self._read(into.id, anew)
        return self._held[into.id]

    def _noted(self, channel_id: str, anew: bool) -> Held | None:
        step = self._step
        if step is None or anew or not self._is_first:
            return None
        note = step.noted(channel_id)
        return Held.read(note) if note else None

    def _read(self, channel_id: str, anew: bool) -> Held:
        target, step = self._target, self._step
        held = Held.of(messages_of(self._writer, target.scope, target.team, channel_id))
        if step is not None and self._is_first and not anew:
            step.note(channel_id, held.write())
        return held
