"""What developers do: demo, serve, simulate, test, lint, bench, package.

    python3 dev.py demo        the whole story on this machine, without Azure and without a tenant
    python3 dev.py test        the tests; what follows goes to pytest
    python3 dev.py --help      all verbs

Runs before anything is installed, so it uses the standard library only, and an old Python reads it
far enough to say so. It makes .venv beside itself, installs the pinned requirements when they
changed, and hands over to a module of the project run by that environment's Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
STAMP = VENV / "installed-requirements"
PYTHON_MIN = (3, 11)

# What travels to Azure and nothing else; .funcignore says the same by exclusion, and
# tests/test_deploy.py compares the two.
DEPLOYED_FOLDERS = (
    "activities",
    "api",
    "base",
    "console",
    "engine",
    "formats",
    "m365",
    "orchestrators",
    "state",
    "vault",
)
DEPLOYED_FILES = (
    "docs/read_a_vault.py",  # the recovery kit names its checksum
    "function_app.py",
    "host.json",
    "requirements.txt",
)

EVERY_TEST = [  # a file's tests share what they set up; the slow ones are in files of few tests
    "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder",
]  # fmt: skip


class Trouble(Exception):
    """Something a person has to mend; the text is the whole message."""


def main(arguments: Sequence[str]) -> int:
    """Runs one verb and answers the exit status."""
    if sys.version_info < PYTHON_MIN:
        print("Holdfast needs Python 3.11 or later; this is", sys.version.split()[0] + ".")
        print("Start it with a newer one, such as: python3.13 dev.py", *arguments)
        return 2
    try:
        if arguments[:1] == ["test"]:  # all that follows is pytest's, --help too
            return _hand_over("pytest", list(arguments[1:]) or EVERY_TEST)
        options = _parser().parse_args(arguments)
        return int(options.run(options))
    except Trouble as trouble:
        print(f"dev.py: {trouble}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py", description="What developers do.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    demo = verbs.add_parser(
        "demo", help="back up and restore a simulated organization, and check it"
    )
    demo.add_argument(
        "--keep", action="store_true", help="keep the demo's data and say where it is"
    )
    demo.add_argument("--json", type=_path, metavar="FILE", help="write the report as JSON as well")
    demo.set_defaults(run=_demo)

    serve = verbs.add_parser("serve", help="the app on 127.0.0.1: console at /, API at /api/v1")
    serve.add_argument("--port", type=int, default=7071)
    serve.add_argument("--data", type=_path, default=str(ROOT / "data"), metavar="DIR")
    serve.add_argument("--storage", choices=("folder", "azurite"), default="folder")
    serve.set_defaults(run=_serve)

    simulate = verbs.add_parser("simulate", help="a Microsoft 365 tenant on loopback, over TLS")
    simulate.add_argument("--port", type=int)
    simulate.add_argument("--profile", choices=("tiny", "small", "medium", "large"))
    simulate.add_argument("--seed", type=int)
    simulate.add_argument("--ca-out", type=_path, metavar="FILE", help="write its certificate here")
    simulate.set_defaults(run=_simulate)

    verbs.add_parser("test", help="the tests; what follows goes to pytest")

    lint = verbs.add_parser("lint", help="ruff check, ruff format --check, mypy")
    lint.set_defaults(run=_lint)

    bench = verbs.add_parser("bench", help="one benchmark of benchmarks/, such as: bench backup")
    bench.add_argument("name")
    bench.add_argument("--json", action="store_true", help="print one JSON object")
    bench.add_argument("--full", action="store_true", help="the largest size it knows")
    bench.set_defaults(run=_bench)

    package = verbs.add_parser("package", help="build dist/holdfast.zip, what Azure runs")
    package.add_argument(
        "--with-site-packages",
        action="store_true",
        help="include the libraries for Linux and Python 3.13, for uploads without a remote build",
    )
    package.set_defaults(run=_package)
    return parser


def _path(text: str) -> str:
    """A path as the caller means it, since the verbs run in the project's folder."""
    return str(Path(text).expanduser().absolute())


# --- The verbs ---


