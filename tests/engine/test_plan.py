"""Plans: who is protected, who is not and why, for few requests; and one run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base.clock import SystemClock
from base.messages import BackupEnded, BackupRun, Shard
from engine import coverage, plan, policies, runs
from engine.assembly import App
from simulator.mailbox import Mailbox
from state.resources import GONE, PROTECTED, SKIPPED, ResourceRow
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, world


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    tenant = calm_tenant(seed=5)
    tenant.add_user("Nobody Yet", mailbox=False)
    with world(tenant, tmp_path) as here:
        yield here


class LaterClock(SystemClock):
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def now(self) -> datetime:
        return super().now() + self.passed


def choose(made: World, mode: str, *users: str, services: tuple[str, ...] = ("mail",)) -> None:
    version = policies.show(made.app, ORG)["version"]
    document = {
        "services": list(services),
        "selection": {"mode": mode, "users": list(users)},
        "protection": "full",
    }
    policies.change(made.app, ORG, document, version)


def planned(made: World) -> dict[str, Any]:
    """A plan of its own run, which is then given up; what it covers, by service and resource."""
    request = runs.request_backup(made.app, ORG, "test")
    answer = plan.plan_backup(made.app, request.message)
    assert answer.state == "planned", answer.code
    found = {
        f"{drain.service}/{drain.resource}": drain.snapshot
        for number in range(answer.shards)
        for drain in plan.shard_resources(made.app, Shard(ORG, request.id, number))
    }
    assert answer.resources == len(found)
    runs.close_backup(made.app, BackupEnded(ORG, request.id))
    return found


def rows(made: World, service: str = "mail") -> dict[str, ResourceRow]:
    """By owner; one row for each. Those of sites, which may have several, are left out."""
    found = [row for row in made.app.resources.all(ORG, service) if "site" not in row.facts]
    by_owner = {str(row.facts["owner"]): row for row in found}
    assert len(by_owner) == len(found)
    return by_owner


# --- Who ---


def test_everybody_is_protected_or_skipped_with_the_reason(made: World) -> None:
    choose(made, "all", services=("mail", "drive"))

    found = planned(made)

    tenant = made.tenant
    assert {name for name in found if name.startswith("mail/")} == {
        f"mail/mailbox:{user}" for user in tenant.mailboxes
    }
    by_owner = rows(made)
    assert by_owner.keys() == tenant.users.keys()
    for user, row in by_owner.items():
        expected = (PROTECTED, "") if user in tenant.mailboxes else (SKIPPED, "no-licence")
        assert (row.state, row.reason) == expected
    for user, row in rows(made, "drive").items():
        has_drive = tenant.users[user].drive_id is not None
        assert (row.state, row.reason) == (
            (PROTECTED, "") if has_drive else (SKIPPED, "no-licence")
        )


def test_people_are_chosen_by_id_or_address_whatever_its_case(made: World) -> None:
    first, second, *_ = made.tenant.mailboxes
    address = made.tenant.users[second].properties["userPrincipalName"]
    choose(made, "include", first, address.upper())

    assert planned(made).keys() == {f"mail/mailbox:{first}", f"mail/mailbox:{second}"}
    others = [row for user, row in rows(made).items() if user not in (first, second)]
    assert {(row.state, row.reason) for row in others} == {(SKIPPED, "not-selected")}


def test_the_excluded_are_not_asked_for(made: World) -> None:
    first, *rest = made.tenant.mailboxes
    choose(made, "exclude", *rest)

    assert planned(made).keys() == {f"mail/mailbox:{first}"}


def test_a_service_the_policy_drops_is_not_selected_and_its_backups_stay(made: World) -> None:
    choose(made, "all", services=("mail", "drive"))
    made.back_up()
    head = made.view("drive", made.drive_id).snapshot.number
    choose(made, "all", services=("mail",))

    assert not any(name.startswith("drive/") for name in planned(made))

    assert {row.reason for row in rows(made, "drive").values()} == {"not-selected"}
    assert made.view("drive", made.drive_id).snapshot.number == head


def test_a_leaver_is_skipped_and_the_restore_points_stay(made: World) -> None:
    choose(made, "all")
    made.back_up()
    leaver = made.mailbox.user_id
    made.tenant.remove_user(leaver)

    assert f"mail/mailbox:{leaver}" not in planned(made)

    row = rows(made)[leaver]
    assert (row.state, row.reason, row.head) == (SKIPPED, "left-the-directory", 1)


def test_a_mailbox_that_appears_later_is_found_and_takes_the_place_of_its_row(made: World) -> None:
    choose(made, "all")
    made.back_up()
    mailboxes = made.tenant.mailboxes
    late = next(user for user in made.tenant.users if user not in mailboxes)
    mailboxes[late] = Mailbox(late, made.tenant.clock.stamp, 7)
    made.tenant.change_user(late, assignedLicenses=[{"skuId": "c7df2760"}])

    assert planned(made)[f"mail/mailbox:{late}"] == 1
    made.back_up()
    made.back_up()

    row = rows(made)[late]  # which also says that there is no second row
    assert (row.resource, row.state, row.head) == (f"mailbox:{late}", PROTECTED, 1)
    assert planned(made)[f"mail/mailbox:{late}"] == 2


def test_a_lost_permission_disables_its_service_only_and_is_named(made: World) -> None:
    choose(made, "all", services=("mail", "drive"))
    made.tenant.backup_app.roles -= {"Files.Read.All", "Sites.Read.All", "Files.ReadWrite.All"}

    run = made.back_up()

    assert run["state"] == "amber"
    assert run["detail"]["resources"]["failed"] == 1
    assert {row.state for row in rows(made).values()} == {PROTECTED, SKIPPED}
    drives = rows(made, "drive").values()
    assert {(row.state, row.reason) for row in drives} == {(SKIPPED, "permission-missing")}
    gaps = coverage.statement(made.app, ORG)["not_protected"]
    named = {tuple(gap["permissions"]) for gap in gaps if gap["service"] == "drive"}
    assert named == {("Files.Read.All",), ("Sites.Read.All",)}  # of people, and of all sites

    made.tenant.backup_app.roles |= {"Files.Read.All", "Sites.Read.All"}

    assert made.back_up()["state"] == "green"


def test_nothing_readable_at_all_is_red_and_says_why(made: World) -> None:
    choose(made, "all")
    made.tenant.backup_app.roles -= {"Mail.Read", "Mail.ReadWrite"}

    run = made.back_up()

    assert (run["state"], run["code"]) == ("red", "permission-missing")


def test_a_vanished_mailbox_is_asked_for_again_and_protected_when_it_is_back(made: World) -> None:
    choose(made, "all")
    made.back_up()
    user = made.mailbox.user_id
    mailbox = made.tenant.mailboxes.pop(user)
    made.back_up()
    assert rows(made)[user].state == GONE

    assert f"mail/mailbox:{user}" not in planned(made)
    made.tenant.mailboxes[user] = mailbox
    made.back_up()

    assert rows(made)[user].state == PROTECTED


# --- How ---


def test_an_idle_night_asks_a_directory_of_2500_people_three_questions(tmp_path: Path) -> None:
    tenant = calm_tenant(seed=5)
    tenant.limits.identity_ru = 10**6
    for number in range(2500):
        tenant.add_user(f"Guest {number}", mailbox=False)
    with world(tenant, tmp_path) as made:
        choose(made, "include", *list(tenant.mailboxes)[:3])
        planned(made)
        before = made.requests()

        planned(made)

        assert made.requests() - before == 3  # a round of users, of groups, of sites
        assert len(rows(made)) == len(tenant.users)


def test_shards_are_small_enough_to_be_shared_and_keep_a_person_together(made: World) -> None:
    choose(made, "all", services=("mail", "drive"))
    request = runs.request_backup(made.app, ORG, "test")

    answer = plan.plan_backup(made.app, BackupRun(ORG, request.id, steps_at_once=2))

    shards = [
        plan.shard_resources(made.app, Shard(ORG, request.id, number))
        for number in range(answer.shards)
    ]
    assert answer.shards >= 2
    assert all(0 < len(shard) <= plan.SHARD_RESOURCES for shard in shards)
    owner = {row.resource: row.facts["owner"] for row in made.app.resources.all(ORG)}
    seen = [{owner[drain.resource] for drain in shard} for shard in shards]
    assert sum(map(len, seen)) == len(set().union(*seen))


def test_a_plan_repeated_names_the_same_work(made: World) -> None:
    choose(made, "all", services=("mail", "drive"))
    request = runs.request_backup(made.app, ORG, "test")

    first = plan.plan_backup(made.app, request.message)
    held = [plan.shard_resources(made.app, Shard(ORG, request.id, n)) for n in range(first.shards)]
    again = plan.plan_backup(made.app, request.message)

    assert again == first
    assert held == [
        plan.shard_resources(made.app, Shard(ORG, request.id, n)) for n in range(again.shards)
    ]


# --- One at a time ---


def test_an_expired_lease_is_taken_over_and_the_old_run_stops(made: World) -> None:
    choose(made, "all")
    old = runs.request_backup(made.app, ORG, "test")
    plan.plan_backup(made.app, old.message)
    clock = LaterClock()
    later = App(settings_for(made.running, made.folder), clock=clock, scrypt_n=SCRYPT_N)
    clock.passed = runs.LEASE_LASTS - timedelta(minutes=1)
    with pytest.raises(runs.AlreadyRunning):
        runs.request_backup(later, ORG, "test")
    clock.passed = runs.LEASE_LASTS + timedelta(minutes=1)

    new = runs.request_backup(later, ORG, "test")

    assert plan.plan_backup(made.app, old.message).code == "backup-running"
    assert World(later, made.running).finish_backup(new.id)["state"] == "green"


def test_a_cancelled_run_gives_way_at_once(made: World) -> None:
    first = runs.request_backup(made.app, ORG, "test")
    runs.cancel(made.app, ORG, first.id, "test")

    assert plan.plan_backup(made.app, first.message).code == "cancelled"
    runs.request_backup(made.app, ORG, "test")
    assert runs.show(made.app, ORG, first.id)["state"] == "cancelled"


def test_a_directory_that_asks_to_wait_is_asked_again_later(tmp_path: Path) -> None:
    with world(calm_tenant(seed=4), tmp_path) as made:
        made.tenant.limits.retry_after_s = 60
        made.tenant.faults.map(r"^GET /users/delta$", "t")
        request = runs.request_backup(made.app, ORG, "test")

        planned = plan.plan_backup(made.app, request.message)

        assert planned.state == "throttled"
        assert planned.retry_after_s > 30


@pytest.mark.parametrize(("people", "lanes"), [(1, 8), (3, 2), (9, 4)])
def test_each_lane_meets_its_follow_ups_behind_its_own_shards(
    tmp_path: Path, people: int, lanes: int
) -> None:
    """A lane takes every n-th shard: no other lane may begin a follow-up before its feeds."""
    tenant = calm_tenant(seed=2)
    for number in range(people):
        tenant.add_user(f"Person {number}")
    with world(tenant, tmp_path) as made:
        version = policies.show(made.app, ORG)["version"]
        document = {"services": ["mail"], "protection": "progressive"}
        policies.change(made.app, ORG, document, version)
        request = runs.request_backup(made.app, ORG, "test")
        answer = plan.plan_backup(made.app, replace(request.message, steps_at_once=lanes))
        seen: dict[str, int] = {}
        followed = set()
        for number in range(answer.shards):
            for drain in plan.shard_resources(made.app, Shard(ORG, request.id, number)):
                if drain.follow_up:
                    assert seen[drain.resource] == number % lanes
                    followed.add(drain.resource)
                else:
                    seen[drain.resource] = number % lanes
        assert followed == set(seen)
        assert min(lanes, answer.shards) == lanes  # what the story makes of it
