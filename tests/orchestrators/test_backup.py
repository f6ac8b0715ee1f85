"""The backup story, told on the real local host with scripted steps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from local import replay_events
from orchestrators.steps import STEPS_PER_GENERATION, WAITS_MAX
from tests.orchestrators.fake_steps import START, Stage, Tenant, counted, said, throttled

RUN = {"org": "contoso", "run": "run-1", "steps_at_once": 3}


def told(tenant: Tenant, **options: Any) -> Stage:
    stage = Stage(tenant.steps(), **options)
    stage.start("backup_organization", RUN)
    stage.play()
    return stage


def test_a_backup_plans_drains_every_resource_and_closes() -> None:
    tenant = Tenant([["mail/a", "drive/b"], ["mail/c"]])
    stage = told(tenant)
    assert stage.output() == {"state": "green", "counts": {}}
    assert tenant.asked[0] == ("plan_backup", "run-1")
    assert tenant.asked[-1] == ("close_run", "run-1")
    assert sorted(tenant.drains()) == ["drive/b", "mail/a", "mail/c"]


def test_a_resource_with_more_to_copy_is_asked_again_behind_the_others() -> None:
    tenant = Tenant([["mail/huge", "mail/small"]], {"mail/huge": ["more", "more", "done"]})
    told(tenant)
    assert tenant.drains() == ["mail/huge", "mail/small", "mail/huge", "mail/huge"]


def test_a_throttled_resource_waits_while_others_go_on() -> None:
    tenant = Tenant([["mail/slow", "mail/quick"]], {"mail/slow": [throttled(600)]})
    stage = told(tenant)
    assert tenant.drains() == ["mail/slow", "mail/quick", "mail/slow"]
    assert 600 <= (stage.clock.moment - START).total_seconds() < 610


def test_resources_that_wait_do_not_starve_behind_those_with_more() -> None:
    tenant = Tenant(
        [["mail/slow", "mail/huge"]], {"mail/slow": [throttled(0)], "mail/huge": ["more"] * 3000}
    )
    stage = Stage(tenant.steps())
    stage.start("backup_organization", RUN)
    for _ in range(3000):
        stage.clock.sleep(1)
        stage.round()
        if tenant.drains().count("mail/slow") == 2:
            return
    pytest.fail("the throttled resource never got its turn")


def test_one_throttled_for_ever_is_given_up_and_named() -> None:
    tenant = Tenant([["mail/never"]], {"mail/never": [throttled(10)] * 1000})
    stage = told(tenant)
    assert len(tenant.drains()) == WAITS_MAX + 1
    assert tenant.closed is not None
    assert tenant.closed["crashed"] == ["mail/never: throttled-too-long"]
    assert stage.output()["state"] == "red"


def test_a_step_that_raises_is_written_down_and_the_run_goes_on() -> None:
    tenant = Tenant([["mail/bad", "mail/good"]], {"mail/bad": [ValueError("a secret subject")]})
    stage = told(tenant)
    assert "mail/good" in tenant.drains()
    assert tenant.closed is not None
    assert tenant.closed["crashed"] == ["mail/bad: step-crashed"]
    assert stage.output()["state"] == "red"


@pytest.mark.parametrize("state", ["failed", "gone", "unchanged"])
def test_expected_outcomes_of_a_resource_do_not_touch_the_others(state: str) -> None:
    tenant = Tenant([["mail/a", "mail/b"]], {"mail/a": [{"state": state, "code": "x"}]})
    stage = told(tenant)
    assert tenant.drains() == ["mail/a", "mail/b"]
    assert stage.output()["state"] == "green"


def test_a_cancelled_run_takes_no_more_steps_and_is_closed() -> None:
    tenant = Tenant([["mail/a", "mail/b"]] * 6, {"mail/a": ["cancelled"] * 6})
    told(tenant)
    assert tenant.drains() == ["mail/a"] * 3  # each lane asks once
    assert tenant.asked[-1] == ("close_run", "run-1")


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"state": "failed", "code": "bad-secret"}, "bad-secret"),
        ({"state": "busy", "code": "busy"}, "busy"),
        (RuntimeError("boom"), "step-crashed"),
    ],
)
def test_a_run_that_cannot_be_planned_is_closed_with_the_cause(plan: Any, code: str) -> None:
    tenant = Tenant([["mail/a"]])
    tenant.plan = plan
    told(tenant)
    assert tenant.drains() == []
    assert tenant.closed is not None
    assert tenant.closed["code"] == code


def test_a_plan_that_is_told_to_wait_is_made_after_the_pause() -> None:
    tenant = Tenant([["mail/a"]])
    wait = {"state": "throttled", "code": "throttled", "retry_after_s": 90.0}
    tenant.plan = [wait, wait, {"state": "planned", "shards": 1}]
    told(tenant)
    assert [name for name, _ in tenant.asked[:3]] == ["plan_backup"] * 3
    assert tenant.drains() == ["mail/a"]


def test_a_plan_that_is_told_to_wait_for_ever_is_given_up() -> None:
    tenant = Tenant([["mail/a"]])
    tenant.plan = {"state": "throttled", "code": "throttled", "retry_after_s": 1.0}
    told(tenant)
    assert tenant.closed is not None
    assert tenant.closed["code"] == "throttled-too-long"


def test_a_run_without_resources_is_closed_at_once() -> None:
    tenant = Tenant([])
    assert told(tenant).output()["state"] == "green"


def test_closing_is_tried_again_and_a_run_never_hangs() -> None:
    tenant = Tenant([["mail/a"]])
    tries: list[dict[str, Any]] = []

    def close_run(request: dict[str, Any]) -> dict[str, Any]:
        tries.append(request)
        raise ValueError

    stage = Stage({**tenant.steps(), "close_run": close_run})
    stage.start("backup_organization", RUN)
    stage.play()
    assert len(tries) == 3
    assert stage.output()["state"] == "red"


def test_a_lane_that_is_lost_does_not_take_the_run_with_it() -> None:
    tenant = Tenant([["mail/a"], ["mail/b"], ["mail/c"]])
    stage = Stage(tenant.steps())
    stage.start("backup_organization", RUN)
    stage.round()
    stage.host.tell()
    assert stage.host.post("run-1-lane-1", replay_events.terminated(stage.clock.now(), "lost"))
    stage.play()
    assert tenant.closed is not None
    assert tenant.closed["crashed"] == ["lane/1: step-crashed"]


@pytest.mark.parametrize("seed", range(5))
def test_never_more_steps_at_once_than_asked_for_and_never_needlessly_fewer(seed: int) -> None:
    chains = [[f"mail/{shard}-{n}" for n in range(3)] for shard in range(12)]
    script: dict[str, list[Any]] = {chain: ["more"] * (seed + 1) for chain, *_ in chains}
    tenant = Tenant(chains, script)
    stage = told(tenant, seed=seed)
    assert stage.at_once == 3
    asked = counted(tenant.drains())
    assert len(asked) == 36
    assert all(asked[chain] == seed + 2 for chain in script)


@pytest.mark.parametrize("seed", range(3))
def test_every_step_run_twice_gives_the_same_end(seed: int) -> None:
    def ask(twice: bool) -> tuple[Any, set[str]]:
        tenant = Tenant([["mail/a", "mail/b"], ["mail/c", "drive/d"]])
        stage = told(tenant, seed=seed, twice=twice)
        return stage.output(), set(tenant.drains())

    assert ask(twice=True) == ask(twice=False)


def test_histories_stay_short_however_many_steps_a_lane_takes() -> None:
    tenant = Tenant(
        [["mail/a", "mail/b"]],
        {"mail/a": [*(["more", throttled(5)] * STEPS_PER_GENERATION)], "mail/b": ["more"] * 20},
    )
    stage = told(tenant)
    longest = max(len(episode.history) for episode, _, _ in stage.instances.told)
    assert longest < 500
    lane = stage.instances.find("run-1-lane-0")
    assert lane is not None
    assert lane.generation > 2
    assert stage.output()["state"] == "green"


class Spent(Tenant):
    """Until a moment everything of SharePoint is asked to wait a minute, as when the day's budget
    is spent.
    """

    def __init__(self, shards: list[list[str]], hours: float) -> None:
        super().__init__(shards)
        self.until = START + timedelta(hours=hours)
        self.stage: Stage | None = None

    def drain(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super().drain(request)
        return throttled(60) if self.spent(request["service"]) else answer

    def plan_backup(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super().plan_backup(request)
        waiting = {"state": "throttled", "code": "throttled", "retry_after_s": 60.0}
        return waiting if self.spent("plan") else answer

    def spent(self, service: str) -> bool:
        assert self.stage is not None
        return service in ("drive", "plan") and self.stage.clock.moment < self.until

    def tell(self) -> Stage:
        self.stage = Stage(self.steps())
        self.stage.start("backup_organization", RUN)
        self.stage.play()
        return self.stage


def test_a_budget_that_is_spent_till_the_evening_is_waited_for_and_seldom_asked() -> None:
    tenant = Spent([["drive/a", "mail/b"], ["drive/c"]], hours=0)
    tenant.until = START + timedelta(hours=23)
    tenant.plan_backup = lambda request: said(tenant.plan)  # type: ignore[method-assign]
    stage = tenant.tell()
    assert tenant.closed is not None
    assert tenant.closed["crashed"] == []
    assert stage.output()["state"] == "green"
    assert tenant.drains().count("drive/a") < 80  # not 1,380 times, once a minute
    assert stage.clock.moment - tenant.until < timedelta(minutes=40)


def test_a_plan_waits_for_the_budget_too_over_several_histories() -> None:
    tenant = Spent([["mail/a"]], hours=23)
    stage = tenant.tell()
    assert tenant.drains() == ["mail/a"]
    assert stage.output()["state"] == "green"
    assert max(len(episode[0].history) for episode in stage.instances.told) < 500


def test_a_plan_that_gets_on_is_never_given_up() -> None:
    tenant = Tenant([["mail/a"]])
    on = {"state": "throttled", "code": "planning", "retry_after_s": 5.0}
    tenant.plan = [on] * (WAITS_MAX + 5) + [{"state": "planned", "shards": 1}]
    told(tenant)
    assert tenant.drains() == ["mail/a"]
