"""Teams: what the services' suite knows of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.chat_message import ChatMessage, hosted_link
from simulator.teams import Channel, Team, add_team, teams
from tests.m365.stage import Truth


class TeamsCase:
    """The team with one of every sort. Its writers are put to tests of their own: what is imported
    can be neither replaced nor taken away, and pages are items of the engine.
    """

    service: Service = replace(
        SERVICES["teams"],
        writer=None,
        writes=(*SERVICES["teams"].writes, *SERVICES["teams"].writes_with(("migration",))),
    )

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("team", next(iter(teams(tenant))))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        group = tenant.add_group("Empty Target", [])
        add_team(tenant, group.id, tenant.clock.now())
        return Resource("team", group.id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        """What Teams keeps for messages; these themselves are compared in test_teams.py."""
        found: Counter[Truth] = Counter()
        for channel in readable(teams(tenant)[resource.graph_id]):
            for message in channel.talk.messages.values():
                path = (channel.name, _name(message))
                for content in shown(message):
                    found[Truth(path, content.size, content.sha256)] += 1
        return found

    def main_part(self) -> str:
        return "hosted"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.feeds.lose(lambda feed: True)

    def idle_requests_max(self, folders: int) -> int:
        return folders + 1  # the team is none of its channels; one of them is not ready

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        key = item_id.rpartition("/")[2]
        for channel in teams(tenant)[resource.graph_id].channels.values():
            kept = channel.talk.messages
            for one in [one for one in kept.values() if key in (one.id, one.reply_to)]:
                del kept[one.id]

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del teams(tenant)[resource.graph_id]

    def content_pattern(self) -> str:
        return r"hostedContents/.*/\$value"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        raise AssertionError("see test_teams_writer.py")

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        raise AssertionError("see test_teams_writer.py")


def readable(team: Team) -> list[Channel]:
    """Channels whose messages a backup can read."""
    return [one for one in team.channels.values() if not one.deleted and not one.unprovisioned]


def shown(message: ChatMessage) -> list[Any]:
    """The hosted contents a message shows."""
    if message.deleted:
        return []
    texts = [str(message.body["content"]), *(str(one["content"]) for one in message.attachments)]
    kept = message.hosted.values()
    return [one.content for one in kept if any(hosted_link(one) in text for text in texts)]


def _name(message: ChatMessage) -> str:
    words = " ".join(re.sub(r"<[^>]*>", " ", str(message.body["content"])).split())
    return message.subject or words or "(no text)"
