"""python3 dev.py bench vault: the vault beside restic and borg, on the same files.

Generates a corpus, has every program back it up into an empty repository, again without a change,
and restores it; in turn, several times, and prints ratios of medians. docs/performance.md explains
the corpus and the figures. The exit status is 1 only when a restored tree is not what was backed
up: times depend on the machine, so no bound on them fails the run.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._corpus import FULL, MAIL, SMALL, STREAM, UNSHARED, USUAL, WHOLE, Scale
from benchmarks._figures import Bound
from benchmarks._programs import Borg, Holdfast, NotHere, Program, Restic, Run

_ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
PARTS = (WHOLE, MAIL, UNSHARED, SMALL, STREAM)
BOUNDS = tuple(
    Bound(figure, at_most=at_most, judged=False)
    for figure, at_most in (
        ("wall_ratio_restic", 0.8),
        ("cpu_ratio_restic", 0.9),
        ("size_ratio_restic", 0.85),
        ("mail_size_ratio_restic", 0.55),
        ("small_files_wall_ratio_restic", 0.5),
        ("wall_ratio_borg", 0.7),
        ("second_run_wall_ratio_restic", 1.0),
        ("restore_wall_ratio_restic", 1.2),
        ("peak_rss_mb", 250),
    )
)


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and answers 0 when what was restored is what was backed up."""
    parser = argparse.ArgumentParser(prog="bench vault", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="about 3 GB, and a file of 10 GB")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    if not hasattr(os, "wait4"):
        raise SystemExit("This benchmark needs Linux or macOS: it asks what each process used.")
    report = measure(FULL if options.full else USUAL, options.rounds)
    if options.json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["restored_same"] else 1


def measure(scale: Scale, rounds: int = ROUNDS) -> dict[str, Any]:
    """One whole benchmark; the report as --json prints it."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        root = Path(name)
        reuse = _generated(root / "corpus", scale)
        bench = _Bench(root, rounds)
        bench.run()
        parts = {part: _held(root / "corpus" / part) for part in PARTS}
    figures = figures_of(bench.samples)
    return {
        "benchmark": "vault",
        **figures,
        "bounds": [bound.verdict(figures) for bound in BOUNDS],
        "restored_same": bench.restored_same,
        "medians": bench.medians(),
        "corpus": {"parts": parts, "reuse": reuse, "scale": asdict(scale)},
        "programs": {one.name: one.version for one in bench.programs},
        "rounds": rounds,
        "seconds": round(time.perf_counter() - started, 1),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


@dataclass(slots=True)
class Samples:
    """What was measured, by program, task and quantity: one number per round."""

    rows: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def note(self, program: str, task: str, **values: float) -> None:
        """Adds numbers of one round."""
        for quantity, value in values.items():
            self.rows.setdefault((program, task, quantity), []).append(value)

    def median(self, program: str, task: str, quantity: str) -> float | None:
        """None where nothing was measured."""
        row = self.rows.get((program, task, quantity))
        return None if row is None else median(row)

    def ratio(self, task: str, quantity: str, other: str) -> float | None:
        """Ours over the other program's, of medians."""
        ours, theirs = (self.median(one, task, quantity) for one in ("holdfast", other))
        return None if ours is None or theirs is None else round(ours / theirs, 3)


def figures_of(samples: Samples) -> dict[str, Any]:
    """The figures by their names; None where a program is missing."""
    ours = [row for key, row in samples.rows.items() if key[0] == "holdfast" and key[2] == "rss_mb"]
    items = samples.median("holdfast", "whole", "items")
    index, reading = (samples.median("holdfast", "whole", of) for of in ("index_bytes", "read_gb"))
    ops = samples.median("holdfast", "whole", "storage_ops")
    return {
        "wall_ratio_restic": samples.ratio("whole", "wall_s", "restic"),
        "cpu_ratio_restic": samples.ratio("whole", "cpu_s", "restic"),
        "size_ratio_restic": samples.ratio("whole", "bytes", "restic"),
        "mail_size_ratio_restic": samples.ratio("mail", "bytes", "restic"),
        "small_files_wall_ratio_restic": samples.ratio("small", "wall_s", "restic"),
        "wall_ratio_borg": samples.ratio("whole", "wall_s", "borg"),
        "second_run_wall_ratio_restic": samples.ratio("second", "wall_s", "restic"),
        "restore_wall_ratio_restic": samples.ratio("restore", "wall_s", "restic"),
        "peak_rss_mb": round(max(max(row) for row in ours), 1) if ours else None,
        "storage_ops_per_gb": round(ops / reading, 1) if ops and reading else None,
        "index_bytes_per_million_items": round(index / items * 1e6) if index and items else None,
        "unshared_mail_size_ratio_restic": samples.ratio("unshared", "bytes", "restic"),
        "small_files_cpu_ratio_restic": samples.ratio("small", "cpu_s", "restic"),
        "small_files_size_ratio_restic": samples.ratio("small", "bytes", "restic"),
        "size_ratio_borg": samples.ratio("whole", "bytes", "borg"),
        "cpu_ratio_borg": samples.ratio("whole", "cpu_s", "borg"),
    }


