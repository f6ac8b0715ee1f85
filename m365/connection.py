"""Whether an application may do its work in a tenant: each permission, tried where it can be.

Rules
- Nothing is raised: what the network or the service does is a problem in the report.
- A permission is missing where Graph refuses it, or where nothing could be tried and the token does
  not name it. A service that is out of order does not make a permission missing.
- A write permission is never tried by writing: reading is tried, and the token decides.
- Every test signs in anew: a cached token would not know of consent that was given a minute ago.

Theory of operation
Exchange can narrow an application to some mailboxes (RBAC for Applications, application access
policies). So a permission is tried on a few people: refused for some of them, or for all although
the token names it, means narrowed. https://learn.microsoft.com/exchange/permissions-exo/application-rbac
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from base.errors import Problem, Throttled
from m365.graph.auth import ConsentMissing, Tokens
from m365.graph.batch import BatchRequest
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import Forbidden, TransientFailure, Unauthorized
from m365.graph.permissions import can_change, covering_role

FIND_PEOPLE = "User.Read.All"
_SAMPLE_MAX = 20  # people tried for one that has what a permission is about
_TRIES_MAX = 3
_WAIT_MAX_S = 10.0  # a person is waiting
_SAMPLE_SELECT = "id,mail,accountEnabled,assignedLicenses"

# Cheap requests that need exactly the permission; {user} is somebody of the tenant.
_PROBES: Mapping[str, str] = {
    "Mail.Read": "/users/{user}/mailFolders/inbox/messages?$top=1&$select=id",
    "Calendars.Read": "/users/{user}/calendars?$top=1&$select=id",
    "Contacts.Read": "/users/{user}/contactFolders?$top=1&$select=id",
    "Tasks.Read.All": "/users/{user}/todo/lists?$top=1",
    "MailboxSettings.Read": "/users/{user}/mailboxSettings?$select=userPurpose",
    "Files.Read.All": "/users/{user}/drive?$select=id",
    "GroupMember.Read.All": "/groups?$top=1&$select=id",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One permission. `how`: by a "call", answered or refused, or by the "token"'s roles."""

    permission: str
    needed_by: tuple[str, ...]
    granted: bool
    how: str
    code: str = ""  # of the problem a real request met
    covered_by: str = ""  # the wider permission that gives it, where the token has no other
    narrowed: bool = False  # Exchange refuses it for some mailboxes, or for all


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """Whether an application can do its work. `problem`, as JSON, is one that ended the test."""

    ok: bool
    tenant_name: str = ""
    tenant_id: str = ""
    checks: tuple[Check, ...] = ()
    roles: tuple[str, ...] = ()  # every application permission of Graph in the token
    can_write: tuple[str, ...] = ()  # those of them that allow more than reading
    problem: Mapping[str, Any] = field(default_factory=dict)
    people: tuple[str, ...] = ()  # whom permissions were tried on: Graph ids


def check_connection(
    reader: GraphReader, needs: Mapping[str, Sequence[str]], people: Sequence[str] = ()
) -> ConnectionReport:
    """Signs in, asks who the tenant is, and tries every permission.

    `needs` maps each application permission to the services that need it. `people`: Graph ids of
    users to try it on, for an application that may not list them itself.
    """
    try:
        reader.tokens.refresh(reader.tokens.token(), "")
        granted = _roles(reader)
        tenant = _tenant(reader)
    except Problem as met:
        return ConnectionReport(ok=False, problem=met.to_json())
    found, users_problem = _people(reader)
    sample = found or list(people)
    probes = dict.fromkeys(filter(None, map(_probe_of, needs)))
    tried = {probe: _tried(reader, probe, sample) for probe in probes}
    checks = tuple(
        _people_check(tuple(services), granted, users_problem)
        if permission == FIND_PEOPLE
        else _check(permission, tuple(services), granted, tried.get(_probe_of(permission), _NOT))
        for permission, services in needs.items()
    )
    consented = not checks or bool(granted) or any(check.granted for check in checks)
    problem = ConsentMissing("The tenant has granted the application no permission at all.")
    return ConnectionReport(
        ok=all(check.granted for check in checks),
        tenant_name=str(tenant.get("displayName") or ""),
        tenant_id=str(tenant.get("id") or ""),
        checks=checks,
        roles=tuple(sorted(granted)),
        can_write=tuple(sorted(filter(can_change, granted))),
        problem={} if consented else problem.to_json(),
        people=tuple(sample),
    )


