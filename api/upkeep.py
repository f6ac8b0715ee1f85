"""Verifications: proof that what was backed up can be read back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from api.answers import Page, RepairOut, RunOut, VerificationOut
from api.auth import SignedIn
from api.deps import After, Limit, Org, Run, TheApp, TheStories, page
from api.models import RepairIn, VerifyIn
from engine import repair, runs, verify

router = APIRouter(tags=["upkeep"])


@router.post("/organizations/{org}/verifications", status_code=202, response_model=RunOut)
async def start_verification(
    org: Org, who: SignedIn, app: TheApp, stories: TheStories, body: VerifyIn | None = None
) -> Any:
    """Starts reading the vault back: hash chains, reachability, and every byte unless told
    otherwise.
    """
    wanted = body or VerifyIn()
    run = await run_in_threadpool(runs.request_verification, app, org, who.id, *_how_much(wanted))
    await stories.start("verify_vault", run.message.to_json(), run.id)
    return await run_in_threadpool(runs.show, app, org, run.id)


@router.get("/organizations/{org}/verifications", response_model=Page[RunOut])
def list_verifications(org: Org, app: TheApp, after: After = "", limit: Limit = 50) -> Any:
    """Verifications, newest first."""
    found, more = runs.listed(app, org, kind="verify", after=after, limit=limit)
    return page(found, more)


@router.get("/organizations/{org}/verifications/{run}", response_model=VerificationOut)
def read_verification(org: Org, run: Run, app: TheApp) -> dict[str, Any]:
    """One verification with every problem it found."""
    return {**runs.show(app, org, run), "report": verify.report(app, org, run)}


@router.post("/organizations/{org}/verifications/{run}/repair", response_model=RepairOut)
def repair_vault(
    org: Org, run: Run, who: SignedIn, app: TheApp, body: RepairIn | None = None
) -> dict[str, Any]:
    """Mends what a verification found: chains go on behind the damage, and the next backup fetches
    what is lost from the tenant. Without `dry_run` false it only says what it would do.
    """
    wanted = body or RepairIn()
    return repair.repair(app, org, run, who.id, dry_run=wanted.dry_run, give_up=wanted.give_up)


def _how_much(wanted: VerifyIn) -> tuple[bool, float, int]:
    """Whether to read everything, else which share, and how many items to restore to nowhere."""
    match wanted.level:
        case "quick":
            return False, 0.0, 0
        case "normal":
            return False, 0.01, wanted.samples
        case "full":
            return True, 1.0, wanted.samples
    return wanted.read_data, wanted.share, wanted.samples
