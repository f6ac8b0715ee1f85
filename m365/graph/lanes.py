"""A lane: one mailbox, or all of SharePoint or the directory of a tenant; who is in it, who may
enter next.

Rules
- Restores go before backups: while one waits for a slot, backups leave it the next that is free.
- Without a claim a backup sends one request at a time, and only the first few.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from m365.graph.limits import Limits, Purpose, Scope
from m365.graph.stake import Stake
from m365.graph.windows import Window

_VISIT_S = 120.0  # who was not in a mailbox for so long begins a new visit
_RESTORE_S = 60.0  # a mailbox counts as being restored so long after a request of a restore


@dataclass(slots=True)
class Lane:
    """Requests in flight and waiting, the pause, and the stakes in what limits them.

    `sole`: no other process shares the limits. Its caller holds the lock; times are monotonic.
    """

    scope: Scope
    stakes: dict[Purpose, Stake]
    limits: Limits
    sole: bool
    has_slots: bool  # whether the number of requests at the same time is limited
    others: list[Stake] = field(default_factory=list)  # of the application, of all of its kind
    paused_until: float = 0.0
    strikes: int = 0  # refusals in a row that named no time
    reading: int = 0  # in flight for backups
    restoring: int = 0  # in flight for restores
    waiting: int = 0
    restores_waiting: int = 0
    alone: bool = False  # a batch is under way
    _restored_at: float = -1e18
    _visited: int = 0  # requests that went without a claim
    _seen_at: float = -1e18

    @property
    def windows(self) -> list[Window]:
        """What backups have spent, units first."""
        return list(self.stakes[Purpose.BACKUP].windows.values())

    @property
    def flying(self) -> int:
        """Requests in flight."""
        return self.reading + self.restoring

    @property
    def busy(self) -> bool:
        """Whether anybody is in the lane or waits for it."""
        return bool(self.flying or self.waiting)

    def idle(self, now: float) -> bool:
        """Whether nothing would be lost with the lane."""
        if self.busy or self.paused_until > now:
            return False
        return all(stake.idle(now) for stake in self.stakes.values())

    def due(self, purpose: Purpose, alone: bool, now: float) -> Stake | None:
        """The stake whose record is to be looked at before anything is sent."""
        stake = self.stakes[purpose]
        if now >= stake.next_look or alone:
            if self.has_slots:
                self._want_slots(stake, purpose, alone, now)
            is_due = now >= stake.next_look and not stake.looking
            if is_due and not self.visiting(purpose, alone, now):
                return stake
        if not self.has_slots and stake.small(now):
            for other in self.stakes.values():
                restore = purpose == Purpose.RESTORE
                if other is not stake and not other.looking and other.make_way(now, restore):
                    stake.look_again(now)
                    return other
        for one in self.others:
            if now >= one.next_look and not one.looking:
                return one
        return None

    def visiting(self, purpose: Purpose, alone: bool, now: float) -> bool:
        """Whether a request may go without a claim: one of the first few of a backup."""
        if self.sole or not self.has_slots or self.stakes[purpose].valid(now):
            return False
        if purpose == Purpose.RESTORE or alone:
            return False
        return self._visited < self.limits.mailbox_visit or self._seen_at + _VISIT_S < now

    def wait_s(self, purpose: Purpose, costs: dict[str, int], now: float) -> float:
        """Seconds until the pause is over and there is budget; 0 or less when that is now."""
        stake = self.stakes[purpose]
        wait_s = self.paused_until - now
        if stake.valid(now):
            wait_s = max(wait_s, stake.wait_s(now, costs))
        return max(wait_s, *(one.wait_s(now, costs) for one in self.others))

    def has_room(self, purpose: Purpose, alone: bool, now: float) -> bool:
        """Whether there is a slot."""
        stake = self.stakes[purpose]
        if not self.has_slots:
            return stake.valid(now)
        if not stake.valid(now):
            return not self.flying and self.visiting(purpose, alone, now)
        if self.alone:
            return False
        if alone:
            return not self.flying and stake.slots >= self.limits.mailbox_slots
        if purpose == Purpose.RESTORE:
            return self.flying < stake.slots
        readers = min(self.limits.mailbox_readers, stake.slots - self.restoring)
        return self.reading < (min(readers, 1) if self.restores_waiting else readers)

    def take(self, purpose: Purpose, costs: dict[str, int], alone: bool, now: float) -> None:
        """Counts a request that is sent now."""
        stake = self.stakes[purpose]
        if self.has_slots:
            self._note(stake, purpose, now)
        stake.spend(now, costs)
        for other in self.others:
            other.spend(now, costs)
        if purpose == Purpose.RESTORE:
            self.restoring += 1
        else:
            self.reading += 1
        self.alone = alone and self.has_slots

    def leave(self, purpose: Purpose) -> None:
        """A request is over."""
        if purpose == Purpose.RESTORE:
            self.restoring -= 1
        else:
            self.reading -= 1
        self.alone = False  # who is alone is the only one who can leave

    def one_by_one(self, requests: int, now: float) -> bool:
        """Whether a batch is better sent as single requests: it is small and nothing was claimed
        yet, or not all slots are ours. To wait for the rest of them could take for ever: a step
        that gives up begins anew, and its first single request asks for fewer again.
        """
        stake = self.stakes[Purpose.BACKUP]
        if not self.has_slots or self.sole:
            return False
        if stake.valid(now):
            few = stake.slots < self.limits.mailbox_slots
            return few or stake.others_there or stake.alone
        return requests <= self.limits.mailbox_slots and self.visiting(Purpose.BACKUP, False, now)

    def end_visit(self) -> None:
        """A step is over: the next one begins anew."""
        self._visited = 0
        self._restored_at = self._seen_at = -1e18

    def _note(self, stake: Stake, purpose: Purpose, now: float) -> None:
        if not stake.valid(now):
            self._visited = 1 if self._seen_at + _VISIT_S < now else self._visited + 1
        self._seen_at = now
        if purpose == Purpose.RESTORE:
            self._restored_at = now

    def _want_slots(self, stake: Stake, purpose: Purpose, alone: bool, now: float) -> None:
        limits = self.limits
        if purpose == Purpose.RESTORE:
            self._restored_at = now
        restoring = self._restored_at + _RESTORE_S > now
        stake.purpose = Purpose.RESTORE if restoring else Purpose.BACKUP
        stake.slots_used = self.flying
        if alone or self.sole:
            stake.slots_wanted = limits.mailbox_slots
            if alone and stake.valid(now) and stake.slots < limits.mailbox_slots:
                stake.look_soon(now)
        elif restoring and not self.reading and purpose == Purpose.RESTORE:
            stake.slots_wanted = 1 + self.restores_waiting
        else:
            stake.slots_wanted = limits.mailbox_readers + restoring
