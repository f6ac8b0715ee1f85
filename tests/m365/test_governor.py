"""Several workers, one tenant: they stay below every limit together, tell one another of pauses,
let restores go first, and go on carefully when the record fails.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

import simulator
from base.errors import Problem, Throttled
from m365.graph.auth import ClientSecret
from m365.graph.client import BatchRequest, GraphReader, GraphWriter, Place
from m365.graph.limits import SLOTS
from m365.graph.record import MemoryRecord
from m365.graph.shares import Shared
from m365.graph.throttle import Limiter, Limits, Permit, Purpose, Scope
from simulator.contoso import build
from simulator.faults import Rule
from tests.m365.stage import TenantClock
from tests.m365.wire_fake import Hostile, JumpingClock, fails, says

ANNA, DRIVES = Scope.mailbox("anna"), Scope.sharepoint()
TENANT = "contoso"
NO_SLEEP = Limits(wait_max_s=0.0)


class CountingRecord(MemoryRecord):
    """Counts operations; fails, or lets another writer in between, when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.down = False

    def read(self, tenant: str, name: str) -> tuple[Mapping[str, Any], str]:
        self._count(f"read {name}")
        return super().read(tenant, name)

    def write(self, tenant: str, name: str, content: Mapping[str, Any], etag: str) -> bool:
        self._count(f"write {name}")
        return super().write(tenant, name, content, etag)

    def remove(self, tenant: str, name: str, etag: str) -> bool:
        self._count(f"remove {name}")
        return super().remove(tenant, name, etag)

    def shared(self, name: str) -> Shared:
        return Shared.from_json(MemoryRecord.read(self, TENANT, name)[0])

    def _count(self, operation: str) -> None:
        if self.down:
            raise Problem("The records do not answer.")
        self.operations[operation] += 1


class Workers:
    """Some Limiters that share a record and a clock, as processes would."""

    def __init__(self, count: int = 2, limits: Limits = NO_SLEEP) -> None:
        self.clock = JumpingClock()
        self.record = CountingRecord()
        self.all = [Limiter(self.clock, limits, self.record) for _ in range(count)]

    def __getitem__(self, number: int) -> Limiter:
        return self.all[number]

    def send(
        self, number: int, scope: Scope = ANNA, times: int = 1, lasts_s: float = 0.1, **named: Any
    ) -> int:
        """So many requests one after another; how many were let go before a pause."""
        for done in range(times):
            try:
                self.all[number].enter(TENANT, scope, **named).leave()
            except Throttled:
                return done
            self.clock.sleep(lasts_s)
        return times

    def hold(self, number: int, scope: Scope = ANNA, **named: Any) -> list[Permit]:
        """As many requests at the same time as there is room for."""
        held: list[Permit] = []
        while True:
            try:
                held.append(self.all[number].enter(TENANT, scope, make_room=no_more, **named))
            except Throttled:
                return held


def no_more() -> bool:
    raise Throttled("All slots are taken.", 0.1)


# --- A mailbox ---


def test_the_first_few_requests_of_a_backup_go_one_at_a_time_and_touch_no_record() -> None:
    workers = Workers()
    held = workers.hold(0)
    assert len(held) == 1
    held[0].leave()
    assert workers.send(0, times=19) == 19
    assert not [one for one in workers.record.operations if "mailbox:" in one]
    assert workers.send(0) == 1
    assert workers.record.operations["write mailbox:anna"] == 1
    assert len(workers.hold(0)) == 3


def test_of_all_workers_no_more_than_four_are_in_a_mailbox() -> None:
    workers = Workers(3)
    workers.send(0, times=21)
    flying = [workers.hold(number, purpose=Purpose.RESTORE) for number in (1, 2)]
    flying.append(workers.hold(0))
    assert list(map(len, flying)) == [1, 0, 3]


def test_a_restore_that_was_there_first_leaves_room_for_one_visitor() -> None:
    workers = Workers()
    restore = workers.hold(0, purpose=Purpose.RESTORE)
    assert len(restore) + len(workers.hold(1)) <= 4


