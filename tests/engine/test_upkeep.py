"""What the timer tidies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from base.messages import ExportRun
from engine import export, restore_plan, runs, upkeep
from engine.restore_plan import RestoreRequest
from tests.engine.world import ORG, World, calm_tenant, world


@pytest.fixture
def backed_up(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=8), tmp_path) as made:
        made.back_up()
        yield made


def exported(made: World) -> str:
    body = {"service": "mail", "resource": made.mailbox_id}
    request = runs.request_export(made.app, ORG, "test", body)
    export.write_export(made.app, ExportRun(ORG, request.id))
    export.close_export(made.app, ExportRun(ORG, request.id))
    return request.id


def test_an_archive_expires_with_its_bytes_and_then_says_so(backed_up: World) -> None:
    run = exported(backed_up)
    assert b"".join(export.read_archive(backed_up.app, ORG, run)).startswith(b"PK")
    ended = backed_up.app.clock.now() - upkeep.EXPORTS_LIVE - timedelta(seconds=1)
    backed_up.app.runs.change(ORG, run, lambda one: replace(one, ended=ended))

    upkeep.tend(backed_up.app)

    with pytest.raises(export.ExportMissing):
        export.find_archive(backed_up.app, ORG, run)
    assert list(backed_up.app.store_counts(ORG).list("x/")) == []


def test_a_fresh_archive_stays(backed_up: World) -> None:
    run = exported(backed_up)
    upkeep.tend(backed_up.app)
    assert export.find_archive(backed_up.app, ORG, run).items > 0


def test_a_run_without_a_heartbeat_for_hours_ends_red_and_frees_its_lease(
    backed_up: World,
) -> None:
    request = runs.request_backup(backed_up.app, ORG, "test")
    runs.started(backed_up.app, ORG, request.id)
    silent = backed_up.app.clock.now() - upkeep.STALLED_AFTER - timedelta(seconds=1)
    backed_up.app.runs.change(ORG, request.id, lambda one: replace(one, heartbeat=silent))

    upkeep.tend(backed_up.app)

    shown = runs.show(backed_up.app, ORG, request.id)
    assert (shown["state"], shown["code"]) == ("red", upkeep.STALLED)
    runs.request_backup(backed_up.app, ORG, "test")


def test_a_restore_written_down_and_never_started_is_found(backed_up: World) -> None:
    wanted, counted = restore_plan.prepare(
        backed_up.app, ORG, RestoreRequest(service="mail", resource=backed_up.mailbox_id)
    )
    request = runs.request_restore(backed_up.app, ORG, "test", wanted, counted)
    assert upkeep.forgotten(backed_up.app) == []  # somebody may be about to start it
    long_ago = backed_up.app.clock.now() - upkeep.FORGOTTEN_AFTER - timedelta(seconds=1)
    backed_up.app.runs.change(ORG, request.id, lambda one: replace(one, requested=long_ago))

    assert upkeep.forgotten(backed_up.app) == [("restore_items", request.message)]

    backed_up.finish_restore(request.id)
    assert upkeep.forgotten(backed_up.app) == []
