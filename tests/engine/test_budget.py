"""SharePoint's budget of the day is spent: the run pauses, says until when, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import simulator
from base.clock import SystemClock
from base.messages import BackupEnded, Drain, Shard
from engine import backup, plan, policies, runs, throttling
from engine.assembly import App
from m365.graph.limits import Limits
from m365.graph.throttle import Limiter
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, take_in

_HOUR_S = 3600.0


class JumpingClock(SystemClock):
    """A clock that a test moves on, and whose sleep does."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self):  # type: ignore[no-untyped-def]
        return super().now() + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    tenant = calm_tenant(seed=5)
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        settings = settings_for(running, tmp_path)
        settings.data_dir.mkdir(parents=True)
        app = App(settings, clock=JumpingClock(), scrypt_n=SCRYPT_N)
        take_in(app, running)
        policies.change(app, ORG, {"services": ["drive"]}, 0)
        yield World(app, running)


def only(made: World, units: int) -> None:
    """The tenant has so many units a day, and the governor knows."""
    limits = Limits(sharepoint_units_per_day=units)
    made.app.limiter = Limiter(made.app.clock, limits, made.app.throttling, "test")


def works(made: World, run: str) -> list[Drain]:
    answer = plan.plan_backup(made.app, runs.BackupRun(ORG, run))
    assert answer.state == "planned", answer
    return [
        drain
        for number in range(answer.shards)
        for drain in plan.shard_resources(made.app, Shard(ORG, run, number))
    ]


def test_a_first_backup_waits_for_its_part_of_the_day_says_so_and_ends_green(
    made: World,
) -> None:
    clock, tenant = made.app.clock, made.tenant
    assert isinstance(clock, JumpingClock)
    only(made, 300)  # of which a first full may spend 33 in any three hours
    run = runs.request_backup(made.app, ORG, "test").id
    told: set[str] = set()
    waiting = works(made, run)
    slept_s = 0.0
    while waiting:
        drain = waiting.pop(0)
        asked = made.requests()
        answer = backup.drain(made.app, drain)
        if answer.state == "throttled":
            if answer.retry_after_s > 600:
                again = made.requests()
                assert backup.drain(made.app, drain).state == "throttled"
                assert made.requests() == again  # nothing is sent while the budget is spent
                pauses = runs.show(made.app, ORG, run)["detail"]["pauses"]
                told |= {one["reason"] for one in pauses}
                assert [one["scope"] for one in pauses] == ["sharepoint"]
                assert all(one["until"] > clock.now().isoformat() for one in pauses)
            wait_s = min(answer.retry_after_s, _HOUR_S) + 1
            clock.sleep(wait_s)
            tenant.clock.advance(wait_s)
            slept_s += wait_s
        if answer.state in ("more", "throttled"):
            waiting.append(drain)
        assert made.requests() - asked < 100
    runs.close_backup(made.app, BackupEnded(ORG, run))

    assert slept_s > 3 * _HOUR_S
    assert told == {throttling.FIRSTS_SPENT}
    assert runs.show(made.app, ORG, run)["state"] == "green"
    assert made.files_in_vault() == made.files_in_tenant()
    assert not tenant.counters.throttled
    assert throttling.shown(made.app, ORG)["pauses"] == []
