"""Writes the batches of a planned restore, each item exactly once.

Rule 1: nothing of the target is removed before its replacement is complete and checked (the writers
        keep it).
Rule 2: a batch that runs again adopts or completes what a killed attempt wrote: it knows its own
        writes by a marker on the new item, or, where the service keeps none, by a record of what
        lay there before.
Rule 3: a finished batch is a create-only record with a row per item; a second attempt adopts that
        record.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from base import log
from base.errors import Problem, Throttled
from base.item import Cause, StoredItem, Trouble
from base.messages import BatchWritten, RestorePlanned, RestoreRun, RunClosed, WriteBatch
from engine import patience, runs, throttling, undo
from engine.assembly import App
from engine.browse import View
from engine.holding import holding
from engine.putting_right import put_right
from engine.restore_plan import RestoreRequest, batches, restored_view, selected
from engine.restore_step import RestoreStep
from m365.graph.errors import (
    GraphProblem,
    ItemGone,
    Locked,
    MaybeDone,
    QuotaFull,
    ResourceGone,
    ResourceLocked,
    TransientFailure,
    Unauthorized,
)
from m365.service import (
    Existing,
    Folder,
    FolderFinisher,
    Identity,
    ItemFinisher,
    LongWriter,
    OnConflict,
    Unfinished,
    Writer,
    Written,
)
from vault import Entry

Clashes = dict[str, list[str]]  # by item of the batch: ids of what lay there before


def plan_restore(app: App, request: RestoreRun) -> RestorePlanned:
    """The first step of a restore's story: writes the batches down, sealed and create-only."""
    try:
        repository = app.vault(request.org)
        stored = repository.get_record(f"restore/{request.run}/request")
        if stored is None:
            raise Problem("The request of this restore is missing.")
        if "undo" in stored:
            runs.started(app, request.org, request.run)
            return RestorePlanned("planned", batches=undo.batches(repository, stored["undo"]))
        wanted = RestoreRequest.from_json(stored)
        view = restored_view(app, request.org, wanted)
        count = 0
        planned = batches(selected(view, wanted), wanted.options)
        for number, batch in enumerate(planned):
            repository.put_record(f"restore/{request.run}/batch/{number:06d}", batch)
            count = number + 1
        runs.started(app, request.org, request.run)
        return RestorePlanned("planned", batches=count)
    except Problem as problem:
        if patience.passes(problem):
            return RestorePlanned("throttled", code=problem.code, retry_after_s=patience.WAIT_S)
        return RestorePlanned("failed", code=problem.code)


def write_batch(app: App, request: WriteBatch) -> BatchWritten:
    """Writes one batch, or adopts what an earlier attempt of it finished; one attempt at a time."""
    try:
        with holding(app, request.org, request.run) as insist:
            return _Batch(app, request, insist).write()
    except Unfinished:
        return BatchWritten("more")
    except Throttled as wait:
        return BatchWritten("throttled", retry_after_s=wait.retry_after_s, code=wait.code)
    except Problem as problem:
        if patience.passes(problem):
            return BatchWritten("throttled", retry_after_s=patience.WAIT_S, code=problem.code)
        log.event("batch-failed", org=request.org, run=request.run, code=problem.code)
        runs.note_batch(app, request.org, request.run, request.batch, {}, problem.code)
        return BatchWritten("failed", code=problem.code)


WRITES_MAX = 3  # attempts at one item within a batch; each of them looks before it writes
# The target is gone, locked, full or no longer opens to us: what is left fails without being
# tried.
_ENDS_THE_RESTORE = (ResourceGone, ResourceLocked, QuotaFull, Unauthorized)
# What happened to an item that is whole all the same, as every plan says: Office files that
# SharePoint rewrote, links with a new address.
_NOTES = ("rewritten-by-service", "link-has-new-address", Cause.DERIVED)


