"""Mailbox settings beyond the suite: what is refused, what is there already, what must not send."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base.item import StoredItem
from m365 import SERVICES
from m365.graph.errors import Forbidden, TransientFailure
from m365.service import Existing, Resource
from m365.settings_json import same_rule
from simulator.settings import add_category, add_rule, change_settings, rules, settings
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage
from tests.m365.test_services import CASES

CASE = CASES["settings"]


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        yield staged


def read(on: Stage) -> Mirror:
    mirror = Mirror()
    assert mirror.round(on.source())
    return mirror


def stored(mirror: Mirror, name: str) -> StoredItem:
    return next(one.stored() for one in mirror.items.values() if one.change.name == name)


def clash(on: Stage, item: StoredItem, into: Resource) -> Existing | None:
    """What of the target collides with an item, as the engine finds it."""
    writer = on.target(into)
    key = writer.identity(item).key
    folder = writer.ensure_folder(writer.root(), "", parent(item))
    return next((one for one in writer.existing(folder) if one.key == key), None)


def parent(item: StoredItem) -> StoredItem:
    """The stored folder of an item, as far as a writer looks at it."""
    above = "" if item.parent == "settings" else "settings"
    return StoredItem(item.parent, above, "folder", item.parent, {}, {}, ())


def rule_named(on: Stage, user: str, name: str) -> dict:
    return next(one for one in rules(on.tenant, user) if one["displayName"] == name)


# Reading


def test_rules_a_tenant_refuses_are_a_note_at_their_folder_and_the_others_go_on(on: Stage) -> None:
    on.tenant.quirks.rules_refused = True
    mirror = read(on)
    (trouble,) = [one for kept in mirror.items.values() for one in kept.troubles]
    assert (trouble.item_id, trouble.cause, trouble.retry) == ("rules", "forbidden", False)
    kinds = {key.partition(":")[0] for key in mirror.items}
    assert kinds == {"settings", "mailboxSettings", "rules", "categories", "overrides",
                     "category", "override"}  # fmt: skip
    assert not any(page.entries for page in on.source().changes(mirror.links, frozenset()))


def test_rules_that_are_refused_later_stay_as_they_were_stored(on: Stage) -> None:
    mirror = read(on)
    before = {key for key in mirror.items if key.startswith("rule:")}
    on.tenant.quirks.rules_refused = True
    mirror.round(on.source())
    assert {key for key in mirror.items if key.startswith("rule:")} == before
    assert mirror.items["rules"].troubles
    on.tenant.quirks.rules_refused = False
    on.tenant.room["rules"][on.resource.graph_id].pop()
    mirror.round(on.source())
    assert mirror.items["rules"].troubles == []
    assert on.found(mirror) == on.truth()


def test_rules_refused_from_the_start_and_given_later_are_found(on: Stage) -> None:
    on.tenant.quirks.rules_refused = True
    mirror = read(on)
    on.tenant.quirks.rules_refused = False
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()


def test_a_missing_permission_for_categories_is_an_error_after_what_could_be_read(
    on: Stage,
) -> None:
    reader = list(on.tenant.apps.values())[-2]
    reader.roles.discard("Mail.Read")
    mirror = Mirror()
    with pytest.raises(Forbidden):
        mirror.round(on.source())
    assert any(key.startswith("category:") for key in mirror.items)


def test_one_batch_is_all_an_idle_round_asks(on: Stage) -> None:
    mirror = read(on)
    on.tenant.counters.requests.clear()
    list(on.source().changes(mirror.links, frozenset()))
    assert on.tenant.counters.requests.pop("POST /$batch") == 1
    assert sum(on.tenant.counters.requests.values()) == 4


def test_the_schedule_that_replies_without_one_show_is_no_change(on: Stage) -> None:
    off = {"automaticRepliesSetting": {"status": "disabled"}}
    change_settings(on.tenant, on.resource.graph_id, off)
    mirror = read(on)
    before = settings(on.tenant, on.resource.graph_id)
    on.tenant.clock.advance(3_700)
    assert settings(on.tenant, on.resource.graph_id) != before
    assert not any(page.entries for page in on.source().changes(mirror.links, frozenset()))
    replies = {"status": "scheduled", "externalAudience": "all"}
    change_settings(on.tenant, on.resource.graph_id, {"automaticRepliesSetting": replies})
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()
    raw = mirror.items["mailboxSettings"].change.raw
    assert "scheduledEndDateTime" in raw["automaticRepliesSetting"]


def test_settings_that_fail_do_not_keep_the_lists_away(on: Stage) -> None:
    on.tenant.faults.map("mailboxSettings", "e" * 20)
    mirror = Mirror()
    with pytest.raises(TransientFailure):
        mirror.round(on.source())
    assert {"rules", "categories", "overrides"} <= mirror.items.keys()


def test_a_long_list_is_read_to_its_end(on: Stage) -> None:
    for number in range(620):
        add_category(on.tenant, on.resource.graph_id, f"Category {number}", "none")
    assert on.found(read(on)) == on.truth()


def test_a_rule_knows_where_its_folders_lie(on: Stage) -> None:
    mirror = read(on)
    (place,) = stored(mirror, "Old ones").row["folders"].values()
    assert place == {"role": "archive", "path": []}
    places = [
        kept.change.row["folders"]
        for kept in mirror.items.values()
        if kept.change.name == "To the project"
    ]
    assert {"role": "msgfolderroot", "path": ["Projects", "Harbour / Phase 2 🚢"]} in [
        place for found in places for place in found.values()
    ]


def test_an_id_with_a_slash_is_escaped_in_ours_and_found_again(on: Stage) -> None:
    user = on.resource.graph_id
    rule_named(on, user, "Remove spam")["id"] = "AQAA+/5dZp8="
    mirror = read(on)
    assert "rule:AQAA%2B%2F5dZp8=" in mirror.items
    assert on.source().complete("rule:AQAA%2B%2F5dZp8=").name == "Remove spam"
    old = clash(on, stored(mirror, "Remove spam"), on.resource)
    assert old is not None
    on.target(on.resource).remove(old.id)
    assert "AQAA+/5dZp8=" not in {one["id"] for one in rules(on.tenant, user)}


# Writing


def test_what_is_there_already_is_not_made_twice_whatever_its_id(on: Stage) -> None:
    mirror, target = read(on), CASE.fresh_target(on.tenant)
    items = [kept.stored() for kept in mirror.items.values() if kept.change.kind == "setting"]
    for _ in range(2):
        writer = on.target(target)  # as a restore into a folder of its own does, without a look
        written = [writer.write(item, writer.root(), "m", None, new_name=False) for item in items]
    assert {one.outcome for one in written} == {"skipped"}
    assert len(rules(on.tenant, target.graph_id)) == len(rules(on.tenant, on.resource.graph_id))


def test_a_rule_that_was_changed_collides_by_its_id_and_is_replaced_in_place(on: Stage) -> None:
    mirror, user = read(on), on.resource.graph_id
    changed = rule_named(on, user, "Remove spam")
    changed |= {"displayName": "Renamed", "conditions": {"hasAttachments": True}}
    item = stored(mirror, "Remove spam")
    old = clash(on, item, on.resource)
    assert old is not None
    assert old.same != on.target(on.resource).identity(item).same
    writer = on.target(on.resource)
    written = writer.write(item, writer.root(), "m", old, new_name=False)
    assert written.outcome == "replaced"
    names = [one["displayName"] for one in rules(on.tenant, user)]
    assert names.count("Remove spam") == 1
    assert "Renamed" not in names


def test_a_rule_of_the_same_id_in_another_mailbox_is_another_rule(on: Stage) -> None:
    mirror, target = read(on), CASE.fresh_target(on.tenant)
    other = {"displayName": "Quite another", "actions": {"markAsRead": True}}
    made = add_rule(on.tenant, target.graph_id, other)
    item = stored(mirror, "Remove spam")
    assert item.id == f"rule:{made['id']}"
    assert clash(on, item, target) is None


def test_rules_that_forward_are_switched_off_elsewhere_and_kept_on_at_home(on: Stage) -> None:
    mirror, target = read(on), CASE.fresh_target(on.tenant)
    item = stored(mirror, "From partner")
    writer = on.target(target)
    written = writer.write(item, writer.root(), "m", None, new_name=False)
    assert [one.cause for one in written.troubles] == ["switched-off"]
    assert not rule_named(on, target.graph_id, "From partner")["isEnabled"]
    home = on.resource.graph_id
    rules(on.tenant, home).remove(rule_named(on, home, "From partner"))
    writer = on.target(on.resource)
    assert writer.write(item, writer.root(), "m", None, new_name=False).troubles == ()
    assert rule_named(on, home, "From partner")["isEnabled"]


def test_a_rule_without_its_folder_is_not_made_and_says_why(on: Stage) -> None:
    mirror = read(on)
    target = Resource("mailbox", on.tenant.add_user("No Folders").id)
    writer = on.target(target)
    item = stored(mirror, "To the project")
    written = writer.write(item, writer.root(), "m", None, new_name=False)
    assert written.outcome == "skipped"
    assert [one.cause for one in written.troubles] == ["folder-not-found"]
    assert rules(on.tenant, target.graph_id) == []


def test_a_rule_finds_a_folder_that_was_made_anew_in_its_own_mailbox(on: Stage) -> None:
    mirror, user = read(on), on.resource.graph_id
    box = on.tenant.mailboxes[user]
    old = next(one for one in box.folders.values() if one.name == "Projects")
    for _ in range(2):  # to Deleted Items, and out of there
        box.delete_folder(old)
    fresh = box.add_folder("Projects")
    deep = box.add_folder("Harbour / Phase 2 🚢", fresh.id)
    rules(on.tenant, user).clear()
    item = next(
        kept.stored()
        for kept in mirror.items.values()
        if "moveToFolder" in kept.change.raw.get("actions", {}) and kept.change.row["enabled"]
        and kept.change.name == "To the project"
    )  # fmt: skip
    writer = on.target(on.resource)
    assert writer.write(item, writer.root(), "m", None, new_name=False).outcome == "created"
    assert rules(on.tenant, user)[0]["actions"]["moveToFolder"] == deep.id


def test_a_rule_of_outlook_on_a_computer_is_kept_and_not_made(on: Stage) -> None:
    second = Resource("mailbox", list(on.tenant.mailboxes)[1])
    mirror = Mirror()
    mirror.round(SERVICES["settings"].source(on.reader, second))
    item = stored(mirror, "Play a sound 🔔")
    writer = on.target(CASE.fresh_target(on.tenant))
    written = writer.write(item, writer.root(), "m", None, new_name=False)
    assert (written.outcome, written.troubles[0].cause) == ("skipped", "not-supported")


def test_settings_are_only_put_back_by_replacing(on: Stage) -> None:
    mirror, user = read(on), on.resource.graph_id
    change_settings(on.tenant, user, {"timeZone": "UTC", "dateFormat": "yyyy"})
    item = stored(mirror, "Settings")
    writer = on.target(on.resource)
    for new_name in (False, True):
        written = writer.write(item, writer.root(), "m", None, new_name=new_name)
        assert (written.outcome, written.troubles[0].cause) == ("skipped", "only-by-replacing")
    assert settings(on.tenant, user)["timeZone"] == "UTC"
    (old,) = writer.existing(writer.root())
    assert writer.write(item, writer.root(), "m", old, new_name=False).outcome == "replaced"
    assert settings(on.tenant, user) == item.raw


def test_automatic_replies_come_back_at_home_with_a_note_and_stay_off_elsewhere(
    on: Stage,
) -> None:
    mirror, user = read(on), on.resource.graph_id
    change_settings(on.tenant, user, {"automaticRepliesSetting": {"status": "disabled"}})
    item = stored(mirror, "Settings")
    target = CASE.fresh_target(on.tenant)
    for where, cause, status in (
        (on.resource, "switched-on", "Scheduled"),
        (target, "switched-off", "disabled"),
    ):
        writer = on.target(where)
        (old,) = writer.existing(writer.root())
        written = writer.write(item, writer.root(), "m", old, new_name=False)
        assert [one.cause for one in written.troubles] == [cause]
        replies = settings(on.tenant, where.graph_id)["automaticRepliesSetting"]
        assert replies["status"] == status
        assert replies["internalReplyMessage"] == item.raw["automaticRepliesSetting"][
            "internalReplyMessage"
        ]  # fmt: skip


def test_a_rule_that_cannot_be_removed_stays_beside_the_one_that_replaces_it(on: Stage) -> None:
    mirror, user = read(on), on.resource.graph_id
    item = stored(mirror, "Remove spam")
    rule_named(on, user, "Remove spam")["isReadOnly"] = True
    old = clash(on, item, on.resource)
    writer = on.target(on.resource)
    written = writer.write(item, writer.root(), "m", old, new_name=False)
    assert (written.outcome, written.troubles[0].cause) == ("copied", "old-one-kept")
    assert len([r for r in rules(on.tenant, user) if r["displayName"] == "Remove spam"]) == 2


def test_capitals_and_empty_properties_make_no_other_rule() -> None:
    one = {"displayName": "a", "conditions": {"senderContains": ["straße"], "importance": None}}
    other = {"displayName": "A", "conditions": {"senderContains": ["STRASSE"]}, "actions": {}}
    assert same_rule(one) == same_rule(other)
    assert same_rule(one) != same_rule({**one, "exceptions": {"sentToMe": True}})
