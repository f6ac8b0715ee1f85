"""Runs the stories and steps of function_app.py without Azure, and goes on after kill -9.

Rule 1: a step runs at least once. It is claimed in memory only; its answer ends it.
Rule 2: one thread tells the stories, one episode after another; steps run beside it in their own.
Rule 3: what a story decides is written down before any of it happens.

The threads are daemons and may be killed at any line; stopping in good order only saves work.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sqlite3
import threading
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any

import azure.functions as func

from base import log
from base.clock import Clock
from local import replay, replay_events
from local.instances import Episode, Instances, Work
from local.replay import Handle, Verdict
from local.replay_events import Event, Kind

Step = Callable[[str | None], str]  # JSON text in, JSON text out

_WAIT_S_MAX = 1.0  # how long the story thread sleeps without looking at the clock again
_EPISODES_MAX = 100  # in one round, so that stopping does not wait for a long queue


@dataclass(frozen=True, slots=True)
class TimerFunction:
    """A function that a schedule starts (NCRONTAB, six fields, UTC).

    `run` takes whether it is past due, and the durable client.
    """

    name: str
    schedule: str
    run: Callable[[bool, Any], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Functions:
    """What an app object registered, by name."""

    stories: dict[str, Handle]
    steps: dict[str, Step]
    timers: tuple[TimerFunction, ...]


@cache  # an app object tells its functions only once
def registered(app: Any) -> tuple[Any, ...]:
    """The functions of an app object, as azure-functions describes them."""
    return tuple(app.get_functions())


@cache
def functions_of(app: Any) -> Functions:
    """Reads a DFApp as the Functions worker does: triggers, binding names and converters."""
    # Our messages are plain dicts; without this the SDK builds any class that a payload names.
    os.environ.setdefault("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")  # noqa: TID251
    stories, steps, timers = {}, {}, []
    for function in registered(app):
        name, trigger = function.get_function_name(), function.get_trigger()
        code = function.get_user_function()
        if trigger.type == "orchestrationTrigger":
            stories[name] = code
        elif trigger.type == "activityTrigger":
            steps[name] = _step(code, trigger.name)
        elif trigger.type == "timerTrigger":
            timers.append(TimerFunction(name, trigger.schedule, _timer(function)))
    return Functions(stories, steps, tuple(timers))


class LocalHost:
    """Stories and steps of one file. Start it, or drive it by hand: tell() and take()."""

    def __init__(
        self, functions: Functions, instances: Instances, clock: Clock, steps_at_once: int = 8
    ) -> None:
        self.functions = functions
        self.instances = instances
        self._clock = clock
        self._steps_at_once = steps_at_once
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._seen = 0  # the last work item that was queued
        self._news = threading.Event()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Goes on with everything the file holds."""
        self._threads = [threading.Thread(target=self._keep_telling, name="stories", daemon=True)]
        self._threads += [
            threading.Thread(target=self._keep_taking, name=f"step-{number}", daemon=True)
            for number in range(self._steps_at_once)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Ends in good order; steps that take longer than the grace run again at the next start."""
        self._stopping = True
        self._news.set()
        for _ in range(self._steps_at_once):
            self._queue.put(None)
        end = self._clock.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock.monotonic()))
        self.instances.close()

    def create(self, story: str, text: str | None, instance: str) -> None:
        """Starts a story with its input as JSON text."""
        if story not in self.functions.stories:
            raise KeyError(f"There is no story named {story}.")
        self.instances.create(instance, story, text)
        self._news.set()

    def post(self, instance: str, event: Event) -> bool:
        """Sends a running story an event from outside; False when there is none."""
        sent = self.instances.post(instance, event)
        self._news.set()
        return sent

    def tell(self) -> list[Work]:
        """One episode of every story that has news; answers the steps that were decided."""
        for instance in self.instances.due()[:_EPISODES_MAX]:
            episode = self.instances.episode(instance)
            if episode is not None:
                self._tell_one(episode)
        decided = self.instances.work(self._seen)
        if decided:
            self._seen = decided[-1].id
        return decided

    def take(self, work: Work) -> None:
        """Takes one step and writes down its answer, whatever it is."""
        self.instances.answer(work, self.run_step(work))
        self._news.set()

    def run_step(self, work: Work) -> Event:
        """Runs a step; the event says how it ended."""
        try:
            text = self.functions.steps[work.step](work.input)
        except Exception as error:  # noqa: BLE001  (whatever it raises ends only this step)
            kind, where = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            log.event(
                "step-crashed", step=work.step, error=kind, function=where.name, line=where.lineno
            )
            reason = f"Activity function '{work.step}' failed:  {kind}"
            return replay_events.task_failed(self._clock.now(), work.task, reason)
        return replay_events.task_completed(self._clock.now(), work.task, text)

    # --- One episode ---

    def _tell_one(self, episode: Episode) -> None:
        instance = episode.instance
        added = [replay_events.episode_started(self._clock.now()), *episode.fresh]
        reasons = [e["Input"] for e in added if e["EventType"] == Kind.EXECUTION_TERMINATED]
        if reasons:
            self.instances.terminate(episode, added, reasons[0])
            return
        handle = self.functions.stories.get(instance.story)
        if handle is None:
            verdict = Verdict(ended=True, error=f"There is no story named {instance.story}.")
        else:
            history = [*episode.history, *added]
            verdict = replay.judge(handle, instance.id, instance.parent, history)
        if verdict.ended and verdict.error is not None:
            log.event("story-failed", story=instance.story, instance=instance.id)
        self.instances.commit(episode, added, verdict)

    # --- Threads ---

    def _keep_telling(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                for work in self.tell():
                    self._queue.put(work)
                idle_s = self._idle_s()
            except sqlite3.Error as error:  # a full disk, say: what is not written is told again
                self._report(error)
                idle_s = _WAIT_S_MAX
            self._news.wait(idle_s)

    def _idle_s(self) -> float:
        due = self.instances.next_due()
        if due is None:
            return _WAIT_S_MAX
        return min(max(0.0, due - self._clock.now().timestamp()), _WAIT_S_MAX)

    def _keep_taking(self) -> None:
        while (work := self._queue.get()) is not None and not self._stopping:
            try:
                self.take(work)
            except sqlite3.Error as error:  # its answer is lost, so it runs again
                self._report(error)
                self._clock.sleep(_WAIT_S_MAX)
                self._queue.put(work)

    def _report(self, error: sqlite3.Error) -> None:
        if not self._stopping:  # else the file was closed because the grace was over
            log.event("host-file-trouble", level=logging.ERROR, error=type(error).__name__)


def _step(code: Callable[..., Any], argument: str) -> Step:
    """A step between two JSON texts, through the converters that the worker uses."""
    converter = _converter("activityTrigger")

    def step(text: str | None) -> str:
        datum = func.meta.Datum(value=text, type="json")
        request = converter.decode(datum, trigger_metadata=None)
        answer = converter.encode(code(**{argument: request}), expected_type=None)
        return str(answer.value)

    return step


def _timer(function: Any) -> Callable[[bool, Any], Coroutine[Any, Any, None]]:
    """A timer function without the SDK's wrapper, which would make a client that speaks HTTP."""
    names = {binding.type: binding.name for binding in function.get_bindings()}
    code = function.get_user_function().client_function
    converter = _converter("timerTrigger")

    async def run(past_due: bool, client: Any) -> None:
        datum = func.meta.Datum(value=json.dumps({"IsPastDue": past_due}), type="json")
        timer = converter.decode(datum, trigger_metadata=None)
        await code(**{names["timerTrigger"]: timer, names["durableClient"]: client})

    return run


def _converter(binding: str) -> Any:
    return func.get_binding_registry().get(binding)  # type: ignore[no-untyped-call]
