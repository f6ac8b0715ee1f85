"""Restoring files: sessions, dates, names, and what is never overwritten or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from base.item import StoredItem, StoredPart
from m365 import drive_names as names
from m365.drive_writer import DriveWriter
from m365.graph.errors import Clash, MaybeDone, SessionGone
from m365.service import Existing, Folder
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.test_drive import DRIVE, GONE, D, file

INTO = Folder("p", ("Docs",))
HERE = f"{D}/items/p:/Plan.pdf:"
SESSION = f"POST {HERE}/createUploadSession"
PATCH = f"PATCH {D}/items/new"
TIMES = {
    "createdDateTime": "2026-01-01T00:00:00Z",
    "lastModifiedDateTime": "2026-01-02T00:00:00Z",
}


def item(data: bytes = b"data", **more: Any) -> StoredItem:
    raw = file(data, **more)
    part = StoredPart("content", len(data), {}, lambda: iter((data[:2], data[2:])))
    return StoredItem("f", "p", "file", str(raw["name"]), {"size": len(data)}, raw, (part,))


def made(data: bytes = b"data", **more: Any) -> dict[str, Any]:
    return {**file(data), "id": "new", **more}


def script(**more: Any) -> dict[str, Any]:
    return {SESSION: {"uploadUrl": "up"}, "UPLOAD up": made(), **more}


def write(
    graph: ScriptedGraph,
    stored: StoredItem,
    replace: Existing | None = None,
    new_name: bool = False,
) -> Any:
    return DriveWriter(graph, DRIVE).write(stored, INTO, "run:1", replace, new_name)


def test_a_file_arrives_with_its_dates_in_one_moment_and_overwrites_nothing() -> None:
    graph = ScriptedGraph(script())
    written = write(graph, item())
    assert (written.id, written.outcome, written.troubles) == ("new", "created", ())
    assert graph.sent(SESSION) == {
        "item": {
            "@microsoft.graph.conflictBehavior": "fail",
            "name": "Plan.pdf",
            "fileSystemInfo": TIMES,
        }
    }
    assert graph.uploads == [("up", b"data")]
    assert len(graph.calls) == 2


def test_dates_a_session_did_not_take_are_set_afterwards() -> None:
    today = dict.fromkeys(TIMES, "2026-11-24T00:00:00Z")
    graph = ScriptedGraph(script(**{"UPLOAD up": made(fileSystemInfo=today), PATCH: made()}))
    assert write(graph, item()).troubles == ()
    assert graph.sent(PATCH) == {"fileSystemInfo": TIMES}


def test_names_with_every_odd_character_stay_one_segment() -> None:
    name = "100% a#b&c'd + é.pdf"
    path = f"{D}/items/p:/100%25%20a%23b%26c%27d%20%2B%20%C3%A9.pdf:/createUploadSession"
    graph = ScriptedGraph({f"POST {path}": {"uploadUrl": "up"}, "UPLOAD up": made()})
    assert write(graph, item(name=name)).outcome == "created"


def test_a_lost_session_is_replaced_by_a_new_one_from_the_first_byte() -> None:
    graph = ScriptedGraph(
        script(
            **{
                SESSION: [{"uploadUrl": "one"}, {"uploadUrl": "two"}],
                "UPLOAD one": SessionGone("lost"),
                "UPLOAD two": made(),
            }
        )
    )
    assert write(graph, item()).outcome == "created"
    assert graph.uploads == [("one", b"data"), ("two", b"data")]


def test_sessions_are_not_begun_forever() -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": SessionGone("lost")}))
    with pytest.raises(SessionGone):
        write(graph, item())
    assert graph.count(SESSION) == 3


def test_a_copy_has_a_name_of_its_own_that_a_repeated_step_meets_again() -> None:
    def name_of(marker: str) -> str:
        graph = ScriptedGraph({})
        with pytest.raises(AssertionError):
            DriveWriter(graph, DRIVE).write(item(), INTO, marker, None, new_name=True)
        return graph.calls[0]

    assert name_of("run:1") == name_of("run:1") != name_of("run:2")
    assert "Plan%20%28restored%20" in name_of("run:1")
    assert ".pdf:" in name_of("run:1")


def test_content_that_arrived_otherwise_is_a_trouble() -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": made(b"DATA")}))
    (trouble,) = write(graph, item()).troubles
    assert (trouble.cause, trouble.retry) == ("content-mismatch", True)


def test_office_files_may_be_rewritten_by_the_service() -> None:
    rewritten = made(b"longer than before", name="Plan.docx")
    path = f"POST {D}/items/p:/Plan.docx:/createUploadSession"
    graph = ScriptedGraph({path: {"uploadUrl": "up"}, "UPLOAD up": rewritten})
    (trouble,) = write(graph, item(name="Plan.docx")).troubles
    assert (trouble.cause, trouble.retry) == ("rewritten-by-service", False)


def test_a_size_that_counts_metadata_is_no_difference_where_the_hash_is_the_same() -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": made(size=400)}))
    assert write(graph, item()).troubles == ()


def test_without_any_hash_the_size_tells() -> None:
    bare = made(size=400, file={"mimeType": "application/pdf"})
    graph = ScriptedGraph(script(**{"UPLOAD up": bare, f"GET {D}/items/new": bare}))
    assert [trouble.cause for trouble in write(graph, item()).troubles] == ["content-mismatch"]


def test_a_hash_that_is_not_there_yet_is_asked_for_once() -> None:
    bare = made(file={"mimeType": "application/pdf"})
    graph = ScriptedGraph(script(**{"UPLOAD up": bare, f"GET {D}/items/new": made()}))
    assert write(graph, item()).troubles == ()


def test_a_file_the_backup_has_no_bytes_of_says_why() -> None:
    stored = StoredItem("f", "p", "file", "x", {}, file(), (), ("content: malware",))
    written = write(ScriptedGraph({}), stored)
    assert (written.outcome, written.troubles[0].cause) == ("skipped", "malware")


# --- what is there, folders, taking back -------------------------------------------------------


def present(*children: Mapping[str, Any]) -> list[Existing]:
    graph = ScriptedGraph({f"GET {D}/items/p/children": {"value": list(children)}})
    return list(DriveWriter(graph, DRIVE).existing(INTO))


def test_names_collide_whatever_their_case() -> None:
    identity = DriveWriter(ScriptedGraph({}), DRIVE).identity(item())
    assert [one.key for one in present({**made(), "name": "PLAN.pdf"})] == [identity.key]


def test_only_what_an_application_wrote_counts_as_the_same() -> None:
    identity = DriveWriter(ScriptedGraph({}), DRIVE).identity(item())
    ours = {**made(), "createdBy": {"application": {"id": "a"}}}
    theirs = {**made(), "createdBy": {"user": {"id": "u"}}}
    other = {**made(b"other"), "createdBy": {"application": {"id": "a"}}}
    same = [one.same == identity.same for one in present(ours, theirs, other)]
    assert same == [True, False, False]


def test_what_the_service_rewrote_is_the_same_by_its_dates() -> None:
    identity = DriveWriter(ScriptedGraph({}), DRIVE).identity(item(name="Plan.docx"))
    ours = {**made(b"longer"), "name": "Plan.docx", "createdBy": {"application": {"id": "a"}}}
    (one,) = present(ours)
    assert one.same == identity.same


def test_case_twins_and_files_of_other_dates_are_not_the_same() -> None:
    identity = DriveWriter(ScriptedGraph({}), DRIVE).identity(item())
    twin = {**made(), "name": "plan.pdf", "createdBy": {"application": {"id": "a"}}}
    other = {**made(), "fileSystemInfo": {}, "createdBy": {"application": {"id": "a"}}}
    found = present(twin, other)
    assert [one.key for one in found] == [identity.key] * 2
    assert [one.same == identity.same for one in found] == [False, False]


def test_folders_are_in_nobodys_way() -> None:
    assert present({"id": "c", "name": "Plan.pdf", "folder": {}}) == []


CHILDREN = f"POST {D}/items/p/children"


def stored_folder(**more: Any) -> StoredItem:
    raw = {"id": "o", "folder": {}, "fileSystemInfo": TIMES}
    return StoredItem("o", "r", "folder", "Old", {}, {**raw, **more}, ())


def test_a_folder_is_made_with_its_dates() -> None:
    graph = ScriptedGraph({CHILDREN: {"id": "n", "folder": {}}})
    found = DriveWriter(graph, DRIVE).ensure_folder(INTO, "Old", stored_folder())
    assert found == Folder("n", ("Docs", "Old"))
    assert graph.sent(CHILDREN)["fileSystemInfo"] == TIMES
    assert graph.sent(CHILDREN)["@microsoft.graph.conflictBehavior"] == "fail"


def test_a_folder_that_is_there_is_taken_but_a_file_of_that_name_is_not() -> None:
    clash = Clash("taken", graph_code="nameAlreadyExists", status_code=409)

    def ensure(child: Mapping[str, Any]) -> Folder:
        there = {"id": "c", "name": "OLD", **child}
        graph = ScriptedGraph({CHILDREN: [clash, made()], f"GET {D}/items/p:/Old": there})
        return DriveWriter(graph, DRIVE).ensure_folder(INTO, "Old", None)

    assert ensure({"folder": {}}).id == "c"
    beside = ensure({"file": {}})
    assert (beside.id, beside.path) == ("new", ("Docs", names.beside("Old", "")))
    assert [trouble.cause for trouble in beside.troubles] == ["name-taken"]


def test_the_original_folder_is_found_by_id_and_the_root_by_its_place() -> None:
    graph = ScriptedGraph(
        {
            f"GET {D}/items/o": [{"id": "o", "name": "Now", "folder": {}}, GONE],
            f"GET {D}/root": {"id": "r"},
        }
    )
    writer = DriveWriter(graph, DRIVE)
    assert writer.original_folder(stored_folder()) == Folder("o", ("Now",))
    assert writer.original_folder(stored_folder()) is None
    root = StoredItem("x", "", "folder", "root", {}, {}, ())
    assert writer.original_folder(root) == Folder("r")


def test_taking_back_deletes_the_item_alone() -> None:
    graph = ScriptedGraph({f"DELETE {D}/items/new": {}})
    DriveWriter(graph, DRIVE).remove("new")
    assert graph.calls == [f"DELETE {D}/items/new"]


CLASH = Clash("taken", graph_code="nameAlreadyExists", status_code=409)
NAMED = f"GET {D}/items/p:/Plan.pdf"


def test_an_upload_whose_last_answer_was_lost_is_recognized_and_not_doubled() -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": MaybeDone("lost"), NAMED: made()}))
    written = write(graph, item())
    assert (written.id, written.outcome, written.troubles) == ("new", "created", ())
    assert len(graph.uploads) == 1


def test_an_upload_whose_answer_was_lost_and_that_did_not_arrive_is_sent_again() -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": [MaybeDone("lost"), made()], NAMED: GONE}))
    assert write(graph, item()).outcome == "created"
    assert len(graph.uploads) == 2


def test_our_own_file_in_the_way_is_what_we_wrote_before_the_session_was_lost() -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": CLASH, NAMED: made()}))
    assert write(graph, item()).outcome == "created"


@pytest.mark.parametrize(
    "there",
    [
        {**made(b"something else"), "name": "Plan.pdf"},
        {**made(), "name": "PLAN.PDF"},
        made(fileSystemInfo={}),
        {"id": "c", "name": "Plan.pdf", "folder": {}},
    ],
)
def test_a_name_that_was_taken_meanwhile_is_left_alone_and_the_file_kept_beside(there: Any) -> None:
    graph = ScriptedGraph(script(**{"UPLOAD up": CLASH, NAMED: there}))
    beside = names.beside("Plan.pdf", "run:1")
    path = f"{D}/items/p:/{quote(beside)}:/createUploadSession"
    graph.script |= {f"POST {path}": {"uploadUrl": "second"}, "UPLOAD second": made()}
    written = write(graph, item())
    assert (written.id, written.outcome) == ("new", "copied")
    assert [trouble.cause for trouble in written.troubles] == ["name-taken"]
    assert graph.count("DELETE") == graph.count("PATCH") == 0
