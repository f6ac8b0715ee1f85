"""The API as the command line uses it: one signed-in client, pages followed, problems raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from base.clock import Clock
from base.errors import Problem

_POLL_S = 2.0


class NotReached(Problem):
    """The server did not answer."""

    code = "server-not-reached"
    status = 503
    hint = "Check --url, and that the server runs: python3 dev.py serve."


class Refused(Problem):
    """The server answered with an error; its own code is in the message."""

    code = "server-refused"
    status = 400


class Client:
    """One signed-in session with a server."""

    def __init__(self, http: httpx.Client, clock: Clock) -> None:
        self._http = http
        self._clock = clock

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """A JSON answer. Raises NotReached, Refused."""
        params = {name: value for name, value in query.items() if value not in (None, "")}
        try:
            answer = self._http.request(method, f"/api/v1{path}", json=body, params=params)
        except httpx.TransportError as error:
            raise NotReached("The server did not answer.") from error
        _good(answer)
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def all(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a list, page by page."""
        after = ""
        while True:
            page = self.call("GET", path, **query, next=after)
            yield from page["items"]
            after = page["next"] or ""
            if not after:
                return

    def download(self, path: str, take: Callable[[bytes], object]) -> int:
        """Hands a download to `take` block by block; answers its size in bytes."""
        size = 0
        try:
            with self._http.stream("GET", f"/api/v1{path}") as answer:
                if answer.status_code >= 400:
                    answer.read()
                _good(answer)
                for block in answer.iter_bytes():
                    take(block)
                    size += len(block)
        except httpx.TransportError as error:
            raise NotReached("The download broke off.") from error
        return size

    def finished(
        self, org: str, run: str, watch: Callable[[Mapping[str, Any]], None]
    ) -> dict[str, Any]:
        """Waits until a run ends, telling `watch` how it goes."""
        while True:
            shown = self.call("GET", f"{below(org)}/runs/{quoted(run)}")
            watch(shown)
            if shown["ended"]:
                return shown
            self._clock.sleep(_POLL_S)


def below(org: str) -> str:
    """The path of an organization."""
    return f"/organizations/{quoted(org)}"


def quoted(text: str) -> str:
    """An id as one segment of a path."""
    return quote(text, safe="")


def _good(answer: httpx.Response) -> None:
    if answer.status_code < 400:
        return
    try:
        told = answer.json()
        text, code, hint = told["title"], told["code"], told["hint"]
    except (ValueError, KeyError, TypeError):
        text, code, hint = "This is not a Holdfast server.", str(answer.status_code), "Check --url."
    fields = told.get("details", {}).get("fields", []) if code == "invalid-input" else []
    wrong = "".join(f" {one['field']}: {one['problem']}." for one in fields)
    raise Refused(f"{text}{wrong} ({code})", hint=hint)
