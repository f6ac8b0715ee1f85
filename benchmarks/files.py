"""python3 dev.py bench files: what files cost in resource units, bytes and memory.

Five cases, each a tenant in one process and a worker of the product in another, so that a peak of
memory belongs to its case alone:

- units: two OneDrives and a site with lists, a first run and an idle one. The minimum is what
  Microsoft publishes (avoid getting throttled in SharePoint Online): a first run of a drive costs 2
  units for the delta without a token, 1 for each further page of 200, 1 for the download of each
  file, and 5 for each set of permissions that is stored. Nobody documents whether a download by its
  pre-authenticated address is metered: it counts here as the unit that the table names. An idle run
  costs 1 unit a drive; of a site's lists 2 for the list of lists, of which there is no feed, and 1
  for each list that is no library, whose files are the drives'.
- copies: one file a hundred times in one drive. edit: a file of which a second run finds a thousand
  bytes in the middle changed. Both in bytes of blobs written, by the size of the file.
- large and million: one file of 10 GB of bytes that repeat nowhere; a drive of 1,000,000 items
  (2,000 folders of empty files, as a million downloads would measure the network). Memory is the
  peak of the worker's process.

The exit status is 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks._figures import MB, Bound, passed
from benchmarks._files_tenant import FILE, KEEPER
from benchmarks._served import served

_ROOT = Path(__file__).resolve().parent.parent
_PAGE = 200  # entries of a delta page, unless asked otherwise
BOUNDS = (
    Bound("ru_over_minimum", at_most=1.0),
    Bound("copies_ratio", at_most=1.05),
    Bound("edit_ratio", at_most=0.06),
    Bound("peak_rss_mb_10gb", at_most=300),
    Bound("peak_rss_mb_million", at_most=500),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is backed up."""

    files: int = 300  # of each ordinary drive
    file_bytes: int = 100_000
    copies: int = 100
    copied_bytes: int = 5 * MB
    edited_bytes: int = 100 * MB
    large_bytes: int = 10_000 * MB
    items: int = 1_000_000


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and answers 0 when the bounds are kept."""
    size = _size(arguments)
    report = measure(size)
    if "--json" in arguments:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["ok"] else 1


def measure(size: Size) -> dict[str, Any]:
    """The whole benchmark; the report as --json prints it."""
    started = time.perf_counter()
    drive = {"services": ["drive"], "sites": False}
    edit = {"action": "put_file", "drive": KEEPER, "path": FILE, "size": size.edited_bytes}
    both = {"services": ["drive", "lists"], "sites": True, "rounds": ["first", "idle"]}
    units = _case("units", size.files, size.file_bytes, {**both, "held": True})
    copies = _case("copies", size.copies, size.copied_bytes, {**drive, "rounds": ["first"]})
    edited = {**drive, "rounds": ["first", "edited"], "mutate": [edit]}
    edits = _case("edit", 1, size.edited_bytes, edited)
    large = _case("large", 1, size.large_bytes, {**drive, "rounds": ["first"]})
    million = _case("million", size.items, 0, {**drive, "rounds": ["first", "idle"]})
    figures = {
        **unit_figures(units["chains"], units["held"]),
        "copies_ratio": round(_stored(copies, "first") / size.copied_bytes, 4),
        "edit_ratio": round(_stored(edits, "edited") / size.edited_bytes, 4),
        "peak_rss_mb_10gb": round(large["peak_rss_mb"], 1),
        "peak_rss_mb_million": round(million["peak_rss_mb"], 1),
        "seconds_10gb": round(_seconds(large), 1),
        "seconds_million": round(_seconds(million), 1),
    }
    bounds = [bound.verdict(figures) for bound in BOUNDS]
    return {
        "benchmark": "files",
        "ok": passed(bounds),
        **figures,
        "bounds": bounds,
        "size": asdict(size),
        "seconds": round(time.perf_counter() - started, 1),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def unit_figures(
    rows: Sequence[Mapping[str, Any]], held: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """Resource units by chain and round against the published minimum; see the module."""
    spent: dict[str, int] = {}
    least: dict[str, int] = {}
    entries = 0
    for row in rows:
        name = f"{row['service']} {row['round']}"
        minimum = _minimum(row, held[row["chain"]])
        if minimum is None:
            continue
        spent[name] = spent.get(name, 0) + row["units"]
        least[name] = least.get(name, 0) + minimum
        entries += held[row["chain"]]["entries"] if name == "drive first" else 0
    drives = sum(row["service"] == "drive" and row["round"] == "idle" for row in rows)
    over = {name: round(spent[name] / least[name], 4) for name in spent}
    return {
        "ru_over_minimum": max(over.values()),
        "ru_over_minimum_by_round": over,
        "ru_first_per_item": round(spent["drive first"] / entries, 4),
        "ru_idle_per_drive": round(spent["drive idle"] / drives, 4),
        "ru": spent,
    }


def _minimum(row: Mapping[str, Any], held: Mapping[str, int]) -> int | None:
    """The least units of a chain's round; None where no minimum is published."""
    match row["service"], row["round"]:
        case "drive", "first":
            pages = ceil(held["entries"] / _PAGE)
            permissions = 5 * held.get("permissions", 0)
            return 2 + pages - 1 + held.get("content", 0) + permissions
        case "drive", _:
            return 1
        case "lists", "idle":
            return 2 + held["lists"]
    return None


def _stored(measured: Mapping[str, Any], round_: str) -> int:
    return sum(row["stored_bytes"] for row in measured["chains"] if row["round"] == round_)


def _seconds(measured: Mapping[str, Any]) -> float:
    return sum(float(row["seconds"]) for row in measured["chains"])


def _case(name: str, count: int, size: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Runs one case in two processes of its own; what its worker measured."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        wanted = ("--case", name, "--count", str(count), "--bytes", str(size))
        with served("benchmarks._files_tenant", Path(folder), *wanted) as tenant:
            orders = {"tenant": tenant, "folder": folder, "mutate": [], "held": False, **given}
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks._files_worker"],
                cwd=_ROOT,
                input=json.dumps(orders),
                stdout=subprocess.PIPE,
                text=True,
            )
    if done.returncode != 0:
        raise SystemExit(f"The worker of the case {name} failed; its words are above.")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _size(arguments: Sequence[str]) -> Size:
    parser = argparse.ArgumentParser(prog="bench files", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="the usual size is the largest")
    usual = Size()
    for name in Size.__slots__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name))
    options = vars(parser.parse_args(arguments))
    return Size(**{name: options[name] for name in Size.__slots__})


def _show(report: Mapping[str, Any]) -> None:
    for bound in report["bounds"]:
        word = "kept" if bound["met"] else "missed"
        print(f"{bound['figure']:24} {bound['value']:>10}   at most {bound['at_most']}  {word}")
    for name in ("ru_over_minimum_by_round", "ru", "ru_first_per_item", "ru_idle_per_drive",
                 "seconds_10gb", "seconds_million", "seconds"):  # fmt: skip
        print(f"{name:24} {report[name]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
