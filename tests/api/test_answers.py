"""The main answers: their shape, their routes, their pages."""

from __future__ import annotations

from typing import Any

from api import answers, coverage_answers
from api.throttling_answers import ThrottledScopeOut, ThrottlingOut
from tests.api.house import API, BELOW, HOSTILE, ORG, SECURITY_HEADERS, House

# Method and path of every route. A line that disappears breaks somebody: say so in CHANGELOG.md.
ROUTES = """
GET    /api/v1/organizations
POST   /api/v1/organizations
DELETE /api/v1/organizations/{org}
GET    /api/v1/organizations/{org}
PATCH  /api/v1/organizations/{org}
GET    /api/v1/organizations/{org}/audit
POST   /api/v1/organizations/{org}/backups
GET    /api/v1/organizations/{org}/collections
POST   /api/v1/organizations/{org}/collections
GET    /api/v1/organizations/{org}/collections/{run}
POST   /api/v1/organizations/{org}/connection-test
GET    /api/v1/organizations/{org}/consent-url
GET    /api/v1/organizations/{org}/coverage
GET    /api/v1/organizations/{org}/coverage/export
GET    /api/v1/organizations/{org}/coverage/rows
GET    /api/v1/organizations/{org}/directory/{kind}
POST   /api/v1/organizations/{org}/exports
GET    /api/v1/organizations/{org}/exports/{run}
GET    /api/v1/organizations/{org}/exports/{run}/archive
GET    /api/v1/organizations/{org}/items
GET    /api/v1/organizations/{org}/items/{item}
GET    /api/v1/organizations/{org}/items/{item}/content
GET    /api/v1/organizations/{org}/items/{item}/preview
GET    /api/v1/organizations/{org}/keys
GET    /api/v1/organizations/{org}/keys/recovery-kit
POST   /api/v1/organizations/{org}/keys/rotate
POST   /api/v1/organizations/{org}/keys/shred
POST   /api/v1/organizations/{org}/keys/slots
DELETE /api/v1/organizations/{org}/keys/slots/{slot}
GET    /api/v1/organizations/{org}/ledger
GET    /api/v1/organizations/{org}/policy
PUT    /api/v1/organizations/{org}/policy
GET    /api/v1/organizations/{org}/resources
POST   /api/v1/organizations/{org}/restores
GET    /api/v1/organizations/{org}/restores/{run}
GET    /api/v1/organizations/{org}/restores/{run}/report
POST   /api/v1/organizations/{org}/restores/{run}/undo
GET    /api/v1/organizations/{org}/retention
GET    /api/v1/organizations/{org}/runs
GET    /api/v1/organizations/{org}/runs/{run}
POST   /api/v1/organizations/{org}/runs/{run}/cancel
GET    /api/v1/organizations/{org}/runs/{run}/resources
GET    /api/v1/organizations/{org}/search
GET    /api/v1/organizations/{org}/snapshots
GET    /api/v1/organizations/{org}/throttling
GET    /api/v1/organizations/{org}/usage
GET    /api/v1/organizations/{org}/verifications
POST   /api/v1/organizations/{org}/verifications
GET    /api/v1/organizations/{org}/verifications/{run}
POST   /api/v1/rebuilds
"""


