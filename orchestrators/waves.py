"""Runs tasks side by side and waits for all of them, whether they succeed or not.

Rule 1: a wave is started whole. Never refill it with task_any as tasks end.
Rule 2: a wave ends when its last task has ended, also when the first one failed.

Theory of operation. The Functions host walks the SDK's list of actions in order and awaits each
before it invokes the next (ProcessAsyncActionsV2 in the extension's
OutOfProcOrchestrationShim.cs). A task_any over seven running tasks and a new one reaches the host
as "any of [the new one]", because tasks that are scheduled already are left out; the host then
starts nothing else until that single task has ended. A window refilled by task_any therefore
shrinks to one task at a time in Azure, while a simple fake shows it busy. task_all fails with its
first task, and what follows could run beside the others.

So a bounded number of things at once is a bounded number of lanes: sub-orchestrations that each
take one step after another. A wave starts the lanes with one task_any, which invokes all of them,
and then waits for each; waiting for a scheduled task adds no action, so the host has nothing to
await.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from azure.durable_functions import DurableOrchestrationContext

from orchestrators.steps import attempt


def run_wave(
    context: DurableOrchestrationContext, tasks: list[Any]
) -> Generator[Any, Any, list[dict[str, Any] | None]]:
    """The answers of all tasks in their order; None for one that raised."""
    if not tasks:
        return []
    yield context.task_any(tasks)
    answers = []
    for task in tasks:
        answers.append((yield from attempt(task)))  # noqa: PERF401  (comprehensions cannot yield)
    return answers
