"""Access tokens: issued as signed JWTs, remembered, and looked up again on every request."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator.web import GraphError, Headers, Json

if TYPE_CHECKING:
    from simulator.tenant import AppRegistration, Tenant

KEY_ID = "simulated-key-1"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"


@dataclass(slots=True)
class Issued:
    """A token that was given out."""

    app: "AppRegistration"
    roles: frozenset[str]
    expires_s: float
    for_sharepoint: bool = False
    by_certificate: bool = False
    challenged: bool = False


class Tokens:
    """All access tokens of a tenant."""

    def __init__(self) -> None:
        self._issued: dict[str, Issued] = {}

    @property
    def key(self) -> rsa.RSAPrivateKey:
        """The signing key; one for all tenants of a process, made when first needed."""
        return _signing_key()

    def issue(
        self, tenant: "Tenant", app: "AppRegistration", login_url: str, *, sharepoint: str = "",
        by_certificate: bool = False,
    ) -> tuple[str, int]:  # fmt: skip
        """(access token, seconds it lives); `sharepoint`: the host it is for, where not Graph."""
        now_s, life_s = int(tenant.clock.seconds()), tenant.token_lifetime_s
        roles = sorted(app.sharepoint_roles if sharepoint else app.roles)
        claims: Json = {
            "aud": sharepoint or "https://graph.microsoft.com",
            "iss": f"{login_url}/{tenant.id}/v2.0",
            "iat": now_s, "nbf": now_s, "exp": now_s + life_s, "appid": app.app_id,
            "app_displayname": app.display_name, "azp": app.app_id, "idtyp": "app",
            "oid": app.object_id, "sub": app.object_id, "tid": tenant.id, "roles": roles,
            "ver": "1.0", "xms_cc": ["cp1"], "uti": f"{tenant.rng.getrandbits(64):016x}",
        }  # fmt: skip
        if not roles:
            del claims["roles"]  # without consent the token has no such claim at all
        token = self._signed(claims)
        self._issued[token] = Issued(
            app, frozenset(roles), now_s + life_s, bool(sharepoint), by_certificate
        )
        return token, life_s

    def revoke_all(self) -> None:
        """Answer every token given out so far by a claims challenge (CAE)."""
        for issued in self._issued.values():
            issued.challenged = True

    def who(self, tenant: "Tenant", headers: Headers, login_url: str) -> Issued:
        """Who sends this request; Graph's 401 else."""
        issued = self._bearer(tenant, headers, login_url)
        if issued.for_sharepoint:
            tenant.counters.offences["token-to-foreign-host"] += 1
            raise _refused("Access token validation failure. Invalid audience.", login_url)
        return issued

    def at_sharepoint(self, tenant: "Tenant", headers: Headers) -> Issued:
        """Who sends a request to SharePoint itself; its 401 else."""
        issued = self._bearer(tenant, headers, "")
        if not issued.for_sharepoint:
            tenant.counters.offences["token-to-foreign-host"] += 1
        if not (issued.for_sharepoint and issued.by_certificate):
            raise _refused("Unsupported app only token.", "")
        return issued

    def _bearer(self, tenant: "Tenant", headers: Headers, login_url: str) -> Issued:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token:
            raise _refused("Access token is empty.", login_url)
        issued = self._issued.get(token.strip())
        if scheme.lower() != "bearer" or issued is None:
            raise _refused("CompactToken parsing failed with error code: 80049217", login_url)
        if not issued.app.enabled:
            raise _refused("The service principal is disabled.", login_url)
        if issued.challenged:
            raise challenge(tenant, login_url)
        if issued.expires_s <= tenant.clock.seconds():
            raise _refused("Lifetime validation failed, the token is expired.", login_url)
        return issued

    def _signed(self, claims: Json) -> str:
        header = {"typ": "JWT", "alg": "RS256", "kid": KEY_ID, "x5t": KEY_ID}
        text = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(claims).encode())}"
        signature = self.key.sign(text.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{segment(signature)}"


@lru_cache(maxsize=1)
def _signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def segment(data: bytes) -> str:
    """base64url without padding, as in a JWT."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def challenge(tenant: "Tenant", login_url: str) -> GraphError:
    """The claims challenge of continuous access evaluation."""
    claims = {
        "access_token": {"nbf": {"essential": True, "value": str(int(tenant.clock.seconds()))}}
    }
    encoded = base64.b64encode(json.dumps(claims).encode()).decode("ascii")
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        "Continuous access evaluation resulted in challenge with result: InteractionRequired "
        "and code: TokenIssuedBeforeRevocationTimestamp",
        {
            "WWW-Authenticate": f'Bearer realm="", authorization_uri="{login_url}/common/oauth2/'
            f'authorize", client_id="{GRAPH_APP_ID}", error="insufficient_claims", '
            f'claims="{encoded}"'
        },
    )


def _refused(message: str, login_url: str) -> GraphError:
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        message,
        {
            "WWW-Authenticate": f'Bearer realm="", authorization_uri="{login_url}/common/oauth2/'
            f'authorize", client_id="{GRAPH_APP_ID}"'
        },
    )
