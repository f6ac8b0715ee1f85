"""What people write to each other in chats, one chat of every sort, and what a month changes."""

import random
from collections import Counter
from datetime import datetime, timedelta

from simulator import prose
from simulator.chat_message import (
    ChatMessage,
    Hosted,
    card,
    hosted,
    hosted_link,
    mention,
    reference,
    truth,
    user_identity,
)
from simulator.chats import Chat, add_chat, chats, seen_by
from simulator.content_kinds import png
from simulator.tenant import Tenant
from simulator.web import Json

_SMALL_BYTES, _LARGE_BYTES = 9_000, 90_000


def fill_chats(tenant: Tenant, dice: random.Random, count: int, until: datetime) -> None:
    """A chat of every two people, one of everybody with `count` messages, a meeting's, and one of
    another tenant.
    """
    people = [one.id for one in tenant.users.values() if one.purpose == "user"]
    if not people:
        return
    first = people[0]
    for other in people[1:4]:
        chat = add_chat(tenant, "oneOnOne", [first, other], until - timedelta(days=400))
        _Scribe(tenant, chat, dice).some(count, until)
    everybody = add_chat(
        tenant, "group", people[:20], until - timedelta(days=300), "Lunch / crane 🏗️"
    )
    _Scribe(tenant, everybody, dice).some(count, until)
    _oddities(_Scribe(tenant, everybody, dice), until - timedelta(days=30))
    meeting = add_chat(tenant, "meeting", people[:3], until - timedelta(days=20), "Harbour weekly")
    scribe = _Scribe(tenant, meeting, dice)
    meeting.talk.event(until - timedelta(days=20), "callEnded", None, callDuration="PT31M")
    scribe.some(3, until, days=15)
    foreign = add_chat(
        tenant, "group", [first], until - timedelta(days=90), "With the authority", federated=True
    )
    _Scribe(tenant, foreign, dice).some(2, until, days=80)
    unnamed = add_chat(tenant, "group", people[:3], until - timedelta(days=50))
    unnamed.guests.append(
        {
            "@odata.type": "#microsoft.graph.anonymousGuestConversationMember", "id": "guest-1",
            "roles": ["guest"], "displayName": "Nora of the Authority",
            "visibleHistoryStartDateTime": "0001-01-01T00:00:00Z",
        }
    )  # fmt: skip
    _Scribe(tenant, unnamed, dice).some(2, until, days=40)


def chats_month(tenant: Tenant, dice: random.Random, now: datetime, done: Counter[str]) -> None:
    """Messages, edits, deletions and reactions; a chat comes, one is renamed, somebody leaves."""
    every = [one for one in chats(tenant).values() if not one.deleted]
    for chat in every:
        _Scribe(tenant, chat, dice).month(now, done)
    groups = [one for one in every if one.kind == "group" and len(one.members) > 1]
    if groups:
        chat = dice.choice(groups)
        chat.topic, chat.updated = f"Topic of {now:%B}", now
        by = _Scribe(tenant, chat, dice).somebody()
        chat.talk.event(now, "chatRenamed", by, chatId=chat.id, chatDisplayName=chat.topic)
        leaver = list(chat.members)[-1]
        chat.left[leaver] = (chat.members.pop(leaver), now + timedelta(seconds=1))
        chat.talk.event(now, "membersDeleted", by, members=[{"id": leaver, "displayName": None}])
        done["chats left"] += 1
    people = [one.id for one in tenant.users.values() if one.purpose == "user"]
    chat = add_chat(tenant, "group", people[:2], now, f"New in {now:%B}")
    _Scribe(tenant, chat, dice).say("<p>Hello</p>", now)
    done["chats begun"] += 1


