"""Contacts of a mailbox: folders inside folders, contacts with photos, and what changed in each.

Rules
- Every change goes through a method here, so that feeds, change keys and dates stay true.
- A contact keeps its number for life; a photo, an extended property or an open extension that is
  set changes the contact: its changeKey and lastModifiedDateTime say so.
- What is deleted lies in Deleted Items, where nothing of Contacts looks; in the feed its reason is
  "changed", and "deleted" when it was for good.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from simulator import mailids
from simulator.feed import ChangeLog, Kind
from simulator.mailbox import Mailbox, not_found
from simulator.tenant import Tenant
from simulator.web import GraphError, Json

_NUMBERS_FROM = 1_000_000  # so that no contact has the id of a message
LISTS = ("categories", "emailAddresses", "imAddresses", "homePhones", "businessPhones", "children")
ADDRESSES = ("homeAddress", "businessAddress", "otherAddress")
TEXTS = (
    "birthday", "fileAs", "displayName", "givenName", "initials", "middleName", "nickName",
    "surname", "title", "yomiGivenName", "yomiSurname", "yomiCompanyName", "generation",
    "jobTitle", "companyName", "department", "officeLocation", "profession", "businessHomePage",
    "assistantName", "manager", "mobilePhone", "spouseName", "personalNotes",
)  # fmt: skip
WRITABLE = (*LISTS, *ADDRESSES, *TEXTS)


@dataclass(slots=True)
class ContactFolder:
    """A folder of contacts; parent None: it lies below the top of the mailbox."""

    number: int
    id: str
    name: str
    parent: "ContactFolder | None"
    contacts: dict[int, "Contact"] = field(default_factory=dict)
    children: list["ContactFolder"] = field(default_factory=list)
    log: ChangeLog[int] = field(default_factory=ChangeLog)
    beside: bool = False
    """It lies beside the default folder, not below it."""
    left: dict[int, int] = field(default_factory=dict)
    """Contacts that were here once, with the `moves` they had then."""

    def names(self) -> list[str]:
        """Names from the top down; the default folder has none of its own."""
        found: list[str] = []
        here: ContactFolder | None = self
        while here is not None and (here.parent is not None or here.beside):
            found.append(here.name)
            here = here.parent
        return found[::-1]


@dataclass(slots=True)
class Contact:
    """A contact; properties are Graph's without id, parentFolderId, changeKey."""

    number: int
    folder: ContactFolder
    properties: Json
    photo: bytes | None = None
    extended: dict[str, str] = field(default_factory=dict)
    extended_lists: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, Json] = field(default_factory=dict)
    moves: int = 0
    change: int = 0
    older: Json | None = None
    """Properties before the last change."""


