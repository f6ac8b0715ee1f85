"""Attachments on their way into a restored message, one by one.

Rules
- One code path for every size decides by bytes: under 3 MB a POST, up to 150 MB an upload session
  that carries name, type, isInline and contentId, so that inline pictures keep their place.
- An attached message is rebuilt from its JSON; where that is refused, too large, or nests what JSON
  cannot carry, its MIME comes back as an .eml file, and a note says so.
- The message was created a moment ago: a 404 on it means that Exchange is not there yet.

Facts this file rests on: learn.microsoft.com/graph/outlook-large-attachments,
/api/message-post-attachments; corso issue 4840 (404 while posting).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from base.clock import Clock
from base.item import Cause, StoredItem, StoredPart, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import GraphProblem, MaybeDone, SessionGone
from m365.mail_attachments import AttachmentReader
from m365.mail_json import attached_item
from m365.visibility import patiently

POST_BYTES_MAX = 3_000_000  # as base64 still under the 4 MB a request may have
SESSION_BYTES_MAX = 150 * 1024 * 1024
BLOCK_BYTES = 11 * 327_680  # ranges have to stay under 4 MB
_ATTEMPTS = 3  # sessions begun for one attachment
_FILE = "#microsoft.graph.fileAttachment"
_LINK = ("sourceUrl", "providerType", "permission", "isFolder", "thumbnailUrl", "previewUrl")

_Answer = TypeVar("_Answer")


class AttachmentWriter:
    """Adds attachments to messages of one mailbox."""

    def __init__(
        self,
        writer: GraphWriter,
        base: str,
        scope: Scope,
        clock: Clock,
        items: str = "messages",
    ) -> None:
        self._writer = writer
        self._base = f"{base}/{items}"
        self._scope = scope
        self._clock = clock
        self._attached = AttachmentReader(writer, base, scope, items)

    def add_all(self, message_id: str, item: StoredItem) -> tuple[int, list[Trouble]]:
        """How many attachments were added, and what could not be added as it was."""
        added, troubles = 0, list[Trouble]()
        for part in item.parts:
            if part.role != "attachment":
                continue
            try:
                trouble = self._add(message_id, item, part)
            except MaybeDone:
                if self.count(message_id) > added:
                    trouble = None
                else:
                    trouble = self._add(message_id, item, part)
            if trouble is None or trouble.detail == "as-file":
                added += 1
            if trouble is not None:
                troubles.append(trouble)
        return added, troubles

    def add_file(self, message_id: str, meta: Mapping[str, Any], part: StoredPart) -> None:
        """One file; `meta` has name, contentType, isInline, contentId as far as they are known."""
        facts = {
            name: meta[name]
            for name in ("contentType", "isInline", "contentId")
            if meta.get(name) is not None
        }
        facts["name"] = meta.get("name") or "attachment"
        if part.size < POST_BYTES_MAX:
            data = base64.b64encode(part.read()).decode("ascii")
            self._post(message_id, {"@odata.type": _FILE, **facts, "contentBytes": data})
        else:
            self._upload(message_id, {"attachmentType": "file", "size": part.size, **facts}, part)

    def count(self, message_id: str) -> int:
        """How many attachments the message has now."""
        return len(self.patiently(lambda: self._attached.listing(message_id, [])))

    def patiently(self, call: Callable[[], _Answer]) -> _Answer:
        """Repeats a call whose 404 only says that the fresh message is not visible yet."""
        return patiently(self._clock, call)

    def _add(self, message_id: str, item: StoredItem, part: StoredPart) -> Trouble | None:
        kind = str(part.meta.get("@odata.type", _FILE))
        role = f"attachment:{part.meta.get('id', '')}"
        if kind.endswith("referenceAttachment"):
            return self._add_link(message_id, item.id, role, part)
        if part.size > SESSION_BYTES_MAX:
            return Trouble(item.id, role, Cause.TOO_LARGE, retry=False)
        if not kind.endswith("itemAttachment"):
            self.add_file(message_id, part.meta, part)
            return None
        nested = _nested_item(item, part)
        if nested and self._add_item(message_id, part, nested):
            return None
        self.add_file(message_id, _as_file(part, nested), part)
        return Trouble(item.id, role, Cause.NOT_SUPPORTED, retry=False, detail="as-file")

    def _add_item(self, message_id: str, part: StoredPart, nested: dict[str, Any]) -> bool:
        name = part.meta.get("name") or nested.get("subject") or "item"
        body = {"@odata.type": "#microsoft.graph.itemAttachment", "name": name, "item": nested}
        if part.meta.get("isInline") is not None:
            body["isInline"] = part.meta["isInline"]
        if len(json.dumps(body)) > POST_BYTES_MAX:
            return False
        return self._taken(message_id, body)

    def _add_link(
        self, message_id: str, item_id: str, role: str, part: StoredPart
    ) -> Trouble | None:
        names = ("@odata.type", "name", "contentType", "isInline", *_LINK)
        body = {name: part.meta[name] for name in names if part.meta.get(name) is not None}
        if self._taken(message_id, body):
            return None
        return Trouble(item_id, role, Cause.NOT_SUPPORTED, retry=False)

    def _taken(self, message_id: str, body: Mapping[str, Any]) -> bool:
        """Whether the service takes this attachment; it refuses some shapes with 400 or 501."""
        try:
            self._post(message_id, body)
        except GraphProblem as problem:
            if problem.status_code not in (400, 405, 422, 501):
                raise
            return False
        return True

    def _post(self, message_id: str, body: Mapping[str, Any]) -> None:
        path = f"{self._base}/{quote(message_id, safe='')}/attachments"
        self.patiently(lambda: self._writer.post(path, body, scope=self._scope))

    def _upload(self, message_id: str, facts: Mapping[str, Any], part: StoredPart) -> None:
        path = f"{self._base}/{quote(message_id, safe='')}/attachments/createUploadSession"
        body = {"AttachmentItem": facts}
        for attempt in range(1, _ATTEMPTS + 1):
            session = self.patiently(
                lambda: self._writer.post(path, body, scope=self._scope, repeatable=True)
            )
            try:
                self._writer.upload(
                    session["uploadUrl"],
                    part.size,
                    part.open(),
                    scope=self._scope,
                    block_bytes=BLOCK_BYTES,
                )
                return
            except SessionGone:
                if attempt == _ATTEMPTS:
                    raise


def _nested_item(item: StoredItem, part: StoredPart) -> dict[str, Any]:
    """The attached item's JSON, ready to be posted; {} where only its MIME will do."""
    for other in item.parts:
        if other.role == "attachment-item" and other.meta.get("id") == part.meta.get("id"):
            return attached_item(json.loads(other.read()))
    return {}


def _as_file(part: StoredPart, nested: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(nested.get("@odata.type", ""))
    name, mime = ".eml", "message/rfc822"
    if kind.endswith("event"):
        name, mime = ".ics", "text/calendar"
    elif kind.endswith("contact"):
        name, mime = ".vcf", "text/vcard"
    return {"name": f"{part.meta.get('name') or 'item'}{name}", "contentType": mime}
