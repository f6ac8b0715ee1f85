"""The one route that asks nobody who they are: is the app up."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()


@router.api_route("/api/health", methods=["GET", "HEAD"], include_in_schema=False)
def health() -> dict[str, str]:
    """Says nothing but that the app answers."""
    return {"status": "ok"}
