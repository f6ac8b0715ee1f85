"""python -m benchmarks._files_worker: a process of the product that backs one case of files up.

Reads {"tenant": the simulator's facts, "folder", "services", "sites", "rounds", "mutate", "held"}
from standard input and prints {"chains": a row of measurements per chain and round, "held",
"peak_rss_mb"}. Before the round "edited" the actions of "mutate" are ordered of the tenant.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks._worker import ORG, Bench, peak_rss_mb
from engine import policies, resources

STEP_SECONDS = 180.0
DOWNLOAD = "GET /_layouts/15/download.aspx"  # the tenant does not meter it; see files.py


def main() -> int:
    """Backs up as often as there are rounds and prints the measurements."""
    given = json.load(sys.stdin)
    bench = Bench(given["tenant"], Path(given["folder"]), STEP_SECONDS)
    policy = {"services": given["services"], "protection": "full"}
    if not given["sites"]:
        policy["sites"] = {"mode": "exclude", "patterns": ["*"]}
    policies.change(bench.app, ORG, policy, 1)
    rows: list[dict[str, Any]] = []
    for round_ in given["rounds"]:
        if round_ == "edited":
            bench.control.post("/mutate", {"actions": given["mutate"]})
        rows += _round(bench, round_)
    peak_mb = peak_rss_mb()
    held = {name: _held(bench, name) for name in {row["chain"] for row in rows} if given["held"]}
    print(json.dumps({"chains": rows, "held": held, "peak_rss_mb": peak_mb}))
    return 0


def _round(bench: Bench, round_: str) -> Iterator[dict[str, Any]]:
    for row in bench.back_up(round_):
        units = bench.control.get("/counters")["sharepoint_units"]
        downloads = row["routes"].get(DOWNLOAD, 0)
        chain = resources.chain(row["service"], row["resource"])
        yield {**row, "chain": chain, "units": units + downloads, "downloads": downloads}


def _held(bench: Bench, chain: str) -> Mapping[str, int]:
    """What the newest restore point holds: entries, contents, sets of permissions, top folders."""
    repository = bench.app.vault(ORG)
    snapshot = repository.head(chain)
    assert snapshot is not None
    catalog = repository.catalog(snapshot)
    found: Counter[str] = Counter()
    for entry in catalog.items():
        found["entries"] += 1
        for content in entry.contents:
            found[content.role] += 1
    below = [entry for entry in resources.top_folders(catalog) if catalog.count(entry.id)]
    found["lists"] = len(below)  # a library is a folder without entries
    return found


if __name__ == "__main__":
    sys.exit(main())
