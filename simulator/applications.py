"""Registered applications: their secrets and certificates, their service principals and rights."""

from cryptography import x509

from simulator.roles import EXCHANGE_ROLE_IDS
from simulator.tenant import AppRegistration, Tenant
from simulator.tokens import GRAPH_APP_ID
from simulator.web import Answer, GraphError, Json, Request, Route

EXCHANGE_APP_ID = "00000002-0000-0ff1-ce00-000000000000"
_APPS = ("Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All",
         "Directory.ReadWrite.All")  # fmt: skip
_BEGAN, _ENDS = "2026-01-02T03:04:05Z", "2028-01-02T03:04:05.1234567Z"


def application(tenant: Tenant, request: Request, app: str) -> Answer:
    """GET /applications(appId='…'): the registration, in the tenant that made it."""
    found = tenant.apps.get(app.lower())
    if found is None or not found.registered_here:
        raise _missing(app)
    facts: Json = {
        "id": f"{found.object_id[:-4]}a990", "appId": found.app_id,
        "displayName": found.display_name, "signInAudience": "AzureADMyOrg",
        "passwordCredentials": [
            {
                "customKeyIdentifier": None, "displayName": "Holdfast", "keyId": found.object_id,
                "startDateTime": _BEGAN, "endDateTime": _end(found, secret), "secretText": None,
                "hint": secret[:3],
            }
            for secret in sorted(found.secrets)
        ],
        "keyCredentials": [_key(certificate) for certificate in found.certificates],
    }  # fmt: skip
    return Answer(200, _selected(request, facts, "applications"))


def app_role_assignments(
    tenant: Tenant, request: Request, app: str = "", principal: str = ""
) -> Answer:
    """GET /servicePrincipals(appId='…')/appRoleAssignments: what an app may do, and where."""
    found = _app(tenant, app, principal)
    held = [
        (tenant.role_id(role), "Microsoft Graph", tenant.graph_principal_id)
        for role in sorted(found.roles)
    ] + [
        (EXCHANGE_ROLE_IDS[role], "Office 365 Exchange Online", tenant.exchange_principal_id)
        for role in sorted(found.exchange_roles)
    ]
    value = [
        {
            "id": f"{found.object_id}-{number}", "deletedDateTime": None,
            "appRoleId": role_id, "createdDateTime": _BEGAN,
            "principalDisplayName": found.display_name, "principalId": found.object_id,
            "principalType": "ServicePrincipal", "resourceDisplayName": resource,
            "resourceId": resource_id,
        }
        for number, (role_id, resource, resource_id) in enumerate(held)
    ]  # fmt: skip
    context = f"{request.url_base}/$metadata#appRoleAssignments"
    return Answer(200, {"@odata.context": context, "value": value})


def service_principal(
    tenant: Tenant, request: Request, app: str = "", principal: str = ""
) -> Answer:
    """GET /servicePrincipals(appId='…') of an app, of Graph or of Exchange Online."""
    if app.lower() == GRAPH_APP_ID or principal == tenant.graph_principal_id:
        names = {role for one in tenant.apps.values() for role in one.roles}
        roles = {role: tenant.role_id(role) for role in sorted(names)}
        facts = _resource(tenant.graph_principal_id, GRAPH_APP_ID, "Microsoft Graph", roles)
    elif app.lower() == EXCHANGE_APP_ID or principal == tenant.exchange_principal_id:
        named = "Office 365 Exchange Online"
        facts = _resource(tenant.exchange_principal_id, EXCHANGE_APP_ID, named, EXCHANGE_ROLE_IDS)
    else:
        found = _app(tenant, app, principal)
        facts = {
            "id": found.object_id, "appId": found.app_id, "displayName": found.display_name,
            "accountEnabled": found.enabled, "servicePrincipalType": "Application",
            "appOwnerOrganizationId": tenant.id, "appRoles": [],
        }  # fmt: skip
    return Answer(200, _selected(request, facts, "servicePrincipals"))


def _resource(principal: str, app: str, name: str, roles: dict[str, str]) -> Json:
    return {
        "id": principal, "appId": app, "displayName": name,
        "appRoles": [
            {
                "id": role_id, "value": role, "displayName": role, "description": role,
                "isEnabled": True, "origin": "Application",
                "allowedMemberTypes": ["Application"],
            }
            for role, role_id in roles.items()
        ],
    }  # fmt: skip


def _selected(request: Request, facts: Json, name: str) -> Json:
    wanted = request.query.get("$select")
    if wanted is not None:
        names = {one.strip() for one in wanted.split(",")} | {"id"}
        facts = {key: value for key, value in facts.items() if key in names}
    return {"@odata.context": f"{request.url_base}/$metadata#{name}/$entity"} | facts


def _app(tenant: Tenant, app: str, principal: str) -> AppRegistration:
    found = tenant.apps.get(app.lower())
    if not app:
        found = next((a for a in tenant.apps.values() if a.object_id == principal), None)
    if found is None:
        raise _missing(app or principal)
    return found


def _end(app: AppRegistration, secret: str) -> str:
    ends = app.secret_ends.get(secret)
    return ends.strftime("%Y-%m-%dT%H:%M:%SZ") if ends is not None else _ENDS


def _key(certificate: bytes) -> Json:
    key: Json = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": None}
    if certificate.startswith(b"-----BEGIN CERT"):
        read = x509.load_pem_x509_certificate(certificate)
        key["startDateTime"] = read.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        key["endDateTime"] = read.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    return key


def _missing(reference: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{reference}' does not exist or one of its queried reference-property objects "
        "are not present.",
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/applications(appId)/{app}", application, _APPS, "identity"),
    Route("GET", "/servicePrincipals(appId)/{app}", service_principal, _APPS, "identity"),
    Route(
        "GET",
        "/servicePrincipals(appId)/{app}/appRoleAssignments",
        app_role_assignments,
        _APPS,
        "identity",
    ),
    Route("GET", "/servicePrincipals/{principal}", service_principal, _APPS, "identity"),
    Route(
        "GET",
        "/servicePrincipals/{principal}/appRoleAssignments",
        app_role_assignments,
        _APPS,
        "identity",
    ),
)
