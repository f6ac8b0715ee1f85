"""Where bytes live: encrypted, deduplicated, create-only, readable without the rest of us."""

from vault.catalog import Catalog
from vault.config import Chunking
from vault.entry import Content, Entry, Location, Reference
from vault.findings import Disease, Finding
from vault.index import ChunkIndex, MemoryChunkIndex
from vault.lost import Lost
from vault.problems import (
    KeysChanged,
    KeysGone,
    Missing,
    NoRecoverySlot,
    RoundIncomplete,
    RoundLost,
    RoundOutOfOrder,
    SlotInUse,
    SlotMissing,
    SlotNotAtHand,
    StepTooOld,
    StoreForbidden,
    StoreFull,
    StoreNotWritable,
    StoreProblem,
    TooFewSlots,
    UnknownFeature,
    VaultDamaged,
    VaultExists,
    VaultMissing,
    WrongKey,
)
from vault.repair import Plan as RepairPlan
from vault.repository import Repository
from vault.rotation import DataKey, KeyChange, Keys, NewSlot
from vault.round import Round
from vault.slots import KeySlot, PassphraseSlot, PublicKeySlot, SlotInfo
from vault.snapshot import Snapshot, SnapshotInfo
from vault.step import Step
from vault.store import CountingStore, Listed, Store
from vault.verify import VerifyReport

__all__ = [
    "Catalog",
    "ChunkIndex",
    "Chunking",
    "Content",
    "CountingStore",
    "DataKey",
    "Disease",
    "Entry",
    "Finding",
    "KeyChange",
    "KeySlot",
    "Keys",
    "KeysChanged",
    "KeysGone",
    "Listed",
    "Location",
    "Lost",
    "MemoryChunkIndex",
    "Missing",
    "NewSlot",
    "NoRecoverySlot",
    "PassphraseSlot",
    "PublicKeySlot",
    "Reference",
    "RepairPlan",
    "Repository",
    "Round",
    "RoundIncomplete",
    "RoundLost",
    "RoundOutOfOrder",
    "SlotInUse",
    "SlotInfo",
    "SlotMissing",
    "SlotNotAtHand",
    "Snapshot",
    "SnapshotInfo",
    "Step",
    "StepTooOld",
    "Store",
    "StoreForbidden",
    "StoreFull",
    "StoreNotWritable",
    "StoreProblem",
    "TooFewSlots",
    "UnknownFeature",
    "VaultDamaged",
    "VaultExists",
    "VaultMissing",
    "VerifyReport",
    "WrongKey",
]
