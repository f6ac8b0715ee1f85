"""Builds the one FastAPI app: routers, console, gate, problem+json, OpenAPI 3.1."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from api import document, errors
from api.auth import Authenticator, signed_in
from api.guard import Guard
from api.health import router as health
from api.routes import ROUTERS
from base.stories import Stories
from engine.assembly import App


def build(app: App, stories: Stories, authenticator: Authenticator) -> FastAPI:
    """The whole HTTP surface over one running App."""
    from console.pages import problem_page
    from console.routes import install as install_console

    web = document.Documented(
        title="Holdfast",
        version="1",
        description=document.DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would be built from whatever Host was sent
    )
    web.state.app = app
    web.state.stories = stories
    web.state.authenticator = authenticator
    errors.install(web, problem_page)
    web.add_middleware(Guard, authenticator=authenticator)
    web.include_router(health)
    for router in ROUTERS:
        web.include_router(router, prefix="/api/v1", dependencies=[Depends(signed_in)])
    install_console(web)
    return web
