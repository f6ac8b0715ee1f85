"""Items first, their MIME later: what a restore point holds after each pass, and what is never
forgotten on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simulator
from base.messages import BackupEnded, BackupRun, Drain, Shard
from engine import backup, browse, coverage, ledger, plan, policies, runs
from engine.backlog import LATER
from simulator import contoso
from simulator.mailbox import Message
from tests.engine.world import ORG, World, app_for, calm_tenant, take_in


class Place:
    """A tenant of one mailbox that is served, and installations with a protection of choice."""

    def __init__(self, running: simulator.Running, folder: Path) -> None:
        self.running = running
        self.folder = folder

    def world(self, protection: str, **settings: Any) -> World:
        app = app_for(self.running, self.folder / protection, **settings)
        take_in(app, self.running)
        made = World(app, self.running)
        choose(made, protection)
        return made

    def hasty(self, made: World) -> World:
        """Another process over the same installation, whose steps end behind their first item."""
        folder = made.app.settings.data_dir.parent
        return World(app_for(self.running, folder, step_seconds=0.001), self.running)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with simulator.serve(calm_tenant(seed=5), ca_out=tmp_path / "ca.pem") as running:
        yield Place(running, tmp_path)


def choose(made: World, protection: str) -> None:
    version = policies.show(made.app, ORG)["version"]
    owner = made.mailbox.user_id
    document = {
        "services": ["mail"],
        "selection": {"mode": "include", "users": [owner]},
        "protection": protection,
    }
    policies.change(made.app, ORG, document, version)


def planned(made: World) -> tuple[str, list[Drain]]:
    """A run and its steps: feeds first, then what follows."""
    run = runs.request_backup(made.app, ORG, "test").id
    answer = plan.plan_backup(made.app, BackupRun(ORG, run))
    shards = [Shard(ORG, run, number) for number in range(answer.shards)]
    return run, [drain for one in shards for drain in plan.shard_resources(made.app, one)]


def waiting_ids(made: World) -> set[str]:
    catalog = made.view("mail", made.mailbox_id).catalog
    return {entry.id for entry in catalog.items() if LATER in entry.facts}


def has_mime(made: World) -> dict[str, bool]:
    """By id of every message of the newest restore point."""
    view = made.view("mail", made.mailbox_id)
    found = {}
    for entry in view.catalog.items():
        if entry.kind != "folder":
            found[entry.id] = any(content.role == "mime" for content in entry.contents)
    return found


def numbers(made: World) -> list[int]:
    chain = f"mail/{made.mailbox_id}"
    return made.app.vault(ORG).numbers(chain)


def a_message(made: World) -> Message:
    return next(
        one for one in made.mailbox.folder("inbox").messages.values() if one.mime and not one.broken
    )


# --- The two passes ---


def test_a_mailbox_is_a_restore_point_before_any_of_its_mime_is_read(place: Place) -> None:
    made = place.world("progressive")
    _, (first, later) = planned(made)
    assert (first.follow_up, later.follow_up) == (False, True)

    made.drain(first)

    without_mime = {
        key: (*truth[:3], None, truth[4]) for key, truth in made.mail_in_tenant().items()
    }
    assert made.mail_in_vault() == without_mime
    assert made.requests("/$value") == made.requests("attachments/{attachment}/$value")
    view = made.view("mail", made.mailbox_id)
    message = next(entry for entry in view.catalog.items() if entry.kind == "message")
    assert browse.as_file(view.item(message.id)).rebuilt


def test_the_mime_follows_in_a_restore_point_of_its_own(place: Place) -> None:
    made = place.world("progressive")
    run = made.back_up()

    assert run["state"] == "green"
    assert numbers(made) == [1, 2]
    assert made.mail_in_vault() == made.mail_in_tenant()
    assert coverage.statement(made.app, ORG)["waiting"] == 0
    made.verify()


def test_the_newest_messages_get_their_mime_first(place: Place) -> None:
    made = place.world("progressive")
    _, (first, later) = planned(made)
    made.drain(first)
    catalog = made.view("mail", made.mailbox_id).catalog
    times = [str(entry.row["received"]) for entry in catalog.items() if LATER in entry.facts]

    for _ in range(4):
        assert backup.drain(place.hasty(made).app, later).state == "more"
    runs.close_backup(made.app, BackupEnded(ORG, later.run))
    made.back_up()  # of feeds, which goes on in the round that was cut, and of what still waits

    chain = f"mail/{made.mailbox_id}"
    vault = made.app.vault(ORG)
    second = vault.catalog(vault.snapshot(chain, 2))
    whole = [
        str(entry.row["received"])
        for entry in second.items()
        if entry.kind != "folder" and LATER not in entry.facts
    ]
    assert sorted(whole) == sorted(times)[-4:]


def test_a_night_without_anything_left_plans_no_second_pass(place: Place) -> None:
    made = place.world("progressive")
    made.back_up()

    _, drains = planned(made)

    assert [drain.follow_up for drain in drains] == [False]


def test_what_arrives_after_the_first_pass_is_copied_whole_at_once(place: Place) -> None:
    made = place.world("progressive")
    made.back_up()
    known = set(has_mime(made))
    with made.tenant.lock:
        contoso.month(made.tenant)
    _, (only,) = planned(made)

    made.drain(only)

    fresh = {key: whole for key, whole in has_mime(made).items() if key not in known}
    assert fresh
    assert all(fresh.values())
    assert made.mail_in_vault() == made.mail_in_tenant()


# --- The other protections ---


def test_full_copies_everything_in_one_restore_point(place: Place) -> None:
    made = place.world("full")
    made.back_up()

    assert numbers(made) == [1]
    assert made.mail_in_vault() == made.mail_in_tenant()


def test_fast_never_asks_for_mime_and_a_later_policy_brings_it(place: Place) -> None:
    made = place.world("fast")
    for _ in range(2):
        assert made.back_up()["state"] == "green"
    assert not any(has_mime(made).values())
    assert coverage.statement(made.app, ORG)["waiting"] == len(has_mime(made))

    choose(made, "full")
    made.back_up()

    assert made.mail_in_vault() == made.mail_in_tenant()


# --- What goes on meanwhile ---


def test_a_read_flip_of_a_waiting_message_does_not_forget_that_it_waits(place: Place) -> None:
    made = place.world("progressive")
    run, (first, _) = planned(made)
    made.drain(first)
    runs.close_backup(made.app, BackupEnded(ORG, run))
    message = a_message(made)
    with made.tenant.lock:
        made.mailbox.change_message(message, isRead=not message.properties["isRead"])

    made.back_up()

    assert made.mail_in_vault() == made.mail_in_tenant()
    assert not waiting_ids(made)


def test_a_second_pass_that_was_cut_goes_on_behind_the_next_nights_changes(place: Place) -> None:
    made = place.world("progressive")
    run, (first, later) = planned(made)
    made.drain(first)
    for _ in range(3):
        backup.drain(place.hasty(made).app, later)
    runs.close_backup(made.app, BackupEnded(ORG, run))
    with made.tenant.lock:
        for message in list(made.mailbox.folder("inbox").messages.values())[:6]:
            made.mailbox.change_message(message, isRead=not message.properties["isRead"])

    for _ in range(2):
        made.back_up()

    assert made.mail_in_vault() == made.mail_in_tenant()
    assert not waiting_ids(made)
    made.verify()


def test_a_message_without_readable_mime_is_in_the_ledger_and_waits_no_more(place: Place) -> None:
    made = place.world("progressive")
    message = a_message(made)
    message.broken = "ErrorInternalServerError"
    run, (first, later) = planned(made)
    made.drain(first)
    made.drain(later)
    runs.close_backup(made.app, BackupEnded(ORG, run))

    assert [row["part"] for row in ledger.listed(made.app, ORG)[0]] == ["mime"]
    assert not waiting_ids(made)
    assert runs.show(made.app, ORG, run)["state"] == "amber"
