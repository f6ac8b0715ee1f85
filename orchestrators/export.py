"""The story of a download: write the archive step by step, then say that it is ready or failed."""

from __future__ import annotations

from azure.durable_functions import DurableOrchestrationContext

from base.messages import Exported, ExportRun
from orchestrators import steps
from orchestrators.steps import STEPS_PER_GENERATION, Story, attempt, insist


def export_items(context: DurableOrchestrationContext) -> Story:
    """Makes one download: ExportRun in, Exported out."""
    run = ExportRun.from_json(context.get_input())
    for _ in range(STEPS_PER_GENERATION):
        answer = yield from attempt(context.call_activity("write_export", run.to_json()))
        if answer is None or Exported.from_json(answer).state != "more":
            closed = yield from insist(context, "close_export", run.to_json())
            return closed or Exported("failed", code=steps.CRASHED).to_json()
    context.continue_as_new(run.to_json())
    return None
