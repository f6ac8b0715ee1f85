"""The local host with its threads, its file, and the Stories port over it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest

from api.azure import DurableStories
from base.clock import SystemClock
from base.stories import StoryExists, StoryMissing, StoryState
from local.host import LocalHost
from local.host_client import LocalClient, RunningHost, run_functions
from local.instances import HostRunning, Instances
from tests.orchestrators.fake_steps import START, JumpingClock, Stage, functions

Story = Generator[Any, Any, Any]
WAIT_S = 20


def echoes(context: Any) -> Story:
    return (yield context.call_activity("echo", context.get_input()))


def waits(context: Any) -> Story:
    context.set_custom_status({"waiting": True})
    return (yield context.wait_for_external_event("approval"))


def fans_out(context: Any) -> Story:
    answers = yield context.task_all([context.call_activity("echo", n) for n in range(40)])
    return sum(answers)


def app(**steps: Any) -> Any:
    made = df.DFApp()
    for story in (echoes, waits, fans_out):
        made.orchestration_trigger(context_name="context")(story)

    def echo(request: Any) -> Any:
        return request

    made.activity_trigger(input_name="request")(steps.get("echo", echo))
    return made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningHost]:
    host = run_functions(app(), tmp_path / "host.db", SystemClock(), steps_at_once=4)
    yield host
    host.stop()


def ended(running: RunningHost, instance: str) -> Any:
    """The status of a story once it has ended."""

    async def ask() -> Any:
        for _ in range(WAIT_S * 200):
            status = await running.stories.status(instance)
            if status is not None and status.state is not StoryState.RUNNING:
                return status
            await asyncio.sleep(0.005)
        raise AssertionError("the story does not end")

    return asyncio.run(ask())


def test_stories_and_steps_run_in_threads(running: RunningHost) -> None:
    asyncio.run(running.stories.start("fans_out", {}, "run-1"))
    status = ended(running, "run-1")
    assert (status.state, status.output) == (StoryState.COMPLETED, sum(range(40)))
    assert (status.id, status.story) == ("run-1", "fans_out")


def test_as_many_steps_run_at_once_as_the_host_was_given_and_no_more(tmp_path: Path) -> None:
    gate = threading.Barrier(3, timeout=WAIT_S)
    busy: set[int] = set()

    def echo(request: Any) -> Any:
        busy.add(threading.get_ident())
        if request < 3:  # passes only when three run side by side
            gate.wait()
        return request

    host = run_functions(app(echo=echo), tmp_path / "host.db", SystemClock(), steps_at_once=3)
    asyncio.run(host.stories.start("fans_out", {}, "run-1"))
    assert ended(host, "run-1").output == sum(range(40))
    assert len(busy) == 3
    host.stop()


def test_a_step_in_flight_when_the_host_stops_runs_again_at_the_next_start(tmp_path: Path) -> None:
    begun, never, calls = threading.Event(), threading.Event(), []

    def echo(request: Any) -> Any:
        calls.append(request)
        begun.set()
        never.wait()
        return request

    first = run_functions(app(echo=echo), tmp_path / "host.db", SystemClock())
    asyncio.run(first.stories.start("echoes", {"n": 1}, "run-1"))
    assert begun.wait(WAIT_S)
    first.stop(grace_s=0.01)
    never.set()
    second = run_functions(app(), tmp_path / "host.db", SystemClock())
    assert ended(second, "run-1").output == {"n": 1}
    second.stop()
    assert calls == [{"n": 1}]


def test_a_second_host_on_the_same_file_is_refused(running: RunningHost, tmp_path: Path) -> None:
    with pytest.raises(HostRunning):
        Instances(tmp_path / "host.db", SystemClock())


def test_a_file_that_is_no_database_is_not_taken_for_a_running_host(tmp_path: Path) -> None:
    (tmp_path / "host.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Instances(tmp_path / "host.db", SystemClock())


# --- The Stories port ---


class Told:
    """A host driven by hand with the port over it."""

    def __init__(self) -> None:
        self.stage = Stage({"echo": lambda request: request}, (echoes, waits))
        client = LocalClient(self.stage.host, self.stage.clock)
        self.stories = DurableStories(lambda: client)

    def start(self, story: str, message: dict[str, Any], instance: str = "run-1") -> None:
        asyncio.run(self.stories.start(story, message, instance))

    def status(self, instance: str = "run-1") -> Any:
        return asyncio.run(self.stories.status(instance))


@pytest.mark.parametrize("finished", [False, True])
def test_the_same_start_again_is_fine_and_runs_nothing_twice(finished: bool) -> None:
    told = Told()
    told.start("echoes", {"n": 1})
    if finished:
        told.stage.play()
    told.start("echoes", {"n": 1})
    told.stage.play()
    assert len(told.stage.instances.told) == 2
    assert told.status().output == {"n": 1}


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(("story", "message"), [("echoes", {"n": 2}), ("waits", {"n": 1})])
def test_another_start_with_an_id_that_is_taken_is_refused(
    finished: bool, story: str, message: dict[str, Any]
) -> None:
    told = Told()
    told.start("echoes", {"n": 1})
    if finished:
        told.stage.play()
    with pytest.raises(StoryExists):
        told.start(story, message)


def test_the_file_itself_refuses_a_start_that_slipped_past_the_first_look() -> None:
    told = Told()
    told.stage.instances.create("run-1", "echoes", '{"n": 1}')
    with pytest.raises(StoryExists):
        told.stage.instances.create("run-1", "echoes", '{"n": 2}')


def test_a_story_nobody_registered_cannot_be_started() -> None:
    with pytest.raises(KeyError):
        Told().start("no_such_story", {})


def test_an_event_wakes_the_story_that_waits_for_it() -> None:
    told = Told()
    told.start("waits", {})
    told.stage.play()
    assert told.status().custom == {"waiting": True}
    asyncio.run(told.stories.raise_event("run-1", "approval", {"by": "somebody"}))
    told.stage.play()
    assert told.status().output == {"by": "somebody"}


def test_events_for_stories_that_are_over_or_never_were_are_refused() -> None:
    told = Told()
    told.start("echoes", {})
    told.stage.play()
    for instance in ("run-1", "run-2"):
        with pytest.raises(StoryMissing):
            asyncio.run(told.stories.raise_event(instance, "approval", 1))
    with pytest.raises(StoryMissing):
        asyncio.run(told.stories.terminate("run-2", "no reason"))


def test_a_terminated_story_stays_so_and_late_answers_change_nothing() -> None:
    told = Told()
    told.start("echoes", {"n": 1})
    (late,) = told.stage.host.tell()
    asyncio.run(told.stories.terminate("run-1", "enough"))
    told.stage.host.tell()
    assert told.status().state is StoryState.TERMINATED
    told.stage.host.take(late)
    told.stage.play()
    assert (told.status().state, told.status().output) == (StoryState.TERMINATED, "enough")
    asyncio.run(told.stories.terminate("run-1", "again"))  # as Azure: gone is fine


def test_purging_forgets_ended_stories_only_and_the_id_is_free_again() -> None:
    told = Told()
    told.start("waits", {})
    told.start("echoes", {"n": 1}, "run-2")
    told.stage.play()
    assert not asyncio.run(told.stories.purge("run-1"))
    assert asyncio.run(told.stories.purge("run-2"))
    assert not asyncio.run(told.stories.purge("run-2"))
    assert told.status("run-2") is None
    told.start("echoes", {"n": 2}, "run-2")
    told.stage.play()
    assert told.status("run-2").output == {"n": 2}


def test_an_answer_to_a_purged_story_does_not_reach_its_namesake() -> None:
    told = Told()
    told.start("echoes", {"n": 1})
    (late,) = told.stage.host.tell()
    asyncio.run(told.stories.terminate("run-1", "enough"))
    told.stage.host.tell()
    asyncio.run(told.stories.purge("run-1"))
    told.start("echoes", {"n": 2})
    fresh = told.stage.host.tell()
    told.stage.host.take(late)
    assert told.stage.host.tell() == []
    told.stage.host.take(fresh[0])
    told.stage.play()
    assert told.status().output == {"n": 2}


def test_old_stories_are_forgotten_with_the_stories_they_started() -> None:
    def parent(context: Any) -> Story:
        return (yield context.call_sub_orchestrator("echoes", 1, instance_id="child"))

    stage = Stage({"echo": lambda request: request}, (parent, echoes, waits))
    stage.start("parent", {}, "old")
    stage.start("waits", {}, "still running")
    stage.play()
    assert stage.instances.purge_ended_before(START) == 0
    assert stage.instances.purge_ended_before(stage.clock.now() + timedelta(days=1)) == 1
    assert [stage.instances.find(name) for name in ("old", "child")] == [None, None]
    assert stage.instances.find("still running") is not None


# --- What the host reads from an app ---


def test_a_step_that_is_not_there_fails_the_call_and_not_the_host() -> None:
    def story(context: Any) -> Story:
        try:
            yield context.call_activity("nowhere", 1)
        except Exception:
            return "failed"

    stage = Stage({}, (story,))
    stage.start("story", {})
    stage.play()
    assert stage.output() == "failed"


def test_a_story_that_left_the_app_fails_where_it_stands(tmp_path: Path) -> None:
    stage = Stage({"echo": lambda request: request}, (echoes,), path=tmp_path / "host.db")
    stage.start("echoes", {})
    stage.instances.close()
    clock = JumpingClock()
    without = LocalHost(functions({}, ()), Instances(tmp_path / "host.db", clock), clock)
    without.tell()
    known = without.instances.find("run-1")
    assert known is not None
    assert known.state is StoryState.FAILED
    without.instances.close()


def test_payloads_that_name_classes_stay_plain_or_are_refused() -> None:
    """Strict typing is on: nothing that travels can make the SDK import and build a class."""
    payload = {"__class__": "Popen", "__module__": "subprocess", "__data__": "{}"}
    stage = Stage({"echo": lambda request: "built"}, (echoes,))
    stage.start("echoes", payload)
    stage.play()
    assert stage.state() is StoryState.FAILED


def test_timer_functions_get_a_request_and_the_local_client() -> None:
    got: list[Any] = []
    made = df.DFApp()

    @made.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")  # type: ignore[untyped-decorator]
    @made.durable_client_input(client_name="client")  # type: ignore[untyped-decorator]
    async def tick(timer: func.TimerRequest, client: Any) -> None:
        got.append((timer.past_due, client))

    from local.host import functions_of

    (timer,) = functions_of(made).timers
    asyncio.run(timer.run(True, "a client"))
    assert (timer.name, timer.schedule, got) == ("tick", "0 */5 * * * *", [(True, "a client")])
