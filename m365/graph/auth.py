"""Tokens for an application in a tenant, by secret or certificate, through azure-identity.

Rules
- Secrets, tokens and private keys never show in a repr, a message or a log.
- Nothing is read from the environment; authority and certificate authorities come with the Place.
- A token is used until shortly before its end, shared by all threads, and fetched by one of them.
- Roles are read from the token to explain what is missing; they decide nothing (the token is not
  verified).

https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from azure.core.exceptions import (
    AzureError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from base.clock import Clock
from base.errors import Problem, Throttled
from m365.graph.errors import TransientFailure
from m365.graph.exchange import TokenSource
from m365.graph.hosts import Place

_SPARE_S = 300.0  # a token is renewed so long before its end, or at 80 % of a short life
_SHARE = 0.8
_TRIES_MAX = 3
_SOURCES_MAX = 500


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """An application that signs in with a secret."""

    tenant: str
    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """An application that signs in with a certificate; `pem` holds it and its RSA key."""

    tenant: str
    client_id: str
    pem: bytes = field(repr=False)
    password: str | None = field(default=None, repr=False)


Credential = ClientSecret | Certificate


class SignInFailed(Problem):
    """Microsoft Entra refused the application; `aadsts` is its number for the reason."""

    code: ClassVar[str] = "sign-in-failed"
    status: ClassVar[int] = 502
    hint = "Look the AADSTS number up in Microsoft's list of sign-in errors."

    def __init__(self, message: str, aadsts: str = "", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, aadsts=aadsts)
        self.aadsts = aadsts


class WrongSecret(SignInFailed):
    """The secret or certificate is wrong or has expired."""

    code = "wrong-secret"
    status = 422
    hint = "Make a new client secret in Entra and enter its value (not its id)."


class UnknownTenant(SignInFailed):
    """There is no such tenant."""

    code = "unknown-tenant"
    status = 422
    hint = "Check the tenant id: it is on the overview page of Microsoft Entra ID."


class UnknownApp(SignInFailed):
    """The tenant does not know the application."""

    code = "unknown-application"
    status = 422
    hint = (
        "Check the client id, and that the application was registered or consented in this tenant."
    )


class ConsentMissing(SignInFailed):
    """An administrator has not agreed to the application's permissions."""

    code = "consent-missing"
    status = 422
    hint = "Open the consent address as an administrator of the tenant and accept."


_EXPIRED_HINT = "The secret has expired: make a new one in Entra and enter its value."
_CERTIFICATE_HINT = "Upload the certificate's public half to the application in Entra, or renew it."
_CLOCK_HINT = "Correct the clock of the machine that Holdfast runs on."
_DISABLED_HINT = (
    "Open the application among the enterprise applications in Entra and enable sign-in for it."
)
_POLICY_HINT = "Exempt the application from the policy for workload identities, or its addresses."
_WHY: dict[str, tuple[type[SignInFailed], str, str | None]] = {
    "7000215": (WrongSecret, "The client secret is wrong.", None),
    "7000222": (WrongSecret, "The client secret has expired.", _EXPIRED_HINT),
    "7000218": (WrongSecret, "The client secret is missing.", None),
    "700027": (WrongSecret, "The certificate is not the application's.", _CERTIFICATE_HINT),
    "7000277": (WrongSecret, "The certificate is not the application's.", _CERTIFICATE_HINT),
    "1000502": (WrongSecret, "The certificate has expired or is not valid yet.", _CERTIFICATE_HINT),
    "700024": (WrongSecret, "The sign-in was signed for another time.", _CLOCK_HINT),
    "90002": (UnknownTenant, "There is no such tenant.", None),
    "900023": (UnknownTenant, "That is not the id of a tenant.", None),
    "90013": (UnknownTenant, "That is not the id of a tenant.", None),
    "700016": (UnknownApp, "The tenant does not know this application.", None),
    "7000112": (UnknownApp, "The application is disabled in this tenant.", _DISABLED_HINT),
    "900144": (UnknownApp, "The client id is missing.", None),
    "65001": (ConsentMissing, "The application has no consent in this tenant.", None),
    "7000229": (ConsentMissing, "The application was never added to this tenant.", None),
    "53003": (SignInFailed, "A Conditional Access policy refused the sign-in.", _POLICY_HINT),
}
_AADSTS = re.compile(r"AADSTS(\d+)")