def shows(reader: GraphReader, permission: str, people: Sequence[str]) -> bool:
    """Whether a permission that is in no token shows when some of `people` (Graph ids) are read:
    Exchange grants rights of its own, to some mailboxes or all. One request; raises nothing.

    https://learn.microsoft.com/exchange/permissions-exo/application-rbac
    """
    probe = _probe_of(permission)
    return bool(probe) and _tried(reader, probe, people[:_SAMPLE_MAX]).answered is True


def _roles(reader: GraphReader) -> frozenset[str]:
    return reader.tokens.roles() if isinstance(reader.tokens, Tokens) else frozenset()


def _tenant(reader: GraphReader) -> Mapping[str, Any]:
    """The tenant's name and id, a courtesy: no service needs the permission to read them.

    But who cannot be reached here cannot be reached at all. Raises what remains after a few tries.
    """
    for tries in range(_TRIES_MAX):
        wait_s = 0.5 * 2**tries
        try:
            return reader.control_plane().organization()
        except Forbidden:
            return {}
        except Throttled as paused:
            wait_s = paused.retry_after_s
            if tries == _TRIES_MAX - 1 or wait_s > _WAIT_MAX_S:
                raise
        except TransientFailure:
            if tries == _TRIES_MAX - 1:
                raise
        reader.clock.sleep(wait_s)
    return {}


def _people(reader: GraphReader) -> tuple[list[str], Problem | None]:
    """Ids of a few enabled people with an address, likely to have a mailbox and a drive."""
    params = {"$select": _SAMPLE_SELECT, "$top": str(_SAMPLE_MAX * 5)}
    try:
        answer = reader.get("/users", params=params, scope=Scope.directory(), cost=2)
    except Problem as problem:
        return [], problem
    listed = answer.get("value")
    people = [one for one in listed if _has_id(one)] if isinstance(listed, list) else []
    people.sort(
        key=lambda one: (
            not one.get("assignedLicenses"),
            not one.get("mail"),
            one.get("accountEnabled") is False,
        )
    )
    return [one["id"] for one in people[:_SAMPLE_MAX]], None


def _has_id(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str)


def _people_check(
    services: tuple[str, ...], granted: frozenset[str], problem: Problem | None
) -> Check:
    covered_by = covering_role(FIND_PEOPLE, granted)
    wider = "" if covered_by == FIND_PEOPLE else covered_by
    if problem is None:
        return Check(FIND_PEOPLE, services, True, "call", covered_by=wider)
    if isinstance(problem, (Forbidden, Unauthorized)):
        return Check(FIND_PEOPLE, services, False, "call", problem.code)
    return Check(FIND_PEOPLE, services, bool(covered_by), "token", problem.code, wider)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of it: `answered` None where nobody has what the permission is about."""

    answered: bool | None = None
    refused: bool = False
    code: str = ""


_NOT = _Tried()


def _check(
    permission: str, services: tuple[str, ...], granted: frozenset[str], tried: _Tried
) -> Check:
    covered_by = covering_role(permission, granted)
    wider = "" if covered_by.lower() == permission.lower() else covered_by
    how = "call" if tried.answered is not None and not can_change(permission) else "token"
    allowed = bool(covered_by)
    if tried.answered is not None:
        # Rights that only Exchange knows of are in no token, but show when somebody is read.
        allowed = tried.answered and (allowed or not can_change(permission))
    narrowed = tried.refused and (allowed or bool(covered_by))
    return Check(permission, services, allowed, how, tried.code, wider, narrowed)


def _probe_of(permission: str) -> str:
    """What tries a permission; of one that writes, what tries its reading; "" for none."""
    return _PROBES.get(permission.replace("ReadWrite", "Read"), "")


def _tried(reader: GraphReader, probe: str, sample: Sequence[str]) -> _Tried:
    scope = Scope.sharepoint() if "/drive" in probe else Scope.directory()
    urls = dict.fromkeys(probe.replace("{user}", quote(user_id, safe="")) for user_id in sample)
    requests = [BatchRequest(url) for url in urls]
    try:
        answers = reader.batch(requests, scope)
    except Problem as problem:
        return _Tried(code=problem.code)
    answered, forbidden, others = False, "", list[Problem]()
    for answer in answers:
        try:
            answer.json()
            answered = True
        except Forbidden as problem:
            forbidden = problem.code
        except Problem as problem:
            others.append(problem)
    unauthorized = next((one.code for one in others if isinstance(one, Unauthorized)), "")
    if answered:
        return _Tried(True, bool(forbidden))
    if forbidden or unauthorized:
        return _Tried(False, True, forbidden or unauthorized)
    return _Tried(code=others[0].code if others else "")
