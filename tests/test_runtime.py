"""Azure's own worker library, under Python 3.13, indexes function_app.py and invokes its functions.

It needs an interpreter of 3.13 and, once, a minute to install what Azure installs; without either
it is skipped, unless HOLDFAST_REQUIRE_313 is set.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests import project
from tests.test_function_app import GOLDEN

RUNTIME = "azure-functions-runtime==1.3.0"  # what the platform's 3.13 worker loads
HOME = project.ROOT / ".venv" / "runtime-313"
FOLDERS = (  # where version managers keep interpreters
    (".pyenv/versions", "3.13*/bin/python"),
    (".local/share/uv/python", "cpython-3.13*/bin/python3"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _missing(reason: str) -> NoReturn:
    if os.environ.get("HOLDFAST_REQUIRE_313"):
        pytest.fail(reason)
    pytest.skip(reason)


def _interpreter() -> str:
    named = shutil.which("python3.13")
    found = [Path(named)] if named else []
    for folder, pattern in FOLDERS:
        found += sorted((Path.home() / folder).glob(pattern), reverse=True)
    for path in found:
        check = [path, "-c", "import sys, venv; print(sys.version_info[:2])"]
        said = subprocess.run(check, capture_output=True, text=True)
        if said.stdout.strip() == "(3, 13)":
            return str(path)
    _missing("there is no Python 3.13 on this machine")


def _environment() -> Path:
    """A virtual environment with the product's pins and the runtime, kept between test runs."""
    pins = project.text("requirements.txt")
    wanted = hashlib.sha256(f"{pins}{RUNTIME}".encode()).hexdigest()
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = HOME / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    made = subprocess.run([_interpreter(), "-m", "venv", "--clear", HOME], capture_output=True)
    if made.returncode != 0:
        _missing("Python 3.13 cannot make a virtual environment here")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["-r", project.ROOT / "requirements.txt", RUNTIME]
    said = subprocess.run(pip, capture_output=True, text=True)
    if said.returncode != 0:
        _missing(f"pip could not install the runtime: {said.stderr.strip()[-400:]}")
    stamp.write_text(wanted)
    return python


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the worker said about the app."""
    settings = {
        "HOLDFAST_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "HOLDFAST_PASSPHRASE": "correct horse battery staple",
        "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING": "1",
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "PYTHON"))}
    said = subprocess.run(
        [_environment(), "-m", "tests.runtime_worker", str(project.ROOT)],
        cwd=project.ROOT,
        env={**clean, **settings},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr[-2000:]
    answers: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    assert answers["python"].startswith("3.13")
    return answers


def test_the_worker_indexes_every_function(worked: dict[str, Any]) -> None:
    assert worked["functions"] == sorted(GOLDEN)


def test_the_web_function_answers_and_asks_who_is_there(worked: dict[str, Any]) -> None:
    assert worked["web"]["ok"], worked["web"]["trace"]
    assert worked["web"]["answer"]["status_code"] in (200, "200")
    assert json.loads(worked["web"]["answer"]["body"]) == {"status": "ok"}
    assert worked["refused"]["answer"]["status_code"] in (401, "401")


def test_an_orchestrator_asks_for_its_first_step(worked: dict[str, Any]) -> None:
    assert worked["story"]["ok"], worked["story"]["trace"]
    state = json.loads(worked["story"]["answer"])
    ((action,),) = state["actions"]
    assert (state["isDone"], action["functionName"]) == (False, "plan_backup")


def test_a_step_answers_an_expected_failure_as_data(worked: dict[str, Any]) -> None:
    assert worked["step"]["ok"], worked["step"]["trace"]
    assert json.loads(worked["step"]["answer"])["state"] == "failed"


def test_the_timer_finds_nothing_due_in_an_empty_installation(worked: dict[str, Any]) -> None:
    assert worked["timer"]["ok"], worked["timer"]["trace"]
