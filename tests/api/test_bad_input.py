"""Everything a caller can get wrong is told in one shape, and nothing of it is repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.house import API, BELOW, ORG, SECURITY_HEADERS, House

NO_RUN = "backup-20261124t060517-3fa9c1"
SECRET = "Q8~this-is-a-secret-nobody-may-see"

JSON = {"Content-Type": "application/json"}
SHAPE = {"type", "title", "status", "code", "hint"}


def problem(answer: Any) -> dict[str, Any]:
    """The body of an error, its shape checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert all(name in answer.headers for name in SECURITY_HEADERS)
    body: dict[str, Any] = answer.json()
    assert body.keys() - {"details"} == SHAPE
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems#{body['code']}"
    assert body["title"]
    assert body["hint"]
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("DELETE", "/api/v1/organizations", 405, "method-not-allowed"),
        ("GET", "/api/v1/organizations/", 404, "not-found"),
        ("GET", f"{BELOW}/runs/{NO_RUN}", 404, "run-missing"),
        ("GET", f"{BELOW}/runs/{NO_RUN}/resources", 404, "run-missing"),
        ("POST", f"{BELOW}/runs/{NO_RUN}/cancel", 404, "run-missing"),
        ("GET", f"{BELOW}/runs/nonsense", 422, "invalid-input"),
        ("GET", f"{BELOW}/restores/{NO_RUN}", 404, "run-missing"),
        ("GET", f"{BELOW}/restores/{NO_RUN}/report", 404, "run-missing"),
        ("POST", f"{BELOW}/restores/{NO_RUN}/undo", 409, "not-undoable"),
        ("GET", f"{BELOW}/verifications/{NO_RUN}", 404, "run-missing"),
        ("GET", f"{BELOW}/exports/{NO_RUN}", 404, "run-missing"),
        ("GET", f"{BELOW}/exports/{NO_RUN}/archive", 404, "export-missing"),
        ("GET", f"{BELOW}/snapshots", 422, "invalid-input"),
        ("GET", f"{BELOW}/snapshots?service=fax&resource=mailbox:1", 422, "unknown-resource"),
        ("GET", f"{BELOW}/items?service=mail&resource=drive:1", 422, "unknown-resource"),
        ("GET", f"{BELOW}/items?service=mail&resource=mailbox:none", 404, "snapshot-missing"),
        ("GET", f"{BELOW}/runs?limit=0", 422, "invalid-input"),
        ("GET", f"{BELOW}/runs?limit=501", 422, "invalid-input"),
        ("GET", f"{BELOW}/runs?next=made-up", 422, "cursor-invalid"),
        ("GET", f"{BELOW}/audit?next=made-up", 422, "cursor-invalid"),
        ("GET", f"{BELOW}/runs?kind=nonsense", 422, "invalid-input"),
        ("GET", f"{BELOW}/directory/cats", 422, "invalid-input"),
    ],
)
def test_what_does_not_exist_is_told_by_code(
    house: House, method: str, path: str, status: int, code: str
) -> None:
    answer = house.client.request(method, path)

    assert (answer.status_code, problem(answer)["code"]) == (status, code)


def below_an_organization(house: House) -> Iterator[tuple[str, str]]:
    document = house.client.get(f"{API}/openapi.json").json()
    for path, operations in document["paths"].items():
        if "{org}" in path:
            for method in operations:
                yield method.upper(), path


def test_an_unknown_organization_is_named_as_such_everywhere(house: House) -> None:
    routes = list(below_an_organization(house))
    assert len(routes) > 25
    for method, path in routes:
        path = path.replace("{org}", "nobody").replace("{run}", NO_RUN).replace("{kind}", "users")
        answer = house.client.request(method, path.replace("{item}", "AAMk"))
        assert answer.status_code == 404, (method, path)
        assert problem(answer)["code"] == "organization-missing", (method, path)


