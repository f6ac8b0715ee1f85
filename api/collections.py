"""Collections: what retention gives up and nothing needs is removed, or said to be removable."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from api.answers import CollectionOut, Page, RetentionOut, RunOut
from api.auth import SignedIn
from api.deps import After, Limit, Org, Run, TheApp, TheStories, page
from api.models import CollectIn
from engine import collect, resources, runs

router = APIRouter(tags=["upkeep"])


@router.post("/organizations/{org}/collections", status_code=202, response_model=RunOut)
async def start_collection(
    org: Org, who: SignedIn, app: TheApp, stories: TheStories, body: CollectIn | None = None
) -> Any:
    """Removes restore points that the policy's retention gives up, and later what nothing needs;
    with `dry_run` it only says what it would do.
    """
    wanted = body or CollectIn()
    run = await run_in_threadpool(
        collect.request_collection, app, org, who.id, wanted.dry_run, wanted.confirmed
    )
    await stories.start("collect_vault", run.message.to_json(), run.id)
    return await run_in_threadpool(runs.show, app, org, run.id)


@router.get("/organizations/{org}/collections", response_model=Page[RunOut])
def list_collections(org: Org, app: TheApp, after: After = "", limit: Limit = 50) -> Any:
    """Collections, newest first."""
    found, more = runs.listed(app, org, kind="collect", after=after, limit=limit)
    return page(found, more)


@router.get("/organizations/{org}/collections/{run}", response_model=CollectionOut)
def read_collection(org: Org, run: Run, app: TheApp) -> dict[str, Any]:
    """One collection with what it did, or would do."""
    return {**runs.show(app, org, run), "report": collect.report(app, org, run)}


@router.get("/organizations/{org}/retention", response_model=RetentionOut)
def read_retention(org: Org, service: str, resource: str, app: TheApp) -> dict[str, Any]:
    """Why each restore point of a resource is kept; without a reason it expires next."""
    chain = resources.chain(service, resource)
    return {"snapshots": collect.retention(app, org, chain)}
