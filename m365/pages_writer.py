"""Site pages restored: made anew, published where they were, and put in the place of another.

Rules
- A page is made whole in one request. Where the service refuses that, it is made without web parts,
  and they are put in by halves: what is refused alone is left out and named. ASKED_MAX bounds it.
- A name cannot be changed by Graph, and a page's address is its name. So a replacement is first
  made beside the old page and checked; then the old page takes over its content, which keeps its
  address, its comments and its version history, and the one beside it goes to the recycle bin.
- A page made beside another has a name that follows from the marker, so that a repeated step
  meets its own and not a third one.
- There are no folders of pages: a folder made for a restore becomes the beginning of names.
- Pages can keep no marker that a reader would not see: what a killed step wrote is known by what
  lay there before it.

https://learn.microsoft.com/graph/api/sitepage-create /sitepage-update /sitepage-publish
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.clock import Clock, SystemClock
from base.item import StoredItem, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, Forbidden, GraphProblem, ItemGone, MaybeDone
from m365.page_json import (
    CANVAS,
    ROOT,
    TYPE,
    Raw,
    body_of,
    canvas_body,
    changes_of,
    level,
    web_parts,
)
from m365.seen import tag
from m365.service import Existing, Folder, Identity, Resource, Written
from m365.visibility import patiently

ASKED_MAX = 60  # requests to find out which web parts of one page are refused
NAME_CHARACTERS_MAX = 128
_CAST = "microsoft.graph.sitePage"
_SAME = ("name", "title", "description", "pageLayout", "promotionKind")
_REFUSED = (400, 422, 500, 501)  # "a failure or exception", as the documentation has it
_NO_SUCH_CALL = (404, 405)


class PagesWriter:
    """Restores pages into one site."""

    keeps_markers = False

    def __init__(self, writer: GraphWriter, resource: Resource, clock: Clock | None = None) -> None:
        self._writer = writer
        self._scope = Scope.sharepoint()
        self._pages = f"/sites/{quote(resource.graph_id, safe=',')}/pages"
        self._clock = clock or SystemClock()
        self._there: dict[str, str] | None = None  # ids of the site's pages by name, once listed

    def root(self) -> Folder:
        return Folder(ROOT)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        return Folder(ROOT, (*into.path, name)) if stored is None else into

    def original_folder(self, stored: StoredItem) -> Folder | None:
        return self.root()

    def identity(self, item: StoredItem) -> Identity:
        return Identity(_key(item.raw), _same(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        before = _name_in(into, "")
        rows = list(self._listed())
        self._there = {_key(raw): str(raw["id"]) for raw in rows}
        for raw in rows:
            name = str(raw.get("name") or "")
            if name.startswith(before):
                named = {**raw, "name": name.removeprefix(before)}
                yield Existing(str(raw["id"]), _key(named), _same(named))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        name = _name_in(into, str(item.raw.get("name") or f"{item.name}.aspx"))
        if replace is not None or new_name:
            name = _name_beside(name, marker)
            self._clear(name)
        making = _Making(self._writer, self._scope, self._clock, self._pages, item)
        page_id = making.make(name)
        if replace is not None and making.whole():
            if making.take_over(replace.id):
                self.remove(page_id)
                return Written(replace.id, "replaced", tuple(making.troubles))
        making.publish(page_id)
        outcome = "copied" if replace is not None or new_name else "created"
        if replace is not None:
            making.note("replace", "old-one-kept")
        return Written(page_id, outcome, tuple(making.troubles))

    def remove(self, item_id: str) -> None:
        path = f"{self._pages}/{quote(item_id, safe='')}"
        self._writer.delete(path, scope=self._scope)

    def _listed(self) -> Iterator[Raw]:
        path = f"{self._pages}/{_CAST}"
        pages = follow(
            self._writer, path, {"$top": "200"}, scope=self._scope, cost_first=2, cost_next=2
        )
        for some in pages:
            yield from (raw for raw in some.value if raw.get("id"))

    def _clear(self, name: str) -> None:
        """Takes away what a killed attempt of the same step left behind."""
        if self._there is None:
            self._there = {_key(raw): str(raw["id"]) for raw in self._listed()}
        left = self._there.pop(name.casefold(), "")
        if left:
            self.remove(left)


class _Making:
    """Makes one page out of a stored one, and knows what could not be set."""

    def __init__(
        self, writer: GraphWriter, scope: Scope, clock: Clock, pages: str, item: StoredItem
    ) -> None:
        self._writer, self._scope, self._clock = writer, scope, clock
        self._pages, self._item = pages, item
        self._raw = item.raw
        self._kept: set[int] | None = None  # places of accepted web parts; None: all of them
        self._asked = 0
        self._cast = f"/{_CAST}"  # of changes; "" where the target knows them only without
        self.troubles: list[Trouble] = []

    def note(self, part: str, cause: str, detail: str = "") -> None:
        trouble = Trouble(self._item.id, part, cause, retry=False, detail=detail)
        if trouble not in self.troubles:
            self.troubles.append(trouble)

    def make(self, name: str) -> str:
        """The id of the new page, a draft; with all web parts that are accepted."""
        body = body_of(self._raw, name)
        try:
            made = self._post(body, name)
        except GraphProblem as problem:
            if problem.status_code not in _REFUSED or isinstance(problem, MaybeDone):
                raise
            made = self._bare(body, name)
            self._kept = set()
            self._put_in(str(made["id"]), list(range(len(list(web_parts(self._raw))))))
        page_id = str(made["id"])
        self._check(page_id)
        if not isinstance(self._raw.get(CANVAS), dict) and self._item.missing:
            self.note(CANVAS, "not-in-the-backup")
        return page_id

    def whole(self) -> bool:
        """Whether the page has all its content."""
        return not any(one.part == CANVAS for one in self.troubles)

    def take_over(self, page_id: str) -> bool:
        """Gives an existing page the content, all of which was accepted, and publishes it."""
        body = {"title": str(self._raw.get("title") or ""), **changes_of(self._raw)}
        body.setdefault(CANVAS, {"horizontalSections": []})  # or that of the old page would stay
        if body.get("promotionKind") == "page":
            del body["promotionKind"]  # a news post is never made an ordinary page again
        try:
            self._patch(page_id, body)
        except (Clash, Forbidden, ItemGone) as problem:
            self.note("item", problem.code, problem.graph_code)
            return False
        except GraphProblem as problem:
            if problem.status_code not in _REFUSED:
                raise
            self.note("item", "refused", problem.graph_code)
            return False
        self._check(page_id)
        self.publish(page_id)
        return True

    def publish(self, page_id: str) -> None:
        """Publishes a page that was published; a draft stays one."""
        if level(self._raw) != "published":
            return
        path = f"{self._path(page_id)}/{_CAST}/publish"
        try:
            patiently(
                self._clock,
                lambda: self._writer.post(path, scope=self._scope, repeatable=True),
            )
        except GraphProblem as problem:
            self.note("publish", "not-published", problem.graph_code)

    def _post(self, body: Mapping[str, Any], name: str) -> Raw:
        """Creates once: without an answer the site is asked whether it was done."""
        self._asked += 1
        try:
            return self._writer.post(self._pages, body, scope=self._scope)
        except MaybeDone:
            for some in follow(self._writer, f"{self._pages}/{_CAST}", scope=self._scope):
                for raw in some.value:
                    if str(raw.get("name") or "").casefold() == name.casefold():
                        return raw
            raise

    def _bare(self, body: Raw, name: str) -> Raw:
        """The page with its sections and no web parts; without its title area too, if need be."""
        attempts: list[Raw] = []
        rest = {key: value for key, value in body.items() if key != CANVAS}
        if CANVAS in body:
            attempts.append({**rest, CANVAS: canvas_body(self._raw[CANVAS], set())})
        attempts.append(rest)
        plain = {key: rest[key] for key in ("@odata.type", "name", "title")}
        attempts.append({**plain, "pageLayout": "article"})
        for attempt in attempts[:-1]:
            try:
                return self._post(attempt, name)
            except GraphProblem as problem:
                if problem.status_code not in _REFUSED or isinstance(problem, MaybeDone):
                    raise
        made = self._post(attempts[-1], name)
        for left in sorted(rest.keys() - attempts[-1].keys()):
            self.note("properties", "not-set", left)
        return made

    def _put_in(self, page_id: str, places: list[int]) -> None:
        """Puts web parts in, all at once, else by halves; what is refused alone is left out."""
        assert self._kept is not None
        if not places:
            return
        if self._asked >= ASKED_MAX:
            self._leave_out(places, "not-tried")
            return
        self._asked += 1
        try:
            self._patch(page_id, {CANVAS: canvas_body(self._raw[CANVAS], self._kept | set(places))})
        except GraphProblem as problem:
            if problem.status_code in _NO_SUCH_CALL or len(places) == 1:
                self._leave_out(places, "refused", problem.graph_code)
                return
            if problem.status_code not in _REFUSED:
                raise
            middle = len(places) // 2
            self._put_in(page_id, places[:middle])
            self._put_in(page_id, places[middle:])
            return
        self._kept |= set(places)

    def _leave_out(self, places: list[int], cause: str, detail: str = "") -> None:
        parts = list(web_parts(self._raw))
        for place in places:
            kind = str(parts[place].get("webPartType") or parts[place].get("@odata.type") or "")
            self.note(CANVAS, cause, f"web part {place + 1} {kind} {detail}".strip())

    def _check(self, page_id: str) -> None:
        """Reads the page again: the service drops web parts without a word."""
        path = f"{self._path(page_id)}/{_CAST}"
        params = {"$expand": CANVAS}
        made = patiently(
            self._clock, lambda: self._writer.get(path, params=params, scope=self._scope)
        )
        wanted = len(list(web_parts(self._raw))) if self._kept is None else len(self._kept)
        there = len(list(web_parts(made)))
        if there < wanted:
            self.note(CANVAS, "not-kept", f"{wanted - there} of {wanted} web parts")
        for name in ("title", "promotionKind", "pageLayout"):
            if self._raw.get(name) and made.get(name) not in (None, self._raw[name]):
                self.note("properties", "not-set", name)

    def _patch(self, page_id: str, body: Mapping[str, Any]) -> None:
        """Changes a page; documented under its type, and in the metadata without it."""
        typed = {"@odata.type": TYPE, **body}
        try:
            self._change(page_id, typed)
        except GraphProblem as problem:
            if problem.status_code not in _NO_SUCH_CALL or not self._cast:
                raise
            self._cast = ""
            self._change(page_id, typed)

    def _change(self, page_id: str, body: Mapping[str, Any]) -> None:
        path = f"{self._path(page_id)}{self._cast}"
        patiently(self._clock, lambda: self._writer.patch(path, body, scope=self._scope))

    def _path(self, page_id: str) -> str:
        return f"{self._pages}/{quote(page_id, safe='')}"


def _key(raw: Mapping[str, Any]) -> str:
    return str(raw.get("name") or "").casefold()


def _same(raw: Mapping[str, Any]) -> str:
    return tag([raw.get(name) or "" for name in _SAME])


def _name_in(into: Folder, name: str) -> str:
    return " - ".join((*into.path, name))


def _name_beside(name: str, marker: str) -> str:
    """ "Home.aspx" becomes "Home (restored 3fa9c1).aspx": the same for the same marker."""
    short = hashlib.sha256(marker.encode()).hexdigest()[:6]
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    tail = f" (restored {short}){dot}{extension}"
    return stem[: NAME_CHARACTERS_MAX - len(tail)] + tail
