"""Every answer of 400 and above becomes the one problem the caller can act on."""

from __future__ import annotations

import json

import pytest

from m365.graph import errors
from m365.graph.errors import GraphProblem, error_code, problem_of


def body(code: str, message: str = "", **inner: object) -> bytes:
    return json.dumps(
        {"error": {"code": code, "message": message, "innerError": inner or None}}
    ).encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalidRequest", errors.GraphProblem),
        (401, "InvalidAuthenticationToken", errors.Unauthorized),
        (403, "accessDenied", errors.Forbidden),
        (403, "malwareDetected", errors.Malware),
        (403, "resourceLocked", errors.Locked),
        (403, "notAllowed", errors.Locked),
        (404, "ErrorItemNotFound", errors.ItemGone),
        (404, "MailboxNotEnabledForRESTAPI", errors.ResourceGone),
        (404, "ErrorInvalidUser", errors.ResourceGone),
        (404, "Request_ResourceNotFound", errors.ResourceGone),
        (409, "nameAlreadyExists", errors.Clash),
        (410, "resyncRequired", errors.ResyncNeeded),
        (410, "", errors.ResyncNeeded),
        (400, "SyncStateNotFound", errors.ResyncNeeded),
        (404, "SYNCSTATEINVALID", errors.ResyncNeeded),
        (412, "", errors.Clash),
        (423, "", errors.Locked),
        (500, "ErrorCorruptData", errors.Corrupt),
        (400, "ErrorInvalidRecipients", errors.Corrupt),
        (500, "ErrorCannotOpenFileAttachment", errors.Corrupt),
        (500, "generalException", errors.TransientFailure),
        (502, "", errors.TransientFailure),
        (503, "", errors.TransientFailure),
        (504, "", errors.GatewayTimeout),
        (507, "", errors.QuotaFull),
        (507, "quotaLimitReached", errors.QuotaFull),
    ],
)
def test_a_status_and_code_become_one_problem(
    status: int, code: str, kind: type[GraphProblem]
) -> None:
    problem = problem_of(status, {}, body(code), "/v1.0/users/a/messages/b")
    assert type(problem) is kind
    assert (problem.status_code, problem.graph_code) == (status, code)


def test_the_deepest_known_code_counts() -> None:
    unknown = {"code": "somethingNobodyKnows"}
    nested = {
        "code": "badRequest",
        "innerError": {"code": "syncStateNotFound"} | {"innerError": unknown},
    }
    assert error_code(json.dumps({"error": nested}).encode())[0] == "syncStateNotFound"
    assert error_code(body("neverSeen"))[0] == "neverSeen"


def test_an_infected_file_is_known_by_its_header_too() -> None:
    assert type(problem_of(403, {"x-virus-infected": "True"}, b"")) is errors.Malware


@pytest.mark.parametrize(
    "path",
    [
        "/v1.0/drives/b!x",
        "/v1.0/drives/b!x/root",
        "/v1.0/drives/b!x/root/delta(token='abc')",
        "/v1.0/drives/b!x/root/microsoft.graph.delta()",
        "/v1.0/users/u/drive",
        "/v1.0/users/u/mailFolders/delta",
        "/v1.0/users/u",
    ],
)
def test_a_404_on_a_whole_resource_means_the_resource_is_gone(path: str) -> None:
    assert type(problem_of(404, {}, body("itemNotFound"), path)) is errors.ResourceGone


@pytest.mark.parametrize(
    "path",
    [
        "/v1.0/drives/b!x/items/1",
        "/v1.0/users/u/mailFolders/AAA/messages/delta",
        "/v1.0/users/u/messages/1/$value",
    ],
)
def test_a_404_on_something_inside_means_only_that_is_gone(path: str) -> None:
    assert type(problem_of(404, {}, body("itemNotFound"), path)) is errors.ItemGone


@pytest.mark.parametrize(
    "message",
    [
        "User's mysite not found.",
        "Unable to retrieve user's mysite URL.",
        "Tenant does not have a SPO license.",
    ],
)
def test_a_missing_onedrive_is_known_by_its_message(message: str) -> None:
    for status in (400, 404):
        problem = problem_of(status, {}, body("ResourceNotFound", message), "/v1.0/x")
        assert type(problem) is errors.ResourceGone


def test_a_lost_link_says_how_to_start_again() -> None:
    location = "https://graph.microsoft.com/v1.0/drives/b!x/root/delta?token="
    problem = problem_of(410, {}, body("resyncChangesUploadDifferences"), "", location)
    assert isinstance(problem, errors.ResyncNeeded)
    assert (problem.location, problem.upload_differences) == (location, True)


def test_problems_show_codes_and_request_ids_and_nothing_of_the_content() -> None:
    answer = body("itemNotFound", "Anna Karenina <anna@contoso.example> not found")
    problem = problem_of(404, {"request-id": "5a2c-0f6e"}, answer, "/v1.0/users/anna/messages/1")
    shown = json.dumps(problem.to_json())
    assert "5a2c-0f6e" in shown
    assert "itemNotFound" in shown
    assert "anna" not in shown.lower()


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b'{"error":[]}', b'{"error":{"code":["x"]}}', b"[" * 100_000],
)
def test_a_malformed_error_body_still_has_its_status(answer: bytes) -> None:
    problem = problem_of(403, {}, answer)
    assert type(problem) is errors.Forbidden
    assert problem.graph_code == ""


def test_what_only_looks_like_a_code_is_not_shown() -> None:
    assert problem_of(403, {}, body("Anna Karenina's mailbox")).graph_code == ""
