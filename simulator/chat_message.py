"""Messages as Teams keeps them, in channels and in chats alike, and as Graph shows them.

Rules
- A message's id is the millisecond it was created, as text; no two of one conversation are equal.
- etag is the millisecond of the last change. A reaction changes it, and is no edit.
- A deleted message stays: deletedDateTime is set, the body is empty, and so are attachments,
  mentions and hosted contents. Undoing the deletion brings all of it back.
- Bodies hold links to hosted contents; they are kept with HERE in place of the message's address.
- hostedContents list only ids; the bytes come with …/$value.

https://learn.microsoft.com/graph/api/resources/chatmessage
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from simulator.filebytes import Content, LiteralBytes
from simulator.web import GraphError, Json

HERE = "{here}"
"""Stands for the address of the message itself: {here}/hostedContents/{id}/$value."""
MESSAGE, SYSTEM = "message", "systemEventMessage"
_SYSTEM_BODY: Json = {"contentType": "html", "content": "<systemEventMessage/>"}
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Hosted:
    """What Teams keeps for a message: a pasted picture, a code snippet."""

    id: str
    content_type: str
    content: Content


@dataclass(slots=True)
class ChatMessage:
    """One message or reply. `change` numbers the last change of its conversation it was part of."""

    id: str
    reply_to: str | None
    sender: Json | None
    body: Json
    created: datetime
    modified: datetime
    edited: datetime | None = None
    deleted: datetime | None = None
    message_type: str = MESSAGE
    subject: str | None = None
    summary: str | None = None
    importance: str = "normal"
    locale: str = "en-us"
    event: Json | None = None
    attachments: list[Json] = field(default_factory=list)
    mentions: list[Json] = field(default_factory=list)
    reactions: list[Json] = field(default_factory=list)
    hosted: dict[str, Hosted] = field(default_factory=dict)
    policy_violation: Json | None = None
    history: list[Json] = field(default_factory=list)
    """Of reactions; only told where there is one."""
    change: int = 0


@dataclass(frozen=True, slots=True)
class Home:
    """Where messages live: the path of a channel or chat, and what messages tell of it."""

    path: str  # "/teams/{id}/channels/{id}", "/chats/{id}"; ids as they are
    tenant_id: str
    team_id: str = ""
    channel_id: str = ""
    chat_id: str = ""


@dataclass(slots=True)
class Talk:
    """Every message of one channel or chat, by id; replies beside what they answer."""

    messages: dict[str, ChatMessage] = field(default_factory=dict)
    changes: int = 0

    def post(
        self,
        sender: Json | None,
        body: Json,
        at: datetime,
        *,
        reply_to: str | None = None,
        hosted: tuple[Hosted, ...] = (),
        **facts: Any,
    ) -> ChatMessage:
        """A new message, or a reply; `facts` are further fields of ChatMessage."""
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        while _id_of(at) in self.messages:
            at += _MILLISECOND
        found = ChatMessage(
            _id_of(at),
            reply_to,
            sender,
            body,
            at,
            at,
            hosted={one.id: one for one in hosted},
            **facts,
        )
        self.messages[found.id] = found
        self._changed(found)
        return found

    def event(
        self, at: datetime, kind: str, initiator: Json | None, **facts: object
    ) -> ChatMessage:
        """A message Teams writes itself; kind is e.g. "membersAdded"."""
        detail = {"@odata.type": f"#microsoft.graph.{kind}EventMessageDetail"} | facts
        detail["initiator"] = initiator
        return self.post(None, dict(_SYSTEM_BODY), at, message_type=SYSTEM, event=detail)

    def edit(self, message: ChatMessage, content: str, at: datetime) -> None:
        """Its sender writes something else."""
        message.body = message.body | {"content": content}
        message.edited = at
        self._touch(message, at)

    def react(self, message: ChatMessage, sender: Json, kind: str, at: datetime) -> None:
        """Somebody reacts: kind is a Unicode character or an old name such as like."""
        message.reactions.append(
            {
                "reactionType": kind, "displayName": None, "reactionContentUrl": None,
                "createdDateTime": stamp(at), "user": sender,
            }
        )  # fmt: skip
        self._touch(message, at)

    def delete(self, message: ChatMessage, at: datetime) -> None:
        """Leaves a tombstone."""
        message.deleted = at
        self._touch(message, at)

    def undelete(self, message: ChatMessage, at: datetime) -> None:
        """Its sender takes the deletion back."""
        message.deleted = None
        self._touch(message, at)

    def find(self, wanted: str) -> ChatMessage:
        """A message by id; Graph's 404 else."""
        found = self.messages.get(wanted)
        if found is None:
            raise GraphError(404, "NotFound", "The message was not found.")
        return found

    def roots(self) -> list[ChatMessage]:
        """Messages that answer none, the newest first."""
        found = [one for one in self.messages.values() if one.reply_to is None]
        return sorted(found, key=lambda one: int(one.id), reverse=True)

    def replies(self, root: str) -> list[ChatMessage]:
        """What answers a message, the newest first."""
        found = [one for one in self.messages.values() if one.reply_to == root]
        return sorted(found, key=lambda one: int(one.id), reverse=True)

    def _touch(self, message: ChatMessage, at: datetime) -> None:
        message.modified = max(at, message.modified + _MILLISECOND)
        self._changed(message)

    def _changed(self, message: ChatMessage) -> None:
        self.changes += 1
        message.change = self.changes


