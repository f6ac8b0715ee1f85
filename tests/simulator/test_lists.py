"""Lists of the simulated tenant: what Graph shows of them, tells of changes, takes and refuses."""

import os
from pathlib import Path

import pytest

from simulator import Tenant, hostile, openapi, serve
from simulator.lists_content import fill_lists
from simulator.lists_state import (
    add_column,
    add_item,
    add_list,
    change_item,
    delete_item,
    lists_of,
    person,
    quirks_of,
)
from simulator.sites import add_site
from tests.simulator.wire import Wire

PREFER = "HonorNonIndexedQueriesWarningMayFailRandomly"


@pytest.fixture
def tenant():
    tenant = Tenant(3)
    tenant.add_user("Adele Vance")
    return tenant


@pytest.fixture
def site(tenant):
    return add_site(tenant, "Office", "https://contoso.sharepoint.com/sites/Office", drives=0)


@pytest.fixture
def wire(tenant, site):
    fill_lists(tenant, site, tenant.rng)
    with serve(tenant) as running:
        yield Wire(running)


def titled(tenant, site, title):
    return next(one for one in lists_of(tenant, site).values() if one.title == title)


def test_hidden_lists_are_told_where_system_is_selected_and_nowhere_else(wire, site):
    names = {one["displayName"] for one in wire.get(f"/sites/{site}/lists")["value"]}
    assert names == {"Suppliers", "Orders", "Watch log / Übergabe", "Documents"}
    url = f"/sites/{site}/lists?$select=id,displayName,list,system"
    told = {one["displayName"]: one for one in wire.get(url)["value"]}
    assert names < set(told)
    assert told["User Information List"]["system"] == {}
    assert "system" not in told["Site settings store"]


def test_a_list_has_three_names(wire, tenant, site):
    log = titled(tenant, site, "Watch log / Übergabe")
    for name in (log.id, log.name, "watch log %2F %C3%9Cbergabe", f"%7B{log.id}%7D"):
        assert wire.get(f"/sites/{site}/lists/{name}")["id"] == log.id
    assert wire.code("GET", f"/sites/{site}/lists/nothing")[0] == 404


def test_rows_come_with_fields_where_they_are_asked_for(wire, tenant, site):
    orders = titled(tenant, site, "Orders")
    url = f"/sites/{site}/lists/{orders.id}/items"
    assert "fields" not in wire.get(url)["value"][0]
    fields = wire.get(f"{url}/2?$expand=fields")["fields"]
    assert fields["SupplierLookupId"] == "2"
    assert "Supplier" not in fields
    assert [one["LookupId"] for one in fields["Others"]] == [1, 3]
    assert fields["Tags@odata.type"] == "Collection(Edm.String)"
    assert fields["Total"] == 2 * fields["Amount"]
    assert fields["Attachments"] is True
    assert "Arrived" in fields
    some = wire.get(f"{url}/2?$expand=fields($select=Supplier,Title)")["fields"]
    assert some["Supplier"] == "Nordic Rope & Sail"
    assert "Amount" not in some


def test_the_feed_tells_what_changed_and_what_is_gone(wire, tenant, site):
    log = titled(tenant, site, "Watch log / Übergabe")
    url = f"/sites/{site}/lists/{log.id}/items/delta?$expand=fields"
    pages, link = wire.walk(url)
    assert [one["fields"]["Title"] for page in pages for one in page] == [
        "Watch 1", "Watch 2", "Watch 3",
    ]  # fmt: skip
    change_item(tenant, log, log.items[1], {"Title": "Watch one"})
    delete_item(tenant, log, log.items[3])
    pages, _ = wire.walk(link)
    changed, gone = (one for page in pages for one in page)
    assert changed["fields"]["Title"] == "Watch one"
    assert (gone["id"], gone["deleted"]) == ("3", {"state": "deleted"})
    assert "fields" not in gone


@pytest.mark.parametrize(
    "code", ["resyncChangesApplyDifferences", "resyncChangesUploadDifferences"]
)
def test_a_lost_token_leads_to_a_new_round(wire, tenant, site, code):
    log = titled(tenant, site, "Watch log / Übergabe")
    _, link = wire.walk(f"/sites/{site}/lists/{log.id}/items/delta?$expand=fields")
    log.forget_tokens(code)
    answer = wire.send("GET", link)
    assert answer.status == 410
    assert answer.json()["error"]["innerError"]["code"] == code
    pages, _ = wire.walk(answer.headers["Location"])
    assert sum(map(len, pages)) == 3


def test_a_hostile_tenant_repeats_shuffles_and_leaves_pages_empty(wire, tenant, site):
    tenant.quirks = hostile()
    tenant.quirks.p_empty_page = 0.5
    orders = titled(tenant, site, "Orders")
    pages, _ = wire.walk(f"/sites/{site}/lists/{orders.id}/items/delta?$expand=fields&$top=3")
    told = {one["id"]: one for page in pages for one in page if "deleted" not in one}
    assert set(told) == {str(key) for key in orders.items}
    assert [] in pages


def test_filters_need_an_index_or_the_wish_to_do_without(wire, tenant, site):
    suppliers = titled(tenant, site, "Suppliers")
    url = f"/sites/{site}/lists/{suppliers.id}/items?$expand=fields&$filter=fields/Title eq "
    url += "'Harbour Supplies'"
    assert wire.code("GET", url) == (400, "invalidRequest")
    assert [one["id"] for one in wire.get(url, Prefer=PREFER)["value"]] == ["1"]
    quirks_of(tenant).threshold = 3
    assert wire.code("GET", url, Prefer=PREFER)[0] == 400
    suppliers.column("Title")["indexed"] = True
    assert len(wire.get(url)["value"]) == 1