def chats_truth(tenant: Tenant) -> list[Json]:
    """Every chat with who is in it and all that was ever written; of each message, whose exports
    hold it now.
    """
    readers: dict[tuple[str, str], list[str]] = {}
    for user_id in tenant.users:
        for chat, message in seen_by(tenant, user_id):
            readers.setdefault((chat.id, message.id), []).append(user_id)
    return [
        {
            "id": one.id, "kind": one.kind, "topic": one.topic, "members": list(one.members),
            "left": list(one.left), "federated": one.federated,
            "messages": [
                message | {"seen_by": readers.get((one.id, message["id"]), [])}
                for message in truth(one.talk)
            ],
        }
        for one in chats(tenant).values()
        if not one.deleted
    ]  # fmt: skip


def _oddities(scribe: "_Scribe", at: datetime) -> None:
    """One of everything a message can be."""
    small, large = scribe.picture(_SMALL_BYTES), scribe.picture(_LARGE_BYTES)
    shown = f'<p><img src="{hosted_link(small)}"> <img src="{hosted_link(large)}"></p>'
    scribe.say(shown, at, hosted=(small, large))
    for hour in (1, 2):
        one = scribe.picture(_SMALL_BYTES)
        scribe.say(f'<img src="{hosted_link(one)}">', at + timedelta(hours=hour), hosted=(one,))
    file = reference("f11e", "Menu.pdf", "https://contoso-my.sharepoint.com/personal/x/Menu.pdf")
    scribe.say('<attachment id="f11e"></attachment>', at, attachments=[file])
    quoted = '{"messageId": "1", "messagePreview": "Soup?", "messageSender": {"user": null}}'
    quote = card("1", "x", quoted) | {"contentType": "messageReference"}
    scribe.say('<attachment id="1"></attachment><p>Yes</p>', at, attachments=[quote])
    somebody = scribe.somebody()
    name = str(somebody["user"]["displayName"])
    scribe.say(f'<at id="0">{name}</at>', at, mentions=[mention(0, name, somebody)])
    gone = scribe.say("<p>Not for you</p>", at)
    scribe.talk.delete(gone, at + timedelta(days=28))
    edited = scribe.say("<p>Frist</p>", at)
    scribe.talk.edit(edited, "<p>First</p>", at + timedelta(hours=1))
    scribe.talk.react(edited, scribe.somebody(), "👍", at + timedelta(hours=2))
    scribe.talk.post(scribe.somebody(), {"contentType": "text", "content": "a <b> & c"}, at)


class _Scribe:
    """Writes into one chat."""

    def __init__(self, tenant: Tenant, chat: Chat, dice: random.Random) -> None:
        self.tenant, self.dice, self.talk = tenant, dice, chat.talk
        self.people = [tenant.users[one] for one in chat.members if one in tenant.users]

    def somebody(self) -> Json:
        """A member as the sender of something."""
        user = self.dice.choice(self.people)
        return user_identity(user.id, str(user.properties["displayName"]))

    def say(self, content: str, at: datetime, **facts: object) -> ChatMessage:
        """A message in HTML."""
        body = {"contentType": "html", "content": content}
        return self.talk.post(self.somebody(), body, at, **facts)  # type: ignore[arg-type]

    def some(self, count: int, until: datetime, days: int = 250) -> None:
        """Messages of so many days."""
        for _ in range(count):
            at = until - timedelta(minutes=self.dice.randint(1, days * 1_440))
            self.say(f"<p>{prose.sentence(self.dice)}</p>", at)

    def picture(self, size: int) -> Hosted:
        """A pasted picture."""
        return hosted(self.dice.getrandbits(40), png(f"chat {self.dice.getrandbits(40)}", size))

    def month(self, now: datetime, done: Counter[str]) -> None:
        """What happens in one chat."""
        if not self.people:
            return
        kept = [one for one in self.talk.messages.values() if one.sender and not one.deleted]
        if len(kept) > 3:
            edited, deleted, liked = self.dice.sample(kept, 3)
            self.talk.edit(edited, "<p>As I meant it</p>", now)
            self.talk.delete(deleted, now)
            self.talk.react(liked, self.somebody(), "🎉", now)
            done["chat messages edited"] += 1
            done["chat messages deleted"] += 1
        picture = self.picture(_SMALL_BYTES)
        self.say(f'<img src="{hosted_link(picture)}">', now, hosted=(picture,))
        done["chat messages written"] += 1
