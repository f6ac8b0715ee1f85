"""Many rows of a table by their keys, each as a request of its own, at once.

Why not one query: a filter that ORs RowKeys makes the service scan the whole partition, which for
the look-up of chunks are millions of rows. Why not the library: a point read costs it 2 ms of CPU,
more than storing the small file that asks for it; over urllib3 it is a tenth. What is not a plain
answer (busy, refused, broken off) is left to the library, with its retries and its errors.

Sources: https://learn.microsoft.com/azure/storage/tables/table-storage-design-for-query ("or" on
RowKey), https://learn.microsoft.com/rest/api/storageservices/query-entities,
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key (Shared Key Lite).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import certifi
import urllib3
from azure.core.credentials import AzureNamedKeyCredential, TokenCredential

from base.clock import Clock

AT_ONCE = 16  # requests in flight; a partition answers 2,000 rows a second
_SCOPE = "https://storage.azure.com/.default"
_VERSION = "2019-02-02"
_TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)

Headers = Mapping[str, str]
Sign = Callable[[str], Headers]  # the path of a request -> what authorizes it


@dataclass(frozen=True, slots=True)
class Found:
    """A row as the service answers it; None: there is no such row, or no such table."""

    entity: Mapping[str, Any] | None
    etag: str = ""


class PointReads:
    """Reads rows of one account. Safe between threads."""

    def __init__(self, account_url: str, sign: Sign) -> None:
        self._url = account_url.rstrip("/")
        self._sign = sign
        self._pool = urllib3.PoolManager(
            maxsize=AT_ONCE, retries=False, timeout=_TIMEOUT, ca_certs=certifi.where()
        )
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="point-read")

    def close(self) -> None:
        self._threads.shutdown()
        self._pool.clear()

    def read(self, table: str, partition: str, keys: Sequence[str]) -> list[Found | None]:
        """One answer per key, in order; None where somebody else has to ask again."""
        if len(keys) < 2:
            return [self._read(table, partition, key) for key in keys]
        return list(self._threads.map(lambda key: self._read(table, partition, key), keys))

    def _read(self, table: str, partition: str, key: str) -> Found | None:
        place = f"PartitionKey={_quoted(partition)},RowKey={_quoted(key)}"
        url = f"{self._url}/{table}({place})"
        headers = {
            "Accept": "application/json;odata=minimalmetadata",
            "DataServiceVersion": "3.0",
            "x-ms-version": _VERSION,
            **self._sign(urlsplit(url).path),
        }
        try:
            answer = self._pool.request("GET", url, headers=headers)
            if answer.status == 404:
                return Found(None)
            if answer.status != 200:
                return None
            return Found(_plain(json.loads(answer.data)), answer.headers["ETag"])
        except (urllib3.exceptions.HTTPError, ValueError, KeyError):
            return None


def key_signer(credential: AzureNamedKeyCredential, clock: Clock) -> Sign:
    """Authorizes with an account key (Azurite, a laptop)."""

    def sign(path: str) -> Headers:
        name, key = credential.named_key.name, credential.named_key.key
        date = format_datetime(clock.now(), usegmt=True)
        text = f"{date}\n/{name}{path}".encode()
        digest = hmac.digest(base64.b64decode(key), text, hashlib.sha256)
        signature = base64.b64encode(digest).decode()
        return {"x-ms-date": date, "Authorization": f"SharedKeyLite {name}:{signature}"}

    return sign


def token_signer(credential: TokenCredential, clock: Clock) -> Sign:
    """Authorizes with an identity; a token is asked for five minutes before the last one ends."""
    lock = threading.Lock()
    held, until = "", 0.0

    def sign(path: str) -> Headers:
        nonlocal held, until
        with lock:
            if clock.now().timestamp() > until - 300:
                token = credential.get_token(_SCOPE)
                held, until = token.token, float(token.expires_on)
            return {"Authorization": f"Bearer {held}"}

    return sign


def _quoted(text: str) -> str:
    return quote("'" + text.replace("'", "''") + "'", safe="")


def _plain(entity: dict[str, Any]) -> dict[str, Any]:
    """Columns by name; wide numbers come as text with their type beside them."""
    plain: dict[str, Any] = {}
    for name, value in entity.items():
        if "odata." in name or name == "Timestamp":
            continue
        kind = entity.get(f"{name}@odata.type")
        if kind == "Edm.Int64":
            value = int(value)
        elif kind == "Edm.Double":
            value = float(value)
        plain[name] = value
    return plain
