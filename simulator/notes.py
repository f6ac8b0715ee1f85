"""Sticky notes over HTTP: notes of a mailbox with pictures, their feed, and mailboxes without them.

Rules
- Notes lie flat in one folder; what is deleted is told by the feed with the reason "deleted".
- Only pictures up to 3 MB can be attached.
- The interface is new: a tenant that does not have it knows no segment "notes".

https://learn.microsoft.com/graph/api/note-delta and the operations of resources/note
"""

import base64
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator import extended, mailids, outlook_feed
from simulator.contoso_people import picture
from simulator.expansion import expanded, extended_json, extensions_json
from simulator.feed import ChangeLog
from simulator.mail import check_size
from simulator.mail_json import applied, wants_immutable
from simulator.mail_query import page_bounds, with_next
from simulator.mailbox import not_found
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("ShortNotes.Read.All", "ShortNotes.ReadWrite.All")
WRITE = ("ShortNotes.ReadWrite.All",)
_NUMBERS_FROM = 3_000_000  # so that no note has the id of a message or contact
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/bmp")
_PICTURE_BYTES_MAX = 3 * 1024 * 1024
_PREVIEW = 255
_EXPANDED = ("singleValueExtendedProperties", "multiValueExtendedProperties", "extensions")
_TAGS = re.compile(r"<[^>]*>")


@dataclass(slots=True)
class Note:
    """A note; properties are Graph's without what is computed."""

    number: int
    properties: Json
    pictures: dict[int, Json] = field(default_factory=dict)
    extended: dict[str, str] = field(default_factory=dict)
    extended_lists: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, Json] = field(default_factory=dict)
    change: int = 0
    older: Json | None = None


class NoteBook:
    """The notes of one mailbox."""

    def __init__(self, guid: bytes, stamp: Callable[[], str]) -> None:
        self.guid = guid
        self.notes: dict[int, Note] = {}
        self.log: ChangeLog[int] = ChangeLog()
        self.sequence = 0
        self._numbers = _NUMBERS_FROM
        self._stamp = stamp

    def add(self, subject: str, body: Json, **more: object) -> Note:
        """A new note."""
        self._numbers += 1
        now = self._stamp()
        facts: Json = {
            "createdDateTime": now, "lastModifiedDateTime": now, "categories": [],
            "subject": subject, "body": body,
        }  # fmt: skip
        note = Note(self._numbers, facts | more)
        self.notes[note.number] = note
        self.touch(note)
        return note

    def change(self, note: Note, **properties: object) -> None:
        """Change properties."""
        note.older = dict(note.properties)
        note.properties |= properties | {"lastModifiedDateTime": self._stamp()}
        self.touch(note)

    def touch(self, note: Note) -> None:
        """Something of a note is new."""
        self.sequence += 1
        note.change = self.sequence
        self.log.record(note.number, self.sequence, "full")

    def attach(self, note: Note, facts: Json, data: bytes) -> int:
        """A picture of a note."""
        self._numbers += 1
        note.pictures[self._numbers] = facts | {"data": data}
        self.touch(note)
        return self._numbers

    def delete(self, note: Note) -> None:
        """Away from the folder of notes."""
        del self.notes[note.number]
        self.sequence += 1
        self.log.record(note.number, self.sequence, "deleted")

    def find(self, reference: str) -> Note:
        """A note by its id in either encoding; Exchange's errors else."""
        parsed = mailids.parse_item_id(reference)
        if parsed is None or parsed.attachment:
            raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
        if parsed.mailbox != self.guid or parsed.message not in self.notes:
            raise not_found()
        return self.notes[parsed.message]

    def id_of(self, number: int, *, immutable: bool, salt: int = 0) -> str:
        return mailids.item_id(self.guid, number, 0, immutable=immutable, salt=salt)


def notes_of(tenant: Tenant, user: str) -> NoteBook:
    """The notes of a user's mailbox; Exchange's errors where there is none."""
    mailbox = tenant.mailbox(user)
    books: dict[str, NoteBook] = tenant.room.setdefault("notes", {})
    if mailbox.user_id not in books:
        books[mailbox.user_id] = NoteBook(mailbox.guid, tenant.clock.stamp)
    return books[mailbox.user_id]


def offer(tenant: Tenant, *, offered: bool) -> None:
    """Whether the tenant has the interface at all."""
    tenant.room["notes offered"] = offered


