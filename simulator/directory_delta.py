"""The feeds of users, groups and sites: 410 with Location for lost tokens, members in pieces."""

from typing import cast

from simulator import directory_state, feed
from simulator.directory_json import GROUP_DEFAULT, group_json, user_json, user_select
from simulator.feed import ChangeLog, Page, Position
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request

_PAGE = 100
_TOKEN_LIFE_S = 7 * 86_400.0
_REFUSED = ("$top", "$expand", "$orderby", "$search")
_MEMBERS_A_PIECE = 2


def users_delta(tenant: Tenant, request: Request) -> Answer:
    """GET /users/delta."""
    page, position = _page(tenant, request, "users", tenant.user_log)
    select = _select_of(position)
    changed_only = request.prefer("return") == "minimal"
    value = []
    for key, variant in page.entries:
        user = tenant.users.get(key)
        if variant in ("deleted", "changed"):
            value.append({"id": key, "@removed": {"reason": variant}})
        elif user is not None:
            row = user_json(user, select)
            value.append({k: v for k, v in row.items() if v} if changed_only else row)
    return _answer(request, "users", page, value)


def groups_delta(tenant: Tenant, request: Request) -> Answer:
    """GET /groups/delta; members@delta of large groups comes in several pieces."""
    directory_state.looked(tenant)
    page, position = _page(tenant, request, "groups", tenant.group_log)
    options = position.round.options
    select = tuple(options["$select"].split(",")) if "$select" in options else None
    value: list[Json] = []
    for key, variant in page.entries:
        group = tenant.groups.get(key)
        if variant in ("deleted", "changed"):
            value.append({"id": key, "@removed": {"reason": variant}})
            continue
        if group is None:
            continue
        row = group_json(group, select or GROUP_DEFAULT)
        if select is not None and "members" not in select:
            value.append(row)
            continue
        since = int(options.get("since", "-1"))
        changes = directory_state.members_since(tenant, group, since)
        members = [_member(tenant, member, change == "removed") for member, change in changes]
        pieces = [
            members[at : at + _MEMBERS_A_PIECE] for at in range(0, len(members), _MEMBERS_A_PIECE)
        ]
        value += [row | {"members@delta": piece} for piece in pieces] or [row]
    return _answer(request, "groups", page, value)


def _member(tenant: Tenant, member: str, removed: bool) -> Json:
    kind = "group" if member in tenant.groups else "user"
    found: Json = {"@odata.type": f"#microsoft.graph.{kind}", "id": member}
    return found | {"@removed": {"reason": "deleted"}} if removed else found


def sites_delta(tenant: Tenant, request: Request) -> Answer:
    """GET /sites/delta; a deleted site carries the facet that drive items carry."""
    log = directory_state.looked(tenant).site_log
    page, _ = _page(tenant, request, "sites", log)
    value: list[Json] = []
    for key, variant in page.entries:
        site = tenant.sites.get(key)
        if variant in ("deleted", "changed"):
            value.append({"id": key, "deleted": {"state": "deleted"}})
        elif site is not None:
            value.append({"id": key} | site)
    return _answer(request, "sites", page, value)


def _page(
    tenant: Tenant, request: Request, name: str, log: ChangeLog[str]
) -> tuple[Page[str], Position[str]]:
    query, quirks, feeds = request.query, tenant.quirks, tenant.feeds
    refused = [option for option in _REFUSED if option in query]
    if refused:
        raise GraphError(
            400, "Request_UnsupportedQuery", f"{refused[0]} is not supported with delta query."
        )
    token = query.get("$skiptoken") or query.get("$deltatoken")
    if token:
        position = _found(tenant, request, name, token)
    else:
        if name == "users":
            user_select(request)
        options = {k: v for k, v in query.items() if k in ("$select", "$filter")}
        plan = feed.plan_first(log, tenant.sequence, quirks, tenant.rng)
        position = feeds.start(name, plan, options | {"born": str(tenant.clock.seconds())})
    if position.offset < 0:
        plan = feed.plan_since(
            log, position.round.plan.sequence, tenant.sequence, quirks, tenant.rng
        )
        options = position.round.options | {
            "born": str(tenant.clock.seconds()),
            "since": str(position.round.plan.sequence),
        }
        position = feeds.start(name, plan, options)
    return feeds.page(position, _PAGE, quirks), position


def _found(tenant: Tenant, request: Request, name: str, token: str) -> Position[str]:
    """The position of a token; 410 with a Location to start anew when it is lost or old."""
    if token == "latest":  # noqa: S105
        plan: feed.Plan[str] = feed.Plan([], tenant.sequence)
        return tenant.feeds.start(name, plan, {"born": str(tenant.clock.seconds())})
    anew = {"Location": f"{request.url_base}/{name}/delta?$deltatoken="}
    try:
        position = cast("Position[str]", tenant.feeds.find(name, token, tenant.quirks))
    except GraphError as error:
        error.status = 410
        error.headers.update(anew)
        raise
    born_s = float(position.round.options["born"])
    if tenant.clock.seconds() - born_s > _TOKEN_LIFE_S:
        lost = feed.lost_token(1, tenant.quirks)
        lost.headers.update(anew)
        raise lost
    return position


def _select_of(position: Position[str]) -> tuple[str, ...] | None:
    text = position.round.options.get("$select")
    return tuple(name.strip() for name in text.split(",")) if text else None


def _answer(request: Request, name: str, page: Page[str], value: list[Json]) -> Answer:
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{name}"}
    path = f"{request.url_base}/{name}/delta"
    if page.next_token is not None:
        body["@odata.nextLink"] = f"{path}?$skiptoken={page.next_token}"
    if page.delta_token is not None:
        body["@odata.deltaLink"] = f"{path}?$deltatoken={page.delta_token}"
    body["value"] = value
    return Answer(200, body)
