"""Site pages restored: what is refused, what takes another's place, and steps that were killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base.item import StoredItem, Trouble
from m365.graph.errors import Clash, GraphProblem, ItemGone, MaybeDone
from m365.pages_writer import ASKED_MAX, PagesWriter
from m365.service import Existing, Folder, Resource, Written
from simulator.pages_content import EVENTS
from simulator.pages_state import Page, SitePages, add_page, holders, site_pages
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.stage import Stage, TenantClock, stage
from tests.m365.test_services import CASES

CASE = CASES["pages"]
TOP = Folder("pages")
IMAGE = "d1d91016-032f-456d-98a4-721247c305e8"
P = "/sites/s/pages"
CAST = "microsoft.graph.sitePage"
REFUSED = GraphProblem("refused", graph_code="invalidRequest", status_code=400)


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        staged.resource = CASE.fresh_target(staged.tenant)
        yield staged


def of(on: Stage) -> SitePages:
    return site_pages(on.tenant, on.resource.graph_id)


def writer_of(on: Stage) -> PagesWriter:
    return PagesWriter(on.writer, on.resource, TenantClock(on.tenant))


def text(words: str = "hello") -> dict[str, Any]:
    return {"@odata.type": "#oneDrive.textWebPart", "id": "t", "innerHtml": words}


def standard(kind: str, title: str = "") -> dict[str, Any]:
    data = {"title": title, "dataVersion": "1.0"}
    kind_of_part = "#microsoft.graph.standardWebPart"
    return {"@odata.type": kind_of_part, "id": "s", "webPartType": kind, "data": data}


def item(*parts: Any, name: str = "Home.aspx", **raw: Any) -> StoredItem:
    canvas = {"horizontalSections": [{"id": "1", "columns": [{"id": "1", "webparts": [*parts]}]}]}
    whole: dict[str, Any] = {
        "id": "p1", "name": name, "title": "Home", "pageLayout": "article", "canvasLayout": canvas,
        "publishingState": {"level": "published"}, "eTag": "x", "webUrl": "https://x.example",
        "createdBy": {"user": {"displayName": "Adele"}}, "createdDateTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return StoredItem("p1", "pages", "site-page", name, {}, {**whole, **raw}, ())


def write(
    on: Stage, stored: StoredItem, replace: Existing | None = None, *, new_name: bool = False
) -> Written:
    return writer_of(on).write(stored, TOP, "run:1", replace, new_name)


def page_of(on: Stage, written: Written) -> Page:
    return of(on).find(written.id)


def words(page: Page) -> list[Any]:
    assert page.canvas is not None
    parts = [part for holder in holders(page.canvas) for part in holder["webparts"]]
    return [part.get("innerHtml") or part.get("webPartType") for part in parts]


def causes(troubles: tuple[Trouble, ...]) -> list[tuple[str, str]]:
    return [(one.part, one.cause) for one in troubles]


# What comes back


def test_a_page_comes_back_published_with_its_news_its_title_area_and_both_sorts_of_parts(
    on: Stage,
) -> None:
    area = {"layout": "plain", "showAuthor": True, "@odata.context": "x"}
    stored = item(
        text(), standard(IMAGE), promotionKind="newsPost", titleArea=area, showComments=False
    )
    made = write(on, stored)
    page = page_of(on, made)
    assert (made.outcome, made.troubles) == ("created", ())
    assert page.published
    assert (page.facts["promotionKind"], page.facts["showComments"]) == ("newsPost", False)
    assert page.facts["titleArea"] == {"layout": "plain", "showAuthor": True}
    assert words(page) == ["hello", IMAGE]


@pytest.mark.parametrize("level", ["draft", "checkout", "somethingNew", None])
def test_only_what_was_published_is_published(on: Stage, level: str | None) -> None:
    state = {"level": level} if level else None
    assert not page_of(on, write(on, item(text(), publishingState=state))).published


def test_a_layout_nobody_may_set_and_missing_properties_make_an_ordinary_page(on: Stage) -> None:
    stored = item(pageLayout="microsoftReserved", title=None, promotionKind="unknownFutureValue")
    made = write(on, stored)
    assert page_of(on, made).facts["pageLayout"] == "article"
    assert page_of(on, made).facts["title"] == "Home"
    raw = {key: value for key, value in item(text()).raw.items() if key != "name"}
    nameless = StoredItem("p2", "pages", "site-page", "Said of it", {}, raw, ())
    assert page_of(on, write(on, nameless)).name == "Said of it.aspx"


def test_a_page_without_its_canvas_in_the_backup_says_so(on: Stage) -> None:
    bare = item()
    raw = {key: value for key, value in bare.raw.items() if key != "canvasLayout"}
    stored = StoredItem(
        "p1", "pages", "site-page", "Home.aspx", {}, raw, (), ("canvasLayout: locked",)
    )
    assert causes(write(on, stored).troubles) == [("canvasLayout", "not-in-the-backup")]


# What is refused


def test_web_parts_the_service_refuses_are_left_out_and_named_and_the_rest_comes_back(
    on: Stage,
) -> None:
    tomorrow = {"@odata.type": "#microsoft.graph.webPartOfTomorrow", "id": "x"}
    parts = [text("a"), standard(EVENTS), standard(IMAGE), tomorrow, text("b")]
    made = write(on, item(*parts))
    assert words(page_of(on, made)) == ["a", IMAGE, "b"]
    assert page_of(on, made).published
    assert causes(made.troubles) == [("canvasLayout", "refused")] * 2
    details = [one.detail for one in made.troubles]
    assert details[0].startswith(f"web part 2 {EVENTS}")
    assert details[1].startswith("web part 4 #microsoft.graph.webPartOfTomorrow")


def test_finding_them_takes_few_requests_and_never_more_than_the_bound(on: Stage) -> None:
    parts = [text(str(number)) for number in range(32)]
    parts[17] = standard(EVENTS)
    on.tenant.counters.requests.clear()
    assert len(words(page_of(on, write(on, item(*parts))))) == 31
    requests = on.tenant.counters.requests
    assert requests["PATCH /sites/{site}/pages/{page}/sitePage"] <= 11
    many = [standard(EVENTS) for _ in range(200)]
    on.tenant.counters.requests.clear()
    made = write(on, item(*many, name="Many.aspx"))
    assert sum(on.tenant.counters.requests.values()) <= ASKED_MAX + 5
    assert len(made.troubles) == 200
    assert {one.cause for one in made.troubles} == {"refused", "not-tried"}


def test_web_parts_the_service_drops_without_a_word_are_noticed(on: Stage) -> None:
    of(on).drops_silently = frozenset((IMAGE,))
    made = write(on, item(text(), standard(IMAGE)))
    assert causes(made.troubles) == [("canvasLayout", "not-kept")]
    assert made.troubles[0].detail == "1 of 2 web parts"


def test_a_page_that_cannot_be_published_is_there_as_a_draft(on: Stage) -> None:
    on.tenant.faults.map("/publish", "p", loop=True)
    made = write(on, item(text()))
    assert causes(made.troubles) == [("publish", "not-published")]
    assert not page_of(on, made).published


def test_changes_are_sent_without_the_type_where_the_target_knows_them_only_so() -> None:
    made = {"id": "new"}
    script = {
        f"POST {P}": [REFUSED, made],
        f"PATCH {P}/new/{CAST}": GraphProblem("no", status_code=405),
        f"PATCH {P}/new": {},
        f"GET {P}/new/{CAST}": item(text()).raw,
        f"POST {P}/new/{CAST}/publish": {},
    }
    graph = ScriptedGraph(script)
    written = PagesWriter(graph, Resource("site", "s")).write(item(text()), TOP, "m", None, False)
    assert written.troubles == ()
    assert graph.count(f"PATCH {P}/new/") == 1
    assert graph.sent(f"PATCH {P}/new")["@odata.type"] == "#microsoft.graph.sitePage"


def test_what_the_service_sets_itself_is_in_no_request() -> None:
    graph = ScriptedGraph(
        {
            f"POST {P}": {"id": "new"},
            f"GET {P}/new/{CAST}": item(text()).raw,
            f"POST {P}/new/{CAST}/publish": {},
        }
    )
    canvas = {"@odata.context": "x", "id": "1", "horizontalSections": []}
    stored = item(canvasLayout=canvas, titleArea={"a@odata.type": "x", "layout": "plain"})
    PagesWriter(graph, Resource("site", "s")).write(stored, TOP, "m", None, False)
    assert graph.sent(f"POST {P}") == {
        "@odata.type": "#microsoft.graph.sitePage", "name": "Home.aspx", "title": "Home",
        "pageLayout": "article", "titleArea": {"layout": "plain"},
        "canvasLayout": {"horizontalSections": []},
    }  # fmt: skip


# Names, and the place of another page


def held(on: Stage, **facts: Any) -> tuple[Page, Existing]:
    """A page that is there already."""
    canvas = {"horizontalSections": [{"columns": [{"webparts": [{"innerHtml": "old"}]}]}]}
    page = add_page(
        on.tenant, on.resource.graph_id, {"name": "home.aspx", "title": "Old", **facts}, canvas
    )
    (found,) = writer_of(on).existing(TOP)
    assert found.key == writer_of(on).identity(item()).key
    return page, found


def test_a_replaced_page_keeps_its_address_and_takes_over_the_content(on: Stage) -> None:
    page, found = held(on)
    made = write(on, item(text("new")), found)
    assert (made.outcome, made.id, made.troubles) == ("replaced", page.id, ())
    assert list(of(on).pages) == [page.id]
    assert (page.name, page.facts["title"], words(page)) == ("home.aspx", "Home", ["new"])
    assert page.published


def test_a_page_is_never_replaced_by_less_than_all_of_the_stored_one(on: Stage) -> None:
    page, found = held(on)
    made = write(on, item(text("new"), standard(EVENTS)), found)
    assert made.outcome == "copied"
    assert ("replace", "old-one-kept") in causes(made.troubles)
    assert words(page) == ["old"]
    assert words(page_of(on, made)) == ["new"]


def test_a_page_that_cannot_be_changed_stays_and_the_new_one_stays_beside_it(on: Stage) -> None:
    page, found = held(on)
    on.tenant.faults.map(f"PATCH .*{page.id}", "p", loop=True)
    made = write(on, item(text("new")), found)
    assert made.outcome == "copied"
    assert words(page) == ["old"]
    assert page_of(on, made).name.startswith("Home (restored ")


def test_a_news_post_stays_one_when_an_ordinary_page_takes_its_place(on: Stage) -> None:
    page, found = held(on, promotionKind="newsPost")
    made = write(on, item(text("new"), promotionKind="page"), found)
    assert (made.outcome, page.facts["promotionKind"]) == ("replaced", "newsPost")


def test_a_page_that_had_no_content_takes_the_place_of_one_that_has(on: Stage) -> None:
    page, found = held(on)
    made = write(on, item(canvasLayout=None, pageLayout="home"), found)
    assert (made.outcome, words(page)) == ("replaced", [])
    assert [one.detail for one in made.troubles] == ["pageLayout"]  # which Graph cannot change


def test_a_copy_has_a_name_that_follows_from_the_step(on: Stage) -> None:
    held(on)
    made = write(on, item(text()), new_name=True)
    assert made.outcome == "copied"
    again = write(on, item(text("again")), new_name=True)  # the same step, killed and repeated
    assert len(of(on).pages) == 2
    assert page_of(on, again).name.startswith("Home (restored ")
    assert words(page_of(on, again)) == ["again"]


def test_many_pages_beside_others_cost_one_listing(on: Stage) -> None:
    writer = writer_of(on)
    on.tenant.counters.requests.clear()
    for number in range(5):
        stored = item(text(), name=f"P{number}.aspx")
        writer.write(stored, TOP, f"run:{number}", None, new_name=True)
    assert on.tenant.counters.requests["GET /sites/{site}/pages/sitePage"] == 1


def test_a_folder_made_for_a_restore_is_the_beginning_of_names(on: Stage) -> None:
    writer = writer_of(on)
    into = writer.ensure_folder(writer.root(), "Restored in May", None)
    made = writer.write(item(text()), into, "m", None, False)
    assert page_of(on, made).name == "Restored in May - Home.aspx"
    (found,) = writer.existing(into)
    assert found.key == writer.identity(item()).key
    assert writer.original_folder(item()) == writer.root()


# Steps without an answer


def test_a_page_made_without_an_answer_is_looked_for_before_it_is_made_again() -> None:
    there = [{"id": "other", "name": "x"}, {"id": "new", "name": "HOME.aspx"}]
    graph = ScriptedGraph(
        {
            f"POST {P}": MaybeDone("no answer"),
            f"GET {P}/{CAST}": {"value": there},
            f"GET {P}/new/{CAST}": item(text()).raw,
            f"POST {P}/new/{CAST}/publish": {},
        }
    )
    written = PagesWriter(graph, Resource("site", "s")).write(item(text()), TOP, "m", None, False)
    assert written.id == "new"
    assert graph.count(f"POST {P}") == 2  # made once, published once
    graph.script[f"GET {P}/{CAST}"] = {"value": []}
    with pytest.raises(MaybeDone):
        PagesWriter(graph, Resource("site", "s")).write(item(text()), TOP, "m", None, False)


def test_a_name_that_is_taken_meanwhile_is_a_clash_and_nothing_is_made(on: Stage) -> None:
    held(on)
    with pytest.raises(Clash):
        write(on, item(text()))
    assert len(of(on).pages) == 1


def test_removing_a_page_that_is_gone_is_fine(on: Stage) -> None:
    made = write(on, item(text()))
    writer_of(on).remove(made.id)
    writer_of(on).remove(made.id)
    assert not of(on).pages
    with pytest.raises(ItemGone):
        on.source().complete(made.id)
