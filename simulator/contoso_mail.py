"""How the mailboxes of Contoso come to be filled."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

from simulator.content import Letter, Person, SeedMessage
from simulator.content_kinds import ORDINARY, newsletter
from simulator.content_later import deliver_later
from simulator.content_special import BIG, SPECIAL, reply
from simulator.mailbox import Mailbox

_SUPPLIERS = (
    Person("Harbour Supplies", "orders@harbour-supplies.example"),
    Person("Пётр Иванов", "petr@suppliers.example"),
    Person("Nora O'Hara, Ships", "nora@ships.example"),
)
LATER_FROM = 5_000


class Writer:
    """Writes letters to one person, each a little later than the last."""

    def __init__(
        self, owner: Person, people: list[Person], count: int, dice: random.Random, until: datetime
    ) -> None:
        self.owner = owner
        self.others = [person for person in people if person != owner]
        self.dice = dice
        self.step = timedelta(days=700) / max(count, 1)
        self.until = until
        self.at = until - timedelta(days=700)

    def letter(self, outgoing: bool = False) -> Letter:
        dice = self.dice
        self.at += self.step * dice.uniform(0.2, 1.8)
        at = min(self.at, self.until).replace(microsecond=0)
        senders = [*self.others * 3, *_SUPPLIERS]
        if outgoing:
            to = tuple(dice.sample(senders, 1))
            return Letter(dice, self.owner, to, at, outgoing=True)
        cc = tuple(dice.sample(self.others, 1)) if self.others and dice.random() < 0.3 else ()
        return Letter(dice, dice.choice(senders), (self.owner,), at, cc=cc)


def fill_mailbox(
    mailbox: Mailbox, writer: Writer, count: int, *, special: bool, big: bool, later: bool
) -> None:
    """Folders and `count` messages; later: made while they are read, when there are many."""
    dice, folders, left = writer.dice, _mail_folders(mailbox), count
    if special:
        for kind in SPECIAL:
            mailbox.deliver(kind(writer.letter()), dice.choice(("inbox", "inbox", folders[0])))
        left -= len(SPECIAL) + _oddly_placed(mailbox, writer, folders)
        if big:
            mailbox.deliver(BIG(writer.letter()))
    if later and left > LATER_FROM:
        deliver_later(mailbox, writer.letter, left, [*folders, "inbox"], writer.owner.address)
        return
    previous: SeedMessage | None = None
    for _ in range(max(left, 0)):
        outgoing = dice.random() < 0.25
        letter = writer.letter(outgoing)
        if previous is not None and dice.random() < 0.12:
            message = reply(letter, previous)
        else:
            message = some_message(letter)
        previous = message
        mailbox.deliver(message, "sentitems" if outgoing else dice.choice(["inbox"] * 8 + folders))


def some_message(letter: Letter) -> SeedMessage:
    """A message of an ordinary kind."""
    kinds = [kind for kind, _ in ORDINARY]
    return letter.dice.choices(kinds, [weight for _, weight in ORDINARY])[0](letter)


def _mail_folders(mailbox: Mailbox) -> list[str]:
    """Folders people make; ids of those that take messages."""
    projects = mailbox.add_folder("Projects")
    harbour = mailbox.add_folder("Harbour / Phase 2 🚢", projects.id)
    customers = mailbox.add_folder("Kunden & Lieferanten")
    mailbox.add_folder("Empty")
    hidden = mailbox.add_folder("PersonMetadata", hidden=True)
    mailbox.add_folder("Unread Mail", "searchfolders", search_filter="isRead eq false")
    return [projects.id, harbour.id, customers.id, "archive", hidden.id]


def _oddly_placed(mailbox: Mailbox, writer: Writer, folders: list[str]) -> int:
    """One newsletter in two folders, a draft, junk, things deleted once and twice."""
    issue = newsletter(writer.letter())
    mailbox.deliver(issue)
    mailbox.deliver(issue, folders[0])
    draft = some_message(writer.letter(outgoing=True))
    for name in ("receivedDateTime", "sentDateTime"):
        draft.properties[name] = draft.properties["createdDateTime"]
    draft.properties["isDraft"] = True
    mailbox.deliver(replace(draft, kind="draft"), "drafts")
    for folder in ("junkemail", "deleteditems", "recoverableitemsdeletions"):
        mailbox.deliver(some_message(writer.letter()), folder)
    return 6
