"""holdfast keys: who opens an organization's vault, rotation, the recovery kit, the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import below, quoted

keys = typer.Typer(
    help="The keys of an organization: slots, rotation, recovery kit, crypto-shredding.",
    no_args_is_help=True,
)

Org = Annotated[str, typer.Argument(help="id of the organization")]
KeepMaster = Annotated[
    bool,
    typer.Option("--keep-master", help="do not ask for the passphrases of slots that stay"),
]
_STAY = "Passphrase of a recovery slot that stays (empty: none)"


@keys.command()
def show(context: typer.Context, org: Org) -> None:
    """Lists slots and data keys; exits 1 where no recovery slot is."""
    found = context.obj.call("GET", f"{below(org)}/keys")
    _listed(found)
    if not found["recovery"]:
        typer.echo("No recovery slot: no backup starts.", err=True)
        raise typer.Exit(1)


@keys.command()
def rotate(
    context: typer.Context,
    org: Org,
    layer: Annotated[str, typer.Argument(help="data or slots")],
    keep_master: KeepMaster = False,
) -> None:
    """Makes a fresh data key, or wraps a fresh master secret for every slot."""
    body = {"layer": layer, **(_terms(keep_master) if layer == "slots" else {})}
    _changed(context.obj.call("POST", f"{below(org)}/keys/rotate", body))


@keys.command(name="add-slot")
def add_slot(
    context: typer.Context,
    org: Org,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM of an offline RSA key instead of a passphrase")
    ] = None,
    key_vault: Annotated[str, typer.Option(help="address of a Key Vault key instead")] = "",
    service: Annotated[bool, typer.Option("--service", help="for the service itself")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="ask for the passphrase, make none")] = False,
    replaces: Annotated[str, typer.Option(help="id of a slot that goes")] = "",
    keep_master: KeepMaster = False,
) -> None:
    """Adds a slot; a made passphrase is printed once, with a kit to keep."""
    body: dict[str, Any] = {
        "kind": "passphrase",
        "purpose": "service" if service else "recovery",
        "replaces": replaces,
        **(_terms(keep_master) if replaces else {}),
    }
    if public_key is not None:
        try:
            body |= {"kind": "public-key", "public_key": public_key.read_text("utf-8")}
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter("The public key cannot be read.") from error
    elif key_vault:
        body |= {"kind": "azure-key-vault", "key_id": key_vault}
    elif ask or service:
        body["passphrase"] = typer.prompt(
            "New passphrase", hide_input=True, confirmation_prompt=True
        )
    answer = context.obj.call("POST", f"{below(org)}/keys/slots", body)
    _changed(answer)
    if answer["recovery_kit"]:
        typer.echo(f"\n{answer['recovery_kit']}")


@keys.command(name="drop-slot")
def drop_slot(
    context: typer.Context,
    org: Org,
    slot: Annotated[str, typer.Argument(help="id of the slot, as `show` lists it")],
    keep_master: KeepMaster = False,
) -> None:
    """Takes a slot away: never the last one for recovery, never the service's own."""
    path = f"{below(org)}/keys/slots/{quoted(slot)}"
    _changed(context.obj.call("DELETE", path, _terms(keep_master)))


@keys.command()
def kit(
    context: typer.Context,
    org: Org,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="write the page to print (HTML) here")
    ] = None,
) -> None:
    """Prints the recovery kit, or writes the page to print it from."""
    blocks: list[bytes] = []
    form = "text" if output is None else "html"
    context.obj.download(f"{below(org)}/keys/recovery-kit?form={form}", blocks.append)
    page = b"".join(blocks)
    if output is None:
        typer.echo(page.decode())
    else:
        output.write_bytes(page)


@keys.command()
def shred(
    context: typer.Context,
    org: Org,
    confirm: Annotated[str, typer.Option(help="the id of the organization once more")] = "",
) -> None:
    """Destroys every key of the organization: nothing opens its vault ever after."""
    if not confirm:
        confirm = str(typer.prompt("This cannot be undone. Type the organization's id"))
    answer = context.obj.call("POST", f"{below(org)}/keys/shred", {"confirm": confirm})
    typer.echo(f"{len(answer['removed'])} key files destroyed, {len(answer['left'])} kept.")
    for sentence in answer["remaining"]:
        typer.echo(f"- {sentence}")
    if not answer["shredded"]:
        raise typer.Exit(1)


def _terms(keep_master: bool) -> dict[str, Any]:
    """Asks for the passphrases of slots that stay; secrets are never options of a command."""
    if keep_master:
        return {"keep_master": True}
    given = str(typer.prompt(_STAY, default="", hide_input=True, show_default=False))
    return {"passphrases": [given] if given else []}


def _changed(answer: Mapping[str, Any]) -> None:
    _listed(answer)
    for sentence in answer["notes"]:
        typer.echo(f"- {sentence}")


def _listed(found: Mapping[str, Any]) -> None:
    """One line a slot, one a data key, with tabs: for people and programs."""
    for slot in found["slots"]:
        mark = "in use" if slot["in_use"] else ""
        cells = [slot[name] for name in ("id", "kind", "purpose", "created")]
        typer.echo("\t".join([*cells, slot["key_id"] or slot["fingerprint"][:16], mark]).rstrip())
    for key in found["data_keys"]:
        typer.echo(f"data key {key['kid']}\t{key['state']}\t{key['created']}")