class Tokens:
    """The tokens of one application in one tenant."""

    def __init__(self, place: Place, credential: Credential, clock: Clock) -> None:
        self._place = place
        self._credential = credential
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: tuple[int, str] = (0, "")  # status and Retry-After of the last answer
        self._azure = self._signer()
        self._token = ""
        self._claims = ""
        self._use_until = 0.0  # monotonic
        self._paused_until = 0.0  # monotonic

    @property
    def tenant(self) -> str:
        return self._credential.tenant

    @property
    def credential(self) -> Credential:
        """What it signs in with."""
        return self._credential

    def token(self) -> str:
        """A bearer token. Raises SignInFailed and its kin, Throttled, TransientFailure."""
        with self._lock:
            if not self._token or self._clock.monotonic() >= self._use_until:
                self._renew()
            return self._token

    def refresh(self, stale: str, challenge: str) -> None:
        """After a 401: forgets `stale`, unless another thread did, and answers the challenge."""
        with self._lock:
            if self._token != stale:
                return
            self._claims = _claims_of(challenge)
            self._azure = self._signer()  # the old one would repeat its token
            self._renew()

    def roles(self) -> frozenset[str]:
        """The application permissions in the token."""
        named = _payload(self.token()).get("roles", [])
        return frozenset(str(role) for role in named) if isinstance(named, list) else frozenset()

    def _signer(self) -> ClientSecretCredential | CertificateCredential:
        def heard(answer: Any) -> None:
            response = answer.http_response
            self._heard = response.status_code, str(response.headers.get("Retry-After", ""))

        return _azure(self._place, self._credential, heard)

    def _renew(self) -> None:
        left_s = self._paused_until - self._clock.monotonic()
        if left_s > 0:
            raise _paused(left_s)
        for tries in range(_TRIES_MAX):
            self._heard = (0, "")
            try:
                got = self._azure.get_token(
                    self._place.token_scope, claims=self._claims or None, enable_cae=True
                )
                break
            except (AzureError, ValueError, RuntimeError) as error:
                problem = _problem_of(error, *self._heard)
                self._azure = self._signer()  # the old one would repeat its answer unasked
                if isinstance(problem, Throttled):
                    self._paused_until = self._clock.monotonic() + problem.retry_after_s
                if not isinstance(problem, TransientFailure) or tries == _TRIES_MAX - 1:
                    raise problem from None  # the text of the error may hold what was sent
                self._clock.sleep(0.5 * 2**tries)
        life_s = max(0.0, got.expires_on - self._clock.now().timestamp())
        self._token = got.token
        self._use_until = self._clock.monotonic() + max(life_s - _SPARE_S, life_s * _SHARE)


def certificate_end(credential: Certificate) -> datetime | None:
    """When the certificate is no longer accepted; None where it cannot be read."""
    password = credential.password.encode() if credential.password else None
    try:
        return x509.load_pem_x509_certificate(credential.pem).not_valid_after_utc
    except ValueError:
        pass  # no PEM: PKCS #12, or nothing of the kind
    try:
        found = pkcs12.load_pkcs12(credential.pem, password).cert
    except ValueError:
        return None
    return found.certificate.not_valid_after_utc if found else None


_sources: dict[tuple[Place, str], Tokens] = {}
_sources_lock = threading.Lock()


