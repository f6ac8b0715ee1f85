"""How workers share one limit: what the record of a scope says, and what is made of it. Pure.

Rules
- A claim is what one worker may use until a moment. The sum of all claims never exceeds the limit;
  a worker uses no more than its claim says. So nobody has to ask before each request, and the limit
  holds in every window, not only on average.
- A claim shrinks only to what was really used within the window: what was sent still counts at the
  service. And it shrinks with its holder first and in the record second (`held`).
- Who dies leaves a claim that runs out; whoever looks next inherits it as used up at that moment.
  Who leaves in good order leaves the cells of time in which he used something.
- Restores come first, then what changed, then first fulls. Each lower class keeps a tenth, so that
  nothing stands still; beside a restore all backups together keep to the part's share.
- The day's budget is granted in advance for a minute or two and booked when it was spent. A first
  full leaves a tenth of the day to the others and spends at most an eighth of its own part in any
  three hours: half of it by noon.

https://learn.microsoft.com/graph/throttling-limits
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from m365.graph.limits import Part, Purpose

SKEW_S = 10.0  # how far the clocks of two machines may disagree
RESTORE_LINGERS_S = 120.0  # between two steps of a restore backups do not rush in
PAUSES_MAX = 200
_FLOOR = 10  # each lower class keeps limit // _FLOOR
_DAY_S = 86_400
_CELL_S = 300
_PACE_S = 3 * 3600
_PACED = 8  # a first full spends its day's part in so many spells of _PACE_S, at the earliest

Cells = list[tuple[float, int]]


@dataclass(slots=True)
class Claim:
    """What a worker may use until a moment (seconds since 1970); `grant` is of the day."""

    purpose: int
    until: float
    shares: dict[str, int] = field(default_factory=dict)
    wants: dict[str, int] = field(default_factory=dict)
    grant: int = 0


@dataclass(slots=True)
class Shared:
    """The record of one scope. Times are seconds since 1970.

    `left` has (moment, units) that nobody who is still there has used; `pauses` by mailbox or "";
    `day` the units of five minutes, all and those of first fulls; `counts` since midnight UTC.
    """

    claims: dict[str, Claim] = field(default_factory=dict)
    left: dict[str, Cells] = field(default_factory=dict)
    pauses: dict[str, tuple[float, str]] = field(default_factory=dict)
    day: dict[int, tuple[int, int]] = field(default_factory=dict)
    restore_until: float = 0.0
    licences: int = 0
    licences_at: float = 0.0  # when the tenant was asked for them
    counts: dict[str, int] = field(default_factory=dict)
    counted_on: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Shared:
        """What to_json() gave; raises ValueError, TypeError or KeyError for anything else."""
        return cls(
            {name: Claim(**claim) for name, claim in value.get("claims", {}).items()},
            {
                name: [(float(at), int(units)) for at, units in cells]
                for name, cells in value.get("left", {}).items()
            },
            {name: (float(at), str(why)) for name, (at, why) in value.get("pauses", {}).items()},
            {int(cell): (int(a), int(f)) for cell, (a, f) in value.get("day", {}).items()},
            float(value.get("restore_until", 0.0)),
            int(value.get("licences", 0)),
            float(value.get("licences_at", 0.0)),
            {name: int(count) for name, count in value.get("counts", {}).items()},
            int(value.get("counted_on", 0)),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, small: ids of workers and mailboxes, numbers, reasons."""
        return {
            "claims": {
                name: {
                    "purpose": claim.purpose,
                    "until": round(claim.until, 1),
                    "shares": claim.shares,
                    "wants": claim.wants,
                    "grant": claim.grant,
                }
                for name, claim in self.claims.items()
            },
            "left": {
                name: [(round(at, 1), units) for at, units in cells]
                for name, cells in self.left.items()
            },
            "pauses": {name: (round(at, 1), why) for name, (at, why) in self.pauses.items()},
            "day": {str(cell): both for cell, both in self.day.items()},
            "restore_until": round(self.restore_until, 1),
            "licences": self.licences,
            "licences_at": round(self.licences_at, 1),
            "counts": self.counts,
            "counted_on": self.counted_on,
        }

    def pause(self, name: str, until: float, why: str, now: float) -> None:
        """Notes a pause; the longest of a name stays."""
        kept = {one: pause for one, pause in self.pauses.items() if pause[0] > now}
        if until > max(now, kept.get(name, (0.0, ""))[0]) and len(kept) < PAUSES_MAX:
            kept[name] = (until, why)
        self.pauses = kept

    def count(self, counts: Mapping[str, int], now: float) -> None:
        """Adds to the counts of the day."""
        today = int(now // _DAY_S)
        if self.counted_on != today:
            self.counts, self.counted_on = {}, today
        for name, number in counts.items():
            if number:
                self.counts[name] = self.counts.get(name, 0) + number

    def restoring(self, now: float) -> bool:
        """Whether a restore is at work, or was a moment ago."""
        live = any(one.purpose == Purpose.RESTORE for one in self.claims.values())
        return live or self.restore_until > now

    def spent_within(self, seconds: float, now: float) -> tuple[int, int]:
        """Units of the day's budget that count within the last `seconds`: all, of first fulls."""
        cells = [both for cell, both in self.day.items() if (cell + 1) * _CELL_S + seconds > now]
        return sum(one[0] for one in cells), sum(one[1] for one in cells)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker needs of one part: what it would use in a window, what it has used, and the
    share in force with it. `whole`: also what is kept for restores, for a moment.
    """

    want: int
    used: int = 0
    held: int = 0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker may use from now on, and the cells of others that count with it."""

    limit: int
    written: int  # what the record says; more than `limit` while a claim shrinks
    inherited: Cells = field(default_factory=list)


def settle(
    shared: Shared,
    me: str,
    purpose: int,
    asks: Mapping[str, Ask],
    parts: Sequence[Part],
    now: float,
    lasts_s: float,
) -> dict[str, Share]:
    """Renews the claim of `me` in `shared`; answers its share of every part."""
    _bury(shared, me, parts, now)
    mine = Claim(purpose, now + lasts_s, wants={name: ask.want for name, ask in asks.items()})
    mine.grant = shared.claims[me].grant if me in shared.claims else 0
    shared.claims[me] = mine
    if purpose == Purpose.RESTORE:
        shared.restore_until = now + RESTORE_LINGERS_S
    shares: dict[str, Share] = {}
    for part in parts:
        ask = asks[part.name]
        inherited = shared.left.pop(part.name, [])
        more = sum(units for _, units in inherited)
        mine.wants[part.name] += more  # it counts with what we use
        used = ask.used + more
        target = min(_targets(shared, part, now)[me], _free(shared, part, me, ask.whole))
        if purpose != Purpose.RESTORE and len(shared.claims) > 1 and part.seconds:
            # The others may be about to ask for as much.
            target = min(target, more + max(4 * ask.held, part.limit // len(shared.claims)))
        limit = max(used, target, 0)
        shares[part.name] = Share(limit, max(limit, ask.held), inherited)
        mine.shares[part.name] = shares[part.name].written
    return shares


def give_back(shared: Shared, me: str, left: Mapping[str, Cells]) -> None:
    """Ends the claim of `me`, who used `left`."""
    if shared.claims.pop(me, None) is None:
        return
    for name, cells in left.items():
        if cells:
            shared.left[name] = sorted([*shared.left.get(name, []), *cells])


def grant_day(
    shared: Shared, me: str, spent: int, need: int, limit: int, now: float
) -> tuple[int, float]:
    """Books what `me` has spent and grants what it may spend next, up to `need`.

    Answers the grant and, where it is less, when there will be more. The 24 hours of the limit
    slide; a cell counts until 24 hours after its end.
    """
    mine = shared.claims[me]
    cell = int(now // _CELL_S)
    all_, first = shared.day.get(cell, (0, 0))
    shared.day = {
        one: both
        for one, both in shared.day.items()
        if (one + 1) * _CELL_S + _DAY_S > now and any(both)
    }
    if spent:
        is_first = mine.purpose == Purpose.FIRST
        shared.day[cell] = (all_ + spent, first + spent * is_first)
    others = [claim for name, claim in shared.claims.items() if name != me]
    total, _ = shared.spent_within(_DAY_S, now)
    free = limit - total - sum(claim.grant for claim in others)
    free -= limit // 1000 * (0, 20, 100)[mine.purpose]
    free_at = _leaves(shared, 0, _DAY_S, now)
    if mine.purpose == Purpose.FIRST:
        _, paced = shared.spent_within(_PACE_S, now)
        promised = sum(one.grant for one in others if one.purpose == Purpose.FIRST)
        room = max(1, limit * 9 // 10 // _PACED) - paced - promised
        if room < free:
            free, free_at = room, _leaves(shared, 1, _PACE_S, now)
    mine.grant = max(0, min(need, free))
    return mine.grant, free_at


def day_waits(shared: Shared, purpose: int, limit: int, now: float) -> float:
    """Until when nothing is granted any more to those of a purpose; 0.0 where something is."""
    told = Shared(claims={"": Claim(purpose, now)}, day=dict(shared.day))
    granted, free_at = grant_day(told, "", 0, 1, limit, now)
    return 0.0 if granted else free_at


def _leaves(shared: Shared, which: int, seconds: float, now: float) -> float:
    """When the oldest cell within a window stops counting."""
    ends = [(cell + 1) * _CELL_S + seconds for cell, both in shared.day.items() if both[which]]
    return min((end for end in ends if end > now), default=now + _CELL_S)


def _bury(shared: Shared, me: str, parts: Sequence[Part], now: float) -> None:
    """Turns claims that ran out into cells, and drops cells that count no more."""
    for name, claim in list(shared.claims.items()):
        if name == me or claim.until + SKEW_S > now:
            continue
        del shared.claims[name]
        for part in parts:
            if part.seconds and claim.shares.get(part.name):
                shared.left.setdefault(part.name, []).append((claim.until, claim.shares[part.name]))
        if claim.grant:
            cell = int(claim.until // _CELL_S)
            all_, first = shared.day.get(cell, (0, 0))
            first += claim.grant * (claim.purpose == Purpose.FIRST)
            shared.day[cell] = (all_ + claim.grant, first)
    for part in parts:
        kept = [
            one
            for one in shared.left.get(part.name, ())
            if one[0] + part.seconds + part.slack_s > now
        ]
        shared.left[part.name] = kept


def _free(shared: Shared, part: Part, me: str, whole: bool) -> int:
    """What the claims of others leave to `me`."""
    others = [(one.purpose, one.shares.get(part.name, 0))
              for name, one in shared.claims.items() if name != me]  # fmt: skip
    free = part.limit - sum(units for _, units in others)
    if shared.claims[me].purpose == Purpose.RESTORE:
        claimed = any(purpose != Purpose.RESTORE and units for purpose, units in others)
        return free if claimed else free - part.unclaimed
    restores = sum(units for purpose, units in others if purpose == Purpose.RESTORE)
    return free if whole else free - max(0, part.kept - restores)


def _targets(shared: Shared, part: Part, now: float) -> dict[str, int]:
    """What every claim should have in the end, by class and want; the rest is for newcomers."""
    found: dict[str, int] = {}
    left = part.limit
    backups = int(part.limit * part.beside_restore) if shared.restoring(now) else part.limit
    wants = {
        name: (claim.purpose, min(part.limit, claim.wants.get(part.name, 0)))
        for name, claim in shared.claims.items()
    }
    for purpose in Purpose:
        group = {name: want for name, (one, want) in wants.items() if one == purpose}
        lower = sum(want for one, want in wants.values() if one > purpose)
        room = left - min(lower, max(1, part.limit // _FLOOR))
        if purpose != Purpose.RESTORE:
            room = min(room, backups - min(lower, max(1, backups // _FLOOR)))
        given = _evenly(max(0, room), group)
        found |= given
        left -= sum(given.values())
        if purpose != Purpose.RESTORE:
            backups -= sum(given.values())
    return found


def _evenly(room: int, wants: Mapping[str, int]) -> dict[str, int]:
    """Room for everybody's want, or the same for all who want more than that."""
    found: dict[str, int] = {}
    waiting: Iterable[tuple[str, int]] = sorted(wants.items(), key=lambda one: (one[1], one[0]))
    for place, (name, want) in enumerate(waiting):
        found[name] = min(want, room // (len(wants) - place))
        room -= found[name]
    return found
