"""The story of a backup: plan, drain the resources over some lanes, close the run in any case."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from azure.durable_functions import DurableOrchestrationContext

from base.clock import iso, parse_iso
from base.messages import (
    PLANNING,
    BackupEnded,
    BackupRun,
    Drained,
    Lane,
    LaneEnded,
    Planned,
    RunClosed,
    Shard,
    Turn,
)
from orchestrators import steps
from orchestrators.steps import STEPS_PER_GENERATION, Story, attempt, insist
from orchestrators.waves import run_wave


def backup_organization(context: DurableOrchestrationContext) -> Story:
    """Backs up one organization: BackupRun in, RunClosed out."""
    run = BackupRun.from_json(context.get_input())
    planned = yield from _plan(context, run)
    if planned is None:
        return None
    crashed: list[str] = []
    if planned.state == "planned":
        crashed = yield from _drain(context, run, planned.shards)
    ended = BackupEnded(run.org, run.run, planned.code, crashed)
    closed = yield from insist(context, "close_run", ended.to_json())
    return closed or RunClosed("red", code=steps.CRASHED).to_json()


def drain_lane(context: DurableOrchestrationContext) -> Story:
    """Drains its share of the shards, one step at a time: Lane in, LaneEnded out."""
    lane = Lane.from_json(context.get_input())
    for _ in range(STEPS_PER_GENERATION):
        if lane.turns:
            lane = yield from _take_turn(context, lane)
        elif lane.shard < lane.shards:
            lane = yield from _open_shard(context, lane)
        else:
            return LaneEnded(lane.crashed).to_json()
    context.continue_as_new(lane.to_json())
    return None


# --- The run ---


def _plan(
    context: DurableOrchestrationContext, run: BackupRun
) -> Generator[Any, Any, Planned | None]:
    """The plan, however many steps and pauses it takes; None where the story continues as new."""
    waits = run.waits
    for _ in range(STEPS_PER_GENERATION):
        answer = yield from attempt(context.call_activity("plan_backup", run.to_json()))
        if answer is None:
            return Planned("failed", code=steps.CRASHED)
        planned = Planned.from_json(answer)
        if planned.state != "throttled":
            return planned
        waits = 0 if planned.code == PLANNING else waits + 1  # a step that got on is no wait
        if waits > steps.WAITS_MAX:
            return Planned("failed", code=steps.THROTTLED_TOO_LONG)
        yield steps.pause(context, steps.wait_s(planned.retry_after_s, waits - 1))
    context.continue_as_new(replace(run, waits=waits).to_json())
    return None


def _drain(
    context: DurableOrchestrationContext, run: BackupRun, shards: int
) -> Generator[Any, Any, list[str]]:
    """Runs the lanes of a run side by side and answers what they gave up."""
    lanes = min(run.steps_at_once, shards)
    context.set_custom_status({"shards": shards, "lanes": lanes})
    starts = [Lane(run.org, run.run, first, lanes, shards) for first in range(lanes)]
    answers = yield from run_wave(
        context,
        [
            context.call_sub_orchestrator(
                "drain_lane", lane.to_json(), instance_id=f"{run.run}-lane-{lane.shard}"
            )
            for lane in starts
        ],
    )
    crashed: list[str] = []
    for number, answer in enumerate(answers):
        if answer is None:
            crashed.append(f"lane/{number}: {steps.CRASHED}")
        else:
            crashed += LaneEnded.from_json(answer).crashed
    return crashed


# --- The lane ---


def _open_shard(context: DurableOrchestrationContext, lane: Lane) -> Generator[Any, Any, Lane]:
    """Asks for the resources of the lane's next shard."""
    shard = Shard(lane.org, lane.run, lane.shard)
    opened = replace(lane, shard=lane.shard + lane.lanes)
    answer = yield from insist(context, "shard_resources", shard.to_json())
    if answer is None:
        return _given_up(opened, f"shard/{shard.shard}", steps.CRASHED)
    return replace(opened, turns=[Turn(drain).to_json() for drain in answer["drains"]])


def _take_turn(context: DurableOrchestrationContext, lane: Lane) -> Generator[Any, Any, Lane]:
    """One step for the first resource that need not wait; when all have to, for the one due first.

    What has more to copy goes to the back, so that a huge mailbox does not hold up small ones.
    """
    turns = [Turn.from_json(turn) for turn in lane.turns]
    now = iso(context.current_utc_datetime)
    ready = [turn for turn in turns if turn.not_before <= now]
    turn = ready[0] if ready else min(turns, key=lambda one: one.not_before)
    if not ready:
        yield context.create_timer(parse_iso(turn.not_before))
    turns.remove(turn)
    answer = yield from attempt(context.call_activity("drain", turn.drain))
    rest = replace(lane, turns=[one.to_json() for one in turns])
    name = f"{turn.drain['service']}/{turn.drain['resource']}"
    if answer is None:
        return _given_up(rest, name, steps.CRASHED)
    drained = Drained.from_json(answer)
    match drained.state:
        case "more":
            return _queued(rest, Turn(turn.drain))
        case "throttled" if turn.waits < steps.WAITS_MAX:
            until = _until(context, steps.wait_s(drained.retry_after_s, turn.waits))
            return _queued(rest, Turn(turn.drain, until, turn.waits + 1))
        case "throttled":
            return _given_up(rest, name, steps.THROTTLED_TOO_LONG)
        case "cancelled":
            return replace(rest, turns=[], shard=lane.shards)
        case _:  # done, unchanged, gone, failed: the step has written it down
            return rest


def _queued(lane: Lane, turn: Turn) -> Lane:
    return replace(lane, turns=[*lane.turns, turn.to_json()])


def _given_up(lane: Lane, name: str, code: str) -> Lane:
    return replace(lane, crashed=[*lane.crashed, f"{name}: {code}"])


def _until(context: DurableOrchestrationContext, seconds: float) -> str:
    wait = timedelta(seconds=1 + seconds)  # iso() cuts fractions
    return iso(context.current_utc_datetime + wait)
