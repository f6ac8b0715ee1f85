"""A sticky note as one .html file, with its pictures inside; safe to open anywhere.

Rule 1: the file asks nobody for anything and runs nothing.
Rule 2: what people wrote goes through safe_html; everything else is escaped.
Rule 3: a picture is what its first bytes say; anything else is not shown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from typing import Any

from base.item import StoredItem
from formats.files import safe_name
from formats.item_file import ItemFile, moment
from formats.safe_html import encodable, safe_html

_HEAD = """<!doctype html>
<html><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title></head>
<body><h1>{title}</h1>
"""
_POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
_END = "</body></html>\n"
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


def note_file(item: StoredItem) -> ItemFile:
    """The note under its name: words first, then its pictures."""
    return ItemFile(
        name=safe_name(item.name, "note", ".html"),
        media_type="text/html; charset=utf-8",
        size=None,
        modified=moment(item.raw.get("lastModifiedDateTime")),
        blocks=lambda: _blocks(item),
        rebuilt=True,
    )


def _blocks(item: StoredItem) -> Iterator[bytes]:
    policy = escape(_POLICY, quote=True)
    yield _HEAD.format(policy=policy, title=_text(item.raw.get("subject") or item.name)).encode()
    body = item.raw.get("body")
    body = body if isinstance(body, dict) else {}
    content = str(body.get("content") or "")
    if str(body.get("contentType") or "").lower() == "html":
        yield safe_html(content, lambda address: None).encode()
    else:
        yield f"<p>{_text(content).replace(chr(10), '<br>')}</p>".encode()
    for part in item.parts:
        if part.role == "attachment":
            yield _picture(part.read(), str(part.meta.get("name") or ""))
    yield _END.encode()


def _picture(data: bytes, name: str) -> bytes:
    """Pictures of notes are 3 MB at most."""
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
    if not kind:
        return f"<p>{_text(name)}</p>\n".encode()
    text = base64.b64encode(data).decode("ascii")
    return f'<p><img alt="{_text(name)}" src="data:{kind};base64,{text}"></p>\n'.encode()


def _text(value: Any) -> str:
    return escape(encodable(str(value or "")), quote=True)
