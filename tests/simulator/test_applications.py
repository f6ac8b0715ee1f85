"""Applications of the simulated tenant: secrets that end, and rights on more than Graph."""

from datetime import timedelta

import pytest

from simulator import Tenant, serve
from tests.simulator.wire import Wire

EXCHANGE = "/servicePrincipals(appId='00000002-0000-0ff1-ce00-000000000000')"


@pytest.fixture
def tenant():
    return Tenant(12)


@pytest.fixture
def wire(tenant):
    with serve(tenant) as running:
        yield Wire(running)


@pytest.fixture
def reading(wire):
    return Wire(wire.running, wire.tenant.backup_app)


def test_a_registration_shows_when_its_secrets_end_and_how_they_begin(reading, tenant):
    app = tenant.backup_app
    (secret,) = app.secrets
    app.secret_ends[secret] = tenant.clock.now() + timedelta(days=9)
    found = reading.get(f"/applications(appId='{app.app_id}')?$select=passwordCredentials")
    assert set(found) == {"@odata.context", "id", "passwordCredentials"}
    (listed,) = found["passwordCredentials"]
    assert (listed["hint"], listed["secretText"]) == (secret[:3], None)
    assert listed["endDateTime"] == app.secret_ends[secret].strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_application_of_another_tenant_has_a_principal_and_no_registration(reading, tenant):
    app = tenant.restore_app
    app.registered_here = False
    assert reading.send("GET", f"/applications(appId='{app.app_id}')").status == 404
    assert reading.get(f"/servicePrincipals(appId='{app.app_id}')")["appId"] == app.app_id


def test_a_role_on_exchange_is_assigned_but_in_no_token_for_graph(reading, tenant):
    app = tenant.backup_app
    app.exchange_roles.add("full_access_as_app")
    rows = reading.get(f"/servicePrincipals(appId='{app.app_id}')/appRoleAssignments")["value"]
    exchange = reading.get(EXCHANGE)
    names = {role["id"]: role["value"] for role in exchange["appRoles"]}
    there = [row for row in rows if row["resourceId"] == exchange["id"]]
    assert [names[row["appRoleId"]] for row in there] == ["full_access_as_app"]
    reading.login()
    assert "full_access" not in reading.headers["Authorization"]


def test_rights_of_applications_need_a_right_to_read_them(wire, tenant):
    assert "Application.Read.All" not in tenant.restore_app.roles
    for path in (f"/applications(appId='{tenant.restore_app.app_id}')", EXCHANGE):
        assert wire.send("GET", path).status == 403


def test_an_ended_secret_is_refused_in_the_words_of_entra(wire, tenant):
    app = tenant.restore_app
    (secret,) = app.secrets
    app.secret_ends[secret] = tenant.clock.now() - timedelta(seconds=1)
    answer = wire.token(client_id=app.app_id, client_secret=secret)
    assert (answer.status, answer.json()["error_codes"]) == (401, [7000222])
