"""What a backup keeps of every property of Graph's schemas and what a restore brings back.

Rules
1. The lists in benchmarks/fidelity/<service>/ declare a verdict for every property that the OpenAPI
   document names, with the reason from Graph's documentation where one does not come back.
2. Nothing is believed: items that use every property are backed up and restored into a fresh
   mailbox, drive, site, team or group by the engine, and source and target are compared as an
   independent client of Graph sees them. A verdict that differs from the measurement counts as
   unexplained. Of a service that is only exported the export is compared instead.
3. Only values that somebody set are evidence: a property no item uses is not measured, and so
   unexplained too.

Verdicts of `restored`: "yes" (set again), "computed" (not set, and the same all the same), "partly"
(some items have it, others cannot), "no", "apart" (no item has it: a way to data or doings of their
own, or what Microsoft gives to personal accounts only; explained while no item shows it).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from benchmarks._graph import Graph
from benchmarks._installation import Installation, installed
from engine.restore_plan import RestoreRequest
from m365 import SERVICES
from simulator import Tenant, contoso

LISTS = Path(__file__).with_name("fidelity")
TYPES = (
    "mail/message",
    "calendar/event",
    "contacts/contact",
    "tasks/todoTask",
    "drive/driveItem",
    "drive/driveItemVersion",
    "drive/permission",
    "pages/sitePage",
    "pages/titleArea",
    "pages/canvasLayout",
    "pages/horizontalSection",
    "pages/horizontalSectionColumn",
    "pages/verticalSection",
    "pages/textWebPart",
    "pages/standardWebPart",
    "teams/chatMessage",
    "teams/channel",
    "planner/plannerPlan",
    "planner/plannerPlanDetails",
    "planner/plannerBucket",
    "planner/plannerTask",
    "planner/plannerTaskDetails",
    "notes/note",
)  # fmt: skip
COMES_BACK = ("yes", "computed")
APART = "apart"
_DAYS_S = 3 * 86_400.0
_Facts = dict[str, Any]
Shown = Mapping[str, Mapping[str, _Facts]]
"""By type: every item's comparable values, by something that survives a restore."""


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
    """The list of one type of one service."""

    service: str
    name: str
    title: str
    page: str
    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A declared property with what was measured; stored and restored are "" where nothing was."""

    service: str
    type: str
    declared: Property
    stored: str = ""
    restored: str = ""

    @property
    def explained(self) -> bool:
        """Whether declaration and measurement agree, and what does not come back has a reason."""
        restored = self.declared.restored
        has_reason = bool(self.declared.why and self.declared.page)
        if restored == APART:
            unseen = (self.declared.stored, self.stored, self.restored) == ("no", "", "")
            return unseen and has_reason
        wanted = "yes" if restored == "computed" else restored
        if (self.stored, self.restored) != (self.declared.stored, wanted):
            return False
        return restored in COMES_BACK or has_reason


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the items of a measurement lie, by ids of Graph, and how they are protected."""

    source: str
    target: str
    """Fresh, of the same kind; "" where the service is only exported."""
    policy: Mapping[str, Any]
    options: tuple[str, ...] = field(default=())
    """Of the restore."""


class Subject(Protocol):
    """What the measurement has to know of one service."""

    service: str

    def furnish(self, tenant: Tenant) -> Scene:
        """Puts items into a tenant that together use every property."""
        ...

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        """Every item as Graph shows it of a source or a target.

        Values are made comparable: folders by path, attachments without ids.
        """
        ...

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        """The same from the newest restore point."""
        ...


@runtime_checkable
class ExportOnly(Subject, Protocol):
    """The same of a service without a restore."""

    def exported(self, installation: Installation, where: str) -> Shown:
        """The same from an export of the newest restore point."""
        ...


