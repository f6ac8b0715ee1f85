"""The behaviour every service has, run against the simulated tenant; driven by the registry.

A service that is added to m365/__init__.py needs a Case in test_services.py and passes this suite.
The engine is played by Mirror: it applies pages by the words of base/item.py and nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pytest

import simulator
from base.errors import Throttled
from base.item import Change, FeedPage, Gone, Part, StoredItem, StoredPart, Trouble
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphReader, GraphWriter, Place
from m365.graph.errors import ItemGone, ResourceGone
from m365.graph.throttle import Limiter
from m365.service import Existing, Folder, Resource, Service, Source, Writer
from simulator.contoso import build, month


@dataclass(slots=True)
class Kept:
    """An item as the mirror keeps it: the change and its parts, read to the end."""

    change: Change
    parts: list[tuple[str, bytes, Mapping[str, Any]]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def stored(self) -> StoredItem:
        parts = tuple(
            StoredPart(role, len(data), meta, lambda data=data: iter((data,)))  # type: ignore[misc]
            for role, data, meta in self.parts
        )
        change = self.change
        return StoredItem(
            change.id, change.parent, change.kind, change.name, change.row, change.raw, parts
        )


class Mirror:
    """What a vault would hold after the pages of a source."""

    def __init__(self) -> None:
        self.items: dict[str, Kept] = {}
        self.links: dict[str, str] = {}
        self.finished: set[str] = set()
        self.fetched: Counter[str] = Counter()
        self.pages = 0
        self._resets: dict[str, tuple[str | None, set[str]]] = {}

    def round(self, source: Source, pages_max: int = 1_000_000) -> bool:
        """Takes pages until the round is over (True) or `pages_max` were taken (False)."""
        for page in source.changes(self.links, frozenset(self.finished)):
            self.apply(source, page)
            pages_max -= 1
            if pages_max == 0:
                return False
        self.finished.clear()
        return True

    def apply(self, source: Source, page: FeedPage) -> None:
        self.pages += 1
        if page.reset:
            self._resets[page.part] = (page.scope, set())
            self.finished.discard(page.part)
        for entry in page.entries:
            if isinstance(entry, Gone):
                self._remove(entry)
            else:
                self._put(source, entry)
        for part in page.dropped_parts:
            self.links.pop(part, None)
            self._resets.pop(part, None)
        if page.link:
            self.links[page.part] = page.link
        if not page.more:
            self.finished.add(page.part)
            self._sweep(page.part)

    def _put(self, source: Source, change: Change) -> None:
        before = self.items.get(change.id)
        if change.partial:
            change = (
                source.merge(before.change.raw, change) if before else source.complete(change.id)
            )
        for _, seen in self._resets.values():
            seen.add(change.id)
        kept = Kept(change)
        if before and change.fingerprint and before.change.fingerprint == change.fingerprint:
            kept.parts, kept.troubles = before.parts, before.troubles
        else:
            self.fetched[change.kind] += 1
            try:
                parts, kept.troubles = source.fetch(change)
            except ItemGone:
                return
            kept.parts = [(part.role, _bytes(part), part.meta) for part in parts]
        self.items[change.id] = kept

    def _remove(self, gone: Gone) -> None:
        kept = self.items.get(gone.id)
        if kept is None or gone.parent not in (None, kept.change.parent):
            return
        del self.items[gone.id]
        if gone.parent is None:  # a folder takes along what still lies in it
            for key in [key for key, one in self.items.items() if one.change.parent == gone.id]:
                self._remove(Gone(key))

    def _sweep(self, part: str) -> None:
        scope, seen = self._resets.pop(part, (None, None))
        if seen is None:
            return
        for key, kept in list(self.items.items()):
            if key not in seen and scope in (None, kept.change.parent):
                del self.items[key]


def _bytes(part: Part) -> bytes:
    return part.data if isinstance(part.data, bytes) else b"".join(part.data)


@dataclass(frozen=True, slots=True)
class Truth:
    """One item as the tenant has it."""

    path: tuple[str, ...]
    size: int
    sha256: str


class TenantClock:
    """The tenant's clock; waiting lets the tenant's time pass and takes none of ours."""

    def __init__(self, tenant: simulator.Tenant) -> None:
        self._tenant = tenant

    def now(self) -> datetime:
        return self._tenant.clock.now()

    def monotonic(self) -> float:
        return self._tenant.clock.seconds()

    def sleep(self, seconds: float) -> None:
        with self._tenant.lock:
            self._tenant.clock.advance(seconds)


class Case(Protocol):
    """What the suite has to know of a service to check it."""

    service: Service

    def resource(self, tenant: simulator.Tenant) -> Resource:
        """The resource of the tenant that is read."""
        ...

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        """An empty resource of the same kind."""
        ...

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        """Every readable item (not folders): path with name, and its bytes."""
        ...

    def main_part(self) -> str:
        """The role whose bytes `truth` speaks of."""
        ...

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """Makes the service forget every link it gave out."""
        ...

    def idle_requests_max(self, folders: int) -> int:
        """What a round without changes may cost."""
        ...

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        """Deletes an item for good."""
        ...

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        """Takes the whole resource away."""
        ...

    def content_pattern(self) -> str:
        """Matches the requests that fetch content, for faults."""
        ...

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        """Every item of the target as facts that a restore has to bring back."""
        ...

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        """The same facts of the source."""
        ...


class Stage:
    """A served tenant with a reader and a writer that hold no more than the service declares."""

    def __init__(self, case: Case, running: simulator.Running) -> None:
        self.case = case
        self.running = running
        self.tenant = running.tenant
        self.resource = case.resource(running.tenant)
        place = Place(running.url, running.url, running.ca)
        clock = TenantClock(running.tenant)
        limiter = Limiter(clock=clock)
        reads, writes = case.service.reads, case.service.writes
        self.reader = GraphReader(place, self._credential("Reader", reads), limiter, clock)
        self.writer = GraphWriter(place, self._credential("Writer", writes), limiter, clock)

    def source(self) -> Source:
        return self.case.service.source(self.reader, self.resource)

    def target(self, resource: Resource) -> Writer:
        return self.case.service.writer(self.writer, resource)

    def found(self, mirror: Mirror) -> Counter[Truth]:
        """What the mirror holds, in the words of the tenant's truth."""
        names = {key: (kept.change.parent, kept.change.name) for key, kept in mirror.items.items()}
        found: Counter[Truth] = Counter()
        for kept in mirror.items.values():
            if kept.change.kind == "folder":
                continue
            for role, data, _ in kept.parts:
                if role == self.case.main_part():
                    path = tuple(_path(names, kept.change.id))
                    found[Truth(path, len(data), hashlib.sha256(data).hexdigest())] += 1
        return found

    def truth(self) -> Counter[Truth]:
        return self.case.truth(self.tenant, self.resource)

    def folders(self, mirror: Mirror) -> int:
        return sum(kept.change.kind == "folder" for kept in mirror.items.values())

    def _credential(self, name: str, roles: tuple[str, ...]) -> ClientSecret:
        app = self.tenant.add_app(name, roles)
        return ClientSecret(self.tenant.id, app.app_id, next(iter(app.secrets)))


