"""The recovery kit: one page to print, so that a vault opens when we, the service and its cloud are
gone.

It holds no secret but a passphrase that was made a moment ago; names are escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from base.settings import Settings
from vault import SlotInfo

READER = Path(__file__).parent.parent / "docs" / "read_a_vault.py"
_LINE = "_" * 56
_OPENSSL = (
    "openssl pkeyutl -decrypt -inkey private.pem -in wrapped.bin -out master.bin "
    "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"
)
_PRIVATE = "python3 read_a_vault.py --private-key private.pem vault verify"
_MASTER = "python3 read_a_vault.py --master-file master.bin vault verify"
_STYLE = """
body { font: 11pt/1.4 Georgia, serif; max-width: 46em; margin: 2em auto; color: #000; }
h1 { font-size: 18pt; } h2 { font-size: 13pt; margin: 1.2em 0 .3em; }
table { border-collapse: collapse; width: 100%; } td, th { border: 1px solid #777;
padding: .2em .5em; text-align: left; font-size: 9pt; overflow-wrap: anywhere; }
pre { font-size: 9pt; white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #777;
padding: .5em; } .secret { font: 14pt monospace; letter-spacing: .05em; }
@page { margin: 18mm; } @media print { body { margin: 0; } h2, table, pre { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """What the page says; `passphrase` is "" unless it was made just now."""

    name: str
    org: str
    vault_id: str
    check: str
    made: str
    places: Sequence[str]
    key_file: str
    slots: Sequence[SlotInfo]
    passphrase: str = ""

    def text(self) -> str:
        """The page for a terminal."""
        lines = [f"RECOVERY KIT: {_one_line(self.name)} ({self.org})", ""]
        for title, words, rows in self._sections():
            lines += [title.upper(), *words, *(f"  {row}" for row in rows), ""]
        return "\n".join(lines)

    def html(self) -> str:
        """The page for a printer: one file, nothing to load."""
        parts = [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>Recovery kit: {escape(self.name)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Recovery kit: {escape(self.name)} ({escape(self.org)})</h1>",
        ]
        for title, words, rows in self._sections():
            parts.append(f"<h2>{escape(title)}</h2>")
            parts += [f"<p>{escape(sentence)}</p>" for sentence in words]
            if title == "Slots":
                parts.append(self._table())
            elif rows:
                kind = ' class="secret"' if title == "Passphrase" else ""
                parts.append(f"<pre{kind}>{escape(chr(10).join(rows))}</pre>")
        return "\n".join([*parts, "</body></html>"])

    def _sections(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Title, sentences, and lines to copy."""
        yield (
            "Vault",
            [f"This page was made at {self.made}. {_CHECK}"],
            [
                f"Vault id   {self.vault_id}",
                f"Key check  {self.check}",
            ],
        )
        yield "Where its blobs are", [], list(self.places)
        slots = [
            f"{slot.id}  {slot.kind}  {slot.purpose}  {slot.created}  {slot.fingerprint[:32]}"
            for slot in self.slots
        ]
        yield "Slots", [f"Key file {self.key_file}; any one of its slots opens the vault."], slots
        yield "Passphrase", *self._secret()
        yield "Reading the vault without us", [_HOW], _commands()
        if any(slot.kind == "public-key" for slot in self.slots):
            yield "With the offline key", [_OFFLINE], [_PRIVATE, _OPENSSL, _MASTER]
        yield "Keep it", [_KEEP], []

    def _secret(self) -> tuple[list[str], list[str]]:
        if self.passphrase:
            return [], [self.passphrase]
        return ["Write the recovery passphrase here; we do not know it."], [_LINE]

    def _table(self) -> str:
        head = "".join(
            f"<th>{title}</th>" for title in ("Id", "Kind", "For", "Made", "Fingerprint (SHA-256)")
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{escape(cell)}</td>"
                for cell in (slot.id, slot.kind, slot.purpose, slot.created, slot.fingerprint)
            )
            + "</tr>"
            for slot in self.slots
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


_HOW = (
    "Copy the blobs into one folder, below the names they have. Python 3.11 or later and two "
    "packages read them; read_a_vault.py is in docs/ of every release and imports nothing of ours."
)
_CHECK = (
    "Whoever opens the vault sees its key check; another one than below means that somebody put "
    "keys and data of his own in the vault's place."
)
_OFFLINE = (
    "The first line reads the vault with a PEM file. For a key that stays on its card, OpenSSL "
    "or another tool gives the master secret; wrapped.bin is the decoded field `wrapped` of the "
    "slot of kind public-key in the key file (docs/vault-format.md, section 3)."
)
_KEEP = (
    "Keep this page, and apart from it the passphrase or private key, away from the service and "
    "its cloud. Without a recovery slot's secret the loss of the service's key is the loss of "
    "every backup. Print it again after slots have changed."
)


def where_blobs_lie(settings: Settings, org: str) -> list[str]:
    """The folder or the containers of an organization's vault, and how to copy them."""
    if settings.storage == "folder":
        return [f"Folder: {(settings.data_dir / 'vaults' / org).absolute()}"]
    account = settings.vault_account_url or "(the account of the connection string)"
    account = account.partition("?")[0]
    copies = [
        f"az storage blob download-batch --source {org}-{part} --destination vault "
        f"--blob-endpoint {account} --auth-mode login"
        for part in ("meta", "packs")
    ]
    return [f"Storage account: {account}", f"Containers: {org}-meta, {org}-packs", *copies]


def _commands() -> list[str]:
    if READER.is_file():
        digest = hashlib.sha256(READER.read_bytes()).hexdigest()
        checksum = f"{digest}  read_a_vault.py"
    else:
        checksum = "(SHA-256 of read_a_vault.py: see the release's checksums)"
    return [
        "pip install cryptography zstandard",
        "python3 read_a_vault.py vault list",
        "python3 read_a_vault.py vault verify",
        "python3 read_a_vault.py vault extract TARGET",
        checksum,
    ]


def _one_line(text: str) -> str:
    """A name without anything that would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
