"""Who exists in a tenant and what they have, and whether we may read it.

Rules
- Nothing is keyed on a display name: it may be empty, and it may be everybody's.
- Who has no mailbox or no drive is not an error but an answer with a reason.
- One odd entry never spoils a listing: without an id it is passed over, seen twice it counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from base.errors import Problem
from m365.graph.auth import SignInFailed, Tokens, missing_roles
from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    Locked,
    ResourceGone,
    Unauthorized,
)
from m365.graph.sdk import PEOPLE, ControlPlane

_PAGE_MAX = "999"
_SELECT = ",".join((*PEOPLE, "assignedLicenses"))
NO_MAILBOX = "no-mailbox"
NO_DRIVE = "no-drive"
LOCKED = "locked"
FORBIDDEN = "forbidden"
_SAMPLE_MAX = 20  # people tried for one that has what a permission is about


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the tenant. `display_name` is never empty; `licensed` is None where not told."""

    id: str
    display_name: str
    mail: str
    user_principal_name: str
    account_enabled: bool
    user_type: str  # "Member", "Guest"
    licensed: bool | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a person has: its Graph id, or "" and the reason (kebab-case) why there is none."""

    id: str = ""
    reason: str = ""


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


class Directory:
    """The people and groups of the tenant behind a reader."""

    def __init__(self, reader: GraphReader) -> None:
        self._reader = reader
        self._scope = Scope.directory()

    def users(self) -> Iterator[Person]:
        """Everybody, guests and disabled accounts too, 999 a request."""
        params = {"$select": _SELECT, "$top": _PAGE_MAX}
        seen: set[str] = set()
        for page in follow(self._reader, "/users", params, scope=self._scope, cost_first=2):
            for entry in page.value:
                person = _person(entry)
                if person is not None and person.id not in seen:
                    seen.add(person.id)
                    yield person

    def search(self, kind: str, text: str, limit: int) -> list[dict[str, Any]]:
        """A few "users", "groups", "teams" or "sites" by name, for pickers, as Graph shows them."""
        return self._control().search(kind, text, limit)

    def organization(self) -> dict[str, Any]:
        """The tenant itself: id, displayName."""
        return self._control().organization()

    def mailbox_of(self, user_id: str) -> Found:
        """The mailbox of one person; its id is the user's."""
        return self.mailboxes_of([user_id])[user_id]

    def mailboxes_of(self, user_ids: Sequence[str]) -> dict[str, Found]:
        """The mailboxes of many, twenty a request. Raises Throttled."""
        return self._each(
            user_ids,
            lambda user_id: f"/users/{quote(user_id)}/mailFolders/inbox?$select=id",
            self._scope,
            NO_MAILBOX,
            lambda user_id, body: user_id,
        )

    def drives_of(self, user_ids: Sequence[str]) -> dict[str, Found]:
        """The OneDrives of many, twenty a request. Raises Throttled."""
        return self._each(
            user_ids,
            lambda user_id: f"/users/{quote(user_id)}/drive?$select=id",
            Scope.sharepoint(),
            NO_DRIVE,
            lambda user_id, body: str(body.get("id", "")),
        )

    def _each(
        self,
        user_ids: Sequence[str],
        url: Callable[[str], str],
        scope: Scope,
        nothing: str,
        id_of: Callable[[str, Mapping[str, Any]], str],
    ) -> dict[str, Found]:
        unique = list(dict.fromkeys(user_ids))
        requests = [BatchRequest(url(user_id)) for user_id in unique]
        answers = self._reader.batch(requests, scope)
        return {
            user_id: _found(answer, nothing, partial(id_of, user_id))
            for user_id, answer in zip(unique, answers, strict=True)
        }

    def _control(self) -> ControlPlane:
        return self._reader.control_plane()


def _person(entry: Mapping[str, Any]) -> Person | None:
    user_id = entry.get("id")
    if not isinstance(user_id, str) or not user_id:
        return None
    address = str(entry.get("userPrincipalName") or "")
    mail = str(entry.get("mail") or "")
    licences = entry.get("assignedLicenses")
    return Person(
        id=user_id,
        display_name=str(entry.get("displayName") or address or mail or user_id),
        mail=mail,
        user_principal_name=address,
        account_enabled=entry.get("accountEnabled") is not False,
        user_type=str(entry.get("userType") or "Member"),
        licensed=bool(licences) if isinstance(licences, list) else None,
    )


def _found(answer: BatchAnswer, nothing: str, id_of: Callable[[Mapping[str, Any]], str]) -> Found:
    try:
        return Found(id_of(answer.json()))
    except (ResourceGone, ItemGone):
        return Found(reason=nothing)
    except Locked:
        return Found(reason=LOCKED)
    except Forbidden:
        return Found(reason=FORBIDDEN)
    except Unauthorized:
        raise
    except GraphProblem as problem:
        return Found(reason=problem.code)


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
        return Directory(reader).organization()
    except Forbidden:
        return {}


def _roles(reader: GraphReader) -> frozenset[str]:
    return reader.tokens.roles() if isinstance(reader.tokens, Tokens) else frozenset()


def _sample(reader: GraphReader) -> tuple[list[str], Problem | None]:
    """Ids of a few enabled people with an address, likely to have a mailbox and a drive."""
    params = {"$select": _SELECT, "$top": str(_SAMPLE_MAX * 5)}
    try:
        answer = reader.get("/users", params=params, scope=Scope.directory(), cost=2)
    except GraphProblem as problem:
        return [], problem
    people = [one for one in map(_person, answer.get("value", [])) if one is not None]
    people.sort(key=lambda one: (not one.licensed, not one.mail, not one.account_enabled))
    return [one.id for one in people[:_SAMPLE_MAX]], None


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
