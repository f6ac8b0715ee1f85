"""A Key Vault on the wire of azure-keyvault-keys: one RSA key in versions, with its refusals."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import requests
import urllib3
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from requests.adapters import HTTPAdapter

KEY = "https://holdfast-tests.vault.azure.net/keys/wrap"
_OAEP = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
_CHALLENGE = (
    'Bearer authorization="https://login.microsoftonline.com/tenant", '
    'resource="https://vault.azure.net"'
)


class Identity:
    """A credential that always has a token."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("token", 2**40)


class FakeKeyVault(HTTPAdapter):
    """Answers as the service does; knobs make it refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, rsa.RSAPrivateKey] = {}
        self.disabled: set[str] = set()
        self.forbidden = False
        self.may_get = True
        self.gone = False
        self.busy = 0  # answers of 429 still to come
        self.asked: list[str] = []  # operations that were carried out
        self.pauses: list[float] = []
        self.rotate()

    def rotate(self) -> str:
        """A new version, which is the current one from now on."""
        version = f"{len(self.versions) + 1:032x}"
        self.versions[version] = rsa.generate_private_key(65537, 2048)
        return version

    def transport(self) -> RequestsTransport:
        """What a KeyVaultSlot is given."""
        session = requests.Session()
        session.mount("https://", self)
        return _Wire(self.pauses, session=session, session_owner=False)

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        status, body, headers = self._answer(request)
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(json.dumps(body).encode()),
            headers={"Content-Type": "application/json", **headers},
            status=status,
            preload_content=False,
        )
        return self.build_response(request, raw)

    def _answer(self, request: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
        if "Authorization" not in request.headers:
            return 401, {}, {"WWW-Authenticate": _CHALLENGE}
        if self.busy:
            self.busy -= 1
            return 429, _error("Throttled"), {"Retry-After": "7"}
        if self.gone:
            return 404, _error("KeyNotFound"), {}
        path = request.url.partition("?")[0].split("/keys/wrap")[1].strip("/").split("/")
        version = path[0] or max(self.versions)
        operation = path[1] if len(path) > 1 else "get"
        if self.forbidden or (operation == "get" and not self.may_get):
            return 403, _error("Forbidden", "ForbiddenByRbac"), {}
        if version in self.disabled:
            return 403, _error("Forbidden", "KeyDisabled"), {}
        self.asked.append(operation)
        return 200, self._done(operation, version, request), {}

    def _done(self, operation: str, version: str, request: Any) -> dict[str, Any]:
        key, kid = self.versions[version], f"{KEY}/{version}"
        if operation == "get":
            numbers = key.public_key().public_numbers()
            jwk = {"kid": kid, "kty": "RSA", "key_ops": ["wrapKey", "unwrapKey"]}
            jwk |= {"n": _number(numbers.n), "e": _number(numbers.e)}
            return {"key": jwk, "attributes": {"enabled": True}}
        asked = json.loads(request.body)
        assert asked["alg"] == "RSA-OAEP-256"
        value = base64.urlsafe_b64decode(asked["value"] + "==")
        if operation == "unwrapkey":
            return {"kid": kid, "value": _text(key.decrypt(value, _OAEP))}
        return {"kid": kid, "value": _text(key.public_key().encrypt(value, _OAEP))}


class _Wire(RequestsTransport):  # type: ignore[misc] # untyped
    """The SDK's own transport; its pauses pass at once."""

    def __init__(self, pauses: list[float], **options: Any) -> None:
        super().__init__(**options)
        self._pauses = pauses

    def sleep(self, duration: float) -> None:
        self._pauses.append(duration)


def _error(code: str, inner: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {"code": code, "message": "no"}
    return {"error": {**told, "innererror": {"code": inner}} if inner else told}


def _number(number: int) -> str:
    return _text(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
