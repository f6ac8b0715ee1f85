"""Mail folders: lists, one by one, changes, and the feed of all folders."""

from typing import cast

from simulator import feed
from simulator.feed import Position
from simulator.mail_json import applied, folder_json, folder_select, wants_immutable
from simulator.mail_query import page_bounds, with_next
from simulator.mailbox import Folder, Mailbox
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Mail.ReadBasic.All", "Mail.ReadBasic", "Mail.Read", "Mail.ReadWrite")
WRITE = ("Mail.ReadWrite",)
_DELTA_PAGE = 10
_DELTA_PAGE_MAX = 1000


def list_folders(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/mailFolders: the first level only."""
    return list_children(tenant, request, user, "msgfolderroot")


def list_children(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """GET …/childFolders; hidden ones only with includeHiddenFolders=true."""
    mailbox = tenant.mailbox(user)
    parent = mailbox.folder(folder)
    hidden = request.query.get("includeHiddenFolders", "").lower() == "true"
    children = [child for child in parent.children.values() if hidden or not child.hidden]
    expand = request.query.get("$expand", "").lower() == "childfolders"
    select = folder_select(request)
    skip, size = page_bounds(request)
    values = []
    for child in children[skip : skip + size]:
        values.append(folder_json(child, select))
        if expand:
            inner = [c for c in child.children.values() if hidden or not c.hidden]
            values[-1]["childFolders"] = [folder_json(c, select) for c in inner]
    path = f"/users/{user}/mailFolders"
    if parent.well_known != "msgfolderroot":
        path += f"/{parent.id}/childFolders"
    context = f"{request.url_base}/$metadata#users('{user}')/mailFolders"
    return Answer(
        200,
        with_next(request, path, values, len(children), {"@odata.context": context}),
        applied(request),
    )


def get_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """GET /users/{user}/mailFolders/{folder}, by id or well-known name."""
    found = tenant.mailbox(user).folder(folder)
    context = f"{request.url_base}/$metadata#users('{user}')/mailFolders/$entity"
    return Answer(200, {"@odata.context": context} | folder_json(found, folder_select(request)))


def get_child(tenant: Tenant, request: Request, user: str, folder: str, child: str) -> Answer:
    """GET …/childFolders/{child}."""
    mailbox = tenant.mailbox(user)
    found = mailbox.folder(child)
    if found.parent is not mailbox.folder(folder):
        raise GraphError(404, "ErrorItemNotFound", "The specified object was not found.")
    return get_folder(tenant, request, user, child)


def create_folder(
    tenant: Tenant, request: Request, user: str, folder: str = "msgfolderroot"
) -> Answer:
    """POST mailFolders or childFolders."""
    mailbox = tenant.mailbox(user)
    body = request.json()
    name = body.get("displayName")
    if not isinstance(name, str) or not name.strip():
        raise GraphError(400, "ErrorInvalidProperty", "displayName is required.")
    kind = str(body.get("@odata.type", "")).rsplit(".", 1)[-1]
    search = str(body.get("filterQuery", "")) if kind == "mailSearchFolder" else None
    made = mailbox.add_folder(name, folder, hidden=bool(body.get("isHidden")), search_filter=search)
    context = f"{request.url_base}/$metadata#users('{user}')/mailFolders/$entity"
    return Answer(201, {"@odata.context": context} | folder_json(made))


def change_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """PATCH: the display name."""
    mailbox = tenant.mailbox(user)
    found, body = mailbox.folder(folder), request.json()
    name = body.get("displayName")
    if isinstance(name, str) and name != found.name:
        if found.well_known is not None:
            raise GraphError(403, "ErrorAccessDenied", "Distinguished folders cannot be renamed.")
        mailbox.rename_folder(found, name)
    return Answer(200, folder_json(found))


def delete_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """DELETE: to Deleted Items; from there for good."""
    mailbox = tenant.mailbox(user)
    mailbox.delete_folder(mailbox.folder(folder))
    return Answer(204)


def move_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """POST …/move {"destinationId"}."""
    mailbox = tenant.mailbox(user)
    target = mailbox.folder(str(request.json().get("destinationId", "")))
    found = mailbox.folder(folder)
    mailbox.move_folder(found, target)
    return Answer(200, folder_json(found))


def folders_delta(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET …/mailFolders/delta: all folders flat, hidden ones never."""
    mailbox = tenant.mailbox(user)
    name = f"folders/{mailbox.user_id}"
    quirks, feeds = tenant.quirks, tenant.feeds
    token = request.query.get("$skiptoken") or request.query.get("$deltatoken")
    if token is None:
        options = {k: v for k, v in request.query.items() if k == "$select"}
        folder_select(request)
        plan = feed.plan_first(mailbox.folder_log, mailbox.sequence, quirks, tenant.rng)
        position = feeds.start(name, plan, options)
    else:
        position = cast("Position[str]", feeds.find(name, token, quirks))
        if position.offset < 0:
            options = position.round.options
            plan = feed.plan_since(
                mailbox.folder_log, position.round.plan.sequence, mailbox.sequence, quirks,
                tenant.rng,
            )  # fmt: skip
            position = feeds.start(name, plan, options)
    page = feeds.page(position, delta_size(request, _DELTA_PAGE), quirks)
    select = frozenset(position.round.options.get("$select", "").split(",")) - {""}
    values = [_feed_entry(mailbox, *entry, select or None) for entry in page.entries]
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection(mailFolder)"}
    path = f"/users/{mailbox.user_id}/mailFolders/delta"
    if quirks.odd_link_spellings:
        path = f"/users('{mailbox.user_id}')/mailFolders/microsoft.graph.delta()"
    add_links(body, request, path, page.next_token, page.delta_token)
    body["value"] = [value for value in values if value is not None]
    return Answer(200, body, applied(request))


def delta_size(request: Request, default: int) -> int:
    """The page size of a delta: only Prefer: odata.maxpagesize sets it."""
    text = request.prefer("odata.maxpagesize")
    if text is None or not text.isdigit() or int(text) < 1:
        return default
    return min(int(text), _DELTA_PAGE_MAX)


def add_links(
    body: Json, request: Request, path: str, next_token: str | None, delta_token: str | None
) -> None:
    """@odata.nextLink or @odata.deltaLink."""
    if next_token is not None:
        body["@odata.nextLink"] = f"{request.url_base}{path}?$skiptoken={next_token}"
    if delta_token is not None:
        body["@odata.deltaLink"] = f"{request.url_base}{path}?$deltatoken={delta_token}"


def _feed_entry(
    mailbox: Mailbox, folder_id: str, variant: str, select: frozenset[str] | None
) -> Json | None:
    folder = mailbox.folders.get(folder_id)
    if folder is not None and _hidden(folder):
        return None
    if variant in ("deleted", "changed"):
        return {
            "@odata.type": "#microsoft.graph.mailFolder",
            "id": folder_id,
            "@removed": {"reason": variant},
        }
    if folder is None:
        return None
    shown = folder_json(folder, select)
    if variant == "older" and "totalItemCount" in shown:
        shown["totalItemCount"] = max(0, shown["totalItemCount"] - 1)
    return {"@odata.type": "#microsoft.graph.mailFolder"} | shown


def _hidden(folder: Folder) -> bool:
    here: Folder | None = folder
    while here is not None and here.well_known != "msgfolderroot":
        if here.hidden:
            return True
        here = here.parent
    return here is None or here is folder


def translate_ids(tenant: Tenant, request: Request, user: str) -> Answer:
    """POST /users/{user}/translateExchangeIds, between restId and restImmutableEntryId."""
    mailbox, body = tenant.mailbox(user), request.json()
    ids = body.get("inputIds")
    kinds = ("restid", "restimmutableentryid")
    source, target = (str(body.get(k, "")).lower() for k in ("sourceIdType", "targetIdType"))
    if not isinstance(ids, list) or len(ids) > 1000 or source not in kinds or target not in kinds:
        raise GraphError(400, "BadRequest", "inputIds, sourceIdType or targetIdType is invalid.")
    values = []
    for one in ids:
        try:
            message = mailbox.find(str(one))
        except GraphError as error:
            details = {"code": error.code, "message": error.message}
            values.append({"sourceId": one, "errorDetails": details})
            continue
        found = mailbox.message_id(message, immutable=target == "restimmutableentryid")
        values.append({"sourceId": one, "targetId": found})
    return Answer(200, {"value": values})


def id_options(request: Request) -> dict[str, str]:
    """What a token remembers of the id type."""
    return {"immutable": "1" if wants_immutable(request) else ""}


_F = "/users/{user}/mailFolders"
ROUTES: tuple[Route, ...] = (
    Route("GET", _F, list_folders, READ, "outlook"),
    Route("POST", _F, create_folder, WRITE, "outlook"),
    Route("GET", f"{_F}/delta", folders_delta, READ, "outlook"),
    Route("GET", f"{_F}/{{folder}}", get_folder, READ, "outlook"),
    Route("PATCH", f"{_F}/{{folder}}", change_folder, WRITE, "outlook"),
    Route("DELETE", f"{_F}/{{folder}}", delete_folder, WRITE, "outlook"),
    Route("GET", f"{_F}/{{folder}}/childFolders", list_children, READ, "outlook"),
    Route("POST", f"{_F}/{{folder}}/childFolders", create_folder, WRITE, "outlook"),
    Route("GET", f"{_F}/{{folder}}/childFolders/{{child}}", get_child, READ, "outlook"),
    Route("POST", f"{_F}/{{folder}}/move", move_folder, WRITE, "outlook"),
    Route(
        "POST",
        "/users/{user}/translateExchangeIds",
        translate_ids,
        ("User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All"),
        "outlook",
    ),
)
