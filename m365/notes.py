"""Sticky notes of a mailbox: their words and the pictures in them.

Rules
- One feed, "notes": notes lie flat. It is Graph's own, and its link Graph's; a lost one starts the
  feed anew with a reset.
- The interface is new in v1.0, and not every tenant has it: where Graph does not know it, the
  mailbox is a row of the coverage statement and no error.
- A note that only its owner can bring back (isDeleted) is gone.

https://learn.microsoft.com/graph/api/note-delta /note-get /note-list-attachments
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    ResourceGone,
    ResyncNeeded,
)
from m365.mail_attachments import AttachmentReader
from m365.note_json import is_partial, note, root
from m365.notes_writer import NotesWriter
from m365.service import Column, LiveCount, Resource, Service

FEED = "notes"
PAGE_ITEMS = (200, 20)  # the second where the service took too long for the first
_UNKNOWN = (400, 404, 405, 501)
_UNKNOWN_CODES = ("resourcenotfound", "badrequest", "unknownerror", "")


class NotesNotOffered(Forbidden):
    """This tenant does not have the interface of sticky notes yet."""

    code = "notes-not-offered"
    hint = "Microsoft adds it tenant by tenant; the mailbox is asked again after a week."


class NotesSource:
    """Reads the notes of one mailbox; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._attachments = AttachmentReader(reader, self._base, self._scope, "notes")

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        if FEED in finished:
            return
        try:
            link = links.get(FEED, "")
            if not link:
                raise ResyncNeeded("There is no link.")
            yield from self._follow(link, PAGE_ITEMS[0])
        except (ResyncNeeded, GatewayTimeout) as problem:
            start = f"{self._base}/notes/delta"
            yield FeedPage(FEED, (root(),), start, more=True, reset=True)
            lost = isinstance(problem, ResyncNeeded)
            yield from self._follow(start, PAGE_ITEMS[0] if lost else PAGE_ITEMS[-1])

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        """The pictures of a note."""
        return ([], []) if change.kind == "folder" else self._attachments.all_of(change)

    def complete(self, item_id: str) -> Change:
        raw = self._reader.get(f"{self._base}/notes/{quote(item_id, safe='')}", scope=self._scope)
        if raw.get("isDeleted"):
            raise ItemGone("The note is deleted.")
        return note(raw)

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return note({**raw, **change.raw, **change.volatile})

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # nothing says whether the count holds what was deleted

    def _follow(self, link: str, items: int) -> Iterator[FeedPage]:
        prefer = {"Prefer": f"odata.maxpagesize={items}"}
        try:
            for page in follow(self._reader, link, headers=prefer, scope=self._scope):
                entries = tuple(_entry(raw) for raw in page.value if raw.get("id"))
                yield FeedPage(FEED, entries, page.link, page.more)
        except (ResyncNeeded, Forbidden):
            raise
        except GraphProblem as problem:
            if not _is_unknown(problem):
                raise
            raise problem.told_as(
                NotesNotOffered, "Graph does not know sticky notes here."
            ) from problem


def _entry(raw: Mapping[str, Any]) -> Change | Gone:
    if "@removed" in raw or raw.get("isDeleted"):
        return Gone(str(raw["id"]))
    return note(raw, partial=is_partial(raw))


def _is_unknown(problem: GraphProblem) -> bool:
    """Whether it is the interface that is missing, not the mailbox."""
    known = isinstance(problem, ResourceGone | ItemGone) or problem.status_code in _UNKNOWN
    return known and problem.graph_code.lower() in _UNKNOWN_CODES


SERVICE = Service(
    name="notes",
    title="Sticky notes",
    resource_kind="mailbox",
    item_kind="note",
    reads=("ShortNotes.Read.All",),
    writes=("ShortNotes.ReadWrite.All",),
    columns=(
        Column("modified", "Modified", "datetime"),
        Column("categories", "Categories", "text"),
        Column("attachments", "Pictures", "flag"),
    ),
    source=NotesSource,
    writer=NotesWriter,
    optional=True,
    refusable=True,
    not_restorable=(
        "A restored note has dates of creation and change of its own.",
        "The colour and the place of a note on a screen: Graph has neither.",
    ),
    not_captured=(
        "Colour and place on the screen: Graph has neither.",
        "Notes of tenants that do not have the interface yet; copies of whole mailboxes have them.",
    ),
)
