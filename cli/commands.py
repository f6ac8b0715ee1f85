"""The verbs of holdfast: connection, backup, runs, items, restore, export, keys, vault, …"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from base.clock import SystemClock
from base.errors import Problem
from cli.client import Client, below, quoted
from cli.connection import connection
from cli.keys import keys
from cli.upkeep import upkeep
from cli.vault import vault

app = typer.Typer(
    name="holdfast",
    help="Microsoft 365 backup: a client of the API, and recovery without a server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(vault, name="vault")
app.add_typer(keys, name="keys")
app.add_typer(upkeep, name="upkeep")
app.command()(connection)
out = Console()

Org = Annotated[str, typer.Argument(help="id of the organization")]
Service = Annotated[str, typer.Option(help="mail or drive")]
Resource = Annotated[str, typer.Option(help="resource id, as `resources` shows it")]
Snapshot = Annotated[int | None, typer.Option(help="number of the restore point; else the newest")]
Items = Annotated[list[str] | None, typer.Option("--item", help="an item's id; may be repeated")]
Folders = Annotated[list[str] | None, typer.Option("--folder", help="a folder's id; repeatable")]


def main() -> None:
    """Runs the command line; a problem is a sentence and a hint, and exit code 1."""
    try:
        app()
    except Problem as problem:
        Console(stderr=True).print(f"[red]{escape(problem.message)}[/] {escape(problem.hint)}")
        sys.exit(1)


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="HOLDFAST_URL", help="address of the server")
    ] = "http://127.0.0.1:7071",
    token_file: Annotated[
        Path | None, typer.Option(help="a file that holds the token (DATA/admin-token)")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="HOLDFAST_TOKEN", hidden=True, show_envvar=False)
    ] = "",
) -> None:
    """Says where the server is; nothing is asked until a verb needs it."""
    if isinstance(context.obj, Client):
        return  # a test brings its own
    if token_file is not None:
        try:
            token = token_file.read_text("utf-8").strip()
        except OSError as error:
            raise typer.BadParameter("The token file cannot be read.") from error
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    http = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)
    context.obj = Client(http, SystemClock())


@app.command()
def organizations(context: typer.Context) -> None:
    """Lists the organizations."""
    rows = context.obj.all("/organizations")
    _table(rows, {"id": "Id", "name": "Name", "tenant_id": "Tenant", "next_run_at": "Next backup"})


@app.command()
def resources(context: typer.Context, org: Org) -> None:
    """Lists the mailboxes and drives of an organization."""
    rows = context.obj.all(f"{below(org)}/resources")
    _table(
        rows,
        {
            "service": "Service",
            "resource": "Resource",
            "name": "Name",
            "state": "State",
            "items": "Items",
            "head_at": "Newest restore point",
        },
    )


@app.command()
def backup(
    context: typer.Context,
    org: Org,
    wait: Annotated[bool, typer.Option("--wait", help="stay until it has ended")] = False,
) -> None:
    """Starts a backup; with --wait exits 0 only if it ended green or amber."""
    run = context.obj.call("POST", f"{below(org)}/backups")
    _follow(context.obj, org, run, wait)


@app.command()
def runs(
    context: typer.Context,
    org: Org,
    kind: Annotated[str, typer.Option(help="backup, restore, export or verify")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
) -> None:
    """Lists the newest runs."""
    found = islice(context.obj.all(f"{below(org)}/runs", kind=kind), limit)
    columns = {"id": "Run", "state": "State", "started": "Started", "ended": "Ended", "code": "Why"}
    _table(found, columns)


@app.command()
def items(
    context: typer.Context,
    org: Org,
    service: Service,
    resource: Resource,
    snapshot: Snapshot = None,
    folder: Annotated[str, typer.Option(help="id of a folder; else the top one")] = "",
) -> None:
    """Lists a folder of a restore point."""
    rows = context.obj.all(
        f"{below(org)}/items", service=service, resource=resource, snapshot=snapshot, folder=folder
    )
    _table(rows, {"kind": "Kind", "name": "Name", "id": "Id"})


@app.command()
def restore(
    context: typer.Context,
    org: Org,
    service: Service,
    resource: Resource,
    snapshot: Snapshot = None,
    item: Items = None,
    folder: Folders = None,
    target: Annotated[str, typer.Option(help="another resource to restore to")] = "",
    original: Annotated[bool, typer.Option("--original", help="where it lay")] = False,
    conflict: Annotated[str, typer.Option(help="skip, copy or replace")] = "skip",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the plan")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="stay until it has ended")] = False,
) -> None:
    """Restores items, folders or everything; --dry-run shows what it would do."""
    body = {
        "service": service,
        "resource": resource,
        "snapshot": snapshot,
        "items": item or [],
        "folders": folder or [],
        "target": target,
        "place": "original" if original else "folder",
        "conflict": conflict,
        "dry_run": dry_run,
    }
    answer = context.obj.call("POST", f"{below(org)}/restores", body)
    _plan(answer)
    if not dry_run:
        _follow(context.obj, org, answer, wait)


@app.command()
def export(
    context: typer.Context,
    org: Org,
    service: Service,
    resource: Resource,
    snapshot: Snapshot = None,
    item: Items = None,
    folder: Folders = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="write the zip here when it is ready")
    ] = None,
) -> None:
    """Makes a zip of items, folders or everything; with -o waits for it and fetches it."""
    body = {
        "service": service,
        "resource": resource,
        "snapshot": snapshot,
        "items": item or [],
        "folders": folder or [],
    }
    run = context.obj.call("POST", f"{below(org)}/exports", body)
    _follow(context.obj, org, run, wait=output is not None)
    if output is None:
        return
    unfinished = output.with_name(f"{output.name}.unfinished")
    path = f"{below(org)}/exports/{quoted(run['id'])}/archive"
    try:
        with unfinished.open("wb") as file:
            size = context.obj.download(path, file.write)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    out.print(f"{size:,} bytes in {escape(str(output))}")


def _plan(answer: Mapping[str, Any]) -> None:
    plan, wanted = answer["plan"], answer["request"]
    where = "where it lay" if wanted["place"] == "original" else f"folder {wanted['folder_name']}"
    out.print(f"{plan['items']} items, {plan['folders']} folders, {plan['bytes']:,} bytes")
    out.print(escape(f"Target: {wanted['target']}, {where}"), soft_wrap=True)
    if plan["conflicts"] is not None:
        out.print(f"Already there: {plan['conflicts']} ({escape(wanted['conflict'])})")
    for sentence in plan["cannot"]:
        out.print(f"- {escape(sentence)}")


def _follow(client: Client, org: str, run: Mapping[str, Any], wait: bool) -> None:
    out.print(escape(f"{run['id']} {run['state']}"), soft_wrap=True)
    if not wait:
        return
    with Progress(
        TextColumn("{task.fields[state]}"),
        BarColumn(),
        TextColumn("{task.fields[count]} items"),
        console=Console(stderr=True),
    ) as shown:
        task = shown.add_task("", total=None, state="queued", count=0)
        ended = client.finished(org, run["id"], _watch(shown, task))
    out.print(escape(f"{ended['id']} {ended['state']} {ended['code']}".strip()), soft_wrap=True)
    if ended["state"] not in ("green", "amber"):
        raise typer.Exit(1)


def _watch(shown: Progress, task: Any) -> Callable[[Mapping[str, Any]], None]:
    def watch(run: Mapping[str, Any]) -> None:
        resources = run["detail"].get("resources", {})
        ended = sum(n for state, n in resources.items() if state not in ("more", "throttled"))
        total = run["detail"].get("planned") or None
        count = run["counts"].get("items", 0)
        shown.update(task, completed=ended, total=total, state=run["state"], count=count)

    return watch


def _table(rows: Any, columns: Mapping[str, str]) -> None:
    """A table for a person; where the output is no terminal, lines with tabs for a program."""
    if not out.is_terminal:
        for row in rows:
            cells = [str("" if row[key] is None else row[key]) for key in columns]
            typer.echo("\t".join(" ".join(cell.split()) for cell in cells))
        return
    table = Table(*columns.values())
    for row in rows:
        table.add_row(*[escape(str("" if row[key] is None else row[key])) for key in columns])
    out.print(table)
