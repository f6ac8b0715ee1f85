"""What the suite of all services has to know of mailbox copies and in-place archives."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import simulator
from m365 import SERVICES
from m365.mailbox_items import parts_of_key
from m365.service import Resource, Service
from simulator import mailbox_items, mailbox_stream
from simulator.mailbox import Mailbox
from tests.m365.stage import Truth

Box = tuple[Mailbox, ...]


class CopiesCase:
    """Full-fidelity copies: the mailbox with all the oddities."""

    service: Service = SERVICES["mailbox-copies"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", next(iter(tenant.archives)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", tenant.add_user("Empty Target").id)

    def boxes(self, tenant: simulator.Tenant, resource: Resource) -> Box:
        return (tenant.mailboxes[resource.graph_id],)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        found: Counter[Truth] = Counter()
        for box in self.boxes(tenant, resource):
            for message in box.messages.values():
                told = mailbox_items.is_told(tenant, box, message.folder)
                if told and not message.broken:
                    stream = mailbox_stream.written(message)
                    path = (*message.folder.names(), message.properties["subject"] or "")
                    found[Truth(path, len(stream), hashlib.sha256(stream).hexdigest())] += 1
        return found

    def main_part(self) -> str:
        return "export"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.feeds.lose(lambda feed: feed.startswith("mailbox "))

    def idle_requests_max(self, folders: int) -> int:
        return folders  # one for the tree, one for each folder but the top one

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        _, reference = parts_of_key(item_id)
        for box in self.boxes(tenant, resource):
            for message in list(box.messages.values()):
                if mailbox_items.item_id(box, message.number) == reference:
                    box.delete_message(message, for_good=True)

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.mailboxes[resource.graph_id]

    def content_pattern(self) -> str:
        return "exportItems"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return self._facts(tenant, target)

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return self._facts(tenant, resource)

    def _facts(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        """Of every item everything: path and stream."""
        return Counter((one.path, one.sha256) for one in self.truth(tenant, resource).elements())


class ArchiveCase(CopiesCase):
    """In-place archives: one that expanded into a second mailbox."""

    service: Service = SERVICES["archive"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("archive", next(iter(tenant.archives)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        user = tenant.add_user("Empty Target").id
        tenant.archives[user] = [Mailbox(user, tenant.clock.stamp, 4711)]
        return Resource("archive", user)

    def boxes(self, tenant: simulator.Tenant, resource: Resource) -> Box:
        return tuple(tenant.archives[resource.graph_id])

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.archives[resource.graph_id]
