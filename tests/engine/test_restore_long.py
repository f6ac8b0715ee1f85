"""Restores that take more than one step: batches, histories and long files go on, never anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from base.messages import BatchWritten, RestoreRun, WriteBatch
from engine import policies, restore, runs
from engine.restore_plan import RestoreRequest
from simulator.drive_item import Item
from simulator.drive_upload import uploads
from simulator.filebytes import LiteralBytes, SeededBytes
from tests.engine.mortal import Killed
from tests.engine.test_restore import Place, dying
from tests.engine.world import ORG, app_for, calm_tenant, world

MIB = 1024 * 1024
LONG = 70 * MIB
STEPS_MAX = 200


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Steps are over as soon as they may be."""
    with world(calm_tenant(seed=5), tmp_path, step_seconds=1e-9) as made:
        yield Place(made.app, made.running)


def _long(here: Place) -> Item:
    by, now = {"user": {"displayName": "Somebody"}}, here.tenant.clock.now()
    content = SeededBytes("long", LONG)
    item, _ = here.drive.put_file(here.drive.root, "Long.bin", content, "fail", by, now)
    return item


def _back_up(here: Place) -> None:
    app = app_for(here.running, here.folder)  # a process whose steps last as ever
    Place(app, here.running).back_up()


def _start(here: Place, *items: Item, options: tuple[str, ...] = ()) -> WriteBatch:
    ids = tuple(item.id for item in items)
    wanted = RestoreRequest("drive", here.resource("drive"), items=ids, options=options)
    run = here.start(wanted)
    assert restore.plan_restore(here.app, RestoreRun(ORG, run)).batches == 1
    return WriteBatch(ORG, run, 0)


def _steps(here: Place, batch: WriteBatch) -> list[BatchWritten]:
    found = []
    while not found or found[-1].state == "more":
        found.append(restore.write_batch(here.app, batch))
        assert len(found) < STEPS_MAX
    return found


def _sent(here: Place) -> int:
    return here.tenant.counters.requests["PUT /_api/v2.0/uploadSession/{session}"]


def test_a_batch_goes_on_with_the_item_it_has_come_to(place: Place) -> None:
    files = [item for item in place.drive.living() if item.is_file and item.size][:4]
    _back_up(place)
    batch = _start(place, *files)

    answers = _steps(place, batch)

    assert [one.state for one in answers] == ["more"] * (len(files) - 1) + ["done"]
    assert answers[-1].counts["created"] == len(files)
    assert _sent(place) == len(files)
    rows = place.rows(batch.run)
    assert [row["id"] for row in rows] == [item.id for item in files]
    assert len({row["new_id"] for row in rows}) == len(files)


def test_what_was_written_before_a_restore_was_cancelled_is_reported_and_undone(
    place: Place,
) -> None:
    files = [item for item in place.drive.living() if item.is_file and item.size][:4]
    _back_up(place)
    before = place.ids(place.resource("drive"))
    batch = _start(place, *files)
    for _ in range(2):
        assert restore.write_batch(place.app, batch).state == "more"
    runs.cancel(place.app, ORG, batch.run, "test")
    assert restore.write_batch(place.app, batch).state == "cancelled"

    assert [row["outcome"] for row in place.rows(batch.run)] == ["created"] * 2
    undo = runs.request_undo(place.app, ORG, "test", batch.run)
    assert place.finish_restore(undo.id)["counts"]["removed"] == 2
    assert place.ids(place.resource("drive")) == before


def test_a_history_goes_on_with_the_version_it_has_come_to(place: Place) -> None:
    choices = {"services": ["drive"], "choices": {"drive": {"versions": "all"}}}
    policies.change(place.app, ORG, choices, 1)
    item = next(item for item in place.drive.living() if item.name.endswith(".pdf"))
    for number in range(5):
        data = LiteralBytes(f"state {number}".encode())
        place.drive.write(item, data, {"user": {}}, place.tenant.clock.now())
        place.tenant.clock.advance(60)
    _back_up(place)
    batch = _start(place, item, options=("versions",))

    answers = _steps(place, batch)

    assert len(answers) == 6
    (row,) = place.rows(batch.run)
    assert row["troubles"] == []
    assert len(place.drive.get(row["new_id"]).versions) == 5
    assert _sent(place) == 6


def test_a_long_file_is_sent_once_over_many_steps_and_its_address_is_told_to_nobody(
    place: Place,
) -> None:
    item = _long(place)
    _back_up(place)
    batch = _start(place, item)

    answers = _steps(place, batch)

    assert len(answers) > 3
    assert answers[-1].counts == {"created": 1, "incomplete": 0}
    (row,) = place.rows(batch.run)
    copy = place.drive.get(row["new_id"])
    assert item.content is not None
    assert copy.content is not None
    assert copy.content.quickxorhash == item.content.quickxorhash
    assert place.requests("createUploadSession") == 1
    assert _sent(place) <= LONG // (5 * MIB) + len(answers)
    told = [*(one.to_json() for one in answers), place.rows(batch.run)]
    assert "tempauth" not in json.dumps(told)


@pytest.mark.parametrize("writes", [3, 8])
def test_a_long_file_whose_process_died_goes_on_where_the_session_says(
    place: Place, writes: int
) -> None:
    item = _long(place)
    _back_up(place)
    batch = _start(place, item)
    app = dying(place, writes)
    with suppress(Killed):
        restore.write_batch(app, batch)

    _steps(place, batch)

    (row,) = place.rows(batch.run)
    assert (row["outcome"], row["troubles"]) == ("created", [])
    assert place.requests("createUploadSession") == 1


def test_a_long_upload_that_was_forgotten_begins_anew_but_not_for_ever(place: Place) -> None:
    item = _long(place)
    _back_up(place)
    batch = _start(place, item)
    steps = 0
    while restore.write_batch(place.app, batch).state == "more":
        uploads(place.tenant).sessions.clear()
        steps += 1
        assert steps < STEPS_MAX

    (row,) = place.rows(batch.run)
    assert (row["outcome"], row["troubles"][0]["cause"]) == ("failed", "upload-session-gone")
    assert place.requests("createUploadSession") == 6
