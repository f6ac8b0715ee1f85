"""What the demo compares of mailboxes beside mail, of archives and conversations: what the backup
holds, and what a restore wrote, against the tenant's truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local import demo_checks, demo_sites
from local.demo_checks import Checks, Truth
from local.demo_client import Api

_Items = Callable[[Truth, str], list[Truth]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a service's items are found in the truth, and what of each has to be the same.

    `name` is the property a listing shows; `properties` are compared after a restore.
    """

    items: _Items
    name: str
    properties: tuple[str, ...] = ()
    part: str = ""  # a part whose bytes are compared too, and where the truth has their hash
    part_sha256: str = ""
    deletions_late: bool = False  # the service tells of them only when everything is read again


def _calendar(truth: Truth, owner: str) -> list[Truth]:
    found: list[Truth] = truth["mailboxes"][owner]["calendar"]["events"]
    return found


def _contacts(truth: Truth, owner: str) -> list[Truth]:
    found: list[Truth] = truth["mailboxes"][owner]["contacts"]
    return found


def _tasks(truth: Truth, owner: str) -> list[Truth]:
    found: list[Truth] = truth["mailboxes"][owner]["tasks"]
    return found


def _notes(truth: Truth, owner: str) -> list[Truth]:
    found: list[Truth] = truth["notes"].get(owner, [])
    return found


def _posts(truth: Truth, owner: str) -> list[Truth]:
    posts: list[Truth] = truth["conversations"][owner]
    return [{**post, "id": f"{post['thread_id']}:{post['id']}"} for post in posts]


COMPARISONS: Mapping[str, Comparison] = {
    "calendar": Comparison(
        _calendar,
        "subject",
        (
            "subject", "body", "start", "end", "isAllDay", "showAs", "sensitivity", "importance",
            "categories", "reminderMinutesBeforeStart", "isReminderOn", "cancelled",
        ),
    ),
    "contacts": Comparison(
        _contacts,
        "name",
        (
            "displayName", "givenName", "surname", "emailAddresses", "businessPhones",
            "mobilePhone", "homeAddress", "companyName", "birthday", "personalNotes",
            "categories", "photo_sha256",
        ),
        "photo",
        "photo_sha256",
    ),
    "tasks": Comparison(
        _tasks,
        "title",
        ("title", "body", "importance", "status", "dueDateTime", "categories", "recurrence"),
    ),
    "notes": Comparison(_notes, "subject", ("subject", "body", "categories", "pictures")),
    "conversations": Comparison(_posts, "", deletions_late=True),
}  # fmt: skip


def held(checks: Checks, api: Api, row: Truth, head: int, truth: Mapping[str, Any]) -> None:
    """Whatever a row of /resources is about, its restore point holds what the tenant does."""
    resource = row["resource"]
    owner = resource.split(":", 1)[1]
    match row["service"]:
        case "mail":
            demo_checks.mail_backed_up(checks, api, resource, head, truth["mailboxes"][owner])
        case "drive":
            demo_checks.files_backed_up(checks, api, resource, head, truth["drives"][owner])
        case "settings":
            settings_backed_up(checks, api, resource, head, truth)
        case "archive":
            archive_backed_up(checks, api, resource, head, truth["archives"][owner])
        case service if service in demo_sites.HELD:
            demo_sites.HELD[service](checks, api, resource, head, truth)
        case service:
            backed_up(checks, api, service, resource, head, truth)


def backed_up(
    checks: Checks, api: Api, service: str, resource: str, number: int, truth: Truth
) -> None:
    """Every item of the service is in the restore point, under its name, with its bytes."""
    how = COMPARISONS[service]
    owner = resource.split(":", 1)[1]
    where = {"service": service, "resource": resource, "snapshot": str(number)}
    found = {
        entry["id"]: entry
        for entry in api.items(service, resource, number)
        if entry["kind"] != "folder"
    }
    expected = {one["id"]: one for one in how.items(truth, owner)}
    if how.deletions_late:
        found = {key: entry for key, entry in found.items() if key in expected}
    checks.same(f"{service} in the restore point", sorted(expected), sorted(found), resource)
    for key in expected.keys() & found.keys():
        one = expected[key]
        if how.name and one[how.name]:
            checks.same(f"{service} name", one[how.name], found[key]["name"], key)
        if how.part and one[how.part_sha256]:
            held = api.part_sha256(key, where, how.part)
            checks.same(f"{service} {how.part}", one[how.part_sha256], held, key)


def restored(
    checks: Checks, service: str, rows: Iterable[Truth], before: list[Truth], after: list[Truth]
) -> None:
    """Every restored item equals its original, property by property."""
    how = COMPARISONS[service]
    originals = {one["id"]: one for one in before}
    copies = {one["id"]: one for one in after}
    for row in rows:
        if row["kind"] == "folder" or row["outcome"] == "skipped":
            continue
        original, copy = originals[row["id"]], copies.get(row["new_id"])
        if not checks.same(f"{service} restored", True, copy is not None, row["id"]):
            continue
        assert copy is not None
        for name in how.properties:
            checks.same(f"restored {service} {name}", original[name], copy[name], row["id"])


def settings_backed_up(
    checks: Checks, api: Api, resource: str, number: int, truth: Mapping[str, Any]
) -> None:
    """Every rule and every category is in the restore point."""
    held = truth["mailboxes"][resource.split(":", 1)[1]]
    names = [one["displayName"] for one in (*held["rules"], *held["categories"])]
    found = [
        entry["name"]
        for entry in api.items("settings", resource, number)
        if entry["kind"] != "folder" and set(entry["path"]) & {"Rules", "Categories"}
    ]
    checks.same("rules and categories in the restore point", sorted(names), sorted(found), resource)


def archive_backed_up(
    checks: Checks, api: Api, resource: str, number: int, boxes: Sequence[Truth]
) -> None:
    """Every message of the archive, and of what it expanded into, is in the restore point: its
    content is a stream that only Exchange reads, so folder and subject are compared.
    """
    expected = []
    for index, box in enumerate(boxes):
        folders = demo_checks.reachable_folders(box["folders"])
        for message in box["messages"]:
            if index and folders.get(message["folder_id"]):
                checks.skip("no folder of an archive leads to what was deleted where it expanded")
            elif message["folder_id"] in folders:
                expected.append((message["folder"], message["subject"] or ""))
    found = [
        (entry["path"], entry["name"])
        for entry in api.items("archive", resource, number)
        if entry["kind"] != "folder"
    ]
    checks.same("messages of archives", sorted(expected), sorted(found), resource)
