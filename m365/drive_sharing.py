"""Who a restored file or folder is shared with: set again without a mail to anybody.

Rules
- Nobody is invited by mail: sendInvitation and sendNotification are false in every request, and
  everybody has to sign in.
- Only explicit permissions are set; owners and what is inherited are left to the target. What the
  target grants already, by its folders, is not granted once more.
- Nothing becomes wider than it was: an anonymous link, one with a password, one that prevents
  downloads and a permission that has expired are not set, each with a trouble.
- A link gets a new address; Graph cannot make one with the old.
- One permission that cannot be set is a trouble; the item stays restored.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-invite (applications cannot invite
new guests; a 207 holds the errors), /api/driveitem-createlink (one of the same kind is given
again), /resources/permission; five resource units a request, 300 "specific sharing APIs" in five
minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.item import StoredItem, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    GraphProblem,
    MaybeDone,
    QuotaFull,
    ResourceGone,
    TransientFailure,
    Unauthorized,
)

PERMISSIONS = "permissions"  # the role of the part: a JSON list as Graph gave it
COST = 5
SHARING = Scope.other("sharing")  # counted beside SharePoint's units
NOT_SET = "permission-not-set"
ANONYMOUS = "anonymous-link-left-out"
NEW_ADDRESS = "link-has-new-address"
_PASSED_ON = (TransientFailure, MaybeDone, ResourceGone, Unauthorized, QuotaFull)
_NEVER = "0001-"  # DateTime.MinValue: no expiration


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission that is to be set: of people, or a link (`link`: its type and scope)."""

    id: str
    role: str  # "read", "write"
    people: tuple[Mapping[str, str], ...] = ()  # driveRecipients
    link: tuple[str, str] | None = None
    expires: str = ""


