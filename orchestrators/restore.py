"""The story of a restore: plan, write batch after batch, close whatever happened."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from azure.durable_functions import DurableOrchestrationContext

from base.messages import BatchWritten, RestorePlanned, RestoreRun, RunClosed, WriteBatch
from orchestrators import steps
from orchestrators.steps import (
    STEPS_PER_GENERATION,
    Story,
    attempt,
    insist,
    patiently,
    pause,
)


def restore_items(context: DurableOrchestrationContext) -> Story:
    """Writes one planned restore: RestoreRun in, RunClosed out.

    Batches go one after another: all of them write to one mailbox or drive, which shares few slots.
    """
    run = RestoreRun.from_json(context.get_input())
    if run.batches < 0:
        run = yield from _plan(context, run)
    context.set_custom_status({"batch": run.batch, "batches": run.batches})
    for _ in range(STEPS_PER_GENERATION):
        if run.batch >= run.batches:
            closed = yield from insist(context, "close_restore", run.to_json())
            return closed or RunClosed("red", code=steps.CRASHED).to_json()
        run = yield from _write(context, run)
    context.continue_as_new(run.to_json())
    return None


def _plan(context: DurableOrchestrationContext, run: RestoreRun) -> Generator[Any, Any, RestoreRun]:
    answer = yield from patiently(context, "plan_restore", run.to_json())
    planned = RestorePlanned.from_json(answer)
    return replace(run, batches=planned.batches, code=planned.code)


def _write(
    context: DurableOrchestrationContext, run: RestoreRun
) -> Generator[Any, Any, RestoreRun]:
    """One step of the present batch, and the pause it asks for."""
    request = WriteBatch(run.org, run.run, run.batch)
    answer = yield from attempt(context.call_activity("write_batch", request.to_json()))
    following = replace(run, batch=run.batch + 1, waits=0)
    if answer is None:
        return replace(following, crashed=run.crashed + 1)
    written = BatchWritten.from_json(answer)
    match written.state:
        case "more":
            return replace(run, waits=0)
        case "throttled" if run.waits < steps.WAITS_MAX:
            yield pause(context, steps.wait_s(written.retry_after_s, run.waits))
            return replace(run, waits=run.waits + 1)
        case "throttled":
            return replace(following, crashed=run.crashed + 1)
        case "cancelled":
            return replace(run, batch=run.batches)
        case _:  # done, failed: the step has written it down
            return following
