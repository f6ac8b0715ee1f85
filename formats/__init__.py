"""Which format suits which kind of item. Adding one is a file beside this one and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from base.errors import NotFound
from base.item import StoredItem
from formats.as_is import stored_file
from formats.as_json import object_file
from formats.collection import Collect
from formats.conversation import conversation_files
from formats.eml import message_file
from formats.ics import event_file
from formats.item_file import ItemFile
from formats.list_sheet import list_files
from formats.mailbox_item import stream_file
from formats.note import note_file
from formats.page import page_file
from formats.plan import bucket_files
from formats.post import post_file
from formats.vcf import contact_file
from formats.vtodo import task_file
from formats.zip import ArchiveEntry

__all__ = [
    "COLLECTIONS",
    "FORMATS",
    "ArchiveEntry",
    "ContentMissing",
    "ItemFile",
    "archive_entry",
    "file_of",
]

FORMATS: Mapping[str, Callable[[StoredItem], ItemFile | None]] = {
    "message": message_file,
    "event": event_file,
    "contact": contact_file,
    "task": task_file,
    "file": stored_file,
    "mailbox-item": stream_file,
    "setting": object_file,
    "post": post_file,
    "site-page": page_file,
    "note": note_file,
    "planner-task": object_file,
    "channel-message": object_file,
    "chat-message": object_file,
    "list-item": object_file,
}

# Kinds of items that an export gives as files of the folder they lie in: a channel, a list. What
# FORMATS says of such a kind is for one item downloaded by itself.
COLLECTIONS: Mapping[str, Collect] = {
    "channel-message": conversation_files,
    "chat-message": conversation_files,
    "list-item": list_files,
    "planner-task": bucket_files,
}


class ContentMissing(NotFound):
    """The backup holds the item, but nothing of it that could be a file."""

    code = "content-missing"
    hint = "The item's `missing` list says why its content could not be copied."


def file_of(item: StoredItem) -> ItemFile:
    """The item as a file to download; raises ContentMissing where there is none."""
    found = _file(item)
    if found is None:
        raise ContentMissing("The backup holds no content of this item.")
    return found


def archive_entry(item: StoredItem, folders: Sequence[str]) -> ArchiveEntry:
    """The item as an entry of a zip, below folders named as a person sees them."""
    return ArchiveEntry(item, tuple(folders), _file(item))


def _file(item: StoredItem) -> ItemFile | None:
    make = FORMATS.get(item.kind)
    return make(item) if make else None
