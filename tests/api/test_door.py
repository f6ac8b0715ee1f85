"""Who may enter: nobody without a token, on any route, by any method."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.requests import Request
from starlette.testclient import TestClient

from api.app import build
from api.auth import AppServiceAuthentication
from base.errors import ConfigurationProblem
from base.settings import Settings
from tests.api.house import API, BELOW, SECURITY_HEADERS, SIGNED_IN, TOKEN, House, Told

RUN = "backup-20261124t060517-3fa9c1"
PAGES = [
    ("GET", "/"),
    ("GET", "/problems"),
    ("GET", "/organizations/contoso"),
    ("GET", f"/organizations/contoso/run/{RUN}"),
    ("GET", "/organizations/contoso/browse?service=mail&resource=mailbox:1"),
    ("GET", "/organizations/contoso/item?service=mail&resource=mailbox:1&item=1"),
    ("GET", "/organizations/contoso/policy"),
    ("POST", "/organizations"),
    ("POST", "/organizations/contoso/backup"),
    ("POST", "/organizations/contoso/policy"),
    ("POST", "/organizations/contoso/connection"),
    ("POST", "/organizations/contoso/restore"),
    ("POST", "/organizations/contoso/export"),
    ("POST", f"/organizations/contoso/run/{RUN}/cancel"),
    ("POST", f"/organizations/contoso/run/{RUN}/undo"),
]
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")


def every_path(house: House) -> list[str]:
    document = house.client.get(f"{API}/openapi.json").json()
    named = {"{org}": "contoso", "{run}": "backup-20261124t060517-3fa9c1", "{kind}": "users"}
    paths = []
    for path in document["paths"]:
        for name, value in named.items():
            path = path.replace(name, value)
        paths.append(path.replace("{item}", "AAMk"))
    return paths


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(b'{"claims":[]}').decode()},
        {"Cookie": "holdfast-session=wrong"},
    ],
)
def test_no_route_answers_a_stranger(house: House, headers: dict[str, str]) -> None:
    paths = every_path(house)
    assert len(paths) > 20
    for path in [*paths, "/api/v1/nothing", "/api/", "/api/v2/organizations"]:
        for method in METHODS:
            answer = house.stranger.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert method == "HEAD" or answer.json()["code"] == "not-signed-in"
            assert all(name in answer.headers for name in SECURITY_HEADERS)


def test_a_stranger_learns_nothing_from_bad_input_or_large_bodies(house: House) -> None:
    for body in (b"{", b"x" * 2_000_000):
        answer = house.stranger.post(f"{API}/organizations", content=body)
        assert answer.status_code == 401


def test_only_health_and_the_description_of_the_api_ask_nobody(house: House) -> None:
    assert house.stranger.get("/api/health").json() == {"status": "ok"}
    assert house.stranger.head("/api/health").status_code == 200
    assert house.stranger.get(f"{API}/openapi.json").status_code == 200


def test_pages_send_a_stranger_to_the_door(house: House) -> None:
    for method, path in PAGES:
        answer = house.stranger.request(method, path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin"), path
        assert all(name in answer.headers for name in SECURITY_HEADERS)


def test_a_stranger_cannot_ask_which_organizations_exist(house: House) -> None:
    for org in ("contoso", "nobody", "NO SUCH"):
        answer = house.stranger.get(f"/organizations/{org}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin")


# --- Sessions of a browser ---


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(house: House) -> None:
    answer = house.stranger.post("/signin", data={"token": TOKEN})

    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    house.stranger.cookies.clear()


def test_a_wrong_token_does_not_sign_in(house: House) -> None:
    answer = house.stranger.post("/signin", data={"token": "wrong"})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_site_cannot_change_anything_with_the_cookie(
    house: House, headers: dict[str, str]
) -> None:
    cookie = {"Cookie": f"holdfast-session={TOKEN}"}
    for path in (f"{BELOW}/backups", "/organizations/contoso/backup"):
        answer = house.stranger.post(path, headers={**cookie, **headers})
        assert answer.status_code == 403, path
    assert house.stories.started == []
    assert house.stranger.get(BELOW, headers={**cookie, **headers}).status_code == 200


# --- Azure ---


def principal(*claims: tuple[str, Any]) -> str:
    body = {"claims": [{"typ": typ, "val": val} for typ, val in claims]}
    return base64.b64encode(json.dumps(body).encode()).decode()


@pytest.fixture
def azure(house: House) -> TestClient:
    web: FastAPI = build(house.app, Told(), AppServiceAuthentication())
    return TestClient(web, follow_redirects=False)


def test_azure_lets_in_whom_the_platform_has_checked(azure: TestClient) -> None:
    header = {"X-MS-CLIENT-PRINCIPAL": principal(("oid", "6e7b1c"))}

    assert azure.get(BELOW, headers=header).status_code == 200
    assert azure.get(BELOW, headers=SIGNED_IN).status_code == 401


@pytest.mark.parametrize(
    "value",
    [
        "",
        "not base64!",
        base64.b64encode(b"not json").decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'"text"').decode(),
        base64.b64encode(b'{"claims": {"oid": "x"}}').decode(),
        base64.b64encode(b'{"claims": [{"typ": "oid"}]}').decode(),
        base64.b64encode(b'{"claims": [{"typ": ["oid"], "val": "x"}]}').decode(),
        base64.b64encode(b"[" * 50_000).decode(),
        principal(("oid", "")),
        principal(("oid", {"a": 1})),
        principal(("name", "Somebody")),
    ],
)
def test_a_malformed_principal_is_nobody(azure: TestClient, value: str) -> None:
    answer = azure.get(BELOW, headers={"X-MS-CLIENT-PRINCIPAL": value})

    assert answer.status_code == 401
    assert answer.json()["code"] == "not-signed-in"


def test_azure_has_no_admin_token_to_sign_in_with(azure: TestClient) -> None:
    answer = azure.post("/signin", data={"token": TOKEN})

    assert "set-cookie" not in answer.headers


def test_azure_sends_a_person_to_the_sign_in_of_the_platform(azure: TestClient) -> None:
    assert azure.get("/").headers["location"] == "/signin"
    assert azure.get("/signin").headers["location"].startswith("/.auth/login/")
    assert azure.post("/signout").headers["location"] == "/.auth/logout"


def test_the_app_does_not_start_in_azure_without_authentication(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEBSITE_SITE_NAME", "holdfast")
    monkeypatch.delenv("WEBSITE_AUTH_ENABLED", raising=False)
    with pytest.raises((ConfigurationProblem, ValidationError), match="Authentication is off"):
        Settings(_env_file=None)

    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    assert Settings(_env_file=None).in_azure


def test_the_admin_token_is_compared_whole(house: House) -> None:
    authenticator = house.client.app.state.authenticator  # type: ignore[attr-defined]

    for close in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), ""):
        request = Request(
            {
                "type": "http",
                "method": "GET",
                "headers": [(b"authorization", b"Bearer " + close.encode())],
            }
        )
        assert authenticator.principal(request) is None
