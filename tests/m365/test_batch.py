"""Twenty a call, in order, each with its own fate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from base.errors import Throttled
from m365.graph.client import BatchRequest, Scope
from m365.graph.errors import Forbidden, ItemGone, TransientFailure
from tests.m365.wire_fake import Heard, Hostile, Reply, fails, says

ANNA = Scope.mailbox("anna")
DIRECTORY = Scope.directory()


def answering(one: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Heard], Reply]:
    """A $batch that answers each item by a function, in reverse order."""

    def answer(heard: Heard) -> Reply:
        items = heard.json()["requests"]
        return says({"responses": [{"id": item["id"], **one(item)} for item in reversed(items)]})

    return answer


def echo(item: dict[str, Any]) -> dict[str, Any]:
    return {"status": 200, "body": {"url": item["url"]}}


def test_answers_come_in_the_order_of_the_requests_twenty_a_call() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(echo))
        urls = [f"/users/{number}" for number in range(45)]
        answers = fake.reader().batch([BatchRequest(url) for url in urls], DIRECTORY)
        assert [answer.json()["url"] for answer in answers] == urls
        calls = [heard.json()["requests"] for heard in fake.heard]
        assert [len(call) for call in calls] == [20, 20, 5]
        assert all(len({item["id"] for item in call}) == len(call) for call in calls)


def test_no_requests_are_no_call() -> None:
    with Hostile() as fake:
        assert fake.reader().batch([], DIRECTORY) == []
        assert fake.heard == []


def test_items_carry_the_headers_a_single_call_would() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(echo))
        asked = BatchRequest("/users/u/messages/1", {"Prefer": "outlook.timezone"})
        fake.reader().batch([asked, BatchRequest("/users/u/mailFolders/inbox")], DIRECTORY)
        first, second = fake.heard[0].json()["requests"]
        assert first["headers"]["Prefer"] == 'outlook.timezone, IdType="ImmutableId"'
        assert second["headers"]["Prefer"] == 'IdType="ImmutableId"'
        assert second["headers"]["x-ms-throttle-priority"] == "low"
        assert {first["method"], second["method"]} == {"GET"}


def test_each_item_raises_what_a_single_call_would() -> None:
    fates = {
        "/a": {"status": 404, "body": {"error": {"code": "ErrorItemNotFound", "message": "x"}}},
        "/b": {"status": 403, "headers": {"request-id": "7f"}, "body": {"error": {"code": "x"}}},
        "/c": {"status": 200, "body": {"id": "c"}},
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: fates[item["url"]]))
        gone, forbidden, good = fake.reader().batch([BatchRequest(url) for url in fates], ANNA)
        with pytest.raises(ItemGone):
            gone.json()
        with pytest.raises(Forbidden) as refused:
            forbidden.json()
        assert refused.value.request_id == "7f"
        assert good.json() == {"id": "c"}


def test_only_throttled_items_are_sent_again_after_the_longest_wait() -> None:
    seen: list[str] = []

    def one(item: dict[str, Any]) -> dict[str, Any]:
        again = item["url"] in seen
        seen.append(item["url"])
        if item["url"] in ("/1", "/3") and not again:
            return {"status": 429, "headers": {"Retry-After": item["url"][1]}, "body": {}}
        return echo(item)

    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(one))
        reader = fake.reader()
        answers = reader.batch([BatchRequest(f"/{number}") for number in range(5)], ANNA)
        assert [answer.json()["url"] for answer in answers] == ["/0", "/1", "/2", "/3", "/4"]
        assert [item["url"] for item in fake.heard[1].json()["requests"]] == ["/1", "/3"]
        assert fake.clock.slept == [3.0]
        assert reader.counters.throttled == 2


def test_items_with_a_long_wait_are_answered_as_throttled() -> None:
    def one(item: dict[str, Any]) -> dict[str, Any]:
        if item["url"] == "/1":
            return {"status": 429, "headers": {"retry-after": "77"}}
        return echo(item)

    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(one))
        good, refused = fake.reader().batch([BatchRequest("/0"), BatchRequest("/1")], ANNA)
        assert good.json() == {"url": "/0"}
        with pytest.raises(Throttled) as asked:
            refused.json()
        assert (asked.value.retry_after_s, len(fake.heard)) == (77, 1)


def test_items_that_fail_are_sent_again_twice() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: {"status": 502, "body": None}))
        (failed,) = fake.reader().batch([BatchRequest("/0")], ANNA)
        with pytest.raises(TransientFailure):
            failed.json()
        assert len(fake.heard) == 3


def test_a_call_that_breaks_is_repeated_because_it_only_reads() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", Reply(dead=True), fails(503, Retry_After="1"), answering(echo))
        (only,) = fake.reader().batch([BatchRequest("/0")], ANNA)
        assert (only.json(), len(fake.heard)) == ({"url": "/0"}, 3)


@pytest.mark.parametrize(
    "value",
    [{}, {"responses": []}, {"responses": [{"id": "7", "status": 200}]}, {"responses": "x"}],
)
def test_a_batch_that_is_not_answered_in_full_is_a_failure(value: object) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", says(value))
        with pytest.raises(TransientFailure):
            fake.reader().batch([BatchRequest("/0")], ANNA)


def test_binary_answers_are_decoded() -> None:
    fates = {
        "/a": {"status": 200, "headers": {"Content-Type": "image/jpeg"}, "body": "-_8"},
        "/b": {"status": 200, "headers": {"Content-Type": "image/jpeg"}, "body": "+/8="},
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: fates[item["url"]]))
        answers = fake.reader().batch([BatchRequest(url) for url in fates], ANNA)
        assert [answer.body for answer in answers] == [b"\xfb\xff"] * 2


def test_every_item_counts_against_the_units_of_sharepoint() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(echo))
        scope = Scope.sharepoint()
        fake.reader().batch([BatchRequest(f"/{number}") for number in range(20)], scope)
        lane = fake.limiter._lanes[("contoso", scope)]
        assert lane.windows[0].used(fake.clock.monotonic()) == 20


def test_items_that_a_token_ended_for_are_asked_again_with_a_new_one() -> None:
    ended = {"status": 401, "body": {"error": {"code": "InvalidAuthenticationToken"}}}
    rounds: list[list[str]] = []

    def fate(heard: Heard) -> Reply:
        urls = [item["url"] for item in heard.json()["requests"]]
        rounds.append(urls)
        late = len(rounds) == 1
        return answering(lambda item: ended if late and item["url"] != "/a" else echo(item))(heard)

    with Hostile() as fake:
        fake.on("/v1.0/$batch", fate)
        fake.on("/v1.0/b", says({"url": "/b"}))
        asked = [BatchRequest(url) for url in ("/a", "/b", "/c", "/d")]
        answers = fake.reader().batch(asked, DIRECTORY)
        assert [answer.json()["url"] for answer in answers] == ["/a", "/b", "/c", "/d"]
        assert rounds == [["/a", "/b", "/c", "/d"], ["/c", "/d"]]


def test_items_refused_with_any_token_cost_one_question_more() -> None:
    refused = {"status": 401, "body": {"error": {"code": "Unauthorized"}}}
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: refused))
        fake.on("/v1.0/a", fails(401))
        answers = fake.reader().batch([BatchRequest("/a"), BatchRequest("/b")], DIRECTORY)
        assert [answer.status for answer in answers] == [401, 401]
        assert len(fake.heard) == 3  # the batch, and one item twice: with a new token too
