"""docs/read_a_vault.py for tests: as a program that cannot import ours, and as a module."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

PROGRAM = Path(__file__).parents[2] / "docs" / "read_a_vault.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("read_a_vault", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


reader = _loaded()


@dataclass(frozen=True)
class Said:
    """What the program answered."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> set[tuple[str, str]]:
        """(disease, blob) of a verification."""
        rows = [line.split("  ") for line in self.out.splitlines()]
        return {(row[0], row[1]) for row in rows if len(row) == 3}


def run(
    folder: Path, *arguments: str | Path, passphrase: str = "", cwd: Path | None = None
) -> Said:
    """Runs it apart: isolated, so that only the standard library and installed packages are there,
    with another working directory and no environment but the passphrase.
    """
    environment = {"PATH": os.environ["PATH"]}
    if passphrase:
        environment["HOLDFAST_PASSPHRASE"] = passphrase
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), str(folder), *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        cwd=cwd or folder,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def spread(blobs: dict[str, bytes], folder: Path) -> Path:
    """The blobs as files below a folder, as a copy of a vault would be."""
    for name, data in blobs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def manifest(target: Path) -> list[dict[str, str]]:
    """The rows of an extraction's manifest."""
    with (target / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Held(reader.Blobs):  # type: ignore[name-defined,misc]
    """Blobs in memory, for the reader as a module."""

    def __init__(self, blobs: dict[str, bytes]) -> None:
        self.paths = {name: data for name, data in blobs.items() if reader.NAMES.fullmatch(name)}
        self.strange = sorted(blobs.keys() - self.paths.keys())

    def read(self, name: str, at: int = 0, size: int = -1) -> bytes:
        if name not in self.paths:
            raise reader.Missing(name, "is missing")
        data: bytes = self.paths[name]
        return data[at:] if size < 0 else data[at : at + size]


def opened(blobs: dict[str, bytes], passphrase: str) -> reader.Vault:  # type: ignore[name-defined]
    """A vault as the reader has it."""
    return reader.Vault(Held(blobs), reader.Holder(passphrase=passphrase.encode()))


def findings(blobs: dict[str, bytes], passphrase: str) -> set[tuple[str, str]]:
    """(disease, blob) of a verification by the reader as a module."""
    check = reader.Verification(opened(blobs, passphrase))
    check.run()
    return set(check.findings)
