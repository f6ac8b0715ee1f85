"""holdfast upkeep: rebuild lost tables, collect garbage."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import below

upkeep = typer.Typer(
    help="What keeps an installation in order: rebuild lost tables, collect garbage.",
    no_args_is_help=True,
)


@upkeep.command()
def rebuild(context: typer.Context) -> None:
    """Makes all tables anew from the vaults; what is there stays. Watch the runs it names."""
    found = context.obj.call("POST", "/rebuilds")["rebuilds"]
    for one in found:
        typer.echo(f"{one['organization']}\t{one['run']}")
    if not found:
        typer.echo("There is no vault to rebuild from.", err=True)
        raise typer.Exit(1)


@upkeep.command()
def collect(
    context: typer.Context,
    org: Annotated[str, typer.Argument(help="id of the organization")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would do")] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="may delete more than a tenth of the vault at once")
    ] = False,
) -> None:
    """Removes restore points that retention gives up, and later what nothing needs."""
    body = {"dry_run": dry_run, "confirmed": confirm}
    typer.echo(context.obj.call("POST", f"{below(org)}/collections", body)["id"])
