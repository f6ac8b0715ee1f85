"""Files of drives and libraries: the stored bytes under their own name."""

from __future__ import annotations

import mimetypes

from base.item import StoredItem
from formats.files import safe_name
from formats.item_file import ItemFile, moment

BINARY = "application/octet-stream"


def stored_file(item: StoredItem) -> ItemFile | None:
    """The file, or None where the backup holds no content of it (item.missing says why)."""
    content = item.part("content")
    if content is None:
        return None
    system = item.raw.get("fileSystemInfo") or {}
    facts = item.raw.get("file") or {}
    media_type = facts.get("mimeType") or mimetypes.guess_type(item.name)[0] or BINARY
    return ItemFile(
        name=safe_name(item.name, "file"),
        media_type=str(media_type),
        size=content.size,
        modified=moment(system.get("lastModifiedDateTime"), item.raw.get("lastModifiedDateTime")),
        blocks=content.open,
    )
