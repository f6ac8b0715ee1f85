"""The opaque stream an item is exported as: everything of it, and only good for importing back.

The real service writes a FastTransfer stream nobody parses. This one says of itself what it holds,
so that an imported item can be compared with its original property by property. The same state of
an item always gives the same bytes.
"""

import base64
import json
import zlib
from typing import Any

from simulator.filebytes import LiteralBytes
from simulator.mailbox import Attachment, Folder, Mailbox, Message
from simulator.web import GraphError, Json

_BESIDE = ("extended", "extended_lists", "extensions")
_HEAD = bytes.fromhex("0100000008000000000000000100000003000000")


def written(message: Message) -> bytes:
    """The stream of a message."""
    properties = dict(message.properties.items())
    facts: Json = {
        "properties": properties,
        **{name: getattr(message, name) for name in _BESIDE},
        "mime": None if message.mime is None else _text(message.mime()),
        "attachments": [_attachment(one) for one in message.attachments.values()],
    }
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return _HEAD + zlib.compress(text.encode("ascii"), 1)


def imported(mailbox: Mailbox, folder: Folder, stream: bytes) -> Message:
    """A new message made of a stream; 400 for anything else than a stream."""
    try:
        if not stream.startswith(_HEAD):
            raise ValueError("no stream")
        facts: Json = json.loads(zlib.decompress(stream[len(_HEAD) :]))
        mime = None if facts["mime"] is None else base64.b64decode(facts["mime"])
        attachments = [_restored(one) for one in facts["attachments"]]
        properties = facts["properties"]
    except (ValueError, KeyError, TypeError, zlib.error):
        raise GraphError(
            400, "ErrorInvalidRequest", "The data to import is not a stream of an item."
        ) from None
    made = mailbox.add_message(
        folder, properties, attachments, None if mime is None else lambda: mime
    )
    for name in _BESIDE:
        setattr(made, name, facts[name])
    return made


def size_of(message: Message) -> int:
    """The size the service announces: about that of the item, not that of its stream."""
    body = message.properties.get("body") or {}
    held = sum(one.content.size for one in message.attachments.values() if one.content is not None)
    return 4_096 + 2 * len(str(body.get("content") or "")) + held


def _attachment(one: Attachment) -> Json:
    content = None
    if one.content is not None:
        content = _text(one.content.read(0, one.content.size))
    return {
        "number": one.number, "properties": one.properties, "item": one.item,
        "broken": one.broken, "content": content,
    }  # fmt: skip


def _restored(one: dict[str, Any]) -> Attachment:
    content = None if one["content"] is None else LiteralBytes(base64.b64decode(one["content"]))
    return Attachment(one["number"], one["properties"], content, one["item"], one["broken"])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
