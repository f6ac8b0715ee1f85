"""Organizations: the tenants one installation protects, their credentials, policy and directory."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from api.answers import (
    ConsentOut,
    CreatedOut,
    OrganizationOut,
    OrganizationsOut,
    Page,
    PolicyOut,
)
from api.auth import SignedIn
from api.connection_answers import ConnectionOut
from api.deps import After, Limit, Org, TheApp, page
from api.models import ChangeOrganization, Credential, NewOrganization, Policy
from engine import audit, connection, directory_search, organizations, policies, rebuild

router = APIRouter(tags=["organizations"])

_LOST = "There are vaults, but no records of them: POST /api/v1/rebuilds makes the tables anew."


@router.post("/organizations", status_code=201, response_model=CreatedOut)
def create_organization(body: NewOrganization, who: SignedIn, app: TheApp) -> dict[str, Any]:
    """Takes in a tenant and makes its vault. The recovery passphrase is in this answer and never
    again.
    """
    made = organizations.create(
        app,
        organizations.NewOrganization(
            id=body.id or "",
            name=body.name,
            tenant_id=body.tenant_id,
            credential=_plain(body.credential),
            restore_credential=_plain(body.restore_credential),
            recovery_passphrase=_revealed(body.recovery_passphrase),
        ),
    )
    audit.note(app, made.organization["id"], who.id, "organization-created")
    return {**made.organization, "recovery_passphrase": made.recovery_passphrase}


@router.get("/organizations", response_model=OrganizationsOut)
def list_organizations(app: TheApp, after: After = "", limit: Limit = 100) -> Any:
    """The organizations of this installation."""
    found, more = organizations.listed(app, after=after, limit=limit)
    lost = not found and not after and rebuild.tables_lost(app)
    return {**page(found, more), "hint": _LOST if lost else None}


@router.get("/organizations/{org}", response_model=OrganizationOut)
def read_organization(org: Org, app: TheApp) -> dict[str, Any]:
    """One organization; credentials are only said to be there."""
    return organizations.show(app, org)


@router.patch("/organizations/{org}", response_model=OrganizationOut)
def change_organization(
    org: Org, body: ChangeOrganization, who: SignedIn, app: TheApp
) -> dict[str, Any]:
    """Changes the name or the credentials."""
    organizations.change(
        app,
        org,
        name=body.name,
        credential=_plain(body.credential),
        restore_credential=_plain(body.restore_credential),
    )
    audit.note(app, org, who.id, "organization-changed")
    return organizations.show(app, org)


@router.delete("/organizations/{org}", status_code=204)
def delete_organization(org: Org, who: SignedIn, app: TheApp) -> Response:
    """Forgets the organization and its credentials. Its vault stays: deleting data is another
    decision.
    """
    organizations.delete(app, org)
    audit.note(app, org, who.id, "organization-deleted")
    return Response(status_code=204)


@router.post("/organizations/{org}/connection-test", response_model=ConnectionOut)
def test_connection(org: Org, who: SignedIn, app: TheApp) -> dict[str, Any]:
    """Signs in and tries each permission; says per service what that allows, and warns."""
    audit.note(app, org, who.id, "connection-tested")
    return connection.test(app, org)


@router.get("/organizations/{org}/consent-url", response_model=ConsentOut)
def consent_url(
    org: Org, app: TheApp, application: Literal["backup", "restore"] = "backup"
) -> dict[str, str]:
    """Where an administrator of the tenant grants the application its permissions."""
    return {"url": connection.consent_url(app, org, application)}


@router.get("/organizations/{org}/directory/{kind}", response_model=Page[dict[str, Any]])
def search_directory(
    org: Org,
    kind: Literal["users", "groups", "sites", "teams"],
    app: TheApp,
    search: Annotated[str, Query(max_length=200, description="part of a name or address")] = "",
    after: After = "",
    limit: Limit = 50,
    deleted: Annotated[bool, Query(description="users who left and can be restored")] = False,
) -> Any:
    """Finds users, groups, sites or teams of the tenant by name or address, as the last run knew
    them, with the services they have and why others are missing.
    """
    found, more = directory_search.search(
        app, org, kind, search, after=after, limit=limit, deleted=deleted
    )
    return page(found, more)


@router.get("/organizations/{org}/policy", response_model=PolicyOut)
def read_policy(org: Org, app: TheApp) -> dict[str, Any]:
    """What is protected, and when backups start."""
    return policies.show(app, org)


@router.put("/organizations/{org}/policy", response_model=PolicyOut)
def change_policy(org: Org, body: Policy, who: SignedIn, app: TheApp) -> dict[str, Any]:
    """Replaces the policy; refused when somebody else changed it since `version` was read."""
    changed = policies.change(
        app, org, body.model_dump(exclude={"version"}), body.version, by=who.id
    )
    audit.note(app, org, who.id, "policy-changed")
    return changed


def _plain(credential: Credential | None) -> dict[str, str] | None:
    """The credential with its secrets in the clear, for sealing; never stored or logged like
    this.
    """
    if credential is None:
        return None
    return {
        key: value
        for key in type(credential).model_fields
        if (value := _revealed(getattr(credential, key))) is not None
    }


def _revealed(value: Any) -> str | None:
    if value is None:
        return None
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
