"""What the demo talks to: the app's API as an administrator would, and the simulator's control
API.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from base.clock import Clock

_POLL_S = 0.25
_RUN_S_MAX = 600.0


class DemoFailed(Exception):
    """A step of the demo did not do what it should; the text says which."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text + "".join(f" {name}={value}" for name, value in facts.items()))


@dataclass(frozen=True, slots=True)
class Running:
    """The app and the tenant at work; `lose_tables` deletes every table and starts the app anew."""

    api: Api
    control: Control
    facts: Mapping[str, Any]
    lose_tables: Callable[[], None]


class Api:
    """The app's HTTP API with the admin token, for one organization."""

    def __init__(self, url: str, token: str, clock: Clock) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._clock = clock
        self._http = urllib3.PoolManager(maxsize=8, retries=False)
        self.org = ""

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A JSON answer; raises DemoFailed with the problem's code."""
        answer = self._http.request(
            method, f"{self._url}/api/v1{path}", json=body, headers=self._headers
        )
        while answer.status == 503 and "retry-after" in answer.headers:
            self._clock.sleep(float(answer.headers["retry-after"]))
            answer = self._http.request(
                method, f"{self._url}/api/v1{path}", json=body, headers=self._headers
            )
        found: dict[str, Any] = json.loads(answer.data) if answer.data else {}
        if answer.status >= 400:
            raise DemoFailed(f"{method} {path.split('?')[0]} answered {found.get('code')}.")
        return found

    def of_org(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The same below the organization."""
        return self.call(method, f"/organizations/{self.org}{path}", body)

    def blocks(self, path: str) -> Iterator[bytes]:
        """A download below the organization, as it streams in."""
        answer = self._http.request(
            "GET",
            f"{self._url}/api/v1/organizations/{self.org}{path}",
            headers=self._headers,
            preload_content=False,
        )
        if answer.status >= 400:
            raise DemoFailed(f"A download answered {answer.status}.")
        yield from answer.stream(1024 * 1024)
        answer.release_conn()

    def finished(self, run: str, watch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Waits for a run, telling `watch` how it goes."""
        end = self._clock.monotonic() + _RUN_S_MAX
        while self._clock.monotonic() < end:
            shown = self.of_org("GET", f"/runs/{run}")
            watch(shown)
            if shown["ended"]:
                return shown
            self._clock.sleep(_POLL_S)
        raise DemoFailed("A run did not end in time.")

    def all_of(self, path: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        after = ""
        while True:
            mark = "&" if "?" in path else "?"
            tail = f"{mark}next={quote(after, safe='')}" if after else ""
            page = self.of_org("GET", path + tail)
            yield from page["items"]
            after = page["next"] or ""
            if not after:
                return

    def items(self, service: str, resource: str, snapshot: int) -> Iterator[dict[str, Any]]:
        """Every entry of a restore point, with the names of the folders above it under "path"."""
        where = {
            "service": service,
            "resource": resource,
            "snapshot": str(snapshot),
            "limit": "500",
        }
        waiting: list[tuple[str, list[str]]] = [("", [])]
        while waiting:
            folder, path = waiting.pop()
            for entry in self.all_of(f"/items?{urlencode({**where, 'folder': folder})}"):
                yield {**entry, "path": path}
                if entry["kind"] == "folder":
                    waiting.append((entry["id"], [*path, entry["name"]]))

    def part_sha256(self, item: str, where: Mapping[str, str], part: str) -> str:
        """The SHA-256 of one part of an item, "" where the backup lacks it."""
        digest = hashlib.sha256()
        query = urlencode({**where, "part": part})
        try:
            for block in self.blocks(f"/items/{quote(item, safe='')}/content?{query}"):
                digest.update(block)
        except DemoFailed:
            return ""
        return digest.hexdigest()


class Control:
    """The simulator, asked and ordered outside Graph."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._url = facts["control_url"]
        self._headers = {"Authorization": f"Bearer {facts['control_token']}"}
        self._http = urllib3.PoolManager(ca_certs=facts["ca"], retries=False)

    def truth(self) -> dict[str, Any]:
        """What the tenant really holds."""
        return self._call("GET", "/truth")

    def requests(self) -> int:
        """Requests the tenant has answered so far."""
        return int(self._call("GET", "/counters")["requests_total"])

    def mutate(self, *actions: Mapping[str, Any]) -> list[Any]:
        """Changes to the tenant, in order."""
        answer: list[Any] = self._call("POST", "/mutate", {"actions": list(actions)})["results"]
        return answer

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self._http.request(method, self._url + path, json=body, headers=self._headers)
        found: dict[str, Any] = json.loads(answer.data)
        if answer.status != 200:
            raise DemoFailed("The simulator refused an order of the demo.", error=str(found)[:200])
        return found
