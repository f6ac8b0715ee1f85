"""Group conversations: what the services' suite knows of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.conversations import GroupMailbox, group_mailbox
from simulator.mailbox import Attachment, Message
from tests.m365.stage import Truth

_LINK = Truth((), 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


class ConversationsCase:
    """Conversations of the group with one of every sort."""

    service: Service = SERVICES["conversations"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        group = next(one for one in tenant.groups.values() if one.unified)
        return Resource("group", group.id)

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("group", tenant.add_group("Empty Target", []).id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        """Every attachment: posts themselves are compared in test_conversations.py."""
        found: Counter[Truth] = Counter()
        for conversation in group_mailbox(tenant, resource.graph_id).conversations:
            for thread in conversation.threads:
                for post in thread.posts:
                    path = (_name(thread.topic) or "(no topic)", _name(thread.topic))
                    found.update(_truths(path, post))
        return found

    def main_part(self) -> str:
        return "attachment"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """There are none that the service could forget."""

    def idle_requests_max(self, folders: int) -> int:
        return 1

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        box = group_mailbox(tenant, resource.graph_id)
        post = box.mailbox.find(item_id.rpartition(":")[2])
        for conversation in box.conversations:
            for thread in conversation.threads:
                thread.posts = [one for one in thread.posts if one is not post]
        box.mailbox.delete_message(post, for_good=True)
        _forget_empty(box)

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.groups[resource.graph_id]

    def content_pattern(self) -> str:
        return r"/attachments"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        raise AssertionError("conversations can be exported only")

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        raise AssertionError("conversations can be exported only")


def _name(topic: str) -> str:
    topic = topic.strip()
    return topic if len(topic) <= 255 else f"{topic[:254]}…"


def _truths(path: tuple[str, ...], post: Message) -> list[Truth]:
    return [_truth(path, one) for one in post.attachments.values() if one.broken is None]


def _truth(path: tuple[str, ...], attachment: Attachment) -> Truth:
    content = attachment.content
    if attachment.kind == "referenceAttachment" or content is None:
        return Truth(path, _LINK.size, _LINK.sha256)
    return Truth(path, content.size, content.sha256)


def _forget_empty(box: GroupMailbox) -> None:
    for conversation in box.conversations:
        conversation.threads = [one for one in conversation.threads if one.posts]
    box.conversations = [one for one in box.conversations if one.threads]
