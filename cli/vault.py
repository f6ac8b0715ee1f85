"""holdfast vault: check, list and extract a copy of a vault, with nothing but its passphrase."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from engine import recovery
from engine.recovery import Extracted
from vault import KeySlot, VerifyReport

vault = typer.Typer(
    help="Recovery without a server: a folder with a copy of the vault, and its passphrase.",
    no_args_is_help=True,
)
out = Console()

Folder = Annotated[
    Path, typer.Argument(help="the vault's folder", exists=True, file_okay=False, readable=True)
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="a file with the recovery passphrase; else it is asked"),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option("--private-key", help="the offline recovery key (PEM) instead of a passphrase"),
]


@vault.command()
def verify(
    folder: Folder, passphrase_file: PassphraseFile = None, private_key: PrivateKey = None
) -> None:
    """Reads back every byte; exits 1 where something is damaged."""
    opened = recovery.open_folder(folder, _slot(passphrase_file, private_key))
    out.print(f"Key check {opened.keys.ring.check}")
    report = recovery.verify(opened)
    out.print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in _told(report)))
    for finding in report.problems:
        needed = f" {finding.items:,} items need it." if finding.items else ""
        said = f"{finding.effect}: {finding.code} {finding.name}: {finding.message}{needed}"
        out.print(escape(f"{said} {finding.repair}"), soft_wrap=True)
    if report.problems:
        raise typer.Exit(1)
    out.print("No problem found.")


@vault.command(name="list")
def list_points(
    folder: Folder, passphrase_file: PassphraseFile = None, private_key: PrivateKey = None
) -> None:
    """Lists every restore point: service, resource, number, time, items."""
    opened = recovery.open_folder(folder, _slot(passphrase_file, private_key))
    for point in recovery.points(opened):
        mark = "newest" if point.newest else ""
        cells = (point.service, point.resource, point.number, point.created, point.items, mark)
        typer.echo("\t".join(map(str, cells)))


@vault.command()
def extract(
    folder: Folder,
    to: Annotated[Path, typer.Option("--to", help="a new or empty folder", file_okay=False)],
    service: Annotated[str, typer.Option(help="only this service: mail or drive")] = "",
    resource: Annotated[str, typer.Option(help="only this resource, as `list` shows it")] = "",
    snapshot: Annotated[int | None, typer.Option(help="a restore point; else the newest")] = None,
    passphrase_file: PassphraseFile = None,
    private_key: PrivateKey = None,
) -> None:
    """Writes messages as .eml and files as they were; exits 1 where something was left out."""
    opened = recovery.open_folder(folder, _slot(passphrase_file, private_key))
    with Console(stderr=True).status("") as status:

        def progress(chain: str, done: Extracted) -> None:
            if done.files % 50 == 0:
                status.update(escape(f"{chain} {done.files:,} files, {done.bytes:,} bytes"))

        done = recovery.extract(
            opened, to, service=service, resource=resource, number=snapshot, progress=progress
        )
    out.print(f"{done.files:,} files, {done.bytes:,} bytes in {escape(str(to))}", soft_wrap=True)
    if done.lost:
        out.print(f"{len(done.lost):,} parts are not there; see {recovery.NOT_RECOVERED}.")
        raise typer.Exit(1)


def _told(report: VerifyReport) -> list[tuple[str, int]]:
    return [(name, report.counts[name]) for name in ("chains", "snapshots", "items", "packs_read")]


def _slot(passphrase_file: Path | None, private_key: Path | None) -> KeySlot:
    if private_key is None:
        return recovery.slot_of(_passphrase(passphrase_file))
    try:
        pem = private_key.read_bytes()
    except OSError as error:
        raise typer.BadParameter("The private key cannot be read.") from error
    password = ""
    if b"ENCRYPTED" in pem:
        password = str(typer.prompt("Password of the private key", hide_input=True))
    return recovery.slot_of(private_pem=pem, password=password)


def _passphrase(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("Recovery passphrase", hide_input=True))
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        raise typer.BadParameter("The passphrase file cannot be read.") from error
