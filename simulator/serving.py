"""Runs a tenant on loopback over TLS: in a thread for tests, or until stopped."""

import asyncio
import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from simulator import tls
from simulator.server import Server
from simulator.tenant import Tenant
from simulator.web import Json

_START_MAX_S = 10.0
_TICK_S = 0.1
_identity: list[tls.Identity] = []


@dataclass(frozen=True, slots=True)
class Running:
    """A tenant that is being served."""

    tenant: Tenant
    port: int
    ca: Path
    """The CA's certificate as a PEM file."""
    control_token: str
    host: str = "localhost"
    server: Server | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """https://host:port, of Graph and of the login service."""
        return f"https://{self.host}:{self.port}"

    @property
    def control_url(self) -> str:
        """Where the control API is."""
        return f"{self.url}/__control__"

    def facts(self) -> Json:
        """All a client needs, as the JSON line of the command prints it."""
        tenant = self.tenant
        apps = {"backup": tenant.backup_app, "restore": tenant.restore_app}
        return {
            "graph_url": self.url,
            "login_url": self.url,
            "ca": str(self.ca),
            "tenant_id": tenant.id,
            "domain": tenant.domain,
            "apps": {
                name: {
                    "client_id": app.app_id,
                    "client_secret": next(iter(app.secrets), None),
                    "roles": sorted(app.roles),
                }
                for name, app in apps.items()
            },
            "control_url": self.control_url,
            "control_token": self.control_token,
        }


@contextlib.contextmanager
def serve(
    tenant: Tenant,
    *,
    port: int = 0,
    ca_out: Path | None = None,
    host: str = "localhost",
    control_token: str | None = None,
) -> Iterator[Running]:
    """Serve a tenant from a thread of this process; port 0 takes a free one.

    host is the name in graph_url, localhost or 127.0.0.1; both answer.
    """
    prepared = prepare(tenant, port=port, ca_out=ca_out, host=host, control_token=control_token)
    thread = threading.Thread(target=prepared.run, name="graph simulator", daemon=True)
    thread.start()
    try:
        prepared.wait_until_started()
        yield prepared.running
    finally:
        prepared.server.stop()
        thread.join(_START_MAX_S)


@dataclass(slots=True)
class Prepared:
    """A server with its sockets, not running yet."""

    server: "_Uvicorn"
    sockets: list[socket.socket]
    running: Running

    def run(self) -> None:
        """Serve until told to stop."""
        self.server.run(sockets=self.sockets)

    def wait_until_started(self) -> None:
        """Return when requests are accepted."""
        if not self.server.ready.wait(_START_MAX_S):
            raise RuntimeError("the simulator did not start")


class _Uvicorn(uvicorn.Server):
    """Says when it is ready, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    def stop(self) -> None:
        """Stop soon; from any thread."""
        self.should_exit = self.force_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def main_loop(self) -> None:
        """As uvicorn's, but stop() ends it at once."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, without its tenth of a second of patience; nobody's data is at stake."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)


def prepare(
    tenant: Tenant,
    *,
    port: int = 0,
    ca_out: Path | None = None,
    host: str = "localhost",
    control_token: str | None = None,
) -> Prepared:
    """Make certificate, sockets and server."""
    if not _identity:
        _identity.append(tls.new_identity())
    certificate, key = _identity[0].write()
    ca = ca_out or certificate.with_name("ca.pem")
    ca.write_bytes(_identity[0].ca)
    token = control_token or secrets.token_urlsafe(24)
    app = Server(tenant, token)
    sockets = listen(port)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,  # the tenant has a clock of its own
        timeout_keep_alive=60,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
    )
    bound = int(sockets[0].getsockname()[1])
    return Prepared(_Uvicorn(config), sockets, Running(tenant, bound, ca, token, host, app))


def listen(port: int) -> list[socket.socket]:
    """Sockets on 127.0.0.1 and, where there is one, ::1, both on the same port."""
    first = _bound(socket.AF_INET, "127.0.0.1", port)
    try:
        second = _bound(socket.AF_INET6, "::1", first.getsockname()[1])
    except OSError:
        return [first]
    return [first, second]


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio: no Nagle
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made
