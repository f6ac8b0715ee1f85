"""Mailbox settings: what the services' suite knows of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.mailbox import Mailbox
from simulator.settings import categories, overrides, rules
from simulator.settings_content import settings_truth
from tests.m365.stage import RAW, Truth, canonical

_SENDING = ("forwardTo", "forwardAsAttachmentTo", "redirectTo")


class SettingsCase:
    """Settings of the mailbox with one of every sort."""

    service: Service = SERVICES["settings"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", next(iter(tenant.mailboxes)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        """An empty mailbox with the folders that rules of the other one name."""
        user = tenant.add_user("Empty Target").id
        projects = tenant.mailboxes[user].add_folder("Projects")
        tenant.mailboxes[user].add_folder("Harbour / Phase 2 🚢", projects.id)
        return Resource("mailbox", user)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        user, found = resource.graph_id, Counter[Truth]()
        for folder, listed in (
            ("Rules", rules(tenant, user)),
            ("Categories", categories(tenant, user)),
            ("Overrides", overrides(tenant, user)),
        ):
            for one in listed:
                name = one.get("displayName") or one["senderEmailAddress"]["name"]
                found[_truth((folder, name), one)] += 1
        found[_truth(("Settings",), settings_truth(tenant, user)["settings"])] += 1
        return found

    def main_part(self) -> str:
        return RAW

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """There are none that the service could forget."""

    def idle_requests_max(self, folders: int) -> int:
        return 1

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        wanted, user = item_id.partition(":")[2], resource.graph_id
        lists = (rules(tenant, user), categories(tenant, user), overrides(tenant, user))
        for one in lists:
            one[:] = [entry for entry in one if entry["id"] != wanted]

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.mailboxes[resource.graph_id]

    def content_pattern(self) -> str:
        return r"/(masterCategories|messageRules|overrides)"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return _facts(tenant, target.graph_id, elsewhere=False)

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return _facts(tenant, resource.graph_id, elsewhere=True)


def _truth(path: tuple[str, ...], raw: dict[str, Any]) -> Truth:
    data = canonical(raw)
    return Truth(path, len(data), hashlib.sha256(data).hexdigest())


def _facts(tenant: simulator.Tenant, user: str, *, elsewhere: bool) -> Counter[tuple[Any, ...]]:
    """What comes back; elsewhere: as it has to be in another mailbox, which must not send mail."""
    found: Counter[tuple[Any, ...]] = Counter()
    mailbox = tenant.mailboxes[user]
    for one in rules(tenant, user):
        actions = _with_paths(mailbox, one.get("actions", {}))
        sends = elsewhere and any(name in actions for name in _SENDING)
        facts = (one["displayName"], one["sequence"], one["isEnabled"] and not sends)
        texts = (one.get("conditions"), actions, one.get("exceptions"))
        found[("rule", *facts, *(json.dumps(text, sort_keys=True) for text in texts))] += 1
    for one in categories(tenant, user):
        found[("category", one["displayName"], one["color"])] += 1
    for one in overrides(tenant, user):
        found[("override", json.dumps(one["senderEmailAddress"]), one["classifyAs"])] += 1
    return found


def _with_paths(mailbox: Mailbox, actions: dict[str, Any]) -> dict[str, Any]:
    names = ("moveToFolder", "copyToFolder")
    paths = {name: mailbox.folder(actions[name]).names() for name in names if name in actions}
    return actions | paths
