"""Messages: lists, one by one, MIME, creation and changes."""

from collections.abc import Callable

from simulator import mail_create, mail_mime
from simulator.mail_folders import READ, WRITE
from simulator.mail_json import applied, message_json, view_of
from simulator.mail_query import in_order, matcher, page_bounds, with_next
from simulator.mailbox import Folder, Mailbox, Message, not_found
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

CONTENT = ("Mail.Read", "Mail.ReadWrite")


def list_messages(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """GET …/messages of a folder, or of the whole mailbox."""
    mailbox = tenant.mailbox(user)
    found = mailbox.folder(folder) if folder else None
    messages = list((found.messages if found is not None else mailbox.messages).values())
    if found is not None and found.search_filter is not None:
        messages = list(mailbox.messages.values())[: len(mailbox.messages) // 4]
    if "$filter" in request.query:
        test = matcher(request.query["$filter"])
        messages = [message for message in messages if test(message)]
    messages = in_order(messages, request.query.get("$orderby"))
    skip, size = page_bounds(request)
    view = view_of(tenant, request)
    values = [message_json(mailbox, one, view) for one in messages[skip : skip + size]]
    path = f"/users/{user}/messages"
    if found is not None:
        path = f"/users/{user}/mailFolders/{found.id}/messages"
    context = f"{request.url_base}/$metadata#users('{user}')/messages"
    body = with_next(request, path, values, len(messages), {"@odata.context": context})
    return Answer(200, body, applied(request))


def count_messages(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """GET …/messages/$count."""
    mailbox = tenant.mailbox(user)
    messages = mailbox.folder(folder).messages if folder else mailbox.messages
    return Answer(200, str(len(messages)).encode("ascii"), {"Content-Type": "text/plain"})


def find(mailbox: Mailbox, message: str, folder: str = "") -> Message:
    """A message by id, and, when the path says so, in that folder; its permanent faults."""
    found = mailbox.find(message)
    if folder and found.folder is not mailbox.folder(folder):
        raise not_found()
    return found


def get_message(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """GET …/messages/{message}."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    refuse_broken(found)
    body = message_json(mailbox, found, view_of(tenant, request))
    context = f"{request.url_base}/$metadata#users('{user}')/messages/$entity"
    return Answer(200, {"@odata.context": context} | body, applied(request))


def get_mime(tenant: Tenant, request: Request, user: str, message: str, folder: str = "") -> Answer:
    """GET …/messages/{message}/$value."""
    found = find(tenant.mailbox(user), message, folder)
    refuse_broken(found)
    return Answer(200, mail_mime.written(found), {"Content-Type": "text/plain"})


def create_message(tenant: Tenant, request: Request, user: str, folder: str = "drafts") -> Answer:
    """POST …/messages: JSON, or base64 MIME with Content-Type text/plain."""
    mailbox = tenant.mailbox(user)
    target = mailbox.folder(folder)
    check_size(tenant, request)
    if request.headers.get("content-type", "").lower().startswith("text/plain"):
        made = mail_create.from_mime(tenant, mailbox, target, request.body)
    else:
        made = mail_create.from_json(tenant, mailbox, target, request.json())
    return _shown(tenant, request, user, made, 201)


def patch_message(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """PATCH …/messages/{message}."""
    mailbox = tenant.mailbox(user)
    check_size(tenant, request)
    found = find(mailbox, message, folder)
    refuse_lagging(found)
    mail_create.patch(mailbox, found, request.json())
    return _shown(tenant, request, user, found, 200)


def delete_message(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """DELETE …/messages/{message}."""
    mailbox = tenant.mailbox(user)
    mailbox.delete_message(find(mailbox, message, folder))
    return Answer(204)


def permanent_delete(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """POST …/messages/{message}/permanentDelete: into Purges, which nobody can read."""
    mailbox = tenant.mailbox(user)
    mailbox.delete_message(find(mailbox, message, folder), for_good=True)
    return Answer(204)


def move_message(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """POST …/move {"destinationId"}."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    mailbox.move_message(found, _destination(mailbox, request.json()))
    return _shown(tenant, request, user, found, 201)


def copy_message(
    tenant: Tenant, request: Request, user: str, message: str, folder: str = ""
) -> Answer:
    """POST …/copy {"destinationId"}."""
    mailbox = tenant.mailbox(user)
    found = find(mailbox, message, folder)
    made = mailbox.copy_message(found, _destination(mailbox, request.json()))
    return _shown(tenant, request, user, made, 201)


def refuse_broken(message: Message) -> None:
    """The error a broken message gives for ever."""
    if message.broken is not None:
        raise GraphError(500, message.broken, "The item is corrupt and cannot be read.")


def refuse_lagging(message: Message) -> None:
    """What is just created is, for one request, not there yet."""
    if message.lag:
        message.lag = False
        raise not_found()


def check_size(tenant: Tenant, request: Request) -> None:
    """Exchange takes 4 MB a request."""
    if len(request.body) > tenant.limits.request_bytes_max:
        raise GraphError(
            413, "RequestEntityTooLarge", "The maximum request length supported is 4MB."
        )


def _destination(mailbox: Mailbox, body: Json) -> Folder:
    reference = body.get("destinationId")
    if not isinstance(reference, str):
        raise GraphError(400, "ErrorInvalidRequest", "destinationId is required.")
    return mailbox.folder(reference)


def _shown(tenant: Tenant, request: Request, user: str, message: Message, status: int) -> Answer:
    mailbox = tenant.mailbox(user)
    context = f"{request.url_base}/$metadata#users('{user}')/messages/$entity"
    body = {"@odata.context": context} | message_json(mailbox, message, view_of(tenant, request))
    return Answer(status, body, applied(request))


_IN_FOLDER = "/users/{user}/mailFolders/{folder}/messages"
_IN_MAILBOX = "/users/{user}/messages"
_Handler = Callable[..., Answer]
_OF_ONE: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", "/{message}", get_message, READ),
    ("GET", "/{message}/$value", get_mime, CONTENT),
    ("PATCH", "/{message}", patch_message, WRITE),
    ("DELETE", "/{message}", delete_message, WRITE),
    ("POST", "/{message}/move", move_message, WRITE),
    ("POST", "/{message}/copy", copy_message, WRITE),
    ("POST", "/{message}/permanentDelete", permanent_delete, WRITE),
    ("GET", "", list_messages, READ),
    ("GET", "/$count", count_messages, READ),
    ("POST", "", create_message, WRITE),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, base + pattern, handler, permissions, "outlook")
    for base in (_IN_FOLDER, _IN_MAILBOX)
    for method, pattern, handler, permissions in _OF_ONE
)
