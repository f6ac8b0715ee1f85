"""The key slot of an installation in Azure: Key Vault wraps the organization's secret and never
shows its own key.

Source: https://learn.microsoft.com/azure/key-vault/keys/about-keys-details (RSA-OAEP-256 wrapKey,
unwrapKey)
"""

from __future__ import annotations

import base64
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

from base.errors import Problem


class KeyVaultUnreachable(Problem):
    """Key Vault did not wrap or unwrap."""

    code = "key-vault-unreachable"
    status = 503
    hint = (
        "Check that the app's identity has 'Key Vault Crypto Service Encryption User' on the key, "
        "and that the key is enabled and not deleted."
    )


class KeyVaultSlot:
    """Wraps with one RSA key; the record keeps the key's version, so that rotated keys still
    unwrap.
    """

    kind = "azure-key-vault"

    def __init__(self, key_id: str, credential: TokenCredential) -> None:
        self._key_id = key_id
        self._credential = credential

    def wrap(self, secret: bytes, aad: bytes) -> dict[str, Any]:
        """Shape: {key_id: with version, algorithm, wrapped: base64}. OAEP takes no associated data:
        the vault authenticates the record itself under the wrapped secret."""
        try:
            answer = self._client(self._key_id).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, secret)
        except AzureError as error:
            raise KeyVaultUnreachable("Key Vault did not wrap the vault's secret.") from error
        return {
            "key_id": answer.key_id,
            "algorithm": str(KeyWrapAlgorithm.rsa_oaep_256.value),
            "wrapped": base64.b64encode(answer.encrypted_key).decode(),
        }

    def unwrap(self, record: dict[str, Any], aad: bytes) -> bytes:
        """The secret of a record that wrap() made."""
        try:
            answer = self._client(record["key_id"]).unwrap_key(
                KeyWrapAlgorithm.rsa_oaep_256, base64.b64decode(record["wrapped"])
            )
        except AzureError as error:
            raise KeyVaultUnreachable("Key Vault did not unwrap the vault's secret.") from error
        return answer.key

    def _client(self, key_id: str) -> CryptographyClient:
        return CryptographyClient(key_id, self._credential)
