"""The identity platform: tokens for client credentials, and the documents libraries ask for."""

import base64
import binascii
import json
import uuid
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator.tenant import AppRegistration, Tenant
from simulator.tokens import KEY_ID, segment
from simulator.web import Answer, Json, Request, Route

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class LoginError(Exception):
    """An AADSTS error."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.code, self.text = status, error, code, text


def token(tenant: Tenant, request: Request, directory: str) -> Answer:
    """POST /{tenant}/oauth2/v2.0/token with grant client_credentials."""
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        _check_directory(tenant, directory)
        app = _client(tenant, form, request, directory)
        sharepoint = _sharepoint(form.get("scope", ""), request)
    except LoginError as refusal:
        return _refusal(tenant, refusal)
    text, life_s = tenant.tokens.issue(
        tenant, app, request.url_base, sharepoint=sharepoint,
        by_certificate=form.get("client_assertion_type") == _ASSERTION,
    )  # fmt: skip
    return Answer(
        200,
        {"token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s}
        | {"access_token": text},
        {"Cache-Control": "no-store, no-cache"},
    )


def openid_configuration(tenant: Tenant, request: Request, directory: str) -> Answer:
    """GET /{tenant}/v2.0/.well-known/openid-configuration."""
    try:
        _check_directory(tenant, directory)
    except LoginError as refusal:
        return _refusal(tenant, refusal)
    here = f"{request.url_base}/{directory}"
    issuer = f"{request.url_base}/{tenant.id}/v2.0"
    return Answer(
        200,
        {
            "token_endpoint": f"{here}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": [
                "client_secret_post", "private_key_jwt", "client_secret_basic",
            ],
            "jwks_uri": f"{here}/discovery/v2.0/keys",
            "response_types_supported": ["code", "id_token", "code id_token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": issuer,
            "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
            "end_session_endpoint": f"{here}/oauth2/v2.0/logout",
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "msgraph_host": "graph.microsoft.com",
        },
    )  # fmt: skip


def keys(tenant: Tenant, request: Request, directory: str) -> Answer:
    """GET /{tenant}/discovery/v2.0/keys."""
    numbers = tenant.tokens.key.public_key().public_numbers()
    exponent, modulus = numbers.e.to_bytes(3, "big"), numbers.n.to_bytes(256, "big")
    key = {
        "kty": "RSA", "use": "sig", "kid": KEY_ID, "x5t": KEY_ID,
        "n": segment(modulus), "e": segment(exponent),
    }  # fmt: skip
    return Answer(200, {"keys": [key]})


def instance_discovery(tenant: Tenant, request: Request, directory: str) -> Answer:
    """GET /common/discovery/instance."""
    host = request.headers.get("host", "localhost")
    here = f"{request.url_base}/{tenant.id}/v2.0/.well-known/openid-configuration"
    cloud = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
    return Answer(
        200, {"tenant_discovery_endpoint": here, "api-version": "1.1", "metadata": [cloud]}
    )


def _check_directory(tenant: Tenant, directory: str) -> None:
    if directory.lower() not in (tenant.id, tenant.domain.lower()):
        raise LoginError(
            400,
            "invalid_request",
            90002,
            f"Tenant '{directory}' not found. Check to make sure you have the correct tenant ID "
            "and are signing into the correct cloud. Check with your subscription administrator, "
            "this may happen if there are no active subscriptions for the tenant.",
        )


def _client(
    tenant: Tenant, form: dict[str, str], request: Request, directory: str
) -> AppRegistration:
    if form.get("grant_type") != "client_credentials":
        raise LoginError(
            400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
        )
    client_id, secret = form.get("client_id", ""), form.get("client_secret")
    basic = request.headers.get("authorization", "")
    if basic.startswith("Basic "):
        try:
            client_id, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
        except ValueError:
            raise LoginError(400, "invalid_request", 900144, "Malformed credentials.") from None
    app = tenant.apps.get(client_id.lower())
    if app is None:
        raise LoginError(
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client_id}' was not found in the directory "
            f"'{tenant.name}'. This can happen if the application has not been installed by the "
            "administrator of the tenant or consented to by any user in the tenant.",
        )
    if not app.enabled:
        raise LoginError(
            400, "unauthorized_client", 7000112, f"Application '{client_id}'(app) is disabled."
        )
    if form.get("client_assertion_type") == _ASSERTION:
        _check_assertion(tenant, app, form.get("client_assertion", ""))
    else:
        _check_secret(tenant, app, secret)
    return app


def _check_secret(tenant: Tenant, app: AppRegistration, secret: str | None) -> None:
    if secret is None:
        raise LoginError(
            401,
            "invalid_client",
            7000218,
            "The request body must contain the following parameter: 'client_assertion' or "
            "'client_secret'.",
        )
    if secret not in app.secrets:
        raise LoginError(
            401,
            "invalid_client",
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the "
            "client secret value, not the client secret ID, for a secret added to app "
            f"'{app.app_id}'.",
        )
    ends = app.secret_ends.get(secret)
    if ends is not None and ends <= tenant.clock.now():
        raise LoginError(
            401,
            "invalid_client",
            7000222,
            f"The provided client secret keys for app '{app.app_id}' are expired. Visit the Azure "
            "portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider "
            "using certificate credentials for added security.",
        )


def _check_assertion(tenant: Tenant, app: AppRegistration, assertion: str) -> None:
    """The JWT must be signed by a registered certificate, for this app, and be fresh."""
    signed, _, signature_text = assertion.rpartition(".")
    head, _, body = signed.partition(".")
    try:
        header, claims = _decoded(head), _decoded(body)
        signature = _unbase64(signature_text)
    except (ValueError, binascii.Error):
        raise LoginError(
            401, "invalid_client", 50027, "JWT token is invalid or malformed."
        ) from None
    good = any(
        _verifies(certificate, str(header.get("alg")), signed.encode("ascii"), signature)
        for certificate in app.certificates
    )
    if not good or claims.get("iss") != app.app_id or claims.get("sub") != app.app_id:
        raise LoginError(
            401,
            "invalid_client",
            700027,
            "The certificate with identifier used to sign the client assertion is not registered "
            "on application.",
        )
    now_s = tenant.clock.seconds()
    if not float(claims.get("nbf", 0)) - 300 <= now_s < float(claims.get("exp", 0)):
        raise LoginError(
            401, "invalid_client", 700024, "Client assertion is not within its valid time range."
        )


def _verifies(certificate: bytes, algorithm: str, signed: bytes, signature: bytes) -> bool:
    if certificate.startswith(b"-----BEGIN CERT"):
        key = x509.load_pem_x509_certificate(certificate).public_key()
    else:
        key = serialization.load_pem_public_key(certificate)  # type: ignore[assignment]
    if not isinstance(key, rsa.RSAPublicKey) or algorithm not in ("RS256", "PS256"):
        return False
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if algorithm == "PS256":
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    try:
        key.verify(signature, signed, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _decoded(part: str) -> Json:
    found = json.loads(_unbase64(part))
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _unbase64(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _sharepoint(scope: str, request: Request) -> str:
    """The SharePoint host a token is for; "" for Graph. A tenant on a machine of its own has its
    SharePoint under the other loopback name.
    """
    _check_scope(scope)
    resource = scope.removesuffix("/.default")
    host, asked = urlsplit(resource).hostname or "", request.headers.get("host", "")
    here = asked.rpartition(":")[0] or asked
    other = host in ("localhost", "127.0.0.1") and host != here
    return resource if other or host.endswith(".sharepoint.com") else ""


def _check_scope(scope: str) -> None:
    if not scope.endswith("/.default"):
        raise LoginError(
            400,
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid. Client credential flows must "
            "have a scope value with /.default suffixed to the resource identifier.",
        )


def _refusal(tenant: Tenant, refusal: LoginError) -> Answer:
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = tenant.clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
    text = (
        f"AADSTS{refusal.code}: {refusal.text} Trace ID: {trace} "
        f"Correlation ID: {correlation} Timestamp: {stamp}"
    )
    return Answer(
        refusal.status,
        {
            "error": refusal.error, "error_description": text, "error_codes": [refusal.code],
            "timestamp": stamp, "trace_id": trace, "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={refusal.code}",
        },
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Route("POST", "/{directory}/oauth2/v2.0/token", token),
    Route("GET", "/{directory}/v2.0/.well-known/openid-configuration", openid_configuration),
    Route("GET", "/{directory}/discovery/v2.0/keys", keys),
    Route("GET", "/{directory}/discovery/instance", instance_discovery),
)
