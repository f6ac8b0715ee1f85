"""What a mailbox really holds of contacts and tasks, in a shape made for comparisons."""

import hashlib

from simulator.contacts import Contact, book_of
from simulator.contacts_routes import folder_json
from simulator.tenant import Tenant
from simulator.todo import DATES, Task, ToDo, todo_of
from simulator.web import Json

_EMPTY: Json = dict.fromkeys((*DATES, "recurrence"))
_VIEW: Json = {"immutable": True, "salt": 0}


def people_truth(tenant: Tenant, user: str, *, hashes: bool = True) -> Json:
    """{contact_folders, contacts, task_lists, tasks} of one mailbox."""
    book, todo = book_of(tenant, user), todo_of(tenant, user)
    return {
        "contact_folders": [
            folder_json(book, folder) | {"path": folder.names(), "default": folder is book.default}
            for folder in book.folders.values()
        ],
        "contacts": [
            {"id": book.id_of(contact.number, 0, immutable=True)} | _contact(contact, hashes)
            for contact in book.contacts.values()
        ],
        "task_lists": [
            {"id": held.id, "name": held.name, "well_known": held.well_known, "shared": held.shared}
            for held in todo.lists.values()
        ],
        "tasks": [
            _task(todo, task, hashes)
            for held in todo.lists.values()
            for task in held.tasks.values()
        ],
    }


def _contact(contact: Contact, hashes: bool) -> Json:
    photo = hashlib.sha256(contact.photo).hexdigest() if contact.photo and hashes else None
    facts = contact.properties
    words = (facts["displayName"], facts["fileAs"], facts["companyName"])
    addresses = (one["address"] for one in facts["emailAddresses"])
    return facts | {
        "name": next(filter(None, (*words, *addresses)), ""),
        "folder": contact.folder.names(), "has_photo": contact.photo is not None,
        "photo_sha256": photo, "extended": dict(contact.extended),
        "extensions": dict(contact.extensions),
    }  # fmt: skip


def _task(todo: ToDo, task: Task, hashes: bool) -> Json:
    return _EMPTY | task.properties | {
        "id": todo.id_of(task.number, 0, _VIEW), "list": task.list.name,
        "list_id": task.list.id, "checklistItems": list(task.checklist.values()),
        "linkedResources": list(task.links.values()), "extensions": dict(task.extensions),
        "attachments": [
            one.properties | {"size": one.content.size}
            | {"sha256": one.content.sha256 if hashes else None}
            for one in task.files.values()
        ],
    }  # fmt: skip
