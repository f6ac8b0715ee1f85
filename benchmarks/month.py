"""python3 dev.py bench month: thirty nights with changes, faults and lost tokens, then the truth.

Prints a row per night with what was asked, and whether every mailbox and drive is stored and
restores as the tenant has it. The exit status is 1 on any difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._installation import installed
from benchmarks._month import Month, nights, open_rows, tenant_of
from benchmarks.fidelity import MAILBOX

NIGHTS = 30


def main(arguments: Sequence[str]) -> int:
    """Lives through the month and answers 0 when everything is as the tenant has it."""
    parser = argparse.ArgumentParser(prog="bench month", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="three months")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    report = measure(NIGHTS * (3 if options.full else 1), options.seed)
    if options.json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["ok"] else 1


def measure(count: int, seed: int, *, few: bool = False) -> dict[str, Any]:
    """So many nights and the verdict; the report as --json prints it. `few`: a smaller tenant."""
    started = time.perf_counter()
    tenant = tenant_of(seed, few=few)
    with installed(tenant) as installation:
        month = Month(installation, MAILBOX, seed)
        for night in nights(count, seed):
            month.live(night)
        still_open = open_rows(installation)
        month.verdict()
    report = month.report
    offences = dict(tenant.counters.offences)
    violations = list(tenant.counters.violations)
    last = report.nights[-1]["state"]
    return {
        "benchmark": "month",
        "ok": not (report.differences or still_open or offences or violations) and last == "green",
        "nights": report.nights,
        "differences": report.differences,
        "compared": dict(report.compared),
        "requests": sum(row["requests"] for row in report.nights),
        "faults": sum(row["faults"] for row in report.nights),
        "still_to_be_tried_again": still_open,
        "offences": offences,
        "violations": violations,
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="A simulated month", title_justify="left")
    names = ("night", "weather", "tokens_lost", "events", "faults", "requests", "state", "equal")
    for name in names:
        table.add_column(name.replace("_", " "))
    for row in report["nights"]:
        shown = {**row, "events": " ".join(row["events"])}
        table.add_row(*(str(shown.get(name, "")) for name in names))
    console.print(table)
    for name in ("ok", "requests", "faults", "compared", "differences", "offences", "seconds"):
        console.print(f"{name}: {report[name]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
