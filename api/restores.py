"""Restores: planned first, then written, then undone if they were a mistake."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from api.answers import Page, PlannedOut, RestoreOut, RestoreRowOut, RunOut
from api.auth import SignedIn
from api.deps import After, Org, Run, TheApp, TheStories, page
from api.models import RestoreIn
from engine import restore_plan, restore_report, runs

router = APIRouter(tags=["restores"])


@router.post(
    "/organizations/{org}/restores",
    status_code=202,
    response_model=RestoreOut | PlannedOut,
    responses={200: {"model": PlannedOut, "description": "The plan of a dry run"}},
)
async def start_restore(
    org: Org, body: RestoreIn, who: SignedIn, app: TheApp, stories: TheStories, response: Response
) -> dict[str, Any]:
    """Plans a restore; with `dry_run` answers the plan (200), else starts it (202)."""
    wanted = restore_plan.RestoreRequest.from_json(body.model_dump(exclude={"dry_run"}))
    wanted, plan = await run_in_threadpool(
        restore_plan.prepare, app, org, wanted, look=body.dry_run
    )
    shown = {"plan": asdict(plan), "request": wanted.to_json()}
    if body.dry_run:
        response.status_code = 200
        return shown
    run = await run_in_threadpool(runs.request_restore, app, org, who.id, wanted, plan)
    await stories.start("restore_items", run.message.to_json(), run.id)
    return {**shown, **await run_in_threadpool(runs.show, app, org, run.id)}


@router.get("/organizations/{org}/restores/{run}", response_model=RestoreOut)
def read_restore(org: Org, run: Run, app: TheApp) -> dict[str, Any]:
    """One restore: its request, plan and progress."""
    return {**runs.show(app, org, run), **restore_report.request_of(app, org, run)}


@router.get("/organizations/{org}/restores/{run}/report", response_model=Page[RestoreRowOut])
def restore_rows(org: Org, run: Run, app: TheApp, after: After = "") -> Any:
    """A row per item: what became of it, its new id, and what could not be set."""
    runs.show(app, org, run)  # an unknown run is no empty list
    rows, more = restore_report.rows(app, org, run, after)
    return page(rows, more)


@router.post("/organizations/{org}/restores/{run}/undo", status_code=202, response_model=RunOut)
async def undo_restore(
    org: Org, run: Run, who: SignedIn, app: TheApp, stories: TheStories
) -> dict[str, Any]:
    """Removes what this restore created and nothing else; what it replaced stays replaced."""
    undo = await run_in_threadpool(runs.request_undo, app, org, who.id, run)
    await stories.start("restore_items", undo.message.to_json(), undo.id)
    return await run_in_threadpool(runs.show, app, org, undo.id)
