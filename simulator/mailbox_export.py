"""The mailbox import and export API: mailboxes found, folders and items listed and fed."""

from typing import cast

from simulator import feed
from simulator.feed import Plan, Position
from simulator.mail_folders import add_links, delta_size
from simulator.mail_query import page_bounds, with_next
from simulator.mailbox import Folder, Mailbox, Message, not_found
from simulator.mailbox_items import (
    children,
    expanded,
    family,
    folder_id,
    folder_json,
    folder_of,
    is_told,
    item_id,
    item_json,
    item_of,
    mailbox_id,
    mailbox_of,
)
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

FOLDERS_READ = ("MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All")
FOLDERS_WRITE = ("MailboxFolder.ReadWrite.All",)
ITEMS_READ = ("MailboxItem.Read.All", "MailboxItem.ReadWrite.All")
_SETTINGS = ("User.Read.All", "User.ReadWrite.All")
_OPTIONS = ("$select", "$top", "$expand", "$filter", "$orderby")
_PAGE = 10


def settings(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/settings/exchange: ids of mailboxes; of the archive only in beta."""
    mailbox = tenant.mailbox(user)
    body: Json = {
        "@odata.context": f"{request.url_base}/$metadata#users('{user}')/settings/exchange/$entity",
        "primaryMailboxId": mailbox_id(tenant, mailbox),
    }
    if request.version == "beta":
        archive = tenant.archives.get(mailbox.user_id)
        body["inPlaceArchiveMailboxId"] = mailbox_id(tenant, archive[0]) if archive else None
    return Answer(200, body)


def list_folders(
    tenant: Tenant, request: Request, mailbox: str, folder: str = "msgfolderroot"
) -> Answer:
    """GET …/folders and …/childFolders: one level."""
    box = mailbox_of(tenant, mailbox)
    hidden = request.query.get("includeHiddenFolders", "").lower() == "true"
    found = children(tenant, box, folder_of(box, folder), hidden=hidden)
    skip, size = page_bounds(request)
    values = [folder_json(tenant, request, *one) for one in found[skip : skip + size]]
    path = f"/admin/exchange/mailboxes/{mailbox}/folders"
    path += "" if folder == "msgfolderroot" else f"/{folder}/childFolders"
    return Answer(200, with_next(request, path, values, len(found), _context(request)))


def get_folder(tenant: Tenant, request: Request, mailbox: str, folder: str) -> Answer:
    """GET …/folders/{folder}; an archive also knows the folders it expanded into."""
    boxes = family(tenant, mailbox_of(tenant, mailbox))
    for box in boxes:
        try:
            found = folder_of(box, folder)
        except GraphError as error:
            if error.status != 404 or box is boxes[-1]:
                raise
            continue
        return Answer(200, _context(request) | folder_json(tenant, request, box, found))
    raise not_found()


def create_folder(
    tenant: Tenant, request: Request, mailbox: str, folder: str = "msgfolderroot"
) -> Answer:
    """POST …/folders and …/childFolders {displayName, type?, isHidden?}: beta only."""
    if request.version != "beta":
        raise GraphError(405, "UnknownError", "The OData request is not supported: POST.")
    box, body = mailbox_of(tenant, mailbox), request.json()
    name, kind = body.get("displayName"), body.get("type", "IPF.Note")
    if not isinstance(name, str) or not name.strip() or not isinstance(kind, str):
        raise GraphError(400, "ErrorInvalidProperty", "displayName is required.")
    above = folder_of(box, folder)
    made = box.add_folder(name, above.id, hidden=bool(body.get("isHidden")))
    tenant.room.setdefault("folder types", {})[made.id] = kind
    return Answer(201, _context(request) | folder_json(tenant, request, box, made))


def folders_delta(tenant: Tenant, request: Request, mailbox: str) -> Answer:
    """GET …/folders/delta: all folders flat, hidden ones never."""
    box = mailbox_of(tenant, mailbox)
    name, token = f"mailbox folders/{box.guid.hex()}", _token(request)
    if token is None:
        position = _first_of_folders(tenant, box, name)
    else:
        position = cast("Position[str]", tenant.feeds.find(name, token, tenant.quirks))
        if position.offset < 0:
            position = _next_of_folders(tenant, box, name, position)
    page = tenant.feeds.page(position, delta_size(request, _PAGE), tenant.quirks)
    body = _context(request)
    path = f"/admin/exchange/mailboxes/{mailbox}/folders/delta"
    if tenant.quirks.odd_link_spellings:
        path = f"/admin/exchange/mailboxes('{mailbox}')/folders/microsoft.graph.delta()"
    add_links(body, request, path, page.next_token, page.delta_token)
    entries = [_folder_entry(tenant, request, box, *entry) for entry in page.entries]
    body["value"] = [entry for entry in entries if entry is not None]
    return Answer(200, body)


def _first_of_folders(tenant: Tenant, box: Mailbox, name: str) -> Position[str]:
    """A round of all mailboxes of a family at once; options remember where each of them stood."""
    return _planned(tenant, box, name, {})


def _next_of_folders(
    tenant: Tenant, box: Mailbox, name: str, position: Position[str]
) -> Position[str]:
    return _planned(tenant, box, name, position.round.options)


def _planned(tenant: Tenant, box: Mailbox, name: str, since: dict[str, str]) -> Position[str]:
    entries: list[tuple[str, feed.Variant]] = []
    options: dict[str, str] = {}
    for index, one in enumerate(family(tenant, box)):
        log, sequence, key = one.folder_log, one.sequence, str(index)
        if key in since:
            plan = feed.plan_since(log, int(since[key]), sequence, tenant.quirks, tenant.rng)
        else:
            plan = feed.plan_first(log, sequence, tenant.quirks, tenant.rng)
        options[key] = str(sequence)
        entries += [(f"{index}:{folder}", variant) for folder, variant in plan.entries]
    return tenant.feeds.start(name, Plan(entries, 0), options)


def _folder_entry(
    tenant: Tenant, request: Request, box: Mailbox, key: str, variant: str
) -> Json | None:
    index, _, reference = key.partition(":")
    home = family(tenant, box)[int(index)]
    folder = home.folders.get(reference)
    if variant in ("deleted", "changed"):
        gone = tenant.room.get("folder ids", {}).get((home.guid, reference))
        if folder is not None and is_told(tenant, home, folder):
            gone = folder_id(home, folder)
        reason = {"reason": variant}
        return None if gone is None else {"id": gone, "@removed": reason}
    if folder is None or not is_told(tenant, home, folder):
        return None
    shown = folder_json(tenant, request, home, folder)
    tenant.room.setdefault("folder ids", {})[home.guid, reference] = shown["id"]
    if variant == "older":
        shown["totalItemCount"] = max(0, shown["totalItemCount"] - 1)
    return shown


def list_items(tenant: Tenant, request: Request, mailbox: str, folder: str) -> Answer:
    """GET …/folders/{folder}/items."""
    box = mailbox_of(tenant, mailbox)
    found = folder_of(box, folder)
    _only_known(request, (*_OPTIONS[:3], "$skip", "$count"))
    messages = list(found.messages.values())
    skip, size = page_bounds(request)
    values = [item_json(box, one, request.query) for one in messages[skip : skip + size]]
    path = f"/admin/exchange/mailboxes/{mailbox}/folders/{folder}/items"
    return Answer(200, with_next(request, path, values, len(messages), _context(request)))


def get_item(tenant: Tenant, request: Request, mailbox: str, folder: str, item: str) -> Answer:
    """GET …/folders/{folder}/items/{item}."""
    box, message = find(tenant, mailbox, folder, item)
    return Answer(200, _context(request) | item_json(box, message, request.query))


def delete_item(tenant: Tenant, request: Request, mailbox: str, folder: str, item: str) -> Answer:
    """DELETE …/items/{item}?disposalType=softDelete|hardDelete, which is required."""
    box, message = find(tenant, mailbox, folder, item)
    disposal = request.query.get("disposalType", "").lower()
    if disposal not in ("softdelete", "harddelete"):
        raise GraphError(400, "ErrorInvalidRequest", "disposalType is required.")
    bin_folder = box.folder("recoverableitemsdeletions")
    if disposal == "harddelete" or message.folder is bin_folder:
        box.delete_message(message, for_good=True)
    else:
        box.move_message(message, bin_folder)
    return Answer(204)


def find(tenant: Tenant, mailbox: str, folder: str, item: str) -> tuple[Mailbox, Message]:
    """An item in its folder; 404 where it lies in another."""
    box = mailbox_of(tenant, mailbox)
    message = item_of(box, item)
    if message.folder is not folder_of(box, folder):
        raise not_found()
    return box, message


def items_delta(tenant: Tenant, request: Request, mailbox: str, folder: str) -> Answer:
    """GET …/folders/{folder}/items/delta: one page of a round."""
    box = mailbox_of(tenant, mailbox)
    found = folder_of(box, folder)
    position = _position(tenant, request, box, found)
    options = position.round.options
    if tenant.quirks.delta_expand == "ignored":
        options = {name: value for name, value in options.items() if name != "$expand"}
    page = tenant.feeds.page(position, delta_size(request, _PAGE), tenant.quirks)
    body = _context(request)
    path = f"/admin/exchange/mailboxes/{mailbox}/folders/{folder}/items/delta"
    if tenant.quirks.odd_link_spellings:
        path = f"/admin/exchange/mailboxes('{mailbox}')/folders('{folder}')/items/delta()"
    add_links(body, request, path, page.next_token, page.delta_token)
    entries = [_item_entry(box, found, *entry, options) for entry in page.entries]
    body["value"] = [entry for entry in entries if entry is not None]
    return Answer(200, body)


def _position(tenant: Tenant, request: Request, box: Mailbox, folder: Folder) -> Position[int]:
    name, token = f"mailbox items/{box.guid.hex()}/{folder.id}", _token(request)
    quirks = tenant.quirks
    if token is None:
        _only_known(request, _OPTIONS)
        if "$expand" in request.query and quirks.delta_expand == "refused":
            raise GraphError(400, "ErrorInvalidUrlQuery", "$expand is not supported.")
        expanded(request.query)
        plan = feed.plan_first(folder.log, box.sequence, quirks, tenant.rng)
        plan = feed.top_of_total(plan, request.whole("$top", 0, 10**9) or None)
        return tenant.feeds.start(name, plan, dict(request.query))
    position = cast("Position[int]", tenant.feeds.find(name, token, quirks))
    if position.offset >= 0:
        return position
    past = position.round
    plan = feed.plan_since(folder.log, past.plan.sequence, box.sequence, quirks, tenant.rng)
    return tenant.feeds.start(name, plan, past.options)


def _item_entry(
    box: Mailbox, folder: Folder, number: int, variant: str, options: dict[str, str]
) -> Json | None:
    if variant in ("deleted", "changed"):
        removed = {"@odata.type": "#microsoft.graph.mailboxItem", "id": item_id(box, number)}
        return removed | {"@removed": {"reason": variant}}
    message = folder.messages.get(number)
    if message is None:
        return None
    return item_json(box, message, options, older=variant == "older")


def _token(request: Request) -> str | None:
    return request.query.get("$skiptoken") or request.query.get("$deltatoken")


def _only_known(request: Request, known: tuple[str, ...]) -> None:
    for name in request.query:
        if name not in known:
            text = f"The query parameter '{name}' is not supported."
            raise GraphError(400, "ErrorInvalidUrlQuery", text)


def _context(request: Request) -> Json:
    return {"@odata.context": f"{request.url_base}/$metadata#admin/exchange/mailboxes"}


_F = "/admin/exchange/mailboxes/{mailbox}/folders"
_ONE = f"{_F}/{{folder}}"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/users/{user}/settings/exchange", settings, _SETTINGS, "outlook"),
    Route("GET", _F, list_folders, FOLDERS_READ, "outlook"),
    Route("POST", _F, create_folder, FOLDERS_WRITE, "outlook"),
    Route("GET", f"{_F}/delta", folders_delta, FOLDERS_READ, "outlook"),
    Route("GET", _ONE, get_folder, FOLDERS_READ, "outlook"),
    Route("GET", f"{_ONE}/childFolders", list_folders, FOLDERS_READ, "outlook"),
    Route("POST", f"{_ONE}/childFolders", create_folder, FOLDERS_WRITE, "outlook"),
    Route("GET", f"{_ONE}/items", list_items, ITEMS_READ, "outlook"),
    Route("GET", f"{_ONE}/items/delta", items_delta, ITEMS_READ, "outlook"),
    Route("GET", f"{_ONE}/items/{{item}}", get_item, ITEMS_READ, "outlook"),
    Route(
        "DELETE", f"{_ONE}/items/{{item}}", delete_item, ("MailboxItem.ReadWrite.All",), "outlook"
    ),
)
