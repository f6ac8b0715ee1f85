"""Whether an organization's applications can do their work, and the directory for pickers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from engine import policies
from engine.assembly import App
from m365 import SERVICES
from m365.directory import Directory, test_connection


def test(app: App, org: str) -> dict[str, Any]:
    """Signs in, tries each permission, and names what is missing with the services it disables."""
    names = policies.current(app, org)["services"]
    services = [SERVICES[name] for name in names]
    reads: dict[str, list[str]] = {"User.Read.All": list(names)}
    for service in services:
        for permission in service.reads:
            reads.setdefault(permission, []).append(service.name)
    backup = test_connection(app.reader(org), reads)
    return {"backup": asdict(backup), "ok": backup.ok}


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
