"""Chats of a person: one-on-one, groups and meetings as folders, their messages as items.

Rules
- One feed, "messages": the export of all messages of all chats the person sees, asked for what
  was modified since what is known (m365/chat_reading.py). A quiet person costs one request.
  Deleted messages are in it as tombstones for 21 days; once in 30 days all is read anew.
- Pages come in any order, and messages more than once: the newest of a page counts.
- A chat is asked for (with its members) once a step in which it has news, twenty to a $batch.
- Where a tenant refuses the export (402, 403, 404: it was a protected API), the person's chats are
  read one by one instead, which costs a request per chat. A reading of everything tries again.
- A chat's id and a message's id make an item's: the same chat is seen by each of its members, and
  what they see is the same to the byte.
- Protected data: optional, and read with Chat.Read.All only.

https://learn.microsoft.com/graph/api/chats-getallmessages
https://learn.microsoft.com/graph/api/chat-list-messages
https://learn.microsoft.com/graph/api/chat-get
https://learn.microsoft.com/microsoftteams/export-teams-content (deleted messages: 21 days)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from base.item import Cause, Change, FeedPage, Part, Trouble
from m365.chat_message import COLUMNS, HOSTED, hosted_ids, hosted_parts, message
from m365.chat_reading import Raw, Reading
from m365.graph.client import BatchRequest, GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    AnswerTooLarge,
    Forbidden,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResourceGone,
    ResyncNeeded,
    Unauthorized,
)
from m365.service import LiveCount, Resource, Service

FEED = "messages"
ROOT = "chats"  # the folder above all chats
TOP, TOP_SMALL = "50", "10"
NAMES_MAX = 5  # of members, in the name of a chat without a topic
_NAME_MAX = 255  # characters
_EXPORT, _MESSAGES, _CHATS = map(Scope.other, ("teams-all-messages", "teams-messages", "teams"))
_REFUSALS = (Forbidden, ItemGone, ResourceGone)
_TOO_HEAVY = (GatewayTimeout, AnswerTooLarge)
_VOLATILE = frozenset(("viewpoint", "lastMessagePreview"))
_UNNAMED_MEETING = "Meeting"


class ChatsSource:
    """Reads the chats of one person; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._user = resource.graph_id
        self._base = f"/users/{quote(resource.graph_id, safe='')}/chats"
        self._folders: set[str] = set()  # chats whose folder this step has told
        self._refused: set[str] = set()  # chats whose messages are not given to us

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        if FEED in finished:
            return
        reading = Reading.of(links.get(FEED, ""), self._reader.clock.now())
        if reading.export:
            try:
                yield from self._exported(reading)
                return
            except GraphProblem as problem:
                if not _refuses(problem):
                    raise
                reading = reading.from_start(export=False)
        yield from self._chat_by_chat(reading)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        if change.kind == "folder":
            refused = change.id in self._refused
            return [], [Trouble(change.id, FEED, Cause.FORBIDDEN, retry=False)] if refused else []
        try:
            path = _path_of(change.id)
            parts, troubles = hosted_parts(self._reader, path, change, _MESSAGES)
            return [replace(one, common=True) for one in parts], troubles
        except ItemGone:
            if self._is_here(change.parent):
                raise
        # The chat of another organization: its messages come with the export, and nothing else.
        lacking = [f"{HOSTED}:{one}" for one in hosted_ids(change.raw)]
        return [], [Trouble(change.id, one, Cause.NO_CONTENT, retry=False) for one in lacking]

    def _is_here(self, chat_id: str) -> bool:
        try:
            self._reader.get(_chat(chat_id), scope=_CHATS)
        except (ItemGone, Forbidden):
            return False
        return True

    def complete(self, item_id: str) -> Change:
        return _message(self._reader.get(_path_of(item_id), scope=_MESSAGES))

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return change  # messages always come whole

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # nothing tells how many messages there are

    # --- The export of all chats ---

    def _exported(self, reading: Reading) -> Iterator[FeedPage]:
        """The reading to its end; from its beginning where the service forgot the nextLink, or
        cannot make pages of the usual size.
        """
        try:
            yield from self._pages_of_export(reading, TOP)
        except (ResyncNeeded, *_TOO_HEAVY):
            yield from self._pages_of_export(reading.from_start(), TOP_SMALL)

    def _pages_of_export(self, reading: Reading, top: str) -> Iterator[FeedPage]:
        params = {"$top": top} | _modified_after(reading)
        for page in self._listed(reading.at, f"{self._base}/getAllMessages", params, _EXPORT):
            yield self._page(reading, page, reading.passed(page.value, page.link))
            reading = reading.passed(page.value, page.link)

    # --- Chat by chat ---

    def _chat_by_chat(self, reading: Reading) -> Iterator[FeedPage]:
        """Chats in the order of their ids, from the one that was being read."""
        try:
            listed = {str(raw["id"]): raw for raw in self._chats() if raw.get("id")}
        except ItemGone:  # somebody without Teams; what is stored stays
            yield FeedPage(FEED, (), reading.ended().write(), more=False)
            return
        if not reading.opened:
            yield self._page(reading, DeltaPage([], "", more=True), reading.passed((), ""))
            reading = reading.passed((), "")
        waiting = [key for key in sorted(listed) if not reading.has_passed(key)]
        for chat_id in waiting:
            for page in self._pages_of_chat(chat_id, listed[chat_id], reading):
                yield page
                reading = Reading.read(page.link)
        yield FeedPage(FEED, (), reading.ended().write(), more=False)

    def _pages_of_chat(self, chat_id: str, raw: Raw, reading: Reading) -> Iterator[FeedPage]:
        folder = self._folder(chat_id, raw)
        try:
            for page in self._messages_of(chat_id, reading):
                passed = reading.passed(page.value, page.link, chat_id)
                yield self._page(reading, replace(page, more=True), passed, folder)
                reading = passed
        except (ItemGone, Forbidden) as problem:
            entries: tuple[Change, ...] = ()
            if isinstance(problem, Forbidden) and reading.reads_everything:
                self._refused.add(chat_id)
                entries = (replace(folder, fingerprint=""),)
            yield FeedPage(FEED, entries, reading.passed((), "", chat_id).write(), more=True)

    def _chats(self) -> Iterator[Raw]:
        params = {"$top": TOP, "$expand": "members"}
        for page in follow(self._reader, self._base, params, scope=_CHATS):
            yield from page.value

    def _messages_of(self, chat_id: str, reading: Reading) -> Iterator[DeltaPage]:
        path = f"{_chat(chat_id)}/messages"
        at = reading.at if reading.chat == chat_id else ""
        params = {"$top": TOP, "$orderby": "lastModifiedDateTime desc"} | _modified_after(reading)
        try:
            yield from self._listed(at, path, params, _MESSAGES)
        except (ResyncNeeded, *_TOO_HEAVY):
            yield from self._listed("", path, params | {"$top": TOP_SMALL}, _MESSAGES)

    # --- Both ---

    def _listed(
        self, at: str, path: str, params: Mapping[str, str], scope: Scope
    ) -> Iterator[DeltaPage]:
        """A list from its nextLink `at`, or from its beginning. Raises ResyncNeeded where the
        service no longer knows the link.
        """
        try:
            yield from follow(self._reader, at or path, None if at else params, scope=scope)
        except GraphProblem as problem:
            if problem.status_code in (400, 404) and at:
                raise ResyncNeeded("The service no longer knows the nextLink.") from problem
            raise

    def _page(
        self, reading: Reading, page: DeltaPage, passed: Reading, folder: Change | None = None
    ) -> FeedPage:
        """A page of messages behind the folders of their chats; what was told before is not."""
        news = [raw for raw in _newest(page.value) if not reading.knows(raw)]
        folders = self._folders_of(news) if folder is None else self._told_once(news, folder)
        top = (Change(ROOT, "", "folder", "Chats", fingerprint="folder"),) if reading.opens else ()
        following = passed if page.more else passed.ended()
        entries = (*top, *folders, *map(_message, news))
        return FeedPage(FEED, entries, following.write(), page.more, reset=reading.opens)

    def _told_once(self, news: list[Raw], folder: Change) -> list[Change]:
        if folder.id in self._folders or not news:
            return []
        self._folders.add(folder.id)
        return [folder]

    def _folders_of(self, news: Iterable[Raw]) -> list[Change]:
        """The folders of chats that have news, each once a step."""
        chats = dict.fromkeys(str(raw["chatId"]) for raw in news)
        wanted = [chat_id for chat_id in chats if chat_id not in self._folders]
        found = []
        requests = [BatchRequest(f"{_chat(chat_id)}?$expand=members") for chat_id in wanted]
        answers = self._reader.batch(requests, scope=_CHATS) if requests else []
        for chat_id, answer in zip(wanted, answers, strict=True):
            try:
                folder = self._folder(chat_id, answer.json())
            except Unauthorized:
                raise
            except GraphProblem:  # of another organization, or gone: its messages are here
                folder = self._folder(chat_id, {})
            self._folders.add(chat_id)
            found.append(folder)
        return found

    def _folder(self, chat_id: str, raw: Raw) -> Change:
        return Change(
            id=chat_id,
            parent=ROOT,
            kind="folder",
            name=self._name(chat_id, raw)[:_NAME_MAX],
            raw={key: value for key, value in raw.items() if not _is_volatile(key)},
            volatile={key: value for key, value in raw.items() if key in _VOLATILE},
            fingerprint="folder",
        )

    def _name(self, chat_id: str, raw: Raw) -> str:
        """The topic, or who else is in it."""
        topic = str(raw.get("topic") or "").strip()
        if topic:
            return topic
        listed = raw.get("members")
        members = [one for one in listed if isinstance(one, dict)] if listed else []
        others = [one for one in members if one.get("userId") != self._user]
        names = [str(one["displayName"]) for one in others or members if one.get("displayName")]
        if len(names) > NAMES_MAX:
            return f"{', '.join(names[:NAMES_MAX])} and {len(names) - NAMES_MAX} more"
        if names:
            return ", ".join(names)
        return _UNNAMED_MEETING if raw.get("chatType") == "meeting" else chat_id


