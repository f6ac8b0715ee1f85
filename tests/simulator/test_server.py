"""The server: TLS, login, spelling of paths, rights, OpenAPI checks, control."""

import base64
import datetime
import json
import time

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from simulator import Tenant, openapi, serve
from simulator.routing import spelled
from tests.simulator.wire import Wire


@pytest.fixture
def tenant():
    return Tenant(7)


@pytest.fixture
def unchecked(tenant, monkeypatch):
    monkeypatch.delenv(openapi.ENVIRONMENT, raising=False)
    with serve(tenant) as running:
        yield Wire(running)


@pytest.fixture
def wire(tenant):
    tenant.add_user("Adele Vance")
    with serve(tenant) as running:
        yield Wire(running)


def test_only_who_trusts_the_ca_gets_through(wire):
    wire.get("/users")
    stranger = urllib3.PoolManager(retries=False)
    with pytest.raises(urllib3.exceptions.SSLError):
        stranger.request("GET", f"{wire.running.url}/v1.0/users")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_both_loopback_names_answer_and_links_keep_the_name(wire, name):
    url = f"https://{name}:{wire.running.port}/v1.0/users/delta"
    assert wire.get(url)["@odata.deltaLink"].startswith(f"https://{name}:")


def test_ipv6_answers_where_there_is_any(wire):
    try:
        answer = wire.pool.request("GET", f"https://[::1]:{wire.running.port}/v1.0/users")
    except urllib3.exceptions.NewConnectionError:
        pytest.skip("no IPv6 here")
    assert answer.status == 401


