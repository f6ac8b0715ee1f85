"""python3 dev.py bench catalog: what restore points of a large resource cost to write and to read.

Builds one mailbox of 500,000 items in 40 folders through the vault's own steps, changes k of them
for several k, expires the old restore points and reads what is left, each time with a fresh reader
so that nothing is in memory. Counts and bytes only; the exit status is 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from base.clock import SystemClock
from vault import (
    CountingStore,
    Entry,
    MemoryChunkIndex,
    PassphraseSlot,
    Repository,
)
from vault.stores.memory import MemoryStore

CHAIN = "mail/mailbox:benchmark"
SLOT = PassphraseSlot("benchmark", n=2)
FOLDERS = 40
PAGE_ITEMS = 5_000
CHANGES = (1, 10, 100, 1_000, 10_000)
NODE_CHILDREN = 128


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and answers 0 when every bound is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true", help="two million items")
    parser.add_argument("--items", type=int, default=0)
    options = parser.parse_args(arguments)
    report = measure(options.items or (2_000_000 if options.full else 500_000))
    if options.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name}: {value}")
    return 0 if report["ok"] else 1


def measure(items: int) -> dict[str, Any]:
    """One mailbox from its first restore point to what is left when old ones have expired."""
    bench = _Bench(items)
    first = bench.first()
    report: dict[str, Any] = {"items": items, **first}
    report["changes"] = [bench.changed(count) for count in CHANGES if count < items]
    report["reads"] = bench.reads()
    report["expired"] = bench.expired()
    report["ok"] = _kept(report)
    return report


class _Bench:
    def __init__(self, items: int) -> None:
        self._dice = random.Random(1)
        self._items = items
        self._store = CountingStore(MemoryStore())
        Repository.create(self._store, [SLOT], SystemClock(), one_slot_is_enough=True)
        self._versions = [0] * items

    def first(self) -> dict[str, Any]:
        repo, began = self._opened(), time.process_time()
        round_ = repo.round(CHAIN, 1)
        for start in range(0, self._items, PAGE_ITEMS):
            step = round_.step()
            for folder in range(FOLDERS if start == 0 else 0):
                step.put(Entry(f"f{folder}", "", "folder", f"Folder {folder:02d}"), "folders")
            for number in range(start, min(start + PAGE_ITEMS, self._items)):
                step.put(self._entry(number), "inbox")
            last = start + PAGE_ITEMS >= self._items
            step.link("inbox", f"link-{start}", finished=last)
            round_ = step.commit(complete=last)
        round_.close()
        return {
            "first_cpu_s": round(time.process_time() - began, 1),
            # Everything in packs, as these items have no content.
            "index_bytes_per_million_items": sum(listed.size for listed in self._store.list("p/"))
            * 1_000_000
            // self._items,
        }

    def changed(self, count: int) -> dict[str, Any]:
        """Changes `count` items and closes the next restore point."""
        repo = self._opened()
        round_ = repo.round(CHAIN, self._newest(repo) + 1)
        step = round_.step()
        for number in self._dice.sample(range(self._items), count):
            self._versions[number] += 1
            step.put(self._entry(number), "inbox")
        step.link("inbox", f"changed-{count}", finished=True)
        self._store.reset()
        step.commit(complete=True).close()
        cost = {
            "changed": count,
            "writes": self._store.writes,
            "nodes_read": self._store.reads,
            "bytes_written": self._store.bytes_written,
        }
        found, reads = self._asked(_compared, self._newest(repo))
        if found != count:
            raise AssertionError("the comparison missed a change")
        return {**cost, "compare_reads": reads}

    def reads(self) -> dict[str, Any]:
        """The most storage reads that anything a person asks costs, over all restore points."""
        first_pages, look_ups = [], []
        for number in self._opened().numbers(CHAIN):
            first_pages += [
                self._asked(_first_page, number, f"f{folder}")[1]
                for folder in self._dice.sample(range(FOLDERS), 8)
            ]
            item = f"item-{self._dice.randrange(self._items):09d}"
            look_ups.append(self._asked(_looked_up, number, item)[1])
        return {"first_page_max": max(first_pages), "look_up_max": max(look_ups)}

    def expired(self) -> dict[str, Any]:
        """Removes every restore point but the newest with its pages, and reads the newest."""
        repo = self._opened()
        newest = repo.snapshot(CHAIN, self._newest(repo))
        for number in repo.numbers(CHAIN)[:-1]:
            for prefix in ("s/", "m/"):
                for listed in list(self._store.list(prefix)):
                    if f"/{number:010d}" in listed.name:
                        self._store.delete(listed.name)
        catalog = self._opened().catalog(newest)
        sampled = self._dice.sample(range(self._items), 200)
        whole = all(catalog.get(f"item-{n:09d}") == self._entry(n) for n in sampled)
        return {"newest_is_whole": whole and catalog.total == self._items + FOLDERS}

    def _entry(self, number: int) -> Entry:
        """About what a message's entry is; the words differ from item to item."""
        words = random.Random(number)
        sender = f"{words.choice(_NAMES)}@{words.choice(_NAMES)}.example"
        subject = " ".join(words.choices(_NAMES, k=6))
        row = {
            "sort": f"{9_999_999_999 - words.randrange(400_000_000):010d}",
            "from": sender,
            "received": f"2026-{words.randrange(1, 13):02d}-11T10:00:00Z",
            "size": words.randrange(100_000),
            "read": self._versions[number] % 2 == 1,
        }
        facts = {"fingerprint": f"{words.getrandbits(160):040x}", "n": self._versions[number]}
        return Entry(f"item-{number:09d}", f"f{number % FOLDERS}", "message", subject, row, facts)

    def _opened(self) -> Repository:
        return Repository.open(self._store, SLOT, SystemClock(), MemoryChunkIndex())

    def _newest(self, repo: Repository) -> int:
        return repo.numbers(CHAIN)[-1]

    def _asked(self, ask: Callable[..., Any], *about: Any) -> tuple[Any, int]:
        """An answer, and the storage reads it costs a reader that has just opened the vault."""
        fresh = self._opened()
        self._store.reset()
        answer = ask(fresh, *about)
        return answer, self._store.reads


def _first_page(repo: Repository, number: int, folder: str) -> list[Entry]:
    return repo.catalog(repo.snapshot(CHAIN, number)).children(folder, limit=50)[0]


def _looked_up(repo: Repository, number: int, item: str) -> Entry | None:
    return repo.catalog(repo.snapshot(CHAIN, number)).get(item)


def _compared(repo: Repository, newest: int) -> int:
    before, after = (repo.catalog(repo.snapshot(CHAIN, n)) for n in (newest - 1, newest))
    return sum(1 for _ in after.changes_since(before))


def _kept(report: dict[str, Any]) -> bool:
    height = math.ceil(math.log(report["items"] / 100, NODE_CHILDREN)) + 1
    return (
        all(
            row["nodes_read"] <= 2 * height * row["changed"] + 8
            and row["compare_reads"] <= 4 * height * row["changed"] + 8
            for row in report["changes"]
        )
        and report["reads"]["first_page_max"] <= 3
        and report["expired"]["newest_is_whole"]
    )


_NAMES = [
    "".join(random.Random(seed).choices("abcdefghijklmnoprstuvwz", k=3 + seed % 8))
    for seed in range(2_000)
]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
