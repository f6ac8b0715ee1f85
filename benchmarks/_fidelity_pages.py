"""Site pages and canvases that together use every property, and what became of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks._fidelity import Scene, Shown, named
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant
from simulator.pages_content import EVENTS, fill_pages
from simulator.pages_state import Page, SitePages, site_pages
from simulator.sites import add_site

_ADDRESS = "https://contoso.sharepoint.com/sites"
_PICTURE = "https://contoso.sharepoint.com/sites/full/SiteAssets/crane.png"
_CAST = "microsoft.graph.sitePage"
_NOTES = ("@odata.context", "@odata.etag", "canvasLayout@odata.context")
_Raw = Mapping[str, Any]
_Facts = dict[str, Any]


class Pages:
    """Site pages among the subjects of the measurement."""

    service = "pages"

    def furnish(self, tenant: Tenant) -> Scene:
        source, target = (add_site(tenant, one, f"{_ADDRESS}/{one}") for one in ("full", "fresh"))
        fill_pages(tenant, source, random.Random("fidelity"), 3, special=True)
        here = site_pages(tenant, source)
        _fill(_page(here, "Web-parts.aspx"))
        _fill_title(_page(here, "We-have-a-new-crane.aspx"))
        below = _page(here, "How3.aspx") if here.named("How3.aspx") else _page(here, "Tides2.aspx")
        below.facts["webUrl"] = f"{_ADDRESS}/full/SitePages/Archive/{below.name}"  # in a folder
        return Scene(source, target, {"sites": {"mode": "include", "sites": [source]}})

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        listed = graph.all(f"/sites/{where}/pages/{_CAST}")
        paths = (f"/sites/{where}/pages/{one['id']}/{_CAST}" for one in listed)
        found = [graph.get(path, expand="canvasLayout") for path in paths]
        return named(_entries(found, str(tenant.sites[where]["webUrl"])))

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        view = installation.view(self.service, f"site:{where}")
        found = [
            {**view.item(entry.id).raw, **entry.facts.get("volatile", {})}
            for entry in view.catalog.items()
            if entry.kind != "folder"
        ]
        return named(_entries(found, str(installation.tenant.sites[where]["webUrl"])))


def _page(here: SitePages, name: str) -> Page:
    found = here.named(name)
    assert found is not None, name
    return found


def _fill(page: Page) -> None:
    """What else a canvas and a page can hold."""
    assert page.canvas is not None
    page.canvas["id"] = "1"
    page.canvas["verticalSection"]["id"] = "1"
    page.canvas["verticalSection"]["webparts"].append(
        {
            "@odata.type": "#microsoft.graph.standardWebPart",
            "id": "0d6d5a0e-3c47-4d55-8a7a-1f2b3c4d5e6f",
            "webPartType": EVENTS,
            "data": {"dataVersion": "1.0", "title": "Events"},
        }
    )
    column = page.canvas["horizontalSections"][0]["columns"][1]
    column["webparts"].append(
        {
            "@odata.type": "#microsoft.graph.standardWebPart",
            "id": "8a1b6f7e-5c1d-4e0f-9b2a-6d7c8e9f0a1b",
            "containerTextWebPartId": column["webparts"][0]["id"],
            "webPartType": "d1d91016-032f-456d-98a4-721247c305e8",
            "data": {"dataVersion": "1.9", "title": "Image", "properties": {"altText": "A crane"}},
        }
    )
    page.facts |= {
        "reactions": {"likeCount": 3, "commentCount": 1},
        "thumbnailWebUrl": _PICTURE,
        "showRecommendedPages": True,
    }
    page.edit(page.modified)
    page.publish(page.modified)


def _fill_title(page: Page) -> None:
    """What else a title area can hold, and a vertical section of which all comes back."""
    assert page.canvas is not None
    text = {"id": "2f6e0d9c-8b7a-4c5d-9e1f-3a2b1c0d9e8f", "innerHtml": "<p>Nearby</p>"}
    page.canvas["verticalSection"] = {"emphasis": "none", "webparts": [text]}
    page.facts["titleArea"] = {
        "alternativeText": "A crane at dawn", "enableGradientEffect": True,
        "imageWebUrl": _PICTURE, "layout": "colorBlock", "showAuthor": True,
        "serverProcessedContent": {"imageSources": [{"key": "imageSource", "value": _PICTURE}]},
        "showPublishedDate": True, "showTextBlockAboveTitle": True, "textAboveTitle": "NEWS",
        "textAlignment": "center",
    }  # fmt: skip


def _entries(pages: Iterable[_Raw], address: str) -> Iterator[tuple[str, str, _Facts]]:
    """Pages and what lies in them, without the addresses of their sites."""
    for raw in pages:
        facts = {name: value for name, value in raw.items() if name not in _NOTES}
        facts["webUrl"] = str(raw["webUrl"]).removeprefix(address)
        name, canvas = str(raw["name"]), raw.get("canvasLayout")
        if canvas is not None:
            facts["canvasLayout"] = _spelled(canvas)
            yield from _canvas(name, facts["canvasLayout"])
        yield "sitePage", name, facts
        if "titleArea" in raw:
            yield "titleArea", name, dict(raw["titleArea"])


def _canvas(page: str, canvas: _Raw) -> Iterator[tuple[str, str, _Facts]]:
    yield "canvasLayout", page, dict(canvas)
    for number, section in enumerate(canvas["horizontalSections"]):
        place = f"{page}/{number}"
        yield "horizontalSection", place, dict(section)
        for column in section["columns"]:
            at = f"{place}/{column['id']}"
            yield "horizontalSectionColumn", at, dict(column)
            yield from _web_parts(at, column["webparts"])
    vertical = canvas.get("verticalSection")
    if vertical:
        yield "verticalSection", page, dict(vertical)
        yield from _web_parts(f"{page}/vertical", vertical["webparts"])


def _web_parts(place: str, parts: Iterable[_Raw]) -> Iterator[tuple[str, str, _Facts]]:
    for part in parts:
        type_ = str(part["@odata.type"]).rpartition(".")[2]
        yield type_, f"{place}/{part['id']}", dict(part)


def _spelled(value: Any) -> Any:
    """A canvas with its types in one spelling, whichever the service has."""
    if isinstance(value, dict):
        return {name: _spelled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_spelled(one) for one in value]
    return (
        str(value).replace("#oneDrive.", "#microsoft.graph.") if isinstance(value, str) else value
    )
