"""Damage that a verification names is mended by the next backup, byte for byte, from the tenant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from base.messages import BackupRun, Drain
from engine import audit, backup, browse, collect, plan, repair, runs, verify
from tests.engine.world import ORG, World
from vault.box import blob_name

BY = "somebody"


def blobs(made: World, prefix: str) -> list[str]:
    top = made.app.settings.data_dir / "vaults" / ORG
    found = (path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())
    return sorted(name for name in found if name.startswith(prefix))


def path_of(made: World, name: str) -> Path:
    return made.app.settings.data_dir / "vaults" / ORG / name


def spoil(made: World, name: str, at: int = -20) -> None:
    path = path_of(made, name)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))


def reopened(made: World) -> None:
    """As if another process went on: nothing is remembered."""
    made.app._opened.clear()


def verified(made: World, read_data: bool = True) -> tuple[str, list[dict[str, Any]]]:
    """The run of a whole verification and its findings."""
    reopened(made)
    run = runs.request_verification(made.app, ORG, BY, read_data, samples=0)
    request: dict[str, Any] = run.message.to_json()
    while (answer := verify.verify_slice(made.app, request))["state"] == "more":
        request = {**request, "next": answer["next"]}
    report = verify.report(made.app, ORG, run.id)
    assert report is not None
    return run.id, report["problems"]


def mended(made: World) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Verifies, repairs and backs up; the findings and what the repair answered."""
    run, found = verified(made)
    before = blobs(made, "")
    dry = repair.repair(made.app, ORG, run, BY)
    assert blobs(made, "") == before  # a dry run writes nothing
    done = repair.repair(made.app, ORG, run, BY, dry_run=False)
    assert done["actions"] == dry["actions"]
    reopened(made)
    assert made.back_up()["state"] in ("green", "amber")
    return found, done


def is_whole(made: World) -> None:
    """The newest restore point of everything is what the tenant holds."""
    for mailbox in made.tenant.mailboxes.values():
        held = made.mail_in_vault(f"mailbox:{mailbox.user_id}")
        assert held == made.mail_in_tenant(mailbox)
    for drive in made.tenant.drives:
        assert made.files_in_vault(f"drive:{drive}") == made.files_in_tenant(f"drive:{drive}")
    _, found = verified(made)
    assert not [one for one in found if one["newest"]]


def actions(answer: dict[str, Any]) -> list[str]:
    return [one["action"] for one in answer["actions"]]


def test_a_lost_pack_comes_back_from_the_tenant(made: World) -> None:
    largest = max(blobs(made, "p/"), key=lambda name: path_of(made, name).stat().st_size)
    path_of(made, largest).unlink()
    found, done = mended(made)
    (lost,) = [one for one in found if one["name"] == largest]
    assert (lost["code"], lost["effect"], lost["newest"]) == ("pack-missing", "lost", True)
    assert lost["items"] > 0
    assert {"lost", "restart"} <= set(actions(done))
    is_whole(made)


def test_every_pack_lost_comes_back(made: World) -> None:
    for name in blobs(made, "p/"):
        path_of(made, name).unlink()
    _, done = mended(made)
    chains = [one["name"] for one in done["actions"] if one["action"] == "restart"]
    assert f"mail/{made.mailbox_id}" in chains
    assert f"drive/{made.drive_id}" in chains
    is_whole(made)


