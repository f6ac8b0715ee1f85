"""Lists of a SharePoint site: columns, content types and rows with all their fields.

Rules
- Feeds: "lists" (which lists there are, told by one listing) and "list:<id>" (the rows of one). A
  new list's feed is announced, with the link it starts from, before the page that names the list.
- Columns and content types are asked for when the listing tells something else of a list than
  when they were read; what it told then lies in the link of the list's feed.
- A list that is not listed is asked for before it is taken for gone.
- Rows come with their fields from the feed; where a tenant leaves the fields out they are asked
  for, twenty to a $batch, before the page is given.
- Libraries are drives: their columns and content types are kept here, their files there.
- Lists that people do not see are read by choice; only a listing that selects `system` names them.
- Files attached to rows are not in Graph: list_attachments.py asks SharePoint itself where the
  application may; else a row that has some says so. Where it may since, feeds start anew.

https://learn.microsoft.com/graph/api/list-list
https://learn.microsoft.com/graph/api/list-get
https://learn.microsoft.com/graph/api/listitem-delta
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.feeds import each_whole
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    GraphProblem,
    ItemGone,
    Locked,
    ResourceGone,
    ResyncNeeded,
    TransientFailure,
)
from m365.list_attachments import Attachments
from m365.list_json import (
    FEED,
    KIND,
    LOOKED_UP,
    MISSING,
    PEOPLE_TEMPLATE,
    ListLink,
    has_attachments,
    ids_of,
    is_hidden,
    is_library,
    item_change,
    item_id,
    kind_of,
    list_change,
    list_of,
    of_site,
    part_of,
    root,
    template_of,
    told_of,
)
from m365.list_words import COST_OF_LIST, Words
from m365.lists_writer import ListsWriter
from m365.service import PASSED_ON, Choice, Column, LiveCount, Resource, Service

SELECT = (
    "id,name,displayName,description,createdDateTime,createdBy,lastModifiedDateTime,eTag,webUrl,"
    "parentReference,list,system"
)
LISTS_AT_ONCE = 20  # in one page: their columns are held until it is given
_EXPANDED = {"$expand": "columns,contentTypes"}
_PEOPLE = "User Information List"  # in English; asked for by name where no listing tells it


class ListsSource:
    """Reads the lists of one site; safe to use from several threads but for changes()."""

    def __init__(self, reader: GraphReader, resource: Resource, hidden: bool = False) -> None:
        self._reader = reader
        self._scope = Scope.sharepoint()
        self._lists = f"/sites/{quote(resource.graph_id, safe=',')}/lists"
        self._hidden = hidden
        self._listed: dict[str, dict[str, Any]] | None = None
        self._referring: dict[str, dict[str, Any]] = {}  # by list, its lookups and people
        self._expands = True  # until this tenant refuses it
        self._failed: TransientFailure | None = None  # of a list whose columns were not to be had
        self._files = Attachments(reader, resource.graph_id, self.complete)
        self._words = Words(reader, self._scope, self._lists, self._people)

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if FEED not in finished:
            for page in self._all_lists(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        done = {FEED, *finished}
        waiting = ((part, ListLink.read(link)) for part, link in feeds.items() if part not in done)
        yield from each_whole(self._rows(part, link) for part, link in waiting if not link.library)
        if self._failed is not None:
            raise self._failed

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        return self._files.of(change) if change.kind == KIND else ([], [])

    def complete(self, item_id: str) -> Change:
        list_id, number = ids_of(item_id)
        path = f"{self._items(list_id)}/{quote(number, safe='')}"
        try:
            raw = self._get(path, {"$expand": "fields"})
            if not isinstance(raw.get("fields"), dict):
                raw["fields"] = self._get(f"{path}/fields")
        except ResourceGone as problem:
            self._listing(anew=True)  # raises where it is the whole site
            raise _of_row(problem) from problem
        return self._worded(list_id, [raw])[0]

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return self.complete(change.id)

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # Graph tells no number of rows

    def _all_lists(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the feeds of new lists, then the lists with news in one page."""
        known = {part: ListLink.read(link) for part, link in links.items() if part != FEED}
        listed = self._listing()
        wanted = {k: raw for k, raw in listed.items() if self._hidden or not is_hidden(raw)}
        fresh: dict[str, ListLink] = {}
        entries: list[Change | Gone] = [] if links.get(FEED) else [root()]
        for key, raw in wanted.items():
            part, told = part_of(key), told_of(raw)
            before = known.get(part)
            if before is not None and before.told == told:
                continue
            definition = self._readable(raw)
            if definition is None:
                continue
            link = before or self._from_start(key, is_library(raw))
            if before is None and not link.library:
                yield self._announced(part, link)
            fresh[part] = replace(link, told=told)
            entries.append(list_change(definition))
            if len(entries) >= LISTS_AT_ONCE:
                yield FeedPage(FEED, tuple(entries), "", more=True)
                entries = []
        gone = [part for part in known if self._is_gone(list_of(part), listed, wanted)]
        entries += [Gone(list_of(part)) for part in gone]
        yield FeedPage(FEED, tuple(entries), "listed", more=False, dropped_parts=tuple(gone))
        for part, link in fresh.items():  # only now: what was told of them is kept
            yield FeedPage(part, (), link.write(), more=not link.library)

    def _readable(self, raw: Mapping[str, Any]) -> dict[str, Any] | None:
        """A list with its columns; None where it vanished, or fails: that is raised at the end."""
        try:
            return self._definition(raw)
        except TransientFailure as problem:
            self._failed = problem
            return None

    def _listing(self, *, anew: bool = False) -> dict[str, dict[str, Any]]:
        """All lists of the site by id, hidden ones too. Raises ResourceGone, ResourceLocked."""
        if self._listed is not None and not anew:
            return self._listed
        found: dict[str, dict[str, Any]] = {}
        try:
            for raw in self._all(self._lists, {"$select": SELECT}):
                if raw.get("id"):
                    found[str(raw["id"])] = raw
        except (*MISSING, Locked) as problem:
            raise of_site(problem) from problem
        self._listed = found
        return found

    def _is_gone(self, list_id: str, listed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        """Whether a known list is no longer to be protected: deleted, or hidden since."""
        if list_id in wanted:
            return False
        return list_id in listed or not self._exists(list_id)

    def _exists(self, list_id: str) -> bool:
        try:
            self._get(f"{self._lists}/{quote(list_id, safe='')}")
        except MISSING:
            return False
        return True

    def _definition(self, raw: Mapping[str, Any]) -> dict[str, Any] | None:
        """A list with its columns and content types; None where it vanished meanwhile."""
        key = str(raw["id"])
        path = f"{self._lists}/{quote(key, safe='')}"
        found: dict[str, Any] = {}
        try:
            found = self._get(path, _EXPANDED) if self._expands else {}
        except MISSING:
            return None
        except GraphProblem as problem:
            if isinstance(problem, (TransientFailure, Locked, *PASSED_ON)):
                raise
            self._expands = False
        whole = dict(raw)
        for name in ("columns", "contentTypes"):
            whole[name] = found.get(name)
            if not isinstance(whole[name], list) or f"{name}@odata.nextLink" in found:
                whole[name] = self._all(f"{path}/{name}")
        self._referring[key] = {"columns": [c for c in whole["columns"] if kind_of(c) in LOOKED_UP]}
        return whole

    def _all(self, path: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        pages = follow(
            self._reader, path, params, scope=self._scope,
            cost_first=COST_OF_LIST, cost_next=COST_OF_LIST,
        )  # fmt: skip
        return [raw for page in pages for raw in page.value]

    def _people(self) -> str:
        """The list of the people that the site knows."""
        for key, raw in self._listing().items():
            if template_of(raw) == PEOPLE_TEMPLATE or raw.get("name") == "users":
                return key
        return _PEOPLE

    def _start(self, list_id: str) -> str:
        return f"{self._items(list_id)}/delta?$expand=fields"

    def _from_start(self, list_id: str, library: bool) -> ListLink:
        at = "" if library else self._start(list_id)
        return ListLink(at=at, library=library, files=self._files.readable)

    def _announced(self, part: str, link: ListLink) -> FeedPage:
        """The first page of a list's feed: what lies in the list and is not seen again is gone."""
        return FeedPage(part, (), link.write(), more=True, reset=True, scope=list_of(part))

    def _rows(self, part: str, link: ListLink) -> Iterator[FeedPage]:
        list_id = list_of(part)
        try:
            if not link.at or (self._files.readable and not link.files):
                raise ResyncNeeded("There is no link that tells of all.")
            yield from self._follow(part, link)
        except ResyncNeeded as lost:
            # Both resync codes mean the same here: a backup keeps the state of the service.
            again = link.going_on(lost.location or self._start(list_id))
            again = replace(again, files=self._files.readable)
            yield self._announced(part, again)
            yield from self._follow(part, again)
        except (*MISSING, Locked) as problem:
            self._listing(anew=True)  # raises where it is the whole site
            if isinstance(problem, Locked) or self._exists(list_id):
                raise _of_row(problem) from problem  # not the list: one odd answer ends no feed
            yield FeedPage(part, (Gone(list_id),), "", more=False, dropped_parts=(part,))

    def _follow(self, part: str, link: ListLink) -> Iterator[FeedPage]:
        first = COST_OF_LIST if link.at.startswith("/") else 1
        for page in follow(self._reader, link.at, scope=self._scope, cost_first=first):
            entries = tuple(self._entries(list_of(part), page))
            yield FeedPage(part, entries, link.going_on(page.link).write(), page.more)

    def _entries(self, list_id: str, page: DeltaPage) -> list[Change | Gone]:
        """The rows of a page as they end in it: of one that comes twice the last state counts."""
        last = {str(raw["id"]): raw for raw in page.value if raw.get("id") is not None}
        present = [raw for raw in last.values() if raw.get("deleted") is None]
        changes = iter(self._worded(list_id, self._with_fields(list_id, present)))
        found: list[Change | Gone] = []
        for key, raw in last.items():
            if raw.get("deleted") is None:
                found.append(next(changes))
            else:
                found.append(Gone(item_id(list_id, key), parent=list_id))
        return found

    def _worded(self, list_id: str, rows: Sequence[Mapping[str, Any]]) -> list[Change]:
        """Rows as changes; pieces where their fields could not be had."""
        if not rows:
            return []
        if list_id not in self._referring:
            self._definition({"id": list_id})
        referring = self._referring.get(list_id) or {}
        words = self._words.of(referring, (raw.get("fields") or {} for raw in rows))
        return [
            item_change(
                raw,
                list_id,
                some,
                partial=not isinstance(raw.get("fields"), dict),
                files=self._files.readable and has_attachments(raw),
            )
            for raw, some in zip(rows, words, strict=True)
        ]

    def _with_fields(self, list_id: str, rows: Sequence[dict[str, Any]]) -> list[Mapping[str, Any]]:
        lacking = [str(raw["id"]) for raw in rows if not isinstance(raw.get("fields"), dict)]
        base = self._items(list_id)
        requests = [BatchRequest(f"{base}/{quote(key, safe='')}?$expand=fields") for key in lacking]
        answers = self._reader.batch(requests, scope=self._scope) if requests else []
        whole = dict(zip(lacking, map(_body, answers), strict=True))
        return [whole.get(str(raw["id"])) or raw for raw in rows]

    def _items(self, list_id: str) -> str:
        return f"{self._lists}/{quote(list_id, safe='')}/items"

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._reader.get(path, params=params, scope=self._scope)


def _of_row(problem: GraphProblem) -> GraphProblem:
    """Some answers say of a row or a list what they say of a site: it is not there."""
    return ItemGone(str(problem), status_code=404) if isinstance(problem, ResourceGone) else problem


def _body(answer: BatchAnswer) -> dict[str, Any] | None:
    """The row of an answer in a batch; None where it has to be asked for on its own."""
    try:
        return answer.json()
    except PASSED_ON:
        raise
    except Problem:
        return None


SERVICE = Service(
    name="lists",
    title="Lists",
    resource_kind="site",
    item_kind=KIND,
    reads=("Sites.Read.All",),
    writes=("Sites.Manage.All", "Sites.ReadWrite.All"),
    columns=(
        Column("modified", "Modified", "datetime"),
        Column("by", "Modified by", "text"),
        Column("created", "Created", "datetime"),
        Column("type", "Content type", "text"),
        Column("attachments", "Attachments", "flag"),
    ),
    source=ListsSource,
    writer=ListsWriter,
    not_restorable=(
        "This application becomes the author of restored rows, and they have dates of their own.",
        "Links, pictures, places, terms and thumbnails come back as text in a list that is made.",
        "Into an existing list links, pictures, places, terms and thumbnails do not come back.",
        "Rows that lay in folders of a list come back at its top; the folders do not.",
        "Files attached to rows: only a certificate that SharePoint itself lets write brings them.",
        "A content type that the target's site has not is made there without columns of its own.",
        "Columns of libraries come back with nothing: their files are restored with the drive.",
        "Lookups and people that the target does not know stay empty, and the report says which.",
    ),
    not_captured=(
        "Files attached to rows: only a certificate that SharePoint itself lets in can read them.",
        "Views, formatting, comments, alerts and workflows: they are not in Graph.",
        "Earlier versions of rows, and who may see a list or a row.",
        "What a library's own columns say of its files; the columns themselves are kept.",
        "Values of columns that a list hides: Graph gives the fields that people see.",
        "Lists that SharePoint hides from people, unless the policy chooses them.",
    ),
    choices={
        "hidden": Choice("Whether lists are kept that SharePoint hides from people.", False),
    },
)
