"""The contacts and tasks of Contoso's mailboxes, and what a month does to them."""

import random
import struct
import zlib
from collections import Counter
from typing import TypeVar

from simulator.contacts import Contact, ContactBook, ContactFolder, book_of
from simulator.filebytes import SeededBytes
from simulator.tenant import Tenant
from simulator.todo import Task, ToDo, todo_of
from simulator.web import Json

_T = TypeVar("_T")
_GIVEN = ("Ann", "Björn", "Chloé", "Dmitri", "Éva", "Fatima", "Gonçalo", "花子", "Ivo", "Jana")
_SURNAMES = ("O'Hara", "Müller", "Santos", "Иванова", "佐藤", "Van Dyke; Jr", "Nagy, Dr", "Lind")
_FIRMS = ("Harbour Supplies", "Ships & Sons, Ltd", "Kran GmbH", "Tide \\ Co")
_ERRANDS = ("Order rope", "Call the harbour", "Pay berth №7", "Renew licence", "錨を点検する")
_NOTES = "Met at the fair.\r\nPrefers e-mail; never call before 10:00, please.\r\n– 好的 🚢"


def fill(tenant: Tenant, user: str, dice: random.Random, count: int, *, special: bool) -> None:
    """`count` contacts and as many tasks; special: with everything either of them can hold."""
    book, todo = book_of(tenant, user), todo_of(tenant, user)
    family = book.add_folder("Family")
    folders = [book.default, book.default, family, book.add_folder("Close / 近い", family)]
    for number in range(count):
        made = book.add(dice.choice(folders), _person(dice, number))
        if number % 3 == 0:
            made.photo = picture(dice)
    errands = todo.add_list("Errands 🛒")
    for number in range(count):
        task = todo.add(dice.choice((todo.default, errands)), _errand(dice, number))
        if number % 3 == 0:
            _with_parts(todo, task, dice, f"{user} {number}")
    if special:
        _special(book, todo, dice)


def month(tenant: Tenant, user: str, dice: random.Random, number: int, done: Counter[str]) -> None:
    """A month of the contacts and tasks of one mailbox."""
    _contacts_month(book_of(tenant, user), dice, number, done)
    _tasks_month(todo_of(tenant, user), dice, number, done)


