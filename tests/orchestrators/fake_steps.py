"""Stories with scripted steps on the real local host, driven by hand over a clock that jumps."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df

import orchestrators
from base.stories import StoryState
from local.host import Functions, LocalHost, functions_of
from local.instances import Episode, Instances, Work

Step = Callable[[dict[str, Any]], dict[str, Any]]
START = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


class JumpingClock:
    """Stands still until a test moves it, but every reading is a millisecond later."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def monotonic(self) -> float:
        return self.now().timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Tenant:
    """Scripted steps: what each answers, and what was asked.

    `script` maps a chain ("mail/r1") to the answers of its drains in turn; a string is a state, an
    exception is raised. When the script of a chain is over it answers done.
    """

    def __init__(self, shards: list[list[str]], script: dict[str, list[Any]] | None = None) -> None:
        self.shards = shards
        self.script = defaultdict(list, script or {})
        self.asked: list[tuple[str, Any]] = []
        self.plan: Any = {"state": "planned", "shards": len(shards), "resources": 0}
        self.closed: dict[str, Any] | None = None

    def steps(self) -> dict[str, Step]:
        return {
            "plan_backup": self.plan_backup,
            "shard_resources": self.shard_resources,
            "drain": self.drain,
            "close_run": self.close_run,
        }

    def plan_backup(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("plan_backup", request["run"]))
        plan = self.plan.pop(0) if isinstance(self.plan, list) else self.plan
        return said(plan)

    def shard_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("shard_resources", request["shard"]))
        common = {"org": request["org"], "run": request["run"], "snapshot": 1}
        chains = [chain.split("/", 1) for chain in self.shards[request["shard"]]]
        return {"drains": [{**common, "service": s, "resource": r} for s, r in chains]}

    def drain(self, request: dict[str, Any]) -> dict[str, Any]:
        chain = f"{request['service']}/{request['resource']}"
        self.asked.append(("drain", chain))
        script = self.script[chain]
        return said(script.pop(0) if script else "done")

    def close_run(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("close_run", request["run"]))
        self.closed = request
        return {"state": "red" if request["crashed"] or request["code"] else "green", "counts": {}}

    def drains(self) -> list[str]:
        return [what for step, what in self.asked if step == "drain"]


def said(answer: Any) -> dict[str, Any]:
    """An answer of a script as a step gives it."""
    if isinstance(answer, Exception):
        raise answer
    return {"state": answer} if isinstance(answer, str) else answer


def throttled(seconds: float) -> dict[str, Any]:
    return {"state": "throttled", "retry_after_s": seconds}


def functions(steps: dict[str, Step], stories: Iterable[Any] = orchestrators.ALL) -> Functions:
    """An app as function_app.py makes it, with other steps."""
    app = df.DFApp()
    for story in stories:
        app.orchestration_trigger(context_name="context")(story)
    for name, step in steps.items():
        app.activity_trigger(input_name="request")(_named(name, step))
    return functions_of(app)


def _named(name: str, step: Step) -> Step:
    def call(request: dict[str, Any]) -> dict[str, Any]:
        return step(request)

    call.__name__ = name
    return call


class Stage:
    """A host driven by hand: nothing happens but what play() does, in an order its seed decides."""

    def __init__(
        self,
        steps: dict[str, Step],
        stories: Iterable[Any] = orchestrators.ALL,
        *,
        path: Path | str = ":memory:",
        seed: int = 0,
        twice: bool = False,
    ) -> None:
        self.clock = JumpingClock()
        self.functions = functions(steps, stories)
        self.instances = Recorded(path, self.clock)
        self.host = LocalHost(self.functions, self.instances, self.clock)
        self.waiting: list[Work] = []
        self.at_once = 0  # most drains that were decided and not answered at one moment
        self._dice = random.Random(seed)
        self._twice = twice

    def start(self, story: str, message: Any, instance: str = "run-1") -> None:
        self.host.create(story, json.dumps(message), instance)

    def play(self, rounds: int = 100_000) -> None:
        """Goes on until nothing is left to do; jumps over pauses."""
        for _ in range(rounds):
            if not self.round():
                return
        raise AssertionError("the stories do not come to an end")

    def round(self) -> bool:
        """Tells all news, takes one step or jumps to the next timer; False when all is quiet."""
        self.waiting += self.host.tell()
        drains = sum(work.step == "drain" for work in self.waiting)
        self.at_once = max(self.at_once, drains)
        if self.waiting:
            work = self.waiting.pop(self._dice.randrange(len(self.waiting)))
            if self._twice:
                self.host.run_step(work)
            self.host.take(work)
            return True
        due = self.instances.next_due()
        if due is None:
            return False
        self.clock.moment = max(self.clock.moment, datetime.fromtimestamp(due, UTC))
        return True

    def output(self, instance: str = "run-1") -> Any:
        """What a story answered; it must have come to a good end."""
        found = self.instances.find(instance)
        assert found is not None
        assert found.state is StoryState.COMPLETED, (found.state, found.output)
        return json.loads(found.output or "null")

    def state(self, instance: str = "run-1") -> StoryState:
        found = self.instances.find(instance)
        assert found is not None
        return found.state


class Recorded(Instances):
    """Keeps every episode that was told, so that tests can tell it again."""

    def __init__(self, path: Path | str, clock: JumpingClock) -> None:
        super().__init__(path, clock)
        self.told: list[tuple[Episode, list[Any], Any]] = []

    def commit(self, episode: Episode, added: Any, verdict: Any) -> None:
        self.told.append((episode, list(added), verdict))
        super().commit(episode, added, verdict)


def counted(names: list[str]) -> dict[str, int]:
    return dict(Counter(names))
