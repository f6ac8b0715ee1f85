"""Full-fidelity copies through the engine: kept, found again, put back once, taken back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.messages import RestoreRun, WriteBatch
from engine import coverage, policies, restore, restore_plan, runs
from engine.restore_plan import RestoreRequest
from simulator import contoso, mailbox_items, mailbox_stream
from simulator.filebytes import SeededBytes
from simulator.mailbox import Attachment, Mailbox
from tests.engine.world import ORG, World, calm_tenant, world

SERVICE = "mailbox-copies"
Held = Counter[tuple[tuple[str, ...], str]]  # path and SHA-256 of the stream


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path) as made:
        users = [made.mailbox.user_id]
        selection = {"mode": "include", "users": users}
        policies.change(made.app, ORG, {"services": [SERVICE], "selection": selection}, 1)
        yield made


def in_tenant(place: World, mailbox: Mailbox | None = None) -> Held:
    box = mailbox or place.mailbox
    return Counter(
        (tuple(one.folder.names()), hashlib.sha256(mailbox_stream.written(one)).hexdigest())
        for one in box.messages.values()
        if mailbox_items.is_told(place.tenant, box, one.folder) and not one.broken
    )


def in_vault(place: World, service: str = SERVICE, resource: str = "") -> Held:
    view = place.view(service, resource or place.mailbox_id)
    found: Held = Counter()
    for entry in view.catalog.items():
        part = view.item(entry.id).part("export")
        if part is not None:
            path = tuple(above.name for above in view.path(entry)[1:])
            found[path, hashlib.sha256(part.read()).hexdigest()] += 1
    return found


def other(place: World) -> Mailbox:
    return list(place.tenant.mailboxes.values())[1]


def test_what_is_kept_is_what_the_mailbox_has_month_after_month(place: World) -> None:
    for _ in range(3):
        run = place.back_up()
        assert run["state"] in ("green", "amber"), run
        assert in_vault(place) == in_tenant(place)
        contoso.month(place.tenant)
    place.verify()


def test_archives_are_found_kept_and_missed_with_a_reason(place: World) -> None:
    (owner, boxes), *_ = place.tenant.archives.items()
    policies.change(place.app, ORG, {"services": ["archive"], "selection": {"mode": "all"}}, 2)
    for _ in range(2):
        place.back_up()
        held = in_tenant(place, boxes[0]) + in_tenant(place, boxes[1])
        assert in_vault(place, "archive", f"archive:{owner}") == held
        contoso.month(place.tenant)
    said = coverage.statement(place.app, ORG)
    assert said["resources"]["protected"] == 1
    assert said["reasons"]["no-archive"] == len(place.tenant.mailboxes) - 1


def test_a_quiet_night_writes_nothing_and_a_lost_link_exports_nothing_again(place: World) -> None:
    place.back_up()
    exported = place.requests("exportItems")
    assert place.back_up()["counts"].get("items", 0) == 0
    place.lose_tokens()
    place.back_up()
    assert place.requests("exportItems") == exported
    assert in_vault(place) == in_tenant(place)


def test_an_item_larger_than_an_answer_may_be_is_kept_whole(place: World) -> None:
    message = next(iter(place.mailbox.folder("sentitems").messages.values()))
    facts = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "model.bin"}
    message.attachments[1] = Attachment(1, facts, SeededBytes("large", 9_000_000))
    message.mime = None
    place.mailbox.changed_parts(message)
    place.back_up()
    assert in_vault(place) == in_tenant(place)


def test_everything_can_go_into_somebody_elses_mailbox_and_be_taken_back(place: World) -> None:
    place.back_up()
    whole, before = in_tenant(place), in_tenant(place, other(place))
    target = f"mailbox:{other(place).user_id}"

    run = place.restore(RestoreRequest(SERVICE, place.mailbox_id, target=target))

    assert run["counts"]["created"] == whole.total()
    made = in_tenant(place, other(place)) - before
    assert Counter((path[1:], stream) for path, stream in made.elements()) == whole
    taken_back = runs.request_undo(place.app, ORG, "test", run["id"])
    place.finish_restore(taken_back.id)
    assert in_tenant(place, other(place)) == before


def test_a_lost_answer_in_a_repeated_batch_leaves_every_item_once(place: World) -> None:
    place.back_up()
    whole = in_tenant(place)
    before = in_tenant(place, other(place))
    target = f"mailbox:{other(place).user_id}"
    place.tenant.faults.map("importItem", "..x..X.d")
    wanted, counted = restore_plan.prepare(
        place.app, ORG, RestoreRequest(SERVICE, place.mailbox_id, target=target)
    )
    run = runs.request_restore(place.app, ORG, "test", wanted, counted)
    planned = restore.plan_restore(place.app, RestoreRun(ORG, run.id))
    for _ in range(2):
        for batch in range(planned.batches):
            restore.write_batch(place.app, WriteBatch(ORG, run.id, batch))
    assert (in_tenant(place, other(place)) - before).total() == whole.total()
