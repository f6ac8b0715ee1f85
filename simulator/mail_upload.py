"""Upload sessions for large attachments: ranges in order, to a URL that refuses tokens."""

import re
from dataclasses import dataclass
from datetime import timedelta

from simulator.filebytes import SpooledBytes
from simulator.mail_json import wants_immutable
from simulator.mailbox import Attachment, Mailbox, Message, not_found
from simulator.mailids import item_id
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_SIZE_MIN = 3 * 1024 * 1024
_SIZE_MAX = 150 * 1024 * 1024
_RANGE_MAX = 4 * 1024 * 1024
_LIFE = timedelta(hours=2)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(slots=True)
class Session:
    """An attachment on its way."""

    mailbox: Mailbox
    message: Message
    properties: Json
    size: int
    auth: str
    expires_s: float
    immutable: bool
    content: SpooledBytes


def create(tenant: Tenant, request: Request, mailbox: Mailbox, message: Message) -> Answer:
    """Open a session for an AttachmentItem {attachmentType, name, size, isInline, contentId}."""
    body = request.json()
    item = body.get("AttachmentItem") or body.get("attachmentItem")
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise GraphError(400, "ErrorInvalidRequest", "AttachmentItem with a name is required.")
    size = item.get("size")
    if str(item.get("attachmentType", "")).lower() != "file" or not isinstance(size, int):
        raise GraphError(400, "ErrorInvalidRequest", "attachmentType file and a size are needed.")
    if size < _SIZE_MIN:
        raise GraphError(
            400,
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
            "Attachment size must be greater than the minimum size.",
        )
    if size > _SIZE_MAX:
        raise GraphError(
            400, "ErrorAttachmentSizeLimitExceeded", "The attachment size exceeds 150 MB."
        )
    kind = item.get("contentType") or "application/octet-stream"
    properties: Json = {
        "@odata.type": "#microsoft.graph.fileAttachment", "@odata.mediaContentType": kind,
        "lastModifiedDateTime": tenant.clock.stamp(), "name": item["name"], "contentType": kind,
        "size": size, "isInline": bool(item.get("isInline")),
        "contentId": item.get("contentId"), "contentLocation": None,
    }  # fmt: skip
    name, auth = (
        f"AAMkSession{tenant.rng.getrandbits(96):024x}=",
        f"eyJ{tenant.rng.getrandbits(256):064x}",
    )
    expires = tenant.clock.now() + _LIFE
    _sessions(tenant)[name] = Session(
        mailbox, message, properties, size, auth, expires.timestamp(),
        wants_immutable(request), SpooledBytes(),
    )  # fmt: skip
    message_id = mailbox.message_id(message, immutable=wants_immutable(request))
    url = (
        f"{request.content_base}/api/v2.0/Users('{mailbox.user_id}@{tenant.id}')"
        f"/Messages('{message_id}')/AttachmentSessions('{name}')?authtoken={auth}"
    )
    return Answer(
        201,
        {
            "@odata.context": f"{request.url_base}/$metadata#microsoft.graph.uploadSession",
            "uploadUrl": url,
            "expirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "nextExpectedRanges": ["0-"],
        },
    )


def put_range(tenant: Tenant, request: Request, user: str, message: str, session: str) -> Answer:
    """PUT one range; 200 while more is expected, 201 with Location at the end."""
    found = _open(tenant, request, session)
    match = _RANGE.fullmatch(request.headers.get("content-range", ""))
    if match is None:
        raise GraphError(400, "ErrorInvalidRequest", "Content-Range is missing or malformed.")
    start, end, total = (int(text) for text in match.groups())
    if total != found.size or end - start + 1 != len(request.body) or end >= total:
        raise GraphError(400, "ErrorInvalidRequest", "Content-Range does not fit.")
    if len(request.body) >= _RANGE_MAX:
        raise GraphError(413, "RequestEntityTooLarge", "A range must be less than 4 MB.")
    if start != found.content.size:
        raise GraphError(
            416, "ErrorInvalidRange", f"The next expected range is {found.content.size}-."
        )
    found.content.append(request.body)
    if found.content.size < found.size:
        return Answer(200, _status(tenant, request, user, message, found))
    return _finish(tenant, request, user, message, session, found)


def get_status(tenant: Tenant, request: Request, user: str, message: str, session: str) -> Answer:
    """GET: which range is expected next."""
    found = _open(tenant, request, session)
    return Answer(200, _status(tenant, request, user, message, found))


def cancel(tenant: Tenant, request: Request, user: str, message: str, session: str) -> Answer:
    """DELETE: give up."""
    _open(tenant, request, session)
    del _sessions(tenant)[session]
    return Answer(204)


def _open(tenant: Tenant, request: Request, session: str) -> Session:
    if "authorization" in request.headers:
        tenant.counters.offences["token-to-upload-url"] += 1
        raise GraphError(
            401, "InvalidAuthenticationToken", "This URL is authenticated already; send no token."
        )
    found = _sessions(tenant).get(session)
    if found is None or request.query.get("authtoken") != found.auth:
        raise GraphError(404, "ErrorItemNotFound", "The upload session was not found.")
    if found.expires_s < tenant.clock.seconds():
        raise GraphError(404, "ErrorItemNotFound", "The upload session has expired.")
    if found.message.number not in found.mailbox.messages:
        raise not_found()
    return found


def _status(tenant: Tenant, request: Request, user: str, message: str, found: Session) -> Json:
    expires = tenant.clock.now() + _LIFE
    context = (
        f"{request.content_base}/api/v2.0/$metadata#Users('{user}')/Messages('{message}')"
        "/AttachmentSessions/$entity"
    )
    return {
        "@odata.context": context,
        "ExpirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "nextExpectedRanges": [str(found.content.size)],
    }


def _finish(
    tenant: Tenant, request: Request, user: str, message: str, session: str, found: Session
) -> Answer:
    number = max(found.message.attachments, default=0) + 1
    found.message.attachments[number] = Attachment(number, found.properties, found.content)
    found.message.mime = None
    found.mailbox.changed_parts(found.message)
    del _sessions(tenant)[session]
    made = item_id(
        found.mailbox.guid, found.message.number, found.message.moves,
        immutable=found.immutable, attachment=number,
    )  # fmt: skip
    location = f"{request.url_base}/api/v2.0/Users('{user}')/Messages('{message}')"
    return Answer(201, None, {"Location": f"{location}/Attachments('{made}')"})


def _sessions(tenant: Tenant) -> dict[str, Session]:
    sessions: dict[str, Session] = tenant.room.setdefault("attachment sessions", {})
    return sessions


_URL = "/api/v2.0/Users/{user}/Messages/{message}/AttachmentSessions/{session}"
ROUTES: tuple[Route, ...] = (
    Route("PUT", _URL, put_range),
    Route("GET", _URL, get_status),
    Route("DELETE", _URL, cancel),
)