def message_json(message: ChatMessage, home: Home, url_base: str) -> Json:
    """A message as Graph shows it; url_base is what the links to hosted contents begin with."""
    gone = message.deleted is not None
    content = "" if gone else _linked(str(message.body["content"]), message, home, url_base)
    shown: Json = {
        "id": message.id, "replyToId": message.reply_to, "etag": _id_of(message.modified),
        "messageType": message.message_type, "createdDateTime": stamp(message.created),
        "lastModifiedDateTime": stamp(message.modified),
        "lastEditedDateTime": stamp(message.edited) if message.edited else None,
        "deletedDateTime": stamp(message.deleted) if message.deleted else None,
        "subject": message.subject, "summary": message.summary,
        "chatId": home.chat_id or None, "importance": message.importance,
        "locale": message.locale, "webUrl": _web_url(message, home),
        "policyViolation": message.policy_violation, "eventDetail": message.event,
        "from": message.sender, "body": message.body | {"content": content},
        "channelIdentity": _channel(home),
        "attachments": [] if gone else [
            {k: _linked(v, message, home, url_base) for k, v in one.items()}
            for one in message.attachments
        ],
        "mentions": [] if gone else message.mentions,
        "reactions": message.reactions,
    }  # fmt: skip
    return shown | ({"messageHistory": message.history} if message.history else {})


def hosted_json(message: ChatMessage) -> list[Json]:
    """hostedContents of a message: ids, and nulls for what only $value gives."""
    return [{"id": one.id, "contentBytes": None, "contentType": None} for one in hosted_of(message)]


def hosted_of(message: ChatMessage) -> Iterator[Hosted]:
    """What Teams keeps for a message; nothing once it is deleted."""
    return iter(() if message.deleted else message.hosted.values())


def hosted_content(message: ChatMessage, wanted: str) -> Hosted:
    """One hosted content; Graph's 404 else."""
    found = next((one for one in hosted_of(message) if one.id == wanted), None)
    if found is None:
        raise GraphError(404, "NotFound", "The hosted content was not found.")
    return found


def hosted(number: int, data: bytes | Content, content_type: str = "image/png") -> Hosted:
    """A hosted content with an id as Teams makes them."""
    raw = f"x_0-wus-d1-{number:032x},type=1,url=https://us-api.asm.skype.com/v1/objects/{number}"
    name = base64.b64encode(f"id={raw}/views/imgo".encode()).decode("ascii")
    content = LiteralBytes(data) if isinstance(data, bytes) else data
    return Hosted(name, content_type, content)


def hosted_link(one: Hosted) -> str:
    """What a body says to show a hosted content."""
    return f"{HERE}/hostedContents/{one.id}/$value"


def user_identity(user_id: str, name: str | None) -> Json:
    """`from`, `mentioned` or `user` of a person of the directory."""
    user = {"id": user_id, "displayName": name, "userIdentityType": "aadUser"}
    return {"application": None, "device": None, "user": user}


def application_identity(app_id: str, name: str) -> Json:
    """`from` of a bot or connector."""
    app = {"id": app_id, "displayName": name, "applicationIdentityType": "bot"}
    return {"application": app, "device": None, "user": None}


def mention(number: int, text: str, mentioned: Json) -> Json:
    """An entry of mentions; the body says <at id="number">text</at>."""
    return {"id": number, "mentionText": text, "mentioned": mentioned}


def reference(attachment_id: str, name: str, url: str) -> Json:
    """An entry of attachments: a link to a file of SharePoint or OneDrive."""
    return {
        "id": attachment_id, "contentType": "reference", "contentUrl": url, "content": None,
        "name": name, "thumbnailUrl": None, "teamsAppId": None,
    }  # fmt: skip


def card(attachment_id: str, kind: str, content: str) -> Json:
    """An entry of attachments: a card; kind follows application/vnd.microsoft.card."""
    return {
        "id": attachment_id, "contentType": f"application/vnd.microsoft.card.{kind}",
        "contentUrl": None, "content": content, "name": None, "thumbnailUrl": None,
        "teamsAppId": None,
    }  # fmt: skip


def truth(talk: Talk) -> list[Json]:
    """Every message as it is, for comparisons; a deleted one with what it said."""
    return [
        {
            "id": one.id, "reply_to": one.reply_to, "from": one.sender, "type": one.message_type,
            "created": stamp(one.created), "deleted": one.deleted is not None,
            "subject": one.subject, "body": one.body["content"], "event": one.event,
            "attachments": [entry["contentType"] for entry in one.attachments],
            "reactions": [entry["reactionType"] for entry in one.reactions],
            "mentions": [entry["mentionText"] for entry in one.mentions],
            "hosted": {key: kept.content.sha256 for key, kept in one.hosted.items()},
        }
        for one in talk.messages.values()
    ]  # fmt: skip


def stamp(at: datetime) -> str:
    """A time as Teams writes it: milliseconds, without zeros at their end."""
    at = at.astimezone(UTC)
    fraction = f"{at.microsecond // 1000:03d}".rstrip("0")
    return f"{at:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}Z"


def _id_of(at: datetime) -> str:
    return str(round(at.timestamp() * 1000))


def _linked(value: object, message: ChatMessage, home: Home, url_base: str) -> object:
    if not isinstance(value, str) or HERE not in value:
        return value
    below = f"/replies/{message.id}" if message.reply_to else ""
    root = message.reply_to or message.id
    return value.replace(HERE, f"{url_base}{home.path}/messages/{root}{below}")


def _channel(home: Home) -> Json | None:
    if not home.channel_id:
        return None
    return {"teamId": home.team_id, "channelId": home.channel_id}


def _web_url(message: ChatMessage, home: Home) -> str | None:
    if not home.channel_id:
        return None
    return (
        f"https://teams.microsoft.com/l/message/{quote(home.channel_id, safe='')}/{message.id}"
        f"?groupId={home.team_id}&tenantId={home.tenant_id}&createdTime={message.id}"
        f"&parentMessageId={message.reply_to or message.id}"
    )
