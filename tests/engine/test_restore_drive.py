"""Restores of drives through the whole engine: history, sharing, swaps, and targets that refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from base.messages import RestoreRun, WriteBatch
from engine import policies, restore, restore_plan, runs
from engine.restore_plan import RestoreRequest
from simulator.drive_item import Item
from simulator.drive_state import recycled
from simulator.filebytes import LiteralBytes, pieces
from tests.engine.mortal import Killed
from tests.engine.test_restore import Place, dying
from tests.engine.world import ORG, calm_tenant, world

WRITES_MAX = 200
BOTH = ("versions", "permissions")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A drive with two files that have a history and are shared."""
    with world(calm_tenant(seed=5), tmp_path) as made:
        here = Place(made.app, made.running)
        selection = {"mode": "include", "users": [here.mailbox.user_id]}
        wanted = {
            "services": ["drive"], "selection": selection,
            "choices": {"drive": {"versions": "all"}},
        }  # fmt: skip
        policies.change(here.app, ORG, wanted, 1)
        for number, item in enumerate(_two(here)):
            for round_ in range(2):
                data = LiteralBytes(f"state {number} {round_}".encode())
                here.drive.write(item, data, {"user": {}}, here.tenant.clock.now())
                here.tenant.clock.advance(60)
            here.drive.share(item, _grant(here), here.tenant.clock.now())
        here.back_up()
        yield here
        assert not here.tenant.counters.sharing_mail, "somebody was mailed"


def _two(here: Place) -> list[Item]:
    files = [item for item in here.drive.living() if item.is_file and not item.infected]
    return [item for item in files if item.name.lower().endswith((".pdf", ".txt", ".jpg"))][:2]


def _grant(here: Place) -> dict[str, Any]:
    someone = list(here.tenant.users)[-1]
    return {"id": "g1", "roles": ["read"], "grantedToV2": {"user": {"id": someone}}}


def _wanted(here: Place, **more: Any) -> RestoreRequest:
    ids = tuple(item.id for item in _two(here))
    return RestoreRequest("drive", here.resource("drive"), items=ids, options=BOTH, **more)


def _history(item: Item) -> list[tuple[bytes, str]]:
    assert item.content is not None
    states = [(one.content, one.modified) for one in item.versions[::-1]]
    states.append((item.content, item.modified))
    return [(b"".join(pieces(content)), f"{when:%FT%T}") for content, when in states]


def _shared(item: Item) -> list[tuple[Any, Any]]:
    return [(one["grantedToV2"]["user"]["id"], one["roles"]) for one in item.permissions]


def _unfinished(here: Place) -> list[str]:
    return [item.name for item in here.drive.living() if "(restoring " in item.name]


def test_history_and_sharing_come_back_where_they_are_asked_for(place: Place) -> None:
    run = place.restore(_wanted(place))
    assert (run["state"], run["counts"]["created"]) == ("green", 2)
    for row in place.rows(run["id"]):
        old, new = place.drive.get(row["id"]), place.drive.get(row["new_id"])
        assert len(_history(new)) == 3
        assert _history(new) == _history(old)
        assert _shared(new) == _shared(old)
    assert _unfinished(place) == []


def test_without_options_content_alone_comes_back(place: Place) -> None:
    ids = tuple(item.id for item in _two(place))
    run = place.restore(RestoreRequest("drive", place.resource("drive"), items=ids))
    for row in place.rows(run["id"]):
        new = place.drive.get(row["new_id"])
        assert (len(_history(new)), _shared(new)) == (1, [])


def test_folders_that_are_named_are_shared_and_those_on_the_way_are_not(place: Place) -> None:
    at = place.tenant.clock.now()
    above = place.drive.create_folder(place.drive.root, "Above", "fail", {"user": {}}, at)
    named = place.drive.create_folder(above, "Named", "fail", {"user": {}}, at)
    for folder in (above, named):
        place.drive.share(folder, dict(_grant(place)), at)
    place.back_up()

    wanted = RestoreRequest(
        "drive", place.resource("drive"), folders=(named.id,), options=("permissions",)
    )
    run = place.restore(wanted)

    assert run["state"] == "green"
    found = {item.name: item for item in place.drive.living() if item not in (above, named)}
    assert _shared(found["Named"]) == _shared(named)
    assert _shared(found["Above"]) == []


