"""Stories are deterministic: told again from any part of their past, they decide the same."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

import orchestrators
from local import replay
from local.replay_events import Kind
from tests import project
from tests.orchestrators.fake_steps import Stage, Tenant, throttled
from tests.orchestrators.test_other_stories import RUN, Script, restore


def backups(seed: int) -> Stage:
    script: dict[str, list[Any]] = {
        "mail/a": ["more", throttled(30), "more", ValueError("boom")],
        "mail/b": [throttled(90)],
        "drive/d": ["more"] * 60,
        "mail/f": ["failed"],
    }
    tenant = Tenant([["mail/a", "mail/b"], ["mail/c", "drive/d"], ["mail/e"], ["mail/f"]], script)
    stage = Stage(tenant.steps(), seed=seed)
    stage.start("backup_organization", {**RUN, "steps_at_once": 3})
    stage.play()
    return stage


def restores(seed: int) -> Stage:
    stage = Stage(restore(52, "more", throttled(9), ValueError(), "failed").steps(), seed=seed)
    stage.start("restore_items", RUN)
    stage.play()
    return stage


def exports(seed: int) -> Stage:
    script = Script(write_export=["more", "more", "done"], close_export=[ValueError(), "done"])
    stage = Stage(script.steps(), seed=seed)
    stage.start("export_items", RUN)
    stage.play()
    return stage


def verifications(seed: int) -> Stage:
    script = Script(verify_slice=["more", ValueError(), "more", "done"])
    stage = Stage(script.steps(), seed=seed)
    stage.start("verify_vault", RUN)
    stage.play()
    return stage


@pytest.mark.parametrize("play", [backups, restores, exports, verifications])
def test_every_prefix_of_history_replays_to_the_same_actions(play: Any) -> None:
    stage = play(1)
    for last, added in _last_episodes(stage):
        handle = stage.functions.stories[last.instance.story]
        history = [*last.history, *added]
        whole = _actions(handle, last.instance, history)
        begun = next(
            n for n, event in enumerate(history) if event["EventType"] == Kind.EXECUTION_STARTED
        )
        for length in range(begun + 1, len(history) + 1):
            part = _actions(handle, last.instance, history[:length])
            assert part == whole[: len(part)]


@pytest.mark.parametrize("play", [backups, restores, exports, verifications])
def test_every_episode_told_again_comes_to_the_same_verdict(play: Any) -> None:
    stage = play(0)
    told = stage.instances.told
    assert len(told) > 5
    for episode, added, verdict in told:
        instance = episode.instance
        handle = stage.functions.stories[instance.story]
        history = [*episode.history, *added]
        assert replay.judge(handle, instance.id, instance.parent, history) == verdict


def _last_episodes(stage: Stage) -> list[tuple[Any, list[Any]]]:
    """The longest history of every generation of every story."""
    last = {
        (episode.instance.id, episode.instance.generation): (episode, added)
        for episode, added, _ in stage.instances.told
    }
    return list(last.values())


def _actions(handle: Any, instance: Any, history: list[Any]) -> list[Any]:
    state = replay._run(handle, replay._context(instance.id, instance.parent, history))
    actions: list[Any] = json.loads(json.dumps(state["actions"][0]))
    return actions


# --- The laws of orchestrators/__init__.py, read in the source ---

FORBIDDEN_CALLS = {
    "task_all": "it fails with its first task; use run_wave",
    "call_activity_with_retry": "its ids drift in 1.x; take the step again",
    "call_sub_orchestrator_with_retry": "its ids drift in 1.x; take the step again",
    "call_http": "only steps reach the network",
    "call_entity": "the local host has no entities",
    "signal_entity": "the local host has no entities",
    "print": "stories are told many times",
    "event": "stories are told many times",
}


def test_stories_keep_to_the_calls_that_are_safe() -> None:
    found = [
        f"{path} calls {name}: {because}"
        for path in project.python_files("orchestrators")
        for name, because in FORBIDDEN_CALLS.items()
        if any(project.calls(project.tree(path), name))
    ]
    assert not found, "\n".join(found)


def test_only_waves_wait_for_any_of_several_tasks() -> None:
    users = [
        path
        for path in project.python_files("orchestrators")
        if any(project.calls(project.tree(path), "task_any"))
    ]
    assert users == ["orchestrators/waves.py"], "a window refilled by task_any starves in Azure"


def test_no_story_reads_the_text_of_an_exception() -> None:
    for path in project.python_files("orchestrators"):
        for node in ast.walk(project.tree(path)):
            if isinstance(node, ast.ExceptHandler):
                assert node.name is None, f"{path}:{node.lineno} looks at an exception"


def test_every_story_takes_the_context_alone_and_has_its_own_name() -> None:
    names = [story.__name__ for story in orchestrators.ALL]
    assert len(set(names)) == len(names)
    for story in orchestrators.ALL:
        assert story.__code__.co_varnames[: story.__code__.co_argcount] == ("context",)
