"""Site pages beyond the suite: what lists tell, what they hide, and odd answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base.errors import Throttled
from base.item import Cause, Change, FeedPage, Gone
from m365.graph.errors import (
    AnswerTooLarge,
    Forbidden,
    GatewayTimeout,
    GraphProblem,
    ItemGone,
    Locked,
    ResourceGone,
    TransientFailure,
)
from m365.pages import PagesSource
from m365.service import Resource
from simulator.pages_state import Page, SitePages, add_page, holders, site_pages
from simulator.sites import delete_site, lock_site
from tests.m365.mirror import Mirror
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.stage import Stage, stage
from tests.m365.test_services import CASES

CASE = CASES["pages"]
S = "/sites/contoso.example,c,w"
CAST = "microsoft.graph.sitePage"
LIST = f"GET {S}/pages/{CAST}?$top=200"
GONE = ItemGone("gone", graph_code="itemNotFound", status_code=404)
ABSENT = ResourceGone("gone", graph_code="ResourceNotFound", status_code=404)
READ = "GET /sites/{site}/pages/{page}/sitePage"
LISTED = "GET /sites/{site}/pages/sitePage"


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        for page in of(staged).pages.values():
            page.silent = False
        yield staged


def of(on: Stage) -> SitePages:
    return site_pages(on.tenant, on.resource.graph_id)


def first(on: Stage, mirror: Mirror) -> Page:
    return next(page for page in of(on).pages.values() if page.canvas)


def read(on: Stage) -> Mirror:
    mirror = Mirror()
    assert mirror.round(on.source())
    on.tenant.counters.requests.clear()
    return mirror


def edit(on: Stage, page: Page) -> None:
    assert page.canvas is not None
    holders(page.canvas)[0]["webparts"].append({"id": "new", "innerHtml": "<p>new</p>"})
    page.edit(on.tenant.clock.stamp())


def listed(key: str, told: str = "1", **more: Any) -> dict[str, Any]:
    return {"id": key, "name": f"{key}.aspx", "title": key, "eTag": told, **more}


def whole(key: str, words: str = "hello", **more: Any) -> dict[str, Any]:
    parts = [{"@odata.type": "#oneDrive.textWebPart", "id": "1", "innerHtml": words}]
    canvas = {"horizontalSections": [{"id": "1", "columns": [{"id": "1", "webparts": parts}]}]}
    return {**listed(key), "canvasLayout": canvas, **more}


def site(*pages: dict[str, Any], **changes: Any) -> ScriptedGraph:
    """A site whose list names pages; each is read as whole() has it."""
    script: dict[str, Any] = {LIST: {"value": list(pages)}}
    for one in pages:
        script[f"{at(one['id'])}?$expand=canvasLayout"] = whole(str(one["id"]))
        script[at(one["id"])] = one
    return ScriptedGraph({**script, **changes})


def at(key: str) -> str:
    return f"GET {S}/pages/{key}/{CAST}"


def canvas_of(key: str) -> str:
    return f"{at(key)}?$expand=canvasLayout"


def source(graph: ScriptedGraph) -> PagesSource:
    return PagesSource(graph, Resource("site", "contoso.example,c,w"))


def run(graph: ScriptedGraph, link: str = "") -> list[FeedPage]:
    return list(source(graph).changes({"pages": link} if link else {}, frozenset()))


def told(pages: list[FeedPage]) -> list[str]:
    return [
        f"gone {entry.id}" if isinstance(entry, Gone) else entry.id
        for page in pages
        for entry in page.entries
        if entry.id != "pages"
    ]


# What a round costs


def test_a_quiet_site_costs_one_request(on: Stage) -> None:
    mirror = read(on)
    assert mirror.round(on.source())
    assert on.tenant.counters.requests == {LISTED: 1}


def test_only_the_page_that_was_edited_is_read_again(on: Stage) -> None:
    mirror = read(on)
    page = first(on, mirror)
    edit(on, page)
    mirror.fetched.clear()
    assert mirror.round(on.source())
    assert on.tenant.counters.requests[READ] == 1
    assert sum(mirror.fetched.values()) == 1
    assert "new" in str(mirror.items[page.id].change.raw)


def test_a_like_is_no_news() -> None:
    link = run(site(listed("a", reactions={"likeCount": 1})))[-1].link
    graph = site(listed("a", reactions={"likeCount": 2}))
    assert told(run(graph, link)) == []
    assert graph.calls == [LIST]


def test_a_page_that_says_nothing_of_its_changes_is_read_and_told_only_when_it_is_another() -> None:
    bare = {"id": "a", "name": "a.aspx", "title": "a"}
    link = run(site(bare))[-1].link
    same, other = site(bare), site(bare, **{canvas_of("a"): whole("a", "edited")})
    pages = run(same, link)
    assert (told(pages), pages[-1].link, same.batched) == ([], link, [f"{canvas_of('a')[4:]}"])
    assert told(run(other, link)) == ["a"]


def test_five_thousand_pages_make_a_small_link_and_an_idle_round_of_their_lists_alone() -> None:
    ids = [f"{number:08d}-59d5-44ff-a038-7c0bf3098c01" for number in range(5_000)]
    chunks = [ids[start : start + 200] for start in range(0, len(ids), 200)]
    script: dict[str, Any] = {canvas_of(key): whole(key) for key in ids}
    for number, chunk in enumerate(chunks):
        link = {"@odata.nextLink": f"next{number + 1}"} if number + 1 < len(chunks) else {}
        page = {"value": [listed(key) for key in chunk], **link}
        script[LIST if number == 0 else f"GET next{number}"] = page
    graph = ScriptedGraph(script)
    pages = run(graph)
    assert len(told(pages)) == 5_000
    assert max(len(page.entries) for page in pages) <= 20
    assert len(pages[-1].link) < 300_000
    graph.calls.clear()
    again = run(graph, pages[-1].link)
    assert (told(again), again[-1].link) == ([], pages[-1].link)
    assert len(graph.calls) == 25


def test_an_interrupted_round_goes_on_with_what_it_has_not_read() -> None:
    names = [f"p{number}" for number in range(50)]
    graph = site(*map(listed, names))
    half = next(page for page in run(graph) if "p19" in {one.id for one in page.entries})
    graph.batched.clear()
    assert told(run(graph, half.link)) == names[20:]
    assert len(graph.batched) == 30


# What goes


def test_a_page_that_was_deleted_is_gone_once_it_was_asked_for(on: Stage) -> None:
    mirror = read(on)
    page = first(on, mirror)
    del of(on).pages[page.id]
    assert mirror.round(on.source())
    assert page.id not in mirror.items
    assert on.tenant.counters.requests[READ] == 1


def test_a_page_that_slipped_past_the_reader_is_not_taken_for_gone() -> None:
    link = run(site(listed("a"), listed("b")))[-1].link
    graph = site(listed("a"), **{at("b"): listed("b")})
    pages = run(graph, link)
    assert told(pages) == []
    assert "b" in pages[-1].link
    for missing in (GONE, ABSENT):
        assert told(run(site(listed("a"), **{at("b"): missing}), link)) == ["gone b"]


def test_a_site_without_a_library_has_no_pages_and_one_that_lost_it_is_gone(on: Stage) -> None:
    mirror = read(on)
    of(on).library = False
    with pytest.raises(ResourceGone):
        mirror.round(on.source())
    fresh = Mirror()
    assert fresh.round(on.source())
    assert list(fresh.items) == ["pages"]
    on.tenant.counters.requests.clear()
    assert fresh.round(on.source())
    assert sum(on.tenant.counters.requests.values()) == 2
    delete_site(on.tenant, on.resource.graph_id)
    with pytest.raises(ResourceGone):
        fresh.round(on.source())


def test_a_locked_site_is_told_as_locked(on: Stage) -> None:
    lock_site(on.tenant, on.resource.graph_id)
    with pytest.raises(GraphProblem) as raised:
        Mirror().round(on.source())
    assert raised.value.status_code == 423


# Pages that do not come whole


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (403, Cause.FORBIDDEN),
        (423, Cause.LOCKED),
        (404, ItemGone.code),
        (500, TransientFailure.code),
    ],
)
def test_a_page_whose_canvas_is_refused_is_kept_as_it_was_listed(
    on: Stage, status: int, cause: str
) -> None:
    page = next(iter(of(on).pages.values()))
    page.broken = status
    mirror = read(on)
    kept = mirror.items[page.id]
    assert [(one.part, one.cause) for one in kept.troubles] == [("canvasLayout", cause)]
    assert kept.troubles[0].retry == (status in (404, 500))
    assert kept.change.raw["title"] == page.facts["title"]
    assert "canvasLayout" not in kept.change.raw
    assert sum(not one.troubles for one in mirror.items.values()) == len(of(on).pages)
    assert mirror.round(on.source())  # it is not asked for in every round
    assert on.tenant.counters.requests == {LISTED: 1}
    page.broken = 0
    mirror.again(on.source(), page.id)
    assert mirror.items[page.id].troubles == []
    assert mirror.items[page.id].change.fingerprint


def test_a_page_that_has_no_canvas_is_whole_all_the_same() -> None:
    for bare in (listed("a"), {**listed("a"), "canvasLayout": None}):
        graph = site(listed("a"), **{canvas_of("a"): bare})
        (change,) = [one for page in run(graph) for one in page.entries if one.id == "a"]
        assert isinstance(change, Change)
        assert change.fingerprint
        assert source(graph).fetch(change) == ([], [])


def test_a_page_that_went_between_list_and_reading_is_no_trouble() -> None:
    graph = site(listed("a"), **{canvas_of("a"): GONE, at("a"): ABSENT})
    (change,) = [one for page in run(graph) for one in page.entries if one.id == "a"]
    assert isinstance(change, Change)
    with pytest.raises(ItemGone):
        source(graph).fetch(change)
    with pytest.raises(ItemGone):
        source(site(**{canvas_of("b"): ABSENT})).complete("b")


def test_a_canvas_that_fails_in_a_batch_and_not_alone_is_tried_again_next_time() -> None:
    again = TransientFailure("500", status_code=500)
    graph = site(listed("a"), **{canvas_of("a"): [again, whole("a")]})
    (change,) = [one for page in run(graph) for one in page.entries if one.id == "a"]
    assert isinstance(change, Change)
    _, (trouble,) = source(graph).fetch(change)
    assert trouble.retry
    assert "canvasLayout" in source(graph).complete("a").raw


def test_a_pause_is_handed_up_from_a_batch() -> None:
    class Paused(ScriptedGraph):
        def batch(self, *given: Any, **named: Any) -> Any:
            raise Throttled("wait", 7.0)

    with pytest.raises(Throttled):
        run(Paused({LIST: {"value": [listed("a")]}}))


# Heavy and odd answers


def test_a_list_that_is_too_heavy_is_asked_for_in_smaller_pages() -> None:
    small = {LIST.replace("200", "20"): {"value": [listed("a")]}}
    for heavy in (GatewayTimeout("504"), AnswerTooLarge("large")):
        graph = site(listed("a"), **{LIST: heavy}, **small)
        assert told(run(graph)) == ["a"]


def test_pages_too_heavy_for_a_batch_are_read_one_by_one() -> None:
    class Heavy(ScriptedGraph):
        def batch(self, *given: Any, **named: Any) -> Any:
            raise AnswerTooLarge("large")

    graph = Heavy(site(listed("a"), listed("b"), **{canvas_of("b"): Forbidden("no")}).script)
    changes = [one for page in run(graph) for one in page.entries if one.id in "ab"]
    fingerprints = [bool(one.fingerprint) for one in changes if isinstance(one, Change)]
    assert fingerprints == [True, False]


def test_odd_entries_and_repeats_do_no_harm() -> None:
    odd = {"id": "odd/é ü", "name": None, "title": None, "publishingState": "?", "eTag": "1"}
    path = f"GET {S}/pages/odd%2F%C3%A9%20%C3%BC/{CAST}?$expand=canvasLayout"
    odd_whole = {**odd, "canvasLayout": {"horizontalSections": [None, {"columns": "?"}]}}
    graph = site(listed("a"), **{path: odd_whole})
    graph.script[LIST] = {"value": [{"name": "no id"}, listed("a"), odd, listed("a")]}
    pages = run(graph)
    assert sorted(set(told(pages))) == ["a", "odd/é ü"]
    assert told(run(graph, pages[-1].link)) == []


def test_everything_graph_says_of_a_page_is_kept_web_parts_it_invents_tomorrow_too() -> None:
    odd_parts = [
        {"@odata.type": "#microsoft.graph.webPartOfTomorrow", "x": {"y": [1]}},
        {"@odata.type": "#oneDrive.textWebPart", "innerHtml": "<h1>x</h1>"},
        {},
    ]
    canvas = {"horizontalSections": [], "verticalSection": {"webparts": odd_parts}}
    graph = site(listed("a"), **{canvas_of("a"): {**listed("a"), "canvasLayout": canvas}})
    (change,) = [one for page in run(graph) for one in page.entries if one.id == "a"]
    assert isinstance(change, Change)
    assert change.raw["canvasLayout"] == canvas
    assert change.volatile == {"eTag": "1"}


def test_a_fresh_page_of_the_tenant_arrives_with_its_columns(on: Stage) -> None:
    facts = {"name": "New.aspx", "title": "Brand new", "promotionKind": "newsPost"}
    by = {"user": {"displayName": "Adele Vance"}}
    made = add_page(on.tenant, on.resource.graph_id, facts, {"horizontalSections": []}, by)
    change = read(on).items[made.id].change
    assert (change.name, change.parent) == ("New.aspx", "pages")
    assert change.row == {
        "title": "Brand new", "modified": made.modified, "author": "Adele Vance", "state": "draft",
        "promotion": "newsPost",
    }  # fmt: skip


def test_locked_pages_are_never_confused_with_a_locked_site() -> None:
    graph = site(listed("a"), **{canvas_of("a"): Locked("423", status_code=423)})
    (change,) = [one for page in run(graph) for one in page.entries if one.id == "a"]
    assert isinstance(change, Change)
    _, (trouble,) = source(graph).fetch(change)
    assert (trouble.cause, trouble.retry) == (Cause.LOCKED, False)
