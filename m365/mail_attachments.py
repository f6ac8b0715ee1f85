"""What a message consists of beside its JSON: its MIME and every attachment, one call each.

Rules
- One attachment that cannot be had is a Trouble of that attachment; the message is kept.
- Lists of attachments are only trusted for what they hold (their paging is known to repeat pages):
  several small files are read in one list, and what it left out on its own.
- Above SMALL_BYTES nothing is held in memory: metadata by $select, bytes streamed from $value. A
  stream is opened by whoever reads it: one opened in advance would keep one of the mailbox's slots.

Parts: "mime"; "attachment" (bytes of a file, MIME of an attached item, nothing for a link) with
the attachment's JSON as meta; "attachment-item" (the JSON of an attached item, nested attachments
included) with {"id"} as meta.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from base.item import Change, Part, Trouble
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import GraphProblem, ItemGone, TransientFailure
from m365.service import PASSED_ON, trouble_of

SMALL_BYTES = 3 * 1024 * 1024  # as JSON with base64 and decoded: about 11 MiB at the worst
TOGETHER_BYTES = 4 * 1024 * 1024  # of all attachments of one message, asked for in one list
LISTED = "id,name,contentType,size,isInline,lastModifiedDateTime"
_FILE = "fileAttachment"
_CONTENT_ID = "microsoft.graph.fileAttachment/contentId"  # the property lies on the derived type
_VOLATILE = frozenset(("@odata.context", "@odata.etag", "@odata.mediaEtag", "@odata.id"))
_PAGES_MAX = 100  # of one attachment list; beyond that the service is going in circles

_Raw = dict[str, Any]
_Result = tuple[list[Part], list[Trouble]]


def without_bytes(attachment: Mapping[str, Any]) -> _Raw:
    """An attachment's JSON as stored: without bytes, item, and what changes without meaning."""
    left_out = {"contentBytes", "item", *_VOLATILE}
    return {key: value for key, value in attachment.items() if key not in left_out}


