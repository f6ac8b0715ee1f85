"""The directory: users, groups and their members, the organization."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from simulator import directory_state
from simulator.directory_delta import groups_delta, users_delta
from simulator.directory_json import (
    GROUP_DEFAULT,
    USER_DEFAULT,
    group_json,
    selected,
    user_json,
    user_select,
)
from simulator.tenant import Group, Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_USERS = ("User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All",
          "Directory.ReadWrite.All")  # fmt: skip
_GROUPS = ("GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All",
           "Directory.ReadWrite.All")  # fmt: skip
_ORGANIZATION = ("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All",
                 "User.Read.All", "User.ReadWrite.All")  # fmt: skip
_RESTORERS = ("User.ReadWrite.All", "User.DeleteRestore.All", "Group.ReadWrite.All",
              "Directory.ReadWrite.All")  # fmt: skip
_PAGE, _PAGE_MAX = 100, 999
_EQUAL = re.compile(r"(\w+)\s+(eq|ne)\s+('(?:[^']|'')*'|true|false|null)", re.IGNORECASE)
_STARTS = re.compile(r"startswith\(\s*(\w+)\s*,\s*'((?:[^']|'')*)'\s*\)", re.IGNORECASE)
_ANY = re.compile(r"(\w+)/any\(\s*(\w+)\s*:\s*\2\s+eq\s+'([^']*)'\s*\)", re.IGNORECASE)
_SEARCH = re.compile(r'"(\w+):([^"]*)"')


def list_users(tenant: Tenant, request: Request) -> Answer:
    """GET /users: 100 a page, at most 999."""
    select = user_select(request)
    rows = [{"id": user.id} | user.properties for user in tenant.users.values()]
    found = _queried(request, rows)
    shown = [user_json(tenant.users[row["id"]], select) for row in found]
    return _page(request, "/users", "users", select, shown, len(found))


def get_user(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}, by id or userPrincipalName."""
    select = user_select(request)
    body = user_json(tenant.user(user), select)
    context = f"{request.url_base}/$metadata#users{_columns(select)}/$entity"
    return Answer(200, {"@odata.context": context} | body)


def list_groups(tenant: Tenant, request: Request) -> Answer:
    """GET /groups."""
    rows = [{"id": group.id} | group.properties for group in tenant.groups.values()]
    found = _queried(request, rows)
    select = selected(request, rows, GROUP_DEFAULT, "group")
    shown = [group_json(tenant.groups[row["id"]], select) for row in found]
    return _page(request, "/groups", "groups", select, shown, len(found))


def get_group(tenant: Tenant, request: Request, group: str) -> Answer:
    """GET /groups/{group}."""
    found = _group(tenant, group)
    rows = [{"id": found.id} | found.properties]
    body = group_json(found, selected(request, rows, GROUP_DEFAULT, "group"))
    return Answer(200, {"@odata.context": f"{request.url_base}/$metadata#groups/$entity"} | body)


def list_members(tenant: Tenant, request: Request, group: str) -> Answer:
    """GET /groups/{group}/members: users and groups, one level."""
    return _members(tenant, request, group, _group(tenant, group).members, "members")


def list_transitive(tenant: Tenant, request: Request, group: str) -> Answer:
    """GET /groups/{group}/transitiveMembers: all levels."""
    found: dict[str, None] = {}
    queue = list(_group(tenant, group).members)
    while queue:
        member = queue.pop(0)
        if member not in found:
            found[member] = None
            if member in tenant.groups:
                queue += tenant.groups[member].members
    return _members(tenant, request, group, list(found), "transitiveMembers")


def _members(tenant: Tenant, request: Request, group: str, members: list[str], name: str) -> Answer:
    select = user_select(request)
    shown: list[Json] = []
    for member in members:
        if member in tenant.users:
            row = user_json(tenant.users[member], select)
            shown.append({"@odata.type": "#microsoft.graph.user"} | row)
        elif member in tenant.groups:
            row = group_json(tenant.groups[member], select or GROUP_DEFAULT)
            shown.append({"@odata.type": "#microsoft.graph.group"} | row)
    path = f"/groups/{group}/{name}"
    return _page(request, path, "directoryObjects", None, shown, len(shown))


