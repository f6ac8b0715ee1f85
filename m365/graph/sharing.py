"""One exchange with the record of a scope: read, settle, write if it is worth it and unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from m365.graph.limits import UNITS, Part
from m365.graph.record import SharedRecord
from m365.graph.shares import Ask, Cells, Claim, Share, Shared, give_back, grant_day, settle

_TRIES_MAX = 6


@dataclass(frozen=True, slots=True)
class Needs:
    """What a worker asks for and has to say; `held_grant` is the day's grant in force."""

    purpose: int
    held_grant: int
    now: float  # since 1970
    monotonic: float
    asks: dict[str, Ask]
    spent: int
    counts: dict[str, int]
    pauses: dict[str, tuple[float, str]]
    licences: int | None  # None: nothing new
    tell: bool = False  # write it down although nothing changes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the record says now and what of it is ours."""

    shared: Shared
    shares: dict[str, Share] | None = None  # None: nothing was written
    grant: int = 0
    free_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Our place in the record of one scope."""

    record: SharedRecord
    tenant: str
    name: str
    key: str
    parts_of: Callable[[int], tuple[tuple[Part, ...], int]]
    lasts_s: float

    def exchange(self, needs: Needs) -> Outcome | None:
        """Renews our claim. Answers what came out; None when others were faster every time."""
        for _ in range(_TRIES_MAX):
            content, etag = self.record.read(self.tenant, self.name)
            shared = _shared(content)
            if needs.licences is not None:
                shared.licences, shared.licences_at = needs.licences, needs.now
            parts, day_limit = self.parts_of(shared.licences)
            before = deepcopy(shared.claims.get(self.key))
            shares = settle(
                shared, self.key, needs.purpose, needs.asks, parts, needs.now, self.lasts_s
            )
            grant, free_at = 0, 0.0
            if day_limit:
                need = 2 * shares[UNITS].limit  # two minutes, until the look after the next
                grant, free_at = grant_day(
                    shared, self.key, needs.spent, need, day_limit, needs.now
                )
            for name, (until, why) in needs.pauses.items():
                shared.pause(name, until, why, needs.now)
            shared.count(needs.counts, needs.now)
            if not self._is_worth_writing(needs, before, shared, shares, parts):
                return Outcome(shared)
            if self.record.write(self.tenant, self.name, shared.to_json(), etag):
                return Outcome(shared, shares, grant, free_at)
        return None

    def _is_worth_writing(
        self,
        needs: Needs,
        before: Claim | None,
        shared: Shared,
        shares: Mapping[str, Share],
        parts: tuple[Part, ...],
    ) -> bool:
        mine = shared.claims[self.key]
        if (
            before is None
            or before.until - needs.now < self.lasts_s / 2
            or needs.pauses
            or needs.tell
        ):
            return True
        if (
            needs.licences is not None
            or needs.spent * 2 > needs.held_grant > 0
            or mine.grant > needs.held_grant == 0
        ):
            return True
        for part in parts:
            share = shares[part.name]
            moved = abs(share.limit - before.shares.get(part.name, 0))
            if share.inherited or moved * 50 > part.limit:
                return True
        return False

    def leave(self, needs: Needs, left: Mapping[str, Cells]) -> None:
        """Ends our claim; a mailbox nobody knows anything of loses its record."""
        for _ in range(_TRIES_MAX):
            content, etag = self.record.read(self.tenant, self.name)
            shared = _shared(content)
            _, day_limit = self.parts_of(shared.licences)
            if day_limit and self.key in shared.claims:
                grant_day(shared, self.key, needs.spent, 0, day_limit, needs.now)
            give_back(shared, self.key, left)
            shared.count(needs.counts, needs.now)
            empty = not (shared.claims or any(shared.left.values()) or shared.day)
            if empty and self.name.startswith("mailbox:"):
                if self.record.remove(self.tenant, self.name, etag):
                    return
            elif self.record.write(self.tenant, self.name, shared.to_json(), etag):
                return


def _shared(content: Mapping[str, Any]) -> Shared:
    try:
        return Shared.from_json(content)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Shared()  # of another version: claims are made anew