def picture(dice: random.Random) -> bytes:
    """A PNG of eight by eight dots."""
    rows = b"".join(b"\0" + dice.randbytes(24) for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _person(dice: random.Random, number: int) -> Json:
    given, surname = dice.choice(_GIVEN), dice.choice(_SURNAMES)
    address = f"person{number}@partners.example"
    found: Json = {
        "givenName": given, "surname": surname, "displayName": f"{given} {surname}",
        "fileAs": f"{surname}, {given}", "companyName": dice.choice(_FIRMS),
        "emailAddresses": [{"name": f"{given} {surname}", "address": address}],
        "businessPhones": [f"+1 425 555 {dice.randint(100, 9999):04d}"],
        "categories": dice.choice(([], ["Blue category"], ["Red category", "Kunden"])),
    }  # fmt: skip
    if number % 2:
        found["mobilePhone"] = f"+49 30 55 {dice.randint(1000, 9999)}"
        found["birthday"] = f"19{dice.randint(50, 99)}-0{dice.randint(1, 9)}-11T11:59:00Z"
    return found


def _errand(dice: random.Random, number: int) -> Json:
    found: Json = {
        "title": f"{dice.choice(_ERRANDS)} {number}",
        "importance": dice.choice(("low", "normal", "high")),
        "body": {"contentType": "text", "content": dice.choice(("", _NOTES))},
        "categories": dice.choice(([], ["Blue category"])),
    }
    due = f"2027-0{dice.randint(1, 9)}-1{dice.randint(0, 9)}"
    if number % 2:
        found["dueDateTime"] = _at(f"{due}T00:00:00")
    if number % 4 == 1:
        found["isReminderOn"] = True
        found["reminderDateTime"] = _at(f"{due}T09:30:00")
    if number % 5 == 2:
        found["status"] = "completed"
        found["completedDateTime"] = _at("2026-10-07T00:00:00")
    return found


def _with_parts(todo: ToDo, task: Task, dice: random.Random, seed: str) -> None:
    for step in range(dice.randint(1, 3)):
        facts: Json = {"displayName": f"Step {step}; first", "isChecked": step == 0}
        facts["createdDateTime"] = f"2026-09-0{step + 1}T08:00:00Z"
        todo.add_step(task, facts)
    todo.add_link(
        task,
        {"webUrl": f"https://partners.example/{task.number}", "applicationName": "Partners",
         "displayName": "The order", "externalId": f"order-{task.number}"},
    )  # fmt: skip
    content = SeededBytes(seed, 2_000 + dice.randint(0, 4_000), "text")
    todo.add_file(task, "quay & crane.txt", "text/plain", content)


def _special(book: ContactBook, todo: ToDo, dice: random.Random) -> None:
    """One contact and some tasks that fill every property."""
    everyone: Json = {
        "birthday": "1974-07-22T11:59:00Z", "fileAs": "Fort, Garth", "displayName": "Garth Fort",
        "givenName": "Garth", "initials": "G.F.", "middleName": "Émile", "nickName": "Gaz",
        "surname": "Fort", "title": "Dr", "yomiGivenName": "ガース", "yomiSurname": "フォート",
        "yomiCompanyName": "コントソ", "generation": "III", "jobTitle": "Harbour master",
        "companyName": "Contoso, Inc.", "department": "Sales & Marketing",
        "officeLocation": "20/1101", "profession": "Pilot", "assistantName": "Ivo Lind",
        "businessHomePage": "https://www.contoso.example/a,b;c", "manager": "Ann Santos",
        "mobilePhone": "+1 918 555 0100", "spouseName": "Zoë", "personalNotes": _NOTES * 20,
        "children": ["Ada", "Bo"], "homePhones": ["+1 918 555 0102", "+1 918 555 0103"],
        "businessPhones": ["+1 918 555 0101"], "imAddresses": ["sip:garth@contoso.example"],
        "categories": ["Blue category"],
        "emailAddresses": [{"name": f"Garth {n}", "address": f"garth{n}@contoso.example"}
                           for n in range(3)],
    }  # fmt: skip
    for name in ("homeAddress", "businessAddress", "otherAddress"):
        everyone[name] = {
            "street": f"10 {name} Way\r\nDoor 2", "city": "Redmond", "state": "WA",
            "countryOrRegion": "USA", "postalCode": "98075",
        }  # fmt: skip
    book.add(book.add_folder_beside("Old partners"), _person(dice, 900))
    made = book.add(book.default, everyone)
    made.photo = picture(dice)
    book.add(book.default, {"emailAddresses": [{"name": "", "address": "alone@x.example"}]})
    pattern = {"type": "weekly", "interval": 2, "daysOfWeek": ["monday"], "month": 0,
               "dayOfMonth": 0, "firstDayOfWeek": "sunday", "index": "first"}  # fmt: skip
    span = {"type": "endDate", "startDate": "2027-01-04", "endDate": "2027-12-31",
            "recurrenceTimeZone": "UTC", "numberOfOccurrences": 0}  # fmt: skip
    weekly = todo.add(
        todo.default,
        {"title": "Water the plants", "dueDateTime": _at("2027-01-04T00:00:00"),
         "startDateTime": _at("2027-01-04T00:00:00"), "status": "inProgress",
         "recurrence": {"pattern": pattern, "range": span},
         "body": {"contentType": "html", "content": "<p>On <b>Monday</b></p>"}},
    )  # fmt: skip
    _with_parts(todo, weekly, dice, "plants")
    for title in ("Twice", "Twice"):
        todo.add(todo.default, {"title": title})
    mail = todo.add(todo.flagged, {"title": "Re: the crane", "dueDateTime": None})
    todo.add_link(mail, {"applicationName": "Outlook", "displayName": "Re: the crane"})
    todo.add(todo.add_list("Team board", shared=True), {"title": "Shared by others"})


def _contacts_month(
    book: ContactBook, dice: random.Random, number: int, done: Counter[str]
) -> None:
    contacts = list(book.contacts.values())
    for contact in _some(dice, contacts, 2):
        book.change(contact, jobTitle=f"Promoted in month {number}")
        done["contacts edited"] += 1
    for contact in _some(dice, contacts, 1):
        book.set_photo(contact, picture(dice))
        done["contacts pictured"] += 1
    folders = {folder.name: folder for folder in book.folders.values()}
    for contact in _some(dice, contacts, 2):
        target = dice.choice([book.default, folders["Family"]])
        if target is not contact.folder:
            book.move(contact, target)
            done["contacts moved"] += 1
    for contact in _some(dice, contacts, 1):
        book.delete(contact, for_good=bool(number % 2))
        done["contacts deleted"] += 1
    _folders_month(book, folders, dice, number, done)


def _folders_month(
    book: ContactBook,
    folders: dict[str, ContactFolder],
    dice: random.Random,
    number: int,
    done: Counter[str],
) -> None:
    """A new folder each month; last month's is renamed, the one before is deleted."""
    older = folders.get(f"Month {number - 2} (done)")
    if older is not None:
        book.delete_folder(older)
        done["contact folders deleted"] += 1
    last = folders.get(f"Month {number - 1}")
    if last is not None:
        book.rename_folder(last, f"{last.name} (done)")
        done["contact folders renamed"] += 1
    made = book.add_folder(f"Month {number}")
    done["contact folders made"] += 1
    for place in range(2):
        new: Contact = book.add(made, _person(dice, 100 * number + place))
        new.photo = picture(dice) if place else None
        done["contacts made"] += 1


def _tasks_month(todo: ToDo, dice: random.Random, number: int, done: Counter[str]) -> None:
    tasks = [
        task
        for held in todo.lists.values()
        for task in held.tasks.values()
        if held is not todo.flagged
    ]
    for task in _some(dice, tasks, 2):
        todo.change(task, title=f"{task.properties['title']} (month {number})")
        done["tasks edited"] += 1
    for task in _some(dice, tasks, 2):
        todo.change(task, status="completed")
        done["tasks completed"] += 1
    for task in _some(dice, tasks, 1):
        todo.add_step(task, {"displayName": f"One more {number}"})
        todo.add_file(task, "late.txt", "text/plain", SeededBytes(f"late {number}", 900, "text"))
        done["tasks extended"] += 1
    for task in _some(dice, tasks, 1):
        todo.move(task, todo.default)
        done["tasks moved"] += 1
    for task in _some(dice, tasks, 1):
        todo.delete(task, for_good=bool(number % 2))
        done["tasks deleted"] += 1
    lists = {held.name: held for held in todo.lists.values()}
    if f"Month {number - 2} (done)" in lists:
        todo.delete_list(lists[f"Month {number - 2} (done)"])
        done["task lists deleted"] += 1
    if f"Month {number - 1}" in lists:
        todo.rename_list(lists[f"Month {number - 1}"], f"Month {number - 1} (done)")
        done["task lists renamed"] += 1
    made = todo.add_list(f"Month {number}")
    task = todo.add(made, _errand(dice, 100 * number))
    _with_parts(todo, task, dice, f"month {number} {todo.user_id}")
    done["task lists made"] += 1


def _some(dice: random.Random, found: list[_T], count: int) -> list[_T]:
    return dice.sample(found, min(count, len(found)))


def _at(moment: str) -> Json:
    return {"dateTime": f"{moment}.0000000", "timeZone": "UTC"}
