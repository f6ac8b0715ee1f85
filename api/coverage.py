"""What is protected, what is not and why, what could not be copied, who did what, and what it
costs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.answers import AuditRowOut, LedgerRowOut, Page, UsageOut
from api.auth import SignedIn
from api.coverage_answers import CoverageOut, CoverageRowOut
from api.deps import After, Limit, Org, TheApp, page
from api.download import download
from api.throttling_answers import ThrottlingOut
from engine import audit, coverage, coverage_export, ledger, throttling
from engine.coverage_rows import Wanted

router = APIRouter(tags=["coverage"])


def _wanted(
    state: Annotated[str, Query(max_length=20, description="protected, partly, not")] = "",
    kind: Annotated[str, Query(max_length=40, description="user, mailbox, site, list, …")] = "",
    owner: Annotated[str, Query(max_length=1024, description="id of a user, group, site")] = "",
) -> Wanted:
    return Wanted(state, kind, owner)


WantedRows = Annotated[Wanted, Depends(_wanted)]


@router.get("/organizations/{org}/coverage", response_model=CoverageOut)
def read_coverage(org: Org, app: TheApp) -> dict[str, Any]:
    """The coverage statement: totals, reasons in words, what no service copies, the first rows."""
    return coverage.statement(app, org)


@router.get("/organizations/{org}/coverage/rows", response_model=Page[CoverageRowOut])
def list_coverage(
    org: Org, app: TheApp, wanted: WantedRows, after: After = "", limit: Limit = 100
) -> Any:
    """Every owner and thing with its state, since when, and the reasons; filtered and paged."""
    found, more = coverage.listed(app, org, wanted, after, limit)
    return page(found, more)


@router.get("/organizations/{org}/coverage/export", response_class=StreamingResponse)
def export_coverage(
    org: Org,
    app: TheApp,
    who: SignedIn,
    wanted: WantedRows,
    format: Literal["csv", "json"] = "csv",
) -> StreamingResponse:
    """The statement as a file, with all rows that are wanted."""
    made = coverage_export.as_csv if format == "csv" else coverage_export.as_json
    audit.note(app, org, who.id, "coverage-exported", run="", format=format)
    media_type = "text/csv; charset=utf-8" if format == "csv" else "application/json"
    return download(f"coverage-{org}.{format}", made(app, org, wanted), media_type)


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
