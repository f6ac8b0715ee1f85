"""Content types of restored lists: taken from the target's site, made there, or said to lack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from m365.list_content_types import parent_id, wanted_types
from m365.lists import ListsSource
from m365.service import Existing, Folder, Resource, Written
from simulator.lists_content_types import add_type, types_of
from simulator.lists_state import (
    ListItem,
    SiteList,
    add_column,
    add_list,
    change_item,
    lists_of,
    quirks_of,
)
from tests.m365.cases_lists import ListsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage
from tests.m365.test_lists_writer import made_in, put, stored_list, stored_row, titled, told
from tests.m365.test_lists_writer import writer_for as a_writer

NAME = "Express order"
LACKS = ("content-type", "not-in-target")
DIGITS = "00" + "AB" * 16
POST_TYPE = r"POST /sites/[^/]*/contentTypes$"
ADD_COPY = r"POST .*/contentTypes/addCopy$"


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


def restored(on: Stage, mirror: Mirror, target: Resource) -> tuple[Folder, Written]:
    """The list of orders made in a target, with the one that is of another type."""
    writer = a_writer(on, target)
    orders = titled(on, "Orders")
    _, into = made_in(writer, mirror, titled(on, "Suppliers"), orders)
    return into, put(writer, stored_row(mirror, orders, 3), into)


def list_and_row(on: Stage, target: Resource, written: Written) -> tuple[SiteList, ListItem]:
    list_id, _, number = written.id.rpartition(":")
    found = lists_of(on.tenant, target.graph_id)[list_id]
    return found, found.items[int(number)]


def own_type(on: Stage) -> str:
    """The id of the site's type that the list of orders has a copy of."""
    return next(str(one["id"]) for one in types_of(on.tenant, on.resource.graph_id)[4:])


