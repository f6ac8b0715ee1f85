"""Processes that die at every write, twins that race, answers that break: nothing lost, nothing
twice.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import simulator
from base.clock import SystemClock
from base.messages import BackupEnded, BackupRun, Drain, Drained, ExportRun, Shard
from engine import backup, export, ledger, plan, policies, resources, runs
from engine.assembly import App
from simulator import contoso
from tests.engine.mortal import Death, Killed, MortalApp
from tests.engine.world import ORG, SCRYPT_N, World, app_for, calm_tenant, settings_for, take_in
from vault import Store

WRITES_MAX = 400  # more would mean that the run never succeeds


class Place:
    """A small tenant that is served, and folders to protect it from."""

    def __init__(self, running: simulator.Running, folder: Path) -> None:
        self.running = running
        self.folder = folder

    def fresh(self, name: str, protection: str = "full") -> Path:
        """A new folder where nothing was backed up yet."""
        folder = self.folder / name
        app = app_for(self.running, folder)
        take_in(app, self.running)
        self._only_one_person(app, protection)
        return folder

    def progressive(self, name: str) -> Path:
        """The same, with MIME in a pass of its own: meets every kind of write."""
        return self.fresh(name, "progressive")

    def copy(self, source: Path, name: str) -> Path:
        """A folder like another one."""
        return Path(shutil.copytree(source, self.folder / name))

    def _only_one_person(self, app: App, protection: str) -> None:
        """The first mailbox and its drive: enough to meet every kind of write."""
        owner = World(app, self.running).mailbox.user_id
        document = {
            "services": ["mail", "drive"],
            "selection": {"mode": "include", "users": [owner]},
            "protection": protection,
        }
        policies.change(app, ORG, document, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("crash")
    tenant = calm_tenant(seed=8)
    tenant.limits.sharepoint_ru_per_minute = 1_000_000  # a minute here holds hundreds of backups
    with simulator.serve(tenant, ca_out=folder / "ca.pem") as running:
        yield Place(running, folder)


def holds_everything(made: World) -> None:
    """The newest restore points equal the tenant, and every byte of the vault checks clean."""
    mailbox = made.mailbox
    drive = f"drive:{made.tenant.users[mailbox.user_id].drive_id}"
    assert made.mail_in_vault(f"mailbox:{mailbox.user_id}") == made.mail_in_tenant(mailbox)
    assert made.files_in_vault(drive) == made.files_in_tenant(drive)
    made.verify()


class _Later(SystemClock):
    """Two minutes on: nobody waits for a run any more that died before it was written down."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=2)


def _next_app(place: Place, folder: Path) -> App:
    return App(settings_for(place.running, folder), clock=_Later(), scrypt_n=SCRYPT_N)


def die_everywhere(
    place: Place, start: Callable[[str], Path], which: str, *, arrives: bool, every: int = 1
) -> int:
    """A process that dies at the n-th write, and another that finishes its run; for every n.

    Answers how many deaths there were.
    """
    for deaths, number in enumerate(range(1, WRITES_MAX, every)):
        death = Death(number, arrives=arrives)
        folder = start(f"{which}-{arrives}-{number}")
        first = MortalApp(settings_for(place.running, folder, step_items=25), **{which: death})
        run = ""
        try:
            run = runs.request_backup(first, ORG, "test").id
            World(first, place.running).finish_backup(run)
        except Killed:
            second = World(_next_app(place, folder), place.running)
            ended = second.finish_backup(run) if run else second.back_up()
            assert ended["state"] in ("green", "amber"), (number, ended)
            holds_everything(second)
        shutil.rmtree(folder)
        if not death.came:
            return deaths
    raise AssertionError("the run never succeeded")


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "arrived"])
def test_a_first_backup_that_dies_at_any_write_of_the_vault_is_finished(
    place: Place, arrives: bool
) -> None:
    assert die_everywhere(place, place.progressive, "vault", arrives=arrives) > 6


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "arrived"])
def test_a_first_backup_that_dies_at_writes_of_its_records_is_finished(
    place: Place, arrives: bool
) -> None:
    assert die_everywhere(place, place.progressive, "records", arrives=arrives, every=5) > 4


