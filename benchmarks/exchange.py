"""python3 dev.py bench exchange: what protecting Exchange keeps, brings back and asks of Graph.

Every figure is measured against the simulated tenant; docs/performance.md explains each. The exit
status is 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _ceiling, _fidelity
from benchmarks._exchange import SERVICES, Size, progressive, whole
from benchmarks._figures import Bound, passed
from benchmarks.fidelity import MAILBOX

FULL = Size(messages=5_000, plain=20_000, attached=10_000)
BOUNDS = (
    Bound("properties_unexplained", at_most=0),
    Bound("requests_over_minimum", at_most=1.05),
    Bound("idle_requests_over_minimum", at_most=1.1),
    Bound("progressive_requests_per_plain_message", at_most=0.02),
    Bound("progressive_requests_per_message_with_attachments", at_most=1.02),
    Bound("ceiling_share_mailbox", at_least=0.95),
    Bound("ceiling_share_tenant", at_least=0.95),
    Bound("violations", at_most=0),
)


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and answers 0 when the bounds are kept."""
    options = _parser().parse_args(arguments)
    report = measure(FULL if options.full else Size())
    if options.json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["ok"] else 1


def measure(
    size: Size,
    subjects: Sequence[_fidelity.Subject] = MAILBOX,
    ceiling: Callable[[], dict[str, Any]] = _ceiling.figures,
) -> dict[str, Any]:
    """One whole benchmark; the report as --json prints it."""
    started = time.perf_counter()
    lists = _fidelity.declared(SERVICES)
    figures = _fidelity.figures(_fidelity.measured(subjects, lists))
    asked = [whole(size), progressive(size)]
    for one in asked:
        figures |= one.figures
    figures |= ceiling()
    minded = [text for one in asked for text in one.violations]
    figures["violations"] += len(minded)
    bounds = [bound.verdict(figures) for bound in BOUNDS]
    return {
        "benchmark": "exchange",
        "ok": passed(bounds),
        **figures,
        "minded": minded,
        "bounds": bounds,
        "size": {name: getattr(size, name) for name in Size.__slots__},
        "seconds": round(time.perf_counter() - started, 2),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench exchange", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="the largest size it knows")
    return parser


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="Exchange: bounds", title_justify="left")
    for heading in ("figure", "measured", "bound", ""):
        table.add_column(heading, justify="right" if heading == "measured" else "left")
    words = {True: "[green]kept[/green]", False: "[red]missed[/red]", None: "not known here"}
    for bound in report["bounds"]:
        limit = f"≤ {bound['at_most']}" if "at_most" in bound else f"≥ {bound['at_least']}"
        table.add_row(bound["figure"], str(bound["value"]), limit, words[bound["met"]])
    console.print(table)
    others = Table(title="Exchange: other figures", title_justify="left", show_header=False)
    shown = {bound["figure"] for bound in report["bounds"]}
    for name, value in report.items():
        if name not in shown and name != "bounds":
            others.add_row(name, str(value))
    console.print(others)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
