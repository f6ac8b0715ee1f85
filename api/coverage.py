"""What is protected, what is not and why, what could not be copied, who did what, and what it
costs.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.answers import AuditRowOut, CoverageOut, LedgerRowOut, Page, UsageOut
from api.deps import After, Limit, Org, TheApp, page
from api.throttling_answers import ThrottlingOut
from engine import audit, coverage, ledger, throttling

router = APIRouter(tags=["coverage"])


@router.get("/organizations/{org}/coverage", response_model=CoverageOut)
def read_coverage(org: Org, app: TheApp) -> dict[str, Any]:
    """The coverage statement: every resource and service with its state and the reason."""
    return coverage.statement(app, org)


@router.get("/organizations/{org}/ledger", response_model=Page[LedgerRowOut])
def read_ledger(org: Org, app: TheApp, after: After = "", limit: Limit = 100) -> Any:
    """Items and parts that could not be copied, with cause, attempts and next try."""
    found, more = ledger.listed(app, org, after=after, limit=limit)
    return page(found, more)


@router.get("/organizations/{org}/audit", response_model=Page[AuditRowOut])
def read_audit(org: Org, app: TheApp, after: After = "", limit: Limit = 100) -> Any:
    """Who did what, each entry carrying the hash of the one before."""
    found, more = audit.listed(app, org, after=after, limit=limit)
    return page(found, more)


@router.get("/organizations/{org}/usage", response_model=UsageOut)
def read_usage(org: Org, app: TheApp) -> dict[str, Any]:
    """Requests, storage operations, items and bytes of the organization's runs."""
    return coverage.usage(app, org)


@router.get("/organizations/{org}/throttling", response_model=ThrottlingOut)
def read_throttling(org: Org, app: TheApp) -> dict[str, Any]:
    """What Microsoft's limits leave: spent, claimed, paused and why, held back, restores first."""
    return throttling.shown(app, org)
