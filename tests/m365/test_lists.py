"""Lists read from a site: what is asked for and when, hidden lists, fields, words, lost links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from base.item import Change, FeedPage, Gone
from m365.graph.errors import ItemGone, TransientFailure
from m365.list_attachments import NEEDS_CERTIFICATE
from m365.lists import ListsSource
from simulator.lists_state import (
    SiteList,
    add_column,
    add_item,
    add_list,
    change_item,
    delete_item,
    delete_list,
    lists_of,
    person,
    quirks_of,
)
from tests.m365.cases_lists import ListsCase, object_of
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage

LISTS = "GET /sites/{site}/lists"
LIST = "GET /sites/{site}/lists/{list_}"
DELTA = "GET /sites/{site}/lists/{list_}/items/delta"
ITEM = "GET /sites/{site}/lists/{list_}/items/{item}"
ITEMS = "GET /sites/{site}/lists/{list_}/items"


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(ListsCase()) as found:
        yield found


@pytest.fixture
def mirror(on: Stage) -> Mirror:
    held = Mirror()
    assert held.round(on.source())
    on.tenant.counters.requests.clear()
    return held


def titled(on: Stage, title: str) -> SiteList:
    lists = lists_of(on.tenant, on.resource.graph_id).values()
    return next(one for one in lists if one.title == title)


def names(mirror: Mirror) -> set[str]:
    return {kept.change.name for kept in mirror.items.values() if kept.change.kind == "folder"}


def asked(on: Stage) -> Counter[str]:
    found = Counter({k: n for k, n in on.tenant.counters.requests.items() if "/lists" in k})
    on.tenant.counters.requests.clear()
    return found


def test_an_idle_run_asks_for_the_listing_once_and_for_the_feed_of_each_list(
    on: Stage, mirror: Mirror
) -> None:
    assert mirror.round(on.source())
    assert asked(on) == {LISTS: 1, DELTA: 3}


def test_columns_are_asked_for_only_of_a_list_with_news(on: Stage, mirror: Mirror) -> None:
    suppliers = titled(on, "Suppliers")
    change_item(on.tenant, suppliers, suppliers.items[1], {"Rating": 1.0})
    assert mirror.round(on.source())
    assert asked(on) == {LISTS: 1, LIST: 1, DELTA: 3}
    assert mirror.round(on.source())
    assert asked(on) == {LISTS: 1, DELTA: 3}


def test_hidden_lists_and_those_sharepoint_fills_are_left_out_unless_chosen(on: Stage) -> None:
    plain, all_of_them = Mirror(), Mirror()
    plain.round(on.source())
    assert names(plain) == {"Lists", "Suppliers", "Orders", "Watch log / Übergabe", "Documents"}
    all_of_them.round(ListsSource(on.reader, on.resource, hidden=True))
    assert names(all_of_them) - names(plain) == {
        "Site settings store", "Sharing Links", "User Information List",
    }  # fmt: skip


def test_a_policy_that_no_longer_wants_hidden_lists_lets_them_go(on: Stage) -> None:
    held = Mirror()
    held.round(ListsSource(on.reader, on.resource, hidden=True))
    held.round(on.source())
    assert names(held) == {"Lists", "Suppliers", "Orders", "Watch log / Übergabe", "Documents"}
    assert not [part for part in held.links if part.endswith(titled(on, "Sharing Links").id)]


def test_a_library_keeps_its_columns_and_no_rows(on: Stage, mirror: Mirror) -> None:
    library = titled(on, "Documents")
    stored = mirror.items[library.id].change.raw
    assert "Confidential" in {one["name"] for one in stored["columns"]}
    assert [one["name"] for one in stored["contentTypes"]] == ["Item", "Folder"]
    assert not [key for key in mirror.items if key.startswith(f"{library.id}:")]


@pytest.mark.parametrize("refused", [True, False])
def test_columns_that_do_not_come_with_the_list_are_asked_for(on: Stage, refused: bool) -> None:
    quirks_of(on.tenant).refuses_lists_expanded = refused
    on.tenant.quirks.p_short_page = 0.0 if refused else 1.0
    held = Mirror()
    held.round(on.source())
    orders = held.items[titled(on, "Orders").id].change.raw
    assert [one["name"] for one in orders["columns"]] == [
        one["name"] for one in titled(on, "Orders").columns
    ]
    assert "Express order" in {one["name"] for one in orders["contentTypes"]}


def test_rows_without_fields_are_asked_for_by_the_twenty(on: Stage) -> None:
    quirks_of(on.tenant).delta_fields = "ignored"
    held = Mirror()
    held.round(on.source())
    assert on.found(held) == on.truth()
    assert not [kept for kept in held.items.values() if kept.change.partial]


def test_what_lookups_and_people_show_is_kept_with_the_row(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    words = mirror.items[f"{orders.id}:2"].change.raw["words"]
    assert words["Supplier"] == [{"id": 2, "value": "Nordic Rope & Sail"}]
    assert words["Owner"][0]["email"] == "JrgMller@contoso.onmicrosoft.com"
    assert [one["id"] for one in words["Others"]] == [1, 3]


def test_many_words_are_read_from_their_list_and_few_one_by_one(on: Stage, mirror: Mirror) -> None:
    orders, suppliers = titled(on, "Orders"), titled(on, "Suppliers")
    for number in range(40):
        made = add_item(on.tenant, suppliers, {"Title": f"Supplier {number}"})
        add_item(on.tenant, orders, {"Title": f"More {number}", "Supplier": made.id})
    mirror.round(on.source())
    many = asked(on)
    assert many[ITEMS] == 1
    assert many[ITEM] == 0
    change_item(on.tenant, orders, orders.items[3], {"Supplier": 7})
    mirror.round(on.source())
    few = asked(on)
    assert few[ITEMS] == 0
    assert 0 < few[ITEM] <= 5
    words = mirror.items[f"{orders.id}:3"].change.raw["words"]
    assert words["Supplier"] == [{"id": 7, "value": "Supplier 0"}]


def test_a_lookup_whose_list_is_gone_has_its_number_and_no_words(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    delete_list(on.tenant, on.resource.graph_id, titled(on, "Suppliers").id)
    change_item(on.tenant, orders, orders.items[3], {"Title": "orphan"})
    mirror.round(on.source())
    raw = mirror.items[f"{orders.id}:3"].change.raw
    assert raw["words"]["Supplier"] == [{"id": 3}]
    assert raw["fields"]["SupplierLookupId"] == "3"


@pytest.mark.parametrize(
    "code", ["resyncChangesApplyDifferences", "resyncChangesUploadDifferences"]
)
def test_either_code_of_a_lost_link_leads_to_the_state_of_the_service(
    on: Stage, mirror: Mirror, code: str
) -> None:
    log = titled(on, "Watch log / Übergabe")
    delete_item(on.tenant, log, log.items[1])
    log.forget_tokens(code)
    assert mirror.round(on.source())
    assert f"{log.id}:1" not in mirror.items
    assert on.found(mirror) == on.truth()


def test_new_lists_are_found_and_deleted_ones_take_their_rows_along(
    on: Stage, mirror: Mirror
) -> None:
    gone = titled(on, "Suppliers")
    delete_list(on.tenant, on.resource.graph_id, gone.id)
    fresh = add_list(on.tenant, on.resource.graph_id, "Boats")
    add_item(on.tenant, fresh, {"Title": "Ørn"})
    assert mirror.round(on.source())
    assert f"{fresh.id}:1" in mirror.items
    assert not [key for key in mirror.items if key.startswith(gone.id)]
    assert f"list:{gone.id}" not in mirror.links


def test_a_renamed_list_is_the_same_list(on: Stage, mirror: Mirror) -> None:
    log = titled(on, "Watch log / Übergabe")
    log.title, log.etag = "Watch", log.etag + 1
    pages = list(on.source().changes(mirror.links, frozenset()))
    told = [entry for page in pages for entry in page.entries]
    assert [(one.id, one.name) for one in told if isinstance(one, Change)] == [(log.id, "Watch")]
    assert not any(page.reset for page in pages)


def test_a_list_that_a_listing_leaves_out_is_not_taken_for_gone(on: Stage, mirror: Mirror) -> None:
    quirks_of(on.tenant).unlisted.add(titled(on, "Watch log / Übergabe").id)
    assert mirror.round(on.source())
    assert on.found(mirror) == on.truth()


def test_a_list_that_vanishes_during_the_run_ends_its_feed_and_no_other(
    on: Stage, mirror: Mirror
) -> None:
    log = titled(on, "Watch log / Übergabe")
    found: list[FeedPage] = []
    for page in on.source().changes(mirror.links, frozenset()):
        if page.part == "lists":
            delete_list(on.tenant, on.resource.graph_id, log.id)
        found.append(page)
    (last,) = (page for page in found if page.part == f"list:{log.id}")
    assert last.dropped_parts == (f"list:{log.id}",)
    assert last.entries == (Gone(log.id),)
    others = {f"list:{titled(on, name).id}" for name in ("Suppliers", "Orders")}
    assert others <= {page.part for page in found if not page.more}


def test_files_attached_to_a_row_are_named_as_missing(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    (trouble,) = mirror.items[f"{orders.id}:2"].troubles
    assert (trouble.part, trouble.cause) == ("attachments", NEEDS_CERTIFICATE)
    assert not trouble.retry
    assert not mirror.items[f"{orders.id}:1"].troubles


def test_odd_fields_are_kept_as_they_come(on: Stage, mirror: Mirror) -> None:
    log = titled(on, "Watch log / Übergabe")
    add_column(on.tenant, log, {"name": "Odd", "displayName": "Odd"})
    values = {"Title": "\u200b \t", "Odd": {"new": [None, {"deep": 1.5}]}}
    item = add_item(on.tenant, log, values)
    mirror.round(on.source())
    kept = mirror.items[f"{log.id}:{item.id}"].change
    assert kept.raw["fields"]["Odd"] == {"new": [None, {"deep": 1.5}]}
    assert kept.name


def test_a_row_of_which_nothing_is_told_has_a_name_all_the_same(on: Stage, mirror: Mirror) -> None:
    log = titled(on, "Watch log / Übergabe")
    item = add_item(on.tenant, log, {})
    mirror.round(on.source())
    assert mirror.items[f"{log.id}:{item.id}"].change.name == f"({item.id})"


def test_one_row_can_be_asked_for_again(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    change = on.source().complete(f"{orders.id}:1")
    expected = object_of(on.tenant, on.resource.graph_id, orders, orders.items[1])
    assert change.raw == expected
    with pytest.raises(ItemGone):
        on.source().complete(f"{orders.id}:999")
    with pytest.raises(ItemGone):
        on.source().complete("nonsense")


def test_people_are_found_whatever_their_list_is_called(on: Stage) -> None:
    site = on.resource.graph_id
    people = next(
        one for one in lists_of(on.tenant, site).values() if one.template == "userInformation"
    )
    people.title = "Benutzerinformationsliste"
    held = Mirror()
    held.round(on.source())
    owner = held.items[f"{titled(on, 'Orders').id}:1"].change.raw["words"]["Owner"]
    assert owner[0]["email"]
    assert person(on.tenant, site, "Adele Vance", owner[0]["email"]) == owner[0]["id"]


def test_a_list_whose_columns_cannot_be_had_keeps_no_other_away(on: Stage) -> None:
    bad = titled(on, "Orders")
    on.tenant.faults.map(rf"lists/{bad.id}(/columns)?$", "e" * 8)
    held = Mirror()
    with pytest.raises(TransientFailure):
        held.round(on.source())
    assert names(held) == {"Lists", "Suppliers", "Watch log / Übergabe", "Documents"}
    assert [key for key in held.items if key.startswith(titled(on, "Suppliers").id + ":")]
    on.tenant.faults.calm()
    held.finished.clear()
    held.round(on.source())
    assert on.found(held) == on.truth()


def test_many_lists_come_in_several_pages(on: Stage) -> None:
    for number in range(45):
        add_list(on.tenant, on.resource.graph_id, f"List {number}")
    held, sizes = Mirror(), []
    for page in on.source().changes({}, frozenset()):
        held.apply(on.source(), page)
        if page.part == "lists":
            sizes.append(len(page.entries))
    assert sizes == [20, 20, 10]
    assert len(names(held)) == 50
