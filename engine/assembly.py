"""Turns settings into the objects of one running app; read it in one sitting to know what is made
of what.

The only place that makes a GraphWriter: backups are handed readers, and only restores ask for a
writer.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from base.clock import Clock, SystemClock
from base.errors import ConfigurationProblem, NotFound, Problem
from base.settings import Settings
from engine.chunks import KnownChunks
from engine.key_vault import KeyVaultSlot
from engine.mirror import MirroredTables
from m365 import SERVICES
from m365.graph.auth import Certificate, ClientSecret, Credential, Tokens
from m365.graph.client import GraphReader, GraphWriter
from m365.graph.hosts import Place
from m365.graph.permissions import missing_roles
from m365.graph.throttle import Limiter, Purpose
from m365.service import Resource, Service, Writer
from state.organizations import Organization
from state.port import Tables
from state.records import Records
from state.tables.azure_tables import AzureTables
from state.tables.sqlite import SqliteTables
from vault import (
    CountingStore,
    KeysGone,
    KeySlot,
    PassphraseSlot,
    Repository,
    Store,
    VaultDamaged,
    VaultMissing,
)
from vault.stores.azure_blob import AzureBlobStore
from vault.stores.folder import FolderStore

KEYS_LIVE = timedelta(minutes=15)  # an unwrapped key is kept in memory no longer than this
SHREDDED = "shredded"  # fact of an organization: when its keys were destroyed, ISO
KEY_CHECK = "key_check"  # fact of an organization: tells its lasting keys from forged ones
KEY_FILE = "key_file"  # fact of an organization: the newest key file we know of


class OrganizationMissing(NotFound):
    """No such organization."""

    code = "organization-missing"
    hint = "List /api/v1/organizations for those that exist."


class OrganizationShredded(Problem):
    """The organization's keys were destroyed on purpose: nothing opens its vault any more."""

    code = "organization-shredded"
    status = 410
    hint = "Delete the organization; take the tenant in again under another id to protect it anew."


class KeysRolledBack(VaultDamaged):
    """The store shows an older key file than the one that was in use: somebody removed the newer
    one.
    """

    code = "vault-keys-rolled-back"
    hint = (
        "Bring the newer key file back (undelete the blob, or a replica) before anything else: "
        "without it what was written under newer data keys cannot be read."
    )


class KeysForged(VaultDamaged):
    """The store shows a key file that opens and holds other lasting keys than this vault's: whoever
    may write there and knows a public key can make one.
    """

    code = "vault-keys-forged"
    hint = "Remove that key file, find out who wrote it, and verify the vault."


class ExportOnly(Problem):
    """Microsoft Graph lets no application write what this service holds."""

    code = "export-only"
    status = 409
    hint = "Export it; a person can put it back."


class CredentialMissing(Problem):
    """The organization has no such credential."""

    code = "credential-missing"
    status = 409
    hint = "Give the organization the credential of the application, then try again."


class PermissionMissing(Problem):
    """The restore application lacks a permission; `permissions` and the service are named."""

    code = "permission-missing"
    status = 409
    hint = "Grant the named application permissions in the tenant and consent to them."


@dataclass(slots=True)
class _Open:
    """A vault that is open, and until when its keys may stay in memory."""

    repository: Repository
    store: CountingStore
    until: float


