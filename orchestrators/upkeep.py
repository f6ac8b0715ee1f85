"""The stories of upkeep; so far the one that reads a vault back."""

from __future__ import annotations

from azure.durable_functions import DurableOrchestrationContext

from orchestrators import steps
from orchestrators.steps import STEPS_PER_GENERATION, Story, insist


def verify_vault(context: DurableOrchestrationContext) -> Story:
    """Reads an organization's vault back, slice by slice.

    Input: {"org", "run", ...}, handed to every step together with what the step before answered
    under "next". Output: the last answer, {"state": done|failed, ...}.
    """
    request = context.get_input()
    for _ in range(STEPS_PER_GENERATION):
        answer = yield from insist(context, "verify_slice", request)
        if answer is None:
            return {"state": "failed", "code": steps.CRASHED}
        if answer["state"] != "more":
            return answer
        request = {**request, "next": answer.get("next")}
    context.continue_as_new(request)
    return None
