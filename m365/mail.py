"""Mail: all messages of a mailbox with their MIME, attachments and folders.

Rules
- Feeds: "folders" (the tree, see mail_folders.py) and "folder:<id>" (the messages of one folder).
  A folder's feed is announced, with the link it starts from, before the page that names the
  folder: a round that dies in between still knows every feed.
- Nothing is asked twice: a page of messages carries bodies and the list of attachments, so a
  message costs one request for its MIME, and one for all its attachments where they are small.
- The fingerprint covers what MIME and attachments are made of, and nothing else: a message that
  is read, flagged, categorized or moved is not downloaded again.
- `$top` never appears on a delta (it caps the total); pages are sized by Prefer.
- No permission beyond Mail.Read; no mail is ever sent.

Facts this file rests on: learn.microsoft.com/graph/api/message-delta, /delta-query-messages,
/api/message-list-attachments, /outlook-immutable-id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.feeds import each_whole
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    AnswerTooLarge,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResyncNeeded,
)
from m365.mail_attachments import AttachmentReader, without_bytes
from m365.mail_folders import ROOT, FolderChanges, FolderTree
from m365.mail_writer import MailWriter
from m365.service import Column, LiveCount, Resource, Service

PAGE_ITEMS = 200  # messages with bodies in one answer; the wire halves it after a first 504
PAGE_ITEMS_SMALL = (
    10  # where a later page was too heavy: a nextLink keeps the size it was made with
)
EXPAND = "$expand=attachments($select=id,name,contentType,size,isInline,lastModifiedDateTime)"
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "changeKey", "attachments@odata.context"))
_WHOLE = ("subject", "body", "isRead", "internetMessageId")  # a piece lacks at least one of them
_CONTENT = (
    "subject",
    "body",
    "from",
    "sender",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "internetMessageId",
    "sentDateTime",
    "receivedDateTime",
    "hasAttachments",
    "importance",
    "isDraft",
)
_LISTED_FACTS = ("id", "size", "name")  # of an attachment
_NEWEST_FIRST = str.maketrans("0123456789", "9876543210")  # turns the order of times around
_ROW_RECIPIENTS = 10  # addresses kept in the catalog's row; the rest is in the stored object


class MailSource:
    """Reads one mailbox; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._tree = FolderTree(reader, self._base, self._scope)
        self._attachments = AttachmentReader(reader, self._base, self._scope)
        self._expands = True  # until this tenant refuses $expand=attachments

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if "folders" not in finished:
            for page in self._folders(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        tree = feeds.pop("folders")
        wanted = (one for one in feeds.items() if one[0] not in finished)
        yield from each_whole(self._messages(part, link, tree) for part, link in wanted)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        if change.kind == "folder":
            return [], []
        parts: list[Part] = []
        troubles: list[Trouble] = []
        read = {"mime": self._attachments.mime, "attachment": self._attachments.all_of}
        for role in read:
            if role not in leave:
                found, more = read[role](change)
                parts += found
                troubles += more
        return parts, troubles

    def complete(self, item_id: str) -> Change:
        path = f"{self._base}/messages/{quote(item_id, safe='')}"
        try:
            raw = self._reader.get(self._with_attachments(path), scope=self._scope)
        except GraphProblem as problem:
            if not self._refused_expand(problem):
                raise
            raw = self._reader.get(path, scope=self._scope)
        return _change(raw, str(raw.get("parentFolderId") or ""), partial=False)

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        merged = _change({**raw, **change.raw, **change.volatile}, change.parent, partial=False)
        stored = _change(raw, change.parent, partial=False)
        if merged.fingerprint != stored.fingerprint and "attachments" not in change.raw:
            return self.complete(change.id)  # the content changed, so the attachments may have
        return merged

    def counts(self) -> Iterator[LiveCount]:
        path = f"{self._base}/mailFolders/delta"  # all folders in one list
        params, prefer = {"$select": "id,totalItemCount"}, {"Prefer": "odata.maxpagesize=200"}
        for page in follow(self._reader, path, params, prefer, scope=self._scope):
            for raw in page.value:
                if isinstance(raw.get("totalItemCount"), int):
                    yield LiveCount(f"folder:{raw['id']}", raw["id"], raw["totalItemCount"])

    def _folders(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the feeds of new folders, then the changes of the tree in one page."""
        known = [part.removeprefix("folder:") for part in links if part != "folders"]
        tree = self._tree_changes(links.get("folders", ""), known)
        for folder in tree.changed:
            if f"folder:{folder.id}" not in links and _may_hold_messages(folder):
                root = folder.row["role"] == ROOT
                yield self._start(folder.id, tree.link, known=root and "folders" in links)
        yield FeedPage(
            part="folders",
            entries=(*tree.changed, *(Gone(key) for key in tree.gone)),
            link=tree.link,
            more=False,
            dropped_parts=tuple(f"folder:{key}" for key in tree.gone if f"folder:{key}" in links),
        )

    def _tree_changes(self, link: str, known: list[str]) -> FolderChanges:
        if link:
            try:
                return self._tree.since(link, known)
            except ResyncNeeded:
                pass  # the whole tree is read again; its ids tell what is gone
        return self._tree.whole(known)

    def _start(self, folder_id: str, tree: str, *, known: bool = False) -> FeedPage:
        """The first page of a folder's feed: what lies in the folder and is not seen again is gone.

        It holds no messages yet. Of a folder that was known its subfolders are named again: they
        lie in it too, and its feed will not tell of them.
        """
        path = f"{self._base}/mailFolders/{quote(folder_id, safe='')}/messages/delta"
        return FeedPage(
            part=f"folder:{folder_id}",
            entries=self._tree.below(folder_id, tree) if known else (),
            link=self._with_attachments(path),
            more=True,
            reset=True,
            scope=folder_id,
        )

    def _messages(self, part: str, link: str, tree: str) -> Iterator[FeedPage]:
        folder_id = part.removeprefix("folder:")
        if not link:
            start = self._start(folder_id, tree, known=True)
            yield start
            link = start.link
        try:
            yield from self._follow(part, link)
        except (ResyncNeeded, GatewayTimeout, AnswerTooLarge) as problem:
            self._expands &= not isinstance(problem, AnswerTooLarge)
            start = self._start(folder_id, tree, known=True)
            yield start
            small = not isinstance(problem, ResyncNeeded)
            yield from self._follow(part, start.link, PAGE_ITEMS_SMALL if small else PAGE_ITEMS)
        except ItemGone:
            if self._exists(folder_id):
                raise  # not the folder: a feed must not end because of one odd answer
            yield FeedPage(part, (Gone(folder_id),), "", more=False, dropped_parts=(part,))

    def _follow(self, part: str, link: str, items: int = PAGE_ITEMS) -> Iterator[FeedPage]:
        folder_id = part.removeprefix("folder:")
        for page in self._pages(link, {"Prefer": f"odata.maxpagesize={items}"}):
            entries = tuple(_entry(raw, folder_id) for raw in page.value)
            yield FeedPage(part, entries, page.link, page.more)

    def _pages(self, link: str, prefer: Mapping[str, str]) -> Iterator[DeltaPage]:
        """The pages from `link` on; without attachments where the tenant refuses to expand them,
        or sends their bytes along: a page would be as large as all it speaks of.
        """
        plain = link.replace(f"?{EXPAND}", "")
        if not self._expands:
            link = plain
        first = True
        try:
            for page in follow(self._reader, link, headers=prefer, scope=self._scope):
                if first and link != plain and _brings_bytes(page):
                    break
                first = False
                yield page
            else:
                return
        except GraphProblem as problem:
            if not first or link == plain or not self._refused_expand(problem):
                raise
        self._expands = False
        yield from follow(self._reader, plain, headers=prefer, scope=self._scope)

    def _with_attachments(self, path: str) -> str:
        return f"{path}?{EXPAND}" if self._expands else path

    def _refused_expand(self, problem: GraphProblem) -> bool:
        if problem.status_code == 400:
            self._expands = False
        return problem.status_code == 400

    def _exists(self, folder_id: str) -> bool:
        try:
            self._reader.get(
                f"{self._base}/mailFolders/{quote(folder_id, safe='')}",
                params={"$select": "id"},
                scope=self._scope,
            )
        except ItemGone:
            return False
        return True


def _brings_bytes(page: DeltaPage) -> bool:
    """Whether the $select within the expand was ignored."""
    return any(
        "contentBytes" in attachment
        for raw in page.value
        for attachment in raw.get("attachments") or ()
    )


def _may_hold_messages(folder: Change) -> bool:
    """All folders but an empty root: Outlook keeps no messages there, other programs may."""
    return folder.row["role"] != ROOT or bool(folder.row["items"])


def _entry(raw: Mapping[str, Any], folder_id: str) -> Change | Gone:
    if "@removed" in raw:  # "deleted" and "changed" alike say: no longer in this folder
        return Gone(raw["id"], parent=folder_id)
    return _change(raw, folder_id, partial=any(key not in raw for key in _WHOLE))


def _change(raw: Mapping[str, Any], folder_id: str, *, partial: bool) -> Change:
    kept = {key: value for key, value in raw.items() if key not in _VOLATILE}
    if isinstance(kept.get("attachments"), list):
        kept["attachments"] = [without_bytes(one) for one in kept["attachments"]]
    return Change(
        id=raw["id"],
        parent=folder_id,
        kind="message",
        name=raw.get("subject") or "",
        raw=kept,
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={} if partial else _row(raw),
        fingerprint="" if partial else _fingerprint(raw),
        partial=partial,
    )


def _fingerprint(raw: Mapping[str, Any]) -> str:
    facts: list[Any] = [raw.get(key) for key in _CONTENT]
    attachments = raw.get("attachments")
    if isinstance(attachments, list):
        facts.append(sorted([str(one.get(key)) for key in _LISTED_FACTS] for one in attachments))
    if raw.get("isDraft"):  # attachments of drafts may be edited in place
        facts.append(raw.get("lastModifiedDateTime"))
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _row(raw: Mapping[str, Any]) -> dict[str, Any]:
    recipients = [*(raw.get("toRecipients") or ()), *(raw.get("ccRecipients") or ())]
    flag = raw.get("flag") or {}
    attachments = raw.get("attachments")
    return {
        "sort": str(raw.get("receivedDateTime") or "").translate(_NEWEST_FIRST),
        "from": _address(raw.get("from") or raw.get("sender")),
        "to": [_address(one) for one in recipients[:_ROW_RECIPIENTS]],
        "received": raw.get("receivedDateTime") or "",
        "sent": raw.get("sentDateTime") or "",
        "attachments": len(attachments)
        if isinstance(attachments, list)
        else int(bool(raw.get("hasAttachments"))),
        "read": bool(raw.get("isRead")),
        "flagged": flag.get("flagStatus") == "flagged",
        "draft": bool(raw.get("isDraft")),
        "importance": raw.get("importance") or "normal",
    }


def _address(recipient: Mapping[str, Any] | None) -> str:
    """As a person writes it: "Name <address>", or what there is of it."""
    mail = (recipient or {}).get("emailAddress") or {}
    name, address = mail.get("name") or "", mail.get("address") or ""
    if not name or name == address:
        return str(address)
    return f"{name} <{address}>" if address else str(name)


SERVICE = Service(
    name="mail",
    title="Mail",
    resource_kind="mailbox",
    item_kind="message",
    reads=("Mail.Read",),
    writes=("Mail.ReadWrite",),
    columns=(
        Column("from", "From", "address"),
        Column("to", "To", "addresses"),
        Column("received", "Received", "datetime"),
        Column("attachments", "Attachments", "count"),
        Column("read", "Read", "flag"),
    ),
    source=MailSource,
    writer=MailWriter,
    follows=("mime",),
    not_captured=(
        "Purged and held items (Purges, Versions, DiscoveryHolds): no application can read them.",
        "Public folders: Graph does not reach them.",
        "Search folders: what they show are copies of messages that are protected.",
        "Files that a message only links to: the drive they lie in protects them.",
    ),
    not_restorable=(
        "Transport headers (Received, DKIM) are kept in the backup; a restored message has none.",
        "Meeting requests come back as ordinary messages; they no longer act on the calendar.",
        "A restored conversation has an id of its own; its messages stay together.",
    ),
)
