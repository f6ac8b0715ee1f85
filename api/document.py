"""The OpenAPI document: what FastAPI derives, with errors and the sign-in as they really are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.answers import ProblemOut

DESCRIPTION = (
    "Microsoft 365 backup in your own Azure subscription. Every route wants "
    "`Authorization: Bearer <token>`. Errors are `application/problem+json` with a stable `code` "
    "and a `hint`. Lists answer `items` and an opaque `next`: send it back as `?next=`."
)
_ERRORS = {
    "401": "Nobody we know is asking.",
    "404": "There is no such thing.",
    "409": "The request clashes with the present state.",
    "422": "The request cannot be used; nothing was changed.",
}


class Documented(FastAPI):
    """A FastAPI that describes its errors once and for every route."""

    def openapi(self) -> dict[str, Any]:
        """OpenAPI 3.1, made at the first call."""
        if self.openapi_schema is None:
            document = super().openapi()
            parts = document.setdefault("components", {})
            schemas = parts.setdefault("schemas", {})
            schemas["Problem"] = ProblemOut.model_json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].update(_errors())
            self.openapi_schema = document
        return self.openapi_schema


def _errors() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": description, "content": content}
        for status, description in _ERRORS.items()
    }
