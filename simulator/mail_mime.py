"""MIME both ways: messages made from JSON get bytes, drafts posted as MIME get JSON."""

import email
import email.policy
import email.utils
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from simulator import extended
from simulator.filebytes import LiteralBytes
from simulator.mailbox import Attachment, Message
from simulator.mime import Part, encoded_words, multipart, render, text_part
from simulator.web import Json

_TAG = re.compile(r"<[^>]*>")


def written(message: Message) -> bytes:
    """The bytes $value answers: those it came with, or made from its properties."""
    if message.mime is not None:
        return message.mime()
    attachments = list(message.attachments.values())
    if str(message.extended.get(extended.MESSAGE_CLASS, "")).startswith("IPM.Note.SMIME"):
        return _sealed(message.properties, attachments)
    return from_json(message.properties, attachments, str(message.number))


def _sealed(properties: Json, attachments: list[Attachment]) -> bytes:
    """S/MIME: the one attachment is the message ([MS-OXOSMIME] 2.1), signed ones with headers."""
    if len(attachments) != 1 or attachments[0].content is None:
        return from_json(properties, attachments, "sealed")
    content = attachments[0].content
    data = content.read(0, content.size)
    headers = tuple((k, v) for k, v in _headers(properties) if v)
    if attachments[0].properties.get("contentType") == "multipart/signed":
        return render(headers, Part("-")).partition(b"Content-Type: -")[0] + data
    name = 'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"'
    shown = (("Content-Disposition", 'attachment; filename="smime.p7m"'),)
    return render(headers, Part(name, data, "base64", headers=shown))


def from_json(properties: Json, attachments: list[Attachment], boundary: str) -> bytes:
    """A message of Graph's JSON as MIME."""
    headers = _headers(properties)
    body = properties.get("body") or {"contentType": "text", "content": ""}
    subtype = "html" if body.get("contentType") == "html" else "plain"
    part = text_part(str(body.get("content") or ""), subtype, "utf-8", "quoted-printable")
    shown = [item for item in attachments if item.content is not None]
    if shown:
        parts = (part, *(_attached(item) for item in shown))
        part = multipart("mixed", f"_000_{boundary}_", parts)
    return render(tuple((k, v) for k, v in headers if v), part)


def _headers(properties: Json) -> list[tuple[str, str]]:
    sent = str(properties.get("sentDateTime") or "1970-01-01T00:00:00Z")
    at = datetime.fromisoformat(sent).astimezone(UTC)
    headers = [
        ("From", _addresses([properties.get("from") or properties.get("sender")])),
        ("To", _addresses(properties.get("toRecipients") or [])),
        ("Cc", _addresses(properties.get("ccRecipients") or [])),
        ("Subject", encoded_words(_one_line(properties.get("subject")))),
        ("Date", email.utils.format_datetime(at)),
        ("Message-ID", _ascii(properties.get("internetMessageId"))),
    ]
    return headers + [
        (_ascii(header["name"]), encoded_words(_one_line(header["value"])))
        for header in properties.get("internetMessageHeaders") or []
        if str(header.get("name", "")).lower().startswith("x-")
    ]


def _attached(item: Attachment) -> Part:
    content = item.content
    assert content is not None
    name = encoded_words(_one_line(item.properties.get("name")))
    inline = "inline" if item.properties.get("isInline") else "attachment"
    headers = [("Content-Disposition", f'{inline}; filename="{name}"')]
    if item.properties.get("contentId"):
        headers.append(("Content-ID", f"<{_ascii(item.properties['contentId'])}>"))
    if item.kind == "itemAttachment":
        return Part("message/rfc822", content.read(0, content.size), headers=tuple(headers))
    kind = _ascii(item.properties.get("contentType")) or "application/octet-stream"
    return Part(
        f'{kind}; name="{name}"',
        lambda: content.read(0, content.size),
        "base64",
        headers=tuple(headers),
    )


def parsed(raw: bytes) -> tuple[Json, list[Attachment]]:
    """(properties, attachments) of MIME as Exchange makes a draft of it."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    found = message.get_body(preferencelist=("html", "plain"))
    content, kind = "", "text"
    if found is not None:
        content = _text(found)
        kind = "html" if found.get_content_subtype() == "html" else "text"
    plain = _TAG.sub("", content) if kind == "html" else content
    senders = _recipients(message, "From")
    properties: Json = {
        "subject": str(message.get("Subject", "")),
        "body": {"contentType": kind, "content": content},
        "bodyPreview": plain.strip()[:255],
        "internetMessageId": str(message.get("Message-ID", "")).strip() or None,
        "toRecipients": _recipients(message, "To"),
        "ccRecipients": _recipients(message, "Cc"),
        "bccRecipients": _recipients(message, "Bcc"),
        "replyTo": _recipients(message, "Reply-To"),
        "internetMessageHeaders": [{"name": k, "value": str(v)} for k, v in message.items()],
    }
    if senders:
        properties |= {"from": senders[0], "sender": senders[0]}
    attachments = [_parsed_part(n, part) for n, part in enumerate(message.iter_attachments(), 1)]
    return properties, attachments


def _parsed_part(number: int, part: Any) -> Attachment:
    inline = part.get_content_disposition() == "inline"
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0).as_bytes()
        properties, _ = parsed(inner)
        facts = {"name": properties["subject"], "contentType": None, "isInline": False}
        facts |= {"@odata.type": "#microsoft.graph.itemAttachment", "size": len(inner)}
        item = {"@odata.type": "#microsoft.graph.message"} | properties
        return Attachment(number, facts, LiteralBytes(inner), item)
    data = part.get_payload(decode=True) or b""
    facts = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "@odata.mediaContentType": part.get_content_type(),
        "name": part.get_filename() or f"attachment{number}",
        "contentType": part.get_content_type(),
        "size": len(data),
        "isInline": inline,
        "contentId": str(part.get("Content-ID", "")).strip("<> ") or None,
        "contentLocation": None,
    }
    return Attachment(number, facts, LiteralBytes(data))


def _text(part: Any) -> str:
    try:
        return str(part.get_content())
    except (LookupError, KeyError):
        return (part.get_payload(decode=True) or b"").decode("latin-1")


def _recipients(message: EmailMessage, name: str) -> list[Json]:
    values = [str(value) for value in message.get_all(name, [])]
    return [
        {"emailAddress": {"name": shown or address, "address": address}}
        for shown, address in email.utils.getaddresses(values)
        if address
    ]


def _addresses(recipients: list[Json | None]) -> str:
    shown = []
    for recipient in recipients:
        found = (recipient or {}).get("emailAddress") or {}
        address = _ascii(found.get("address"))
        name = _one_line(found.get("name"))
        if address:
            quoted = f'"{name}"' if name.isascii() else encoded_words(name)
            shown.append(f"{quoted} <{address}>" if name else address)
    return ", ".join(shown)


def _one_line(value: object) -> str:
    return re.sub(r"[\r\n]+", " ", str(value or ""))


def _ascii(value: object) -> str:
    return _one_line(value).encode("ascii", "replace").decode("ascii")
