"""The gate every request passes: who may not enter, how large a body may be, and the headers of
every answer.

Rules
- Nothing below /api/ answers somebody who is not signed in, whatever path or method was asked for;
  the two exceptions are named in PUBLIC. A new route is closed unless it is written there.
- A body is read whole before anybody works with it, at most BODY_BYTES_MAX, announced or chunked.
- Every answer carries the same headers, those of errors and of crashes too.
"""

from __future__ import annotations

from pathlib import PurePath

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Authenticator, NotSignedIn
from api.errors import answer_to, problem_json
from base import log
from base.errors import Problem

BODY_BYTES_MAX = 1024 * 1024  # no request of the API carries more than a certificate or a selection
PUBLIC = ("/api/health", "/api/v1/openapi.json")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
}


class BodyTooLarge(Problem):
    """The body of a request is larger than any the API knows."""

    code = "body-too-large"
    status = 413
    hint = "Send at most 1 MiB at once."


class Guard:
    """Wraps the app; the outermost layer that is ours."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            request = Request(scope)
            self._let_in(request)
            body = await _body(request, receive)
            await self._app(scope, _Replayed(body, receive), answer)
        except Problem as problem:
            await answer_to(problem)(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the last resort: say where, never what
            log.event("unexpected-error", kind=type(error).__name__, where=_where(error))
            if answer.started:
                raise ConnectionError("the answer broke off") from None
            crashed = problem_json(500, Problem.code, "Something went wrong inside.", Problem.hint)
            await crashed(scope, receive, answer)

    def _let_in(self, request: Request) -> None:
        path = request.url.path
        if path.startswith("/api/") and path not in PUBLIC:
            if self._authenticator.principal(request) is None:
                raise NotSignedIn("Sign in first.")


class _Answer:
    """Sends on, with the headers of every answer; what a route set itself stays."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class _Replayed:
    """Gives the app the body that was read; after it, whatever the server says next."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _body(request: Request, receive: Receive) -> bytes:
    announced = request.headers.get("content-length", "0")
    # More digits than that are no length, and int() takes its time with them.
    if not announced.isascii() or not announced.isdigit() or len(announced) > 12:
        raise BodyTooLarge("The length of the body cannot be read.")
    if int(announced) > BODY_BYTES_MAX:
        raise BodyTooLarge("The request body is too large.")
    held = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        held += message.get("body", b"")
        more = message.get("more_body", False)
        if len(held) > BODY_BYTES_MAX:
            raise BodyTooLarge("The request body is too large.")
    return bytes(held)


def _where(error: Exception) -> str:
    """The function an error came from: "plan.py:plan_backup"; frames hold no content."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f"{PurePath(code.co_filename).name}:{code.co_name}"
