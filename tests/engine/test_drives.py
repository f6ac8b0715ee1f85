"""Drives through the engine: versions by policy, sharing, long files, and drives that close."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.item import StoredItem
from base.messages import BackupEnded, BackupRun, Drain, Drained
from engine import backup, plan, policies, runs
from engine.copying import Copier
from engine.drill import drill
from engine.entries import stored_item
from m365.drive import DriveSource
from simulator.drive_item import Item
from simulator.drive_state import Drive
from simulator.filebytes import LiteralBytes, SeededBytes
from tests.engine.world import ORG, World, calm_tenant, world
from tests.m365.cases_drive import DriveCase
from tests.m365.stage import Stage, stage
from tests.vault.world import CHAIN, new_vault
from vault import Repository, Round

DOWNLOAD, VERSIONS, PERMISSIONS = "download.aspx", "/versions", "/permissions"
MIB = 1024 * 1024


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path) as made:
        selection = {"mode": "include", "users": [made.mailbox.user_id]}
        policies.change(made.app, ORG, {"services": ["drive"], "selection": selection}, 1)
        yield made


def drive_of(place: World) -> Drive:
    return place.tenant.drives[place.drive_id.removeprefix("drive:")]


def named(place: World, *path: str) -> Item:
    return drive_of(place).by_path(list(path))


def stored(place: World, item: Item) -> StoredItem:
    return place.view("drive", place.drive_id).item(item.id)


def choose(place: World, versions: Any) -> None:
    policy = policies.show(place.app, ORG)
    document = {name: policy[name] for name in ("services", "selection")}
    document["choices"] = {"drive": {"versions": versions}}
    policies.change(place.app, ORG, document, policy["version"])


def edit(place: World, item: Item, text: bytes) -> None:
    drive_of(place).write(item, LiteralBytes(text), drive_of(place).owner, place.tenant.clock.now())


def history(place: World, item: Item) -> list[tuple[str, str]]:
    """Id and content of the older versions that are kept, in their order."""
    parts = [part for part in stored(place, item).parts if part.role == "version"]
    return [(part.meta["id"], hashlib.sha256(part.read()).hexdigest()) for part in parts]


def true_history(item: Item) -> list[tuple[str, str]]:
    return [(f"{one.number}.0", one.content.sha256) for one in item.versions]


# --- versions ----------------------------------------------------------------------------------


def test_a_policy_that_wants_versions_later_gets_them_without_a_file_being_read_again(
    place: World,
) -> None:
    place.back_up()
    item = named(place, "minutes.txt")
    assert history(place, item) == []
    before = place.requests(DOWNLOAD)
    choose(place, "all")
    place.back_up()
    assert history(place, item) == true_history(item) != []
    older = sum(len(one.versions) for one in drive_of(place).living())
    assert place.requests(DOWNLOAD) == before + older
    assert place.files_in_vault() == place.files_in_tenant()
    listed = place.requests(VERSIONS)
    place.back_up()
    assert place.requests(VERSIONS) == listed  # once


def test_a_version_that_is_kept_is_not_read_again_when_another_comes(place: World) -> None:
    choose(place, "all")
    place.back_up()
    item = named(place, "minutes.txt")
    before = place.requests(DOWNLOAD)
    edit(place, item, b"the newest words")
    place.back_up()
    assert history(place, item) == true_history(item)
    assert place.requests(DOWNLOAD) == before + 2  # the content, and what it was before


def test_so_many_older_versions_are_kept_and_older_ones_leave_with_the_next_edit(
    place: World,
) -> None:
    choose(place, 2)
    item = named(place, "minutes.txt")
    for number in range(3):
        edit(place, item, b"edit %d" % number)
    place.back_up()
    assert history(place, item) == true_history(item)[:2]
    edit(place, item, b"one more")
    place.back_up()
    assert history(place, item) == true_history(item)[:2]


# --- sharing -----------------------------------------------------------------------------------


def grants(place: World, item: Item) -> list[str]:
    part = stored(place, item).part("permissions")
    return [] if part is None else [one["id"] for one in json.loads(part.read())]


def test_permissions_are_asked_for_when_sharing_changed_and_never_else(place: World) -> None:
    drive, now = drive_of(place), place.tenant.clock.now()
    place.back_up()
    shared = [item for item in drive.living() if item.permissions]
    assert place.requests(PERMISSIONS) == len(shared) + 1  # and the root
    assert all(grants(place, item) for item in shared)

    plain, item = named(place, "minutes.txt"), named(place, "price list.txt")
    edit(place, plain, b"not shared, so nobody asks")
    place.back_up()
    assert place.requests(PERMISSIONS) == len(shared) + 1

    drive.share(item, {"id": "another", "roles": ["read"]}, now)
    downloads = place.requests(DOWNLOAD)
    place.back_up()
    assert "another" in grants(place, item)
    assert place.requests(PERMISSIONS) == len(shared) + 2
    assert place.requests(DOWNLOAD) == downloads

    item.permissions.clear()
    drive.shared(item, now)
    place.back_up()
    assert grants(place, item) == []
    assert place.requests(PERMISSIONS) == len(shared) + 2  # the facet is gone: that says it all


def test_a_folder_keeps_its_permissions_when_it_is_renamed(place: World) -> None:
    place.back_up()
    folder = named(place, "Projects", "Harbour & Co")
    before = grants(place, folder)
    drive_of(place).rename(
        folder, "Harbour", named(place, "Projects"), drive_of(place).owner,
        place.tenant.clock.now(),
    )  # fmt: skip
    place.back_up()
    assert stored(place, folder).name == "Harbour"
    assert grants(place, folder) == before != []


def test_an_item_that_is_tried_again_by_itself_is_not_taken_for_shared(place: World) -> None:
    drive = drive_of(place)
    folder = named(place, "Projects", "Harbour & Co")
    item, _ = drive.put_file(
        folder, "below.txt", LiteralBytes(b"inherits"), "fail", drive.owner,
        place.tenant.clock.now(),
    )  # fmt: skip
    item.out_of_order = (423, "resourceLocked")
    place.back_up()
    asked = place.requests(PERMISSIONS)
    item.out_of_order = None  # a GET shows the facet of what it inherits, the feed does not
    place.back_up()
    kept = stored(place, item)
    assert [part.role for part in kept.parts] == ["content"]
    assert place.requests(PERMISSIONS) == asked


# --- a drive that closes -----------------------------------------------------------------------


def drained(place: World, steps: list[Drained]) -> Drained:
    run = runs.request_backup(place.app, ORG, "test").id
    plan.plan_backup(place.app, BackupRun(ORG, run))
    snapshot = 1 + max(0, place.app.resources.get(ORG, "drive", place.drive_id).head)  # type: ignore[union-attr]
    for _ in range(50):
        steps.append(backup.drain(place.app, Drain(ORG, run, "drive", place.drive_id, snapshot)))
        if steps[-1].state not in ("more", "throttled"):
            break
    runs.close_backup(place.app, BackupEnded(ORG, run))
    return steps[-1]


def test_a_drive_that_is_locked_in_the_middle_ends_its_step_with_what_was_read(
    place: World,
) -> None:
    drive = drive_of(place)
    drive.quirks.page_size = 10
    late = [item for item in drive.items.values() if item.is_file][15]
    late.out_of_order = (423, "resourceLocked")
    assert drained(place, []).state == "done"  # one locked file is a row, not the end
    assert stored(place, late).missing == ("content: locked",)

    drive.locked = (423, "resourceLocked")
    before = place.requests()
    ended = drained(place, [])
    assert (ended.state, ended.code) == ("locked", "resource-locked")
    assert place.requests() - before < 60  # nobody asks again and again
    row = place.app.resources.get(ORG, "drive", place.drive_id)
    assert row is not None
    assert (row.state, row.reason) == ("skipped", "locked")

    late.out_of_order = drive.locked = None
    place.back_up()
    row = place.app.resources.get(ORG, "drive", place.drive_id)
    assert row is not None
    assert (row.state, row.last_outcome) == ("protected", "done")
    assert stored(place, late).missing == ()  # tried again once it was unlocked


# --- files that are not what the feed says -----------------------------------------------------


def test_an_office_file_whose_size_the_feed_has_wrong_is_kept_and_proved(place: World) -> None:
    drive = drive_of(place)
    item = next(one for one in drive.living() if one.name.endswith(".docx"))
    item.told_size = item.size + 117
    assert place.back_up()["state"] == "green"
    assert place.files_in_vault() == place.files_in_tenant()
    drilled = drill(place.app, ORG, place.app.vault(ORG), 200, lambda: True)
    assert drilled.items >= 100
    assert drilled.findings == []
    before = place.requests(DOWNLOAD)
    place.back_up()
    assert place.requests(DOWNLOAD) == before


# --- long files --------------------------------------------------------------------------------


class Over(Exception):
    """The step's time is up."""


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(DriveCase()) as opened:
        drive = opened.tenant.drives[opened.resource.graph_id]
        for item in list(drive.items.values()):
            if item.parent_id == drive.root.id:
                drive.delete(item, opened.tenant.clock.now())
        yield opened


