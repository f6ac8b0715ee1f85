"""The stories of upkeep: reading a vault back, and collecting its garbage."""

from __future__ import annotations

from azure.durable_functions import DurableOrchestrationContext

from orchestrators import steps
from orchestrators.steps import STEPS_PER_GENERATION, Story, insist, pause


def verify_vault(context: DurableOrchestrationContext) -> Story:
    """Reads an organization's vault back. Input: {"org", "run", …}; output: the last answer."""
    return (yield from _slices(context, "verify_slice"))


def collect_vault(context: DurableOrchestrationContext) -> Story:
    """Removes what retention gave up and nothing needs. Input: a CollectRun; output: the last
    answer.
    """
    return (yield from _slices(context, "collect_slice"))


def rebuild_records(context: DurableOrchestrationContext) -> Story:
    """Makes an organization's rows anew. Input: a RebuildRun; output: the last answer."""
    return (yield from _slices(context, "rebuild_slice"))


def _slices(context: DurableOrchestrationContext, step: str) -> Story:
    """Repeats a step until it is done; what one answered under "next" goes to the next one."""
    request = context.get_input()
    for _ in range(STEPS_PER_GENERATION):
        answer = yield from insist(context, step, request)
        if answer is None:
            return {"state": "failed", "code": steps.CRASHED}
        if answer["state"] == "throttled":
            yield pause(context, answer["retry_after_s"])
        elif answer["state"] != "more":
            return answer
        request = {**request, "next": answer.get("next")}
    context.continue_as_new(request)
    return None
