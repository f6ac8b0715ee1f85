"""The server: takes an HTTP request to the route it means and sends the answer back.

Order of a Graph request, as in the service: token, path, rights, faults, limits, the handler.
Handlers run in the event loop (everything is in memory); only latency, faults that are slow and
the bodies of requests are waited for.
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from simulator import batch, control, login, openapi
from simulator.faults import AFTER, refusal, with_foreign_links
from simulator.mailbox_items import owner_of
from simulator.routes import routes
from simulator.routing import Router, spelled
from simulator.tenant import AppRegistration, Tenant
from simulator.throttle import Throttle
from simulator.tokens import challenge
from simulator.web import Answer, GraphError, Headers, Request, Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_JSON = (
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;"
    "charset=utf-8"
)
_BODY_MAX = 260 * 1024 * 1024
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>502</body></html>"


class Cut(Exception):
    """The connection is to be closed behind the headers."""


@dataclass(slots=True)
class Call:
    """A request as it came off the wire; raw_path is percent-encoded."""

    method: str
    raw_path: str
    query_string: str
    headers: Headers
    body: bytes
    in_batch: bool = False
    cut_body: bool = False
    """Set while answering: the body is to be cut off in the middle."""


class Server:
    """An ASGI application that is one tenant."""

    def __init__(self, tenant: Tenant, control_token: str) -> None:
        self.tenant = tenant
        self.throttle = Throttle(tenant)
        self._control_token = control_token
        every = routes()
        self._bare = Router(tuple(route for route in every if not route.permissions))
        self._graph = Router(tuple(route for route in every if route.permissions))
        self._documents = openapi.from_environment()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        call = Call(
            scope["method"],
            scope["raw_path"].decode("ascii"),
            scope["query_string"].decode("ascii"),
            Headers({k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}),
            await _body(receive),
        )
        try:
            answer = await self._answer(call)
        except Cut:
            await _close(send)
            return
        await _send(answer, send, cut=call.cut_body)

    async def _answer(self, call: Call) -> Answer:
        if call.raw_path.startswith("/__control__"):
            with self.tenant.lock:
                return control.answer(
                    self.tenant,
                    call.method,
                    call.raw_path.removeprefix("/__control__"),
                    dict(parse_qsl(call.query_string, keep_blank_values=True)),
                    call.body,
                    call.headers.get("authorization") == f"Bearer {self._control_token}",
                )
        request_id = str(uuid.uuid4())
        try:
            answer = await self._dispatch(call)
        except GraphError as error:
            answer = self.rendered(error, call, request_id)
        answer.headers.setdefault("request-id", request_id)
        now = self.tenant.clock.now().replace(microsecond=0)
        answer.headers.setdefault("Date", format_datetime(now, usegmt=True))
        answer.headers.setdefault(
            "client-request-id", call.headers.get("client-request-id", request_id)
        )
        self.tenant.counters.statuses[answer.status] += 1
        return answer

    def rendered(self, error: GraphError, call: Call, request_id: str) -> Answer:
        """An error as Graph writes it."""
        inner = {
            "date": self.tenant.clock.now().strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": call.headers.get("client-request-id", request_id),
        }
        if error.inner_code is not None:
            inner["code"] = error.inner_code
        body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
        return Answer(error.status, body, dict(error.headers))

    async def _dispatch(self, call: Call) -> Answer:
        segments, options = spelled(call.raw_path)
        query = dict(parse_qsl(call.query_string, keep_blank_values=True)) | options
        host = call.headers.get("host", "localhost")
        found = self._bare.match(call.method, segments)
        if found is not None:
            base = f"https://{host}"
            request = self._request(call, segments, query, None, base)
            return await self._run(call, request, *found)
        version = segments[0] if segments else ""
        if version not in ("v1.0", "beta"):
            raise GraphError(400, "BadRequest", "Invalid version.")
        base = f"https://{host}"
        issued = self.tenant.tokens.who(self.tenant, call.headers, base)
        if self.tenant.claims_challenges > 0:
            self.tenant.claims_challenges -= 1
            issued.challenged = True
            raise challenge(self.tenant, base)
        request = self._request(call, segments[1:], query, issued.app, f"{base}/{version}")
        request.version = version
        if request.segments[:1] == ("$batch",):
            self.tenant.counters.requests["POST /$batch"] += 1
            return await batch.answer(self, call, request)
        return await self.graph(call, request, issued.roles)

    async def graph(self, call: Call, request: Request, roles: frozenset[str]) -> Answer:
        """One Graph request whose sender is known."""
        segments = request.segments
        if segments[:1] == ("me",):
            raise GraphError(
                400, "BadRequest", "/me request is only valid with delegated authentication flow."
            )
        self._validate(request)
        found = self._graph.match(request.method, segments)
        if found is None:
            raise self._no_route(request)
        app = request.app
        assert app is not None
        held = (roles & app.roles) | self._granted_by_exchange(app, *found)
        if not held.intersection(found[0].permissions):
            raise _denied(found[0])
        return await self._run(call, request, *found)

    def _granted_by_exchange(
        self, app: AppRegistration, route: Route, parameters: dict[str, str]
    ) -> frozenset[str]:
        """What RBAC for Applications adds for one mailbox; no token tells of it."""
        if route.limits != "outlook":
            return frozenset()
        mailbox = parameters.get("user", "")
        return frozenset(role for role, scope in app.mailbox_roles.items() if mailbox in scope)

    async def _run(
        self, call: Call, request: Request, route: Route, parameters: dict[str, str]
    ) -> Answer:
        tenant = self.tenant
        tenant.counters.requests[f"{route.method} {route.pattern}"] += 1
        app_id = request.app.app_id if request.app is not None else "anonymous"
        target = f"{call.method} {call.raw_path}?{call.query_string}"
        self.throttle.watch(app_id, target, route.limits)
        operation = f"{request.method} /{'/'.join(request.segments)}"
        letter = tenant.faults.letter(operation, target, by_chance=route not in login.ROUTES)
        if letter != ".":
            tenant.counters.faults[letter] += 1
        try:
            self._refuse_by_letter(letter, route, request)
            ticket = self.throttle.enter(route, request, self._mailbox(parameters))
            try:
                await self._wait(route, letter)
                with tenant.lock:
                    answer = route.handler(tenant, request, **parameters)
            finally:
                self.throttle.leave(ticket)
        except GraphError as error:
            self._tell(error, app_id, target, route)
            raise
        answer.headers.update(ticket.headers)
        self._charge(answer, app_id, route)
        return _mangled(letter, answer, call)

    def _refuse_by_letter(self, letter: str, route: Route, request: Request) -> None:
        if letter in AFTER or letter == ".":
            return
        if letter == "X":
            raise Cut
        if letter == "c":
            raise challenge(self.tenant, request.url_base.rpartition("/")[0])
        if letter == "w":
            raise GraphError(502, "html", "")
        as_date = {"T": True, "t": False}.get(letter)
        wait = self.throttle.retry_after(self.tenant.limits.retry_after_s, as_date=as_date)
        raise refusal(letter, route.limits, wait)

    async def _wait(self, route: Route, letter: str) -> None:
        wait_s = self.tenant.latency_s if route.permissions else 0.0
        if letter == "s":
            wait_s += self.tenant.faults.slow_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _tell(self, error: GraphError, app_id: str, target: str, route: Route) -> None:
        asked = error.headers.get("Retry-After")
        if asked is not None and error.status in (429, 503):
            wait_s = float(asked) if asked.isdigit() else self.tenant.limits.retry_after_s - 1.0
            self.throttle.tell(app_id, target, route.limits, wait_s)

    def _charge(self, answer: Answer, app_id: str, route: Route) -> None:
        cost = answer.headers.pop("x-cost", None)
        if cost is not None and route.limits == "sharepoint" and int(cost) != route.cost:
            self.throttle.charge(app_id, int(cost) - route.cost)

    def _mailbox(self, parameters: dict[str, str]) -> str | None:
        reference = parameters.get("user", parameters.get("group"))
        if "mailbox" in parameters:
            return owner_of(self.tenant, parameters["mailbox"])
        if reference is None or reference in self.tenant.users:
            return reference
        try:
            return self.tenant.user(reference).id
        except GraphError:
            return reference

    def _validate(self, request: Request) -> None:
        if self._documents is None:
            return
        problem = self._documents.problem(request)
        if problem is not None:
            self.tenant.counters.violations.append(problem)
            raise GraphError(400, "simulatorViolation", problem)

    def _no_route(self, request: Request) -> GraphError:
        allowed = self._graph.methods(request.segments)
        if allowed:
            return GraphError(
                405,
                "UnknownError",
                f"The OData request is not supported: {request.method}.",
                {"Allow": ", ".join(allowed)},
            )
        name = request.segments[-1] if request.segments else ""
        return GraphError(404, "ResourceNotFound", f"Resource not found for the segment '{name}'.")

    def _request(
        self,
        call: Call,
        segments: tuple[str, ...],
        query: dict[str, str],
        app: AppRegistration | None,
        url_base: str,
    ) -> Request:
        return Request(
            call.method,
            "/"
            + unquote(call.raw_path).lstrip("/").removeprefix(url_base.rpartition("/")[2] + "/"),
            segments,
            query,
            call.headers,
            call.body,
            app,
            url_base,
            content_base=_other_name(call.headers.get("host", "localhost")),
            in_batch=call.in_batch,
        )


def _denied(route: Route) -> GraphError:
    if route.limits == "outlook":
        return GraphError(
            403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."
        )
    if route.limits == "sharepoint":
        return GraphError(403, "accessDenied", "Access denied")
    return GraphError(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )


def _mangled(letter: str, answer: Answer, call: Call) -> Answer:
    """What faults after the handler make of its answer."""
    if letter == "d":
        raise refusal("d", "none", {})
    if letter == "x":
        call.cut_body = True
    if letter == "f" and isinstance(answer.body, dict):
        answer.body = with_foreign_links(answer.body)
    if letter == "h" and isinstance(answer.body, dict):
        text = json.dumps(answer.body).encode("utf-8")
        answer.body = text[: len(text) // 2]
        answer.headers["Content-Type"] = _JSON
    return answer


def _other_name(host: str) -> str:
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not name:
        name, port = host, "443"
    other = "127.0.0.1" if name == "localhost" else "localhost"
    return f"https://{other}:{port}"


async def _body(receive: Receive) -> bytes:
    message = await receive()
    first: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return first
    parts, size = [first], len(first)
    while message.get("more_body") and size <= _BODY_MAX:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts)


async def _send(answer: Answer, send: Send, *, cut: bool) -> None:
    body, headers = answer.body, answer.headers
    if isinstance(body, dict):
        if answer.status == 502 and body.get("error", {}).get("code") == "html":
            body, kind = _BAD_GATEWAY, "text/html"
        else:
            body = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
            kind = _JSON
            headers.setdefault("OData-Version", "4.0")
        headers.setdefault("Content-Type", kind)
    pieces: Iterator[bytes]
    if body is None or isinstance(body, bytes):
        whole = body or b""
        if answer.status != 204:
            headers.setdefault("Content-Length", str(len(whole)))
        pieces = iter((whole,))
    else:
        pieces = iter(body)
    raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    for piece in pieces:
        if cut:
            # Returning before the promised length makes the server drop the connection.
            half = piece[: max(1, len(piece) // 2)] if len(piece) > 1 else b""
            await send({"type": "http.response.body", "body": half, "more_body": True})
            return
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _close(send: Send) -> None:
    """Close behind the headers: nothing sent at all would make uvicorn answer 500."""
    headers = [(b"content-length", b"1000000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
