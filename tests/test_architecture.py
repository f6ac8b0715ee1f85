"""Who may import whom, and why; a failure reads as a sentence about one file.

docs/architecture.md shows the table as a picture. To change a rule, change its reason too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from typing import NamedTuple

import pytest

from tests import project


class May(NamedTuple):
    """What the files of a room may import besides the standard library and the room itself."""

    ours: tuple[str, ...]
    others: tuple[str, ...]
    because: str


MAY_IMPORT = {
    "base": May(
        (),
        ("pydantic", "pydantic_settings"),
        "everything leans on base/, so it leans on next to nothing",
    ),
    "vault": May(
        ("base",),
        ("cryptography", "zstandard", "pyfastcdc", "pybase64", "azure.storage", "azure.core"),
        "vault/ must open on a laptop in ten years",
    ),
    "state": May(
        ("base",),
        ("azure.data", "azure.core", "urllib3", "certifi"),
        "state/ keeps the same records on a laptop and in Azure",
    ),
    "m365": May(
        ("base",),
        (
            "urllib3",
            "httpx",
            "certifi",
            "azure.identity",
            "azure.core",
            "cryptography",
            "msgraph",
            "msgraph_core",
            "kiota_*",
        ),
        "what m365/ knows about Graph is true whatever we do with it",
    ),
    "formats": May(("base",), ("nh3",), "converting a message needs no network"),
    "engine": May(
        ("base", "vault", "state", "m365", "formats"),
        ("azure.identity", "azure.keyvault", "azure.core", "cronsim"),
        "engine/ is the one place where tenant, vault and records meet, so the place to test",
    ),
    "orchestrators": May(
        ("base",),
        ("azure.durable_functions",),
        "a story is replayed, and anything importable can change between replays",
    ),
    "activities": May(("base", "engine"), (), "steps are thin by construction"),
    "api": May(
        ("base", "engine", "console"),
        ("fastapi", "starlette", "pydantic", "azure.functions", "azure.durable_functions"),
        "the same handlers answer in Azure and on a laptop",
    ),
    "console": May(
        ("base", "engine", "api"),
        ("fastapi", "starlette", "jinja2", "markupsafe"),
        "pages are one more client of the engine, under the same permissions",
    ),
    "function_app.py": May(
        ("orchestrators", "activities", "api", "console"),
        ("azure.functions", "azure.durable_functions"),
        "the door registers triggers and does nothing else",
    ),
    "local": May(
        (*project.PRODUCT, "function_app", "simulator"),
        ("*",),
        "local/ starts the product and the simulator, never tests or benchmarks",
    ),
    "cli": May(
        (*project.PRODUCT, "local"),
        ("*",),
        "cli/ starts the product, never the simulator, tests or benchmarks",
    ),
    "benchmarks": May(
        (*project.PRODUCT, "local", "simulator"),
        ("*",),
        "benchmarks measure the product, not its tests",
    ),
    "simulator": May((), ("*",), "a fake that shares our beliefs proves nothing"),
    "dev.py": May((), (), "dev.py runs before anything is installed"),
    "docs/read_a_vault.py": May(
        (),
        ("cryptography", "zstandard"),
        "it proves the specification, so it may not know our code",
    ),
}

KEY_MAKERS = ("vault/keys.py", "vault/crypto.py")

# Names that only these files or folders of the product may import, whatever their room may.
ONLY_IN = {
    "azure.functions": (
        ("api/azure.py", "function_app.py"),
        "everything else must run without Azure Functions",
    ),
    "azure.durable_functions": (
        ("orchestrators/", "api/azure.py", "function_app.py"),
        "only stories and the door know the durable engine",
    ),
    "azure.storage": (("vault/stores/azure_blob.py",), "one file knows where blobs live"),
    "azure.data": (("state/tables/azure_tables.py",), "one file knows where tables live"),
    "azure.keyvault": (("engine/key_vault.py",), "one file knows where keys live"),
    "azure.identity": (
        ("m365/graph/auth.py", "engine/assembly.py"),
        "credentials are made in two places that a reviewer can read",
    ),
    "cryptography": (
        ("vault/", "m365/graph/auth.py"),
        "keys are the vault's; signing in reads when its own certificate ends",
    ),
    "urllib3": (
        ("m365/graph/", "state/tables/point_reads.py"),
        "services never see sockets",
    ),
    "httpx": (("m365/graph/",), "services never see sockets"),
    "msgraph": (("m365/graph/",), "services never see the SDK"),
    "msgraph_core": (("m365/graph/",), "services never see the SDK"),
    "pydantic_settings": (("base/settings.py",), "one file reads the environment"),
    "time": (("base/clock.py",), "take a base.clock.Clock, so that tests own the time"),
    "random": ((), "names come from base/ids.py, keys and nonces from the vault's crypto"),
    "uuid": (("base/ids.py",), "names come from base/ids.py"),
    "secrets": (
        ("base/ids.py", *KEY_MAKERS, "vault/stores/folder.py"),  # it names temporary files
        "names come from base/ids.py, keys and nonces from the vault's crypto",
    ),
}

# What only these files may write down, found by name: "datetime.now" is any x.now() on a datetime.
READS_THE_TIME = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
READS_THE_ENVIRONMENT = {("os", "environ"), ("os", "environb"), ("os", "getenv")}
THROWS_DICE = {("os", "urandom")}

BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


# --- The rules at work on the tree ---


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_room_imports_only_what_it_may(room: str) -> None:
    found = [
        sentence
        for path in project.python_files(room)
        for sentence in forbidden_imports(room, path, project.tree(path))
    ]
    assert not found, "\n" + "\n".join(found)


def test_names_with_one_home_are_imported_only_there() -> None:
    found = [
        sentence
        for path in project.python_files("function_app.py", *project.PRODUCT)
        for sentence in homeless_imports(path, project.tree(path))
    ]
    assert not found, "\n" + "\n".join(found)


def test_only_the_clock_reads_the_time() -> None:
    _nobody_but(
        {"base/clock.py"},
        READS_THE_TIME,
        "take a base.clock.Clock and ask it now()",
        *project.PRODUCT,
        "local",
        "cli",
    )


def test_only_the_settings_read_the_environment() -> None:
    _nobody_but(
        {"base/settings.py"},
        READS_THE_ENVIRONMENT,
        "add a field to base/settings.py",
        *project.PRODUCT,
    )


def test_only_ids_and_the_vaults_crypto_throw_dice() -> None:
    _nobody_but(
        {"base/ids.py", *KEY_MAKERS},
        THROWS_DICE,
        "names come from base/ids.py, keys and nonces from the vault's crypto",
        *project.PRODUCT,
    )


def test_only_the_assembly_makes_a_graph_writer() -> None:
    makers = {
        path
        for path in project.python_files(*project.PRODUCT)
        if any(project.calls(project.tree(path), "GraphWriter"))
    }
    assert makers <= {"engine/assembly.py"}, (
        f"{', '.join(sorted(makers - {'engine/assembly.py'}))} makes a GraphWriter; "
        "backups cannot hurt the tenant because only engine/assembly.py can make one"
    )


def test_no_file_has_a_name_that_says_nothing() -> None:
    everything = project.python_files(*project.ROOMS, "tests", "infra", "docs")
    found = [path for path in everything if path.rsplit("/", 1)[-1][:-3] in BANNED_NAMES]
    assert not found, f"{found}: name a file after what it does"


def test_every_step_a_story_calls_exists() -> None:
    for path, name in _literals("call_activity", "call_activity_with_retry"):
        assert name in _registered("activities"), (
            f"{path} calls {name!r}, no step of activities.ALL"
        )


def test_every_story_a_story_starts_exists() -> None:
    for path, name in _literals("call_sub_orchestrator", "call_sub_orchestrator_with_retry"):
        stories = _registered("orchestrators")
        assert name in stories, f"{path} starts {name!r}, no story of orchestrators.ALL"


def test_no_installed_package_shadows_our_folders() -> None:
    ours = {path.name for path in project.ROOT.iterdir() if any(path.glob("*.py"))}
    ours |= {path.stem for path in project.ROOT.glob("*.py")}
    ours -= {"tests"}  # azure-functions-durable installs one; see the next test
    taken = ours & set(packages_distributions())
    assert not taken, f"{taken}: the Functions host would import the installed package instead"
    assert not ours & sys.stdlib_module_names


def test_our_tests_are_a_package_that_wins_over_installed_ones() -> None:
    assert (project.ROOT / "tests" / "__init__.py").exists(), (
        "azure-functions-durable installs a top-level `tests`; without __init__.py ours loses to it"
    )


# --- The rules themselves can fail ---


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        (
            "vault/repository.py",
            "import azure.functions",
            "vault/repository.py imports azure.functions",
        ),
        ("vault/repository.py", "from azure import functions", "azure.functions"),
        ("vault/keys.py", "def f():\n    from m365 import mail", "imports m365.mail"),
        ("simulator/server.py", "from base.clock import Clock", "shares our beliefs"),
        ("activities/backup.py", "import vault", "thin by construction"),
        ("dev.py", "import requests", "before anything is installed"),
        ("local/demo.py", "from tests import project", "tests.project"),
        (
            "m365/mail.py",
            "import importlib\nimportlib.import_module('engine.backup')",
            "engine.backup",
        ),
        ("api/app.py", "from . import models", "relative"),
    ],
)
def test_a_forbidden_import_reads_as_a_sentence(path: str, source: str, said: str) -> None:
    room = path if path in MAY_IMPORT else path.split("/")[0]
    assert said in "\n".join(forbidden_imports(room, path, ast.parse(source)))


def test_an_allowed_import_is_no_finding() -> None:
    source = "import zlib\nfrom base import errors\nfrom vault.pack import Pack\nimport zstandard"
    assert not list(forbidden_imports("vault", "vault/repository.py", ast.parse(source)))
    kiota = ast.parse("from kiota_abstractions.base import X")
    assert not list(forbidden_imports("m365", "m365/graph/sdk.py", kiota))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vault/repository.py", "from azure.storage.blob import BlobClient"),
        ("m365/mail.py", "import urllib3"),
        ("engine/backup.py", "import time"),
        ("state/port.py", "import uuid"),
    ],
)
def test_a_name_away_from_its_home_is_found(path: str, source: str) -> None:
    assert list(homeless_imports(path, ast.parse(source)))


def test_reading_the_clock_is_found_however_it_is_spelled() -> None:
    for source in ("datetime.now(UTC)", "dt.datetime.now()", "datetime.datetime.utcnow()"):
        assert list(_uses(ast.parse(source), READS_THE_TIME)), source
    for source in ("from os import environ", "os.getenv('X')", "os.environ['X']"):
        assert list(_uses(ast.parse(source), READS_THE_ENVIRONMENT)), source


# --- How they are checked ---


def forbidden_imports(room: str, path: str, module: ast.Module) -> Iterator[str]:
    """Sentences about imports that the table does not allow."""
    may = MAY_IMPORT[room]
    for name in project.imports(module):
        top = name.split(".")[0]
        if name.startswith("."):
            yield f"{path} has a relative import; write the room's name out"
        elif top in project.ROOMS or top in {"tests", "dev", "function_app"}:
            if top != room and top not in may.ours:
                yield f"{path} imports {name}; {may.because}"
        elif top not in {"_typeshed", *sys.stdlib_module_names} and not _allowed(name, may.others):
            yield f"{path} imports {name}; {may.because}"


def homeless_imports(path: str, module: ast.Module) -> Iterator[str]:
    """Sentences about names imported away from their home."""
    for name in project.imports(module):
        for wanted, (homes, because) in ONLY_IN.items():
            if _allowed(name, (wanted,)) and not path.startswith(homes or ("nowhere",)):
                yield f"{path} imports {name}; {because}"


def _allowed(name: str, prefixes: tuple[str, ...]) -> bool:
    for prefix in prefixes:
        if prefix.endswith("*") and name.startswith(prefix[:-1]):
            return True
        if name == prefix or name.startswith(f"{prefix}."):
            return True
    return False


def _nobody_but(
    allowed: set[str], wanted: set[tuple[str, str]], instead: str, *places: str
) -> None:
    found = [
        f"{path}:{line} uses {name}; {instead}"
        for path in project.python_files(*places)
        if path not in allowed
        for line, name in _uses(project.tree(path), wanted)
    ]
    assert not found, "\n" + "\n".join(found)


def _uses(module: ast.Module, wanted: set[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    """Lines that say owner.name, whatever stands before the owner, or import name from owner."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rsplit(".", 1)[-1]
            if (owner, node.attr) in wanted:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module, alias.name) in wanted:
                    yield node.lineno, f"{node.module}.{alias.name}"


def _registered(room: str) -> set[str]:
    """The names in the tuple ALL of a room's __init__.py."""
    for node in project.tree(f"{room}/__init__.py").body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Tuple):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if ast.unparse(target) == "ALL":
                return {ast.unparse(one).rsplit(".", 1)[-1] for one in node.value.elts}
    pytest.fail(f"{room}/__init__.py has no tuple ALL")


def _literals(*functions: str) -> Iterator[tuple[str, str]]:
    for path in project.python_files("orchestrators"):
        for call in project.calls(project.tree(path), *functions):
            if call.args and isinstance(call.args[0], ast.Constant):
                yield path, str(call.args[0].value)