def test_flipped_bits_all_over_the_packs_come_back(made: World) -> None:
    for name in blobs(made, "p/"):
        for part in (3, 5, 8):  # boxes, not the header
            spoil(made, name, 200 + path_of(made, name).stat().st_size // part)
    mended(made)
    is_whole(made)


def test_one_damaged_box_costs_the_tenant_only_its_items(made: World) -> None:
    service, resource = "drive", made.drive_id
    catalog = made.view(service, resource).catalog
    entry = max(
        (one for one in catalog.items() if one.kind == "file" and len(one.contents) > 1),
        key=lambda one: one.contents[-1].size,
    )
    content = next(one for one in entry.contents if one.role == "content")
    place = content.refs[0].place.location
    spoil(made, blob_name(place.pack), place.at + 40)
    run, found = verified(made)
    assert [(one["code"], one["newest"]) for one in found] == [("pack-damaged", True)]
    repair.repair(made.app, ORG, run, BY, dry_run=False)
    reopened(made)
    fetched = made.requests("/content")
    made.back_up()
    needed = {sample[1] for sample in found[0]["samples"]}
    assert made.requests("/content") - fetched <= found[0]["items"] + len(needed)
    is_whole(made)


def test_a_newest_restore_point_that_does_not_open_is_left_behind(made: World) -> None:
    hurt = blobs(made, "s/")[0]
    spoil(made, hurt)
    reopened(made)
    assert made.back_up()["state"] == "amber"  # until it is mended the chain stands still
    found, done = mended(made)
    assert (hurt, "snapshot-damaged") in {(one["name"], one["code"]) for one in found}
    assert actions(done) == ["restart"]
    is_whole(made)

    run, _ = verified(made)
    buried = repair.repair(made.app, ORG, run, BY, dry_run=False)
    assert (actions(buried), buried["complete"]) == (["bury"], True)
    assert hurt not in blobs(made, "s/")
    assert verified(made)[1] == []


def test_a_newest_restore_point_that_vanished_is_made_again_from_its_pages(made: World) -> None:
    lost = blobs(made, "s/")[0]
    path_of(made, lost).unlink()
    _, found = verified(made, read_data=False)
    assert [(one["code"], one["name"]) for one in found] == [("head-rolled-back", lost)]
    reopened(made)
    requests = made.requests("/content")
    made.back_up()
    assert made.requests("/content") == requests
    assert lost in blobs(made, "s/")
    rows, _ = audit.listed(made.app, ORG)
    assert "restore-point-lost" in {row["action"] for row in rows}
    is_whole(made)


def test_a_newest_restore_point_that_vanished_with_its_pages_is_read_again(made: World) -> None:
    chain_hash = blobs(made, "s/")[0].split("/")[1]
    for name in blobs(made, f"s/{chain_hash}") + blobs(made, f"m/{chain_hash}"):
        path_of(made, name).unlink()
    reopened(made)
    made.back_up()
    is_whole(made)


def test_a_damaged_round_under_way_is_given_up_and_built_again(made: World) -> None:
    made.lose_tokens()  # the whole mailbox is read again, in many steps
    run = runs.request_backup(made.app, ORG, BY).id
    plan.plan_backup(made.app, BackupRun(ORG, run))
    settings = made.app.settings
    made.app.settings = settings.model_copy(update={"step_items": 2, "step_seconds": 0.001})
    answer = backup.drain(made.app, Drain(ORG, run, "mail", made.mailbox_id, 2))
    assert answer.state == "more"
    made.app.settings = settings
    runs.cancel(made.app, ORG, run, BY)
    (page, *_) = [name for name in blobs(made, "m/") if "/0000000002/" in name]
    spoil(made, page)
    found, done = mended(made)
    assert [(one["code"], one["name"]) for one in found] == [("open-page-damaged", page)]
    assert actions(done) == ["void"]
    is_whole(made)


def test_a_repair_waits_for_a_backup_and_needs_a_report(made: World) -> None:
    path_of(made, blobs(made, "p/")[0]).unlink()
    run, _ = verified(made)
    waiting = runs.request_verification(made.app, ORG, BY, True).id
    with pytest.raises(repair.VerificationNotOver):
        repair.repair(made.app, ORG, waiting, BY)
    runs.request_backup(made.app, ORG, BY)
    with pytest.raises(runs.AlreadyRunning):
        repair.repair(made.app, ORG, run, BY, dry_run=False)
    assert blobs(made, "r/lost/") == []


def test_what_came_back_from_a_replica_is_not_mended(made: World) -> None:
    name = blobs(made, "p/")[0]
    kept = path_of(made, name).read_bytes()
    path_of(made, name).unlink()
    run, found = verified(made)
    assert found
    path_of(made, name).write_bytes(kept)
    reopened(made)
    answer = repair.repair(made.app, ORG, run, BY)
    assert "lost" not in actions(answer)
    assert [one["name"] for one in answer["actions"] if one["action"] == "back"] == [name]


def test_a_repair_that_died_anywhere_is_done_again(made: World) -> None:
    for name in blobs(made, "p/"):
        path_of(made, name).unlink()
    run, _ = verified(made)
    for calls in range(4):
        die_after(made, calls, lambda: repair.repair(made.app, ORG, run, BY, dry_run=False))
    repair.repair(made.app, ORG, run, BY, dry_run=False)
    reopened(made)
    made.back_up()
    assert len(blobs(made, "r/lost/")) == 1
    is_whole(made)


class _Died(Exception):
    pass


def die_after(made: World, writes: int, act: Callable[[], object]) -> None:
    """Runs in a process that dies at its n-th write to the vault."""
    reopened(made)
    store = made.app.store_counts(ORG)
    inner, left = store._store, [writes]

    class Mortal:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def put_new(self, name: str, data: bytes) -> bool:
            if left[0] == 0:
                raise _Died
            left[0] -= 1
            return inner.put_new(name, data)

    store._store = Mortal()
    try:
        with pytest.raises(_Died):
            act()
    finally:
        store._store = inner
        reopened(made)


def test_a_damaged_restore_point_is_listed_as_such_and_hides_no_other(made: World) -> None:
    made.lose_tokens()
    made.back_up()
    chain_hash = made.app.vault(ORG)._ring.chain_hash(f"mail/{made.mailbox_id}")
    (old, new) = blobs(made, f"s/{chain_hash}")
    for hurt, shown in ((new, ["damaged", "ok"]), (old, ["ok", "damaged"])):
        kept = path_of(made, hurt).read_bytes()
        spoil(made, hurt)
        reopened(made)
        listed = browse.snapshots(made.app, ORG, "mail", made.mailbox_id)
        assert [one.status for one in listed] == shown
        assert made.mail_in_vault() == made.mail_in_tenant()
        assert collect.retention(made.app, ORG, f"mail/{made.mailbox_id}")
        path_of(made, hurt).unlink()
        path_of(made, hurt).write_bytes(kept)
