"""python -m benchmarks._vault_worker: one process of ours that makes a vault, backs up or restores.

Prints one JSON object: what was copied, and what the store and the index were asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from base.clock import SystemClock
from benchmarks._tree import back_up, restore
from engine.chunks import KnownChunks
from state.tables.sqlite import SqliteTables
from vault import CountingStore, PassphraseSlot, Repository
from vault.stores.folder import FolderStore

_SLOT = PassphraseSlot("a passphrase for benchmarks")
_RECOVERY = PassphraseSlot("another one", n=2**4)


def main(arguments: list[str]) -> int:
    """Does one thing and prints what it was."""
    parser = argparse.ArgumentParser(prog="benchmarks._vault_worker", description=__doc__)
    parser.add_argument("verb", choices=("init", "backup", "restore"))
    parser.add_argument("vault", type=Path, help="a folder; the tables lie beside the blobs")
    parser.add_argument("path", type=Path, nargs="?", help="what to back up, or where to restore")
    options = parser.parse_args(arguments)
    store = CountingStore(FolderStore(options.vault / "blobs"))
    tables = SqliteTables(options.vault / "tables.sqlite")
    index = KnownChunks(tables, "benchmark")
    clock = SystemClock()
    if options.verb == "init":
        Repository.create(store, [_SLOT, _RECOVERY], clock, known=index)
        tables.close()
        return 0
    repo = Repository.open(store, _SLOT, clock, index)
    if options.verb == "backup":
        done = back_up(repo, options.path)
    else:
        done = restore(repo, options.path)
    tables.close()
    report = {
        "items": done.items,
        "read_bytes": done.read_bytes,
        "changed": done.changed,
        "store_writes": store.writes,
        "store_reads": store.reads,
        "store_lists": store.lists,
        "bytes_written": store.bytes_written,
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
