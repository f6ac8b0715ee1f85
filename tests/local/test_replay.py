"""The walk of the local host against the real SDK: ids, any-of, all-of, events, timers, ends."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.stories import StoryState
from local import replay_events
from tests.orchestrators.fake_steps import Stage

Story = Generator[Any, Any, Any]


def stage_of(story: Any, *more: Any, seed: int = 0, **steps: Any) -> Stage:
    stage = Stage(
        {"echo": lambda request: request, "crash": _crash, **steps}, (story, *more), seed=seed
    )
    stage.start(story.__name__, {"n": 1})
    return stage


def _crash(request: Any) -> Any:
    raise ValueError("a secret subject")


def raise_event(stage: Stage, name: str, value: Any) -> None:
    text = json.dumps(json.dumps(value))
    assert stage.host.post("run-1", replay_events.event_raised(stage.clock.now(), name, text))


def scheduled(stage: Stage) -> list[int]:
    """Ids of all tasks in the order in which the host began them."""
    kinds = replay_events.SCHEDULED
    history = stage.instances.history("run-1")
    return [event["EventId"] for event in history if event["EventType"] in kinds]


def test_a_window_refilled_by_any_of_waits_for_its_newest_task_as_in_azure() -> None:
    """Why orchestrators/waves.py starts waves whole: the third task is decided and not begun."""

    def refills(context: Any) -> Story:
        first = [context.call_activity("echo", n) for n in range(2)]
        done = yield context.task_any(first)
        first.remove(done)
        window = [*first, context.call_activity("echo", 2)]
        done = yield context.task_any(window)
        window.remove(done)
        yield context.task_any([*window, context.call_activity("echo", 3)])

    stage = stage_of(refills)
    first, second = stage.host.tell()
    stage.host.take(first)
    (third,) = stage.host.tell()[-1:]
    stage.host.take(second)  # the story goes on and asks for a fourth step …
    stage.host.tell()
    assert scheduled(stage) == [0, 1, 2]  # … which the host does not begin,
    stage.host.take(third)
    stage.host.tell()
    assert scheduled(stage) == [0, 1, 2, 3]  # before the third has ended


def test_all_of_waits_for_every_part_before_the_next_step_even_when_one_failed() -> None:
    def story(context: Any) -> Story:
        try:
            yield context.task_all([context.call_activity("crash"), context.call_activity("echo")])
        except Exception:
            return (yield context.call_activity("echo", "after"))

    stage = stage_of(story)
    bad, good = stage.host.tell()
    stage.host.take(bad)
    stage.host.tell()
    assert scheduled(stage) == [0, 1]
    stage.host.take(good)
    stage.waiting = stage.host.tell()[-1:]
    assert scheduled(stage) == [0, 1, 2]
    stage.play()
    assert stage.output() == "after"


def test_a_story_ends_only_when_no_task_of_it_is_open() -> None:
    def story(context: Any) -> Story:
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield context.task_any([timer, context.call_activity("echo", 1)])
        return "early"

    stage = stage_of(story)
    stage.host.take(stage.host.tell()[0])
    stage.host.tell()
    assert stage.state() is StoryState.RUNNING
    stage.play()
    assert stage.output() == "early"


def test_a_cancelled_timer_holds_nobody_up() -> None:
    def story(context: Any) -> Story:
        timer = context.create_timer(context.current_utc_datetime + timedelta(days=1))
        task = context.call_activity("echo", 1)
        done = yield context.task_any([timer, task])
        assert done is task
        timer.cancel()
        return (yield context.call_activity("echo", "after"))

    stage = stage_of(story)
    begun = stage.clock.moment
    for _ in range(2):
        stage.host.take(stage.host.tell()[-1])
    stage.host.tell()
    assert stage.output() == "after"
    assert stage.clock.moment - begun < timedelta(minutes=1)


@pytest.mark.filterwarnings("ignore:Potential duplicate")  # how the SDK calls an early event
def test_events_reach_the_story_before_and_after_it_waits() -> None:
    def story(context: Any) -> Story:
        yield context.call_activity("echo", 1)
        first = yield context.wait_for_external_event("early")
        second = yield context.wait_for_external_event("late")
        return [json.loads(first), json.loads(second)]

    stage = stage_of(story)
    raise_event(stage, "early", {"by": "a"})
    stage.play()
    assert stage.state() is StoryState.RUNNING
    raise_event(stage, "late", {"by": "b"})
    stage.play()
    assert stage.output() == [{"by": "a"}, {"by": "b"}]


@pytest.mark.filterwarnings("ignore:Potential duplicate")
def test_an_early_event_answers_every_later_wait_of_its_name() -> None:
    """A trap of the SDK, 1.7: it keeps the early event. Wait once for a name, or take new names."""

    def story(context: Any) -> Story:
        yield context.call_activity("echo", 1)
        first = yield context.wait_for_external_event("approval")
        second = yield context.wait_for_external_event("approval")
        return [json.loads(first), json.loads(second)]

    stage = stage_of(story)
    raise_event(stage, "approval", "a")
    stage.host.take(stage.host.tell()[0])
    stage.host.tell()
    (_, _, verdict) = stage.instances.told[-1]
    assert verdict.output == ["a", "a"]
    assert not verdict.ended  # the host still waits for the second: nobody would ever see the end


def test_an_event_can_win_against_a_timer() -> None:
    def story(context: Any) -> Story:
        timer = context.create_timer(context.current_utc_datetime + timedelta(days=7))
        event = context.wait_for_external_event("approval")
        winner = yield context.task_any([event, timer])
        if winner is event:
            timer.cancel()
            return "approved"
        return "expired"

    stage = stage_of(story)
    stage.host.tell()
    raise_event(stage, "approval", True)
    stage.host.tell()
    assert stage.output() == "approved"

    late = stage_of(story)
    late.play()
    assert late.output() == "expired"


def test_continuing_as_new_forgets_the_past_and_keeps_the_id() -> None:
    def story(context: Any) -> Story:
        left = context.get_input()["n"]
        yield context.call_activity("echo", left)
        if left == 4:
            return "over"
        context.continue_as_new({"n": left + 1})

    stage = stage_of(story)
    stage.play()
    assert stage.output() == "over"
    known = stage.instances.find("run-1")
    assert known is not None
    assert (known.generation, known.input) == (4, '{"n": 1}')
    assert scheduled(stage) == [0]


def test_an_event_for_a_story_that_begins_anew_is_not_lost() -> None:
    def story(context: Any) -> Story:
        if context.get_input()["n"] == 1:
            yield context.call_activity("echo", 1)
            context.continue_as_new({"n": 2})
        else:
            return (yield context.wait_for_external_event("approval"))

    stage = stage_of(story)
    stage.host.take(stage.host.tell()[0])
    stage.host.tell()
    raise_event(stage, "approval", "yes")
    stage.play()
    assert json.loads(stage.output()) == "yes"


def test_a_story_in_a_story_answers_or_fails() -> None:
    def parent(context: Any) -> Story:
        good = yield context.call_sub_orchestrator("child", {"crash": False})
        try:
            yield context.call_sub_orchestrator("child", {"crash": True}, instance_id="mine")
        except Exception:
            return [good, "failed", context.instance_id]

    def child(context: Any) -> Story:
        request = context.get_input()
        yield context.call_activity("crash" if request["crash"] else "echo", request)
        return context.parent_instance_id

    stage = stage_of(parent, child)
    stage.play()
    assert stage.output() == ["run-1", "failed", "run-1"]
    assert stage.state("run-1:1:0") is StoryState.COMPLETED
    assert stage.state("mine") is StoryState.FAILED


def test_two_stories_in_a_story_may_not_share_an_id() -> None:
    def parent(context: Any) -> Story:
        answers = []
        for _ in range(2):
            task = context.call_sub_orchestrator("child", {}, instance_id="same")
            try:
                answers.append((yield task))
            except Exception:
                answers.append("refused")
        return answers

    def child(context: Any) -> Story:
        yield context.call_activity("echo", 1)
        return "fine"

    stage = stage_of(parent, child)
    stage.play()
    assert stage.output() == ["fine", "refused"]


def test_a_story_that_raises_has_failed_and_says_why() -> None:
    def story(context: Any) -> Story:
        yield context.call_activity("echo", 1)
        raise RuntimeError("no way on")

    stage = stage_of(story)
    stage.play()
    known = stage.instances.find("run-1")
    assert known is not None
    assert (known.state, known.output) == (StoryState.FAILED, '"no way on"')


def test_what_a_crashed_step_said_is_not_kept() -> None:
    def story(context: Any) -> Story:
        yield context.call_activity("crash", 1)

    stage = stage_of(story)
    stage.play()
    assert stage.state() is StoryState.FAILED
    assert "secret" not in json.dumps(stage.instances.history("run-1"))


def test_custom_status_is_kept_while_and_after_the_story_runs() -> None:
    def story(context: Any) -> Story:
        context.set_custom_status({"done": 1})
        yield context.call_activity("echo", 1)
        context.set_custom_status({"done": 2})
        return None

    stage = stage_of(story)
    stage.host.tell()
    seen = [json.loads(stage.instances.find("run-1").custom or "")]  # type: ignore[union-attr]
    stage.waiting = stage.instances.work()
    stage.play()
    seen.append(json.loads(stage.instances.find("run-1").custom or ""))  # type: ignore[union-attr]
    assert seen == [{"done": 1}, {"done": 2}]


def test_a_story_that_changed_under_way_fails_instead_of_doing_something_else() -> None:
    step = ["echo"]

    def story(context: Any) -> Story:
        yield context.call_activity(step[0], 1)
        yield context.call_activity("echo", 2)

    stage = stage_of(story)
    stage.host.take(stage.host.tell()[0])
    step[0] = "crash"
    stage.host.tell()
    known = stage.instances.find("run-1")
    assert known is not None
    assert known.state is StoryState.FAILED
    assert "no longer does what it did" in (known.output or "")


def test_a_story_with_durable_retries_is_refused() -> None:
    import azure.durable_functions as df

    def story(context: Any) -> Story:
        yield context.call_activity_with_retry("echo", df.RetryOptions(1000, 3), 1)

    stage = stage_of(story)
    stage.play()
    assert stage.state() is StoryState.FAILED


@pytest.mark.parametrize("text", ['{"n": 1}', '"words"', "null", "[1, 2]"])
def test_input_arrives_as_it_was_sent(text: str) -> None:
    def story(context: Any) -> Story:
        yield context.call_activity("echo", context.get_input())
        return context.get_input()

    stage = Stage({"echo": lambda request: request}, (story,))
    stage.host.create("story", text, "run-1")
    stage.play()
    assert stage.output() == json.loads(text)


# --- Whatever a story does, host and SDK count alike ---

LEAF = st.sampled_from(["echo", "crash", "timer", "child"])
MOVE = st.tuples(st.sampled_from(["one", "any", "all", "wave"]), st.lists(LEAF, min_size=1))


@given(moves=st.lists(MOVE, min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_any_mix_of_tasks_comes_to_its_end_without_losing_step(moves: Any, seed: int) -> None:
    def story(context: Any) -> Story:
        seen = []
        for number, (how, leaves) in enumerate(moves):
            tasks = [_begin(context, leaf, (number, place)) for place, leaf in enumerate(leaves)]
            whole = {"any": context.task_any, "all": context.task_all}.get(how)
            if whole is not None:
                tasks = [whole(tasks)]
            elif how == "wave":
                yield context.task_any(tasks)
            for task in tasks:
                try:
                    answer = yield task
                except Exception:
                    answer = "failed"
                seen.append(answer if how in ("one", "wave") else None)
        return seen

    def child(context: Any) -> Story:
        return (yield context.call_activity("echo", context.get_input()))

    stage = stage_of(story, child, seed=seed)
    stage.play()
    expected = []
    for number, (how, leaves) in enumerate(moves):
        if how in ("any", "all"):
            expected.append(None)
            continue
        answers = {"timer": None, "crash": "failed"}
        expected += [answers.get(leaf, [number, place]) for place, leaf in enumerate(leaves)]
    assert stage.output() == expected


def _begin(context: Any, leaf: str, value: Any) -> Any:
    if leaf == "timer":
        return context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    if leaf == "child":
        return context.call_sub_orchestrator("child", list(value))
    return context.call_activity(leaf, list(value))
