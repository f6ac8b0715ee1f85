"""The programs that are compared: ours, restic and borg, each driven through its command line.

A program that is not there is installed where that is possible (Debian's restic as root, borg from
PyPI into an environment of its own below the user's cache); else it is left out, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_CACHE = Path.home() / ".cache" / "holdfast-bench"
_BORG_NEEDS = (
    "gcc", "libacl1-dev", "liblz4-dev", "libssl-dev", "libxxhash-dev", "libzstd-dev", "pkg-config",
    "python3-dev",
)  # fmt: skip


class NotHere(Exception):
    """A program cannot be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process from its start to its end, with the children it waited for."""

    wall_s: float
    cpu_s: float
    rss_mb: float  # peak of the process itself
    printed: str


class Program:
    """A backup program with a repository in one folder."""

    name = ""

    def __init__(self, folder: Path) -> None:
        """`folder`: for the repository, and all else the program keeps; gone after clear()."""
        self.folder = folder
        self.version = ""

    @property
    def repository(self) -> Path:
        """What counts as the size of a backup."""
        return self.folder / "repository"

    def start_anew(self) -> None:
        """An empty repository, and nothing remembered."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._run(*self._init(), cwd=_ROOT)

    def back_up(self, source: Path) -> Run:
        """One more backup of a folder."""
        return self._run(*self._backup(source), cwd=source)

    def restore(self, target: Path) -> Run:
        """The newest backup into a folder that is not there yet."""
        target.parent.mkdir(parents=True, exist_ok=True)
        return self._run(*self._restore(target), cwd=target.parent)

    def stored_bytes(self) -> int:
        """All files of the repository."""
        return sum(path.stat().st_size for path in self.repository.rglob("*") if path.is_file())

    def clear(self) -> None:
        """Removes what the program keeps."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _init(self) -> Sequence[str]:
        raise NotImplementedError

    def _backup(self, source: Path) -> Sequence[str]:
        raise NotImplementedError

    def _restore(self, target: Path) -> Sequence[str]:
        raise NotImplementedError

    def _settings(self) -> Mapping[str, str]:
        return {}

    def _run(self, *command: str, cwd: Path) -> Run:
        os.sync()  # nobody pays for what another left to be written
        log = self.folder / "printed"
        with log.open("w+") as printed:
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **self._settings()},
                stdin=subprocess.DEVNULL,
                stdout=printed,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
        if status != 0:
            raise SystemExit(f"{self.name} failed: {' '.join(command[:4])} …")
        cpu_s = used.ru_utime + used.ru_stime
        per_mb = 1024 * 1024 if sys.platform == "darwin" else 1024
        return Run(wall_s, cpu_s, used.ru_maxrss / per_mb, log.read_text())


class Holdfast(Program):
    """The vault's own code over a folder with fsync; the look-up tables count as repository."""

    name = "holdfast"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.version = "this tree"

    def index_bytes(self) -> int:
        """The tables in which chunks are looked up."""
        return sum(path.stat().st_size for path in self.repository.glob("tables.sqlite*"))

    def _init(self) -> Sequence[str]:
        return self._worker("init")

    def _backup(self, source: Path) -> Sequence[str]:
        return self._worker("backup", str(source))

    def _restore(self, target: Path) -> Sequence[str]:
        return self._worker("restore", str(target))

    def _worker(self, verb: str, *path: str) -> Sequence[str]:
        module = "benchmarks._vault_worker"
        return [sys.executable, "-m", module, verb, str(self.repository), *path]

    def _settings(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(_ROOT)}


class Restic(Program):
    """restic as it comes: repository version 2, compression auto."""

    name = "restic"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if shutil.which("restic") is None:
            _apt_get("restic")
        if shutil.which("restic") is None:
            raise NotHere("restic is not installed, and Debian's package could not be.")
        self.version = _words("restic", "version")

    def _init(self) -> Sequence[str]:
        return self._restic("init", "--repository-version", "2")

    def _backup(self, source: Path) -> Sequence[str]:
        return self._restic("backup", ".")

    def _restore(self, target: Path) -> Sequence[str]:
        return self._restic("restore", "latest", "--target", str(target))

    def _restic(self, *words: str) -> Sequence[str]:
        return ["restic", "--quiet", "--repo", str(self.repository), *words]

    def _settings(self) -> Mapping[str, str]:
        cache = str(self.folder / "cache")
        return {"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": cache}


class Borg(Program):
    """borg 1.4 with zstd,3 and repokey-blake2."""

    name = "borg"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._borg = _borg()
        self.version = _words(self._borg, "--version")

    def _init(self) -> Sequence[str]:
        return [self._borg, "--error", "init", "-e", "repokey-blake2", str(self.repository)]

    def _backup(self, source: Path) -> Sequence[str]:
        archive = f"{self.repository}::{time.monotonic_ns()}"
        return [self._borg, "create", "-C", "zstd,3", archive, "."]

    def _settings(self) -> Mapping[str, str]:
        return {"BORG_PASSPHRASE": "benchmark", "BORG_BASE_DIR": str(self.folder / "base")}


def _borg() -> str:
    """borg from an environment of its own, made on first use; else whatever is installed."""
    program = _CACHE / "borg" / "bin" / "borg"
    if not program.exists():
        _apt_get(*_BORG_NEEDS)
        made = _quietly(sys.executable, "-m", "venv", str(program.parent.parent))
        python = str(program.parent / "python")
        if not made or not _quietly(python, "-m", "pip", "install", "borgbackup==1.4.*"):
            shutil.rmtree(program.parent.parent, ignore_errors=True)
    if program.exists():
        return str(program)
    if shutil.which("borg") is None:
        _apt_get("borgbackup")
    found = shutil.which("borg")
    if found is None:
        raise NotHere("borg could not be built from PyPI, and is not installed.")
    return found


def _apt_get(*packages: str) -> None:
    """Installs Debian's packages, where we may."""
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _quietly("apt-get", "install", "-y", "-qq", *packages)


def _quietly(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _words(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
