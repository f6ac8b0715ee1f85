"""The rows of a coverage statement, in pages: each owner, then its things, then what lies in those.

Rule 1: lists, channels and plans are folders of a restore point. They are read when their page is
        asked for, at most a few reads for each site or team; and for totals only where something of
        a site or team could not be copied, because only then they differ from one another.
Rule 2: a page goes on behind the key of the last row, so rows that come or go meanwhile neither
        repeat nor hide others.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from base import log
from base.errors import InvalidInput
from engine import browse, resources
from engine import coverage_words as words
from engine.assembly import App
from engine.coverage_shapes import finer_row, owner_row, thing_row
from engine.coverage_things import (
    ABSENT,
    KINDS,
    NOT,
    OWNERS,
    PARTLY,
    PROTECTED,
    STATES,
    Owner,
    Part,
    folded,
    reasons_of,
)
from engine.coverage_words import Reason
from engine.resources import THINGS_BELOW
from m365 import SERVICES
from state.rows import Cursor, CursorInvalid
from vault import Catalog, Entry, VaultDamaged

_Row = dict[str, Any]
_Key = tuple[str, ...]
_DEEPEST = 50  # folders between an item and the top one


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: of a state, of a kind, of one owner; "" for all."""

    state: str = ""
    kind: str = ""
    owner: str = ""

    def check(self) -> None:
        """Raises InvalidInput for a state or a kind that no row has."""
        if self.state and self.state not in STATES:
            raise InvalidInput(f"A state is one of {', '.join(STATES)}.", field="state")
        if self.kind and self.kind not in (*OWNERS, *KINDS, *SERVICES):
            raise InvalidInput("There is no such kind.", field="kind")


def page(
    app: App, org: str, owners: Iterable[Owner], wanted: Wanted, after: str, limit: int
) -> tuple[list[_Row], str]:
    """One page of rows and `after` of the next."""
    found = list(islice(rows(app, org, owners, wanted, after), limit + 1))
    more = Cursor.of(json.dumps(found[limit - 1][0])) if len(found) > limit else ""
    return [row for _, row in found[:limit]], more


def rows(
    app: App, org: str, owners: Iterable[Owner], wanted: Wanted, after: str = ""
) -> Iterator[tuple[_Key, _Row]]:
    """Every row that is wanted, with its key; the vault is read as they are taken."""
    last = _read(after)
    for owner in owners:
        if wanted.owner and owner.id.casefold() != wanted.owner.casefold():
            continue
        if owner.key < last[: len(owner.key)]:  # all of its rows lie before
            continue
        for key, row in _of_owner(app, org, owner, wanted):
            if key > last:
                yield key, row


def totals(app: App, org: str, owners: Iterable[Owner]) -> dict[str, dict[str, int]]:
    """How many of each kind are protected, partly and not; and how many of those that are not do
    not exist at all, which is no gap.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for owner in owners:
        found[owner.kind][owner.state] += 1
        found[owner.kind][ABSENT] += owner.absent
        for thing in owner.things:
            found[thing.kind][thing.state] += 1
            found[thing.kind][ABSENT] += thing.absent
            for part in thing.parts:
                if part.row.service in THINGS_BELOW:
                    found[THINGS_BELOW[part.row.service]].update(_states_below(app, org, part))
    ordered = sorted(found, key=_place)
    return {kind: {state: found[kind][state] for state in (*STATES, ABSENT)} for kind in ordered}


def _states_below(app: App, org: str, part: Part) -> Counter[str]:
    if part.state == PARTLY and (part.troubles.items or part.troubles.too_many):
        return Counter(state for _, state, _ in _below(app, org, part))
    return Counter({part.state: part.row.top_folders})


def _of_owner(app: App, org: str, owner: Owner, wanted: Wanted) -> Iterator[tuple[_Key, _Row]]:
    if _fits(wanted, owner.kind, owner.state):
        yield owner.key, owner_row(owner)
    for thing in owner.things:
        key = (*owner.key, *thing.key)
        if _fits(wanted, thing.kind, thing.state):
            yield key, thing_row(owner, thing)
        for part in thing.parts:
            for entry, state, reasons in _below_wanted(app, org, part, wanted):
                row = finer_row(owner, part, entry, state, reasons)
                yield (*key, folded(entry.name), entry.id), row


def _below_wanted(
    app: App, org: str, part: Part, wanted: Wanted
) -> Iterator[tuple[Entry, str, tuple[Reason, ...]]]:
    kind = THINGS_BELOW.get(part.row.service)
    if kind is None or part.row.head < 0 or wanted.kind not in ("", kind):
        return
    if wanted.state and part.state != PARTLY and part.state != wanted.state:
        return
    found = sorted(_below(app, org, part), key=lambda one: (folded(one[0].name), one[0].id))
    yield from (one for one in found if _fits(wanted, kind, one[1]))


def _below(app: App, org: str, part: Part) -> Iterator[tuple[Entry, str, tuple[Reason, ...]]]:
    """The lists, channels or plans of a part, each with its state and why; none where the restore
    point does not open, which is a verification's to say.
    """
    try:
        view = browse.open_view(app, org, part.row.service, part.row.resource, part.row.head)
    except (browse.SnapshotMissing, VaultDamaged) as problem:
        log.event("coverage-not-read", org=org, service=part.row.service, code=problem.code)
        return
    of_items = frozenset(part.troubles.reasons())
    shared = tuple(reason for reason in part.reasons if reason not in of_items)
    lost = _lost_below(view.catalog, part)
    for entry in resources.top_folders(view.catalog):
        own = tuple(reasons_of(lost.get(entry.id, {})))
        if part.troubles.too_many:
            own = (*own, words.plain(words.MANY))
        if part.state != PARTLY:
            own = ()
        yield entry, _state_below(view.catalog, part, entry, bool(own or shared)), (*own, *shared)


def _state_below(catalog: Catalog, part: Part, entry: Entry, lacks: bool) -> str:
    """Not protected is also what is empty because nothing in it could be read: a channel of another
    organization.
    """
    if part.state != PARTLY:
        return part.state
    if entry.id in part.troubles.whole and not catalog.children(entry.id, limit=1)[0]:
        return NOT
    return PARTLY if lacks else PROTECTED


def _lost_below(catalog: Catalog, part: Part) -> dict[str, Counter[tuple[str, bool]]]:
    """What of the ledger lies in each top folder, by the folder's id."""
    found: dict[str, Counter[tuple[str, bool]]] = defaultdict(Counter)
    top = next(iter(catalog.children("", limit=1)[0]), None)
    for item, causes in sorted(part.troubles.items.items()):  # neighbours lie in one node
        at, parent = item, catalog.place_of(item)
        for _ in range(_DEEPEST):
            if parent is None or top is None or parent[0] == top.id:
                break
            at, parent = parent[0], catalog.place_of(parent[0])
        found[at].update(causes)
    return found


def _fits(wanted: Wanted, kind: str, state: str) -> bool:
    return wanted.kind in ("", kind) and wanted.state in ("", state)


def _place(kind: str) -> int:
    """Where a kind stands: owners first, then things as they lie below them, then new services."""
    order = (*OWNERS, *KINDS)
    return order.index(kind) if kind in order else len(order)


def _read(after: str) -> _Key:
    key = Cursor.read(after)
    if not key:
        return ()
    try:
        return tuple(map(str, json.loads(key)))
    except (ValueError, TypeError) as error:
        raise CursorInvalid("This is not the continuation of a listing.") from error