class ContactBook:
    """The contacts of one mailbox."""

    def __init__(self, mailbox: Mailbox, stamp: Callable[[], str]) -> None:
        self.user_id = mailbox.user_id
        self.guid = mailbox.guid
        self.sequence = 0
        self.folders: dict[str, ContactFolder] = {}
        self.contacts: dict[int, Contact] = {}
        self.folder_log: ChangeLog[str] = ChangeLog()
        self.above = mailbox.folder("msgfolderroot").id
        self._stamp = stamp
        self._numbers = _NUMBERS_FROM
        self.default = self._new_folder("Contacts", None)

    # Folders

    def folder(self, reference: str) -> ContactFolder:
        """A folder by id; Exchange's errors else. "" is the default folder."""
        if not reference:
            return self.default
        found = self.folders.get(reference)
        if found is None:
            if not reference.startswith(("AQMkA", "AAMkA", "AAkAL")):
                raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
            raise not_found()
        return found

    def add_folder(self, name: str, parent: ContactFolder | None = None) -> ContactFolder:
        """A new folder, below the default one unless it is said where; names are unique there."""
        above = parent or self.default
        if any(child.name.lower() == name.lower() for child in above.children):
            text = "A folder with the specified name already exists."
            raise GraphError(409, "ErrorFolderExists", text)
        return self._new_folder(name, above)

    def add_folder_beside(self, name: str) -> ContactFolder:
        """A new folder beside the default one, as other programs than Graph make them."""
        made = self._new_folder(name, None)
        made.beside = True
        return made

    def rename_folder(self, folder: ContactFolder, name: str) -> None:
        """Change the display name."""
        folder.name = name
        self.folder_log.record(folder.id, self._next(), "full")

    def delete_folder(self, folder: ContactFolder, *, for_good: bool = False) -> None:
        """Away with everything in it."""
        if folder is self.default:
            raise GraphError(
                403, "ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted."
            )
        for child in list(folder.children):
            self.delete_folder(child, for_good=for_good)
        for contact in list(folder.contacts.values()):
            self.delete(contact, for_good=for_good)
        if folder.parent is not None:
            folder.parent.children.remove(folder)
        del self.folders[folder.id]
        self.folder_log.record(folder.id, self._next(), "deleted" if for_good else "changed")

    # Contacts

    def find(self, reference: str) -> Contact:
        """A contact by regular or immutable id; Exchange's errors else."""
        parsed = mailids.parse_item_id(reference)
        if parsed is None or parsed.attachment:
            raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
        contact = self.contacts.get(parsed.message)
        if parsed.mailbox != self.guid or contact is None:
            raise not_found()
        if not parsed.immutable and parsed.moves != contact.moves:
            raise not_found()
        return contact

    def add(self, folder: ContactFolder, properties: Json, photo: bytes | None = None) -> Contact:
        """A new contact; what is not given is empty."""
        self._numbers += 1
        facts: Json = {name: [] for name in LISTS} | {name: {} for name in ADDRESSES}
        facts |= dict.fromkeys(TEXTS)
        facts["createdDateTime"] = facts["lastModifiedDateTime"] = self._stamp()
        facts |= {name: value for name, value in properties.items() if value is not None}
        if not facts["displayName"]:
            words = (facts[name] for name in ("givenName", "middleName", "surname"))
            facts["displayName"] = " ".join(word for word in words if word) or None
        contact = Contact(self._numbers, folder, facts, photo)
        self.contacts[contact.number] = contact
        folder.contacts[contact.number] = contact
        self._record(contact)
        return contact

    def change(self, contact: Contact, **properties: object) -> None:
        """Change properties."""
        contact.older = dict(contact.properties)
        contact.properties.update(properties)
        self.touch(contact)

    def set_photo(self, contact: Contact, photo: bytes | None) -> None:
        """Give it a picture, or take it away."""
        contact.photo = photo
        self.touch(contact)

    def touch(self, contact: Contact) -> None:
        """Note that something of a contact was changed."""
        contact.properties["lastModifiedDateTime"] = self._stamp()
        self._record(contact)

    def move(self, contact: Contact, target: ContactFolder) -> None:
        """Into another folder: gone from one feed, new in the other."""
        source = contact.folder
        del source.contacts[contact.number]
        source.left[contact.number] = contact.moves
        source.log.record(contact.number, self._next(), "deleted")
        target.contacts[contact.number] = contact
        contact.folder = target
        contact.moves += 1
        self.touch(contact)

    def delete(self, contact: Contact, *, for_good: bool = False) -> None:
        """To Deleted Items, or gone for good."""
        folder = contact.folder
        del self.contacts[contact.number]
        del folder.contacts[contact.number]
        folder.left[contact.number] = contact.moves
        kind: Kind = "deleted" if for_good else "changed"
        folder.log.record(contact.number, self._next(), kind)

    def id_of(self, number: int, moves: int, *, immutable: bool, salt: int = 0) -> str:
        """The id of a contact in one of the two encodings."""
        return mailids.item_id(self.guid, number, moves, immutable=immutable, salt=salt)

    def _new_folder(self, name: str, parent: ContactFolder | None) -> ContactFolder:
        self._numbers += 1
        folder_id = mailids.folder_id(self.guid, self._numbers)
        folder = ContactFolder(self._numbers, folder_id, name, parent)
        self.folders[folder.id] = folder
        if parent is not None:
            parent.children.append(folder)
        self.folder_log.record(folder.id, self._next(), "full")
        return folder

    def _record(self, contact: Contact) -> None:
        contact.change = self._next()
        contact.folder.log.record(contact.number, contact.change, "full")

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence


def book_of(tenant: Tenant, user: str) -> ContactBook:
    """The contacts of a user's mailbox; Exchange's errors where there is none."""
    mailbox = tenant.mailbox(user)
    books: dict[str, ContactBook] = tenant.room.setdefault("contacts", {})
    found = books.get(mailbox.user_id)
    if found is None:
        found = books[mailbox.user_id] = ContactBook(mailbox, tenant.clock.stamp)
    return found