TRICKS = [
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2f",
    "%5c",
    "%00",
    "a" * 3000,
    "%F0%9F%98%80",
    "%ed%a0%80",
    "CONTOSO",
    "contoso%20",
    "contoso%0a",
    "-",
    "'%20OR%201=1",
    "%7Bx%7D",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_in_an_id_is_more_than_an_unknown_id(house: House, trick: str) -> None:
    for path in (
        f"{API}/organizations/{trick}",
        f"{API}/organizations/{trick}/policy",
        f"{BELOW}/runs/{trick}",
        f"{BELOW}/exports/{trick}/archive",
        f"{BELOW}/restores/{trick}/report",
        f"{BELOW}/items/{trick}?service=mail&resource={house.world.mailbox_id}",
        f"{BELOW}/items/{trick}/content?service=mail&resource={house.world.mailbox_id}",
        f"{BELOW}/items?service=mail&resource=mailbox:{trick}",
        f"{BELOW}/items?service=mail&resource={house.world.mailbox_id}&folder={trick}",
        f"{BELOW}/snapshots?service={trick}&resource={trick}",
        f"{BELOW}/resources?next={trick}",
        f"{API}/organizations?next={trick}",
    ):
        answer = house.client.get(path)
        assert answer.status_code in (404, 422) or "/snapshots" in path, (path, answer.text)
        assert answer.status_code < 500, path
        problem(answer)


@pytest.mark.parametrize("numbers", ["0", "-1", "1e3", "99999999999999999999999", "²", "null"])
def test_a_number_that_is_none_is_told(house: House, numbers: str) -> None:
    for query in ({"snapshot": numbers}, {"limit": numbers}):
        answer = house.client.get(f"{BELOW}/items", params={**house.mail(), **query})
        assert answer.status_code == 422
        problem(answer)


# --- Bodies ---

WELL = {
    "name": "Fabrikam",
    "tenant_id": "fabrikam.example",
    "credential": {"kind": "client_secret", "client_id": "app", "client_secret": SECRET},
}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"NaN",
        b"{}" * 2,
        b"[" * 20_000,
        json.dumps({**WELL, "name": ""}).encode(),
        json.dumps({**WELL, "name": None}).encode(),
        json.dumps({**WELL, "name": "x" * 201}).encode(),
        json.dumps({**WELL, "nmae": "x"}).encode(),
        json.dumps({**WELL, "id": "../x"}).encode(),
        json.dumps({**WELL, "id": "x" * 41}).encode(),
        json.dumps({**WELL, "tenant_id": "https://evil.example/"}).encode(),
        json.dumps({**WELL, "tenant_id": "a\nb"}).encode(),
        json.dumps({**WELL, "credential": {"client_secret": SECRET}}).encode(),
        json.dumps({**WELL, "credential": SECRET}).encode(),
        json.dumps({**WELL, "credential": [SECRET]}).encode(),
        json.dumps({**WELL, "credential": {"kind": SECRET, "client_id": "x"}}).encode(),
        json.dumps({**WELL, "credential": {"kind": "client_secret", "x": SECRET}}).encode(),
        json.dumps(
            {**WELL, "credential": {**WELL["credential"], "client_secret": [SECRET]}}  # type: ignore[dict-item]
        ).encode(),
        json.dumps(
            {**WELL, "credential": {"kind": "certificate", "client_id": "a", "password": SECRET}}
        ).encode(),
        json.dumps({**WELL, "recovery_passphrase": "short"}).encode(),
        json.dumps({**WELL, "recovery_passphrase": {"x": SECRET}}).encode(),
    ],
)
def test_a_bad_organization_is_refused_and_its_secret_not_repeated(
    house: House, body: bytes
) -> None:
    answer = house.client.post(f"{API}/organizations", content=body, headers=JSON)

    assert answer.status_code in (400, 422), answer.text
    problem(answer)
    assert SECRET not in answer.text
    listed = house.client.get(f"{API}/organizations").json()["items"]
    assert [one["id"] for one in listed] == [ORG]


