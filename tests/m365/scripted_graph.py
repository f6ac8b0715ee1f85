"""A Graph that answers from a script: for what the simulator does not do, and to count requests."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import ForeignHost, GraphProblem

Answer = Any  # a dict, bytes, an exception to raise, or a list of such: one after the other


class _Anywhere:
    """A Place for links that are words of the script."""

    def graph_link(self, link: str) -> str:
        return link

    def content_link(self, link: str) -> str:
        if "private" in link:
            raise ForeignHost("private")
        return link


class ScriptedGraph(GraphWriter):
    """Answers "METHOD path?query" or "METHOD path"; an unknown request is an AssertionError.

    `calls` holds every request as "METHOD path?query"; `bodies` what was sent, in the same order.
    A batch is one call ("BATCH"), its requests are in `batched`.
    """

    def __init__(self, script: Mapping[str, Answer]) -> None:
        self.script: dict[str, Answer] = dict(script)
        self.calls: list[str] = []
        self.bodies: list[Any] = []
        self.batched: list[str] = []
        self.uploads: list[tuple[str, bytes]] = []
        self.page_sizes: dict[str, str] = {}

    @property
    def place(self) -> _Anywhere:  # type: ignore[override]
        return _Anywhere()

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
    ) -> dict[str, Any]:
        self.page_sizes[f"GET {_with(path, params)}"] = (headers or {}).get("Prefer", "")
        answer: dict[str, Any] = self._answer("GET", _with(path, params))
        return answer

    def get_raw(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
    ) -> bytes:
        answer: bytes = self._answer("GET", _with(path, params))
        return answer

    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
        size_hint: int | None = None,
    ) -> Iterator[bytes]:
        yield self._answer("STREAM", path)

    def location(
        self, path: str, *, headers: Mapping[str, str] | None = None, scope: Scope, cost: int = 1
    ) -> str:
        answer: str = self._answer("LOCATION", path)
        return answer

    def download(
        self,
        fresh_url: Callable[[], str],
        size: int | None,
        scope: Scope,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[bytes]:
        if end is None:
            yield self._answer("DOWNLOAD", fresh_url())
        else:
            answer: bytes = self._answer("DOWNLOAD", f"{fresh_url()}?{begin}-{end}")
            yield answer[begin:end]

    def batch(self, requests: Sequence[BatchRequest], scope: Scope) -> list[BatchAnswer]:
        self.calls.append("BATCH")
        self.bodies.append(None)
        answers = []
        for request in requests:
            self.batched.append(request.url)
            try:
                found = self._found("GET", request.url)
                answers.append(BatchAnswer(200, {}, found))
            except GraphProblem as problem:
                error = {"error": {"code": problem.graph_code or "ErrorItemNotFound"}}
                answers.append(BatchAnswer(problem.status_code, {}, error))
        return answers

    def post(
        self,
        path: str,
        json: Mapping[str, Any] | None = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer("POST", path, json)
        return answer

    def patch(
        self,
        path: str,
        json: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer("PATCH", path, json)
        return answer

    def put(
        self,
        path: str,
        json: Mapping[str, Any] | None = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer("PUT", path, data)
        return answer

    def delete(
        self, path: str, *, headers: Mapping[str, str] | None = None, scope: Scope, cost: int = 2
    ) -> bool:
        self._answer("DELETE", path)
        return True

    def upload(
        self,
        session_url: str,
        size: int,
        blocks: Iterator[bytes],
        *,
        scope: Scope,
        block_bytes: int = 0,
    ) -> dict[str, Any]:
        self.uploads.append((session_url, b"".join(blocks)))
        answer: dict[str, Any] = self._answer("UPLOAD", session_url)
        return answer

    def take_place(self, scope: Scope) -> None:
        """Nothing is limited here."""

    def sent(self, call: str) -> Any:
        """The body of the first call that begins so."""
        return next(
            body
            for made, body in zip(self.calls, self.bodies, strict=True)
            if made.startswith(call)
        )

    def count(self, call: str) -> int:
        """How many calls begin so."""
        return sum(made.startswith(call) for made in self.calls)

    def _answer(self, method: str, path: str, body: Any = None) -> Any:
        self.calls.append(f"{method} {path}")
        self.bodies.append(
            json_text.loads(json_text.dumps(body)) if isinstance(body, dict) else body
        )
        return self._found(method, path)

    def _found(self, method: str, path: str) -> Any:
        for key in (f"{method} {path}", f"{method} {path.partition('?')[0]}"):
            if key in self.script:
                found = self.script[key]
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                if isinstance(found, BaseException):
                    raise found
                return found
        raise AssertionError(f"not in the script: {method} {path}")


def _with(path: str, params: Mapping[str, str] | None) -> str:
    query = "&".join(f"{name}={value}" for name, value in (params or {}).items())
    return f"{path}?{query}" if query else path
