"""What a story decides next: the real SDK replays it, and its actions are walked as Azure would.

Rule 1: ids are a counter over tasks in the order in which they are invoked; the SDK counts alike.
Rule 2: an action is invoked only when the one before it has ended. Any-of ends with its first part,
    all-of with its last one, also when an earlier one failed.
Rule 3: a story ends only when the walk is over and no task that it began is open.

Theory of operation. azure-functions-durable 1.x answers an episode with every action since the
start of the generation, without ids. The Functions host replays these actions over the same history
and so finds out which are new (OutOfProcOrchestrationShim.cs in Azure's durable extension and
TaskOrchestrationContext.cs in Azure/durabletask). This file does the same, deliberately including
what surprises: a task that a story yields beside running ones waits in Azure for the action before
it, so it waits here.
Entities, durable HTTP and the SDK's retries are refused: our stories do not use them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from local.replay_events import SCHEDULED, Event, Kind

Handle = Callable[[str], str]  # what Orchestrator.create makes of a story

_ERROR_LABEL = "\n\n$OutOfProcData$:"


class Action(IntEnum):
    """actionType of the SDK's actions that this host knows."""

    ACTIVITY = 0
    STORY = 2
    CONTINUE_AS_NEW = 4
    TIMER = 5
    WAIT_FOR_EVENT = 6
    WHEN_ANY = 11
    WHEN_ALL = 12


_TASKS = {
    Action.ACTIVITY: Kind.TASK_SCHEDULED,
    Action.STORY: Kind.STORY_CREATED,
    Action.TIMER: Kind.TIMER_CREATED,
}
_ENDS = {  # the kinds that end a task, with the field that names it
    Kind.TASK_COMPLETED: "TaskScheduledId",
    Kind.TASK_FAILED: "TaskScheduledId",
    Kind.STORY_COMPLETED: "TaskScheduledId",
    Kind.STORY_FAILED: "TaskScheduledId",
    Kind.TIMER_FIRED: "TimerId",
}


