"""The census: what people have and lack, asked as seldom as can be; who left, came back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import simulator
from base.messages import BackupEnded, Shard
from engine import coverage, directory, plan, policies, runs
from engine.assembly import App
from engine.directory_search import search
from simulator import directory_state
from simulator.mailbox import Mailbox
from simulator.tenant import LICENCE
from state.counting import CountingTables
from state.names import DIRECTORY, RESOURCES
from state.resources import GONE, PROTECTED, SKIPPED
from state.tables.sqlite import SqliteTables
from tests.engine.test_plan import LaterClock, planned, rows
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, take_in

_HOLDINGS = ("mailFolders/{folder}", "drive", "mailboxSettings/{setting}")


class Watched(CountingTables):
    """Tables that also say which rows of which table were written."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.written: list[str] = []

    def insert(self, table: str, *rest: Any) -> str:
        self.written.append(table)
        return super().insert(table, *rest)

    def replace(self, table: str, *rest: Any) -> str:
        self.written.append(table)
        return super().replace(table, *rest)

    def upsert_many(self, table: str, partition: str, rows: Any) -> None:
        self.written += [table] * len(rows)
        super().upsert_many(table, partition, rows)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    """A tenant and an installation whose clock a test moves, and whose tables are watched."""
    tenant = calm_tenant(seed=5)
    tenant.add_user("Nobody Yet", mailbox=False)
    tenant.add_user("Nora Guest", mailbox=False, userType="Guest")
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        settings = settings_for(running, tmp_path)
        settings.data_dir.mkdir(parents=True)
        tables = Watched(SqliteTables(settings.data_dir / "state.sqlite"))
        app = App(settings, clock=LaterClock(), tables=tables, scrypt_n=SCRYPT_N)
        take_in(app, running)
        yield World(app, running)


def later(made: World, days: float) -> None:
    clock = made.app.clock
    assert isinstance(clock, LaterClock)
    clock.passed += timedelta(days=days)
    made.tenant.clock.advance(days * 86_400)


def watched(made: World) -> Watched:
    tables = made.app.unmirrored
    assert isinstance(tables, Watched)
    return tables


def choose(made: World, *services: str, **more: Any) -> None:
    version = policies.show(made.app, ORG)["version"]
    document = {"services": list(services or ("mail", "drive")), "protection": "full", **more}
    policies.change(made.app, ORG, document, version)


def user(made: World, name: str) -> str:
    return next(
        key for key, one in made.tenant.users.items() if one.properties["displayName"] == name
    )


def asked(made: World) -> int:
    """How often the directory was asked for somebody's mailbox, drive or purpose."""
    seen = made.tenant.counters.requests
    return sum(seen[f"GET /users/{{user}}/{what}"] for what in _HOLDINGS)


# --- Idle nights ---


def test_an_idle_night_costs_a_request_per_feed_and_writes_no_row(made: World) -> None:
    choose(made, "mail", "drive", "contacts", "tasks", "settings")
    planned(made)
    later(made, 1)
    requests, before = made.requests(), len(watched(made).written)

    planned(made)

    # A token, in two requests, as a day has passed; a batch that asks the one site for libraries.
    assert made.requests() - requests == 3 + 2 + 2
    written = watched(made).written[before:]
    assert RESOURCES not in written
    assert DIRECTORY not in written


def test_on_the_fourth_day_the_links_are_stored_anew_before_they_could_expire(made: World) -> None:
    choose(made)
    planned(made)
    for _ in range(12):
        later(made, 1)
        planned(made)
    assert made.requests("/users/delta") == 13  # never the whole again: a lost link would add one


def test_once_a_week_it_is_written_when_somebody_was_last_seen(made: World) -> None:
    choose(made)
    planned(made)
    first = {user: row.last_seen for user, row in rows(made).items()}
    later(made, 6)
    planned(made)
    assert {user: row.last_seen for user, row in rows(made).items()} == first
    later(made, 2)
    planned(made)
    assert all(row.last_seen > first[user] for user, row in rows(made).items())


def test_a_mailbox_is_asked_for_once_however_many_services_it_has(made: World) -> None:
    choose(made, "mail", "contacts", "tasks", "settings")
    planned(made)
    there = len(made.tenant.mailboxes)
    assert asked(made) == there + 1 + there  # Nobody Yet too; and what each mailbox is for


