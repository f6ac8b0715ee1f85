"""Steps of a restore."""

from __future__ import annotations

from base.messages import RestoreRun, WriteBatch
from engine import restore
from engine.assembly import current_app


def plan_restore(request: dict) -> dict:
    """Writes down, batch by batch, what a restore is going to do."""
    return restore.plan_restore(current_app(), RestoreRun.from_json(request)).to_json()


def write_batch(request: dict) -> dict:
    """Writes one batch of items to Microsoft 365, each exactly once."""
    return restore.write_batch(current_app(), WriteBatch.from_json(request)).to_json()


def close_restore(request: dict) -> dict:
    """Adds up a restore."""
    return restore.close_restore(current_app(), RestoreRun.from_json(request)).to_json()
