"""Whether an organization's applications can do their work, and the directory for pickers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from engine import policies
from engine.assembly import App
from m365 import SERVICES
from m365.connection import test_connection
from m365.directory import Directory


def test(app: App, org: str) -> dict[str, Any]:
    """Signs in, tries each permission, and names what is missing with the services it disables.

    Shape: {ok, backup: ConnectionReport, restore: ConnectionReport or null without a credential}.
    """
    services = [SERVICES[name] for name in policies.current(app, org)["services"]]
    reads = {"User.Read.All": [service.name for service in services]}
    writes: dict[str, list[str]] = {}
    for service in services:
        for permission in service.reads:
            reads.setdefault(permission, []).append(service.name)
        for permission in service.writes:
            writes.setdefault(permission, []).append(service.name)
    backup = test_connection(app.reader(org), reads)
    restore = None
    if app.organization(org).restore_credential_sealed:
        restore = test_connection(app.reader(org, "restore"), writes)
    return {
        "ok": backup.ok and (restore is None or restore.ok),
        "backup": asdict(backup),
        "restore": asdict(restore) if restore else None,
    }


def consent_url(app: App, org: str, application: str) -> str:
    """The address where an administrator of the tenant consents.

    Source: https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
    """
    record = app.organization(org)
    query = {
        "client_id": app.credential(org, application).client_id,
        "scope": app.place.token_scope,
        "state": org,
    }
    return f"{app.place.authority}/{record.tenant_id}/v2.0/adminconsent?{urlencode(query)}"


def search(app: App, org: str, kind: str, text: str, limit: int) -> list[dict[str, Any]]:
    """A few users, groups, sites or teams whose name or address begins with the text."""
    return Directory(app.reader(org)).search(kind, text, limit)