class AttachmentReader:
    """Reads MIME and attachments of one mailbox; safe to use from several threads."""

    def __init__(
        self, reader: GraphReader, base: str, scope: Scope, items: str = "messages"
    ) -> None:
        self._reader = reader
        self._base = f"{base}/{items}"
        self._scope = scope

    def mime(self, change: Change) -> _Result:
        """The message as RFC 822. Raises ItemGone when the message vanished."""
        path = f"{self._base}/{quote(change.id, safe='')}/$value"
        listed = change.raw.get("attachments")
        heavy = sum(one.get("size") or 0 for one in listed) if isinstance(listed, list) else 0
        known = isinstance(listed, list) or not change.raw.get("hasAttachments")
        try:
            if known and heavy <= SMALL_BYTES:
                return [Part("mime", self._reader.get_raw(path, scope=self._scope))], []
            return [Part("mime", self._reader.stream(path, scope=self._scope))], []
        except (ItemGone, *PASSED_ON):
            raise
        except Problem as problem:
            return [], [trouble_of(change.id, "mime", problem)]

    def all_of(self, change: Change) -> _Result:
        """Every attachment of the message."""
        parts: list[Part] = []
        troubles: list[Trouble] = []
        try:
            attachments = self._listed(change, troubles)
        except (ItemGone, *PASSED_ON):
            raise
        except Problem as problem:
            return [], [trouble_of(change.id, "attachments", problem)]
        together = self._together(change, attachments)
        for attachment in attachments:
            try:
                parts += together.get(attachment["id"]) or self._one(change, attachment)
            except PASSED_ON:
                raise
            except Problem as problem:
                troubles.append(trouble_of(change.id, f"attachment:{attachment['id']}", problem))
        return parts, troubles

    def _listed(self, change: Change, troubles: list[Trouble]) -> list[_Raw]:
        """Ids, sizes and types of the attachments: from the page of the feed, or asked for."""
        raw = change.raw
        listed = raw.get("attachments")
        if isinstance(listed, list) and "attachments@odata.nextLink" not in raw:
            if listed or not raw.get("hasAttachments"):
                return listed
        if not raw.get("hasAttachments") and not _refers_to_inline(raw):
            return []  # hasAttachments does not count inline ones, so the body has to be asked too
        return self.listing(change.id, troubles)

    def listing(self, message_id: str, troubles: list[Trouble]) -> list[_Raw]:
        path = f"{self._base}/{quote(message_id, safe='')}/attachments"
        found: dict[str, _Raw] = {}
        body = self._reader.get(path, params={"$select": LISTED}, scope=self._scope)
        for _ in range(_PAGES_MAX):
            before = len(found)
            found.update((one["id"], one) for one in body.get("value", ()))
            link = body.get("@odata.nextLink")
            if not link:
                return list(found.values())
            if body.get("value") and len(found) == before:
                break  # a page that was there already: following on would never end
            body = self._reader.get(link, scope=self._scope)
        if self._count(path) > len(found):
            troubles.append(
                Trouble(message_id, "attachments", "attachments-incomplete", retry=True)
            )
        return list(found.values())

    def _count(self, path: str) -> int:
        """How many attachments there are; too many where nobody says: posts have no count."""
        try:
            count = self._reader.get_raw(f"{path}/$count", scope=self._scope)
            return int(count.decode("utf-8-sig"))
        except (GraphProblem, ValueError) as problem:
            if isinstance(problem, TransientFailure):
                raise
            return sys.maxsize

    def _together(self, change: Change, listed: list[_Raw]) -> dict[str, list[Part]]:
        """The files of a message by id, in one request, where there are several small ones."""
        files = sum(str(one.get("@odata.type", "")).endswith(_FILE) for one in listed)
        if files < 2 or sum(one.get("size") or 0 for one in listed) > TOGETHER_BYTES:
            return {}
        found: dict[str, list[Part]] = {}
        link = f"{self._base}/{quote(change.id, safe='')}/attachments"
        try:
            for _ in range(_PAGES_MAX):
                body = self._reader.get(link, scope=self._scope)
                before = len(found)
                for one in body.get("value", ()):
                    data = _decoded(one.get("contentBytes"))
                    if data is not None and str(one.get("@odata.type", "")).endswith(_FILE):
                        found[one["id"]] = [Part("attachment", data, without_bytes(one))]
                link = body.get("@odata.nextLink") or ""
                if not link or len(found) == before:
                    break
        except (ItemGone, *PASSED_ON):
            raise
        except Problem:
            return found  # each of the others on its own: one that is corrupt spoils the list
        return found

    def _one(self, change: Change, listed: _Raw) -> list[Part]:
        path = (
            f"{self._base}/{quote(change.id, safe='')}/attachments/{quote(listed['id'], safe='')}"
        )
        kind = str(listed.get("@odata.type", ""))
        small = (listed.get("size") or 0) <= SMALL_BYTES
        if kind.endswith("itemAttachment"):
            return self._item(path, listed, small)
        if kind.endswith("referenceAttachment"):
            whole = self._reader.get(path, scope=self._scope)
            return [Part("attachment", b"", without_bytes(whole))]  # a link: $value answers 405
        if small:
            return self._file(path, small)
        inline = bool(listed.get("isInline")) or _refers_to_inline(change.raw)
        return self._large_file(path, listed, inline)

    def _file(self, path: str, small: bool) -> list[Part]:
        whole = self._reader.get(path, scope=self._scope)
        kind = str(whole.get("@odata.type", ""))
        if kind.endswith("itemAttachment"):  # only where the list did not tell types
            return self._item(path, whole, small)
        meta = without_bytes(whole)
        if kind.endswith("referenceAttachment"):
            return [Part("attachment", b"", meta)]
        data = _decoded(whole.get("contentBytes"))
        if data is None:
            data = self._value(path)
        return [Part("attachment", data, meta)]

    def _large_file(self, path: str, listed: _Raw, inline: bool) -> list[Part]:
        meta = self._with_content_id(path, listed) if inline else without_bytes(listed)
        blocks = self._reader.stream(f"{path}/$value", scope=self._scope)
        return [Part("attachment", blocks, meta)]

    def _item(self, path: str, listed: _Raw, small: bool) -> list[Part]:
        parts = []
        meta = without_bytes(listed)
        if small:
            expand = {"$expand": "microsoft.graph.itemAttachment/item"}
            whole = self._reader.get(path, params=expand, scope=self._scope)
            meta = without_bytes(whole)
            if whole.get("item"):
                text = json.dumps(whole["item"], ensure_ascii=False, separators=(",", ":"))
                data = text.encode("utf-8", "surrogatepass")
                parts.append(Part("attachment-item", data, {"id": listed["id"]}))
            return [Part("attachment", self._value(path), meta), *parts]
        blocks = self._reader.stream(f"{path}/$value", scope=self._scope)
        return [Part("attachment", blocks, meta)]

    def _value(self, path: str) -> bytes:
        return self._reader.get_raw(f"{path}/$value", scope=self._scope)

    def _with_content_id(self, path: str, listed: _Raw) -> _Raw:
        """The JSON of a large file without its bytes, but with what a body's cid: refers to."""
        meta = without_bytes(listed)
        for name in (_CONTENT_ID, "contentId"):
            try:
                answer = self._reader.get(
                    path, params={"$select": f"{LISTED},{name}"}, scope=self._scope
                )
            except GraphProblem as problem:
                if problem.status_code != 400:
                    raise
                continue
            if answer.get("contentId"):
                return {**meta, **without_bytes(answer)}
        return meta


def _refers_to_inline(raw: Mapping[str, Any]) -> bool:
    return "cid:" in str((raw.get("body") or {}).get("content") or "").lower()


def _decoded(text: Any) -> bytes | None:
    """contentBytes as bytes; None where the service left them out or garbled them."""
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
