"""What the timer asks: which organizations are due."""

from __future__ import annotations

from typing import Any

from engine import schedule, upkeep
from engine.assembly import current_app


def due_backups() -> list[dict[str, Any]]:
    """One BackupRun for every organization that is due, its run record already made; tidies
    first.
    """
    app = current_app()
    upkeep.tend(app)
    return [run.to_json() for run in schedule.due_backups(app)]