def test_a_step_that_is_over_hands_the_mailbox_on_with_what_was_used() -> None:
    workers = Workers()
    assert workers.send(0, times=6_000, lasts_s=0.02) == 6_000
    workers[0].finished(TENANT, ANNA)
    assert workers.record.shared("mailbox:anna").claims == {}
    sent = workers.send(1, times=6_000, lasts_s=0.02)
    assert 3_700 <= sent <= 4_000  # with the 6,000 before less than 10,000 in ten minutes


def test_a_mailbox_that_was_hardly_used_leaves_no_record() -> None:
    workers = Workers()
    workers.send(0, times=100)
    workers[0].finished(TENANT, ANNA)
    assert workers.record.read(TENANT, "mailbox:anna") == ({}, "")


def test_a_dead_worker_keeps_a_mailbox_no_longer_than_its_claim() -> None:
    workers = Workers()
    workers.send(0, times=30)
    workers.hold(0)
    workers.clock.sleep(200)
    assert workers.send(1, times=30) == 30
    assert len(workers.hold(1)) == 3


def test_a_worker_of_a_known_name_goes_on_with_its_claims_after_a_crash() -> None:
    workers = Workers()
    first = Limiter(workers.clock, NO_SLEEP, workers.record, worker="only")
    workers.all = [first, Limiter(workers.clock, NO_SLEEP, workers.record, worker="only")]
    assert workers.send(0, DRIVES, times=300) == 300
    workers.send(0, times=30)
    assert workers.send(1, DRIVES, times=300) == 300
    workers.send(1, times=30)
    assert len(workers.hold(1)) == 3


def test_where_others_are_at_work_a_batch_goes_one_by_one() -> None:
    workers = Workers()
    assert workers[0].one_by_one(TENANT, ANNA, 4)
    assert not workers[0].one_by_one(TENANT, ANNA, 5)
    workers[0].enter(TENANT, ANNA, 20, alone=True).leave()
    assert workers.record.shared("mailbox:anna").claims.popitem()[1].shares[SLOTS] == 4
    assert not workers[0].one_by_one(TENANT, ANNA, 20)
    workers.hold(1, purpose=Purpose.RESTORE)
    workers.clock.sleep(61)
    workers.send(0)
    assert workers[0].one_by_one(TENANT, ANNA, 20)


def test_one_by_one_a_batch_answers_as_a_batch() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", says({"id": "a"}))
        fake.on("/v1.0/b", fails(404, "ErrorItemNotFound"))
        limiter = Limiter(fake.clock, record=MemoryRecord())
        reader = GraphReader(fake.place, fake.tokens, limiter, fake.clock)
        first, second = reader.batch([BatchRequest("/a"), BatchRequest("/b")], ANNA)
        assert first.json() == {"id": "a"}
        assert (second.status, second.problem().code) == (404, "item-gone")
        assert [heard.path for heard in fake.heard] == ["/v1.0/a", "/v1.0/b"]


# --- SharePoint and the directory ---


def test_all_workers_together_stay_below_the_units_of_a_minute() -> None:
    workers = Workers(3)
    sent: list[float] = []
    for _ in range(4_000):
        for number in range(3):
            if workers.send(number, DRIVES):
                sent.append(workers.clock.monotonic())
        workers.clock.sleep(0.02)
    for start in sent[::50]:
        assert sum(1 for at in sent if start <= at < start + 60) <= 1_250
    minutes = (workers.clock.monotonic() - 1_000) / 60
    assert len(sent) >= 0.9 * min(1_250 * minutes, 12_000)


def test_a_pause_that_one_worker_is_told_is_kept_by_all() -> None:
    workers = Workers()
    workers.send(0, DRIVES)
    workers.send(1, DRIVES)
    workers[0].refused(TENANT, DRIVES, 300, "answered-429")
    workers.clock.sleep(30)
    assert workers.send(1, DRIVES) == 0
    fresh = Limiter(workers.clock, NO_SLEEP, workers.record)
    with pytest.raises(Throttled) as paused:
        fresh.enter(TENANT, DRIVES)
    assert 265 < paused.value.retry_after_s <= 270
    workers.clock.sleep(271)
    assert workers.send(1, DRIVES) == 1


def test_a_pause_of_a_mailbox_is_known_to_the_worker_that_comes_next() -> None:
    workers = Workers()
    workers.send(0)
    workers[0].refused(TENANT, ANNA, 120)
    assert workers.send(1) == 0
    assert workers.send(1, Scope.mailbox("ben")) == 1


