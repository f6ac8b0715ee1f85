"""Lists: what Microsoft documents of them, as it comes over the wire."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.item import Change, Gone
from m365 import SERVICES
from m365.graph.errors import GraphProblem, ResourceGone, ResourceLocked
from m365.lists import ListsSource
from m365.service import Resource
from tests import project
from tests.facts.test_calendar import asked
from tests.m365.cases_lists import ListsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import stage
from tests.m365.wire_fake import Heard, Hostile, Reply, fails, says

SITE = "contoso.sharepoint.com,2C712604-1370-44E7-A1F5-426573FDA80A,2D2244C3-251A-49EA"
LISTS = f"/v1.0/sites/{SITE}/lists"
COLUMNS = [
    {"name": "Title", "displayName": "Title", "text": {}},
    {"name": "Author", "displayName": "Created By", "readOnly": True, "personOrGroup": {}},
    {"name": "Several", "lookup": {"listId": "{AAAA}", "allowMultipleValues": True}},
    {"name": "Team", "personOrGroup": {"allowMultipleSelection": True}},
    {"name": "Odd", "newFacet": {"x": 1}},
]


@pytest.fixture
def fake() -> Iterator[Hostile]:
    with Hostile() as one:
        one.on(LISTS, says({"value": [{"id": "L1", "displayName": "Books", "list": None}]}))
        one.on(f"{LISTS}/L1", says({"id": "L1", "columns": COLUMNS, "contentTypes": []}))
        yield one


def rows(fake: Hostile, *entries: dict[str, Any]) -> list[Change | Gone]:
    """What the source makes of entries of a list's feed."""
    link = f"{fake.origin}{LISTS}/L1/items/delta?token=t"
    body = {"value": list(entries), "@odata.deltaLink": link}
    fake.on(f"{LISTS}/L1/items/delta", says(body))
    source = ListsSource(fake.reader(), Resource("site", SITE))
    pages = list(source.changes({}, frozenset()))
    return [entry for page in pages if page.part == "list:L1" for entry in page.entries]


def test_the_listing_selects_system_for_hidden_lists_to_be_in_it(fake: Hostile) -> None:
    rows(fake)
    (listing,) = [path for path in fake.paths(LISTS) if path.startswith(f"{LISTS}?")]
    assert listing.endswith(",list,system")


def test_the_feed_is_asked_for_fields_in_its_first_request_and_for_nothing_in_a_link(
    fake: Hostile,
) -> None:
    link = f"{fake.origin}{LISTS}/L1/items/delta(token='a%2Bb')"
    feed = f"{LISTS}/L1/items/delta"
    fake.on(feed, says({"value": [], "@odata.nextLink": link}))
    fake.on(f"{feed}(token='a%2Bb')", says({"value": [], "@odata.deltaLink": link}))
    source = ListsSource(fake.reader(), Resource("site", SITE))
    list(source.changes({}, frozenset()))
    assert fake.paths(feed) == [f"{feed}?$expand=fields", f"{feed}(token='a%2Bb')"]


def test_deleted_rows_carry_the_facet_and_no_more_is_needed_of_them(fake: Hostile) -> None:
    gone = {"id": "3", "deleted": {"state": "deleted"}}
    assert rows(fake, gone) == [Gone("L1:3", parent="L1")]


def test_of_a_row_that_comes_twice_the_last_state_counts(fake: Hostile) -> None:
    first = {"id": "1", "fields": {"Title": "old"}}
    last = {"id": "1", "fields": {"Title": "new"}, "deleted": None}
    (found,) = rows(fake, first, {"id": "2", "deleted": {}}, last)[:1]
    assert isinstance(found, Change)
    assert found.name == "new"


@pytest.mark.parametrize("number", [4, "4"])
def test_lookups_of_several_rows_come_as_an_array(fake: Hostile, number: object) -> None:
    several = [{"LookupId": number, "LookupValue": "four"}, {"LookupId": 5, "LookupValue": "5th"}]
    (found,) = rows(fake, {"id": "1", "fields": {"Several": several, "SeveralLookupId": None}})
    assert isinstance(found, Change)
    words = [{"id": 4, "value": "four"}, {"id": 5, "value": "5th"}]
    assert found.raw["words"] == {"Several": words}


