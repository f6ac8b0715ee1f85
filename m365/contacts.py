"""Contacts: all folders of contacts of a mailbox, with the photos.

Rules
- Feeds: "folders" (see contact_folders.py) and "folder:<id>" (the contacts of one folder). A
  folder's feed is announced, with the link it starts from, before the page that names the folder:
  a round that dies in between still knows every feed.
- A page carries whole contacts, so a contact costs one request: for its photo. Nothing that
  Graph documents says whether there is one, so a changed contact is asked; 404 means none.
- A photo that is set changes its contact: the fingerprint is changeKey and lastModifiedDateTime,
  and a contact that has kept both is not asked again.
- No permission beyond Contacts.Read.

Facts this file rests on: learn.microsoft.com/graph/api/contact-delta ($select is all it takes),
/api/profilephoto-get, /outlook-immutable-id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from base.item import Change, FeedPage, Gone, Part, Trouble
from base.picture import picture_type
from m365.contact_folders import DEFAULT, ROOT, ContactFolders
from m365.contacts_writer import ContactsWriter
from m365.feeds import each_whole
from m365.graph.client import BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import GatewayTimeout, ItemGone, ResyncNeeded
from m365.service import PASSED_ON, Column, LiveCount, Resource, Service, trouble_of

PAGE_ITEMS = 500  # contacts in one answer, about 2 KB each
PAGE_ITEMS_SMALL = 25  # where a later page was too heavy: a nextLink keeps its page size
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "@odata.type", "changeKey"))
_WHOLE = ("displayName", "emailAddresses", "lastModifiedDateTime")  # a piece lacks one of them


class ContactsSource:
    """Reads the contacts of one mailbox; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._tree = ContactFolders(reader, self._base, self._scope)

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if "folders" not in finished:
            for page in self._folders(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        feeds.pop("folders")
        wanted = (one for one in feeds.items() if one[0] not in finished)
        yield from each_whole(self._contacts(part, link) for part, link in wanted)

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        """The photo. A contact that vanished meanwhile has none: its feed will tell."""
        if change.kind == "folder":
            return [], []
        path = f"{self._base}/contacts/{quote(change.id, safe='')}/photo/$value"
        try:
            data = self._reader.get_raw(path, scope=self._scope)
        except ItemGone:
            return [], []
        except PASSED_ON:
            raise
        except Problem as problem:
            return [], [trouble_of(change.id, "photo", problem)]
        return ([Part("photo", data, {"contentType": media_type(data)})] if data else []), []

    def complete(self, item_id: str) -> Change:
        raw = self._reader.get(
            f"{self._base}/contacts/{quote(item_id, safe='')}", scope=self._scope
        )
        return _change(raw, str(raw.get("parentFolderId") or ""), partial=False)

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return _change({**raw, **change.raw, **change.volatile}, change.parent, partial=False)

    def counts(self) -> Iterator[LiveCount]:
        """One request for the folders, and one for each of them."""
        folders = [one.id for one in self._tree.since("", ()).changed if one.id != ROOT]
        query = "contacts?$count=true&$top=1&$select=id"
        requests = [
            BatchRequest(f"{self._base}/contactFolders/{quote(folder, safe='')}/{query}")
            for folder in folders
        ]
        answers = self._reader.batch(requests, scope=self._scope) if requests else ()
        for folder, answer in zip(folders, answers, strict=True):
            items = answer.json().get("@odata.count") if answer.status < 400 else None
            if isinstance(items, int):
                yield LiveCount(f"folder:{folder}", folder, items)

    def _folders(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """Announces the feeds of new folders, then the changes of the folders in one page."""
        known = [part.removeprefix("folder:") for part in links if part != "folders"]
        tree = self._tree.since(links.get("folders", ""), known)
        for folder in tree.changed:
            if folder.id != ROOT and f"folder:{folder.id}" not in links:
                late = folder.row["role"] == DEFAULT and "folders" in links
                yield self._start(folder.id, known=late)
        yield FeedPage(
            part="folders",
            entries=(*tree.changed, *(Gone(key) for key in tree.gone)),
            link=tree.link,
            more=False,
            dropped_parts=tuple(f"folder:{key}" for key in tree.gone if f"folder:{key}" in links),
        )

    def _start(self, folder_id: str, *, known: bool = False) -> FeedPage:
        """The first page of a folder's feed: what lies in the folder and is not seen again is gone.

        Of a folder that was known, or is only found now, the subfolders are named again: they lie
        in it too, and its feed will not tell of them.
        """
        return FeedPage(
            part=f"folder:{folder_id}",
            entries=self._tree.below(folder_id) if known else (),
            link=f"{self._base}/contactFolders/{quote(folder_id, safe='')}/contacts/delta",
            more=True,
            reset=True,
            scope=folder_id,
        )

    def _contacts(self, part: str, link: str) -> Iterator[FeedPage]:
        folder_id = part.removeprefix("folder:")
        try:
            if not link:
                raise ResyncNeeded("There is no link.")
            yield from self._follow(part, link)
        except (ResyncNeeded, GatewayTimeout) as problem:
            start = self._start(folder_id, known=True)
            yield start
            lost = isinstance(problem, ResyncNeeded)
            yield from self._follow(part, start.link, PAGE_ITEMS if lost else PAGE_ITEMS_SMALL)
        except ItemGone:
            if self._exists(folder_id):
                raise  # not the folder: a feed must not end because of one odd answer
            yield FeedPage(part, (Gone(folder_id),), "", more=False, dropped_parts=(part,))

    def _follow(self, part: str, link: str, items: int = PAGE_ITEMS) -> Iterator[FeedPage]:
        folder_id = part.removeprefix("folder:")
        prefer = {"Prefer": f"odata.maxpagesize={items}"}
        for page in follow(self._reader, link, headers=prefer, scope=self._scope):
            entries = tuple(_entry(raw, folder_id) for raw in page.value)
            yield FeedPage(part, entries, page.link, page.more)

    def _exists(self, folder_id: str) -> bool:
        path = f"{self._base}/contactFolders/{quote(folder_id, safe='')}"
        try:
            self._reader.get(path, params={"$select": "id"}, scope=self._scope)
        except ItemGone:
            return False
        return True


def media_type(photo: bytes) -> str:
    """What kind of picture it is, by its first bytes."""
    return picture_type(photo) or "image/jpeg"


def _entry(raw: Mapping[str, Any], folder_id: str) -> Change | Gone:
    if "@removed" in raw:  # "deleted" and "changed" alike say: no longer in this folder
        return Gone(raw["id"], parent=folder_id)
    return _change(raw, folder_id, partial=any(key not in raw for key in _WHOLE))


def _change(raw: Mapping[str, Any], folder_id: str, *, partial: bool) -> Change:
    return Change(
        id=raw["id"],
        parent=folder_id,
        kind="contact",
        name=_name(raw),
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={} if partial else _row(raw),
        fingerprint="" if partial else _fingerprint(raw),
        partial=partial,
    )


def _name(raw: Mapping[str, Any]) -> str:
    """What a person would call it."""
    words = (raw.get("displayName"), raw.get("fileAs"), raw.get("companyName"), *_emails(raw))
    return next((str(word) for word in words if word), "")


def _fingerprint(raw: Mapping[str, Any]) -> str:
    facts = [raw.get("changeKey"), raw.get("lastModifiedDateTime")]
    if not any(facts):
        return ""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _row(raw: Mapping[str, Any]) -> dict[str, Any]:
    phones = [raw.get("mobilePhone"), *_texts(raw, "businessPhones"), *_texts(raw, "homePhones")]
    return {
        "sort": str(raw.get("fileAs") or _name(raw)).casefold(),
        "email": next(iter(_emails(raw)), ""),
        "phone": next((str(phone) for phone in phones if phone), ""),
        "company": str(raw.get("companyName") or ""),
        "title": str(raw.get("jobTitle") or ""),
        "modified": str(raw.get("lastModifiedDateTime") or ""),
    }


def _emails(raw: Mapping[str, Any]) -> list[str]:
    found = (one.get("address") for one in raw.get("emailAddresses") or () if one)
    return [str(address) for address in found if address]


def _texts(raw: Mapping[str, Any], name: str) -> list[str]:
    return [str(one) for one in raw.get(name) or () if one]


SERVICE = Service(
    name="contacts",
    title="Contacts",
    resource_kind="mailbox",
    item_kind="contact",
    reads=("Contacts.Read",),
    writes=("Contacts.ReadWrite",),
    columns=(
        Column("email", "E-mail", "address"),
        Column("phone", "Phone", "text"),
        Column("company", "Company", "text"),
        Column("title", "Title", "text"),
        Column("modified", "Changed", "datetime"),
    ),
    source=ContactsSource,
    writer=ContactsWriter,
    not_captured=(
        "Personal distribution lists: mailbox copies carry them, where a policy names those.",
        "The directory's picture of a colleague who was added as a contact.",
        "What other programs attach to a contact as extended properties or open extensions.",
    ),
    not_restorable=(
        "A restored contact has dates of creation and change of its own.",
        "Personal distribution lists are not among the contacts that Graph gives.",
    ),
)
