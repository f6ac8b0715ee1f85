"""python3 dev.py bench backup: what backing up costs, as figures with the bounds they must keep.

Starts a tenant in one process and a worker of the product in another, has the worker back the
tenant up twice, and reports. The exit status is 1 when a bound on counts is missed; bounds on time
and memory are reported beside them, because machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from rich.console import Console
from rich.table import Table

from benchmarks._figures import figures_of, passed, verdicts
from benchmarks._served import served
from benchmarks._tenant import KEEPER

_ROOT = Path(__file__).resolve().parent.parent
_LIMITS = (
    "outlook_requests", "sharepoint_ru_per_minute", "sharepoint_ru_per_day",
    "identity_ru",
)  # fmt: skip
_ENDLESS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is backed up; `large_bytes` is one file, streamed."""

    messages: int = 5_000
    files: int = 300
    file_bytes: int = 1_000_000
    large_bytes: int = 1_000_000_000
    step_seconds: float = 180.0


USUAL = Size()
FULL = Size(messages=50_000)


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and answers 0 when the bounds on counts are kept."""
    options = _parser().parse_args(arguments)
    usual = FULL if options.full else USUAL
    size = Size(
        options.messages if options.messages is not None else usual.messages,
        options.files if options.files is not None else usual.files,
        options.file_bytes if options.file_bytes is not None else usual.file_bytes,
        options.large_bytes if options.large_bytes is not None else usual.large_bytes,
    )
    report = measure(size)
    if options.json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["ok"] else 1


def measure(size: Size) -> dict[str, Any]:
    """One whole benchmark; the report as --json prints it."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        with served("benchmarks._tenant", folder, *_options(size)) as tenant:
            _prepare(tenant, size)
            measured = _worked(tenant, folder, size)
    figures = figures_of(measured)
    bounds = verdicts(figures)
    return {
        "benchmark": "backup",
        "ok": passed(bounds),
        **figures,
        "bounds": bounds,
        "chains": measured["chains"],
        "size": {name: getattr(size, name) for name in Size.__slots__},
        "seconds": round(time.perf_counter() - started, 2),
        "python": platform.python_version(),
        "machine": _machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench backup", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="50,000 messages instead of 5,000")
    parser.add_argument("--messages", type=int)
    parser.add_argument("--files", type=int, help="ordinary files")
    parser.add_argument("--file-bytes", type=int, help="their mean size")
    parser.add_argument("--large-bytes", type=int, help="size of the one large file")
    return parser


def _options(size: Size) -> tuple[str, ...]:
    """Of a tenant of that size."""
    counts = {"messages": size.messages, "files": size.files, "file-bytes": size.file_bytes}
    numbers = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    return ("--json", "--calm", "--seed", "1", *numbers)


def _prepare(tenant: dict[str, Any], size: Size) -> None:
    """Lifts the tenant's limits, and puts the large file into its drive."""
    limits = {"limits": dict.fromkeys(_LIMITS, _ENDLESS)}
    large = {"action": "put_file", "drive": KEEPER, "path": "model.bin", "size": size.large_bytes}
    _order(tenant, "/settings", limits)
    _order(tenant, "/mutate", {"actions": [large]})


def _order(tenant: dict[str, Any], path: str, body: dict[str, Any]) -> None:
    pool = urllib3.PoolManager(ca_certs=tenant["ca"])
    headers = {"Authorization": f"Bearer {tenant['control_token']}"}
    answer = pool.request("POST", tenant["control_url"] + path, json=body, headers=headers)
    if answer.status != 200:
        raise SystemExit(f"The simulated tenant refused {path}: {answer.data[:300]!r}")


def _worked(tenant: dict[str, Any], folder: Path, size: Size) -> dict[str, Any]:
    given = {"tenant": tenant, "folder": str(folder), "step_seconds": size.step_seconds}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._worker"],
        cwd=_ROOT,
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit("The worker failed; its words are above.")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="Backup: bounds", title_justify="left")
    for heading in ("figure", "measured", "bound", ""):
        table.add_column(heading, justify="right" if heading == "measured" else "left")
    words = {True: "[green]kept[/green]", False: "[red]missed[/red]", None: "not known here"}
    for bound in report["bounds"]:
        limit = f"≤ {bound['at_most']}" if "at_most" in bound else f"≥ {bound['at_least']}"
        note = "" if bound["judged"] else " (depends on the machine)"
        table.add_row(bound["figure"], str(bound["value"]), limit, words[bound["met"]] + note)
    console.print(table)
    others = Table(title="Backup: other figures", title_justify="left", show_header=False)
    shown = {bound["figure"] for bound in report["bounds"]}
    for name, value in report.items():
        if name not in shown and name not in ("bounds", "chains"):
            others.add_row(name, str(value))
    console.print(others)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
