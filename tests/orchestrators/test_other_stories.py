"""The stories of restores, downloads and verifications, told on the local host."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrators.steps import STEPS_PER_GENERATION, WAITS_MAX
from tests.orchestrators.fake_steps import START, Stage, Step, said, throttled

RUN = {"org": "contoso", "run": "run-1"}


class Script:
    """Steps that answer from a list each, and remember what they were asked."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def steps(self) -> dict[str, Step]:
        return {name: self._step(name) for name in self.answers}

    def _step(self, name: str) -> Step:
        def step(request: dict[str, Any]) -> dict[str, Any]:
            self.asked.append((name, request))
            left = self.answers[name]
            return said(left.pop(0) if len(left) > 1 else left[0])

        return step

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def batches(self) -> list[int]:
        return [request["batch"] for name, request in self.asked if name == "write_batch"]


def told(story: str, script: Script, message: dict[str, Any] | None = None) -> Stage:
    stage = Stage(script.steps())
    stage.start(story, message or RUN)
    stage.play()
    return stage


def restore(batches: int, *written: Any, plan: Any = None) -> Script:
    planned = plan or {"state": "planned", "batches": batches}
    return Script(
        plan_restore=[planned], write_batch=[*written, "done"], close_restore=[{"state": "green"}]
    )


def test_a_restore_plans_writes_every_batch_in_order_and_closes() -> None:
    script = restore(3)
    stage = told("restore_items", script)
    assert script.names() == ["plan_restore", *["write_batch"] * 3, "close_restore"]
    assert script.batches() == [0, 1, 2]
    assert stage.output() == {"state": "green"}


def test_a_batch_with_more_to_write_goes_on_before_the_next() -> None:
    script = restore(2, "more", "more", "done")
    told("restore_items", script)
    assert script.batches() == [0, 0, 0, 1]


def test_a_throttled_restore_waits_as_long_as_it_was_told() -> None:
    script = restore(1, throttled(120), "done")
    stage = told("restore_items", script)
    assert script.batches() == [0, 0]
    assert 120 <= (stage.clock.moment - START).total_seconds() < 130


def test_a_batch_throttled_for_ever_is_given_up_and_counted() -> None:
    script = restore(2, *[throttled(1)] * (WAITS_MAX + 1), "done")
    told("restore_items", script)
    assert script.batches() == [0] * (WAITS_MAX + 1) + [1]
    assert script.asked[-1][1]["crashed"] == 1


@pytest.mark.parametrize(("answer", "crashed"), [(ValueError(), 1), ("failed", 0)])
def test_a_batch_that_fails_does_not_keep_others_from_being_written(
    answer: Any, crashed: int
) -> None:
    script = restore(3, "done", answer, "done")
    told("restore_items", script)
    assert script.batches() == [0, 1, 2]
    assert script.asked[-1][1]["crashed"] == crashed


def test_a_cancelled_restore_writes_no_more_and_is_closed() -> None:
    script = restore(5, "done", "cancelled")
    told("restore_items", script)
    assert script.names() == ["plan_restore", "write_batch", "write_batch", "close_restore"]


@pytest.mark.parametrize(
    ("plan", "code"),
    [(RuntimeError(), "step-crashed"), ({"state": "failed", "code": "no-target"}, "no-target")],
)
def test_a_restore_that_cannot_be_planned_is_closed_with_the_cause(plan: Any, code: str) -> None:
    script = restore(0, plan=plan)
    told("restore_items", script)
    assert script.names() == ["plan_restore", "close_restore"]
    assert script.asked[-1][1]["code"] == code


def test_a_restore_whose_closing_keeps_crashing_ends_red_after_three_tries() -> None:
    script = Script(
        plan_restore=[{"state": "planned", "batches": 0}],
        write_batch=["done"],
        close_restore=[ValueError()],
    )
    stage = told("restore_items", script)
    assert script.names().count("close_restore") == 3
    assert stage.output()["state"] == "red"


def test_a_long_restore_begins_new_histories_and_plans_once() -> None:
    script = restore(STEPS_PER_GENERATION * 3 + 7)
    stage = told("restore_items", script)
    assert script.batches() == list(range(STEPS_PER_GENERATION * 3 + 7))
    assert script.names().count("plan_restore") == 1
    assert max(len(episode.history) for episode, _, _ in stage.instances.told) < 500
    assert stage.output() == {"state": "green"}


def test_a_download_is_written_step_by_step_and_closed() -> None:
    script = Script(write_export=["more", "more", "done"], close_export=["done"])
    stage = told("export_items", script)
    assert script.names() == [*["write_export"] * 3, "close_export"]
    assert stage.output() == {"state": "done"}


@pytest.mark.parametrize("answer", ["failed", ValueError()])
def test_a_download_that_fails_is_closed_too(answer: Any) -> None:
    script = Script(write_export=[answer], close_export=["failed"])
    assert told("export_items", script).output() == {"state": "failed"}
    assert script.names() == ["write_export", "close_export"]


def test_a_long_download_begins_new_histories() -> None:
    script = Script(
        write_export=[*["more"] * (STEPS_PER_GENERATION + 5), "done"], close_export=["done"]
    )
    stage = told("export_items", script)
    assert stage.output() == {"state": "done"}
    known = stage.instances.find("run-1")
    assert known is not None
    assert known.generation == 2


def test_a_verification_hands_each_step_what_the_last_one_said() -> None:
    script = Script(verify_slice=[{"state": "more", "next": "b"}, {"state": "done", "problems": 0}])
    stage = told("verify_vault", script, {**RUN, "read_data": True})
    assert [request.get("next") for _, request in script.asked] == [None, "b"]
    assert all(request["read_data"] for _, request in script.asked)
    assert stage.output() == {"state": "done", "problems": 0}


def test_a_verification_that_keeps_crashing_ends_as_failed() -> None:
    stage = told("verify_vault", Script(verify_slice=[ValueError()]))
    assert stage.output() == {"state": "failed", "code": "step-crashed"}


def test_a_verification_waits_for_a_storage_that_is_busy_and_asks_the_same_slice_again() -> None:
    busy = {"state": "throttled", "next": 3, "retry_after_s": 60.0}
    script = Script(verify_slice=[busy, {"state": "done"}])
    stage = told("verify_vault", script)
    assert [request.get("next") for _, request in script.asked] == [None, 3]
    assert stage.output() == {"state": "done"}