class App:
    """One running installation: records, vaults, and the way to each organization's tenant."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        tables: Tables | None = None,
        scrypt_n: int = 2**17,
        key_vault_slot: Callable[[str], KeySlot] | None = None,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._scrypt_n = scrypt_n
        self.key_vault_slot = key_vault_slot or self._key_vault_slot
        self._lock = threading.RLock()
        self._opened: dict[str, _Open] = {}
        self.place = Place(
            settings.graph_url, settings.login_url, settings.ca_bundle, settings.company
        )
        self.unmirrored: Tables = tables or self._make_tables()
        self.tables = MirroredTables(self.unmirrored, self._mirror_of)
        records = Records(self.tables, self.clock, _VaultSealing(self))
        self.organizations = records.organizations
        self.policies = records.policies
        self.runs = records.runs
        self.resources = records.resources
        self.directory = records.directory
        self.leases = records.leases
        self.work = records.work
        self.progress = records.progress
        self.ledger = records.ledger
        self.audit = records.audit
        self.throttling = records.throttling
        worker = "only" if settings.storage == "folder" else ""  # goes on after a crash
        self.limiter = Limiter(self.clock, record=self.throttling, worker=worker)

    # --- Organizations and their vaults ---

    def organization(self, org: str) -> Organization:
        """The record of an organization."""
        found = self.organizations.get(org)
        if found is None:
            raise OrganizationMissing("There is no such organization.")
        return found

    def create_vault(self, org: str, recovery: str) -> Repository:
        """Makes the vault of a new organization with two ways in: the service's and the recovery
        one's.
        """
        store = self._make_store(org)
        if isinstance(store, AzureBlobStore):  # only here: backups need no right to make containers
            store.make_containers()
        slots = [self.key_slot(), self.passphrase_slot(recovery)]
        Repository.create(store, slots, self.clock)
        return self.vault(org)

    def vault(self, org: str) -> Repository:
        """The organization's vault, opened; kept open for a while."""
        return self._open(org).repository

    def store_counts(self, org: str) -> CountingStore:
        """The store below the vault, with its counts of reads and writes by this process."""
        return self._open(org).store

    def _open(self, org: str) -> _Open:
        with self._lock:
            opened = self._opened.get(org)
            if opened is None or opened.until < self.clock.monotonic():
                facts = self._key_facts(org)
                if facts.get(SHREDDED):
                    raise OrganizationShredded("The organization's keys were destroyed.")
                store = opened.store if opened else CountingStore(self._make_store(org))
                known = KnownChunks(self.tables, org)
                repository = Repository.open(store, self.key_slot(), self.clock, known)
                if repository.keys.file_name < facts.get(KEY_FILE, ""):
                    raise KeysRolledBack(
                        "The vault's newest key file is gone.", name=facts[KEY_FILE]
                    )
                if repository.keys.ring.check != facts.get(KEY_CHECK, repository.keys.ring.check):
                    raise KeysForged("The key file is not of this vault's making.")
                until = self.clock.monotonic() + KEYS_LIVE.total_seconds()
                opened = self._opened[org] = _Open(repository, store, until)
            return opened

    def _key_facts(self, org: str) -> Mapping[str, str]:
        record = self.organizations.get(org)
        return {} if record is None else record.facts

    def vaults(self) -> Iterator[str]:
        """Organizations that have a vault, whether or not they have a row. In Azure this needs the
        right to list the account's containers.
        """
        settings = self.settings
        if settings.storage == "folder":
            folder = settings.data_dir / "vaults"
            yield from sorted(one.name for one in folder.iterdir()) if folder.is_dir() else ()
        elif settings.storage_connection:
            secret = settings.storage_connection.get_secret_value()
            yield from AzureBlobStore.prefixes(connection=secret)
        else:
            yield from AzureBlobStore.prefixes(
                account_url=str(settings.vault_account_url), credential=self._identity()
            )

    def _mirror_of(self, org: str) -> Repository | None:
        """Where rows of an organization are mirrored; None for a vault that never opens again."""
        try:
            return self.vault(org)
        except (OrganizationShredded, KeysGone, VaultMissing):
            return None

    def store(self, org: str) -> Store:
        """The organization's blobs, whether or not anything opens them."""
        return self._make_store(org)

    def close_vault(self, org: str) -> None:
        """Forgets the unwrapped keys of an organization: the next use opens its vault again."""
        with self._lock:
            self._opened.pop(org, None)

    def key_slot(self) -> KeySlot:
        """What opens vaults while the service runs: a Key Vault key in Azure, a passphrase
        elsewhere.
        """
        settings = self.settings
        if settings.key_vault_key:
            return self.key_vault_slot(settings.key_vault_key)
        if settings.passphrase is None:
            raise ConfigurationProblem(
                "Nothing opens the vaults.",
                hint="Set HOLDFAST_KEY_VAULT_KEY in Azure or HOLDFAST_PASSPHRASE elsewhere.",
            )
        return self.passphrase_slot(settings.passphrase.get_secret_value())

    def passphrase_slot(self, passphrase: str) -> PassphraseSlot:
        """A slot of a passphrase, as costly as this installation makes them."""
        return PassphraseSlot(passphrase, self._scrypt_n)

    def _key_vault_slot(self, key_id: str) -> KeySlot:
        return KeyVaultSlot(key_id, self._identity())

    # --- The way to Microsoft 365 ---

    def reader(
        self, org: str, application: str = "backup", purpose: Purpose = Purpose.BACKUP
    ) -> GraphReader:
        """A reader of its own (its counters start at zero) with an application's rights."""
        credential = self.credential(org, application)
        return GraphReader(self.place, credential, self.limiter, self.clock, purpose)

    def restorer(
        self, org: str, service: str, resource: str, options: Collection[str] = ()
    ) -> Writer:
        """Writes into one resource of the tenant with the restore application's rights."""
        kind, _, graph_id = resource.partition(":")
        credential = self.credential(org, "restore")
        found = self.service(service)
        if found.writer is None:
            raise ExportOnly(f"{found.title} cannot be written by an application.")
        writer = GraphWriter(self.place, credential, self.limiter, self.clock)
        _insist_on(found, options, writer)
        return found.writer(writer, Resource(kind, graph_id), **dict.fromkeys(options, True))

    def service(self, name: str) -> Service:
        """A service of the registry."""
        if name not in SERVICES:
            raise NotFound("There is no such service.", hint=f"Services: {', '.join(SERVICES)}.")
        return SERVICES[name]

    def credential(self, org: str, application: str) -> Credential:
        """The credential of the backup or the restore application, unsealed."""
        record = self.organization(org)
        sealed = record.credential_sealed
        if application == "restore":
            sealed = record.restore_credential_sealed
        if not sealed:
            raise CredentialMissing(f"The organization has no {application} credential.")
        secret = self.vault(org).unseal(f"credential/{application}", base64.b64decode(sealed))
        return credential_of(record.tenant_id, json.loads(secret))

    # --- Storage ---

    def _make_tables(self) -> Tables:
        settings = self.settings
        if settings.storage == "folder":
            return SqliteTables(settings.data_dir / "state.sqlite", clock=self.clock)
        if settings.storage_connection:
            return AzureTables.from_connection_string(
                settings.storage_connection.get_secret_value()
            )
        return AzureTables.from_credential(str(settings.state_account_url), self._identity())

    def _make_store(self, org: str) -> Store:
        settings = self.settings
        if settings.storage == "folder":
            return FolderStore(settings.data_dir / "vaults" / org)
        if settings.storage_connection:
            connection = settings.storage_connection.get_secret_value()
            store = AzureBlobStore.from_connection_string(connection, org, settings.pack_tier)
        else:
            url = str(settings.vault_account_url)
            store = AzureBlobStore.from_credential(url, self._identity(), org, settings.pack_tier)
        return store

    def _identity(self) -> TokenCredential:
        client_id = self.settings.identity_client_id
        if client_id:
            return ManagedIdentityCredential(client_id=client_id)
        return DefaultAzureCredential()


