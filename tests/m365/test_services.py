"""Every service of the registry against the simulated tenant: what the suite knows of each."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import pytest

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.mailbox import Folder, Mailbox
from tests.m365.cases_calendar import CalendarCase
from tests.m365.cases_chats import ChatsCase
from tests.m365.cases_conversations import ConversationsCase
from tests.m365.cases_drive import DriveCase
from tests.m365.cases_lists import ListsCase
from tests.m365.cases_mailbox_items import ArchiveCase, CopiesCase
from tests.m365.cases_notes import NotesCase
from tests.m365.cases_pages import PagesCase
from tests.m365.cases_people import ContactsCase, TasksCase
from tests.m365.cases_planner import PlannerCase
from tests.m365.cases_settings import SettingsCase
from tests.m365.cases_teams import TeamsCase
from tests.m365.service_suite import ServiceSuite
from tests.m365.stage import Case, Truth


class MailCase:
    """Mail: the mailbox with all the oddities."""

    service: Service = SERVICES["mail"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", next(iter(tenant.mailboxes)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", tenant.add_user("Empty Target").id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        box = tenant.mailboxes[resource.graph_id]
        found: Counter[Truth] = Counter()
        for message in box.messages.values():
            if not _is_protected(message.folder) or message.broken or message.mime is None:
                continue
            mime = message.mime()
            path = (*_path(message.folder), message.properties["subject"] or "")
            found[Truth(path, len(mime), hashlib.sha256(mime).hexdigest())] += 1
        return found

    def main_part(self) -> str:
        return "mime"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.feeds.lose(lambda feed: True)

    def idle_requests_max(self, folders: int) -> int:
        return folders + 3

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        box = tenant.mailboxes[resource.graph_id]
        box.delete_message(box.find(item_id), for_good=True)

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.mailboxes[resource.graph_id]

    def content_pattern(self) -> str:
        return r"/\$value"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return _facts(tenant.mailboxes[target.graph_id])

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return _facts(tenant.mailboxes[resource.graph_id])


def _is_protected(folder: Folder | None) -> bool:
    """Below the root that people see, and not a search folder; or what can be recovered."""
    if folder is not None and folder.well_known == "recoverableitemsdeletions":
        return True
    while folder is not None:
        if folder.well_known == "msgfolderroot":
            return True
        if folder.search_filter is not None or folder.well_known == "searchfolders":
            return False
        folder = folder.parent
    return False


def _path(folder: Folder) -> tuple[str, ...]:
    if folder.well_known == "recoverableitemsdeletions":
        return ("Recoverable Items",)
    names: list[str] = []
    at: Folder | None = folder
    while at is not None and at.well_known != "msgfolderroot":
        names.insert(0, at.name)
        at = at.parent
    return tuple(names)


def _facts(box: Mailbox) -> Counter[tuple[Any, ...]]:
    """Of every readable message what a person would miss."""
    found: Counter[tuple[Any, ...]] = Counter()
    for message in box.messages.values():
        if not _is_protected(message.folder) or message.broken:
            continue
        if any(one.broken for one in message.attachments.values()):
            continue
        facts = message.properties
        attachments = sorted(
            (
                one.properties["name"],
                bool(one.properties.get("isInline")),
                one.properties.get("contentId"),
                one.kind,
                one.content.sha256 if one.kind == "fileAttachment" and one.content else "",
            )
            for one in message.attachments.values()
        )
        found[
            (
                _path(message.folder),
                facts["subject"],
                facts["internetMessageId"],
                facts["isRead"],
                facts["isDraft"],
                facts["importance"],
                tuple(facts["categories"]),
                facts["flag"]["flagStatus"],
                re.sub(r"<[^>]*>|\s", "", facts["body"]["content"]),  # the service wraps bodies
                None if facts["isDraft"] else facts["sentDateTime"],
                None if facts["isDraft"] else facts["receivedDateTime"],
                tuple(attachments),
            )
        ] += 1
    return found


CASES: dict[str, Case] = {
    "mail": MailCase(),
    "calendar": CalendarCase(),
    "contacts": ContactsCase(),
    "tasks": TasksCase(),
    "drive": DriveCase(),
    "settings": SettingsCase(),
    "conversations": ConversationsCase(),
    "mailbox-copies": CopiesCase(),
    "archive": ArchiveCase(),
    "teams": TeamsCase(),
    "lists": ListsCase(),
    "pages": PagesCase(),
    "planner": PlannerCase(),
    "notes": NotesCase(),
    "chats": ChatsCase(),
}


def test_every_service_of_the_registry_is_put_to_the_suite() -> None:
    assert set(CASES) == set(SERVICES)


def test_services_read_with_permissions_that_cannot_write() -> None:
    asked = {permission for service in SERVICES.values() for permission in service.reads}
    assert asked
    assert not [name for name in asked if "Write" in name or "FullControl" in name]


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


class TestServices(ServiceSuite):
    """The suite for every service."""