class Left(Exception):
    """A permission that is not set, and why: `cause` of the trouble and its detail."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(cause)
        self.cause, self.detail = cause, detail


class DriveSharing:
    """Sets permissions on items of one drive."""

    def __init__(self, writer: GraphWriter, scope: Scope) -> None:
        self._writer = writer
        self._scope = scope

    def share(self, item: StoredItem, path: str) -> list[Trouble]:
        """Sets what the stored item grants on the item at `path`; safe to repeat."""
        troubles: list[Trouble] = []
        present: list[Mapping[str, Any]] | None = None
        for raw in stored(item):
            part = f"permission:{raw.get('id') or ''}"
            try:
                grant = self._grant(raw)
                if grant is None:
                    continue
                if present is None:
                    present = list(self._present(path))
                if not _is_given(grant, present):
                    self._set(grant, path)
                if grant.link:
                    troubles.append(Trouble(item.id, part, NEW_ADDRESS, retry=False))
            except Left as left:
                troubles.append(Trouble(item.id, part, left.cause, retry=False, detail=left.detail))
        return troubles

    def _grant(self, raw: Mapping[str, Any]) -> Grant | None:
        """What to set; None for what needs nothing. Raises Left."""
        if raw.get("inheritedFrom") or is_owner(raw):
            return None
        role = _role(raw)
        expires = str(raw.get("expirationDateTime") or "")
        expires = "" if expires.startswith(_NEVER) else expires
        if expires and _is_over(expires, self._writer.clock.now()):
            raise Left(NOT_SET, "expired")
        link = raw.get("link")
        if not isinstance(link, Mapping):
            return Grant(str(raw.get("id")), role, (_recipient(_grantee(raw), raw),), None, expires)
        scope = str(link.get("scope") or "").lower()
        if scope == "existingaccess":
            return None  # it grants nothing
        if scope == "anonymous":
            raise Left(ANONYMOUS)
        if scope not in ("organization", "users"):
            raise Left(NOT_SET, "unknown-scope")
        if raw.get("hasPassword") or link.get("preventsDownload"):
            raise Left(NOT_SET, "password" if raw.get("hasPassword") else "prevents-download")
        people = tuple(_recipient(one, {}) for one in _identities(raw)) if scope == "users" else ()
        if scope == "users" and not people:
            return None  # nobody uses it
        kind = (str(link.get("type") or "view"), scope)
        return Grant(str(raw.get("id")), role, people, kind, expires)

    def _set(self, grant: Grant, path: str) -> None:
        body: dict[str, Any] = {}
        if grant.people:
            body["recipients"] = [dict(one) for one in grant.people]
        if grant.expires:
            body["expirationDateTime"] = grant.expires
        if grant.link is None:
            body |= {"roles": [grant.role], "requireSignIn": True, "sendInvitation": False}
            answer = self._post(f"{path}/invite", body)
            if any(one.get("error") for one in answer.get("value") or ()):
                raise Left(NOT_SET, "not-resolved")
            return
        body |= {"type": grant.link[0], "scope": grant.link[1]}
        if grant.people:
            body["sendNotification"] = False
        self._post(f"{path}/createLink", body)

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._writer.take_place(SHARING)
        try:
            # Twice does no harm: what is there already is given again, and nobody is mailed.
            return self._writer.post(path, body, scope=self._scope, cost=COST, repeatable=True)
        except _PASSED_ON:
            raise
        except GraphProblem as problem:
            raise Left(NOT_SET, problem.graph_code or problem.code) from problem

    def _present(self, path: str) -> Iterator[Mapping[str, Any]]:
        pages = follow(
            self._writer, f"{path}/permissions", {}, scope=self._scope,
            cost_first=COST, cost_next=COST,
        )  # fmt: skip
        for page in pages:
            yield from page.value


def stored(item: StoredItem) -> list[Mapping[str, Any]]:
    """The permissions a backup has of an item, as Graph gave them."""
    part = item.part(PERMISSIONS)
    try:
        found = json.loads(part.read()) if part is not None else []
    except ValueError:
        found = []
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def grants_anything(item: StoredItem) -> bool:
    """Whether a restore with permissions has more to do for an item than its bytes."""
    return any(not (raw.get("inheritedFrom") or is_owner(raw)) for raw in stored(item))


def is_owner(raw: Mapping[str, Any]) -> bool:
    """Whether a permission is that of the owner of a drive or site, which every target has."""
    roles = [str(role).lower() for role in raw.get("roles") or ()]
    return any("owner" in role for role in roles)


def _role(raw: Mapping[str, Any]) -> str:
    roles = [str(role).lower() for role in raw.get("roles") or ()]
    for role in ("write", "read"):
        if role in roles:
            return role
    raise Left(NOT_SET, "unknown-role")


def _grantee(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    found = raw.get("grantedToV2") or raw.get("grantedTo") or {}
    return found if isinstance(found, Mapping) else {}


def _identities(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = raw.get("grantedToIdentitiesV2") or raw.get("grantedToIdentities") or []
    return [one for one in found if isinstance(one, Mapping) and one]


def _recipient(identity: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, str]:
    """A driveRecipient: by object id, else by address. Raises Left."""
    for kind in ("user", "group"):
        one = identity.get(kind) or {}
        if one.get("id"):
            return {"objectId": str(one["id"])}
    for one in (
        identity.get("user") or {},
        identity.get("group") or {},
        raw.get("invitation") or {},
    ):
        if one.get("email"):
            return {"email": str(one["email"])}
    login = str((identity.get("siteUser") or {}).get("loginName") or "")
    address = login.rpartition("|")[2]  # i:0#.f|membership|adele@contoso.com
    if "|membership|" in login.lower() and "@" in address:
        return {"email": address}
    kinds = [kind for kind in ("application", "siteGroup", "sharePointGroup") if identity.get(kind)]
    raise Left(NOT_SET, kinds[0] if kinds else "unknown-person")


def _is_given(grant: Grant, present: list[Mapping[str, Any]]) -> bool:
    """Whether the item grants that much already, by itself or by the folders above it."""
    if grant.link is not None:
        return False  # asking for a link that is there gives it again
    wanted = next(iter(grant.people[0].values())).lower()
    for raw in present:
        names = {
            str(one.get(key) or "").lower()
            for one in _grantee(raw).values()
            if isinstance(one, Mapping)
            for key in ("id", "email")
        }
        roles = [str(role).lower() for role in raw.get("roles") or ()]
        enough = grant.role in roles or "write" in roles or is_owner(raw)
        if wanted in names and enough and not grant.expires:
            return True
    return False


def _is_over(expires: str, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(expires) <= now
    except (ValueError, TypeError):
        return True  # what cannot be read is not granted for ever
