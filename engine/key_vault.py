"""The key slot of an installation in Azure: Key Vault wraps the organization's secret and never
shows its own key.

Rule 1: a record is unwrapped only with the key this installation is set to use, in whatever version
        the record names: a planted key file cannot send the service to somebody else's key.
Rule 2: a record names the version, so that a rotated key still unwraps what older versions wrapped
        (they have to stay enabled until the slots were rotated).

Source: https://learn.microsoft.com/azure/key-vault/keys/about-keys-details (RSA-OAEP-256 wrapKey,
unwrapKey), https://learn.microsoft.com/azure/key-vault/general/rest-error-codes,
https://learn.microsoft.com/azure/key-vault/general/overview-throttling
"""

from __future__ import annotations

import base64
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

from base.errors import InvalidInput, Problem, Throttled
from vault import VaultDamaged, WrongKey

_RETRIES = 3  # of the SDK, with its own pauses
_BUSY_S = 10.0  # where a 429 does not say how long
_HOSTS = (
    ".vault.azure.net",
    ".managedhsm.azure.net",
    ".vault.azure.cn",
    ".managedhsm.azure.cn",
    ".vault.usgovcloudapi.net",
    ".managedhsm.usgovcloudapi.net",
)


class KeyVaultUnreachable(Problem):
    """Key Vault did not wrap or unwrap; it did not say that it never will."""

    code = "key-vault-unreachable"
    status = 503
    hint = "Check the network to the vault and its firewall; the work goes on when it answers."


class KeyVaultForbidden(Problem):
    """Key Vault refuses this identity."""

    code = "key-vault-forbidden"
    status = 503
    hint = (
        "Give the app's identity the role 'Key Vault Crypto Service Encryption User' on the key, "
        "and let the vault's firewall admit the app."
    )


class KeyVaultKeyDisabled(Problem):
    """The key, or the version that wrapped this vault's secret, is disabled or out of its dates."""

    code = "key-vault-key-disabled"
    status = 503
    hint = "Enable that version of the key; disable it again after rotating the slots."


class KeyVaultKeyMissing(Problem):
    """The key is not there: deleted, or another address."""

    code = "key-vault-key-missing"
    status = 503
    hint = (
        "Recover it while it is soft-deleted: az keyvault key recover. After a purge only a "
        "recovery slot opens the vault."
    )


class KeyVaultSlot:
    """Wraps with one RSA key in its newest version, or the one the address names."""

    kind = "azure-key-vault"

    def __init__(self, key_id: str, credential: TokenCredential, transport: Any = None) -> None:
        """`transport`: an azure.core HttpTransport that tests bring. Raises InvalidInput."""
        self._key_id = key_id
        self._credential = credential
        self._options = {} if transport is None else {"transport": transport}
        _key_of(key_id)

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        """Shape: {key_id: with version, algorithm, wrapped: base64}. OAEP takes no associated data:
        the vault authenticates the record itself under the wrapped secret."""
        try:
            answer = self._client(self._key_id).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, secret)
        except AzureError as error:
            raise _problem(error) from error
        if len(str(answer.key_id).rstrip("/").split("/")) != 6:
            raise KeyVaultForbidden(
                "Key Vault does not say which version of the key it used.",
                hint="Let the identity read the key (keys/get), or name the key with its version.",
            )
        return {
            "key_id": answer.key_id,
            "algorithm": str(KeyWrapAlgorithm.rsa_oaep_256.value),
            "wrapped": base64.b64encode(answer.encrypted_key).decode(),
        }

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes:
        """The secret of a record that wrap() made. Raises WrongKey for another key's record."""
        try:
            key_id, wrapped = str(record["key_id"]), base64.b64decode(record["wrapped"])
        except (KeyError, ValueError, TypeError) as damage:
            raise VaultDamaged("A key slot cannot be read.") from damage
        if not _same_key(key_id, self._key_id):
            raise WrongKey("This slot belongs to another Key Vault key.")
        try:
            answer = self._client(key_id).unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped)
        except AzureError as error:
            raise _problem(error) from error
        return answer.key

    def _client(self, key_id: str) -> CryptographyClient:
        return CryptographyClient(key_id, self._credential, retry_total=_RETRIES, **self._options)


def _key_of(key_id: str) -> tuple[str, str]:
    """Host and name of a key's address. Raises InvalidInput for anything else."""
    scheme, _, rest = key_id.partition("://")
    host, *path = rest.rstrip("/").lower().split("/")
    if scheme != "https" or not host.endswith(_HOSTS) or len(path) not in (2, 3):
        path = []
    if not path or path[0] != "keys" or set(rest) & set("@?#:"):
        raise InvalidInput(
            "A Key Vault key has an address like https://NAME.vault.azure.net/keys/KEY.",
            field="key_id",
        )
    return host, path[1]


def _same_key(one: str, other: str) -> bool:
    """Whether two addresses are of the same key, in any version."""
    try:
        return _key_of(one) == _key_of(other)
    except InvalidInput:
        return False


def _problem(error: AzureError) -> Problem:
    status = getattr(error, "status_code", None)
    code, inner = _codes(error)
    facts = {"azure_code": inner or code, "azure_status": status}
    if status == 429:
        return Throttled("Key Vault is busy.", _retry_after_s(error), **facts)
    if inner in ("KeyDisabled", "KeyNotYetValid", "KeyExpired") or "Disabled" in code:
        return KeyVaultKeyDisabled("The Key Vault key is disabled.", **facts)
    if status in (401, 403) or isinstance(error, ClientAuthenticationError):
        return KeyVaultForbidden("Key Vault refuses this identity.", **facts)
    if status == 404:
        return KeyVaultKeyMissing("The Key Vault key is not there.", **facts)
    return KeyVaultUnreachable("Key Vault did not answer.", **facts)


def _codes(error: AzureError) -> tuple[str, str]:
    """The service's code and the more exact one inside."""
    told = getattr(error, "error", None)
    inner = getattr(told, "innererror", None) or {}
    return str(getattr(told, "code", None) or ""), str(inner.get("code") or "")


def _retry_after_s(error: AzureError) -> float:
    response = error.response if isinstance(error, HttpResponseError) else None
    headers: Any = getattr(response, "headers", {})
    told = str(headers.get("Retry-After", ""))
    return float(told) if told.isdecimal() else _BUSY_S
