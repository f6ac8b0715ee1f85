"""Contacts and tasks that together use every property, and what became of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from base.item import StoredItem
from benchmarks._fidelity import Scene, Shown, mailboxes, numbered
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant, contoso_people, extended
from simulator.contacts import WRITABLE, ContactBook, book_of
from simulator.filebytes import LiteralBytes, SpooledBytes
from simulator.todo import todo_of
from simulator.todo_attachments import Session

_TEXT = "String {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Project"
_WORDS = "StringArray {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Keywords"
_EXTENSION = "com.contoso.referral"
_SESSIONS = "task attachment sessions"  # where the simulator keeps them
_OPEN = {"@odata.type": "#microsoft.graph.openTypeExtension", "id": _EXTENSION, "stars": 5}
_OPEN |= {"extensionName": _EXTENSION}
_OF_OUTLOOK = ("changeKey", "createdDateTime", "id", "lastModifiedDateTime", "parentFolderId")
_RANKED = ("primaryEmailAddress", "secondaryEmailAddress", "tertiaryEmailAddress")
_CONTACT = ",".join((*WRITABLE, *_OF_OUTLOOK, *_RANKED))
_EXPAND_CONTACT = (
    f"singleValueExtendedProperties($filter=id eq '{_TEXT}'),"
    f"multiValueExtendedProperties($filter=id eq '{_WORDS}'),"
    f"extensions($filter=id eq '{_EXTENSION}')"
)
_EXPAND_TASK = (
    f"checklistItems,linkedResources,attachments,extensions($filter=id eq '{_EXTENSION}')"
)


class Contacts:
    """The contacts among the subjects of the measurement."""

    service = "contacts"

    def furnish(self, tenant: Tenant) -> Scene:
        scene = mailboxes(tenant)
        contoso_people.fill(tenant, scene.source, random.Random("fidelity"), 6, special=True)
        book = book_of(tenant, scene.source)
        text: dict[str, Any] = {name: f"A {name}" for name in WRITABLE}
        address = {"street": "Pier 4", "city": "Hamburg", "state": "HH", "postalCode": "20457"}
        address["countryOrRegion"] = "Germany"
        text |= {name: {**address, "street": name} for name in WRITABLE if name.endswith("Address")}
        mails = ("zoe@example.com", "zoe@home.example", "zoe@club.example")
        lists = {
            "categories": ["Blue category", "Übersee"],
            "emailAddresses": [{"name": f"Zoë {n}", "address": one} for n, one in enumerate(mails)],
            "imAddresses": ["sip:zoe@example.com"],
            "homePhones": ["+49 40 1"],
            "businessPhones": ["+49 40 2", "+49 40 3"],
            "children": ["Åsa", "Bo"],
            "birthday": "1984-02-29T11:59:00Z",
        }
        folder = next(one for one in book.folders.values() if one.parent is not None)
        photo = contoso_people.picture(random.Random("photo"))
        full = book.add(folder, text | lists, photo)
        full.extended[extended.key(_TEXT)] = "Harbour"
        full.extended_lists[extended.key(_WORDS)] = ["pier", "crane"]
        full.extensions[_EXTENSION] = dict(_OPEN)
        return scene

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        book = book_of(tenant, where)
        found = []
        for contact in list(book.contacts.values()):
            key = book.id_of(contact.number, contact.moves, immutable=True)
            path = f"/users/{where}/contacts/{quote(key)}"
            raw = graph.get(path, select=_CONTACT, expand=_EXPAND_CONTACT)
            photo = graph.raw(f"{path}/photo/$value") if contact.photo is not None else b""
            found.append(_contact(raw, book, photo))
        return {"contact": _named(found, "displayName", "parentFolderId")}

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        book = book_of(installation.tenant, where)
        found = []
        for item, raw in _stored(installation, self.service, where):
            photo = item.part("photo")
            found.append(_contact(raw, book, photo.read() if photo is not None else b""))
        return {"contact": _named(found, "displayName", "parentFolderId")}


class Tasks:
    """To Do among the subjects of the measurement."""

    service = "tasks"

    def furnish(self, tenant: Tenant) -> Scene:
        scene = mailboxes(tenant)
        contoso_people.fill(tenant, scene.source, random.Random("fidelity"), 6, special=True)
        todo = todo_of(tenant, scene.source)
        pattern = {"type": "weekly", "interval": 2, "daysOfWeek": ["monday"]}
        full = todo.add(
            todo.default,
            {
                "title": "Everything a task can hold",
                "body": {"content": "<p>Bring boots.</p>", "contentType": "html"},
                "categories": ["Blue category"],
                "importance": "high",
                "status": "inProgress",
                "isReminderOn": True,
                "reminderDateTime": _day(3),
                "startDateTime": _day(1),
                "dueDateTime": _day(7),
                "recurrence": {
                    "pattern": pattern,
                    "range": {"type": "noEnd", "startDate": "2026-12-07"},
                },
            },
        )
        todo.add_step(full, {"displayName": "First", "isChecked": True})
        todo.add_step(full, {"displayName": "Second"})
        link = {"webUrl": "https://contoso.example/7", "applicationName": "Harbour"}
        todo.add_link(full, {**link, "displayName": "Order 7", "externalId": "7"})
        todo.add_file(full, "plan.txt", "text/plain", LiteralBytes(b"berth 7"))
        full.extensions[_EXTENSION] = dict(_OPEN)
        done = {"title": "Done", "status": "completed", "completedDateTime": _day(2)}
        todo.add(todo.default, done)
        session = Session(full, "slow.bin", "text/plain", 4_000_000, SpooledBytes())
        tenant.room.setdefault(_SESSIONS, {})["AAMkTaskSession1="] = session
        return scene

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        todo = todo_of(tenant, where)
        found = []
        for tasks in list(todo.lists.values()):
            if tasks is todo.flagged:
                continue
            for task in list(tasks.tasks.values()):
                key = todo.id_of(task.number, task.moves, {"immutable": True, "salt": 0})
                path = f"/users/{where}/todo/lists/{quote(tasks.id)}/tasks/{quote(key)}"
                raw = graph.get(path, expand=_EXPAND_TASK)
                files = [
                    graph.raw(f"{path}/attachments/{quote(one['id'])}/$value")
                    for one in raw.get("attachments", ())
                ]
                facts = _task(raw, tasks.name, files)
                facts["attachmentSessions"] = [
                    graph.get(f"{path}/attachmentSessions/{name}")["nextExpectedRanges"]
                    for name, session in tenant.room.get(_SESSIONS, {}).items()
                    if session.task is task
                ]
                found.append(facts)
        return {"todoTask": _named(found, "title", "list")}

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        todo = todo_of(installation.tenant, where)
        found = []
        for item, raw in _stored(installation, self.service, where):
            if item.parent == todo.flagged.id:
                continue  # follows the mail, and is not restored
            files = [part.read() for part in item.parts if part.role == "attachment"]
            held = todo.lists.get(item.parent)
            found.append(_task(raw, held.name if held is not None else "", files))
        return {"todoTask": _named(found, "title", "list")}


def _stored(
    installation: Installation, service: str, where: str
) -> list[tuple[StoredItem, dict[str, Any]]]:
    """Items of the newest restore point with the object Graph gave, volatile properties too."""
    view = installation.view(service, f"mailbox:{where}")
    return [
        (view.item(entry.id), {**view.item(entry.id).raw, **entry.facts.get("volatile", {})})
        for entry in view.catalog.items()
        if entry.kind != "folder"
    ]


def _contact(raw: Mapping[str, Any], book: ContactBook, photo: bytes) -> dict[str, Any]:
    folder = book.folders.get(str(raw.get("parentFolderId")))
    facts = {"@odata.type": "#microsoft.graph.contact", **raw, "photo": _digest(photo)}
    facts["parentFolderId"] = ["Contacts", *folder.names()] if folder is not None else None
    return facts


def _task(raw: Mapping[str, Any], list_name: str, files: list[bytes]) -> dict[str, Any]:
    """A task without the ids of its parts, which belong to the mailbox."""
    facts = {"@odata.type": "#microsoft.graph.todoTask", **raw, "list": list_name}
    for name in ("checklistItems", "linkedResources"):
        facts[name] = [_without_id(one) for one in raw.get(name) or ()]
    facts["attachments"] = [
        {**_without_id(one), "sha256": _digest(data)}
        for one, data in zip(raw.get("attachments") or (), files, strict=False)
    ]
    return facts


def _without_id(part: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("id", "lastModifiedDateTime", "@odata.etag", "@odata.type")
    return {name: value for name, value in part.items() if name not in left_out}


def _named(found: list[dict[str, Any]], *names: str) -> dict[str, dict[str, Any]]:
    """By name, place and number: those with one name are told apart by what they look like."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for facts in found:
        by_name.setdefault(" ".join(str(facts.get(name)) for name in names), []).append(facts)
    for copies in by_name.values():
        copies.sort(key=_looks)
    return numbered(by_name)


def _looks(facts: Mapping[str, Any]) -> str:
    own = ("emailAddresses", "businessPhones", "mobilePhone", "dueDateTime", "status", "body")
    more = ("photo", "checklistItems", "attachments")
    return str([facts.get(name) or None for name in (*own, *more)])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if data else ""


def _day(day: int) -> dict[str, str]:
    return {"dateTime": f"2026-12-{day:02d}T00:00:00.0000000", "timeZone": "UTC"}
