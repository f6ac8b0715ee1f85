"""Files: what Microsoft documents of drives, against the simulated tenant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from base.messages import BackupEnded, BackupRun, Drain, Drained
from engine import backup, plan, policies, runs
from m365.graph.errors import ItemGone, ResourceGone, ResourceLocked, problem_of
from simulator.drive_state import Drive
from simulator.filebytes import LiteralBytes
from tests.engine.world import ORG, World, calm_tenant, world
from tests.m365.cases_drive import DriveCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(DriveCase()) as opened:
        for item in drive_of(opened).items.values():
            item.out_of_order = None
        yield opened


def drive_of(on: Stage) -> Drive:
    return on.tenant.drives[on.resource.graph_id]


def test_a_first_round_and_an_idle_one_cost_the_units_that_are_documented(on: Stage) -> None:
    drive, counters = drive_of(on), on.tenant.counters
    drive.quirks.page_size = 20
    mirror, before = Mirror(), counters.sharepoint_units
    mirror.round(on.source())
    shared = sum(bool(item.permissions) for item in drive.living())
    files = [item for item in drive.living() if item.is_file and not item.infected]
    older = sum(len(item.versions) for item in files)
    feed = 2 + (mirror.pages - 1)
    spent = counters.sharepoint_units - before
    assert spent == feed + 5 * (shared + 1) + 2 * len(files) + older
    before = counters.sharepoint_units
    mirror.round(on.source())
    assert counters.sharepoint_units - before == 1


def test_a_file_that_is_renamed_moved_or_below_a_renamed_folder_costs_its_feed_alone(
    on: Stage,
) -> None:
    drive, now, mirror = drive_of(on), on.tenant.clock.now(), Mirror()
    mirror.round(on.source())
    folder = drive.by_path(["Documents"])
    inside = next(item for item in drive.children(folder) if item.is_file)
    drive.rename(folder, "Papers", drive.root, drive.owner, now)
    drive.rename(inside, "renamed and moved.txt", drive.root, drive.owner, now)
    before, requests = on.tenant.counters.sharepoint_units, on.reader.counters.requests
    mirror.fetched.clear()
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()
    assert sum(mirror.fetched.values()) == 0
    assert on.tenant.counters.sharepoint_units - before == 1
    assert on.reader.counters.requests - requests == 1


@pytest.mark.parametrize("listed", [True, False])
def test_a_folder_that_is_deleted_takes_its_children_listed_or_not(on: Stage, listed: bool) -> None:
    drive, now, mirror = drive_of(on), on.tenant.clock.now(), Mirror()
    mirror.round(on.source())
    drive.quirks.deletes_list_children = listed
    drive.quirks.deleted_parents = False
    rescued = next(item for item in drive.living() if item.is_file and len(drive.path(item)) > 2)
    drive.rename(rescued, "rescued.txt", drive.root, drive.owner, now)
    drive.delete(drive.by_path(["Documents"]), now)
    drive.delete(drive.by_path(["Projects"]), now)
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()
    assert rescued.id in mirror.items


@pytest.mark.parametrize(
    ("path", "gone", "locked"),
    [
        ("/v1.0/drives/b!x/root/delta", ResourceGone, True),
        ("/v1.0/drives/b!x/items/root/delta()", ResourceGone, True),
        ("/v1.0/drives/b!x/root/microsoft.graph.delta(token='a')", ResourceGone, True),
        ("/v1.0/drives/b!x/root", ResourceGone, True),
        ("/v1.0/drives/b!x/items/01ABC/content", ItemGone, False),
    ],
)
def test_the_whole_drive_is_told_apart_from_an_item_however_its_feed_is_spelled(
    path: str, gone: type[Exception], locked: bool
) -> None:
    assert type(problem_of(404, {}, b"{}", path)) is gone
    body = b'{"error":{"code":"notAllowed","innerError":{"code":"resourceLocked"}}}'
    for status in (403, 423):
        assert isinstance(problem_of(status, {}, body, path), ResourceLocked) is locked


# --- a drive that vanishes or closes in the middle of a run ---------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path, step_seconds=0.000001) as made:
        selection = {"mode": "include", "users": [made.mailbox.user_id]}
        policies.change(made.app, ORG, {"services": ["drive"], "selection": selection}, 1)
        yield made


def steps(place: World, chain: str, number: int, run: str, most: int) -> Drained:
    for _ in range(most):
        answer = backup.drain(place.app, Drain(ORG, run, "drive", chain, number))
        if answer.state not in ("more", "throttled"):
            break
    return answer


@pytest.mark.parametrize("how", ["deleted", "locked"])
def test_a_drive_that_closes_during_a_run_takes_no_file_out_of_the_backup(
    place: World, how: str
) -> None:
    chain = place.drive_id
    drive = place.tenant.drives[chain.removeprefix("drive:")]
    drive.quirks.page_size = 5
    run = runs.request_backup(place.app, ORG, "test").id
    plan.plan_backup(place.app, BackupRun(ORG, run))
    assert steps(place, chain, 1, run, 500).state == "done"
    runs.close_backup(place.app, BackupEnded(ORG, run))
    held = place.files_in_vault()
    assert held == place.files_in_tenant()

    drive.forget_tokens()  # a new enumeration, of which not all will be seen
    for number in range(8):
        drive.put_file(
            drive.root, f"new {number}.txt", LiteralBytes(b"new"), "fail", drive.owner,
            place.tenant.clock.now(),
        )  # fmt: skip
    run = runs.request_backup(place.app, ORG, "test").id
    plan.plan_backup(place.app, BackupRun(ORG, run))
    before = place.requests("delta")
    assert steps(place, chain, 2, run, 6).state == "more"
    assert place.requests("delta") > before
    if how == "deleted":
        del place.tenant.drives[drive.id]
    else:
        drive.locked = (403, "notAllowed")
    ended = steps(place, chain, 2, run, 50)
    assert ended.state == ("gone" if how == "deleted" else "locked")
    assert held.items() <= place.files_in_vault(chain).items()
    run_shown = runs.close_backup(place.app, BackupEnded(ORG, run))
    assert run_shown.state in ("amber", "red")
