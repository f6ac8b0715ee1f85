"""Thirty nights of one tenant: what happens in them, and whether the vault holds the truth after.

Theory of operation
Every night the tenant lives through seeded changes (simulator/contoso_month.py), some nights lose
tokens, some are hostile, and somebody joins, is converted to a shared mailbox, leaves in the middle
of a run, or loses his mailbox. The product backs up through its real engine, in the tenant's time.
Calm nights are compared at once; in the end everybody is compared, restored into a fresh mailbox
and a fresh drive, and compared again, property by property. Those who left are compared with what
they had on their last night.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import simulator
from benchmarks._fidelity import COMES_BACK, Shown, Subject, declared
from benchmarks._fidelity_calendar import with_event_previews
from benchmarks._fidelity_mail import with_previews
from benchmarks._graph import Graph
from benchmarks._installation import ORG, Installation, requests_since
from engine.restore_plan import RestoreRequest
from m365 import SERVICES
from simulator import Tenant, contoso
from simulator.calendar_state import calendars_of
from simulator.contoso import Cast, Profile
from simulator.drive import Drive
from simulator.drive_state import truth
from simulator.tenant import User

DAY_S = 86_400.0
_PROFILE = "month"
_BEGINS = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
_OFFICE = (".docx", ".xlsx", ".pptx")  # SharePoint rewrites them when they arrive
_CAST = (
    Cast("Adele Vance", 34, 12, special=True),
    Cast("Jörg Müller", 8, 5),
    Cast("Sales Inbox", 4, -1, purpose="shared"),
    Cast("Lea Leaver", 6, 4),
    Cast("Max Wechsler", 6, -1),
    Cast("Nora Nobox", 6, 3),
    Cast("Jo Joiner", 5, -1),
)
_FEW = (
    Cast("Adele Vance", 5, 4),
    Cast("Lea Leaver", 3, -1),
    Cast("Max Wechsler", 3, -1),
    Cast("Nora Nobox", 3, -1),
    Cast("Jo Joiner", 3, -1),
)
_EVENTS = ("joins", "converted", "leaves", "loses-mailbox")
_WEATHER = ("calm", "hostile", "hostile", "throttled", "storm", "heavy", "signed-out")
# A read flip comes as a piece without them: they are those of the last whole object.
_MOVING = ("changeKey", "lastModifiedDateTime")


@dataclass(frozen=True, slots=True)
class Night:
    """What a night brings: weather for the wire, the share of feeds whose tokens are lost, and what
    happens to somebody.
    """

    number: int
    weather: str = "calm"
    lost: float = 0.0
    events: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """Rows of nights, and in the end what differs: from the truth, and after a restore."""

    nights: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)


def nights(count: int, seed: int) -> list[Night]:
    """A seeded plan: the first night and the last two are calm, and so is each before an event that
    takes somebody away.
    """
    dice = random.Random(f"nights {seed}")
    when = {name: 2 + round((count - 4) * n / len(_EVENTS)) for n, name in enumerate(_EVENTS)}
    calm = {1, count - 1, count, when["leaves"] - 1, when["loses-mailbox"] - 1}
    plan = []
    for number in range(1, count + 1):
        weather = "calm" if number in calm else dice.choice(_WEATHER)
        lost = 0.0 if number in calm else dice.choice((0.0, 0.0, 0.3, 1.0))
        events = tuple(name for name, night in when.items() if night == number)
        plan.append(Night(number, weather, lost, events))
    return plan


def tenant_of(seed: int, *, few: bool = False) -> Tenant:
    """The tenant before its first night; `few`: with less of everything and nothing odd."""
    contoso.PROFILES[_PROFILE] = Profile(_FEW if few else _CAST, mean_file_bytes=12_000)
    return contoso.build(_PROFILE, seed=seed, clock=simulator.Clock(_BEGINS))


class Month:
    """One tenant and one installation, night after night."""

    def __init__(self, installation: Installation, subjects: Sequence[Subject], seed: int) -> None:
        self._on = installation
        self._tenant = installation.tenant
        self._subjects = [one for one in subjects if one.service in SERVICES]
        self._graph = Graph(installation.running)
        self._joiner = self._named("Jo Joiner")
        self._joiners_box = self._tenant.mailboxes[self._joiner.id]
        with self._tenant.lock:
            self._tenant.remove_user(self._joiner.id, for_good=True)
        self._dice = random.Random(f"month {seed}")
        self._left: dict[str, dict[str, Shown]] = {}  # by user id, then service: what they had
        self._gone: list[User] = []
        self.report = Report()
        listed = declared([one.service for one in self._subjects])
        self._stored = {
            o.name: [p.name for p in o.properties if p.stored == "yes" and p.name not in _MOVING]
            for o in listed
        }
        self._restored = {
            o.name: [p.name for p in o.properties if p.restored in COMES_BACK] for o in listed
        }

    def live(self, night: Night) -> None:
        """One day of changes and one nightly run."""
        tenant = self._tenant
        self._on.clock.sleep(DAY_S)
        victims = {name: self._prepared(name) for name in night.events}
        with tenant.lock:
            self._changes([one for one in victims.values() if one is not None])
            self._lose(night.lost)
            self._weather(night.weather)
        before = Counter(tenant.counters.requests)
        faults = tenant.counters.faults.total()
        run = self._on.back_up(between=lambda: self._take_away(victims))
        with tenant.lock:
            self._calm()
        by_service: Counter[str] = Counter()
        for one in self._on.spent:
            by_service[one.drain.service] += one.requests
        row = {
            "night": night.number,
            "weather": night.weather,
            "tokens_lost": night.lost,
            "events": list(night.events),
            "state": run["state"],
            "requests": requests_since(tenant, before).total(),
            "requests_by_service": dict(by_service),
            "faults": tenant.counters.faults.total() - faults,
        }
        if night.weather == "calm":
            found = list(self._unlike_the_vault())
            row["equal"] = not found
            self.report.differences += [f"night {night.number}: {text}" for text in found]
        self.report.nights.append(row)

    def verdict(self) -> None:
        """Restores everybody into fresh targets and compares."""
        tenant = self._tenant
        for user in list(tenant.users.values()):
            if user.id in tenant.mailboxes:
                for subject in self._subjects:
                    wanted = subject.shown(self._graph, tenant, user.id)
                    self._restore_mailbox(subject, user, wanted)
            if user.drive_id is not None:
                self._restore_drive(user.drive_id, _files(tenant.drives[user.drive_id]))
        for user in self._gone:
            for subject in self._subjects:
                self._restore_mailbox(subject, user, self._left[user.id][subject.service])

    # --- The day ---

    def _prepared(self, event: str) -> User | None:
        """Lets an event happen, or answers who goes; what he has now is written down."""
        tenant = self._tenant
        match event:
            case "joins":
                tenant.users[self._joiner.id] = self._joiner
                tenant.mailboxes[self._joiner.id] = self._joiners_box
                tenant.change_user(self._joiner.id, department="Harbour")
            case "converted":
                user = self._named("Max Wechsler")
                user.purpose = "shared"
                tenant.change_user(user.id, accountEnabled=False, assignedLicenses=[])
            case "leaves":
                return self._remembered("Lea Leaver")
            case "loses-mailbox":
                return self._remembered("Nora Nobox")
        return None

    def _remembered(self, name: str) -> User:
        user = self._named(name)
        self._left[user.id] = {
            one.service: one.shown(self._graph, self._tenant, user.id) for one in self._subjects
        }
        self._gone.append(user)
        return user

    def _changes(self, victims: Sequence[User]) -> None:
        """The day's changes; whoever goes tonight does nothing any more."""
        mailboxes = self._tenant.mailboxes
        kept = dict(mailboxes)
        for victim in victims:
            del mailboxes[victim.id]
        contoso.month(self._tenant)
        mailboxes.clear()
        mailboxes.update(kept)
        for user_id, mailbox in kept.items():
            with_previews(mailbox)
            with_event_previews(calendars_of(self._tenant, user_id))

    def _lose(self, share: float) -> None:
        self._tenant.feeds.lose(lambda _: self._dice.random() < share)
        for drive in self._tenant.drives.values():
            if self._dice.random() < share:
                drive.forget_tokens()

    def _weather(self, weather: str) -> None:
        tenant = self._tenant
        tenant.quirks = simulator.hostile() if weather != "calm" else simulator.calm()
        match weather:
            case "hostile":
                tenant.faults.hostile()
            case "throttled":  # for ten minutes, and again
                tenant.limits.retry_after_s = 600
                tenant.faults.map(r"messages/delta", "..t..t")
            case "storm":
                tenant.faults.map(r"GET /(users|drives)/", "..uuuuuu..UU")
            case "heavy":
                tenant.faults.map(r"messages/delta", ".gg..d.x")
            case "signed-out":
                tenant.token_lifetime_s = 120
                tenant.tokens.revoke_all()

    def _calm(self) -> None:
        tenant = self._tenant
        tenant.faults.calm()
        tenant.quirks = simulator.calm()
        tenant.limits.retry_after_s = 1
        tenant.token_lifetime_s = 3599

    def _take_away(self, victims: Mapping[str, User | None]) -> None:
        """In the middle of a run."""
        for event, victim in victims.items():
            with self._tenant.lock:
                if event == "leaves" and victim is not None:
                    self._tenant.remove_user(victim.id)
                elif victim is not None:
                    del self._tenant.mailboxes[victim.id]

    def _named(self, name: str) -> User:
        users = self._tenant.users.values()
        return next(one for one in users if one.properties["displayName"] == name)

    # --- Comparing ---

    def _unlike_the_vault(self) -> Iterator[str]:
        """What the newest restore points do not hold as the tenant has it."""
        tenant = self._tenant
        for user in list(tenant.users.values()):
            if user.id in tenant.mailboxes:
                for subject in self._subjects:
                    wanted = subject.shown(self._graph, tenant, user.id)
                    kept = subject.kept(self._on, user.id, wanted)
                    for name, items in wanted.items():
                        self.report.compared[f"{name} stored"] += len(items)
                        yield from _differences(name, items, kept[name], self._stored[name])
            if user.drive_id is not None:
                wanted_files = _files(tenant.drives[user.drive_id])
                yield from _counted("file", wanted_files, self._files_kept(user.drive_id))

    def _restore_mailbox(self, subject: Subject, user: User, wanted: Shown) -> None:
        if not any(wanted.values()):
            return
        with self._tenant.lock:
            target = self._tenant.add_user(f"Fresh {len(self._tenant.users)}")
        kind = SERVICES[subject.service].resource_kind
        self._restore(subject.service, f"{kind}:{user.id}", f"{kind}:{target.id}")
        found = subject.shown(self._graph, self._tenant, target.id)
        for name, items in wanted.items():
            self.report.compared[f"{name} restored"] += len(items)
            unlike = _differences(name, items, found[name], self._restored[name])
            self.report.differences += [f"restored: {text}" for text in unlike]
        with self._tenant.lock:
            self._tenant.remove_user(target.id, for_good=True)

    def _restore_drive(self, drive_id: str, wanted: Counter[tuple[Any, ...]]) -> None:
        tenant = self._tenant
        with tenant.lock:
            name = f"b!fresh{len(tenant.drives)}"
            target = Drive(name, {"user": {"displayName": "Fresh"}}, tenant.clock.now())
            tenant.drives[name] = target
        self._restore("drive", f"drive:{drive_id}", f"drive:{name}")
        self.report.compared["file restored"] += wanted.total()
        found = _counted("file", wanted, _files(target))
        self.report.differences += [f"restored: {text}" for text in found]
        with tenant.lock:
            del tenant.drives[name]

    def _restore(self, service: str, source: str, target: str) -> None:
        request = RestoreRequest(service, source, target=target, place="original")
        run = self._on.restore(request)
        if run["state"] == "red":
            self.report.differences.append(f"the restore of {service} ended red")

    def _files_kept(self, drive_id: str) -> Counter[tuple[Any, ...]]:
        view = self._on.view("drive", f"drive:{drive_id}")
        found: Counter[tuple[Any, ...]] = Counter()
        for entry in view.catalog.items():
            content = view.item(entry.id).part("content") if entry.kind != "folder" else None
            if content is not None:
                path = (*(above.name for above in view.path(entry)[1:]), entry.name)
                digest = hashlib.sha256(content.read()).hexdigest()
                found[path, "" if _is_office(path) else digest] += 1
        self.report.compared["file stored"] += found.total()
        return found


