"""Restores: what comes back, where to, and that nothing is written twice or lost on the way."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from base.messages import RestoreRun, WriteBatch
from engine import policies, restore, restore_plan, restore_report, runs
from engine.assembly import App, CredentialMissing, PermissionMissing
from engine.restore_plan import RestoreRequest
from local import demo_checks
from local.demo_checks import Checks
from m365.graph.throttle import Limiter, Permit
from simulator import content_special, truth
from simulator.content import Letter, Person
from simulator.drive_state import Drive
from tests.engine.mortal import Death, Killed
from tests.engine.world import ORG, World, app_for, calm_tenant, world

KINDS = ("mail", "drive")
WRITES_MAX = 200


class Place(World):
    """One person's mail and files are backed up; the person and others have room for restores."""

    def resource(self, service: str) -> str:
        return self.mailbox_id if service == "mail" else f"drive:{self.drive.id}"

    @property
    def drive(self) -> Drive:
        return self.tenant.drives[str(self.tenant.users[self.mailbox.user_id].drive_id)]

    def other(self, service: str) -> str:
        """Somebody else's mailbox or drive."""
        mailbox = list(self.tenant.mailboxes.values())[1]
        if service == "mail":
            return f"mailbox:{mailbox.user_id}"
        return f"drive:{self.tenant.users[mailbox.user_id].drive_id}"

    def held(self, resource: str) -> Any:
        """What the tenant truly holds in a mailbox or drive."""
        kind, _, key = resource.partition(":")
        return truth.whole(self.tenant, {})["mailboxes" if kind == "mailbox" else "drives"][key]

    def ids(self, resource: str) -> set[str]:
        """Messages or files that are there."""
        held = self.held(resource)
        rows = held["messages"] if resource.startswith("mailbox:") else held
        return {row["id"] for row in rows if row.get("kind") != "folder"}

    def some(self, service: str, count: int = 3) -> tuple[str, ...]:
        """Items of the restore point that have all their parts, by kind of item one folder's."""
        view = self.view(service, self.resource(service))
        whole = [e for e in view.catalog.items() if e.kind != "folder" and not _missing(e)]
        by_parent = Counter(entry.parent for entry in whole)
        parent = by_parent.most_common(1)[0][0]
        return tuple(entry.id for entry in whole if entry.parent == parent)[:count]

    def lose(self, service: str, ids: tuple[str, ...]) -> None:
        """Somebody deletes them for good."""
        for one in ids:
            if service == "mail":
                self.mailbox.delete_message(self.mailbox.find(one), for_good=True)
            else:
                self.drive.delete(self.drive.get(one), self.tenant.clock.now())

    def start(self, request: RestoreRequest) -> str:
        """A restore that is planned and written down."""
        wanted, counted = restore_plan.prepare(self.app, ORG, request, look=False)
        return runs.request_restore(self.app, ORG, "test", wanted, counted).id

    def rows(self, run: str) -> list[dict[str, Any]]:
        """The report without its folders."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            rows, after = restore_report.rows(self.app, ORG, run, after)
            found += [row for row in rows if row["kind"] != "folder"]
            if not after:
                return found

    def equal(self, service: str, rows: list[dict[str, Any]], before: Any, resource: str) -> None:
        """Every restored item equals its original."""
        checks = Checks()
        compare = demo_checks.mail_restored if service == "mail" else demo_checks.files_restored
        compare(checks, rows, before, self.held(resource))
        assert checks.differences == []
        assert checks.total > 0


def _missing(entry: Any) -> bool:
    return bool(entry.facts.get("missing"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with world(calm_tenant(seed=5), tmp_path) as made:
        here = Place(made.app, made.running)
        selection = {"mode": "include", "users": [here.mailbox.user_id]}
        policies.change(here.app, ORG, {"services": list(KINDS), "selection": selection}, 1)
        here.back_up()
        yield here
        mailed = [route for route in here.tenant.counters.requests if "send" in route.lower()]
        assert mailed == []  # no restore mails, whatever else it does


# --- What comes back ---


@pytest.mark.parametrize("service", KINDS)
def test_everything_comes_back_in_a_folder_of_its_own(place: Place, service: str) -> None:
    resource = place.resource(service)
    before = place.held(resource)
    old = place.ids(resource)

    run = place.restore(RestoreRequest(service, resource))

    rows = place.rows(run["id"])
    assert run["state"] == "amber" if any(row["troubles"] for row in rows) else "green"
    place.equal(service, rows, before, resource)
    made = {row["new_id"] for row in rows if row["outcome"] == "created"}
    assert place.ids(resource) == old | made


@pytest.mark.parametrize("service", KINDS)
def test_what_was_lost_comes_back_where_it_lay(place: Place, service: str) -> None:
    resource, lost = place.resource(service), place.some(service)
    before = place.held(resource)
    place.lose(service, lost)

    run = place.restore(RestoreRequest(service, resource, items=lost, place="original"))

    assert run["counts"]["created"] == len(lost)
    rows = place.rows(run["id"])
    place.equal(service, rows, before, resource)
    folders = {row["id"]: row for row in _items(before)}
    now = {row["id"]: row for row in _items(place.held(resource))}
    for row in rows:
        assert _folder(now[row["new_id"]]) == _folder(folders[row["id"]])


@pytest.mark.parametrize("service", KINDS)
def test_it_can_go_into_somebody_elses(place: Place, service: str) -> None:
    target = place.other(service)
    before, old = place.held(place.resource(service)), place.ids(target)

    run = place.restore(RestoreRequest(service, place.resource(service), target=target))

    rows = place.rows(run["id"])
    place.equal(service, rows, before, target)
    assert len(place.ids(target)) == len(old) + run["counts"]["created"]


@pytest.mark.parametrize("service", KINDS)
@pytest.mark.parametrize(
    ("conflict", "outcome"), [("skip", "skipped"), ("copy", "copied"), ("replace", "replaced")]
)
def test_what_is_there_already_is_skipped_kept_beside_or_replaced(
    place: Place, service: str, conflict: str, outcome: str
) -> None:
    resource, items = place.resource(service), place.some(service, 2)
    old = place.ids(resource)
    wanted = RestoreRequest(service, resource, items=items, place="original", conflict=conflict)

    plan = restore_plan.prepare(place.app, ORG, wanted)[1]
    run = place.restore(wanted)

    assert plan.conflicts == 2
    assert run["counts"][outcome] == 2
    assert len(place.ids(resource)) == len(old) + (0 if conflict == "skip" else 2) - (
        2 if (service, conflict) == ("drive", "replace") else 0
    )  # replaced mail lies in Deleted Items, a replaced file is a version


def test_empty_folders_come_back_too(place: Place) -> None:
    drive, now = place.drive, place.tenant.clock.now()
    drive.create_folder(drive.root, "Nothing in here", "fail", {"user": {}}, now)
    place.back_up()

    run = place.restore(RestoreRequest("drive", place.resource("drive")))

    names = [row["path"][-1] for row in place.held(place.resource("drive"))]
    assert names.count("Nothing in here") == 2
    assert run["counts"]["folder"] > 0


def test_a_large_attachment_goes_by_upload_session(place: Place) -> None:
    owner = Person("Owner", "owner@contoso.example")
    at = place.tenant.clock.now().replace(microsecond=0)
    letter = Letter(random.Random(1), Person("Sender", "s@contoso.example"), (owner,), at)
    message = place.mailbox.deliver(content_special.big_attachment(letter))
    place.back_up()
    key = place.mailbox.message_id(message, immutable=True)
    before = place.held(place.mailbox_id)

    run = place.restore(RestoreRequest("mail", place.mailbox_id, items=(key,)))

    place.equal("mail", place.rows(run["id"]), before, place.mailbox_id)
    assert place.requests("createUploadSession") == 1


# --- Killed, repeated, side by side ---


class MortalLimiter(Limiter):
    """The gate that every request passes; a write may find its process dead there."""

    death = Death(0, arrives=False)

    def enter(self, *given: Any, **named: Any) -> Permit:
        if named.get("writing") or True in given[3:]:
            if self.death.due():
                raise Killed
        return super().enter(*given, **named)


def dying(place: World, writes: int) -> App:
    """Another process over the same folder that dies before its n-th write to the tenant."""
    app = app_for(place.running, place.folder)
    limiter = MortalLimiter(clock=app.clock)
    limiter.death = Death(writes, arrives=False)
    app.limiter = limiter
    return app


@pytest.mark.parametrize("service", KINDS)
@pytest.mark.parametrize("conflict", ["skip", "copy", "replace"])
def test_a_batch_killed_at_any_write_and_repeated_writes_everything_once(
    place: Place, service: str, conflict: str
) -> None:
    resource, items = place.resource(service), place.some(service, 2)
    source = place.held(resource)
    for writes in range(1, WRITES_MAX):
        before = place.ids(resource)
        wanted = RestoreRequest(
            service,
            resource,
            items=items,
            place="original" if conflict != "skip" else "folder",
            conflict=conflict,
        )
        run = place.start(wanted)
        planned = restore.plan_restore(place.app, RestoreRun(ORG, run))
        assert planned.batches == 1
        app = dying(place, writes)
        survived = False
        with suppress(Killed):
            survived = restore.write_batch(app, WriteBatch(ORG, run, 0)).state == "done"
        ended = place.finish_restore(run)

        assert ended["state"] == "green", (writes, ended)
        rows = place.rows(run)
        if (service, conflict) != ("drive", "copy"):  # which has names of its own
            place.equal(service, rows, source, resource)
        grown = len(place.ids(resource)) - len(before)
        assert grown == (0 if (service, conflict) == ("drive", "replace") else 2), writes
        if survived:
            return
    raise AssertionError("the batch never survived")


@pytest.mark.parametrize("service", KINDS)
def test_a_batch_cut_off_by_throttling_reports_and_undoes_its_own_items_only(
    place: Place, service: str
) -> None:
    """An earlier restore's items of the same content lie in the same folder."""
    resource, items = place.resource(service), place.some(service, 3)
    wanted = RestoreRequest(service, resource, items=items[:1], folder_name="Back again")
    place.restore(wanted)
    earlier = place.ids(resource)
    writes = r"POST.*/messages$" if service == "mail" else r"POST.*createUploadSession"
    place.tenant.limits.retry_after_s = 6
    place.tenant.faults.map(writes, "." + "t")

    run = place.start(RestoreRequest(service, resource, items=items, folder_name="Back again"))
    restore.plan_restore(place.app, RestoreRun(ORG, run))
    assert restore.write_batch(place.app, WriteBatch(ORG, run, 0)).state == "throttled"
    fresh = World(app_for(place.running, place.folder), place.running)
    fresh.finish_restore(run)

    outcomes = Counter(row["outcome"] for row in place.rows(run))
    assert outcomes == {"skipped": 1, "created": 2}
    assert len(place.ids(resource) - earlier) == 2

    undo = runs.request_undo(fresh.app, ORG, "test", run)
    assert fresh.finish_restore(undo.id)["counts"]["removed"] == 2
    assert place.ids(resource) >= earlier
    gone = place.ids(resource) - earlier
    if service == "mail":  # a removed message lies in Deleted Items
        gone = {one for one in gone if "Deleted Items" not in _path(place, one)}
    assert gone == set()


