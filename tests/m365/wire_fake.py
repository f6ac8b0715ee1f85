"""A tiny hostile TLS server on loopback: says what a test told it, and remembers what it heard.

`with Hostile() as fake:` answers each request with the next reply queued for its path, the last one
for ever. Replies can be cut, break the connection before a word, or be made by a function.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from m365.graph.client import GraphReader, GraphWriter
from m365.graph.hosts import Place
from m365.graph.throttle import Limiter, Limits


class JumpingClock:
    """Time that passes only by sleeping, at once; remembers every sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._lock = threading.Lock()
        self._passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return 1000.0 + self._passed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._passed += seconds


class FixedTokens:
    """Tokens "token-1", "token-2", …: a new one at each refresh. Counts how often it was asked."""

    tenant = "contoso"

    def __init__(self) -> None:
        self.asked = 0
        self.challenges: list[str] = []

    def token(self) -> str:
        self.asked += 1
        return f"token-{len(self.challenges) + 1}"

    def refresh(self, stale: str, challenge: str) -> None:
        if stale == f"token-{len(self.challenges) + 1}":
            self.challenges.append(challenge)


@dataclass(frozen=True)
class Reply:
    """What to answer. `sent` bytes of the body go out, then the connection is cut (None: all)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    dead: bool = False  # no answer at all: the connection is closed
    no_length: bool = False  # neither Content-Length nor chunks
    ranges: bool = False  # honour Range
    until: threading.Event | None = None  # answer only when set


def says(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer; header names with _ for -."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


def fails(status: int, code: str = "", **headers: str) -> Reply:
    """An error answer of Graph's shape, with a request id."""
    inner = {"request-id": "5a2c0f6e", "date": "2026-11-24T00:00:00"}
    value = {"error": {"code": code, "message": "A name: Anna Karenina", "innerError": inner}}
    return says(value, status, request_id="5a2c0f6e", **headers)


def token(*roles: str, life_s: int = 3600) -> Reply:
    """A token answer whose token has these roles; each one is another token."""
    claims = {"roles": list(roles), "jti": secrets.token_hex(4)}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({}, claims)]
    text = ".".join(part.decode().rstrip("=") for part in parts) + ".unsigned"
    return says({"access_token": text, "token_type": "Bearer", "expires_in": life_s})


@dataclass(frozen=True)
class Heard:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: int = 0  # its port: the same as long as the connection is kept

    def json(self) -> Any:
        return json.loads(self.body)


Say = Reply | Callable[[Heard], Reply]


class Hostile:
    """The server, and readers and writers that are pointed at it and share one limiter."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = JumpingClock()
        self.tokens = FixedTokens()
        self.limiter = Limiter(self.clock, limits)
        self.heard: list[Heard] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self._queued: dict[str, list[Say]] = defaultdict(list)
        self._lock = threading.Lock()

    def reader(self) -> GraphReader:
        return GraphReader(self.place, self.tokens, self.limiter, self.clock)

    def writer(self) -> GraphWriter:
        return GraphWriter(self.place, self.tokens, self.limiter, self.clock)

    def on(self, path: str, *replies: Say) -> None:
        """Queues replies for a path (without query); the last one is repeated for ever."""
        self._queued[path] = list(replies)

    def on_sign_in(self, tenant: str, *replies: Say) -> None:
        """Answers for the token endpoint of a tenant, with the documents libraries ask for."""
        here = f"{self.origin}/{tenant}"
        endpoints = {
            "token_endpoint": f"{here}/oauth2/v2.0/token",
            "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
            "issuer": f"{here}/v2.0",
        }
        self.on(f"/{tenant}/v2.0/.well-known/openid-configuration", says(endpoints))
        self.on(f"/{tenant}/oauth2/v2.0/token", *replies)

    def paths(self, start: str = "/") -> list[str]:
        """The paths asked for, queries included, in order."""
        return [heard.path for heard in self.heard if heard.path.startswith(start)]

    def __enter__(self) -> Hostile:
        folder = tempfile.TemporaryDirectory()
        self._folder = folder
        ca_file, chain_file = _certificates(Path(folder.name))
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain_file)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]
        self.origin = f"https://localhost:{self.port}"
        self.elsewhere = f"https://127.0.0.1:{self.port}"  # another host, for content
        self.place = Place(self.origin, login_url=self.origin, ca_file=ca_file, company="Contoso")
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    def take(self, heard: Heard) -> Reply:
        with self._lock:
            self.heard.append(heard)
            queue = self._queued.get(heard.path.partition("?")[0])
            if not queue:
                return fails(404, "unexpectedPath")
            say = queue.pop(0) if len(queue) > 1 else queue[0]
        return say(heard) if callable(say) else say

    def count(self, step: int) -> None:
        with self._lock:
            self.in_flight += step
            self.in_flight_max = max(self.in_flight_max, self.in_flight)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: Hostile

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self) -> None:
        fake = self.server.fake
        fake.count(1)
        try:
            size = int(self.headers.get("Content-Length", 0))
            heard = Heard(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(size),
                self.client_address[1],
            )
            reply = fake.take(heard)
            if reply.until is not None:
                reply.until.wait(10)
            self._say(reply, heard.headers.get("range", ""))
        finally:
            fake.count(-1)

    def _say(self, reply: Reply, wanted: str) -> None:
        if reply.dead:
            self.close_connection = True
            return
        status, body, headers = reply.status, reply.body, dict(reply.headers)
        if reply.ranges and wanted:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status, body = 206, body[start:]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.no_length:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if reply.sent is None else body[: reply.sent])
        if reply.sent is not None:
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)


def _certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate authority, and a certificate for loopback with its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hostile test authority")])
    now = datetime.now(UTC)

    def begun(public_key: Any, subject: x509.Name) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                critical=False,
            )
        )

    authority = (
        begun(authority_key.public_key(), name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(authority_key, hashes.SHA256())
    )  # fmt: skip
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    leaf = (
        begun(key.public_key(), x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    ca_file, chain_file = folder / "ca.pem", folder / "server.pem"
    pem = serialization.Encoding.PEM
    ca_file.write_bytes(authority.public_bytes(pem))
    chain_file.write_bytes(
        leaf.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ca_file, chain_file