def organization(tenant: Tenant, request: Request) -> Answer:
    """GET /organization: the tenant itself."""
    facts: Json = {
        "id": tenant.id, "deletedDateTime": None, "businessPhones": [], "city": None,
        "country": None, "countryLetterCode": "DE", "createdDateTime": "2021-08-02T10:30:06Z",
        "displayName": tenant.name, "postalCode": None, "preferredLanguage": "en", "state": None,
        "street": None, "technicalNotificationMails": [f"admin@{tenant.domain}"],
        "tenantType": "AAD", "assignedPlans": [], "provisionedPlans": [],
        "verifiedDomains": [
            {
                "capabilities": "Email, OfficeCommunicationsOnline", "isDefault": True,
                "isInitial": True, "name": tenant.domain, "type": "Managed",
            }
        ],
    }  # fmt: skip
    wanted = request.query.get("$select")
    if wanted is not None:
        names = {name.strip() for name in wanted.split(",")} | {"id"}
        facts = {k: v for k, v in facts.items() if k in names}
    context = f"{request.url_base}/$metadata#organization"
    return Answer(200, {"@odata.context": context, "value": [facts]})


def list_deleted_users(tenant: Tenant, request: Request) -> Answer:
    """GET /directory/deletedItems/microsoft.graph.user."""
    return _deleted(request, "user", _queried(request, directory_state.deleted_users(tenant)))


def list_deleted_groups(tenant: Tenant, request: Request) -> Answer:
    """GET /directory/deletedItems/microsoft.graph.group."""
    return _deleted(request, "group", _queried(request, directory_state.deleted_groups(tenant)))


def _deleted(request: Request, kind: str, rows: list[Json]) -> Answer:
    default = USER_DEFAULT if kind == "user" else GROUP_DEFAULT
    if kind == "user":
        select = user_select(request)
    else:
        select = selected(request, rows, GROUP_DEFAULT, "group")
    names = ("id", "deletedDateTime", *(select or default))
    shown = [{name: row.get(name) for name in dict.fromkeys(names)} for row in rows]
    path = f"/directory/deletedItems/microsoft.graph.{kind}"
    return _page(request, path, f"{kind}s", select, shown, len(shown))


def restore_deleted(tenant: Tenant, request: Request, object_id: str) -> Answer:
    """POST /directory/deletedItems/{id}/restore."""
    found = directory_state.restore(tenant, object_id)
    context = f"{request.url_base}/$metadata#directoryObjects/$entity"
    return Answer(200, {"@odata.context": context, "id": found.id} | found.properties)


def _queried(request: Request, rows: list[Json]) -> list[Json]:
    """Rows that $filter, $search let through, in the order of $orderby."""
    text = request.query.get("$filter")
    if text is not None:
        test = _filter(text)
        rows = [row for row in rows if test(row)]
    search = request.query.get("$search")
    if search is not None:
        _need_eventual(request)
        terms = _SEARCH.findall(search)
        if not terms:
            raise _bad_filter(search)
        rows = [r for r in rows if any(v.lower() in str(r.get(n)).lower() for n, v in terms)]
    if request.query.get("$count", "").lower() == "true":
        _need_eventual(request)
    orderby = request.query.get("$orderby")
    if orderby is not None:
        name, _, direction = orderby.partition(" ")
        rows = sorted(rows, key=lambda r: str(r.get(name) or ""), reverse=direction == "desc")
    return rows


def _filter(text: str) -> Callable[[Json], bool]:
    tests = [_test(part.strip()) for part in re.split(r"\s+and\s+", text)]
    return lambda row: all(test(row) for test in tests)


