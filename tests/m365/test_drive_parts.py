"""What a drive keeps beside the content of files: pieces of long ones, older versions, sharing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from base.item import Cause, Change, Part, Pieces, Trouble
from m365.drive import DriveSource
from m365.drive_content import ContentMismatch
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    Locked,
    ResourceGone,
    ResourceLocked,
    TransientFailure,
)
from m365.quickxorhash import QuickXorHash, as_text, joined
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.test_drive import DRIVE, FOLDER, GONE, ITEM, ROOT, START, TOP, URL, D, file

VERSIONS = f"GET {D}/items/f/versions"
PERMISSIONS = f"GET {D}/items/f/permissions"
MARK = "@microsoft.graph.sharedChanged"


def source(script: Mapping[str, Any], **choices: Any) -> tuple[DriveSource, ScriptedGraph]:
    graph = ScriptedGraph(script)
    return DriveSource(graph, DRIVE, **choices), graph


def change(raw: Mapping[str, Any], **choices: Any) -> Change:
    reader, _ = source({START: {"value": [raw], "@odata.deltaLink": "end"}}, **choices)
    (page,) = reader.changes({}, frozenset())
    (entry,) = page.entries
    assert isinstance(entry, Change)
    return entry


def fetched(
    raw: Mapping[str, Any], script: Mapping[str, Any], leave: set[str] | None = None, **choices: Any
) -> tuple[list[Part], list[Trouble], ScriptedGraph]:
    reader, graph = source({**TOP, **script}, **choices)
    parts, troubles = reader.fetch(change(raw, **choices), leave or ())
    return parts, troubles, graph


def read(part: Part) -> bytes:
    return part.data if isinstance(part.data, bytes) else b"".join(part.data)


# --- pieces ------------------------------------------------------------------------------------

LONG = bytes(range(256)) * 40 + b"tail"


def long_file(**more: Any) -> Pieces:
    return pieces_of(file(LONG, **more), LONG)


def pieces_of(
    raw: Mapping[str, Any], data: bytes, later: Mapping[str, Any] | None = None
) -> Pieces:
    size = raw["size"]
    script: dict[str, Any] = {ITEM: later or raw, f"{ITEM}?$select=id,{URL}": raw}
    for begin in range(0, size, 4_000):
        script[f"DOWNLOAD https://content/1?{begin}-{min(begin + 4_000, size)}"] = data
    (part,), _, _ = fetched(raw, script, piece_bytes=4_000)
    assert isinstance(part.data, Pieces)
    return part.data


def test_a_long_file_comes_in_pieces_that_are_checked_together() -> None:
    pieces = long_file()
    assert pieces.count == 3
    assert [b"".join(pieces.read(number)) for number in range(3)] == [
        LONG[:4_000], LONG[4_000:8_000], LONG[8_000:],
    ]  # fmt: skip
    pieces.check([pieces.mark(number) for number in range(3)])
    assert b"".join(long_file()) == LONG


def test_a_file_of_any_length_has_no_more_pieces_than_an_entry_can_name() -> None:
    raw = file(size=100 * 1024**3, name="film.mp4")
    first = f"DOWNLOAD https://content/1?0-{100 * 1024**3 // 400}"
    (part,), _, graph = fetched(raw, {first: b"x"})
    assert isinstance(part.data, Pieces)
    assert part.data.count == 400
    assert graph.count("DOWNLOAD") == 1  # opened, so that a refusal shows


def test_pieces_can_be_read_in_any_order_by_anybody() -> None:
    marks = {}
    for number in (2, 0, 1):
        pieces = long_file()
        assert b"".join(pieces.read(number))
        marks[number] = pieces.mark(number)
    long_file().check([marks[number] for number in range(3)])


def test_pieces_of_another_file_do_not_pass_for_this_one() -> None:
    other = LONG[:5_000] + b"!" + LONG[5_001:]
    with pytest.raises(ContentMismatch):
        b"".join(pieces_of(file(LONG), other))


def test_without_a_hash_the_file_has_to_be_as_it_was() -> None:
    bare = file(LONG, file={})
    assert b"".join(pieces_of(bare, LONG)) == LONG
    with pytest.raises(ContentMismatch):
        b"".join(pieces_of(bare, LONG, later={**bare, "cTag": "c2"}))


@pytest.mark.parametrize("cuts", [[0], [1], [160], [159, 161, 4_096], [20_480, 20_481]])
def test_the_hash_of_a_whole_follows_from_its_pieces(cuts: list[int]) -> None:
    data = bytes(range(251)) * 100
    vectors, begins = [], [0, *cuts]
    for begin, end in zip(begins, [*cuts, len(data)], strict=True):
        hasher = QuickXorHash(begin)
        hasher.update(data[begin:end])
        vectors.append(hasher.vector())
    whole = QuickXorHash()
    whole.update(data)
    assert as_text(joined(vectors, len(data))) == whole.base64()


# --- versions ----------------------------------------------------------------------------------


def version(number: str, size: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "size": size, "lastModifiedDateTime": f"2026-01-0{number[0]}T00:00:00Z",
        "lastModifiedBy": {"user": {"displayName": "Ada"}}, **more,
    }  # fmt: skip


HISTORY = {
    VERSIONS: {"value": [version("3.0"), version("2.0")], "@odata.nextLink": "v2"},
    "GET v2": {"value": [version("1.0")]},
    "DOWNLOAD https://content/1": b"data",
    f"LOCATION {D}/items/f/versions/2.0/content": "https://content/v2",
    f"LOCATION {D}/items/f/versions/1.0/content": "https://content/v1",
    "DOWNLOAD https://content/v2": b"two",
    "DOWNLOAD https://content/v1": b"one",
}


def test_older_versions_are_parts_newest_first_and_are_read_when_they_are_wanted() -> None:
    parts, troubles, graph = fetched(file(), HISTORY, versions="all")
    assert [part.role for part in parts] == ["content", "version", "version"]
    assert [part.meta for part in parts[1:]] == [
        {"id": "2.0", "modified": "2026-01-02T00:00:00Z", "by": "Ada", "size": 3},
        {"id": "1.0", "modified": "2026-01-01T00:00:00Z", "by": "Ada", "size": 3},
    ]
    assert not graph.count("LOCATION")
    assert [read(part) for part in parts[1:]] == [b"two", b"one"]
    assert not [call for call in graph.calls if "versions/3.0" in call]  # 400: it is the content
    assert troubles == []


def test_a_number_keeps_so_many_older_versions_and_reads_no_page_more() -> None:
    parts, _, graph = fetched(file(), HISTORY, versions=1)
    assert [part.meta["id"] for part in parts if part.role == "version"] == ["2.0"]
    assert not graph.count("GET v2")


@pytest.mark.parametrize(("wanted", "kept"), [("all", ["2.0", "1.0"]), (1, ["2.0"])])
def test_a_list_that_begins_with_the_oldest_version_loses_none(
    wanted: int | str, kept: list[str]
) -> None:
    oldest_first = {
        **HISTORY,
        VERSIONS: {"value": [version("1.0"), version("2.0")], "@odata.nextLink": "v2"},
        "GET v2": {"value": [version("3.0")]},
    }
    parts, troubles, _ = fetched(file(), oldest_first, versions=wanted)
    assert [part.meta["id"] for part in parts if part.role == "version"] == kept
    assert troubles == []


def test_without_the_choice_nobody_asks_for_versions() -> None:
    parts, _, graph = fetched(file(), HISTORY)
    assert [part.role for part in parts] == ["content"]
    assert not graph.count(VERSIONS)


def test_a_version_says_which_it_is_by_id_date_and_size() -> None:
    first = fetched(file(), HISTORY, versions="all")[0]
    other = {**HISTORY, "GET v2": {"value": [version("1.0", size=4)]}}
    second = fetched(file(), other, versions="all")[0]
    assert first[1].same == second[1].same != ""
    assert first[2].same != second[2].same


def test_versions_follow_content_and_choice_and_nothing_else() -> None:
    def printed(raw: Mapping[str, Any], versions: Any) -> str:
        return change(raw, versions=versions).prints.get("version", "")

    assert printed(file(), "all") == printed(file(name="Other.pdf", eTag="e9"), "all")
    assert printed(file(), "all") != printed(file(b"other"), "all")
    assert printed(file(), "all") != printed(file(), 5)
    assert printed(file(), "latest") == "" == printed(FOLDER, "all")


def test_a_list_of_versions_that_is_refused_costs_the_versions_alone() -> None:
    for status, cause, retry in ((400, Cause.NOT_SUPPORTED, False), (0, "graph-unstable", True)):
        problem = GraphProblem("no", status_code=status) if status else TransientFailure("no")
        parts, troubles, _ = fetched(file(), {**HISTORY, VERSIONS: problem}, versions="all")
        assert [part.role for part in parts] == ["content"]
        assert [(one.part, one.cause, one.retry) for one in troubles] == [("version", cause, retry)]


def test_versions_of_what_is_kept_back_are_not_asked_for() -> None:
    _, troubles, graph = fetched(file(malware={}), HISTORY, versions="all")
    assert [(one.part, one.cause) for one in troubles] == [
        ("content", Cause.MALWARE), ("version", Cause.MALWARE),
    ]  # fmt: skip
    assert not graph.count(VERSIONS)


def test_a_new_choice_reads_the_feed_from_nothing_once() -> None:
    begun = {START: {"value": [], "@odata.nextLink": "next"}}
    ended = {"GET next": {"value": [], "@odata.deltaLink": "end"}}
    reader, graph = source({**begun, **ended}, versions="all")
    first, _ = reader.changes({"root": "old"}, frozenset())
    assert first.reset
    again, graph = source(ended, versions="all")
    (page,) = again.changes({"root": first.link}, frozenset())
    assert (page.reset, graph.calls) == (False, ["GET next"])
    fewer, graph = source({"GET end": {"value": [], "@odata.deltaLink": "end2"}})
    (page,) = fewer.changes({"root": page.link}, frozenset())
    assert (page.reset, page.link) == (False, "end2")


# --- sharing -----------------------------------------------------------------------------------

SHARED = {"scope": "users"}
GRANTS = {
    PERMISSIONS: {"value": [{"id": "a", "roles": ["read"]}], "@odata.nextLink": "p2"},
    "GET p2": {"value": [{"id": "b", "link": {"webUrl": "https://secret"}}]},
    "DOWNLOAD https://content/1": b"data",
}


def test_permissions_are_asked_for_where_an_item_is_shared() -> None:
    (_, part), troubles, _ = fetched(file(shared=SHARED), GRANTS)
    assert part.role == "permissions"
    assert isinstance(part.data, bytes)
    assert [one["id"] for one in json.loads(part.data)] == ["a", "b"]
    assert troubles == []
    assert not fetched(file(), GRANTS)[2].count(PERMISSIONS)


def test_permissions_of_the_root_are_asked_for_once() -> None:
    parts, _, _ = fetched(ROOT, {f"GET {D}/items/r/permissions": {"value": []}})
    assert [part.role for part in parts] == ["permissions"]
    assert change(ROOT).prints == change({**ROOT, "cTag": "2", "size": 5}).prints != {}
    assert fetched(FOLDER, {})[0] == []


@pytest.mark.parametrize("mark", ["True", "true", True])
def test_the_mark_of_changed_sharing_is_a_message_and_no_property(mark: Any) -> None:
    entry = change(file(**{MARK: mark}))
    assert entry.stale == {"permissions"}
    assert MARK not in {**entry.raw, **entry.volatile, **entry.secret}
    assert change(file(**{MARK: "False"})).stale == frozenset()
    parts, _, _ = fetched(file(**{MARK: mark}), GRANTS, {"content"})
    assert [part.role for part in parts] == ["permissions"]


def test_without_the_mark_the_shared_facet_and_the_tag_of_a_shared_item_are_compared() -> None:
    before = change(file(shared=SHARED)).prints
    assert before == change(file(b"other", shared=SHARED)).prints
    assert before != change(file(shared={"scope": "organization"})).prints
    assert before != change(file(shared=SHARED, eTag="e2")).prints
    assert change(file(eTag="e2")).prints == {}


def test_permissions_that_are_refused_cost_the_permissions_alone() -> None:
    refused = Forbidden("no", graph_code="accessDenied", status_code=403)
    parts, troubles, _ = fetched(file(shared=SHARED), {**GRANTS, PERMISSIONS: refused})
    assert [part.role for part in parts] == ["content"]
    assert [(one.part, one.cause, one.retry) for one in troubles] == [
        ("permissions", Cause.FORBIDDEN, False)
    ]


def test_the_headers_of_the_feed_go_with_every_page() -> None:
    script = {
        START: {"value": [], "@odata.nextLink": "p2"},
        "GET p2": {"value": [], "@odata.deltaLink": "end"},
    }
    reader, graph = source(script)
    list(reader.changes({}, frozenset()))
    assert len(set(graph.page_sizes.values())) == 1
    for wish in ("deltashowsharingchanges", "deltashowremovedasdeleted", "hierarchicalsharing"):
        assert wish in graph.page_sizes["GET p2"]


@pytest.mark.parametrize("status", [400, 403])
def test_a_tenant_that_refuses_our_headers_is_asked_without_them(status: int) -> None:
    kind = Forbidden if status == 403 else GraphProblem
    answer = {"value": [], "@odata.nextLink": "p2"}
    reader, _ = source({START: [kind("no", status_code=status), answer], "GET p2": answer})
    page = next(iter(reader.changes({}, frozenset())))
    again, graph = source({"GET p2": {"value": [], "@odata.deltaLink": "end"}})
    list(again.changes({"root": page.link}, frozenset()))
    assert graph.page_sizes == {"GET p2": ""}


def test_a_permission_that_is_missing_altogether_is_not_the_headers_fault() -> None:
    reader, graph = source({START: Forbidden("no", status_code=403)})
    with pytest.raises(Forbidden):
        list(reader.changes({}, frozenset()))
    assert len(graph.calls) == 2


def test_an_item_of_a_drive_that_closed_is_not_the_one_that_is_gone_or_locked() -> None:
    for item, root in ((GONE, ResourceGone("no")), (Locked("no"), ResourceLocked("no"))):
        reader, _ = source({ITEM: item, f"GET {D}/root?$select=id": root})
        with pytest.raises(type(root)):
            reader.complete("f")
        with pytest.raises(type(item)):
            source({ITEM: item, **TOP})[0].complete("f")


def test_locked_permissions_are_asked_for_again() -> None:
    locked = Locked("no", graph_code="resourceLocked", status_code=423)
    _, troubles, _ = fetched(file(shared=SHARED), {**GRANTS, PERMISSIONS: locked})
    assert [(one.part, one.cause, one.retry) for one in troubles] == [
        ("permissions", Cause.LOCKED, True)
    ]


# --- packages ----------------------------------------------------------------------------------


def test_a_package_of_an_unknown_type_is_a_folder_that_may_lack_something() -> None:
    bare = {"id": "k", "name": "Thing", "package": {"type": "loop"}, "parentReference": {"id": "r"}}
    assert change(bare).kind == "folder"
    _, troubles, _ = fetched(bare, {})
    assert [(one.part, one.cause, one.retry) for one in troubles] == [
        ("package", Cause.NOT_SUPPORTED, False)
    ]
    assert fetched({**bare, "package": {"type": "oneNote"}}, {})[1] == []


def test_what_has_a_file_facet_is_a_file_whatever_else_it_is() -> None:
    assert change(file(package={"type": "other"})).kind == "file"


def test_entries_without_an_id_say_nothing() -> None:
    reader, _ = source({START: {"value": [{"name": "x"}], "@odata.deltaLink": "end"}})
    (page,) = reader.changes({}, frozenset())
    assert page.entries == ()