class _Bench:
    """Has programs take turns over one corpus."""

    def __init__(self, root: Path, rounds: int) -> None:
        self._root = root
        self._corpus = root / "corpus"
        self._rounds = rounds
        self.samples = Samples()
        self.restored_same = True
        self.programs: list[Program] = []
        for kind in (Holdfast, Restic, Borg):
            try:
                self.programs.append(kind(root / kind.name))
            except NotHere as reason:
                print(f"{kind.name} is left out: {reason}", file=sys.stderr)

    def run(self) -> None:
        """Every task of every program, in turn; sizes that hardly vary once."""
        for round_ in range(self._rounds):
            for at in range(len(self.programs)):  # another one begins each round
                self._whole(self.programs[(at + round_) % len(self.programs)], round_)
            for at in range(len(self.programs)):
                self._first(self.programs[(at + round_) % len(self.programs)], SMALL, "small")
        for program in self.programs:
            self._first(program, MAIL, "mail")
            self._first(program, UNSHARED, "unshared")
        self._first(self.programs[0], STREAM, "stream")

    def medians(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """By task, program and quantity: the median, the least and the most."""
        found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        for (program, task, quantity), row in self.samples.rows.items():
            values = {"median": median(row), "min": min(row), "max": max(row)}
            rounded = {name: round(value, 3) for name, value in values.items()}
            found.setdefault(task, {}).setdefault(program, {})[quantity] = rounded
        return found

    def _whole(self, program: Program, round_: int) -> None:
        """First backup, second backup, restore."""
        source, target = self._corpus / WHOLE, self._root / "restored"
        self._first(program, WHOLE, "whole", keep=True)
        self._note(program, "second", program.back_up(source))
        if not isinstance(program, Borg):  # its restore is no figure of ours
            self._note(program, "restore", program.restore(target))
            if isinstance(program, Holdfast) and round_ == 0:
                self.restored_same = same_tree(source, target)
            _remove(target)
        program.clear()

    def _first(self, program: Program, part: str, task: str, keep: bool = False) -> None:
        """A backup into an empty repository."""
        program.start_anew()
        self._note(program, task, program.back_up(self._corpus / part))
        self.samples.note(program.name, task, bytes=program.stored_bytes())
        if isinstance(program, Holdfast):
            self.samples.note(program.name, task, index_bytes=program.index_bytes())
        if not keep:
            program.clear()

    def _note(self, program: Program, task: str, run: Run) -> None:
        self.samples.note(program.name, task, wall_s=run.wall_s, cpu_s=run.cpu_s, rss_mb=run.rss_mb)
        if isinstance(program, Holdfast):
            said = json.loads(run.printed)
            ops = said["store_writes"] + said["store_reads"] + said["store_lists"]
            self.samples.note(
                program.name,
                task,
                items=said["items"],
                read_gb=said["read_bytes"] / 1e9,
                storage_ops=ops,
            )


def same_tree(left: Path, right: Path) -> bool:
    """Whether two folders hold the same names, bytes, modes and times."""
    names = sorted(path.relative_to(left) for path in left.rglob("*"))
    if names != sorted(path.relative_to(right) for path in right.rglob("*")):
        return False
    for name in names:
        one, other = (left / name).lstat(), (right / name).lstat()
        if one.st_mode != other.st_mode:
            return False
        if (left / name).is_file() and (
            one.st_mtime_ns != other.st_mtime_ns
            or not filecmp.cmp(left / name, right / name, shallow=False)
        ):
            return False
    return True


def _generated(folder: Path, scale: Scale) -> dict[str, Any]:
    """The corpus, made by another process: the peak memory of a child begins at ours."""
    command = [sys.executable, "-m", "benchmarks._corpus", str(folder), json.dumps(asdict(scale))]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("The corpus could not be made; the reason is above.")
    reuse: dict[str, Any] = json.loads(done.stdout)
    return reuse


def _held(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _remove(folder: Path) -> None:
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        for name in folders:
            os.rmdir(os.path.join(path, name))
    folder.rmdir()


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="Vault: ours over theirs", title_justify="left")
    for heading in ("figure", "measured", "aim", ""):
        table.add_column(heading, justify="right" if heading == "measured" else "left")
    words = {True: "[green]reached[/green]", False: "[red]missed[/red]", None: "not known here"}
    aims = {bound["figure"]: bound for bound in report["bounds"]}
    for figure, value in report.items():
        if figure == "bounds":
            break
        aim = aims.get(figure)
        limit = f"≤ {aim['at_most']}" if aim else ""
        table.add_row(figure, str(value), limit, words[aim["met"]] if aim else "")
    console.print(table)
    others = Table(title="Vault: medians", title_justify="left")
    for heading in ("task", "program", "wall s", "CPU s", "peak MB", "stored MB"):
        others.add_column(heading, justify="left" if heading in ("task", "program") else "right")
    for task, programs in report["medians"].items():
        for program, row in programs.items():
            stored = row.get("bytes", {}).get("median")
            others.add_row(
                task,
                program,
                *(f"{row[of]['median']:.2f}" for of in ("wall_s", "cpu_s", "rss_mb")),
                "" if stored is None else f"{stored / 1e6:.1f}",
            )
    console.print(others)
    console.print({**report["corpus"]["reuse"], **report["programs"]})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
