"""Sites: found wherever they are told of, a row for each library, asked as seldom as can be."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simulator
from base.messages import BackupEnded, Shard
from engine import plan, policies, runs, site_holdings
from engine.assembly import App
from m365.graph.limits import Limits
from m365.graph.throttle import Limiter
from simulator import sites
from simulator.teams import add_channel, add_team
from simulator.tenant import Tenant
from state.names import DIRECTORY, RESOURCES
from state.resources import PROTECTED, SKIPPED, ResourceRow
from state.tables.sqlite import SqliteTables
from tests.engine.test_census import Watched, later, watched
from tests.engine.test_plan import LaterClock, planned
from tests.engine.world import ORG, SCRYPT_N, World, settings_for, take_in

HOST = "https://contoso.sharepoint.com"


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant(41, quirks=simulator.calm())
    tenant.add_user("Adele Vance", assignedLicenses=[])
    return tenant


@pytest.fixture
def made(tenant: Tenant, tmp_path: Path) -> Iterator[World]:
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        yield installed(running, tmp_path)


def installed(running: simulator.Running, folder: Path, **settings: Any) -> World:
    """An installation whose clock a test moves and whose tables are watched."""
    chosen = settings_for(running, folder, **settings)
    chosen.data_dir.mkdir(parents=True)
    tables = Watched(SqliteTables(chosen.data_dir / "state.sqlite"))
    app = App(chosen, clock=LaterClock(), tables=tables, scrypt_n=SCRYPT_N)
    running.tenant.limits.sharepoint_ru_per_minute = 10**6  # nobody waits for the next minute
    limits = Limits(sharepoint_units_per_min=10**6)
    app.limiter = Limiter(app.clock, limits, app.throttling, "test")
    take_in(app, running)
    choose(World(app, running))
    return World(app, running)


def choose(made: World, **document: Any) -> None:
    version = policies.show(made.app, ORG)["version"]
    policies.change(made.app, ORG, {"services": ["drive"], **document}, version)


def libraries(made: World) -> dict[str, ResourceRow]:
    """The rows of sites, by name."""
    return {row.name: row for row in made.app.resources.all(ORG, "drive") if "site" in row.facts}


def told(made: World) -> dict[str, str]:
    """Why, by name; "" for what is protected."""
    return {name: row.reason for name, row in libraries(made).items()}


def drives_of(made: World, site: str) -> set[str]:
    return {f"drive/drive:{one}" for one in made.tenant.room["site drives"][site]}


# --- What is found ---


def test_every_library_of_a_site_and_of_its_subsites_has_a_row_of_its_own(made: World) -> None:
    top = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    below = sites.add_site(made.tenant, "Below", f"{HOST}/sites/top/below", parent=top)
    deep = sites.add_site(made.tenant, "Deep", f"{HOST}/sites/top/below/deep", parent=below)

    found = planned(made)

    assert found.keys() == drives_of(made, top) | drives_of(made, below) | drives_of(made, deep)
    rows = libraries(made)
    assert set(rows) == {
        "Top / Documents", "Top / Library 2", "Below / Documents", "Deep / Documents",
    }  # fmt: skip
    row = rows["Deep / Documents"]
    assert (row.state, row.facts) == (PROTECTED, {"owner": deep, "site": deep})
    assert row.address.startswith(f"{HOST}/sites/top/below/deep/")


def test_sites_are_backed_up_whole_and_a_deleted_site_keeps_its_restore_points(
    made: World,
) -> None:
    site = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    assert made.back_up()["state"] == "green"
    assert {row.head for row in libraries(made).values()} == {1}
    sites.delete_site(made.tenant, site)
    assert made.back_up()["state"] == "green"
    rows = libraries(made).values()
    assert {(row.state, row.reason, row.head) for row in rows} == {
        (SKIPPED, "left-the-directory", 1)
    }
    assert all("deleted" in row.facts for row in rows)


def test_a_new_library_is_protected_by_the_next_run_though_nothing_tells_of_it(
    made: World,
) -> None:
    site = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top")
    planned(made)
    later(made, 1)
    new = sites.add_library(made.tenant, site, "Silent", told=False)

    assert f"drive/drive:{new.id}" in planned(made)


def test_a_deleted_library_says_so_and_the_others_go_on(made: World) -> None:
    site = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    made.back_up()
    first, second = made.tenant.room["site drives"][site]
    sites.remove_library(made.tenant, second)

    assert planned(made).keys() == {f"drive/drive:{first}"}
    assert told(made) == {"Top / Documents": "", "Top / Library 2": "left-the-directory"}


def test_a_site_without_libraries_says_so(made: World) -> None:
    sites.add_site(made.tenant, "Bare", f"{HOST}/sites/bare", drives=0)
    planned(made)
    assert told(made) == {"Bare": "no-drive"}


def test_sites_of_other_geographies_are_read_by_their_ids(made: World) -> None:
    url = "https://contosoeur.sharepoint.com/sites/there"
    there = sites.add_site(made.tenant, "There", url, geography="EUR")
    here = sites.add_site(made.tenant, "Here", f"{HOST}/sites/here", geography="NAM")
    assert planned(made).keys() == drives_of(made, there) | drives_of(made, here)


def test_what_the_feed_forgot_is_found_by_the_listing_within_a_week(made: World) -> None:
    sites.add_site(made.tenant, "Here", f"{HOST}/sites/here")
    planned(made)
    quiet = sites.add_site(made.tenant, "Quiet", f"{HOST}/sites/quiet", hidden=(sites.DELTA,))
    later(made, 1)
    assert "Quiet / Documents" not in (planned(made), told(made))[1]
    later(made, 6)
    assert drives_of(made, quiet) <= planned(made).keys()
    later(made, 31)  # the whole delta is read anew, which does not tell of it either
    assert drives_of(made, quiet) <= planned(made).keys()
    sites.delete_site(made.tenant, quiet)
    later(made, 7)
    planned(made)
    assert told(made)["Quiet / Documents"] == "left-the-directory"


def test_a_feed_that_lists_nothing_but_sites_of_onedrives_makes_no_rows_of_libraries(
    made: World,
) -> None:
    owner = next(iter(made.tenant.users.values()))
    name = str(owner.properties["userPrincipalName"]).lower().replace("@", "_").replace(".", "_")
    url = "https://contoso-my.sharepoint.com/personal/"
    sites.add_site(made.tenant, "Adele Vance", url + name, personal=True)
    sites.add_site(made.tenant, "Left Before", f"{url}left_before_contoso", personal=True)
    assert planned(made) == {}
    assert told(made) == {"Left Before": "left-the-directory"}


def test_a_onedrive_in_a_site_of_an_older_name_is_not_taken_for_a_leavers(made: World) -> None:
    owner = next(iter(made.tenant.users.values()))
    url = "https://contoso-my.sharepoint.com/personal/maiden_name_contoso"
    site = sites.add_site(made.tenant, "Adele Vance", url, personal=True)
    owner.drive_id = made.tenant.room["site drives"][site][0]
    assert planned(made).keys() == {f"drive/drive:{owner.drive_id}"}
    assert told(made) == {}


# --- Channels ---


def test_the_files_of_private_and_shared_channels_are_found_where_no_listing_tells(
    made: World,
) -> None:
    tenant = made.tenant
    group = tenant.add_group("Oslo", [])
    root = sites.add_site(tenant, "Oslo", f"{HOST}/sites/oslo")
    sites.give_group(tenant, group.id, root)
    team = add_team(tenant, group.id, tenant.clock.now())
    hidden = sites.add_channel_site(tenant, group, "Board", hidden=(sites.LISTING, sites.DELTA))
    drive = tenant.room["site drives"][hidden][0]
    folder = (drive, tenant.drives[drive].root.id)
    for membership in ("private", "shared"):
        add_channel(tenant, team, "Board", tenant.clock.now(), membership, folder=folder)
    add_channel(tenant, team, "Not ready", tenant.clock.now(), "private")

    assert planned(made).keys() == drives_of(made, root) | drives_of(made, hidden)
    assert "Oslo / Board / Documents" in told(made)

    choose(made, sites={"mode": "include", "sites": [f"{HOST}/sites/oslo"]})
    assert planned(made).keys() == drives_of(made, root) | drives_of(made, hidden)
    choose(made, sites={"mode": "exclude", "sites": [f"{HOST}/sites/oslo"]})
    assert planned(made) == {}
    assert set(told(made).values()) == {"not-selected"}


def test_a_channel_of_another_tenant_is_told_and_not_asked(made: World) -> None:
    from simulator.teams import add_foreign_channel

    tenant = made.tenant
    group = tenant.add_group("Oslo", [])
    team = add_team(tenant, group.id, tenant.clock.now())
    add_foreign_channel(tenant, team, "Harbour", tenant.clock.now())
    assert made.back_up()["state"] == "green"
    assert told(made) == {"Oslo / Harbour": "another-tenant"}
    assert made.requests("filesFolder") == 0


def test_without_the_right_to_see_channels_coverage_says_what_may_be_missing(
    made: World,
) -> None:
    made.tenant.backup_app.roles -= {
        one for one in made.tenant.backup_app.roles if one.startswith("Channel.")
    }
    made.tenant.add_group("Oslo", [], resourceProvisioningOptions=["Team"])
    sites.add_site(made.tenant, "Here", f"{HOST}/sites/here")
    assert made.back_up()["state"] == "green"
    row = libraries(made)["Sites of private and shared channels"]
    assert (row.reason, row.facts["permissions"]) == ("sites-not-told", ["Channel.ReadBasic.All"])


# --- What is closed ---


@pytest.mark.parametrize(
    ("close", "reason"), [(sites.lock_site, "locked"), (sites.archive_site, "archived")]
)
def test_a_site_that_is_closed_keeps_its_restore_points_and_goes_on_when_it_is_open(
    made: World, close: Any, reason: str
) -> None:
    site = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    made.back_up()
    close(made.tenant, site)

    assert made.back_up()["state"] == "green"
    assert {(row.reason, row.head) for row in libraries(made).values()} == {(reason, 1)}

    sites.unlock_site(made.tenant, site)
    assert planned(made).keys() == drives_of(made, site)


def test_a_site_that_was_never_open_has_one_row_with_the_reason(made: World) -> None:
    site = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    sites.lock_site(made.tenant, site, status=403)
    planned(made)
    assert told(made) == {"Top": "locked"}
    sites.unlock_site(made.tenant, site)
    planned(made)
    assert told(made) == {"Top / Documents": "", "Top / Library 2": ""}


# --- When the service fails, and when time is short ---


def test_a_site_that_fails_to_answer_keeps_what_it_has_and_the_run_is_amber(made: World) -> None:
    site = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    made.back_up()
    made.tenant.faults.map(r"^GET /sites/[^/]+/drives", "e", loop=True)
    assert made.back_up()["state"] == "amber"
    assert {row.head for row in libraries(made).values()} == {1}
    made.tenant.faults.calm()
    assert made.back_up()["state"] == "green"
    assert planned(made).keys() == drives_of(made, site)


def test_subsites_that_could_not_be_told_are_asked_for_by_the_next_run(made: World) -> None:
    top = sites.add_site(made.tenant, "Top", f"{HOST}/sites/top")
    below = sites.add_site(made.tenant, "Below", f"{HOST}/sites/top/below", parent=top)
    made.tenant.faults.map(r"^GET /sites/[^/]+/sites", "e", loop=True)
    assert made.back_up()["state"] == "amber"
    assert planned(made).keys() == drives_of(made, top)
    made.tenant.faults.calm()
    assert planned(made).keys() == drives_of(made, top) | drives_of(made, below)


def test_a_site_deleted_or_locked_while_a_run_is_at_it_makes_it_amber_and_says_why(
    made: World,
) -> None:
    gone = sites.add_site(made.tenant, "Gone", f"{HOST}/sites/gone")
    shut = sites.add_site(made.tenant, "Shut", f"{HOST}/sites/shut")
    sites.add_site(made.tenant, "Kept", f"{HOST}/sites/kept")
    assert made.back_up()["state"] == "green"
    run = runs.request_backup(made.app, ORG, "test").id
    answer = plan.plan_backup(made.app, runs.BackupRun(ORG, run))
    assert answer.resources == 3
    sites.delete_site(made.tenant, gone)
    sites.lock_site(made.tenant, shut)
    for number in range(answer.shards):
        for drain in plan.shard_resources(made.app, Shard(ORG, run, number)):
            made.drain(drain)
    runs.close_backup(made.app, BackupEnded(ORG, run))

    assert runs.show(made.app, ORG, run)["state"] == "amber"
    assert made.back_up()["state"] == "green"
    assert told(made) == {
        "Gone / Documents": "left-the-directory",
        "Shut / Documents": "locked",
        "Kept / Documents": "",
    }
    assert {row.head for row in libraries(made).values()} == {1}


def test_plans_of_many_sites_go_on_where_their_time_was_up(tenant: Tenant, tmp_path: Path) -> None:
    for number in range(45):
        top = sites.add_site(tenant, f"S{number}", f"{HOST}/sites/s{number}")
        sites.add_site(tenant, "Below", f"{HOST}/sites/s{number}/b", parent=top)
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        made = installed(running, tmp_path, step_seconds=0.001)
        run = runs.request_backup(made.app, ORG, "test")
        answers = []
        while not answers or answers[-1].state == "throttled":
            answers.append(plan.plan_backup(made.app, run.message))
        assert answers[-1].resources == 90
        assert 5 < len(answers) < 20
        assert made.requests("/sites/{site}/drives") == 90  # nobody twice
        assert made.requests("/sites/{site}/sites") == 90


def test_a_pause_in_the_middle_of_a_plan_loses_no_answer(made: World) -> None:
    for number in range(45):
        sites.add_site(made.tenant, f"S{number}", f"{HOST}/sites/s{number}")
    made.tenant.limits.retry_after_s = 60
    rule = made.tenant.faults.map(r"^GET /sites/[^/]+/drives", "." * 30 + "t" * 20)
    run = runs.request_backup(made.app, ORG, "test")
    answer = plan.plan_backup(made.app, run.message)
    assert (answer.state, answer.code) == ("throttled", "planning")
    assert answer.retry_after_s > 30
    made.tenant.faults.rules.remove(rule)
    made.app.limiter = Limiter(
        made.app.clock, Limits(sharepoint_units_per_min=10**6)
    )  # as if the pause were over
    before = made.requests("/sites/{site}/drives")
    assert plan.plan_backup(made.app, run.message).state == "planned"
    assert made.requests("/sites/{site}/drives") - before <= 25


def test_of_very_many_sites_each_has_its_turn_within_a_week(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_holdings, "A_RUN", 10)
    for number in range(100):
        sites.add_site(made.tenant, f"S{number}", f"{HOST}/sites/s{number}")
    planned(made)
    silent = [
        f"drive/drive:{sites.add_library(made.tenant, site, 'Silent', told=False).id}"
        for site in made.tenant.sites
    ]
    loud = next(iter(made.tenant.sites))
    found: list[int] = []
    asked: list[int] = []
    for _ in range(7):
        later(made, 1)
        before = made.requests("/sites/{site}/drives")
        found.append(sum(name in silent for name in planned(made)))
        asked.append(made.requests("/sites/{site}/drives") - before)
    assert asked[:6] == [15] * 6
    assert found[-1] == 100
    new = sites.add_library(made.tenant, loud, "Told")
    later(made, 0.1)
    assert f"drive/drive:{new.id}" in planned(made)


# --- What it costs ---


def test_an_idle_night_of_500_sites_with_600_libraries(tenant: Tenant, tmp_path: Path) -> None:
    for number in range(500):
        drives = 2 if number % 5 == 0 else 1
        sites.add_site(tenant, f"S{number}", f"{HOST}/sites/s{number}", drives=drives)
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        made = installed(running, tmp_path)
        assert len(planned(made)) == 600
        later(made, 1)
        requests, spent = made.requests(), units(made)
        before = len(watched(made).written)
        tracemalloc.start()

        assert len(planned(made)) == 600

        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # A token in two, the three feeds, 25 batches with a request for each site.
        assert made.requests() - requests == 2 + 3 + 25 + 500
        assert units(made) - spent == 1 + 2 * 500
        written = watched(made).written[before:]
        assert RESOURCES not in written
        assert DIRECTORY not in written
        assert peak < 40_000_000


def units(made: World) -> int:
    """What the tenant's SharePoint has charged."""
    server = made.running.server
    assert server is not None
    windows = server.throttle._windows
    return sum(one.add(0) for name, one in windows.items() if name.endswith(" day"))


