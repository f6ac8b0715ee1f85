"""Rows restored into lists: what is made, found anew, replaced in place, left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base.item import StoredItem, Trouble
from m365.graph.errors import ResourceGone
from m365.lists import ListsSource
from m365.lists_writer import ListsWriter
from m365.service import Existing, Folder, Resource, Written
from simulator.lists_json import kind_of
from simulator.lists_state import (
    ListItem,
    SiteList,
    add_column,
    add_item,
    add_list,
    change_item,
    delete_item,
    delete_list,
    lists_of,
    people_of,
    quirks_of,
)
from tests.m365.cases_lists import ListsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage

POST = r"POST /sites/.*/lists/[^/]*/items$"


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(ListsCase()) as found:
        yield found


@pytest.fixture
def mirror(on: Stage) -> Mirror:
    held = Mirror()
    held.round(ListsSource(on.reader, on.resource, hidden=True))
    return held


@pytest.fixture
def elsewhere(on: Stage) -> Resource:
    return on.case.fresh_target(on.tenant)


def writer_for(on: Stage, target: Resource) -> ListsWriter:
    return ListsWriter(on.writer, target)


def titled(on: Stage, title: str, site: str = "") -> SiteList:
    lists = lists_of(on.tenant, site or on.resource.graph_id).values()
    return next(one for one in lists if one.title == title)


def stored_list(mirror: Mirror, of: SiteList) -> StoredItem:
    return mirror.items[of.id].stored()


def stored_row(mirror: Mirror, of: SiteList, number: int) -> StoredItem:
    return mirror.items[f"{of.id}:{number}"].stored()


def made_in(writer: ListsWriter, mirror: Mirror, *lists: SiteList, under: str = "") -> list[Folder]:
    """Folders for lists, made where they are missing."""
    top = writer.root()
    if under:
        top = writer.ensure_folder(top, under, None)
    return [writer.ensure_folder(top, one.title, stored_list(mirror, one)) for one in lists]


def put(
    writer: ListsWriter, item: StoredItem, into: Folder, replace: Existing | None = None
) -> Written:
    return writer.write(item, into, f"run:{item.id[-6:]}", replace, new_name=False)


def row_of(on: Stage, written: Written, target: Resource) -> ListItem:
    list_id, _, number = written.id.rpartition(":")
    return lists_of(on.tenant, target.graph_id)[list_id].items[int(number)]


def told(troubles: tuple[Trouble, ...]) -> set[tuple[str, str]]:
    return {(one.part, one.cause) for one in troubles}


def test_a_folder_for_a_restore_lends_its_name_and_is_no_list(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    made_in(writer_for(on, elsewhere), mirror, titled(on, "Suppliers"), under="Restored")
    titles = {one.title for one in lists_of(on.tenant, elsewhere.graph_id).values()}
    assert titles == {"User Information List", "Restored - Suppliers"}


def test_a_new_list_has_the_columns_under_the_names_inside(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    title = orders.column("Title")
    assert title is not None
    title["displayName"], orders.etag = "Order", orders.etag + 1
    mirror.round(on.source())
    writer = writer_for(on, elsewhere)
    _, into = made_in(writer, mirror, titled(on, "Suppliers"), orders)
    put(writer, stored_row(mirror, orders, 1), into)
    made = lists_of(on.tenant, elsewhere.graph_id)[into.id]
    wanted = {
        one["name"]: one for one in orders.columns if not one["readOnly"] or "calculated" in one
    }
    for name, column in wanted.items():
        there = made.column(name)
        assert there is not None, name
        assert there["displayName"] == column["displayName"]
        kind = kind_of(column)
        flat = kind in ("hyperlinkOrPicture", "geolocation", "term")
        assert kind_of(there) == ("text" if flat else kind), name
    lookup = made.column("Supplier")
    assert lookup is not None
    assert lookup["lookup"]["listId"] == titled(on, "Suppliers", elsewhere.graph_id).id
    own = made.column("Follows")
    assert own is not None
    assert own["lookup"]["listId"] == made.id


def test_formulas_are_made_after_what_they_name_whichever_way_round_they_are_stored(
    on: Stage, elsewhere: Resource
) -> None:
    made = add_list(on.tenant, on.resource.graph_id, "Sums")
    for name, formula in (("C", "=B+1"), ("B", "=A*2")):
        add_column(on.tenant, made, {"name": name, "calculated": {"formula": f"={formula[1:]}"}})
    made.columns[-2]["calculated"]["formula"] = "=[B]+1"
    made.columns[-1]["calculated"]["formula"] = "=[A]*2"
    add_column(on.tenant, made, {"name": "A", "number": {}})
    mirror = Mirror()
    mirror.round(on.source())
    (into,) = made_in(writer_for(on, elsewhere), mirror, made)
    there = lists_of(on.tenant, elsewhere.graph_id)[into.id]
    assert [kind_of(there.column(name) or {}) for name in "ABC"] == [
        "number", "calculated", "calculated",
    ]  # fmt: skip


def test_lookups_lead_to_restored_rows_whichever_are_written_first(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders, suppliers = titled(on, "Orders"), titled(on, "Suppliers")
    writer = writer_for(on, elsewhere)
    of_orders, of_suppliers = made_in(writer, mirror, orders, suppliers)
    order = put(writer, stored_row(mirror, orders, 2), of_orders)
    made = lists_of(on.tenant, elsewhere.graph_id)
    number = int(order.id.rpartition(":")[2])
    before = made[of_suppliers.id].items[made[of_orders.id].items[number].values["Supplier"]]
    assert before.values["Title"] == "Nordic Rope & Sail"
    assert "Rating" not in before.values
    assert [one.key for one in writer.existing(of_suppliers)] == []
    again = writer_for(on, elsewhere)  # another step
    _, of_suppliers = made_in(again, mirror, orders, suppliers)
    filled = put(again, stored_row(mirror, suppliers, 2), of_suppliers)
    assert filled == Written(f"{of_suppliers.id}:{before.id}", "created")
    assert before.values["Rating"] == 0.5
    assert [one.key for one in again.existing(of_suppliers)] == [f"{suppliers.id}:2"]


def test_a_lookup_leads_to_the_original_where_its_list_is_not_restored(
    on: Stage, mirror: Mirror
) -> None:
    orders, suppliers = titled(on, "Orders"), titled(on, "Suppliers")
    writer = writer_for(on, on.resource)
    (into,) = made_in(writer, mirror, orders, under="Restored")
    put(writer, stored_row(mirror, orders, 3), into)
    made = lists_of(on.tenant, on.resource.graph_id)[into.id]
    column = made.column("Supplier")
    assert column is not None
    assert column["lookup"]["listId"] == suppliers.id
    assert made.items[max(made.items)].values["Supplier"] == 3


def test_a_lookup_without_its_list_becomes_text_and_says_so(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, orders)
    written = put(writer, stored_row(mirror, orders, 3), into)
    item = row_of(on, written, elsewhere)
    assert item.values["Supplier"] == "=cmd|' /C calc'!A0"
    assert ("column:Supplier", "kept-as-text") in told(written.troubles)


def test_people_are_found_by_address_and_unknown_ones_are_reported(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    people = people_of(on.tenant, elsewhere.graph_id)
    gone = next(one for one in people.items.values() if "Mller" in one.values["EMail"])
    delete_item(on.tenant, people, gone)
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, orders)
    written = put(writer, stored_row(mirror, orders, 2), into)
    item = row_of(on, written, elsewhere)
    assert "Owner" not in item.values
    assert [people.items[n].values["Title"] for n in item.values["Team"]] == ["Adele Vance"]
    assert ("column:Owner", "not-known-in-target") in told(written.troubles)
    assert ("column:Team", "not-known-in-target") in told(written.troubles)


def test_people_of_a_large_site_are_read_as_a_whole(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    quirks_of(on.tenant).threshold = 1
    orders = titled(on, "Orders")
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, orders)
    written = put(writer, stored_row(mirror, orders, 1), into)
    assert not [part for part, _ in told(written.troubles) if part == "column:Owner"]


def test_what_cannot_be_written_is_readable_in_a_new_list(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    writer = writer_for(on, elsewhere)
    _, into = made_in(writer, mirror, titled(on, "Suppliers"), orders)
    written = put(writer, stored_row(mirror, orders, 1), into)
    values = lists_of(on.tenant, elsewhere.graph_id)[into.id].items[1].values
    assert values["Link"] == "Map (https://example.com/m?a=1&b=2)"
    assert values["Place"] == "Harbour Office, Quay 1, Oslo, Norway"
    assert values["Topic"] == "Freight"
    kept = {("column:Link", "kept-as-text"), ("column:Place", "kept-as-text")}
    assert kept <= told(written.troubles)


def test_a_list_of_others_gets_no_column_and_takes_what_it_has_room_for(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    other = add_list(on.tenant, elsewhere.graph_id, "orders")
    add_column(on.tenant, other, {"name": "Amount", "text": {}})
    add_column(on.tenant, other, {"name": "Urgent", "boolean": {}})
    before = [one["name"] for one in other.columns]
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, orders)
    assert into.id == other.id
    written = put(writer, stored_row(mirror, orders, 1), into)
    assert [one["name"] for one in other.columns] == before
    assert other.items[1].values == {"Title": "-1+2", "Urgent": True}
    assert {("column:Amount", "not-supported"), ("column:State", "no-such-column")} <= told(
        written.troubles
    )


def test_to_replace_is_to_change_the_row_where_it_lies(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    wanted = {name: orders.items[3].values[name] for name in ("Amount", "Tags", "Team")}
    change_item(
        on.tenant, orders, orders.items[3],
        {"Amount": 1.0, "Tags": None, "Team": [1], "Notes": "new", "Follows": 2},
    )  # fmt: skip
    row = orders.items[3]
    versions = len(row.versions)
    writer = writer_for(on, on.resource)
    into = writer.original_folder(stored_list(mirror, orders))
    assert into is not None
    item = stored_row(mirror, orders, 3)
    present = list(writer.existing(into))
    (clash,) = [one for one in present if one.key == writer.identity(item).key]
    written = put(writer, item, into, replace=clash)
    assert (written.id, written.outcome) == (f"{orders.id}:3", "replaced")
    assert {name: row.values[name] for name in wanted} == wanted
    assert row.values["Follows"] == 1
    assert len(row.versions) == versions + 1


def test_what_a_row_says_nothing_of_is_emptied_when_it_is_replaced(
    on: Stage, mirror: Mirror
) -> None:
    orders = titled(on, "Orders")
    bare = max(orders.items)
    added = {"Title": "new", "Amount": 5.0, "Supplier": 1, "Others": [1], "Tags": ["fragile"]}
    change_item(on.tenant, orders, orders.items[bare], added)
    writer = writer_for(on, on.resource)
    into = writer.original_folder(stored_list(mirror, orders))
    assert into is not None
    old = Existing(f"{orders.id}:{bare}", f"{orders.id}:{bare}", "")
    put(writer, stored_row(mirror, orders, bare), into, replace=old)
    left = {k: v for k, v in orders.items[bare].values.items() if v not in (None, [])}
    assert left == {"Count_x0020_of_x0020_crates": 0}


def test_a_deleted_row_comes_back_under_another_number_and_is_known_again(
    on: Stage, mirror: Mirror
) -> None:
    suppliers = titled(on, "Suppliers")
    delete_item(on.tenant, suppliers, suppliers.items[5])
    writer = writer_for(on, on.resource)
    into = writer.original_folder(stored_list(mirror, suppliers))
    assert into is not None
    item = stored_row(mirror, suppliers, 5)
    present = list(writer.existing(into))
    assert [one for one in present if one.key == writer.identity(item).key] == []
    written = put(writer, item, into)
    again = writer_for(on, on.resource)
    into = again.original_folder(stored_list(mirror, suppliers))
    assert into is not None
    present = list(again.existing(into))
    identity = again.identity(item)
    (found,) = [one for one in present if one.key == identity.key]
    assert (found.id, found.same) == (written.id, identity.same)
    assert "HoldfastRestore" not in {one["name"] for one in suppliers.columns}


def test_a_row_with_one_bad_field_costs_that_field(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    other = add_list(on.tenant, elsewhere.graph_id, "Orders")
    add_column(on.tenant, other, {"name": "Amount", "currency": {}})
    add_column(on.tenant, other, {"name": "Count_x0020_of_x0020_crates", "number": {"maximum": 2}})
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, orders)
    written = put(writer, stored_row(mirror, orders, 5), into)
    values = other.items[1].values
    assert values["Amount"] == 1.25
    assert "Count_x0020_of_x0020_crates" not in values
    assert ("column:Count_x0020_of_x0020_crates", "not-set") in told(written.troubles)
    assert len(other.items) == 1


def test_folders_libraries_and_lists_of_sharepoint_take_nothing(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    add_item(on.tenant, orders, {"Title": "2025"}, content_type="Folder")
    inside = add_item(on.tenant, orders, {"Title": "inside"}, folder="2025")
    mirror.round(ListsSource(on.reader, on.resource, hidden=True))
    writer = writer_for(on, elsewhere)
    _, into = made_in(writer, mirror, titled(on, "Suppliers"), orders)
    folder = put(writer, stored_row(mirror, orders, inside.id - 1), into)
    assert (folder.outcome, told(folder.troubles)) == ("skipped", {("item", "not-supported")})
    assert put(writer, stored_row(mirror, orders, inside.id), into).outcome == "created"
    people = people_of(on.tenant, on.resource.graph_id)
    (nothing,) = made_in(writer, mirror, people)
    skipped = put(writer, stored_row(mirror, people, 1), nothing)
    assert (skipped.outcome, told(skipped.troubles)) == ("skipped", {("item", "derived")})
    (library,) = made_in(writer, mirror, titled(on, "Documents"))
    assert list(writer.existing(library)) == []


def test_a_write_without_an_answer_is_found_and_not_repeated(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    suppliers = titled(on, "Suppliers")
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, suppliers)
    on.tenant.faults.map(POST, "x")
    written = put(writer, stored_row(mirror, suppliers, 4), into)
    made = lists_of(on.tenant, elsewhere.graph_id)[into.id]
    assert written.outcome == "created"
    assert [one.values["Title"] for one in made.items.values()] == ['Möller, Söhne "GmbH"']


def test_a_list_of_others_is_written_once_too(on: Stage, mirror: Mirror) -> None:
    suppliers = titled(on, "Suppliers")
    delete_item(on.tenant, suppliers, suppliers.items[2])
    before = len(suppliers.items)
    writer = writer_for(on, on.resource)
    into = writer.original_folder(stored_list(mirror, suppliers))
    assert into is not None
    on.tenant.faults.map(POST, "x")
    put(writer, stored_row(mirror, suppliers, 2), into)
    assert len(suppliers.items) == before + 1


def test_a_list_that_was_made_by_an_attempt_without_an_answer_is_completed(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    on.tenant.faults.map(r"POST /sites/.*/lists$", "x")
    suppliers = titled(on, "Suppliers")
    (into,) = made_in(writer_for(on, elsewhere), mirror, suppliers)
    made = lists_of(on.tenant, elsewhere.graph_id)
    assert [one.title for one in made.values()].count("Suppliers") == 1
    assert made[into.id].column("Rating") is not None


def test_a_restored_list_that_people_went_on_with_is_restored_like_any_other(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    suppliers = titled(on, "Suppliers")
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, suppliers)
    first = put(writer, stored_row(mirror, suppliers, 1), into)
    ours = lists_of(on.tenant, elsewhere.graph_id)[into.id]
    later = Mirror()
    later.round(ListsSource(on.reader, elsewhere))
    again = writer_for(on, elsewhere)
    back = again.original_folder(stored_list(later, ours))
    assert back is not None
    item = later.items[first.id].stored()
    (found,) = [one for one in again.existing(back) if one.key == again.identity(item).key]
    assert found.id == first.id


def test_a_list_that_is_gone_is_made_again_and_its_rows_come_back(
    on: Stage, mirror: Mirror
) -> None:
    log = titled(on, "Watch log / Übergabe")
    delete_list(on.tenant, on.resource.graph_id, log.id)
    writer = writer_for(on, on.resource)
    assert writer.original_folder(stored_list(mirror, log)) is None
    (into,) = made_in(writer, mirror, log)
    put(writer, stored_row(mirror, log, 2), into)
    made = titled(on, "Watch log / Übergabe")
    assert made.description == "Who had the watch"
    assert made.items[1].values["Note"] == "calm"


def test_removing_a_row_twice_is_fine(on: Stage, mirror: Mirror, elsewhere: Resource) -> None:
    suppliers = titled(on, "Suppliers")
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, suppliers)
    written = put(writer, stored_row(mirror, suppliers, 1), into)
    writer.remove(written.id)
    writer.remove(written.id)
    assert list(writer.existing(into)) == []


def test_a_replaced_row_is_not_marked_as_made_by_the_restore(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    suppliers = titled(on, "Suppliers")
    writer = writer_for(on, elsewhere)
    (into,) = made_in(writer, mirror, suppliers)
    item = stored_row(mirror, suppliers, 1)
    writer.write(item, into, "first:1", None, new_name=False)
    (old,) = writer.existing(into)
    writer.write(item, into, "second:1", old, new_name=False)
    assert [one.marker for one in writer.existing(into)] == ["first:1"]
    assert [one.marker for one in writer_for(on, elsewhere).existing(into)] == ["first:1"]


def test_a_site_that_is_gone_is_no_folder_to_start_from(on: Stage, elsewhere: Resource) -> None:
    writer = writer_for(on, elsewhere)
    del on.tenant.sites[elsewhere.graph_id]
    with pytest.raises(ResourceGone):
        writer.root()


@pytest.mark.parametrize("knows_startswith", [True, False])
def test_a_step_of_a_long_restore_does_not_read_what_the_steps_before_have_written(
    on: Stage, mirror: Mirror, elsewhere: Resource, knows_startswith: bool
) -> None:
    quirks_of(on.tenant).knows_startswith = knows_startswith
    orders, suppliers = titled(on, "Orders"), titled(on, "Suppliers")
    writer = writer_for(on, elsewhere)
    of_suppliers, of_orders = made_in(writer, mirror, suppliers, orders)
    for number in (1, 2, 3):
        put(writer, stored_row(mirror, suppliers, number), of_suppliers)
    made = lists_of(on.tenant, elsewhere.graph_id)[of_suppliers.id]
    for number in range(500):
        add_item(on.tenant, made, {"Title": f"More {number}"})
    later = writer_for(on, elsewhere)
    _, of_orders = made_in(later, mirror, suppliers, orders)
    on.tenant.counters.requests.clear()
    written = put(later, stored_row(mirror, orders, 1), of_orders)
    assert made.items[row_of(on, written, elsewhere).values["Supplier"]].values["Title"]
    pages = on.tenant.counters.requests["GET /sites/{site}/lists/{list_}/items"]
    if knows_startswith:
        assert pages <= 6  # what waits in either list, the rows looked up, and people
    assert len(made.items) == 503


def test_a_column_that_no_tenant_takes_costs_itself(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    log = titled(on, "Watch log / Übergabe")
    add_column(on.tenant, log, {"name": "Author2", "text": {}})
    change_item(on.tenant, log, log.items[1], {"Author2": "x"})
    hidden = add_column(on.tenant, log, {"name": "Order", "number": {}})
    hidden |= {"hidden": True, "columnGroup": "_Hidden"}
    mirror.round(ListsSource(on.reader, on.resource, hidden=True))
    writer = writer_for(on, elsewhere)
    quirks_of(on.tenant).refused_columns.add("Author2")
    (into,) = made_in(writer, mirror, log)
    written = put(writer, stored_row(mirror, log, 1), into)
    made = lists_of(on.tenant, elsewhere.graph_id)[into.id]
    assert made.column("Order") is None
    assert made.items[1].values["Note"] == "calm"
    assert told(written.troubles) == {("column:Author2", "no-such-column")}
