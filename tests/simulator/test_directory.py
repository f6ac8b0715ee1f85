"""Users, groups, the organization, rights of apps."""

import pytest

from simulator import Tenant, directory_state, hostile, serve
from simulator.contoso_directory import furnish
from simulator.sites import add_site
from tests.simulator.wire import Wire, settled


@pytest.fixture
def tenant():
    return Tenant(11)


@pytest.fixture
def wire(tenant):
    for number in range(7):
        tenant.add_user(f"Person {number}")
    tenant.add_user("Sales Inbox", purpose="shared")
    tenant.add_user("Nora Guest", mailbox=False, userType="Guest")
    tenant.add_user("Gone Larsen", accountEnabled=False)
    with serve(tenant) as running:
        yield Wire(running, tenant.backup_app)


def _id(tenant, name):
    return next(u.id for u in tenant.users.values() if u.properties["displayName"] == name)


def test_users_come_in_pages_with_what_was_selected(wire, tenant):
    pages, _ = wire.walk("/users?$select=id,displayName,accountEnabled,userType&$top=3")
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert {u["id"] for page in pages for u in page} == set(tenant.users)
    assert set(pages[0][0]) == {"id", "displayName", "accountEnabled", "userType"}


def test_without_select_only_the_default_properties_come(wire):
    (page,), _ = wire.walk("/users")
    assert "accountEnabled" not in page[0]
    assert "userPrincipalName" in page[0]


def test_unknown_properties_are_refused_and_foreign_ones_not_implemented(wire):
    assert wire.code("GET", "/users?$select=nonsense")[0] == 400
    assert wire.code("GET", "/users?$select=aboutMe") == (501, "NotImplemented")


def test_users_are_found_by_filter_and_by_search_with_the_header(wire):
    found = wire.get("/users?$filter=startswith(displayName,'Person')&$select=id")
    assert len(found["value"]) == 7
    assert len(wire.get("/users?$filter=accountEnabled eq false")["value"]) == 2
    search = '/users?$search="displayName:sales"'
    assert wire.code("GET", search) == (400, "Request_UnsupportedQuery")
    assert len(wire.get(search, ConsistencyLevel="eventual")["value"]) == 1


def test_a_user_answers_to_id_and_principal_name(wire, tenant):
    user = tenant.users[_id(tenant, "Person 3")]
    by_name = wire.get(f"/users/{user.properties['userPrincipalName']}")
    assert by_name["id"] == user.id
    assert wire.code("GET", "/users/nobody@example.com") == (404, "Request_ResourceNotFound")


def test_who_has_no_mailbox_says_so_in_exchanges_words(wire, tenant):
    guest = _id(tenant, "Nora Guest")
    assert wire.code("GET", f"/users/{guest}/mailFolders/inbox") == (
        404,
        "MailboxNotEnabledForRESTAPI",
    )
    assert wire.code("GET", "/users/none/mailFolders/inbox") == (404, "ErrorInvalidUser")


def test_who_has_no_drive_says_so_in_sharepoints_words(wire, tenant):
    answer = wire.send("GET", f"/users/{_id(tenant, 'Nora Guest')}/drive")
    assert answer.status == 404
    assert "mysite not found" in answer.json()["error"]["message"]


def test_the_purpose_of_a_mailbox_can_be_asked(wire, tenant):
    url = f"/users/{_id(tenant, 'Sales Inbox')}/mailboxSettings"
    assert wire.get(f"{url}/userPurpose")["value"] == "shared"
    assert wire.get(url)["userPurpose"] == "shared"


def test_the_users_feed_reports_changes_and_both_kinds_of_removal(wire, tenant):
    pages, link = wire.walk("/users/delta?$select=displayName")
    assert len(settled(pages)) == 10
    soft, hard, kept = (_id(tenant, f"Person {n}") for n in range(3))
    tenant.remove_user(soft)
    tenant.remove_user(hard, for_good=True)
    tenant.change_user(kept, displayName="Renamed")
    (page,), link = wire.walk(link)
    by_id = {entry["id"]: entry for entry in page}
    assert by_id[soft]["@removed"] == {"reason": "changed"}
    assert by_id[hard]["@removed"] == {"reason": "deleted"}
    assert by_id[kept] == {"displayName": "Renamed", "id": kept}
    assert wire.walk(link)[0] == [[]]