def test_a_batch_beside_its_own_ghost_writes_everything_once(place: Place) -> None:
    resource, items = place.mailbox_id, place.some("mail", 4)
    before = place.ids(resource)
    run = place.start(RestoreRequest("mail", resource, items=items))
    restore.plan_restore(place.app, RestoreRun(ORG, run))
    apps = [app_for(place.running, place.folder) for _ in range(2)]
    place.tenant.latency_s = 0.02

    with ThreadPoolExecutor(2) as pool:
        batch = WriteBatch(ORG, run, 0)
        answers = list(pool.map(lambda app: restore.write_batch(app, batch).state, apps))

    assert set(answers) <= {"done", "throttled"}
    assert "done" in answers
    place.finish_restore(run)
    assert len(place.ids(resource)) == len(before) + 4


@pytest.mark.parametrize("conflict", ["skip", "copy"])
def test_a_target_that_hides_our_marks_gets_nothing_twice(place: Place, conflict: str) -> None:
    """It ignores $expand, which a service may do without a word."""
    resource, items = place.mailbox_id, place.some("mail", 3)
    place.lose("mail", items)
    before = place.ids(resource)
    wanted = RestoreRequest("mail", resource, items=items, place="original", conflict=conflict)
    run = place.start(wanted)
    restore.plan_restore(place.app, RestoreRun(ORG, run))
    with pytest.raises(Killed):
        restore.write_batch(dying(place, 3), WriteBatch(ORG, run, 0))
    written = place.ids(resource) - before
    assert 0 < len(written) < 3
    for one in written:
        place.mailbox.find(one).extended.clear()

    place.finish_restore(run)

    assert len(place.ids(resource) - before) == 3
    rows = place.rows(run)
    unsure = [row for row in rows if row["outcome"] == "skipped"]
    assert len(unsure) == len(written)
    assert {row["troubles"][0]["cause"] for row in unsure} == {"perhaps-written-before"}


