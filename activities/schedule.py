"""What the timer asks: which stories are to be started."""

from __future__ import annotations

from typing import Any

from engine import schedule, upkeep
from engine.assembly import current_app


def due_runs() -> list[dict[str, Any]]:
    """{story, message, run} of every backup that is due and every run that nobody started.

    Their records are made already. Tidies first.
    """
    app = current_app()
    upkeep.tend(app)
    backups = [("backup_organization", run.to_json()) for run in schedule.due_backups(app)]
    others = [(story, message.to_json()) for story, message in upkeep.forgotten(app)]
    others += [(story, message.to_json()) for story, message in schedule.due_upkeep(app)]
    return [
        {"story": story, "message": message, "run": message["run"]}
        for story, message in backups + others
    ]
