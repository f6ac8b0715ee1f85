"""A program for the kill -9 test: a backup whose steps leave one file per page, create-only.

    python -m tests.local.killable FOLDER

It says "at work" once it runs, and ends when the backup has.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import azure.durable_functions as df

import orchestrators
from base.clock import SystemClock
from base.stories import StoryState
from local.host_client import RunningHost, run_functions

RUN = {"org": "contoso", "run": "run-1", "steps_at_once": 4}
SHARDS = [[f"mail/{shard}-{place}" for place in range(3)] for shard in range(8)]
PAGES = 4
DAMAGED = "mail/2-1"  # its step raises every time


class Steps:
    """Like the engine's: each commits one page, create-only, and adopts what was there before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def plan_backup(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"state": "planned", "shards": len(SHARDS)}

    def shard_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        common = {"org": "contoso", "run": request["run"], "snapshot": 1}
        names = [chain.split("/") for chain in SHARDS[request["shard"]]]
        return {"drains": [{**common, "service": s, "resource": r} for s, r in names]}

    def drain(self, request: dict[str, Any]) -> dict[str, Any]:
        chain = f"{request['service']}/{request['resource']}"
        self._note(f"drain {chain}")
        if chain == DAMAGED:
            raise RuntimeError(chain)
        for page in range(PAGES):
            if self._made(f"{request['resource']}.{page}"):
                return {"state": "done" if page == PAGES - 1 else "more"}
        return {"state": "done"}

    def close_run(self, request: dict[str, Any]) -> dict[str, Any]:
        self._note(f"close {json.dumps(request['crashed'])}")
        return {"state": "red" if request["crashed"] else "green"}

    def _made(self, name: str) -> bool:
        try:
            with open(self._folder / "pages" / name, "x"):
                return True
        except FileExistsError:
            return False

    def _note(self, line: str) -> None:
        file = os.open(self._folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(file, f"{line}\n".encode())
        os.close(file)


def app_of(folder: Path) -> Any:
    """The real stories with these steps."""
    app, steps = df.DFApp(), Steps(folder)
    for story in orchestrators.ALL:
        app.orchestration_trigger(context_name="context")(story)
    for name in ("plan_backup", "shard_resources", "drain", "close_run"):
        app.activity_trigger(input_name="request")(_plain(getattr(steps, name)))
    return app


def _plain(method: Any) -> Any:
    def step(request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = method(request)
        return answer

    step.__name__ = method.__name__
    return step


async def _until_over(running: RunningHost) -> dict[str, Any]:
    """Starting it again after every kill changes nothing."""
    await running.stories.start("backup_organization", RUN, "run-1")
    print("at work", flush=True)
    while True:
        status = await running.stories.status("run-1")
        assert status is not None
        if status.state is not StoryState.RUNNING:
            return {"state": status.state, "output": status.output}
        await asyncio.sleep(0.005)


def main(folder: Path) -> None:
    (folder / "pages").mkdir(exist_ok=True)
    running = run_functions(app_of(folder), folder / "host.db", SystemClock(), steps_at_once=4)
    print(json.dumps(asyncio.run(_until_over(running))), flush=True)
    running.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