def test_an_undo_may_be_repeated(place: Place) -> None:
    run = place.restore(RestoreRequest("drive", place.resource("drive")))["id"]
    after = place.ids(place.resource("drive"))
    made = {row["new_id"] for row in place.rows(run) if row["outcome"] == "created"}

    for _ in range(2):
        undo = runs.request_undo(place.app, ORG, "test", run)
        assert place.finish_restore(undo.id)["state"] == "green"

    assert place.ids(place.resource("drive")) == after - made


# --- What cannot be done says so ---


def test_a_full_drive_ends_the_restore_and_every_row_says_why(place: Place) -> None:
    resource = place.resource("drive")
    place.drive.quota_bytes = place.drive.used_bytes()

    run = place.restore(RestoreRequest("drive", resource))

    assert (run["state"], run["code"]) == ("amber", "quota-full")  # folders and empty files fit
    rows = place.rows(run["id"])
    failed = [row for row in rows if row["outcome"] == "failed"]
    assert {row["troubles"][0]["cause"] for row in failed} == {"quota-full"}
    assert place.requests("createUploadSession") <= 2  # nothing is tried behind the first refusal


def test_a_mailbox_that_vanishes_meanwhile_ends_the_restore(place: Place) -> None:
    target = place.other("mail")
    run = place.start(RestoreRequest("mail", place.mailbox_id, target=target))
    place.tenant.mailboxes.pop(target.removeprefix("mailbox:"))

    ended = place.finish_restore(run)

    assert (ended["state"], ended["code"]) == ("red", "resource-gone")
    assert {row["outcome"] for row in place.rows(run)} == {"failed"}


