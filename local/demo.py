"""The whole story on this machine: a simulated tenant is protected, changes, is browsed, restored
and compared.

Starts the simulator and the app as processes of their own and talks to them as a person's browser
would: over HTTP on loopback. Ends with a report, and with exit code 1 where a single comparison
fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import quote

import urllib3

from base.clock import SystemClock
from local import demo_coverage
from local.demo_client import Api, Control, DemoFailed, Running
from local.demo_report import Display
from local.demo_story import Story

_ROOT = Path(__file__).parent.parent
_START_S_MAX = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; 0 when everything equals the tenant's truth."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the data folder and say where")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--coverage", type=Path, metavar="DIR", help="write the coverage statement there"
    )
    parser.add_argument("--profile", default="small", help="size of the simulated tenant")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--hostile", action="store_true", help="a tenant with every oddity and fault"
    )
    asked = parser.parse_args(arguments)
    display, clock = Display(), SystemClock()
    data = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    started = clock.monotonic()
    try:
        with running(data, asked) as installation:
            story = Story(installation, display)
            story.tell()
            result = story.result(clock.monotonic() - started)
    except DemoFailed as failure:
        display.failed(failure, data)
        return 1
    finally:
        if not asked.keep:
            shutil.rmtree(data, ignore_errors=True)
    display.report(result)
    if asked.keep:
        display.kept(data)
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    if asked.coverage:
        demo_coverage.write(asked.coverage, story.statement)
    return 0 if result["ok"] else 1


@contextmanager
def running(data: Path, asked: argparse.Namespace) -> Iterator[Running]:
    """The simulator and the app, each in a process of its own, ended when the block ends."""
    with ExitStack() as stack:
        facts = _simulator(stack, data, asked)
        port = _free_port()
        surroundings = {
            **os.environ,  # noqa: TID251  (handed on to a child, not read)
            "HOLDFAST_GRAPH_URL": facts["graph_url"],
            "HOLDFAST_LOGIN_URL": facts["login_url"],
            "HOLDFAST_CA_BUNDLE": facts["ca"],
        }
        command = ["local.server", "--port", str(port), "--data", str(data / "data")]
        log = stack.enter_context((data / "server.log").open("w"))
        url = f"http://127.0.0.1:{port}"

        def start() -> subprocess.Popen[bytes]:
            process = _process(stack, command, surroundings, stdout=log, stderr=log)
            _wait_for(url)
            return process

        server = start()

        def lose_tables() -> None:
            """What a person does on the worst day, short of losing the vault."""
            nonlocal server
            server.terminate()
            server.wait(10)
            for file in (data / "data").glob("*.sqlite*"):
                file.unlink()
            server = start()

        token = (data / "data" / "admin-token").read_text().strip()
        yield Running(Api(url, token, SystemClock()), Control(facts), facts, lose_tables)


def _simulator(stack: ExitStack, data: Path, asked: argparse.Namespace) -> dict[str, Any]:
    command = ["simulator", "--profile", asked.profile, "--seed", str(asked.seed)]
    command += ["--ca-out", str(data / "ca.pem"), "--json", *(["--hostile"] * asked.hostile)]
    process = _process(stack, command, None, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise DemoFailed("The simulated tenant did not start.")
    facts: dict[str, Any] = json.loads(line)
    return facts


def _process(
    stack: ExitStack, command: list[str], surroundings: dict[str, str] | None, **streams: Any
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=_ROOT, env=surroundings, **streams
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()

    stack.callback(end)
    return process


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str) -> None:
    clock = SystemClock()
    end = clock.monotonic() + _START_S_MAX
    while clock.monotonic() < end:
        try:
            if urllib3.request("GET", f"{url}/api/{quote('health')}", retries=False).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            clock.sleep(0.1)
    raise DemoFailed("The app did not start.")


if __name__ == "__main__":
    sys.exit(main())
