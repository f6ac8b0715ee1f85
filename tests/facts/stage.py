"""A world whose time is the tenant's: every wait takes none of ours, and is kept as asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import simulator
from base.messages import BackupEnded, BackupRun, Drain, Drained, Shard
from engine import backup, plan, policies, runs
from engine.assembly import App
from tests.engine.world import ORG, SCRYPT_N, World, settings_for, take_in
from tests.m365.stage import TenantClock

_STEPS_MAX = 2_000


class TimedWorld(World):
    """Steps that are asked to wait come again when the wait is over, as their story has it."""

    def finish_backup(self, run: str) -> dict[str, Any]:
        """As its story has it: a plan that has to wait is made again after the wait."""
        planned = plan.plan_backup(self.app, BackupRun(ORG, run))
        while planned.state == "throttled":
            self.app.clock.sleep(planned.retry_after_s)
            planned = plan.plan_backup(self.app, BackupRun(ORG, run))
        for number in range(planned.shards):
            for drain in plan.shard_resources(self.app, Shard(ORG, run, number)):
                self.drain(drain)
        runs.close_backup(self.app, BackupEnded(ORG, run, planned.code))
        return runs.show(self.app, ORG, run)

    def drain(self, request: Drain, steps_max: int = _STEPS_MAX) -> Drained:
        for _ in range(steps_max):
            answer = backup.drain(self.app, request)
            if answer.state == "throttled":
                self.app.clock.sleep(answer.retry_after_s)
            elif answer.state != "more":
                return answer
        raise AssertionError("the chain did not end")


@contextmanager
def timed_world(tenant: simulator.Tenant, folder: Path, **settings: Any) -> Iterator[TimedWorld]:
    """Serves the tenant and protects its mail and files, on the tenant's own clock."""
    with simulator.serve(tenant, ca_out=folder / "ca.pem") as running:
        clock = TenantClock(tenant)
        app = App(settings_for(running, folder, **settings), clock=clock, scrypt_n=SCRYPT_N)
        take_in(app, running)
        policies.change(app, ORG, {"services": ["mail", "drive"], "protection": "full"}, 0)
        yield TimedWorld(app, running)
