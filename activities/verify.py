"""Steps of a verification."""

from __future__ import annotations

from engine import verify
from engine.assembly import current_app


def verify_slice(request: dict) -> dict:
    """Reads back a slice of an organization's vault and records what it finds."""
    return verify.verify_slice(current_app(), request)
