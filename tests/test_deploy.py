"""What travels to Azure is the whole product with every library it needs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import msgraph
import pathspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dev
from tests import project


def let_through(folder: Path, spec: pathspec.GitIgnoreSpec) -> Iterator[str]:
    """The files that .funcignore does not hold back; ignored folders are not entered."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(project.ROOT).as_posix()
        if path.is_dir():
            if not spec.match_file(name + "/"):
                yield from let_through(path, spec)
        elif not spec.match_file(name):
            yield name


def requirements(name: str) -> list[Requirement]:
    lines = [line.strip() for line in project.text(name).splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]


def test_funcignore_and_the_allow_list_agree() -> None:
    spec = pathspec.GitIgnoreSpec.from_lines(project.text(".funcignore").splitlines())
    allowed = {path.relative_to(project.ROOT).as_posix() for path in dev.deployed(project.ROOT)}
    travelling = set(let_through(project.ROOT, spec))
    assert not travelling - allowed, ".funcignore lets these through"
    assert not allowed - travelling, ".funcignore holds these back"


def test_the_allow_list_is_the_product() -> None:
    assert dev.DEPLOYED_FOLDERS == project.PRODUCT
    names = {path.name for path in dev.deployed(project.ROOT)}
    assert {"function_app.py", "host.json", "requirements.txt"} <= names
    assert not any(path.suffix == ".pyc" for path in dev.deployed(project.ROOT))


@pytest.mark.parametrize("name", dev.REQUIREMENTS)
def test_every_version_is_pinned(name: str) -> None:
    for requirement in requirements(name):
        pins = [one.operator for one in requirement.specifier]
        assert pins == ["=="], f"{requirement}: pin it with =="


def test_every_library_the_product_imports_is_installed_in_azure() -> None:
    pinned = {canonicalize_name(one.name) for one in requirements("requirements.txt")}
    provided = packages_distributions()
    for path in project.python_files("function_app.py", *project.PRODUCT):
        for name in project.imports(project.tree(path)):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in {*project.ROOMS, "_typeshed"}:
                continue
            homes = {canonicalize_name(home) for home in provided.get(top, [])}
            assert homes & pinned, (
                f"{path} imports {name}; add what provides it to requirements.txt"
            )


def test_everything_pinned_brings_only_what_is_pinned_too() -> None:
    # The package is built without resolving, so a transitive library left out would be missing.
    pinned = {canonicalize_name(one.name) for one in requirements("requirements.txt")}
    for name in pinned:
        for needed in map(Requirement, distribution(name).requires or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in pinned, f"{name} needs {needed}"


# Run by a fresh Python that finds the trimmed SDK before the installed one.
SDK_CALLS = """
import sys
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
import msgraph
from m365.graph.errors import TransientFailure
from m365.graph.exchange import Counters
from m365.graph.hosts import Place
from m365.graph.sdk import ControlPlane
from m365.graph.throttle import Limiter

assert msgraph.__file__.startswith(sys.argv[1]), msgraph.__file__
tokens = SimpleNamespace(tenant="tenant", token=lambda: "token")
plane = ControlPlane(Place("https://127.0.0.1:1"), tokens, Limiter(), Counters())
for kind in ("organization", "users", "groups", "teams", "sites"):
    try:
        plane.organization() if kind == "organization" else plane.search(kind, "a", 1)
    except TransientFailure as failure:  # nobody listens there: the request was made and sent
        print(kind, failure.details["graph_code"])
"""


def test_the_trimmed_sdk_still_makes_every_request_of_ours(tmp_path: Path) -> None:
    packages = Path(msgraph.__file__).parent.parent
    kept = 0
    for path in (packages / "msgraph").rglob("*.py"):
        name = path.relative_to(packages).as_posix()
        if dev.sdk_part_used(name):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, tmp_path / name)
            kept += 1
    done = subprocess.run(
        [sys.executable, "-c", SDK_CALLS, str(tmp_path)],
        cwd=project.ROOT,
        capture_output=True,
        text=True,
    )
    kinds = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [kind for kind, _ in kinds] == ["organization", "users", "groups", "teams", "sites"]
    assert {code for _, code in kinds} == {"ConnectError"}
    assert kept < 1000  # of 16,000


def test_this_environment_has_the_pinned_versions() -> None:
    for name in dev.REQUIREMENTS:
        for requirement in requirements(name):
            if requirement.marker and not requirement.marker.evaluate():
                continue
            try:
                installed = distribution(requirement.name).version
            except PackageNotFoundError:
                installed = "nothing"
            assert requirement.specifier.contains(installed, prereleases=True), (
                f"{requirement} is pinned, {installed} is installed"
            )
