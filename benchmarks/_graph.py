"""An independent client of the simulated Graph: what anybody sees, without our code."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

import simulator
from simulator.roles import ROLE_IDS


class Graph:
    """Reads with an application that may do everything the simulator knows."""

    def __init__(self, running: simulator.Running) -> None:
        self._base = f"{running.url}/v1.0"
        self._pool = urllib3.PoolManager(ca_certs=str(running.ca))
        tenant = running.tenant
        with tenant.lock:
            app = tenant.add_app("Onlooker", tuple(ROLE_IDS))
        form = {
            "client_id": app.app_id,
            "client_secret": next(iter(app.secrets)),
            "scope": "https://graph.microsoft.com/.default",
            "grant_type": "client_credentials",
        }
        url = f"{running.url}/{tenant.id}/oauth2/v2.0/token"
        answer = self._pool.request("POST", url, fields=form, encode_multipart=False)
        token = json.loads(answer.data)["access_token"]
        prefer = 'IdType="ImmutableId", outlook.timezone="UTC"'
        self._headers = {"Authorization": f"Bearer {token}", "Prefer": prefer}

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """One object; raises where Graph refuses. Query options are named without their $."""
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
        options = urlencode({f"${name}": value for name, value in query.items()}, quote_via=quote)
        return self._answer(f"{self._base}{path}" + (f"?{options}" if options else ""))

    def _answer(self, url: str) -> bytes:
        answer = self._pool.request("GET", url, headers=self._headers)
        if answer.status != 200:
            raise RuntimeError(f"GET {url}: {answer.status} {answer.data[:300]!r}")
        return answer.data