def _refuses(problem: GraphProblem) -> bool:
    """Whether a tenant keeps the export from us; 402: its metering of former days."""
    return isinstance(problem, _REFUSALS) or problem.status_code == 402


def _chat(chat_id: str) -> str:
    return f"/chats/{quote(chat_id, safe='')}"


def _path_of(item_id: str) -> str:
    chat_id, _, message_id = item_id.rpartition(":")
    return f"{_chat(chat_id)}/messages/{quote(message_id, safe='')}"


def _message(raw: Raw) -> Change:
    chat_id = str(raw["chatId"])
    return message(raw, f"{chat_id}:{raw['id']}", chat_id)


def _newest(page: Iterable[Raw]) -> list[Raw]:
    """Messages of a page, each once, in the order they came; what is of no chat is not ours."""
    found: dict[tuple[str, str], Raw] = {}
    for raw in page:
        if not raw.get("chatId") or not raw.get("id"):
            continue
        key = (str(raw["chatId"]), str(raw["id"]))
        before = found.get(key)
        if before is None or _modified(before) <= _modified(raw):
            found[key] = raw
    return list(found.values())


def _modified(raw: Raw) -> str:
    return str(raw.get("lastModifiedDateTime") or "").rstrip("Z")


def _modified_after(reading: Reading) -> dict[str, str]:
    if reading.reads_everything:
        return {}
    return {"$filter": f"lastModifiedDateTime gt {reading.since}"}


def _is_volatile(key: str) -> bool:
    return key in _VOLATILE or "@" in key


SERVICE = Service(
    name="chats",
    title="Chats",
    resource_kind="user",
    item_kind="chat-message",
    reads=("Chat.Read.All",),
    writes=(),
    columns=tuple(one for one in COLUMNS if one.key != "replies"),
    source=ChatsSource,
    writer=None,
    not_captured=(
        "What a deleted message said before its deletion, unless a backup had run by then.",
        "Files sent in a chat: they are copied with the OneDrive of who sent them; links are kept.",
        "Names, members and pictures of chats that lie in another organization; messages are kept.",
        "Recordings and transcripts of meetings: they are files of their organizer.",
    ),
    not_restorable=(
        "Chats are exported, as a page to read and as JSON, and not written back into Teams.",
    ),
    optional=True,
    refusable=True,
)
