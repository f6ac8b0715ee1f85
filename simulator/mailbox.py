"""A mailbox: folders, messages and attachments, and the log of what changed in every folder.

Rules
- Every change goes through a method here, so that feeds, change keys and dates stay true.
- A message keeps its number for life; moving it raises `moves`, which kills its regular ids.
- Properties are Graph's JSON without id, parentFolderId, changeKey, hasAttachments and webLink.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator import mailids
from simulator.content import SeedAttachment, SeedMessage
from simulator.feed import ChangeLog, Kind
from simulator.filebytes import Content
from simulator.web import GraphError, Json

WELL_KNOWN: tuple[tuple[str, str, str, bool], ...] = (
    # name in URLs, display name, parent, hidden
    ("inbox", "Inbox", "msgfolderroot", False),
    ("drafts", "Drafts", "msgfolderroot", False),
    ("sentitems", "Sent Items", "msgfolderroot", False),
    ("deleteditems", "Deleted Items", "msgfolderroot", False),
    ("junkemail", "Junk Email", "msgfolderroot", False),
    ("archive", "Archive", "msgfolderroot", False),
    ("outbox", "Outbox", "msgfolderroot", False),
    ("conversationhistory", "Conversation History", "msgfolderroot", False),
    ("clutter", "Clutter", "msgfolderroot", True),
    ("scheduled", "Scheduled", "msgfolderroot", True),
    ("syncissues", "Sync Issues", "msgfolderroot", True),
    ("conflicts", "Conflicts", "syncissues", True),
    ("localfailures", "Local Failures", "syncissues", True),
    ("serverfailures", "Server Failures", "syncissues", True),
    ("searchfolders", "Search Folders", "root", True),
    ("recoverableitemsroot", "Recoverable Items", "root", True),
    ("recoverableitemsdeletions", "Deletions", "recoverableitemsroot", True),
)


@dataclass(slots=True)
class Attachment:
    """An attachment; properties hold "@odata.type", name, contentType, isInline and the like.

    broken: an error code that reading its content gives for ever.
    """

    number: int
    properties: Json
    content: Content | None = None
    item: Json | None = None
    broken: str | None = None

    @property
    def kind(self) -> str:
        """fileAttachment, itemAttachment or referenceAttachment."""
        return str(self.properties["@odata.type"]).rsplit(".", 1)[-1]


@dataclass(slots=True)
class Message:
    """A message in its folder."""

    number: int
    folder: "Folder"
    properties: Json
    attachments: dict[int, Attachment]
    mime: Callable[[], bytes] | None
    """The exact bytes it came with; None when it was made from JSON."""
    extended: dict[str, str] = field(default_factory=dict)
    extended_lists: dict[str, list[str]] = field(default_factory=dict)
    extensions: list[Json] = field(default_factory=list)
    moves: int = 0
    change: int = 0
    older: Json | None = None
    """Properties before the last change."""
    broken: str | None = None
    """An error code that reading it gives for ever."""
    lag: bool = False
    """True until the first request for something below it was refused."""

    @property
    def has_attachments(self) -> bool:
        """Graph's hasAttachments: inline ones do not count."""
        forced = self.properties.get("hasAttachments")
        if forced and not self.attachments:
            return False
        return any(not item.properties.get("isInline") for item in self.attachments.values()) or (
            bool(forced) and bool(self.attachments)
        )


@dataclass(slots=True)
class Folder:
    """A mail folder; search_filter makes it a mailSearchFolder."""

    number: int
    id: str
    name: str
    parent: "Folder | None"
    hidden: bool = False
    well_known: str | None = None
    search_filter: str | None = None
    messages: dict[int, Message] = field(default_factory=dict)
    children: dict[int, "Folder"] = field(default_factory=dict)
    log: ChangeLog[int] = field(default_factory=ChangeLog)
    left: dict[int, int] = field(default_factory=dict)
    """Messages that were here once, with the `moves` they had then."""
    uncounted: int = 0
    """Items that no list or feed shows, yet the folder's count holds."""

    def names(self) -> list[str]:
        """Names from the top down; the roots have none."""
        found: list[str] = []
        here: Folder | None = self
        while here is not None and here.well_known not in ("root", "msgfolderroot"):
            found.append(here.name)
            here = here.parent
        return found[::-1]

    def path(self) -> str:
        """The names joined by "/", for people; a name may hold a slash itself."""
        return "/".join(self.names())


