"""Site pages: listed by name, read with their canvas, made, changed, published, deleted.

https://learn.microsoft.com/graph/api/resources/sitepage and the operations it names
"""

import copy
from collections.abc import Callable

from simulator import sites
from simulator.pages_state import Page, SitePages, accepted, add_page, holders, site_pages
from simulator.plain_lists import listed
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Sites.Read.All", "Sites.ReadWrite.All", "Sites.Manage.All", "Sites.FullControl.All")
WRITE = ("Sites.ReadWrite.All", "Sites.Manage.All", "Sites.FullControl.All")
_TYPE = "#microsoft.graph.sitePage"
_SETTABLE = (
    "description", "promotionKind", "showComments", "showRecommendedPages", "thumbnailWebUrl",
    "title", "titleArea",
)  # fmt: skip
_LAYOUTS = ("article", "home")
_FORBIDDEN_IN_NAMES = '"*:<>?/\\|#%'


def list_pages(tenant: Tenant, request: Request, site: str) -> Answer:
    """GET …/pages[/microsoft.graph.sitePage], by name."""
    site_id, here = _open(tenant, site)
    rows = sorted(here.pages.values(), key=lambda page: page.name.lower())
    values = [page_json(tenant, site_id, page) for page in rows]
    if request.segments[-1].lower() != "sitepage":
        values = [{"@odata.type": _TYPE} | one for one in values]
        path = f"/sites/{site_id}/pages"
    else:
        path = f"/sites/{site_id}/pages/microsoft.graph.sitePage"
    return listed(tenant, request, path, values)


def get_page(tenant: Tenant, request: Request, site: str, page: str) -> Answer:
    """GET …/pages/{page}; $expand=canvasLayout under the type's name only."""
    site_id, here = _open(tenant, site)
    found = here.find(page)
    path = f"sites('{site_id}')/pages/microsoft.graph.sitePage/$entity"
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{path}"}
    body |= {"@odata.type": _TYPE} | page_json(tenant, site_id, found)
    if request.query.get("$expand", "").lower() == "canvaslayout":
        if found.broken:
            raise _broken(found.broken)
        if request.segments[-1].lower() != "sitepage":
            text = "Could not find a property named 'canvasLayout' on type 'baseSitePage'."
            raise GraphError(400, "BadRequest", text)
        if found.canvas is not None:
            body |= {"canvasLayout": canvas_json(found)}
    return Answer(200, body)


def create_page(tenant: Tenant, request: Request, site: str) -> Answer:
    """POST …/pages."""
    site_id, here = _open(tenant, site)
    body = request.json()
    if str(body.get("@odata.type", "")).lower() != _TYPE.lower():
        raise GraphError(400, "invalidRequest", "The type of the page is missing.")
    name = str(body.get("name") or f"{body.get('title') or 'Page'}.aspx")
    if not name.lower().endswith(".aspx") or any(c in _FORBIDDEN_IN_NAMES for c in name):
        raise GraphError(400, "invalidRequest", "The name of the page is not valid.")
    if here.named(name) is not None:
        raise GraphError(409, "nameAlreadyExists", "A page with this name exists already.")
    if body.get("pageLayout", "article") not in _LAYOUTS:
        raise GraphError(400, "invalidRequest", "The layout of the page is not valid.")
    canvas = body.get("canvasLayout")
    kept = accepted(canvas, here.drops_silently) if canvas is not None else None
    facts = {key: body[key] for key in (*_SETTABLE, "pageLayout") if body.get(key) is not None}
    facts = {"title": name.rpartition(".")[0]} | facts | {"name": name}
    made = add_page(tenant, site_id, facts, kept, _by(request))
    return Answer(201, {"@odata.type": _TYPE} | page_json(tenant, site_id, made))


