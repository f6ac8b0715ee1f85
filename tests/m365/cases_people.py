"""What the suite knows of contacts and tasks: the mailbox with all their oddities."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator.contacts import WRITABLE, book_of
from simulator.contacts_routes import contact_json
from simulator.todo import Task, ToDo, todo_of
from simulator.todo_json import task_json
from tests.m365.stage import RAW, Truth, canonical

_VIEW = {"immutable": True, "salt": 0, "select": set[str](), "expand": dict[str, Any]()}
_WHOLE_TASK = _VIEW | {"expand": {"checklistItems": (), "linkedResources": (), "attachments": ()}}
_TASK_FACTS = (
    "title", "body", "categories", "importance", "isReminderOn", "status", "completedDateTime",
    "dueDateTime", "reminderDateTime", "startDateTime", "recurrence",
)  # fmt: skip


class _InAMailbox:
    """What contacts and tasks have in common."""

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", next(iter(tenant.mailboxes)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", tenant.add_user("Empty Target").id)

    def main_part(self) -> str:
        return RAW

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.feeds.lose(lambda feed: True)

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.mailboxes[resource.graph_id]


class ContactsCase(_InAMailbox):
    """Contacts, with folders in folders and photos."""

    service: Service = SERVICES["contacts"]

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        book = book_of(tenant, resource.graph_id)
        found: Counter[Truth] = Counter()
        for contact in book.contacts.values():
            raw = contact_json(book, contact, _VIEW)
            del raw["@odata.etag"], raw["changeKey"]
            facts = contact.properties
            addresses = [one["address"] for one in facts["emailAddresses"]]
            name = next(filter(None, (facts["displayName"], facts["fileAs"], *addresses)))
            above = () if contact.folder.beside else ("Contacts",)
            found[_truth((*above, *contact.folder.names(), name), raw)] += 1
        return found

    def idle_requests_max(self, folders: int) -> int:
        return folders  # one of them stands above the others

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        book = book_of(tenant, resource.graph_id)
        book.delete(book.find(item_id), for_good=True)

    def content_pattern(self) -> str:
        return r"/photo/"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        book = book_of(tenant, target.graph_id)
        return Counter(
            (
                tuple(contact.folder.names()),
                canonical({name: contact.properties[name] for name in WRITABLE}),
                hashlib.sha256(contact.photo or b"").hexdigest(),
            )
            for contact in book.contacts.values()
        )

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return self.restored(tenant, resource)


class TasksCase(_InAMailbox):
    """Tasks with checklists, links and files. The list of flagged mail is emptied first: it is
    kept, and never written, which tests of its own say.
    """

    service: Service = SERVICES["tasks"]

    def resource(self, tenant: simulator.Tenant) -> Resource:
        found = super().resource(tenant)
        todo = todo_of(tenant, found.graph_id)
        for task in list(todo.flagged.tasks.values()):
            todo.delete(task)
        return found

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        todo = todo_of(tenant, resource.graph_id)
        found: Counter[Truth] = Counter()
        for task in tasks_of(todo):
            raw = task_json(todo, task, _WHOLE_TASK)
            del raw["@odata.etag"]
            found[_truth((task.list.name, task.properties["title"]), raw)] += 1
        return found

    def idle_requests_max(self, folders: int) -> int:
        return folders  # one of them stands above the lists

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        todo = todo_of(tenant, resource.graph_id)
        for task in list(tasks_of(todo)):
            if todo.id_of(task.number, task.moves, _VIEW) == item_id:
                todo.delete(task, for_good=True)

    def content_pattern(self) -> str:
        return r"GET .*/attachments/"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return Counter(map(task_facts, tasks_of(todo_of(tenant, target.graph_id))))

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return self.restored(tenant, resource)


def tasks_of(todo: ToDo) -> list[Task]:
    return [task for held in todo.lists.values() for task in held.tasks.values()]


def task_facts(task: Task) -> tuple[Any, ...]:
    """What a person would miss of a task."""
    steps = sorted(task.checklist.values(), key=lambda step: str(step["createdDateTime"]))
    parts = {"steps": steps, "links": list(task.links.values())}
    return (
        task.list.name,
        canonical({name: task.properties.get(name) for name in _TASK_FACTS}),
        canonical(
            {
                kind: [{k: v for k, v in one.items() if k != "id"} for one in some]
                for kind, some in parts.items()
            }
        ),
        tuple(
            (one.properties["name"], one.properties["contentType"], one.content.sha256)
            for one in task.files.values()
        ),
    )


def _truth(path: tuple[str, ...], raw: dict[str, Any]) -> Truth:
    data = canonical(raw)
    return Truth(path, len(data), hashlib.sha256(data).hexdigest())
