"""What the connection test says of an application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import simulator
from m365.connection import check_connection
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphReader, Place, Scope
from m365.graph.throttle import Limiter
from simulator.contoso import build
from tests.m365.test_batch import answering
from tests.m365.wire_fake import Hostile, says, token

TENANT = "6e7b1f40-0000-4000-8000-0000c0ffee01"
NEEDS = {
    "User.Read.All": ["mail", "drive"],
    "Mail.Read": ["mail"],
    "Files.Read.All": ["drive"],
}
ORGANIZATION = says({"value": [{"id": TENANT, "displayName": "Contoso"}]})
ANNA = {"id": "anna", "mail": "anna@contoso.example", "assignedLicenses": [{}]}


def error(status: int, code: str, message: str = "") -> dict[str, Any]:
    return {"status": status, "body": {"error": {"code": code, "message": message}}}


def connected(fake: Hostile, *roles: str) -> GraphReader:
    fake.on_sign_in(TENANT, token(*roles))
    fake.on("/v1.0/organization", ORGANIZATION)
    fake.on("/v1.0/users", says({"value": [{"id": "x"}, ANNA]}))
    return GraphReader(fake.place, ClientSecret(TENANT, "app", "secret"), fake.limiter)


def test_a_good_connection_names_the_tenant_and_how_each_permission_was_tried() -> None:
    with Hostile() as fake:
        reader = connected(fake, "User.Read.All", "Mail.Read", "Files.Read.All")
        fake.on("/v1.0/$batch", answering(lambda item: {"status": 200, "body": {"id": "1"}}))
        report = check_connection(reader, NEEDS)
        assert (report.ok, report.tenant_name, report.tenant_id) == (True, "Contoso", TENANT)
        assert [(one.permission, one.granted, one.how) for one in report.checks] == [
            ("User.Read.All", True, "call"),
            ("Mail.Read", True, "call"),
            ("Files.Read.All", True, "call"),
        ]
        assert report.can_write == ()


def test_a_missing_permission_is_named_with_what_it_disables() -> None:
    with Hostile() as fake:
        reader = connected(fake, "User.Read.All", "Mail.Read")

        def one(item: dict[str, Any]) -> dict[str, Any]:
            if item["url"].endswith("/drive?$select=id"):
                return error(403, "accessDenied")
            return {"status": 200, "body": {"value": []}}

        fake.on("/v1.0/$batch", answering(one))
        report = check_connection(reader, NEEDS)
        (missing,) = [check for check in report.checks if not check.granted]
        assert (missing.permission, missing.needed_by) == ("Files.Read.All", ("drive",))
        assert (missing.code, report.ok) == ("graph-forbidden", False)


def test_a_right_that_only_exchange_knows_of_counts_though_the_token_does_not_name_it() -> None:
    with Hostile() as fake:
        reader = connected(fake, "User.Read.All", "Files.Read.All")

        def one(item: dict[str, Any]) -> dict[str, Any]:
            if "mailFolders" in item["url"] and "/anna/" not in item["url"]:
                return error(403, "ErrorAccessDenied")  # outside the management scope
            return {"status": 200, "body": {"value": []}}

        fake.on("/v1.0/$batch", answering(one))
        assert check_connection(reader, NEEDS).ok


def test_where_nobody_has_a_mailbox_the_token_decides() -> None:
    with Hostile() as fake:
        reader = connected(fake, "User.Read.All", "Mail.Read")
        fake.on("/v1.0/$batch", answering(lambda item: error(404, "MailboxNotEnabledForRESTAPI")))
        checks = {one.permission: one for one in check_connection(reader, NEEDS).checks}
        assert (checks["Mail.Read"].granted, checks["Mail.Read"].how) == (True, "token")
        assert (checks["Files.Read.All"].granted, checks["Files.Read.All"].how) == (False, "token")


def test_a_backup_application_that_could_write_is_pointed_out() -> None:
    with Hostile() as fake:
        reader = connected(fake, "User.Read.All", "Mail.ReadWrite", "Files.Read.All")
        fake.on("/v1.0/$batch", answering(lambda item: {"status": 200, "body": {}}))
        assert check_connection(reader, NEEDS).can_write == ("Mail.ReadWrite",)


def test_a_wrong_secret_is_in_the_report() -> None:
    with Hostile() as fake:
        reader = connected(fake)
        text = "AADSTS7000215: Invalid client secret provided."
        fake.on_sign_in(TENANT, says({"error": "invalid_client", "error_description": text}, 401))
        report = check_connection(reader, NEEDS)
        assert (report.ok, report.problem["code"]) == (False, "wrong-secret")


def test_consent_given_a_minute_ago_counts_at_once() -> None:
    with Hostile() as fake:
        reader = connected(fake, "User.Read.All")
        reader.get("/users", scope=Scope.directory())
        fake.on_sign_in(TENANT, token("User.Read.All", "Mail.Read"))
        fake.on("/v1.0/$batch", answering(lambda item: error(404, "ErrorInvalidUser")))
        report = check_connection(reader, {"Mail.Read": ["mail"]})
        assert report.ok


# --- Against the simulated tenant ---


@pytest.fixture
def running() -> Iterator[simulator.Running]:
    with simulator.serve(build("tiny", 3)) as served:
        yield served


def reader_of(running: simulator.Running, app: simulator.AppRegistration) -> GraphReader:
    place = Place(running.url, running.url, running.ca)
    secret = ClientSecret(running.tenant.id, app.app_id, next(iter(app.secrets)))
    return GraphReader(place, secret, Limiter())


def test_the_connection_of_a_well_set_up_tenant_is_good(running: simulator.Running) -> None:
    tenant = running.tenant
    report = check_connection(reader_of(running, tenant.backup_app), NEEDS)
    assert (report.ok, report.tenant_id, report.tenant_name) == (True, tenant.id, tenant.name)
    assert [check.how for check in report.checks] == ["call"] * 3


def test_an_application_without_a_permission_learns_which(running: simulator.Running) -> None:
    app = running.tenant.add_app("Half", ("User.Read.All", "Files.Read.All"))
    report = check_connection(reader_of(running, app), NEEDS)
    missing = [check for check in report.checks if not check.granted]
    assert [(one.permission, one.needed_by) for one in missing] == [("Mail.Read", ("mail",))]


@pytest.mark.parametrize(
    ("tenant_id", "client_id", "secret", "code"),
    [
        ("{tenant}", "{app}", "wrong", "wrong-secret"),
        ("00000000-0000-4000-8000-000000000000", "{app}", "wrong", "unknown-tenant"),
        ("{tenant}", "00000000-0000-4000-8000-000000000000", "wrong", "unknown-application"),
    ],
)
def test_a_sign_in_that_is_refused_says_why(
    running: simulator.Running, tenant_id: str, client_id: str, secret: str, code: str
) -> None:
    tenant = running.tenant
    credential = ClientSecret(
        tenant_id.replace("{tenant}", tenant.id),
        client_id.replace("{app}", tenant.backup_app.app_id),
        secret,
    )
    place = Place(running.url, running.url, running.ca)
    report = check_connection(GraphReader(place, credential, Limiter()), NEEDS)
    assert (report.ok, report.problem["code"]) == (False, code)
