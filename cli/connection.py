"""The connection test for a terminal: what works per service, what is missing, what to see to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from cli.client import below


def connection(
    context: typer.Context,
    org: Annotated[str, typer.Argument(help="id of the organization")],
) -> None:
    """Tests both applications; exits 0 only if all that the policy names works."""
    found = context.obj.call("POST", f"{below(org)}/connection-test")
    for line in lines(found):
        typer.echo(line)
    if not found["ok"]:
        raise typer.Exit(1)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A connection test's answer as lines of text."""
    yield "The connection works." if found["ok"] else "The connection does not work yet."
    for name in ("backup", "restore"):
        problem = (found[name] or {}).get("problem")
        if problem:
            number = problem["details"].get("aadsts", "")
            code = " ".join(filter(None, (problem["code"], number)))
            yield f"{name.capitalize()} application: {problem['message']} ({code})"
            yield f"  {problem['hint']}"
    for one in found["services"]:
        aside = "" if one["protected"] else " (not in the policy)"
        yield f"{one['title']}{aside}"
        for name in ("backup", "restore"):
            yield f"  {name + ':':9}{one[name]['state']}. {one[name]['says']}"
            for needed, wider in one[name]["covered_by"].items():
                yield f"  {'':9}{needed} is covered by the wider {wider}."
    for one in found["warnings"]:
        yield f"{one['level'].capitalize()}: {one['message']}"
        if one["hint"]:
            yield f"  {one['hint']}"