# --- Other kinds of resources ---


def test_lists_and_pages_are_of_sites_teams_of_groups_and_chats_of_people(made: World) -> None:
    tenant = made.tenant
    top = sites.add_site(tenant, "Top", f"{HOST}/sites/top", drives=0)
    below = sites.add_site(tenant, "Below", f"{HOST}/sites/top/below", parent=top, drives=0)
    shut = sites.add_site(tenant, "Shut", f"{HOST}/sites/shut", drives=0)
    sites.lock_site(tenant, shut)
    team = tenant.add_group("Oslo", [])
    add_team(tenant, team.id, tenant.clock.now())
    tenant.add_group("No Team", [])
    tenant.add_user("Nora Guest", mailbox=False, userType="Guest")
    person = next(iter(tenant.users))
    choose(made, services=["lists", "pages", "teams", "chats"])

    assert planned(made).keys() == {
        *(f"{service}/site:{site}" for service in ("lists", "pages") for site in (top, below)),
        f"teams/team:{team.id}",
        f"chats/user:{person}",
    }
    reasons = {
        (row.service, row.name): row.reason
        for row in made.app.resources.all(ORG)
        if row.state != PROTECTED
    }
    assert reasons == {
        ("lists", "Shut"): "locked",
        ("pages", "Shut"): "locked",
        ("chats", "Nora Guest"): "guest",
    }


