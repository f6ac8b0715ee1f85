"""What a coverage statement speaks of: owners, the things that belong to them, and the services
that copy each thing, judged from the resources' rows, the ledger, the policy and the directory.

Rule 1: PROTECTED says that nothing at all is known to be missing. Whatever is missing makes it
        PARTLY, and is counted; without a restore point, or where nothing new is copied, it is NOT.
Rule 2: what does not exist (no licence, a guest) is a reason for NOT, and never makes its owner
        PARTLY.
Rule 3: nothing here reads the vault: an assembly costs a scan of the resources, one of the ledger
        and the directory's records, however much is stored.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from base.item import Cause
from engine import coverage_words as words
from engine import directory, policies
from engine.assembly import App
from engine.coverage_words import Reason
from engine.resources import THINGS_BELOW
from m365 import SERVICES
from m365.directory import Group, Person, Site
from state.ledger import LedgerRow
from state.resources import PROTECTED as PLANNED
from state.resources import ResourceRow
from state.runs import Run

PROTECTED, PARTLY, NOT = "protected", "partly", "not"
STATES = (PROTECTED, PARTLY, NOT)
ABSENT = "absent"  # in totals: NOT, because it does not exist
USER, GROUP, SITE = "user", "group", "site"
OWNERS = (USER, GROUP, SITE)
MAILBOX = "mailbox"
# Kinds of things in the order in which they stand below their owner.
KINDS = (
    MAILBOX, "archive", "onedrive", "chats", "group-mailbox", "team", "channel", "plans", "plan",
    "library", "lists", "list", "pages",
)  # fmt: skip
_BY_SERVICE = {"conversations": "group-mailbox", "planner": "plans"}
_BY_RESOURCE = {"mailbox": MAILBOX, "archive": "archive", "team": "team"}
# Kinds of resources that an owner could have.
_OF_USER = ("mailbox", "archive", "drive", "user")
_OF_GROUP = ("group",)
_OF_TEAM = ("group", "team")
_OF_SITE = ("site", "drive")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OWNER_KINDS = {"group": GROUP, "team": GROUP, "site": SITE}  # of a resource; else a person
_RUNS_LOOKED_AT = 50
_SORTED_BY = 60  # characters of a name
_REMEMBERED = 2_000  # ids of items of one chain, to say in which list or channel they lie
_ALL_OF_IT = ("item", "messages")  # parts that are all there is of a list or a channel


@dataclass(slots=True)
class Troubles:
    """What the ledger holds of one chain."""

    counts: Counter[tuple[str, bool]] = field(default_factory=Counter)  # by cause and retry
    items: dict[str, Counter[tuple[str, bool]]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)  # ids of items of which everything is missing
    too_many: bool = False  # not every item is in `items`

    def add(self, row: LedgerRow) -> None:
        """One more row; what the tenant makes by itself is no loss."""
        if row.cause == Cause.DERIVED:
            return
        cause = (row.cause, row.retry)
        self.counts[cause] += 1
        if row.service in THINGS_BELOW:
            if row.item in self.items or len(self.items) < _REMEMBERED:
                self.items.setdefault(row.item, Counter())[cause] += 1
                self.whole.update([row.item] if row.part in _ALL_OF_IT else ())
            else:
                self.too_many = True

    def reasons(self) -> list[Reason]:
        return reasons_of(self.counts)


def reasons_of(counts: Mapping[tuple[str, bool], int]) -> list[Reason]:
    """In words, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [words.not_copied(cause, n, again=again) for (cause, again), n in ordered]


@dataclass(frozen=True, slots=True)
class Part:
    """One service of one thing: a resource's row, judged."""

    row: ResourceRow
    state: str
    reasons: tuple[Reason, ...]
    troubles: Troubles

    @property
    def absent(self) -> bool:
        """Whether there is nothing that could be protected."""
        return self.row.state != PLANNED and self.row.reason in words.ABSENT and self.row.head < 0

    @property
    def chain(self) -> tuple[str, str]:
        return self.row.service, self.row.resource


