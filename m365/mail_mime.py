"""What of a stored MIME a restore needs beside the JSON: headers a program added, sealed messages.

Rules
- The MIME may be missing (it follows later, or could not be had); then the JSON and the
  attachments say what they can, and nothing here is an error.
- S/MIME is one attachment that stands for the whole message: its message class makes mail programs
  open it. Where the backup lacks the attachment, it is cut out of the MIME, not one byte changed.

Facts this file rests on: [MS-OXOSMIME] 2.1 (message classes, the attachment smime.p7m);
learn.microsoft.com/graph/api/user-post-messages (only headers that begin with x- can be set).
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator, Mapping

from base.item import StoredItem, StoredPart

SEALED = "IPM.Note.SMIME"
SIGNED = "IPM.Note.SMIME.MultipartSigned"
HEADERS_MAX = 5  # more are refused
_HEAD_BYTES_MAX = 256 * 1024
_VALUE_MAX = 1_000
_NAME = re.compile(r"x-[\x21-\x39\x3b-\x7e]+", re.IGNORECASE)
_OF_THE_TRANSPORT = re.compile(
    r"x-(ms|microsoft|forefront|exchange|eop|incoming|originat)[a-z]*-?", re.IGNORECASE
)
_FILE_NAME = "smime.p7m"
_SEALED_TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_SIGNED_TYPE = "multipart/signed"
_OF_THE_ENTITY = (b"content-type:", b"content-transfer-encoding:")


def own_headers(item: StoredItem) -> list[dict[str, str]]:
    """Headers the sender's program added, as Graph takes them: [{"name", "value"}]."""
    listed = item.raw.get("internetMessageHeaders")
    pairs = _listed(listed) if isinstance(listed, list) else _fields(item)
    found: dict[str, dict[str, str]] = {}
    for name, value in pairs:
        text = " ".join(value.split())
        wanted = _NAME.fullmatch(name) and not _OF_THE_TRANSPORT.match(name)
        if wanted and text.isascii() and text.isprintable() and 0 < len(text) <= _VALUE_MAX:
            found.setdefault(name.lower(), {"name": name, "value": text})
    return list(found.values())[:HEADERS_MAX]


def sealed_class(item: StoredItem) -> str:
    """The message class of an S/MIME message; "" for any other."""
    attached = [part for part in item.parts if part.role == "attachment"]
    if len(attached) == 1 and str(attached[0].meta.get("name") or "").lower() == _FILE_NAME:
        return _class_of(str(attached[0].meta.get("contentType") or ""))
    if attached:
        return ""
    kinds = (value for name, value in _fields(item) if name.lower() == "content-type")
    return _class_of(next(kinds, ""))


def with_sealed_part(item: StoredItem) -> StoredItem:
    """The same item; where an S/MIME message lacks its attachment, with the one its MIME holds."""
    if not sealed_class(item) or any(part.role == "attachment" for part in item.parts):
        return item
    mime = item.part("mime")
    assert mime is not None, "the class came from it"
    raw = mime.read()
    signed = sealed_class(item) == SIGNED
    data = _signed_part(raw) if signed else _decoded(raw)
    kind = _SIGNED_TYPE if signed else _SEALED_TYPES[0]
    part = StoredPart(
        "attachment",
        len(data),
        {"name": _FILE_NAME, "contentType": kind},
        lambda: iter((data,)),
    )
    return StoredItem(
        item.id,
        item.parent,
        item.kind,
        item.name,
        item.row,
        item.raw,
        (*item.parts, part),
        item.missing,
    )


def _class_of(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _SIGNED_TYPE:
        return SIGNED
    return SEALED if kind in _SEALED_TYPES else ""


def _listed(headers: list[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for one in headers:
        yield str(one.get("name") or ""), str(one.get("value") or "")


def _fields(item: StoredItem) -> Iterator[tuple[str, str]]:
    """Name and unfolded value of every header of the stored MIME; nothing where there is none."""
    mime, head = item.part("mime"), b""
    for block in mime.open() if mime is not None else ():
        head += block
        if b"\r\n\r\n" in head or b"\n\n" in head or len(head) > _HEAD_BYTES_MAX:
            break
    text = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0].decode("ascii", "replace")
    for line in re.split(r"\r?\n(?![ \t])", text):
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value


def _signed_part(raw: bytes) -> bytes:
    """The signed entity as it stands: its own Content headers, and everything below them."""
    gap = re.search(rb"\r?\n\r?\n", raw)
    assert gap is not None, "there is a body"
    lines = re.split(rb"(?<=\n)(?![ \t])", raw[: gap.end()])
    kept = [line for line in lines if line.lower().startswith(_OF_THE_ENTITY)]
    return b"".join(kept) + b"\r\n" + raw[gap.end() :]


def _decoded(raw: bytes) -> bytes:
    payload = email.message_from_bytes(raw).get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