def test_without_a_restore_credential_nothing_starts(place: Place) -> None:
    run = place.start(RestoreRequest("mail", place.mailbox_id))
    place.app.organizations.change(ORG, lambda one: replace(one, restore_credential_sealed=""))

    with pytest.raises(CredentialMissing):
        place.start(RestoreRequest("mail", place.mailbox_id))
    ended = place.finish_restore(run)

    assert (ended["state"], ended["code"]) == ("red", "credential-missing")


@pytest.mark.parametrize(
    ("service", "permission"), [("mail", "Mail.ReadWrite"), ("drive", "Files.ReadWrite.All")]
)
def test_a_missing_permission_is_named_before_anything_is_written(
    place: Place, service: str, permission: str
) -> None:
    place.tenant.restore_app.roles -= {permission, "Sites.ReadWrite.All", "Sites.Manage.All"}
    before = place.ids(place.resource(service))

    with pytest.raises(PermissionMissing) as refused:
        place.start(RestoreRequest(service, place.resource(service)))

    assert refused.value.details == {"permissions": [permission], "service": service}
    assert place.ids(place.resource(service)) == before


def _items(held: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = held["messages"] if isinstance(held, dict) else held
    return found


def _folder(row: dict[str, Any]) -> Any:
    return row["folder"] if "folder" in row else row["path"][:-1]


def _path(place: Place, message: str) -> list[str]:
    rows = place.held(place.mailbox_id)["messages"]
    found: list[str] = next(row["folder"] for row in rows if row["id"] == message)
    return found