def _files(drive: Drive) -> Counter[tuple[Any, ...]]:
    """Every readable file by path and content."""
    found: Counter[tuple[Any, ...]] = Counter()
    for one in truth(drive):
        if one["kind"] == "file" and one["readable"]:
            path = tuple(one["path"])
            found[path, "" if _is_office(path) else one["sha256"]()] += 1
    return found


def _is_office(path: tuple[str, ...]) -> bool:
    return path[-1].lower().endswith(_OFFICE)


def _counted(
    kind: str, wanted: Counter[tuple[Any, ...]], found: Counter[tuple[Any, ...]]
) -> Iterator[str]:
    for name, one in (("missing", wanted - found), ("too much", found - wanted)):
        if one:
            yield f"{kind}: {one.total()} {name}"


def _differences(
    kind: str,
    wanted: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
) -> Iterator[str]:
    """Items that only one side has, and properties that differ, each with how often."""
    counted: Counter[str] = Counter()
    counted["missing"] = len(wanted.keys() - found.keys())
    counted["too much"] = len(found.keys() - wanted.keys())
    for key in wanted.keys() & found.keys():
        for name in names:
            if name in wanted[key] and wanted[key][name] != found[key].get(name):
                counted[name] += 1
    for name, count in counted.items():
        if count:
            yield f"{kind}: {count} {name}"


def open_rows(installation: Installation) -> int:
    """Rows of the ledger that are still to be tried again."""
    return sum(1 for row in installation.app.ledger.all(ORG) if row.retry)
