"""What the console's forms do: post, then look at the result. All work without JavaScript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from api.deps import Org, Run, TheApp, TheStories
from base.errors import Problem
from console import forms, views
from console.gate import Form, Who, signed_in_page
from console.pages import render
from engine import audit, connection, organizations, policies, repair, restore_plan, runs

acts = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in_page)])


@acts.post("/organizations")
def add_organization(who: Who, app: TheApp, form: Form) -> HTMLResponse:
    """Takes a tenant in, and shows what opens its vault: here, once, and never again."""
    try:
        made = organizations.create(app, forms.new_organization(form))
    except Problem as problem:
        names = ("name", "tenant_id", "client_id", "restore_client_id")  # never a secret
        kept = {name: forms.one(form, name) for name in names}
        shown = views.dashboard(app, problem=problem, kept=kept)
        return render("dashboard.html", status=problem.status, **shown)
    audit.note(app, made.organization["id"], who.id, "organization-created")
    return render("created.html", org=made.organization, passphrase=made.recovery_passphrase)


@acts.post("/organizations/{org}/policy")
def change_policy(org: Org, who: Who, app: TheApp, form: Form) -> Response:
    """Replaces the policy; a refused one is shown again with what is wrong."""
    document: dict[str, Any] = {}
    try:
        document, version = forms.policy(form)
        policies.change(app, org, document, version, by=who.id)
    except Problem as problem:
        shown = views.policy(app, org, problem=problem, refused=document)
        return render("policy.html", status=problem.status, **shown)
    audit.note(app, org, who.id, "policy-changed")
    return _see(f"/organizations/{org}")


@acts.post("/organizations/{org}/connection")
def test_connection(org: Org, who: Who, app: TheApp) -> HTMLResponse:
    """Tries every permission and shows what is missing."""
    audit.note(app, org, who.id, "connection-tested")
    found = connection.test(app, org)
    return render("connection.html", org=organizations.show(app, org), found=found)


@acts.post("/organizations/{org}/backup")
async def start_backup(org: Org, who: Who, app: TheApp, stories: TheStories) -> Response:
    """Starts a backup and shows it."""

    async def start() -> Response:
        run = await run_in_threadpool(runs.request_backup, app, org, who.id)
        await stories.start("backup_organization", run.message.to_json(), run.id)
        return _see_run(org, run.id)

    return await _or_problem(org, start)


@acts.post("/organizations/{org}/verify")
async def start_verification(org: Org, who: Who, app: TheApp, stories: TheStories) -> Response:
    """Starts reading everything back."""
    run = await run_in_threadpool(runs.request_verification, app, org, who.id, True)
    await stories.start("verify_vault", run.message.to_json(), run.id)
    return _see_run(org, run.id)


@acts.post("/organizations/{org}/run/{run}/cancel")
def cancel(org: Org, run: Run, who: Who, app: TheApp) -> Response:
    """Asks a run to stop."""
    runs.cancel(app, org, run, who.id)
    return _see_run(org, run)


@acts.post("/organizations/{org}/run/{run}/repair")
async def repair_vault(org: Org, run: Run, who: Who, app: TheApp, form: Form) -> Response:
    """Shows what a repair would do, and does it when that was confirmed."""

    async def mend() -> Response:
        dry_run = forms.one(form, "confirmed") != "yes"
        found = await run_in_threadpool(repair.repair, app, org, run, who.id, dry_run=dry_run)
        shown = await run_in_threadpool(organizations.show, app, org)
        return render("repair.html", org=shown, run=run, found=found)

    return await _or_problem(org, mend)


@acts.post("/organizations/{org}/run/{run}/undo")
async def undo(org: Org, run: Run, who: Who, app: TheApp, stories: TheStories) -> Response:
    """Takes a restore back."""

    async def start() -> Response:
        made = await run_in_threadpool(runs.request_undo, app, org, who.id, run)
        await stories.start("restore_items", made.message.to_json(), made.id)
        return _see_run(org, made.id)

    return await _or_problem(org, start)


@acts.post("/organizations/{org}/restore")
async def restore(org: Org, who: Who, app: TheApp, stories: TheStories, form: Form) -> Response:
    """Shows the plan of a restore, and starts it when it was confirmed."""

    async def start() -> Response:
        confirmed = forms.one(form, "confirmed") == "yes"
        wanted, plan = await run_in_threadpool(
            restore_plan.prepare,
            app,
            org,
            restore_plan.RestoreRequest.from_json(forms.selection(form)),
            look=not confirmed,
        )
        if not confirmed:
            return render("plan.html", **views.plan(app, org, wanted, plan))
        run = await run_in_threadpool(runs.request_restore, app, org, who.id, wanted, plan)
        await stories.start("restore_items", run.message.to_json(), run.id)
        return _see_run(org, run.id)

    return await _or_problem(org, start)


@acts.post("/organizations/{org}/export")
async def export(org: Org, who: Who, app: TheApp, stories: TheStories, form: Form) -> Response:
    """Starts making a zip of the selection."""

    async def start() -> Response:
        chosen = forms.selection(form)
        body: dict[str, Any] = {
            key: chosen[key] for key in ("service", "resource", "snapshot", "items", "folders")
        }
        run = await run_in_threadpool(runs.request_export, app, org, who.id, body)
        await stories.start("export_items", run.message.to_json(), run.id)
        return _see_run(org, run.id)

    return await _or_problem(org, start)


async def _or_problem(org: str, act: Callable[[], Awaitable[Response]]) -> Response:
    """What an act answers; a problem as a page that leads back to the organization."""
    try:
        return await act()
    except Problem as problem:
        back = f"/organizations/{org}"
        return render("problem.html", problem=problem, back=back, status=problem.status)


def _see(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def _see_run(org: str, run: str) -> Response:
    return _see(f"/organizations/{org}/run/{run}")