def test_sites_that_are_not_chosen_have_a_row_and_are_not_asked(made: World) -> None:
    chosen = sites.add_site(made.tenant, "Chosen", f"{HOST}/sites/chosen", drives=2)
    sites.add_site(made.tenant, "Other", f"{HOST}/sites/other", drives=2)
    below = sites.add_site(made.tenant, "Below", f"{HOST}/sites/other/below", drives=1)
    choose(
        made,
        services=["drive", "lists"],
        sites={"mode": "include", "sites": [chosen], "patterns": ["*/below"]},
    )
    assert planned(made).keys() == {
        f"lists/site:{chosen}",
        f"lists/site:{below}",
        *drives_of(made, chosen),
        *drives_of(made, below),
    }
    assert told(made)["Other"] == "not-selected"
    assert made.requests("/sites/{site}/drives") == 2


def test_a_library_that_was_protected_and_is_not_chosen_any_more_keeps_its_points(
    made: World,
) -> None:
    sites.add_site(made.tenant, "Top", f"{HOST}/sites/top", drives=2)
    made.back_up()
    choose(made, sites={"mode": "exclude", "patterns": ["*/top"]})
    assert planned(made) == {}
    assert {(row.reason, row.head) for row in libraries(made).values()} == {("not-selected", 1)}


