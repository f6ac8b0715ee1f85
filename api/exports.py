"""Exports: a selection as one zip, made by a story, fetched whole or in ranges."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.answers import RunOut
from api.auth import SignedIn
from api.deps import Org, Run, TheApp, TheStories
from api.download import byte_range, download
from api.models import ExportIn
from engine import audit, export, runs

router = APIRouter(tags=["exports"])


@router.post("/organizations/{org}/exports", status_code=202, response_model=RunOut)
async def start_export(
    org: Org, body: ExportIn, who: SignedIn, app: TheApp, stories: TheStories
) -> Any:
    """Starts making a zip with .eml messages and files."""
    run = await run_in_threadpool(runs.request_export, app, org, who.id, body.model_dump())
    await stories.start("export_items", run.message.to_json(), run.id)
    return await run_in_threadpool(runs.show, app, org, run.id)


@router.get("/organizations/{org}/exports/{run}", response_model=RunOut)
def read_export(org: Org, run: Run, app: TheApp) -> Any:
    """One export; when its state is green the archive is ready."""
    return runs.show(app, org, run)


@router.get("/organizations/{org}/exports/{run}/archive")
def read_archive(
    org: Org,
    run: Run,
    who: SignedIn,
    app: TheApp,
    range_: Annotated[str, Header(alias="range")] = "",
) -> StreamingResponse:
    """The zip, whole or by Range."""
    archive = export.find_archive(app, org, run)
    first, last = byte_range(range_, archive.size)
    audit.note(app, org, who.id, "archive-fetched", run=run, count=archive.items)
    answer = download(
        f"{run}.zip",
        export.read_archive(app, org, run, first, last),
        "application/zip",
        last - first + 1,
    )
    answer.headers["Accept-Ranges"] = "bytes"
    if (first, last) != (0, archive.size - 1):
        answer.status_code = 206
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{archive.size}"
    return answer
