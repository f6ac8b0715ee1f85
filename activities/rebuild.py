"""Steps of a rebuild."""

from __future__ import annotations

from engine import rebuild
from engine.assembly import current_app
from engine.rebuild import RebuildRun


def rebuild_slice(request: dict) -> dict:
    """Makes a part of an organization's rows anew from its vault."""
    return rebuild.rebuild_slice(current_app(), RebuildRun.from_json(request))
