"""Mailbox settings and group conversations through the whole engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import browse, ledger, policies, runs
from engine.assembly import ExportOnly
from engine.restore_plan import RestoreRequest
from simulator.conversations import group_mailbox
from simulator.settings import add_rule, categories, change_settings, rules, settings
from simulator.settings_content import settings_truth
from tests.engine.world import ORG, World, calm_tenant, world

SERVICES = ("settings", "conversations")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path) as found:
        policies.change(found.app, ORG, {"services": list(SERVICES)}, 1)
        assert found.back_up()["state"] == "green"
        yield found


def owner(made: World) -> str:
    return made.mailbox.user_id


def group_id(made: World) -> str:
    return f"group:{next(one.id for one in made.tenant.groups.values() if one.unified)}"


def without_ids(value: Any) -> Any:
    """What a mailbox has, but for the ids, which a restore cannot choose."""
    if isinstance(value, list):
        return sorted((without_ids(one) for one in value), key=str)
    return {key: one for key, one in value.items() if key != "id"}


def test_a_second_night_writes_nothing_and_asks_each_mailbox_and_group_once(made: World) -> None:
    made.tenant.counters.requests.clear()
    made.back_up()
    talk = sum(one.unified for one in made.tenant.groups.values())
    assert made.requests("/conversations") == talk
    assert made.requests("/messageRules") == len(made.tenant.mailboxes)
    assert {row.head for row in made.app.resources.all(ORG)} <= {1, -1}


def test_everything_that_was_lost_comes_back_in_place_and_nothing_twice(made: World) -> None:
    user, tenant = owner(made), made.tenant
    before = without_ids(settings_truth(tenant, user)["rules"])
    held = {key: without_ids(value) for key, value in settings_truth(tenant, user).items()}
    rules(tenant, user).clear()
    categories(tenant, user).clear()
    tenant.room["overrides"][user].clear()
    wanted = RestoreRequest("settings", made.mailbox_id, place="original")
    for _ in range(2):
        run = made.restore(wanted)
        assert run["state"] == "green", run
        found = settings_truth(tenant, user)
        assert without_ids(found["rules"]) == before
        assert {key: without_ids(value) for key, value in found.items()} == held


def test_an_undo_takes_away_what_the_restore_made_and_nothing_else(made: World) -> None:
    user, tenant = owner(made), made.tenant
    mine = add_rule(tenant, user, {"displayName": "Mine", "actions": {"markAsRead": True}})
    lost = [one for one in rules(tenant, user) if one["displayName"] == "Remove spam"]
    rules(tenant, user).remove(lost[0])
    kept = [one["id"] for one in rules(tenant, user)]
    run = made.restore(RestoreRequest("settings", made.mailbox_id, place="original"))
    assert len(rules(tenant, user)) == len(kept) + 1
    undo = runs.request_undo(made.app, ORG, "test", run["id"])
    assert made.finish_restore(undo.id)["counts"]["removed"] == 1
    assert [one["id"] for one in rules(tenant, user)] == kept
    assert mine in rules(tenant, user)


def test_settings_change_only_by_replacing(made: World) -> None:
    user, tenant = owner(made), made.tenant
    before = settings_truth(tenant, user)["settings"]
    change_settings(tenant, user, {"timeZone": "UTC", "dateFormat": "yyyy"})
    wanted = RestoreRequest("settings", made.mailbox_id, place="original")
    made.restore(wanted)
    assert settings(tenant, user)["timeZone"] == "UTC"
    replacing = RestoreRequest(
        "settings", made.mailbox_id, items=("mailboxSettings",), place="original",
        conflict="replace",
    )  # fmt: skip
    run = made.restore(replacing)
    assert run["counts"]["replaced"] == 1
    assert settings_truth(tenant, user)["settings"] == before


@pytest.mark.parametrize(("place", "notes"), [("original", 1), ("folder", 2)])
def test_another_mailbox_gets_what_it_lacks_and_keeps_what_it_has(
    made: World, place: str, notes: int
) -> None:
    tenant, other = made.tenant, list(made.tenant.mailboxes)[1]
    before = settings_truth(tenant, other)
    names = [one["displayName"] for one in before["categories"]]
    held = before["settings"]
    run = made.restore(
        RestoreRequest("settings", made.mailbox_id, target=f"mailbox:{other}", place=place)
    )
    assert (run["state"], run["counts"]["incomplete"]) == ("amber", notes), run
    after = settings_truth(tenant, other)
    assert after["settings"] == held
    found = [one["displayName"] for one in after["categories"]]
    assert len(found) == len(set(found)) > len(names)
    forwarding = [one for one in after["rules"] if one.get("actions", {}).get("forwardTo")]
    assert [one["isEnabled"] for one in forwarding] == [False]


def test_refused_rules_are_a_row_of_the_ledger_and_the_rest_is_protected(made: World) -> None:
    made.tenant.quirks.rules_refused = True
    run = made.back_up()
    rows, _ = ledger.listed(made.app, ORG)
    assert {(row["item"], row["cause"]) for row in rows} >= {("rules", "forbidden")}
    assert run["state"] == "green"
    view = made.view("settings", made.mailbox_id)
    assert any(entry.id.startswith("rule:") for entry in view.catalog.items())
    made.tenant.quirks.rules_refused = False
    made.back_up()
    rows, _ = ledger.listed(made.app, ORG)
    assert ("rules", "forbidden") not in {(row["item"], row["cause"]) for row in rows}


def test_posts_are_browsed_and_exported_and_never_restored(made: World) -> None:
    view = made.view("conversations", group_id(made))
    posts = [entry for entry in view.catalog.items() if entry.kind == "post"]
    box = group_mailbox(made.tenant, group_id(made).partition(":")[2])
    talk = [post for one in box.conversations for t in one.threads for post in t.posts]
    assert len(posts) == len(talk)
    for entry in posts:
        file = browse.as_file(view.item(entry.id))
        assert file.rebuilt
        assert b"X-Holdfast-Rebuilt: yes" in b"".join(file.blocks())
    with pytest.raises(ExportOnly):
        made.restore(RestoreRequest("conversations", group_id(made)))


def test_a_group_that_goes_is_gone_and_its_restore_points_stay(made: World) -> None:
    resource = group_id(made)
    key = resource.partition(":")[2]
    made.tenant.room["group mailboxes"].pop(key)
    made.tenant.groups[key].properties["groupTypes"] = []
    made.back_up()
    assert made.view("conversations", resource).root() is not None
