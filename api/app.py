"""Builds the one FastAPI app: routers, console, headers, problem+json, limits, OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request, Response

from api import errors
from api.auth import Authenticator, signed_in
from api.errors import problem_json
from api.health import router as health
from api.routes import ROUTERS
from base.stories import Stories
from engine.assembly import App

BODY_BYTES_MAX = 1024 * 1024  # no request of the API carries more than a certificate or a selection

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
}
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

Next = Callable[[Request], Awaitable[Response]]


def build(app: App, stories: Stories, authenticator: Authenticator) -> FastAPI:
    """The whole HTTP surface over one running App."""
    web = FastAPI(
        title="Holdfast",
        version="1",
        description="Microsoft 365 backup in your own Azure subscription.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    web.state.app = app
    web.state.stories = stories
    web.state.authenticator = authenticator
    errors.install(web)
    web.middleware("http")(_guarded)
    web.include_router(health)
    for router in ROUTERS:
        web.include_router(router, prefix="/api/v1", dependencies=[Depends(signed_in)])
    from console.routes import install as install_console

    install_console(web)
    return web


async def _guarded(request: Request, call_next: Next) -> Response:
    """Refuses oversized bodies and sets the headers every answer carries."""
    try:
        length = int(request.headers.get("content-length", "0"))
    except ValueError:
        length = -1
    chunked = "transfer-encoding" in request.headers
    if not 0 <= length <= BODY_BYTES_MAX or chunked:
        response: Response = problem_json(
            413, "body-too-large", "The request body is too large.", "Send at most 1 MiB at once."
        )
    else:
        response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
