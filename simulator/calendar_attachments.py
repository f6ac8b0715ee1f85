"""Attachments of events: lists, content, and both ways of adding one."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from simulator.calendar import BASES, CONTENT, WRITE, find, refuse_lagging
from simulator.calendar_json import attachment_json, attachments_select, headers_of, plain_view
from simulator.calendar_state import Calendars, Event, calendars_of
from simulator.filebytes import SpooledBytes
from simulator.mail import check_size
from simulator.mail_create import attachment_from
from simulator.mailbox import Attachment, not_found
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_SMALL_MAX = 3 * 1024 * 1024
_LARGE_MAX = 150 * 1024 * 1024
_RANGE_MAX = 4 * 1024 * 1024
_LIFE = timedelta(hours=2)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_ITEM_CAST = "itemattachment/item"


def list_attachments(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """GET …/attachments, with contentBytes unless $select leaves them out."""
    store = calendars_of(tenant, user)
    found, day = find(store, event, calendar)
    refuse_lagging(found)
    view, select = plain_view(tenant, request), attachments_select(request)
    items = found.files(day).values()
    context = f"{request.url_base}/$metadata#users('{user}')/events('{event}')/attachments"
    values = [attachment_json(store, found, day, item, view, select) for item in items]
    return Answer(200, {"@odata.context": context, "value": values}, headers_of(request))


def get_attachment(
    tenant: Tenant, request: Request, user: str, event: str, attachment: str, calendar: str = ""
) -> Answer:
    """GET …/attachments/{attachment}."""
    store = calendars_of(tenant, user)
    found, day, item = _item(store, event, attachment, calendar)
    expand = request.query.get("$expand", "").lower()
    if expand and not expand.endswith(_ITEM_CAST):
        raise GraphError(400, "RequestBroker--ParseUri", "Could not find that property.")
    select = attachments_select(request)
    view = plain_view(tenant, request)
    body = attachment_json(store, found, day, item, view, select, expand_item=bool(expand))
    return Answer(200, body, headers_of(request))


def get_content(
    tenant: Tenant, request: Request, user: str, event: str, attachment: str, calendar: str = ""
) -> Answer:
    """GET …/attachments/{attachment}/$value: raw bytes; 405 for a reference."""
    _, _, item = _item(calendars_of(tenant, user), event, attachment, calendar)
    if item.content is None:
        raise GraphError(405, "ErrorInvalidRequest", "$value is not supported for this type.")
    whole = item.content.read(0, item.content.size)
    return Answer(200, whole, {"Content-Type": "application/octet-stream"})


def add_attachment(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """POST …/attachments: less than 3 MB."""
    check_size(tenant, request)
    store = calendars_of(tenant, user)
    found, day = find(store, event, calendar)
    refuse_lagging(found)
    item = attachment_from(_next(found, day), request.json(), tenant.clock.stamp())
    if item.content is not None and item.content.size >= _SMALL_MAX:
        raise GraphError(413, "RequestEntityTooLarge", "Create an upload session instead.")
    _attach(tenant, store, found, day, item)
    view = plain_view(tenant, request)
    return Answer(201, attachment_json(store, found, day, item, view, None))


def delete_attachment(
    tenant: Tenant, request: Request, user: str, event: str, attachment: str, calendar: str = ""
) -> Answer:
    """DELETE …/attachments/{attachment}."""
    store = calendars_of(tenant, user)
    found, day, item = _item(store, event, attachment, calendar)
    if day is not None:
        found.own_attachments.setdefault(day, dict(found.attachments))
        store.change_occurrence(found, day)
    del found.files(day)[item.number]
    store.touch(found)
    return Answer(204)


def create_session(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """POST …/attachments/createUploadSession: 3 to 150 MB."""
    store = calendars_of(tenant, user)
    found, day = find(store, event, calendar)
    refuse_lagging(found)
    item = request.json().get("AttachmentItem") or {}
    size = item.get("size")
    if str(item.get("attachmentType", "")).lower() != "file" or not isinstance(size, int):
        raise GraphError(400, "ErrorInvalidRequest", "attachmentType file and a size are needed.")
    if not _SMALL_MAX <= size <= _LARGE_MAX:
        code = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
        raise GraphError(400, code, "The size must lie between 3 and 150 MB.")
    kind = item.get("contentType") or "application/octet-stream"
    properties: Json = {
        "@odata.type": "#microsoft.graph.fileAttachment", "name": item.get("name"),
        "lastModifiedDateTime": tenant.clock.stamp(), "contentType": kind, "size": size,
        "isInline": bool(item.get("isInline")), "contentId": item.get("contentId"),
        "contentLocation": None,
    }  # fmt: skip
    name, auth = (
        f"AAMkSession{tenant.rng.getrandbits(96):024x}=",
        f"eyJ{tenant.rng.getrandbits(256):064x}",
    )
    expires = tenant.clock.now() + _LIFE
    _sessions(tenant)[name] = _Session(
        store, found, day, properties, size, auth, expires.timestamp(), SpooledBytes()
    )
    url = (
        f"{request.content_base}/api/v2.0/Users('{store.mailbox.user_id}')/Events('{event}')"
        f"/AttachmentSessions('{name}')?authtoken={auth}"
    )
    shown = {"uploadUrl": url, "nextExpectedRanges": ["0-"]}
    shown["expirationDateTime"] = expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Answer(201, shown)


@dataclass(slots=True)
class _Session:
    """An attachment on its way."""

    store: Calendars
    event: Event
    day: date | None
    properties: Json
    size: int
    auth: str
    expires_s: float
    content: SpooledBytes


def put_range(tenant: Tenant, request: Request, user: str, event: str, session: str) -> Answer:
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
        raise GraphError(416, "ErrorInvalidRange", f"Expected {found.content.size}-.")
    found.content.append(request.body)
    if found.content.size < found.size:
        return Answer(200, {"nextExpectedRanges": [str(found.content.size)]})
    number = _next(found.event, found.day)
    _attach(
        tenant, found.store, found.event, found.day,
        Attachment(number, found.properties, found.content),
    )  # fmt: skip
    del _sessions(tenant)[session]
    made = found.store.event_id(found.event, found.day, immutable=False, file=number)
    location = f"{request.url_base}/api/v2.0/Users('{user}')/Events('{event}')"
    return Answer(201, None, {"Location": f"{location}/Attachments('{made}')"})


def get_status(tenant: Tenant, request: Request, user: str, event: str, session: str) -> Answer:
    """GET: which range is expected next."""
    found = _open(tenant, request, session)
    return Answer(200, {"nextExpectedRanges": [str(found.content.size)]})


def cancel(tenant: Tenant, request: Request, user: str, event: str, session: str) -> Answer:
    """DELETE: give up."""
    _open(tenant, request, session)
    del _sessions(tenant)[session]
    return Answer(204)


def _open(tenant: Tenant, request: Request, session: str) -> _Session:
    if "authorization" in request.headers:
        tenant.counters.offences["token-to-upload-url"] += 1
        raise GraphError(401, "InvalidAuthenticationToken", "This URL is authenticated already.")
    found = _sessions(tenant).get(session)
    if found is None or request.query.get("authtoken") != found.auth:
        raise GraphError(404, "ErrorItemNotFound", "The upload session was not found.")
    if found.expires_s < tenant.clock.seconds() or found.event.number not in found.store.events:
        raise GraphError(404, "ErrorItemNotFound", "The upload session has expired.")
    return found


def _sessions(tenant: Tenant) -> dict[str, _Session]:
    sessions: dict[str, _Session] = tenant.room.setdefault("event attachment sessions", {})
    return sessions


def _attach(
    tenant: Tenant, store: Calendars, event: Event, day: date | None, item: Attachment
) -> None:
    """Adds a file; of a meeting whose attendees are mailed, they would hear of it."""
    if day is None:
        event.attachments[item.number] = item
        store.touch(event)
    else:
        event.own_attachments.setdefault(day, dict(event.attachments))[item.number] = item
        store.change_occurrence(event, day)
    if event.properties["attendees"]:
        tenant.counters.meeting_mail["update"] += len(event.properties["attendees"])


def _next(event: Event, day: date | None) -> int:
    return max(event.files(day), default=0) + 1


def _item(
    store: Calendars, reference: str, attachment: str, calendar: str
) -> tuple[Event, date | None, Attachment]:
    event, day = find(store, reference, calendar)
    owner, other_day, number = store.find(attachment)
    if owner is not event or other_day != day or number not in event.files(day):
        raise not_found()
    return event, day, event.files(day)[number]


_Handler = Callable[..., Answer]
_LIST = "/events/{event}/attachments"
_ONE = f"{_LIST}/{{attachment}}"
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _LIST, list_attachments, CONTENT),
    ("POST", _LIST, add_attachment, WRITE),
    ("POST", f"{_LIST}/createUploadSession", create_session, WRITE),
    ("GET", _ONE, get_attachment, CONTENT),
    ("GET", f"{_ONE}/$value", get_content, CONTENT),
    ("DELETE", _ONE, delete_attachment, WRITE),
)
_URL = "/api/v2.0/Users/{user}/Events/{event}/AttachmentSessions/{session}"
ROUTES: tuple[Route, ...] = (
    Route("PUT", _URL, put_range),
    Route("GET", _URL, get_status),
    Route("DELETE", _URL, cancel),
    *(
        Route(method, base + pattern, handler, permissions, "outlook")
        for base in BASES
        for method, pattern, handler, permissions in _OPERATIONS
    ),
)
