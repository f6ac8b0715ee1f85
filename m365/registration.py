"""What Entra says about an application itself: when its credential ends, and its rights elsewhere.

Rules
- Everything here is a courtesy: the permission it needs (Application.Read.All) is optional, and
  without it the answer is that it cannot be seen, never a failure.
- A secret is found by its first three characters, all that Entra shows of it; they go nowhere.

https://learn.microsoft.com/graph/api/resources/passwordcredential
https://learn.microsoft.com/graph/api/serviceprincipal-list-approleassignments
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from m365.graph.auth import Certificate, ClientSecret, Credential, certificate_end
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import ItemGone, ResourceGone
from m365.graph.permissions import EXCHANGE_APP_ID, FULL_ACCESS_AS_APP, FULL_ACCESS_AS_APP_ID

READ_APPLICATIONS = "Application.Read.All"
_HINT_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class CredentialEnd:
    """When the credential in use ends: `ends` is None where it cannot be seen; `code` says why."""

    kind: str  # "secret", "certificate"
    ends: datetime | None
    code: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeRoles:
    """Application roles held on Office 365 Exchange Online, beside Graph; `seen`: could we look."""

    seen: bool
    roles: tuple[str, ...] = ()
    code: str = ""


def credential_end(reader: GraphReader, credential: Credential, now: datetime) -> CredentialEnd:
    """When the secret or certificate in use ends. Raises nothing."""
    if isinstance(credential, Certificate):
        ends = certificate_end(credential)
        return CredentialEnd("certificate", ends, "" if ends else "unreadable")
    path = f"/applications(appId='{quote(credential.client_id, safe='')}')"
    try:
        found = reader.get(
            path, params={"$select": "id,passwordCredentials"}, scope=Scope.directory()
        )
    except Problem as problem:
        # item-gone: the application is registered in another tenant, as that of a provider is.
        return CredentialEnd("secret", None, problem.code)
    ends = _end_of(credential, found.get("passwordCredentials"), now)
    return CredentialEnd("secret", ends, "" if ends else "not-listed")


def exchange_roles(reader: GraphReader, client_id: str) -> ExchangeRoles:
    """The roles on Exchange Online itself, of which a token for Graph shows none. Raises nothing.

    Their assignments name the role by an id that only Exchange Online's own entry explains.
    """
    app = f"/servicePrincipals(appId='{quote(client_id, safe='')}')/appRoleAssignments"
    try:
        held = list(_entries(reader, app))
        entry = _exchange_online(reader)
    except Problem as problem:
        return ExchangeRoles(False, (), problem.code)
    names = {FULL_ACCESS_AS_APP_ID: FULL_ACCESS_AS_APP}
    for role in _objects(entry.get("appRoles")):
        names[str(role.get("id"))] = str(role.get("value") or role.get("id"))
    roles = {
        names.get(str(one.get("appRoleId")), str(one.get("appRoleId")))
        for one in held
        if one.get("resourceId") == entry.get("id", "")
        or one.get("appRoleId") == FULL_ACCESS_AS_APP_ID
    }
    return ExchangeRoles(True, tuple(sorted(roles)))


def _exchange_online(reader: GraphReader) -> Mapping[str, Any]:
    """Its entry in this tenant; empty in a tenant without Exchange."""
    path = f"/servicePrincipals(appId='{EXCHANGE_APP_ID}')"
    try:
        return reader.get(path, params={"$select": "id,appRoles"}, scope=Scope.directory())
    except (ItemGone, ResourceGone):
        return {}


def _entries(reader: GraphReader, path: str) -> Iterator[Mapping[str, Any]]:
    for page in follow(reader, path, scope=Scope.directory()):
        yield from _objects(page.value)


def _end_of(credential: ClientSecret, listed: Any, now: datetime) -> datetime | None:
    """The earliest end the secret in use can have: several may begin alike, none has ended."""
    start = credential.secret[:_HINT_CHARACTERS]
    mine = [one for one in _objects(listed) if one.get("hint") in (start, None, "")]
    ends = [_moment(one.get("endDateTime")) for one in mine]
    return min((end for end in ends if end is not None and end > now), default=None)


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
