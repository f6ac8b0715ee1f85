"""A vault in Azure Blob Storage: create-only block blobs in two containers, packs apart from the
rest.

Rule 1: one Put Blob per blob, never Put Block (billed per block); with If-None-Match: * and
        Content-MD5.
Rule 2: a Put Blob whose answer was lost is tried again by the library and then meets its own blob:
        the MD5 says whose it is. Envelopes and packs are never equal by chance (32 random bytes).
Rule 3: one write ends within an hour, retries included (_PATIENCE, _WRITE_MAX_S): the collector's
        wait counts on that. Left alone, the service allows 10 minutes per MiB and try.
Rule 4: packs of 1 MiB and more go to the tier that was asked for. Small ones stay hot: cooler tiers
        bill 128 KiB at least, and weeks for what a compaction soon removes.
Rule 5: only this file imports azure.storage.

Source: https://learn.microsoft.com/rest/api/storageservices/put-blob (conditional headers, 409
BlobAlreadyExists), https://learn.microsoft.com/azure/storage/blobs/concurrency-manage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    ContentSettings,
    StandardBlobTier,
)

from vault.problems import Missing, StoreForbidden, StoreImmutable, StoreProblem
from vault.store import Listed, checked_name

_SINGLE_PUT_MAX = 64 * 1024 * 1024  # bytes; a pack is 16 MiB, so never staged in blocks
_TIERED_BYTES = 1024 * 1024
_WRITE_MAX_S = 600  # per try, kept by the service: a pack of 16 MiB over 0.25 Mbit/s
# Five tries of at most 20 s to connect and 60 s per read, and pauses of at most two minutes in all.
_PATIENCE: dict[str, Any] = {
    "max_single_put_size": _SINGLE_PUT_MAX,
    "connection_timeout": 20,
    "read_timeout": 60,
    "retry_total": 4,
}
_PROTECTED = {"BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold", "LeaseIdMissing"}
_TAKEN = {"BlobAlreadyExists", "BlobImmutableDueToPolicy", "UnauthorizedBlobOverwrite"}


class AzureBlobStore:
    """Blobs of one organization: "p/…" in "<prefix>-packs", all others in "<prefix>-meta"."""

    def __init__(
        self, service: BlobServiceClient, prefix: str, pack_tier: str | None = None
    ) -> None:
        """`service` should come from one of the makers below: they pin limits and patience.
        `pack_tier`: Hot, Cool or Cold; None: what the account says.
        """
        self._pack_tier = None if pack_tier is None else StandardBlobTier(pack_tier)
        self._packs = service.get_container_client(f"{prefix}-packs")
        self._meta = service.get_container_client(f"{prefix}-meta")

    @classmethod
    def from_connection_string(
        cls, connection: str, prefix: str, pack_tier: str | None = None
    ) -> AzureBlobStore:
        """A store reached by a connection string, as Azurite's."""
        service = BlobServiceClient.from_connection_string(connection, **_PATIENCE)
        return cls(service, prefix, pack_tier)

    @classmethod
    def from_credential(
        cls, account_url: str, credential: Any, prefix: str, pack_tier: str | None = None
    ) -> AzureBlobStore:
        """A store reached with an azure-identity credential."""
        service = BlobServiceClient(account_url, credential=credential, **_PATIENCE)
        return cls(service, prefix, pack_tier)

    @classmethod
    def prefixes(
        cls, connection: str = "", account_url: str = "", credential: Any = None
    ) -> list[str]:
        """The prefixes of an account whose containers a vault has."""
        if connection:
            service = BlobServiceClient.from_connection_string(connection, **_PATIENCE)
        else:
            service = BlobServiceClient(account_url, credential=credential, **_PATIENCE)
        try:
            names = {container.name for container in service.list_containers()}
        except AzureError as failure:
            raise _problem(failure) from failure
        return sorted(
            name.removesuffix("-meta")
            for name in names
            if name.endswith("-meta") and f"{name.removesuffix('-meta')}-packs" in names
        )

    def make_containers(self) -> None:
        """Makes both containers where they are missing; needs a right that backups do not have."""
        for container in (self._packs, self._meta):
            try:
                container.create_container()
            except ResourceExistsError:
                continue
            except AzureError as failure:
                raise _problem(failure) from failure

    def put_new(self, name: str, data: bytes) -> bool:
        blob = self._container(checked_name(name)).get_blob_client(name)
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        tiered = name.startswith("p/") and len(data) >= _TIERED_BYTES
        try:
            blob.upload_blob(
                data,
                length=len(data),
                overwrite=False,
                validate_content=True,
                timeout=_WRITE_MAX_S,
                standard_blob_tier=self._pack_tier if tiered else None,
                content_settings=ContentSettings(
                    content_type="application/octet-stream", content_md5=bytearray(digest)
                ),
            )
        except ResourceExistsError as taken:
            if _code(taken) in _TAKEN or taken.status_code == 412:
                return self._is_ours(blob, len(data), digest)
            raise _problem(taken) from taken
        except AzureError as failure:
            raise _problem(failure) from failure
        return True

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        blob = self._container(checked_name(name)).get_blob_client(name)
        if length == 0:
            return b""
        try:
            return blob.download_blob(offset=offset, length=length).readall()
        except ResourceNotFoundError as absent:
            raise Missing("There is no such blob.", name=name) from absent
        except HttpResponseError as failure:
            if failure.status_code == 416:  # nothing behind the offset, or an empty blob
                return b""
            raise _problem(failure) from failure
        except AzureError as failure:
            raise _problem(failure) from failure

    def _is_ours(self, blob: BlobClient, size: int, digest: bytes) -> bool:
        """Whether the blob that has the name is what an earlier try of ours stored."""
        try:
            found = blob.get_blob_properties()
        except ResourceNotFoundError:
            return False
        except AzureError as failure:
            raise _problem(failure) from failure
        return (
            int(found.size) == size and bytes(found.content_settings.content_md5 or b"") == digest
        )

    def size(self, name: str) -> int | None:
        try:
            blob = self._container(checked_name(name)).get_blob_client(name)
            return int(blob.get_blob_properties().size)
        except ResourceNotFoundError:
            return None
        except AzureError as failure:
            raise _problem(failure) from failure

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        containers = [self._container(prefix)] if prefix else [self._meta, self._packs]
        if not prefix:  # name order over both: everything before "p/", the packs, the rest
            yield from self._list(containers[0], "", after, below="p/")
            yield from self._list(containers[1], "", after)
            yield from self._list(containers[0], "", max(after, "p/"))
            return
        yield from self._list(containers[0], prefix, after)

    def delete(self, name: str) -> None:
        try:
            self._container(checked_name(name)).delete_blob(name)
        except ResourceNotFoundError:
            return
        except AzureError as failure:
            raise _problem(failure) from failure

    def _list(
        self, container: ContainerClient, prefix: str, after: str, below: str = ""
    ) -> Iterator[Listed]:
        try:
            # The service begins with start_from itself, and older ones ignore it.
            options: dict[str, Any] = {"start_from": after} if after else {}
            for blob in container.list_blobs(name_starts_with=prefix or None, **options):
                if below and blob.name >= below:
                    return
                if blob.name > after:
                    yield Listed(blob.name, int(blob.size), blob.last_modified)
        except ResourceNotFoundError:
            return
        except AzureError as failure:
            raise _problem(failure) from failure

    def _container(self, name: str) -> ContainerClient:
        return self._packs if name.startswith("p/") else self._meta


def _code(failure: AzureError) -> str:
    """The service's own word for what went wrong."""
    code = getattr(failure, "error_code", None) or ""
    return str(getattr(code, "value", code))


def _problem(failure: AzureError) -> StoreProblem:
    status = getattr(failure, "status_code", None)
    code = _code(failure)
    if code in _PROTECTED:
        return StoreImmutable("The blob is protected and cannot be deleted yet.", azure_code=code)
    if isinstance(failure, ClientAuthenticationError) or status in (401, 403):
        return StoreForbidden("The storage account refuses this identity.", azure_code=code)
    if code == "ContainerNotFound":
        return StoreProblem(
            "The vault's blob containers do not exist.",
            hint="Onboard the organization, or create its two containers.",
            azure_code=code,
        )
    return StoreProblem("The storage account failed.", azure_code=code, azure_status=status)
