"""Sticky notes: what the services' suite knows of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.notes import note_json, notes_of
from tests.m365.stage import RAW, Truth, canonical

_VIEW: dict[str, Any] = {"immutable": True, "salt": 0, "select": set(), "expand": {}}


class NotesCase:
    """Notes of a mailbox, with pictures and without."""

    service: Service = SERVICES["notes"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", next(iter(tenant.mailboxes)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", tenant.add_user("Empty Target").id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        book = notes_of(tenant, resource.graph_id)
        found: Counter[Truth] = Counter()
        for one in book.notes.values():
            raw = note_json(book, one, _VIEW)
            del raw["changeKey"]
            data = canonical(raw)
            name = " ".join(str(raw["subject"] or raw["bodyPreview"]).split())[:100]
            path = (name or "(empty note)",)
            found[Truth(path, len(data), hashlib.sha256(data).hexdigest())] += 1
        return found

    def main_part(self) -> str:
        return RAW

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.feeds.lose(lambda feed: True)

    def idle_requests_max(self, folders: int) -> int:
        return 1

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        book = notes_of(tenant, resource.graph_id)
        book.delete(book.find(item_id))

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.mailboxes[resource.graph_id]

    def content_pattern(self) -> str:
        return r"GET .*/notes/"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return Counter(
            (
                canonical({k: one.properties[k] for k in ("subject", "body", "categories")}),
                tuple((p["name"], p["contentId"], p["data"]) for p in one.pictures.values()),
            )
            for one in notes_of(tenant, target.graph_id).notes.values()
        )

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return self.restored(tenant, resource)
