"""Files attached to restored rows: by a certificate that SharePoint lets in; or not, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate

from base.item import Cause, StoredPart
from m365.graph.auth import Certificate
from m365.graph.client import GraphReader, GraphWriter
from m365.graph.throttle import Limiter
from m365.list_attaching import NAME_TAKEN
from m365.list_attachments import NEEDS_CERTIFICATE, REFUSED
from m365.lists import ListsSource
from m365.lists_writer import ListsWriter
from m365.service import Existing, Folder, ItemFinisher, Resource
from simulator.lists_state import ListItem, SiteList, add_item, lists_of
from simulator.tenant import AppRegistration
from tests.m365.cases_lists import ListsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, TenantClock, stage
from tests.m365.test_auth import certificate
from tests.m365.test_lists_writer import made_in, put, stored_list, stored_row, titled, told

ADD = "POST /sites/{web}/_api/web/lists/items/AttachmentFiles/add(FileName)/{name}"
SENT = r"POST .*AttachmentFiles/add"
ODD = "it's 100% ours? #1 (ü).txt"
BILL = {"bill.pdf": b"%PDF-1.4 bill"}


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(ListsCase()) as found:
        yield found


@pytest.fixture
def app(on: Stage) -> AppRegistration:
    """A restore application with a certificate that SharePoint lets write."""
    found = on.tenant.add_app("Certified", (*on.case.service.writes, "Sites.Read.All"))
    found.sharepoint_roles = {"Sites.ReadWrite.All"}
    return found


@pytest.fixture
def credential(on: Stage, app: AppRegistration) -> Certificate:
    pem = certificate()
    public = load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.PEM)
    app.certificates.append(public)
    return Certificate(on.tenant.id, app.app_id, pem)


@pytest.fixture
def mirror(on: Stage, credential: Certificate) -> Mirror:
    clock = TenantClock(on.tenant)
    held = Mirror()
    reader = GraphReader(on.reader.place, credential, Limiter(clock=clock), clock)
    held.round(ListsSource(reader, on.resource))
    return held


@pytest.fixture
def writer(on: Stage, credential: Certificate) -> GraphWriter:
    clock = TenantClock(on.tenant)
    return GraphWriter(on.reader.place, credential, Limiter(clock=clock), clock)


@pytest.fixture
def elsewhere(on: Stage) -> Resource:
    return on.case.fresh_target(on.tenant)


def orders_in(writer: ListsWriter, on: Stage, mirror: Mirror) -> Folder:
    return made_in(writer, mirror, titled(on, "Suppliers"), titled(on, "Orders"))[1]


def original(writer: ListsWriter, mirror: Mirror, of: SiteList) -> Folder:
    found = writer.original_folder(stored_list(mirror, of))
    assert found is not None
    return found


def row(on: Stage, target: Resource, item_id: str) -> ListItem:
    list_id, _, number = item_id.rpartition(":")
    return lists_of(on.tenant, target.graph_id)[list_id].items[int(number)]


def causes(troubles: object) -> set[tuple[str, str]]:
    assert isinstance(troubles, tuple)
    return {one for one in told(troubles) if one[0] == "attachments"}


def test_a_restored_row_gets_its_files_back_whatever_they_are_called(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource, credential: Certificate
) -> None:
    big = bytes(range(256)) * 10_000
    files = {ODD: b"odd", "big.bin": big, "empty": b""}
    made = add_item(on.tenant, titled(on, "Orders"), {"Title": "more"}, attachments=files)
    mirror.round(ListsSource(writer, on.resource))
    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, mirror)
    for number, wanted in ((2, BILL), (made.id, files)):
        written = put(lists, stored_row(mirror, titled(on, "Orders"), number), into)
        assert row(on, elsewhere, written.id).attachments == wanted
        assert causes(written.troubles) == set()
    assert not on.tenant.counters.offences


def test_only_rows_that_have_files_cost_more(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource
) -> None:
    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, mirror)
    on.tenant.counters.requests.clear()
    put(lists, stored_row(mirror, titled(on, "Orders"), 1), into)
    assert not [one for one in on.tenant.counters.requests if "_api" in one]


def test_an_application_with_a_secret_never_asks_and_the_row_says_so(
    on: Stage, mirror: Mirror, elsewhere: Resource
) -> None:
    on.tenant.counters.requests.clear()
    lists = ListsWriter(on.writer, elsewhere)
    into = orders_in(lists, on, mirror)
    written = put(lists, stored_row(mirror, titled(on, "Orders"), 2), into)
    assert written.outcome == "created"
    assert causes(written.troubles) == {("attachments", NEEDS_CERTIFICATE)}
    assert not [one for one in on.tenant.counters.requests if "_api" in one]


@pytest.mark.parametrize("roles", [set(), {"Sites.Read.All"}])
def test_without_sharepoints_right_to_write_it_is_asked_once_and_said(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource, app: AppRegistration,
    roles: set[str],
) -> None:  # fmt: skip
    app.sharepoint_roles = roles
    on.tenant.tokens.revoke_all()
    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, mirror)
    item = stored_row(mirror, titled(on, "Orders"), 2)
    before = sum(n for one, n in on.tenant.counters.requests.items() if "_api" in one)
    for _ in range(2):
        written = lists.write(item, into, "", None, new_name=True)
        assert causes(written.troubles) == {("attachments", REFUSED)}
        assert not row(on, elsewhere, written.id).attachments
    asked = sum(n for one, n in on.tenant.counters.requests.items() if "_api" in one) - before
    assert asked <= 4  # the names and the file, each once more with a new token


def test_what_a_killed_attempt_left_out_is_attached_by_the_next_one_and_nothing_twice(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource
) -> None:
    lists = ListsWriter(writer, elsewhere)
    assert isinstance(lists, ItemFinisher)
    into = orders_in(lists, on, mirror)
    item = stored_row(mirror, titled(on, "Orders"), 2)
    there = row(on, elsewhere, put(lists, item, into).id)
    there.attachments.clear()
    on.tenant.counters.requests.clear()
    for _ in range(2):
        assert lists.finish_item(item, f"{into.id}:{there.id}") == ()
        assert there.attachments == BILL
    assert on.tenant.counters.requests[ADD] == 1


@pytest.mark.parametrize("letters", ["x", "d", "X"])
def test_a_file_whose_answer_was_lost_is_looked_for(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource, letters: str
) -> None:
    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, mirror)
    on.tenant.faults.map(SENT, letters)
    item = stored_row(mirror, titled(on, "Orders"), 2)
    written = put(lists, item, into)
    if causes(written.troubles):  # it never came: the next attempt of the batch attaches it
        assert lists.finish_item(item, written.id) == ()
    assert row(on, elsewhere, written.id).attachments == BILL


def test_a_file_of_that_name_that_says_something_else_stays_and_the_stored_one_lies_beside(
    on: Stage, writer: GraphWriter, mirror: Mirror
) -> None:
    orders = titled(on, "Orders")
    orders.items[2].attachments = {"BILL.pdf": b"another"}
    lists = ListsWriter(writer, on.resource)
    into = original(lists, mirror, orders)
    item = stored_row(mirror, orders, 2)
    for _ in range(2):
        written = put(lists, item, into, replace=Existing(item.id, "", ""))
        assert causes(written.troubles) == set()
        assert orders.items[2].attachments == {
            "BILL.pdf": b"another", "bill (restored).pdf": BILL["bill.pdf"],
        }  # fmt: skip
    orders.items[2].attachments["bill (restored).pdf"] = b"that too"
    written = put(lists, item, into, replace=Existing(item.id, "", ""))
    assert causes(written.troubles) == {("attachments", NAME_TAKEN)}


def test_files_that_are_there_already_are_left_alone(
    on: Stage, writer: GraphWriter, mirror: Mirror
) -> None:
    orders = titled(on, "Orders")
    lists = ListsWriter(writer, on.resource)
    into = original(lists, mirror, orders)
    item = stored_row(mirror, orders, 2)
    put(lists, item, into, replace=Existing(item.id, "", ""))
    assert orders.items[2].attachments == BILL
    assert on.tenant.counters.requests[ADD] == 0


def test_sharepoint_out_of_order_costs_the_files_and_not_the_row(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource
) -> None:
    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, mirror)
    on.tenant.faults.map("_api", "e" * 9)
    written = put(lists, stored_row(mirror, titled(on, "Orders"), 2), into)
    assert written.outcome == "created"
    assert causes(written.troubles) == {("attachments", "graph-unstable")}


def test_a_file_over_sharepoints_limit_is_not_even_read(
    on: Stage, writer: GraphWriter, mirror: Mirror, elsewhere: Resource
) -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError

    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, mirror)
    item = stored_row(mirror, titled(on, "Orders"), 2)
    huge = StoredPart("attachment", 251 * 1024 * 1024, {"name": "huge.bin"}, unread)
    written = put(lists, replace(item, parts=(huge, *item.parts)), into)
    assert causes(written.troubles) == {("attachments", Cause.TOO_LARGE)}
    assert row(on, elsewhere, written.id).attachments == BILL


def test_what_the_backup_could_not_read_is_said_and_not_asked_for(
    on: Stage, writer: GraphWriter, elsewhere: Resource
) -> None:
    held = Mirror()
    held.round(on.source())
    lists = ListsWriter(writer, elsewhere)
    into = orders_in(lists, on, held)
    item = stored_row(held, titled(on, "Orders"), 2)
    lacking = replace(item, missing=(f"attachments: {NEEDS_CERTIFICATE}",))
    assert causes(put(lists, lacking, into).troubles) == {("attachments", NEEDS_CERTIFICATE)}
    assert causes(put(lists, item, into).troubles) == {("attachments", Cause.NO_CONTENT)}
    assert not [one for one in on.tenant.counters.requests if "_api" in one]
