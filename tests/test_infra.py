"""The Bicep files give the app what it reads, and hold no key and no secret.

Whether they are valid Bicep is for the compiler (the public workflow) or a checker that
HOLDFAST_BICEP_CHECK names; these tests read them as text.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

import dev
from base.settings import Settings
from tests import project

INFRA = project.ROOT / "infra"
BICEP = {
    path.relative_to(INFRA).as_posix(): path.read_text("utf-8") for path in INFRA.rglob("*.bicep")
}
FUNCTIONS = BICEP["modules/functions.bicep"]
STORAGE_ACCOUNTS = ("modules/platform.bicep", "modules/vault.bicep", "modules/state.bicep")

# Settings that Azure leaves at their defaults, and those that have no meaning there.
DEFAULT_FITS = {
    "company",
    "cursor_refresh_days",
    "graph_url",
    "step_bytes",
    "step_items",
    "pack_tier",
    "step_seconds",
    "steps_at_once",
}
LAPTOP_ONLY = {"ca_bundle", "data_dir", "login_url", "passphrase", "storage_connection"}

# What the app's identity may do, and why nothing smaller serves.
ROLES = {
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher: send telemetry",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner: the host's leases",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor: Durable's queues",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor: Durable and records",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor: the vault",
    "e147488a-f6f5-4113-8e2d-b22465e65bf6": "Key Vault Crypto Service Encryption User: (un)wrap",
}


def app_settings() -> dict[str, str]:
    """Names and Bicep expressions of the app settings that are always there."""
    block = FUNCTIONS[FUNCTIONS.index("name: 'appsettings'") : FUNCTIONS.index("signIn ? { '")]
    return dict(re.findall(r"^ {8}(\w+): (.+)$", block, re.MULTILINE))


# --- Settings ---


def test_every_setting_is_given_by_bicep_fits_by_default_or_is_for_laptops() -> None:
    fields = {name for name, field in Settings.model_fields.items() if not field.validation_alias}
    given = {
        name.removeprefix("HOLDFAST_").lower()
        for name in app_settings()
        if name.startswith("HOLDFAST_")
    }
    assert not given - fields, "modules/functions.bicep sets what base/settings.py does not know"
    assert not given & (DEFAULT_FITS | LAPTOP_ONLY)
    undecided = fields - given - DEFAULT_FITS - LAPTOP_ONLY
    assert not undecided, f"{undecided}: set it in modules/functions.bicep or say here why not"


def test_the_given_settings_make_a_valid_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expression in app_settings().items():
        if name.startswith("HOLDFAST_"):
            value = expression.strip("'") if expression.startswith("'") else "https://x.example/"
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEBSITE_SITE_NAME", "func-demo")
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    settings = Settings(_env_file=None)
    assert settings.in_azure
    assert settings.storage == "azure"


def test_everything_host_json_names_is_an_app_setting() -> None:
    host = project.text("host.json")
    settings = app_settings()
    for name in re.findall(r"%(\w+)%", host):
        assert name in settings, f"host.json uses %{name}%"
    for connection in re.findall(r'"connection(?:StringName|Name)":\s*"(\w+)"', host):
        wanted = {f"{connection}__{part}" for part in ("credential", "clientId")}
        wanted |= {f"{connection}__{what}ServiceUri" for what in ("blob", "queue", "table")}
        assert wanted <= settings.keys(), f"host.json uses the connection {connection}"


def test_activities_never_wait_for_a_thread_inside_a_busy_worker() -> None:
    settings = app_settings()
    durable = json.loads(project.text("host.json"))["extensions"]["durableTask"]
    threads = int(settings["FUNCTIONS_WORKER_PROCESS_COUNT"].strip("'")) * int(
        settings["PYTHON_THREADPOOL_THREAD_COUNT"].strip("'")
    )
    assert durable["maxConcurrentActivityFunctions"] <= threads


def test_settings_that_flex_consumption_refuses_are_absent() -> None:
    refused = {
        "FUNCTIONS_EXTENSION_VERSION",
        "FUNCTIONS_WORKER_RUNTIME",
        "WEBSITE_RUN_FROM_PACKAGE",
        "SCM_DO_BUILD_DURING_DEPLOYMENT",
        "ENABLE_ORYX_BUILD",
    }
    assert not refused & app_settings().keys()


def test_the_app_runs_on_the_python_that_the_package_is_built_for() -> None:
    assert f"runtime: {{ name: 'python', version: '{dev.AZURE_PYTHON}' }}" in FUNCTIONS


def test_only_name_and_region_must_be_asked_for() -> None:
    parameters = re.findall(r"^param (\w+) \w+( = .+)?$", BICEP["main.bicep"], re.MULTILINE)
    assert [name for name, default in parameters if not default] == ["environmentName", "location"]
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert given.keys() == {name for name, _ in parameters}


def test_azd_finds_the_app() -> None:
    manifest = project.text("azure.yaml")
    service = re.search(r"^services:\n  (\w+):\n", manifest, re.MULTILINE)
    assert service
    assert f"'azd-service-name': '{service[1]}'" in FUNCTIONS
    for line in ("project: .", "language: python", "host: function"):
        assert f"    {line}\n" in manifest


# --- Safety ---


def test_there_is_no_secret_and_no_way_to_read_one() -> None:
    banned = re.compile(
        r"list(Account)?Keys|listConnectionString|listCredentials|@secure|SharedAccess|AccountKey"
        r"|clientSecret\b|passwordCredential|InstrumentationKey",
        re.IGNORECASE,
    )
    for name, text in BICEP.items():
        assert not banned.search(text), name


@pytest.mark.parametrize("module", STORAGE_ACCOUNTS)
def test_storage_opens_to_identities_only(module: str) -> None:
    for line in (
        "allowBlobPublicAccess: false",
        "allowSharedKeyAccess: false",
        "allowCrossTenantReplication: false",
        "minimumTlsVersion: 'TLS1_2'",
        "supportsHttpsTrafficOnly: true",
    ):
        assert BICEP[module].count(line) == 1, line


def test_no_storage_account_escapes_the_test_above() -> None:
    kind = "'Microsoft.Storage/storageAccounts@"
    found = [name for name, text in BICEP.items() for _ in range(text.count(kind))]
    assert sorted(found) == sorted(STORAGE_ACCOUNTS)


def test_what_was_deleted_from_the_vault_can_be_brought_back() -> None:
    vault = BICEP["modules/vault.bicep"]
    assert "isVersioningEnabled: true" in vault
    assert "deleteRetentionPolicy: { enabled: true" in vault
    assert "containerDeleteRetentionPolicy: { enabled: true" in vault


def test_the_key_outlives_mistakes() -> None:
    keys = BICEP["modules/keys.bicep"]
    assert "enablePurgeProtection: true" in keys
    assert "enableRbacAuthorization: true" in keys
    assert "keyOps: ['wrapKey', 'unwrapKey']" in keys


def test_nobody_gets_in_without_signing_in() -> None:
    assert "platform: { enabled: true" in FUNCTIONS
    assert "requireAuthentication: true" in FUNCTIONS
    assert "AllowAnonymous" not in FUNCTIONS
    assert "excludedPaths" not in FUNCTIONS


def test_nobody_publishes_with_a_password() -> None:
    assert "for way in ['scm', 'ftp']" in FUNCTIONS
    assert "properties: { allow: false }" in FUNCTIONS
    assert "ftpsState: 'Disabled'" in FUNCTIONS


def test_the_identity_has_the_roles_named_here_and_no_others() -> None:
    guid = re.compile(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'")
    used = {found for text in BICEP.values() for found in guid.findall(text)}
    assert used == ROLES.keys()


# --- The checker ---


@pytest.mark.skipif(
    "HOLDFAST_BICEP_CHECK" not in os.environ, reason="HOLDFAST_BICEP_CHECK names no checker"
)
def test_the_checker_finds_nothing() -> None:
    base = {"environmentName": "demo", "location": "westeurope"}
    signed_in = {**base, "consoleClientId": "00000000-0000-0000-0000-000000000001"}
    command = [sys.executable, os.environ["HOLDFAST_BICEP_CHECK"], str(INFRA / "main.bicep")]
    done = subprocess.run(
        [*command, json.dumps(base), json.dumps(signed_in)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