def test_a_list_with_many_mistakes_names_a_few(house: House) -> None:
    body = {"services": [1] * 10_000}

    answer = house.client.put(f"{BELOW}/policy", json=body)

    assert answer.status_code == 422
    assert len(problem(answer)["details"]["fields"]) <= 20


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"services": []}, "invalid-input"),
        ({"services": ["fax"]}, "policy-invalid"),
        ({"selection": {"mode": "some"}}, "invalid-input"),
        ({"schedule": {"cron": "nonsense", "time_zone": "UTC"}}, "policy-invalid"),
        ({"schedule": {"cron": "0 1 * * *", "time_zone": "Mars/Olympus"}}, "policy-invalid"),
        ({"schedule": {"cron": "0 1 * * *", "time_zone": "../../etc/passwd"}}, "policy-invalid"),
        ({"schedule": {"cron": "0 1 * * *", "time_zone": ""}}, "policy-invalid"),
        ({"schedule": {"cron": "0 0 30 2 *", "time_zone": "UTC"}}, "policy-invalid"),
        ({"version": -1}, "invalid-input"),
        ({"version": 10**30}, "invalid-input"),
        ({"version": "x"}, "invalid-input"),
        ({"pasued": True}, "invalid-input"),
    ],
)
def test_a_bad_policy_is_refused(house: House, body: dict[str, Any], code: str) -> None:
    before = house.get("/policy")

    answer = house.client.put(f"{BELOW}/policy", json=body)

    assert (answer.status_code, problem(answer)["code"]) == (422, code)
    assert house.get("/policy") == before


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"service": "fax"}, 422, "unknown-resource"),
        ({"resource": "drive:1"}, 422, "unknown-resource"),
        ({"resource": "mailbox:nobody"}, 404, "snapshot-missing"),
        ({"snapshot": 99}, 404, "snapshot-missing"),
        ({"snapshot": 0}, 422, "invalid-input"),
        ({"items": ["nothing"]}, 404, "item-missing"),
        ({"folders": ["nothing"]}, 404, "item-missing"),
        ({"target": "drive:1"}, 422, "invalid-input"),
        ({"target": "mailbox:"}, 422, "unknown-resource"),
        ({"target": "mailbox:.."}, 422, "unknown-resource"),
        ({"target": "mailbox:a/../../groups/b"}, 422, "unknown-resource"),
        ({"target": "mailbox:a?x=1"}, 422, "unknown-resource"),
        ({"resource": "mailbox:a\nb"}, 422, "unknown-resource"),
        ({"place": "elsewhere"}, 422, "invalid-input"),
        ({"conflict": "destroy"}, 422, "invalid-input"),
        ({"dry": True}, 422, "invalid-input"),
    ],
)
def test_a_bad_restore_is_refused_before_anything_starts(
    house: House, change: dict[str, Any], status: int, code: str
) -> None:
    body = {**house.mail(), **change}

    answer = house.client.post(f"{BELOW}/restores", json=body)

    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert house.stories.started == []


# --- Size ---


def test_a_body_over_a_mebibyte_is_refused_by_its_announced_length(house: House) -> None:
    answer = house.client.post(f"{API}/organizations", content=b" " * (1024 * 1024 + 1))

    assert (answer.status_code, problem(answer)["code"]) == (413, "body-too-large")


def test_a_body_over_a_mebibyte_is_refused_in_chunks_too(house: House) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 65536
            yield b" " * 65536

    for path in (f"{API}/organizations", f"{BELOW}/backups"):
        answer = house.client.post(path, content=chunks())
        assert (answer.status_code, problem(answer)["code"]) == (413, "body-too-large")
    assert house.stories.started == []


def test_a_small_body_in_chunks_is_fine(house: House) -> None:
    body = json.dumps({"services": ["fax"]}).encode()

    answer = house.client.put(f"{BELOW}/policy", content=iter([body[:5], body[5:]]), headers=JSON)

    assert problem(answer)["code"] == "policy-invalid"


@pytest.mark.parametrize("length", ["-1", "x", "1.0", "9" * 400])
def test_a_length_that_is_none_is_refused(house: House, length: str) -> None:
    answer = house.client.post(
        f"{API}/organizations", content=iter([b"{}"]), headers={"Content-Length": length}
    )

    assert (answer.status_code, problem(answer)["code"]) == (413, "body-too-large")


def test_a_method_that_a_route_does_not_have_is_told_with_those_it_has(house: House) -> None:
    answer = house.client.delete(f"{BELOW}/policy")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "PUT"}
    problem(answer)
