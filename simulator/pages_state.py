"""The site pages of the simulated tenant: what each holds, and what a canvas may hold.

Rules
- A site has pages unless it was told to have no library for them; then every request is a 404.
- A name is there once in a site, in whatever case.
- A change makes a draft of the next minor version; publishing makes it the next major one.
- Web parts of the documented kinds are accepted, others refuse the whole request.
"""

import copy
from dataclasses import dataclass, field

from simulator.tenant import Tenant
from simulator.web import GraphError, Json

SUPPORTED = frozenset((
    "e377ea37-9047-43b9-8cdb-a761be2f8e09", "0f087d7f-520e-42b7-89c0-496aaf979d58",
    "df8e44e7-edd5-46d5-90da-aca1539313b8", "2161a1c6-db61-4731-b97c-3cdb303f7cbb",
    "b7dd04e1-19ce-4b24-9132-b60a1c2b910d", "d1d91016-032f-456d-98a4-721247c305e8",
    "af8be689-990e-492a-81f7-ba3e4cd3ed9c", "6410b3b6-d440-4663-8744-378976dc041e",
    "e84a8ca2-f63c-4fb9-bc0b-d8eef5ccb22b", "7f718435-ee4d-431c-bdbf-9c4ff326f46e",
    "c70391ea-0b10-4ee9-b2b4-006d3fcad0cd", "8654b779-4886-46d4-8ffb-b5ed960ee986",
    "544dd15b-cf3c-441b-96da-004d5a8cea1d", "cbe7b0a9-3504-44dd-a3a3-0e5cacd07788",
))  # fmt: skip
"""Kinds of standard web parts: https://learn.microsoft.com/graph/api/sitepage-create"""
_TYPES = ("textwebpart", "standardwebpart")


@dataclass(slots=True)
class Page:
    """One page; facts are Graph's without what is computed."""

    id: str
    facts: Json
    canvas: Json | None
    created: str
    modified: str
    major: int = 0
    minor: int = 1
    edits: int = 1
    by: Json = field(default_factory=dict)
    broken: int = 0
    """Status of every answer that would hold the canvas; 0: it is given."""
    spelling: str = "#microsoft.graph."
    """What the type of a text web part begins with in answers."""
    silent: bool = False
    """Lists and answers say neither eTag nor lastModifiedDateTime of it."""

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    @property
    def published(self) -> bool:
        return self.minor == 0

    def edit(self, stamp: str) -> None:
        """Counts a change."""
        self.minor += 1
        self.edits += 1
        self.modified = stamp

    def publish(self, stamp: str) -> None:
        """Makes the next major version of a draft."""
        if not self.published:
            self.major, self.minor = self.major + 1, 0
            self.edits += 1
            self.modified = stamp


@dataclass(slots=True)
class SitePages:
    """The pages of one site, by id."""

    pages: dict[str, Page] = field(default_factory=dict)
    library: bool = True
    drops_silently: frozenset[str] = frozenset()
    """Kinds of web parts that are accepted and not kept."""

    def named(self, name: str) -> Page | None:
        return next((p for p in self.pages.values() if p.name.lower() == name.lower()), None)

    def find(self, page_id: str) -> Page:
        found = self.pages.get(page_id.lower())
        if found is None:
            raise GraphError(404, "itemNotFound", "The resource could not be found.")
        return found


def site_pages(tenant: Tenant, site_id: str) -> SitePages:
    """The pages of a site that is there."""
    rooms: dict[str, SitePages] = tenant.room.setdefault("site pages", {})
    return rooms.setdefault(site_id, SitePages())


def add_page(
    tenant: Tenant, site_id: str, facts: Json, canvas: Json | None, by: Json | None = None
) -> Page:
    """A new page, a draft; facts have a name and a title."""
    now = tenant.clock.stamp()
    whole: Json = {
        "description": "", "pageLayout": "article", "promotionKind": "page",
        "showComments": True, "showRecommendedPages": False, "thumbnailWebUrl": None,
    }  # fmt: skip
    page = Page(tenant.new_id(), whole | facts, copy.deepcopy(canvas), now, now, by=by or {})
    site_pages(tenant, site_id).pages[page.id] = page
    return page


def accepted(canvas: Json, dropped: frozenset[str] = frozenset()) -> Json:
    """A canvas as it is kept; raises Graph's 400 for a web part of an unsupported kind."""
    kept = copy.deepcopy(canvas)
    for holder in holders(kept):
        parts = []
        for part in holder.get("webparts") or []:
            _check(part)
            part.setdefault("id", "")
            if part.get("webPartType") not in dropped:
                parts.append(part)
        holder["webparts"] = parts
    return kept


def holders(canvas: Json) -> list[Json]:
    """Columns and the vertical section of a canvas."""
    found = [c for s in canvas.get("horizontalSections") or [] for c in s.get("columns") or []]
    vertical = canvas.get("verticalSection")
    return [*found, vertical] if vertical else found


def _check(part: Json) -> None:
    kind = str(part.get("@odata.type", "")).rpartition(".")[2].lower()
    if not kind:
        kind = "textwebpart" if "innerHtml" in part else "standardwebpart"
    if kind not in _TYPES:
        raise GraphError(400, "invalidRequest", "The web part type is not supported.")
    if kind == "standardwebpart" and part.get("webPartType") not in SUPPORTED:
        raise GraphError(400, "invalidRequest", "The web part is not supported.")
    if any("@" in name and name != "@odata.type" for name in part):
        raise GraphError(400, "invalidRequest", "The request holds OData metadata.")
