"""Posts of group conversations as .eml, rebuilt from properties: Graph has no MIME of them."""

from __future__ import annotations

from dataclasses import replace

from base.item import StoredItem
from formats.eml import message_file
from formats.item_file import ItemFile


def post_file(item: StoredItem) -> ItemFile:
    """The post as a message under the topic of its conversation, with its attachments."""
    return message_file(replace(item, raw={**item.raw, "subject": item.name}))
