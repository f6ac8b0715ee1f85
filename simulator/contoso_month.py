"""What happens to an organization between two backups, in every way delta has to tell.

Rules: the same tenant lives the same months; every change goes through the verbs of mailbox and
drive; the answer counts what was done.
"""

import random
from collections import Counter
from datetime import datetime, timedelta

from simulator import contoso_people
from simulator.chats_content import chats_month
from simulator.content import Letter, Person
from simulator.content_kinds import ORDINARY
from simulator.contoso_calendar import calendar_month
from simulator.conversations_content import conversations_month
from simulator.drive_item import Item
from simulator.drive_state import Drive
from simulator.filebytes import LiteralBytes, SeededBytes
from simulator.lists_content import lists_month
from simulator.mailbox import Folder, Mailbox, Message
from simulator.notes import notes_month
from simulator.pages_content import pages_month
from simulator.planner_content import planner_month
from simulator.settings_content import settings_month
from simulator.teams_content import team_month
from simulator.tenant import Tenant

_SENDER = Person("Harbour Supplies", "orders@harbour-supplies.example")


def month(tenant: Tenant) -> dict[str, int]:
    """Let a month pass; how often each thing happened."""
    done: Counter[str] = Counter()
    number = int(tenant.room.get("months", 0)) + 1
    tenant.room["months"] = number
    with tenant.lock:
        now = tenant.clock.now().replace(microsecond=0)
        for user_id, mailbox in tenant.mailboxes.items():
            properties = tenant.users[user_id].properties
            owner = Person(str(properties["displayName"]), str(properties["mail"]))
            dice = random.Random(f"{tenant.seed} month {number} {owner.address}")
            _Post(mailbox, owner, dice, now, number, done).month()
            dice = random.Random(f"{tenant.seed} month {number} people {owner.address}")
            contoso_people.month(tenant, user_id, dice, number, done)
            dice = random.Random(f"{tenant.seed} month {number} calendar {owner.address}")
            calendar_month(tenant, user_id, dice, now, done)
            dice = random.Random(f"{tenant.seed} month {number} settings {owner.address}")
            settings_month(tenant, user_id, dice, number, done)
            for archive in tenant.archives.get(user_id, []):
                dice = random.Random(f"{tenant.seed} month {number} {archive.guid.hex()}")
                _Post(archive, owner, dice, now, number, done).month_of_archive()
        for group in (one for one in tenant.groups.values() if one.unified):
            dice = random.Random(f"{tenant.seed} month {number} group {group.id}")
            conversations_month(tenant, group.id, dice, now, done)
            team_month(tenant, group.id, dice, now, done)
        for site_id in tenant.room.get("lists", {}):
            dice = random.Random(f"{tenant.seed} month {number} lists {site_id}")
            lists_month(tenant, site_id, dice, done)
        chats_month(tenant, random.Random(f"{tenant.seed} month {number} chats"), now, done)
        pages_month(tenant, random.Random(f"{tenant.seed} month {number} pages"), done)
        dice = random.Random(f"{tenant.seed} month {number} planner")
        planner_month(tenant, dice, now, done)
        notes_month(tenant, random.Random(f"{tenant.seed} month {number} notes"), done)
        for index, drive in enumerate(tenant.drives.values()):
            dice = random.Random(f"{tenant.seed} month {number} drive {index}")
            _Desk(drive, dice, now, number, done).month()
    return dict(done)