def test_a_lost_or_old_token_of_the_directory_says_where_to_start_anew(wire, tenant):
    _, link = wire.walk("/users/delta")
    tenant.feeds.lose(lambda name: name == "users")
    answer = wire.send("GET", link)
    assert answer.status == 410
    assert answer.json()["error"]["code"].lower() == "syncstatenotfound"
    assert answer.headers["Location"].endswith("/users/delta?$deltatoken=")
    _, link = wire.walk(answer.headers["Location"])
    tenant.clock.advance(7 * 86_400 + 1)
    wire.login()
    assert wire.send("GET", link).status == 410


def test_latest_gives_a_token_without_users(wire, tenant):
    pages, link = wire.walk("/users/delta?$deltatoken=latest")
    assert pages == [[]]
    tenant.change_user(_id(tenant, "Person 1"), displayName="X")
    assert len(wire.walk(link)[0][0]) == 1


@pytest.mark.parametrize("option", ["$top=5", "$orderby=id", "$expand=manager"])
def test_the_users_feed_refuses_what_is_not_documented(wire, option):
    assert wire.code("GET", f"/users/delta?{option}")[0] == 400


def test_a_hostile_feed_repeats_users_and_still_ends_with_the_truth(wire, tenant):
    tenant.quirks = hostile()
    tenant.quirks.p_duplicate = 0.9
    tenant.quirks.p_empty_page = 0.4
    tenant.remove_user(_id(tenant, "Person 6"))
    pages, _ = wire.walk("/users/delta?$select=displayName")
    entries = [entry for page in pages for entry in page]
    assert len(entries) > 10
    assert any("@removed" in entry for entry in entries)
    assert set(settled(pages)) == set(tenant.users)


def test_members_of_a_group_and_of_the_groups_in_it(wire, tenant):
    people = list(tenant.users)
    inner = tenant.add_group("Inner", people[:5])
    outer = tenant.add_group("Outer", [inner.id, people[6]])
    assert [m["id"] for m in wire.get(f"/groups/{outer.id}/members")["value"]] == [
        inner.id, people[6],
    ]  # fmt: skip
    deep = wire.get(f"/groups/{outer.id}/transitiveMembers?$select=id")["value"]
    assert {m["id"] for m in deep} == {inner.id, people[6], *people[:5]}
    found = wire.get("/groups?$filter=groupTypes/any(c:c eq 'Unified')")["value"]
    assert len(found) == 2


def test_members_in_the_groups_feed_come_in_pieces_of_the_same_group(wire, tenant):
    people = list(tenant.users)[:5]
    group = tenant.add_group("Large", people)
    pages, _ = wire.walk("/groups/delta?$select=displayName,members")
    pieces = [entry for page in pages for entry in page]
    assert [entry["id"] for entry in pieces] == [group.id] * 3
    assert [m["id"] for entry in pieces for m in entry["members@delta"]] == people


def test_the_organization_names_itself(wire, tenant):
    (found,) = wire.get("/organization")["value"]
    assert (found["id"], found["displayName"]) == (tenant.id, "Contoso")
    assert wire.get("/organization?$select=displayName")["value"] == [
        {"id": tenant.id, "displayName": "Contoso"}
    ]


def test_an_app_can_read_its_own_rights_by_role_id(wire, tenant):
    app = tenant.backup_app
    rows = wire.get(f"/servicePrincipals(appId='{app.app_id}')/appRoleAssignments")["value"]
    graph = wire.get("/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')")
    names = {role["id"]: role["value"] for role in graph["appRoles"]}
    assert {names[row["appRoleId"]] for row in rows} == app.roles
    mail_read = "810c84a8-4a9e-49e6-bf7d-12d183f40d01"
    assert mail_read in {row["appRoleId"] for row in rows}


def test_directory_answers_tell_their_cost_and_how_near_the_limit_is(wire, tenant):
    answer = wire.send("GET", "/users?$select=id&$top=5")
    assert answer.headers["x-ms-resource-unit"] == "1"
    tenant.limits.identity_ru = 10
    answers = [wire.send("GET", "/users") for _ in range(5)]
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert float(answers[-1].headers["x-ms-throttle-limit-percentage"]) > 1


