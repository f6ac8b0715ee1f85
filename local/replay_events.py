"""History events in the JSON that azure-functions-durable 1.x reads."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

Event = dict[str, Any]


class Kind(IntEnum):
    """EventType: the numbers of the Durable Task Framework."""

    EXECUTION_STARTED = 0
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    STORY_CREATED = 7
    STORY_COMPLETED = 8
    STORY_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    EPISODE_STARTED = 12
    EPISODE_COMPLETED = 13
    EVENT_RAISED = 15


SCHEDULED = (Kind.TASK_SCHEDULED, Kind.STORY_CREATED, Kind.TIMER_CREATED)


def stamp(moment: datetime) -> str:
    """A time with microseconds, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def execution_started(now: datetime, story: str, text: str | None, instance: str) -> Event:
    """`text` is the input as JSON text. The SDK insists on a Version."""
    execution = {"InstanceId": instance}
    return _event(
        Kind.EXECUTION_STARTED,
        now,
        Name=story,
        Input=text,
        Version="",
        OrchestrationInstance=execution,
    )


def episode_started(now: datetime) -> Event:
    return _event(Kind.EPISODE_STARTED, now)


def episode_completed(now: datetime) -> Event:
    return _event(Kind.EPISODE_COMPLETED, now)


def task_scheduled(now: datetime, task: int, name: str) -> Event:
    return _event(Kind.TASK_SCHEDULED, now, task, Name=name, Version="")


def task_completed(now: datetime, task: int, text: str) -> Event:
    """`text` is the answer as JSON text."""
    return _event(Kind.TASK_COMPLETED, now, TaskScheduledId=task, Result=text)


def task_failed(now: datetime, task: int, reason: str) -> Event:
    return _event(Kind.TASK_FAILED, now, TaskScheduledId=task, Reason=reason, Details="")


def story_created(now: datetime, task: int, name: str, instance: str) -> Event:
    return _event(Kind.STORY_CREATED, now, task, Name=name, InstanceId=instance, Version="")


def story_completed(now: datetime, task: int, text: str | None) -> Event:
    return _event(Kind.STORY_COMPLETED, now, TaskScheduledId=task, Result=text)


def story_failed(now: datetime, task: int, reason: str) -> Event:
    return _event(Kind.STORY_FAILED, now, TaskScheduledId=task, Reason=reason, Details="")


def timer_created(now: datetime, task: int, fire_at: str) -> Event:
    return _event(Kind.TIMER_CREATED, now, task, FireAt=fire_at)


def timer_fired(now: datetime, task: int, fire_at: str) -> Event:
    return _event(Kind.TIMER_FIRED, now, TimerId=task, FireAt=fire_at)


def event_raised(now: datetime, name: str, text: str) -> Event:
    """`text` is the value as JSON text, encoded twice, as the Python client sends it."""
    return _event(Kind.EVENT_RAISED, now, Name=name, Input=text)


def terminated(now: datetime, reason: str) -> Event:
    return _event(Kind.EXECUTION_TERMINATED, now, Input=reason)


def _event(kind: Kind, now: datetime, task: int = -1, **fields: Any) -> Event:
    when = stamp(now)
    return {"EventType": int(kind), "EventId": task, "IsPlayed": False, "Timestamp": when, **fields}
