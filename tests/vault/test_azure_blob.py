"""The Azure store against a service that loses answers, is busy, refuses and protects."""

from __future__ import annotations

import base64
import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient, ExponentialRetry
from requests.adapters import HTTPAdapter

from vault.problems import StoreForbidden, StoreImmutable, StoreProblem
from vault.stores.azure_blob import AzureBlobStore

PACK = "p/ab/" + "ab" * 32


class Service(HTTPAdapter):
    """Blobs in a dict, on the wire of azure-storage-blob; what goes wrong is said in `troubles`:
    "lost" (the request arrives, its answer does not), "reset" (nothing arrives), or a status with
    the service's own code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, tuple[bytes, str, str]] = {}  # bytes, MD5, tier
        self.troubles: list[str | tuple[int, str]] = []
        self.asked: list[str] = []
        self.patience_s: list[int] = []  # what every write asks the service to keep

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        self.asked.append(request.method)
        if request.method == "PUT":
            query = parse_qs(urlsplit(request.url).query)
            self.patience_s.append(int(query["timeout"][0]))
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble == "reset":
            raise requests.ConnectionError("reset")
        if isinstance(trouble, tuple):
            return _answer(request, trouble[0], {"x-ms-error-code": trouble[1]})
        answer = self._done(request)
        if trouble == "lost":
            raise requests.ConnectionError("the answer is lost")
        return answer

    def _done(self, request: Any) -> requests.Response:
        path = request.url.split("?")[0].split("/", 3)[3]
        if request.method == "PUT":
            if path in self.blobs:
                return _answer(request, 409, {"x-ms-error-code": "BlobAlreadyExists"})
            body = request.body if isinstance(request.body, bytes) else request.body.read()
            md5 = request.headers["x-ms-blob-content-md5"]
            self.blobs[path] = (body, md5, request.headers.get("x-ms-access-tier", ""))
            return _answer(request, 201, {"ETag": '"1"'})
        if path not in self.blobs:
            return _answer(request, 404, {"x-ms-error-code": "BlobNotFound"})
        if request.method == "DELETE":
            del self.blobs[path]
            return _answer(request, 202, {})
        body, md5, _ = self.blobs[path]
        headers = {"Content-Length": str(len(body)), "Content-MD5": md5, "ETag": '"1"'}
        return _answer(request, 200, headers)


def _answer(request: Any, status: int, headers: dict[str, str]) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update({"Last-Modified": "Tue, 24 Nov 2026 06:00:00 GMT", **headers})
    answer.raw = urllib3.HTTPResponse(io.BytesIO(b""), preload_content=False, status=status)
    answer.request, answer.url = request, request.url
    return answer


class _Identity:
    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token", 2**40)


@pytest.fixture
def service() -> Service:
    return Service()


def store_of(service: Service, tier: str | None = None) -> AzureBlobStore:
    session = requests.Session()
    session.mount("https://", service)
    client = BlobServiceClient(
        "https://account.blob.core.windows.net",
        credential=_Identity(),
        transport=RequestsTransport(session=session, session_owner=False),
        retry_policy=ExponentialRetry(0, 0, retry_total=3, random_jitter_range=0),
    )
    return AzureBlobStore(client, "contoso", tier)


@pytest.fixture
def store(service: Service) -> AzureBlobStore:
    return store_of(service)


def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(
    store: AzureBlobStore, service: Service
) -> None:
    service.troubles = ["lost"]
    assert store.put_new("m/a/1", b"ours")
    assert service.asked == ["PUT", "PUT", "HEAD"]


def test_another_writers_blob_of_the_same_name_is_not_ours(
    store: AzureBlobStore, service: Service
) -> None:
    assert store.put_new("m/a/1", b"theirs")
    assert not store.put_new("m/a/1", b"mine, longer")
    assert not store.put_new("m/a/1", b"mine!!")
    assert service.blobs["contoso-meta/m/a/1"][0] == b"theirs"


@pytest.mark.parametrize(
    "troubles", [["reset"], [(503, "ServerBusy")], [(500, "OperationTimedOut"), "reset", "lost"]]
)
def test_a_service_that_stumbles_is_tried_again(
    store: AzureBlobStore, service: Service, troubles: list[Any]
) -> None:
    service.troubles = troubles
    assert store.put_new(PACK, b"pack")
    assert service.blobs[f"contoso-packs/{PACK}"][0] == b"pack"


def test_a_service_that_stays_away_is_a_typed_problem(
    store: AzureBlobStore, service: Service
) -> None:
    service.troubles = [(503, "ServerBusy")] * 9
    with pytest.raises(StoreProblem):
        store.put_new(PACK, b"pack")
    assert service.asked.count("PUT") <= 5


def test_an_identity_without_the_role_is_told_so(store: AzureBlobStore, service: Service) -> None:
    service.troubles = [(403, "AuthorizationPermissionMismatch")]
    with pytest.raises(StoreForbidden):
        store.put_new(PACK, b"pack")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "BlobImmutableDueToPolicy"),
        (409, "BlobImmutableDueToLegalHold"),
        (412, "LeaseIdMissing"),
    ],
)
def test_what_may_not_be_deleted_yet_is_said_to_be_protected(
    store: AzureBlobStore, service: Service, status: int, code: str
) -> None:
    store.put_new(PACK, b"pack")
    service.troubles = [(status, code)]
    with pytest.raises(StoreImmutable):
        store.delete(PACK)
    store.delete(PACK)
    assert service.blobs == {}


def test_large_packs_go_to_the_tier_and_nothing_else_does(service: Service) -> None:
    store = store_of(service, "Cool")
    large, small = bytes(1024 * 1024), b"small"
    for name, data in ((PACK, large), (PACK.replace("ab/", "cd/", 1), small), ("m/a/1", large)):
        assert store.put_new(name, data)
    assert [tier for _, _, tier in service.blobs.values()] == ["Cool", "", ""]


def test_the_md5_travels_with_every_blob(store: AzureBlobStore, service: Service) -> None:
    store.put_new("r/one", b"content")
    digest = base64.b64encode(bytes.fromhex("9a0364b9e99bb480dd25e1f0284c8555")).decode()
    assert service.blobs["contoso-meta/r/one"][1] == digest


def test_every_try_of_a_write_ends_so_that_a_write_ends_within_an_hour(service: Service) -> None:
    url, identity = "https://account.blob.core.windows.net", _Identity()
    pinned: Any = AzureBlobStore.from_credential(url, identity, "contoso")._meta._config
    waits, wire = pinned.retry_policy, pinned.transport.connection_config
    tries = waits.total_retries + 1
    pauses_s = sum(
        waits.initial_backoff + waits.increment_base**n + waits.random_jitter_range
        for n in range(1, tries)
    )
    service.troubles = ["reset", (503, "ServerBusy")]
    assert store_of(service).put_new("m/a/1", b"page")
    assert len(service.patience_s) == 3
    one_try_s = max(service.patience_s) + wire.timeout + wire.read_timeout
    assert tries * one_try_s + pauses_s < 3600
