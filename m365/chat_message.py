"""A message of Teams, of a channel or a chat, as an item: its shape, and what Teams keeps for it.

Rules
- A deleted message stays an item, without its text, as Teams keeps it; what it said is in the
  restore points from before.
- Pictures and snippets (hosted contents) are found by the links in the message. Only a link to the
  very message counts: anybody may write a link to a message that he cannot read himself, and the
  backup must not fetch it for him. No link is followed: its id goes into the message's own path.
- A file is a link to where it lies in SharePoint or OneDrive; it is copied with that drive.
- The fingerprint covers what hosted contents depend on, and no more: a reaction downloads nothing.

https://learn.microsoft.com/graph/api/resources/chatmessage
https://learn.microsoft.com/graph/api/chatmessage-list-hostedcontents
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from base.errors import Problem, Throttled
from base.item import Cause, Change, Part, Trouble
from base.picture import picture_type
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import ItemGone, ResourceGone, Unauthorized
from m365.service import Column, trouble_of

HOSTED = "hosted"  # the role of parts: what Teams itself keeps for a message
COLUMNS = (
    Column("from", "From", "text"),
    Column("created", "Sent", "datetime"),
    Column("replies", "Replies", "count"),
    Column("reactions", "Reactions", "count"),
)

# Both spellings of a key, and the address that a message is sent with.
_HOSTED_LINK = re.compile(
    r"(?:(?:messages|replies)(?:/|\(')(?P<message>[^/'\"()\s<>]+)(?:'\))?|\.\.)"
    r"/hostedContents(?:/|\(')(?P<id>[^/'\"()\s<>?]+)",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^>]*>")
_NAME_MAX = 255  # characters of the words in a name; the item's JSON has all of them
_WORDS_FROM = 4_000  # characters of a body that are looked at for its first words
# Replies are items of their own; what begins with @ is about the answer, not the message.
_LEFT_OUT = ("replies", "hostedContents", "")
_VOLATILE = "etag"
_ANY_BYTES = "application/octet-stream"
_PASSED_ON = (Throttled, Unauthorized)

Raw = Mapping[str, Any]


def message(raw: Raw, item_id: str, parent: str) -> Change:
    """A message or reply as an item of the folder `parent`."""
    thread = str(raw.get("replyToId") or raw.get("id") or "")
    row: dict[str, Any] = {
        "sort": f"{thread} {raw.get('id')}",  # as one reads, and as a restore has to write
        "from": sender(raw),
        "created": str(raw.get("createdDateTime") or ""),
        "reactions": len(_entries(raw, "reactions")),
        "thread": thread,
    }
    if isinstance(raw.get("replies"), list):
        told = raw.get("replies@odata.count")
        row["replies"] = max(len(raw["replies"]), told if isinstance(told, int) else 0)
    return Change(
        id=item_id,
        parent=parent,
        kind="chat-message" if raw.get("chatId") else "channel-message",
        name=_name(raw),
        raw={key: value for key, value in raw.items() if _is_kept(key)},
        volatile={_VOLATILE: raw[_VOLATILE]} if _VOLATILE in raw else {},
        row=row,
        fingerprint=_fingerprint(raw),
    )


def sender(raw: Raw) -> str:
    """Who wrote it: a person, an application or a device; "" for what Teams writes itself."""
    identities = raw.get("from")
    for identity in identities.values() if isinstance(identities, dict) else ():
        if isinstance(identity, dict):
            return str(identity.get("displayName") or identity.get("id") or "")
    return ""


def words_of(raw: Raw) -> str:
    """The first words of the body, without markup."""
    body = raw.get("body")
    body = body if isinstance(body, dict) else {}
    text = str(body.get("content") or "")[:_WORDS_FROM]
    if body.get("contentType") != "text":
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(text.split())


def hosted_ids(raw: Raw) -> tuple[str, ...]:
    """Ids of the hosted contents a message shows, each once, in the order it shows them."""
    found: dict[str, None] = {}
    for text in _linking(raw):
        for match in _HOSTED_LINK.finditer(text.replace("\\/", "/")):
            if match["message"] is None or unquote(match["message"]) == str(raw.get("id")):
                found[unquote(match["id"])] = None
    return tuple(found)


def hosted_parts(
    reader: GraphReader, path: str, change: Change, scope: Scope
) -> tuple[list[Part], list[Trouble]]:
    """The hosted contents of the message at `path`; raises ItemGone where it is not there."""
    parts: list[Part] = []
    troubles: list[Trouble] = []
    for content_id in hosted_ids(change.raw):
        role = f"{HOSTED}:{content_id}"
        try:
            where = f"{path}/hostedContents/{quote(content_id, safe='')}/$value"
            data = reader.get_raw(where, scope=scope)
            parts.append(
                Part(
                    HOSTED,
                    data,
                    {"id": content_id, "contentType": picture_type(data) or _ANY_BYTES},
                )
            )
        except (ItemGone, ResourceGone):
            reader.get(path, scope=scope)  # says whether the message itself is gone
            troubles.append(Trouble(change.id, role, Cause.NO_CONTENT, retry=False))
        except _PASSED_ON:
            raise
        except Problem as problem:
            troubles.append(trouble_of(change.id, role, problem))
    return parts, troubles


def _linking(raw: Raw) -> Iterator[str]:
    """Every text of a message that can link to a hosted content."""
    body = raw.get("body")
    if isinstance(body, dict):
        yield str(body.get("content") or "")
    for one in _entries(raw, "attachments"):
        for key in ("content", "contentUrl", "thumbnailUrl"):
            yield str(one.get(key) or "")
    for one in _entries(raw, "reactions"):
        yield str(one.get("reactionContentUrl") or "")


def _entries(raw: Raw, name: str) -> list[Raw]:
    value = raw.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_kept(key: str) -> bool:
    return key != _VOLATILE and key.partition("@")[0] not in _LEFT_OUT


def _name(raw: Raw) -> str:
    subject = str(raw.get("subject") or "").strip()
    text = subject or words_of(raw) or _without_words(raw)
    return text if len(text) <= _NAME_MAX else f"{text[: _NAME_MAX - 1]}…"


def _without_words(raw: Raw) -> str:
    if raw.get("deletedDateTime"):
        return "(deleted)"
    event = raw.get("eventDetail")
    if isinstance(event, dict):
        kind = str(event.get("@odata.type") or "").rpartition(".")[2]
        return f"({kind.removesuffix('EventMessageDetail') or 'event'})"
    files = [str(one.get("name")) for one in _entries(raw, "attachments") if one.get("name")]
    return ", ".join(files) or "(no text)"


def _fingerprint(raw: Raw) -> str:
    told = (*hosted_ids(raw), str(raw.get("lastEditedDateTime")), str(raw.get("deletedDateTime")))
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]