# --- Teams ---


def test_all_workers_together_ask_a_team_four_times_a_second_and_all_teams_as_the_tenant() -> None:
    workers = Workers(2)
    teams = [Scope.team(f"team {number}") for number in range(12)]
    sent: list[tuple[float, Scope]] = []
    for _ in range(1_600):
        for number in range(2):
            sent += [(workers.clock.monotonic(), t) for t in teams if workers.send(number, t, 1, 0)]
        workers.clock.sleep(0.05)
    for start, team in sent[::40]:
        within = [one for at, one in sent if start <= at < start + 1]
        assert within.count(team) <= 4
        assert sum(1 for at, _ in sent if start <= at < start + 1) <= 20
    assert len(sent) >= 9 * 80  # of twenty: who came second to a team waits for his part of it


def test_a_worker_who_comes_back_to_a_team_after_a_while_does_not_starve() -> None:
    workers, team = Workers(1, Limits()), Scope.team("Harbour")
    for _ in range(20):
        began = workers.clock.monotonic()
        assert workers.send(0, team, times=8, lasts_s=0.0) == 8
        assert workers.clock.monotonic() - began < 3
        workers.clock.sleep(31)


def test_a_pause_of_a_team_is_known_to_the_worker_that_comes_next() -> None:
    workers = Workers()
    team = Scope.team("Harbour")
    workers.send(0, team)
    workers[0].refused(TENANT, team, 120)
    workers[0].finished(TENANT, team)
    assert workers.send(1, team) == 0
    assert workers.send(1, Scope.team("Crane")) == 1
    assert workers.send(1) == 1


def test_a_restore_takes_over_within_a_look_of_the_backups() -> None:
    workers = Workers(3)
    for number in (0, 1):
        workers.send(number, DRIVES, times=100, purpose=Purpose.FIRST)
    assert workers.send(2, DRIVES, purpose=Purpose.RESTORE) == 1
    workers.clock.sleep(30)
    for _ in range(3):
        for number in (0, 1):
            workers.send(number, DRIVES, purpose=Purpose.FIRST)
        workers.clock.sleep(4)
    workers.send(2, DRIVES, times=3, purpose=Purpose.RESTORE)
    workers.clock.sleep(61)
    assert workers.send(2, DRIVES, times=600, purpose=Purpose.RESTORE) == 600
    for number in (0, 1):
        assert workers.send(number, DRIVES, times=400, purpose=Purpose.FIRST) < 200


def test_what_the_directory_says_is_used_slows_us_down() -> None:
    workers = Workers()
    directory = Scope.directory()
    workers.send(0, directory)
    workers[0].told_used(TENANT, directory, 1.2)
    assert workers.send(0, directory) == 0
    workers.clock.sleep(11)
    assert workers.send(0, directory) == 1


def test_licences_are_told_to_all_workers() -> None:
    workers = Workers(limits=Limits())  # which sleeps a little where it pays
    workers.send(1, DRIVES)
    workers[0].learn_licences(TENANT, 4_000)
    workers.send(0, DRIVES)
    workers.clock.sleep(31)
    workers.send(1, DRIVES)
    workers.clock.sleep(61)
    assert workers.send(1, DRIVES, times=400, lasts_s=0.15, cost=5) == 400  # in one minute


# --- The record ---