def test_a_feed_of_groups_or_sites_that_fails_for_a_night_stops_nothing(made: World) -> None:
    choose(made, "mail")
    planned(made)
    made.tenant.faults.map(r"^GET /(groups|sites)/delta", "e", loop=True)
    assert len(planned(made)) == len(made.tenant.mailboxes)
    assert directory.known(made.app, ORG).groups


def test_a_directory_that_fails_for_a_while_is_waited_for(made: World) -> None:
    choose(made, "mail")
    rule = made.tenant.faults.map(r"^GET /users/delta", "e", loop=True)
    request = runs.request_backup(made.app, ORG, "test")
    answer = plan.plan_backup(made.app, request.message)
    assert (answer.state, answer.code) == ("throttled", "graph-unstable")
    assert answer.retry_after_s >= 60
    made.tenant.faults.rules.remove(rule)
    assert plan.plan_backup(made.app, request.message).state == "planned"


def test_links_that_expired_read_the_whole_and_find_who_left_meanwhile(made: World) -> None:
    choose(made)
    planned(made)
    leaver = made.mailbox.user_id
    made.tenant.remove_user(leaver, for_good=True)
    later(made, 8)

    assert f"mail/mailbox:{leaver}" not in planned(made)
    assert rows(made)[leaver].reason == "left-the-directory"


def test_what_no_delta_told_is_found_by_a_whole_reading_within_a_month(made: World) -> None:
    choose(made)
    planned(made)
    quiet = made.mailbox.user_id
    made.tenant.users[quiet].properties["displayName"] = "Told By No Delta"
    for _ in range(8):
        later(made, 4)
        planned(made)
    assert rows(made)[quiet].name == "Told By No Delta"


# --- What people lack ---


def test_every_gap_has_its_reason(made: World) -> None:
    made.tenant.add_user("Fresh Starter", mailbox=False, assignedLicenses=[LICENCE])
    choose(made)
    planned(made)
    reasons = {row.name: row.reason for row in rows(made).values()}
    assert reasons["Nobody Yet"] == "no-licence"
    assert reasons["Nora Guest"] == "guest"
    assert reasons["Fresh Starter"] == "not-provisioned"
    drives = {row.name: row.reason for row in rows(made, "drive").values()}
    assert drives["Sales Inbox"] == "no-licence"


def test_disabled_people_stay_protected(made: World) -> None:
    choose(made)
    made.tenant.change_user(made.mailbox.user_id, accountEnabled=False)
    planned(made)
    assert rows(made)[made.mailbox.user_id].state == PROTECTED


def test_who_lacks_a_licence_is_asked_again_when_something_changed_or_after_a_month(
    made: World,
) -> None:
    choose(made, "mail")
    planned(made)
    late = user(made, "Nobody Yet")
    made.tenant.mailboxes[late] = Mailbox(late, made.tenant.clock.stamp, 7)
    later(made, 1)
    assert f"mail/mailbox:{late}" not in planned(made)
    made.tenant.change_user(late, assignedLicenses=[LICENCE])
    later(made, 1)
    assert f"mail/mailbox:{late}" in planned(made)


def test_a_month_without_change_is_enough_to_ask_again(made: World) -> None:
    choose(made, "mail")
    planned(made)
    late = user(made, "Nobody Yet")
    made.tenant.mailboxes[late] = Mailbox(late, made.tenant.clock.stamp, 7)
    later(made, 31)
    assert f"mail/mailbox:{late}" in planned(made)


def test_what_is_being_provisioned_is_asked_for_at_pauses_that_double(made: World) -> None:
    made.tenant.add_user("Fresh Starter", mailbox=False, assignedLicenses=[LICENCE])
    choose(made, "drive")
    counts = []
    for _ in range(17):
        before = asked(made)
        planned(made)
        counts.append(asked(made) - before)
        later(made, 1)
    assert [day for day, count in enumerate(counts) if count] == [0, 1, 2, 4, 8, 16]


