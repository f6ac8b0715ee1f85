"""What can be wrong with a vault: each disease with what it costs and what mends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SAMPLES_MAX = 20


class Effect(StrEnum):
    """What a finding means for the owner."""

    LOST = "lost"  # bytes or whole restore points are gone
    UNPROVED = "unproved"  # the data is there, a proof of where it comes from is not
    HARMLESS = "harmless"  # nothing depends on it


class Disease(StrEnum):
    """What is wrong, as a code."""

    PACK_MISSING = "pack-missing"
    PACK_DAMAGED = "pack-damaged"
    CATALOG_DAMAGED = "catalog-damaged"
    SNAPSHOT_MISSING = "snapshot-missing"
    SNAPSHOT_DAMAGED = "snapshot-damaged"
    CHAIN_BROKEN = "chain-broken"
    HEAD_ROLLED_BACK = "head-rolled-back"
    PAGE_MISSING = "page-missing"
    PAGE_DAMAGED = "page-damaged"
    OPEN_PAGE_DAMAGED = "open-page-damaged"
    RECORD_DAMAGED = "record-damaged"
    FORWARD_DAMAGED = "forward-damaged"
    LOG_DAMAGED = "log-damaged"
    KEYS_DAMAGED = "keys-damaged"
    UNKNOWN_BLOB = "unknown-blob"
    ITEM_DAMAGED = "item-damaged"


_REFETCH = (
    "After a repair the next backup fetches the items that still exist from the tenant again, for "
    "the newest restore point; older ones stay without them. Restore the blob from soft delete or "
    "a replica first if you need those."
)
_SWEEP = (
    "After a repair the next backup reads the whole resource again and makes a new catalog. "
    "Restore the pack from soft delete or a replica to have older restore points whole; until they "
    "are, or are given up, nothing is collected."
)
_ALL_PACKS = (
    "Read every pack (a full verification): it names the damage, and a repair fetches the item "
    "again. If that finds nothing, report it: the item was stored wrongly."
)
_GIVE_UP = (
    "Restore the blob from soft delete or a replica; or a repair gives it up, and the collector's "
    "log explains the gap."
)
_LEAVE_BEHIND = (
    "Restore the blob from soft delete or a replica. Or, where it is the newest, a repair lets the "
    "next backup read the resource again; once it is not, a repair gives it up."
)
_GO_ON = (
    "Restore the blob from soft delete or a replica before the next backup: that one goes on "
    "behind the newest that is there, and makes the restore point again from its pages or the "
    "tenant."
)
_REPLICA = "Restore the blob from soft delete or a replica."

WHAT: dict[Disease, tuple[Effect, str, str]] = {
    Disease.PACK_MISSING: (
        Effect.LOST,
        "A pack that items need is missing or cut short.",
        _REFETCH,
    ),
    Disease.PACK_DAMAGED: (
        Effect.LOST,
        "A pack that items need does not open or is not what it was.",
        _REFETCH,
    ),
    Disease.CATALOG_DAMAGED: (
        Effect.LOST,
        "The list of what a restore point holds cannot be read whole.",
        _SWEEP,
    ),
    Disease.SNAPSHOT_MISSING: (
        Effect.LOST,
        "A restore point is missing, and no record says that it expired.",
        _GIVE_UP,
    ),
    Disease.SNAPSHOT_DAMAGED: (
        Effect.LOST,
        "A restore point does not open, or is not the one its name says.",
        _LEAVE_BEHIND,
    ),
    Disease.CHAIN_BROKEN: (
        Effect.UNPROVED,
        "A restore point does not follow the one before it.",
        "Nothing: the restore point itself is whole. Look for who may write to the storage.",
    ),
    Disease.HEAD_ROLLED_BACK: (
        Effect.LOST,
        "The records know a newer restore point than the storage holds.",
        _GO_ON,
    ),
    Disease.PAGE_MISSING: (
        Effect.UNPROVED,
        "A page that a restore point was made of is missing.",
        "Nothing: what the page said is in the restore point's catalog.",
    ),
    Disease.PAGE_DAMAGED: (
        Effect.UNPROVED,
        "A page that a restore point was made of does not open, or is another one.",
        "Nothing: what the page said is in the restore point's catalog.",
    ),
    Disease.OPEN_PAGE_DAMAGED: (
        Effect.LOST,
        "A page of a backup under way does not open.",
        "A repair gives it up; the next backup starts it again.",
    ),
    Disease.RECORD_DAMAGED: (
        Effect.LOST,
        "A plan, report or record does not open.",
        _REPLICA,
    ),
    Disease.FORWARD_DAMAGED: (
        Effect.LOST,
        "A note of where the boxes of a pack went does not open.",
        _REPLICA,
    ),
    Disease.LOG_DAMAGED: (
        Effect.UNPROVED,
        "The collector's log does not open or has a gap; until it does, nothing is collected.",
        _REPLICA,
    ),
    Disease.KEYS_DAMAGED: (
        Effect.UNPROVED,
        "A key file is not what it was; the newest one opens this vault.",
        "Add a recovery slot, which writes a new key file.",
    ),
    Disease.ITEM_DAMAGED: (
        Effect.LOST,
        "An item that was restored to nowhere did not come back as it was.",
        _ALL_PACKS,
    ),
    Disease.UNKNOWN_BLOB: (
        Effect.HARMLESS,
        "A blob is none of the vault's.",
        "Nothing. Look for who may write to the storage.",
    ),
}


@dataclass(slots=True)
class Finding:
    """One thing that is wrong. `name`: the blob; `items`: how many need what is lost, of which
    `samples` names some as [chain, item id, parent id]; `newest`: whether the newest restore point
    of a chain is among those that lost something.
    """

    name: str
    code: str
    level: int
    effect: str
    message: str
    repair: str
    items: int = 0
    newest: bool = False
    samples: list[list[str]] = field(default_factory=list)
    boxes: list[int] = field(default_factory=list)  # of a pack: the damaged ones, [] for all

    @classmethod
    def of(cls, disease: Disease, name: str, level: int) -> Finding:
        effect, message, repair = WHAT[disease]
        return cls(name, disease.value, level, effect.value, message, repair)

    def touches(self, chain: str, item: str, parent: str, newest: bool) -> None:
        """One more item needs what is lost."""
        self.items += 1
        self.newest |= newest
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append([chain, item, parent])

    def is_needless(self) -> None:
        """Nothing needs what is damaged."""
        self.effect = Effect.HARMLESS.value
        self.message = "A pack that nothing needs is damaged."
        self.repair = "Nothing: it is garbage, or its good boxes are all that is needed."

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Finding:
        return cls(**values)