class NotReplayable(Exception):
    """The story did not follow its own history, or uses what this host does not know."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A task that the story begins now. `text` is its input as JSON text."""

    id: int
    kind: Kind  # TASK_SCHEDULED, STORY_CREATED, TIMER_CREATED
    name: str = ""
    text: str | None = None
    instance: str | None = None  # id of a story that the caller chose
    fire_at: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one episode comes to.

    `error` and `output` count once `ended`; `next_input` is set when the story continues as new.
    """

    decisions: tuple[Decision, ...] = ()
    ended: bool = False
    output: Any = None
    error: str | None = None
    next_input: str | None = None
    custom: Any = None


@dataclass(slots=True)
class _Task:
    action: dict[str, Any]
    ended: bool = False


def judge(handle: Handle, instance: str, parent: str | None, history: Sequence[Event]) -> Verdict:
    """Replays a story over its history and says what is new."""
    try:
        state = _run(handle, _context(instance, parent, history))
        walk = _Walk(state["actions"][0])
        for event in history:
            walk.see(event)
        decisions = tuple(_new(walk, history))
    except NotReplayable as refusal:
        return Verdict(ended=True, error=str(refusal))
    said_last = bool(state.get("isDone")) or "error" in state
    ended = said_last and walk.over and walk.idle()
    error = state.get("error")
    return Verdict(
        decisions,
        ended,
        output=state.get("output"),
        error=error,
        next_input=walk.next_input if ended and error is None else None,
        custom=state.get("customStatus"),
    )


def _context(instance: str, parent: str | None, history: Sequence[Event]) -> str:
    started = next(e for e in history if e["EventType"] == Kind.EXECUTION_STARTED)
    episodes = sum(e["EventType"] == Kind.EPISODE_STARTED for e in history)
    return json.dumps(
        {
            "history": list(history),
            "input": started["Input"],
            "instanceId": instance,
            "isReplaying": episodes > 1,
            "parentInstanceId": parent,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
        }
    )


def _run(handle: Handle, context: str) -> dict[str, Any]:
    """The SDK's state; a story that raised carries it in the text of the SDK's exception."""
    try:
        state: dict[str, Any] = json.loads(handle(context))
    except Exception as error:  # whatever a story raises ends only that story
        _, label, text = str(error).partition(_ERROR_LABEL)
        if not label:
            raise NotReplayable(f"{type(error).__name__}: {error}") from error
        state = json.loads(text)
    return state


def _new(walk: _Walk, history: Sequence[Event]) -> Iterator[Decision]:
    """The tasks that history does not know yet; complains where the two contradict each other."""
    known: set[int] = set()
    for event in history:
        if event["EventType"] not in SCHEDULED:
            continue
        task = walk.tasks.get(event["EventId"])
        if task is None or not _same(task.action, event):
            raise NotReplayable(
                f"The story no longer does what it did: task {event['EventId']} differs."
            )
        known.add(event["EventId"])
    for number, task in walk.tasks.items():
        if number not in known:
            yield _decision(number, task.action)


def _same(action: dict[str, Any], event: Event) -> bool:
    kind = _TASKS[Action(action["actionType"])]
    return kind == event["EventType"] and action.get("functionName") == event.get("Name")


def _decision(number: int, action: dict[str, Any]) -> Decision:
    kind = _TASKS[Action(action["actionType"])]
    if kind is Kind.TIMER_CREATED:
        return Decision(number, kind, fire_at=action["fireAt"])
    name, text = action["functionName"], action.get("input")
    return Decision(number, kind, name, text, action.get("instanceId"))


@dataclass(slots=True)
class _Walk:
    """The host's way through the actions, as history unfolds."""

    actions: list[dict[str, Any]]
    tasks: dict[int, _Task] = field(default_factory=dict)
    next_input: str | None = None
    over: bool = False
    _position: int = 0
    _present: Callable[[], bool] = lambda: True
    _waiting: defaultdict[str, list[_Task]] = field(default_factory=lambda: defaultdict(list))
    _early: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def see(self, event: Event) -> None:
        """Takes in one event of history, in its order."""
        kind = event["EventType"]
        if kind in _ENDS:
            task = self.tasks.get(event[_ENDS[kind]])
            if task is not None:
                task.ended = True
        elif kind == Kind.EVENT_RAISED:
            self._arrive(event["Name"])
        elif kind != Kind.EXECUTION_STARTED:
            return
        self._advance()

    def idle(self) -> bool:
        """Whether every task that has begun has ended."""
        return all(task.ended for task in self.tasks.values())

    def _advance(self) -> None:
        while self._present():
            if self._position == len(self.actions):
                self.over = True
                return
            action = self.actions[self._position]
            self._position += 1
            self._present = self._invoke(action)

    def _invoke(self, action: dict[str, Any]) -> Callable[[], bool]:
        """Begins an action; the answer tells whether it has ended."""
        try:
            kind = Action(action["actionType"])
        except ValueError:
            raise NotReplayable(f"Action {action['actionType']} has no place here.") from None
        if kind in (Action.WHEN_ANY, Action.WHEN_ALL):
            parts = [self._invoke(part) for part in action["compoundActions"]]
            every = all if kind is Action.WHEN_ALL else any
            return lambda: every(part() for part in parts)
        if kind is Action.CONTINUE_AS_NEW:
            self.next_input = action["input"]
            return lambda: True
        task = _Task(action)
        if kind is Action.WAIT_FOR_EVENT:
            self._await(action["externalEventName"], task)
        else:
            task.ended = bool(action.get("isCanceled"))
            self.tasks[len(self.tasks)] = task
        return lambda: task.ended

    def _await(self, name: str, task: _Task) -> None:
        if self._early[name]:
            self._early[name] -= 1
            task.ended = True
        else:
            self._waiting[name].append(task)

    def _arrive(self, name: str) -> None:
        if self._waiting[name]:
            self._waiting[name].pop().ended = True  # the newest waits first, as in Azure
        else:
            self._early[name] += 1
