"""The Stories port over the SDK's real client, which speaks HTTP to the Functions host.

The host's side is served here as the durable extension does (status codes, bodies encoded twice,
finished instances replaced on start), with the local host's stories behind it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
from aiohttp import web
from azure.durable_functions import DurableOrchestrationClient
from azure.durable_functions.models.utils import http_utils

from api.azure import DurableStories
from base.stories import StoryExists, StoryMissing, StoryState
from local.host_client import LocalClient
from tests.orchestrators.fake_steps import Stage

Scenario = Callable[[DurableStories, Stage], Awaitable[None]]


def echoes(context: Any) -> Generator[Any, Any, Any]:
    return (yield context.call_activity("echo", context.get_input()))


def waits(context: Any) -> Generator[Any, Any, Any]:
    context.set_custom_status({"waiting": True})
    return json.loads((yield context.wait_for_external_event("approval")))


class Extension:
    """The durable extension's loopback endpoints."""

    def __init__(self, stage: Stage) -> None:
        self._client = LocalClient(stage.host, stage.clock)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/orchestrators/{story}/{id}", self._start),
            web.get("/instances/{id}", self._status),
            web.post("/instances/{id}/raiseEvent/{event}", self._raise),
            web.post("/instances/{id}/terminate", self._terminate),
            web.delete("/instances/{id}", self._purge),
        ]

    async def _start(self, request: web.Request) -> web.Response:
        name, instance = request.match_info["story"], request.match_info["id"]
        await self._client.purge_instance_history(instance)  # Azure replaces finished ones
        await self._client.start_new(name, instance, json.loads(await request.json()))
        return web.json_response({"id": instance}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        known = await self._client.get_status(request.match_info["id"])
        if not known:
            return web.Response(status=404)
        body = {
            "name": known.name,
            "instanceId": known.instance_id,
            "runtimeStatus": known.runtime_status.value,
            "input": known.input_,  # a string of JSON, as the client encoded it twice
            "output": known.output,
            "customStatus": known.custom_status,
            "createdTime": known.created_time.isoformat(),
            "lastUpdatedTime": known.last_updated_time.isoformat(),
        }
        return web.json_response(body, status=200 if known.output else 202)

    async def _raise(self, request: web.Request) -> web.Response:
        value = json.loads(await request.json())
        await self._client.raise_event(request.match_info["id"], request.match_info["event"], value)
        return web.Response(status=202)

    async def _terminate(self, request: web.Request) -> web.Response:
        await self._client.terminate(request.match_info["id"], request.query["reason"])
        return web.Response(status=202)

    async def _purge(self, request: web.Request) -> web.Response:
        done = await self._client.purge_instance_history(request.match_info["id"])
        status = 200 if done.instances_deleted else 404
        return web.json_response({"instancesDeleted": done.instances_deleted}, status=status)


def play(scenario: Scenario) -> None:
    """Runs a scenario against a served extension."""

    async def served() -> None:
        stage = Stage({"echo": lambda request: request}, (echoes, waits))
        app = web.Application()
        app.add_routes(Extension(stage).routes())
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        hub = {
            "taskHubName": "hub",
            "creationUrls": {},
            "managementUrls": {},
            "rpcBaseUrl": f"http://{host}:{port}/",
        }
        client = DurableOrchestrationClient(json.dumps(hub))
        try:
            await scenario(DurableStories(lambda: client), stage)
        finally:
            await http_utils._close_session()
            await runner.cleanup()

    asyncio.run(served())


def test_a_story_is_started_once_watched_and_forgotten() -> None:
    async def scenario(stories: DurableStories, stage: Stage) -> None:
        assert await stories.status("run-1") is None
        await stories.start("echoes", {"n": 1}, "run-1")
        await stories.start("echoes", {"n": 1}, "run-1")
        stage.play()
        status = await stories.status("run-1")
        assert status is not None
        assert (status.state, status.output) == (StoryState.COMPLETED, {"n": 1})
        assert len(stage.instances.told) == 2
        await stories.start("echoes", {"n": 1}, "run-1")  # finished: Azure would run it again
        assert len(stage.instances.told) == 2
        with pytest.raises(StoryExists):
            await stories.start("echoes", {"n": 2}, "run-1")
        assert await stories.purge("run-1")
        assert not await stories.purge("run-1")

    play(scenario)


def test_an_event_reaches_a_waiting_story_and_nobody_else() -> None:
    async def scenario(stories: DurableStories, stage: Stage) -> None:
        await stories.start("waits", {}, "run-1")
        stage.play()
        status = await stories.status("run-1")
        assert status is not None
        assert (status.state, status.custom) == (StoryState.RUNNING, {"waiting": True})
        await stories.raise_event("run-1", "approval", {"by": "somebody"})
        stage.play()
        ended = await stories.status("run-1")
        assert ended is not None
        assert ended.output == {"by": "somebody"}
        for instance in ("run-1", "run-2"):
            with pytest.raises(StoryMissing):
                await stories.raise_event(instance, "approval", 1)

    play(scenario)


def test_a_terminated_story_is_over() -> None:
    async def scenario(stories: DurableStories, stage: Stage) -> None:
        await stories.start("waits", {}, "run-1")
        stage.play()
        assert not await stories.purge("run-1")  # still running
        await stories.terminate("run-1", "enough of it")
        stage.play()
        status = await stories.status("run-1")
        assert status is not None
        assert (status.state, status.output) == (StoryState.TERMINATED, "enough of it")
        with pytest.raises(StoryMissing):
            await stories.terminate("run-2", "no reason")

    play(scenario)
