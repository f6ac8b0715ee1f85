"""What the members of a group write to each other, and how that changes in a month."""

import random
from collections import Counter
from datetime import datetime, timedelta

from simulator import content_special
from simulator.content import Letter, Person
from simulator.content_kinds import ORDINARY, Kind, inline_image, plain_html, with_file
from simulator.conversations import GroupMailbox, Thread, group_mailbox, remove_thread
from simulator.mailbox import Message
from simulator.tenant import Tenant
from simulator.web import Json

_TOPICS = ("The new Harbour group is ready", "Phase 2 / crane 🏗️", "Re: Änderungen am Plan", "")
_HUGE = "A topic that never ends 🚢 / " * 60
_SPECIAL: tuple[Kind, ...] = (
    content_special.related_and_mixed, content_special.nested_twice, content_special.with_event,
    content_special.with_reference, inline_image,
)  # fmt: skip


def fill_conversations(
    tenant: Tenant, group_id: str, dice: random.Random, count: int, until: datetime
) -> None:
    """`count` conversations and five more, one of every oddity."""
    scribe = _Scribe(tenant, group_id, dice)
    for number in range(count):
        at = until - timedelta(days=dice.randint(3, 700))
        thread = scribe.box.start(_TOPICS[number % len(_TOPICS)])
        for _ in range(dice.randint(1, 4)):
            at += timedelta(minutes=dice.randint(5, 900))
            scribe.post(thread, dice.choice([kind for kind, _ in ORDINARY]), at)
    start = until - timedelta(days=40)
    odd = scribe.box.start("Attachments of every sort")
    for number, kind in enumerate(_SPECIAL):
        scribe.post(odd, kind, start + timedelta(hours=number))
    broken = scribe.post(scribe.box.start("Broken"), with_file, start)
    next(iter(broken.attachments.values())).broken = "ErrorCannotOpenFileAttachment"
    scribe.post(scribe.box.start(_HUGE), plain_html, start)
    long = scribe.box.start("Many answers")
    for number in range(12):
        scribe.post(long, plain_html, start + timedelta(minutes=number), answers=number > 0)
    second = scribe.box.branch(scribe.box.conversations[-1])
    scribe.post(second, with_file, start + timedelta(days=1))


def conversations_month(
    tenant: Tenant, group_id: str, dice: random.Random, now: datetime, done: Counter[str]
) -> None:
    """A new conversation, answers, a newest post deleted, a thread and a conversation deleted."""
    scribe = _Scribe(tenant, group_id, dice)
    box = scribe.box
    if not box.conversations:
        return
    several = [t for one in box.conversations for t in one.threads if len(t.posts) > 1]
    if several:
        thread = dice.choice(several)
        scribe.delete(thread, thread.posts[-1])
        done["posts deleted"] += 1
    if len(box.conversations) > 4:
        box.conversations.remove(dice.choice(box.conversations))
        done["conversations deleted"] += 1
    branched = [one for one in box.conversations if len(one.threads) > 1]
    if branched:
        remove_thread(box, branched[0].threads[0])
        done["threads deleted"] += 1
    for one in dice.sample(box.conversations, min(2, len(box.conversations))):
        scribe.post(one.threads[0], dice.choice((plain_html, with_file)), now, answers=True)
        done["posts written"] += 1
    scribe.post(box.start(f"News of {now:%B} {len(box.conversations)}"), with_file, now)
    done["conversations started"] += 1


def conversations_truth(box: GroupMailbox) -> list[Json]:
    """Every post with its conversation, thread, place in it, and what is attached."""
    return [
        {
            "id": box.mailbox.message_id(post, immutable=True), "conversation_id": one.id,
            "thread_id": thread.id, "topic": thread.topic,
            "received": post.properties["receivedDateTime"],
            "body": post.properties["body"]["content"],
            "from": post.properties["from"],
            "attachments": [
                {
                    "name": item.properties.get("name"), "kind": item.kind, "broken": item.broken,
                    "sha256": item.content.sha256 if item.content is not None else None,
                }
                for item in post.attachments.values()
            ],
        }
        for one in box.conversations
        for thread in one.threads
        for post in thread.posts
    ]  # fmt: skip


class _Scribe:
    """Writes posts into one group's mailbox."""

    def __init__(self, tenant: Tenant, group_id: str, dice: random.Random) -> None:
        self.box = group_mailbox(tenant, group_id)
        self.dice = dice
        group = tenant.groups[group_id]
        self.to = Person(str(group.properties["displayName"]), str(group.properties["mail"]))
        members = [tenant.users[one].properties for one in group.members if one in tenant.users]
        self.people = [
            Person(str(one["displayName"]), str(one["mail"])) for one in members if one["mail"]
        ] or [self.to]

    def post(self, thread: Thread, kind: Kind, at: datetime, *, answers: bool = False) -> Message:
        """A new post at the end of a thread."""
        letter = Letter(self.dice, self.dice.choice(self.people), (self.to,), at)
        message = self.box.mailbox.deliver(kind(letter))
        message.mime = None  # posts have none
        if answers and thread.posts:
            thread.answers[message.number] = thread.posts[-1].number
        thread.posts.append(message)
        return message

    def delete(self, thread: Thread, post: Message) -> None:
        """Takes a post away."""
        thread.posts.remove(post)
        self.box.mailbox.delete_message(post, for_good=True)
