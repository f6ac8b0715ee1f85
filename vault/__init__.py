"""Where bytes live: encrypted, deduplicated, create-only, readable without the rest of us."""

from vault.catalog import Catalog
from vault.config import Chunking
from vault.entry import Content, Entry, Location, Reference
from vault.index import ChunkIndex, MemoryChunkIndex
from vault.keys import KeySlot, PassphraseSlot
from vault.problems import (
    Missing,
    RoundIncomplete,
    RoundLost,
    RoundOutOfOrder,
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
from vault.repository import Repository
from vault.round import Round
from vault.snapshot import Snapshot, SnapshotInfo
from vault.step import Step
from vault.store import CountingStore, Listed, Store
from vault.verify import Finding, VerifyReport

__all__ = [
    "Catalog",
    "ChunkIndex",
    "Chunking",
    "Content",
    "CountingStore",
    "Entry",
    "Finding",
    "KeySlot",
    "Listed",
    "Location",
    "MemoryChunkIndex",
    "Missing",
    "PassphraseSlot",
    "Reference",
    "Repository",
    "Round",
    "RoundIncomplete",
    "RoundLost",
    "RoundOutOfOrder",
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
