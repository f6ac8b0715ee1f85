"""Who exists and what they have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import simulator
from base.errors import Throttled
from m365 import directory
from m365.directory import (
    GROUPS,
    SITES,
    USERS,
    Directory,
    Person,
    deleted_users,
    group_of,
    person_of,
    read_feed,
    site_of,
)
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphReader, Place
from m365.graph.errors import Forbidden, GraphProblem, TransientFailure
from m365.graph.throttle import Limiter
from m365.holdings import Found, drives_of, mailboxes_of, purposes_of
from simulator.contoso import build
from tests.m365.test_batch import answering
from tests.m365.wire_fake import Hostile, Reply, fails, says, token

TENANT = "6e7b1f40-0000-4000-8000-0000c0ffee01"
ORGANIZATION = says({"value": [{"id": TENANT, "displayName": "Contoso"}]})
NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
STAMP = "2026-11-24T01:00:00+00:00"
ANNA = {"id": "anna", "mail": "anna@contoso.example", "assignedLicenses": [{}]}


def error(status: int, code: str, message: str = "") -> dict[str, Any]:
    return {"status": status, "body": {"error": {"code": code, "message": message}}}


# --- Feeds ---


def read(
    fake: Hostile, feed: directory.Feed, link: str = "", known: Any = None, at: datetime = NOW
) -> directory.Reading:
    return read_feed(fake.reader(), feed, link, known or {}, at)


def links(fake: Hostile, name: str) -> tuple[str, str]:
    """A nextLink and a deltaLink of a feed, oddly spelled."""
    return (
        f"{fake.origin}/v1.0/{name}/microsoft.graph.delta()?$skiptoken=1",
        f"{fake.origin}/v1.0/{name}/delta?$deltatoken=2",
    )


def forgotten(fake: Hostile, name: str) -> Reply:
    where = f"{fake.origin}/v1.0/{name}/delta?$deltatoken="
    return fails(410, "syncStateNotFound", Location=where)


def test_everybody_is_known_once_whatever_state_the_pages_are_in() -> None:
    with Hostile() as fake:
        more, end = links(fake, "users")
        anna = {"id": "a", "displayName": "Anna", "mail": "a@x", "userPrincipalName": "a@y"}
        guest = {"id": "g", "userType": "Guest", "accountEnabled": False, "assignedLicenses": []}
        odd = [{}, {"id": None}, {"id": 7}, {"id": "n", "displayName": None, "mail": "n@x"}]
        fake.on(
            "/v1.0/users/delta",
            says({"value": [anna, *odd], "@odata.nextLink": more}),
            says({"value": [guest, anna, {"id": "x", "@removed": {"reason": "deleted"}}]}),
        )
        fake.on(
            "/v1.0/users/microsoft.graph.delta()",
            says({"value": [], "@odata.nextLink": more.replace("=1", "=3")}),
            says({"value": [guest, anna], "@odata.deltaLink": end}),
        )
        found = read(fake, USERS)
        assert found.link == end
        people = [person_of(key, record) for key, record in found.records.items()]
        assert people == [
            Person("a", "Anna", "a@x", "a@y", True, "Member", None, changed=STAMP),
            Person("n", "n@x", "n@x", "", True, "Member", None, changed=STAMP),
            Person("g", "g", "", "", False, "Guest", False, changed=STAMP),
        ]
        assert "assignedLicenses" in fake.heard[0].path
        assert "$top" not in fake.heard[0].path
        assert {one.headers["x-ms-throttle-priority"] for one in fake.heard} == {"low"}


def test_a_piece_is_laid_over_what_is_known_and_null_is_a_value() -> None:
    known = {"a": {"displayName": "Anna", "mail": "a@x", "accountEnabled": True, "changed": "then"}}
    with Hostile() as fake:
        _, end = links(fake, "users")
        piece = {"id": "a", "mail": None, "accountEnabled": False, "jobTitle": "unasked"}
        fake.on("/v1.0/users/delta", says({"value": [piece], "@odata.deltaLink": end}))
        found = read(fake, USERS, end, known)
        assert found.records == {
            "a": {"displayName": "Anna", "mail": None, "accountEnabled": False, "changed": STAMP}
        }
        assert not found.whole


def test_what_comes_several_times_counts_as_it_came_last() -> None:
    known = {key: {"displayName": key} for key in "abc"}
    with Hostile() as fake:
        _, end = links(fake, "users")
        told = [
            {"id": "a", "@removed": {"reason": "changed"}},
            {"id": "b", "displayName": "old"},
            {"id": "a", "displayName": "back"},
            {"id": "b", "displayName": "new"},
            {"id": "c", "displayName": "then gone"},
            {"id": "c", "@removed": {"reason": "deleted"}},
        ]
        fake.on("/v1.0/users/delta", says({"value": told, "@odata.deltaLink": end}))
        found = read(fake, USERS, end, known).records
        assert found["a"] == {"displayName": "back", "changed": STAMP}
        assert found["b"] == {"displayName": "new", "changed": STAMP}
        assert found["c"]["removed"] == STAMP


def test_what_did_not_change_stays_the_very_same_record() -> None:
    known = {"a": {"displayName": "Anna", "changed": "then"}, "b": {"displayName": "Bo"}}
    with Hostile() as fake:
        _, end = links(fake, "users")
        told = [{"id": "a", "displayName": "Anna"}]
        fake.on("/v1.0/users/delta", says({"value": told, "@odata.deltaLink": end}))
        found = read(fake, USERS, end, known).records
        assert found["a"] is known["a"]
        assert found["b"] is known["b"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (410, "syncStateNotFound"),
        (410, "Gone"),
        (400, "SyncStateInvalid"),
        (404, "ResyncRequired"),
        (400, "Directory_ExpiredPageToken"),
    ],
)
def test_a_forgotten_link_in_any_spelling_reads_the_whole_and_finds_deletions(
    status: int, code: str
) -> None:
    known = {"a": {"displayName": "Anna"}, "z": {"displayName": "Zoe"}}
    with Hostile() as fake:
        _, end = links(fake, "users")
        where = f"{fake.origin}/v1.0/users/delta?$deltatoken="
        fake.on(
            "/v1.0/users/delta",
            fails(status, code, Location=where),
            says({"value": [{"id": "a", "displayName": "Anna"}], "@odata.deltaLink": end}),
        )
        found = read(fake, USERS, end, known)
        assert found.whole
        assert found.records == {
            "a": known["a"],
            "z": {"displayName": "Zoe", "removed": STAMP},
        }
        assert "$select=" in fake.heard[1].path  # the empty token would have lost the selection


def test_a_link_forgotten_in_the_middle_of_a_round_starts_it_again() -> None:
    with Hostile() as fake:
        more, end = links(fake, "users")
        fake.on("/v1.0/users/microsoft.graph.delta()", forgotten(fake, "users"))
        fake.on(
            "/v1.0/users/delta",
            says({"value": [{"id": "a"}], "@odata.nextLink": more}),
            says({"value": [{"id": "b"}], "@odata.deltaLink": end}),
        )
        assert read(fake, USERS).records.keys() == {"b"}


@pytest.mark.parametrize(("status", "problem"), [(403, Forbidden), (500, TransientFailure)])
def test_a_refusal_or_a_failure_never_counts_as_an_empty_directory(
    status: int, problem: type[Exception]
) -> None:
    with Hostile() as fake:
        _, end = links(fake, "users")
        fake.on("/v1.0/users/delta", fails(status, "Authorization_RequestDenied"))
        with pytest.raises(problem):
            read(fake, USERS, end, {"a": {"displayName": "Anna"}})


def test_who_was_removed_stays_known_for_thirty_days() -> None:
    known = {"a": {"displayName": "Anna", "removed": STAMP}}
    with Hostile() as fake:
        _, end = links(fake, "users")
        fake.on("/v1.0/users/delta", says({"value": [], "@odata.deltaLink": end}))
        in_time = read(fake, USERS, end, known, NOW + timedelta(days=30))
        late = read(fake, USERS, end, known, NOW + timedelta(days=31))
        assert in_time.records == known
        assert late.records == {}


def test_members_of_a_large_group_come_in_parts_and_parts_add_up() -> None:
    def part(*members: dict[str, Any]) -> dict[str, Any]:
        return {"id": "g", "displayName": "All", "members@delta": list(members)}

    def user(key: str) -> dict[str, Any]:
        return {"@odata.type": "#microsoft.graph.user", "id": key}

    with Hostile() as fake:
        more, end = links(fake, "groups")
        fake.on(
            "/v1.0/groups/delta",
            says({"value": [part(user("a"), user("b"))], "@odata.nextLink": more}),
            says(
                {
                    "value": [
                        part({**user("a"), "@removed": {"reason": "deleted"}}, user("d")),
                        {"id": "g", "displayName": "Renamed"},
                    ],
                    "@odata.deltaLink": end,
                }
            ),
        )
        device = {"@odata.type": "#microsoft.graph.device", "id": "printer"}
        fake.on(
            "/v1.0/groups/microsoft.graph.delta()",
            says({"value": [part(user("c"), device, {}, {"id": None})], "@odata.deltaLink": end}),
        )
        first = read(fake, GROUPS).records
        assert group_of("g", first["g"]).members == {"a", "b", "c"}
        second = read(fake, GROUPS, end, first).records
        assert group_of("g", second["g"]).members == {"b", "c", "d"}
        assert group_of("g", second["g"]).display_name == "Renamed"


def test_a_group_that_comes_back_has_the_members_it_had() -> None:
    known = {"g": {"displayName": "All", "members": ["a"]}}
    with Hostile() as fake:
        _, end = links(fake, "groups")
        gone = {"id": "g", "@removed": {"reason": "changed"}}
        back = {"id": "g", "displayName": "All"}
        fake.on(
            "/v1.0/groups/delta",
            says({"value": [gone], "@odata.deltaLink": end}),
            says({"value": [back], "@odata.deltaLink": end}),
        )
        without = read(fake, GROUPS, end, known).records
        assert group_of("g", without["g"]).removed == STAMP
        again = read(fake, GROUPS, end, without).records
        assert group_of("g", again["g"]) == group_of("g", known["g"])


def test_sites_tell_of_deletions_in_either_way_and_of_onedrives() -> None:
    with Hostile() as fake:
        _, end = links(fake, "sites")
        told = [
            {"id": "s1", "displayName": "Sales", "webUrl": "https://c.sharepoint.com/sites/sales"},
            {"id": "s2", "name": "old", "webUrl": "https://c.sharepoint.com/sites/old"},
            {"id": "s3", "webUrl": "https://c-my.sharepoint.com/personal/anna"},
            {"id": "s4", "isPersonalSite": True},
            {"id": "s2", "deleted": {"state": "deleted"}},
            {"id": "s5", "@removed": {"reason": "deleted"}},
        ]
        fake.on("/v1.0/sites/delta", says({"value": told, "@odata.deltaLink": end}))
        found = {key: site_of(key, one) for key, one in read(fake, SITES).records.items()}
        assert {key for key, one in found.items() if one.removed} == {"s2"}
        assert {key for key, one in found.items() if one.personal} == {"s3", "s4"}
        assert found["s1"].display_name == "Sales"


def test_where_sites_have_no_delta_they_are_listed_every_time() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/sites/delta", fails(400, "invalidRequest"))
        listed = {"value": [{"id": "s1", "displayName": "Sales"}]}
        fake.on("/v1.0/sites/getAllSites", says(listed))
        found = read(fake, SITES, "", {"s0": {"displayName": "gone"}})
        assert (found.link, found.whole) == ("", True)
        assert found.records["s0"]["removed"] == STAMP
        assert "removed" not in found.records["s1"]


def test_deleted_users_have_the_names_they_had() -> None:
    with Hostile() as fake:
        gone = {
            "id": "aaaa-bb",
            "displayName": "Anna",
            "userPrincipalName": "AAAAbbanna@x",
            "deletedDateTime": "2026-11-20T08:00:00Z",
        }
        odd = [{}, {"id": "no date"}, {"id": "null", "deletedDateTime": None}]
        fake.on("/v1.0/directory/deletedItems/microsoft.graph.user", says({"value": [gone, *odd]}))
        ((key, record),) = deleted_users(fake.reader())
        anna = person_of(key, record)
        assert (anna.user_principal_name, anna.removed) == ("anna@x", "2026-11-20T08:00:00Z")


def test_where_deleted_users_may_not_be_listed_there_are_none() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/directory/deletedItems/microsoft.graph.user", fails(403, "accessDenied"))
        assert list(deleted_users(fake.reader())) == []


# --- What people have ---


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
        found = mailboxes_of(fake.reader(), [*fates, "a"])
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
        found = drives_of(fake.reader(), list(fates))
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
        assert len(drives_of(fake.reader(), ids)) == 101
        assert len(fake.heard) == 6


def test_a_pause_is_not_mistaken_for_a_missing_mailbox() -> None:
    with Hostile() as fake:
        refused = {"status": 429, "headers": {"Retry-After": "60"}}
        fake.on("/v1.0/$batch", answering(lambda item: refused))
        with pytest.raises(Throttled):
            mailboxes_of(fake.reader(), ["a"])


def test_what_a_mailbox_is_for_is_told_or_unknown() -> None:
    fates = {
        "a": {"status": 200, "body": {"value": "shared"}},
        "b": {"status": 200, "body": {"value": None}},
        "c": error(404, "MailboxNotEnabledForRESTAPI"),
        "d": error(403, "ErrorAccessDenied"),
        "e": {"status": 200, "body": {"value": "somethingNew"}},
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: fates[item["url"].split("/")[2]]))
        found = purposes_of(fake.reader(), list(fates))
        assert found == {"a": "shared", "b": "", "c": "", "d": "", "e": "somethingNew"}


# --- Pickers ---


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
    reader = reader_of(running, tenant.backup_app)
    ids = list(read_feed(reader, USERS, "", {}, NOW).records)
    assert sorted(ids) == sorted(tenant.users)
    mailboxes, drives = mailboxes_of(reader, ids), drives_of(reader, ids)
    assert {user for user, one in mailboxes.items() if one.id} == set(tenant.mailboxes)
    assert {one.id for one in drives.values() if one.id} <= set(tenant.drives)
    for one in (*mailboxes.values(), *drives.values()):
        assert bool(one.id) != bool(one.reason)
    assert {one.reason for one in mailboxes.values()} == {"", "no-mailbox"}
    assert not tenant.counters.violations
    assert not tenant.counters.offences


def test_pickers_find_people_and_groups_of_the_tenant(running: simulator.Running) -> None:
    people = Directory(reader_of(running, running.tenant.backup_app))
    somebody = next(iter(running.tenant.users.values()))
    found = people.search("users", str(somebody.properties["displayName"])[:4], 10)
    assert somebody.id in {one["id"] for one in found}
    assert len(people.search("users", "", 2)) == 2
    assert people.search("users", "nobody is called this", 10) == []
    assert not running.tenant.counters.violations
