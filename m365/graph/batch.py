"""$batch: many small GETs in one round trip, twenty at a time; it saves round trips, no quota.

Rules
- Reads only: a request with another method is refused before anything is sent.
- Answers come back in the order of the requests, whatever order the service gives them in.
- Each item is throttled on its own. The refused ones alone are sent again, after the longest wait
  that one of them was asked for; where that wait is long they are answered as they are, and json()
  raises Throttled.
- A token may end between the call and an item: items that answer 401 are asked once more.
- Where a mailbox has no slots for a batch, which runs four requests at once, they go one by one.
- What is large (content, $value) does not belong into a batch.

https://learn.microsoft.com/graph/json-batching
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from base.errors import InvalidInput, Throttled
from m365.graph.errors import GraphProblem, TransientFailure, problem_of
from m365.graph.exchange import REPEATS_MAX, Exchange, Request
from m365.graph.limits import directory_cost
from m365.graph.throttle import Scope

PER_CALL_MAX = 20
_ROUNDS_MAX = 5
_UNAUTHORIZED = 401
_FAILED = frozenset((500, 502, 504))
_REFUSED = frozenset((429, 503))


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One GET inside a batch. `url` is relative, "/users/…", and may hold a query."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    cost: int = 1


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to one request of a batch; `headers` has lower-case names.

    `body` is the parsed JSON, bytes where the answer was not JSON, or None.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    path: str = ""
    retry_after_s: float = 0.0

    def json(self) -> dict[str, Any]:
        """The object that came back.

        Raises what a single GET would have raised: ItemGone, Forbidden, Throttled,
        TransientFailure, …
        """
        if self.status in _REFUSED:
            raise Throttled("Microsoft 365 asks for a pause.", self.retry_after_s)
        if self.status >= 400:
            raise self.problem()
        if not isinstance(self.body, dict):
            raise TransientFailure("An answer inside a batch is not an object.")
        return self.body

    def problem(self) -> GraphProblem:
        """What a status of 400 and above means."""
        return problem_of(self.status, self.headers, json.dumps(self.body).encode(), self.path)


def run(
    exchange: Exchange,
    requests: Sequence[BatchRequest],
    scope: Scope,
    decorate: Callable[[BatchRequest], Mapping[str, str]],
    *,
    beta: bool = False,
) -> list[BatchAnswer]:
    """Answers in order. `decorate` gives the headers every single GET would have sent."""
    for request in requests:
        if request.method.upper() != "GET":
            raise InvalidInput("A batch of a reader holds GET requests only.", field="method")
    answers: list[BatchAnswer] = []
    for start in range(0, len(requests), PER_CALL_MAX):
        answers += _call(exchange, requests[start : start + PER_CALL_MAX], scope, decorate, beta)
    return answers


def _call(
    exchange: Exchange,
    requests: Sequence[BatchRequest],
    scope: Scope,
    decorate: Callable[[BatchRequest], Mapping[str, str]],
    beta: bool,
) -> list[BatchAnswer]:
    if exchange.limiter.one_by_one(exchange.tenant, scope, len(requests)):
        return [_single(exchange, request, scope, decorate, beta) for request in requests]
    answers: dict[int, BatchAnswer] = {}
    waiting = list(range(len(requests)))
    for tries in range(_ROUNDS_MAX):
        if not waiting:
            break
        if tries and not _pause(exchange, scope, [answers[at] for at in waiting], tries):
            break
        answers |= _round(exchange, {at: requests[at] for at in waiting}, scope, decorate, beta)
        again = _REFUSED if tries >= REPEATS_MAX else _REFUSED | _FAILED
        waiting = [at for at in waiting if answers[at].status in again]
    answers |= _with_a_new_token(exchange, requests, answers, scope, decorate, beta)
    return [answers[at] for at in range(len(requests))]


def _with_a_new_token(
    exchange: Exchange,
    requests: Sequence[BatchRequest],
    answers: Mapping[int, BatchAnswer],
    scope: Scope,
    decorate: Callable[[BatchRequest], Mapping[str, str]],
    beta: bool,
) -> dict[int, BatchAnswer]:
    """Items that the token had ended for: the first on its own, which renews it, then the rest."""
    first, *rest = [at for at, one in answers.items() if one.status == _UNAUTHORIZED] or [-1]
    if first < 0:
        return {}
    renewed = {first: _single(exchange, requests[first], scope, decorate, beta)}
    if rest and renewed[first].status != _UNAUTHORIZED:
        renewed |= _round(exchange, {at: requests[at] for at in rest}, scope, decorate, beta)
    return renewed


def _single(
    exchange: Exchange,
    request: BatchRequest,
    scope: Scope,
    decorate: Callable[[BatchRequest], Mapping[str, str]],
    beta: bool,
) -> BatchAnswer:
    """What a batch would have answered, from a request of its own. Raises Throttled."""
    url = exchange.place.graph_link(f"/beta{request.url}" if beta else request.url)
    try:
        answer = exchange.perform(
            Request("GET", url, scope, "get", decorate(request), cost=request.cost)
        )
    except GraphProblem as problem:
        body = {"error": {"code": problem.graph_code}}
        path = "/v1.0" + request.url.partition("?")[0]
        return BatchAnswer(problem.status_code or 502, {}, body, path)
    return BatchAnswer(answer.status, answer.headers, answer.value)


def _pause(exchange: Exchange, scope: Scope, again: list[BatchAnswer], tries: int) -> bool:
    """Waits before sending some again; False where that would take too long."""
    wait_s = max(answer.retry_after_s for answer in again)
    if wait_s > exchange.limiter.limits.wait_max_s:
        return False
    if not any(answer.status in _REFUSED for answer in again):
        exchange.back_off(tries)  # a refusal has paused the lane already
    return True


def _round(
    exchange: Exchange,
    requests: Mapping[int, BatchRequest],
    scope: Scope,
    decorate: Callable[[BatchRequest], Mapping[str, str]],
    beta: bool,
) -> dict[int, BatchAnswer]:
    body = {
        "requests": [
            {"id": str(at), "method": "GET", "url": request.url, "headers": decorate(request)}
            for at, request in requests.items()
        ]
    }
    answer = exchange.perform(
        Request(
            "POST",  # carries nothing but GETs, so repeating it does no harm
            exchange.place.graph_link("/beta/$batch" if beta else "/$batch"),
            scope,
            "batch",
            {"Content-Type": "application/json", "Accept": "application/json"},
            json.dumps(body, separators=(",", ":")).encode(),
            cost=sum(_cost(request, scope) for request in requests.values()),
            alone=True,
        )
    )
    found = _responses(answer.value)
    if set(found) != {str(at) for at in requests}:
        raise TransientFailure("A batch was not answered in full.")
    waits: dict[tuple[str, str], float] = {}
    answers = {
        at: _answer(exchange, found[str(at)], request.url, scope, waits)
        for at, request in requests.items()
    }
    if not waits:
        exchange.limiter.accepted(exchange.tenant, scope)
    return answers


def _cost(request: BatchRequest, scope: Scope) -> int:
    if scope.kind == "directory":
        return max(request.cost, directory_cost(request.url))
    return request.cost


def _responses(value: Any) -> dict[str, dict[str, Any]]:
    items = value.get("responses") if isinstance(value, dict) else None
    if not isinstance(items, list):
        return {}
    return {str(item["id"]): item for item in items if isinstance(item, dict) and "id" in item}


def _answer(
    exchange: Exchange,
    item: Mapping[str, Any],
    url: str,
    scope: Scope,
    waits: dict[tuple[str, str], float],
) -> BatchAnswer:
    """One item's answer. `waits`: pauses of this call; items that ask alike are one refusal."""
    given = item.get("headers")
    named = given if isinstance(given, dict) else {}
    headers = {str(name).lower(): str(value) for name, value in named.items()}
    status = item.get("status")
    status = status if isinstance(status, int) else 502
    body = item.get("body")
    if isinstance(body, str) and "json" not in headers.get("content-type", "json"):
        body = _decoded(body)
    wait_s = 0.0
    if status in _REFUSED:
        asked = headers.get("retry-after", ""), headers.get("ratelimit-reset", "")
        if asked not in waits:
            waits[asked] = exchange.note_refusal(scope, headers, status)
        wait_s = waits[asked]
    path = "/v1.0" + url.partition("?")[0]
    return BatchAnswer(status, headers, body, path, wait_s)


def _decoded(text: str) -> bytes:
    """Binary bodies come as base64url, seen with and without padding."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    except ValueError as error:
        raise TransientFailure("A binary answer inside a batch is malformed.") from error
