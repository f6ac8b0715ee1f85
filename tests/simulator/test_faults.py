"""Limits and faults: what a client must live with, and what is held against it."""

import threading
import time
from email.utils import parsedate_to_datetime

import pytest
import urllib3

from simulator import Tenant, hostile, serve
from simulator.faults import FOREIGN_HOST, HOSTILE, Faults
from tests.simulator.wire import Wire, settled


@pytest.fixture
def tenant():
    return Tenant(5)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


def at_once(wire, urls):
    """Statuses of requests sent at the same time, by their place."""
    statuses = {}

    def send(index, url):
        statuses[index] = wire.send("GET", url).status

    threads = [threading.Thread(target=send, args=pair) for pair in enumerate(urls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [statuses[index] for index in range(len(urls))]


def test_a_mailbox_takes_four_requests_at_a_time_of_one_app(wire, user, tenant):
    tenant.latency_s = 0.3
    statuses = at_once(wire, [f"/users/{user}/mailFolders/inbox"] * 6)
    assert sorted(statuses) == [200] * 4 + [429] * 2
    assert tenant.counters.highest_concurrency == {user: 4}
    assert tenant.counters.throttled["mailbox-concurrency"] == 2
    tenant.latency_s = 0.0
    assert wire.send("GET", f"/users/{user}/mailFolders/inbox").status == 200


def test_each_mailbox_has_places_of_its_own(wire, user, tenant):
    other = tenant.add_user("Other Person").id
    tenant.latency_s = 0.2
    urls = [f"/users/{one}/mailFolders/inbox" for one in (user, other)] * 4
    assert at_once(wire, urls) == [200] * 8


def test_the_refusal_names_the_limit_and_how_long_to_wait(wire, user, tenant):
    tenant.limits.outlook_concurrent = 0
    answer = wire.send("GET", f"/users/{user}/mailFolders")
    assert answer.json()["error"]["code"] == "ApplicationThrottled"
    assert "MailboxConcurrency" in answer.json()["error"]["message"]
    assert answer.headers["Retry-After"] == "1"


def test_a_mailbox_takes_so_many_requests_in_ten_minutes(wire, user, tenant):
    tenant.limits.outlook_requests = 3
    url = f"/users/{user}/mailFolders"
    assert [wire.send("GET", url).status for _ in range(4)] == [200, 200, 200, 429]
    assert int(wire.send("GET", url + "?$top=5").headers["Retry-After"]) > 500
    tenant.clock.advance(601)
    assert wire.send("GET", url).status == 200


def test_uploads_to_a_mailbox_are_limited_by_bytes(wire, user, tenant):
    tenant.limits.outlook_upload_bytes = 500
    url = f"/users/{user}/messages"
    assert wire.send("POST", url, {"subject": "x" * 100}).status == 201
    assert wire.send("POST", url, {"subject": "x" * 450}).status == 429


def test_sharepoint_counts_units_and_warns_when_most_are_used(wire, tenant):
    tenant.limits.sharepoint_ru_per_minute = 10
    answers = [wire.send("GET", f"/sites/getAllSites?$top={n + 1}") for n in range(6)]
    assert [a.status for a in answers] == [200] * 5 + [429]
    assert "RateLimit-Remaining" not in answers[2].headers
    assert answers[3].headers["RateLimit-Remaining"] == "2"
    last = answers[5]
    assert last.json()["error"]["innerError"]["code"] == "throttledRequest"
    assert 0 < int(last.headers["Retry-After"]) <= 60
    assert last.headers["RateLimit-Limit"] == "10"
    tenant.clock.advance(61)
    assert wire.send("GET", "/sites/getAllSites").status == 200


def test_the_days_limit_has_no_rate_headers(wire, tenant):
    tenant.limits.sharepoint_ru_per_day = 2
    wire.get("/sites/getAllSites")
    answer = wire.send("GET", "/sites/getAllSites?$top=1")
    assert answer.status == 429
    assert "RateLimit-Limit" not in answer.headers
    assert int(answer.headers["Retry-After"]) > 80_000


def test_coming_back_before_the_wait_is_over_is_an_offence(wire, tenant):
    tenant.faults.map("GET /users$", "t.t.")
    assert wire.send("GET", "/users").status == 429
    assert wire.send("GET", "/users").status == 200
    assert tenant.counters.offences == {"retry-after-ignored": 1}
    assert wire.send("GET", "/users").status == 429
    tenant.clock.advance(1)
    assert wire.send("GET", "/users").status == 200
    assert tenant.counters.offences.total() == 1


def test_sharepoint_wants_all_requests_of_the_app_to_pause(wire, tenant):
    tenant.limits.retry_after_s = 30
    tenant.faults.map("getAllSites", "t.")
    assert wire.send("GET", "/sites/getAllSites").status == 429
    wire.send("GET", "/sites/root")
    assert tenant.counters.offences.total() == 0
    tenant.clock.advance(10)
    wire.send("GET", "/sites/root")
    assert tenant.counters.offences == {"sharepoint-pause-ignored": 1}
    tenant.clock.advance(25)
    wire.send("GET", "/sites/root")
    assert tenant.counters.offences.total() == 1


@pytest.mark.parametrize(
    ("letter", "status"),
    [("t", 429), ("T", 429), ("n", 429), ("u", 503), ("U", 503), ("g", 504), ("e", 500),
     ("w", 502), ("b", 509), ("q", 507), ("c", 401), ("a", 401), ("p", 403), ("m", 404)],
)  # fmt: skip
def test_a_letter_refuses_without_doing(wire, user, tenant, letter, status):
    tenant.faults.map("POST .*messages$", f".{letter}.")
    url = f"/users/{user}/messages"
    statuses = [wire.send("POST", url, {"subject": "s"}).status for _ in range(3)]
    assert statuses == [201, status, 201]
    assert len(tenant.mailboxes[user].messages) == 2
    assert tenant.counters.faults == {letter: 1}


def test_a_wait_comes_in_seconds_as_a_date_or_not_at_all(wire, tenant):
    tenant.limits.retry_after_s = 7
    tenant.faults.map("GET /users$", "tTnuU")
    waits = [wire.send("GET", "/users").headers.get("Retry-After") for _ in range(5)]
    assert (waits[0], waits[2], waits[3], waits[4]) == ("7", None, "7", None)
    until = parsedate_to_datetime(waits[1])
    assert 5 <= (until - tenant.clock.now()).total_seconds() <= 7


def test_a_gateway_timeout_may_hide_that_it_was_done(wire, user, tenant):
    tenant.faults.map("POST .*messages$", "d")
    assert wire.send("POST", f"/users/{user}/messages", {"subject": "s"}).status == 504
    assert len(tenant.mailboxes[user].messages) == 1


@pytest.mark.parametrize("letter", ["x", "X"])
def test_a_connection_can_be_cut(wire, tenant, letter):
    tenant.faults.map("GET /users$", letter)
    with pytest.raises(urllib3.exceptions.HTTPError):
        wire.send("GET", "/users")
    assert wire.send("GET", "/users").status == 200


def test_json_can_be_cut_short_in_a_whole_answer(wire, tenant):
    tenant.faults.map("GET /users$", "h")
    answer = wire.send("GET", "/users")
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
        answer.json()


def test_links_can_lead_to_a_foreign_host(wire, tenant):
    tenant.faults.map("users/delta", "f")
    assert wire.get("/users/delta")["@odata.deltaLink"].startswith(f"{FOREIGN_HOST}/v1.0/users/")


def test_a_slow_answer_is_still_the_answer(wire, tenant):
    tenant.faults.slow_s = 0.2
    tenant.faults.map("GET /users$", "s")
    before = time.monotonic()
    wire.get("/users")
    assert time.monotonic() - before >= 0.2


def test_bad_gateways_answer_with_html(wire, tenant):
    tenant.faults.map("GET /users$", "w")
    answer = wire.send("GET", "/users")
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.data.startswith(b"<html>")


def test_rules_count_their_own_requests_and_can_loop():
    faults = Faults(1)
    faults.map("messages", "t.", loop=True)
    faults.map("users", "e")
    letters = [faults.letter("GET /users/x/messages", "a") for _ in range(4)]
    assert letters == ["t", ".", "t", "."]
    assert [faults.letter("GET /users", "b") for _ in range(2)] == ["e", "."]
    with pytest.raises(ValueError, match="unknown fault letters"):
        faults.map("x", "?")


def test_chance_depends_on_the_request_not_on_the_order():
    def letters(targets):
        faults = Faults(9)
        faults.chances = {"t": 0.5}
        return {target: faults.letter("GET /x", target) for target in targets}

    targets = [f"GET /x?{n}" for n in range(40)]
    assert letters(targets) == letters(targets[::-1])
    assert set(letters(targets).values()) == {"t", "."}


def test_nothing_is_refused_by_chance_more_than_twice_in_a_row():
    faults = Faults(9)
    faults.chances = {"e": 1.0}
    assert "".join(faults.letter("GET /x", "same") for _ in range(6)) == "ee.ee."


def test_a_hostile_tenant_can_be_read_whole_by_a_patient_reader(wire, user, tenant):
    box = tenant.mailboxes[user]
    for number in range(200):
        wire.post(f"/users/{user}/mailFolders/inbox/messages", {"subject": str(number)})
    tenant.quirks = hostile()
    tenant.faults.chances = {letter: chance * 8 for letter, chance in HOSTILE.items()}
    url, pages = f"/users/{user}/mailFolders/inbox/messages/delta?$select=subject", []
    for _ in range(2_000):
        try:
            answer = wire.send("GET", url)
            body = answer.json() if answer.status == 200 else None
        except (urllib3.exceptions.HTTPError, ValueError):
            body = None
        if body is None:
            tenant.clock.advance(tenant.limits.retry_after_s)
            wire.login()
            continue
        pages.append(body["value"])
        if "@odata.deltaLink" in body:
            break
        url = body["@odata.nextLink"]
    assert {m["subject"] for m in settled(pages).values()} == {str(n) for n in range(200)}
    assert len(box.messages) == 200
    assert tenant.counters.faults.total() > 0
    assert tenant.counters.offences.total() == 0


def test_faults_are_set_and_reset_by_the_control_api(wire, tenant):
    wire.control("POST", "/faults", {"rules": [{"pattern": "GET /users$", "letters": "e."}]})
    assert wire.send("GET", "/users").status == 500
    wire.control("POST", "/faults", {"chances": "hostile"})
    assert tenant.faults.chances == HOSTILE
    wire.control("POST", "/faults/reset")
    assert wire.control("GET", "/faults")["rules"] == []
    assert tenant.faults.chances == {}
