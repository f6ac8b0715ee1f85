"""How folders, messages and attachments look as JSON, and what $select and $expand make of them."""

import base64
import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from simulator import mailids
from simulator.extended import key as property_key
from simulator.extended import property_value
from simulator.mailbox import Attachment, Folder, Mailbox, Message
from simulator.tenant import Tenant
from simulator.web import GraphError, Json, Request

ITEM_PROPERTIES = (
    "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "receivedDateTime",
    "sentDateTime", "hasAttachments", "internetMessageId", "subject", "bodyPreview", "importance",
    "parentFolderId", "conversationId", "conversationIndex", "isDeliveryReceiptRequested",
    "isReadReceiptRequested", "isRead", "isDraft", "webLink", "inferenceClassification", "body",
    "sender", "from", "toRecipients", "ccRecipients", "bccRecipients", "replyTo", "flag",
)  # fmt: skip
ON_REQUEST = ("internetMessageHeaders", "uniqueBody")
FOLDER_PROPERTIES = (
    "id", "displayName", "parentFolderId", "childFolderCount", "unreadItemCount",
    "totalItemCount", "isHidden",
)  # fmt: skip
ATTACHMENT_PROPERTIES = ("lastModifiedDateTime", "name", "contentType", "size", "isInline")
_FILE_PROPERTIES = ("contentId", "contentLocation", "contentBytes")
_ATTACHMENTS = re.compile(r"attachments(?:\(\$select=([^()]*)\))?", re.IGNORECASE)
_EXTENDED = re.compile(r"singleValueExtendedProperties(?:\(\$filter=(.*)\))?", re.IGNORECASE)
_LISTS = re.compile(r"multiValueExtendedProperties\(\$filter=(.*)\)", re.IGNORECASE)
_OPEN = re.compile(r"extensions\(\$filter=(.*)\)", re.IGNORECASE)
_EXTENDED_ID = re.compile(r"id eq '([^']+)'", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class View:
    """What an answer shows of a message."""

    immutable: bool
    salt: int
    select: frozenset[str] | None = None
    attachments: bool = False
    attachment_select: frozenset[str] | None = None
    """The $select inside $expand=attachments(…)."""
    extended: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    """Ids of multi-value extended properties."""
    extensions: tuple[str, ...] = ()
    """Ids of open extensions."""
    text_body: bool = False
    basic: bool = False
    """The app holds only Mail.ReadBasic: no bodies, attachments, extended properties."""


def view_of(tenant: Tenant, request: Request, options: dict[str, str] | None = None) -> View:
    """The view a request asks for; options replace the query's (a delta's first request)."""
    query = request.query if options is None else options
    expand = query.get("$expand", "")
    expand, lists = _taken(expand, _LISTS)
    expand, extensions = _taken(expand, _OPEN)
    attachments, nested, extended = _expand(expand)
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    return View(
        immutable,
        tenant.rng.getrandbits(32) if salted else 0,
        _select(query.get("$select"), (*ITEM_PROPERTIES, *ON_REQUEST, "id"), "message"),
        attachments,
        nested,
        extended,
        lists,
        extensions,
        request.prefer("outlook.body-content-type") == "text",
        request.app is not None and not request.app.roles & _FULL,
    )


def wants_immutable(request: Request) -> bool:
    """Prefer: IdType="ImmutableId"."""
    return (request.prefer("IdType") or "").lower() == "immutableid"


def applied(request: Request) -> dict[str, str]:
    """The Preference-Applied header."""
    names = []
    if wants_immutable(request):
        names.append('IdType="ImmutableId"')
    size = request.prefer("odata.maxpagesize")
    if size:
        names.append(f"odata.maxpagesize={size}")
    return {"Preference-Applied": ", ".join(names)} if names else {}


def change_key(mailbox: Mailbox, change: int) -> str:
    """A changeKey of the real length."""
    raw = b"\x09\x00\x00\x00\x16\x00\x00\x00" + mailbox.guid + change.to_bytes(8, "big")
    return base64.b64encode(raw).decode("ascii")


def message_json(
    mailbox: Mailbox, message: Message, view: View, *, older: bool = False, typed: bool = False
) -> Json:
    """A message; older shows the state before its last change, typed adds @odata.type."""
    properties = _older(message) if older else message.properties
    if type(properties) is not dict:
        properties = dict(properties.items())
    key = change_key(mailbox, message.change - older)
    message_id = mailbox.message_id(message, immutable=view.immutable, salt=view.salt)
    found: Json = {}
    kind = properties.get("@odata.type")
    if kind is not None or typed:
        found["@odata.type"] = kind or "#microsoft.graph.message"
    found["@odata.etag"] = f'W/"{key}"'
    found["id"] = message_id
    names = ITEM_PROPERTIES if view.select is None else (*ITEM_PROPERTIES, *ON_REQUEST)
    select = view.select
    for name in names:
        if view.basic and name in _NOT_BASIC:
            continue
        if select is None or name in select:
            found[name] = _value(name, properties, message, view, key, message_id)
    if view.select is None:
        found.update({k: v for k, v in properties.items() if k not in _KNOWN})
    if view.basic:
        return found
    if view.extended:
        shown = _extended(message, view.extended)
        if shown:
            found["singleValueExtendedProperties"] = shown
    lists = {name: message.extended_lists.get(property_key(name)) for name in view.lists}
    if any(lists.values()):
        found["multiValueExtendedProperties"] = [
            {"id": name, "value": value} for name, value in lists.items() if value
        ]
    opened = [one for one in message.extensions if one["id"] in view.extensions]
    if opened:
        found["extensions"] = opened
    if view.attachments:
        nested = view.attachment_select
        found["attachments"] = [
            attachment_json(
                mailbox, message, item, view, select=nested, content=item.broken is None
            )
            for item in message.attachments.values()
        ]
    return found


_FULL = {"Mail.Read", "Mail.ReadWrite"}
_NOT_BASIC = {"body", "bodyPreview", "uniqueBody"}
_KNOWN = frozenset((*ITEM_PROPERTIES, *ON_REQUEST, "id", "@odata.type", "@odata.etag"))


def _value(
    name: str, properties: Json, message: Message, view: View, key: str, message_id: str
) -> Any:
    if name == "changeKey":
        return key
    if name == "parentFolderId":
        return message.folder.id
    if name == "hasAttachments":
        return message.has_attachments
    if name == "webLink":
        quoted = quote(message_id, safe="")
        return (
            f"https://outlook.office365.com/owa/?ItemID={quoted}&exvsurl=1"
            "&viewmodel=ReadMessageItem"
        )
    if name == "internetMessageHeaders":
        return properties.get(name, [])
    if name == "uniqueBody":
        return properties.get("body")
    value = properties.get(name)
    if name == "body" and view.text_body and value and value.get("contentType") == "html":
        return {"contentType": "text", "content": html.unescape(_TAG.sub("", value["content"]))}
    return value


def _older(message: Message) -> Json:
    """The state before the last change, or a plausible one when nothing was kept."""
    if message.older is not None:
        return message.older
    now = message.properties
    return now | {
        "isRead": not now.get("isRead"),
        "categories": [],
        "flag": {"flagStatus": "notFlagged"},
        "lastModifiedDateTime": now.get("createdDateTime"),
    }


def _extended(message: Message, wanted: tuple[str, ...]) -> list[Json]:
    found = []
    for name in wanted:
        value = property_value(message, name)
        if value is not None:
            found.append({"id": name, "value": value})
    return found


def folder_json(folder: Folder, select: frozenset[str] | None = None) -> Json:
    """A mailFolder or mailSearchFolder."""
    messages = folder.messages.values()
    found: Json = {
        "id": folder.id,
        "displayName": folder.name,
        "parentFolderId": folder.parent.id if folder.parent is not None else None,
        "childFolderCount": len(folder.children),
        # dict.get, as properties made while they are read (content_later) would all be made.
        "unreadItemCount": sum(not dict.get(item.properties, "isRead", True) for item in messages),
        "totalItemCount": len(messages) + folder.uncounted,
        "isHidden": folder.hidden,
    }
    if folder.search_filter is not None:
        typed: Json = {"@odata.type": "#microsoft.graph.mailSearchFolder"}
        found = typed | found
        found["isSupported"] = found["includeNestedFolders"] = True
        found |= {"filterQuery": folder.search_filter, "sourceFolderIds": []}
    if select is None:
        return found
    return {k: v for k, v in found.items() if k in select or k in ("id", "@odata.type")}


def folder_select(request: Request) -> frozenset[str] | None:
    """$select for folders."""
    return _select(request.query.get("$select"), FOLDER_PROPERTIES, "mailFolder")


def attachment_id(mailbox: Mailbox, message: Message, item: Attachment, view: View) -> str:
    """The id of an attachment, in the encoding the request wants."""
    return mailids.item_id(
        mailbox.guid,
        message.number,
        message.moves,
        immutable=view.immutable,
        salt=view.salt,
        attachment=item.number,
    )


def attachment_select(request: Request) -> frozenset[str] | None:
    """$select for attachments; what only files have needs the cast, as the base type lacks it."""
    return _attachment_select(request.query.get("$select"))


def _attachment_select(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    cast = "microsoft.graph.fileattachment/"
    plain, of_files = [], set()
    for name in (part.strip() for part in text.split(",")):
        if name.lower().startswith(cast) and name[len(cast) :] in _FILE_PROPERTIES:
            of_files.add(name[len(cast) :])
        else:
            plain.append(name)
    if not plain:
        return frozenset(of_files)
    known = _select(",".join(plain), (*ATTACHMENT_PROPERTIES, "id"), "attachment")
    assert known is not None
    return known | of_files


def attachment_json(
    mailbox: Mailbox,
    message: Message,
    item: Attachment,
    view: View,
    *,
    select: frozenset[str] | None = None,
    content: bool = True,
    expand_item: bool = False,
) -> Json:
    """An attachment; contentBytes of files only when content is wanted."""
    found: Json = {"@odata.type": item.properties["@odata.type"]}
    media = item.properties.get("@odata.mediaContentType")
    if media is not None:
        found["@odata.mediaContentType"] = media
    found["id"] = attachment_id(mailbox, message, item, view)
    names = [*ATTACHMENT_PROPERTIES]
    if item.kind == "fileAttachment":
        names += ["contentId", "contentLocation"]
    for name in names:
        if select is None or name in select:
            found[name] = item.properties.get(name)
    if item.kind == "referenceAttachment" and select is None:
        found |= {k: v for k, v in item.properties.items() if k not in found}
    wanted = select is None or "contentBytes" in select
    if item.kind == "fileAttachment" and content and wanted and item.content is not None:
        whole = item.content.read(0, item.content.size)
        found["contentBytes"] = base64.b64encode(whole).decode("ascii")
    if expand_item and item.item is not None:
        found["item"] = item.item
    return found


def _select(text: str | None, known: tuple[str, ...], kind: str) -> frozenset[str] | None:
    if text is None:
        return None
    by_lower = {name.lower(): name for name in known}
    wanted = set()
    for part in text.split(","):
        name = by_lower.get(part.strip().lower())
        if name is None:
            raise GraphError(
                400,
                "RequestBroker--ParseUri",
                f"Could not find a property named '{part.strip()}' on type "
                f"'microsoft.graph.{kind}'.",
            )
        wanted.add(name)
    return frozenset(wanted)


def _expand(text: str) -> tuple[bool, frozenset[str] | None, tuple[str, ...]]:
    """(attachments?, what of them, extended property ids) of $expand; anything else is refused."""
    attachments, nested, extended = False, None, ()
    for part in _split(text):
        if found := _ATTACHMENTS.fullmatch(part):
            attachments, nested = True, _attachment_select(found[1])
            continue
        match = _EXTENDED.fullmatch(part)
        if match is None:
            raise GraphError(
                400, "RequestBroker--ParseUri", f"Could not find a property named '{part}'."
            )
        if match[1] is None:
            raise GraphError(
                400,
                "ErrorInvalidUrlQueryFilter",
                "Expanding extended properties needs a filter with their ids.",
            )
        extended = tuple(_EXTENDED_ID.findall(match[1]))
    return attachments, nested, extended


def _taken(text: str, wanted: re.Pattern[str]) -> tuple[str, tuple[str, ...]]:
    """An $expand without the part that matches, and the ids that part's filter names."""
    parts = _split(text)
    found = [match for part in parts if (match := wanted.fullmatch(part))]
    ids = tuple(name for match in found for name in _EXTENDED_ID.findall(match[1]))
    return ",".join(part for part in parts if not wanted.fullmatch(part)), ids


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        parts.append(current.strip())
    return parts
