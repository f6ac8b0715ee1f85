"""What a backup keeps of every property of Graph's schemas and what a restore brings back.

Rules
1. The lists in benchmarks/fidelity/ declare a verdict for every property that the OpenAPI document
   names, with the reason from Graph's documentation where one does not come back.
2. Nothing is believed: items that use every property are backed up and restored into a fresh
   mailbox by the engine, and source and target are compared as an independent client of Graph
   sees them. A verdict that differs from the measurement counts as unexplained.
3. Only values that somebody set are evidence: a property no item uses is not measured, and so
   unexplained too.

Verdicts of `restored`: "yes" (set again), "computed" (not set, and the same all the same), "partly"
(some items have it, others cannot), "no".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks._graph import Graph
from benchmarks._installation import Installation, installed
from engine.restore_plan import RestoreRequest
from m365 import SERVICES
from simulator import Tenant, contoso
from simulator.tenant import User

LISTS = Path(__file__).with_name("fidelity")
COMES_BACK = ("yes", "computed")
_DAYS_S = 3 * 86_400.0
_Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Property:
    """One declared verdict: whether it is stored ("yes", "no"), restored, and why not."""

    name: str
    stored: str
    restored: str
    why: str
    page: str


@dataclass(frozen=True, slots=True)
class Declared:
    """The list of one type."""

    name: str
    title: str
    page: str
    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A declared property with what was measured; stored and restored are "" where nothing was."""

    type: str
    declared: Property
    stored: str = ""
    restored: str = ""

    @property
    def explained(self) -> bool:
        """Whether declaration and measurement agree, and what does not come back has a reason."""
        wanted = "yes" if self.declared.restored == "computed" else self.declared.restored
        if (self.stored, self.restored) != (self.declared.stored, wanted):
            return False
        has_reason = bool(self.declared.why and self.declared.page)
        return self.declared.restored in COMES_BACK or has_reason


class Subject(Protocol):
    """What the measurement has to know of one type."""

    name: str
    """As in the lists: "message"."""
    service: str

    def furnish(self, tenant: Tenant, user: User) -> None:
        """Puts items into the user's mailbox that together use every property."""
        ...

    def shown(self, graph: Graph, tenant: Tenant, user: User) -> dict[str, _Facts]:
        """Every item as Graph shows it, by something that survives a restore.

        Values are made comparable: folders by path, attachments without ids.
        """
        ...

    def kept(
        self, installation: Installation, user: User, shown: Mapping[str, _Facts]
    ) -> dict[str, _Facts]:
        """The same from the newest restore point."""
        ...


def declared() -> list[Declared]:
    """The committed lists."""
    found = []
    for name in ("message", "event", "contact", "todoTask"):
        text = json.loads((LISTS / f"{name}.json").read_text(encoding="utf-8"))
        rows = tuple(Property(**row) for row in text["properties"])
        found.append(Declared(name, text["title"], text["page"], rows))
    return found


def measured(subjects: Sequence[Subject]) -> list[Verdict]:
    """A verdict for every declared property, in the order of the lists."""
    by_type = {one.name: one for one in subjects if one.service in SERVICES}
    found: list[Verdict] = []
    for one in declared():
        subject = by_type.get(one.name)
        if subject is None:
            found += [Verdict(one.name, row) for row in one.properties]
        else:
            found += _measured(subject, one)
    return found


def figures(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The figures of the benchmark, and the names of what is unexplained."""
    unexplained = [one for one in verdicts if not one.explained]
    restored = [one for one in verdicts if one.explained and one.declared.restored in COMES_BACK]
    return {
        "properties_total": len(verdicts),
        "properties_stored": sum(one.stored == "yes" for one in verdicts),
        "properties_restored": len(restored),
        "properties_restored_partly": sum(one.restored == "partly" for one in verdicts),
        "properties_not_restorable": sum(one.restored == "no" for one in verdicts),
        "properties_unexplained": len(unexplained),
        "unexplained": [
            f"{one.type}.{one.declared.name}: declared {one.declared.stored}/"
            f"{one.declared.restored}, measured {one.stored or '-'}/{one.restored or '-'}"
            for one in unexplained
        ],
    }


def _measured(subject: Subject, listed: Declared) -> list[Verdict]:
    tenant = contoso.build("tiny", seed=5)
    user, target = tenant.add_user("Full House"), tenant.add_user("Fresh Start")
    with tenant.lock:
        subject.furnish(tenant, user)
    with installed(tenant) as installation:
        service = SERVICES[subject.service]
        selection = {"mode": "include", "users": [user.id]}
        installation.choose(services=[service.name], selection=selection, protection="full")
        run = installation.back_up()
        if run["state"] != "green":
            raise RuntimeError(f"the backup for {subject.name} ended {run['state']}: {run}")
        graph = Graph(installation.running)
        before = subject.shown(graph, tenant, user)
        kept = subject.kept(installation, user, before)
        kind = service.resource_kind
        request = RestoreRequest(
            service.name, f"{kind}:{user.id}", target=f"{kind}:{target.id}", place="original"
        )
        installation.clock.sleep(_DAYS_S)  # dates of the restore itself are not those of the items
        installation.restore(request)
        after = subject.shown(graph, tenant, target)
    return [
        Verdict(
            listed.name,
            row,
            _agreement(row.name, before, kept),
            _agreement(row.name, before, after),
        )
        for row in listed.properties
    ]


def _agreement(
    name: str, wanted: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> str:
    """ "yes", "partly" or "no": how often a property that an item has is the same elsewhere."""
    same = {
        key: facts[name] == found.get(key, {}).get(name)
        for key, facts in wanted.items()
        if name in facts
    }
    told = [same[key] for key in same if wanted[key][name] not in (None, False, "", [], {})]
    if not told:
        return ""
    if all(same.values()):
        return "yes"
    return "partly" if any(told) else "no"
