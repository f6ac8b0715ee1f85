"""Rebuilds: the tables made anew from the vaults' blobs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from api.answers import RebuildsOut
from api.auth import SignedIn
from api.deps import TheApp, TheStories
from engine import rebuild

router = APIRouter(tags=["upkeep"])


@router.post("/rebuilds", status_code=202, response_model=RebuildsOut)
async def start_rebuild(who: SignedIn, app: TheApp, stories: TheStories) -> dict[str, Any]:
    """Makes lost tables anew: finds every vault, brings its organization back, and reads off it
    what rows said. What is there stays.
    """
    found = await run_in_threadpool(rebuild.request_rebuild, app, who.id)
    for run in found:
        await stories.start("rebuild_records", run.to_json(), run.run)
    return {"rebuilds": [{"organization": run.org, "run": run.run} for run in found]}