def test_a_token_says_who_may_do_what_and_until_when(wire, tenant):
    part = wire.headers["Authorization"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=="))
    assert claims["roles"] == sorted(tenant.restore_app.roles)
    assert (claims["tid"], claims["appid"]) == (tenant.id, tenant.restore_app.app_id)
    assert claims["exp"] - claims["iat"] == tenant.token_lifetime_s


@pytest.mark.parametrize(
    ("change", "status", "aadsts"),
    [
        ({"directory": "11111111-1111-1111-1111-111111111111"}, 400, 90002),
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_id": "22222222-2222-2222-2222-222222222222"}, 400, 700016),
        ({"scope": "User.Read"}, 400, 1002012),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
def test_login_refuses_with_the_known_codes(wire, change, status, aadsts):
    good = {"client_id": wire.app.app_id, "client_secret": next(iter(wire.app.secrets))}
    answer = wire.token(**(good | change))
    assert (answer.status, answer.json()["error_codes"]) == (status, [aadsts])
    assert answer.json()["error_description"].startswith(f"AADSTS{aadsts}: ")


def test_a_disabled_app_gets_no_token_and_loses_those_it_has(wire):
    wire.app.enabled = False
    answer = wire.token(client_id=wire.app.app_id, client_secret=next(iter(wire.app.secrets)))
    assert answer.json()["error_codes"] == [7000112]
    assert wire.code("GET", "/users") == (401, "InvalidAuthenticationToken")


def _assertion(key, app_id, audience, lifetime_s=600):
    now = int(time.time())
    parts = [
        {"alg": "RS256", "typ": "JWT"},
        {"iss": app_id, "sub": app_id, "aud": audience, "nbf": now, "exp": now + lifetime_s},
    ]
    text = ".".join(
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts
    )
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_registered_certificate_is_as_good_as_a_secret(wire):
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        .public_key(key.public_key()).not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    fields = {
        "client_id": wire.app.app_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": _assertion(key, wire.app.app_id, wire.running.url),
    }
    assert wire.token(**fields).json()["error_codes"] == [700027]
    wire.app.certificates.append(certificate.public_bytes(serialization.Encoding.PEM))
    assert wire.token(**fields).status == 200
    stale = fields | {"client_assertion": _assertion(key, wire.app.app_id, "x", -5)}
    assert wire.token(**stale).json()["error_codes"] == [700024]


def test_libraries_find_their_discovery_documents(wire, tenant):
    url = f"{wire.running.url}/{tenant.id}/v2.0/.well-known/openid-configuration"
    found = wire.send("GET", url, bare=True).json()
    assert found["token_endpoint"] == f"{wire.running.url}/{tenant.id}/oauth2/v2.0/token"
    keys = wire.send("GET", found["jwks_uri"], bare=True).json()["keys"]
    assert keys[0]["kty"] == "RSA"
    instance = f"{wire.running.url}/common/discovery/instance?api-version=1.1"
    assert "tenant_discovery_endpoint" in wire.send("GET", instance, bare=True).json()


def test_tokens_expire(wire, tenant):
    tenant.clock.advance(tenant.token_lifetime_s + 1)
    answer = wire.send("GET", "/users")
    assert answer.status == 401
    assert "expired" in answer.json()["error"]["message"]
    wire.login()
    wire.get("/users")


def test_no_token_and_nonsense_are_refused(wire):
    assert wire.code("GET", "/users", bare=True) == (401, "InvalidAuthenticationToken")
    assert wire.code("GET", "/users", Authorization="Bearer abc")[0] == 401


def test_revoked_tokens_meet_a_claims_challenge_until_a_new_one_is_got(wire, tenant):
    tenant.tokens.revoke_all()
    answer = wire.send("GET", "/users")
    challenge = answer.headers["WWW-Authenticate"]
    assert answer.status == 401
    assert 'error="insufficient_claims"' in challenge
    claims = json.loads(base64.b64decode(challenge.rpartition('claims="')[2].rstrip('"')))
    assert "nbf" in claims["access_token"]
    assert wire.send("GET", "/users").status == 401
    wire.login()
    wire.get("/users")


def test_a_permission_can_vanish_at_run_time(wire, tenant):
    user = next(iter(tenant.users))
    wire.get(f"/users/{user}/mailFolders")
    wire.control(
        "POST",
        "/mutate",
        {
            "actions": [
                {"action": "remove_permission", "app": "restore", "role": role}
                for role in ("Mail.Read", "Mail.ReadWrite", "User.Read.All", "Files.ReadWrite.All")
            ]
        },
    )
    assert wire.code("GET", f"/users/{user}/mailFolders") == (403, "ErrorAccessDenied")
    assert wire.code("GET", "/users") == (403, "Authorization_RequestDenied")


def test_a_permission_added_needs_a_new_token(wire, tenant):
    assert wire.code("GET", "/groups")[0] == 403
    tenant.restore_app.roles.add("Group.Read.All")
    assert wire.code("GET", "/groups")[0] == 403
    wire.login()
    wire.get("/groups")


@pytest.mark.parametrize(
    "spelling",
    [
        "/users/{u}/mailFolders/inbox/messages/delta",
        "/users/{u}/mailFolders/inbox/messages/delta()",
        "/users('{u}')/mailfolders('inbox')/messages/microsoft.graph.delta",
        "/users/{u}/mailFolders/INBOX/messages/graph.delta()",
        "/users/{u}/mailFolders/inbox/messages/microsoft.graph.delta()",
    ],
)
def test_every_spelling_of_a_function_is_the_same_function(wire, tenant, spelling):
    url = spelling.replace("{u}", next(iter(tenant.users)))
    assert "@odata.deltaLink" in wire.get(url)


def test_paths_are_brought_into_one_spelling():
    assert spelled("/drives/d/root:/a/b%20c:/content")[0] == (
        "drives", "d", "root:", "a/b c", "content",
    )  # fmt: skip
    assert spelled("/drives/d/items/i:/x.txt")[0] == ("drives", "d", "items", "i:", "x.txt")
    assert spelled("/sites/h:/sites/x:")[0] == ("sites", "h:", "sites/x")
    assert spelled("/drives/d/root/delta(token='a%2Fb')") == (
        ("drives", "d", "root", "delta"),
        {"token": "a/b"},
    )
    assert spelled("/users('o''hara')")[0] == ("users", "o'hara")


def test_app_only_has_no_me(wire):
    assert wire.code("GET", "/me/messages")[0] == 400


def test_unknown_paths_and_methods_are_told_apart(unchecked):
    wire = unchecked
    assert wire.code("GET", "/nothing/here") == (404, "ResourceNotFound")
    answer = wire.send("DELETE", "/organization")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert wire.code("GET", f"{wire.running.url}/v2.0/users")[0] == 400


def test_errors_have_graphs_shape_and_the_callers_request_id(wire):
    mine = "0b9c7a1e-0000-4000-8000-000000000001"
    answer = wire.send("GET", "/users/nobody", client_request_id=mine)
    error = answer.json()["error"]
    assert error["code"] == "Request_ResourceNotFound"
    assert error["innerError"]["client-request-id"] == mine
    assert error["innerError"]["request-id"] == answer.headers["request-id"]
    assert answer.headers["client-request-id"] == mine


def test_control_needs_its_token(wire):
    url = f"{wire.running.control_url}/truth"
    assert wire.pool.request("GET", url).status == 401
    assert wire.control("GET", "/truth")["tenant_id"] == wire.tenant.id


def test_control_changes_settings_and_counts(wire, tenant):
    wire.control("POST", "/settings", {"quirks": "hostile", "limits": {"outlook_concurrent": 2}})
    assert tenant.quirks.removed_in_first_round
    assert tenant.limits.outlook_concurrent == 2
    wire.get("/users")
    assert wire.control("GET", "/counters")["requests"]["GET /users"] == 1
    wire.control("POST", "/counters/reset")
    assert "GET /users" not in wire.control("GET", "/counters")["requests"]


DOCUMENT = {
    "paths": {
        "/users": {"get": {"parameters": [{"$ref": "#/components/parameters/select"}]}},
        "/users/{user-id}/mailFolders/{id}/messages": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/message"}}
                    }
                }
            }
        },
        "/drives/{id}/items/{item}/delta()": {"get": {}},
    },
    "components": {
        "parameters": {"select": {"name": "$select", "in": "query"}},
        "schemas": {
            "item": {"type": "object", "properties": {"categories": {"type": "array"}}},
            "message": {
                "allOf": [
                    {"$ref": "#/components/schemas/item"},
                    {"type": "object", "properties": {"isRead": {"type": "boolean"}}},
                ]
            },
        },
    },
}