class _Batch:
    def __init__(self, app: App, request: WriteBatch, insist: Callable[[], None]) -> None:
        self.app, self.request, self.insist = app, request, insist
        self.repository = app.vault(request.org)
        self.base = f"restore/{request.run}"

    def write(self) -> BatchWritten:
        done_name = f"{self.base}/done/{self.request.batch:06d}"
        done = self.repository.get_record(done_name)
        if done is None:
            if runs.is_cancelled(self.app, self.request.org, self.request.run):
                written = self._step().rows()
                if written:  # by steps before: they belong into the report, and can be undone
                    self.repository.put_record(done_name, written)
                return BatchWritten("cancelled")
            rows = self._rows()
            self.repository.put_record(done_name, rows)
            done = self.repository.get_record(done_name)
        counts = Counter(row["outcome"] for row in done or ())
        counts["incomplete"] = sum(_lacks_something(row) for row in done or ())
        causes = (row["troubles"][0]["cause"] for row in done or () if row["outcome"] == "failed")
        org, run, batch = self.request.org, self.request.run, self.request.batch
        runs.note_batch(self.app, org, run, batch, counts, next(causes, ""))
        return BatchWritten("done", counts=dict(counts))

    def _rows(self) -> list[dict[str, Any]]:
        stored = self.repository.get_record(f"{self.base}/request") or {}
        if "undo" in stored:
            return undo.rows(self.app, self.request.org, stored["undo"], self.request.batch)
        wanted = RestoreRequest.from_json(stored)
        ids = self.repository.get_record(f"{self.base}/batch/{self.request.batch:06d}") or []
        view = restored_view(self.app, self.request.org, wanted)
        entries = [view.entry(item_id) for item_id in ids]
        step = self._step()
        rows = step.rows()
        stopped = self.repository.get_record(f"{self.base}/stopped")
        if stopped is None:
            writer = self.app.restorer(
                self.request.org, wanted.service, wanted.target, wanted.options
            )
            try:
                swaps = self.app.service(wanted.service).swaps
                writing = _Writing(self.request.run, view, writer, wanted, swaps)
                if isinstance(writer, LongWriter):
                    writer.work_in(step)
                self._write(writing, entries, rows, step)
            except _ENDS_THE_RESTORE as problem:
                stopped = {"code": problem.code}
                self.repository.put_record(f"{self.base}/stopped", stopped)
            finally:
                throttling.give_back(self.app, self.request.org, wanted.target)
        rows += [_failed(entry, (stopped or {})["code"]) for entry in entries[len(rows) :]]
        return rows

    def _step(self) -> RestoreStep:
        return RestoreStep(self.app, self.repository, self.request, self.insist)

    def _write(
        self,
        writing: _Writing,
        entries: list[Entry],
        rows: list[dict[str, Any]],
        step: RestoreStep,
    ) -> None:
        """Adds a row per entry that has none yet. Raises Unfinished when the step is over."""
        name = f"{self.base}/before/{self.request.batch:06d}"
        before = self.repository.get_record(name)
        if before is None:
            self.repository.put_record(name, writing.clashes(entries))
        else:
            writing.repeats(before)
        first = len(rows)
        for entry in entries[first:]:
            try:
                if step.is_over() and len(rows) > first:
                    raise Unfinished("The step is over; the batch goes on in the next one.")
                rows.append(writing.write(entry))
            except (Unfinished, Throttled):
                step.keep_rows(first, rows[first:])
                raise


