"""Takes a restore back: removes the items it created and nothing else. What it replaced stays
replaced, except where the replacement took the old item's place: then it goes too, and the row says
that the old one lies in the recycle bin, which no application can take it out of.

An undo is a run of its own with the same batches as the restore it takes back; the rows of that
restore's report say what to remove. Removed items go to Deleted Items or the recycle bin. Folders
stay: somebody may have put something into them since.
"""

from __future__ import annotations

from typing import Any

from base.errors import Conflict
from base.item import Trouble
from engine import throttling
from engine.assembly import App
from engine.restore_plan import RestoreRequest
from m365.graph.errors import GraphProblem
from m365.service import Writer
from vault import Repository

_MADE = ("created", "copied")
_IN_THE_BIN = Trouble("", "item", "replaced-one-in-recycle-bin", retry=False)


class NotUndoable(Conflict):
    """The run is not a restore that has ended."""

    code = "not-undoable"
    hint = "Only a restore that has ended can be undone, and an undo cannot."


def request_of(app: App, org: str, run: str) -> dict[str, Any]:
    """The sealed request of an undo. Raises NotUndoable."""
    record = app.runs.get(org, run)
    stored = app.vault(org).get_record(f"restore/{run}/request")
    if record is None or not record.over or stored is None or "undo" in stored:
        raise NotUndoable("This run cannot be undone.")
    return {"undo": run}


def batches(repository: Repository, run: str) -> int:
    """How many finished batches a restore has."""
    return sum(1 for _ in repository.list_records(f"restore/{run}/done/"))


def rows(app: App, org: str, undone: str, batch: int) -> list[dict[str, Any]]:
    """Removes what one batch created; a row per item. An item that is gone already is fine."""
    repository = app.vault(org)
    names = list(repository.list_records(f"restore/{undone}/done/"))
    wanted = RestoreRequest.from_json(repository.get_record(f"restore/{undone}/request") or {})
    writer = app.restorer(org, wanted.service, wanted.target)
    swaps = app.service(wanted.service).swaps
    try:
        return [
            _taken_back(writer, row, swaps) for row in repository.get_record(names[batch]) or ()
        ]
    finally:
        throttling.give_back(app, org, wanted.target)


def _taken_back(writer: Writer, row: dict[str, Any], swaps: bool) -> dict[str, Any]:
    outcome, troubles = "kept", []
    swapped = swaps and row["outcome"] == "replaced"
    if (swapped or row["outcome"] in _MADE) and row["new_id"]:
        try:
            writer.remove(row["new_id"])
            outcome = "removed"
            troubles = [_IN_THE_BIN] if swapped else []
        except GraphProblem as problem:
            outcome = "failed"
            troubles = [Trouble(row["id"], "item", problem.code, retry=False)]
    return {**row, "outcome": outcome, "troubles": [{"cause": t.cause} for t in troubles]}