def test_a_new_onedrive_is_found_by_its_site(made: World) -> None:
    tenant = made.tenant
    owner = next(one for one in tenant.users.values() if one.drive_id)
    drive, owner.drive_id = owner.drive_id, None
    name = str(owner.properties["userPrincipalName"]).replace("@", "_").replace(".", "_").lower()
    site = next(key for key, one in tenant.sites.items() if one["webUrl"].endswith(name))
    facts = tenant.sites.pop(site)
    choose(made, "drive")
    for _ in range(3):  # asked in vain, so that the next pause is of two days
        planned(made)
        later(made, 1)
    owner.drive_id = drive
    planned(made)
    assert rows(made, "drive")[owner.id].reason == "not-provisioned"
    tenant.sites[site] = facts
    later(made, 0.1)

    planned(made)

    row = rows(made, "drive")[owner.id]
    assert (row.state, row.resource) == (PROTECTED, f"drive:{drive}")


def test_thousands_who_never_had_a_onedrive_cost_a_night_five_requests(made: World) -> None:
    for number in range(250):
        made.tenant.add_user(f"Field {number}", mailbox=False, assignedLicenses=[LICENCE])
    choose(made, "drive")
    planned(made)
    counts = []
    for _ in range(3):
        later(made, 1)
        before = asked(made)
        planned(made)
        counts.append(asked(made) - before)
    assert counts == [100, 100, 100]


def test_an_answer_without_sense_is_no_answer_and_the_next_run_asks_again(made: World) -> None:
    choose(made, "mail")
    made.tenant.faults.map(r"/mailFolders/inbox$", "e", loop=True)
    run = runs.request_backup(made.app, ORG, "test")
    plan.plan_backup(made.app, run.message)
    runs.close_backup(made.app, BackupEnded(ORG, run.id))
    assert runs.show(made.app, ORG, run.id)["state"] != "green"
    made.tenant.faults.calm()
    assert len(planned(made)) == len(made.tenant.mailboxes)


def test_plans_go_on_where_their_time_was_up(made: World) -> None:
    choose(made, "mail", "drive")
    settings = settings_for(made.running, made.folder, step_seconds=0.001)
    hurried = App(settings, scrypt_n=SCRYPT_N)
    request = runs.request_backup(made.app, ORG, "test")
    answers = []
    while not answers or answers[-1].state == "throttled":
        answers.append(plan.plan_backup(hurried, request.message))
    assert [one.code for one in answers[:-1]] == ["planning"] * (len(answers) - 1)
    assert 1 < len(answers) < 6
    assert answers[-1].state == "planned"
    members = sum(one.properties["userType"] == "Member" for one in made.tenant.users.values())
    assert asked(made) == 2 * members + len(made.tenant.mailboxes)  # nobody twice


def test_archives_are_asked_for_where_a_policy_names_them(made: World) -> None:
    choose(made, "mail")
    planned(made)
    assert "archive" not in {row.service for row in made.app.resources.all(ORG)}
    choose(made, "mail", "archive")

    found = planned(made)

    there = {f"archive/archive:{user}" for user in made.tenant.archives}
    assert there
    assert {name for name in found if name.startswith("archive/")} == there
    reasons = {row.name: row.reason for row in rows(made, "archive").values()}
    assert reasons["Sales Inbox"] == "no-archive"


def test_conversations_are_of_microsoft_365_groups_alone(made: World) -> None:
    choose(made, "conversations")
    found = planned(made)
    unified = {one.id for one in made.tenant.groups.values() if one.unified}
    assert found.keys() == {f"conversations/group:{one}" for one in unified}
    assert rows(made, "conversations").keys() == unified


def test_mailboxes_are_found_by_whatever_right_there_is(made: World) -> None:
    roles = made.tenant.backup_app.roles
    roles -= {role for role in roles if role.startswith(("Mail.", "MailboxSettings."))}
    choose(made, "calendar", "mail")

    found = planned(made)

    assert {f"calendar/mailbox:{user}" for user in made.tenant.mailboxes} == found.keys()
    assert {row.reason for row in rows(made).values()} == {"permission-missing"}


def test_rights_that_only_exchange_knows_of_protect_the_mailboxes_in_their_scope(
    made: World,
) -> None:
    app = made.tenant.backup_app
    app.roles -= {role for role in app.roles if role.startswith(("Mail", "Calendars"))}
    app.roles -= {role for role in app.roles if role.startswith(("Contacts", "Tasks"))}
    inside, *outside = made.tenant.mailboxes
    app.mailbox_roles["Mail.Read"] = {inside}
    choose(made, "mail", "calendar")

    run = made.back_up()

    assert run["state"] == "amber"  # for calendar, which nobody granted
    by_owner = rows(made)
    assert (by_owner[inside].state, by_owner[inside].head) == (PROTECTED, 1)
    assert {by_owner[user].reason for user in outside} == {"forbidden"}
    assert {row.reason for row in rows(made, "calendar").values()} == {"permission-missing"}


