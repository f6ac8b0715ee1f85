"""Items put back into a mailbox exactly as they were exported, through an import session.

Rules
- The address of a session is the permission: it gets no token, is held in memory only, and is asked
  for anew when it is refused. Nothing but a whole item is sent to it.
- What a restored item replaces is removed when the new one can be read, not before.
- Nothing is sent or announced: an import puts an item where it is told, and no rule runs on it.
- An import takes the item as it is, so no marker of ours can be put on it; what an earlier attempt
  wrote is told by what lay in the folder before.

Facts this file rests on: learn.microsoft.com/graph/api/mailbox-createimportsession,
/mailbox-import-export-concept-overview, /api/mailboxfolder-delete-items (disposalType),
/api/mailbox-post-folders (beta).
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from base.item import Cause, StoredItem, StoredPart, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Clash,
    Forbidden,
    GraphProblem,
    ItemGone,
    MaybeDone,
    ResyncNeeded,
    Unauthorized,
)
from m365.mailbox_items import PART, item_key, parts_of_key
from m365.mailbox_names import EXPAND, identity_of
from m365.mailbox_tree import TOP, MailboxTree, home_of
from m365.service import Existing, Folder, Identity, Written

# A mailbox takes 150 MB within five minutes (throttling limits of Outlook), base64 included.
IMPORT_BYTES_MAX = 150 * 1024 * 1024 * 3 // 4 - 64 * 1024
_PIECE_BYTES = 3 * 256 * 1024  # a multiple of three, so that pieces of base64 can be joined
_DEPTH_MAX = 100  # of folders inside folders; more is a circle
_DELETED = "deleteditems"
_SESSION_OVER = (Unauthorized, Forbidden, ItemGone, ResyncNeeded)


class MailboxItemWriter:
    """Restores into one mailbox, or an archive of several.

    `find` gives the path of the mailbox, "/admin/exchange/mailboxes/MBX:…". `spreads`: folders may
    lie in other mailboxes than this.
    """

    keeps_markers = False

    def __init__(
        self, writer: GraphWriter, scope: Scope, find: Callable[[], str], *, spreads: bool = False
    ) -> None:
        self._writer = writer
        self._scope = scope
        self._find = find
        self._spreads = spreads
        self._tree = MailboxTree(writer, scope)
        self._path = ""
        self._homes: dict[str, str] = {}  # folder -> the mailbox it lies in
        self._addresses: dict[str, str] = {}  # mailbox -> that of its import session; secrets
        self._roles: dict[str, str] = {}  # well-known name -> folder id, "" where there is none

    def root(self) -> Folder:
        top = self._role(TOP)
        if not top:  # an archive may not know the name; its first folders know their parent
            answer = self._get(f"{self._mailbox()}/folders", {"$top": "1"})
            folders: list[dict[str, Any]] = answer.get("value") or []
            top = str(folders[0].get("parentFolderId") or "") if folders else ""
        if not top:
            raise ItemGone("The mailbox has no top folder that could be found.", status_code=404)
        return Folder(top)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        name = name if name.strip() else "(no name)"
        path = (*into.path, name)
        found = self._child(into.id, name)
        if found:
            return Folder(found, path)
        body: dict[str, Any] = {"displayName": name}
        if stored is not None and stored.row.get("type"):
            body["type"] = stored.row["type"]  # a calendar's items need a calendar around them
        try:
            made = self._writer.post(
                f"{_in_beta(self._folder(into.id))}/childFolders", body, scope=self._scope
            )
            return Folder(self._known(made), path)
        except (Clash, MaybeDone):
            found = self._child(into.id, name)
            if not found:
                raise
            return Folder(found, path)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        role = str(stored.row.get("role") or "")
        if not stored.parent or role == TOP:
            return self.root()
        if role:
            found = self._role(role)
            return Folder(found, (stored.name,)) if found else None
        return self._same_folder(stored)

    def identity(self, item: StoredItem) -> Identity:
        return Identity(*identity_of(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        path = f"{self._folder(into.id)}/items?$top=200&{EXPAND}"
        for page in follow(self._writer, path, scope=self._scope):
            for raw in page.value:
                yield Existing(item_key(into.id, str(raw["id"])), *identity_of(raw))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        part = item.part(PART)
        if part is None:
            return _skipped(item, Cause.NO_CONTENT)
        if part.size > IMPORT_BYTES_MAX:
            return _skipped(item, Cause.TOO_LARGE)
        answer = self._import(self._home(into.id), _request(into.id, part))
        new = item_key(into.id, str(answer["itemId"]))
        if replace is None:
            return Written(new, "copied" if new_name else "created")
        self._get(self._item(new), {"$select": "id"})
        self.remove(replace.id)
        return Written(new, "replaced")

    def remove(self, item_id: str) -> None:
        # It can be recovered like what a person deletes from Deleted Items.
        self._writer.delete(f"{self._item(item_id)}?disposalType=softDelete", scope=self._scope)

    def _import(self, mailbox: str, body: bytes) -> dict[str, Any]:
        """The answer to one import; with a new session where the old one is over."""
        address = self._addresses.pop(mailbox, "")
        fresh = not address
        address = address or self._session(mailbox)
        try:
            answer = self._writer.post_preauthenticated(address, body, scope=self._scope)
        except _SESSION_OVER:
            if fresh:
                raise
            return self._import(mailbox, body)
        self._addresses[mailbox] = address
        if not isinstance(answer.get("itemId"), str):
            raise MaybeDone("An import was not answered with the id of an item.")
        return answer

    def _session(self, mailbox: str) -> str:
        path = f"{mailbox}/createImportSession"
        answer = self._writer.post(path, scope=self._scope, repeatable=True)
        address = answer.get("importUrl")
        if not isinstance(address, str) or not address:
            raise GraphProblem("An import session has no address.")
        return address

    def _same_folder(self, stored: StoredItem) -> Folder | None:
        """The folder with that id, unless it was thrown away into Deleted Items."""
        deleted, root = self._role(_DELETED), self.root().id
        path: list[str] = []
        at = stored.id
        for _ in range(_DEPTH_MAX):
            try:
                found = self._get(self._anywhere(at), {})
            except GraphProblem as problem:
                if problem.status_code not in (400, 404):
                    raise
                return None
            self._known(found)
            path.insert(0, str(found.get("displayName") or ""))
            at = str(found.get("parentFolderId") or "")
            if at == root:
                return Folder(stored.id, tuple(path))
            if at in ("", deleted):
                return None
        return None

    def _child(self, parent: str, name: str) -> str:
        path = f"{self._folder(parent)}/childFolders?$top=100"
        for page in follow(self._writer, path, scope=self._scope):
            for raw in page.value:
                if str(raw.get("displayName") or "").casefold() == name.casefold():
                    return self._known(raw)
        return ""

    def _role(self, role: str) -> str:
        if role not in self._roles:
            try:
                self._roles[role] = self._known(self._get(self._anywhere(role), {}))
            except GraphProblem as problem:
                if problem.status_code not in (400, 404):
                    raise
                self._roles[role] = ""
        return self._roles[role]

    def _get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        return self._writer.get(path, params=params, scope=self._scope)

    def _mailbox(self) -> str:
        self._path = self._path or self._find()
        return self._path

    def _known(self, raw: dict[str, Any]) -> str:
        """The id of a folder, whose mailbox is remembered."""
        folder_id = str(raw["id"])
        self._homes[folder_id] = home_of(raw, self._mailbox())
        return folder_id

    def _home(self, folder_id: str) -> str:
        """The mailbox a folder lies in; asked for where no answer spoke of the folder (an undo)."""
        if folder_id not in self._homes:
            here = self._mailbox()
            self._homes[folder_id] = self._tree.home(here, folder_id) if self._spreads else here
        return self._homes[folder_id]

    def _anywhere(self, reference: str) -> str:
        """A folder by id or role, as the first mailbox knows it wherever it lies."""
        return f"{self._mailbox()}/folders/{quote(reference, safe='')}"

    def _folder(self, folder_id: str) -> str:
        return f"{self._home(folder_id)}/folders/{quote(folder_id, safe='')}"

    def _item(self, key: str) -> str:
        folder_id, item_id = parts_of_key(key)
        return f"{self._folder(folder_id)}/items/{quote(item_id, safe='')}"


def _in_beta(path: str) -> str:
    """Folders can be made in beta only."""
    return f"/beta{path}" if path.startswith("/admin/") else path


def _request(folder_id: str, part: StoredPart) -> bytes:
    """{"FolderId", "Mode", "Data"}; the data is turned into base64 as it is read."""
    head = json.dumps({"FolderId": folder_id, "Mode": "create"}, separators=(",", ":"))
    body = io.BytesIO()
    body.write(head.removesuffix("}").encode() + b',"Data":"')
    held = bytearray()
    for block in part.open():
        held += block
        while len(held) >= _PIECE_BYTES:
            body.write(base64.b64encode(held[:_PIECE_BYTES]))
            del held[:_PIECE_BYTES]
    body.write(base64.b64encode(held) + b'"}')
    return body.getvalue()


def _skipped(item: StoredItem, cause: Cause) -> Written:
    return Written("", "skipped", (Trouble(item.id, PART, cause, retry=False),))