@pytest.fixture
def checked(tenant, tmp_path, monkeypatch):
    path = tmp_path / "v1.json"
    path.write_text(json.dumps(DOCUMENT))
    monkeypatch.setenv(openapi.ENVIRONMENT, str(path))
    tenant.add_user("Adele Vance")
    with serve(tenant) as running:
        yield Wire(running)


def test_requests_no_document_knows_fail_loudly_and_are_counted(checked, tenant):
    user = next(iter(tenant.users))
    checked.get("/users?$select=id")
    checked.get("/users?$skiptoken=a!0")
    messages = f"/users/{user}/mailFolders/drafts/messages"
    checked.post(messages, {"isRead": True, "categories": []})
    assert tenant.counters.violations == []
    for method, url, body in [
        ("GET", "/organization", None),
        ("GET", "/users?$orderby=x", None),
        ("PATCH", "/users", {"a": 1}),
        ("POST", messages, {"isread2": True}),
        ("POST", messages, {"isRead": "yes"}),
        ("POST", messages, {"categories": "red"}),
    ]:
        assert checked.code(method, url, body) == (400, "simulatorViolation"), url
    assert len(tenant.counters.violations) == 6


def test_what_graph_answers_beyond_its_documents_is_no_violation(checked, tenant):
    user = next(iter(tenant.users))
    assert checked.code("GET", f"/users/{user}/drive/root/delta") == (404, "ResourceNotFound")
    assert tenant.counters.violations == []
