"""Chats: what the services' suite knows of them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import simulator
from m365.chats import SERVICE
from m365.service import Resource, Service
from simulator.chat_message import HERE, ChatMessage
from simulator.chats import Chat, chats, lose_exports, seen_by
from tests.m365.stage import Truth


class ChatsCase:
    """The chats of the person who is in every sort of them."""

    service: Service = SERVICE

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("user", next(iter(tenant.users)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("user", tenant.add_user("Empty Target").id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        """Every picture that can be had: messages are compared in test_chats.py."""
        found: Counter[Truth] = Counter()
        for chat, message in seen_by(tenant, resource.graph_id):
            if chat.federated:
                continue
            path = (name_of(tenant, chat, resource.graph_id), "(no text)")
            for one in shown_pictures(message):
                found[Truth(path, one.content.size, one.content.sha256)] += 1
        return found

    def main_part(self) -> str:
        return "hosted"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """There is no delta to forget; an export under way is, and a month brings a full one."""
        lose_exports(tenant)
        tenant.clock.advance(timedelta(days=30).total_seconds())

    def idle_requests_max(self, folders: int) -> int:
        return 1

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        """A retention policy takes it, and leaves no tombstone."""
        chat_id, _, message_id = item_id.rpartition(":")
        del chats(tenant)[chat_id].talk.messages[message_id]

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.users[resource.graph_id]

    def content_pattern(self) -> str:
        return r"/hostedContents/"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        raise AssertionError("chats can be exported only")

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        raise AssertionError("chats can be exported only")


def name_of(tenant: simulator.Tenant, chat: Chat, user_id: str) -> str:
    """The topic, or who else is in a chat."""
    if chat.topic:
        return chat.topic
    others = [one for one in chat.members if one != user_id] or list(chat.members)
    names = [str(tenant.users[one].properties["displayName"]) for one in others]
    return ", ".join(names + [guest["displayName"] for guest in chat.guests])


def shown_pictures(message: ChatMessage) -> list[Any]:
    """What Teams keeps for a message and its body shows."""
    body = str(message.body["content"])
    if message.deleted:
        return []
    return [one for one in message.hosted.values() if f"{HERE}/hostedContents/{one.id}/" in body]
