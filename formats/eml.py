"""Messages as .eml: the stored MIME byte for byte, else a message rebuilt from its properties.

Rule 1: where the backup holds the MIME, not one byte of it is touched: signatures stay valid.
Rule 2: a rebuilt message says so in X-Holdfast-Rebuilt, and what it lacks in X-Holdfast-Missing.
Rule 3: attachments stream through; only the body is held in memory.
Rule 4: boundaries are made from the item's id, so the same item gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.header import Header
from email.message import Message
from email.utils import format_datetime, formataddr
from itertools import chain
from typing import Any

from base.item import StoredItem, StoredPart
from formats.files import safe_name
from formats.item_file import ItemFile, moment

EOL = b"\r\n"
LINE_BYTES = 57  # become 76 characters of base64
DEPTH_MAX = 10  # of messages attached to messages; deeper ones come as their JSON

_CONTENT_ID = "microsoft.graph.fileAttachment/contentId"
_MESSAGE = "message/rfc822"
_ENCODED = b"Content-Transfer-Encoding: base64\r\n"
_PLAIN = b"Content-Transfer-Encoding: 8bit\r\n"  # RFC 2046 5.2.1: messages are not encoded
_ADDRESSES = ("From", "Sender", "To", "Cc", "Bcc", "Reply-To")
NAME_BYTES_MAX = 240
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_ADDRESS = re.compile(r"""[^\s@<>()",;:\\\[\]\x80-\U0010ffff]+@[^\s@<>()",;:\\\x80-\U0010ffff]+""")
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_NAME = re.compile(r"[!-9;-~]+")
# Made anew, or true of the original bytes only.
_NOT_COPIED = re.compile(
    r"(?:content-.*|mime-version|from|sender|to|cc|bcc|reply-to|subject|date|message-id|importance"
    r"|dkim-signature|arc-.*|x-holdfast-.*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Attached:
    """One part of a rebuilt message: its header lines and its encoded bytes."""

    headers: bytes
    blocks: Iterable[bytes]
    inline: bool = False


def message_file(item: StoredItem) -> ItemFile:
    """The message as a file named by its day and subject."""
    mime = item.part("mime")
    raw = item.raw
    at = moment(raw.get("receivedDateTime"), raw.get("sentDateTime"), raw.get("createdDateTime"))
    day = f"{at:%Y-%m-%d %H%M} " if at else ""
    return ItemFile(
        name=safe_name(f"{day}{item.name or 'no subject'}", "message", ".eml"),
        media_type=_MESSAGE,
        size=mime.size if mime else None,
        modified=at,
        blocks=mime.open if mime else lambda: rebuilt(item),
        rebuilt=mime is None,
    )


def rebuilt(item: StoredItem, depth: int = 0) -> Iterator[bytes]:
    """An RFC 5322 message from the JSON of Graph and the stored attachments."""
    yield _message_headers(item)
    parts = [
        _attached(part) if part.role == "attachment" else _nested(item, part, depth)
        for part in _to_attach(item)
    ]
    boundary = "=_hf" + hashlib.sha256(item.id.encode("utf-8", "replace")).hexdigest()[:24]
    inline = [part for part in parts if part.inline]
    others = [part for part in parts if not part.inline]
    body = _Attached(*_body(item.raw))
    if inline:
        body = _multipart("related", f"{boundary}r", [body, *inline])
    if others:
        body = _multipart("mixed", f"{boundary}m", [body, *others])
    yield body.headers + EOL
    yield from body.blocks


def _multipart(kind: str, boundary: str, parts: list[_Attached]) -> _Attached:
    def blocks() -> Iterator[bytes]:
        for part in parts:
            yield f"--{boundary}\r\n".encode() + part.headers + EOL
            yield from part.blocks
            yield EOL
        yield f"--{boundary}--\r\n".encode()

    return _Attached(
        f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n'.encode(), blocks()
    )


def _message_headers(item: StoredItem) -> bytes:
    raw = item.raw
    lines = [_header("X-Holdfast-Rebuilt", "yes")]
    lines += [_header("X-Holdfast-Missing", missing) for missing in item.missing]
    for one in raw.get("internetMessageHeaders") or ():
        name, value = str(one.get("name") or ""), str(one.get("value") or "")
        if _NAME.fullmatch(name) and not _NOT_COPIED.fullmatch(name):
            lines.append(_header(name, value))
    for name, key in (("From", "from"), ("Sender", "sender")):
        if raw.get(key) and not (key == "sender" and raw.get("from") == raw["sender"]):
            lines.append(_header(name, _mailbox(raw[key])))
    for name, key in (
        ("To", "toRecipients"),
        ("Cc", "ccRecipients"),
        ("Bcc", "bccRecipients"),
        ("Reply-To", "replyTo"),
    ):
        if raw.get(key):
            lines.append(_header(name, ", ".join(_mailbox(one) for one in raw[key])))
    lines.append(_header("Subject", str(raw.get("subject") or "")))
    sent = moment(raw.get("sentDateTime"), raw.get("receivedDateTime"), raw.get("createdDateTime"))
    if sent:
        lines.append(_header("Date", format_datetime(sent)))
    if raw.get("internetMessageId"):
        lines.append(_header("Message-ID", str(raw["internetMessageId"])))
    if raw.get("importance") in ("low", "high"):
        lines.append(_header("Importance", raw["importance"]))
    if raw.get("categories"):
        lines.append(_header("Keywords", ", ".join(map(str, raw["categories"]))))
    if raw.get("isDraft"):
        lines.append(_header("X-Unsent", "1"))
    lines.append(_header("MIME-Version", "1.0"))
    return b"".join(lines)


def _body(raw: Mapping[str, Any]) -> tuple[bytes, list[bytes]]:
    """Headers and encoded bytes of the body, as the one kind of text that Graph gives."""
    body = raw.get("body") or {}
    kind = "html" if str(body.get("contentType")).lower() == "html" else "plain"
    headers = f'Content-Type: text/{kind}; charset="utf-8"\r\n'
    headers += "Content-Transfer-Encoding: base64\r\n"
    data = str(body.get("content") or "").encode("utf-8", "replace")
    return headers.encode(), list(_base64([data]))


def _to_attach(item: StoredItem) -> list[StoredPart]:
    """The attachments, and the JSON of attached items of which nothing better is stored."""
    attachments = [part for part in item.parts if part.role == "attachment"]
    empty = [part for part in attachments if part.size == 0 and _is_item(part)]
    rendered = {part.meta.get("id") for part in attachments if part not in empty}
    as_json = [
        part
        for part in item.parts
        if part.role == "attachment-item" and part.meta.get("id") not in rendered
    ]
    replaced = {part.meta.get("id") for part in as_json}
    return [
        part
        for part in [*attachments, *as_json]
        if part not in empty or part.meta.get("id") not in replaced
    ]


def _attached(part: StoredPart) -> _Attached:
    if _is_item(part):
        return _attached_item(part)
    if str(part.meta.get("@odata.type", "")).endswith("referenceAttachment"):
        return _link(part)
    content_id = _content_id(part.meta)
    inline = bool(part.meta.get("isInline")) and content_id != ""
    headers = _part_headers(part.meta, _file_type(part.meta), inline)
    if content_id:
        headers += _header("Content-ID", f"<{content_id}>")
    return _Attached(headers + _ENCODED, _base64(part.open()), inline)


def _attached_item(part: StoredPart) -> _Attached:
    """An attached message, meeting or contact; Graph gives MIME, iCalendar or vCard for it."""
    blocks = part.open()
    first = next(blocks, b"")
    start = first[:64].lstrip().upper()
    whole = chain((first,), blocks)
    for mark, kind in ((b"BEGIN:VCALENDAR", "text/calendar"), (b"BEGIN:VCARD", "text/vcard")):
        if start.startswith(mark):
            return _Attached(_part_headers(part.meta, kind) + _ENCODED, _base64(whole))
    return _Attached(_part_headers(part.meta, _MESSAGE) + _PLAIN, whole)


def _nested(item: StoredItem, part: StoredPart, depth: int) -> _Attached:
    """An attached item of which only the JSON is stored: a message is rebuilt from it."""
    data = part.read()
    raw = json.loads(data)
    name = str(raw.get("subject") or raw.get("displayName") or "item")
    is_message = str(raw.get("@odata.type", "")).endswith(".message")
    if not is_message or depth >= DEPTH_MAX:
        headers = _part_headers({"name": f"{name}.json"}, "application/json")
        return _Attached(headers + _ENCODED, _base64([data]))
    inner = StoredItem(
        id=f"{item.id}/{part.meta.get('id', '')}",
        parent=item.id,
        kind="message",
        name=name,
        row={},
        raw=raw,
        parts=tuple(_json_part(one) for one in raw.get("attachments") or ()),
    )
    return _Attached(
        _part_headers({"name": f"{name}.eml"}, _MESSAGE) + _PLAIN, rebuilt(inner, depth + 1)
    )


def _json_part(attachment: Mapping[str, Any]) -> StoredPart:
    """An attachment inside an attached item, which Graph gives with its bytes in the JSON."""
    if isinstance(attachment.get("item"), dict):
        data = json.dumps(attachment["item"]).encode()
        meta = {"id": attachment.get("id", "")}
        return StoredPart("attachment-item", len(data), meta, lambda: iter((data,)))
    data = base64.b64decode(str(attachment.get("contentBytes") or ""))
    meta = {key: value for key, value in attachment.items() if key != "contentBytes"}
    return StoredPart("attachment", len(data), meta, lambda: iter((data,)))


def _link(part: StoredPart) -> _Attached:
    """A link to a file in the cloud, as a file that opens the link."""
    name = str(part.meta.get("name") or "link")
    url = _CONTROL.sub("", str(part.meta.get("sourceUrl") or ""))
    headers = _part_headers({"name": f"{name}.url"}, "text/plain")
    return _Attached(headers + _ENCODED, _base64([f"[InternetShortcut]\r\nURL={url}\r\n".encode()]))


def _is_item(part: StoredPart) -> bool:
    return str(part.meta.get("@odata.type", "")).endswith("itemAttachment")


def _content_id(meta: Mapping[str, Any]) -> str:
    found = meta.get("contentId") or meta.get(_CONTENT_ID) or ""
    return re.sub(r"[\s<>]+", "", str(found))


def _part_headers(meta: Mapping[str, Any], media_type: str, inline: bool = False) -> bytes:
    part = Message()
    part["Content-Type"] = media_type
    name = _CONTROL.sub("_", str(meta.get("name") or ""))
    name = name.encode("utf-8", "replace")[:NAME_BYTES_MAX].decode("utf-8", "ignore")
    filename = name if name.isascii() else ("utf-8", "", name)
    part.add_header(
        "Content-Disposition", "inline" if inline else "attachment", filename=filename or None
    )
    return "".join(f"{key}: {value}\r\n" for key, value in part.items()).encode("ascii")


def _file_type(meta: Mapping[str, Any]) -> str:
    """The declared type; bytes that claim to be a structure of parts are only bytes."""
    kind = str(meta.get("contentType") or "").split(";")[0].strip().lower()
    if not _TYPE.fullmatch(kind) or kind.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return kind


def _mailbox(recipient: Mapping[str, Any]) -> str:
    """One address with its name; what is no internet address (X.500) goes into the name."""
    mail = recipient.get("emailAddress") or {}
    name, address = (_clean(mail.get(key)) for key in ("name", "address"))
    if _ADDRESS.fullmatch(address):
        return formataddr(("" if name == address else name, address))
    return formataddr((" ".join(filter(None, (name, address))), "unknown@unknown.invalid"))


def _header(name: str, value: str) -> bytes:
    """One header, folded; other characters than ASCII as encoded words."""
    text = _clean(value)
    # What looks like an encoded word is encoded, or readers would decode what nobody encoded.
    charset = None if text.isascii() and ("=?" not in text or name in _ADDRESSES) else "utf-8"
    folded = Header(text, charset, header_name=name).encode(linesep="\r\n")
    return f"{name}: {folded}\r\n".encode("ascii")


def _clean(value: Any) -> str:
    text = _CONTROL.sub(" ", str(value or "")).strip()
    return text.encode("utf-8", "replace").decode()


def _base64(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes in lines of 76 characters."""
    held = b""
    for block in blocks:
        held += block
        whole = len(held) - len(held) % LINE_BYTES
        if whole:
            yield base64.encodebytes(held[:whole]).replace(b"\n", EOL)
            held = held[whole:]
    yield base64.encodebytes(held).replace(b"\n", EOL)
