"""Who exists and what they have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import simulator
from base.errors import Throttled
from m365 import directory
from m365.directory import Directory, Found, Person
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphReader, Place
from m365.graph.errors import Forbidden, GraphProblem
from m365.graph.throttle import Limiter
from simulator.contoso import build
from tests.m365.test_batch import answering
from tests.m365.wire_fake import Hostile, fails, says, token

TENANT = "6e7b1f40-0000-4000-8000-0000c0ffee01"
ORGANIZATION = says({"value": [{"id": TENANT, "displayName": "Contoso"}]})
ANNA = {"id": "anna", "mail": "anna@contoso.example", "assignedLicenses": [{}]}


def error(status: int, code: str, message: str = "") -> dict[str, Any]:
    return {"status": status, "body": {"error": {"code": code, "message": message}}}


def test_everybody_is_listed_once_whatever_state_the_pages_are_in() -> None:
    with Hostile() as fake:
        at = f"{fake.origin}/v1.0/users?$skiptoken="
        anna = {"id": "a", "displayName": "Anna", "mail": "a@x", "userPrincipalName": "a@y"}
        guest = {"id": "g", "userType": "Guest", "accountEnabled": False, "assignedLicenses": []}
        odd = [{}, {"id": None}, {"id": 7}, {"id": "n", "displayName": None, "mail": "n@x"}]
        fake.on(
            "/v1.0/users",
            says({"value": [anna, *odd], "@odata.nextLink": at + "1"}),
            says({"value": [], "@odata.nextLink": at + "2"}),
            says({"value": [guest, anna]}),
        )
        people = list(Directory(fake.reader()).users())
        assert people == [
            Person("a", "Anna", "a@x", "a@y", True, "Member", None),
            Person("n", "n@x", "n@x", "", True, "Member", None),
            Person("g", "g", "", "", False, "Guest", False),
        ]
        assert "$top=999" in fake.heard[0].path


def test_each_mailbox_is_found_or_missing_for_a_reason() -> None:
    fates = {
        "a": {"status": 200, "body": {"id": "AAMk"}},
        "b": error(404, "MailboxNotEnabledForRESTAPI"),
        "c": error(404, "ErrorInvalidUser"),
        "d": error(403, "ErrorAccessDenied"),
        "e": error(500, "generalException"),
        "f": error(404, "ErrorItemNotFound"),
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: fates[item["url"].split("/")[2]]))
        found = Directory(fake.reader()).mailboxes_of([*fates, "a"])
        assert found == {
            "a": Found("a"),
            "b": Found(reason="no-mailbox"),
            "c": Found(reason="no-mailbox"),
            "d": Found(reason="forbidden"),
            "e": Found(reason="graph-unstable"),
            "f": Found(reason="no-mailbox"),
        }
        assert len(fake.heard[0].json()["requests"]) == 6


def test_each_drive_is_found_or_missing_for_a_reason() -> None:
    fates = {
        "a": {"status": 200, "body": {"id": "b!a"}},
        "b": error(404, "ResourceNotFound", "User's mysite not found."),
        "c": error(400, "BadRequest", "Tenant does not have a SPO license."),
        "d": error(423, "resourceLocked"),
        "e": error(403, "notAllowed"),
        "f": error(404, "itemNotFound"),
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: fates[item["url"].split("/")[2]]))
        found = Directory(fake.reader()).drives_of(list(fates))
        assert found["a"] == Found("b!a")
        assert {user: one.reason for user, one in found.items() if not one.id} == {
            "b": "no-drive",
            "c": "no-drive",
            "d": "locked",
            "e": "locked",
            "f": "no-drive",
        }


def test_many_people_are_asked_about_twenty_a_request() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: {"status": 200, "body": {"id": "x"}}))
        ids = [f"user{number}" for number in range(101)]
        assert len(Directory(fake.reader()).drives_of(ids)) == 101
        assert len(fake.heard) == 6


def test_a_pause_is_not_mistaken_for_a_missing_mailbox() -> None:
    with Hostile() as fake:
        refused = {"status": 429, "headers": {"Retry-After": "60"}}
        fake.on("/v1.0/$batch", answering(lambda item: refused))
        with pytest.raises(Throttled):
            Directory(fake.reader()).mailbox_of("a")


def connected(fake: Hostile, *roles: str) -> GraphReader:
    fake.on_sign_in(TENANT, token(*roles))
    fake.on("/v1.0/organization", ORGANIZATION)
    fake.on("/v1.0/users", says({"value": [{"id": "x"}, ANNA]}))
    return GraphReader(fake.place, ClientSecret(TENANT, "app", "secret"), fake.limiter)


def test_pickers_search_through_the_sdk_with_our_token_and_limits() -> None:
    with Hostile() as fake:
        reader = connected(fake)
        fake.on("/v1.0/groups", says({"value": [{"id": "g1"}, {"id": "g2"}]}))
        fake.on("/v1.0/sites", says({"value": [{"id": "s1"}]}))
        pickers = Directory(reader)
        assert pickers.search("users", 'an"na', 1) == [{"id": "x"}]
        assert pickers.search("teams", "Sales", 5) == [{"id": "g1"}, {"id": "g2"}]
        assert pickers.search("sites", "", 5) == [{"id": "s1"}]
        users, teams, sites = fake.heard[-3:]
        assert "displayName%3Aan%20na" in users.path
        assert "resourceProvisioningOptions" in teams.path
        assert "search=%2A" in sites.path or "search=*" in sites.path
        assert users.headers["consistencylevel"] == "eventual"
        assert users.headers["user-agent"].startswith("NONISV|Contoso|Holdfast/")
        assert reader.counters.by_kind["control"] == 3


def test_a_picker_is_refused_and_paused_like_any_request() -> None:
    with Hostile() as fake:
        reader = connected(fake)
        fake.on("/v1.0/users", fails(403, "Authorization_RequestDenied"))
        with pytest.raises(Forbidden):
            Directory(reader).search("users", "a", 5)
        fake.on("/v1.0/users", fails(429, Retry_After="30"))
        for _ in range(2):
            with pytest.raises(Throttled):
                Directory(reader).search("users", "a", 5)
        assert len(fake.paths("/v1.0/users")) == 2


def test_a_redirect_does_not_carry_a_picker_away() -> None:
    with Hostile() as fake:
        reader = connected(fake)
        moved = says({}, 302, Location=f"{fake.elsewhere}/trap")
        fake.on("/v1.0/users", moved)
        with pytest.raises(GraphProblem):
            Directory(reader).search("users", "a", 5)
        assert fake.paths("/trap") == []


# --- Against the simulated tenant ---


@pytest.fixture
def running() -> Iterator[simulator.Running]:
    with simulator.serve(build("tiny", 3)) as served:
        yield served


def reader_of(running: simulator.Running, app: simulator.AppRegistration) -> GraphReader:
    place = Place(running.url, running.url, running.ca)
    secret = ClientSecret(running.tenant.id, app.app_id, next(iter(app.secrets)))
    return GraphReader(place, secret, Limiter())


def test_everybody_of_a_tenant_is_protected_or_missing_something_for_a_reason(
    running: simulator.Running,
) -> None:
    tenant = running.tenant
    with tenant.lock:
        tenant.add_user("Nobody Postless", mailbox=False)
    people = Directory(reader_of(running, tenant.backup_app))
    ids = [person.id for person in people.users()]
    assert sorted(ids) == sorted(tenant.users)
    mailboxes, drives = people.mailboxes_of(ids), people.drives_of(ids)
    assert {user for user, one in mailboxes.items() if one.id} == set(tenant.mailboxes)
    assert {one.id for one in drives.values() if one.id} <= set(tenant.drives)
    for one in (*mailboxes.values(), *drives.values()):
        assert bool(one.id) != bool(one.reason)
    assert {one.reason for one in mailboxes.values()} == {"", "no-mailbox"}
    assert not tenant.counters.violations
    assert not tenant.counters.offences


def test_pickers_find_people_and_groups_of_the_tenant(running: simulator.Running) -> None:
    people = Directory(reader_of(running, running.tenant.backup_app))
    somebody = next(people.users())
    found = people.search("users", somebody.display_name[:4], 10)
    assert somebody.id in {one["id"] for one in found}
    assert len(people.search("users", "", 2)) == 2
    assert people.search("users", "nobody is called this", 10) == []
    assert not running.tenant.counters.violations
