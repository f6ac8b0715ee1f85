"""The feed of a drive and its files: what the source makes of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from base.errors import Throttled
from base.item import Cause, Change, Gone
from m365.drive import DriveSource
from m365.drive_content import PIECE_BYTES, SMALL_BYTES, ContentMismatch
from m365.graph.download import Changed
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    LinkExpired,
    Locked,
    Malware,
    ResourceGone,
    ResourceLocked,
    ResyncNeeded,
    TransientFailure,
)
from m365.quickxorhash import QuickXorHash
from m365.service import Resource
from tests.m365.scripted_graph import ScriptedGraph

DRIVE = Resource("drive", "b!d1")
D = "/drives/b!d1"
START = f"GET {D}/root/delta"
URL = "@microsoft.graph.downloadUrl"
ASK = f"GET {D}/items/f?$select=id,{URL}"
ITEM = f"GET {D}/items/f"
TOP = {f"GET {D}/root?$select=id": {"id": "r"}}  # the drive is there
CHANGED = Changed("another size")
GONE = ItemGone("gone", graph_code="itemNotFound", status_code=404)


def hash_of(data: bytes) -> str:
    hasher = QuickXorHash()
    hasher.update(data)
    return hasher.base64()


def file(data: bytes = b"data", /, **more: Any) -> dict[str, Any]:
    return {
        "id": "f",
        "name": "Plan.pdf",
        "size": len(data),
        "eTag": "e1",
        "cTag": "c1",
        "parentReference": {"id": "p", "driveId": "b!d1"},
        "file": {"mimeType": "application/pdf", "hashes": {"quickXorHash": hash_of(data)}},
        "fileSystemInfo": {
            "createdDateTime": "2026-01-01T00:00:00Z",
            "lastModifiedDateTime": "2026-01-02T00:00:00Z",
        },
        "lastModifiedBy": {"user": {"displayName": "Ada"}},
        URL: "https://content/1",
        **more,
    }


FOLDER = {
    "id": "p",
    "name": "Docs",
    "folder": {"childCount": 1},
    "size": 4,
    "eTag": "e2",
    "parentReference": {"id": "r"},
}
ROOT = {"id": "r", "name": "root", "root": {}, "folder": {}, "parentReference": {"driveId": "b!d1"}}


def source(script: Mapping[str, Any]) -> tuple[DriveSource, ScriptedGraph]:
    graph = ScriptedGraph(script)
    return DriveSource(graph, DRIVE), graph


def change(raw: Mapping[str, Any]) -> Change:
    reader, _ = source({START: {"value": [raw], "@odata.deltaLink": "end"}})
    (page,) = reader.changes({}, frozenset())
    (entry,) = page.entries
    assert isinstance(entry, Change)
    return entry


# --- the feed ----------------------------------------------------------------------------------


def test_a_first_round_starts_with_a_reset_of_the_whole_drive() -> None:
    reader, _ = source(
        {
            START: {"value": [ROOT, FOLDER], "@odata.nextLink": "p2"},
            "GET p2": {"value": [file()], "@odata.deltaLink": "end"},
        }
    )
    first, second = reader.changes({}, frozenset())
    assert (first.part, first.reset, first.scope, first.link, first.more) == (
        "root", True, None, "p2", True,
    )  # fmt: skip
    assert (second.reset, second.link, second.more) == (False, "end", False)


def test_a_later_round_follows_its_link_in_one_request() -> None:
    reader, graph = source({"GET end": {"value": [], "@odata.deltaLink": "end2"}})
    (page,) = reader.changes({"root": "end"}, frozenset())
    assert (page.reset, page.more, page.link) == (False, False, "end2")
    assert graph.calls == ["GET end"]


def test_a_finished_feed_is_not_asked_again() -> None:
    reader, graph = source({})
    assert list(reader.changes({"root": "end"}, frozenset(("root",)))) == []
    assert graph.calls == []


@pytest.mark.parametrize("upload_differences", [False, True])
def test_a_lost_token_starts_anew_where_the_service_says(upload_differences: bool) -> None:
    lost = ResyncNeeded(
        "lost", location="fresh", upload_differences=upload_differences, status_code=410
    )
    reader, _ = source(
        {"GET end": lost, "GET fresh": {"value": [ROOT], "@odata.deltaLink": "end2"}}
    )
    (page,) = reader.changes({"root": "end"}, frozenset())
    assert (page.reset, page.scope, page.link) == (True, None, "end2")


def test_a_lost_token_without_a_location_starts_at_the_root() -> None:
    reader, _ = source(
        {
            "GET end": ResyncNeeded("lost", status_code=410),
            START: {"value": [], "@odata.deltaLink": "end2"},
        }
    )
    (page,) = reader.changes({"root": "end"}, frozenset())
    assert page.reset


def test_a_service_that_always_forgets_is_not_asked_forever() -> None:
    reader, graph = source({START: ResyncNeeded("lost", status_code=410)})
    with pytest.raises(ResyncNeeded):
        list(reader.changes({}, frozenset()))
    assert len(graph.calls) == 3


def test_deleted_items_are_gone_even_without_a_name() -> None:
    deleted = {"id": "x", "deleted": {"state": "deleted"}}
    empty = {"id": "y", "deleted": {}}
    reader, _ = source({START: {"value": [deleted, empty], "@odata.deltaLink": "end"}})
    (page,) = reader.changes({}, frozenset())
    assert page.entries == (Gone("x"), Gone("y"))


def test_the_root_has_no_parent_and_folders_carry_no_sizes_that_change() -> None:
    assert (change(ROOT).parent, change(ROOT).kind) == ("", "folder")
    folder = change(FOLDER)
    assert (folder.parent, folder.kind) == ("r", "folder")
    assert "size" not in folder.raw


def test_download_addresses_are_secrets_and_tags_volatile() -> None:
    entry = change(file(**{"@content.downloadUrl": "https://content/2"}))
    assert set(entry.secret) == {URL, "@content.downloadUrl"}
    assert not [name for name in (*entry.raw, *entry.volatile, *entry.row) if "ownload" in name]
    assert set(entry.volatile) == {"eTag", "cTag"}


def test_a_file_is_described_by_what_its_owner_sees() -> None:
    entry = change(file())
    assert entry.row == {
        "size": 4, "modified": "2026-01-02T00:00:00Z", "created": "2026-01-01T00:00:00Z",
        "type": "application/pdf", "by": "Ada",
    }  # fmt: skip


def test_a_package_is_a_folder_and_a_shortcut_a_file() -> None:
    notebook = change({**FOLDER, "folder": None, "package": {"type": "oneNote"}})
    assert (notebook.kind, notebook.row["package"]) == ("folder", "oneNote")
    shortcut = {"id": "s", "name": "S", "remoteItem": {"id": "x", "folder": {}}, "folder": {}}
    assert change({**shortcut, "parentReference": {"id": "r"}}).kind == "file"


def test_the_fingerprint_follows_content_and_not_metadata() -> None:
    renamed = file(name="Other.pdf", eTag="e9", cTag="c9", parentReference={"id": "q"})
    assert change(renamed).fingerprint == change(file()).fingerprint != ""
    assert change(file(b"other")).fingerprint != change(file()).fingerprint


def test_without_a_hash_the_tags_decide() -> None:
    bare = file(file={"mimeType": "application/pdf"})
    assert change(bare).fingerprint == "cTag:c1"
    assert change({**bare, "cTag": "c2"}).fingerprint != change(bare).fingerprint
    del bare["cTag"]
    assert change(bare).fingerprint == "eTag:e1"
    del bare["eTag"]
    assert change(bare).fingerprint == ""


# --- content -----------------------------------------------------------------------------------


def fetched(
    raw: Mapping[str, Any], script: Mapping[str, Any]
) -> tuple[list[bytes], list[Any], ScriptedGraph]:
    reader, graph = source(script)
    parts, troubles = reader.fetch(change(raw))
    data = [part.data if isinstance(part.data, bytes) else b"".join(part.data) for part in parts]
    return data, troubles, graph


def test_a_file_is_read_from_the_address_its_page_gave() -> None:
    data, troubles, graph = fetched(file(), {"DOWNLOAD https://content/1": b"data"})
    assert (data, troubles) == ([b"data"], [])
    assert len(graph.calls) == 1


def test_an_empty_file_costs_no_request() -> None:
    data, troubles, graph = fetched(file(b""), {})
    assert (data, troubles, graph.calls) == ([b""], [], [])


def without_url(**more: Any) -> dict[str, Any]:
    raw = file(**more)
    del raw[URL]
    return raw


def test_a_missing_address_is_asked_of_the_item_alone() -> None:
    data, _, graph = fetched(
        without_url(),
        {ASK: {"id": "f", URL: "https://content/9"}, "DOWNLOAD https://content/9": b"data"},
    )
    assert data == [b"data"]
    assert len(graph.calls) == 2


def test_an_address_that_nobody_should_follow_is_asked_for_anew() -> None:
    data, troubles, _ = fetched(
        file(**{URL: "https://private/1"}),
        {
            ASK: {"id": "f", URL: "https://private/2"},
            f"LOCATION {D}/items/f/content": "https://content/8",
            "DOWNLOAD https://content/8": b"data",
        },
    )
    assert (data, troubles) == ([b"data"], [])


def test_the_last_resort_for_an_address_is_where_content_redirects_to() -> None:
    data, _, _ = fetched(
        without_url(),
        {
            ASK: {"id": "f"},
            f"LOCATION {D}/items/f/content": "https://content/8",
            "DOWNLOAD https://content/8": b"data",
        },
    )
    assert data == [b"data"]


def test_bytes_that_do_not_match_are_read_once_more_with_what_is_true_now() -> None:
    data, troubles, _ = fetched(
        file(),
        {
            "DOWNLOAD https://content/1": b"DATA",
            ITEM: file(b"DATA", **{URL: "https://content/2"}),
            "DOWNLOAD https://content/2": b"DATA",
        },
    )
    assert (data, troubles) == ([b"DATA"], [])


def test_bytes_that_never_match_are_not_content() -> None:
    wrong = {"DOWNLOAD https://content/1": b"DATA", ITEM: file()}
    data, troubles, graph = fetched(file(), wrong)
    assert data == []
    assert [(one.cause, one.retry) for one in troubles] == [("content-mismatch", True)]
    assert graph.count("DOWNLOAD") == 2


def test_a_large_file_is_streamed_and_refused_at_its_end_when_it_does_not_match() -> None:
    size = SMALL_BYTES + 1
    raw = file(b"x" * size)
    good, _, _ = fetched(raw, {"DOWNLOAD https://content/1": b"x" * size})
    assert len(good[0]) == size
    reader, _ = source({"DOWNLOAD https://content/1": b"y" * size})
    (part,), _ = reader.fetch(change(raw))
    assert isinstance(part.data, Iterator)
    with pytest.raises(ContentMismatch):
        list(part.data)


@pytest.mark.parametrize(
    ("problem", "cause", "retry"),
    [(Malware("no", graph_code="malwareDetected", status_code=403), Cause.MALWARE, False),
     (Locked("no", graph_code="resourceLocked", status_code=423), Cause.LOCKED, True)],
)  # fmt: skip
def test_documented_refusals_have_their_causes(
    problem: Exception, cause: Cause, retry: bool
) -> None:
    _, troubles, _ = fetched(file(), {"DOWNLOAD https://content/1": problem, **TOP})
    assert [(one.cause, one.retry, one.part) for one in troubles] == [(cause, retry, "content")]


@pytest.mark.parametrize(
    ("problem", "root"),
    [(Locked("no", status_code=423), ResourceLocked("no", status_code=423)),
     (GONE, ResourceGone("no", status_code=404))],
)  # fmt: skip
def test_a_drive_that_is_locked_or_gone_is_not_a_trouble_of_every_file(
    problem: Exception, root: Exception
) -> None:
    with pytest.raises(type(root)):
        fetched(file(), {"DOWNLOAD https://content/1": problem, f"GET {D}/root?$select=id": root})


def test_a_large_part_of_a_notebook_is_refused_in_any_way() -> None:
    raw = file(name="Notes.one", size=2 * 1024**3 + 1)
    refused = GraphProblem("no", status_code=400)
    _, troubles, _ = fetched(
        raw, {f"DOWNLOAD https://content/1?0-{PIECE_BYTES}": refused, ITEM: raw}
    )
    assert [(one.cause, one.retry) for one in troubles] == [(Cause.NOT_DOWNLOADABLE, False)]


def test_an_office_file_whose_size_the_feed_has_wrong_is_kept_as_it_is_handed_out() -> None:
    raw = file(name="Plan.docx", size=5)
    reader, _ = source({"DOWNLOAD https://content/1": b"DATA", ITEM: raw})
    (part,), troubles = reader.fetch(change(raw))
    assert not isinstance(part.data, bytes)
    assert (b"".join(part.data), troubles) == (b"DATA", [])
    assert part.meta == {"quickXorHash": hash_of(b"DATA")}


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_file_whose_size_the_feed_has_wrong_is_kept_where_its_hash_is_right(size: int) -> None:
    raw = file(size=size)
    data, troubles, _ = fetched(raw, {"DOWNLOAD https://content/1": b"data", ITEM: raw})
    assert (data, troubles) == ([b"data"], [])
    data, troubles, _ = fetched(raw, {"DOWNLOAD https://content/1": b"DATA", ITEM: raw})
    assert (data, [one.cause for one in troubles]) == ([], ["content-mismatch"])


@pytest.mark.parametrize("raw", [file(b"DATA", size=5), file(b"DATA", size=5, file={})])
def test_a_size_that_is_wrong_proves_nothing_without_the_hash(raw: dict[str, Any]) -> None:
    script = {"DOWNLOAD https://content/1": [CHANGED, CHANGED, b"else"], ITEM: raw}
    reader, _ = source(script)
    parts, troubles = reader.fetch(change(raw))
    if parts:
        with pytest.raises(ContentMismatch):
            b"".join(parts[0].data)  # type: ignore[arg-type]
    else:
        assert [(one.cause, one.retry) for one in troubles] == [("content-changed", True)]


def test_a_large_office_file_whose_hash_the_feed_has_wrong_is_kept_with_its_own() -> None:
    told, true = b"x" * (SMALL_BYTES + 1), b"y" * (SMALL_BYTES + 1)
    reader, _ = source({"DOWNLOAD https://content/1": true})
    (part,), _ = reader.fetch(change(file(told, name="Plan.docx")))
    assert not isinstance(part.data, bytes)
    assert b"".join(part.data) == true
    assert part.meta == {"quickXorHash": hash_of(true)}


def test_what_has_no_facet_and_no_bytes_has_no_content() -> None:
    raw = file(file=None)
    _, troubles, _ = fetched(
        raw, {"DOWNLOAD https://content/1": GraphProblem("no", status_code=400)}
    )
    assert [(one.cause, one.retry) for one in troubles] == [(Cause.NO_CONTENT, False)]


def test_a_refusal_of_a_large_file_shows_before_its_bytes_are_stored() -> None:
    raw = file(b"x" * (SMALL_BYTES + 1))
    _, troubles, _ = fetched(raw, {"DOWNLOAD https://content/1": Malware("no", status_code=403)})
    assert [one.cause for one in troubles] == [Cause.MALWARE]


def test_known_malware_is_not_asked_for() -> None:
    _, troubles, graph = fetched(file(malware={"description": "x"}), {})
    assert [one.cause for one in troubles] == [Cause.MALWARE]
    assert graph.calls == []


def test_a_shortcut_has_no_content_here() -> None:
    _, troubles, graph = fetched(file(remoteItem={"id": "x"}), {})
    assert [one.cause for one in troubles] == [Cause.NOT_SUPPORTED]
    assert graph.calls == []


def test_one_forbidden_file_is_told_apart_from_a_lost_permission() -> None:
    refused = Forbidden("no", graph_code="accessDenied", status_code=403)
    _, troubles, _ = fetched(file(), {"DOWNLOAD https://content/1": refused, ITEM: file()})
    assert [(one.cause, one.retry) for one in troubles] == [(Cause.FORBIDDEN, False)]
    with pytest.raises(Forbidden):
        fetched(file(), {"DOWNLOAD https://content/1": refused, ITEM: refused})


@pytest.mark.parametrize(
    "problem",
    [TransientFailure("no", status_code=503), LinkExpired("no", status_code=404), GONE],
)
def test_parts_of_notebooks_that_are_refused_for_ever_have_a_cause(problem: Exception) -> None:
    raw = file(name="Notes.one")
    _, troubles, _ = fetched(raw, {"DOWNLOAD https://content/1": problem, ITEM: raw, **TOP})
    assert [(one.cause, one.retry) for one in troubles] == [(Cause.NOT_DOWNLOADABLE, False)]


def test_part_of_a_notebook_that_is_gone_is_gone() -> None:
    with pytest.raises(ItemGone):
        fetched(file(name="Notes.one"), {"DOWNLOAD https://content/1": GONE, ITEM: GONE, **TOP})


@pytest.mark.parametrize("problem", [GONE, Throttled("wait", 30.0)])
def test_vanished_files_and_pauses_are_not_troubles(problem: Exception) -> None:
    with pytest.raises(type(problem)):
        fetched(file(), {"DOWNLOAD https://content/1": problem, **TOP})


def test_a_passing_failure_is_tried_again_in_the_next_run() -> None:
    unstable = TransientFailure("no", status_code=500)
    _, troubles, _ = fetched(file(), {"DOWNLOAD https://content/1": unstable})
    assert [(one.cause, one.retry) for one in troubles] == [("graph-unstable", True)]
