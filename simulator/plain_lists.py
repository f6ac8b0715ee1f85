"""Plain lists: one page of what there is, and the nextLink that goes on; short and empty pages too.

Rules
- The page size is $top's or that of Prefer: odata.maxpagesize, else ten; a page may hold fewer.
- A page may be empty and have a nextLink; the last page never has one.
"""

from urllib.parse import quote

from simulator.mail_json import applied
from simulator.mail_query import page_bounds
from simulator.tenant import Tenant
from simulator.web import Answer, Json, Request


def listed(tenant: Tenant, request: Request, path: str, values: list[Json]) -> Answer:
    """One page of values; path is without version, e.g. /groups/…/threads."""
    skip, size = page_bounds(request)
    quirks, dice = tenant.quirks, tenant.rng
    if skip + size < len(values) and dice.random() < quirks.p_empty_page:
        size = 0
    elif size > 1 and dice.random() < quirks.p_short_page:
        size -= size // 2
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{path.lstrip('/')}"}
    if request.query.get("$count", "").lower() == "true":
        body["@odata.count"] = len(values)
    if skip + size < len(values):
        query = request.query | {"$skip": str(skip + size)}
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    body["value"] = [_selected(request, one) for one in values[skip : skip + size]]
    return Answer(200, body, applied(request))


def _selected(request: Request, entry: Json) -> Json:
    text = request.query.get("$select")
    if text is None:
        return entry
    names = {name.strip() for name in text.split(",")} | {"id"}
    return {name: value for name, value in entry.items() if name in names or "@" in name}