def test_a_right_that_comes_later_asks_again_at_once(made: World) -> None:
    roles = made.tenant.backup_app.roles
    taken = {role for role in roles if role.startswith(("Mail", "Calendars", "Contacts", "Tasks"))}
    roles -= taken
    choose(made, "mail")
    planned(made)
    assert {row.reason for row in rows(made).values()} == {"permission-missing"}
    roles |= taken
    made.tenant.tokens.revoke_all()
    assert len(planned(made)) == len(made.tenant.mailboxes)


# --- Who left, came back, changed ---


def test_a_conversion_to_a_shared_mailbox_shows_and_changes_nothing_else(made: World) -> None:
    choose(made, "mail")
    made.back_up()
    converted = made.mailbox.user_id
    made.tenant.users[converted].purpose = "shared"
    made.tenant.change_user(converted, assignedLicenses=[], accountEnabled=False)

    assert planned(made)[f"mail/mailbox:{converted}"] == 2
    row = rows(made)[converted]
    assert (row.state, row.facts["purpose"], row.head) == (PROTECTED, "shared", 1)


def test_what_a_mailbox_is_for_is_asked_again_after_a_week(made: World) -> None:
    choose(made, "mail")
    planned(made)
    converted = made.mailbox.user_id
    made.tenant.users[converted].purpose = "room"
    later(made, 6)
    planned(made)
    assert rows(made)[converted].facts["purpose"] == "user"
    later(made, 1)
    planned(made)
    assert rows(made)[converted].facts["purpose"] == "room"


def test_without_the_right_to_ask_the_purpose_is_unknown_and_nothing_fails(made: World) -> None:
    made.tenant.backup_app.roles -= {"MailboxSettings.Read", "MailboxSettings.ReadWrite"}
    choose(made, "mail")
    assert planned(made)
    assert all("purpose" not in row.facts for row in rows(made).values())
    assert not made.tenant.counters.requests["GET /users/{user}/mailboxSettings/{setting}"]