class Mailbox:
    """The primary mailbox of one user."""

    def __init__(self, user_id: str, stamp: Callable[[], str], guid: int) -> None:
        self.user_id = user_id
        self.guid = guid.to_bytes(16, "big")
        self.sequence = 0
        self.folders: dict[str, Folder] = {}
        self.messages: dict[int, Message] = {}
        self.folder_log: ChangeLog[str] = ChangeLog()
        self._stamp = stamp
        self._numbers = 0
        self._known: dict[str, Folder] = {}
        root = self._new_folder("root", None, hidden=True, well_known="root")
        self._new_folder("Top of Information Store", root, hidden=True, well_known="msgfolderroot")
        for well_known, name, parent, hidden in WELL_KNOWN:
            self._new_folder(name, self._known[parent], hidden=hidden, well_known=well_known)

    # Folders

    def folder(self, reference: str) -> Folder:
        """A folder by id or well-known name; Exchange's errors else."""
        found = self.folders.get(reference) or self._known.get(reference.lower())
        if found is not None:
            return found
        if not reference.startswith(("AQMkA", "AAMkA", "AAkAL")):
            raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
        raise not_found()

    def add_folder(
        self,
        name: str,
        parent: str = "msgfolderroot",
        *,
        hidden: bool = False,
        search_filter: str | None = None,
    ) -> Folder:
        """A new folder below parent; names are unique among its children."""
        above = self.folder(parent)
        self._refuse_twin(name, above)
        return self._new_folder(name, above, hidden=hidden, search_filter=search_filter)

    def rename_folder(self, folder: Folder, name: str) -> None:
        """Change the display name."""
        self._refuse_twin(name, folder.parent)
        folder.name = name
        self._touch_folder(folder)

    def move_folder(self, folder: Folder, target: Folder) -> None:
        """Move a folder with everything in it; ids stay."""
        above: Folder | None = target
        while above is not None:
            if above is folder:
                raise GraphError(400, "ErrorMoveCopyFailed", "The move or copy operation failed.")
            above = above.parent
        self._refuse_twin(folder.name, target)
        old = folder.parent
        assert old is not None, "well-known roots do not move"
        del old.children[folder.number]
        target.children[folder.number] = folder
        folder.parent = target
        for changed in (old, target, folder):
            self._touch_folder(changed)

    def delete_folder(self, folder: Folder) -> None:
        """Move a folder below Deleted Items; from there, or a search folder: gone for good."""
        if folder.well_known is not None:
            raise GraphError(
                403, "ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted."
            )
        bin_folder = self._known["deleteditems"]
        if folder.search_filter is None and not _is_below(folder, bin_folder):
            while any(child.name == folder.name for child in bin_folder.children.values()):
                folder.name += "1"
            self.move_folder(folder, bin_folder)
            return
        for child in list(folder.children.values()):
            self.delete_folder(child)
        for message in list(folder.messages.values()):
            self._forget(message, "deleted")
        parent = folder.parent
        assert parent is not None
        del parent.children[folder.number]
        del self.folders[folder.id]
        self.folder_log.record(folder.id, self._next(), "deleted")
        self._touch_folder(parent)

    # Messages

    def find(self, reference: str) -> Message:
        """A message by regular or immutable id; Exchange's errors else."""
        parsed = mailids.parse_item_id(reference)
        if parsed is None or parsed.attachment:
            raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
        message = self.messages.get(parsed.message)
        if parsed.mailbox != self.guid or message is None:
            raise not_found()
        if not parsed.immutable and parsed.moves != message.moves:
            raise not_found()
        return message

    def deliver(self, seed: SeedMessage, folder: str = "inbox") -> Message:
        """Take in a message as seeds describe it, exactly as it is."""
        attachments = [
            Attachment(number, _typed(item), item.content, item.item)
            for number, item in enumerate(seed.attachments, 1)
        ]
        thread = mailids.conversation_id(self.guid, seed.properties["conversationIndex"])
        properties = seed.properties | {"conversationId": thread}
        return self.add_message(self.folder(folder), properties, attachments, seed.mime)

    def add_message(
        self,
        folder: Folder,
        properties: Json,
        attachments: list[Attachment],
        mime: Callable[[], bytes] | None,
        extended: dict[str, str] | None = None,
    ) -> Message:
        """Put a message into a folder."""
        if folder.search_filter is not None or folder.well_known in ("root", "searchfolders"):
            raise GraphError(400, "ErrorInvalidOperation", "Items cannot be created here.")
        self._numbers += 1
        known = {item.number: item for item in attachments}
        message = Message(self._numbers, folder, properties, known, mime, extended or {})
        self.messages[message.number] = message
        folder.messages[message.number] = message
        self._record(message, "full")
        self._touch_folder(folder)
        return message

    def change_message(self, message: Message, **properties: Any) -> None:
        """Change properties; flipping nothing but isRead shows as a piece in the feed."""
        changed = {k for k, v in properties.items() if message.properties.get(k) != v}
        if not changed:
            return
        message.older = dict(message.properties)
        message.properties.update(properties)
        message.properties["lastModifiedDateTime"] = self._stamp()
        self._record(message, "read" if changed == {"isRead"} else "full")
        if "isRead" in changed:
            self._touch_folder(message.folder)

    def changed_parts(self, message: Message) -> None:
        """Attachments or extended properties of a message were changed."""
        message.properties["lastModifiedDateTime"] = self._stamp()
        self._record(message, "full")

    def move_message(self, message: Message, target: Folder, reason: str = "deleted") -> None:
        """Move; the old folder reports a removal, the new one an arrival."""
        source = message.folder
        if target.search_filter is not None:
            raise GraphError(400, "ErrorMoveCopyFailed", "The move or copy operation failed.")
        if source is not target:
            del source.messages[message.number]
            source.left[message.number] = message.moves
            kind: Kind = "changed" if reason == "changed" else "deleted"
            source.log.record(message.number, self._next(), kind)
            target.messages[message.number] = message
            message.folder = target
        message.moves += 1
        message.properties["lastModifiedDateTime"] = self._stamp()
        self._record(message, "full")
        self._touch_folder(source)
        self._touch_folder(target)

    def copy_message(self, message: Message, target: Folder) -> Message:
        """A copy with an id of its own."""
        attachments = [copy.copy(item) for item in message.attachments.values()]
        return self.add_message(
            target, dict(message.properties), attachments, message.mime, dict(message.extended)
        )

    def delete_message(self, message: Message, *, for_good: bool = False) -> None:
        """To Deleted Items; from there to Recoverable Items; from there gone."""
        if for_good or message.folder.well_known == "recoverableitemsdeletions":
            self._forget(message, "deleted")
        elif _is_below(message.folder, self._known["deleteditems"]):
            self.move_message(message, self._known["recoverableitemsdeletions"])
        else:
            self.move_message(message, self._known["deleteditems"], "changed")

    # Ids

    def message_id(self, message: Message, *, immutable: bool, salt: int = 0) -> str:
        """The id of a message in one of the two encodings."""
        return mailids.item_id(
            self.guid, message.number, message.moves, immutable=immutable, salt=salt
        )

    def removed_id(self, folder: Folder, number: int, *, immutable: bool, salt: int = 0) -> str:
        """The id a message had in a folder it has left."""
        moves = folder.left.get(number, 0)
        return mailids.item_id(self.guid, number, moves, immutable=immutable, salt=salt)

    # Inside

    def _new_folder(
        self,
        name: str,
        parent: Folder | None,
        *,
        hidden: bool = False,
        well_known: str | None = None,
        search_filter: str | None = None,
    ) -> Folder:
        self._numbers += 1
        folder = Folder(
            self._numbers,
            mailids.folder_id(self.guid, self._numbers),
            name,
            parent,
            hidden,
            well_known,
            search_filter,
        )
        self.folders[folder.id] = folder
        if well_known is not None:
            self._known[well_known] = folder
        self._touch_folder(folder)
        if parent is not None:
            parent.children[folder.number] = folder
            self._touch_folder(parent)
        return folder

    def _refuse_twin(self, name: str, parent: Folder | None) -> None:
        children = parent.children.values() if parent is not None else ()
        if any(child.name.lower() == name.lower() for child in children):
            text = "A folder with the specified name already exists."
            raise GraphError(409, "ErrorFolderExists", text)

    def _forget(self, message: Message, reason: str) -> None:
        del self.messages[message.number]
        del message.folder.messages[message.number]
        message.folder.left[message.number] = message.moves
        kind: Kind = "changed" if reason == "changed" else "deleted"
        message.folder.log.record(message.number, self._next(), kind)
        self._touch_folder(message.folder)

    def _record(self, message: Message, kind: str) -> None:
        message.change = self._next()
        message.folder.log.record(
            message.number, message.change, "read" if kind == "read" else "full"
        )

    def _touch_folder(self, folder: Folder) -> None:
        self.folder_log.record(folder.id, self._next(), "full")

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence


def not_found() -> GraphError:
    """Exchange's 404."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def _is_below(folder: Folder, top: Folder) -> bool:
    here: Folder | None = folder
    while here is not None:
        if here is top:
            return True
        here = here.parent
    return False


def _typed(item: SeedAttachment) -> Json:
    kind = {"file": "fileAttachment", "item": "itemAttachment", "reference": "referenceAttachment"}
    return {"@odata.type": f"#microsoft.graph.{kind[item.kind]}"} | dict(item.properties)
