"""One request carried to its end: token, headers, limits, and what to do about every status.

Rules
- A token is attached here and only here, and only to a URL of the configured Graph.
- An answer that is cut, or is not the JSON it has to be, is asked for again and never used in part.
- A request that must not happen twice is repeated only when it certainly did not happen the first
  time; otherwise MaybeDone.
- No pause longer than a few seconds is slept: Throttled is handed up, and the lane stays paused.

Theory of operation
perform() repeats _attempt() until there is an answer below 400 or a problem to raise. After each
attempt exactly one of these decides: _after_break (no answer, or half of one) or _after_refusal
(400 and above), by the table in docs/decisions/http-client.md. A slot of the lane is held from
sending to the last byte read.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from base.clock import Clock
from base.errors import Throttled
from base.ids import fraction, new_request_id
from m365.graph.errors import (
    AnswerTooLarge,
    ForeignHost,
    GraphProblem,
    MaybeDone,
    TransientFailure,
    problem_of,
    request_id_of,
)
from m365.graph.hosts import Place
from m365.graph.limits import directory_cost
from m365.graph.throttle import Limiter, Permit, Purpose, Scope
from m365.graph.waits import asked_wait_s, seconds_of
from m365.graph.wire import Broken, Opened, Wire

JSON_BYTES_MAX = 64 * 1024 * 1024  # a page of 1,000 messages with bodies is about 4 MB
RAW_BYTES_MAX = 256 * 1024 * 1024  # Outlook's own limit for a message is 150 MB
_ERROR_BYTES_MAX = 256 * 1024
REPEATS_MAX = 2  # of a request that met 500, 502, 504 or a broken connection
_THROTTLED_MAX = 5  # refusals of one request that are waited for here, if they are short
_BANDWIDTH_PAUSE_S = 300.0  # 509 without Retry-After
_SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")  # of a limit: 0.8 to 1.8


class Expects(Enum):
    """What the body of an answer has to be."""

    JSON = auto()
    BYTES = auto()
    STREAM = auto()  # left unread, for the caller


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `url` was checked by Place; `kind` is the word it is counted under."""

    method: str
    url: str
    scope: Scope
    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cost: int = 1
    expects: Expects = Expects.JSON
    writing: bool = False
    alone: bool = False
    repeatable: bool = True
    with_token: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers` has lower-case names; `opened` only for Expects.STREAM."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    value: Any = None
    opened: Opened | None = None


class TokenSource(Protocol):
    """What auth.py gives: a bearer token, and a new one after a 401."""

    @property
    def tenant(self) -> str: ...

    def token(self) -> str: ...

    def refresh(self, stale: str, challenge: str) -> None:
        """Makes sure that the next token() is not `stale`; `challenge` is WWW-Authenticate."""
        ...


class Counters:
    """What a reader has used so far. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.throttled = 0
        self.by_kind: Counter[str] = Counter()

    def sent(self, kind: str, bytes_out: int) -> None:
        with self._lock:
            self.requests += 1
            self.bytes_out += bytes_out
            self.by_kind[kind] += 1

    def received(self, bytes_in: int) -> None:
        with self._lock:
            self.bytes_in += bytes_in

    def refused(self) -> None:
        with self._lock:
            self.throttled += 1


@dataclass(slots=True)
class _Tries:
    repeats: int = 0
    throttled: int = 0
    challenges: list[str] = field(default_factory=list)  # of the 401s answered with a new token

    def may_refresh(self, challenge: str) -> bool:
        """Once; and once more where the new token is asked for claims that the old one was not."""
        if not self.challenges:
            return True
        asked = "claims=" in challenge and challenge not in self.challenges
        return asked and len(self.challenges) == 1


class Exchange:
    """Carries requests of one credential. Safe to share between threads."""

    def __init__(
        self,
        place: Place,
        wire: Wire,
        tokens: TokenSource,
        limiter: Limiter,
        clock: Clock,
        purpose: Purpose = Purpose.BACKUP,
    ) -> None:
        self.place = place
        self.limiter = limiter
        self.purpose = purpose
        self.clock = clock
        self.counters = Counters()
        self._wire = wire
        self._tokens = tokens
        self._entered: set[Scope] = set()
        self.make_room: Callable[[Scope], bool] = lambda scope: (
            False
        )  # set by whoever keeps streams

    @property
    def tenant(self) -> str:
        return self._tokens.tenant

    def perform(self, request: Request) -> Answer:
        """The answer below 400. Raises GraphProblem and its kin, Throttled, SignInFailed."""
        tries = _Tries()
        while True:
            token = self._token_for(request)
            try:
                answer = self._attempt(request, token)
            except Broken as broken:
                self._after_break(request, tries, broken)
                continue
            if answer.status < 400:
                if not request.alone:  # of a batch its items tell
                    self.limiter.accepted(self.tenant, request.scope)
                return answer
            self._after_refusal(request, tries, answer, token)

    def open(self, request: Request) -> Opened:
        """One attempt, body unread, status unjudged: for downloads and uploads. Raises Broken."""
        return self._sent(request, self._token_for(request))

    def note_refusal(self, scope: Scope, headers: Mapping[str, str], status: int) -> float:
        """Counts a 429, 503 or 509 and starts the pause of its lane; its length in seconds."""
        self.counters.refused()
        asked_s = asked_wait_s(headers, self.clock.now())
        if asked_s is None and status == 509:
            asked_s = _BANDWIDTH_PAUSE_S
        return self.limiter.refused(self.tenant, scope, asked_s, f"answered-{status}")

    def finish(self) -> None:
        """Nothing more is sent for now: gives back what other workers may be waiting for."""
        for scope in tuple(self._entered):
            self.limiter.finished(self.tenant, scope, self.purpose)

    def take_place(self, scope: Scope) -> None:
        """Counts a request against a limit beside that of its own scope. Raises Throttled."""
        self._entered.add(scope)
        self.limiter.enter(self.tenant, scope, writing=True, purpose=self.purpose).leave()

    def back_off(self, tries: int) -> None:
        """A short pause of one request before it is repeated; longer with every try."""
        self.clock.sleep(min(4.0, 0.5 * 2**tries) * (0.5 + fraction() / 2))

    def _token_for(self, request: Request) -> str:
        if not request.with_token:
            return ""
        if not request.url.startswith(f"{self.place.origin}/"):
            raise ForeignHost("A token is for Microsoft Graph only.")
        return self._tokens.token()

    def _attempt(self, request: Request, token: str) -> Answer:
        opened = self._sent(request, token)
        if opened.status >= 400:
            return Answer(opened.status, opened.headers, read_error(opened))
        if request.expects is Expects.STREAM:
            return Answer(opened.status, opened.headers, opened=opened)
        if opened.status >= 300:
            opened.dismiss()
            return Answer(opened.status, opened.headers)
        is_json = request.expects is Expects.JSON
        body = _read_whole(opened, JSON_BYTES_MAX if is_json else RAW_BYTES_MAX)
        return Answer(opened.status, opened.headers, body, _parsed(body) if is_json else None)

    def _sent(self, request: Request, token: str) -> Opened:
        headers = {
            "User-Agent": self.place.user_agent,
            "client-request-id": new_request_id(),
            **request.headers,
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        size = len(request.body or b"")
        self._entered.add(request.scope)
        permit = self.limiter.enter(
            self.tenant,
            request.scope,
            _cost(request),
            writing=request.writing,
            alone=request.alone,
            upload_bytes=size if request.writing else 0,
            make_room=lambda: self.make_room(request.scope),
            purpose=self.purpose,
        )
        self.counters.sent(request.kind, size)
        try:
            opened = self._wire.open(
                request.method,
                request.url,
                headers,
                request.body,
                content_host=not request.with_token,
            )
        except BaseException:
            permit.leave()
            raise
        opened.on_close(lambda received: self._done(permit, received))
        self._take_hints(request.scope, opened.headers)
        return opened

    def _done(self, permit: Permit, received: int) -> None:
        permit.leave()
        self.counters.received(received)

    def _after_break(self, request: Request, tries: _Tries, broken: Broken) -> None:
        if broken.sent and not request.repeatable:
            raise MaybeDone("A write was sent and its answer was lost.") from broken
        tries.repeats += 1
        if tries.repeats > REPEATS_MAX:
            raise TransientFailure(
                "Microsoft Graph gave no whole answer, also when asked again.",
                graph_code=broken.reason,
            ) from broken
        self.back_off(tries.repeats)

    def _after_refusal(self, request: Request, tries: _Tries, answer: Answer, token: str) -> None:
        """Returns when the request is to be sent again, else raises."""
        status, challenge = answer.status, answer.headers.get("www-authenticate", "")
        if status in (429, 503, 509):
            self._wait_or_throttle(request, tries, answer)
        elif status == 401 and token and tries.may_refresh(challenge):
            tries.challenges.append(challenge)
            self._tokens.refresh(token, challenge)
        else:
            problem = self.problem(request, answer)
            if not isinstance(problem, TransientFailure):
                raise problem
            if not request.repeatable:
                raise _maybe_done(problem) from problem
            tries.repeats += 1
            if tries.repeats > REPEATS_MAX:
                raise problem
            self.back_off(tries.repeats)

    def _wait_or_throttle(self, request: Request, tries: _Tries, answer: Answer) -> None:
        wait_s = self.note_refusal(request.scope, answer.headers, answer.status)
        tries.throttled += 1
        named = asked_wait_s(answer.headers, self.clock.now()) is not None
        if wait_s <= self.limiter.limits.wait_max_s and tries.throttled < _THROTTLED_MAX:
            return  # the lane is paused: the next attempt waits for it
        if answer.status == 503 and not named:
            # Without a time to wait for it may be this one item, and a step that stops here each
            # time would never get past it.
            raise self.problem(request, answer)
        raise Throttled(
            "Microsoft 365 asks for a pause.",
            wait_s,
            scope=request.scope.kind,
            request_id=request_id_of(answer.headers),
        )

    def problem(self, request: Request, answer: Answer) -> GraphProblem:
        """What an answer of 400 and above means. Raises ForeignHost for a Location elsewhere."""
        location = answer.headers.get("location", "") if answer.status == 410 else ""
        if location:
            location = self.place.graph_link(location)
        path = request.url.removeprefix(self.place.origin).partition("?")[0]
        return problem_of(answer.status, answer.headers, answer.body, path, location)

    def _take_hints(self, scope: Scope, headers: Mapping[str, str]) -> None:
        remaining = headers.get("ratelimit-remaining", "").strip()
        if remaining.isdecimal():
            reset_s = seconds_of(headers.get("ratelimit-reset", "")) or 0.0
            limit = int(seconds_of(headers.get("ratelimit-limit", "").partition(",")[0]) or 0)
            self.limiter.told_remaining(self.tenant, scope, int(remaining), reset_s, limit)
        used = headers.get("x-ms-throttle-limit-percentage", "").strip()
        if _SHARE.fullmatch(used):
            self.limiter.told_used(self.tenant, scope, float(used))


def _cost(request: Request) -> int:
    """In units of the scope; what the directory charges follows from the address."""
    if request.scope.kind == "directory" and not request.alone:
        return max(request.cost, directory_cost(request.url))
    return request.cost


def _read_whole(opened: Opened, bytes_max: int) -> bytes:
    if not opened.end_is_known:
        opened.abandon()
        raise Broken(sent=True, reason="EndUnknown")
    body = opened.read(bytes_max + 1)
    if len(body) > bytes_max:
        opened.abandon()
        raise AnswerTooLarge("An answer of Microsoft Graph is larger than any should be.")
    return body


def read_error(opened: Opened) -> bytes:
    """The body of an error, as far as it came: a cut one still has its status."""
    try:
        body = opened.read(_ERROR_BYTES_MAX)
    except Broken:
        return b""
    opened.close() if len(body) < _ERROR_BYTES_MAX else opened.abandon()
    return body


def _parsed(body: bytes) -> Any:
    if not body:
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Broken(sent=True, reason="MalformedJson") from error


def _maybe_done(problem: GraphProblem) -> MaybeDone:
    return problem.told_as(MaybeDone, "A write was sent and its outcome is not known.")
