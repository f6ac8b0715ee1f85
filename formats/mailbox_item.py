"""Whole items of a mailbox: the opaque stream as it was exported, good for an import only.

No program opens it: it is Exchange's FastTransfer stream, which the import API takes back. The
file's name says so, because nobody should find out the day he needs the message.
"""

from __future__ import annotations

from base.item import StoredItem
from formats.as_is import BINARY
from formats.files import safe_name
from formats.item_file import ItemFile, moment

EXTENSION = ".import-only.fts"


def stream_file(item: StoredItem) -> ItemFile | None:
    """The stream, or None where the backup holds none (item.missing says why)."""
    stream = item.part("export")
    if stream is None:
        return None
    return ItemFile(
        name=safe_name(item.name, str(item.row.get("type") or "item"), EXTENSION),
        media_type=BINARY,
        size=stream.size,
        modified=moment(item.raw.get("lastModifiedDateTime"), item.raw.get("createdDateTime")),
        blocks=stream.open,
    )
