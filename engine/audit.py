"""The audit log: who did what; ids, counts and codes only."""

from __future__ import annotations

from typing import Any

from engine.assembly import App
from state.audit import AuditCheck, number_of
from state.names import AUDIT
from vault import Repository, VaultDamaged


def note(app: App, org: str, actor: str, action: str, **detail: Any) -> None:
    """Adds an entry to the organization's chain."""
    target = str(detail.pop("run", "")) or org
    app.audit.append(org, actor, action, target, detail)


def check(app: App, org: str) -> AuditCheck:
    """Holds an organization's chain against what its vault keeps of it, newest first.

    Names the newest number that does not fit: "missing" from the rows, "changed", "unknown" to the
    vault, or "damaged" in it.
    """
    vault = app.vault(org)
    rows = {row.key: dict(row.values) for row in app.unmirrored.scan(AUDIT, org)}
    kept = {name.rpartition("/")[2] for name in vault.list_records(f"row/{AUDIT}/")}
    for key in sorted({*rows, *kept}):
        reason = _reason(app, org, vault, key)
        if reason:
            return AuditCheck(len(rows), number_of(key), reason)
    return app.audit.verify(org)


def _reason(app: App, org: str, vault: Repository, key: str) -> str:
    """Why a row is not what the vault keeps; read anew, as entries may have come meanwhile."""
    row = app.unmirrored.get(AUDIT, org, key)
    if row is None:
        return "missing"
    try:
        record = vault.get_record(f"row/{AUDIT}/{key}")
    except VaultDamaged:
        return "damaged"
    if record is None:
        return "unknown"
    return "" if record["values"] == dict(row.values) else "changed"


def listed(
    app: App, org: str, after: str = "", limit: int = 100
) -> tuple[list[dict[str, Any]], str]:
    """One page, newest first."""
    page = app.audit.page(org, after=after, limit=limit)
    rows = [
        {
            "number": row.number,
            "at": row.at.isoformat(),
            "actor": row.actor,
            "action": row.action,
            "target": row.target,
            "detail": dict(row.detail),
            "hash": row.hash,
        }
        for row in page.items
    ]
    return rows, page.after