def update_page(tenant: Tenant, request: Request, site: str, page: str) -> Answer:
    """PATCH …/pages/{page}[/microsoft.graph.sitePage]; a canvas is replaced as a whole."""
    site_id, here = _open(tenant, site)
    found, body = here.find(page), request.json()
    if str(body.get("@odata.type", "")).lower() != _TYPE.lower():
        raise GraphError(400, "invalidRequest", "The type of the page is missing.")
    if body.get("promotionKind") == "page" and found.facts["promotionKind"] == "newsPost":
        raise GraphError(400, "invalidRequest", "A news post cannot be demoted.")
    canvas = body.get("canvasLayout")
    if canvas is not None:
        found.canvas = accepted(canvas, here.drops_silently)
    found.facts |= {key: body[key] for key in _SETTABLE if key in body}
    found.edit(tenant.clock.stamp())
    found.by = _by(request)
    return Answer(200, {"@odata.type": _TYPE} | page_json(tenant, site_id, found))


def delete_page(tenant: Tenant, request: Request, site: str, page: str) -> Answer:
    """DELETE …/pages/{page}."""
    _, here = _open(tenant, site)
    del here.pages[here.find(page).id]
    return Answer(204)


def publish_page(tenant: Tenant, request: Request, site: str, page: str) -> Answer:
    """POST …/microsoft.graph.sitePage/publish."""
    _, here = _open(tenant, site)
    here.find(page).publish(tenant.clock.stamp())
    return Answer(204)


def page_json(tenant: Tenant, site_id: str, page: Page) -> Json:
    """A page as Graph shows it without its canvas."""
    state: Json = {"level": "published" if page.published else "draft"}
    facts = {key: value for key, value in page.facts.items() if value is not None}
    shown: Json = {
        "createdDateTime": page.created, "eTag": f'"{{{page.id.upper()}}},{page.edits}"',
        "id": page.id, "lastModifiedDateTime": page.modified,
        "webUrl": f"{tenant.sites[site_id]['webUrl']}/SitePages/{page.name}",
        "contentType": {"id": "0x0101009D1CB255DA76424F860D91F20E6C4118", "name": "Site Page"},
        "createdBy": page.by, "lastModifiedBy": page.by,
        "parentReference": {"siteId": site_id.split(",")[1]},
        "publishingState": state | {"versionId": f"{page.major}.{page.minor}"},
        "reactions": {},
    }  # fmt: skip
    if page.silent:
        del shown["eTag"], shown["lastModifiedDateTime"]
        shown["publishingState"]["versionId"] = f"{page.major}.0"
    return shown | facts


def canvas_json(page: Page) -> Json:
    """The canvas in the spelling the page has."""
    shown = copy.deepcopy(page.canvas or {})
    for holder in holders(shown):
        for part in holder["webparts"]:
            kind = str(part.get("@odata.type", ""))
            if kind.rpartition(".")[2] == "textWebPart" or "innerHtml" in part:
                part["@odata.type"] = f"{page.spelling}textWebPart"
            elif not kind:
                part["@odata.type"] = "#microsoft.graph.standardWebPart"
    return shown


def _open(tenant: Tenant, site: str) -> tuple[str, SitePages]:
    site_id = sites.open_site(tenant, site)
    here = site_pages(tenant, site_id)
    if not here.library:
        raise GraphError(404, "itemNotFound", "The site has no library of pages.")
    return site_id, here


def _by(request: Request) -> Json:
    app = request.app
    name = app.display_name if app is not None else ""
    return {"user": {"displayName": "SharePoint App"}, "application": {"displayName": name}}


def _broken(status: int) -> GraphError:
    codes = {403: "accessDenied", 404: "itemNotFound", 423: "resourceLocked"}
    return GraphError(status, codes.get(status, "generalException"), "The canvas is not given.")


_PAGES, _CAST = "/sites/{site}/pages", "/sitePage"
_Handler = Callable[..., Answer]
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...], int], ...] = (
    ("GET", "", list_pages, READ, 2),
    ("POST", "", create_page, WRITE, 2),
    ("GET", _CAST, list_pages, READ, 2),
    ("GET", "/{page}", get_page, READ, 1),
    ("PATCH", "/{page}", update_page, WRITE, 2),
    ("DELETE", "/{page}", delete_page, WRITE, 2),
    ("GET", f"/{{page}}{_CAST}", get_page, READ, 1),
    ("PATCH", f"/{{page}}{_CAST}", update_page, WRITE, 2),
    ("POST", f"/{{page}}{_CAST}/publish", publish_page, WRITE, 2),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, _PAGES + path, handler, roles, "sharepoint", cost)
    for method, path, handler, roles, cost in _OPERATIONS
)
