"""One HTTP exchange: connection pools, TLS, time-outs, whole answers or none. No retries here.

Rules
- One Wire per process and Place: connections are kept and shared by all threads.
- An answer is complete or it is Broken: a body shorter than announced, or one whose end cannot be
  told, never passes for whole.
- Redirects are never followed here.
- No address is logged, at no level: some hold a token.
- Connections to content hosts refuse private addresses after name resolution, so that no name can
  lead inside (unless the configured Graph is itself on loopback).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from socket import socket
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from base.errors import ConfigurationProblem
from m365.graph.hosts import Place

BLOCK_BYTES = 1024 * 1024
_SMALL_BYTES = 64 * 1024  # cheaper to read than a new connection
_CONNECT_S = 15.0
_READ_S = 120.0  # Graph itself gives up on a heavy page after about a minute
_CONNECTIONS = 64  # per host; more threads than that make connections of their own
_HOSTS = 16  # content comes from a few hosts per tenant

# At DEBUG it writes the whole URL of every request.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class Broken(Exception):
    """No answer, or not all of it. `sent`: the request may have reached the service."""

    def __init__(self, sent: bool, reason: str) -> None:
        super().__init__(reason)
        self.sent = sent
        self.reason = reason


class Opened:
    """An answer whose body is still to be read. `headers` has lower-case names."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._on_close: Callable[[int], None] | None = None
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.bytes_read = 0
        self.closed = False

    @property
    def length(self) -> int | None:
        """The announced length of the body."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() else None

    @property
    def end_is_known(self) -> bool:
        """Whether a cut body would be noticed."""
        return (
            self.length is not None
            or "chunked" in self.headers.get("transfer-encoding", "").lower()
            or self.status in (204, 304)
        )

    def on_close(self, call: Callable[[int], None]) -> None:
        """Calls back once, with the bytes read, when the answer is done with."""
        self._on_close = call

    def read(self, bytes_max: int) -> bytes:
        """The next bytes, fewer than asked for only at the end; b"" after it. Raises Broken."""
        if self.closed:
            return b""
        try:
            data = self._response.read(bytes_max)
        except (HTTPError, OSError, ValueError) as error:
            self.abandon()
            raise Broken(sent=True, reason=type(error).__name__) from error
        self.bytes_read += len(data)
        if len(data) < bytes_max:
            self.close()
        return data

    def close(self) -> None:
        """Gives a finished connection back to the pool."""
        self._response.release_conn()
        self._tell()

    def dismiss(self) -> None:
        """Has no use for the body: reads over a small one, which saves the connection."""
        if self.length is not None and self.length <= _SMALL_BYTES:
            try:
                self.read(_SMALL_BYTES + 1)
            except Broken:
                return
        else:
            self.abandon()

    def abandon(self) -> None:
        """Drops the connection with whatever is still on it."""
        self._response.close()
        self._tell()

    def _tell(self) -> None:
        self.closed = True
        call, self._on_close = self._on_close, None
        if call is not None:
            call(self.bytes_read)


class Wire:
    """The connections of one process to one Place."""

    def __init__(self, place: Place) -> None:
        context = tls_context(place)
        options: dict[str, Any] = {
            "num_pools": _HOSTS,
            "maxsize": _CONNECTIONS,
            "ssl_context": context,
            "timeout": urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
            "retries": False,
        }
        self._graph = urllib3.PoolManager(**options)
        self._content = urllib3.PoolManager(**options)
        if not place.on_loopback:
            self._content.pool_classes_by_scheme = {"https": _GuardedPool}

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        content_host: bool = False,
    ) -> Opened:
        """Sends one request; its answer is unread. `url` was checked by Place. Raises Broken."""
        pools = self._content if content_host else self._graph
        try:
            response = pools.urlopen(
                method, url, body=body, headers=headers, preload_content=False, redirect=False
            )
        except (NewConnectionError, ConnectTimeoutError, NameResolutionError, ProxyError) as error:
            raise Broken(sent=False, reason=type(error).__name__) from error
        except SSLError as error:
            if isinstance(error.args[0], ssl.SSLCertVerificationError):
                raise ConfigurationProblem(
                    "The certificate of the service is not trusted.",
                    hint="Behind an inspecting proxy, add its authority to the system's store.",
                ) from error
            raise Broken(sent=True, reason="SSLError") from error
        except (HTTPError, OSError) as error:
            raise Broken(sent=True, reason=type(error).__name__) from error
        return Opened(response)


@lru_cache(maxsize=8)
def wire_for(place: Place) -> Wire:
    """The process's Wire for a Place."""
    return Wire(place)


class _GuardedConnection(HTTPSConnection):
    def _new_conn(self) -> socket:
        sock = super()._new_conn()
        address = ip_address(str(sock.getpeername()[0]).split("%")[0])
        if not address.is_global:
            sock.close()
            raise NewConnectionError(self, "a content address resolved to a private address")
        return sock


class _GuardedPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedConnection


def tls_context(place: Place) -> ssl.SSLContext:
    """Trusts what the system trusts, certifi's list, and the Place's own authority."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=certifi.where())
    if place.ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(place.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationProblem(
                "The file of certificate authorities cannot be read.",
                hint="HOLDFAST_CA_BUNDLE has to name a PEM file.",
            ) from error
    return context
