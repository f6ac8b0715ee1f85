"""The real processes: a simulated tenant and Holdfast's server, which may be killed and started
again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import urllib3

from base.clock import SystemClock
from local.demo_client import Api, Control
from tests.project import ROOT

START_S_MAX = 60.0
_POLL_S = 0.05


class Installation:
    """One tenant, one data folder, and the server process that lives in it at the moment."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], *arguments: str) -> None:
        self.facts = facts
        self.control = Control(facts)
        self.starts = 0
        self.clock = SystemClock()
        self._arguments = arguments
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self.api = Api("", "", self.clock)

    def start(self, *, ready: bool = True) -> None:
        """Starts the server on the same folder and port; with `ready` waits until it answers."""
        self.starts += 1
        surroundings = {
            **os.environ,
            "HOLDFAST_GRAPH_URL": self.facts["graph_url"],
            "HOLDFAST_LOGIN_URL": self.facts["login_url"],
            "HOLDFAST_CA_BUNDLE": self.facts["ca"],
        }
        given = ["--port", str(self._port), "--data", str(self._data), *self._arguments]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "local.server", *given],
                cwd=ROOT,
                env=surroundings,
                stdout=log,
                stderr=log,
            )
        if ready:
            self.wait_until(self._answers, START_S_MAX, "the server did not start")
            org, url = self.api.org, f"http://127.0.0.1:{self._port}"
            self.api = Api(url, (self._data / "admin-token").read_text().strip(), self.clock)
            self.api.org = org

    def kill(self) -> None:
        """kill -9: no thread of it does another thing."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def take_in(self) -> None:
        """Makes the organization over HTTP."""
        apps = self.facts["apps"]
        body = {
            "name": "Contoso",
            "tenant_id": self.facts["tenant_id"],
            "credential": _credential(apps["backup"]),
            "restore_credential": _credential(apps["restore"]),
        }
        self.api.org = self.api.call("POST", "/organizations", body)["id"]

    def slow_down(self, latency_s: float) -> None:
        """Every answer of the tenant takes so long, which leaves time to kill."""
        answer = urllib3.PoolManager(ca_certs=self.facts["ca"]).request(
            "POST",
            f"{self.facts['control_url']}/settings",
            json={"latency_s": latency_s},
            headers={"Authorization": f"Bearer {self.facts['control_token']}"},
        )
        assert answer.status == 200

    def finished(self, run: str) -> dict[str, Any]:
        """The run once it has ended by itself."""
        return self.api.finished(run, lambda shown: None)

    def wait_until(self, true: Callable[[], bool], seconds_max: float, why: str) -> None:
        end = self.clock.monotonic() + seconds_max
        while not true():
            assert self.clock.monotonic() < end, f"{why}; {self.said()}"
            self.clock.sleep(_POLL_S)

    def said(self) -> str:
        """The end of the server's log."""
        return self._log.read_text(errors="replace")[-2000:]

    def log_lines(self, word: str) -> list[str]:
        """What the servers said that holds a word."""
        return [line for line in self._log.read_text(errors="replace").splitlines() if word in line]

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"the server ended: {self.said()}"
        try:
            url = f"http://127.0.0.1:{self._port}/api/health"
            return urllib3.request("GET", url, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False


@contextmanager
def installation(folder: Path, *arguments: str, seed: int = 1) -> Iterator[Installation]:
    """A calm tiny tenant in a process of its own, and a server that is not started yet."""
    ca = folder / "ca.pem"
    command = ["simulator", "--profile", "tiny", "--seed", str(seed), "--calm", "--json"]
    tenant = subprocess.Popen(
        [sys.executable, "-m", *command, "--ca-out", str(ca)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert tenant.stdout is not None
        made = Installation(folder, json.loads(tenant.stdout.readline()), *arguments)
        try:
            yield made
        finally:
            made.kill()
    finally:
        tenant.kill()
        tenant.wait()


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _credential(app: Mapping[str, str]) -> dict[str, str]:
    return {"client_id": app["client_id"], "client_secret": app["client_secret"]}
