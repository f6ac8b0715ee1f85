"""The behaviour every service has, run against the simulated tenant; driven by the registry.

A service that is added to m365/__init__.py needs a Case in test_services.py and passes this suite.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base.errors import Throttled
from base.item import Change, StoredItem, Trouble
from m365.graph.errors import ItemGone, ResourceGone, TransientFailure
from m365.service import Existing, Folder, Resource, Writer
from simulator.contoso import month
from tests.m365.mirror import Mirror
from tests.m365.stage import RAW, Case, Stage, stage


class ServiceSuite:
    """Subclassed with a `case` fixture."""

    @pytest.mark.parametrize("hostile", [False, True])
    def test_a_first_round_holds_exactly_what_the_tenant_has(
        self, case: Case, hostile: bool
    ) -> None:
        with stage(case, hostile=hostile) as on:
            mirror = Mirror()
            assert mirror.round(on.source())
            assert on.found(mirror) == on.truth()
            assert not [t for kept in mirror.items.values() for t in kept.troubles if t.retry]

    @pytest.mark.parametrize("hostile", [False, True])
    def test_a_month_later_the_changes_alone_lead_to_the_same(
        self, case: Case, hostile: bool
    ) -> None:
        with stage(case, hostile=hostile) as on:
            mirror = Mirror()
            mirror.round(on.source())
            everything = sum(mirror.fetched.values())
            for _ in range(2):
                month(on.tenant)
                mirror.fetched.clear()
                assert mirror.round(on.source())
                assert on.found(mirror) == on.truth()
                assert sum(mirror.fetched.values()) < everything

    def test_a_round_without_changes_is_cheap_and_says_nothing(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            before = on.reader.counters.requests
            pages = list(on.source().changes(mirror.links, frozenset()))
            assert not any(page.entries or page.reset for page in pages)
            spent = on.reader.counters.requests - before
            assert spent <= case.idle_requests_max(on.folders(mirror))

    @pytest.mark.parametrize("hostile", [False, True])
    def test_a_round_that_dies_after_any_page_is_continued(self, case: Case, hostile: bool) -> None:
        with stage(case, hostile=hostile) as on:
            mirror, steps = Mirror(), 0
            while not mirror.round(on.source(), pages_max=3):
                steps += 1
            assert on.found(mirror) == on.truth()
            month(on.tenant)
            while not mirror.round(on.source(), pages_max=2):
                steps += 1
            assert on.found(mirror) == on.truth()

    def test_a_day_full_of_faults_ends_in_the_truth(self, case: Case) -> None:
        with stage(case, hostile=True) as on:
            mirror = Mirror()
            for _ in range(2):
                on.tenant.faults.hostile()
                assert _rounds_until_done(on, mirror) < 100
                on.tenant.faults.calm()
                retried = [
                    t.item_id for kept in mirror.items.values() for t in kept.troubles if t.retry
                ]
                for item_id in retried:
                    mirror.again(on.source(), item_id)
                assert on.found(mirror) == on.truth()
                month(on.tenant)
            assert not on.tenant.counters.offences

    def test_lost_links_lead_to_a_full_round_that_finds_deletions_too(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            folders = on.folders(mirror)
            victim = _some_item(on, mirror)
            case.vanish(on.tenant, on.resource, victim)
            case.lose_links(on.tenant, on.resource)
            assert mirror.round(on.source())
            assert victim not in mirror.items
            assert on.found(mirror) == on.truth()
            assert on.folders(mirror) == folders

    def test_links_lost_in_the_middle_of_a_round_are_found_out_in_it(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            month(on.tenant)
            mirror.round(on.source(), pages_max=2)
            case.lose_links(on.tenant, on.resource)
            while not mirror.round(on.source(), pages_max=5):
                pass
            mirror.round(on.source())
            assert on.found(mirror) == on.truth()

    def test_short_pauses_are_waited_for_and_long_ones_handed_up(self, case: Case) -> None:
        with stage(case) as on:
            on.tenant.limits.retry_after_s = 60
            on.tenant.faults.map(case.content_pattern(), "..t")
            mirror = Mirror()
            with pytest.raises(Throttled) as raised:
                mirror.round(on.source())
            assert 0 < raised.value.retry_after_s <= 60

    def test_an_item_that_vanished_after_its_page_raises_item_gone(self, case: Case) -> None:
        with stage(case) as on:
            source, mirror = on.source(), Mirror()
            mirror.round(source)
            victim = mirror.items[_some_item(on, mirror)].change
            case.vanish(on.tenant, on.resource, victim.id)
            if case.main_part() != RAW:
                with pytest.raises(ItemGone):
                    source.fetch(_without_secrets(victim))
            with pytest.raises(ItemGone):
                source.complete(victim.id)

    def test_a_resource_that_vanished_is_told_apart_from_an_item(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            case.remove_resource(on.tenant, on.resource)
            with pytest.raises(ResourceGone):
                list(on.source().changes({}, frozenset()))
            with pytest.raises(ResourceGone):
                list(on.source().changes(mirror.links, frozenset()))

    def test_the_service_is_content_with_the_permissions_it_declares(self, case: Case) -> None:
        with stage(case) as on:
            Mirror().round(on.source())
            assert on.tenant.counters.statuses[403] == 0
            assert on.tenant.counters.statuses[401] == 0

    def test_no_request_strays_from_the_documented_interface(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            if case.service.writer is not None:
                _restore(on, mirror, case.fresh_target(on.tenant))
            assert on.tenant.counters.violations == []
            assert not on.tenant.counters.offences

    @pytest.mark.parametrize("hostile", [False, True])
    def test_what_was_read_can_be_restored_elsewhere(self, case: Case, hostile: bool) -> None:
        with stage(case, hostile=hostile) as on:
            mirror = Mirror()
            mirror.round(on.source())
            target = case.fresh_target(on.tenant)
            troubles = _restore(on, mirror, target)
            assert [trouble for trouble in troubles if trouble.retry] == []
            assert case.restored(on.tenant, target) == case.expected(on.tenant, on.resource)

    def test_a_repeated_restore_recognizes_its_own_writes(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            target = case.fresh_target(on.tenant)
            _restore(on, mirror, target)
            writer = on.target(target)
            for folder, items in _by_folder(on, writer, mirror):
                present = list(writer.existing(folder))
                for item in items:
                    identity = writer.identity(item)
                    same = [one for one in present if one.key == identity.key]
                    assert same, item.id
                    if writer.keeps_markers:
                        assert f"run:{item.id}" in {one.marker for one in same}
                        assert all(one.complete for one in same)

    def test_replacing_keeps_one_item_and_removing_takes_it_away(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            writer = on.target(case.fresh_target(on.tenant))
            item = next(_restorable(on, mirror))
            top = _folders(on, writer, mirror)[item.parent]
            first = writer.write(item, top, "run:1", None, new_name=False)
            old = _only(writer.existing(top))
            second = writer.write(item, top, "run:2", old, new_name=False)
            assert second.outcome == "replaced"
            assert _only(writer.existing(top)).id == second.id
            copy = writer.write(item, top, "run:3", None, new_name=True)
            assert copy.outcome == "copied"
            assert len(list(writer.existing(top))) == 2
            writer.remove(copy.id)
            writer.remove(second.id)
            writer.remove(first.id)  # gone already: fine
            assert list(writer.existing(top)) == []


def _rounds_until_done(on: Stage, mirror: Mirror) -> int:
    """Steps of a few pages each, continued after every pause and failure; how many it took."""
    steps = 1
    while True:
        try:
            if mirror.round(on.source(), pages_max=7):
                return steps
        except Throttled as wait:
            on.tenant.clock.advance(wait.retry_after_s)
        except TransientFailure:
            pass  # the next step asks again
        steps += 1


def _some_item(on: Stage, mirror: Mirror) -> str:
    """An item with content, always the same one."""
    return min(
        key
        for key, kept in mirror.items.items()
        if kept.change.kind != "folder"
        and (on.case.main_part() == RAW or any(len(data) for _, data, _ in kept.parts))
    )


def _without_secrets(change: Change) -> Change:
    return Change(
        change.id, change.parent, change.kind, change.name, change.raw, change.volatile,
        fingerprint=change.fingerprint,
    )  # fmt: skip


def _restorable(on: Stage, mirror: Mirror) -> Iterator[StoredItem]:
    for key in sorted(mirror.items):
        kept = mirror.items[key]
        whole = kept.parts or on.case.main_part() == RAW
        if kept.change.kind != "folder" and whole and not kept.troubles:
            yield kept.stored()


def _by_folder(
    on: Stage, writer: Writer, mirror: Mirror
) -> Iterator[tuple[Folder, list[StoredItem]]]:
    """Target folders, made where missing, with the items that belong there."""
    folders = _folders(on, writer, mirror)
    items: dict[str, list[StoredItem]] = {}
    for item in _restorable(on, mirror):
        items.setdefault(item.parent, []).append(item)
    for parent, some in items.items():
        yield folders[parent], some


def _folders(on: Stage, writer: Writer, mirror: Mirror) -> dict[str, Folder]:
    """By stored folder: the folder of the target that stands for it, made where missing."""
    folders: dict[str, Folder] = {}

    def place(key: str) -> Folder:
        if key not in folders:
            kept = mirror.items.get(key)
            if kept is None or not kept.change.parent:
                folders[key] = writer.root()
            else:
                stored = kept.stored()
                folders[key] = writer.ensure_folder(
                    place(kept.change.parent), kept.change.name, stored
                )
        return folders[key]

    for key, kept in sorted(mirror.items.items()):
        place(key if kept.change.kind == "folder" else kept.change.parent)
    return folders


def _restore(on: Stage, mirror: Mirror, target: Resource) -> list[Trouble]:
    writer, troubles = on.target(target), list[Trouble]()
    for folder, items in _by_folder(on, writer, mirror):
        for item in items:
            written = writer.write(item, folder, f"run:{item.id}", None, new_name=False)
            troubles += written.troubles
    return troubles


def _only(found: Iterator[Existing]) -> Existing:
    (one,) = found
    return one