def test_without_the_right_to_read_sites_one_row_stands_for_all(made: World) -> None:
    roles = made.tenant.backup_app.roles
    roles -= {one for one in roles if one.startswith("Sites.")}
    sites.add_site(made.tenant, "Top", f"{HOST}/sites/top")
    assert made.back_up()["state"] == "green"
    row = libraries(made)["SharePoint sites"]
    assert (row.reason, row.facts["permissions"]) == ("sites-not-told", ["Sites.Read.All"])
    choose(made, sites={"mode": "include", "patterns": ["*/top"]})
    assert made.back_up()["state"] != "green"  # somebody means them to be protected
    assert libraries(made)["SharePoint sites"].reason == "permission-missing"


def test_a_hostile_tenant_loses_no_site(tmp_path: Path) -> None:
    tenant = Tenant(43, quirks=simulator.hostile())
    tenant.add_user("Adele Vance", assignedLicenses=[])
    for number in range(8):
        top = sites.add_site(tenant, f"S{number}", f"{HOST}/sites/s{number}", drives=3)
        for below in range(4):
            sites.add_site(tenant, "Below", f"{HOST}/sites/s{number}/{below}", parent=top)
    tenant.faults.chances = {"g": 0.05, "e": 0.02}
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        made = installed(running, tmp_path)
        for _ in range(3):
            found = planned(made)
            later(made, 1)
        assert found.keys() == {f"drive/drive:{one}" for one in tenant.drives}


