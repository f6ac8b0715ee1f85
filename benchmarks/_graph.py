"""An independent client of the simulated Graph: what anybody sees, without our code."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

import simulator
from simulator.roles import ROLE_IDS

_AT_ONCE = urllib3.Retry(3, respect_retry_after_header=False)
_SYSTEM = ("select", "expand", "top")
_PREFER = 'IdType="ImmutableId", outlook.timezone="UTC"'


class Graph:
    """Reads with an application that may do everything the simulator knows."""

    def __init__(self, running: simulator.Running) -> None:
        self._base = f"{running.url}/v1.0"
        self._pool = urllib3.PoolManager(ca_certs=str(running.ca))
        tenant = self._tenant = running.tenant
        with tenant.lock:
            self._app = tenant.add_app("Onlooker", tuple(ROLE_IDS))
        self._login = f"{running.url}/{tenant.id}/oauth2/v2.0/token"
        self._token = self._sign_in()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """One object; raises where Graph refuses. System options are named without their $."""
        found: dict[str, Any] = json.loads(self.raw(path, **query))
        return found

    def all(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Every entry of a list."""
        page = self.get(path, **query)
        found = list(page["value"])
        while link := page.get("@odata.nextLink"):
            page = json.loads(self._answer(link))
            found += page["value"]
        return found

    def raw(self, path: str, **query: str) -> bytes:
        """The bytes of an answer."""
        named = {f"${name}" if name in _SYSTEM else name: value for name, value in query.items()}
        options = urlencode(named, quote_via=quote)
        return self._answer(f"{self._base}{path}" + (f"?{options}" if options else ""))

    def _answer(self, url: str) -> bytes:
        answer = self._asked(url)
        if answer.status == 401:  # the tenant's clock was put forward
            self._token = self._sign_in()
            answer = self._asked(url)
        while answer.status == 429:  # waiting lets the tenant's clock run
            with self._tenant.lock:
                self._tenant.clock.advance(float(answer.headers["Retry-After"]))
            answer = self._asked(url)
        if answer.status != 200:
            raise RuntimeError(f"GET {url}: {answer.status} {answer.data[:300]!r}")
        return answer.data

    def _asked(self, url: str) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}", "Prefer": _PREFER}
        return self._pool.request("GET", url, headers=headers, retries=_AT_ONCE)

    def _sign_in(self) -> str:
        form = {
            "client_id": self._app.app_id,
            "client_secret": next(iter(self._app.secrets)),
            "scope": "https://graph.microsoft.com/.default",
            "grant_type": "client_credentials",
        }
        answer = self._pool.request("POST", self._login, fields=form, encode_multipart=False)
        return str(json.loads(answer.data)["access_token"])
