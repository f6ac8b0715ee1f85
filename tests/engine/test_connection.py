"""The connection test: both applications per service, what is missing, and what to see to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from engine import connection, organizations, policies, verdicts
from m365 import SERVICES
from m365.connection import FIND_PEOPLE
from m365.directory import GROUPS
from simulator import AppRegistration
from tests.engine.world import ORG, World, calm_tenant, credential, world
from tests.m365.test_auth import certificate


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=3), tmp_path) as one:
        document = {**policies.DEFAULT, "services": ["mail", "drive"]}
        policies.change(one.app, ORG, document, 1)
        give(one.tenant.backup_app, *verdicts.needs(both(), "backup"), "Application.Read.All")
        give(one.tenant.restore_app, *verdicts.needs(both(), "restore"), "Application.Read.All")
        yield one


def both() -> list[Any]:
    return [SERVICES["mail"], SERVICES["drive"]]


def give(app: AppRegistration, *roles: str) -> None:
    app.roles.clear()
    app.roles.update(roles)


def side(found: dict[str, Any], service: str, name: str) -> dict[str, Any]:
    verdict = next(one for one in found["services"] if one["service"] == service)
    return dict(verdict[name])


def warned(found: dict[str, Any], level: str = "warning") -> list[str]:
    return [one["code"] for one in found["warnings"] if one["level"] == level]


def test_the_least_permissions_are_enough(made: World) -> None:
    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert (warned(found), warned(found, "note")) == ([], [])
    json.dumps(found)  # the answer is plain data
    for service in ("mail", "drive"):
        assert side(found, service, "backup")["state"] == verdicts.GRANTED
        assert side(found, service, "restore")["state"] == verdicts.GRANTED
    assert made.back_up()["state"] == "green"
    assert made.mail_in_vault() == made.mail_in_tenant()


def test_every_service_of_the_registry_has_a_verdict_and_needs_what_it_declares(
    made: World,
) -> None:
    found = connection.test(made.app, ORG)

    assert [one["service"] for one in found["services"]] == list(SERVICES)
    for name, service in SERVICES.items():
        of_group = service.resource_kind == "group"
        finding = {FIND_PEOPLE} | ({GROUPS.permission} if of_group else set())
        assert set(service.reads) | finding == set(side(found, name, "backup")["needs"])
        if service.writer is None:
            assert side(found, name, "restore")["state"] == verdicts.EXPORT_ONLY
        else:
            assert set(service.writes) == set(side(found, name, "restore")["needs"])


def test_a_permission_is_missing_on_the_side_that_lacks_it(made: World) -> None:
    lost = SERVICES["mail"].writes[0]
    made.tenant.restore_app.roles -= set(SERVICES["mail"].writes)

    found = connection.test(made.app, ORG)

    assert not found["ok"]
    assert found["backup"]["ok"]
    assert lost in side(found, "mail", "restore")["missing"]
    assert side(found, "mail", "backup")["state"] == verdicts.GRANTED
    lacking = [one for one in found["restore"]["checks"] if not one["granted"]]
    assert {name for one in lacking for name in one["needed_by"]} == {"mail"}
    assert {text for one in lacking for text in one["disables"]} == {"Mail: nothing is restored."}


def test_without_the_directory_nothing_works_and_it_is_said_why(made: World) -> None:
    made.tenant.backup_app.roles.remove(FIND_PEOPLE)

    found = connection.test(made.app, ORG)

    check = next(one for one in found["backup"]["checks"] if one["permission"] == FIND_PEOPLE)
    assert check["disables"] == ["Nobody can be found in the directory: nothing is backed up."]
    assert side(found, "drive", "backup")["missing"] == (FIND_PEOPLE,)


def test_a_wider_permission_covers_and_is_named(made: World) -> None:
    made.tenant.backup_app.roles.remove(FIND_PEOPLE)
    made.tenant.backup_app.roles.add("Directory.Read.All")

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert side(found, "drive", "backup")["covered_by"][FIND_PEOPLE] == "Directory.Read.All"


def test_permissions_no_service_needs_are_noted(made: World) -> None:
    made.tenant.backup_app.roles.add("AuditLog.Read.All")
    made.tenant.restore_app.roles.add("Chat.Read.All")

    found = connection.test(made.app, ORG)

    assert found["ok"]
    messages = [one["message"] for one in found["warnings"] if one["code"] == "not-needed"]
    assert ["AuditLog.Read.All" in messages[0], "Chat.Read.All" in messages[1]] == [True, True]


@pytest.mark.parametrize(
    ("days", "code"), [(3, ["secret-ends-soon"]), (29, ["secret-ends-soon"]), (60, [])]
)
def test_a_secret_that_ends_soon_is_warned_of(made: World, days: int, code: list[str]) -> None:
    app = made.tenant.restore_app
    ends = made.tenant.clock.now() + timedelta(days=days, hours=1)
    app.secret_ends = dict.fromkeys(app.secrets, ends)

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert warned(found) == code
    assert found["restore"]["credential_ends"][:10] == ends.date().isoformat()
    if code:
        assert f"in {days} days" in found["warnings"][0]["message"]


def test_an_end_that_cannot_be_seen_is_a_note(made: World) -> None:
    made.tenant.backup_app.registered_here = False  # a provider's application

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert warned(found, "note") == ["secret-end-unknown"]
    assert "another tenant" in found["warnings"][0]["message"]


def test_what_one_application_may_see_is_seen_of_both(made: World) -> None:
    made.tenant.restore_app.roles.remove("Application.Read.All")
    made.tenant.restore_app.exchange_roles.add("full_access_as_app")

    found = connection.test(made.app, ORG)

    assert (warned(found), warned(found, "note")) == (["ews-permission"], [])
    assert found["restore"]["credential_ends"]
    made.tenant.backup_app.roles.remove("Application.Read.All")
    blind = connection.test(made.app, ORG)
    assert blind["ok"]
    assert warned(blind, "note") == ["secret-end-unknown"] * 2 + ["ews-unknown"] * 2


def test_a_policy_of_nothing_restorable_asks_nothing_of_the_restore_application(
    made: World,
) -> None:
    document = {**policies.DEFAULT, "services": ["conversations"]}
    policies.change(made.app, ORG, document, policies.show(made.app, ORG)["version"])
    made.tenant.backup_app.roles |= verdicts.needs([SERVICES["conversations"]], "backup").keys()
    made.tenant.restore_app.roles.clear()

    assert connection.test(made.app, ORG)["ok"]


def test_a_certificate_says_itself_when_it_ends(made: World) -> None:
    pem = certificate()
    made.tenant.backup_app.certificates.append(pem[: pem.index(b"-----BEGIN PRIVATE")])
    values = {
        "kind": "certificate",
        "client_id": made.tenant.backup_app.app_id,
        "certificate_pem": pem.decode(),
    }
    organizations.change(made.app, ORG, credential=values)

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert found["backup"]["credential_kind"] == "certificate"
    assert warned(found) == ["certificate-ends-soon"]


def test_one_application_for_both_sides_is_warned_of(made: World) -> None:
    app = made.tenant.backup_app
    app.roles |= made.tenant.restore_app.roles
    values = credential(made.running.facts()["apps"]["backup"])
    organizations.change(made.app, ORG, restore_credential=values)

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert warned(found) == ["one-application", "backup-can-write"]


def test_a_disabled_application_is_said_to_be_disabled(made: World) -> None:
    made.tenant.backup_app.enabled = False

    found = connection.test(made.app, ORG)

    problem = found["backup"]["problem"]
    assert "disabled" in problem["message"]
    assert "enable" in problem["hint"]
    assert problem["details"]["aadsts"] == "AADSTS7000112"


def test_access_that_exchange_refuses_although_it_is_granted_is_said_to_be_narrowed(
    made: World,
) -> None:
    made.tenant.faults.map(r"^GET /users/[^/]+/mailFolders/inbox/messages", "p", loop=True)

    found = connection.test(made.app, ORG)

    assert not found["ok"]
    assert side(found, "mail", "backup")["state"] == verdicts.NARROWED
    assert "access-narrowed" in warned(found)


def test_access_to_some_mailboxes_only_works_and_is_said_to_be_narrowed(made: World) -> None:
    somebody = next(iter(made.tenant.mailboxes))
    made.tenant.faults.map(rf"^GET /users/{somebody}/mailFolders/inbox/messages", "p", loop=True)

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert side(found, "mail", "backup")["state"] == verdicts.NARROWED
    assert side(found, "mail", "backup")["says"] == "For some mailboxes only can it be backed up."


@pytest.mark.parametrize(
    ("pattern", "letters", "code"),
    [
        ("oauth2/v2.0/token", "U", "graph-unstable"),
        ("oauth2/v2.0/token", "u", "throttled"),
        ("^GET /organization", "e", "graph-unstable"),
        ("^GET /organization", "t", "throttled"),
        ("^GET /organization", "X", "graph-unstable"),
        ("^GET /organization", "a", "graph-unauthorized"),
    ],
)
def test_what_the_network_does_is_a_problem_in_the_report(
    made: World, pattern: str, letters: str, code: str
) -> None:
    made.tenant.faults.map(pattern, letters, loop=True)

    found = connection.test(made.app, ORG)

    assert not found["ok"]
    assert found["backup"]["problem"]["code"] == code
    assert side(found, "mail", "backup")["state"] == verdicts.NOT_TESTED


def test_a_service_out_of_order_does_not_make_a_permission_missing(made: World) -> None:
    made.tenant.faults.map("/mailFolders", "e", loop=True)

    found = connection.test(made.app, ORG)

    assert found["ok"]
    check = next(one for one in found["backup"]["checks"] if "mail" in one["needed_by"][:1])
    assert (check["granted"], side(found, "mail", "backup")["state"]) == (True, verdicts.GRANTED)


@pytest.mark.parametrize("answer", ["unauthorized", "forbidden"])
def test_what_the_tenant_refuses_to_applications_is_coverage_and_no_fault(
    made: World, answer: Literal["unauthorized", "forbidden"]
) -> None:
    document = {**policies.DEFAULT, "services": ["mail", "tasks"]}
    policies.change(made.app, ORG, document, policies.show(made.app, ORG)["version"])
    made.tenant.backup_app.roles |= set(SERVICES["tasks"].reads)
    made.tenant.restore_app.roles |= set(SERVICES["tasks"].writes)
    made.tenant.quirks.todo_for_applications = answer

    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert side(found, "tasks", "backup")["state"] == verdicts.REFUSED
    assert warned(found) == []


def test_groups_that_cannot_be_found_leave_their_conversations_out(made: World) -> None:
    document = {**policies.DEFAULT, "services": ["mail", "conversations"]}
    policies.change(made.app, ORG, document, policies.show(made.app, ORG)["version"])
    made.tenant.backup_app.roles |= set(SERVICES["conversations"].reads)

    found = connection.test(made.app, ORG)

    assert not found["ok"]
    assert side(found, "conversations", "backup")["missing"] == (GROUPS.permission,)
    made.tenant.backup_app.roles.add(GROUPS.permission)
    assert connection.test(made.app, ORG)["ok"]