def _demo(options: argparse.Namespace) -> int:
    return _hand_over(
        "local.demo", [*_flag("--keep", options.keep), *_value("--json", options.json)]
    )


def _serve(options: argparse.Namespace) -> int:
    arguments = ["--port", str(options.port), "--data", options.data, "--storage", options.storage]
    return _hand_over("local.server", arguments)


def _simulate(options: argparse.Namespace) -> int:
    arguments = [
        *_value("--port", options.port),
        *_value("--profile", options.profile),
        *_value("--seed", options.seed),
        *_value("--ca-out", options.ca_out),
    ]
    return _hand_over("simulator", arguments)


def _lint(options: argparse.Namespace) -> int:
    python = ready_python()
    checks = (
        ("ruff check", ["ruff", "check", "."]),
        ("ruff format", ["ruff", "format", "--check", "."]),
        ("mypy", ["mypy"]),
    )
    failed = []
    for name, command in checks:
        print(f"{name}:", flush=True)
        if subprocess.call([python, "-m", *command], cwd=ROOT, env=_environment()) != 0:
            failed.append(name)
    print("lint: clean" if not failed else f"lint: {', '.join(failed)} found something")
    return 1 if failed else 0


def _bench(options: argparse.Namespace) -> int:
    names = sorted(
        path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("_")
    )
    if options.name not in names:
        known = ", ".join(names) or "none yet"
        raise Trouble(f"there is no benchmark named {options.name}. There are: {known}.")
    flags = [*_flag("--json", options.json), *_flag("--full", options.full)]
    return _hand_over(f"benchmarks.{options.name}", flags)


def _flag(name: str, given: bool) -> list[str]:
    return [name] if given else []


