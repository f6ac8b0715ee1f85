"""Messages restored as what they were: received or sent, read or not, with dates and attachments.

Rules
- A message is created whole by JSON, its attachments follow one by one, they are counted, and the
  last PATCH takes the mark of unfinished work away. A killed attempt is found by that mark.
- What a restored message replaces is moved to Deleted Items, and only when the new one is complete.
- Nothing is sent: no call here leads to a mail leaving the mailbox, and no receipt is asked for.
- Two messages are the same when Message-ID, sending time, sender and subject agree; the drafts of
  one message also have to read the same.

Facts this file rests on: learn.microsoft.com/graph/api/mailfolder-post-messages,
/api/singlevaluelegacyextendedproperty-get; restored MIME would always be a draft
(microsoft-graph-docs issue 14843).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.clock import Clock, SystemClock
from base.item import Cause, StoredItem, StoredPart, Trouble
from m365 import marks
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, GraphProblem, ItemGone, MaybeDone
from m365.mail_folders import RECOVERABLE, ROOT
from m365.mail_json import (
    READ,
    UNREAD,
    attempts,
    differing,
    extended_properties,
    message_body,
)
from m365.mail_mime import own_headers, sealed_class, with_sealed_part
from m365.mail_upload import AttachmentWriter
from m365.service import Existing, Folder, Identity, Resource, Written

REQUEST_BYTES_MAX = 3_800_000  # a request may have 4 MB
_COMPARED = "id,internetMessageId,sentDateTime,subject,from,isDraft,bodyPreview"
_MARKED = marks.expand()
_PAGE_ITEMS = "200"
_LEFT_OUT = {"recipients": "invalid-recipients-left-out", "properties": "not-set"}
_DEPTH_MAX = 100  # of folders inside folders; more is a circle


class MailWriter:
    """Restores into one mailbox."""

    keeps_markers = True

    def __init__(self, writer: GraphWriter, resource: Resource, clock: Clock | None = None) -> None:
        self._writer = writer
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._folders = f"{self._base}/mailFolders"
        self._attach = AttachmentWriter(writer, self._base, self._scope, clock or SystemClock())
        self._ids: dict[str, str] = {}  # well-known name -> folder id, "" where there is none

    def root(self) -> Folder:
        return Folder(self._well_known(ROOT))

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        name = name if name.strip() else "(no name)"
        path = (*into.path, name)
        found = self._child(into.id, name)
        if found:
            return Folder(found, path)
        body: dict[str, Any] = {"displayName": name}
        if stored is not None and stored.row.get("hidden"):
            body["isHidden"] = True
        try:
            made = self._writer.post(
                f"{self._folder(into.id)}/childFolders", body, scope=self._scope
            )
            return Folder(made["id"], path)
        except (Clash, MaybeDone):
            found = self._child(into.id, name)
            if not found:
                raise
            return Folder(found, path)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        role = str(stored.row.get("role") or "")
        if not stored.parent or role == ROOT:
            return self.root()
        if role:
            found = self._well_known("deleteditems" if role == RECOVERABLE else role)
            return Folder(found, (stored.name,)) if found else None
        return self._same_folder(stored)

    def identity(self, item: StoredItem) -> Identity:
        return Identity(_key(item.raw), _same(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        for raw in self._messages(into.id):
            mark = marks.read(raw)
            yield marks.existing(raw["id"], _key(raw), _same(raw), mark)

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        troubles = _missing(item)
        item = with_sealed_part(item)
        wanted = message_body(item.raw)
        if headers := own_headers(item):
            wanted["internetMessageHeaders"] = headers
        too_large = len(json.dumps(wanted)) > REQUEST_BYTES_MAX
        if too_large:
            wanted["body"] = {"contentType": "text", "content": item.raw.get("bodyPreview") or ""}
        has_more = too_large or any(part.role == "attachment" for part in item.parts)
        mark = marker + marks.OPEN if has_more else marker
        answer = self._create(item, wanted, into, mark, troubles)
        if has_more:
            self._add_attachments(item, answer["id"], too_large, troubles)
        self._finish(item, wanted, answer, marker if has_more else "", troubles)
        if replace is None:
            return Written(answer["id"], "copied" if new_name else "created", tuple(troubles))
        if any(trouble.retry for trouble in troubles):
            troubles.append(Trouble(item.id, "replace", "old-one-kept", retry=False))
            return Written(answer["id"], "copied", tuple(troubles))
        self._discard(replace.id, into)
        return Written(answer["id"], "replaced", tuple(troubles))

    def remove(self, item_id: str) -> None:
        self._writer.delete(self._message(item_id), scope=self._scope)

    def _create(
        self,
        item: StoredItem,
        wanted: Mapping[str, Any],
        into: Folder,
        mark: str,
        troubles: list[Trouble],
    ) -> dict[str, Any]:
        """The new message as the service answers it; recipients it cannot take are left out."""
        flags = READ if wanted.get("isRead") else UNREAD
        properties = extended_properties(item.raw, mark, flags, sealed_class(item))
        answer, left_out = self._taken(
            into, {**wanted, "singleValueExtendedProperties": properties}, mark
        )
        troubles += [Trouble(item.id, one, _LEFT_OUT[one], retry=False) for one in left_out]
        if bool(answer.get("isDraft")) != bool(item.raw.get("isDraft")):
            troubles.append(Trouble(item.id, "item", "restored-as-draft", retry=False))
        return answer

    def _taken(
        self, into: Folder, body: Mapping[str, Any], mark: str
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The answer to the first body that the target takes, and what that one lacks."""
        refusal: GraphProblem | None = None
        for attempt, left_out in attempts(body):
            try:
                return self._post(into, attempt, mark), left_out
            except GraphProblem as problem:
                if problem.status_code != 400 and problem.graph_code != "ErrorInvalidRecipients":
                    raise
                refusal = problem
        assert refusal is not None, "there is at least one attempt"
        raise refusal

    def _post(self, into: Folder, body: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """Creates once: without an answer the folder is asked whether it was done."""
        path = f"{self._folder(into.id)}/messages"
        try:
            return self._writer.post(path, body, scope=self._scope)
        except MaybeDone:
            for raw in self._messages(into.id):
                if marks.read(raw) == mark:
                    return self._writer.get(self._message(raw["id"]), scope=self._scope)
            return self._writer.post(path, body, scope=self._scope)

    def _add_attachments(
        self, item: StoredItem, message_id: str, too_large: bool, troubles: list[Trouble]
    ) -> None:
        added, noted = self._attach.add_all(message_id, item)
        troubles += noted
        if too_large:
            troubles.append(Trouble(item.id, "body", Cause.TOO_LARGE, retry=False))
            mime = item.part("mime")
            meta = {"name": "original message.eml", "contentType": "message/rfc822"}
            if mime is None:
                mime = _body_part(item)
                meta = {"name": "original message.html", "contentType": "text/html"}
            self._attach.add_file(message_id, meta, mime)
            added += 1
        present = self._attach.count(message_id)
        if present != added:
            detail = f"{present} of {added}"
            troubles.append(
                Trouble(item.id, "attachments", "attachments-differ", retry=True, detail=detail)
            )

    def _finish(
        self,
        item: StoredItem,
        wanted: Mapping[str, Any],
        answer: Mapping[str, Any],
        marker: str,
        troubles: list[Trouble],
    ) -> None:
        """Sets what create did not take, and ends the message with its final marker."""
        changes = differing(wanted, answer)
        mark = {"singleValueExtendedProperties": [{"id": marks.MARKER, "value": marker}]}
        if not changes and not marker:
            return
        path = self._message(answer["id"])
        wanted_now = {**changes, **(mark if marker else {})}
        try:
            self._attach.patiently(lambda: self._writer.patch(path, wanted_now, scope=self._scope))
        except GraphProblem as problem:
            if problem.status_code != 400 or not changes:
                raise
            names = " ".join(sorted(changes))
            troubles.append(Trouble(item.id, "properties", "not-set", retry=False, detail=names))
            if marker:
                self._writer.patch(path, mark, scope=self._scope)

    def _discard(self, item_id: str, into: Folder) -> None:
        """What was replaced goes where a person would look for it."""
        deleted = self._well_known("deleteditems")
        try:
            if not deleted or into.id == deleted:
                self._writer.delete(self._message(item_id), scope=self._scope)
            else:
                self._writer.post(
                    f"{self._message(item_id)}/move", {"destinationId": deleted}, scope=self._scope
                )
        except ItemGone:
            return

    def _same_folder(self, stored: StoredItem) -> Folder | None:
        """The folder with that id, unless it was thrown away into Deleted Items."""
        deleted, root = self._well_known("deleteditems"), self._well_known(ROOT)
        path: list[str] = []
        at = stored.id
        for _ in range(_DEPTH_MAX):
            try:
                found = self._writer.get(
                    self._folder(at),
                    params={"$select": "id,displayName,parentFolderId"},
                    scope=self._scope,
                )
            except GraphProblem as problem:
                if problem.status_code not in (400, 404):
                    raise
                return None
            path.insert(0, str(found.get("displayName") or ""))
            at = str(found.get("parentFolderId") or "")
            if at == root:
                return Folder(stored.id, tuple(path))
            if at in ("", deleted):
                return None
        return None

    def _child(self, parent: str, name: str) -> str:
        path = f"{self._folder(parent)}/childFolders"
        params = {"includeHiddenFolders": "true", "$select": "id,displayName", "$top": "100"}
        for page in follow(self._writer, path, params, scope=self._scope):
            for raw in page.value:
                if str(raw.get("displayName") or "").casefold() == name.casefold():
                    return str(raw["id"])
        return ""

    def _messages(self, folder_id: str) -> Iterator[dict[str, Any]]:
        """What lies in a folder, with our marker where the target gives it."""
        path = f"{self._folder(folder_id)}/messages"
        params = {"$select": _COMPARED, "$top": _PAGE_ITEMS}
        yield from marks.listed(self._writer, path, params, _MARKED, self._scope)

    def _well_known(self, role: str) -> str:
        if role not in self._ids:
            try:
                found = self._writer.get(
                    self._folder(role), params={"$select": "id"}, scope=self._scope
                )
                self._ids[role] = str(found["id"])
            except ItemGone:
                self._ids[role] = ""
        return self._ids[role]

    def _folder(self, folder_id: str) -> str:
        return f"{self._folders}/{quote(folder_id, safe='')}"

    def _message(self, item_id: str) -> str:
        return f"{self._base}/messages/{quote(item_id, safe='')}"


def _key(raw: Mapping[str, Any]) -> str:
    """What collides: the Message-ID, which every message has; else what a person would compare."""
    return str(raw.get("internetMessageId") or "") or _same(raw)


def _same(raw: Mapping[str, Any]) -> str:
    mail = (raw.get("from") or {}).get("emailAddress") or {}
    facts = [
        raw.get("internetMessageId") or "",
        str(raw.get("sentDateTime") or "").split(".")[0].rstrip("Z"),
        raw.get("subject") or "",
        str(mail.get("address") or "").lower(),
    ]
    if raw.get("isDraft"):
        facts[1] = " ".join(str(raw.get("bodyPreview") or "").split())
    text = json.dumps(facts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def _missing(item: StoredItem) -> list[Trouble]:
    """Attachments the backup could not copy; a restored message lacks them, and says so."""
    rows = [text.rpartition(": ") for text in item.missing if text.startswith("attachment")]
    return [Trouble(item.id, part, cause, retry=False) for part, _, cause in rows]


def _body_part(item: StoredItem) -> StoredPart:
    data = str((item.raw.get("body") or {}).get("content") or "").encode("utf-8", "replace")
    return StoredPart("body", len(data), {}, lambda: iter((data,)))
