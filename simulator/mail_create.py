"""Takes JSON into messages: what may be set on creation, what later, and what is ignored."""

import base64
import binascii
import re
from typing import Any

from simulator import extended, mail_mime, mailids
from simulator.filebytes import LiteralBytes
from simulator.mailbox import Attachment, Folder, Mailbox, Message
from simulator.tenant import Tenant
from simulator.web import GraphError, Json

_ALWAYS = (
    "categories", "flag", "importance", "isRead", "inferenceClassification", "from", "sender",
    "isDeliveryReceiptRequested", "isReadReceiptRequested",
)  # fmt: skip
_WHILE_DRAFT = (
    "subject", "body", "toRecipients", "ccRecipients", "bccRecipients", "replyTo",
    "internetMessageId",
)  # fmt: skip
_READ_ONLY = ("isDraft", "sentDateTime", "receivedDateTime", "hasAttachments", "parentFolderId")
_LISTS = ("categories", "toRecipients", "ccRecipients", "bccRecipients", "replyTo")
_ENUMS = {
    "importance": ("low", "normal", "high"),
    "inferenceClassification": ("focused", "other"),
}
_FLAGS = {"notflagged": "notFlagged", "flagged": "flagged", "complete": "complete"}
_TAG = re.compile(r"<[^>]*>")
_HEADERS_MAX = 5
_HEAD = (
    '<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\r\n'
    "</head>\r\n<body>\r\n"
)
_UNSENT, _READ = 0x8, 0x1


def from_json(tenant: Tenant, mailbox: Mailbox, folder: Folder, body: Json) -> Message:
    """A new message; a draft, unless Integer 0x0E07 says it is not unsent."""
    properties = _blank(tenant, mailbox)
    for name in (*_ALWAYS, *_WHILE_DRAFT):
        if body.get(name) is not None:
            properties[name] = _checked(name, body[name])
    properties["bodyPreview"] = preview(properties["body"])
    properties["internetMessageHeaders"] = _custom_headers(body)
    if str(body.get("@odata.type", "")).endswith("eventMessageRequest"):
        properties["@odata.type"] = "#microsoft.graph.eventMessageRequest"
    properties["sender"] = properties.get("sender") or properties.get("from")
    values = extended.given(body)
    _apply_extended(properties, values, mailbox, read_given="isRead" in body)
    attachments = [
        attachment_from(number, entry, properties["createdDateTime"])
        for number, entry in enumerate(body.get("attachments") or [], 1)
    ]
    message = mailbox.add_message(folder, properties, attachments, None, values)
    message.lag = tenant.quirks.read_after_write_lag
    return message


def from_mime(tenant: Tenant, mailbox: Mailbox, folder: Folder, body: bytes) -> Message:
    """A draft from base64 MIME; the exact bytes stay."""
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise GraphError(
            400,
            "ErrorMimeContentInvalidBase64String",
            "Invalid base64 string for MIME content.",
        ) from None
    found, attachments = mail_mime.parsed(raw)
    properties = _blank(tenant, mailbox)
    properties.update({k: v for k, v in found.items() if v is not None})
    message = mailbox.add_message(folder, properties, attachments, lambda: raw)
    message.lag = tenant.quirks.read_after_write_lag
    return message


def patch(mailbox: Mailbox, message: Message, body: Json) -> None:
    """Change what may be changed; 400 for the rest."""
    changes: Json = {}
    for name, value in body.items():
        if name in _READ_ONLY or (name in _WHILE_DRAFT and not message.properties["isDraft"]):
            raise GraphError(
                400, "ErrorInvalidPropertySet", f"The property '{name}' cannot be set."
            )
        if name in _ALWAYS or name in _WHILE_DRAFT:
            changes[name] = _checked(name, value)
    if "body" in changes:
        changes["bodyPreview"] = preview(changes["body"])
    if any(name in changes for name in _WHILE_DRAFT):
        message.mime = None
    values = extended.given(body)
    if values:
        message.extended.update(values)
        mailbox.changed_parts(message)
    mailbox.change_message(message, **changes)


def attachment_from(number: int, body: Json, stamp: str) -> Attachment:
    """An attachment from its JSON."""
    if not isinstance(body, dict):
        raise GraphError(400, "BadRequest", "An attachment must be a JSON object.")
    kind = str(body.get("@odata.type", "")).rsplit(".", 1)[-1]
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise GraphError(400, "ErrorInvalidProperty", "An attachment needs a name.")
    facts: Json = {
        "@odata.type": f"#microsoft.graph.{kind}", "lastModifiedDateTime": stamp, "name": name,
        "contentType": body.get("contentType"), "isInline": bool(body.get("isInline")),
    }  # fmt: skip
    if kind == "fileAttachment":
        data = _unbase64(body.get("contentBytes"))
        facts |= {
            "contentType": body.get("contentType") or "application/octet-stream",
            "contentId": body.get("contentId"), "contentLocation": body.get("contentLocation"),
            "size": len(data) + 190 + 2 * len(name),
        }  # fmt: skip
        facts["@odata.mediaContentType"] = facts["contentType"]
        return Attachment(number, facts, LiteralBytes(data))
    if kind == "itemAttachment":
        item = body.get("item")
        if not isinstance(item, dict):
            raise GraphError(400, "ErrorInvalidProperty", "An itemAttachment needs an item.")
        inner = [attachment_from(n, e, stamp) for n, e in enumerate(item.get("attachments", []), 1)]
        data = mail_mime.from_json(item, inner, f"item{number}")
        facts |= {"size": len(data)}
        return Attachment(number, facts, LiteralBytes(data), item)
    if kind == "referenceAttachment":
        rest = {k: v for k, v in body.items() if k not in facts}
        return Attachment(number, facts | {"size": 0} | rest)
    raise GraphError(400, "ErrorInvalidProperty", f"Unknown type of attachment '{kind}'.")