def _test(text: str) -> Callable[[Json], bool]:
    if " or " in text:
        either = [_test(part.strip()) for part in text.strip("()").split(" or ")]
        return lambda row: any(test(row) for test in either)
    equal = _EQUAL.fullmatch(text)
    if equal is not None:
        name, op, value = equal[1], equal[2].lower(), _value(equal[3])
        return lambda row: (_plain(row.get(name)) == _plain(value)) is (op == "eq")
    starts = _STARTS.fullmatch(text)
    if starts is not None:
        name, prefix = starts[1], starts[2].replace("''", "'").lower()
        return lambda row: str(row.get(name) or "").lower().startswith(prefix)
    contains = _ANY.fullmatch(text)
    if contains is not None:
        name, wanted = contains[1], contains[3]
        return lambda row: wanted in (row.get(name) or [])
    raise _bad_filter(text)


def _value(text: str) -> Any:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return {"true": True, "false": False, "null": None}[text.lower()]


def _plain(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _need_eventual(request: Request) -> None:
    if request.headers.get("consistencylevel", "").lower() != "eventual":
        raise GraphError(
            400,
            "Request_UnsupportedQuery",
            "This query needs the header ConsistencyLevel: eventual.",
        )


def _page(
    request: Request,
    path: str,
    name: str,
    select: tuple[str, ...] | None,
    rows: list[Json],
    total: int,
) -> Answer:
    """One page; the skip token holds the query, and $top does not travel in headers."""
    size = request.whole("$top", _PAGE, _PAGE_MAX)
    token = request.query.get("$skiptoken", "")
    start = int(token.rpartition("!")[2]) if token.rpartition("!")[2].isdigit() else 0
    if token and "!" not in token:
        raise GraphError(400, "Directory_ExpiredPageToken", "The page token is not valid.")
    context = f"{request.url_base}/$metadata#{name}{_columns(select)}"
    body: Json = {"@odata.context": context}
    if request.query.get("$count", "").lower() == "true" and start == 0:
        body["@odata.count"] = total
    if start + size < len(rows):
        query = {k: v for k, v in request.query.items() if k not in ("$skiptoken", "$count")}
        query["$skiptoken"] = f"RFNwdAoAAQAAAAAAAAAAFAAAA!{start + size}"
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='!')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    body["value"] = rows[start : start + size]
    return Answer(200, body)


def _columns(select: tuple[str, ...] | None) -> str:
    return f"({','.join(select)})" if select is not None and select != USER_DEFAULT else ""


def _group(tenant: Tenant, reference: str) -> Group:
    found = tenant.groups.get(unquote(reference))
    if found is None:
        raise _missing(reference)
    return found


def _missing(reference: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{reference}' does not exist or one of its queried reference-property objects "
        "are not present.",
    )


def _bad_filter(text: str) -> GraphError:
    return GraphError(
        400, "Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: {text}."
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/users", list_users, _USERS, "identity", 2),
    Route("GET", "/users/delta", users_delta, _USERS, "identity"),
    Route("GET", "/users/{user}", get_user, _USERS, "identity"),
    Route("GET", "/groups", list_groups, _GROUPS, "identity"),
    Route("GET", "/groups/delta", groups_delta, _GROUPS, "identity"),
    Route("GET", "/groups/{group}", get_group, _GROUPS, "identity"),
    Route("GET", "/groups/{group}/members", list_members, _GROUPS, "identity"),
    Route("GET", "/groups/{group}/transitiveMembers", list_transitive, _GROUPS, "identity"),
    Route("GET", "/organization", organization, _ORGANIZATION, "identity"),
    Route("GET", "/directory/deletedItems/user", list_deleted_users, _USERS, "identity"),
    Route("GET", "/directory/deletedItems/group", list_deleted_groups, _GROUPS, "identity"),
    Route(
        "POST",
        "/directory/deletedItems/{object_id}/restore",
        restore_deleted,
        _RESTORERS,
        "identity",
    ),
)
