"""Steps of a collection."""

from __future__ import annotations

from engine import collect
from engine.assembly import current_app
from engine.collect import CollectRun


def collect_slice(request: dict) -> dict:
    """Removes a slice of what nothing needs in an organization's vault."""
    return collect.collect_slice(current_app(), CollectRun.from_json(request))