def test_the_groups_feed_tells_who_left_and_who_joined_and_nothing_else(wire, tenant):
    people = list(tenant.users)
    group = tenant.add_group("Sales", people[:5])
    other = tenant.add_group("Other", people[:1])
    _, link = wire.walk("/groups/delta?$select=displayName,members")
    directory_state.change_members(tenant, group.id, [people[6], other.id], [people[0]])
    (page,), link = wire.walk(link)
    told = [member for entry in page for member in entry.get("members@delta", [])]
    assert {entry["id"] for entry in page} == {group.id}
    assert {(one["id"], one["@odata.type"], "@removed" in one) for one in told} == {
        (people[0], "#microsoft.graph.user", True),
        (people[6], "#microsoft.graph.user", False),
        (other.id, "#microsoft.graph.group", False),
    }
    assert wire.walk(link)[0] == [[]]


def test_who_is_deleted_leaves_groups_lies_in_the_bin_and_comes_back_with_the_mailbox(wire, tenant):
    user = _id(tenant, "Person 2")
    group = tenant.add_group("Sales", [user])
    _, link = wire.walk("/groups/delta?$select=members")
    _, users = wire.walk("/users/delta?$select=displayName")
    tenant.remove_user(user)
    (page,), _ = wire.walk(link)
    assert page[0]["members@delta"][0]["@removed"] == {"reason": "deleted"}
    bin_ = "/directory/deletedItems/microsoft.graph.user?$select=userPrincipalName,deletedDateTime"
    (found,) = wire.get(bin_)["value"]
    assert found["userPrincipalName"].startswith(user.replace("-", ""))
    assert found["deletedDateTime"]
    assert group.members == []
    tenant.backup_app.roles.add("User.ReadWrite.All")
    wire.login()
    assert wire.send("POST", f"/directory/deletedItems/{user}/restore").status == 200
    assert wire.get(bin_)["value"] == []
    assert user in tenant.mailboxes
    (page,), _ = wire.walk(users)
    assert [entry["id"] for entry in page if "@removed" not in entry] == [user]


def test_the_bin_forgets_after_thirty_days(wire, tenant):
    tenant.remove_user(_id(tenant, "Person 2"))
    tenant.clock.advance(31 * 86_400)
    wire.login()
    assert wire.get("/directory/deletedItems/microsoft.graph.user")["value"] == []


def test_a_deleted_group_lies_in_the_bin_too(wire, tenant):
    group = tenant.add_group("Sales", list(tenant.users)[:1])
    _, link = wire.walk("/groups/delta")
    directory_state.remove_group(tenant, group.id)
    (page,), _ = wire.walk(link)
    assert page == [{"id": group.id, "@removed": {"reason": "changed"}}]
    found = wire.get("/directory/deletedItems/microsoft.graph.group")["value"]
    assert [one["displayName"] for one in found] == ["Sales"]


def test_the_sites_feed_tells_of_new_renamed_and_deleted_sites(wire, tenant):
    kept = add_site(tenant, "Kept", "https://contoso.sharepoint.com/sites/kept")
    gone = add_site(tenant, "Gone", "https://contoso.sharepoint.com/sites/gone")
    (page,), link = wire.walk("/sites/delta")
    assert {entry["id"] for entry in page} == {kept, gone}
    tenant.sites[kept]["displayName"] = "Renamed"
    del tenant.sites[gone]
    new = add_site(tenant, "Own", "https://c-my.sharepoint.com/personal/a", personal=True)
    (page,), link = wire.walk(link)
    told = {entry["id"]: entry for entry in page}
    assert told[kept]["displayName"] == "Renamed"
    assert told[gone]["deleted"] == {"state": "deleted"}
    assert told[new]["isPersonalSite"] is True
    assert wire.walk(link)[0] == [[]]
    tenant.feeds.lose(lambda name: name == "sites")
    assert wire.send("GET", link).status == 410


def test_groups_of_contoso_contain_one_another(wire, tenant):
    furnish(tenant)
    everybody = next(g for g in tenant.groups.values() if g.properties["mail"] is None)
    deep = wire.get(f"/groups/{everybody.id}/transitiveMembers?$select=id")["value"]
    assert {one["id"] for one in deep} >= set(tenant.groups) - {everybody.id}
