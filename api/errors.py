"""Every error as problem+json with a stable code, a hint and a link to the documentation."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from base import log
from base.errors import Problem, Throttled

_DOCS = "/problems"  # a page of the console that explains every code
_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}


def problem_json(
    status: int, code: str, message: str, hint: str, details: dict[str, object] | None = None
) -> JSONResponse:
    """RFC 9457 shape: type, title, status, code, hint, and details where there are any."""
    body: dict[str, object] = {
        "type": f"{_DOCS}#{code}",
        "title": message,
        "status": status,
        "code": code,
        "hint": hint,
    }
    if details:
        body["details"] = details
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Maps our problems, bad input and everything unexpected to problem+json."""

    @app.exception_handler(Problem)
    async def ours(_: Request, problem: Problem) -> JSONResponse:
        answer = problem_json(
            problem.status, problem.code, problem.message, problem.hint, problem.details
        )
        if isinstance(problem, Throttled):
            answer.headers["Retry-After"] = str(int(problem.retry_after_s) + 1)
        if problem.status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # The offending values stay out: they may be secrets that were sent in the wrong field.
        fields = [
            {"field": ".".join(str(part) for part in one["loc"]), "problem": one["msg"]}
            for one in error.errors()
        ]
        return problem_json(
            422,
            "invalid-input",
            "The request does not have the expected form.",
            "Correct the named fields; /api/v1/openapi.json describes them.",
            {"fields": fields},
        )

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        if error.status_code < 400:  # the console sends whoever is not signed in to its door
            return Response(status_code=error.status_code, headers=error.headers)
        code = _BY_STATUS.get(error.status_code, "invalid-input")
        return problem_json(
            error.status_code, code, str(error.detail), "See /api/v1/openapi.json for what exists."
        )

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        log.event("unexpected-error", kind=type(error).__name__)
        return problem_json(500, "internal-error", "Something went wrong inside.", Problem.hint)
