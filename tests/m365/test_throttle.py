"""Nothing is sent before its time, nor more at once than is allowed; and nobody sleeps long."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

import simulator
from base.errors import Throttled
from m365.graph.auth import ClientSecret
from m365.graph.client import BatchRequest, GraphReader, Place
from m365.graph.errors import TransientFailure
from m365.graph.throttle import Limiter, Limits, Scope, Window
from simulator.contoso import build
from simulator.faults import Rule
from tests.m365.stage import TenantClock
from tests.m365.wire_fake import Hostile, JumpingClock, Reply, fails, says

ANNA, BEN = Scope.mailbox("anna"), Scope.mailbox("ben")
DRIVES = Scope.sharepoint()
OK = says({"ok": True})


def enter(limiter: Limiter, scope: Scope, cost: int = 1, writing: bool = False) -> None:
    limiter.enter("contoso", scope, cost, writing=writing).leave()


def test_a_short_pause_is_slept_and_then_the_request_goes_out() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/me", fails(429, "TooManyRequests", Retry_After="3"), OK)
        reader = fake.reader()
        assert reader.get("/me", scope=ANNA) == {"ok": True}
        assert fake.clock.slept == [3.0]
        assert reader.counters.throttled == 1


def test_a_long_pause_is_handed_up_and_nothing_more_is_sent_until_it_ends() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/me", fails(429, Retry_After="120"), OK)
        fake.on("/v1.0/other", OK)
        reader = fake.reader()
        with pytest.raises(Throttled) as refused:
            reader.get("/me", scope=ANNA)
        assert refused.value.retry_after_s == 120
        with pytest.raises(Throttled) as still:
            reader.get("/other", scope=ANNA)
        assert 0 < still.value.retry_after_s <= 120
        assert (len(fake.heard), fake.clock.slept) == (1, [])
        fake.clock.sleep(120)
        assert reader.get("/other", scope=ANNA) == {"ok": True}


def test_a_pause_of_one_mailbox_is_none_of_another() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", fails(503, Retry_After="60"))
        fake.on("/v1.0/b", OK)
        reader = fake.reader()
        with pytest.raises(Throttled):
            reader.get("/a", scope=ANNA)
        assert reader.get("/b", scope=BEN) == {"ok": True}


def test_a_pause_of_sharepoint_is_shared_by_all_drives_of_the_tenant() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/drives/a", fails(429, Retry_After="60"))
        with pytest.raises(Throttled):
            fake.reader().get("/drives/a", scope=DRIVES)
        with pytest.raises(Throttled):
            fake.reader().get("/drives/b", scope=DRIVES)
        assert len(fake.heard) == 1


def test_a_pause_of_one_tenant_is_none_of_another() -> None:
    limiter = Limiter(JumpingClock())
    limiter.refused("contoso", DRIVES, 60)
    limiter.enter("fabrikam", DRIVES).leave()
    with pytest.raises(Throttled):
        limiter.enter("contoso", DRIVES)


def test_retry_after_may_be_a_date_by_the_clock_of_the_service() -> None:
    with Hostile() as fake:  # whose Date header and ours are far apart
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        fake.on("/v1.0/me", fails(429, Retry_After=later))
        with pytest.raises(Throttled) as refused:
            fake.reader().get("/me", scope=ANNA)
        assert 88 <= refused.value.retry_after_s <= 91


def test_the_greater_of_retry_after_and_ratelimit_reset_is_waited_for() -> None:
    with Hostile() as fake:
        refusal = fails(429, Retry_After="2", RateLimit_Remaining="0", RateLimit_Reset="31")
        fake.on("/v1.0/drives/a", refusal)
        with pytest.raises(Throttled) as refused:
            fake.reader().get("/drives/a", scope=DRIVES)
        assert refused.value.retry_after_s == 31


def test_when_little_is_left_of_the_minute_the_next_request_waits_for_its_end() -> None:
    with Hostile() as fake:
        told = {"RateLimit_Limit": "1250", "RateLimit_Remaining": "0", "RateLimit_Reset": "40"}
        fake.on("/v1.0/drives/a", says({}, **told))
        reader = fake.reader()
        reader.get("/drives/a", scope=DRIVES)
        with pytest.raises(Throttled):
            reader.get("/drives/a", scope=DRIVES)
        assert len(fake.heard) == 1


def test_what_other_workers_used_counts_against_the_minute() -> None:
    limiter = Limiter(JumpingClock())
    limiter.told_remaining("contoso", DRIVES, remaining=3, reset_s=30)
    enter(limiter, DRIVES, 3)
    with pytest.raises(Throttled):
        enter(limiter, DRIVES, 1)


def test_without_a_time_to_wait_the_back_off_doubles_with_jitter_up_to_five_minutes() -> None:
    limiter = Limiter(JumpingClock())
    waits = [limiter.refused("contoso", ANNA, None) for _ in range(12)]
    for step, wait_s in enumerate(waits):
        base_s = min(300, 2**step)
        assert base_s * 0.75 <= wait_s <= base_s * 1.25
    limiter.accepted("contoso", ANNA)
    assert limiter.refused("contoso", ANNA, None) <= 1.25


def test_many_short_refusals_of_one_request_end_in_a_pause_for_the_caller() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/me", fails(429, Retry_After="1"))
        with pytest.raises(Throttled):
            fake.reader().get("/me", scope=ANNA)
        assert len(fake.heard) == 5
        assert sum(fake.clock.slept) == 4


def test_a_wait_of_no_time_is_not_taken_for_leave_to_hurry() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/me", fails(429, Retry_After="0"), OK)
        fake.reader().get("/me", scope=ANNA)
        assert 0.75 <= sum(fake.clock.slept) <= 1.25


def test_an_item_that_is_never_available_becomes_a_failure_and_not_an_endless_pause() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/me", fails(503, "serviceNotAvailable"))
        with pytest.raises(TransientFailure):
            fake.reader().get("/me", scope=ANNA)
        assert sum(fake.clock.slept) < 15


def test_a_bandwidth_cap_is_a_long_pause() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/drives/a", fails(509))
        with pytest.raises(Throttled) as refused:
            fake.reader().get("/drives/a", scope=DRIVES)
        assert refused.value.retry_after_s == 300


def test_three_readers_and_one_writer_are_in_flight_in_one_mailbox_and_no_more() -> None:
    gate = threading.Event()
    with Hostile() as fake:
        fake.on("/v1.0/me", Reply(body=b"{}", until=gate))
        reader, writer = fake.reader(), fake.writer()
        calls = [lambda: reader.get("/me", scope=ANNA)] * 6
        calls += [lambda: writer.post("/me", {}, scope=ANNA)] * 3
        threads = [threading.Thread(target=call) for call in calls]
        for thread in threads:
            thread.start()
        while len(fake.heard) < 4:
            gate.wait(0.005)
        gate.wait(0.05)  # room for a fifth that must not come
        assert (len(fake.heard), fake.limiter.in_flight("contoso", ANNA)) == (4, 4)
        gate.set()
        for thread in threads:
            thread.join(10)
        assert (len(fake.heard), fake.in_flight_max) == (9, 4)


def test_a_batch_takes_all_slots_of_a_mailbox_because_outlook_runs_four_of_it_at_once() -> None:
    limiter = Limiter(JumpingClock())
    batch = limiter.enter("contoso", ANNA, 20, alone=True)
    came = threading.Event()

    def late() -> None:
        limiter.enter("contoso", ANNA).leave()
        came.set()

    thread = threading.Thread(target=late)
    thread.start()
    assert not came.wait(0.03)
    batch.leave()
    assert came.wait(5)
    thread.join()
    limiter.enter("contoso", DRIVES, alone=True)
    limiter.enter("contoso", DRIVES).leave()  # SharePoint counts units, not slots


def test_the_units_of_a_minute_are_spent_and_come_back_when_it_is_over() -> None:
    clock = JumpingClock()
    limiter = Limiter(clock, Limits(sharepoint_units_per_min=10))
    for _ in range(5):
        enter(limiter, DRIVES, 2)
    with pytest.raises(Throttled) as refused:
        enter(limiter, DRIVES, 1)
    assert 59 <= refused.value.retry_after_s <= 61
    clock.sleep(refused.value.retry_after_s)
    enter(limiter, DRIVES, 10)


def test_the_units_of_a_day_are_a_budget_of_their_own() -> None:
    clock = JumpingClock()
    limiter = Limiter(clock, Limits(sharepoint_units_per_min=100, sharepoint_units_per_day=150))
    enter(limiter, DRIVES, 100)
    clock.sleep(120)
    enter(limiter, DRIVES, 50)
    with pytest.raises(Throttled) as refused:
        enter(limiter, DRIVES, 1)
    assert refused.value.retry_after_s > 80_000


@pytest.mark.parametrize(
    ("licences", "per_min"), [(1, 1250), (1000, 1250), (1001, 2500), (20_000, 5000), (90_000, 6250)]
)
def test_the_units_grow_with_the_licences_of_the_tenant(licences: int, per_min: int) -> None:
    limits = Limits.for_licences(licences)
    assert limits.sharepoint_units_per_min == per_min
    assert limits.sharepoint_units_per_day == per_min * 960


def test_a_mailbox_has_its_requests_and_uploaded_bytes_counted() -> None:
    limiter = Limiter(JumpingClock(), Limits(mailbox_requests_per_10_min=5))
    for _ in range(5):
        enter(limiter, ANNA)
    with pytest.raises(Throttled):
        enter(limiter, ANNA)
    enter(limiter, BEN)
    big = 150 * 1024 * 1024
    limiter.enter("contoso", BEN, writing=True, upload_bytes=big).leave()
    with pytest.raises(Throttled):
        limiter.enter("contoso", BEN, writing=True, upload_bytes=1)


def test_within_any_window_no_more_than_the_limit_is_spent() -> None:
    window, now, spent = Window(100, 60), 0.0, []
    for cost in [7, 13, 1, 29, 5] * 40:
        wait_s = window.wait_s(now, cost)
        now += wait_s + 0.37
        assert window.wait_s(now, cost) == 0
        window.spend(now, cost)
        spent.append((now, cost))
    for start, _ in spent:
        assert sum(cost for at, cost in spent if start <= at < start + 60) <= 100


def test_mailboxes_where_nothing_happens_are_forgotten() -> None:
    clock = JumpingClock()
    limiter = Limiter(clock)
    for number in range(1999):
        enter(limiter, Scope.mailbox(f"m{number}"))
    limiter.refused("contoso", ANNA, 5000)
    clock.sleep(700)
    enter(limiter, BEN)
    assert len(limiter._lanes) == 2
    with pytest.raises(Throttled):
        enter(limiter, ANNA)


# --- Against the simulated tenant, which notes who comes back too early ---


def of_tenant(running: simulator.Running, limits: Limits) -> GraphReader:
    app = running.tenant.backup_app
    credential = ClientSecret(running.tenant.id, app.app_id, next(iter(app.secrets)))
    place = Place(running.url, running.url, running.ca)
    clock = TenantClock(running.tenant)
    return GraphReader(place, credential, Limiter(clock, limits), clock)


@pytest.mark.parametrize("own_limit", [20, 1_250], ids=["counting", "told"])
def test_sharepoint_is_never_asked_for_more_than_its_minute_gives(own_limit: int) -> None:
    tenant = build("tiny", 3)
    tenant.limits.sharepoint_ru_per_minute = 20
    with simulator.serve(tenant) as running:
        reader = of_tenant(running, Limits(sharepoint_units_per_min=own_limit))
        got = read_patiently(reader, f"/drives/{min(tenant.drives)}/root", 70)
    assert got == 70
    assert (tenant.counters.throttled.total(), reader.counters.throttled) == (0, 0)


def test_whatever_goes_wrong_no_request_comes_before_its_pause_is_over() -> None:
    tenant = build("tiny", 3)
    tenant.quirks.http_date_retry_after = True
    tenant.limits.retry_after_s = 7  # longer than we sleep
    tenant.faults.rules.append(Rule("drives", "t.T.n.u.U.g.e.w.b.c.X.x.h.", loop=True))
    with simulator.serve(tenant) as running:
        reader = of_tenant(running, Limits())
        got = read_patiently(reader, f"/drives/{min(tenant.drives)}/root", 40)
    assert got == 40
    assert set("tTnuUgewbcXxh") <= set("".join(tenant.counters.faults))
    assert reader.counters.throttled > 10
    assert not tenant.counters.offences


def read_patiently(reader: GraphReader, path: str, times: int) -> int:
    """Reads a path again and again, waiting as long as is asked; how often it worked."""
    got = 0
    while got < times:
        try:
            reader.get(path, scope=DRIVES)
            got += 1
        except Throttled as asked:
            reader._exchange.clock.sleep(asked.retry_after_s)
    return got


def test_outlook_never_sees_more_than_four_requests_of_a_mailbox_at_once() -> None:
    tenant = build("tiny", 3)
    user = min(tenant.mailboxes)
    scope = Scope.mailbox(user)
    with simulator.serve(tenant) as running:
        reader = of_tenant(running, Limits())

        def work() -> None:
            for _ in range(5):
                reader.get(f"/users/{user}/mailFolders", scope=scope)
                folders = ("inbox", "drafts", "sentitems", "deleteditems", "junkemail")
                paths = [f"/users/{user}/mailFolders/{name}" for name in folders]
                for answer in reader.batch([BatchRequest(path) for path in paths], scope):
                    answer.json()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert reader.counters.requests == 6 * 5 * 2
    assert tenant.counters.highest_concurrency[user] <= 4
    assert not tenant.counters.throttled
