"""Items out of a mailbox and into one: exportItems, import sessions, and the address they give."""

import base64
import binascii
import random
from dataclasses import dataclass
from datetime import timedelta

from simulator.mail_json import change_key
from simulator.mailbox import Mailbox
from simulator.mailbox_items import folder_of, item_id, item_of, mailbox_id, mailbox_of
from simulator.mailbox_stream import imported, written
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_ITEMS_MAX = 20
_LIFE = timedelta(hours=1)


@dataclass(slots=True)
class Session:
    """What an import address is good for."""

    mailbox: Mailbox
    auth: str
    expires_s: float


def export_items(tenant: Tenant, request: Request, mailbox: str) -> Answer:
    """POST …/exportItems {"itemIds": […]}: an answer per item, in an order of its own.

    A hostile service leaves an item out now and then; asked again it gives it.
    """
    box, ids = mailbox_of(tenant, mailbox), request.json().get("itemIds")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise GraphError(400, "ErrorInvalidRequest", "itemIds is a list of ids.")
    if not 0 < len(ids) <= _ITEMS_MAX:
        raise GraphError(400, "ErrorInvalidRequest", "Between 1 and 20 items can be exported.")
    answers = [_export(box, one) for one in sorted(set(ids)) if not _left_out(tenant, one)]
    context = f"{request.url_base}/$metadata#Collection(microsoft.graph.exportItemResponse)"
    return Answer(200, {"@odata.context": context, "value": answers})


def _left_out(tenant: Tenant, reference: str) -> bool:
    chance = tenant.quirks.p_export_left_out
    asked = tenant.room.setdefault("exports asked", set())
    first = reference not in asked
    asked.add(reference)
    return first and random.Random(f"{tenant.seed} export {reference}").random() < chance


def _export(box: Mailbox, reference: str) -> Json:
    try:
        message = item_of(box, reference)
        if message.broken is not None:
            raise GraphError(500, message.broken, "The item is corrupt and cannot be read.")
    except GraphError as error:
        return {"itemId": reference, "error": {"code": error.code, "message": error.message}}
    return {
        "itemId": reference,
        "changeKey": change_key(box, message.change),
        "data": base64.b64encode(written(message)).decode("ascii"),
    }


def create_session(tenant: Tenant, request: Request, mailbox: str) -> Answer:
    """POST …/createImportSession: 200 and 201 take turns, as both are documented."""
    box = mailbox_of(tenant, mailbox)
    auth = f"eyJ{tenant.rng.getrandbits(256):064x}"
    expires = tenant.clock.now() + _LIFE
    sessions = _sessions(tenant)
    sessions[auth] = Session(box, auth, expires.timestamp())
    where = f"{request.content_base}/api/g{request.version}/Mailboxes('{mailbox}')/importItem"
    context = f"{request.url_base}/$metadata#microsoft.graph.mailboxItemImportSession"
    return Answer(
        200 + len(sessions) % 2,
        {
            "@odata.context": context,
            "importUrl": f"{where}?authtoken={auth}",
            "expirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
        },
    )


def import_item(tenant: Tenant, request: Request, mailbox: str) -> Answer:
    """POST {importUrl} {"FolderId", "Mode", "Data"}; the address is the permission, no token."""
    box = _box_of_session(tenant, request, mailbox)
    body = request.json()
    mode = str(body.get("Mode", "")).lower()
    if mode not in ("create", "update") or not isinstance(body.get("FolderId"), str):
        raise GraphError(400, "ErrorInvalidRequest", "FolderId, Mode and Data are required.")
    folder, stream = folder_of(box, body["FolderId"]), _unbase64(body.get("Data"))
    old = item_of(box, str(body.get("ItemId", ""))) if mode == "update" else None
    made = imported(box, folder, stream)
    if old is not None:
        old.properties, old.attachments, old.mime = made.properties, made.attachments, made.mime
        box.delete_message(made, for_good=True)
        box.changed_parts(old)
        made = old
    context = f"{request.content_base}/api/g{request.version}/$metadata"
    return Answer(
        201 if mode == "create" else 200,
        {
            "@odata.context": f"{context}#microsoft.graph.importMailboxItemResponse",
            "itemId": item_id(box, made.number),
            "changeKey": change_key(box, made.change),
        },
    )


def _box_of_session(tenant: Tenant, request: Request, mailbox: str) -> Mailbox:
    if "authorization" in request.headers:
        tenant.counters.offences["token-to-upload-url"] += 1
        raise GraphError(
            401, "InvalidAuthenticationToken", "This URL is authenticated already; send no token."
        )
    found = _sessions(tenant).get(request.query.get("authtoken", ""))
    if found is None or mailbox_id(tenant, found.mailbox) != mailbox:
        raise GraphError(401, "ErrorAccessDenied", "The import session is not known.")
    if found.expires_s < tenant.clock.seconds():
        raise GraphError(401, "ErrorAccessDenied", "The import session has expired.")
    return found.mailbox


def _unbase64(text: object) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except (binascii.Error, ValueError):
        raise GraphError(400, "ErrorInvalidRequest", "Data is not valid base64.") from None


def _sessions(tenant: Tenant) -> dict[str, Session]:
    sessions: dict[str, Session] = tenant.room.setdefault("import sessions", {})
    return sessions


_M = "/admin/exchange/mailboxes/{mailbox}"
_EXPORT = ("MailboxItem.Export.All", "MailboxItem.ImportExport.All")
_IMPORT = ("MailboxItem.ImportExport.All",)
ROUTES: tuple[Route, ...] = (
    Route("POST", f"{_M}/exportItems", export_items, _EXPORT, "outlook"),
    Route("POST", f"{_M}/createImportSession", create_session, _IMPORT, "outlook"),
    *(
        Route(
            "POST", f"/api/g{version}/Mailboxes/{{mailbox}}/importItem", import_item, (), "outlook"
        )
        for version in ("v1.0", "beta")
    ),
)
