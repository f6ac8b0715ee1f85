"""Sticky notes beyond the suite: tenants without them, pieces, pictures, and odd targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base.item import Cause, Change, Gone, StoredItem, StoredPart
from m365 import marks
from m365.graph.errors import (
    GraphProblem,
    ItemGone,
    MaybeDone,
    ResourceGone,
    ResyncNeeded,
)
from m365.note_json import note
from m365.notes import NotesNotOffered, NotesSource
from m365.notes_writer import PICTURE_BYTES_MAX, NotesWriter
from m365.service import Folder, Resource
from simulator.notes import notes_of, offer
from tests.m365.mirror import Mirror
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.stage import Stage, TenantClock, stage
from tests.m365.test_services import CASES

CASE = CASES["notes"]
N = "/users/u/notes"
DELTA = f"GET {N}/delta"
TOP = Folder("notes")
PNG = b"\x89PNG\r\n\x1a\n picture"


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        yield staged


def source(graph: ScriptedGraph) -> NotesSource:
    return NotesSource(graph, Resource("mailbox", "u"))


def entries(graph: ScriptedGraph, link: str = "") -> list[Change | Gone]:
    pages = source(graph).changes({"notes": link} if link else {}, frozenset())
    return [entry for page in pages for entry in page.entries]


def whole(key: str, **more: Any) -> dict[str, Any]:
    body = {"contentType": "html", "content": "<p>Call&nbsp;the pier</p>"}
    changed = {"changeKey": "1", "lastModifiedDateTime": "2026-01-01T00:00:00Z"}
    return {"id": key, "subject": "Pier", "body": body, **changed, **more}


def item(*pictures: bytes, **raw: Any) -> StoredItem:
    meta = {"name": "p.png", "contentType": "image/png"}
    parts = tuple(
        StoredPart("attachment", len(one), {"id": f"a{at}", **meta}, (one,).__iter__)
        for at, one in enumerate(pictures)
    )
    return StoredItem("n1", "notes", "note", "Pier", {}, whole("n1", **raw), parts)


# Reading


def test_a_tenant_without_the_interface_refuses_and_is_no_error(on: Stage) -> None:
    offer(on.tenant, offered=False)
    with pytest.raises(NotesNotOffered):
        Mirror().round(on.source())
    assert CASE.service.refusable
    assert CASE.service.optional


@pytest.mark.parametrize("status", [400, 404, 501])
def test_it_is_told_apart_from_a_mailbox_that_is_gone(status: int) -> None:
    unknown = GraphProblem("no", graph_code="BadRequest", status_code=status)
    with pytest.raises(NotesNotOffered):
        entries(ScriptedGraph({DELTA: unknown}))
    gone = ResourceGone("no", graph_code="MailboxNotEnabledForRESTAPI", status_code=404)
    with pytest.raises(ResourceGone):
        entries(ScriptedGraph({DELTA: gone}))
    odd = ItemGone("no", graph_code="ErrorItemNotFound", status_code=404)
    with pytest.raises(ItemGone):
        entries(ScriptedGraph({DELTA: odd}))


def test_what_its_owner_has_deleted_is_gone_whichever_way_it_is_told() -> None:
    listed = [
        whole("a", isDeleted=True),
        {"id": "b", "@removed": {"reason": "deleted"}},
        whole("c"),
    ]
    graph = ScriptedGraph({DELTA: {"value": listed, "@odata.deltaLink": "delta"}})
    found = entries(graph)
    assert [type(one).__name__ for one in found[1:]] == ["Gone", "Gone", "Change"]
    with pytest.raises(ItemGone):
        source(ScriptedGraph({f"GET {N}/a": whole("a", isDeleted=True)})).complete("a")


def test_an_id_with_a_slash_stays_one_step_of_a_path() -> None:
    key, picture = "AAMk/2+=", "att/1="
    graph = ScriptedGraph(
        {
            f"GET {N}/AAMk%2F2%2B%3D/attachments": {"value": [{"id": picture}]},
            f"GET {N}/AAMk%2F2%2B%3D/attachments/att%2F1%3D": {
                "@odata.type": "#microsoft.graph.fileAttachment",
                "id": picture,
                "contentBytes": "UE5H",
            },
        }
    )
    parts, troubles = source(graph).fetch(note(whole(key, hasAttachments=True)))
    assert ([part.data for part in parts], troubles) == ([b"PNG"], [])


def test_a_piece_of_a_note_is_merged_with_what_is_stored() -> None:
    graph = ScriptedGraph({DELTA: {"value": [{"id": "a", "categories": ["x"]}]}})
    piece = entries(graph)[-1]
    assert isinstance(piece, Change)
    assert piece.partial
    merged = source(graph).merge(whole("a"), piece)
    assert (merged.raw["categories"], merged.raw["subject"], merged.partial) == (
        ["x"],
        "Pier",
        False,
    )


def test_a_lost_link_starts_anew_with_a_reset() -> None:
    graph = ScriptedGraph(
        {"GET old": ResyncNeeded("lost", status_code=410), DELTA: {"value": [whole("a")]}}
    )
    pages = list(source(graph).changes({"notes": "old"}, frozenset()))
    assert [page.reset for page in pages] == [True, False]


def test_a_note_without_a_title_has_a_name_all_the_same(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    names = {one.change.name for one in mirror.items.values()}
    assert "no subject 錨を点検する" in names
    graph = ScriptedGraph({DELTA: {"value": [whole("a", subject=None, body=None)]}})
    assert [one.name for one in entries(graph) if isinstance(one, Change)][1:] == ["(empty note)"]


# Restoring


def writer_of(on: Stage) -> tuple[NotesWriter, Any]:
    target = CASE.fresh_target(on.tenant)
    writer = NotesWriter(on.writer, target, TenantClock(on.tenant))
    return writer, notes_of(on.tenant, target.graph_id)


def test_pictures_come_back_and_one_that_is_too_large_is_named(on: Stage) -> None:
    writer, book = writer_of(on)
    large = b"\x89PNG" + bytes(PICTURE_BYTES_MAX)
    made = writer.write(item(PNG, large), TOP, "run:1", None, new_name=False)
    assert [(one.part, one.cause) for one in made.troubles] == [("attachment:a1", Cause.TOO_LARGE)]
    (one,) = book.notes.values()
    assert [picture["data"] for picture in one.pictures.values()] == [PNG]
    (found,) = writer.existing(TOP)
    assert (found.marker, found.complete) == ("run:1", True)


def test_half_a_note_is_known_by_its_mark(on: Stage) -> None:
    writer, _ = writer_of(on)
    on.tenant.faults.map("PATCH .*/notes/", "p", loop=True)
    with pytest.raises(GraphProblem):
        writer.write(item(PNG), TOP, "run:1", None, new_name=False)
    (found,) = writer.existing(TOP)
    assert (found.marker, found.complete) == ("run:1", False)


def test_notes_that_read_alike_are_the_same_whatever_their_html(on: Stage) -> None:
    writer, book = writer_of(on)
    book.add("Pier", {"contentType": "text", "content": "Call the\xa0pier"})
    (found,) = writer.existing(TOP)
    assert found.key == writer.identity(item()).key
    edited = item(body={"contentType": "text", "content": "Call nobody"})
    assert found.key != writer.identity(edited).key


def test_a_folder_made_for_a_restore_is_the_beginning_of_titles(on: Stage) -> None:
    writer, book = writer_of(on)
    into = writer.ensure_folder(writer.root(), "Restored in May", None)
    writer.write(item(), into, "run:1", None, new_name=False)
    assert [one.properties["subject"] for one in book.notes.values()] == ["Restored in May - Pier"]
    (found,) = writer.existing(into)
    assert found.key == writer.identity(item()).key


def test_a_target_that_keeps_no_marks_has_the_note_all_the_same() -> None:
    refused = GraphProblem("no", status_code=400)
    graph = ScriptedGraph({f"POST {N}": [refused, {"id": "new"}]})
    writer = NotesWriter(graph, Resource("mailbox", "u"))
    assert writer.write(item(), TOP, "run:1", None, new_name=False).id == "new"
    assert "singleValueExtendedProperties" not in graph.bodies[-1]


def test_a_note_made_without_an_answer_is_looked_for_before_it_is_made_again() -> None:
    values = [{"id": marks.MARKER, "value": "run:1"}]
    marked = {"id": "there", "singleValueExtendedProperties": values}
    graph = ScriptedGraph({f"POST {N}": MaybeDone("?"), f"GET {N}": {"value": [marked]}})
    writer = NotesWriter(graph, Resource("mailbox", "u"))
    assert writer.write(item(), TOP, "run:1", None, new_name=False).id == "there"
    assert graph.count(f"POST {N}") == 1
