"""Whether an organization's applications can do their work, and the directory for pickers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from engine import policies, verdicts
from engine.assembly import App
from engine.verdicts import Found
from m365 import SERVICES
from m365.connection import ConnectionReport, check_connection
from m365.graph.auth import Certificate
from m365.graph.permissions import covering_role
from m365.registration import (
    READ_APPLICATIONS,
    CredentialEnd,
    ExchangeRoles,
    credential_end,
    exchange_roles,
)


def test(app: App, org: str) -> dict[str, Any]:
    """Signs in, tries each permission, and names what is missing with the services it disables.

    Shape: {ok, backup, restore (null without a credential), services: [Verdict], warnings:
    [Notice]}; an application as ConnectionReport, its checks with what each one missing disables.
    """
    names = policies.current(app, org)["services"]
    backup = _found(app, org, "backup", names)
    restore = None
    if app.organization(org).restore_credential_sealed:
        restore = _found(app, org, "restore", names, backup)
    return {
        "ok": verdicts.works(backup) and verdicts.works(restore),
        "backup": _shown(backup),
        "restore": _shown(restore) if restore else None,
        "services": [
            asdict(verdicts.verdict(service, names, backup, restore))
            for service in SERVICES.values()
        ],
        "warnings": [asdict(one) for one in verdicts.warnings(backup, restore, app.clock.now())],
    }


def _found(app: App, org: str, name: str, services: list[str], other: Found | None = None) -> Found:
    """What one application may; with the help of the `other` one, which may see more than it."""
    credential = app.credential(org, name)
    reader = app.reader(org, name)
    needs = verdicts.needs([SERVICES[one] for one in services], name)
    report = check_connection(reader, needs, other.report.people if other else ())
    if report.problem and not report.checks:
        end = CredentialEnd("secret", None)
        if isinstance(credential, Certificate):  # its end is in it, whether or not it signs in
            end = credential_end(reader, credential, app.clock.now())
        return Found(name, credential.client_id, report, end, ExchangeRoles(seen=False))
    if other and _sees(other.report) and not _sees(report):
        reader = app.reader(org, other.name)
    end = credential_end(reader, credential, app.clock.now())
    exchange = exchange_roles(reader, credential.client_id)
    return Found(name, credential.client_id, report, end, exchange)


def _sees(report: ConnectionReport) -> bool:
    return bool(covering_role(READ_APPLICATIONS, report.roles))


def _shown(found: Found) -> dict[str, Any]:
    shown = asdict(found.report)
    del shown["people"]
    ends = found.end.ends
    return {
        **shown,
        "ok": verdicts.works(found),
        "client_id": found.client_id,
        "credential_kind": found.end.kind,
        "credential_ends": ends.isoformat() if ends else None,
        "checks": [
            {
                **asdict(check),
                "disables": [] if check.granted else list(verdicts.disables(check, found.name)),
            }
            for check in found.report.checks
        ],
        "optional": _optional(found) if found.report.checks else [],
    }


def _optional(found: Found) -> list[dict[str, Any]]:
    """What no service of the policy needs, and what is done without where it is missing."""
    needed = {check.permission for check in found.report.checks}
    return [
        {
            "permission": permission,
            "granted": bool(covering_role(permission, found.report.roles)),
            "disables": [sentence],
        }
        for permission, sentence in verdicts.optional(found.name).items()
        if permission not in needed
    ]


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
