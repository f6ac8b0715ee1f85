"""Site pages: what a site shows its readers, with canvas and web parts; news posts among them.

Rules
- There is no change feed: the list of pages tells of each its etag and when it was changed. Only
  pages that tell something else than before are read; so a quiet site costs one request for each
  two hundred pages.
- One feed, "pages". Its link remembers what was told (seen.py) and no nextLink: a round that was
  interrupted lists anew, and goes on with what it has not read.
- A page that is not listed is asked for before it is taken for gone: the list is sorted by name,
  and a page that is renamed meanwhile passes a reader who is in the middle of it.
- A page whose canvas cannot be had is kept as the list told of it, with a row in the ledger.
- A site that has no library of pages answers 404 and is there all the same.

https://learn.microsoft.com/graph/api/sitepage-list /sitepage-get
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote

from base.errors import Problem, Throttled
from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.graph.client import BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    AnswerTooLarge,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResourceGone,
    TransientFailure,
    Unauthorized,
)
from m365.page_json import CANVAS, Raw, page, root, told
from m365.pages_writer import PagesWriter
from m365.seen import Seen, tag
from m365.service import Column, LiveCount, Resource, Service, trouble_of

FEED = "pages"
LIST_SIZES = (200, 20)  # of a page; the second where the service took too long for the first
READ_AT_ONCE = 20  # pages with their canvas, and what is handed on at once
LIST_COST, READ_COST = 2, 1  # resource units
CAST = "microsoft.graph.sitePage"
_TOO_HEAVY = (GatewayTimeout, AnswerTooLarge)
_PASSED_ON = (Throttled, Unauthorized)
_MISSING = (ItemGone, ResourceGone)  # of one page, and of the list: the code tells no difference

_Problem = TypeVar("_Problem", bound=GraphProblem)


class PagesSource:
    """Reads the pages of one site; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.sharepoint()
        self._site = f"/sites/{quote(resource.graph_id, safe=',')}"

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        if FEED in finished:
            return
        link = links.get(FEED, "")
        seen = Seen(json.loads(link)["seen"] if link else None)
        if not link:
            yield FeedPage(FEED, (root(),), _link(seen), more=True, reset=True)
        listed: set[str] = set()
        for some in self._listed(bool(len(seen))):
            listed.update(str(raw["id"]) for raw in some)
            news = {str(raw["id"]): raw for raw in some if seen.tells(str(raw["id"]), told(raw))}
            for chunk in _chunks(list(news.values())):
                entries = tuple(self._news(chunk, seen))
                if entries:
                    yield FeedPage(FEED, entries, _link(seen), more=True)
        gone = [key for key in seen.missing(listed) if not self._exists(key)]
        seen.forget(gone)
        yield FeedPage(FEED, tuple(map(Gone, gone)), _link(seen), more=False)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        """Nothing: the canvas lies in the object. Says why, where it does not."""
        if change.kind == "folder" or change.fingerprint:
            return [], []
        try:
            self._whole(change.id)
        except _PASSED_ON:
            raise
        except ItemGone as problem:
            if not self._exists(change.id):
                raise
            return [], [trouble_of(change.id, CANVAS, problem)]
        except Problem as problem:
            return [], [trouble_of(change.id, CANVAS, problem)]
        return [], [Trouble(change.id, CANVAS, TransientFailure.code, retry=True)]

    def complete(self, item_id: str) -> Change:
        return page(self._whole(item_id), whole=True)

    def merge(self, raw: Mapping[str, object], change: Change) -> Change:
        return change  # pages always come whole

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # every round lists all of them

    def _news(self, listed: list[Raw], seen: Seen) -> Iterator[Change]:
        """Pages that told something else and, as was found by reading them, are something else."""
        for raw, whole in zip(listed, self._read([str(raw["id"]) for raw in listed]), strict=True):
            if whole is None:
                seen.note(str(raw["id"]), told(raw), "")
                yield page(raw, whole=False)
                continue
            change = page(whole, whole=True)
            same = seen.is_as_read(change.id, tag([change.raw, change.volatile]))
            seen.note(change.id, told(raw), tag([change.raw, change.volatile]))
            if not same:
                yield change

    def _listed(self, had_pages: bool) -> Iterator[list[Raw]]:
        try:
            yield from self._sized(LIST_SIZES[0])
        except _TOO_HEAVY:
            yield from self._sized(LIST_SIZES[-1])
        except _MISSING as problem:
            self._ask_for_site()
            if had_pages:  # better a resource that is gone than a restore point without pages
                text = "The site has no library of pages any more."
                raise _told_as(ResourceGone, text, problem) from problem

    def _sized(self, size: int) -> Iterator[list[Raw]]:
        path, params = f"{self._site}/pages/{CAST}", {"$top": str(size)}
        for some in follow(
            self._reader,
            path,
            params,
            scope=self._scope,
            cost_first=LIST_COST,
            cost_next=LIST_COST,
        ):
            yield [raw for raw in some.value if raw.get("id")]

    def _ask_for_site(self) -> None:
        try:
            self._reader.get(self._site, params={"$select": "id"}, scope=self._scope)
        except _MISSING as problem:
            raise _told_as(ResourceGone, "The site is not there.", problem) from problem

    def _read(self, page_ids: list[str]) -> list[Raw | None]:
        """Pages with their canvas; None for one that could not be read."""
        requests = [BatchRequest(f"{self._path(key)}?$expand={CANVAS}") for key in page_ids]
        try:
            answers = [one.json for one in self._reader.batch(requests, scope=self._scope)]
        except _TOO_HEAVY:
            answers = [lambda key=key: self._whole(key) for key in page_ids]  # type: ignore[misc]
        found: list[Raw | None] = []
        for answer in answers:
            try:
                found.append(answer())
            except _PASSED_ON:
                raise
            except Problem:
                found.append(None)
        return found

    def _whole(self, page_id: str) -> Raw:
        """A page with its canvas. Raises ItemGone where it is not there."""
        path, params = self._path(page_id), {"$expand": CANVAS}
        try:
            return self._reader.get(path, params=params, scope=self._scope, cost=READ_COST)
        except ResourceGone as problem:
            raise _told_as(ItemGone, "The page is not there any more.", problem) from problem

    def _exists(self, page_id: str) -> bool:
        try:
            self._reader.get(self._path(page_id), scope=self._scope, cost=READ_COST)
        except _MISSING:
            return False
        return True

    def _path(self, page_id: str) -> str:
        return f"{self._site}/pages/{quote(page_id, safe='')}/{CAST}"