class _Post:
    """A month of one mailbox."""

    def __init__(
        self, mailbox: Mailbox, owner: Person, dice: random.Random, now: datetime, number: int,
        done: Counter[str],
    ) -> None:  # fmt: skip
        self.mailbox = mailbox
        self.owner = owner
        self.dice = dice
        self.now = now
        self.number = number
        self.done = done

    def month(self) -> None:
        inbox = self.mailbox.folder("inbox")
        self._read(self._some(inbox, 4))
        self._edit(self._some(inbox, 2))
        self._move(self._some(inbox, 4))
        self._delete(self._some(inbox, 4))
        self._folders()
        self._deliver("inbox", max(2, len(inbox.messages) // 30))
        self._deliver("sentitems", 2)

    def month_of_archive(self) -> None:
        """Old mail is touched seldom, and more of it comes."""
        folders = [f for f in self.mailbox.folders.values() if f.well_known is None and f.messages]
        for folder in folders[:2]:
            self._edit(self._some(folder, 1))
            self._delete(self._some(folder, 2))
            self._deliver(folder.id, 2)

    def _some(self, folder: Folder, count: int) -> list[Message]:
        messages = list(folder.messages.values())
        return self.dice.sample(messages, min(count, len(messages)))

    def _deliver(self, folder: str, count: int) -> None:
        for _ in range(count):
            at = self.now - timedelta(seconds=self.dice.randint(0, 30 * 86_400))
            letter = Letter(self.dice, _SENDER, (self.owner,), at)
            kind = self.dice.choice([kind for kind, _ in ORDINARY])
            self.mailbox.deliver(kind(letter), folder)
            self.done["messages delivered"] += 1

    def _read(self, messages: list[Message]) -> None:
        for message in messages:
            self.mailbox.change_message(message, isRead=not message.properties["isRead"])
            self.done["messages read or unread"] += 1

    def _edit(self, messages: list[Message]) -> None:
        for message in messages:
            flag = {"flagStatus": "flagged"}
            self.mailbox.change_message(message, categories=["Blue category"], flag=flag)
            self.done["messages categorised"] += 1

    def _move(self, messages: list[Message]) -> None:
        """Half go to Archive; the others go there and come back."""
        archive, inbox = self.mailbox.folder("archive"), self.mailbox.folder("inbox")
        for index, message in enumerate(messages):
            self.mailbox.move_message(message, archive)
            if index % 2:
                self.mailbox.move_message(message, inbox)
            self.done["messages moved and back" if index % 2 else "messages moved"] += 1

    def _delete(self, messages: list[Message]) -> None:
        for index, message in enumerate(messages):
            self.mailbox.delete_message(message, for_good=index % 2 == 1)
            self.done["messages deleted"] += 1

    def _folders(self) -> None:
        """A new folder each month; last month's is renamed, the one before is deleted."""
        mine = {folder.name: folder for folder in self.mailbox.folders.values()}
        older = mine.get(f"Month {self.number - 2} (done)")
        if older is not None:
            self.mailbox.delete_folder(older)
            self.done["mail folders deleted"] += 1
        last = mine.get(f"Month {self.number - 1}")
        if last is not None:
            self.mailbox.rename_folder(last, f"{last.name} (done)")
            self.done["mail folders renamed"] += 1
        empty = mine.get("Empty")
        if empty is not None:
            self.mailbox.delete_folder(empty)
            self.done["mail folders deleted"] += 1
        folder = self.mailbox.add_folder(f"Month {self.number}")
        self._deliver(folder.id, 2)
        self.done["mail folders made"] += 1


class _Desk:
    """A month of one drive."""

    def __init__(
        self, drive: Drive, dice: random.Random, now: datetime, number: int, done: Counter[str]
    ) -> None:
        self.drive = drive
        self.dice = dice
        self.now = now
        self.number = number
        self.done = done

    def month(self) -> None:
        drive, by = self.drive, self.drive.owner
        top = drive.create_folder(drive.root, f"Month {self.number}", "rename", by, self.now)
        below = drive.create_folder(top, "Drafts", "fail", by, self.now)
        for index in range(3):
            content = SeededBytes(f"{drive.id} {self.number} {index}", 9_000 + index, "text")
            drive.put_file(below, f"draft {index}.txt", content, "fail", by, self.now)
            self.done["files made"] += 1
        self.done["folders made"] += 2
        self._edit()
        self._share()
        self._rename()
        self._move(top)
        self._delete()
        self._last_month()

    def _files(self, count: int) -> list[Item]:
        files = [
            item for item in self.drive.living()
            if item.is_file and not item.infected and item.out_of_order is None
        ]  # fmt: skip
        return self.dice.sample(files, min(count, len(files)))

    def _edit(self) -> None:
        for item in self._files(3):
            text = f"edited in month {self.number}\r\n".encode("ascii")
            content = SeededBytes(f"{item.id} {self.number}", 12_000, "text", head=text)
            self.drive.write(item, content, self.drive.owner, self.now)
            self.done["files edited"] += 1
        for item in self._files(1):
            self.drive.write(item, LiteralBytes(b""), self.drive.owner, self.now)
            self.done["files emptied"] += 1

    def _share(self) -> None:
        """A file is shared, one that was is shared with more, one with nobody any more."""
        shared = [item for item in self.drive.living() if item.is_file and item.permissions]
        for item in [*self._files(1), *shared[:1]]:
            permission = {
                "id": f"{self.dice.getrandbits(64):016x}",
                "roles": ["read"],
                "grantedToV2": {"user": {"id": "", "displayName": "Ines Harboe"}},
            }
            self.drive.share(item, permission, self.now)
            self.done["files shared"] += 1
        for item in shared[1:2]:
            item.permissions.clear()
            self.drive.shared(item, self.now)
            self.done["sharing ended"] += 1

    def _rename(self) -> None:
        for item in self._files(2):
            parent = self.drive.items[item.parent_id or ""]
            name = _shortened(f"{self.number} {item.name}")
            self.drive.rename(item, name, parent, self.drive.owner, self.now)
            self.done["files renamed"] += 1

    def _move(self, target: Item) -> None:
        for item in self._files(2):
            name = _shortened(f"{item.id[-4:]} {item.name}")
            self.drive.rename(item, name, target, self.drive.owner, self.now)
            self.done["files moved"] += 1

    def _delete(self) -> None:
        for item in self._files(2):
            self.drive.delete(item, self.now)
            self.done["files deleted"] += 1

    def _last_month(self) -> None:
        """Last month's folder is renamed, the one before is deleted with what is in it."""
        names = {item.name: item for item in self.drive.children(self.drive.root)}
        older = names.get(f"Month {self.number - 2} (done)")
        if older is not None:
            self.drive.delete(older, self.now)
            self.done["folders deleted"] += 1
        last = names.get(f"Month {self.number - 1}") or names.get("Attachments")
        if last is not None:
            name = f"{last.name} (done)"
            self.drive.rename(last, name, self.drive.root, self.drive.owner, self.now)
            self.done["folders renamed"] += 1
        projects = names.get("Projects")
        if projects is not None and self.number == 1:
            for child in self.drive.children(projects)[-1:]:
                self.drive.delete(child, self.now)
                self.done["folders deleted"] += 1


def _shortened(name: str) -> str:
    """Short enough for any folder, and still a legal name."""
    return name[:60].rstrip(" .")