def credential_of(tenant_id: str, values: Mapping[str, str]) -> Credential:
    """A credential from its JSON: {"kind": "client_secret" or "certificate", "client_id", …}."""
    if values["kind"] == "certificate":
        pem = values["certificate_pem"].encode()
        return Certificate(tenant_id, values["client_id"], pem, values.get("password"))
    return ClientSecret(tenant_id, values["client_id"], values["client_secret"])


def missing_rights(reader: GraphReader, needed: Sequence[str]) -> tuple[str, ...]:
    """Which application permissions the tenant has not granted; asks anew, as consent may be young.

    Raises SignInFailed.
    """
    tokens = reader.tokens
    if not isinstance(tokens, Tokens) or not missing_roles(needed, tokens.roles()):
        return ()
    tokens.refresh(tokens.token(), "")
    return missing_roles(needed, tokens.roles())


def _insist_on(service: Service, options: Collection[str], writer: GraphWriter) -> None:
    """Raises PermissionMissing before anything is written."""
    missing = missing_rights(writer, service.writes_with(options))
    if missing:
        raise PermissionMissing(
            "The restore application may not write there.",
            permissions=list(missing),
            service=service.name,
        )


class _VaultSealing:
    """Seals texts of records (names, addresses, policies) under the organization's own key."""

    def __init__(self, app: App) -> None:
        self._app = app

    def seal(self, org: str, text: str) -> str:
        return base64.b64encode(self._app.vault(org).seal("record", text.encode())).decode()

    def open(self, org: str, text: str) -> str:
        return self._app.vault(org).unseal("record", base64.b64decode(text)).decode()


_current: App | None = None
_lock = threading.Lock()


def current_app() -> App:
    """The process's app, made from the environment at the first call."""
    global _current
    with _lock:
        if _current is None:
            _current = App(Settings())
        return _current


def install(app: App) -> None:
    """Makes `app` the process's app; for entry points and tests that bring their own settings."""
    global _current
    with _lock:
        _current = app
