"""python3 dev.py bench fidelity: what a backup keeps and a restore brings back, by property.

Every verdict of docs/fidelity.md is measured against the simulated tenant. The exit status is 1
when one differs from what was measured, or has no reason.
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

from benchmarks._fidelity import Subject, Verdict, declared, figures, measured
from benchmarks._fidelity_calendar import Events
from benchmarks._fidelity_drive import Files
from benchmarks._fidelity_mail import Mail
from benchmarks._fidelity_notes import Notes
from benchmarks._fidelity_pages import Pages
from benchmarks._fidelity_people import Contacts, Tasks
from benchmarks._fidelity_planner import Planner
from benchmarks._fidelity_teams import Teams

MAILBOX: tuple[Subject, ...] = (Mail(), Events(), Contacts(), Tasks())
SUBJECTS: tuple[Subject, ...] = (*MAILBOX, Files(), Pages(), Teams(), Planner(), Notes())


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and answers 0 when everything is explained."""
    parser = argparse.ArgumentParser(prog="bench fidelity", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    report = measure()
    if options.json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["ok"] else 1


def measure(subjects: Sequence[Subject] = SUBJECTS) -> dict[str, Any]:
    """One whole benchmark; the report as --json prints it."""
    started = time.perf_counter()
    services = [one.service for one in subjects]
    verdicts = measured(subjects, declared(services))
    found = figures(verdicts)
    types: dict[tuple[str, str], list[Verdict]] = {}
    for one in verdicts:
        types.setdefault((one.service, one.type), []).append(one)
    return {
        "benchmark": "fidelity",
        "ok": not found["properties_unexplained"],
        **found,
        "types": {f"{service}/{name}": figures(some) for (service, name), some in types.items()},
        "seconds": round(time.perf_counter() - started, 2),
    }


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="Fidelity: properties by type", title_justify="left")
    heads = (
        "total",
        "stored",
        "restored",
        "restored_partly",
        "not_restorable",
        "apart",
        "unexplained",
    )
    for heading in ("type", *heads):
        table.add_column(heading, justify="left" if heading == "type" else "right")
    for name, found in [*report["types"].items(), ("all", report)]:
        table.add_row(name, *(str(found[f"properties_{head}"]) for head in heads))
    console.print(table)
    for text in report["unexplained"]:
        console.print(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
