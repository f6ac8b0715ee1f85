"""Attachments of messages and events, as Graph shows them and as a backup keeps them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from base.item import StoredPart
from benchmarks._graph import Graph

# Not restored by nature, or of an item inside: what Graph takes of one is in the writers' lists.
_OF_THE_MAILBOX = frozenset((
    "@odata.etag", "@odata.mediaContentType", "@odata.context", "id", "size", "contentBytes",
    "item", "lastModifiedDateTime", "createdDateTime", "changeKey", "parentFolderId",
    "internetMessageHeaders", "conversationId", "conversationIndex", "bodyPreview",
    "hasAttachments", "isDeliveryReceiptRequested", "isReadReceiptRequested", "isDraft", "type",
))  # fmt: skip
_OCCURRENCE = "occurrence"  # in the meta of a part: it is of one day of a series


def shown_files(
    graph: Graph, path: str, listed: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The attachments that are listed of the item at `path`, made comparable."""
    found = []
    for one in listed:
        at = f"{path}/attachments/{quote(one['id'])}"
        if str(one["@odata.type"]).endswith("itemAttachment"):
            raw = graph.get(at, expand="microsoft.graph.itemAttachment/item")
            found.append(_comparable(raw, b""))
        else:
            raw = graph.get(at)
            found.append(_comparable(raw, base64.b64decode(raw.get("contentBytes") or "")))
    return sorted(found, key=str)


def kept_files(parts: Sequence[StoredPart], day: str = "") -> list[dict[str, Any]]:
    """The same of stored parts; of a series with `day` those of that exception."""
    mine = [part for part in parts if part.meta.get(_OCCURRENCE, "") == day]
    items = {p.meta["id"]: json.loads(p.read()) for p in mine if p.role == "attachment-item"}
    found = []
    for part in mine:
        if part.role == "attachment":
            is_file = str(part.meta["@odata.type"]).endswith("fileAttachment")
            own = {k: v for k, v in part.meta.items() if k != _OCCURRENCE}
            raw = {**own, "item": items.get(part.meta["id"])}
            found.append(_comparable(raw, part.read() if is_file else b""))
    return sorted(found, key=str)


def _comparable(raw: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """An attachment without what belongs to the mailbox it lies in."""
    found = _own(raw)
    if data:
        found["sha256"] = hashlib.sha256(data).hexdigest()
    if raw.get("item"):
        found["item"] = _own(raw["item"])
    return found


def _own(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in raw.items()
        if name not in _OF_THE_MAILBOX and value not in (None, "", [], False)
    }
