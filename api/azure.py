"""The API behind Azure Functions: FastAPI in one function, stories over the durable client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

import azure.functions as func

from base.stories import StoryExists, StoryMissing, StoryState, StoryStatus

_client: ContextVar[Any] = ContextVar("durable client")  # each request brings its own

_STATES = {
    "Completed": StoryState.COMPLETED,
    "Failed": StoryState.FAILED,
    "Canceled": StoryState.TERMINATED,
    "Terminated": StoryState.TERMINATED,
}


async def answer(req: func.HttpRequest, context: func.Context, client: Any) -> func.HttpResponse:
    """Answers one HTTP request with the whole app."""
    _client.set(client)
    response: func.HttpResponse = await _app().handle_async(req, context)
    return response


@cache
def _app() -> func.AsgiMiddleware:
    """Made at the first request: instances that only run steps never load FastAPI."""
    from api.app import build
    from api.auth import AppServiceAuthentication
    from engine.assembly import current_app

    stories = DurableStories(_client.get)
    web = build(current_app(), stories, AppServiceAuthentication())
    return func.AsgiMiddleware(web)  # type: ignore[no-untyped-call]


class DurableStories:
    """The Stories port over a durable client, the bound one in Azure or the local host's.

    `client` is asked for the client at every call.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    async def start(self, story: str, message: Mapping[str, Any], instance_id: str) -> None:
        """Starts a story. The same id with the same message again is fine; else StoryExists.

        Azure replaces a finished story of the same id without a word, so we look first. Two starts
        at one moment can both pass; run ids are made for one start, and a run holds its lease.
        """
        known = await self._client().get_status(instance_id, show_input=True)
        if not known:
            await self._client().start_new(story, instance_id, dict(message))
        elif (known.name, _plain(known.input_)) != (story, dict(message)):
            raise StoryExists("That id belongs to another story.")

    async def status(self, instance_id: str) -> StoryStatus | None:
        """How a story stands, or None when there is none."""
        known = await self._client().get_status(instance_id)
        if not known:
            return None
        return StoryStatus(
            id=known.instance_id,
            story=known.name,
            state=_STATES.get(known.runtime_status.value, StoryState.RUNNING),
            updated=known.last_updated_time,
            custom=_plain(known.custom_status),
            output=_plain(known.output),
        )

    async def raise_event(self, instance_id: str, name: str, value: Any) -> None:
        """Tells a running story that something happened; else StoryMissing."""
        known = await self.status(instance_id)
        if known is None or known.state is not StoryState.RUNNING:
            raise StoryMissing("There is no running story with that id.")
        await self._client().raise_event(instance_id, name, value)

    async def terminate(self, instance_id: str, reason: str) -> None:
        """Ends a story where it stands; one that has ended stays as it is; else StoryMissing."""
        if await self.status(instance_id) is None:
            raise StoryMissing("There is no story with that id.")
        await self._client().terminate(instance_id, reason)

    async def purge(self, instance_id: str) -> bool:
        """Forgets an ended story; False when there is none."""
        known = await self.status(instance_id)
        if known is None or known.state is StoryState.RUNNING:
            return False
        purged = await self._client().purge_instance_history(instance_id)
        return bool(purged.instances_deleted)


def _plain(value: Any) -> Any:
    """JSON that the client or the host encoded once more than needed."""
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return value