def _path(names: Mapping[str, tuple[str, str]], key: str) -> Iterator[str]:
    parent, name = names[key]
    if parent in names:
        yield from _path(names, parent)
        yield name


@contextmanager
def stage(case: Case, *, hostile: bool = False) -> Iterator[Stage]:
    """A tiny Contoso, calm or with everything the documentation allows."""
    tenant = build("tiny", 3)
    if hostile:
        tenant.quirks = simulator.hostile()
    with simulator.serve(tenant) as running:
        yield Stage(case, running)


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

    def test_lost_links_lead_to_a_full_round_that_finds_deletions_too(self, case: Case) -> None:
        with stage(case) as on:
            mirror = Mirror()
            mirror.round(on.source())
            folders = on.folders(mirror)
            victim = _some_item(mirror)
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
            victim = mirror.items[_some_item(mirror)].change
            case.vanish(on.tenant, on.resource, victim.id)
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
            item = next(_restorable(mirror))
            top = writer.root()
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


def _some_item(mirror: Mirror) -> str:
    """An item with content, always the same one."""
    return min(
        key
        for key, kept in mirror.items.items()
        if kept.change.kind != "folder" and any(len(data) for _, data, _ in kept.parts)
    )


def _without_secrets(change: Change) -> Change:
    return Change(
        change.id, change.parent, change.kind, change.name, change.raw, change.volatile,
        fingerprint=change.fingerprint,
    )  # fmt: skip


def _restorable(mirror: Mirror) -> Iterator[StoredItem]:
    for key in sorted(mirror.items):
        kept = mirror.items[key]
        if kept.change.kind != "folder" and kept.parts and not kept.troubles:
            yield kept.stored()


def _by_folder(
    on: Stage, writer: Writer, mirror: Mirror
) -> Iterator[tuple[Folder, list[StoredItem]]]:
    """Target folders, made where missing, with the items that belong there."""
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
        if kept.change.kind == "folder":
            place(key)
    items: dict[str, list[StoredItem]] = {}
    for item in _restorable(mirror):
        items.setdefault(item.parent, []).append(item)
    for parent, some in items.items():
        yield place(parent), some


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
