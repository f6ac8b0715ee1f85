"""A sticky note as one .html file, with its pictures inside; safe to open anywhere.

Rule 1: the file asks nobody for anything and runs nothing.
Rule 2: what people wrote goes through safe_html; everything else is escaped.
Rule 3: a picture is what its first bytes say; anything else is not shown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from base.item import StoredItem
from base.picture import picture_type
from formats.files import safe_name
from formats.html_frame import END, as_text, head
from formats.item_file import ItemFile, moment
from formats.safe_html import safe_html


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
    yield head(item.raw.get("subject") or item.name, pictures=True).encode()
    body = item.raw.get("body")
    body = body if isinstance(body, dict) else {}
    content = str(body.get("content") or "")
    if str(body.get("contentType") or "").lower() == "html":
        yield safe_html(content, lambda address: None).encode()
    else:
        yield f"<p>{as_text(content).replace(chr(10), '<br>')}</p>".encode()
    for part in item.parts:
        if part.role == "attachment":
            yield _picture(part.read(), str(part.meta.get("name") or ""))
    yield END.encode()


def _picture(data: bytes, name: str) -> bytes:
    """Pictures of notes are 3 MB at most."""
    kind = picture_type(data)
    if not kind:
        return f"<p>{as_text(name)}</p>\n".encode()
    text = base64.b64encode(data).decode("ascii")
    return f'<p><img alt="{as_text(name)}" src="data:{kind};base64,{text}"></p>\n'.encode()