def declared(services: Collection[str] = ()) -> list[Declared]:
    """The committed lists; those of some services, or all."""
    found = []
    for one in TYPES:
        service, _, name = one.partition("/")
        if services and service not in services:
            continue
        text = json.loads((LISTS / f"{one}.json").read_text(encoding="utf-8"))
        rows = tuple(Property(**row) for row in text["properties"])
        found.append(Declared(service, name, text["title"], text["page"], rows))
    return found


def measured(subjects: Sequence[Subject], lists: Sequence[Declared]) -> list[Verdict]:
    """A verdict for every declared property, in the order of the lists."""
    seen = {one.service: _measured(one) for one in subjects if one.service in SERVICES}
    return [verdict for one in lists for verdict in _verdicts(one, seen.get(one.service))]


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
        "properties_apart": sum(one.declared.restored == APART for one in verdicts),
        "properties_unexplained": len(unexplained),
        "unexplained": [
            f"{one.service}/{one.type}.{one.declared.name}: declared {one.declared.stored}/"
            f"{one.declared.restored}, measured {one.stored or '-'}/{one.restored or '-'}"
            for one in unexplained
        ],
    }


def mailboxes(tenant: Tenant) -> Scene:
    """Two new mailboxes, the first to be furnished and protected."""
    user, target = tenant.add_user("Full House"), tenant.add_user("Fresh Start")
    selection = {"mode": "include", "users": [user.id]}
    return Scene(user.id, target.id, {"selection": selection, "protection": "full"})


def numbered(found: Mapping[str, list[_Facts]]) -> dict[str, _Facts]:
    """Items by name and number: those with one name in the order they are given."""
    return {f"{name} {n}": one for name, some in found.items() for n, one in enumerate(some)}


def named(found: Iterable[tuple[str, str, _Facts]]) -> Shown:
    """(type, name, item) as they are compared; each names its type, unless it says None of it."""
    by_type: dict[str, dict[str, list[_Facts]]] = {}
    for type_, name, facts in found:
        whole = {"@odata.type": f"#microsoft.graph.{type_}", **facts}
        if whole["@odata.type"] is None:
            del whole["@odata.type"]
        by_type.setdefault(type_, {}).setdefault(name, []).append(whole)
    return {type_: numbered(some) for type_, some in by_type.items()}


def without_notes(raw: Mapping[str, Any]) -> _Facts:
    """An object without what OData says of the answer it came in."""
    return {name: value for name, value in raw.items() if not name.startswith("@odata.")}


@dataclass(frozen=True, slots=True)
class _Seen:
    before: Shown
    kept: Shown
    after: Shown


def _measured(subject: Subject) -> _Seen:
    tenant = contoso.build("tiny", seed=5)
    with tenant.lock:
        scene = subject.furnish(tenant)
    with installed(tenant) as installation:
        service = SERVICES[subject.service]
        installation.choose(services=[service.name], **scene.policy)
        run = installation.back_up()
        if run["state"] not in ("green", "amber"):
            raise RuntimeError(f"the backup of {service.name} ended {run['state']}: {run}")
        graph = Graph(installation.running)
        before = subject.shown(graph, tenant, scene.source)
        kept = subject.kept(installation, scene.source, before)
        if isinstance(subject, ExportOnly):
            return _Seen(before, kept, subject.exported(installation, scene.source))
        kind = service.resource_kind
        request = RestoreRequest(
            service.name, f"{kind}:{scene.source}", target=f"{kind}:{scene.target}",
            place="original", options=scene.options,
        )  # fmt: skip
        installation.clock.sleep(_DAYS_S)  # dates of the restore itself are not those of the items
        installation.restore(request)
        return _Seen(before, kept, subject.shown(graph, tenant, scene.target))


def _verdicts(listed: Declared, seen: _Seen | None) -> list[Verdict]:
    if seen is None:
        return [Verdict(listed.service, listed.name, row) for row in listed.properties]
    before = seen.before.get(listed.name, {})
    return [
        Verdict(
            listed.service,
            listed.name,
            row,
            _agreement(row.name, before, seen.kept.get(listed.name, {})),
            _agreement(row.name, before, seen.after.get(listed.name, {})),
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
