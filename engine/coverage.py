"""The coverage statement: what is protected, partly or not, since when and why; and what the
protection costs.

Computed from directory, policy, restore points and ledger whenever somebody asks; nothing of it is
written by hand, and nothing of it is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from engine import coverage_rows, directory_search, policies, resources
from engine import coverage_words as words
from engine.assembly import App
from engine.coverage_rows import Wanted
from engine.coverage_things import Assembled, Owner, assemble
from m365 import SERVICES
from m365.uncovered import UNCOVERED

GAPS_MAX = 500  # resources that the statement itself names; the rows have them all
FIRST_ROWS = 100


def statement(app: App, org: str, limit: int = FIRST_ROWS) -> dict[str, Any]:
    """Totals by kind, state and reason, what each service leaves out, and the first rows."""
    app.organization(org)
    found = assemble(app, org)
    rows, more = coverage_rows.page(app, org, found.owners, Wanted(), "", limit)
    return {
        **_of_resources(found),
        "as_of": app.clock.now().isoformat(),
        "totals": coverage_rows.totals(app, org, found.owners),
        "why": _why(found.owners),
        "sites": directory_search.sites(app, org),
        "services": _services(app, org),
        "uncovered": [asdict(one) for one in UNCOVERED],
        "rows": rows,
        "next": more or None,
    }


def counts(app: App, org: str) -> dict[str, Any]:
    """What the statement says of services of resources alone, which reads nothing of the vault."""
    return _of_resources(assemble(app, org))


def listed(
    app: App, org: str, wanted: Wanted, after: str = "", limit: int = FIRST_ROWS
) -> tuple[list[dict[str, Any]], str]:
    """One page of rows: owners, their things, and the lists, channels and plans in those."""
    app.organization(org)
    wanted.check()
    return coverage_rows.page(app, org, assemble(app, org).owners, wanted, after, limit)


def everything(app: App, org: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Every row that is wanted, as they are read: for exports."""
    app.organization(org)
    wanted.check()
    owners = assemble(app, org).owners
    return (row for _, row in coverage_rows.rows(app, org, owners, wanted))


def usage(app: App, org: str, limit: int = 100) -> dict[str, Any]:
    """Sums over the newest runs: requests, blob writes, items, stored bytes."""
    app.organization(org)
    totals: Counter[str] = Counter()
    runs = app.runs.page(org, limit=limit).items
    for run in runs:
        totals.update(run.progress)
    return {"runs": len(runs), "totals": dict(totals)}


def _of_resources(found: Assembled) -> dict[str, Any]:
    """The statement by services of resources: what runs count and what tables hold."""
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    gaps: list[dict[str, Any]] = []
    items = waiting = 0
    for part in found.parts():
        row = part.row
        states[row.state] += 1
        items += row.items
        waiting += row.waiting
        if row.state != "protected" or row.last_outcome in ("failed", "throttled"):
            reasons[row.reason or row.last_code] += 1
            if len(gaps) < GAPS_MAX:
                gaps.append(resources.row_json(row))
    return {
        "resources": dict(states),
        "items": items,
        "waiting": waiting,
        "reasons": dict(reasons),
        "not_protected": gaps,
        "not_copied": found.not_copied,
    }


def _why(owners: list[Owner]) -> list[dict[str, Any]]:
    """Every reason in words, with how many things it is about."""
    things: Counter[str] = Counter()
    said: dict[str, str] = {}
    for owner in owners:
        for thing in owner.things:
            for code, sentence in {one.code: one.sentence for one, _ in thing.reasons}.items():
                things[code] += 1
                said.setdefault(code, sentence)
    return [
        {"code": code, "sentence": words.general(code, said[code]), "things": count}
        for code, count in things.most_common()
    ]


def _services(app: App, org: str) -> list[dict[str, Any]]:
    """What the policy protects, and what each service can not capture or put back."""
    policy = policies.current(app, org)
    return [
        {
            "service": name,
            "title": service.title,
            "on": name in policy["services"],
            "choices": policy["choices"].get(name, {}),
            "not_captured": list(service.not_captured),
            "not_restorable": list(service.not_restorable),
        }
        for name, service in SERVICES.items()
    ]
