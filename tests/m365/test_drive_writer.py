"""Restoring files: sessions, dates, names, and what is never overwritten or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from base.item import StoredItem, StoredPart
from m365.drive_writer import DriveWriter
from m365.graph.errors import Clash, Forbidden, MaybeDone, QuotaFull, SessionGone
from m365.service import Existing, Folder
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.test_drive import DRIVE, GONE, D, file, hash_of

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
    name = "100% a#b?c'd + é.pdf"
    path = f"{D}/items/p:/100%25%20a%23b%3Fc%27d%20%2B%20%C3%A9.pdf:/createUploadSession"
    graph = ScriptedGraph({f"POST {path}": {"uploadUrl": "up"}, "UPLOAD up": made()})
    assert write(graph, item(name=name)).outcome == "created"


def test_an_empty_file_is_put_and_dated() -> None:
    empty = made(b"", fileSystemInfo={})
    graph = ScriptedGraph(
        {
            f"GET {D}/items/p:/Plan.pdf": GONE,
            f"PUT {HERE}/content": empty,
            PATCH: made(b""),
            f"GET {D}/items/new": made(b""),
        }
    )
    assert write(graph, item(b"")).troubles == ()
    assert graph.sent(PATCH) == {"fileSystemInfo": TIMES}


def test_an_empty_file_does_not_replace_what_has_its_name() -> None:
    there = {**made(b"something"), "id": "theirs"}
    graph = ScriptedGraph(
        {
            f"GET {D}/items/p:/Plan.pdf": {"id": "theirs"},
            f"GET {D}/items/p/children": {"value": [there]},
        }
    )
    written = write(graph, item(b""))
    assert (written.outcome, written.troubles[0].cause) == ("skipped", "name-taken")
    assert graph.count("PUT") == 0


def test_a_tenant_that_refuses_sessions_gets_small_files_all_the_same() -> None:
    graph = ScriptedGraph(
        {
            SESSION: Forbidden("no", status_code=403),
            f"GET {D}/items/p:/Plan.pdf": GONE,
            f"PUT {HERE}/content": made(),
        }
    )
    assert write(graph, item()).outcome == "created"
    assert graph.sent("PUT") == b"data"


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


def taken(child: Mapping[str, Any]) -> ScriptedGraph:
    return ScriptedGraph(
        script(
            **{
                "UPLOAD up": Clash("taken", graph_code="nameAlreadyExists", status_code=409),
                f"GET {D}/items/p/children": {"value": [child]},
            }
        )
    )


def test_a_name_that_was_taken_meanwhile_is_left_alone() -> None:
    graph = taken({**made(b"something else"), "name": "PLAN.PDF"})
    written = write(graph, item())
    assert (written.outcome, written.troubles[0].cause) == ("skipped", "name-taken")
    assert graph.count("DELETE") == 0


def test_our_own_file_in_the_way_is_what_we_wrote_before_the_answer_was_lost() -> None:
    assert write(taken(made()), item()).outcome == "created"
    assert write(taken(made(fileSystemInfo={})), item()).outcome == "skipped"


def test_replacing_goes_through_a_session_on_the_item_and_deletes_nothing() -> None:
    on_item = f"POST {D}/items/old/createUploadSession"
    graph = ScriptedGraph({on_item: {"uploadUrl": "up"}, "UPLOAD up": made()})
    written = write(graph, item(), replace=Existing("old", "plan.pdf", "x"))
    assert written.outcome == "replaced"
    assert graph.sent(on_item)["item"]["@microsoft.graph.conflictBehavior"] == "replace"
    assert [call.split()[0] for call in graph.calls] == ["POST", "UPLOAD"]


def test_a_broken_replacement_leaves_the_old_file_untouched() -> None:
    on_item = f"POST {D}/items/old/createUploadSession"
    graph = ScriptedGraph({on_item: {"uploadUrl": "up"}, "UPLOAD up": QuotaFull("full")})
    with pytest.raises(QuotaFull):
        write(graph, item(), replace=Existing("old", "plan.pdf", "x"))
    assert [call.split()[0] for call in graph.calls] == ["POST", "UPLOAD"]


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


def test_identical_sizes_are_not_identical_files() -> None:
    writer = DriveWriter(ScriptedGraph({}), DRIVE)
    assert writer.identity(item(b"data")).same != writer.identity(item(b"DATA")).same
    assert hash_of(b"data") in writer.identity(item(b"data")).same


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
        listing = {"value": [{"id": "c", "name": "OLD", **child}]}
        graph = ScriptedGraph({CHILDREN: clash, f"GET {D}/items/p/children": listing})
        return DriveWriter(graph, DRIVE).ensure_folder(INTO, "Old", None)

    assert ensure({"folder": {}}).id == "c"
    with pytest.raises(Clash):
        ensure({"file": {}})


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


def test_an_upload_whose_last_answer_was_lost_is_recognized_and_not_doubled() -> None:
    lost = [MaybeDone("lost"), Clash("taken", graph_code="nameAlreadyExists", status_code=409)]
    there = {f"GET {D}/items/p/children": {"value": [made()]}}
    graph = ScriptedGraph(script(**{"UPLOAD up": lost, **there}))
    written = write(graph, item())
    assert (written.id, written.outcome, written.troubles) == ("new", "created", ())