@pytest.mark.parametrize(("which", "every"), [("vault", 1), ("records", 4)])
def test_an_incremental_that_dies_at_any_write_is_finished(
    tmp_path: Path, which: str, every: int
) -> None:
    tenant = calm_tenant(seed=8)
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        place = Place(running, tmp_path)
        before = place.fresh("before")
        World(app_for(running, before), running).back_up()
        contoso.month(tenant)

        def start(name: str) -> Path:
            return place.copy(before, name)

        assert die_everywhere(place, start, which, arrives=True, every=every) > 3


# --- Twins ---


class Overtaken(App):
    """An app that meets another process's work just before it commits its first page."""

    meanwhile: Callable[[], None] | None = None

    def _make_store(self, org: str) -> Store:
        store = super()._make_store(org)
        put_new = store.put_new

        def late(name: str, data: bytes) -> bool:
            if name.startswith("m/") and self.meanwhile is not None:
                meanwhile, self.meanwhile = self.meanwhile, None
                meanwhile()
            return put_new(name, data)

        store.put_new = late  # type: ignore[method-assign]
        return store


@pytest.mark.parametrize("step_items", [20, 1000])
def test_a_step_that_read_further_than_the_twin_that_won_loses_nothing(
    place: Place, step_items: int
) -> None:
    """The slow one has many items in hand when it finds a page with one item in its place."""
    folder = place.fresh(f"overtaken-{step_items}")
    settings = settings_for(place.running, folder, step_items=step_items)
    slow = Overtaken(settings, scrypt_n=SCRYPT_N)
    fast = app_for(place.running, folder, step_seconds=0.001)
    made = World(slow, place.running)
    request = runs.request_backup(slow, ORG, "test")
    drain = Drain(ORG, request.id, "mail", made.mailbox_id, 1)
    slow.meanwhile = lambda: first_answers.append(backup.drain(fast, drain).state)
    first_answers: list[str] = []

    assert backup.drain(slow, drain).state == "more"
    assert first_answers == ["more"]
    made.drain(drain)

    assert made.mail_in_vault() == made.mail_in_tenant()
    made.verify()


def test_two_processes_that_tell_one_run_leave_everything_once(place: Place) -> None:
    folder = place.progressive("twins")
    twins = [World(app_for(place.running, folder, step_items=7), place.running) for _ in range(2)]
    request = runs.request_backup(twins[0].app, ORG, "test")

    ended = side_by_side(*(lambda twin=twin: twin.finish_backup(request.id) for twin in twins))

    assert [run["state"] for run in ended] == ["green", "green"]
    assert [row.state for row in twins[0].app.runs.page(ORG).items] == ["green"]
    holds_everything(twins[0])


def test_a_slow_twin_does_not_take_back_that_a_chain_is_done(place: Place) -> None:
    """Its step that lost a race is written down behind the one that ended the chain."""
    made = World(app_for(place.running, place.fresh("slow-twin")), place.running)
    request = runs.request_backup(made.app, ORG, "test")
    planned = plan.plan_backup(made.app, BackupRun(ORG, request.id))
    for number in range(planned.shards):
        for drain in plan.shard_resources(made.app, Shard(ORG, request.id, number)):
            made.drain(drain)
            resources.note_step(made.app, drain, Drained("more", 0.0, "", {"requests": 3}))

    runs.close_backup(made.app, BackupEnded(ORG, request.id, planned.code))

    assert runs.show(made.app, ORG, request.id)["state"] == "green"


def test_a_plan_made_twice_names_the_same_work(place: Place) -> None:
    folder = place.fresh("plans")
    apps = [app_for(place.running, folder) for _ in range(2)]
    request = runs.request_backup(apps[0], ORG, "test")

    plans = side_by_side(*(lambda app=app: plan.plan_backup(app, request.message) for app in apps))

    assert plans[0] == plans[1]
    assert plans[0].state == "planned"
    held = apps[0].work.get(ORG, request.id, 0)
    assert held is not None
    assert len(held.resources) == 2 or plans[0].shards == 2


