"""Whole items of a mailbox through the import and export API: one Source for two services.

Rules
- Feeds: "folders" (the tree, see mailbox_tree.py) and "folder:<id>" (the items of one folder), in
  the same order and with the same promises as for mail.
- An item is known by its folder and its id ("<folder>|<item>"): the API reads a single item only
  through its folder, and promises no id that survives a move.
- The fingerprint is the change key: every change, also a read flip, exports an item again, because
  the stream holds everything; nothing else does.
- Items travel together (mailbox_exports.py); one whose answer would be large travels alone and is
  decoded while it is read.

Facts this file rests on: learn.microsoft.com/graph/mailbox-import-export-concept-overview,
/api/mailboxitem-delta, /api/mailbox-exportitems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.feeds import each_whole
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
from m365.graph.export import Exported
from m365.mailbox_exports import ANSWER_BYTES_MAX, Exports, Wanted
from m365.mailbox_names import EXPAND, name_of, row_of
from m365.mailbox_tree import MailboxTree, Notes, TreeChanges
from m365.service import PASSED_ON, Column, LiveCount, trouble_of

KIND = "mailbox-item"
PART = "export"  # the stream as the service wrote it, without base64
ALONE_BYTES = ANSWER_BYTES_MAX // 4  # of base64; a larger item is streamed
COLUMNS = (
    Column("from", "From", "text"),
    Column("received", "Received", "datetime"),
    Column("type", "Type", "text"),
    Column("size", "Size", "bytes"),
)
NOT_CAPTURED = (
    "Public folders, mailboxes of groups and Recoverable Items: the interface does not reach them.",
    "Hidden folders, which hold settings of programs: the feed does not tell of them.",
    "Search folders: what they show are copies of items that are protected.",
    "Words to read or to search: the stream opens in no program and is good for an import only.",
)
NOT_RESTORABLE = (
    "Items get new ids; links and conversations that name the old ones do not find them.",
    "Two items that agree in type, sender, subject and times are taken for the same.",
)
_PAGE_ITEMS = 200
_PAGE_ITEMS_SMALL = 10  # where a later page was too heavy: a nextLink keeps the size it began with
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "changeKey"))
_BETWEEN = "|"  # no id of Exchange has it


class ExportRefused(Unauthorized):
    """The application may list the items of mailboxes and not export them."""

    code: ClassVar[str] = "export-refused"
    hint = "Run the connection test: it names the permission that is missing and what it is for."


def item_key(folder_id: str, item_id: str) -> str:
    """The id of an item outside this file."""
    return f"{folder_id}{_BETWEEN}{item_id}"


def parts_of_key(key: str) -> tuple[str, str]:
    """Folder and item behind item_key()."""
    folder_id, _, item_id = key.rpartition(_BETWEEN)
    return folder_id, item_id


class MailboxItemSource:
    """Reads one mailbox, or an archive of several; safe to use from several threads.

    `find` gives the path of the mailbox, "/admin/exchange/mailboxes/MBX:…". `spreads`: folders may
    lie in other mailboxes than this.
    """

    def __init__(
        self, reader: GraphReader, scope: Scope, find: Callable[[], str], *, spreads: bool = False
    ) -> None:
        self._reader = reader
        self._scope = scope
        self._find = find
        self._spreads = spreads
        self._tree = MailboxTree(reader, scope)
        self._exports = Exports(self._ask)
        self._mailbox = ""
        self._homes: dict[str, str] = {}  # folder -> the mailbox it lies in, as far as it is known
        self._expands = True  # until this tenant refuses $expand on a delta

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if "folders" not in finished:
            for page in self._folders(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        tree = feeds.pop("folders")
        notes = Notes.read(tree)
        wanted = (one for one in feeds.items() if one[0] not in finished)
        yield from each_whole(self._items(part, link, tree, notes) for part, link in wanted)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        if change.kind == "folder":
            return [], []
        wanted = self._wanted(change, self._home(change.parent))
        if _travels_alone(wanted):
            data = self._reader.export_item(wanted.mailbox, wanted.id, self._scope)
            return [Part(PART, data)], []
        try:
            return [Part(PART, self._exports.take(wanted))], []
        except AnswerTooLarge:
            data = self._reader.export_item(wanted.mailbox, wanted.id, self._scope)
            return [Part(PART, data)], []
        except (ItemGone, *PASSED_ON):
            raise
        except GraphProblem as problem:
            return [], [trouble_of(change.id, PART, problem)]

    def complete(self, item_id: str) -> Change:
        folder_id, graph_id = parts_of_key(item_id)
        path = f"{self._folder(folder_id)}/items/{quote(graph_id, safe='')}"
        try:
            raw = self._reader.get(f"{path}?{EXPAND}", scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            raw = self._reader.get(path, scope=self._scope)
        return _change(raw, folder_id, partial=False)

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return self.complete(change.id)  # the change key, which says what to export, is not kept

    def counts(self) -> Iterator[LiveCount]:
        tree = self._tree.whole(self._find(), known=())
        for folder in tree.changed:
            items = folder.volatile.get("totalItemCount")
            if isinstance(items, int):
                yield LiveCount(f"folder:{folder.id}", folder.id, items)

    def _folders(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the feeds of new folders, then the changes of the tree in one page."""
        known = [part.removeprefix("folder:") for part in links if part != "folders"]
        tree = self._tree_changes(links.get("folders", ""), known)
        notes = Notes.read(tree.link)
        before = Notes.read(links["folders"]) if "folders" in links else notes
        for folder in tree.changed:
            if f"folder:{folder.id}" not in links:
                if _may_hold_items(folder):
                    yield self._start(folder.id, notes)
            elif before.home(folder.id) != notes.home(folder.id):  # its link leads nowhere now
                yield self._start(folder.id, notes, self._tree.below(folder.id, tree.link, ()))
        yield FeedPage(
            part="folders",
            entries=(*tree.changed, *(Gone(key) for key in tree.gone)),
            link=tree.link,
            more=False,
            dropped_parts=tuple(f"folder:{key}" for key in tree.gone if f"folder:{key}" in links),
        )

    def _tree_changes(self, link: str, known: list[str]) -> TreeChanges:
        if link:
            try:
                return self._tree.since(link, known)
            except (ResyncNeeded, ItemGone, ResourceGone):
                pass  # read again as a whole; an archive may be another mailbox now than it was
        mailbox = self._find()
        try:
            return self._tree.whole(mailbox, known)
        except ItemGone as gone:
            raise ResourceGone("The mailbox is not there.", status_code=404) from gone

    def _start(self, folder_id: str, notes: Notes, below: tuple[Change, ...] = ()) -> FeedPage:
        """The first page of a folder's feed: what lies in the folder and is not seen again is gone.

        `below`: the folders in a folder that was known, which lie in it too and which its feed
        does not tell of.
        """
        path = f"{notes.path(folder_id)}/items/delta"
        return FeedPage(
            part=f"folder:{folder_id}",
            entries=below,
            link=f"{path}?{EXPAND}" if self._expands else path,
            more=True,
            reset=True,
            scope=folder_id,
        )

    def _items(self, part: str, link: str, tree: str, notes: Notes) -> Iterator[FeedPage]:
        folder_id = part.removeprefix("folder:")
        self._homes[folder_id] = notes.home(folder_id)
        try:
            yield from self._followed(part, link, tree, notes)
        except ItemGone:
            if self._exists(notes.path(folder_id)):
                raise  # not the folder: a feed must not end because of one odd answer
            yield FeedPage(part, (Gone(folder_id),), "", more=False, dropped_parts=(part,))

    def _followed(self, part: str, link: str, tree: str, notes: Notes) -> Iterator[FeedPage]:
        """The pages of a feed; begun anew where the service lost it or a page was too heavy."""
        folder_id = part.removeprefix("folder:")
        try:
            yield from self._follow(part, link)
        except (ResyncNeeded, GatewayTimeout, AnswerTooLarge) as problem:
            start = self._start(folder_id, notes, self._tree.below(folder_id, tree, ()))
            yield start
            small = not isinstance(problem, ResyncNeeded)
            yield from self._follow(part, start.link, _PAGE_ITEMS_SMALL if small else _PAGE_ITEMS)

    def _follow(self, part: str, link: str, items: int = _PAGE_ITEMS) -> Iterator[FeedPage]:
        folder_id = part.removeprefix("folder:")
        home = self._homes[folder_id]
        for page in self._pages(link, {"Prefer": f"odata.maxpagesize={items}"}):
            named = self._named(page.value, folder_id)
            entries = tuple(_entry(raw, folder_id) for raw in named)
            last = {one.id: one for one in entries}
            wanted = [
                self._wanted(one, home)
                for one in entries
                if isinstance(one, Change) and last[one.id] is one
            ]
            self._exports.expect([one for one in wanted if not _travels_alone(one)])
            yield FeedPage(part, entries, page.link, page.more)

    def _pages(self, link: str, prefer: Mapping[str, str]) -> Iterator[DeltaPage]:
        """The pages from `link` on; without names where the tenant refuses to expand them."""
        plain = link.removesuffix(f"?{EXPAND}")
        first = True
        try:
            for page in follow(
                self._reader, link if self._expands else plain, headers=prefer, scope=self._scope
            ):
                first = False
                yield page
            return
        except GraphProblem as problem:
            if not first or link == plain or problem.status_code != 400:
                raise
        self._expands = False
        yield from follow(self._reader, plain, headers=prefer, scope=self._scope)

    def _named(self, values: Sequence[dict[str, Any]], folder_id: str) -> list[dict[str, Any]]:
        """The entries of a page with the properties that name them; asked for, twenty at a time,
        where the delta brought none at all.
        """
        bare = [raw for raw in values if "@removed" not in raw]
        if any("singleValueExtendedProperties" in raw for raw in bare) or not bare:
            return list(values)
        folder = self._folder(folder_id)
        if not folder.startswith("/"):
            return list(values)  # a batch takes paths only, and this mailbox is a link
        beta = folder.startswith("/beta/")
        folder = folder.removeprefix("/beta")
        requests = [
            BatchRequest(f"{folder}/items/{quote(raw['id'], safe='')}?$select=id&{EXPAND}")
            for raw in bare
        ]
        answers = self._reader.batch(requests, self._scope, beta=beta)
        names = {
            raw["id"]: answer.body.get("singleValueExtendedProperties")
            for raw, answer in zip(bare, answers, strict=True)
            if answer.status == 200 and isinstance(answer.body, dict)
        }
        return [
            {**raw, "singleValueExtendedProperties": names[raw["id"]]}
            if names.get(raw["id"])
            else raw
            for raw in values
        ]

    def _ask(self, mailbox: str, item_ids: Sequence[str]) -> dict[str, Exported]:
        try:
            return self._reader.export_items(mailbox, item_ids, self._scope)
        except Forbidden as problem:  # all of it: the errors of single items are in the answer
            raise problem.told_as(ExportRefused, "The export of items is refused.") from problem

    def _wanted(self, change: Change, home: str) -> Wanted:
        size = change.raw.get("size")
        return Wanted(parts_of_key(change.id)[1], size if isinstance(size, int) else None, home)

    def _home(self, folder_id: str) -> str:
        """The mailbox a folder lies in; asked for where no feed was read yet (the ledger)."""
        if folder_id not in self._homes:
            self._mailbox = self._mailbox or self._find()
            self._homes[folder_id] = (
                self._tree.home(self._mailbox, folder_id) if self._spreads else self._mailbox
            )
        return self._homes[folder_id]

    def _folder(self, folder_id: str) -> str:
        return Notes(self._home(folder_id)).path(folder_id)

    def _exists(self, folder: str) -> bool:
        try:
            self._reader.get(folder, params={"$select": "id"}, scope=self._scope)
        except ItemGone:
            return False
        return True


def _travels_alone(wanted: Wanted) -> bool:
    return wanted.answer_bytes > ALONE_BYTES


def _may_hold_items(folder: Change) -> bool:
    """All folders but a top one that is empty, or of which nothing is told."""
    return bool(folder.parent) or bool(folder.row.get("items"))


def _entry(raw: Mapping[str, Any], folder_id: str) -> Change | Gone:
    if "@removed" in raw:
        return Gone(item_key(folder_id, raw["id"]), parent=folder_id)
    return _change(raw, folder_id, partial=not raw.get("changeKey"))


def _change(raw: Mapping[str, Any], folder_id: str, *, partial: bool) -> Change:
    return Change(
        id=item_key(folder_id, str(raw["id"])),
        parent=folder_id,
        kind=KIND,
        name=name_of(raw),
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={} if partial else row_of(raw),
        fingerprint="" if partial else str(raw.get("changeKey") or ""),
        partial=partial,
    )
