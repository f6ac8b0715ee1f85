"""The feeds of what lies in a mailbox beside mail: one page of a round, and its links.

The rules of feed.py hold; a token also remembers which kind of ids it was got with, and the
options of the first request, which no later one may repeat or change.
"""

from collections.abc import Iterable
from typing import TypeVar, cast

from simulator import feed
from simulator.feed import ChangeLog, Page, Position
from simulator.mail_folders import add_links, delta_size, id_options
from simulator.mail_json import applied
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request

K = TypeVar("K", int, str)
_PAGE = 10


def page_of(
    tenant: Tenant,
    request: Request,
    name: str,
    log: ChangeLog[K],
    sequence: int,
    allowed: Iterable[str] = ("$select", "$top"),
) -> tuple[Page[K], dict[str, str]]:
    """One page of the feed `name`, and the options its round was begun with."""
    position = _position(tenant, request, name, log, sequence, tuple(allowed))
    page = tenant.feeds.page(position, delta_size(request, _PAGE), tenant.quirks)
    return page, position.round.options


def answer_of(
    tenant: Tenant, request: Request, page: Page[K], kind: str, path: str, values: list[Json | None]
) -> Answer:
    """The answer that shows a page; `path` in the plain spelling, links may have others."""
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection({kind})"}
    if tenant.quirks.odd_link_spellings:
        path = path.removesuffix("/delta") + "/microsoft.graph.delta()"
    add_links(body, request, path, page.next_token, page.delta_token)
    body["value"] = [value for value in values if value is not None]
    return Answer(200, body, applied(request))


def removed(kind: str, item_id: str, reason: str) -> Json:
    """An entry that says something is gone."""
    return {
        "@odata.type": f"#microsoft.graph.{kind}",
        "id": item_id,
        "@removed": {"reason": reason},
    }


def _position(
    tenant: Tenant,
    request: Request,
    name: str,
    log: ChangeLog[K],
    sequence: int,
    allowed: tuple[str, ...],
) -> Position[K]:
    quirks, query = tenant.quirks, request.query
    token = query.get("$skiptoken") or query.get("$deltatoken")
    if token is None:
        unknown = [key for key in query if key not in allowed]
        if unknown:
            text = f"The query parameter '{unknown[0]}' is not supported."
            raise GraphError(400, "ErrorInvalidUrlQuery", text)
        options = dict(query) | id_options(request)
        plan = feed.plan_first(log, sequence, quirks, tenant.rng)
        top = query.get("$top")
        if top is not None and (not top.isdigit() or int(top) < 1):
            raise GraphError(400, "BadRequest", f"Invalid value '{top}' for $top.")
        plan = feed.top_of_total(plan, int(top) if top else None)
        return tenant.feeds.start(name, plan, options)
    position = cast("Position[K]", tenant.feeds.find(name, token, quirks))
    options = position.round.options
    same = options["immutable"] == id_options(request)["immutable"]
    if not same and quirks.mixed_id_types == "refused":
        raise GraphError(
            400, "SyncStateInvalid", "The sync state was created with another type of ids."
        )
    if position.offset >= 0:
        return position
    plan = feed.plan_since(log, position.round.plan.sequence, sequence, quirks, tenant.rng)
    return tenant.feeds.start(name, plan, options)
