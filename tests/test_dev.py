"""dev.py works on a clean checkout, speaks in sentences, and installs only what changed."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import dev
from tests import project

VERBS = ("demo", "serve", "simulate", "test", "lint", "bench", "package")


def run(folder: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "dev.py"), *arguments],
        cwd=cwd or folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with dev.py, no requirements, and modules in place of ours that show their call."""
    folder = tmp_path_factory.mktemp("checkout with a space")
    shutil.copy(project.ROOT / "dev.py", folder)
    for name in dev.REQUIREMENTS:
        (folder / name).write_text("# nothing\n")
    shows = "import os, sys\nprint('CALLED', *sys.argv[1:], 'IN', os.getcwd())\nsys.exit(7)\n"
    for module in ("pytest.py", "local/demo.py", "local/server.py", "simulator/__main__.py"):
        (folder / module).parent.mkdir(exist_ok=True)
        (folder / module).write_text(shows)
    return folder


@pytest.mark.slow
def test_the_first_call_makes_an_environment_and_later_ones_reuse_it(checkout: Path) -> None:
    first = run(checkout, "test", "-k", "mail", "--help")
    assert "making" in first.stderr
    assert f"CALLED -k mail --help IN {checkout}" in first.stdout, first.stderr
    assert first.returncode == 7, "the exit status is that of what was run"

    assert run(checkout, "test").stderr == ""

    (checkout / "requirements.txt").write_text("# something else\n")
    assert "installing" in run(checkout, "test").stderr
    assert run(checkout, "test").stderr == ""

    (checkout / "requirements.txt").write_text("no-such-package-at-all==1.0\n")
    failed = run(checkout, "test")
    assert failed.returncode == 2
    assert "pip could not install the requirements" in failed.stderr
    assert "Traceback" not in failed.stderr
    (checkout / "requirements.txt").write_text("# nothing\n")


@pytest.mark.slow
def test_paths_mean_what_the_caller_means_wherever_dev_py_lies(
    checkout: Path, tmp_path: Path
) -> None:
    demo = run(checkout, "demo", "--keep", "--json", "out.json", cwd=tmp_path)
    assert f"CALLED --keep --json {tmp_path / 'out.json'} IN {checkout}" in demo.stdout
    serve = run(checkout, "serve", "--port", "8080", cwd=tmp_path)
    assert f"--port 8080 --data {checkout / 'data'} --storage folder" in serve.stdout
    simulate = run(checkout, "simulate", "--profile", "tiny", "--seed", "3", cwd=tmp_path)
    assert "CALLED --profile tiny --seed 3 IN" in simulate.stdout


def test_help_names_every_verb() -> None:
    said = run(project.ROOT, "--help").stdout
    for verb in VERBS:
        assert re.search(rf"^ +{verb} ", said, re.MULTILINE), verb


def test_a_wrong_word_is_answered_by_a_sentence() -> None:
    done = run(project.ROOT, "bench", "no-such-thing")
    assert done.returncode == 2
    assert "there is no benchmark named no-such-thing" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_python_can_read_the_file_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ast.parse(project.text("dev.py"), feature_version=(3, 8))
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    assert dev.main(["demo"]) == 2
    assert "needs Python 3.11 or later" in capsys.readouterr().out


def test_the_hash_follows_the_requirements_and_not_the_line_ends(tmp_path: Path) -> None:
    for name in dev.REQUIREMENTS:
        (tmp_path / name).write_bytes(b"a==1\nb==2\n")
    before = dev.requirements_hash(tmp_path)
    (tmp_path / "requirements.txt").write_bytes(b"a==1\r\nb==2\r\n")
    assert dev.requirements_hash(tmp_path) == before
    (tmp_path / "requirements-dev.txt").write_bytes(b"a==1\nb==3\n")
    assert dev.requirements_hash(tmp_path) != before


def test_lines_are_chosen_for_azures_python_and_not_for_ours() -> None:
    pins = dev.lines_for_azure(project.text("requirements.txt"))
    assert [pin for pin in pins if pin.startswith("azure-functions==")] == [
        "azure-functions==2.3.0"
    ]
    with pytest.raises(dev.Trouble, match="does not know"):
        dev.lines_for_azure('x==1 ; platform_machine == "arm64"')


def test_the_same_files_make_the_same_zip(tmp_path: Path) -> None:
    digests: set[str] = set()
    for name in ("one", "two"):
        source = tmp_path / name
        source.write_bytes(b"the same bytes")
        os.utime(source, (len(digests) * 10_000_000, 1_700_000_000))
        dev.write_zip(tmp_path / "x.zip", {"b.py": source, "a.py": source})
        digests.add(hashlib.sha256((tmp_path / "x.zip").read_bytes()).hexdigest())
    assert len(digests) == 1
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.namelist() == ["a.py", "b.py"]
