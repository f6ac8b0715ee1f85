"""Stored items as the vault would hand them over, made by hand."""

from collections.abc import Mapping
from typing import Any

from base.item import StoredItem, StoredPart

FILE = "#microsoft.graph.fileAttachment"
ITEM = "#microsoft.graph.itemAttachment"
LINK = "#microsoft.graph.referenceAttachment"


def part(
    role: str, data: bytes, meta: Mapping[str, Any] | None = None, step: int = 0
) -> StoredPart:
    """A part that streams in blocks of `step` bytes (0: all at once), anew at each call."""

    def open_():
        size = step or max(len(data), 1)
        return (data[start : start + size] for start in range(0, len(data), size))

    return StoredPart(role, len(data), meta or {}, open_)


def message(
    raw: Mapping[str, Any], *parts: StoredPart, missing: tuple[str, ...] = ()
) -> StoredItem:
    return StoredItem(
        id=str(raw.get("id", "message-1")),
        parent="inbox",
        kind="message",
        name=str(raw.get("subject") or ""),
        row={},
        raw=raw,
        parts=parts,
        missing=missing,
    )


def file(name: str, data: bytes | None = b"x", modified: str = "", **facts: Any) -> StoredItem:
    raw = {"name": name, "file": {}, "fileSystemInfo": {"lastModifiedDateTime": modified}}
    return StoredItem(
        id=str(facts.get("id", name)),
        parent=str(facts.get("parent", "root")),
        kind="file",
        name=name,
        row={},
        raw=raw,
        parts=() if data is None else (part("content", data, step=facts.get("step", 0)),),
        missing=facts.get("missing", ()),
    )