def test_a_list_is_made_with_its_columns_and_takes_rows(wire, tenant, site):
    suppliers = titled(tenant, site, "Suppliers")
    body = {
        "displayName": "Boats",
        "list": {"template": "genericList"},
        "columns": [
            {"name": "Length", "number": {}},
            {"name": "From", "lookup": {"listId": suppliers.id, "columnName": "Title"}},
            {"name": "Crew", "personOrGroup": {"allowMultipleSelection": True}},
            {"name": "Twice", "calculated": {"formula": "=Length*2", "outputType": "number"}},
        ],
    }
    made = wire.post(f"/sites/{site}/lists", body)
    url = f"/sites/{site}/lists/{made['id']}/items"
    someone = person(tenant, site, "Adele Vance", "AdeleVance@contoso.onmicrosoft.com")
    fields = {
        "Title": "Ørn", "Length": 12.5, "FromLookupId": "2", "CrewLookupId": [someone],
        "CrewLookupId@odata.type": "Collection(Edm.Int32)",
    }  # fmt: skip
    item = wire.post(url, {"fields": fields})
    assert item["fields"]["Twice"] == 25
    assert item["createdBy"] == {"application": {"displayName": "Restore"}}
    assert wire.code("POST", f"/sites/{site}/lists", body)[0] == 409


@pytest.mark.parametrize(
    "fields",
    [
        {"Nothing": 1},
        {"Created": "2020-01-01T00:00:00Z"},
        {"Total": 3},
        {"Supplier": "Harbour Supplies"},
        {"SupplierLookupId": 99},
        {"OthersLookupId": [1]},
        {"Tags": ["fragile"]},
        {"Amount": "many"},
        {"Link": {"Url": "https://example.com", "Description": "x"}},
        {"Topic": {"Label": "Freight"}},
    ],
)
def test_what_graph_does_not_take_is_refused_as_a_whole(wire, tenant, site, fields):
    orders = titled(tenant, site, "Orders")
    before = len(orders.items)
    url = f"/sites/{site}/lists/{orders.id}/items"
    assert wire.code("POST", url, {"fields": fields}) == (400, "invalidRequest")
    assert len(orders.items) == before


def test_a_row_changes_in_place_and_keeps_its_versions(wire, tenant, site):
    suppliers = titled(tenant, site, "Suppliers")
    url = f"/sites/{site}/lists/{suppliers.id}/items/1"
    wire.send("PATCH", f"{url}/fields", {"Rating": 4.5})
    versions = wire.get(f"{url}/versions?$expand=fields")["value"]
    assert [one["fields"]["Rating"] for one in versions] == [4.5, 0.0]
    assert wire.send("DELETE", url).status == 204
    assert wire.code("GET", url)[0] == 404


def test_spaces_in_the_name_of_a_column_are_spelled_out(tenant, site):
    made = add_list(tenant, site, "Boats")
    assert add_column(tenant, made, {"name": "Length over all", "number": {}})["name"] == (
        "Length_x0020_over_x0020_all"
    )


def test_an_application_that_may_read_writes_nothing(wire, tenant, site):
    reader = Wire(wire.running, tenant.backup_app)
    suppliers = titled(tenant, site, "Suppliers")
    url = f"/sites/{site}/lists/{suppliers.id}"
    assert reader.get(f"{url}/columns")["value"]
    assert reader.code("POST", f"{url}/items", {"fields": {"Title": "x"}})[0] == 403
    assert reader.code("POST", f"{url}/columns", {"name": "x", "text": {}})[0] == 403


def test_an_item_of_a_folder_shows_it_in_its_address(wire, tenant, site):
    made = add_list(tenant, site, "Nested")
    add_item(tenant, made, {"Title": "2025"}, content_type="Folder")
    add_item(tenant, made, {"Title": "inside"}, folder="2025")
    found = wire.get(f"/sites/{site}/lists/{made.id}/items")["value"]
    assert found[0]["contentType"]["name"] == "Folder"
    assert found[1]["webUrl"].endswith("/Lists/Nested/2025/2_.000")


def test_answers_fit_the_schema(wire, tenant, site):
    names = os.environ.get(openapi.ENVIRONMENT, "")
    paths = [Path(one) for one in names.split(os.pathsep) if "v1.0" in one]
    if not paths:
        pytest.skip(f"{openapi.ENVIRONMENT} names no document")
    document = openapi._Document(paths[0]).load()
    orders = f"/sites/{site}/lists/{titled(tenant, site, 'Orders').id}"
    kinds = {
        f"/sites/{site}/lists?$select=id,name,displayName,list,system,createdBy,eTag": "list",
        f"{orders}/columns": "columnDefinition",
        f"{orders}/contentTypes": "contentType",
        f"{orders}/items?$expand=fields": "listItem",
        f"{orders}/items/delta?$expand=fields": "listItem",
        f"{orders}/items/1/versions?$expand=fields": "listItemVersion",
    }
    found = [(kind, one) for url, kind in kinds.items() for one in wire.walk(url)[0][0]]
    found.append(("list", wire.get(f"{orders}?$expand=columns,contentTypes")))
    assert len(found) > 50
    for kind, one in found:
        schema = {"$ref": f"#/components/schemas/microsoft.graph.{kind}"}
        assert openapi._mismatch(document, schema, one, kind, 0) is None
