"""Whether an application may do its work in a tenant: each permission, tried where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from m365.graph.auth import SignInFailed, Tokens, missing_roles
from m365.graph.batch import BatchRequest
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import Forbidden, GraphProblem, Unauthorized

_SAMPLE_MAX = 20  # people tried for one that has what a permission is about
_SAMPLE_SELECT = "id,mail,accountEnabled,assignedLicenses"


@dataclass(frozen=True, slots=True)
class Check:
    """One permission. `how`: by a "call", answered or refused, or by the "token"'s roles."""

    permission: str
    needed_by: tuple[str, ...]
    granted: bool
    how: str
    code: str = ""  # of the problem a real request met


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """Whether an application can do its work. `problem`, as JSON, is one that ended the test."""

    ok: bool
    tenant_name: str = ""
    tenant_id: str = ""
    checks: tuple[Check, ...] = ()
    can_write: tuple[str, ...] = ()  # write permissions that a backup application should not have
    problem: Mapping[str, Any] = field(default_factory=dict)


# Cheap requests that need exactly the permission; {user} is somebody of the tenant.
_PROBES: Mapping[str, str] = {
    "Mail.Read": "/users/{user}/mailFolders/inbox/messages?$top=1&$select=id",
    "Mail.ReadWrite": "/users/{user}/mailFolders/inbox/messages?$top=1&$select=id",
    "Files.Read.All": "/users/{user}/drive?$select=id",
    "Files.ReadWrite.All": "/users/{user}/drive?$select=id",
}


def test_connection(reader: GraphReader, needs: Mapping[str, Sequence[str]]) -> ConnectionReport:
    """Signs in, asks who the tenant is, and tries every permission.

    `needs` maps each application permission to the services that need it. Problems are in the
    report, only Throttled is raised. A missing permission is named with the services it disables.
    """
    try:
        # A cached token would not know of consent that was given a minute ago.
        reader.tokens.refresh(reader.tokens.token(), "")
        tenant = _tenant(reader)
        granted = _roles(reader)
        sample, users_problem = _sample(reader)
        checks = tuple(
            _check(reader, permission, tuple(services), granted, sample, users_problem)
            for permission, services in needs.items()
        )
    except (GraphProblem, SignInFailed) as problem:
        return ConnectionReport(ok=False, problem=problem.to_json())
    return ConnectionReport(
        ok=all(check.granted for check in checks),
        tenant_name=str(tenant.get("displayName") or ""),
        tenant_id=str(tenant.get("id") or ""),
        checks=checks,
        can_write=tuple(sorted(role for role in granted if "write" in role.lower())),
    )


def _tenant(reader: GraphReader) -> Mapping[str, Any]:
    """The tenant's name and id, a courtesy: no service needs the permission to read them."""
    try:
        return reader.control_plane().organization()
    except Forbidden:
        return {}


def _roles(reader: GraphReader) -> frozenset[str]:
    return reader.tokens.roles() if isinstance(reader.tokens, Tokens) else frozenset()


def _sample(reader: GraphReader) -> tuple[list[str], Problem | None]:
    """Ids of a few enabled people with an address, likely to have a mailbox and a drive."""
    params = {"$select": _SAMPLE_SELECT, "$top": str(_SAMPLE_MAX * 5)}
    try:
        answer = reader.get("/users", params=params, scope=Scope.directory(), cost=2)
    except GraphProblem as problem:
        return [], problem
    people = [one for one in answer.get("value", []) if isinstance(one.get("id"), str)]
    people.sort(
        key=lambda one: (
            not one.get("assignedLicenses"),
            not one.get("mail"),
            one.get("accountEnabled") is False,
        )
    )
    return [one["id"] for one in people[:_SAMPLE_MAX]], None


def _check(
    reader: GraphReader,
    permission: str,
    services: tuple[str, ...],
    granted: frozenset[str],
    sample: Sequence[str],
    users_problem: Problem | None,
) -> Check:
    in_token = not missing_roles([permission], granted)
    if permission == "User.Read.All":
        code = users_problem.code if users_problem else ""
        return Check(permission, services, users_problem is None, "call", code)
    answered, code = _probed(reader, permission, sample)
    if answered is None:
        return Check(permission, services, in_token, "token", code)
    # A write permission cannot be tried without writing: reading proves only that reading works.
    if "Write" in permission:
        return Check(permission, services, in_token and answered, "token", code)
    return Check(permission, services, answered, "call", code)


def _probed(reader: GraphReader, permission: str, sample: Sequence[str]) -> tuple[bool | None, str]:
    """Whether anybody's could be read; None where nobody in the sample has one."""
    probe = _PROBES.get(permission)
    if probe is None or not sample:
        return None, ""
    scope = Scope.directory() if "mailFolders" in probe else Scope.sharepoint()
    requests = [BatchRequest(probe.replace("{user}", quote(user_id))) for user_id in sample]
    refused, code = False, ""
    for answer in reader.batch(requests, scope):
        try:
            answer.json()
            return True, ""
        except (Forbidden, Unauthorized) as problem:
            refused, code = True, problem.code
        except GraphProblem as problem:
            code = code or problem.code
    return (False if refused else None), code
