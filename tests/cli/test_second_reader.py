"""docs/read_a_vault.py on a vault that the whole product filled: all of the tenant is there."""

from __future__ import annotations

from pathlib import Path

from tests.api.house import House
from tests.vault.second_reader import manifest, run


def test_every_file_and_message_of_the_tenant_comes_out_without_us(
    house: House, copy: Path, passphrase: Path, tmp_path: Path
) -> None:
    said = run(copy, "verify", "--passphrase-file", passphrase)
    assert said.code == 0, said.out
    out = tmp_path / "out"
    assert run(copy, "extract", out, "--passphrase-file", passphrase).code == 0
    rows = manifest(out)
    assert {row["problem"] for row in rows} == {""}
    files = {row["sha256"] for row in rows if row["role"] == "content"}
    wanted = {
        sha256
        for drive in house.world.tenant.drives
        for _, _, sha256 in house.world.files_in_tenant(f"drive:{drive}").values()
    }
    assert wanted
    assert files == wanted
    messages = {row["sha256"] for row in rows if row["role"] == "mime"}
    mails = {
        sha256
        for mailbox in house.world.tenant.mailboxes.values()
        for _, _, _, sha256, _ in house.world.mail_in_tenant(mailbox).values()
        if sha256 is not None
    }
    assert mails
    assert mails <= messages
