"""Live counts against stored ones: a change that a feed forgot is found and mended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base.clock import SystemClock
from base.errors import Problem, Throttled
from engine import reconcile
from engine.assembly import App
from m365.graph.errors import TransientFailure
from m365.service import LiveCount
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, world


class Later(SystemClock):
    """Days on."""

    def __init__(self, days: float) -> None:
        super().__init__()
        self._days = days

    def now(self) -> datetime:
        return super().now() + timedelta(days=self._days)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=3), tmp_path) as it:
        it.back_up()
        it.back_up()  # counts for the first time
        yield it


def days_later(made: World, days: float) -> World:
    settings = settings_for(made.running, made.folder, cursor_refresh_days=1000)
    app = App(settings, clock=Later(days), scrypt_n=SCRYPT_N)
    return World(app, made.running)


def lose_a_message(made: World) -> str:
    """One goes, and its folder's feed will never tell; its id."""
    mailbox = made.mailbox
    with made.tenant.lock:
        folder = mailbox.folder("inbox")
        number, message = next(iter(folder.messages.items()))
        lost = mailbox.message_id(message, immutable=True)
        mailbox.delete_message(message, for_good=True)
        folder.log.forget(number)
    return lost


def heads(made: World) -> int:
    row = made.app.resources.get(ORG, "mail", made.mailbox_id)
    assert row is not None
    return row.head


def test_a_deletion_that_the_feed_forgot_is_found_by_the_weekly_count(made: World) -> None:
    lost = lose_a_message(made)
    assert days_later(made, 1).back_up()["state"] == "green"
    assert lost in made.mail_in_vault()  # nobody has told

    run = days_later(made, 8).back_up()

    assert run["state"] == "green"
    assert lost not in made.mail_in_vault()
    assert made.mail_in_vault() == made.mail_in_tenant()
    made.verify()


def test_a_sweep_downloads_nothing_that_is_stored(made: World) -> None:
    lose_a_message(made)
    mime = made.requests("/$value")

    days_later(made, 8).back_up()

    assert made.requests("/$value") == mime


def test_counts_are_asked_once_a_week_and_change_nothing_where_they_agree(made: World) -> None:
    head = heads(made)
    spent = []
    for days in (1, 6.9, 7.1, 8):
        before = made.requests("mailFolders")
        days_later(made, days).back_up()
        spent.append(made.requests("mailFolders") - before)

    assert spent[0] == spent[1] == spent[3]
    assert spent[2] > spent[0]
    assert heads(made) == head


def test_a_tenant_that_counts_otherwise_is_swept_once_and_then_believed(made: World) -> None:
    with made.tenant.lock:
        made.mailbox.folder("inbox").uncounted = 3
    days_later(made, 8).back_up()
    swept = heads(made)
    row = made.app.resources.get(ORG, "mail", made.mailbox_id)
    assert row is not None
    assert list(row.drift.values()) == [3]

    days_later(made, 16).back_up()

    assert heads(made) == swept


class Untold:
    """A source whose tenant does not tell its counts."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def counts(self) -> Iterator[LiveCount]:
        yield LiveCount("folder:a", "a", 1)
        raise self._problem


def test_counts_that_are_not_told_are_no_reason_to_fail_a_backup() -> None:
    source: Any = Untold(TransientFailure("no", status_code=500))
    assert reconcile.live(source) is None


def test_a_pause_is_kept_while_counting() -> None:
    source: Any = Untold(Throttled("later", 60))
    with pytest.raises(Throttled):
        reconcile.live(source)