class _Placing:
    """Finds or makes the target folder of a stored folder; every folder is asked for once a
    batch.
    """

    def __init__(self, view: View, writer: Writer, wanted: RestoreRequest) -> None:
        self._view, self._writer, self._wanted = view, writer, wanted
        self._known: dict[str, Folder] = {}
        self._top: Folder | None = None

    def folder(self, stored_id: str) -> Folder:
        """The target folder that stands for a stored one."""
        if stored_id not in self._known:
            self._known[stored_id] = self._place(stored_id)
        return self._known[stored_id]

    def _place(self, stored_id: str) -> Folder:
        entry = self._view.catalog.get(stored_id) if stored_id else None
        if entry is None or not entry.parent:
            return self.top()
        item = self._view.item(stored_id)
        if self._wanted.place == "original":
            original = self._writer.original_folder(item)
            if original is not None:
                return original
        return self._writer.ensure_folder(self.folder(entry.parent), entry.name, item)

    def top(self) -> Folder:
        """Where everything goes under: the resource's root, or the folder made for this restore."""
        if self._top is None:
            root = self._writer.root()
            if self._wanted.place == "folder":
                root = self._writer.ensure_folder(root, self._wanted.folder_name, None)
            self._top = root
        return self._top


class _Writing:
    """Writes items one after another; knows what lies in the target folders it meets."""

    def __init__(
        self, run: str, view: View, writer: Writer, wanted: RestoreRequest, swaps: bool
    ) -> None:
        self._run, self._view, self._writer, self._wanted = run, view, writer, wanted
        self._swaps = swaps
        self._placing = _Placing(view, writer, wanted)
        self._existing: dict[str, list[Existing]] = {}
        self._before: Clashes | None = None  # None in a first attempt
        self._seen_before: Clashes = {}

    def clashes(self, entries: list[Entry]) -> Clashes:
        """Ids in the target that items of the batch collide with, by item; none in a folder of our
        own.
        """
        found: Clashes = {}
        for entry in entries:
            if entry.kind != "folder" and not self._wanted.fresh:
                key = self._writer.identity(self._view.item(entry.id)).key
                present = self._present(self._placing.folder(entry.parent))
                there = [one.id for one in present if one.key == key]
                if there:
                    found[entry.id] = there
        self._seen_before = found
        return found

    def repeats(self, before: Clashes) -> None:
        """Says that an earlier attempt may have written something, and what it had found there."""
        self._before = before

    def write(self, entry: Entry) -> dict[str, Any]:
        """One row of the report: id, outcome, the new id, troubles."""
        for attempt in range(1, WRITES_MAX + 1):
            try:
                return _row(entry, self._written(entry))
            except (Throttled, Unfinished, *_ENDS_THE_RESTORE):
                raise
            except (TransientFailure, MaybeDone) as problem:
                if attempt == WRITES_MAX:
                    return _failed(entry, problem.code, problem.graph_code)
                # It may have been written all the same: look before writing again.
                self.repeats(self._before if self._before is not None else self._seen_before)
                self._existing.clear()
            except GraphProblem as problem:
                if isinstance(problem, (Locked, ItemGone)):
                    self._writer.root()  # raises where it is the whole target
                return _failed(entry, problem.code, problem.graph_code)
        raise AssertionError("the last attempt returns")

    def _written(self, entry: Entry) -> Written:
        if entry.kind != "folder":
            return self._write(self._view.item(entry.id), self._placing.folder(entry.parent))
        folder = self._placing.folder(entry.id)
        troubles = folder.troubles
        if isinstance(self._writer, FolderFinisher):
            troubles += self._writer.finish_folder(self._view.item(entry.id), folder)
        return Written(folder.id, "folder", troubles)

    def _write(self, item: StoredItem, into: Folder) -> Written:
        marker = _marker(self._run, item.id)
        present = self._present(into)
        conflict = OnConflict(self._wanted.conflict)
        identity = self._writer.identity(item)
        mine = next((one for one in present if one.marker == marker), None)
        if mine is not None and not mine.complete:
            self._writer.remove(mine.id)
            mine = None
        others = [
            one
            for one in present
            if one.key == identity.key and not one.marker.startswith(self._run)
        ]
        if mine is not None:
            return self._adopted(item, mine, others, conflict)
        ours = next((one for one in others if self._is_new(one, identity)), None)
        before = (self._before or {}).get(item.id, [])
        if ours is not None and not self._writer.keeps_markers:
            swapped = before and conflict is OnConflict.REPLACE
            outcome = "replaced" if swapped else "created"
            return Written(ours.id, outcome, self._finished(item, ours))
        if ours is not None and not any(one.marker.startswith(self._run) for one in present):
            # The target may be hiding our markers: better nothing than the same mail twice.
            unsure = Trouble(item.id, "item", "perhaps-written-before", retry=False)
            return Written(ours.id, "skipped", (unsure,))
        clash = others[0] if others else None
        if clash is not None and self._swaps and self._came_since(clash):
            # A twin that an earlier attempt wrote, or somebody: neither skipped for nor replaced.
            return self._writer.write(item, into, marker, None, new_name=True)
        if clash is None and before and self._swaps and conflict is OnConflict.REPLACE:
            # A killed attempt may have taken it away already.
            clash = Existing(before[0], identity.key, "")
        if clash is not None and conflict is OnConflict.SKIP:
            return Written(clash.id, "skipped")
        replace = clash if conflict is OnConflict.REPLACE else None
        return self._writer.write(
            item, into, marker, replace, new_name=clash is not None and not replace
        )

    def _is_new(self, clash: Existing, identity: Identity) -> bool:
        """Whether it is the same content, without a marker, there now and not before the first
        attempt.
        """
        same = not clash.marker and clash.same == identity.same
        return same and self._came_since(clash)

    def _came_since(self, clash: Existing) -> bool:
        """Whether it was not there before the first attempt; false in a first one."""
        if self._before is None:
            return False
        return all(clash.id not in ids for ids in self._before.values())

    def _adopted(
        self, item: StoredItem, mine: Existing, others: list[Existing], conflict: OnConflict
    ) -> Written:
        """A killed attempt wrote the item; what it had yet to replace is replaced now."""
        troubles = self._finished(item, mine)
        if conflict is OnConflict.REPLACE and others:
            self._writer.remove(others[0].id)
            return Written(mine.id, "replaced", troubles)
        return Written(mine.id, "created", troubles)

    def _finished(self, item: StoredItem, there: Existing) -> tuple[Trouble, ...]:
        """What an item that a killed attempt wrote cannot be given any more."""
        if isinstance(self._writer, ItemFinisher):
            return self._writer.finish_item(item, there.id)
        return ()

    def _present(self, into: Folder) -> list[Existing]:
        """What lies in a folder; a folder made for this restore is only looked into by a repeated
        batch.
        """
        if self._wanted.fresh and self._before is None:
            return []
        if into.id not in self._existing:
            self._existing[into.id] = list(self._writer.existing(into))
        return self._existing[into.id]


def _lacks_something(row: dict[str, Any]) -> bool:
    """Whether an item came back less than whole; what the service changes or makes by itself does
    not count.
    """
    return any(trouble["cause"] not in _NOTES for trouble in row["troubles"])


def _failed(entry: Entry, cause: str, detail: str = "") -> dict[str, Any]:
    trouble = Trouble(entry.id, "item", cause, retry=False, detail=detail)
    return _row(entry, Written("", "failed", (trouble,)))


def _marker(run: str, item_id: str) -> str:
    return f"{run}:{hashlib.sha256(item_id.encode()).hexdigest()[:24]}"


def _row(entry: Entry, written: Written) -> dict[str, Any]:
    return {
        "id": entry.id,
        "kind": entry.kind,
        "name": entry.name,
        "outcome": written.outcome,
        "new_id": written.id,
        "troubles": [asdict(trouble) for trouble in written.troubles],
    }


def close_restore(app: App, request: RestoreRun) -> RunClosed:
    """Puts right what the restore leaves, then adds it up: green when every item was written or
    rightly skipped, else amber or red.
    """
    return runs.close_restore(app, replace(request, code=request.code or put_right(app, request)))
