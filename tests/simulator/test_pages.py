"""Site pages of the simulated tenant."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from simulator import Tenant, hostile, openapi, serve
from simulator.pages_content import EVENTS, fill_pages, pages_month, pages_truth
from simulator.pages_state import site_pages
from simulator.sites import add_site, archive_site, lock_site
from tests.simulator.wire import Wire

TYPE = "#microsoft.graph.sitePage"
CAST = "microsoft.graph.sitePage"


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def site(tenant):
    tenant.add_user("Adele Vance")
    made = add_site(tenant, "Harbour", "https://contoso.sharepoint.com/sites/harbour")
    fill_pages(tenant, made, random.Random(1), 14, special=True)
    return made


@pytest.fixture
def wire(tenant, site):
    with serve(tenant) as running:
        yield Wire(running)


def everything(wire, url):
    pages, _ = wire.walk(url)
    return [entry for page in pages for entry in page]


def part(kind):
    return {"@odata.type": "#microsoft.graph.standardWebPart", "id": "x", "webPartType": kind}


def body(name="New.aspx", *parts, **more):
    canvas = {
        "horizontalSections": [{"id": "1", "columns": [{"id": "1", "webparts": list(parts)}]}]
    }
    return {"@odata.type": TYPE, "name": name, "title": "New", "canvasLayout": canvas, **more}


def test_pages_are_listed_by_name_over_empty_and_short_pages_in_any_spelling(wire, tenant, site):
    tenant.quirks = hostile()
    for cast in (CAST, "graph.sitePage"):
        found = everything(wire, f"/sites/{site}/pages/{cast}")
        names = [one["name"].lower() for one in found]
        assert names == sorted(names)
        assert {one["id"] for one in found} == set(site_pages(tenant, site).pages)
        assert not any("canvasLayout" in one for one in found)
    assert {one["@odata.type"] for one in everything(wire, f"/sites/{site}/pages")} == {TYPE}


def test_a_canvas_comes_only_where_it_is_expanded_and_in_two_spellings(wire, tenant, site):
    spellings = Counter()
    for page in site_pages(tenant, site).pages.values():
        path = f"/sites/{site}/pages/{page.id}/{CAST}"
        assert "canvasLayout" not in wire.get(path)
        whole = wire.get(f"{path}?$expand=canvasLayout")
        for section in whole.get("canvasLayout", {}).get("horizontalSections", ()):
            parts = [one for column in section["columns"] for one in column["webparts"]]
            spellings.update(one["@odata.type"] for one in parts)
    assert spellings["#oneDrive.textWebPart"] > 0
    assert spellings["#microsoft.graph.textWebPart"] > 0
    assert wire.code("GET", f"/sites/{site}/pages/{page.id}?$expand=canvasLayout")[0] == 400


def test_a_page_is_made_published_changed_and_deleted(wire, tenant, site):
    text = {"@odata.type": "#microsoft.graph.textWebPart", "id": "t", "innerHtml": "<p>x</p>"}
    made = wire.post(f"/sites/{site}/pages", body("New.aspx", text))
    path = f"/sites/{site}/pages/{made['id']}"
    assert made["publishingState"] == {"level": "draft", "versionId": "0.1"}
    assert wire.send("POST", f"{path}/{CAST}/publish").status == 204
    assert wire.get(f"{path}/{CAST}")["publishingState"]["versionId"] == "1.0"
    changed = wire.send("PATCH", f"{path}/{CAST}", {"@odata.type": TYPE, "title": "Other"}).json()
    assert (changed["title"], changed["publishingState"]["level"]) == ("Other", "draft")
    assert changed["eTag"] != made["eTag"]
    assert wire.send("DELETE", path).status == 204
    assert wire.code("GET", f"{path}/{CAST}") == (404, "itemNotFound")


def test_what_no_application_may_put_on_a_page_is_refused(wire, site):
    pages = f"/sites/{site}/pages"
    assert wire.code("POST", pages, body("A.aspx", part(EVENTS)))[0] == 400
    assert (
        wire.code("POST", pages, body("A.aspx", {"@odata.type": "#microsoft.graph.new"}))[0] == 400
    )
    assert wire.code("POST", pages, {"name": "A.aspx", "title": "A"})[0] == 400
    assert wire.code("POST", pages, body("A.aspx", pageLayout="microsoftReserved"))[0] == 400
    wire.post(pages, body("A.aspx"))
    assert wire.code("POST", pages, body("a.ASPX")) == (409, "nameAlreadyExists")
    assert "A.aspx" in {one["name"] for one in everything(wire, f"{pages}/{CAST}")}


def test_locks_archives_and_missing_libraries_refuse_pages(wire, tenant, site):
    path = f"/sites/{site}/pages/{CAST}"
    site_pages(tenant, site).library = False
    assert wire.code("GET", path) == (404, "itemNotFound")
    archive_site(tenant, site)
    assert wire.code("GET", path)[0] == 403
    lock_site(tenant, site)
    assert wire.code("GET", path)[0] == 423


def test_reading_needs_a_role_and_writing_another(tenant, site):
    with serve(tenant) as running:
        reader = Wire(running, tenant.add_app("Reader", ("Sites.Read.All",)))
        assert reader.get(f"/sites/{site}/pages/{CAST}")["value"]
        assert reader.code("POST", f"/sites/{site}/pages", body()) == (403, "accessDenied")
        nobody = Wire(running, tenant.add_app("Nobody", ("User.Read.All",)))
        assert nobody.code("GET", f"/sites/{site}/pages/{CAST}")[0] == 403


def test_a_month_changes_pages_and_the_truth_has_all_of_them(wire, tenant, site):
    before = pages_truth(tenant)[site]
    tenant.room["months"] = 1
    done = Counter()
    pages_month(tenant, random.Random(1), done)
    after = pages_truth(tenant)[site]
    assert {"pages edited", "pages deleted", "pages made"} <= set(done)
    assert before != after
    listed = {one["id"]: one for one in everything(wire, f"/sites/{site}/pages/{CAST}")}
    assert set(listed) == {one["id"] for one in after}
    for one in after:
        assert {k: v for k, v in one.items() if k not in ("canvas", "readable")} == listed[
            one["id"]
        ]


def test_answers_fit_the_schema(wire, tenant, site):
    names = os.environ.get(openapi.ENVIRONMENT, "")
    paths = [Path(one) for one in names.split(os.pathsep) if "v1.0" in one]
    if not paths:
        pytest.skip(f"{openapi.ENVIRONMENT} names no document")
    document = openapi._Document(paths[0]).load()
    schema = {"$ref": "#/components/schemas/microsoft.graph.sitePage"}
    for page in site_pages(tenant, site).pages.values():
        whole = wire.get(f"/sites/{site}/pages/{page.id}/{CAST}?$expand=canvasLayout")
        assert openapi._mismatch(document, schema, whole, "answer", 0) is None
