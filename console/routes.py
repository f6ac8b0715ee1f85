"""The console's pages and the fragments htmx asks for; every one but the sign-in wants somebody
signed in. console/acts.py has what changes something.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from api.auth import SESSION_COOKIE, AdminToken
from api.coverage import WantedRows
from api.deps import After, Org, ResourceName, Run, ServiceName, SnapshotNumber, TheApp
from console import views
from console.acts import acts
from console.gate import Form, Who, signed_in_page
from console.pages import render
from engine import audit

STATIC = Path(__file__).parent / "static"

public = APIRouter(include_in_schema=False)
pages = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in_page)])

GraphId = Annotated[str, Query(max_length=1024)]
Selected = Literal["selection", "drives", "sites", "teams"]


def install(web: FastAPI) -> None:
    """Adds pages and static files to the app."""
    web.mount("/static", StaticFiles(directory=STATIC), name="static")
    web.include_router(public)
    web.include_router(pages)
    web.include_router(acts)


# --- Signing in: a token on the laptop; in Azure the platform does it ---


@public.get("/signin")
def sign_in_page(request: Request) -> Response:
    """Asks for the admin token."""
    if not isinstance(request.app.state.authenticator, AdminToken):
        return RedirectResponse("/.auth/login/aad?post_login_redirect_uri=/", status_code=303)
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
def sign_out(request: Request) -> Response:
    """Forgets the session."""
    if not isinstance(request.app.state.authenticator, AdminToken):
        return RedirectResponse("/.auth/logout", status_code=303)
    answer = RedirectResponse("/signin", status_code=303)
    answer.delete_cookie(SESSION_COOKIE, path="/")
    return answer


# --- Pages ---


@pages.get("/")
def dashboard(app: TheApp) -> HTMLResponse:
    """Every organization with its newest backup, and the form that adds one."""
    return render("dashboard.html", **views.dashboard(app))


@pages.get("/problems")
def problems() -> HTMLResponse:
    """Every problem code with what to do about it."""
    return render("problems.html", problems=views.problems())


@pages.get("/organizations/{org}")
def organization(org: Org, app: TheApp) -> HTMLResponse:
    """One organization: what is protected, runs, what is missing."""
    return render("organization.html", **views.organization(app, org))


@pages.get("/organizations/{org}/coverage")
def covered(org: Org, app: TheApp, wanted: WantedRows, after: After = "") -> HTMLResponse:
    """What is protected, partly or not, and why."""
    return render("coverage.html", **views.covered(app, org, wanted, after))


@pages.get("/organizations/{org}/policy")
def policy(org: Org, app: TheApp) -> HTMLResponse:
    """What is protected and when, as a form."""
    return render("policy.html", **views.policy(app, org))


@pages.get("/organizations/{org}/directory")
def directory(
    org: Org,
    app: TheApp,
    into: Selected = "selection",
    search: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """What a search box of the policy form finds."""
    return render("picked.html", **views.picked(app, org, into, search))


@pages.get("/organizations/{org}/directory/chosen")
def chosen(
    org: Org,
    into: Selected,
    kind: Literal["users", "groups", "sites", "teams"],
    value: GraphId,
    name: GraphId = "",
    address: GraphId = "",
) -> HTMLResponse:
    """One entry that was picked, as the form holds it."""
    entry = {"kind": kind, "value": value, "name": name, "address": address}
    return render("chosen.html", into=into, entry=entry)


@pages.get("/organizations/{org}/run/{run}")
def run_page(org: Org, run: Run, app: TheApp, request: Request, after: After = "") -> HTMLResponse:
    """One run; htmx asks the same address for the part that changes."""
    template = "run_progress.html" if "hx-request" in request.headers else "run.html"
    return render(template, **views.run(app, org, run, after))


@pages.get("/organizations/{org}/browse")
def browse(
    org: Org,
    app: TheApp,
    service: ServiceName,
    resource: ResourceName,
    snapshot: SnapshotNumber = None,
    folder: GraphId = "",
    after: After = "",
) -> HTMLResponse:
    """A folder of a restore point."""
    found = views.browse(app, org, service, resource, snapshot, folder, after)
    return render("browse.html", **found)


@pages.get("/organizations/{org}/item")
def item(
    org: Org,
    app: TheApp,
    who: Who,
    service: ServiceName,
    resource: ResourceName,
    item: GraphId,
    snapshot: SnapshotNumber = None,
) -> HTMLResponse:
    """One message or file: its facts, its text, its attachments."""
    found = views.item(app, org, service, resource, snapshot, item)
    audit.note(app, org, who.id, "item-opened", run="", count=1)
    return render("item.html", **found)
