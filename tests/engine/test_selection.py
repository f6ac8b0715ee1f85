"""Selections: by user, group, pattern and site; checked when written, read anew at every run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import coverage, policies
from engine.directory import Known
from engine.selection import (
    People,
    SelectionInvalid,
    SelectionUnknown,
    Web,
    check_known,
    check_shape,
    whole,
)
from m365.directory import Group, Person, Site
from simulator import directory_state
from state.policies import Policy
from state.resources import PROTECTED, SKIPPED
from tests.engine.test_plan import planned, rows
from tests.engine.world import ORG, World, calm_tenant, world


def person(key: str, domain: str = "contoso.com") -> Person:
    return Person(key, key.title(), f"{key}@{domain}", f"{key}@{domain}", True, "Member")


def group(key: str, *members: str) -> Group:
    mail = f"{key}@contoso.com"
    return Group(key, key.title(), mail, unified=True, team=False, members=frozenset(members))


KNOWN = Known(
    people={one.id: one for one in map(person, ("ada", "bob", "cy", "di"))}
    | {"eve": person("eve", "sales.contoso.com")},
    removed={"left": person("left")},
    groups={
        one.id: one
        for one in (
            group("inner", "bob", "outer"),
            group("outer", "ada", "inner", "nobody-we-know"),
            group("self", "self"),
        )
    },
    sites={"s1": Site("s1", "Sales", "https://c.sharepoint.com/sites/Sales-EU/", personal=False)},
)


def chosen(mode: str, **lists: Any) -> set[str]:
    people = People({"mode": mode, **lists}, KNOWN)
    return {key for key, one in KNOWN.people.items() if people.person(one) is not None}


# --- Rules ---


def test_by_default_everybody_is_chosen() -> None:
    assert chosen("all", users=["ada"]) == set(KNOWN.people)


def test_groups_reach_through_groups_also_in_circles() -> None:
    assert chosen("include", groups=["outer"]) == {"ada", "bob"}
    assert chosen("include", groups=["INNER@contoso.com"]) == {"ada", "bob"}
    assert chosen("include", groups=["self"]) == set()
    assert chosen("exclude", groups=["inner"]) == {"cy", "di", "eve"}


def test_users_groups_and_patterns_add_up() -> None:
    found = chosen("include", users=["CY"], groups=["inner"], patterns=["*@Sales.contoso.com"])
    assert found == {"ada", "bob", "cy", "eve"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("?da@contoso.com", {"ada"}),
        ("*", {"ada", "bob", "cy", "di", "eve"}),
        ("a*@contoso", set()),
        ("[ab]*", set()),
        ("*.contoso.com", {"eve"}),
    ],
)
def test_patterns_know_stars_and_question_marks_only(pattern: str, expected: set[str]) -> None:
    assert chosen("include", patterns=[pattern]) == expected


def test_a_pattern_made_to_take_for_ever_does_not() -> None:
    long = Person("x", "X", "a" * 200 + "@contoso.com", "", True, "Member")
    people = People({"mode": "include", "patterns": ["*a" * 60 + "*!"]}, KNOWN)
    assert people.person(long) is None


def test_who_left_a_chosen_group_stays_as_long_as_leavers_are_kept_and_the_group_is_named() -> None:
    outer = People({"mode": "include", "groups": ["outer"]}, KNOWN)
    by = outer.person(KNOWN.people["ada"])
    assert by
    cy = KNOWN.people["cy"]
    assert outer.person(cy) is None
    assert outer.person(cy, by) == by
    stops = People({"mode": "include", "groups": ["outer"], "leavers": "stop"}, KNOWN)
    assert stops.person(cy, by) is None
    other = People({"mode": "include", "groups": ["inner"]}, KNOWN)
    assert other.person(cy, by) is None


def test_a_groups_own_mailbox_is_chosen_by_its_name_not_by_its_members() -> None:
    assert People({"mode": "all"}, KNOWN).group(KNOWN.groups["inner"]) is not None
    named = People({"mode": "include", "groups": ["inner"]}, KNOWN)
    assert named.group(KNOWN.groups["inner"]) is not None
    assert named.group(KNOWN.groups["outer"]) is None


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        ({}, True),
        ({"mode": "include", "sites": ["S1"]}, True),
        ({"mode": "include", "sites": ["c.sharepoint.com/sites/sales-eu"]}, True),
        ({"mode": "include", "patterns": ["https://*/sites/sales-*"]}, True),
        ({"mode": "exclude", "patterns": ["https://*/sites/sales-*"]}, False),
        ({"mode": "include", "sites": ["https://c.sharepoint.com/sites/sales"]}, False),
    ],
)
def test_sites_are_chosen_by_id_address_or_pattern(selection: Any, taken: bool) -> None:
    assert Web(selection).takes(KNOWN.sites["s1"]) is taken


# --- Documents ---


def test_a_document_of_an_older_version_is_filled_in() -> None:
    old = {"services": ["mail"], "selection": {"mode": "exclude", "users": ["ada"]}}
    now = whole(old)
    assert now["selection"]["users"] == ["ada"]
    assert (now["selection"]["groups"], now["selection"]["leavers"]) == ([], "keep")
    assert now["drives"] is None
    assert now["sites"]["mode"] == "all"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"selection": {"mode": "include", "users": [], "groups": []}}, "selection"),
        ({"drives": {"mode": "include", "users": []}}, "drives"),
        ({"sites": {"mode": "include", "sites": []}}, "sites"),
        ({"selection": {"mode": "all", "patterns": [" "]}}, "selection.patterns"),
        ({"selection": {"mode": "all", "users": ["a" * 501]}}, "selection.users"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_the_field_named(document: Any, field: str) -> None:
    with pytest.raises(SelectionInvalid) as refused:
        check_shape(document)
    assert refused.value.details["field"] == field


def test_a_name_that_nobody_has_is_refused_by_its_position_and_never_repeated() -> None:
    document = {"selection": {"mode": "include", "users": ["ada", "secret@x", "bob@contoso.com"]}}
    with pytest.raises(SelectionUnknown) as refused:
        check_known(document, {}, KNOWN)
    assert refused.value.details == {"field": "selection.users", "positions": [1]}
    assert "secret" not in json.dumps(refused.value.to_json())


def test_names_that_were_in_force_and_people_who_left_stay_valid() -> None:
    document = {
        "selection": {"mode": "include", "users": ["old@x", "left"], "groups": ["gone"]},
        "drives": {"mode": "exclude", "users": ["di@contoso.com"]},
        "sites": {"mode": "include", "sites": ["https://c.sharepoint.com/sites/sales-eu"]},
    }
    in_force = {"selection": {"mode": "include", "users": ["OLD@x"], "groups": ["gone"]}}
    check_known(document, in_force, KNOWN)


def test_groups_and_sites_that_cannot_be_read_are_believed() -> None:
    blind = Known(KNOWN.people, {}, {}, {}, {"groups": "x", "sites": "x"})
    lists = {"selection": {"groups": ["any"]}, "sites": {"sites": ["any"]}}
    check_known(lists, {}, blind)
    with pytest.raises(SelectionUnknown):
        check_known(lists, {}, KNOWN)


# --- Runs ---


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path) as here:
        yield here


def choose(made: World, *, services: tuple[str, ...] = ("mail",), **selections: Any) -> None:
    version = policies.show(made.app, ORG)["version"]
    document = {"services": list(services), "protection": "full", **selections}
    policies.change(made.app, ORG, document, version)


def covered(made: World) -> set[str]:
    return {name.rpartition(":")[2] for name in planned(made) if name.startswith("mail/")}


def test_who_joins_a_group_is_protected_by_the_next_run_and_who_leaves_stays(made: World) -> None:
    first, second, third = made.tenant.mailboxes
    inner = made.tenant.add_group("Inner", [first])
    outer = made.tenant.add_group("Outer", [inner.id])
    choose(made, selection={"mode": "include", "groups": [outer.id]})
    assert covered(made) == {first}

    directory_state.change_members(made.tenant, inner.id, [second], [first])

    assert covered(made) == {first, second}
    assert covered(made) == {first, second}  # the leaver is remembered, not only once
    choose(made, selection={"mode": "include", "groups": [outer.id], "leavers": "stop"})
    assert covered(made) == {second}
    reasons = {user: row.reason for user, row in rows(made).items()}
    assert (reasons[first], reasons[third]) == ("not-selected", "not-selected")


def test_members_of_a_deleted_group_count_as_leavers_and_the_run_says_so(made: World) -> None:
    first, *_ = made.tenant.mailboxes
    group = made.tenant.add_group("Sales", [first])
    choose(made, selection={"mode": "include", "groups": [group.id]})
    made.back_up()
    directory_state.remove_group(made.tenant, group.id)

    run = made.back_up()

    assert rows(made)[first].state == PROTECTED
    assert run["state"] == "amber"
    assert run["detail"]["resources"]["failed"] == 1


def test_without_the_right_to_read_groups_what_was_known_stays_and_the_run_says_so(
    made: World,
) -> None:
    first, *_ = made.tenant.mailboxes
    group = made.tenant.add_group("Sales", [first])
    choose(made, selection={"mode": "include", "groups": [group.id]})
    assert made.back_up()["state"] == "green"
    roles = made.tenant.backup_app.roles
    roles -= {role for role in roles if role.startswith(("Group", "Directory"))}
    made.tenant.tokens.revoke_all()

    run = made.back_up()

    assert rows(made)[first].state == PROTECTED
    assert run["state"] == "amber"


def test_onedrives_may_have_a_choice_of_their_own(made: World) -> None:
    tenant = made.tenant
    first, *_ = tenant.mailboxes
    choose(
        made,
        services=("mail", "drive"),
        selection={"mode": "include", "users": [first]},
        drives={"mode": "exclude", "users": [first]},
    )

    found = planned(made)

    drives = {user.drive_id for user in tenant.users.values() if user.drive_id}
    assert {name for name in found if name.startswith("mail/")} == {f"mail/mailbox:{first}"}
    expected = {f"drive/drive:{one}" for one in drives - {tenant.users[first].drive_id}}
    assert {name for name in found if name.startswith("drive/")} == expected
    assert rows(made, "drive")[first].reason == "not-selected"


def test_an_unknown_entry_is_looked_for_in_the_tenant_before_it_is_refused(made: World) -> None:
    choose(made)
    made.back_up()
    young = made.tenant.add_user("Young Nilsen")
    choose(made, selection={"mode": "include", "users": [young.id]})
    assert covered(made) == {young.id}

    with pytest.raises(SelectionUnknown):
        choose(made, selection={"mode": "include", "users": ["nobody@contoso.example"]})


def test_a_tenant_that_cannot_be_asked_does_not_keep_anybody_from_a_policy(made: World) -> None:
    made.tenant.backup_app.enabled = False
    choose(made, selection={"mode": "include", "users": ["nobody@contoso.example"]})
    assert policies.current(made.app, ORG)["selection"]["users"] == ["nobody@contoso.example"]


def test_a_stored_document_of_an_older_version_still_runs(made: World) -> None:
    first, *_ = made.tenant.mailboxes
    document = {"services": ["mail"], "selection": {"mode": "include", "users": [first]}}
    stored = made.app.policies.current(ORG)
    version = stored.version if stored else 0
    old = Policy(ORG, version + 1, made.app.clock.now(), "", document)
    made.app.policies.put_if_version(old, version)
    assert covered(made) == {first}


def test_sites_are_counted_by_coverage(made: World) -> None:
    intranet = next(one for one in made.tenant.sites.values() if one["displayName"] == "Intranet")
    choose(made, sites={"mode": "exclude", "sites": [intranet["webUrl"]]})
    planned(made)
    found = coverage.statement(made.app, ORG)["sites"]
    there = sum(not one.get("isPersonalSite") for one in made.tenant.sites.values())
    assert found == {"found": there, "selected": there - 1, "protected": 0}


def test_nobody_excluded_is_asked_for_and_everybody_has_a_row(made: World) -> None:
    choose(made, selection={"mode": "exclude", "patterns": ["*"]}, sites={"mode": "all"})
    before = made.requests("$batch")
    assert covered(made) == set()
    assert made.requests("$batch") == before
    assert {row.state for row in rows(made).values()} == {SKIPPED}
    assert rows(made).keys() == made.tenant.users.keys()


def test_teams_follow_their_group_unless_they_are_chosen_apart(made: World) -> None:
    tenant = made.tenant
    oslo, bergen = (
        tenant.add_group(name, [], resourceProvisioningOptions=["Team"]) for name in ("Oslo", "Bg")
    )
    plain = tenant.add_group("No team", [])
    planned(made)
    address = str(oslo.properties["mail"])

    def chosen(**document: Any) -> set[str]:
        choose(made, services=["teams"], **document)
        teams = {f"teams/team:{one.id}": one.id for one in (oslo, bergen)}
        return {teams[name] for name in planned(made).keys() & teams.keys()}

    assert chosen() == {oslo.id, bergen.id}
    assert chosen(selection={"mode": "include", "groups": [bergen.id]}) == {bergen.id}
    include = {"mode": "include", "teams": [address.upper()]}
    assert chosen(teams=include) == {oslo.id}
    assert chosen(teams=include, selection={"mode": "include", "groups": [bergen.id]}) == {oslo.id}
    assert chosen(teams={"mode": "exclude", "patterns": ["osl*"]}) == {bergen.id}
    with pytest.raises(SelectionUnknown) as refused:
        choose(made, teams={"mode": "include", "teams": [oslo.id, plain.id]})
    assert refused.value.details["positions"] == [1]
    with pytest.raises(SelectionInvalid):
        choose(made, teams={"mode": "include", "teams": []})
