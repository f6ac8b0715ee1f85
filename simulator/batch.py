"""JSON batching: up to twenty requests in one, each answered and throttled on its own.

Outlook runs at most four requests of a batch at a time; so does this, for all. dependsOn makes a
request wait for others; when one of those failed it is answered 424. Answers come in any order.
"""

import asyncio
import base64
import binascii
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from simulator.routing import spelled
from simulator.web import Answer, GraphError, Headers, Json, Request

if TYPE_CHECKING:
    from simulator.server import Call, Server

_REQUESTS_MAX = 20
_AT_A_TIME = 4
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def answer(server: "Server", call: "Call", request: Request) -> Answer:
    """POST /$batch."""
    if request.method != "POST":
        raise GraphError(405, "UnknownError", "Only POST is allowed.", {"Allow": "POST"})
    requests = _checked(request.json())
    gate = asyncio.Semaphore(_AT_A_TIME)
    tasks: dict[str, asyncio.Task[Json]] = {}
    for one in requests:
        before = [tasks[str(name)] for name in one.get("dependsOn", ())]
        tasks[str(one["id"])] = asyncio.ensure_future(
            _run(server, call, request, one, before, gate)
        )
    answers = list(await asyncio.gather(*tasks.values()))
    server.tenant.rng.shuffle(answers)
    return Answer(200, {"responses": answers})


async def _run(
    server: "Server",
    call: "Call",
    outer: Request,
    one: Json,
    before: list["asyncio.Task[Json]"],
    gate: asyncio.Semaphore,
) -> Json:
    earlier = await asyncio.gather(*before)
    if any(int(found["status"]) >= 400 for found in earlier):
        refused = GraphError(424, "FailedDependency", "A request this one depends on has failed.")
        return _shape(one, server.rendered(refused, call, str(one["id"])))
    inner = _call(server, call, outer, one)
    async with gate:
        return _shape(one, await _answered(server, inner, outer))


async def _answered(server: "Server", inner: "Call", outer: Request) -> Answer:
    from simulator.server import Cut

    segments, options = spelled(inner.raw_path)
    query = dict(parse_qsl(inner.query_string, keep_blank_values=True)) | options
    issued = server.tenant.tokens.who(server.tenant, outer.headers, outer.url_base)
    request = Request(
        inner.method, inner.raw_path, segments, query, inner.headers, inner.body, outer.app,
        outer.url_base, outer.content_base, outer.version, in_batch=True,
    )  # fmt: skip
    try:
        found = await server.graph(inner, request, issued.roles)
    except GraphError as error:
        found = server.rendered(error, inner, "0")
    except Cut:
        found = server.rendered(GraphError(504, "UnknownError", "Gateway timeout."), inner, "0")
    server.tenant.counters.statuses[found.status] += 1
    return found


def _call(server: "Server", call: "Call", outer: Request, one: Json) -> "Call":
    from simulator.server import Call

    path, _, query_string = str(one["url"]).partition("?")
    headers = {str(k): str(v) for k, v in one.get("headers", {}).items()}
    headers["host"] = outer.headers.get("host", "localhost")
    return Call(
        str(one["method"]).upper(),
        "/" + path.lstrip("/"),
        query_string.partition("#")[0],
        Headers(headers),
        _body(one),
        in_batch=True,
    )


def _body(one: Json) -> bytes:
    body: Any = one.get("body")
    if body is None:
        return b""
    kind = {k.lower(): v for k, v in one.get("headers", {}).items()}.get("content-type", "")
    if "json" in str(kind):
        return json.dumps(body).encode("utf-8")
    text = str(body)
    if str(kind).startswith("text/"):
        return text.encode("utf-8")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise GraphError(400, "BadRequest", "Invalid base64url body in a batch item.") from None


def _shape(one: Json, found: Answer) -> Json:
    headers = {"Cache-Control": "no-cache"} | found.headers
    shaped: Json = {"id": str(one["id"]), "status": found.status, "headers": headers}
    body = found.body
    if isinstance(body, dict):
        headers["Content-Type"] = "application/json"
        shaped["body"] = body
    elif body is not None:
        whole = body if isinstance(body, bytes) else b"".join(body)
        shaped["body"] = base64.b64encode(whole).decode("ascii")
    return shaped


def _checked(body: Json) -> list[Json]:
    requests = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise _malformed("Invalid batch payload format.")
    if len(requests) > _REQUESTS_MAX:
        raise _malformed("Number of batch request steps exceeds the maximum value of 20.")
    seen: set[str] = set()
    for one in requests:
        if not isinstance(one, dict) or not {"id", "method", "url"} <= one.keys():
            raise _malformed("Each batch item needs id, method and url.")
        if set(one) - {"id", "method", "url", "headers", "body", "dependsOn"}:
            raise _malformed("Invalid batch payload format: unknown property.")
        name, url = str(one["id"]), str(one["url"])
        if name.lower() in seen:
            raise _malformed(f"Duplicate batch item id '{name}'.")
        if str(one["method"]).upper() not in _METHODS:
            raise _malformed("Invalid method in a batch item.")
        if "://" in url.partition("?")[0] or url.lstrip("/").startswith(("v1.0/", "beta/")):
            raise _malformed("URLs of batch items must be relative.")
        sent = {str(header).lower() for header in one.get("headers") or {}}
        if one.get("body") is not None and "content-type" not in sent:
            raise _malformed("A batch item with a body needs a Content-Type header.")
        unknown = {str(other).lower() for other in one.get("dependsOn", ())} - seen
        if unknown:
            raise _malformed("dependsOn names an unknown or later request.")
        seen.add(name.lower())
    return requests


def _malformed(message: str) -> GraphError:
    return GraphError(400, "BadRequest", message)
