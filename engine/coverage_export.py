"""The coverage statement as a file: CSV for a spreadsheet, JSON for a program; row by row, so that
thousands of sites need no memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from engine import coverage
from engine.assembly import App
from engine.coverage_rows import Wanted
from formats.sheet import csv_lines

HEAD = (
    "kind", "name", "address", "state", "why", "since", "last restore point", "last checked",
    "items", "owner", "owner's kind", "services", "codes", "id", "resource",
)  # fmt: skip


def as_csv(app: App, org: str, wanted: Wanted) -> Iterator[bytes]:
    """A row for every owner and thing, with the reasons in words."""
    return csv_lines(HEAD, map(_cells, coverage.everything(app, org, wanted)))


def as_json(app: App, org: str, wanted: Wanted) -> Iterator[bytes]:
    """The statement with all its rows in it."""
    head = coverage.statement(app, org, limit=1)
    del head["rows"], head["next"]
    return _pieces(head, coverage.everything(app, org, wanted))


def _pieces(head: dict[str, Any], rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    yield json.dumps(head).removesuffix("}").encode() + b', "rows": ['
    for number, row in enumerate(rows):
        yield (b",\n" if number else b"\n") + json.dumps(row).encode()
    yield b"\n]}\n"


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["kind"],
        row["name"],
        row["address"],
        row["state"],
        " ".join(_said(reason) for reason in row["reasons"]),
        row["since"],
        row["last"],
        row["checked"],
        row["items"],
        row["owner"]["name"],
        row["owner"]["kind"],
        ", ".join(one["title"] for one in row["services"]) or row["service"],
        ", ".join(dict.fromkeys(reason["code"] for reason in row["reasons"])),
        row["id"],
        row["resource"],
    )


def _said(reason: dict[str, Any]) -> str:
    return f"{reason['about']}: {reason['sentence']}" if reason["about"] else reason["sentence"]
