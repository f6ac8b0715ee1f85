"""Backups: everything once, nothing lost, nothing written for nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import simulator
from base.clock import SystemClock
from base.messages import BackupEnded, BackupRun, Drain
from engine import backup, ledger, plan, runs
from engine.assembly import App
from simulator import contoso
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, world


@pytest.fixture
def contoso_world(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path) as made:
        yield made


def test_a_notebook_that_cannot_be_downloaded_is_a_row_with_its_cause(tmp_path: Path) -> None:
    tenant = contoso.build("tiny", seed=5)
    tenant.quirks = simulator.calm()
    refuse_notebooks(tenant, (404, "itemNotFound"))  # a 503 would cost its back-off
    with world(tenant, tmp_path) as made:
        made.back_up()

        rows, _ = ledger.listed(made.app, ORG)
        assert {row["cause"] for row in rows} == {"malware", "not-downloadable", "not-supported"}
        assert not any(row["retry"] for row in rows)


def refuse_notebooks(tenant: simulator.Tenant, how: tuple[int, str]) -> None:
    """Those that are refused are refused like this."""
    for drive in tenant.drives.values():
        for item in drive.items.values():
            if item.out_of_order is not None:
                item.out_of_order = how


class _Fast(SystemClock):
    """Time that a test can let pass."""

    passed_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s


def test_a_notebook_that_asks_for_pauses_costs_one_a_run_and_comes_when_it_can(
    tmp_path: Path,
) -> None:
    tenant = calm_tenant(seed=5)
    with world(tenant, tmp_path) as made:
        notebook = next(
            item
            for item in tenant.drives[made.drive_id.removeprefix("drive:")].items.values()
            if item.mime_type == "application/msonenote"
        )
        notebook.out_of_order = (503, "serviceNotAvailable", 120)
        clock = _Fast()
        made.app = App(settings_for(made.running, tmp_path), clock=clock, scrypt_n=SCRYPT_N)

        assert (
            1 <= _drained(made, clock).count("throttled") <= 3
        )  # those fetched beside it wait too
        (row,) = _not_downloadable(made)
        assert row["retry"]
        clock.passed_s += 8 * 24 * 3600
        assert _drained(made, clock).count("throttled") == 1
        (row,) = _not_downloadable(made)
        assert row["attempts"] == 2
        notebook.out_of_order = None
        clock.passed_s += 8 * 24 * 3600
        assert _drained(made, clock).count("throttled") == 0
        assert _not_downloadable(made) == []
        assert made.files_in_vault() == made.files_in_tenant()


def _drained(made: World, clock: _Fast) -> list[str]:
    """How the steps of one run over the drive ended, with the pauses they asked for."""
    run = runs.request_backup(made.app, ORG, "test").id
    plan.plan_backup(made.app, BackupRun(ORG, run))
    states = ["more"]
    while states[-1] in ("more", "throttled"):
        answer = backup.drain(made.app, Drain(ORG, run, "drive", made.drive_id, 1))
        states.append(answer.state)
        clock.passed_s += answer.retry_after_s + 1
        assert len(states) < 20
    runs.close_backup(made.app, BackupEnded(ORG, run))
    return states


def _not_downloadable(made: World) -> list[dict[str, Any]]:
    rows, _ = ledger.listed(made.app, ORG)
    return [row for row in rows if row["cause"] == "not-downloadable"]


def test_the_first_backup_holds_every_message_and_every_file(contoso_world: World) -> None:
    run = contoso_world.back_up()

    assert run["state"] in ("green", "amber")
    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()
    assert contoso_world.files_in_vault() == contoso_world.files_in_tenant()
    contoso_world.verify()


def test_a_second_backup_without_changes_writes_no_blob_but_its_own_record(
    contoso_world: World,
) -> None:
    contoso_world.back_up()
    before = contoso_world.app.store_counts(ORG).writes

    run = contoso_world.back_up()

    assert contoso_world.app.store_counts(ORG).writes == before + 1
    assert set(run["detail"]["resources"]) == {"unchanged"}


def test_a_read_flip_is_kept_without_a_download(contoso_world: World) -> None:
    contoso_world.back_up()
    mailbox = contoso_world.mailbox
    message = next(iter(mailbox.folder("inbox").messages.values()))
    flipped = not message.properties.get("isRead")
    mailbox.change_message(message, isRead=flipped)
    downloads = contoso_world.requests("$value")

    contoso_world.back_up()

    assert contoso_world.requests("$value") == downloads
    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()


def test_moves_and_deletions_are_followed(contoso_world: World) -> None:
    contoso_world.back_up()
    mailbox = contoso_world.mailbox
    inbox, archive = mailbox.folder("inbox"), mailbox.folder("deleteditems")
    first, second, *_ = list(inbox.messages.values())
    mailbox.move_message(first, archive)
    mailbox.delete_message(second, for_good=True)

    contoso_world.back_up()

    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()


def test_what_happens_in_a_month_is_all_in_the_next_backup(contoso_world: World) -> None:
    contoso_world.back_up()
    contoso.month(contoso_world.tenant)

    contoso_world.back_up()

    for mailbox in contoso_world.tenant.mailboxes.values():
        kept = contoso_world.mail_in_vault(f"mailbox:{mailbox.user_id}")
        assert kept == contoso_world.mail_in_tenant(mailbox)
    for drive in contoso_world.tenant.drives:
        if contoso_world.app.resources.get(ORG, "drive", f"drive:{drive}"):
            kept = contoso_world.files_in_vault(f"drive:{drive}")
            assert kept == contoso_world.files_in_tenant(f"drive:{drive}")
    contoso_world.verify()


def test_a_hostile_tenant_is_backed_up_all_the_same(tmp_path: Path) -> None:
    tenant = contoso.build("tiny", seed=11)
    tenant.quirks = simulator.hostile()
    tenant.faults.hostile()
    refuse_notebooks(tenant, (404, "itemNotFound"))
    tenant.limits.retry_after_s = 0
    with world(tenant, tmp_path) as made:
        made.back_up()
        contoso.month(tenant)
        made.back_up()
        tenant.faults.calm()
        made.app.ledger.delete_all(ORG)

        assert set(made.mail_in_vault()) == set(made.mail_in_tenant())
        assert made.tenant.counters.offences == {}
        made.verify()


def test_small_steps_commit_many_pages_and_lose_nothing(tmp_path: Path) -> None:
    with world(calm_tenant(seed=6), tmp_path, step_items=3) as made:
        made.back_up()

        assert made.mail_in_vault() == made.mail_in_tenant()
        assert made.files_in_vault() == made.files_in_tenant()


def test_a_step_without_time_commits_what_it_has_and_the_next_goes_on(tmp_path: Path) -> None:
    with world(calm_tenant(seed=6), tmp_path, step_seconds=0.001) as made:
        run = made.back_up()

        assert run["counts"]["pages"] > len(made.mail_in_tenant())  # one item a step
        assert made.mail_in_vault() == made.mail_in_tenant()
        made.verify()


def test_two_attempts_of_one_step_at_once_leave_everything_once(contoso_world: World) -> None:
    request = runs.request_backup(contoso_world.app, ORG, "test")
    drain = Drain(ORG, request.id, "mail", contoso_world.mailbox_id, 1)
    ghosts = [
        threading.Thread(target=backup.drain, args=(contoso_world.app, drain)) for _ in range(3)
    ]
    for ghost in ghosts:
        ghost.start()
    for ghost in ghosts:
        ghost.join()
    contoso_world.drain(drain)

    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()
    contoso_world.verify()


def test_a_step_of_a_closed_round_does_nothing(contoso_world: World) -> None:
    request = runs.request_backup(contoso_world.app, ORG, "test")
    drain = Drain(ORG, request.id, "mail", contoso_world.mailbox_id, 1)
    contoso_world.drain(drain)
    seen = contoso_world.requests()

    assert contoso_world.drain(drain).state == "done"
    assert contoso_world.requests() == seen


def test_a_stale_plan_goes_on_where_the_vault_is(contoso_world: World) -> None:
    contoso_world.back_up()
    mailbox = contoso_world.mailbox
    mailbox.delete_message(next(iter(mailbox.folder("inbox").messages.values())), for_good=True)
    request = runs.request_backup(contoso_world.app, ORG, "test")

    contoso_world.drain(Drain(ORG, request.id, "mail", contoso_world.mailbox_id, 1))

    assert contoso_world.view("mail", contoso_world.mailbox_id).snapshot.number == 2
    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()


def test_a_lost_delta_token_finds_what_was_deleted_meanwhile(contoso_world: World) -> None:
    contoso_world.back_up()
    mailbox = contoso_world.mailbox
    mailbox.delete_message(next(iter(mailbox.folder("inbox").messages.values())), for_good=True)
    contoso_world.lose_tokens()
    downloads = contoso_world.requests("$value")

    contoso_world.back_up()

    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()
    assert contoso_world.files_in_vault() == contoso_world.files_in_tenant()
    assert contoso_world.requests("$value") == downloads


def test_an_item_that_fails_is_in_the_ledger_and_mended_by_a_later_run(
    contoso_world: World,
) -> None:
    message = next(iter(contoso_world.mailbox.folder("inbox").messages.values()))
    message.broken = "ErrorInternalServerError"
    run = contoso_world.back_up()

    assert run["state"] == "amber"
    rows, _ = ledger.listed(contoso_world.app, ORG)
    assert [row["part"] for row in rows if row["service"] == "mail"] == ["mime"]

    message.broken = None
    contoso_world.back_up()

    rows, _ = ledger.listed(contoso_world.app, ORG)
    assert [row for row in rows if row["service"] == "mail"] == []
    assert contoso_world.mail_in_vault() == contoso_world.mail_in_tenant()


def test_a_mailbox_that_vanishes_is_gone_and_the_rest_is_backed_up(contoso_world: World) -> None:
    contoso_world.back_up()
    contoso_world.tenant.mailboxes.pop(contoso_world.mailbox.user_id)

    run = contoso_world.back_up()

    assert run["state"] == "amber"
    assert run["detail"]["resources"]["gone"] == 1


def test_a_cancelled_run_stops_at_its_next_step(contoso_world: World) -> None:
    request = runs.request_backup(contoso_world.app, ORG, "test")
    runs.cancel(contoso_world.app, ORG, request.id, "test")
    drain = Drain(ORG, request.id, "mail", contoso_world.mailbox_id, 1)

    assert backup.drain(contoso_world.app, drain).state == "cancelled"
    assert contoso_world.requests("messages") == 0


def test_one_organization_has_one_backup_at_a_time(contoso_world: World) -> None:
    runs.request_backup(contoso_world.app, ORG, "test")

    with pytest.raises(runs.AlreadyRunning):
        runs.request_backup(contoso_world.app, ORG, "test")
