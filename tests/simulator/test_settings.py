"""Mailbox settings, rules, categories and overrides of the simulated tenant."""

import pytest

from simulator import Tenant, hostile, serve
from simulator.settings import add_category, add_rule
from tests.simulator.wire import Wire

RULE = {
    "displayName": "From partner",
    "sequence": 2,
    "conditions": {"senderContains": ["adele"]},
    "actions": {"markAsRead": True},
}


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


def rules_at(user):
    return f"/users/{user}/mailFolders/inbox/messageRules"


def test_a_rule_comes_back_with_its_words_in_capitals(wire, user):
    made = wire.post(rules_at(user), RULE)
    assert made["conditions"] == {"senderContains": ["ADELE"]}
    assert (made["isEnabled"], made["hasError"], made["isReadOnly"]) == (True, False, False)
    assert wire.get(rules_at(user))["value"] == [made]


def test_two_mailboxes_have_rules_of_the_same_id(tenant, user):
    other = tenant.add_user("Jörg Müller").id
    assert add_rule(tenant, user, RULE)["id"] == add_rule(tenant, other, RULE)["id"]


def test_a_rule_may_only_name_folders_of_its_mailbox(wire, user):
    body = RULE | {"actions": {"moveToFolder": "AQMkAnother"}}
    assert wire.code("POST", rules_at(user), body) == (400, "ErrorInvalidRule")


def test_a_tenant_may_refuse_rules_to_applications(wire, user, tenant):
    tenant.quirks.rules_refused = True
    assert wire.code("GET", rules_at(user))[0] == 403


def test_categories_have_unique_names_that_never_change(wire, user):
    url = f"/users/{user}/outlook/masterCategories"
    made = wire.post(url, {"displayName": "Visits", "color": "preset9"})
    assert wire.code("POST", url, {"displayName": "visits"})[0] == 409
    assert wire.code("PATCH", f"{url}/{made['id']}", {"displayName": "Other"})[0] == 400
    assert wire.send("PATCH", f"{url}/{made['id']}", {"color": "preset1"}).json() == {
        **made,
        "color": "preset1",
    }
    assert wire.send("DELETE", f"{url}/{made['id']}").status == 204


def test_lists_page_and_a_hostile_tenant_gives_short_and_empty_pages(wire, user, tenant):
    tenant.quirks = hostile()
    for number in range(45):
        add_category(tenant, user, f"Category {number}", "none")
    pages, _ = wire.walk(f"/users/{user}/outlook/masterCategories")
    assert [one["displayName"] for page in pages for one in page] == [
        f"Category {number}" for number in range(45)
    ]
    assert {len(page) for page in pages} > {10}


def test_an_address_has_one_override(wire, user):
    url = f"/users/{user}/inferenceClassification/overrides"
    sender = {"name": "Samantha", "address": "s@adatum.example"}
    first = wire.post(url, {"classifyAs": "focused", "senderEmailAddress": sender})
    again = wire.post(url, {"classifyAs": "other", "senderEmailAddress": sender})
    assert (again["id"], again["classifyAs"]) == (first["id"], "other")
    assert len(wire.get(url)["value"]) == 1


def test_settings_are_merged_and_some_are_read_only(wire, user):
    url = f"/users/{user}/mailboxSettings"
    replies = {"status": "alwaysEnabled", "internalReplyMessage": "<p>Away</p>"}
    answer = wire.send("PATCH", url, {"automaticRepliesSetting": replies}).json()
    assert answer["automaticRepliesSetting"]["externalAudience"] == "none"
    assert answer["automaticRepliesSetting"]["status"] == "alwaysEnabled"
    assert wire.code("PATCH", url, {"userPurpose": "shared"})[0] == 400
    assert wire.get(f"{url}/timeZone")["value"] == "UTC"
    assert wire.get(f"{url}/workingHours")["startTime"] == "08:00:00.0000000"
