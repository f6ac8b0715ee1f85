"""Taking an organization in, changing it, letting it go; its credentials are sealed by its own
vault's key.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from base.errors import Conflict, InvalidInput
from base.ids import fresh_slug, new_passphrase, org_id
from engine import keys
from engine.assembly import KEY_CHECK, SHREDDED, App
from state.organizations import Organization
from state.port import RowExists

_TENANT = re.compile(r"[0-9a-fA-F-]{36}|[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?")


class OrganizationExists(Conflict):
    """The id is taken."""

    code = "organization-exists"
    hint = "Choose another id, or change the organization that has it."


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """What is needed to take a tenant in; credentials in the clear, sealed before they are
    stored.
    """

    name: str
    tenant_id: str
    credential: Mapping[str, str] | None
    restore_credential: Mapping[str, str] | None = None
    id: str = ""
    recovery_passphrase: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new organization and, once and never again, what opens its vault without us."""

    organization: dict[str, Any]
    recovery_passphrase: str


def create(app: App, new: NewOrganization) -> Made:
    """Makes the vault, seals the credentials, writes the record."""
    org = org_id(new.id or _slug(new.name))
    if not _TENANT.fullmatch(new.tenant_id):
        raise InvalidInput("The tenant is a GUID or a domain.", field="tenant_id")
    if app.organizations.get(org) is not None:
        raise OrganizationExists("An organization with this id exists.")
    recovery = new.recovery_passphrase or new_passphrase()
    keys.checked_passphrase(app, recovery, "recovery_passphrase")
    repository = app.create_vault(org, recovery)
    record = Organization(
        id=org,
        name=new.name,
        tenant_id=new.tenant_id,
        created=app.clock.now(),
        vault_id=repository.vault_id,
        credential_sealed=_sealed(app, org, "backup", new.credential),
        restore_credential_sealed=_sealed(app, org, "restore", new.restore_credential),
        facts={KEY_CHECK: repository.keys.ring.check},
    )
    try:
        app.organizations.create(record)
    except RowExists as error:
        raise OrganizationExists("An organization with this id exists.") from error
    return Made(show(app, org), recovery)


def show(app: App, org: str) -> dict[str, Any]:
    """An organization as the API shows it; of credentials only that they are there."""
    record = app.organization(org)
    return {
        "id": record.id,
        "name": record.name,
        "tenant_id": record.tenant_id,
        "created": record.created.isoformat(),
        "vault_id": record.vault_id,
        "has_credential": bool(record.credential_sealed),
        "has_restore_credential": bool(record.restore_credential_sealed),
        "next_run_at": record.next_run_at.isoformat() if record.next_run_at else None,
        "shredded_at": record.facts.get(SHREDDED),
    }


def listed(app: App, after: str = "", limit: int = 100) -> tuple[list[dict[str, Any]], str]:
    """One page of organizations."""
    page = app.organizations.page(after=after, limit=limit)
    return [show(app, record.id) for record in page.items], page.after


def change(
    app: App,
    org: str,
    *,
    name: str | None = None,
    credential: Mapping[str, str] | None = None,
    restore_credential: Mapping[str, str] | None = None,
) -> None:
    """Changes what is given; the rest stays."""
    app.organization(org)
    changed: dict[str, Any] = {}
    if name is not None:
        changed["name"] = name
    if credential is not None:
        changed["credential_sealed"] = _sealed(app, org, "backup", credential)
    if restore_credential is not None:
        changed["restore_credential_sealed"] = _sealed(app, org, "restore", restore_credential)
    app.organizations.change(org, lambda record: replace(record, **changed))


def delete(app: App, org: str) -> None:
    """Forgets the record, credentials, policy and directory. The vault stays where it is."""
    app.organization(org)
    app.organizations.delete(org)
    app.policies.delete_all(org)
    app.directory.delete_all(org)


def _sealed(app: App, org: str, application: str, credential: Mapping[str, str] | None) -> str:
    if credential is None:
        return ""
    sealed = app.vault(org).seal(f"credential/{application}", json.dumps(dict(credential)).encode())
    return base64.b64encode(sealed).decode()


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return slug or fresh_slug("org")
