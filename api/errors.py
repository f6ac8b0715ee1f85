"""Every error as problem+json with a stable code, a hint and a link to the documentation; to a
person with a browser as a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from base.errors import InvalidInput, Problem, Throttled

_DOCS = "/problems"  # a page of the console that explains every code
_FIELDS_MAX = 20  # a body can be wrong in a hundred thousand places
_NAME_MAX = 200
_BY_STATUS = {
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    416: "range-not-satisfiable",
}

ProblemPage = Callable[[Problem], Response]


def problem_json(
    status: int,
    code: str,
    message: str,
    hint: str,
    details: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
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
        body["details"] = dict(details)
    return JSONResponse(
        body, status_code=status, headers=headers, media_type="application/problem+json"
    )


def answer_to(problem: Problem) -> JSONResponse:
    """One of our problems as an answer."""
    headers = {}
    if isinstance(problem, Throttled):
        headers["Retry-After"] = str(int(problem.retry_after_s) + 1)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem_json(
        problem.status, problem.code, problem.message, problem.hint, problem.details, headers
    )


def install(app: FastAPI, page: ProblemPage) -> None:
    """Maps our problems and bad input to problem+json, outside /api/ to `page`; api/guard.py
    answers for everything unexpected.
    """

    @app.exception_handler(Problem)
    async def ours(request: Request, problem: Problem) -> Response:
        return page(problem) if _is_page(request) else answer_to(problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await ours(request, _Malformed(error))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        if error.status_code < 400:  # the console sends whoever is not signed in to its door
            return Response(status_code=error.status_code, headers=error.headers)
        code = _BY_STATUS.get(error.status_code, "invalid-input")
        hint = "See /api/v1/openapi.json for what exists."
        if _is_page(request):
            known = Problem(str(error.detail), hint="Look for it from the first page.")
            answer = page(known)
            answer.status_code = error.status_code
            return answer
        return problem_json(error.status_code, code, str(error.detail), hint, headers=error.headers)


class _Malformed(InvalidInput):
    """The request does not have the form that the API describes."""

    hint = "Correct the named fields; /api/v1/openapi.json describes them."

    def __init__(self, error: RequestValidationError) -> None:
        # The offending values stay out: they may be secrets that were sent in the wrong field.
        fields = [
            {"field": ".".join(map(str, one["loc"]))[:_NAME_MAX], "problem": one["msg"]}
            for one in error.errors()[:_FIELDS_MAX]
        ]
        super().__init__("The request does not have the expected form.", fields=fields)


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/")