def test_what_a_dead_step_could_not_copy_is_in_the_ledger_all_the_same(place: Place) -> None:
    """It died between its commit and the ledger; the page remembers."""
    folder = place.fresh("ledger")
    made = World(app_for(place.running, folder), place.running)
    message = next(iter(made.mailbox.folder("inbox").messages.values()))
    message.broken = "ErrorInternalServerError"
    try:
        request = runs.request_backup(made.app, ORG, "test")
        drain = Drain(ORG, request.id, "mail", made.mailbox_id, 1)
        chain = resources.chain("mail", made.mailbox_id)
        committed = False
        for number in range(1, 20):
            death = Death(number, arrives=False)
            dying = MortalApp(settings_for(place.running, folder), records=death)
            with suppress(Killed):
                backup.drain(dying, drain)
            committed = made.app.vault(ORG).round(chain, 1).pages > 0
            if committed:
                break
        assert committed
        assert ledger.listed(made.app, ORG)[0] == []  # it died in between
        made.drain(drain)
        assert [row["part"] for row in ledger.listed(made.app, ORG)[0]] == ["mime"]
    finally:
        message.broken = None


def test_an_export_written_by_two_processes_at_once_is_one_archive(place: Place) -> None:
    folder = place.fresh("exports")
    made = World(app_for(place.running, folder), place.running)
    made.back_up()
    body = {"service": "mail", "resource": made.mailbox_id}
    request = runs.request_export(made.app, ORG, "test", body)
    message = ExportRun(ORG, request.id)
    apps = [app_for(place.running, folder) for _ in range(2)]

    answers = side_by_side(*(lambda app=app: export.write_export(app, message) for app in apps))

    assert {answer.state for answer in answers} == {"done"}
    assert export.close_export(apps[0], message).state == "done"
    data = b"".join(export.read_archive(made.app, ORG, request.id))
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert len(opened.namelist()) >= len(made.mail_in_tenant())
    made.verify()


# --- Answers that break ---

BREAKS = [
    (r"messages/delta", "X"),
    (r"messages/delta", "x"),
    (r"messages/delta", "h"),
    (r"root/delta", "h"),
    (r"\$value", "x"),
]


@pytest.mark.parametrize(("route", "letter"), BREAKS)
def test_answers_that_break_off_cost_nothing(place: Place, route: str, letter: str) -> None:
    folder = place.fresh(f"break-{BREAKS.index((route, letter))}")
    made = World(app_for(place.running, folder), place.running)
    faults = made.tenant.faults
    rule = faults.map(route, f"{letter}.{letter}")
    try:
        assert made.back_up()["state"] in ("green", "amber")
        assert rule.used > 0
        made.back_up()
    finally:
        faults.calm()
    holds_everything(made)


@pytest.mark.parametrize(
    ("route", "at"), [("messages/delta", 0), ("messages/delta", 2), ("root/delta", 0)]
)
def test_a_link_to_a_foreign_host_is_neither_followed_nor_kept(
    place: Place, route: str, at: int
) -> None:
    folder = place.fresh(f"foreign-{route[0]}-{at}")
    made = World(app_for(place.running, folder, step_items=2), place.running)
    rule = made.tenant.faults.map(route, "." * at + "f")
    try:
        run = made.back_up()
    finally:
        made.tenant.faults.calm()
    assert rule.used == at + 1
    assert run["state"] == "amber"
    assert "foreign-host" in {row.last_code for row in made.app.resources.all(ORG)}

    assert made.back_up()["state"] == "green"

    holds_everything(made)


def side_by_side(*works: Callable[[], Any]) -> list[Any]:
    """What each answers; all begin together."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [started.result() for started in [pool.submit(work) for work in works]]