def list_notes(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET …/notes."""
    book = _book(tenant, user)
    found = list(book.notes.values())
    skip, size = page_bounds(request)
    view = _view(tenant, request)
    values = [note_json(book, one, view) for one in found[skip : skip + size]]
    return Answer(200, with_next(request, f"/users/{user}/notes", values, len(found), {}))


def notes_delta(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET …/notes/delta."""
    book = _book(tenant, user)
    allowed = ("$select", "$filter", "$orderby", "$top")
    page, options = outlook_feed.page_of(
        tenant, request, f"notes/{user}", book.log, book.sequence, allowed
    )
    view = _view(tenant, request, options)
    values: list[Json | None] = []
    for number, variant in page.entries:
        note = book.notes.get(number)
        if variant in ("deleted", "changed"):
            gone = book.id_of(number, immutable=view["immutable"], salt=view["salt"])
            values.append(outlook_feed.removed("note", gone, "deleted"))
        elif note is not None:
            values.append(note_json(book, note, view, older=variant == "older"))
    return outlook_feed.answer_of(
        tenant, request, page, "note", f"/users/{user}/notes/delta", values
    )


def get_note(tenant: Tenant, request: Request, user: str, note: str) -> Answer:
    """GET …/notes/{note}."""
    book = _book(tenant, user)
    return Answer(200, note_json(book, book.find(note), _view(tenant, request)), applied(request))


def create_note(tenant: Tenant, request: Request, user: str) -> Answer:
    """POST …/notes, with extended properties in the same request."""
    check_size(tenant, request)
    book, body = _book(tenant, user), request.json()
    words = body.get("body") or {"contentType": "text", "content": ""}
    made = book.add(str(body.get("subject") or ""), words)
    made.properties["categories"] = list(body.get("categories") or [])
    made.extended = extended.given(body)
    return Answer(201, note_json(book, made, _view(tenant, request)), applied(request))


def patch_note(tenant: Tenant, request: Request, user: str, note: str) -> Answer:
    """PATCH …/notes/{note}."""
    book, body = _book(tenant, user), request.json()
    found = book.find(note)
    found.extended |= extended.given(body)
    book.change(found, **{k: body[k] for k in ("subject", "body", "categories") if k in body})
    return Answer(200, note_json(book, found, _view(tenant, request)), applied(request))


def delete_note(tenant: Tenant, request: Request, user: str, note: str) -> Answer:
    """DELETE …/notes/{note}."""
    book = _book(tenant, user)
    book.delete(book.find(note))
    return Answer(204)


def list_pictures(tenant: Tenant, request: Request, user: str, note: str) -> Answer:
    """GET …/attachments."""
    book = _book(tenant, user)
    found = book.find(note)
    shown = [_picture_json(number, one) for number, one in found.pictures.items()]
    select = request.query.get("$select")
    if select:
        names = {*select.split(","), "@odata.type"}
        shown = [{k: v for k, v in one.items() if k in names} for one in shown]
    return Answer(200, {"value": shown})


def get_picture(tenant: Tenant, request: Request, user: str, note: str, attachment: str) -> Answer:
    """GET …/attachments/{attachment}."""
    pictures = _book(tenant, user).find(note).pictures
    number = int(attachment.rpartition("-")[2]) if attachment.startswith("note-") else 0
    if number not in pictures:
        raise not_found()
    return Answer(200, _picture_json(number, pictures[number]))


def add_picture(tenant: Tenant, request: Request, user: str, note: str) -> Answer:
    """POST …/attachments: pictures only, up to 3 MB."""
    check_size(tenant, request)
    book, body = _book(tenant, user), request.json()
    found = book.find(note)
    data = base64.b64decode(str(body.get("contentBytes") or ""))
    if body.get("contentType") not in _PICTURES or len(data) > _PICTURE_BYTES_MAX:
        raise GraphError(400, "ErrorInvalidRequest", "Only pictures up to 3 MB can be attached.")
    facts = {key: body.get(key) for key in ("name", "contentType", "contentId")}
    number = book.attach(found, facts | {"isInline": bool(body.get("isInline"))}, data)
    return Answer(201, _picture_json(number, found.pictures[number]))


def note_json(book: NoteBook, note: Note, view: Json, *, older: bool = False) -> Json:
    """A note as Graph shows it; older shows the state before its last change."""
    facts = note.older if older and note.older is not None else note.properties
    words = _TAGS.sub("", str(facts["body"]["content"]))
    key = f"CQAAABYAAAB{book.guid.hex()[:12]}{note.change - older:08d}"
    shown: Json = {
        "id": book.id_of(note.number, immutable=view["immutable"], salt=view["salt"]),
        "changeKey": key,
    }
    shown |= {"isDeleted": False} | facts
    shown |= {"bodyPreview": words[:_PREVIEW], "hasAttachments": bool(note.pictures)}
    if view["select"]:
        shown = {k: v for k, v in shown.items() if k in view["select"] or k == "id"}
    wanted: dict[str, tuple[str, ...]] = view["expand"]
    values = extended_json(note.extended, wanted.get("singleValueExtendedProperties", ()))
    lists = extended_json(note.extended_lists, wanted.get("multiValueExtendedProperties", ()))
    shown |= {"singleValueExtendedProperties": values} if values else {}
    shown |= {"multiValueExtendedProperties": lists} if lists else {}
    if "extensions" in wanted:
        shown["extensions"] = extensions_json(note.extensions, wanted["extensions"])
    return shown


def fill_notes(tenant: Tenant, user: str, dice: random.Random, count: int) -> None:
    """Notes of a mailbox: plain ones, one with pictures, one without a subject."""
    book = notes_of(tenant, user)
    for number in range(count):
        html = f"<html><body>Call pier {number} – <b>{dice.randint(1, 99)}</b></body></html>"
        book.add(f"Note {number}", {"contentType": "html", "content": html})
    book.add("", {"contentType": "text", "content": "no subject\r\n錨を点検する"})
    odd = book.add("With pictures", {"contentType": "html", "content": '<img src="cid:p0">'})
    for number in range(2):
        facts = {"name": f"p{number}.png", "contentType": "image/png", "isInline": True}
        book.attach(odd, facts | {"contentId": f"p{number}"}, picture(dice))


def notes_month(tenant: Tenant, dice: random.Random, done: Counter[str]) -> None:
    """A month of all notes: one edited, one deleted, one new."""
    for book in tenant.room.get("notes", {}).values():
        found = list(book.notes.values())
        if len(found) > 2:
            body = {"contentType": "text", "content": f"edited {dice.randint(1, 999)}"}
            book.change(dice.choice(found), body=body)
            book.delete(dice.choice([one for one in found if not one.pictures]))
            book.add("New", {"contentType": "text", "content": f"new {dice.randint(1, 999)}"})
            done["notes changed"] += 3


def notes_truth(tenant: Tenant) -> Json:
    """By mailbox: its notes with the sizes of their pictures."""
    view: Json = {"immutable": True, "salt": 0, "select": set(), "expand": {}}
    return {
        user: [
            note_json(book, one, view)
            | {"pictures": [len(picture["data"]) for picture in one.pictures.values()]}
            for one in book.notes.values()
        ]
        for user, book in tenant.room.get("notes", {}).items()
        if user in tenant.mailboxes
    }


def _book(tenant: Tenant, user: str) -> NoteBook:
    if not tenant.room.get("notes offered", True):
        text = "Resource not found for the segment 'notes'."
        raise GraphError(404, "ResourceNotFound", text)
    return notes_of(tenant, user)


def _picture_json(number: int, one: Json) -> Json:
    facts = {key: value for key, value in one.items() if key != "data"}
    return {
        "@odata.type": "#microsoft.graph.fileAttachment", "id": f"note-{number}",
        "size": len(one["data"]), "contentBytes": base64.b64encode(one["data"]).decode("ascii"),
    } | facts  # fmt: skip


def _view(tenant: Tenant, request: Request, options: dict[str, str] | None = None) -> Json:
    query = request.query if options is None else options
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    select = {name.strip() for name in query.get("$select", "").split(",")} - {""}
    expand = expanded(query.get("$expand", ""), _EXPANDED)
    salt = tenant.rng.getrandbits(32) if salted else 0
    return {"immutable": immutable, "salt": salt, "select": select, "expand": expand}


_N = "/users/{user}/notes"
_Handler = Callable[..., Answer]
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", "", list_notes, READ),
    ("POST", "", create_note, WRITE),
    ("GET", "/delta", notes_delta, READ),
    ("GET", "/{note}", get_note, READ),
    ("PATCH", "/{note}", patch_note, WRITE),
    ("DELETE", "/{note}", delete_note, WRITE),
    ("GET", "/{note}/attachments", list_pictures, READ),
    ("POST", "/{note}/attachments", add_picture, WRITE),
    ("GET", "/{note}/attachments/{attachment}", get_picture, READ),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, _N + pattern, handler, roles, "outlook")
    for method, pattern, handler, roles in _OPERATIONS
)