def test_a_lookup_gives_its_number_alone_as_text_or_as_a_number(fake: Hostile) -> None:
    fields = {"SeveralLookupId": ["4", 5], "AuthorLookupId": "13"}
    fake.on("/v1.0/$batch", nothing_of)
    (found,) = rows(fake, {"id": "1", "fields": fields})
    assert isinstance(found, Change)
    assert found.raw["fields"] == fields
    assert found.raw["words"] == {"Several": [{"id": 4}, {"id": 5}]}


def nothing_of(heard: Heard) -> Reply:
    """A batch of what is not there."""
    body = {"error": {"code": "itemNotFound", "message": "gone"}}
    ids = [one["id"] for one in heard.json()["requests"]]
    return says({"responses": [{"id": key, "status": 404, "body": body} for key in ids]})


def test_nulls_and_what_nobody_knows_yet_are_kept(fake: Hostile) -> None:
    raw = {
        "id": "1", "@odata.type": "#microsoft.graph.newItem", "createdBy": None,
        "contentType": None, "lastModifiedBy": {"device": {"id": "x"}}, "webUrl": None,
        "fields": {"Title": None, "Odd": {"deep": [None]}, "Team": None},
    }  # fmt: skip
    (found,) = rows(fake, raw)
    assert isinstance(found, Change)
    assert found.raw == raw
    assert found.name == "(1)"


def test_what_graph_has_no_path_for_is_not_asked_for_and_is_said() -> None:
    with stage(ListsCase()) as on:
        heard = asked(on)
        Mirror().round(on.source())
        words = ("attachment", "view", "comment", "workflow", "permission", "_api", "version")
        assert not [path for path in heard if any(word in path.lower() for word in words)]
    said = " ".join(SERVICES["lists"].not_captured).lower()
    for word in ("attached", "views", "comments", "workflows", "versions", "who may see"):
        assert word in said


@pytest.mark.parametrize("code", ["itemNotFound", "ResourceNotFound"])
def test_a_list_that_is_not_there_is_gone_and_the_site_stays(fake: Hostile, code: str) -> None:
    gone = fails(404, code)
    fake.on(f"{LISTS}/L1/items/delta", gone)
    fake.on(f"{LISTS}/L1", says({"id": "L1", "columns": COLUMNS, "contentTypes": []}), gone)
    source = ListsSource(fake.reader(), Resource("site", SITE))
    *_, last = source.changes({}, frozenset())
    assert (last.entries, last.dropped_parts) == ((Gone("L1"),), ("list:L1",))


@pytest.mark.parametrize("code", ["itemNotFound", "ResourceNotFound"])
def test_a_site_that_vanishes_during_the_run_takes_no_list_out_of_the_backup(
    fake: Hostile, code: str
) -> None:
    listing = says({"value": [{"id": "L1", "displayName": "Books"}]})
    fake.on(LISTS, listing, fails(404, code))
    fake.on(f"{LISTS}/L1/items/delta", fails(404, code))
    seen: list[Change | Gone] = []

    def read() -> None:
        for page in ListsSource(fake.reader(), Resource("site", SITE)).changes({}, frozenset()):
            seen.extend(page.entries)

    with pytest.raises(ResourceGone):
        read()
    assert not [entry for entry in seen if isinstance(entry, Gone)]


@pytest.mark.parametrize(("status", "code"), [(423, "notAllowed"), (403, "resourceLocked")])
def test_a_locked_site_is_locked_as_a_whole(fake: Hostile, status: int, code: str) -> None:
    fake.on(LISTS, fails(status, code))
    with pytest.raises(ResourceLocked):
        list(ListsSource(fake.reader(), Resource("site", SITE)).changes({}, frozenset()))


