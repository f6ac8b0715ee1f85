"""Attachments of messages: lists, content, and both ways of adding one."""

from collections.abc import Callable

from simulator import mail_create, mail_upload, mailids
from simulator.mail import CONTENT, check_size, find, refuse_broken, refuse_lagging
from simulator.mail_folders import WRITE
from simulator.mail_json import (
    View,
    applied,
    attachment_id,
    attachment_json,
    attachment_select,
    wants_immutable,
)
from simulator.mailbox import Attachment, Mailbox, Message, not_found
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_SMALL_MAX = 3 * 1024 * 1024
_BROKEN_PAGE = 10
_ITEM_CAST = "itemattachment/item"


def list_attachments(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """GET …/attachments, with contentBytes unless $select leaves them out."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    refuse_broken(found)
    refuse_lagging(found)
    select = attachment_select(request)
    expand = _expands_item(request)
    items = list(found.attachments.values())
    broken = [item.broken for item in items if item.broken is not None]
    if broken and (select is None or "contentBytes" in select):
        raise _cannot_open(broken[0])
    view = _view(tenant, request)
    context = f"{request.url_base}/$metadata#users('{user}')/messages('{message}')/attachments"
    body: Json = {"@odata.context": context}
    if tenant.quirks.attachment_paging_broken and len(items) > _BROKEN_PAGE:
        # Known to be broken: the same ten come again and again.
        items = items[:_BROKEN_PAGE]
        own = f"/users/{user}/messages/{message}/attachments?%24skip={_BROKEN_PAGE}"
        body["@odata.nextLink"] = request.url_base + own
    body["value"] = [
        attachment_json(mailbox, found, item, view, select=select, expand_item=expand)
        for item in items
    ]
    return Answer(200, body, applied(request))


def get_attachment(
    tenant: Tenant, request: Request, user: str, message: str, attachment: str, folder: str = ""
) -> Answer:
    """GET …/attachments/{attachment}."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    item = _item(mailbox, found, attachment)
    select = attachment_select(request)
    if item.broken is not None and (select is None or "contentBytes" in select):
        raise _cannot_open(item.broken)
    expand = _expands_item(request)
    view = _view(tenant, request)
    body = attachment_json(mailbox, found, item, view, select=select, expand_item=expand)
    context = (
        f"{request.url_base}/$metadata#users('{user}')/messages('{message}')/attachments/$entity"
    )
    return Answer(200, {"@odata.context": context} | body, applied(request))


def get_content(
    tenant: Tenant, request: Request, user: str, message: str, attachment: str, folder: str = ""
) -> Answer:
    """GET …/attachments/{attachment}/$value: raw bytes; 405 for a reference."""
    mailbox = tenant.mailbox(user)
    item = _item(mailbox, find(mailbox, message, folder), attachment)
    if item.kind == "referenceAttachment":
        raise GraphError(
            405, "ErrorInvalidRequest", "$value is not supported for a referenceAttachment."
        )
    if item.broken is not None:
        raise _cannot_open(item.broken)
    assert item.content is not None
    kind = str(item.properties.get("contentType") or "text/plain")
    whole = item.content.read(0, item.content.size)
    return Answer(200, whole, {"Content-Type": kind if kind.isascii() else "text/plain"})


def add_attachment(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """POST …/attachments: less than 3 MB."""
    check_size(tenant, request)
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    refuse_lagging(found)
    item = mail_create.attachment_from(next_number(found), request.json(), tenant.clock.stamp())
    if item.content is not None and item.content.size >= _SMALL_MAX:
        raise GraphError(
            413,
            "RequestEntityTooLarge",
            "The attachment is too large; create an upload session instead.",
        )
    attach(mailbox, found, item)
    view = _view(tenant, request)
    body = attachment_json(mailbox, found, item, view)
    context = (
        f"{request.url_base}/$metadata#users('{user}')/messages('{message}')/attachments/$entity"
    )
    headers = {"Location": f"{request.url_base}/users/{user}/messages/{message}/attachments/"}
    headers["Location"] += attachment_id(mailbox, found, item, view)
    return Answer(201, {"@odata.context": context} | body, headers)


def delete_attachment(
    tenant: Tenant, request: Request, user: str, message: str, attachment: str, folder: str = ""
) -> Answer:
    """DELETE …/attachments/{attachment}."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    del found.attachments[_item(mailbox, found, attachment).number]
    found.mime = None
    mailbox.changed_parts(found)
    return Answer(204)


def create_session(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """POST …/attachments/createUploadSession: 3 to 150 MB."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    refuse_lagging(found)
    return mail_upload.create(tenant, request, mailbox, found)


def next_number(message: Message) -> int:
    """A number no attachment of the message has or had lately."""
    return max(message.attachments, default=0) + 1


def attach(mailbox: Mailbox, message: Message, item: Attachment) -> None:
    """Add an attachment to a message."""
    message.attachments[item.number] = item
    message.mime = None
    mailbox.changed_parts(message)


def _item(mailbox: Mailbox, message: Message, reference: str) -> Attachment:
    parsed = mailids.parse_item_id(reference)
    if parsed is None or not parsed.attachment:
        raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
    item = message.attachments.get(parsed.attachment)
    stale = not parsed.immutable and parsed.moves != message.moves
    if item is None or parsed.message != message.number or stale:
        raise not_found()
    return item


def _view(tenant: Tenant, request: Request) -> View:
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    return View(immutable, tenant.rng.getrandbits(32) if salted else 0)


def _expands_item(request: Request) -> bool:
    text = request.query.get("$expand")
    if text is None:
        return False
    if not text.lower().endswith(_ITEM_CAST):
        raise GraphError(
            400, "RequestBroker--ParseUri", f"Could not find a property named '{text}'."
        )
    return True


def _cannot_open(code: str) -> GraphError:
    return GraphError(500, code, "OLE conversion failed for an attachment.")


_Handler = Callable[..., Answer]
_LIST = "/{message}/attachments"
_ONE = f"{_LIST}/{{attachment}}"
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _LIST, list_attachments, CONTENT),
    ("POST", _LIST, add_attachment, WRITE),
    ("POST", f"{_LIST}/createUploadSession", create_session, WRITE),
    ("GET", _ONE, get_attachment, CONTENT),
    ("GET", f"{_ONE}/$value", get_content, CONTENT),
    ("DELETE", _ONE, delete_attachment, WRITE),
)
ROUTES: tuple[Route, ...] = mail_upload.ROUTES + tuple(
    Route(method, base + pattern, handler, permissions, "outlook")
    for base in ("/users/{user}/mailFolders/{folder}/messages", "/users/{user}/messages")
    for method, pattern, handler, permissions in _OPERATIONS
)