def test_a_tenant_without_sharepoint_is_backed_up_all_the_same(made: World) -> None:
    sites.state(made.tenant).licensed = False
    choose(made, services=["mail", "drive"])
    assert made.back_up()["state"] == "green"
    assert told(made) == {"SharePoint sites": "no-drive"}
    assert {row.reason for row in made.app.resources.all(ORG, "drive")} == {
        "no-drive",
        "no-licence",
    }


def test_no_drive_has_two_rows_however_many_sites_name_it(made: World) -> None:
    owner = next(iter(made.tenant.users.values()))
    first = sites.add_site(made.tenant, "First", f"{HOST}/sites/first")
    second = sites.add_site(made.tenant, "Second", f"{HOST}/sites/second", drives=0)
    odd = sites.add_site(made.tenant, "Odd", f"{HOST}/sites/of-a-person")
    sites.attach(made.tenant, second, made.tenant.room["site drives"][first][0])
    owner.drive_id = made.tenant.room["site drives"][odd][0]
    found = planned(made)
    assert found.keys() == drives_of(made, first) | drives_of(made, odd)
    assert sorted(told(made).values()) == ["", "no-drive", "no-drive"]
    assert {row.facts["owner"] for row in made.app.resources.all(ORG) if row.reason == ""} <= {
        owner.id, first, second,
    }  # fmt: skip