def _value(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


# --- The environment ---


def ready_python() -> str:
    """The Python of .venv, with everything pinned installed; quick when nothing changed."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not _starts(python):
        _make_venv()
    wanted = requirements_hash(ROOT)
    if not STAMP.exists() or STAMP.read_text(encoding="utf-8") != wanted:
        _install(python)
        waiting = STAMP.with_suffix(".new")
        waiting.write_text(wanted, encoding="utf-8")
        os.replace(waiting, STAMP)
    return str(python)


def requirements_hash(root: Path) -> str:
    """Changes whenever a requirements file does."""
    digest = hashlib.sha256()
    for name in REQUIREMENTS:
        # Line ends differ between checkouts on Windows and elsewhere; what gets installed does not.
        digest.update((root / name).read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def _starts(python: Path) -> bool:
    """Whether that Python is there and new enough; one made by a removed or old Python is not."""
    check = f"import sys, pip; sys.exit(sys.version_info < {PYTHON_MIN})"
    try:
        return subprocess.run([python, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def _make_venv() -> None:
    print(
        f"dev.py: making {VENV} with Python {sys.version.split()[0]}", file=sys.stderr, flush=True
    )
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(
            f"cannot make {VENV} ({error}). On Debian and Ubuntu install the package python3-venv; "
            "elsewhere check that the folder is writable."
        ) from error


def _install(python: Path) -> None:
    print("dev.py: installing the pinned requirements", file=sys.stderr, flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for name in REQUIREMENTS:
        command += ["-r", str(ROOT / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise Trouble(
            f"pip could not install the requirements. Its last words:\n{said}\n"
            "Check the connection to the package index and start again."
        )


def _environment() -> dict[str, str]:
    """Windows consoles speak a code page; the project speaks UTF-8."""
    return {**os.environ, "PYTHONUTF8": "1"}


def _hand_over(module: str, arguments: list[str]) -> int:
    """Runs a module of the project in .venv; where the system can, by becoming it.

    Becoming it keeps the process id, so that signals and kill reach the program and not a parent.
    """
    command = [ready_python(), "-m", module, *arguments]
    if os.name != "nt":
        os.chdir(ROOT)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, _environment())
    return subprocess.call(command, cwd=ROOT, env=_environment())


# --- The package ---

ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same files make the same zip, whenever it is built
AZURE_PYTHON = "3.13"
AZURE_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
LIBRARIES = ".python_packages/lib/site-packages"  # where the Functions host looks
NEVER = {"__pycache__", "kiota-dom-export.txt"}
# What m365/graph/sdk.py touches of msgraph-sdk's 16,000 files, below msgraph/generated/. It takes
# answers natively, so no model is needed, only the names that requests are declared with.
SDK_FOLDERS = ("groups", "organization", "sites", "users", "models/o_data_errors")
SDK_MODELS = ("__init__.py", "_collection_response.py", "_pagination_count_response.py")


def deployed(root: Path) -> Iterator[Path]:
    """The project's files that Azure gets, in a fixed order."""
    for name in DEPLOYED_FILES:
        yield root / name
    for folder in DEPLOYED_FOLDERS:
        yield from (path for path in sorted((root / folder).rglob("*")) if _travels(path))


def _travels(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and not NEVER & set(path.parts)


def _package(options: argparse.Namespace) -> int:
    missing = [path.name for path in deployed(ROOT) if not path.exists()]
    if missing:
        raise Trouble(f"cannot build the package without {', '.join(missing)}.")
    target = ROOT / "dist" / "holdfast.zip"
    target.parent.mkdir(exist_ok=True)
    files = {path.relative_to(ROOT).as_posix(): path for path in deployed(ROOT)}
    if options.with_site_packages:
        libraries = ROOT / "dist" / "site-packages"
        _install_for_azure(Path(ready_python()), libraries)
        for path in sorted(libraries.rglob("*")):
            name = path.relative_to(libraries).as_posix()
            if _travels(path) and sdk_part_used(name):
                files[f"{LIBRARIES}/{name}"] = path
    write_zip(target, files)
    size = target.stat().st_size
    print(f"{target}: {len(files)} files, {size / 1_000_000:.2f} MB")
    return 0


def write_zip(target: Path, files: dict[str, Path]) -> None:
    """Writes a zip that depends on the files' names and bytes only."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name].read_bytes())


def _install_for_azure(python: Path, target: Path) -> None:
    """Puts the libraries of requirements.txt, built for Azure's Python and Linux, into a folder.

    pip judges markers such as python_version by its own Python, not by --python-version, so the
    lines that hold for Azure are chosen here; with every version pinned nothing needs resolving.
    """
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    lines = lines_for_azure((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    wanted = target.with_suffix(".txt")
    wanted.write_text("\n".join(lines), encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--only-binary=:all:", "--target", str(target)]
    command += ["--python-version", AZURE_PYTHON, "--implementation", "cp"]
    for platform in AZURE_PLATFORMS:
        command += ["--platform", platform]
    print(
        f"dev.py: fetching libraries for Python {AZURE_PYTHON} on Linux",
        file=sys.stderr,
        flush=True,
    )
    done = subprocess.run([*command, "-r", str(wanted)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble("pip could not fetch the libraries:\n" + done.stderr.strip()[-1000:])


def lines_for_azure(requirements: str) -> list[str]:
    """The pins that hold for Python 3.13 on Linux.

    Understands the two markers this project uses: python_version with < or >=, and sys_platform.
    """
    chosen = []
    for line in requirements.splitlines():
        pin, _, marker = (part.strip() for part in line.partition(";"))
        if not pin or pin.startswith("#"):
            continue
        holds = {
            "": True,
            'python_version < "3.13"': False,
            'python_version >= "3.13"': True,
            'sys_platform == "win32"': False,
        }.get(marker)
        if holds is None:
            raise Trouble(f"requirements.txt has a marker that dev.py does not know: {marker}")
        if holds:
            chosen.append(pin)
    return chosen


def sdk_part_used(name: str) -> bool:
    """Whether a file of site-packages is needed; everything outside msgraph-sdk is."""
    folder, _, file = name.rpartition("/")
    if folder == "msgraph/generated" or not folder.startswith("msgraph/generated/"):
        return True
    below = folder.removeprefix("msgraph/generated/")
    return below in SDK_FOLDERS or (below == "models" and file.endswith(SDK_MODELS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