@dataclass(frozen=True, slots=True)
class Thing:
    """What belongs to an owner: a mailbox, a library, the lists of a site."""

    kind: str
    resource: str
    name: str
    address: str
    parts: tuple[Part, ...]
    unnamed: tuple[Reason, ...] = ()  # of services that the policy does not name

    @property
    def key(self) -> tuple[str, ...]:
        """Its place below its owner."""
        rank = KINDS.index(self.kind) if self.kind in KINDS else len(KINDS)
        return f"{rank:02}", folded(self.name), self.resource

    @property
    def absent(self) -> bool:
        return all(part.absent for part in self.parts)

    @property
    def state(self) -> str:
        meant = [part.state for part in self.parts if not part.absent]
        return together(meant, complete=not self.unnamed)

    @property
    def reasons(self) -> list[tuple[Reason, str]]:
        """Why, each with the title of the service it is about ("" where it is about all)."""
        meant = [part for part in self.parts if self.absent or not part.absent]
        services: dict[Reason, list[str]] = defaultdict(list)
        for part in meant:
            for reason in part.reasons:
                services[reason].append(SERVICES[part.row.service].title)
        found = [
            (reason, "" if len(titles) == len(meant) else ", ".join(titles))
            for reason, titles in services.items()
        ]
        return found if self.absent else [*found, *((reason, "") for reason in self.unnamed)]


@dataclass(slots=True)
class Owner:
    """A person, a Microsoft 365 group or a site, with all that belongs to it."""

    kind: str
    id: str
    name: str
    address: str
    could: tuple[str, ...] = ()  # kinds of resources it may have
    things: list[Thing] = field(default_factory=list)
    unnamed: tuple[Reason, ...] = ()

    @property
    def absent(self) -> bool:
        """Whether there is nothing of it that could be protected."""
        return bool(self.things) and all(thing.absent for thing in self.things)

    @property
    def state(self) -> str:
        meant = [thing.state for thing in self.things if not thing.absent]
        return together(meant, complete=not self.unnamed)

    @property
    def key(self) -> tuple[str, ...]:
        """Its place in the statement."""
        return str(OWNERS.index(self.kind)), folded(self.name), self.id


def folded(name: str) -> str:
    """A name as it is sorted; cut, because it travels in the addresses of pages."""
    return name.casefold()[:_SORTED_BY]


def together(states: Iterable[str], *, complete: bool = True) -> str:
    """The state of what consists of several; nothing at all is not protected."""
    found = set(states)
    if found <= {NOT}:
        return NOT
    return PROTECTED if found == {PROTECTED} and complete else PARTLY


@dataclass(frozen=True, slots=True)
class Assembled:
    """Every owner with all that belongs to it, in the statement's order."""

    owners: list[Owner]
    not_copied: int  # rows of the ledger

    def parts(self) -> Iterator[Part]:
        for owner in self.owners:
            for thing in owner.things:
                yield from thing.parts


def assemble(app: App, org: str) -> Assembled:
    """Puts together what is known now."""
    assembly = _Assembly(app, org)
    return Assembled(assembly.owners(), assembly.ledger_rows)


