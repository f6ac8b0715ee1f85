"""What conversations of a group are as items, and what the link of a thread's feed remembers.

A post's id is that of its thread and its own: Graph finds a post below its thread only. A thread's
folder carries the JSON of its conversation under "conversation".

https://learn.microsoft.com/graph/api/resources/conversationthread
https://learn.microsoft.com/graph/api/resources/post
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from base.item import Change
from m365.graph.errors import ItemGone

FEED = "conversations"
_ROOT = "conversations"
_NAME_MAX = 255  # characters of a topic in a name; the folder's JSON has all of it
_NO_TOPIC = "(no topic)"
_NEWEST_FIRST = str.maketrans("0123456789", "9876543210")  # turns the order of times around
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "changeKey"))
_CONTENT = ("body", "from", "sender", "receivedDateTime", "hasAttachments")

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ThreadLink:
    """The link of a thread's feed. `told` and `digest` stand for what the lists said of the
    conversation and of the thread when it was read.
    """

    conversation: str
    told: str
    digest: str
    topic: str = ""
    is_read: bool = False
    at: str = ""  # where the list of posts goes on

    @staticmethod
    def read(link: str) -> ThreadLink:
        return ThreadLink(**json.loads(link))

    @staticmethod
    def of(conversation: Mapping[str, Any], thread: Mapping[str, Any]) -> ThreadLink:
        """A thread that has yet to be read."""
        told, topic = digest(conversation), _topic(thread.get("topic"))
        return ThreadLink(str(conversation["id"]), told, digest(thread), topic)

    def write(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def from_start(self) -> ThreadLink:
        return replace(self, at="")

    def going_on(self, link: str) -> ThreadLink:
        return replace(self, at=link)

    def tells_else(self, link: ThreadLink) -> bool:
        """Whether the folder of the thread is news: it was not read yet, or reads otherwise."""
        return not self.is_read or (self.told, self.digest) != (link.told, link.digest)

    def is_read_as(self, link: ThreadLink) -> bool:
        """Whether the posts were read when the thread told the same."""
        return self.is_read and self.digest == link.digest

    def done(self) -> ThreadLink:
        return replace(self, at="", is_read=True)


def digest(raw: Mapping[str, Any]) -> str:
    """Changes when a list tells something else of a conversation or thread."""
    text = json.dumps(_kept(raw), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def part_of(thread: Mapping[str, Any]) -> str:
    """The name of a thread's feed."""
    return f"thread:{thread['id']}"


def ids_of(item_id: str) -> tuple[str, str]:
    """Thread and post of an item. Raises ItemGone for what is no post."""
    thread_id, _, post_id = item_id.rpartition(":")
    if not thread_id or not post_id:
        raise ItemGone("There is no such post.")
    return thread_id, post_id


def root() -> Change:
    """The folder that holds all threads."""
    return Change(_ROOT, "", "folder", "Conversations", fingerprint="folder")


def thread_folder(conversation: Mapping[str, Any], thread: Mapping[str, Any]) -> Change:
    """A thread as the folder of its posts."""
    delivered = str(thread.get("lastDeliveredDateTime") or "")
    return Change(
        id=str(thread["id"]),
        parent=_ROOT,
        kind="folder",
        name=_topic(thread.get("topic") or conversation.get("topic")) or _NO_TOPIC,
        raw={**_kept(thread), "conversation": _kept(conversation)},
        row={"sort": delivered.translate(_NEWEST_FIRST), "delivered": delivered},
        fingerprint=f"{digest(conversation)} {digest(thread)}",
    )


def post(raw: Mapping[str, Any], thread_id: str, topic: str) -> Change:
    """One post of a thread."""
    received = str(raw.get("receivedDateTime") or raw.get("createdDateTime") or "")
    return Change(
        id=f"{thread_id}:{raw['id']}",
        parent=thread_id,
        kind="post",
        name=_topic(topic),
        raw=_kept(raw),
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={
            "sort": received.translate(_NEWEST_FIRST),
            "from": _address(raw.get("from") or raw.get("sender")),
            "received": received,
            "attachments": bool(raw.get("hasAttachments")),
        },
        fingerprint=_fingerprint(raw),
    )


def _fingerprint(raw: Mapping[str, Any]) -> str:
    """Covers what the attachments depend on: a post is never edited."""
    return digest({name: raw.get(name) for name in _CONTENT})


def _kept(raw: Mapping[str, Any]) -> Raw:
    return {key: value for key, value in raw.items() if key not in _VOLATILE}


def _topic(text: Any) -> str:
    topic = str(text or "").strip()
    return topic if len(topic) <= _NAME_MAX else f"{topic[: _NAME_MAX - 1]}…"


def _address(recipient: Mapping[str, Any] | None) -> str:
    """As a person writes it: "Name <address>", or what there is of it."""
    mail = (recipient or {}).get("emailAddress") or {}
    name, address = str(mail.get("name") or ""), str(mail.get("address") or "")
    if not name or name == address:
        return address
    return f"{name} <{address}>" if address else name
