"""Teams through the whole product: protected, browsed, restored as pages and as messages."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.item import StoredItem
from base.messages import ExportRun, RestoreRun, WriteBatch
from engine import connection, export, policies, restore, restore_plan, runs
from engine.assembly import App, PermissionMissing
from engine.restore_plan import RestoreRequest
from m365.teams_link import BACK_EVERY, FULL_EVERY
from simulator.contoso import month
from simulator.drive_state import Drive
from simulator.teams import Channel, Team, add_channel, add_team, teams
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, world
from tests.m365.cases_teams import readable
from tests.m365.stage import TenantClock


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=29), tmp_path) as one:
        version = policies.show(one.app, ORG)["version"]
        policies.change(one.app, ORG, {"services": ["teams"], "protection": "full"}, version)
        clock = TenantClock(one.tenant)  # four requests a second take none of our time
        one.app = App(settings_for(one.running, tmp_path), clock=clock, scrypt_n=SCRYPT_N)
        yield one


def team(made: World) -> Team:
    return next(iter(teams(made.tenant).values()))


def resource(made: World) -> str:
    return f"team:{team(made).id}"


def general(of: Team) -> Channel:
    return next(iter(of.channels.values()))


def empty_team(made: World) -> Team:
    group = made.tenant.add_group("Target", made.tenant.groups[team(made).id].members)
    target = add_team(made.tenant, group.id, made.tenant.clock.now())
    for one in team(made).channels.values():
        if one.name != "General":
            add_channel(made.tenant, target, one.name, made.tenant.clock.now(), one.membership)
    return target


def said(of: Team) -> list[tuple[str, str, str]]:
    return sorted(
        (channel.name, one.id, one.reply_to or "")
        for channel in readable(of)
        for one in channel.talk.messages.values()
        if not one.deleted and one.sender
    )


def held(made: World) -> set[str]:
    entries = made.view("teams", resource(made)).catalog.items()
    return {one.id for one in entries if one.kind == "channel-message"}


def held_items(made: World) -> list[StoredItem]:
    view = made.view("teams", resource(made))
    return [view.item(one.id) for one in view.catalog.items() if one.kind == "channel-message"]


def migration(made: World, target: Team, **wanted: Any) -> RestoreRequest:
    return RestoreRequest(
        "teams", resource(made), target=f"team:{target.id}", options=("migration",), **wanted
    )


def test_every_message_of_every_channel_is_in_the_restore_point(made: World) -> None:
    for _ in range(2):
        assert made.back_up()["state"] in ("green", "amber")
        assert len(held(made)) == sum(len(one.talk.messages) for one in readable(team(made)))
        month(made.tenant)
    made.verify()


def test_a_quiet_team_makes_no_restore_point(made: World) -> None:
    made.back_up()
    before = made.view("teams", resource(made)).snapshot.number
    made.back_up()
    assert made.view("teams", resource(made)).snapshot.number == before


def test_a_channel_whose_feed_is_refused_makes_no_restore_point_of_what_it_said_before(
    made: World,
) -> None:
    quiet = next(one for one in readable(team(made)) if one.delta_refused)
    sender = quiet.talk.roots()[0].sender
    body = {"contentType": "text", "content": "said shortly before the backup"}
    for _ in range(120):
        root = quiet.talk.post(sender, dict(body), made.tenant.clock.now())
    made.back_up()
    first = made.view("teams", resource(made)).snapshot.number
    for _ in range(3):
        run = made.back_up()
        assert made.view("teams", resource(made)).snapshot.number == first
        assert run["counts"].get("blob_writes", 0) == 0
        made.tenant.clock.advance(86_400)
    quiet.talk.post(sender, dict(body), made.tenant.clock.now(), reply_to=root.id)
    quiet.talk.delete(root, made.tenant.clock.now())
    made.back_up()
    assert made.view("teams", resource(made)).snapshot.number == first + 1
    assert len(held(made)) == sum(len(one.talk.messages) for one in readable(team(made)))
    quiet.talk.undelete(root, made.tenant.clock.now())
    made.back_up()
    (found,) = [one for one in held_items(made) if one.raw["id"] == root.id]
    assert found.raw["body"]["content"] == body["content"]
    made.verify()


def test_a_list_that_is_read_back_once_a_week_tells_nothing_that_is_stored(made: World) -> None:
    channel = general(team(made))
    channel.talk.post(channel.talk.roots()[0].sender, {"contentType": "text", "content": "x"},
                      made.tenant.clock.now())  # fmt: skip
    made.back_up()
    made.tenant.clock.advance(BACK_EVERY.total_seconds())
    before = made.requests("/messages")
    run = made.back_up()
    assert made.requests("/messages") - before >= 2 * len(readable(team(made)))
    assert run["counts"].get("items", 0) == 0
    assert run["counts"]["blob_writes"] == 2  # where feeds go on, after so long a time


def test_steps_that_end_at_once_get_through_what_is_stored_already(made: World) -> None:
    made.back_up()
    made.tenant.clock.advance(BACK_EVERY.total_seconds())
    made.app.settings = made.app.settings.model_copy(update={"step_seconds": 0.001})
    assert made.back_up()["state"] in ("green", "amber")
    assert len(held(made)) == sum(len(one.talk.messages) for one in readable(team(made)))


def test_a_channel_that_fails_in_the_middle_of_a_whole_list_loses_nothing(made: World) -> None:
    channel = general(team(made))
    sender = channel.talk.roots()[0].sender
    for number in range(60):
        body = {"contentType": "text", "content": f"word {number}"}
        channel.talk.post(sender, body, made.tenant.clock.now())
    made.back_up()
    before = held(made)
    made.tenant.clock.advance(FULL_EVERY.total_seconds())
    made.tenant.faults.map(f"{channel.id}/messages$", ".m")
    run = made.back_up()
    assert run["counts"]["left_out"] == 1
    assert held(made) == before
    channel.talk.messages.popitem()
    made.back_up()
    assert len(held(made)) == len(before) - 1
    made.verify()


def test_a_channel_leaves_as_one_page_with_its_pictures_and_as_json(made: World) -> None:
    made.back_up()
    asked = runs.request_export(
        made.app, ORG, "test", RestoreRequest("teams", resource(made)).to_json()
    )
    export.write_export(made.app, ExportRun(ORG, asked.id))
    data = b"".join(export.read_archive(made.app, ORG, asked.id))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        page = archive.read(names["General.html"]).decode()
        whole = json.loads(archive.read(names["General.json"]))
    assert "Two pictures" in page
    assert "data:image/png;base64," in page
    assert "hostedContents" not in page.partition("Two pictures")[2].partition("</article>")[0]
    assert len(whole["messages"]) == len(general(team(made)).talk.messages)


def test_channels_come_back_as_pages_in_their_files_and_an_undo_takes_them_away(
    made: World,
) -> None:
    drive: Drive = next(iter(made.tenant.drives.values()))
    for one in readable(team(made)):
        one.folder = (drive.id, drive.root.id)
    made.back_up()
    run = made.restore(RestoreRequest("teams", resource(made), folder_name="Back"))
    assert run["counts"]["created"] == len(
        [one for one in readable(team(made)) if one.talk.roots()]
    )
    pages = [drive.path(one) for one in drive.living() if one.is_file]
    assert ["Back", "General.html"] in pages
    taken = runs.request_undo(made.app, ORG, "test", run["id"])
    made.finish_restore(taken.id)
    assert not [one for one in drive.living() if one.is_file and drive.path(one)[0] == "Back"]


def test_only_who_asks_for_migration_needs_the_permission_for_it(made: World) -> None:
    drive = next(iter(made.tenant.drives.values()))
    general(team(made)).folder = (drive.id, drive.root.id)
    made.back_up()
    made.tenant.restore_app.roles -= {"Teamwork.Migrate.All", "ChannelMessage.Read.All"}
    found = connection.test(made.app, ORG)
    assert found["ok"]
    without = {one["permission"]: one["disables"] for one in found["restore"]["optional"]}
    assert "migration" in str(without["Teamwork.Migrate.All"])
    folders = (general(team(made)).id,)
    run = made.restore(RestoreRequest("teams", resource(made), folders=folders))
    assert run["counts"]["created"] == 1
    with pytest.raises(PermissionMissing) as missing:
        restore_plan.prepare(made.app, ORG, migration(made, team(made)))
    assert missing.value.details["permissions"] == [
        "ChannelMessage.Read.All",
        "Teamwork.Migrate.All",
    ]


def test_messages_come_back_into_channels_of_another_team_and_migration_is_over(
    made: World,
) -> None:
    made.back_up()
    target = empty_team(made)
    run = made.restore(migration(made, target))
    assert run["counts"]["created"] == len(said(team(made)))
    assert said(target) == said(team(made))
    assert {one.migration for one in target.channels.values()} <= {None, "completed"}
    again = made.restore(migration(made, target))
    assert again["counts"].get("created", 0) == 0
    assert said(target) == said(team(made))
    taken = runs.request_undo(made.app, ORG, "test", run["id"])
    undone = made.finish_restore(taken.id)
    assert (undone["state"], undone["code"]) == ("red", "messages-stay")
    assert said(target) == said(team(made))


def test_what_was_lost_in_a_channel_comes_back_beside_what_is_still_there(made: World) -> None:
    made.back_up()
    before = said(team(made))
    talk = general(team(made)).talk
    for key in [one.id for one in talk.messages.values() if one.reply_to][:20]:
        del talk.messages[key]
    run = made.restore(migration(made, team(made), place="original"))
    assert run["counts"]["created"] == 20
    assert said(team(made)) == before


def test_a_restore_that_is_cancelled_or_fails_leaves_no_channel_in_migration_mode(
    made: World,
) -> None:
    made.back_up()
    target = empty_team(made)
    wanted, counted = restore_plan.prepare(made.app, ORG, migration(made, target))
    run = runs.request_restore(made.app, ORG, "test", wanted, counted)
    planned = restore.plan_restore(made.app, RestoreRun(ORG, run.id))
    assert planned.batches > 1
    assert restore.write_batch(made.app, WriteBatch(ORG, run.id, 0)).state == "done"
    assert "inProgress" in {one.migration for one in target.channels.values()}
    runs.cancel(made.app, ORG, run.id, "test")
    made.tenant.faults.map("completeMigration", "eeee.")
    restore.close_restore(made.app, RestoreRun(ORG, run.id))
    assert {one.migration for one in target.channels.values()} <= {None, "completed"}


def test_a_channel_that_stays_in_migration_mode_makes_the_restore_red_and_the_next_one_ends_it(
    made: World,
) -> None:
    made.back_up()
    target = empty_team(made)
    made.tenant.faults.map("completeMigration", "e", loop=True)
    run = made.restore(migration(made, target, folders=(general(team(made)).id,)))
    assert (run["state"], run["code"]) == ("red", "graph-unstable")
    assert general(target).migration == "inProgress"
    made.tenant.faults.calm()
    made.restore(migration(made, target, folders=(general(team(made)).id,)))
    assert general(target).migration == "completed"


def test_a_batch_that_runs_twice_writes_nothing_twice(made: World) -> None:
    made.back_up()
    target = empty_team(made)
    wanted, counted = restore_plan.prepare(made.app, ORG, migration(made, target))
    run = runs.request_restore(made.app, ORG, "test", wanted, counted)
    restore.plan_restore(made.app, RestoreRun(ORG, run.id))
    made.tenant.faults.map("POST /teams/.*/messages", "....d..d", loop=True)  # done, then 504
    made.finish_restore(run.id)
    assert said(target) == said(team(made))