class _Assembly:
    """The statement while it is put together."""

    def __init__(self, app: App, org: str) -> None:
        self._app, self._org = app, org
        self._known = directory.known(app, org)
        self._policy = policies.current(app, org)
        self._troubles: dict[tuple[str, str], Troubles] = defaultdict(Troubles)
        self.ledger_rows = 0
        for one in app.ledger.all(org):
            self.ledger_rows += 1
            self._troubles[one.service, one.resource].add(one)
        self._newest = _newest_backup(app, org)
        self._named = set(self._policy["services"])
        self._owners: dict[str, Owner] = {}

    def owners(self) -> list[Owner]:
        things: dict[tuple[str, str, str], list[Part]] = defaultdict(list)
        for one in self._there():
            self._owners[one.id.casefold()] = one
        for row in self._app.resources.all(self._org):
            owner = self._owner_of(row)
            kind = kind_of(row, owner.kind)
            things[owner.id.casefold(), kind, row.resource].append(self._judged(row))
        for (owner_id, kind, resource), parts in things.items():
            self._owners[owner_id].things.append(self._thing(kind, resource, parts))
        for owner in self._owners.values():
            owner.things.sort(key=lambda one: one.key)
            owner.unnamed = self._unnamed(owner)
        return sorted(self._owners.values(), key=lambda one: one.key)

    def _there(self) -> Iterator[Owner]:
        """Who is in the directory and could have something."""
        known = self._known
        for person in known.people.values():
            yield _owner(person)
        for group in known.groups.values():
            if group.unified:
                yield _owner(group)
        for site in known.sites.values():
            if not site.personal:
                yield _owner(site)

    def _owner_of(self, row: ResourceRow) -> Owner:
        """Whose row it is; of owners who are not in the directory (any more), as the row says.

        Graph spells the id of one site in two ways.
        """
        resource_kind, _, graph_id = row.resource.partition(":")
        owner_id = str(row.facts.get("owner", "")) or graph_id
        key = owner_id.casefold()
        if key not in self._owners:
            kind = _OWNER_KINDS.get(resource_kind, USER)
            if resource_kind == "drive" and not _GUID.fullmatch(owner_id):  # no person's id
                kind = SITE
            name = row.name.rpartition(" / ")[0] if resource_kind == "drive" else ""
            self._owners[key] = Owner(kind, owner_id, name or row.name, row.address)
        return self._owners[key]

    def _judged(self, row: ResourceRow) -> Part:
        troubles = self._troubles.get((row.service, row.resource)) or Troubles()
        if row.state != PLANNED:
            also = map(str, row.facts.get("permissions", ()))
            return Part(row, NOT, (words.plain(row.reason, also),), troubles)
        if row.head < 0:
            failed = row.last_outcome == "failed"
            reason = words.failed(row.last_code) if failed else words.plain(words.NOT_YET)
            return Part(row, NOT, (reason,), troubles)
        reasons = [*self._of_the_run(row), *troubles.reasons(), *self._of_the_policy(row)]
        return Part(row, PARTLY if reasons else PROTECTED, tuple(reasons), troubles)

    def _of_the_run(self, row: ResourceRow) -> Iterator[Reason]:
        newest, seen = self._newest, row.verified_at
        if row.last_outcome == "failed":
            yield words.failed(row.last_code)
        elif newest is None or newest.started is None or row.last_run == newest.id:
            return
        elif seen and seen < newest.started and row.last_seen:  # None: made anew from the vault
            yield words.plain(words.NOT_REACHED)

    def _of_the_policy(self, row: ResourceRow) -> Iterator[Reason]:
        follows = SERVICES[row.service].follows if row.service in SERVICES else ()
        if follows and self._policy["protection"] == policies.FAST:
            yield words.without(follows)
        elif row.waiting:
            yield words.waiting(row.waiting, follows)

    def _thing(self, kind: str, resource: str, parts: list[Part]) -> Thing:
        parts.sort(key=lambda one: list(SERVICES).index(one.row.service))
        rows = [part.row for part in parts]
        name = next((row.name for row in rows if row.name), resource)
        address = next((row.address for row in rows if row.address), "")
        there = {row.service for row in rows}
        meant = () if kind != MAILBOX else _services("mailbox", self._named | there)
        return Thing(kind, resource, name, address, tuple(parts), _unnamed(meant))

    def _unnamed(self, owner: Owner) -> tuple[Reason, ...]:
        """What the policy leaves out of everybody; or that nobody looked yet."""
        there = {part.row.service for thing in owner.things for part in thing.parts}
        told = {MAILBOX} if any(thing.kind == MAILBOX for thing in owner.things) else set()
        kinds = [kind for kind in owner.could if kind not in told]  # a mailbox says so itself
        left = [title for kind in kinds for title in _services(kind, self._named | there)]
        able = [one for one in SERVICES.values() if one.resource_kind in owner.could]
        if owner.things or not any(one.name in self._named for one in able):
            return _unnamed(left)
        return (words.plain(words.NOT_PLANNED), *_unnamed(left))


def kind_of(row: ResourceRow, owner_kind: str) -> str:
    """What people call the thing that a row is of."""
    resource_kind = row.resource.partition(":")[0]
    if resource_kind == "drive":
        return "library" if owner_kind == SITE else "onedrive"
    return _BY_RESOURCE.get(resource_kind) or _BY_SERVICE.get(row.service, row.service)


def _services(resource_kind: str, named: set[str]) -> list[str]:
    """Titles of services of a kind of resource that are meant to be on and are not named."""
    return [
        one.title
        for one in SERVICES.values()
        if one.resource_kind == resource_kind and not one.optional and one.name not in named
    ]


def _unnamed(titles: Iterable[str]) -> tuple[Reason, ...]:
    left = list(titles)
    return (words.plain(words.NOT_IN_POLICY, left),) if left else ()


def _owner(one: Person | Group | Site) -> Owner:
    match one:
        case Person():
            address = one.mail or one.user_principal_name
            return Owner(USER, one.id, one.display_name, address, _OF_USER)
        case Group():
            could = _OF_TEAM if one.team else _OF_GROUP
            return Owner(GROUP, one.id, one.display_name, one.mail, could)
        case Site():
            return Owner(SITE, one.id, one.display_name, one.url, _OF_SITE)


def _newest_backup(app: App, org: str) -> Run | None:
    """The newest backup that is over, among the newest runs."""
    found = app.runs.page(org, kind="backup", limit=_RUNS_LOOKED_AT).items
    return next((run for run in found if run.over), None)
