"""Recovery from a copy of the blobs and a passphrase: everything comes back, nothing else does."""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.commands import app
from engine import recovery
from tests import project
from tests.api.house import House
from tests.cli.conftest import RECOVERY

runner = CliRunner()


def digests(folder: Path, pattern: str = "*") -> set[str]:
    return {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob(pattern)
        if path.is_file() and path.name != recovery.NOT_RECOVERED
    }


def test_every_file_and_message_comes_out_as_it_was(
    house: House, copy: Path, passphrase: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    told = runner.invoke(
        app, ["vault", "extract", str(copy), "--to", str(out), "--passphrase-file", str(passphrase)]
    )

    assert told.exit_code in (0, 1), told.output
    drives = house.world.tenant.drives
    wanted = {
        sha256
        for drive in drives
        for _, _, sha256 in house.world.files_in_tenant(f"drive:{drive}").values()
    }
    assert wanted == digests(out / "drive")
    mails = {
        sha256
        for mailbox in house.world.tenant.mailboxes.values()
        for _, _, _, sha256, _ in house.world.mail_in_tenant(mailbox).values()
        if sha256 is not None
    }
    assert mails
    assert mails <= digests(out / "mail", "*.eml")


def test_names_stay_below_the_folder_and_folders_are_kept(
    house: House, copy: Path, passphrase: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    arguments = ["vault", "extract", str(copy), "--to", str(out), "--service", "drive"]

    runner.invoke(app, [*arguments, "--passphrase-file", str(passphrase)])

    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert {path.name for path in out.iterdir()} <= {"drive", recovery.NOT_RECOVERED}
    depths = {len(path.relative_to(out).parts) for path in out.rglob("*") if path.is_file()}
    assert max(depths) > 3
    assert not list(out.rglob(".unfinished"))


def test_what_is_not_in_the_backup_is_named(copy: Path, passphrase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["vault", "extract", str(copy), "--to", str(out), "--service", "drive"]

    told = runner.invoke(app, [*arguments, "--passphrase-file", str(passphrase)])

    assert told.exit_code == 1
    rows = list(csv.reader((out / recovery.NOT_RECOVERED).open(encoding="utf-8")))
    assert rows[0] == ["path", "reason"]
    assert any("malware" in reason for _, reason in rows[1:])


def test_only_what_was_asked_for_is_extracted(
    house: House, copy: Path, passphrase: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["vault", "extract", str(copy), "--to", str(out), "--snapshot", "1"]
    arguments += ["--service", "mail", "--resource", house.world.mailbox_id]

    runner.invoke(app, [*arguments, "--passphrase-file", str(passphrase)])

    assert {path.name for path in out.iterdir()} <= {"mail", recovery.NOT_RECOVERED}
    assert len(list((out / "mail").iterdir())) == 1


@pytest.mark.parametrize(
    "choice", [["--service", "fax"], ["--resource", "mailbox:x"], ["--snapshot", "99"]]
)
def test_nothing_that_matches_is_told(
    copy: Path, passphrase: Path, tmp_path: Path, choice: list[str]
) -> None:
    arguments = ["vault", "extract", str(copy), "--to", str(tmp_path / "out"), *choice]

    told = runner.invoke(app, [*arguments, "--passphrase-file", str(passphrase)])

    assert isinstance(told.exception, recovery.NothingToRecover)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(
    copy: Path, passphrase: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    arguments = ["vault", "extract", str(copy), "--to", str(tmp_path)]

    told = runner.invoke(app, [*arguments, "--passphrase-file", str(passphrase)])

    assert isinstance(told.exception, recovery.TargetNotEmpty)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_damaged_pack_costs_its_items_only(copy: Path, passphrase: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "hurt"
    shutil.copytree(copy, hurt)
    whole = len(digests(copy))
    pack = max((one for one in hurt.rglob("*") if one.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(bytes(data))
    secret = ["--passphrase-file", str(passphrase)]

    verified = runner.invoke(app, ["vault", "verify", str(hurt), *secret])
    extracted = runner.invoke(
        app, ["vault", "extract", str(hurt), "--to", str(tmp_path / "out"), *secret]
    )

    assert whole
    assert verified.exit_code == 1
    assert "pack-damaged" in verified.output
    assert "lost" in verified.output
    assert extracted.exit_code == 1
    rows = (tmp_path / "out" / recovery.NOT_RECOVERED).read_text("utf-8")
    assert "vault-damaged" in rows
    assert digests(tmp_path / "out")


def test_a_whole_vault_verifies(copy: Path, passphrase: Path) -> None:
    before = sorted(path for path in copy.rglob("*"))

    told = runner.invoke(app, ["vault", "verify", str(copy), "--passphrase-file", str(passphrase)])

    assert told.exit_code == 0, told.output
    assert "No problem found." in told.output
    assert sorted(path for path in copy.rglob("*")) == before


def test_restore_points_are_listed(house: House, copy: Path, passphrase: Path) -> None:
    told = runner.invoke(app, ["vault", "list", str(copy), "--passphrase-file", str(passphrase)])

    lines = [line.split("\t") for line in told.output.splitlines()]
    assert ["mail", house.world.mailbox_id] in [line[:2] for line in lines]
    assert {line[-1] for line in lines} == {"newest"}


def test_the_recovery_passphrase_opens_the_vault_and_no_other_does(recoverable: Path) -> None:
    asked = runner.invoke(app, ["vault", "verify", str(recoverable)], input=f"{RECOVERY}\n")

    assert asked.exit_code == 0, asked.output
    assert RECOVERY not in asked.output


def test_a_wrong_passphrase_and_an_empty_folder_are_sentences(copy: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the passphrase")
    verify = [sys.executable, "-m", "cli", "vault", "verify"]
    for folder, said in ((copy, "No key slot of this vault opens"), (tmp_path, "no vault here")):
        told = subprocess.run(
            [*verify, str(folder), "--passphrase-file", str(wrong)],
            cwd=project.ROOT,
            capture_output=True,
            text=True,
        )
        assert told.returncode == 1
        assert said in " ".join(told.stderr.split())
        assert "Traceback" not in told.stderr
