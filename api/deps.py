"""What every route is handed: the running App, the stories, a checked organization, and paging."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from api.models import SNAPSHOT_MAX
from base.ids import OrgId, RunId, org_id, run_id
from base.stories import Stories
from engine.assembly import App


def _app(request: Request) -> App:
    app: App = request.app.state.app
    return app


def _stories(request: Request) -> Stories:
    stories: Stories = request.app.state.stories
    return stories


TheApp = Annotated[App, Depends(_app)]


def _org(org: Annotated[str, Path(max_length=200)], app: TheApp) -> OrgId:
    """An organization that exists, so that no route below it has to ask."""
    return OrgId(app.organization(org_id(org)).id)


def _run(run: Annotated[str, Path(max_length=200)]) -> RunId:
    return run_id(run)


TheStories = Annotated[Stories, Depends(_stories)]
Org = Annotated[OrgId, Depends(_org)]
Run = Annotated[RunId, Depends(_run)]
After = Annotated[
    str, Query(alias="next", max_length=4096, description="the `next` of the page before")
]
Limit = Annotated[int, Query(ge=1, le=500)]
ServiceName = Annotated[str, Query(max_length=40)]
ResourceName = Annotated[str, Query(max_length=1024)]
SnapshotNumber = Annotated[
    int | None, Query(ge=1, le=SNAPSHOT_MAX, description="without it the newest")
]


def page(items: list[dict[str, Any]], after: str) -> dict[str, Any]:
    """The shape of every list."""
    return {"items": items, "next": after or None}
