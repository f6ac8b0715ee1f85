"""The end of a restore, whatever became of it: its writer puts right what it leaves in the target.

A channel of Teams must not stay in migration mode because a restore failed or was cancelled. So
this is tried a few times, with pauses, and what fails for good makes the run red.
"""

from __future__ import annotations

from base import log
from base.errors import Problem, Throttled
from base.messages import RestoreRun
from engine.assembly import App
from engine.restore_plan import RestoreRequest
from m365.service import Finisher

_ATTEMPTS_MAX = 4
_WAIT_S, _WAIT_MAX_S = 2.0, 30.0


def put_right(app: App, run: RestoreRun) -> str:
    """The code of what kept the target from being put right; "" where all is well.

    Only restores with options leave anything.
    """
    code = ""
    for _ in range(_ATTEMPTS_MAX):
        try:
            _finish(app, run)
            return ""
        except Problem as problem:
            code = problem.code
            log.event("finish-failed", org=run.org, run=run.run, code=code)
            asked_s = problem.retry_after_s if isinstance(problem, Throttled) else _WAIT_S
            app.clock.sleep(min(_WAIT_MAX_S, asked_s))
    return code


def _finish(app: App, run: RestoreRun) -> None:
    stored = app.vault(run.org).get_record(f"restore/{run.run}/request")
    if stored is None or "undo" in stored:
        return
    wanted = RestoreRequest.from_json(stored)
    if wanted.options:
        writer = app.restorer(run.org, wanted.service, wanted.target, wanted.options)
        if isinstance(writer, Finisher):
            writer.finish()
