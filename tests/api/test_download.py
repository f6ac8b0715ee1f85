"""Names of downloads: one header, one name, nothing hidden in it."""

from __future__ import annotations

import pytest

from api.download import download
from vault import VaultDamaged


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("report.docx", "report.docx"),
        ('a"b\r\nSet-Cookie: x=1', "a_b__Set-Cookie_ x=1"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("Übersicht 📎.xlsx", "_bersicht _.xlsx"),
        ("\ud800", "_"),
        ("", "download"),
        ("...", "download"),
        ("x" * 500 + ".txt", "x" * 146 + ".txt"),
        ("%41;filename=evil", "_41_filename=evil"),
    ],
)
def test_the_name_is_safe_and_still_readable(name: str, plain: str) -> None:
    header = download(name, iter(())).headers["content-disposition"]

    assert header.startswith(f"attachment; filename=\"{plain}\"; filename*=UTF-8''")
    assert header.isascii()
    assert header.isprintable()


def test_what_cannot_be_read_is_an_error_before_the_answer_begins() -> None:
    def damaged(_: int) -> bytes:
        raise VaultDamaged("A box cannot be opened.")

    with pytest.raises(VaultDamaged):
        download("x", map(damaged, [1, 2]))
