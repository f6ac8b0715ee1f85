"""Upload sessions of the fake drive."""

from typing import Any

import pytest

from simulator.drive_upload import RANGE_UNIT, uploads
from simulator.web import Answer
from tests.simulator.drive_client import OTHER_HOST, Client, code

DATA = bytes(range(256)) * (RANGE_UNIT // 256) + b"tail"


@pytest.fixture
def client() -> Client:
    return Client()


def begin(client: Client, path: str = "/root:/big.bin:", **item: Any) -> str:
    answer = client.ask("POST", f"{path}/createUploadSession", {"item": item})
    assert answer.status == 200, answer
    assert answer.body["nextExpectedRanges"] == ["0-"]
    return answer.body["uploadUrl"]


def put(
    client: Client, url: str, first: int, end: int, total: int = len(DATA), **headers: str
) -> Answer:
    said = f"bytes {first}-{end - 1}/{total}"
    return client.ask("PUT", url, DATA[first:end], {"Content-Range": said} | headers)


def test_ranges_in_order_make_the_item_at_the_last(client):
    url = begin(client)
    assert url.startswith(OTHER_HOST)
    first = put(client, url, 0, RANGE_UNIT)
    assert first.status == 202
    assert first.body["nextExpectedRanges"] == [f"{RANGE_UNIT}-"]
    assert client.ask("GET", url).body["nextExpectedRanges"] == [f"{RANGE_UNIT}-"]
    assert not client.get("/root/children")["value"]
    last = put(client, url, RANGE_UNIT, len(DATA))
    assert (last.status, last.body["name"], last.body["size"]) == (201, "big.bin", len(DATA))
    assert client.fetch(last.body["id"]) == DATA
    assert code(client.ask("GET", url)) == (404, "itemNotFound")


def test_dates_and_conflict_behavior_of_the_session_are_kept(client):
    client.file("big.bin", b"old")
    times = {
        "createdDateTime": "2019-01-02T03:04:05Z",
        "lastModifiedDateTime": "2020-01-02T03:04:05Z",
    }
    wish = {"@microsoft.graph.conflictBehavior": "rename", "fileSystemInfo": times}
    made = put(client, begin(client, **wish), 0, 5, 5).body
    assert made["name"] == "big 1.bin"
    assert made["fileSystemInfo"] == times


def test_replacing_keeps_the_id_and_makes_a_version(client):
    item = client.file("big.bin", b"old")
    answer = put(client, begin(client, f"/items/{item.id}"), 0, 5, 5)
    assert (answer.status, answer.body["id"]) == (200, item.id)
    assert len(client.get(f"/items/{item.id}/versions")["value"]) == 2


def test_a_name_that_exists_is_refused_only_at_the_last_range(client):
    client.file("big.bin", b"old")
    url = begin(client, **{"@microsoft.graph.conflictBehavior": "fail"})
    assert put(client, url, 0, RANGE_UNIT).status == 202
    answer = put(client, url, RANGE_UNIT, len(DATA))
    assert code(answer) == (409, "nameAlreadyExists")


def test_a_token_is_refused_and_noted(client):
    url = begin(client)
    assert put(client, url, 0, 5, 5, Authorization="Bearer x").status == 401
    assert client.tenant.counters.offences["token-to-foreign-host"] == 1


@pytest.mark.parametrize(
    ("first", "end", "total", "expected"),
    [
        (0, 100, 1000, (400, "invalidRequest")),
        (RANGE_UNIT, len(DATA), len(DATA), (416, "invalidRange")),
    ],
)
def test_ranges_that_are_no_multiple_or_leave_a_gap_are_refused(
    client, first, end, total, expected
):
    assert code(put(client, begin(client), first, end, total)) == expected


def test_a_range_sent_twice_is_refused(client):
    url = begin(client)
    put(client, url, 0, RANGE_UNIT)
    assert code(put(client, url, 0, RANGE_UNIT)) == (416, "invalidRange")


def test_a_range_whose_header_and_body_differ_is_refused(client):
    url = begin(client)
    headers = {"Content-Range": "bytes 0-9/10"}
    assert code(client.ask("PUT", url, b"12345", headers)) == (400, "invalidRequest")
    assert code(client.ask("PUT", url, b"12345")) == (400, "invalidRequest")


def test_a_zero_byte_file_cannot_use_a_session(client):
    url = begin(client)
    headers = {"Content-Range": "bytes 0--1/0"}
    assert client.ask("PUT", url, b"", headers).status == 400
    assert client.ask("PUT", "/root:/empty.bin:/content", b"").status == 201


def test_a_range_of_sixty_mebibytes_is_too_large(client):
    size = 60 * 1024 * 1024
    headers = {"Content-Range": f"bytes 0-{size - 1}/{size}"}
    assert client.ask("PUT", begin(client), bytes(size), headers).status == 413


def test_a_cancelled_or_expired_session_is_gone(client):
    url, other = begin(client), begin(client, "/root:/other.bin:")
    assert client.ask("DELETE", url).status == 204
    assert code(put(client, url, 0, 5, 5)) == (404, "itemNotFound")
    client.tenant.clock.advance(25 * 3600)
    assert code(put(client, other, 0, 5, 5)) == (404, "itemNotFound")


def test_a_full_drive_refuses_the_range(client):
    client.drive.quota_bytes = 3
    assert code(put(client, begin(client), 0, 5, 5)) == (507, "quotaLimitReached")


def test_a_server_error_leaves_the_session_as_it_was(client):
    url = begin(client)
    uploads(client.tenant).faults.append(503)
    assert put(client, url, 0, RANGE_UNIT).status == 503
    assert put(client, url, 0, RANGE_UNIT).status == 202


def test_a_broken_range_may_have_been_stored_in_part(client):
    total = 4 * RANGE_UNIT
    url = begin(client)
    uploads(client.tenant).faults.append("broken")
    headers = {"Content-Range": f"bytes 0-{2 * RANGE_UNIT - 1}/{total}"}
    answer = client.ask("PUT", url, bytes(2 * RANGE_UNIT), headers)
    with pytest.raises(ConnectionAbortedError):
        list(answer.body)
    assert client.ask("GET", url).body["nextExpectedRanges"] == [f"{RANGE_UNIT}-"]


def test_the_answer_to_the_last_range_may_get_lost_although_the_item_was_made(client):
    url = begin(client)
    uploads(client.tenant).faults.append("lost")
    with pytest.raises(ConnectionAbortedError):
        list(put(client, url, 0, 5, 5).body)
    assert code(client.ask("GET", url)) == (404, "itemNotFound")
    assert client.get("/root:/big.bin")["size"] == 5


def test_a_bad_name_is_refused_when_the_session_is_made(client):
    wish = {"item": {"name": "a|b"}}
    answer = client.ask("POST", "/root:/x.bin:/createUploadSession", wish)
    assert code(answer) == (400, "invalidRequest")


def test_a_large_upload_lies_on_disk(client):
    url, size = begin(client), 15 * RANGE_UNIT
    half = 10 * RANGE_UNIT
    for first, end in ((0, half), (half, size)):
        headers = {"Content-Range": f"bytes {first}-{end - 1}/{size}"}
        answer = client.ask("PUT", url, bytes(end - first), headers)
    assert answer.status == 201
    assert client.fetch(answer.body["id"]) == bytes(size)
