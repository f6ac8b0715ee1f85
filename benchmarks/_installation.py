"""An installation over a simulated tenant, driven as the stories drive it, in the tenant's time.

Waiting costs nothing: the product is handed the tenant's clock, and a pause lets that clock run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

import simulator
from base.messages import BackupEnded, BackupRun, Drain, RestoreRun, Shard, WriteBatch
from base.settings import Settings
from engine import backup, browse, organizations, plan, policies, restore, restore_plan, runs
from engine.assembly import App
from engine.restore_plan import RestoreRequest

ORG = "contoso"
SCRYPT_N = 2**10
SLEEP_MAX_S = 7 * 86_400.0
STEPS_MAX = 2_000  # of one chain; more is an endless loop


class TenantClock:
    """The tenant's clock as the product knows one."""

    def __init__(self, tenant: simulator.Tenant) -> None:
        self._tenant = tenant

    def now(self) -> datetime:
        return self._tenant.clock.now()

    def monotonic(self) -> float:
        return self._tenant.clock.seconds()  # as the wall clock has it: frozen, or running

    def sleep(self, seconds: float) -> None:
        if seconds > SLEEP_MAX_S:
            raise RuntimeError(f"the product wants to wait {seconds} s")
        with self._tenant.lock:
            self._tenant.clock.advance(seconds)


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests the tenant saw for one chain of one run, by route; those in a batch one by one."""

    drain: Drain
    state: str
    routes: Counter[str]

    @property
    def requests(self) -> int:
        """How many in all."""
        return self.routes.total()


class Installation:
    """One installation that protects one tenant."""

    def __init__(self, running: simulator.Running, folder: Path, **settings: Any) -> None:
        self.running = running
        self.tenant = running.tenant
        self.clock = TenantClock(self.tenant)
        given = Settings(
            _env_file=None,  # nothing of this machine takes part
            data_dir=folder / "data",
            passphrase=SecretStr("a passphrase for benchmarks"),
            graph_url=running.url,
            login_url=running.url,
            ca_bundle=running.ca,
            **settings,
        )
        self.app = App(given, clock=self.clock, scrypt_n=SCRYPT_N)
        self.spent: list[Spent] = []  # of the newest run
        facts = running.facts()
        organizations.create(
            self.app,
            organizations.NewOrganization(
                id=ORG,
                name="Contoso",
                tenant_id=facts["tenant_id"],
                credential=_credential(facts["apps"]["backup"]),
                restore_credential=_credential(facts["apps"]["restore"]),
            ),
        )

    def choose(self, **changes: Any) -> None:
        """Changes the policy."""
        version = policies.show(self.app, ORG)["version"]
        document = {**policies.current(self.app, ORG), **changes}
        policies.change(self.app, ORG, document, version)

    def back_up(
        self, *, follow_up: bool = True, between: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        """A whole backup, one step after another; the run as the API shows it. Without `follow_up`
        it ends once everybody has had the first pass of progressive protection. `between` is called
        behind the first chain.
        """
        self.spent.clear()
        request = runs.request_backup(self.app, ORG, "benchmark")
        assert isinstance(request.message, BackupRun)
        planned = plan.plan_backup(self.app, request.message)
        while planned.state == "throttled":
            self.clock.sleep(planned.retry_after_s)
            planned = plan.plan_backup(self.app, request.message)
        for number in range(planned.shards):
            for drain in plan.shard_resources(self.app, Shard(ORG, request.id, number)):
                if follow_up or not drain.follow_up:
                    self._measured(drain)
                if between is not None:
                    between()
                    between = None
        runs.close_backup(self.app, BackupEnded(ORG, request.id, planned.code))
        return runs.show(self.app, ORG, request.id)

    def restore(self, request: RestoreRequest) -> dict[str, Any]:
        """A whole restore; the run as the API shows it."""
        wanted, counted = restore_plan.prepare(self.app, ORG, request)
        run = runs.request_restore(self.app, ORG, "benchmark", wanted, counted).id
        planned = restore.plan_restore(self.app, RestoreRun(ORG, run))
        for batch in range(planned.batches):
            for _ in range(STEPS_MAX):
                written = restore.write_batch(self.app, WriteBatch(ORG, run, batch))
                if written.state != "throttled":
                    break
                self.clock.sleep(written.retry_after_s)
        restore.close_restore(self.app, RestoreRun(ORG, run, code=planned.code))
        return runs.show(self.app, ORG, run)

    def view(self, service: str, resource: str) -> browse.View:
        """The newest restore point."""
        return browse.open_view(self.app, ORG, service, resource)

    def _measured(self, drain: Drain) -> None:
        before = Counter(self.tenant.counters.requests)
        state = self._drain(drain)
        self.spent.append(Spent(drain, state, requests_since(self.tenant, before)))

    def _drain(self, drain: Drain) -> str:
        for _ in range(STEPS_MAX):
            answer = backup.drain(self.app, drain)
            if answer.state not in ("more", "throttled"):
                return answer.state
            self.clock.sleep(answer.retry_after_s)
        raise RuntimeError(f"the chain {drain.service} {drain.resource} did not end")


@contextmanager
def installed(tenant: simulator.Tenant, **settings: Any) -> Iterator[Installation]:
    """The tenant, served, with an installation over an empty folder."""
    with TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        with simulator.serve(tenant, ca_out=folder / "ca.pem") as running:
            yield Installation(running, folder, **settings)


def requests_since(tenant: simulator.Tenant, before: Mapping[str, int]) -> Counter[str]:
    """Requests to Graph by route that the tenant saw since `before`, those in batches one by
    one.
    """
    seen = Counter(tenant.counters.requests)
    seen.subtract(before)
    uncounted = ("oauth2", "$batch")
    return +Counter(
        {route: n for route, n in seen.items() if not any(word in route for word in uncounted)}
    )


def _credential(app: Mapping[str, Any]) -> dict[str, str]:
    return {
        "kind": "client_secret",
        "client_id": app["client_id"],
        "client_secret": app["client_secret"],
    }
