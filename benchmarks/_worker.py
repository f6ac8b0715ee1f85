"""python -m benchmarks._worker: one process of the product backing a tenant up, watched closely.

Reads {"tenant": the simulator's facts, "folder", "step_seconds"} from standard input and prints one
JSON object: a row of measurements per chain and round, what the vault holds afterwards, and the
peak of this process's memory.

Theory of operation
The engine is driven as the stories drive it: plan, then every chain step by step until it ends.
Before each chain all counters stand at zero; after it they are read: the tenant's (requests), the
store's (blobs), the tables' (transactions, rows) and the processor's, of this process and its
children. The control requests between chains are not measured. Limits of throttling are lifted on
both sides, as they would measure the service and not us.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from pydantic import SecretStr

from base.messages import BackupEnded, BackupRun, Drain, Shard
from base.settings import Settings
from engine import backup, organizations, plan, policies, resources, runs
from engine.assembly import App
from m365.graph.throttle import Limiter, Limits
from state.counting import CountingTables
from state.names import CHUNKS
from state.port import Value
from state.tables.sqlite import SqliteTables
from vault import Content

ORG = "contoso"
ENDLESS = 1_000_000_000
STEPS_MAX = 10_000


def main() -> int:
    """Backs up twice and prints the measurements."""
    given = json.load(sys.stdin)
    folder = Path(given["folder"])
    bench = Bench(given["tenant"], folder, float(given["step_seconds"]))
    rows = [*bench.back_up("first"), *bench.back_up("idle")]
    peak_mb = peak_rss_mb()
    held = {f"{r['service']}/{r['resource']}": bench.held(r) for r in rows if r["round"] == "first"}
    print(json.dumps({"chains": rows, "held": held, "peak_rss_mb": peak_mb}))
    return 0


class Control:
    """The simulator's control API."""

    def __init__(self, tenant: Mapping[str, Any]) -> None:
        self._url = tenant["control_url"]
        self._pool = urllib3.PoolManager(
            ca_certs=tenant["ca"],
            headers={"Authorization": f"Bearer {tenant['control_token']}"},
        )

    def get(self, path: str) -> dict[str, Any]:
        """What the control API says."""
        return self._answer("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the control API does."""
        return self._answer("POST", path, body)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = self._pool.request(method, self._url + path, json=body, timeout=120)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data[:300]!r}")
        found: dict[str, Any] = answer.json()
        return found


class ChunkCounting(CountingTables):
    """Counts the rows of the look-up of shared chunks apart: they grow with content."""

    def __init__(self, inner: SqliteTables) -> None:
        super().__init__(inner)
        self.chunk_writes = 0
        self.chunk_rows = 0

    def upsert_many(
        self, table: str, partition: str, rows: Mapping[str, Mapping[str, Value]]
    ) -> None:
        before = self.writes
        super().upsert_many(table, partition, rows)
        if table == CHUNKS:
            self.chunk_writes += self.writes - before
            self.chunk_rows += len(rows)