def test_busy_workers_ask_the_record_less_than_once_in_a_hundred_requests() -> None:
    workers = Workers()
    requests = 2 * 3_000
    for _ in range(requests // 2):  # two workers at the speed their mailboxes allow, three minutes
        workers.send(0, lasts_s=0.03)
        workers.send(1, Scope.mailbox("ben"), lasts_s=0.03)
    assert workers.record.operations.total() * 100 <= requests


def test_without_a_record_work_goes_on_with_an_eighth_and_with_all_when_it_is_back() -> None:
    workers = Workers()
    workers.record.down = True
    sent = workers.send(0, DRIVES, times=2_000, cost=5)
    assert 100 < sent * 5 <= 1_250 / 8
    workers.record.down = False
    workers.clock.sleep(61)
    workers.send(0, DRIVES, times=100, cost=5)
    workers.clock.sleep(6)
    assert workers.send(0, DRIVES, times=100, cost=5) == 100


def test_a_claim_outlives_a_record_that_is_away_for_a_moment() -> None:
    workers = Workers()
    workers.send(0, DRIVES, times=60)
    workers.record.down = True
    assert workers.send(0, DRIVES, times=200) == 200


def test_a_record_of_another_version_is_made_anew() -> None:
    workers = Workers()
    workers.record.write(TENANT, "sharepoint", {"claims": [1, 2]}, "")
    assert workers.send(0, DRIVES) == 1


# --- Against the simulated tenant ---


@pytest.mark.parametrize("letters", ["t", "u"], ids=["429", "503"])
def test_ten_minutes_of_refusals_end_in_pauses_and_not_in_hammering(letters: str) -> None:
    tenant = build("tiny", 3)
    tenant.limits.retry_after_s = 60
    tenant.faults.rules.append(Rule("messages", letters, loop=True))
    user = min(tenant.mailboxes)
    path = f"/users/{user}/messages"
    with simulator.serve(tenant) as running:
        clock = TenantClock(tenant)
        record = MemoryRecord()
        readers = [reader_of(running, Limiter(clock, record=record), clock) for _ in range(3)]
        waits = []
        for turn in range(30):  # three workers try again and again for ten minutes
            with pytest.raises(Throttled) as asked:
                readers[turn % 3].get(path, scope=Scope.mailbox(user))
            waits.append(asked.value.retry_after_s)
            clock.sleep(20)
        tenant.faults.calm()
        clock.sleep(61)
        assert readers[0].get(path, scope=Scope.mailbox(user))["value"] is not None
    asked_for = sum(n for name, n in tenant.counters.requests.items() if "messages" in name)
    assert asked_for <= 12  # once a minute, and the one that worked
    assert max(waits) > 50
    assert not tenant.counters.offences


def test_a_restore_and_a_backup_of_one_mailbox_never_exceed_its_four_slots() -> None:
    """Two processes, each with threads; the tenant takes a while for every answer."""
    tenant = build("tiny", 3)
    tenant.latency_s = 0.005
    user = min(tenant.mailboxes)
    scope, path = Scope.mailbox(user), f"/users/{user}/mailFolders"
    requests = [BatchRequest(f"{path}/{name}") for name in ("inbox", "drafts", "sentitems")]
    with simulator.serve(tenant) as running:
        clock = TenantClock(tenant)
        record = MemoryRecord()
        backup = reader_of(running, Limiter(clock, record=record), clock)
        app = tenant.backup_app
        secret = ClientSecret(running.tenant.id, app.app_id, next(iter(app.secrets)))
        place = Place(running.url, running.url, running.ca)
        restore = GraphWriter(place, secret, Limiter(clock, record=record), clock)

        def reads(reader: GraphReader, batches: bool) -> None:
            done = 0
            while done < 20:
                try:
                    reader.get(path, scope=scope)
                    if batches:
                        reader.batch(requests, scope)
                    done += 1
                except Throttled as asked:
                    clock.sleep(asked.retry_after_s)

        work = [(backup, True)] * 4 + [(restore, False)] * 2
        threads = [threading.Thread(target=reads, args=one) for one in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        restore.finish()
        backup.finish()
    assert 3 <= tenant.counters.highest_concurrency[user] <= 4
    assert not tenant.counters.throttled


def reader_of(running: simulator.Running, limiter: Limiter, clock: TenantClock) -> GraphReader:
    app = running.tenant.backup_app
    secret = ClientSecret(running.tenant.id, app.app_id, next(iter(app.secrets)))
    return GraphReader(Place(running.url, running.url, running.ca), secret, limiter, clock)


def test_a_batch_goes_one_by_one_where_not_all_slots_are_ours() -> None:
    """To wait for them could take for ever: a step that begins anew asks for fewer at first."""
    clock = JumpingClock()
    limiter = Limiter(clock, record=CountingRecord())
    for _ in range(25):  # more than a visit: slots are claimed, but those of readers only
        limiter.enter(TENANT, ANNA).leave()
    assert limiter.one_by_one(TENANT, ANNA, 20)
    limiter.enter(TENANT, ANNA).leave()
    assert not limiter.one_by_one(TENANT, Scope.directory(), 20)
