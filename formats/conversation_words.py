"""What a message of Teams says beside its words: who, reactions, attachments, events; plain text.

Sources: learn.microsoft.com/graph/api/resources/chatmessage, chatmessageattachment,
chatmessagereaction and eventmessagedetail. Nothing here fails on what is missing or new.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from formats.text import words_of

NOBODY = "Unknown sender"
_CARD_CHARS_MAX = 2_000
_CARD_DEPTH_MAX = 12
# Reactions from before 2022 are names; every other is the character itself.
_NAMED = {"like": "👍", "heart": "❤️", "laugh": "😆", "surprised": "😮", "sad": "😢", "angry": "😠"}
_CARD_WORDS = ("title", "subtitle", "text", "summary", "name", "altText")
_QUOTES = ("messageReference", "forwardedMessageReference")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def name_of(raw: Mapping[str, Any]) -> str:
    """Who sent a message: a person, an application, a device."""
    return identity_name(raw.get("from")) or NOBODY


def identity_name(identities: Any) -> str:
    """The first name in an identity set; "" where there is none."""
    if not isinstance(identities, Mapping):
        return ""
    for one in identities.values():
        if isinstance(one, Mapping) and (one.get("displayName") or one.get("id")):
            return str(one.get("displayName") or one["id"])
    return ""


def reaction_words(raw: Mapping[str, Any]) -> str:
    """Each reaction with how many gave it: "👍 2  ❤️ 1"."""
    found: Counter[str] = Counter()
    for one in _mappings(raw.get("reactions")):
        kind = str(one.get("reactionType") or "")
        shown = str(one.get("displayName") or kind) if kind == "custom" else kind
        found[_NAMED.get(shown, shown)] += 1
    return "  ".join(f"{kind} {count}" for kind, count in found.items() if kind)


def attachment_words(one: Mapping[str, Any]) -> str:
    """The name of a file, the words of a card, what a quoted message said."""
    kind = str(one.get("contentType") or "")
    name = str(one.get("name") or "")
    if kind == "reference":
        return name or str(one.get("contentUrl") or "")
    if kind in _QUOTES:
        return _quote_words(_object(one.get("content")))
    words = _card_words(_object(one.get("content")))
    if kind.startswith("application/vnd.microsoft.card"):
        label = f"Card ({kind.rpartition('.')[2]})"
        return ": ".join(filter(None, (label, name, words)))
    return name or words or kind


def event_words(raw: Mapping[str, Any]) -> str:
    """What Teams noted, in a line: "Members added by Ada: Grace, Edsger"."""
    detail = raw.get("eventDetail")
    if not isinstance(detail, Mapping):
        return "System message"
    kind = str(detail.get("@odata.type") or "").rpartition(".")[2]
    words = _CAPITAL.sub(" ", kind.removesuffix("EventMessageDetail")).lower().capitalize()
    by = identity_name(detail.get("initiator"))
    told = ", ".join(_told(detail))
    return (words or "System message") + (f" by {by}" if by else "") + (f": {told}" if told else "")


def _told(detail: Mapping[str, Any]) -> Iterator[str]:
    for key, value in detail.items():
        if key == "members":
            for member in _mappings(value):
                yield str(member.get("displayName") or member.get("id") or "")
        elif key.endswith(("DisplayName", "Description", "Duration")) and isinstance(value, str):
            yield value


def _quote_words(quoted: Any) -> str:
    """A message that was answered or forwarded: who wrote it, and what."""
    if not isinstance(quoted, Mapping):
        return "Quoted message"
    by = identity_name(quoted.get("messageSender") or quoted.get("originalMessageSender"))
    words = str(quoted.get("messagePreview") or "")
    words = words or words_of(str(quoted.get("originalMessageContent") or ""))
    label = f"Quoted message of {by}" if by else "Quoted message"
    return f"{label}: {words[:_CARD_CHARS_MAX]}" if words else label


def _object(content: Any) -> Any:
    """What the JSON in a text says; None where it is none."""
    try:
        return json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        return None


def _card_words(card: Any) -> str:
    """The texts of a card; whatever else is in it, is not shown."""
    found = dict.fromkeys(text.strip() for text in _texts(card, _CARD_DEPTH_MAX))
    words = " · ".join(text for text in found if text)
    return words if len(words) <= _CARD_CHARS_MAX else f"{words[:_CARD_CHARS_MAX]}…"


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(value, list):
        for one in value:
            yield from _texts(one, depth - 1)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(one, str):
                if key in _CARD_WORDS:
                    yield one
            else:
                yield from _texts(one, depth - 1)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
