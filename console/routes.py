"""The console's pages and the fragments htmx asks for; every one but the sign-in wants somebody
signed in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from api.auth import SESSION_COOKIE, AdminToken, Principal
from api.deps import Org, Run, TheApp, TheStories
from base.errors import Problem
from console import views
from console.pages import render
from engine import restore_plan, runs

STATIC = Path(__file__).parent / "static"


def _signed_in_page(request: Request) -> Principal:
    """Like api.auth.signed_in, but sends a person to the sign-in page instead of an error."""
    principal: Principal | None = request.app.state.authenticator.principal(request)
    if principal is None:
        raise HTTPException(303, headers={"Location": "/signin"})
    return principal


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a posted form, as lists: a field may be chosen several times."""
    return parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)


Who = Annotated[Principal, Depends(_signed_in_page)]
Form = Annotated[dict[str, list[str]], Depends(_form)]

public = APIRouter(include_in_schema=False)
pages = APIRouter(include_in_schema=False, dependencies=[Depends(_signed_in_page)])


def install(web: FastAPI) -> None:
    """Adds pages and static files to the app."""
    web.mount("/static", StaticFiles(directory=STATIC), name="static")
    web.include_router(public)
    web.include_router(pages)


# --- Signing in (laptop only; in Azure the platform does it) ---


@public.get("/signin")
def sign_in_page() -> HTMLResponse:
    """Asks for the admin token."""
    return render("signin.html", wrong=False)


@public.post("/signin")
def sign_in(request: Request, form: Form) -> Response:
    """Trades the admin token for a session cookie."""
    authenticator = request.app.state.authenticator
    token = form.get("token", [""])[0].strip()
    if not isinstance(authenticator, AdminToken) or not authenticator.accepts(token):
        return render("signin.html", wrong=True, status=401)
    answer = RedirectResponse("/", status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        SESSION_COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return answer


@public.post("/signout")
def sign_out() -> Response:
    """Forgets the session cookie."""
    answer = RedirectResponse("/signin", status_code=303)
    answer.delete_cookie(SESSION_COOKIE, path="/")
    return answer


# --- Pages ---


@pages.get("/")
def dashboard(app: TheApp) -> HTMLResponse:
    """Every organization with its newest backup."""
    return render("dashboard.html", organizations=views.organizations(app))


@pages.get("/problems")
def problems() -> HTMLResponse:
    """Every problem code with what to do about it."""
    return render("problems.html", problems=views.problems())


@pages.get("/organizations/{org}")
def organization(org: Org, app: TheApp) -> HTMLResponse:
    """One organization: what is protected, runs, what is missing."""
    return render("organization.html", **views.organization(app, org))


@pages.get("/organizations/{org}/run/{run}")
def run_page(org: Org, run: Run, app: TheApp, request: Request) -> HTMLResponse:
    """One run; htmx asks the same address for the part that changes."""
    template = "run_progress.html" if "hx-request" in request.headers else "run.html"
    return render(template, **views.run(app, org, run))


@pages.get("/organizations/{org}/browse")
def browse(
    org: Org,
    app: TheApp,
    service: str,
    resource: str,
    snapshot: int | None = None,
    folder: str = "",
    next: str = "",
) -> HTMLResponse:
    """A folder of a restore point."""
    found = views.browse(app, org, service, resource, snapshot, folder, next)
    return render("browse.html", **found)


# --- Acts ---


@pages.post("/organizations/{org}/backup")
async def start_backup(org: Org, who: Who, app: TheApp, stories: TheStories) -> Response:
    """Starts a backup and shows it."""
    try:
        run = await run_in_threadpool(runs.request_backup, app, org, who.id)
    except Problem as problem:
        return render("problem.html", problem=problem, back=f"/organizations/{org}", status=409)
    await stories.start("backup_organization", run.message.to_json(), run.id)
    return RedirectResponse(f"/organizations/{org}/run/{run.id}", status_code=303)


@pages.post("/organizations/{org}/run/{run}/cancel")
def cancel(org: Org, run: Run, who: Who, app: TheApp) -> Response:
    """Asks a run to stop."""
    runs.cancel(app, org, run, who.id)
    return RedirectResponse(f"/organizations/{org}/run/{run}", status_code=303)


@pages.post("/organizations/{org}/restore")
async def restore(org: Org, who: Who, app: TheApp, stories: TheStories, form: Form) -> Response:
    """Shows the plan of a restore, and starts it when it was confirmed."""
    back = f"/organizations/{org}"
    try:
        wanted = restore_plan.RestoreRequest.from_json(_wanted(form))
        confirmed = form.get("confirmed", [""])[0] == "yes"
        wanted, plan = await run_in_threadpool(
            restore_plan.prepare, app, org, wanted, look=not confirmed
        )
        if not confirmed:
            return render("plan.html", org=org, wanted=wanted, plan=plan)
        run = await run_in_threadpool(runs.request_restore, app, org, who.id, wanted, plan)
    except Problem as problem:
        return render("problem.html", problem=problem, back=back, status=problem.status)
    await stories.start("restore_items", run.message.to_json(), run.id)
    return RedirectResponse(f"/organizations/{org}/run/{run.id}", status_code=303)


@pages.post("/organizations/{org}/export")
async def export(org: Org, who: Who, app: TheApp, stories: TheStories, form: Form) -> Response:
    """Starts making a zip of the selection."""
    chosen = _wanted(form)
    body = {key: chosen[key] for key in ("service", "resource", "snapshot", "items", "folders")}
    try:
        run = await run_in_threadpool(runs.request_export, app, org, who.id, body)
    except Problem as problem:
        back = f"/organizations/{org}"
        return render("problem.html", problem=problem, back=back, status=problem.status)
    await stories.start("export_items", run.message.to_json(), run.id)
    return RedirectResponse(f"/organizations/{org}/run/{run.id}", status_code=303)


def _wanted(form: dict[str, list[str]]) -> dict[str, Any]:
    def one(name: str, default: str = "") -> str:
        return form.get(name, [default])[0]

    snapshot = one("snapshot")
    return {
        "service": one("service"),
        "resource": one("resource"),
        "snapshot": int(snapshot) if snapshot.isdigit() else None,
        "items": form.get("item", []),
        "folders": form.get("folder", []),
        "target": one("target"),
        "place": one("place", "folder"),
        "conflict": one("conflict", "skip"),
    }
