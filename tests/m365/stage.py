"""A simulated tenant on stage, with a reader and a writer that may do what a service declares."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pytest

import simulator
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphReader, GraphWriter, Place
from m365.graph.throttle import Limiter
from m365.service import Resource, Service, Source, Writer
from simulator.contoso import build
from tests.m365.mirror import Mirror

RAW = "raw"


def canonical(raw: Mapping[str, Any]) -> bytes:
    """An object as bytes that do not depend on the order of its properties."""
    return json.dumps(raw, sort_keys=True).encode()


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
        """The role whose bytes `truth` speaks of; RAW where items are nothing but their object."""
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
        chosen = getattr(self.case, "choices", {})
        return self.case.service.source(self.reader, self.resource, **chosen)

    def target(self, resource: Resource) -> Writer:
        if self.case.service.writer is None:
            pytest.skip("can be exported only")
        return self.case.service.writer(self.writer, resource)

    def found(self, mirror: Mirror) -> Counter[Truth]:
        """What the mirror holds, in the words of the tenant's truth."""
        names = {key: (kept.change.parent, kept.change.name) for key, kept in mirror.items.items()}
        found: Counter[Truth] = Counter()
        beside = getattr(self.case, "beside", None)  # of services whose items keep more to compare
        for kept in mirror.items.values():
            path = tuple(_path(names, kept.change.id))
            if beside is not None:
                found.update(beside(kept, path))
            if kept.change.kind == "folder":
                continue
            raw: list[tuple[str, bytes, Mapping[str, Any]]]
            raw = [(RAW, canonical(kept.change.raw), {})]
            for role, data, _ in kept.parts + raw:
                if role == self.case.main_part():
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
