"""JSON batching as documented: order, dependence, limits, malformed bodies."""

import base64

import pytest

from simulator import Tenant, serve
from tests.simulator.wire import Wire


@pytest.fixture
def tenant():
    return Tenant(2)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


def get(number, url, **more):
    return {"id": str(number), "method": "GET", "url": url} | more


def batch(wire, *requests):
    """Answers by id; and the ids in the order they came."""
    answers = wire.post("/$batch", {"requests": list(requests)})["responses"]
    return {answer["id"]: answer for answer in answers}, [answer["id"] for answer in answers]


def test_answers_come_in_any_order_each_with_a_status_of_its_own(wire, user):
    requests = [get(n, f"/users/{user}?$select=id") for n in range(9)] + [get(9, "users/nobody")]
    answers, order = batch(wire, *requests)
    assert set(answers) == {str(n) for n in range(10)}
    assert order != sorted(order, key=int)
    assert answers["0"]["body"]["id"] == user
    assert answers["9"]["status"] == 404
    assert answers["9"]["body"]["error"]["code"] == "Request_ResourceNotFound"


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [get(n, "/users") for n in range(21)],
        [get("a", "/users"), get("A", "/users")],
        [get(1, "https://localhost/v1.0/users")],
        [get(1, "/v1.0/users")],
        [{"id": "1", "method": "GET"}],
        [get(1, "/users", dependsOn=["2"]), get(2, "/users")],
        [get(1, "/users", depends_on=["2"])],
        [{"id": "1", "method": "POST", "url": "/users/x/messages", "body": {"subject": "x"}}],
        [{"id": "1", "method": "BREW", "url": "/users"}],
    ],
)
def test_a_malformed_batch_is_refused_whole(wire, requests):
    assert wire.code("POST", "/$batch", {"requests": requests})[0] == 400


def test_twenty_are_allowed(wire):
    assert len(batch(wire, *(get(n, "/users") for n in range(20)))[0]) == 20


def test_who_depends_on_a_failure_is_not_tried(wire, user, tenant):
    post = {
        "method": "POST", "url": f"/users/{user}/messages",
        "headers": {"Content-Type": "application/json"}, "body": {"subject": "s"},
    }  # fmt: skip
    answers, _ = batch(
        wire,
        get(1, "/users/nobody"),
        post | {"id": "2", "dependsOn": ["1"]},
        post | {"id": "3"},
        post | {"id": "4", "dependsOn": ["2"]},
        post | {"id": "5", "dependsOn": ["3"]},
    )
    assert [answers[n]["status"] for n in "12345"] == [404, 424, 201, 424, 201]
    assert len(tenant.mailboxes[user].messages) == 2


def test_each_is_throttled_on_its_own_and_told_so_in_its_headers(wire, user, tenant):
    tenant.faults.map("mailFolders/inbox$", "t")
    answers, _ = batch(
        wire,
        get(1, f"/users/{user}/mailFolders/inbox"),
        get(2, f"/users/{user}/mailFolders/drafts"),
    )
    assert answers["1"]["status"] == 429
    assert answers["1"]["headers"]["Retry-After"] == "1"
    assert answers["2"]["status"] == 200


def test_a_batch_runs_at_most_four_at_a_time_against_a_mailbox(wire, user, tenant):
    tenant.latency_s = 0.02
    answers, _ = batch(wire, *(get(n, f"/users/{user}/mailFolders/inbox") for n in range(12)))
    assert {answer["status"] for answer in answers.values()} == {200}
    assert tenant.counters.highest_concurrency == {user: 4}


def test_binary_answers_come_as_base64(wire, user, tenant):
    made = wire.post(f"/users/{user}/messages", {"subject": "s"})
    url = f"/users/{user}/messages/{made['id']}/$value"
    answers, _ = batch(wire, get(1, url))
    assert base64.b64decode(answers["1"]["body"]) == wire.send("GET", url).data


def test_headers_belong_to_each_request(wire, user):
    made = wire.post(f"/users/{user}/messages", {"subject": "s"})
    url = f"/users/{user}/messages?$select=id"
    headers = {"Prefer": 'IdType="ImmutableId"'}
    answers, _ = batch(wire, get(1, url, headers=headers), get(2, url))
    assert answers["1"]["body"]["value"][0]["id"] == made["id"]
    assert answers["2"]["body"]["value"][0]["id"] != made["id"]


def test_links_in_answers_are_ordinary_urls(wire):
    answers, _ = batch(wire, get(1, "/users/delta"))
    link = answers["1"]["body"]["@odata.deltaLink"]
    assert link.startswith(f"{wire.running.url}/v1.0/users/delta?$deltatoken=")
    wire.get(link)


def test_every_request_is_counted(wire, tenant):
    batch(wire, get(1, "/users"), get(2, "/users"))
    assert tenant.counters.requests["POST /$batch"] == 1
    assert tenant.counters.requests["GET /users"] == 2
