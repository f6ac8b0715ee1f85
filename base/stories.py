"""The port to running stories: start, watch, signal, end. Azure and the laptop both fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from base.errors import Conflict, NotFound


class StoryState(StrEnum):
    """Where a story stands; the last three are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class StoryStatus:
    """What the engine says about one story. A run's own record says more; show people that one."""

    id: str
    story: str
    state: StoryState
    updated: datetime
    custom: Mapping[str, Any] | None = None
    output: Any = None


class StoryExists(Conflict):
    """The id belongs to another story, running or finished."""

    code = "story-exists"
    hint = "Every run gets an id of its own; ask for a new run."


class StoryMissing(NotFound):
    """There is no story with that id, or it has ended and takes no more events."""

    code = "story-missing"
    hint = "Read the run: it ended, or it never began."


class Stories(Protocol):
    """Stories by instance id, which is the id of their run."""

    async def start(self, story: str, message: Mapping[str, Any], instance_id: str) -> None:
        """Starts a story. The same id with the same message again is fine; else StoryExists."""
        ...

    async def status(self, instance_id: str) -> StoryStatus | None:
        """How a story stands, or None when there is none."""
        ...

    async def raise_event(self, instance_id: str, name: str, value: Any) -> None:
        """Tells a running story that something happened, such as an approval; else StoryMissing."""
        ...

    async def terminate(self, instance_id: str, reason: str) -> None:
        """Ends a story where it stands; the last resort.

        Steps in flight and the lanes of a backup go on until they ask whether the run was
        cancelled, so cancel the run first.
        """
        ...

    async def purge(self, instance_id: str) -> bool:
        """Forgets an ended story and all the engine kept of it; False when there is none."""
        ...