class Bench:
    """One installation over an empty folder that protects one tenant."""

    def __init__(self, tenant: Mapping[str, Any], folder: Path, step_seconds: float) -> None:
        self.control = Control(tenant)
        self.tables = ChunkCounting(SqliteTables(folder / "state.sqlite"))
        settings = Settings(
            _env_file=None,  # nothing of this machine takes part
            data_dir=folder,
            passphrase=SecretStr("a passphrase for benchmarks"),
            graph_url=tenant["graph_url"],
            login_url=tenant["login_url"],
            ca_bundle=Path(tenant["ca"]),
            step_seconds=step_seconds,
        )
        self.app = App(settings, tables=self.tables, scrypt_n=2**14)
        self.app.limiter = Limiter(
            self.app.clock,
            Limits(
                mailbox_requests_per_10_min=ENDLESS,
                sharepoint_units_per_min=ENDLESS,
                sharepoint_units_per_day=1000 * ENDLESS,  # minutes are granted from it
            ),
        )
        application = tenant["apps"]["backup"]
        credential = {
            "kind": "client_secret",
            "client_id": application["client_id"],
            "client_secret": application["client_secret"],
        }
        organizations.create(
            self.app,
            organizations.NewOrganization(
                id=ORG, name="Contoso", tenant_id=tenant["tenant_id"], credential=credential
            ),
        )
        policies.change(self.app, ORG, {"services": ["mail", "drive"], "protection": "full"}, 0)

    def back_up(self, round_: str) -> Iterator[dict[str, Any]]:
        """A whole backup; a row of measurements per chain."""
        request = runs.request_backup(self.app, ORG, "benchmark")
        assert isinstance(request.message, BackupRun)
        planned = plan.plan_backup(self.app, request.message)
        while planned.state == "throttled":
            self.app.clock.sleep(planned.retry_after_s)
            planned = plan.plan_backup(self.app, request.message)
        for number in range(planned.shards):
            for drain in plan.shard_resources(self.app, Shard(ORG, request.id, number)):
                with self._measured() as row:
                    row |= {"round": round_, "service": drain.service, "resource": drain.resource}
                    row |= self._drain(drain)
                yield row
        closed = runs.close_backup(self.app, BackupEnded(ORG, request.id, planned.code))
        if closed.state != "green":
            said = f"{closed.state} {planned.code or closed.code}: {closed.counts}"
            raise RuntimeError(f"the {round_} backup ended {said}")

    def held(self, row: Mapping[str, Any]) -> dict[str, int]:
        """What the newest snapshot of a chain holds, content counted once per chunk as well."""
        repository = self.app.vault(ORG)
        chain = resources.chain(row["service"], row["resource"])
        snapshot = repository.head(chain)
        assert snapshot is not None
        totals: dict[str, int] = dict.fromkeys(
            ("folders", "items", "attachments", "raw_bytes", "unique_bytes"), 0
        )
        known: set[bytes] = set()
        for entry in repository.catalog(snapshot).items():
            totals["folders" if entry.kind == "folder" else "items"] += 1
            for content in entry.contents:
                totals["attachments"] += content.role == "attachment"
                totals["raw_bytes"] += content.size
                totals["unique_bytes"] += _new_bytes(content, known)
        return {**totals, "snapshots": snapshot.number}

    def _drain(self, drain: Drain) -> dict[str, Any]:
        pages = requests = 0
        for steps in range(1, STEPS_MAX):
            answer = backup.drain(self.app, drain)
            pages += answer.counts.get("pages", 0)
            requests += answer.counts.get("requests", 0)
            if answer.state == "throttled":
                time.sleep(answer.retry_after_s)
            elif answer.state != "more":
                found = {"state": answer.state, "steps": steps}
                return {**found, "pages": pages, "requests": requests}
        raise RuntimeError("a chain did not end")

    @contextmanager
    def _measured(self) -> Iterator[dict[str, Any]]:
        self.control.post("/counters/reset", {})
        store, tables = self.app.store_counts(ORG), self.tables
        store.reset()
        before = (tables.writes, tables.rows_written, tables.chunk_writes, tables.chunk_rows)
        started, cpu_s = time.perf_counter(), processor_s()
        row: dict[str, Any] = {}
        yield row
        row["cpu_s"] = processor_s() - cpu_s
        row["seconds"] = time.perf_counter() - started
        after = (tables.writes, tables.rows_written, tables.chunk_writes, tables.chunk_rows)
        names = ("table_writes", "table_rows", "chunk_writes", "chunk_rows")
        row |= {name: b - a for name, a, b in zip(names, before, after, strict=True)}
        row["blob_writes"], row["stored_bytes"] = store.writes, store.bytes_written
        row["peak_rss_mb"] = peak_rss_mb()
        seen = self.control.get("/counters")["requests"]
        row["routes"] = {route: n for route, n in seen.items() if "oauth2" not in route}


def _new_bytes(content: Content, known: set[bytes]) -> int:
    """Bytes of the chunks not seen before; content too long for inline references counts whole."""
    fresh = [reference for reference in content.refs if reference.id not in known]
    known.update(reference.id for reference in fresh)
    if content.listed:
        return content.size if fresh else 0
    return sum({reference.id: reference.length for reference in fresh}.values())


def processor_s() -> float:
    """Processor time of this process and its ended children so far."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def peak_rss_mb() -> float | None:
    """The most memory this process ever had resident; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
