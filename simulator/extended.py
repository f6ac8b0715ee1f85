"""MAPI properties as Graph names them ("Integer 0x0E07"), read from and written to messages."""

import re

from simulator.mailbox import Message
from simulator.web import GraphError, Json

FLAGS = "integer 0xe07"
SUBMITTED = "systemtime 0x39"
DELIVERED = "systemtime 0xe06"
CONVERSATION = "binary 0x71"
MESSAGE_CLASS = "string 0x1a"
_TAG = re.compile(r"([A-Za-z]+) (0x[0-9A-Fa-f]{1,4})")
_NAMED = re.compile(r"([A-Za-z]+) (\{[0-9A-Fa-f-]{36}\}) (Name|Id) (.+)", re.IGNORECASE)
_READ, _UNSENT, _HAS_ATTACHMENT = 0x1, 0x8, 0x10


def key(name: str) -> str:
    """One spelling of a property id; 400 when it is malformed."""
    tag = _TAG.fullmatch(name.strip())
    if tag is not None:
        return f"{tag[1].lower()} 0x{int(tag[2], 16):x}"
    named = _NAMED.fullmatch(name.strip())
    if named is None:
        raise GraphError(
            400, "ErrorInvalidProperty", f"The extended property id '{name}' is not valid."
        )
    return f"{named[1].lower()} {named[2].lower()} {named[3].lower()} {named[4]}"


def given(body: Json) -> dict[str, str]:
    """singleValueExtendedProperties of a body, by key."""
    found = {}
    for entry in body.get("singleValueExtendedProperties") or []:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise GraphError(400, "ErrorInvalidProperty", "An extended property needs an id.")
        value = entry.get("value")
        if not isinstance(value, str):
            raise GraphError(
                400, "ErrorInvalidProperty", "The value of an extended property is a string."
            )
        found[key(entry["id"])] = value
    return found


def property_value(message: Message, name: str) -> str | None:
    """What a message has under a property id; None when it lacks it."""
    wanted = key(name)
    if wanted == FLAGS:
        return str(_flags(message))
    if wanted == SUBMITTED:
        return _optional(message.properties.get("sentDateTime"))
    if wanted == DELIVERED:
        return _optional(message.properties.get("receivedDateTime"))
    if wanted == CONVERSATION:
        return _optional(message.properties.get("conversationIndex"))
    if wanted == MESSAGE_CLASS:
        return message.extended.get(wanted, message_class(message))
    return message.extended.get(wanted)


def _flags(message: Message) -> int:
    flags = _READ if message.properties.get("isRead") else 0
    flags |= _UNSENT if message.properties.get("isDraft") else 0
    return flags | (_HAS_ATTACHMENT if message.attachments else 0)


def message_class(message: Message) -> str:
    """What kind of message it is, where nobody set it: [MS-OXOSMIME] 2.1 for the sealed ones."""
    kind = str(message.properties.get("@odata.type", "")).rsplit(".", 1)[-1]
    if kind.startswith("eventMessage"):
        return "IPM.Schedule.Meeting.Request"
    for item in message.attachments.values():
        if item.properties.get("name") == "smime.p7m" and message.mime is not None:
            signed = item.properties.get("contentType") == "multipart/signed"
            return "IPM.Note.SMIME.MultipartSigned" if signed else "IPM.Note.SMIME"
    return "IPM.Note"


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
