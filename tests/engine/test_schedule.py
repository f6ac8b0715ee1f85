"""Schedules: what is due starts once, whatever timers do, in the organization's own time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from base.clock import SystemClock
from base.messages import BackupEnded
from base.settings import Settings
from engine import organizations, policies, runs, schedule
from engine.assembly import App
from tests.engine.world import ORG, SCRYPT_N

NIGHTLY = {"cron": "0 1 * * *", "time_zone": "Europe/Berlin"}


class SetClock(SystemClock):
    """It is the time that the test says."""

    def __init__(self, text: str) -> None:
        self.is_now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def set(self, text: str) -> None:
        self.is_now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def now(self) -> datetime:
        return self.is_now


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-11-24T12:00:00")


def app_of(folder: Path, clock: SetClock) -> App:
    settings = Settings(_env_file=None, data_dir=folder, passphrase=SecretStr("tests only, a lot"))
    return App(settings, clock=clock, scrypt_n=SCRYPT_N)


@pytest.fixture
def app(tmp_path: Path, clock: SetClock) -> App:
    made = app_of(tmp_path, clock)
    take_in(made, ORG)
    return made


def take_in(app: App, org: str) -> None:
    new = organizations.NewOrganization(
        name=org, tenant_id="contoso.example", credential=None, id=org
    )
    organizations.create(app, new)
    follow(app, org, NIGHTLY)


def follow(app: App, org: str, when: dict[str, str] | None, **more: Any) -> str | None:
    """Sets the schedule; answers when the next backup starts."""
    version = policies.show(app, org)["version"]
    document = {**policies.DEFAULT, "schedule": when, **more}
    found: str | None = policies.change(app, org, document, version)["next_run_at"]
    return found


def close(app: App, run: str) -> None:
    runs.close_backup(app, BackupEnded(ORG, run))


def test_nothing_starts_before_its_time_and_then_once(app: App, clock: SetClock) -> None:
    assert schedule.due_backups(app) == []
    clock.set("2026-11-25T00:00:00")  # one o'clock in Berlin

    (run,) = schedule.due_backups(app)
    close(app, run.run)

    assert run.run.startswith("backup-20261125t000000-")
    assert schedule.due_backups(app) == []
    assert policies.show(app, ORG)["next_run_at"] == "2026-11-26T00:00:00+00:00"


def test_missed_times_are_caught_up_once(app: App, clock: SetClock) -> None:
    clock.set("2026-12-01T09:30:00")  # seven nights later

    (run,) = schedule.due_backups(app)
    close(app, run.run)

    assert schedule.due_backups(app) == []
    assert policies.show(app, ORG)["next_run_at"] == "2026-12-02T00:00:00+00:00"
    assert len(runs.listed(app, ORG)[0]) == 1


def test_two_timers_at_once_make_one_run(app: App, clock: SetClock, tmp_path: Path) -> None:
    clock.set("2026-11-25T00:00:00")
    timers = [app, app_of(tmp_path, clock)]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(schedule.due_backups, timers))

    assert len({run.run for answer in answers for run in answer}) == 1
    assert len(runs.listed(app, ORG)[0]) == 1


def test_a_queued_run_that_nobody_started_is_named_again(app: App, clock: SetClock) -> None:
    request = runs.request_backup(app, ORG, "a person")

    assert [run.run for run in schedule.due_backups(app)] == [request.id]
    runs.started(app, ORG, request.id)
    assert schedule.due_backups(app) == []


def test_a_time_that_comes_while_a_run_is_under_way_is_let_pass(app: App, clock: SetClock) -> None:
    request = runs.request_backup(app, ORG, "a person")
    runs.started(app, ORG, request.id)
    clock.set("2026-11-25T00:00:00")
    runs.keeps_lease(app, ORG, request.id)

    assert schedule.due_backups(app) == []

    assert policies.show(app, ORG)["next_run_at"] == "2026-11-26T00:00:00+00:00"
    assert len(runs.listed(app, ORG)[0]) == 1


def test_a_paused_policy_starts_nothing(app: App, clock: SetClock) -> None:
    assert follow(app, ORG, NIGHTLY, paused=True) is None
    clock.set("2026-12-01T09:30:00")

    assert schedule.due_backups(app) == []

    assert follow(app, ORG, NIGHTLY) == "2026-12-02T00:00:00+00:00"


def test_one_organization_never_holds_up_another(app: App, clock: SetClock) -> None:
    take_in(app, "fabrikam")
    runs.request_backup(app, ORG, "a person")
    clock.set("2026-11-25T00:00:00")

    assert {run.org for run in schedule.due_backups(app)} == {ORG, "fabrikam"}


@pytest.mark.parametrize(
    ("after", "cron", "expected"),
    [
        ("2026-03-28T12:00:00", "30 1 * * *", "2026-03-29T00:30:00+00:00"),  # still winter time
        ("2026-03-29T12:00:00", "30 1 * * *", "2026-03-29T23:30:00+00:00"),  # summer time
        ("2026-10-24T22:00:00", "30 1 * * *", "2026-10-24T23:30:00+00:00"),
        ("2026-10-25T12:00:00", "30 1 * * *", "2026-10-26T00:30:00+00:00"),  # winter again
    ],
)
def test_the_clock_of_the_zone_decides(app: App, after: str, cron: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)

    assert policies.next_start(cron, "Europe/Berlin", moment).isoformat() == expected


@pytest.mark.parametrize("night", ["2026-03-29", "2026-10-25", "2026-11-25"])
def test_a_night_of_changing_clocks_has_one_backup(night: str) -> None:
    """Half past two does not exist in March and comes twice in October."""
    noon = datetime.fromisoformat(f"{night}T12:00:00").replace(tzinfo=UTC)
    at = noon - timedelta(hours=15)
    found = []
    while (at := policies.next_start("30 2 * * *", "Europe/Berlin", at)) < noon:
        found.append(at)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("0 1 * *", "UTC"), ("0 25 * * *", "UTC"), ("0 0 31 2 *", "UTC"), ("0 1 * * *", "Mars/North")],
)
def test_a_schedule_that_never_fires_is_refused(cron: str, zone: str, clock: SetClock) -> None:
    with pytest.raises(policies.PolicyInvalid):
        policies.next_start(cron, zone, clock.now())