def _told_as(kind: type[_Problem], text: str, problem: GraphProblem) -> _Problem:
    """The same answer of Graph as another problem."""
    return problem.told_as(kind, text)


def _link(seen: Seen) -> str:
    return json.dumps({"seen": seen.tags()}, separators=(",", ":"))


def _chunks(entries: list[Raw]) -> Iterator[list[Raw]]:
    for start in range(0, len(entries), READ_AT_ONCE):
        yield entries[start : start + READ_AT_ONCE]


SERVICE = Service(
    name="pages",
    title="Site pages",
    resource_kind="site",
    item_kind="site-page",
    reads=("Sites.Read.All",),
    writes=("Sites.ReadWrite.All",),
    columns=(
        Column("title", "Title", "text"),
        Column("modified", "Modified", "datetime"),
        Column("author", "Modified by", "text"),
        Column("state", "State", "text"),
        Column("promotion", "Promoted as", "text"),
    ),
    source=PagesSource,
    writer=PagesWriter,
    not_restorable=(
        "A restored page is a new one: comments, likes, dates, authors and versions stay behind.",
        "Graph accepts some kinds of web parts only; what it refuses is left out and named.",
        "Pages from folders and page templates come back as ordinary pages at the top.",
        "Pictures on a page are files of the site: they come back with the site's files.",
    ),
    not_captured=(
        "Some kinds of web parts: Graph leaves them out; the page's own file has them all.",
        "Comments on pages and earlier versions of their canvas: Graph has neither.",
        "News links and video pages: Graph lists them in its beta version only.",
    ),
)