def one_step(on: Stage, repo: Repository, round_: Round, *, dies: bool = False) -> Round:
    """A step that is over as soon as anything was read; one that dies commits nothing."""
    links = {name: link for name, link in round_.links.items() if name == "root"}
    source = DriveSource(on.reader, on.resource, piece_bytes=MIB)
    copier = Copier(repo, source, round_, tuple)

    def over() -> None:
        raise Over

    complete = False
    try:
        for page in source.changes(links, round_.finished):
            copier.copy(page, over)
        complete = True
    except Over:
        pass
    finally:
        copier.close()
    if dies:
        return round_.reopened()
    copier.keep_place()
    return copier.step.commit(complete=complete)


def test_a_long_file_goes_on_where_the_last_step_ended_and_is_compared_as_a_whole(
    on: Stage,
) -> None:
    drive = on.tenant.drives[on.resource.graph_id]
    content = SeededBytes("a long film", 5 * MIB + 123)
    item, _ = drive.put_file(
        drive.root, "film.mp4", content, "fail", drive.owner, on.tenant.clock.now()
    )
    repo = new_vault()
    round_, steps = repo.round(CHAIN, 1), 0
    while not round_.complete:
        received = on.reader.counters.bytes_in
        round_ = one_step(on, repo, round_, dies=steps in (2, 5))
        assert on.reader.counters.bytes_in - received < 12 * MIB
        steps += 1
        assert steps < 25
    assert steps >= 8
    entry = repo.catalog(round_.close()).get(item.id)
    assert entry is not None
    (part,) = (one for one in stored_item(repo, entry).parts if one.role == "content")
    assert hashlib.sha256(part.read()).hexdigest() == content.sha256
    assert "missing" not in entry.facts


def test_a_long_file_that_changes_in_the_middle_is_read_anew_and_never_mixed(on: Stage) -> None:
    drive, now = on.tenant.drives[on.resource.graph_id], on.tenant.clock.now()
    item, _ = drive.put_file(
        drive.root, "film.mp4", SeededBytes("first", 3 * MIB), "fail", drive.owner, now
    )
    repo = new_vault()
    round_ = repo.round(CHAIN, 1)
    for _ in range(3):
        round_ = one_step(on, repo, round_)
    after = SeededBytes("second", 3 * MIB)
    drive.write(item, after, drive.owner, now)
    while not round_.complete:
        round_ = one_step(on, repo, round_)
    entry = repo.catalog(round_.close()).get(item.id)
    assert entry is not None
    part = stored_item(repo, entry).part("content")
    assert part is not None
    assert hashlib.sha256(part.read()).hexdigest() == after.sha256
