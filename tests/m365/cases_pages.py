"""Site pages: what the services' suite knows of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.pages import canvas_json, page_json
from simulator.pages_state import SUPPORTED, Page, holders, site_pages
from simulator.sites import add_site, delete_site
from tests.m365.stage import RAW, Truth, canonical

VOLATILE = ("eTag", "reactions")
_FACTS = (
    "name", "title", "description", "pageLayout", "promotionKind", "showComments",
    "showRecommendedPages", "titleArea",
)  # fmt: skip


class PagesCase:
    """Pages of the site that has one of every sort."""

    service: Service = SERVICES["pages"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        site = next(one for one in tenant.sites if site_pages(tenant, one).pages)
        return Resource("site", site)

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("site", add_site(tenant, "Empty", "https://contoso.sharepoint.com/sites/E"))

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        found: Counter[Truth] = Counter()
        for page in site_pages(tenant, resource.graph_id).pages.values():
            data = canonical(kept(tenant, resource.graph_id, page))
            found[Truth((page.name,), len(data), hashlib.sha256(data).hexdigest())] += 1
        return found

    def main_part(self) -> str:
        return RAW

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """There are none that the service could forget."""

    def idle_requests_max(self, folders: int) -> int:
        return 2  # the list, and the page that says nothing of its changes

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        del site_pages(tenant, resource.graph_id).pages[item_id]

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        delete_site(tenant, resource.graph_id)

    def content_pattern(self) -> str:
        return r"GET /sites/[^/]+/pages/[^/]+/sitePage"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return Counter(
            facts(page)
            for page in site_pages(tenant, target.graph_id).pages.values()
            if not page.broken
        )

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return self.restored(tenant, resource)


def kept(tenant: simulator.Tenant, site_id: str, page: Page) -> dict[str, Any]:
    """The object a backup keeps: as a GET gives it, or, without its canvas, as the list does."""
    shown = page_json(tenant, site_id, page)
    if not page.broken:
        shown = {"@odata.type": "#microsoft.graph.sitePage", **shown}
        if page.canvas is not None:
            shown["canvasLayout"] = canvas_json(page)
    return {name: value for name, value in shown.items() if name not in VOLATILE}


def facts(page: Page) -> tuple[Any, ...]:
    """What a reader would miss of a page; without the web parts that Graph does not accept."""
    canvas = canvas_json(page)
    for holder in holders(canvas):
        holder["webparts"] = [
            (one.get("innerHtml"), one.get("webPartType"), canonical(one.get("data") or {}))
            for one in holder["webparts"]
            if _is_accepted(one)
        ]
    settings: Mapping[str, Any] = {name: page.facts.get(name) for name in _FACTS}
    return canonical(dict(settings)), repr(canvas), page.published


def _is_accepted(part: Mapping[str, Any]) -> bool:
    return "innerHtml" in part or part.get("webPartType") in SUPPORTED