def _blank(tenant: Tenant, mailbox: Mailbox) -> Json:
    now = tenant.clock.stamp()
    index = base64.b64encode(tenant.rng.randbytes(22)).decode("ascii")
    number = f"{tenant.rng.getrandbits(80):020X}"
    return {
        "createdDateTime": now, "lastModifiedDateTime": now, "categories": [],
        "receivedDateTime": now, "sentDateTime": now,
        "internetMessageId": f"<{number}@{tenant.domain}>", "subject": "", "bodyPreview": "",
        "importance": "normal", "conversationId": f"AAQk{number}=", "conversationIndex": index,
        "isDeliveryReceiptRequested": None, "isReadReceiptRequested": False, "isRead": True,
        "isDraft": True, "inferenceClassification": "focused",
        "body": {"contentType": "text", "content": ""}, "sender": None, "from": None,
        "toRecipients": [], "ccRecipients": [], "bccRecipients": [], "replyTo": [],
        "flag": {"flagStatus": "notFlagged"},
    }  # fmt: skip


def _checked(name: str, value: Any) -> Any:
    """The value as Exchange keeps it."""
    if name in _LISTS and not isinstance(value, list):
        raise _wrong(name)
    if name in _ENUMS:
        lower = str(value).lower()
        if lower not in _ENUMS[name]:
            raise _wrong(name)
        return lower
    if name.startswith("is") and not isinstance(value, bool):
        raise _wrong(name)
    if name == "flag":
        status = _FLAGS.get(str((value or {}).get("flagStatus", "notFlagged")).lower())
        if status is None:
            raise _wrong(name)
        if value and value.get("dueDateTime") and not value.get("startDateTime"):
            raise GraphError(400, "ErrorInvalidProperty", "A due date needs a start date.")
        return dict(value or {}) | {"flagStatus": status}
    if name == "body":
        return _body(value)
    if name.endswith("Recipients") or name == "replyTo":
        return [_recipient(entry) for entry in value]
    if name in ("from", "sender") and value is not None:
        return _recipient(value)
    return value


def _recipient(entry: Any) -> Json:
    found = entry.get("emailAddress") if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
    address = found.get("address")
    shown = {"name": found.get("name") or address, "address": address}
    return {"emailAddress": {k: v for k, v in shown.items() if v is not None}}


def _body(value: Any) -> Json:
    if not isinstance(value, dict) or not isinstance(value.get("content", ""), str):
        raise _wrong("body")
    kind = str(value.get("contentType", "text")).lower()
    if kind not in ("text", "html"):
        raise _wrong("body")
    content = value.get("content", "")
    if kind == "html" and "<html" not in content.lower():
        content = f"{_HEAD}{content}\r\n</body>\r\n</html>\r\n"
    return {"contentType": kind, "content": content}


def preview(body: Json) -> str:
    """bodyPreview: the first 255 characters of a body, as text."""
    text = body["content"]
    if body["contentType"] == "html":
        text = _TAG.sub("", re.sub(r"(?is)<(style|head)\b.*?</\1>", "", text))
    return str(text).strip()[:255]


def _custom_headers(body: Json) -> list[Json]:
    headers = body.get("internetMessageHeaders") or []
    for header in headers:
        name = str(header.get("name", ""))
        if not name.lower().startswith("x-"):
            raise GraphError(
                400,
                "InvalidInternetMessageHeader",
                f"The internet message header name '{name}' should start with 'x-' or 'X-'.",
            )
    if len(headers) > _HEADERS_MAX:
        raise GraphError(
            400, "InvalidInternetMessageHeaderCollection", "Maximum number of headers exceeded."
        )
    return [{"name": h["name"], "value": h.get("value", "")} for h in headers]


def _apply_extended(
    properties: Json, values: dict[str, str], mailbox: Mailbox, *, read_given: bool
) -> None:
    """Flags, dates and the place in a thread become what they mean."""
    index = values.pop(extended.CONVERSATION, None)
    if index is not None:
        properties["conversationIndex"] = index
        _unbase64(index)
        properties["conversationId"] = mailids.conversation_id(mailbox.guid, index)
    flags = values.pop(extended.FLAGS, None)
    if flags is not None:
        if not flags.lstrip("-").isdigit():
            raise GraphError(400, "ErrorInvalidProperty", "Integer 0x0E07 must be a number.")
        properties["isDraft"] = bool(int(flags) & _UNSENT)
        if not read_given:
            properties["isRead"] = bool(int(flags) & _READ)
    for key, name in (
        (extended.SUBMITTED, "sentDateTime"), (extended.DELIVERED, "receivedDateTime"),
    ):  # fmt: skip
        value = values.pop(key, None)
        if value is not None:
            properties[name] = _date(value)


def _date(value: str) -> str:
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)?", value)
    if found is None:
        raise GraphError(400, "ErrorInvalidProperty", f"'{value}' is no date.")
    return f"{found[1]}Z"


def _unbase64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise GraphError(400, "ErrorInvalidProperty", "contentBytes is required.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise GraphError(400, "BadRequest", "contentBytes is not valid base64.") from None


def _wrong(name: str) -> GraphError:
    return GraphError(400, "ErrorInvalidProperty", f"The value of '{name}' is not valid.")
