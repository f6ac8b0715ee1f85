"""Policies and the directory over HTTP: what may be chosen, found, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.house import BELOW, HOSTILE, House


@pytest.fixture
def policy(house: House) -> Iterator[dict[str, Any]]:
    """The policy as PUT takes it; what a test made of it is taken back."""
    shown = house.get("/policy")
    body = {key: value for key, value in shown.items() if key != "next_run_at"}
    yield body
    version = house.get("/policy")["version"]
    house.client.put(f"{BELOW}/policy", json={**body, "version": version})


def people(house: House) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.get("/directory/users")["items"]
    return found


def test_a_policy_comes_back_as_it_was_put_with_everything_filled_in(
    house: House, policy: dict[str, Any]
) -> None:
    first = people(house)[0]
    group = house.get("/directory/groups")["items"][0]
    selection = {
        "mode": "include",
        "users": [first["userPrincipalName"].upper()],
        "groups": [group["id"]],
        "patterns": ["*@sales.contoso.com"],
        "leavers": "stop",
    }
    drives = {"mode": "exclude", "users": [first["id"]]}
    sites = {"mode": "include", "patterns": ["https://*/sites/sales-*"]}

    answer = house.client.put(
        f"{BELOW}/policy",
        json={**policy, "selection": selection, "drives": drives, "sites": sites},
    )

    assert answer.status_code == 200, answer.text
    now = house.get("/policy")
    assert now["selection"] == selection
    assert now["drives"] == {"groups": [], "patterns": [], "leavers": "keep", **drives}
    assert now["sites"] == {"sites": [], **sites}


def test_a_body_of_an_older_client_is_taken(house: House, policy: dict[str, Any]) -> None:
    old = {key: value for key, value in policy.items() if key not in ("drives", "sites")}
    old["selection"] = {"mode": "exclude", "users": [people(house)[0]["id"]]}

    answer = house.client.put(f"{BELOW}/policy", json=old)

    assert answer.status_code == 200, answer.text
    assert answer.json()["drives"] is None
    assert answer.json()["sites"]["mode"] == "all"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (
            {"selection": {"mode": "include", "users": ["nobody@contoso.example"]}},
            "selection-unknown",
            "selection.users",
        ),
        ({"selection": {"mode": "all", "groups": ["no-group"]}}, "selection-unknown", None),
        ({"drives": {"mode": "include", "groups": ["no-group"]}}, "selection-unknown", None),
        ({"sites": {"mode": "include", "sites": ["no-site"]}}, "selection-unknown", "sites.sites"),
        ({"selection": {"mode": "include"}}, "selection-invalid", "selection"),
        ({"selection": {"mode": "all", "patterns": [""]}}, "selection-invalid", None),
        ({"selection": {"mode": "some"}}, "invalid-input", None),
        ({"selection": {"mode": "all", "leavers": "burn"}}, "invalid-input", None),
        ({"selection": {"mode": "all", "people": []}}, "invalid-input", None),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(
    house: House, policy: dict[str, Any], change: dict[str, Any], code: str, field: str | None
) -> None:
    before = house.get("/policy")

    answer = house.client.put(f"{BELOW}/policy", json={**policy, **change})

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == code
    assert problem["hint"]
    assert "nobody@contoso.example" not in answer.text
    if field:
        assert problem["details"]["field"] == field
    assert house.get("/policy") == before


def test_the_directory_says_what_everybody_has_and_why_something_is_missing(house: House) -> None:
    by_name = {one["displayName"]: one for one in people(house)}
    assert "mail" in by_name[HOSTILE]["services"]
    shared = by_name["Sales Inbox"]
    assert shared["purpose"] == "shared"
    assert shared["missing"]["drive"] == "no-licence"
    assert house.get("/directory/users", search="SALES")["items"] == [shared]
    assert house.get("/directory/users", search="no such name")["items"] == []


def test_pages_of_the_directory_follow_one_another(house: House) -> None:
    first = house.get("/directory/users", limit=1)
    second = house.get("/directory/users", limit=500, next=first["next"])
    assert second["next"] is None
    together = first["items"] + second["items"]
    assert together == people(house)
    bad = house.client.get(f"{BELOW}/directory/users", params={"next": "nonsense"})
    assert (bad.status_code, bad.json()["code"]) == (422, "cursor-invalid")


def test_groups_sites_teams_and_who_left_are_kinds_of_their_own(house: House) -> None:
    assert {one["displayName"] for one in house.get("/directory/groups")["items"]} >= {"Sales"}
    assert [one["displayName"] for one in house.get("/directory/sites")["items"]] == ["Intranet"]
    assert all(
        "Team" in one["resourceProvisioningOptions"]
        for one in house.get("/directory/teams")["items"]
    )
    (gone,) = house.get("/directory/users", deleted="true")["items"]
    assert gone["deletedDateTime"]


def test_coverage_counts_sites(house: House) -> None:
    found = house.get("/coverage")["sites"]
    assert found["found"] == found["selected"] == 1


def test_rows_say_what_a_mailbox_is_for(house: House) -> None:
    rows = [one for one in house.get("/resources", limit=500)["items"] if one["service"] == "mail"]
    assert {one["purpose"] for one in rows} == {"user", "shared"}
