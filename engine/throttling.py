"""What the governor does for an organization, as people see it; and what it has to be told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.assembly import App, missing_rights
from m365.graph.client import GraphReader
from m365.graph.errors import GraphProblem
from m365.graph.limits import SLOTS, UNITS, Purpose, Scope
from m365.graph.shares import Shared, day_waits
from m365.graph.throttle import INSTALLATION

_DAY_S = 86_400
_MAILBOX, _TEAM = "mailbox:", "team:"
_SHAREPOINT = "sharepoint"
_ASK_S = 7 * _DAY_S
DAY_SPENT = "the tenant's daily SharePoint budget is spent"
FIRSTS_SPENT = "first backups have spent their part of the daily SharePoint budget"
_COUNTS = ("requests", "units", "refused", "held", "waited_ms")


def shown(app: App, org: str) -> dict[str, Any]:
    """What was spent, what is paused until when and why, what was held back, who restores.

    Shape: {"scopes": [{scope, limit, seconds, in_use, workers, restoring, day_limit, day_spent,
    requests, units, refused, held, waited_s}], "mailboxes": [{mailbox, workers, slots, restoring}],
    "pauses": [{scope, mailbox, until, reason}], "licences"}. Counts are of today (UTC). No more
    than half a minute old; empty where nothing was asked for lately.
    """
    record = app.organization(org)
    now = app.clock.now().timestamp()
    scopes, mailboxes, pauses = [], [], []
    licences = 0
    for name, shared in _read(app, record.tenant_id.lower()):
        if name.startswith(_MAILBOX):
            mailboxes += _mailbox(name.removeprefix(_MAILBOX), shared, now)
            continue
        if name.startswith(_TEAM):
            continue  # counted with all teams
        licences = max(licences, shared.licences)
        scopes.append(_scope(app, name, shared, now))
        pauses += [
            {"scope": name, "mailbox": mailbox, "until": _iso(until), "reason": reason}
            for mailbox, (until, reason) in sorted(shared.pauses.items())
            if until > now
        ]
        if name == _SHAREPOINT:
            pauses += _of_the_day(app, shared, now)
    for name, shared in _read(app, INSTALLATION):
        scopes.append(_scope(app, name, shared, now))
    return {"scopes": scopes, "mailboxes": mailboxes, "pauses": pauses, "licences": licences}


def _of_the_day(app: App, shared: Shared, now: float) -> list[dict[str, Any]]:
    """The pause that our own share of the day's budget means: for everybody, else for first fulls
    while there are some.
    """
    limit = app.limiter.limits.with_licences(shared.licences).sharepoint_units_per_day
    until = day_waits(shared, Purpose.BACKUP, limit, now)
    reason = DAY_SPENT
    if not until and any(one.purpose == Purpose.FIRST for one in shared.claims.values()):
        until, reason = day_waits(shared, Purpose.FIRST, limit, now), FIRSTS_SPENT
    if not until:
        return []
    return [{"scope": _SHAREPOINT, "mailbox": "", "until": _iso(until), "reason": reason}]


def give_back(app: App, org: str, resource: str) -> None:
    """A step of a restore into a resource is over: backups get what it held."""
    kind, _, graph_id = resource.partition(":")
    of_one = {"mailbox": Scope.mailbox, "team": Scope.team}.get(kind)
    scope = of_one(graph_id) if of_one else Scope.sharepoint()
    app.limiter.finished(app.organization(org).tenant_id, scope, Purpose.RESTORE)


def tell(app: App, org: str) -> None:
    """A run is over: what this process has counted meanwhile is written down."""
    record = app.organizations.get(org)
    if record is not None:
        app.limiter.tell(record.tenant_id)


def learn_licences(app: App, org: str, reader: GraphReader) -> None:
    """Asks the tenant once a week how many licences it has, which SharePoint's limits follow.

    Without Organization.Read.All, or without a clear answer, the smallest limits hold.
    """
    now = app.clock.now().timestamp()
    content, _ = app.throttling.read(reader.tenant.lower(), _SHAREPOINT)
    asked_at = content.get("licences_at", 0.0)
    if now - float(asked_at) < _ASK_S or missing_rights(reader, ("Organization.Read.All",)):
        return
    try:
        skus = reader.get("/subscribedSkus", scope=Scope.directory())
    except GraphProblem:
        skus = {}
    app.limiter.learn_licences(reader.tenant, licences_of(skus))


def licences_of(skus: Mapping[str, Any]) -> int:
    """How many licences with SharePoint a tenant has, by the answer to GET /subscribedSkus.

    https://learn.microsoft.com/graph/api/subscribedsku-list
    """
    total = 0
    for sku in skus.get("value") or ():
        plans = sku.get("servicePlans") or () if isinstance(sku, dict) else ()
        names = [str(plan.get("servicePlanName", "")) for plan in plans if isinstance(plan, dict)]
        enabled = (sku.get("prepaidUnits") or {}).get("enabled") if isinstance(sku, dict) else 0
        if isinstance(enabled, int) and any("SHAREPOINT" in name.upper() for name in names):
            total += enabled
    return total


def _read(app: App, tenant: str) -> list[tuple[str, Shared]]:
    found = []
    for row in app.throttling.all(tenant):
        try:
            found.append((row.name, Shared.from_json(row.content)))
        except (ValueError, TypeError, KeyError):
            continue  # of another version: it is made anew with the next request
    return found


def _scope(app: App, name: str, shared: Shared, now: float) -> dict[str, Any]:
    limits = app.limiter.limits.with_licences(shared.licences)
    part = next((one for one in limits.parts(name) if one.name == UNITS), None)
    live = {key: claim for key, claim in shared.claims.items() if claim.until > now}
    today = int(now // _DAY_S) == shared.counted_on
    counts = {key: shared.counts.get(key, 0) if today else 0 for key in _COUNTS}
    has_day = name == _SHAREPOINT
    return {
        "scope": name,
        "limit": part.limit if part else None,
        "seconds": part.seconds if part else None,
        "claimed": sum(claim.shares.get(UNITS, 0) for claim in live.values()),
        "workers": len({key.partition("/")[0] for key in live}),
        "restoring": shared.restoring(now),
        "day_limit": limits.sharepoint_units_per_day if has_day else None,
        "day_spent": shared.spent_within(_DAY_S, now)[0] if has_day else None,
        "waited_s": counts.pop("waited_ms") // 1000,
        **counts,
    }


def _mailbox(mailbox: str, shared: Shared, now: float) -> list[dict[str, Any]]:
    live = [claim for claim in shared.claims.values() if claim.until > now]
    if not live:
        return []
    return [
        {
            "mailbox": mailbox,
            "workers": len(live),
            "slots": sum(claim.shares.get(SLOTS, 0) for claim in live),
            "restoring": any(claim.purpose == Purpose.RESTORE for claim in live),
        }
    ]


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