def test_the_type_of_the_same_id_is_copied_from_the_targets_site(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    there = add_type(on.tenant, elsewhere.graph_id, "Eilauftrag", type_id=own_type(on))
    add_type(on.tenant, elsewhere.graph_id, NAME)
    column = {"name": "Courier", "text": {}}
    on.tenant.room["content type columns"] = {there["id"]: (column,)}
    _, written = restored(on, mirror, elsewhere)
    made, row = list_and_row(on, elsewhere, written)
    assert row.content_type == "Eilauftrag"
    assert made.content_types[-1]["base"]["id"] == there["id"]
    assert made.column("Courier")
    assert LACKS not in told(written.troubles)


def test_else_the_type_of_the_same_name(on: Stage, mirror: Mirror, elsewhere: Resource) -> None:
    there = add_type(on.tenant, elsewhere.graph_id, NAME)
    before = len(types_of(on.tenant, elsewhere.graph_id))
    made, row = list_and_row(on, elsewhere, restored(on, mirror, elsewhere)[1])
    assert row.content_type == NAME
    assert made.content_types[-1]["base"]["id"] == there["id"]
    assert len(types_of(on.tenant, elsewhere.graph_id)) == before


def test_a_type_that_the_site_has_not_is_made_from_the_nearest_it_has(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    _, row = list_and_row(on, elsewhere, restored(on, mirror, elsewhere)[1])
    assert row.content_type == NAME
    (made,) = types_of(on.tenant, elsewhere.graph_id)[4:]
    assert (made["name"], made["base"]) == (NAME, {"id": "0x01", "name": "Item"})
    assert made["group"] == "Custom Content Types"


def test_a_step_that_runs_again_makes_no_second_type(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    first, _ = restored(on, mirror, elsewhere)
    again, _ = restored(on, mirror, elsewhere)
    assert first.id == again.id
    assert len(types_of(on.tenant, elsewhere.graph_id)) == 5
    types = lists_of(on.tenant, elsewhere.graph_id)[first.id].content_types
    assert [one["name"] for one in types] == ["Item", "Folder", NAME]


@pytest.mark.parametrize("request_", [POST_TYPE, ADD_COPY])
def test_without_an_answer_it_is_looked_for_and_not_made_twice(
    on: Stage, mirror: Mirror, elsewhere: Resource, request_: str
) -> None:
    on.tenant.faults.map(request_, "x")
    made, row = list_and_row(on, elsewhere, restored(on, mirror, elsewhere)[1])
    assert row.content_type == NAME
    assert [one["name"] for one in made.content_types] == ["Item", "Folder", NAME]
    assert len(types_of(on.tenant, elsewhere.graph_id)) == 5


def test_a_tenant_that_copies_no_types_is_asked_once_and_the_rows_say_so(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    quirks_of(on.tenant).knows_add_copy = False
    add_type(on.tenant, elsewhere.graph_id, NAME)
    writer, orders = a_writer(on, elsewhere), titled(on, "Orders")
    for _ in range(2):
        _, into = made_in(writer, mirror, titled(on, "Suppliers"), orders)
    written = put(writer, stored_row(mirror, orders, 3), into)
    assert written.outcome == "created"
    assert LACKS in told(written.troubles)
    assert LACKS not in told(put(writer, stored_row(mirror, orders, 4), into).troubles)
    sent = on.tenant.counters.requests
    assert sent["POST /sites/{site}/lists/{list_}/contentTypes/addCopy"] == 1


def test_an_application_without_the_right_to_make_types_restores_the_rows(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    on.tenant.faults.map(POST_TYPE, "p")
    _, written = restored(on, mirror, elsewhere)
    assert (written.outcome, LACKS in told(written.troubles)) == ("created", True)


def test_a_list_of_others_gets_no_type(on: Stage, mirror: Mirror, elsewhere: Resource) -> None:
    other = add_list(on.tenant, elsewhere.graph_id, "Orders")
    add_column(on.tenant, other, {"name": "Amount", "currency": {}})
    add_type(on.tenant, elsewhere.graph_id, NAME)
    _, written = restored(on, mirror, elsewhere)
    assert LACKS in told(written.troubles)
    assert [one["name"] for one in other.content_types] == ["Item", "Folder"]


def test_in_its_own_list_a_row_has_its_type_again(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    writer = a_writer(on, on.resource)
    into = writer.original_folder(stored_list(mirror, orders))
    assert into is not None
    back = put(writer, stored_row(mirror, orders, 3), into)
    number = int(back.id.rpartition(":")[2])
    assert orders.items[number].content_type == NAME


@pytest.mark.parametrize(("number", "was", "wanted"), [(3, "Item", NAME), (2, NAME, "Item")])
def test_a_row_that_is_replaced_gets_its_type_back(
    on: Stage, mirror: Mirror, number: int, was: str, wanted: str
) -> None:
    orders = titled(on, "Orders")
    row = orders.items[number]
    row.content_type = was
    change_item(on.tenant, orders, row, {"Notes": "spoiled"})
    writer = a_writer(on, on.resource)
    into = writer.original_folder(stored_list(mirror, orders))
    assert into is not None
    list(writer.existing(into))
    old = Existing(f"{orders.id}:{number}", "", "")
    written = put(writer, stored_row(mirror, orders, number), into, replace=old)
    assert row.content_type == wanted
    assert not [part for part, _ in told(written.troubles) if part == "content-type"]


def test_a_row_that_a_lookup_asked_for_gets_its_type_when_its_turn_comes(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    orders = titled(on, "Orders")
    change_item(on.tenant, orders, orders.items[5], {"Follows": 3})
    mirror.round(ListsSource(on.reader, on.resource, hidden=True))
    writer = a_writer(on, elsewhere)
    _, into = made_in(writer, mirror, titled(on, "Suppliers"), orders)
    put(writer, stored_row(mirror, orders, 5), into)
    _, row = list_and_row(on, elsewhere, put(writer, stored_row(mirror, orders, 3), into))
    assert row.content_type == NAME


def test_a_type_that_cannot_be_given_to_a_row_is_reported(on: Stage, mirror: Mirror) -> None:
    orders = titled(on, "Orders")
    orders.items[3].content_type = "Item"
    writer = a_writer(on, on.resource)
    into = writer.original_folder(stored_list(mirror, orders))
    assert into is not None
    on.tenant.faults.map(r"PATCH .*/items/3$", "p")
    old = Existing(f"{orders.id}:3", "", "")
    written = put(writer, stored_row(mirror, orders, 3), into, replace=old)
    assert ("content-type", "not-set") in told(written.troubles)


@pytest.mark.parametrize(
    ("own", "above"),
    [
        (f"0x0100{'A1' * 16}{DIGITS}", f"0x0100{'a1' * 16}"), (f"0x01{DIGITS}", "0x01"),
        ("0x0101", "0x01"), ("0x0120D520", "0x0120d5"), ("0x01", ""), ("", ""), ("odd", ""),
    ],
)  # fmt: skip
def test_an_id_of_a_type_begins_with_that_of_the_type_above(own: str, above: str) -> None:
    assert parent_id(own) == above


def test_types_that_every_list_has_and_those_of_folders_are_not_asked_for() -> None:
    item = {"id": f"0x01{DIGITS}", "name": "Element"}
    named = {"id": f"0x01{DIGITS}", "name": "Item", "base": {"id": "0x01", "name": "Item"}}
    folder = {"id": f"0x0120{DIGITS}{DIGITS}", "name": "Case"}
    odd = {"id": None, "name": None, "base": None}
    own = {"id": f"0x01{DIGITS}{DIGITS}", "name": "Order"}
    renamed = {**named, "name": "Task of ours"}
    given = [item, named, folder, odd, own, renamed, "odd"]
    assert wanted_types({"contentTypes": given}) == [own, renamed]
    assert wanted_types({}) == wanted_types({"contentTypes": None}) == []
