"""The durable client's calls, answered by the local host: api/azure.py speaks to it on a laptop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from azure.durable_functions import OrchestrationRuntimeStatus
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
from azure.durable_functions.models.PurgeHistoryResult import PurgeHistoryResult

from api.azure import DurableStories
from base.clock import Clock
from base.stories import StoryState
from local import replay_events
from local.host import LocalHost, functions_of
from local.instances import Instances
from local.timers import Timers

KEPT = timedelta(days=14)  # how long the host remembers stories that ended

_STATUS = {
    StoryState.RUNNING: OrchestrationRuntimeStatus.Running,
    StoryState.COMPLETED: OrchestrationRuntimeStatus.Completed,
    StoryState.FAILED: OrchestrationRuntimeStatus.Failed,
    StoryState.TERMINATED: OrchestrationRuntimeStatus.Terminated,
}


class LocalClient:
    """The part of DurableOrchestrationClient that stories need."""

    def __init__(self, host: LocalHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock

    async def start_new(
        self, orchestration_function_name: str, instance_id: str, client_input: Any
    ) -> str:
        self._host.create(orchestration_function_name, json.dumps(client_input), instance_id)
        return instance_id

    async def get_status(
        self, instance_id: str, show_input: bool = False
    ) -> DurableOrchestrationStatus:
        """Falsy when there is none, like Azure's."""
        found = self._host.instances.find(instance_id)
        if found is None:
            return DurableOrchestrationStatus()
        return DurableOrchestrationStatus(
            name=found.story,
            instanceId=found.id,
            createdTime=replay_events.stamp(found.created),
            lastUpdatedTime=replay_events.stamp(found.updated),
            input=found.input,
            output=json.loads(found.output or "null"),
            runtimeStatus=_STATUS[found.state],
            customStatus=json.loads(found.custom or "null"),
        )

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        # Encoded twice, as the real client does and as stories will find it in Azure.
        text = json.dumps(json.dumps(event_data))
        event = replay_events.event_raised(self._clock.now(), event_name, text)
        if not self._host.post(instance_id, event):
            raise LookupError("There is no running story with that id.")

    async def terminate(self, instance_id: str, reason: str) -> None:
        event = replay_events.terminated(self._clock.now(), reason)
        if not self._host.post(instance_id, event) and not await self.get_status(instance_id):
            raise LookupError("There is no story with that id.")

    async def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        return PurgeHistoryResult(int(self._host.instances.purge(instance_id)))


def stories_of(host: LocalHost, clock: Clock) -> DurableStories:
    """The Stories port over a local host."""
    client = LocalClient(host, clock)
    return DurableStories(lambda: client)


@dataclass(frozen=True, slots=True)
class RunningHost:
    """The functions of an app at work, with the port to its stories."""

    host: LocalHost
    timers: Timers
    stories: DurableStories

    def stop(self, grace_s: float = 5.0) -> None:
        """Ends in good order; what is left goes on at the next start."""
        self.timers.stop(grace_s)
        self.host.stop(grace_s)


def run_functions(app: Any, path: Path, clock: Clock, steps_at_once: int = 8) -> RunningHost:
    """Runs stories, steps and timers of a DFApp over one file, and goes on with what it holds.

    Raises HostRunning when another process has the file.
    """
    functions = functions_of(app)
    instances = Instances(path, clock)
    instances.purge_ended_before(clock.now() - KEPT)
    host = LocalHost(functions, instances, clock, steps_at_once)
    timers = Timers(functions.timers, instances, clock, LocalClient(host, clock))
    host.start()
    timers.start()
    return RunningHost(host, timers, stories_of(host, clock))
