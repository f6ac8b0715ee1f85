"""Contacts restored with all that Graph lets an application set, and with their photos.

Rules
- A contact is created whole by one request, with a marker; its photo follows, and the last PATCH
  takes the mark of unfinished work away. A killed attempt is found by that mark.
- Where Exchange refuses the whole, the contact is made from its name and the rest is set one by
  one.
- What the answer shows otherwise than it was sent is set once more; what is not taken even then is
  named in a note.
- What a restored contact replaces goes to Deleted Items, and only when the new one is complete.
- Two contacts collide when name and first e-mail address agree.

Facts this file rests on: learn.microsoft.com/graph/api/user-post-contacts, /api/contact-update,
/api/profilephoto-update (under 4 MB), /api/contactfolder-post-childfolders.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.clock import Clock, SystemClock
from base.errors import Problem
from base.item import Cause, StoredItem, Trouble
from m365 import marks
from m365.contact_folders import DEFAULT, ROOT
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, GraphProblem, MaybeDone
from m365.service import PASSED_ON, Existing, Folder, Identity, Resource, Written, trouble_of
from m365.visibility import patiently

PHOTO_BYTES_MAX = 4_000_000
_NAMES = ("displayName", "givenName", "middleName", "surname", "companyName")
_TEXTS = (
    *_NAMES, "assistantName", "birthday", "businessHomePage", "department", "fileAs", "generation",
    "initials", "jobTitle", "manager", "mobilePhone", "nickName", "officeLocation",
    "personalNotes", "profession", "spouseName", "title", "yomiCompanyName", "yomiGivenName",
    "yomiSurname",
)  # fmt: skip
_LISTS = ("businessPhones", "categories", "children", "homePhones", "imAddresses")
_ADDRESSES = ("businessAddress", "homeAddress", "otherAddress")
_RANKED = ("primaryEmailAddress", "secondaryEmailAddress", "tertiaryEmailAddress")
_COMPARED = "id,displayName,fileAs,companyName,givenName,surname,emailAddresses,mobilePhone"
_MARKED = marks.expand()
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class ContactsWriter:
    """Restores contacts into one mailbox."""

    keeps_markers = True

    def __init__(self, writer: GraphWriter, resource: Resource, clock: Clock | None = None) -> None:
        self._writer = writer
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._clock = clock or SystemClock()
        self._alive: dict[str, tuple[str, str]] | None = None  # folder id -> (parent, name)

    def root(self) -> Folder:
        """The default folder, whose id an empty mailbox does not tell."""
        return Folder(ROOT)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        name = name if name.strip() else "(no name)"
        path = (*into.path, name)
        if into.id == ROOT and stored is not None and stored.row.get("role") == DEFAULT:
            return self.root()
        found = self._child(into.id, name)
        if not found:
            try:
                made = self._writer.post(
                    self._children(into.id), {"displayName": name}, scope=self._scope
                )
                found = str(made["id"])
            except (Clash, MaybeDone):
                found = self._child(into.id, name)
                if not found:
                    raise
        return Folder(found, path)

    def original_folder(self, stored: StoredItem) -> Folder | None:
        if not stored.parent or stored.row.get("role") == DEFAULT:
            return self.root()
        if self._alive is None:
            self._alive = self._living()
        path: list[str] = []
        at = stored.id
        while at in self._alive and len(path) < len(self._alive):
            at, name = self._alive[at]
            path.insert(0, name)
        return Folder(stored.id, tuple(path)) if path else None

    def identity(self, item: StoredItem) -> Identity:
        return Identity(_key(item.raw), _same(item.raw))

    def existing(self, into: Folder) -> Iterator[Existing]:
        for raw in self._contacts(into.id):
            mark = marks.read(raw)
            yield marks.existing(raw["id"], _key(raw), _same(raw), mark)

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        troubles = [
            Trouble(item.id, "photo", text.rpartition(": ")[2], retry=False)
            for text in item.missing
            if text.startswith("photo")
        ]
        photo = item.part("photo")
        made, unfinished = self._create(item, into, marker, photo is not None, troubles)
        if photo is not None:
            self._add_photo(item, made, troubles)
        if unfinished:
            self._set(made, _marked({}, marker))
        if replace is None:
            return Written(made, "copied" if new_name else "created", tuple(troubles))
        if any(trouble.retry for trouble in troubles):
            troubles.append(Trouble(item.id, "replace", "old-one-kept", retry=False))
            return Written(made, "copied", tuple(troubles))
        self.remove(replace.id)
        return Written(made, "replaced", tuple(troubles))

    def remove(self, item_id: str) -> None:
        self._writer.delete(self._contact(item_id), scope=self._scope)

    def _create(
        self, item: StoredItem, into: Folder, marker: str, more: bool, troubles: list[Trouble]
    ) -> tuple[str, bool]:
        """The id of the new contact, and whether it bears the mark of unfinished work."""
        wanted = contact_body(item.raw)
        mark = marker + marks.OPEN if more else marker
        try:
            made = self._post(into, _marked(wanted, mark), mark)
            left = differing(wanted, made)
            if left:
                left = differing(left, self._set(made["id"], left) or dict.fromkeys(left, ""))
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            more, mark = True, marker + marks.OPEN
            named = {name: wanted.pop(name) for name in _NAMES if name in wanted}
            made = self._post(into, _marked(named, mark), mark)
            left = {
                name: value
                for name, value in wanted.items()
                if self._set(made["id"], {name: value}) is None
            }
        if left:
            names = " ".join(sorted(left))
            troubles.append(Trouble(item.id, "properties", "not-set", retry=False, detail=names))
        return str(made["id"]), more

    def _post(self, into: Folder, body: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """Creates once: without an answer the folder is asked whether it was done."""
        path = self._path(into.id)
        try:
            return self._writer.post(path, body, scope=self._scope)
        except MaybeDone:
            for raw in self._contacts(into.id):
                if marks.read(raw) == mark:
                    return self._writer.get(self._contact(raw["id"]), scope=self._scope)
            return self._writer.post(path, body, scope=self._scope)

    def _set(self, contact_id: str, changes: Mapping[str, Any]) -> dict[str, Any] | None:
        """The contact with these properties; None where it does not take them."""
        path = self._contact(contact_id)
        try:
            return patiently(
                self._clock, lambda: self._writer.patch(path, changes, scope=self._scope)
            )
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            return None

    def _add_photo(self, item: StoredItem, contact_id: str, troubles: list[Trouble]) -> None:
        photo = item.part("photo")
        assert photo is not None
        if photo.size >= PHOTO_BYTES_MAX:
            troubles.append(Trouble(item.id, "photo", Cause.TOO_LARGE, retry=False))
            return
        data = photo.read()
        headers = {"Content-Type": str(photo.meta.get("contentType") or "image/jpeg")}
        path = f"{self._contact(contact_id)}/photo/$value"
        try:
            patiently(
                self._clock,
                lambda: self._writer.put(path, data=data, headers=headers, scope=self._scope),
            )
        except PASSED_ON:
            raise
        except Problem as problem:
            troubles.append(trouble_of(item.id, "photo", problem))

    def _living(self) -> dict[str, tuple[str, str]]:
        """All folders that are not thrown away: only those are in the feed."""
        found: dict[str, tuple[str, str]] = {}
        path = f"{self._base}/contactFolders/delta"
        for page in follow(self._writer, path, scope=self._scope):
            for raw in page.value:
                if "@removed" in raw:
                    found.pop(raw["id"], None)
                else:
                    above, name = raw.get("parentFolderId"), raw.get("displayName")
                    found[raw["id"]] = (str(above or ""), str(name or ""))
        return found

    def _child(self, parent: str, name: str) -> str:
        params = {"$select": "id,displayName", "$top": "100"}
        for page in follow(self._writer, self._children(parent), params, scope=self._scope):
            for raw in page.value:
                if str(raw.get("displayName") or "").casefold() == name.casefold():
                    return str(raw["id"])
        return ""

    def _contacts(self, folder_id: str) -> Iterator[dict[str, Any]]:
        """What lies in a folder, with our marker where the target gives it."""
        path = self._path(folder_id)
        params = {"$select": _COMPARED, "$top": "200"}
        yield from marks.listed(self._writer, path, params, _MARKED, self._scope)

    def _children(self, folder_id: str) -> str:
        """Where the folders in a folder are listed and made."""
        above = f"{self._base}/contactFolders"
        return above if folder_id == ROOT else f"{above}/{quote(folder_id, safe='')}/childFolders"

    def _path(self, folder_id: str) -> str:
        """Where the contacts of a folder are listed and made."""
        if folder_id == ROOT:
            return f"{self._base}/contacts"
        return f"{self._base}/contactFolders/{quote(folder_id, safe='')}/contacts"

    def _contact(self, contact_id: str) -> str:
        return f"{self._base}/contacts/{quote(contact_id, safe='')}"


def contact_body(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a contact is created from: what Graph lets be set, without what is empty."""
    body: dict[str, Any] = {name: raw[name] for name in _TEXTS if raw.get(name)}
    body |= {name: list(raw[name]) for name in _LISTS if raw.get(name)}
    if _DAY.fullmatch(str(body.get("birthday", ""))):
        body["birthday"] += "T11:59:00Z"  # the time Exchange gives to days
    for name in _ADDRESSES:
        kept = _filled(raw.get(name) or {})
        if kept:
            body[name] = kept
    ranked = [raw.get(name) for name in _RANKED]
    emails = [_filled(one) for one in raw.get("emailAddresses") or ranked if one]
    if any(emails):
        body["emailAddresses"] = [one for one in emails if one]
    return body