def tokens_for(place: Place, credential: Credential | TokenSource, clock: Clock) -> TokenSource:
    """The process's tokens for a credential: every step makes a reader, only the first signs in."""
    if not isinstance(credential, (ClientSecret, Certificate)):
        return credential
    key = (place, _fingerprint(credential))
    with _sources_lock:
        if key not in _sources:
            while len(_sources) >= _SOURCES_MAX:
                _sources.pop(next(iter(_sources)))
            _sources[key] = Tokens(place, credential, clock)
        return _sources[key]


def _azure(
    place: Place, credential: Credential, heard: Callable[[Any], None]
) -> ClientSecretCredential | CertificateCredential:
    options: dict[str, Any] = {
        "raw_response_hook": heard,
        "authority": place.authority,
        "disable_instance_discovery": place.login_url is not None,
        "retry_total": 0,  # its own retry sleeps through any Retry-After
        "connection_timeout": 15,
        "read_timeout": 30,
    }
    if place.ca_file is not None:
        options["connection_verify"] = str(place.ca_file)
    try:
        if isinstance(credential, ClientSecret):
            return ClientSecretCredential(
                credential.tenant, credential.client_id, credential.secret, **options
            )
        return CertificateCredential(
            credential.tenant,
            credential.client_id,
            certificate_data=credential.pem,
            password=credential.password,
            **options,
        )
    except ValueError as error:
        raise _malformed(credential, str(error)) from None


def _malformed(credential: Credential, text: str) -> SignInFailed:
    if "tenant" in text.lower():
        return UnknownTenant("That is not the id of a tenant.")
    if isinstance(credential, Certificate):
        return WrongSecret(
            "The certificate cannot be used.",
            hint="It has to be PEM or PKCS #12 with an RSA key; check the password too.",
        )
    if "client_id" in text:
        return UnknownApp("The client id is missing.")
    return WrongSecret("The client secret is missing.")


def _problem_of(error: Exception, status: int, retry_after: str) -> Problem:
    """What went wrong; `status` and `retry_after` are of the last answer, (0, "") without one."""
    chain = list(_causes(error))
    if any(isinstance(one, (ServiceRequestError, ServiceResponseError)) for one in chain):
        return _unreachable()
    if status == 429 or (status == 503 and retry_after):
        return _paused(float(retry_after) if retry_after.isdecimal() else 30.0)
    if status >= 500:
        return _unreachable()
    match = next(filter(None, (_AADSTS.search(str(one)) for one in chain)), None)
    if match is None:
        return SignInFailed("The sign-in service gave an answer that makes no sense.")
    kind, message, hint = _WHY.get(
        match[1], (SignInFailed, "Microsoft Entra refused the sign-in.", None)
    )
    return kind(message, f"AADSTS{match[1]}", hint=hint)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from: azure-identity and msal wrap what they met."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _paused(wait_s: float) -> Throttled:
    return Throttled("The sign-in service asks for a pause.", wait_s, scope="sign-in")


def _unreachable() -> TransientFailure:
    return TransientFailure(
        "The sign-in service of Microsoft Entra cannot be reached.",
        hint="Check the network, the proxy and HOLDFAST_LOGIN_URL.",
    )


def _claims_of(challenge: str) -> str:
    """The claims of a WWW-Authenticate header, decoded; "" where it has none."""
    match = re.search(r'claims="([^"]+)"', challenge)
    if match is None:
        return ""
    try:
        text = base64.b64decode(match[1] + "=" * (-len(match[1]) % 4)).decode()
        return text if isinstance(json.loads(text), dict) else ""
    except ValueError:
        return ""


def _payload(token: str) -> dict[str, Any]:
    try:
        part = token.split(".")[1]
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _fingerprint(credential: Credential) -> str:
    secret = (
        credential.secret.encode()
        if isinstance(credential, ClientSecret)
        else credential.pem + (credential.password or "").encode()
    )
    named = f"{credential.tenant}\n{credential.client_id}\n".encode()
    return hashlib.sha256(named + secret).hexdigest()
