"""Exports: a selection as one zip, made by a story, fetched whole or in ranges."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.auth import SignedIn
from api.browse import download
from api.deps import Org, Run, TheApp, TheStories
from api.models import ExportIn, RunOut
from base.errors import InvalidInput
from engine import audit, export, runs

router = APIRouter(tags=["exports"])

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class BadRange(InvalidInput):
    """The Range header asks for bytes that are not there."""

    code = "range-not-satisfiable"
    status = 416


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
    first, last = _range(range_, archive.size)
    audit.note(app, org, who.id, "archive-fetched", run=run, count=archive.items)
    answer = download(
        f"{run}.zip", export.read_archive(app, org, run, first, last), "application/zip"
    )
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Content-Length"] = str(last - first + 1)
    if range_:
        answer.status_code = 206
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{archive.size}"
    return answer


def _range(header: str, size: int) -> tuple[int, int]:
    if not header:
        return 0, size - 1
    match = _RANGE.fullmatch(header.strip())
    if not match or int(match[1]) >= size:
        raise BadRange("That range is not in the archive.", size=size)
    return int(match[1]), min(int(match[2] or size - 1), size - 1)
