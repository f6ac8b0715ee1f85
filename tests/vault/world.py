"""What the vault's tests share: a clock that stands still, vaults with cheap slots, odd stores."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from vault import (
    Catalog,
    ChunkIndex,
    Entry,
    MemoryChunkIndex,
    PassphraseSlot,
    Repository,
    Round,
    Snapshot,
    Store,
)
from vault.merge import Limits
from vault.stores.memory import MemoryStore

CHAIN = "mail/mailbox:11111111"
SLOT = PassphraseSlot("correct horse", n=2**4)
RECOVERY = PassphraseSlot("battery staple", n=2**4)


@dataclass
class StillClock:
    """A clock that moves when told to."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 6, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class DamagedStore:
    """A copy of a memory store's blobs that a test may spoil."""

    def __init__(self, store: MemoryStore) -> None:
        self.blobs = {row.name: store.read(row.name) for row in store.list("")}

    def spoil(self, name: str, at: int = -1) -> None:
        """Flips one bit."""
        data = bytearray(self.blobs[name])
        data[at] ^= 1
        self.blobs[name] = bytes(data)

    def copied(self) -> MemoryStore:
        store = MemoryStore(StillClock())
        for name, data in self.blobs.items():
            store.put_new(name, data)
        return store


def new_vault(
    store: Store | None = None, clock: StillClock | None = None, index: ChunkIndex | None = None
) -> Repository:
    """A vault with two slots."""
    clock = clock or StillClock()
    return Repository.create(
        store or MemoryStore(clock), [SLOT, RECOVERY], clock, known=index or MemoryChunkIndex()
    )


def open_vault(
    store: Store,
    clock: StillClock | None = None,
    index: ChunkIndex | None = None,
    limits: Limits | None = None,
) -> Repository:
    """The vault of a store, as another process would open it."""
    return Repository.open(store, SLOT, clock or StillClock(), index, limits)


def message(id_: str, parent: str = "inbox", sort: str = "", **facts: object) -> Entry:
    """A small entry without content."""
    return Entry(id_, parent, "message", f"Subject {id_}", {"sort": sort or id_}, facts)


def folder(id_: str, parent: str = "") -> Entry:
    """A folder's entry."""
    return Entry(id_, parent, "folder", id_)


def noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def close(round_: Round) -> Snapshot:
    """Closes a complete round."""
    return round_.close(by="backup-1")


def backed_up(repo: Repository, entries: list[Entry], chain: str = CHAIN) -> Snapshot:
    """A next snapshot that puts some entries in one page."""
    head = repo.numbers(chain)
    step = repo.round(chain, (head[-1] if head else 0) + 1).step()
    for entry in entries:
        step.put(entry, "root")
    step.link("root", f"link-{len(head)}", finished=True)
    return close(step.commit(complete=True))


def ids_in(catalog: Catalog) -> dict[str, str]:
    """id -> parent of everything in a catalog, checked to be the same through both trees."""
    found = {}
    for entry in catalog.items():
        assert entry.id not in found, "an item is there twice"
        found[entry.id] = entry.parent
        assert catalog.get(entry.id) == entry
    assert len(found) == catalog.total == catalog.items_tree.count
    return found


def listed(catalog: Catalog, parent: str, limit: int = 100) -> list[str]:
    """Ids of a folder in listing order, page by page."""
    ids: list[str] = []
    after = ""
    while True:
        entries, after = catalog.children(parent, after, limit)
        ids += [entry.id for entry in entries]
        if not after:
            return ids