@pytest.mark.parametrize("options", [(), BOTH])
def test_a_batch_of_replacements_killed_at_any_write_swaps_everything_once(
    place: Place, options: tuple[str, ...]
) -> None:
    histories = {item.id: _history(item) for item in _two(place)[: 1 if options else 2]}
    current = {key: key for key in histories}
    for writes in range(1, WRITES_MAX):
        binned = len(recycled(place.drive))
        wanted = RestoreRequest(
            "drive", place.resource("drive"), items=tuple(histories), options=options,
            place="original", conflict="replace",
        )  # fmt: skip
        run = place.start(wanted)
        assert restore.plan_restore(place.app, RestoreRun(ORG, run)).batches == 1
        survived = False
        with suppress(Killed):
            batch = WriteBatch(ORG, run, 0)
            survived = restore.write_batch(dying(place, writes), batch).state == "done"
        ended = place.finish_restore(run)

        assert ended["state"] == "green", (writes, ended)
        rows = place.rows(run)
        assert [row["outcome"] for row in rows] == ["replaced"] * len(histories), writes
        for row in rows:
            new = place.drive.get(row["new_id"])
            assert _history(new) == histories[row["id"]][-3 if options else -1 :]
            assert place.drive.items[current[row["id"]]].recycled
            current[row["id"]] = new.id
        assert len(recycled(place.drive)) == binned + len(histories), writes
        assert _unfinished(place) == []
        if survived:
            return
    raise AssertionError("the batch never survived")


def test_an_undo_of_a_replacement_takes_it_away_and_says_where_the_old_one_lies(
    place: Place,
) -> None:
    old = [item.id for item in _two(place)]
    run = place.restore(_wanted(place, place="original", conflict="replace"))
    new = [row["new_id"] for row in place.rows(run["id"])]

    undo = runs.request_undo(place.app, ORG, "test", run["id"])
    ended = place.finish_restore(undo.id)

    assert ended["counts"]["removed"] == 2
    assert {row["id"] for row in recycled(place.drive)} >= {*old, *new}
    causes = [row["troubles"][0]["cause"] for row in place.rows(undo.id)]
    assert causes == ["replaced-one-in-recycle-bin"] * 2


def test_the_plan_counts_what_the_options_ask_for(place: Place) -> None:
    alone, with_both = (
        restore_plan.prepare(place.app, ORG, wanted, look=False)[1]
        for wanted in (replace(_wanted(place), options=()), _wanted(place))
    )
    older = sum(one.content.size for item in _two(place) for one in item.versions)
    assert 0 <= with_both.bytes - alone.bytes - older < 1000  # and who they are shared with
    assert with_both.requests - alone.requests == 2 * (2 * 2 + 3)


def test_the_plan_says_what_a_replacement_costs(place: Place) -> None:
    wanted = _wanted(place, place="original", conflict="replace")
    plan = restore_plan.prepare(place.app, ORG, wanted)[1]
    assert plan.conflicts == 2
    assert any("recycle bin" in sentence for sentence in plan.cannot)


def test_case_twins_of_a_backup_are_both_kept_also_by_a_batch_that_is_repeated(
    place: Place,
) -> None:
    """SharePoint cannot hold them; what was backed up elsewhere may."""
    first, second = _two(place)
    second.name, second.parent_id = first.name.upper(), first.parent_id
    place.drive.shared(second, place.tenant.clock.now())
    place.back_up()
    run = place.start(_wanted(place, folder_name="Twins"))
    restore.plan_restore(place.app, RestoreRun(ORG, run))
    with suppress(Killed):
        restore.write_batch(dying(place, 20), WriteBatch(ORG, run, 0))
    place.finish_restore(run)
    rows = place.rows(run)
    assert sorted(row["outcome"] for row in rows) == ["copied", "created"]
    assert len({row["new_id"] for row in rows}) == 2


# --- Targets that refuse ---


@pytest.mark.parametrize(
    ("breaks", "code"), [("locked", "resource-locked"), ("deleted", "resource-gone")]
)
def test_a_site_locked_or_deleted_meanwhile_ends_the_restore(
    place: Place, breaks: str, code: str
) -> None:
    run = place.start(RestoreRequest("drive", place.resource("drive"), folder_name="Here"))
    planned = restore.plan_restore(place.app, RestoreRun(ORG, run))
    restore.write_batch(place.app, WriteBatch(ORG, run, 0))
    assert planned.batches > 1
    seen = place.tenant.counters.requests.total()
    if breaks == "locked":
        place.drive.locked = (423, "resourceLocked")
    else:
        place.tenant.drives.pop(place.drive.id)

    ended = place.finish_restore(run)

    assert (ended["state"], ended["code"]) == ("amber", code)
    failed = Counter(
        row["troubles"][0]["cause"] for row in place.rows(run) if row["outcome"] == "failed"
    )
    assert set(failed) == {code}
    assert place.tenant.counters.requests.total() - seen < 10


def test_a_file_that_somebody_edits_fails_alone(place: Place) -> None:
    _two(place)[0].open_elsewhere = True
    run = place.restore(_wanted(place, place="original", conflict="replace"))
    assert run["state"] == "amber"
    assert {row["outcome"] for row in place.rows(run["id"])} == {"failed", "replaced"}
    assert _unfinished(place) == []