@pytest.mark.parametrize("status", [400, 405, 501])
def test_where_a_list_does_not_expand_its_columns_are_asked_for(fake: Hostile, status: int) -> None:
    fake.on(f"{LISTS}/L1", fails(status, "notSupported"))
    fake.on(f"{LISTS}/L1/columns", says({"value": COLUMNS}))
    fake.on(f"{LISTS}/L1/contentTypes", says({"value": []}))
    source = ListsSource(fake.reader(), Resource("site", SITE))
    link = f"{fake.origin}{LISTS}/L1/items/delta?token=t"
    fake.on(f"{LISTS}/L1/items/delta", says({"value": [], "@odata.deltaLink": link}))
    entries = [one for page in source.changes({}, frozenset()) for one in page.entries]
    assert isinstance(entries[1], Change)
    assert entries[1].raw["columns"] == COLUMNS


def test_columns_that_come_on_several_pages_are_all_kept(fake: Hostile) -> None:
    more = f"{fake.origin}{LISTS}/L1/columns?$skiptoken=2"
    cut = {"id": "L1", "columns": COLUMNS[:1], "columns@odata.nextLink": more}
    fake.on(f"{LISTS}/L1", says({**cut, "contentTypes": []}))
    half = {"value": COLUMNS[:2], "@odata.nextLink": more}
    fake.on(f"{LISTS}/L1/columns", says(half), says({"value": COLUMNS[2:]}))
    feed = f"{fake.origin}{LISTS}/L1/items/delta?token=t"
    fake.on(f"{LISTS}/L1/items/delta", says({"value": [], "@odata.deltaLink": feed}))
    source = ListsSource(fake.reader(), Resource("site", SITE))
    entries = [one for page in source.changes({}, frozenset()) for one in page.entries]
    assert [one.raw["columns"] for one in entries if isinstance(one, Change) and one.parent] == [
        COLUMNS
    ]


def test_long_texts_and_names_with_codes_in_them_are_kept_to_the_letter(fake: Hostile) -> None:
    fields = {"Title": "", "A_x0020_b_x005f_": "\U0001f600" * 40_000, "C@odata.type": "#x"}
    (found,) = rows(fake, {"id": "7", "fields": fields, "webUrl": f"https://x/{'p' * 400}"})
    assert isinstance(found, Change)
    assert (found.raw["fields"], found.name) == (fields, "(7)")


def test_a_list_that_is_locked_ends_no_feed_and_takes_nothing_out(fake: Hostile) -> None:
    fake.on(f"{LISTS}/L1/items/delta", fails(423, "resourceLocked"))
    source, seen = ListsSource(fake.reader(), Resource("site", SITE)), []

    def read() -> None:
        for page in source.changes({}, frozenset()):
            seen.append(page)

    with pytest.raises(GraphProblem):
        read()
    assert not [one for page in seen for one in page.entries if isinstance(one, Gone)]
    assert not [page for page in seen if page.dropped_parts]


SCHEMAS = ("list", "listInfo", "columnDefinition", "listItem", "contentType")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_property_graph_knows_of_lists_has_its_line_in_the_documentation(schema: str) -> None:
    paths = os.environ.get("HOLDFAST_GRAPH_OPENAPI", "").split(os.pathsep)
    path = next((one for one in paths if "v1.0" in one), "")
    if not path:
        pytest.skip("HOLDFAST_GRAPH_OPENAPI names no document")
    known = json.loads(Path(path).read_text("utf-8"))["components"]["schemas"]
    text = project.text("docs/services/lists.md")
    assert {one for one in properties(known, schema) if f"`{one}`" not in text} == set()


def properties(known: dict[str, Any], name: str) -> set[str]:
    """All properties of a type, inherited ones too."""
    found: set[str] = set()
    todo = [known[f"microsoft.graph.{name}"]]
    while todo:
        one = todo.pop()
        todo += one.get("allOf", ())
        if "$ref" in one:
            todo.append(known[one["$ref"].rpartition("/")[2]])
        found |= {key for key in one.get("properties", ()) if not key.startswith("@")}
    return found
