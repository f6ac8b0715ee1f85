"""Backups and the runs they become."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from api.answers import Page, RunOut, RunRowOut
from api.auth import SignedIn
from api.deps import After, Limit, Org, Run, TheApp, TheStories, page
from engine import runs

router = APIRouter(tags=["backups"])

Kind = Literal["", "backup", "restore", "export", "verify", "collect", "rebuild"]


@router.post("/organizations/{org}/backups", status_code=202, response_model=RunOut)
async def start_backup(org: Org, who: SignedIn, app: TheApp, stories: TheStories) -> Any:
    """Starts a backup of one organization now; answers at once, watch it under /runs/{id}."""
    run = await run_in_threadpool(runs.request_backup, app, org, who.id)
    await stories.start("backup_organization", run.message.to_json(), run.id)
    return await run_in_threadpool(runs.show, app, org, run.id)


@router.get("/organizations/{org}/runs", response_model=Page[RunOut])
def list_runs(org: Org, app: TheApp, after: After = "", limit: Limit = 50, kind: Kind = "") -> Any:
    """Runs, newest first."""
    found, more = runs.listed(app, org, kind=kind, after=after, limit=limit)
    return page(found, more)


@router.get("/organizations/{org}/runs/{run}", response_model=RunOut)
def read_run(org: Org, run: Run, app: TheApp) -> Any:
    """One run with its live progress."""
    return runs.show(app, org, run)


@router.get("/organizations/{org}/runs/{run}/resources", response_model=Page[RunRowOut])
def run_resources(org: Org, run: Run, app: TheApp, after: After = "", limit: Limit = 200) -> Any:
    """How each resource of a run fares."""
    runs.show(app, org, run)  # an unknown run is no empty list
    found, more = runs.progress_rows(app, org, run, after=after, limit=limit)
    return page(found, more)


@router.post("/organizations/{org}/runs/{run}/cancel", status_code=202, response_model=RunOut)
def cancel_run(org: Org, run: Run, who: SignedIn, app: TheApp) -> Any:
    """Asks a run to stop at its next step; what is committed stays."""
    runs.cancel(app, org, run, who.id)
    return runs.show(app, org, run)