def document(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.client.get(f"{API}/openapi.json").json()
    return found


def test_no_route_has_disappeared(house: House) -> None:
    wanted = {tuple(line.split()) for line in ROUTES.strip().splitlines()}

    there = {
        (method.upper(), path)
        for path, operations in document(house)["paths"].items()
        for method in operations
    }

    assert wanted <= there


def test_the_document_is_openapi_3_1_and_describes_errors_and_the_token(house: House) -> None:
    found = document(house)

    assert found["openapi"].startswith("3.1.")
    assert found["security"] == [{"token": []}]
    assert found["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert "application/problem+json" in answer["content"], (method, path)
    assert "HTTPValidationError" not in found["components"]["schemas"]


def test_every_json_answer_has_a_schema_of_its_own(house: House) -> None:
    bare = []
    for path, operations in document(house)["paths"].items():
        for method, operation in operations.items():
            good = next(s for s in operation["responses"] if s < "300")
            content = operation["responses"][good].get("content", {}).get("application/json")
            if content is not None and not content["schema"].keys() & {"$ref", "anyOf"}:
                bare.append((method, path))
    # The bytes of items and archives have no schema.
    assert {path.rsplit("/", 1)[1] for _, path in bare} <= {"content", "archive", "export"}


def documented(model: type[answers.Out], answer: dict[str, Any]) -> None:
    """The answer has every field its model names."""
    missing = model.model_fields.keys() - answer.keys()
    assert not missing, (model.__name__, missing)


def test_the_answers_are_what_the_document_says(house: House) -> None:
    mail = house.mail()
    documented(answers.OrganizationOut, house.get(""))
    documented(answers.PolicyOut, house.get("/policy"))
    documented(answers.RunOut, house.get("/runs")["items"][0])
    documented(answers.ResourceOut, house.get("/resources")["items"][0])
    documented(answers.SnapshotOut, house.get("/snapshots", **mail)["items"][0])
    documented(answers.ItemsOut, house.get("/items", **mail))
    item = house.first_item(**mail)
    documented(answers.EntryOut, item)
    documented(answers.ItemOut, house.get(f"/items/{item['id']}", **mail))
    statement = house.get("/coverage")
    documented(coverage_answers.CoverageOut, statement)
    documented(coverage_answers.CoverageRowOut, statement["rows"][0])
    mailbox = house.get("/coverage/rows", kind="mailbox")["items"][0]
    documented(coverage_answers.CoverageServiceOut, mailbox["services"][0])
    documented(coverage_answers.CoverageReasonOut, mailbox["reasons"][0])
    documented(answers.LedgerRowOut, house.get("/ledger")["items"][0])
    documented(answers.UsageOut, house.get("/usage"))
    throttling = house.get("/throttling")
    documented(ThrottlingOut, throttling)
    by_scope = {one["scope"]: one for one in throttling["scopes"]}
    documented(ThrottledScopeOut, by_scope["sharepoint"])
    assert by_scope["sharepoint"]["day_spent"] > 0
    assert {"directory", "mailboxes", "app"} <= by_scope.keys()
    assert not throttling["pauses"]
    documented(answers.AuditRowOut, house.get("/audit")["items"][0])
    run = house.get("/runs")["items"][-1]["id"]  # the first one; other tests start some that wait
    documented(answers.RunRowOut, house.get(f"/runs/{run}/resources")["items"][0])


def test_an_organization_never_shows_its_secrets(house: House) -> None:
    secrets = [secret for app in house.world.tenant.apps.values() for secret in app.secrets]
    assert secrets
    for path in (f"{API}/organizations", BELOW, f"{BELOW}/policy", f"{BELOW}/audit"):
        text = house.client.get(path).text
        assert not any(secret in text for secret in secrets)
        assert "sealed" not in text


def test_names_of_people_and_items_come_as_they_are(house: House) -> None:
    names = {row["name"] for row in house.get("/resources")["items"]}
    assert HOSTILE in names
    assert house.first_item(**house.mail())["name"] == HOSTILE


def test_pages_follow_one_another_and_together_are_everything(house: House) -> None:
    for path, query in (
        ("/resources", {}),
        ("/ledger", {}),
        ("/coverage/rows", {}),
        ("/audit", {}),
        ("/items", house.mail()),
    ):
        whole = house.get(path, **query, limit=500)["items"]
        pieces: list[Any] = []
        after = ""
        for _ in range(len(whole) + 1):
            page = house.get(path, **query, limit=1, next=after)
            pieces += page["items"]
            after = page["next"]
            if after is None:
                break
        assert pieces == whole
        assert whole


def test_every_answer_carries_the_headers(house: House) -> None:
    for path in ("/", "/signin", "/static/style.css", "/nothing", "/api/health", BELOW):
        answer = house.client.get(path)
        assert all(name in answer.headers for name in SECURITY_HEADERS), path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_a_crash_inside_is_told_without_what_it_held(house: House) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a subject, an address, a token")

    state = house.client.app.state  # type: ignore[attr-defined]
    whole = state.app
    state.app = Broken()
    try:
        answer = house.client.get(BELOW)
    finally:
        state.app = whole

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal-error"
    assert "subject" not in answer.text
    assert all(name in answer.headers for name in SECURITY_HEADERS)
    assert ORG not in answer.text
