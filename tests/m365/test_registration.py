"""When a secret or certificate ends, and rights that lie outside Graph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from m365.graph.auth import Certificate, ClientSecret
from m365.graph.permissions import EXCHANGE_APP_ID, FULL_ACCESS_AS_APP_ID
from m365.registration import CredentialEnd, ExchangeRoles, credential_end, exchange_roles
from tests.m365.test_auth import certificate
from tests.m365.wire_fake import Hostile, Reply, fails, says

APP = "a1b2c3d4-0000-4000-8000-000000000001"
SECRET = ClientSecret("contoso", APP, "abc~the-rest-of-it")
APPLICATION = f"/v1.0/applications(appId='{APP}')"
ASSIGNMENTS = f"/v1.0/servicePrincipals(appId='{APP}')/appRoleAssignments"
EXCHANGE = f"/v1.0/servicePrincipals(appId='{EXCHANGE_APP_ID}')"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def listed(*secrets: tuple[str | None, str | None]) -> Reply:
    rows = [{"hint": hint, "endDateTime": ends, "keyId": "k"} for hint, ends in secrets]
    return says({"id": "o", "passwordCredentials": rows})


@pytest.mark.parametrize(
    ("secrets", "ends"),
    [
        ([("abc", "2026-12-01T00:00:00Z"), ("xyz", "2026-11-25T00:00:00Z")], (2026, 12, 1)),
        ([("abc", "2027-05-01T10:00:00.1234567Z"), ("abc", "2026-01-01T00:00:00Z")], (2027, 5, 1)),
        ([("abc", "2027-05-01T00:00:00Z"), ("abc", "2027-04-01T00:00:00Z")], (2027, 4, 1)),
        ([(None, "2027-06-01T00:00:00Z")], (2027, 6, 1)),
    ],
)
def test_the_secret_in_use_is_found_by_its_beginning_and_has_not_ended(
    secrets: list[tuple[str | None, str | None]], ends: tuple[int, int, int]
) -> None:
    with Hostile() as fake:
        fake.on(APPLICATION, listed(*secrets))
        found = credential_end(fake.reader(), SECRET, NOW)
        assert found.ends is not None
        assert (found.ends.year, found.ends.month, found.ends.day) == ends
        assert "the-rest" not in "".join(fake.paths())


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (fails(403, "Authorization_RequestDenied"), "graph-forbidden"),
        (fails(404, "Request_ResourceNotFound"), "resource-gone"),
        (listed(("xyz", "2027-01-01T00:00:00Z")), "not-listed"),
        (listed(("abc", "soon"), ("abc", None)), "not-listed"),
        (says({"id": "o", "passwordCredentials": None}), "not-listed"),
        (Reply(dead=True), "graph-unstable"),
    ],
)
def test_an_end_that_cannot_be_seen_is_no_failure(reply: Reply, code: str) -> None:
    with Hostile() as fake:
        fake.on(APPLICATION, reply)
        assert credential_end(fake.reader(), SECRET, NOW) == CredentialEnd("secret", None, code)


def test_the_end_of_a_certificate_is_read_from_itself_without_a_request() -> None:
    with Hostile() as fake:
        ours = Certificate("contoso", APP, certificate())
        found = credential_end(fake.reader(), ours, NOW)
        assert found.kind == "certificate"
        assert found.ends is not None
        assert abs(found.ends - datetime.now(UTC) - timedelta(days=1)) < timedelta(hours=1)
        unreadable = Certificate("contoso", APP, b"nothing of the kind")
        assert credential_end(fake.reader(), unreadable, NOW).code == "unreadable"
        assert fake.heard == []


def assignment(resource: str, role: str) -> dict[str, Any]:
    return {"resourceId": resource, "appRoleId": role, "resourceDisplayName": "whatever"}


def test_a_role_on_exchange_online_is_named_by_its_own_entry() -> None:
    with Hostile() as fake:
        rows = [assignment("graph", "g-1"), assignment("exchange", "e-1")]
        more = f"{fake.origin}{ASSIGNMENTS}?$skiptoken=2"
        fake.on(
            ASSIGNMENTS,
            says({"value": rows, "@odata.nextLink": more}),
            says({"value": [assignment("exchange", "e-2")]}),
        )
        roles = [{"id": "e-1", "value": "full_access_as_app"}, {"id": "e-2", "value": "Other"}]
        fake.on(EXCHANGE, says({"id": "exchange", "appRoles": roles}))
        found = exchange_roles(fake.reader(), APP)
        assert found == ExchangeRoles(True, ("Other", "full_access_as_app"))


def test_full_access_is_known_by_its_id_where_exchange_explains_nothing() -> None:
    with Hostile() as fake:
        fake.on(ASSIGNMENTS, says({"value": [assignment("x", FULL_ACCESS_AS_APP_ID), {}]}))
        nothing = [says({"id": "exchange", "appRoles": None}), fails(404, "ResourceNotFound")]
        fake.on(EXCHANGE, *nothing)
        for _ in nothing:
            assert exchange_roles(fake.reader(), APP).roles == ("full_access_as_app",)


def test_without_the_right_to_look_it_is_said_that_nothing_was_seen() -> None:
    with Hostile() as fake:
        fake.on(ASSIGNMENTS, fails(403, "Authorization_RequestDenied"))
        assert exchange_roles(fake.reader(), APP) == ExchangeRoles(False, (), "graph-forbidden")
