"""Every setting with its type, default and one line of help; the only file that reads the
environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from base.errors import ConfigurationProblem

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Read from HOLDFAST_* variables or a .env file; docs/operations.md explains each."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDFAST_", env_file=".env", extra="ignore", frozen=True
    )

    storage: Literal["folder", "azure"] = Field(
        "folder", description="where vault and records live: a folder, or an Azure storage account"
    )
    data_dir: Path = Field(Path("data"), description="the folder of the folder storage")
    passphrase: SecretStr | None = Field(
        None, description="unlocks vaults where no Key Vault does (laptop)"
    )

    vault_account_url: str | None = Field(
        None, description="https address of the vault's blob service"
    )
    state_account_url: str | None = Field(
        None, description="https address of the state's table service"
    )
    storage_connection: SecretStr | None = Field(
        None, description="a connection string instead of the two addresses (Azurite)"
    )
    pack_tier: Literal["Hot", "Cool", "Cold"] | None = Field(
        None, description="access tier of packs of 1 MiB and more; unset: what the account says"
    )
    key_vault_key: str | None = Field(
        None, description="address of the Key Vault key that wraps organization keys"
    )
    identity_client_id: str | None = Field(
        None,
        description="client id of the user-assigned identity that reaches storage and Key Vault",
    )

    graph_url: str = Field(
        "https://graph.microsoft.com", description="Microsoft Graph, without version"
    )
    login_url: str | None = Field(None, description="the token service; unset: the cloud's own")
    ca_bundle: Path | None = Field(
        None, description="extra certificate authority (PEM) of a simulator"
    )
    company: str = Field(
        "Holdfast", description="company name in the User-Agent Microsoft asks for"
    )

    step_seconds: float = Field(
        180, gt=0, description="how long one step of a backup or restore may run before it answers"
    )
    step_bytes: int = Field(
        16 * MIB, gt=0, description="stored bytes after which a step commits a page"
    )
    step_items: int = Field(1000, gt=0, description="items after which a step commits a page")
    steps_at_once: int = Field(8, gt=0, description="steps in flight per organization")
    cursor_refresh_days: float = Field(
        5, gt=0, description="age at which an unchanged resource's delta link is stored anew"
    )

    # Set by the platform, not by people.
    website_site_name: str | None = Field(None, validation_alias="WEBSITE_SITE_NAME")
    website_auth_enabled: str | None = Field(None, validation_alias="WEBSITE_AUTH_ENABLED")

    @property
    def in_azure(self) -> bool:
        """Whether the process runs inside Azure Functions."""
        return self.website_site_name is not None

    @model_validator(mode="after")
    def _checked(self) -> Settings:
        if self.in_azure:
            if self.login_url or self.ca_bundle or not _is_microsoft(self.graph_url):
                raise ConfigurationProblem(
                    "HOLDFAST_GRAPH_URL, HOLDFAST_LOGIN_URL and HOLDFAST_CA_BUNDLE are for "
                    "simulators and are refused in Azure."
                )
            if (self.website_auth_enabled or "").lower() != "true":
                raise ConfigurationProblem(
                    "App Service Authentication is off.",
                    hint="Turn it on before the app starts: nothing else checks who is calling.",
                )
        if self.storage == "azure" and not self.storage_connection:
            if not (self.vault_account_url and self.state_account_url):
                raise ConfigurationProblem(
                    "Azure storage needs HOLDFAST_VAULT_ACCOUNT_URL and HOLDFAST_STATE_ACCOUNT_URL."
                )
        return self


# National clouds: https://learn.microsoft.com/graph/deployments
GRAPH_HOSTS = {
    "graph.microsoft.com": "https://login.microsoftonline.com",
    "graph.microsoft.us": "https://login.microsoftonline.us",
    "dod-graph.microsoft.us": "https://login.microsoftonline.us",
    "microsoftgraph.chinacloudapi.cn": "https://login.chinacloudapi.cn",
}


def _is_microsoft(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.hostname in GRAPH_HOSTS
