"""What has no format of its own among people, as Microsoft 365 gave it: a .json file."""

from __future__ import annotations

import json

from base.item import StoredItem
from formats.files import safe_name
from formats.item_file import ItemFile, moment


def object_file(item: StoredItem) -> ItemFile:
    """The stored object under the item's name, indented, in the order Graph sent it."""
    text = json.dumps(item.raw, ensure_ascii=False, indent=2) + "\n"
    data = text.encode("utf-8", "surrogatepass")
    return ItemFile(
        name=safe_name(item.name, item.kind, ".json"),
        media_type="application/json",
        size=len(data),
        modified=moment(item.raw.get("lastModifiedDateTime")),
        blocks=lambda: iter((data,)),
    )
