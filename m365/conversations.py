"""Conversations of a Microsoft 365 group: threads as folders, posts with their attachments.

Rules
- There is no change feed: the list of conversations tells when the newest post of each arrived.
  Only conversations that tell something else than before are looked into, and of their threads
  only those that do; so a quiet group costs one request.
- Feeds: "conversations" (which threads there are) and "thread:<id>" (the posts of one). A thread's
  feed is announced before the page that names the thread, as folders of mail are.
- A conversation that is not listed is asked for before it is taken for gone: a new post moves it
  to the top of the list, past a reader who is in the middle of it.
- A post that is deleted from the middle of a thread changes nothing that a list tells, so every
  FULL_EVERY all threads are read again.
- Applications can write none of this: it can be exported only.

https://learn.microsoft.com/graph/api/group-list-conversations
https://learn.microsoft.com/graph/api/conversation-list-threads
https://learn.microsoft.com/graph/api/conversationthread-list-posts
https://learn.microsoft.com/graph/api/post-list-attachments
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

from base.clock import iso, parse_iso
from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.conversation_json import (
    FEED,
    Raw,
    ThreadLink,
    digest,
    ids_of,
    part_of,
    post,
    root,
    thread_folder,
)
from m365.feeds import each_whole
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    AnswerTooLarge,
    GatewayTimeout,
    ItemGone,
    ResourceGone,
    ResyncNeeded,
)
from m365.mail_attachments import AttachmentReader
from m365.service import Column, LiveCount, Resource, Service

FULL_EVERY = timedelta(days=30)
LIST_SIZES = (500, 50)  # of a page; the second where the service took too long for the first
POST_SIZES = (50, 5)
_TOO_HEAVY = (GatewayTimeout, AnswerTooLarge)


class ConversationSource:
    """Reads the mailbox of one group; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/groups/{quote(resource.graph_id, safe='')}"

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if FEED not in finished:
            for page in self._threads(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        done = {FEED, *finished}
        threads = {part: ThreadLink.read(link) for part, link in feeds.items() if part not in done}
        waiting = (one for one in threads.items() if not one[1].is_read)
        yield from each_whole(self._posts(part, link) for part, link in waiting)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        if change.kind == "folder":
            return [], []
        thread_id, post_id = ids_of(change.id)
        reader = AttachmentReader(self._reader, self._thread(thread_id), self._scope, "posts")
        parts, troubles = reader.all_of(replace(change, id=post_id))
        return parts, [replace(one, item_id=change.id) for one in troubles]

    def complete(self, item_id: str) -> Change:
        thread_id, post_id = ids_of(item_id)
        path = self._thread(thread_id)
        raw = self._reader.get(f"{path}/posts/{quote(post_id, safe='')}", scope=self._scope)
        topic = self._reader.get(path, scope=self._scope).get("topic")
        return post(raw, thread_id, str(topic or ""))

    def merge(self, raw: Mapping[str, object], change: Change) -> Change:
        return change  # posts always come whole

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # no list of posts is cheap to count

    def _threads(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the threads that have news, then the change of all of them in one page."""
        known = {part: ThreadLink.read(link) for part, link in links.items() if part != FEED}
        now, full = self._reader.clock.now(), links.get(FEED, "")
        everything = not full or now - parse_iso(full) >= FULL_EVERY
        listed = self._conversations(known)
        told = _told(known.values())
        news = [key for key in listed if everything or told.get(key) != digest(listed[key])]
        entries: list[Change | Gone] = [] if full else [root()]
        settled: list[FeedPage] = []
        gone = {part for part, one in known.items() if one.conversation not in listed}
        for key, threads in zip(news, self._threads_of(news), strict=True):
            seen = {part_of(raw) for raw in threads}
            gone |= {p for p, one in known.items() if one.conversation == key and p not in seen}
            for raw in threads:
                part, before = part_of(raw), known.get(part_of(raw))
                link = ThreadLink.of(listed[key], raw)
                if before is None or before.tells_else(link):
                    entries.append(thread_folder(listed[key], raw))
                if before is not None and before.is_read_as(link) and not everything:
                    settled.append(FeedPage(part, (), link.done().write(), more=False))
                elif before is None or before.is_read or before.digest != link.digest:
                    yield _announced(part, link)
        entries += [Gone(part.partition(":")[2]) for part in sorted(gone)]
        link_of_all = iso(now) if everything else full
        dropped = tuple(sorted(gone))
        yield FeedPage(FEED, tuple(entries), link_of_all, more=False, dropped_parts=dropped)
        yield from settled

    def _conversations(self, known: Mapping[str, ThreadLink]) -> dict[str, Raw]:
        """All conversations by id."""
        listed: dict[str, Raw] = {}
        try:
            for page in self._listed(f"{self._base}/conversations", LIST_SIZES):
                listed.update((str(raw["id"]), raw) for raw in page.value if raw.get("id"))
        except ItemGone as problem:
            raise problem.told_as(ResourceGone, "The group has no mailbox.") from problem
        missing = list(dict.fromkeys(one.conversation for one in known.values()))
        missing = [key for key in missing if key not in listed]
        for key, answer in zip(missing, self._ask(missing, ""), strict=True):
            try:
                listed[key] = answer.json()
            except ItemGone:
                continue
        return listed

    def _threads_of(self, conversations: list[str]) -> Iterator[list[Raw]]:
        """The threads of each conversation; none of one that vanished meanwhile."""
        for answer in self._ask(conversations, "/threads"):
            try:
                body = answer.json()
            except ItemGone:
                yield []
                continue
            threads = list(body.get("value") or ())
            if link := body.get("@odata.nextLink"):
                for page in follow(self._reader, link, scope=self._scope):
                    threads += page.value
            yield [raw for raw in threads if raw.get("id")]

    def _posts(self, part: str, link: ThreadLink) -> Iterator[FeedPage]:
        thread_id = part.partition(":")[2]
        path = f"{self._thread(thread_id)}/posts"
        try:
            try:
                pages = follow(self._reader, link.at, scope=self._scope) if link.at else None
                yield from self._pages(part, link, pages or self._sized(path, POST_SIZES[0]))
            except (ResyncNeeded, *_TOO_HEAVY):
                yield _announced(part, link.from_start())
                yield from self._pages(part, link, self._sized(path, POST_SIZES[-1]))
        except ItemGone:
            if self._exists(thread_id):
                raise  # not the thread: a feed must not end because of one odd answer
            yield FeedPage(part, (Gone(thread_id),), "", more=False, dropped_parts=(part,))

    def _pages(self, part: str, link: ThreadLink, pages: Iterator[DeltaPage]) -> Iterator[FeedPage]:
        thread_id = part.partition(":")[2]
        for page in pages:
            entries = tuple(post(raw, thread_id, link.topic) for raw in page.value if raw.get("id"))
            following = link.going_on(page.link) if page.more else link.done()
            yield FeedPage(part, entries, following.write(), page.more)

    def _listed(self, path: str, sizes: tuple[int, int]) -> Iterator[DeltaPage]:
        """A list to its end; from its start again in smaller pages where one was too heavy."""
        try:
            yield from self._sized(path, sizes[0])
        except _TOO_HEAVY:
            yield from self._sized(path, sizes[-1])

    def _sized(self, path: str, size: int) -> Iterator[DeltaPage]:
        return follow(self._reader, path, {"$top": str(size)}, scope=self._scope)

    def _ask(self, conversations: list[str], below: str) -> list[BatchAnswer]:
        base = f"{self._base}/conversations"
        requests = [BatchRequest(f"{base}/{quote(key, safe='')}{below}") for key in conversations]
        return self._reader.batch(requests, scope=self._scope) if requests else []

    def _exists(self, thread_id: str) -> bool:
        try:
            self._reader.get(self._thread(thread_id), scope=self._scope)
        except ItemGone:
            return False
        return True

    def _thread(self, thread_id: str) -> str:
        return f"{self._base}/threads/{quote(thread_id, safe='')}"


def _announced(part: str, link: ThreadLink) -> FeedPage:
    """The first page of a thread: what lies in it and is not seen again is gone."""
    thread_id = part.partition(":")[2]
    return FeedPage(part, (), link.write(), more=True, reset=True, scope=thread_id)


def _told(known: Iterable[ThreadLink]) -> dict[str, str]:
    """By conversation: what its list told when all of its threads were read."""
    told: dict[str, str] = {}
    for one in known:
        before = told.get(one.conversation, one.told)
        told[one.conversation] = one.told if one.is_read and before == one.told else ""
    return told


SERVICE = Service(
    name="conversations",
    title="Group conversations",
    resource_kind="group",
    item_kind="post",
    reads=("Group-Conversation.Read.All",),
    writes=(),
    columns=(
        Column("from", "From", "address"),
        Column("received", "Received", "datetime"),
        Column("attachments", "Attachments", "flag"),
    ),
    source=ConversationSource,
    writer=None,
    not_captured=(
        "The MIME of posts: Graph has none.",
        "The calendar of a group: Graph shows an application a window of it only.",
    ),
    not_restorable=(
        "Graph lets no application write into the conversations of a group: export them instead.",
    ),
)