def test_a_deleted_user_is_known_with_the_date_and_goes_on_where_he_was_when_restored(
    made: World,
) -> None:
    choose(made, "mail")
    made.back_up()
    leaver = made.mailbox.user_id
    made.tenant.remove_user(leaver)

    assert f"mail/mailbox:{leaver}" not in planned(made)
    row = rows(made)[leaver]
    at = made.tenant.deleted_users[leaver][1]
    assert (row.state, row.reason, row.head) == (SKIPPED, "left-the-directory", 1)
    assert row.facts["deleted"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")
    gap = next(
        one
        for one in coverage.statement(made.app, ORG)["not_protected"]
        if one["resource"] == row.resource
    )
    assert gap["reason"] == "left-the-directory"

    directory_state.restore(made.tenant, leaver)

    assert planned(made)[f"mail/mailbox:{leaver}"] == 2
    assert rows(made)[leaver].state == PROTECTED


def test_somebody_new_with_the_old_address_starts_anew_and_no_history_is_mixed(
    made: World,
) -> None:
    choose(made, "mail")
    made.back_up()
    old = made.mailbox.user_id
    address = made.tenant.users[old].properties["userPrincipalName"]
    choose(made, "mail", selection={"mode": "include", "users": [address]})
    made.tenant.remove_user(old)
    new = made.tenant.add_user("Second Holder", userPrincipalName=address, mail=address).id

    assert planned(made) == {f"mail/mailbox:{new}": 1}
    by_owner = rows(made)
    assert (by_owner[old].head, by_owner[new].head) == (1, -1)
    assert by_owner[old].reason == "left-the-directory"


def test_a_new_onedrive_in_the_place_of_an_old_one_has_a_history_of_its_own(made: World) -> None:
    choose(made, "drive")
    made.back_up()
    tenant = made.tenant
    owner = next(one for one in tenant.users.values() if one.drive_id)
    old = owner.drive_id
    assert old is not None
    drive = tenant.drives.pop(old)
    made.back_up()
    new = old[:-4] + "AAAA"
    drive.id, owner.drive_id, tenant.drives[new] = new, new, drive

    found = planned(made)

    assert found[f"drive/drive:{new}"] == 1
    by_id = {row.resource: row for row in made.app.resources.all(ORG, "drive")}
    assert (by_id[f"drive:{old}"].state, by_id[f"drive:{old}"].reason) == (SKIPPED, "replaced")
    assert by_id[f"drive:{old}"].head >= 1


# --- The directory, searched ---


def found(made: World, kind: str, text: str = "", **more: Any) -> list[dict[str, Any]]:
    entries, _ = search(made.app, ORG, kind, text, limit=100, **more)
    return entries


def test_people_are_found_by_any_part_of_name_or_address_in_any_case(made: World) -> None:
    choose(made)
    planned(made)
    for text in ("SALES", "inbox", "salesinbox@", user(made, "Sales Inbox")):
        assert [one["displayName"] for one in found(made, "users", text)] == ["Sales Inbox"]
    assert found(made, "users", "nobody is called this") == []


def test_each_person_says_what_there_is_and_why_something_is_missing(made: World) -> None:
    choose(made)
    planned(made)
    by_name = {one["displayName"]: one for one in found(made, "users")}
    shared = by_name["Sales Inbox"]
    assert shared["purpose"] == "shared"
    assert "mail" in shared["services"]
    assert shared["missing"] == {"drive": "no-licence"}
    assert by_name["Nora Guest"]["services"] == []
    assert set(by_name["Nora Guest"]["missing"].values()) == {"guest"}


def test_groups_teams_sites_and_deleted_people_are_found_too(made: World) -> None:
    team = made.tenant.add_group("Team Oslo", [], resourceProvisioningOptions=["Team"])
    choose(made)
    planned(made)
    assert team.id in {one["id"] for one in found(made, "groups", "oslo")}
    teams = {one["id"] for one in found(made, "teams")}
    assert team.id in teams
    assert len(teams) < len(found(made, "groups"))
    assert [one["displayName"] for one in found(made, "sites")] == ["Intranet"]
    (gone,) = found(made, "users", deleted=True)
    assert (gone["displayName"], gone["services"]) == ("Left Berg", [])
    assert gone["deletedDateTime"]


def test_pages_of_a_search_together_are_everything(made: World) -> None:
    choose(made)
    planned(made)
    seen, after = [], ""
    while True:
        page, after = search(made.app, ORG, "users", "", after=after, limit=2)
        seen += [one["id"] for one in page]
        if not after:
            break
    assert sorted(seen) == sorted(made.tenant.users)
    assert len(seen) == len(set(seen))


def test_before_the_first_run_the_tenant_itself_is_asked(made: World) -> None:
    assert directory.known(made.app, ORG).is_empty
    assert "Sales Inbox" in {one["displayName"] for one in found(made, "users", "sales")}
    assert found(made, "users", deleted=True) == []
    assert directory.known(made.app, ORG).is_empty


# --- While a run is under way ---


def test_who_is_deleted_during_a_run_goes_on_with_the_same_history_when_restored(
    made: World,
) -> None:
    choose(made, "mail")
    made.back_up()
    leaver = made.mailbox.user_id
    request = runs.request_backup(made.app, ORG, "test")
    answer = plan.plan_backup(made.app, request.message)
    made.tenant.remove_user(leaver)
    for number in range(answer.shards):
        for drain in plan.shard_resources(made.app, Shard(ORG, request.id, number)):
            made.drain(drain)
    runs.close_backup(made.app, BackupEnded(ORG, request.id))
    assert rows(made)[leaver].state == GONE

    planned(made)
    assert rows(made)[leaver].reason == "left-the-directory"
    directory_state.restore(made.tenant, leaver)
    made.back_up()

    row = rows(made)[leaver]
    assert (row.state, row.resource) == (PROTECTED, f"mailbox:{leaver}")
    assert row.head >= 1
    made.verify()


def test_who_is_converted_during_a_run_is_protected_to_its_end(made: World) -> None:
    choose(made, "mail")
    request = runs.request_backup(made.app, ORG, "test")
    plan.plan_backup(made.app, request.message)
    converted = made.mailbox.user_id
    made.tenant.users[converted].purpose = "shared"
    later(made, 0.01)
    made.tenant.change_user(converted, assignedLicenses=[], accountEnabled=False)
    assert made.finish_backup(request.id)["state"] == "green"
    assert made.mail_in_vault() == made.mail_in_tenant()
    planned(made)
    assert rows(made)[converted].facts["purpose"] == "shared"
