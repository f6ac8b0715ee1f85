"""What could not be copied, as rows people see and the next run tries again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from base.item import Trouble
from base.messages import Drain
from engine.assembly import App
from vault import Missing, Repository, VaultDamaged


def note(app: App, request: Drain, troubles: Sequence[Trouble], mended: Collection[str]) -> None:
    """Renews the rows of a committed page: what failed, and what is whole now."""
    org, service, resource = request.org, request.service, request.resource
    app.ledger.note(org, service, resource, troubles, run=request.run, now=app.clock.now())
    app.ledger.clear(org, service, resource, mended)


def forget_deleted(app: App, request: Drain, repository: Repository, number: int) -> None:
    """Removes the permanent rows of what a new restore point no longer holds and the one before it
    did: it was deleted in the tenant, so nothing of it is missing. What was never stored at all
    stays, and what is tried again finds out by itself.
    """
    org, service, resource = request.org, request.service, request.resource
    rows = app.ledger.all(org, service, resource)
    permanent = sorted({row.item for row in rows if not row.retry})  # neighbours lie in one node
    if not permanent or number == 1:
        return
    chain = f"{service}/{resource}"
    with suppress(VaultDamaged, Missing):  # the one before expired, or does not open
        now, before = (
            repository.catalog(repository.snapshot(chain, one)) for one in (number, number - 1)
        )
        lost = [item for item in permanent if now.place_of(item) is None]
        gone = {item for item in lost if before.place_of(item) is not None}
        app.ledger.clear(org, service, resource, gone)


def of_page(troubles: Iterable[Mapping[str, Any]]) -> list[Trouble]:
    """The troubles that a committed page keeps."""
    return [
        Trouble(one["item"], one["part"], one["cause"], one["retry"], one["detail"])
        for one in troubles
    ]


def due(app: App, request: Drain) -> list[str]:
    """Ids of items whose next try has come."""
    rows = app.ledger.due(request.org, request.service, request.resource, app.clock.now())
    return list(dict.fromkeys(row.item for row in rows))


def listed(
    app: App, org: str, after: str = "", limit: int = 100
) -> tuple[list[dict[str, Any]], str]:
    """One page of an organization's ledger."""
    app.organization(org)
    page = app.ledger.page(org, after=after, limit=limit)
    return [_shown(asdict(row)) for row in page.items], page.after


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("org")
    for key in ("first_seen", "last_seen", "next_try"):
        row[key] = row[key].isoformat() if row[key] else None
    return row
