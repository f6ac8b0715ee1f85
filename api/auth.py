"""Who is asking. api/guard.py turns everybody else away from /api/ before a route is looked for.

Locally an admin token (bearer header, or the console's cookie); in Azure the principal that App
Service Authentication has checked. Roles per organization come with the multi-customer work; until
then whoever is signed in may do everything.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from base.errors import Problem

SESSION_COOKIE = "holdfast-session"


class NotSignedIn(Problem):
    """Nobody we know is asking."""

    code = "not-signed-in"
    status = 401
    hint = (
        "Send 'Authorization: Bearer <token>': locally the one in the file admin-token, in Azure "
        "an Entra token for the app."
    )


class CrossSite(Problem):
    """A browser sent a changing request from another site."""

    code = "cross-site-request"
    status = 403
    hint = "Open the console itself and try again."


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: an id for the audit log, and where it comes from."""

    id: str
    kind: str  # "admin-token", "entra"


class Authenticator(Protocol):
    """Tells who sent a request, or None."""

    def principal(self, request: Request) -> Principal | None: ...


class AdminToken:
    """The laptop's one administrator, known by a random token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def accepts(self, token: str) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(self._token, token.encode("utf-8", "replace"))

    def principal(self, request: Request) -> Principal | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.accepts(token.strip()):
            return Principal("local-admin", "admin-token")
        cookie = request.cookies.get(SESSION_COOKIE, "")
        if cookie and self.accepts(cookie):
            _same_site_only(request)
            return Principal("local-admin", "admin-token")
        return None


class AppServiceAuthentication:
    """Azure: the header that App Service Authentication sets and callers cannot.

    Only to be used where the platform says that authentication is on; base/settings.py refuses to
    start in Azure otherwise. Source: https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """

    def principal(self, request: Request) -> Principal | None:
        encoded = request.headers.get("x-ms-client-principal")
        if not encoded:
            return None
        try:
            claims = json.loads(base64.b64decode(encoded, validate=True)).get("claims", [])
            by_type = {claim["typ"]: claim["val"] for claim in claims}
        except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        _same_site_only(request)
        who = by_type.get("http://schemas.microsoft.com/identity/claims/objectidentifier")
        who = who or by_type.get("oid") or by_type.get("azp") or by_type.get("appid")
        return Principal(who, "entra") if isinstance(who, str) and who else None


def _same_site_only(request: Request) -> None:
    """A cookie travels with requests of other sites too: those may not change anything."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:  # the browser itself says so; without a referrer its Origin is only "null"
        foreign = site not in ("same-origin", "none")
    else:
        origin = request.headers.get("origin")
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        foreign = origin is not None and origin != own
    if foreign:
        raise CrossSite("This request came from another site.")


def signed_in(request: Request) -> Principal:
    """The dependency of every route that is not public."""
    authenticator: Authenticator = request.app.state.authenticator
    principal = authenticator.principal(request)
    if principal is None:
        raise NotSignedIn("Sign in first.")
    return principal


SignedIn = Annotated[Principal, Depends(signed_in)]