def differing(wanted: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a contact did not take, of what its answer shows. Names beside e-mail addresses, and the
    time of a birthday, are Exchange's own.
    """
    return {
        name: value
        for name, value in wanted.items()
        if name in answer and _plain(name, value) != _plain(name, answer[name])
    }


def _plain(name: str, value: Any) -> Any:
    if name == "emailAddresses":
        return _emails({name: value})
    if name == "birthday":
        return str(value)[:10]
    if name in _ADDRESSES and isinstance(value, dict):
        return {part: words for part, words in _filled(value).items() if words}
    return sorted(value) if name == "categories" and value else value


def _filled(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in stored.items() if one is not None and "@odata" not in name}


def _marked(body: Mapping[str, Any], mark: str) -> dict[str, Any]:
    return {**body, "singleValueExtendedProperties": [{"id": marks.MARKER, "value": mark}]}


def _key(raw: Mapping[str, Any]) -> str:
    """What a person would take for the same contact."""
    names = (raw.get(name) for name in ("displayName", "fileAs", "companyName"))
    name = next((str(name) for name in names if name), "")
    return json.dumps([" ".join(name.casefold().split()), *_emails(raw)[:1]])


def _same(raw: Mapping[str, Any]) -> str:
    facts = [_key(raw), *_emails(raw)]
    facts += [str(raw.get(name) or "") for name in ("givenName", "surname", "mobilePhone")]
    text = json.dumps(facts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def _emails(raw: Mapping[str, Any]) -> list[str]:
    found = (one.get("address") for one in raw.get("emailAddresses") or () if one)
    return [str(address).lower() for address in found if address]
