"""The ids Exchange gives out: folders for ever, messages in two encodings.

A regular id (AAMk…) names a message in its folder and dies when the message moves; two spellings
of it (salt) mean the same. An immutable id (AAkA…) lives as long as the message stays in the
mailbox. Attachment ids are the id of the message with a number, in the same two encodings.
"""

import base64
import binascii
import struct
from dataclasses import dataclass

_REGULAR = "AAMkA"
_IMMUTABLE = "AAkAL"
_FOLDER = "AQMkA"
_ITEM = struct.Struct(">16sIIIII16s")
_CONTAINER = struct.Struct(">16sI13s")
_FILLER = bytes(16)


@dataclass(frozen=True, slots=True)
class ItemId:
    """What an id says; attachment 0 is the message itself."""

    immutable: bool
    mailbox: bytes
    message: int
    moves: int
    attachment: int


def folder_id(mailbox: bytes, number: int) -> str:
    """The id of a folder; constant."""
    return _FOLDER + _encode(_CONTAINER.pack(mailbox, number, _FILLER))


def item_id(
    mailbox: bytes, message: int, moves: int, *, immutable: bool, salt: int = 0, attachment: int = 0
) -> str:
    """The id of a message or attachment; moves and salt matter to regular ids only."""
    if immutable:
        return _IMMUTABLE + _encode(_ITEM.pack(mailbox, 0x49, message, 0, 0, attachment, _FILLER))
    return _REGULAR + _encode(
        _ITEM.pack(mailbox, 0x52, message, moves, salt & 0xFFFFFFFF, attachment, _FILLER)
    )


def conversation_id(mailbox: bytes, index: str) -> str:
    """The id all messages of a thread share in one mailbox: the thread's GUID lies in its index."""
    return "AAQk" + _encode(mailbox + b"\x10\x00" + base64.b64decode(index)[6:22])


def parse_item_id(text: str) -> ItemId | None:
    """What an id says; None when it is none."""
    prefix, rest = text[:5], text[5:]
    if prefix not in (_REGULAR, _IMMUTABLE):
        return None
    try:
        raw = base64.urlsafe_b64decode(rest)
        mailbox, mark, message, moves, _, attachment, _ = _ITEM.unpack(raw)
    except (binascii.Error, struct.error, ValueError):
        return None
    if mark != (0x49 if prefix == _IMMUTABLE else 0x52):
        return None
    return ItemId(prefix == _IMMUTABLE, mailbox, message, moves, attachment)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii")
