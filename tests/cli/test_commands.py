"""The command line as a client of the API."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from base.messages import BackupEnded, ExportRun
from cli.client import Client, Refused
from cli.commands import app
from engine import export, runs
from tests import project
from tests.api.house import API, ORG, House

runner = CliRunner()


class Waiting:
    """A clock whose pauses are where the server works."""

    def __init__(self, work: Any = None) -> None:
        self.pauses = 0
        self._work = work

    def sleep(self, seconds: float) -> None:
        self.pauses += 1
        assert self.pauses < 5, "the run never ends"
        self._work()

    def now(self) -> Any: ...

    def monotonic(self) -> float:
        return 0.0


def run(house: House, *arguments: str, work: Any = None) -> Result:
    client = Client(house.client, Waiting(work))
    return runner.invoke(app, list(arguments), obj=client)


def lines(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, (result.output, result.exception)
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_organizations_and_resources_are_listed(house: House) -> None:
    assert lines(run(house, "organizations"))[0][:2] == [ORG, "Contoso"]
    services = {line[0] for line in lines(run(house, "resources", ORG))}
    assert services == {"mail", "drive"}


def test_items_of_a_folder_are_listed(house: House) -> None:
    where = ["--service", "mail", "--resource", house.world.mailbox_id]

    found = lines(run(house, "items", ORG, *where))

    assert found[0][0] == "folder"
    assert len(found[0]) == 3


def test_a_connection_is_told_per_service_and_a_broken_one_is_a_failure(house: House) -> None:
    good = run(house, "connection", ORG)
    assert good.exit_code == 0, good.output
    assert good.stdout.startswith("The connection works.\nMail\n  backup:  granted.")

    app = house.world.tenant.backup_app
    lost = {role for role in app.roles if role.split(".")[0] in ("Files", "Sites")}
    app.roles -= lost
    try:
        bad = run(house, "connection", ORG)
    finally:
        app.roles |= lost
    assert bad.exit_code == 1
    assert "Nothing is backed up without Files.Read.All." in bad.stdout


def test_a_backup_is_awaited_to_its_end(house: House) -> None:
    def work() -> None:
        runs.close_backup(house.app, BackupEnded(ORG, house.stories.started[-1][2]))

    result = run(house, "backup", ORG, "--wait", work=work)

    assert result.exit_code == 0, (result.output, result.exception)
    assert " green" in result.stdout
    states = {line[1] for line in lines(run(house, "runs", ORG, "--kind", "backup"))}
    assert "green" in states


def test_a_backup_that_ends_red_is_a_failure(house: House) -> None:
    def work() -> None:
        runs.close(house.app, ORG, house.stories.started[-1][2], "red", code="consent-missing")

    result = run(house, "backup", ORG, "--wait", work=work)

    assert result.exit_code == 1
    assert "consent-missing" in result.stdout


def test_a_dry_run_shows_the_plan_and_starts_nothing(house: House) -> None:
    item = house.first_item(**house.mail())["id"]
    where = ["--service", "mail", "--resource", house.world.mailbox_id, "--item", item]
    before = len(house.stories.started)

    result = run(house, "restore", ORG, *where, "--dry-run")

    assert result.exit_code == 0, (result.output, result.exception)
    assert result.stdout.startswith("1 items")
    assert len(house.stories.started) == before
    started = run(house, "restore", ORG, *where)
    assert started.exit_code == 0
    assert house.stories.started[-1][0] == "restore_items"


def test_an_export_is_awaited_and_fetched(house: House, tmp_path: Path) -> None:
    def work() -> None:
        made = ExportRun(ORG, house.stories.started[-1][2])
        export.write_export(house.app, made)
        export.close_export(house.app, made)

    item = house.first_item(**house.mail())["id"]
    where = ["--service", "mail", "--resource", house.world.mailbox_id, "--item", item]
    file = tmp_path / "mail.zip"

    result = run(house, "export", ORG, *where, "-o", str(file), work=work)

    assert result.exit_code == 0, (result.output, result.exception)
    names = zipfile.ZipFile(io.BytesIO(file.read_bytes())).namelist()
    assert sum(name.endswith(".eml") for name in names) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mail.zip"]


def test_a_refusal_names_the_servers_code_and_hint(house: House) -> None:
    result = run(house, "runs", "nobody")

    assert isinstance(result.exception, Refused)
    assert "organization-missing" in str(result.exception)
    assert API in result.exception.hint


@pytest.mark.parametrize("verb", ["organizations", "runs x", "backup x", "vault list nowhere"])
def test_without_a_server_or_a_folder_the_answer_is_a_sentence(verb: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "cli", "--url", "http://127.0.0.1:9", *verb.split()],
        cwd=project.ROOT,
        capture_output=True,
        text=True,
    )

    assert told.returncode in (1, 2)
    assert "Traceback" not in told.stderr
    assert told.stderr.strip()
