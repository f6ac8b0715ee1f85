"""Runs, restores, exports, downloads: what starts which story, and what comes back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from base.messages import ExportRun
from engine import export, verify
from tests.api.house import API, BELOW, HOSTILE, ORG, House
from tests.engine.world import credential


def post(house: House, path: str, body: Any = None, status: int = 202) -> dict[str, Any]:
    answer = house.client.post(BELOW + path, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


# --- Organizations ---


def test_an_organization_lives_from_creation_to_deletion(house: House) -> None:
    body = {
        "name": "Fabrikam GmbH & Co",
        "tenant_id": "fabrikam.example",
        "credential": {"client_id": "app", "client_secret": "a-first-secret"},
    }
    answer = house.client.post(f"{API}/organizations", json=body)
    made = answer.json()
    path = f"{API}/organizations/{made['id']}"

    assert answer.status_code == 201
    assert made["id"] == "fabrikam-gmbh-co"
    assert len(made["recovery_passphrase"]) > 30
    assert "recovery_passphrase" not in house.client.get(path).json()
    assert house.client.post(f"{API}/organizations", json=body).status_code == 409
    changed = house.client.patch(path, json={"name": "Fabrikam"}).json()
    assert (changed["name"], changed["has_credential"]) == ("Fabrikam", True)
    assert house.client.delete(path).status_code == 204
    assert house.client.get(path).json()["code"] == "organization-missing"
    assert house.client.delete(path).status_code == 404


def test_a_policy_changed_by_somebody_else_is_not_overwritten(house: House) -> None:
    read = house.get("/policy")
    body = {"services": ["mail", "drive"], "version": read["version"]}
    schedule = {"cron": "0 1 * * *", "time_zone": "Europe/Berlin"}

    first = house.client.put(f"{BELOW}/policy", json={**body, "schedule": schedule})
    second = house.client.put(f"{BELOW}/policy", json={**body, "paused": True})

    assert first.status_code == 200
    assert first.json()["version"] == read["version"] + 1
    assert first.json()["next_run_at"]
    assert second.status_code == 409
    assert second.json()["code"] == "row-changed"
    assert "read it again" in second.json()["hint"]
    assert house.get("/policy") == first.json()


# --- The connection ---


def test_the_connection_test_finds_everything_in_order(house: House) -> None:
    found = post(house, "/connection-test", status=200)

    assert found["ok"], found
    assert found["backup"]["tenant_name"]


@pytest.fixture
def without_mail(house: House) -> Iterator[None]:
    app = house.world.tenant.backup_app
    roles = set(app.roles)
    app.roles -= {role for role in roles if role.startswith("Mail.")}
    yield
    app.roles |= roles


@pytest.mark.usefixtures("without_mail")
def test_a_missing_permission_is_named_with_the_service_it_disables(house: House) -> None:
    found = post(house, "/connection-test", status=200)

    missing = [check for check in found["backup"]["checks"] if not check["granted"]]
    assert not found["ok"]
    assert [(check["permission"], check["needed_by"]) for check in missing] == [
        ("Mail.Read", ["mail"])
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_secret": "not-the-secret-of-the-app"}, "wrong-secret"),
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, "unknown-application"),
    ],
)
def test_a_wrong_credential_is_named_and_not_shown(
    house: House, change: dict[str, str], code: str
) -> None:
    facts = house.world.running.facts()["apps"]["backup"]
    wrong = {**credential(facts), **change}
    body = {"name": "Wrong", "id": code, "tenant_id": house.get("")["tenant_id"]}
    path = f"{API}/organizations/{code}"
    house.client.post(f"{API}/organizations", json={**body, "credential": wrong})
    try:
        tested = house.client.post(f"{path}/connection-test")
        searched = house.client.get(f"{path}/directory/users")
    finally:
        house.client.delete(path)

    assert tested.status_code == 200
    assert tested.json()["ok"] is False
    assert tested.json()["backup"]["problem"]["code"] == code
    assert tested.json()["backup"]["problem"]["hint"]
    assert searched.status_code == 422  # not 401: it is not the caller who is unknown
    assert searched.json()["code"] == code
    for text in (tested.text, searched.text):
        assert wrong["client_secret"] not in text


def test_an_unknown_tenant_is_named(house: House) -> None:
    facts = house.world.running.facts()["apps"]["backup"]
    body = {"name": "Lost", "tenant_id": "nobody.example", "credential": credential(facts)}
    made = house.client.post(f"{API}/organizations", json=body).json()
    path = f"{API}/organizations/{made['id']}"
    try:
        found = house.client.post(f"{path}/connection-test").json()
    finally:
        house.client.delete(path)

    assert found["backup"]["problem"]["code"] == "unknown-tenant"


def test_a_certificate_that_is_none_is_told_and_not_shown(house: House) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----"
    body = {
        "name": "Cert",
        "tenant_id": house.get("")["tenant_id"],
        "credential": {"kind": "certificate", "client_id": "app", "certificate_pem": pem},
    }
    answer = house.client.post(f"{API}/organizations", json=body)
    path = f"{API}/organizations/cert"
    try:
        found = house.client.post(f"{path}/connection-test")
    finally:
        house.client.delete(path)

    assert answer.status_code == 201
    assert found.status_code < 500, found.text
    assert "bm90IGEga2V5" not in found.text


def test_the_directory_is_searched_and_consent_has_an_address(house: House) -> None:
    assert house.get("/directory/users", search="a", limit=3)["items"]
    url = house.get("/consent-url")["url"]
    assert "adminconsent?" in url
    assert house.get("/consent-url", application="restore")["url"] != url


# --- Runs ---


def test_a_backup_starts_once_and_can_be_cancelled(house: House) -> None:
    run = post(house, "/backups")
    again = house.client.post(f"{BELOW}/backups")
    cancelled = post(house, f"/runs/{run['id']}/cancel")

    assert run["state"] == "queued"
    assert again.status_code == 409
    assert again.json()["code"] == "backup-running"
    assert cancelled["state"] == "cancelled"
    assert post(house, f"/runs/{run['id']}/cancel")["state"] == "cancelled"
    assert run["id"] in {one["id"] for one in house.get("/runs")["items"][:2]}
    assert [(story, id_) for story, _, id_ in house.stories.started] == [
        ("backup_organization", run["id"])
    ]


def test_runs_are_listed_by_kind(house: House) -> None:
    kinds = {run["kind"] for run in house.get("/runs", kind="backup")["items"]}

    assert kinds == {"backup"}


def test_a_verification_needs_no_body_and_reports(house: House) -> None:
    run = post(house, "/verifications")
    story, message, id_ = house.stories.started[0]
    assert (story, id_) == ("verify_vault", run["id"])
    assert message["read_data"] is True
    assert house.get(f"/verifications/{run['id']}")["report"] is None

    verify.verify_slice(house.app, dict(message))

    done = house.get(f"/verifications/{run['id']}")
    assert (done["state"], done["report"]["problems"]) == ("green", [])
    assert post(house, "/verifications", {"read_data": False})["kind"] == "verify"


def test_a_repair_is_a_dry_run_unless_told_otherwise_and_needs_a_report(house: House) -> None:
    run = post(house, "/verifications", {"level": "quick"})
    path = f"/verifications/{run['id']}/repair"
    early = post(house, path, status=409)
    assert early["code"] == "verification-not-over"
    _, message, _ = house.stories.started[-1]
    assert (message["read_data"], message["share"], message["samples"]) == (False, 0.0, 0)
    verify.verify_slice(house.app, dict(message))

    assert post(house, path, status=200) == {"dry_run": True, "complete": True, "actions": []}
    done = post(house, path, {"dry_run": False}, status=200)
    assert (done["dry_run"], done["actions"]) == (False, [])


# --- Restores ---


def test_a_dry_run_answers_the_plan_and_starts_nothing(house: House) -> None:
    item = house.first_item(**house.mail())

    found = post(
        house, "/restores", {**house.mail(), "items": [item["id"]], "dry_run": True}, status=200
    )

    assert found["plan"]["items"] == 1
    assert found["plan"]["conflicts"] == 0
    assert found["request"]["target"] == house.world.mailbox_id
    assert house.stories.started == []


def test_a_restore_runs_reports_and_is_undone(house: House) -> None:
    item = house.first_item(**house.mail())
    started = post(house, "/restores", {**house.mail(), "items": [item["id"]]})
    assert house.stories.started[0][0] == "restore_items"
    early = house.client.post(f"{BELOW}/restores/{started['id']}/undo")
    assert (early.status_code, early.json()["code"]) == (409, "not-undoable")

    house.world.finish_restore(started["id"])

    shown = house.get(f"/restores/{started['id']}")
    rows = house.get(f"/restores/{started['id']}/report")["items"]
    assert shown["state"] in ("green", "amber")
    assert shown["plan"]["items"] == 1
    assert [row["outcome"] for row in rows if row["kind"] != "folder"] == ["created"]
    undo = post(house, f"/restores/{started['id']}/undo")
    house.world.finish_restore(undo["id"])
    assert house.get(f"/restores/{undo['id']}")["plan"] is None
    removed = house.get(f"/restores/{undo['id']}/report")["items"]
    assert "removed" in {row["outcome"] for row in removed}
    report = f"{BELOW}/restores/{started['id']}/report"
    for odd in ("²", "x" * 200, "-1", "9" * 50):
        assert house.client.get(report, params={"next": odd}).status_code in (200, 422)


# --- Downloads ---


@pytest.fixture(scope="module")
def archive(house: House) -> str:
    """The address of a finished export."""
    run = post(house, "/exports", house.drive())["id"]
    early = house.client.get(f"{BELOW}/exports/{run}/archive")
    assert (early.status_code, early.json()["code"]) == (404, "export-missing")
    export.write_export(house.app, ExportRun(ORG, run))
    export.close_export(house.app, ExportRun(ORG, run))
    return f"{BELOW}/exports/{run}/archive"


def test_an_archive_comes_whole(house: House, archive: str) -> None:
    answer = house.client.get(archive)

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None


def test_an_archive_comes_in_ranges(house: House, archive: str) -> None:
    whole = house.client.get(archive).content
    size = len(whole)
    for header, first, last in (
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, size - 1),
        (f"bytes=5-{size + 10}", 5, size - 1),
        ("bytes=-7", size - 7, size - 1),
    ):
        answer = house.client.get(archive, headers={"Range": header})
        assert answer.status_code == 206, header
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert answer.content == whole[first : last + 1]


@pytest.mark.parametrize("header", ["bytes=999999999999-", "bytes=-0"])
def test_a_range_outside_is_told_with_the_size(house: House, archive: str, header: str) -> None:
    answer = house.client.get(archive, headers={"Range": header})

    assert answer.status_code == 416
    assert answer.json()["code"] == "range-not-satisfiable"
    assert answer.headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize(
    "header", ["bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,5-9", "bytes=" + "9" * 5000, "x"]
)
def test_a_header_that_is_no_single_range_is_passed_over(
    house: House, archive: str, header: str
) -> None:
    assert house.client.get(archive, headers={"Range": header}).status_code == 200


def test_an_item_comes_as_a_file_with_a_harmless_name(house: House) -> None:
    names = []
    for where in (house.mail(), house.drive()):
        for entry in [*everything(house, **where)][:60]:
            answer = house.client.get(f"{BELOW}/items/{entry['id']}/content", params=where)
            if answer.status_code == 200:
                names.append(answer.headers["content-disposition"])
                assert answer.headers["content-security-policy"].startswith("sandbox")
    assert len(names) > 60
    assert any("script" in name for name in names)
    for name in names:
        assert name.startswith('attachment; filename="')
        assert name.count('"') == 2
        for bad in ("<", ">", "%0A", "%22", "%E2%80%AE", "%2F"):
            assert bad not in name


def everything(house: House, **where: str) -> Iterator[dict[str, Any]]:
    waiting = [""]
    while waiting:
        for entry in house.get("/items", **where, folder=waiting.pop(), limit=500)["items"]:
            if entry["kind"] == "folder":
                waiting.append(entry["id"])
            else:
                yield entry


def test_a_part_that_an_item_does_not_have_is_told(house: House) -> None:
    item = house.first_item(**house.mail())
    for query in ({"part": "mime", "index": "99"}, {"part": "nonsense"}):
        answer = house.client.get(
            f"{BELOW}/items/{item['id']}/content", params={**house.mail(), **query}
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "item-missing")


def test_who_opened_an_item_is_in_the_audit_log(house: House) -> None:
    item = house.first_item(**house.mail())
    house.get(f"/items/{item['id']}", **house.mail())

    newest = house.get("/audit", limit=1)["items"][0]
    assert (newest["action"], newest["actor"]) == ("item-opened", "local-admin")
    assert HOSTILE not in str(newest)


def test_an_item_is_found_by_its_words_and_shown_as_text_only(house: House) -> None:
    item = next(one for one in everything(house, **house.mail()) if len(one["name"].split()) > 1)
    words = " ".join(item["name"].split()[:2])

    found = house.get("/search", q=words.upper(), service="mail")["items"]

    assert item["id"] in [one["id"] for one in found]
    seen = house.get(f"/items/{item['id']}/preview", **house.mail())
    assert dict(seen["people"])["From"]
    assert "<html" not in seen["words"]


def test_a_search_that_finds_nothing_is_an_empty_list(house: House) -> None:
    assert house.get("/search", q="no such words anywhere")["items"] == []
