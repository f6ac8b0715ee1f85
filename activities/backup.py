"""Steps of a backup."""

from __future__ import annotations

from base.messages import BackupEnded, BackupRun, Drain, Shard
from engine import backup, plan, runs
from engine.assembly import current_app


def plan_backup(request: dict) -> dict:
    """Decides what a run covers and writes its work list."""
    return plan.plan_backup(current_app(), BackupRun.from_json(request)).to_json()


def shard_resources(request: dict) -> dict:
    """The resources of one shard of the work list: {"drains": [Drain, ...]}."""
    drains = plan.shard_resources(current_app(), Shard.from_json(request))
    return {"drains": [one.to_json() for one in drains]}


def drain(request: dict) -> dict:
    """Copies changes of one service of one resource until they end or the step's time is up."""
    return backup.drain(current_app(), Drain.from_json(request)).to_json()


def close_run(request: dict) -> dict:
    """Adds up a run, says green, amber or red, and lets the next one start."""
    return runs.close_backup(current_app(), BackupEnded.from_json(request)).to_json()
