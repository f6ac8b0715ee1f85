"""A tenant that gives applications no tasks: coverage says so, and no run ends amber for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from engine import coverage, ledger, policies
from tests.engine.world import ORG, World, calm_tenant, world

Answer = Literal["unauthorized", "forbidden"]
ANSWERS: tuple[Answer, ...] = ("unauthorized", "forbidden")


@pytest.mark.parametrize("answer", ANSWERS)
def test_refused_tasks_are_a_row_of_coverage_and_the_run_is_green(
    tmp_path: Path, answer: Answer
) -> None:
    with people(tmp_path) as made:
        made.tenant.quirks.todo_for_applications = answer
        run = made.back_up()

        assert run["state"] == "green", run
        assert _reasons(made) == {"refused-by-tenant"}
        assert coverage.statement(made.app, ORG)["reasons"]["refused-by-tenant"] == len(
            made.tenant.mailboxes
        )
        rows, _ = ledger.listed(made.app, ORG)
        assert not [row for row in rows if row["service"] == "tasks"]
        assert made.mail_in_vault() == made.mail_in_tenant()


def test_a_tenant_that_begins_to_refuse_keeps_what_was_copied_before(tmp_path: Path) -> None:
    with people(tmp_path) as made:
        made.back_up()
        held = _tasks(made)
        assert held
        made.tenant.quirks.todo_for_applications = "forbidden"
        assert made.back_up()["state"] == "green"
        assert _reasons(made) == {"refused-by-tenant"}
        assert _tasks(made) == held


def test_refusing_one_service_says_nothing_about_the_others(tmp_path: Path) -> None:
    with people(tmp_path) as made:
        made.tenant.quirks.todo_for_applications = "unauthorized"
        made.back_up()
        states = {row.service: row.state for row in made.app.resources.all(ORG)}
        assert states["mail"] == states["contacts"] == "protected"


@contextmanager
def people(folder: Path) -> Iterator[World]:
    """A tenant whose mail, contacts and tasks are protected."""
    with world(calm_tenant(seed=5), folder) as made:
        policies.change(made.app, ORG, {"services": ["mail", "contacts", "tasks"]}, 1)
        yield made


def _reasons(made: World) -> set[str]:
    return {row.reason for row in made.app.resources.all(ORG) if row.service == "tasks"}


def _tasks(made: World) -> list[tuple[str, str]]:
    view = made.view("tasks", made.mailbox_id)
    return sorted((entry.id, entry.name) for entry in view.catalog.items())
