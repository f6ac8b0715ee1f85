"""Makes the tables anew from the vaults' blobs: delete every table, rebuild, nothing is missing.

Read off the vault: mirrored rows as they were; resources and their newest restore points from
snapshots; the ledger from the newest catalogs; the duplicate look-up from the directories of packs.
Not rebuilt, because nothing needs it after a run is over: leases, work lists, progress of steps.
A row that is there is newer than the vault's word for it and stays as it is, so a rebuild beside
running backups, or a second one, changes nothing.

Rule: look-up rows of condemned packs are never made. The collector's log is read before every
batch, and a batch is written within the vault's t_max_s (the collector's wait counts on it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from base import log
from base.clock import parse_iso
from base.errors import Problem
from base.ids import new_run_id
from base.item import Trouble
from base.messages import Message
from engine import runs
from engine.assembly import App
from engine.mirror import kept_rows
from m365 import SERVICES
from state.names import ORGANIZATIONS
from state.organizations import ALL
from state.port import RowExists
from state.resources import ResourceRow
from state.runs import Run
from vault import Repository

KIND = "rebuild"
ROWS, CHAINS, CHUNKS = "rows", "chains", "chunks"
_PACKS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class RebuildRun(Message):
    """Starts the story of one organization's rebuild; `next` is "phase:position"."""

    org: str
    run: str
    next: str = f"{ROWS}:"


def request_rebuild(app: App, by: str) -> list[RebuildRun]:
    """Finds every vault, brings back the organizations that have no row, and writes a rebuild down
    for each. A vault that does not open is left out and logged.
    """
    found: list[RebuildRun] = []
    for org in app.vaults():
        try:
            if app.organizations.get(org) is None and not _brought_back(app, org):
                continue  # it was deleted
            run = new_run_id(KIND, app.clock.now())
            app.runs.create(Run(org, run, KIND, "queued", app.clock.now(), by))
            found.append(RebuildRun(org, run))
        except Problem as problem:
            log.event("rebuild-left-out", org=org, code=problem.code)
    return found


def rebuild_slice(app: App, request: RebuildRun) -> dict[str, Any]:
    """Does the next part of a rebuild. Answers {"state": more|done|failed|cancelled, "next",
    "code"}.
    """
    org, run = request.org, request.run
    try:
        if runs.is_cancelled(app, org, run):
            return {"state": "cancelled", "code": ""}
        runs.started(app, org, run)
        runs.heartbeat(app, org, run)
        ends = app.clock.monotonic() + app.settings.step_seconds
        work = _Rebuild(app, org, lambda: app.clock.monotonic() < ends)
        after = work.run(request.next)
        if after:
            return {"state": "more", "next": after, "code": ""}
        runs.close(app, org, run, "amber" if work.lost else "green", counts={"lost": work.lost})
        return {"state": "done", "code": ""}
    except Problem as problem:
        runs.close(app, org, run, "red", code=problem.code)
        return {"state": "failed", "code": problem.code}


def _brought_back(app: App, org: str) -> bool:
    """Writes an organization's row from its vault; False where it was deleted or never kept."""
    first = next(iter(kept_rows(app.vault(org))), None)
    if first is None or first.table != ORGANIZATIONS or first.values is None:
        return False
    with suppress(RowExists):
        app.unmirrored.insert(ORGANIZATIONS, ALL, org, first.values)
    return True


class _Rebuild:
    """One slice over one organization."""

    def __init__(self, app: App, org: str, more: Callable[[], bool]) -> None:
        self._app, self._org, self._more = app, org, more
        self._vault: Repository = app.vault(org)
        self.lost = 0

    def run(self, position: str) -> str:
        """Goes on from "phase:after"; answers where to go on, "" at the end."""
        phase, _, after = position.partition(":")
        if phase == ROWS:
            self._rows()
            return f"{CHAINS}:"
        if phase == CHAINS:
            return self._chains(after)
        return self._chunks(after)

    def _rows(self) -> None:
        for row in kept_rows(self._vault):
            if row.table != ORGANIZATIONS and row.values is not None:
                with suppress(RowExists):
                    self._app.unmirrored.insert(row.table, self._org, row.key, row.values)

    def _chains(self, after: str) -> str:
        behind = not after
        for chain in self._vault.chains():
            if behind:
                try:
                    self._chain(chain)
                except Problem as problem:  # a verification names it
                    self.lost += 1
                    log.event("rebuild-chain-left-out", org=self._org, code=problem.code)
                if not self._more():
                    return f"{CHAINS}:{chain}"
            behind = behind or chain == after
        return f"{CHUNKS}:"

    def _chain(self, chain: str) -> None:
        """A resource's row and its rows of the ledger, from its newest restore point."""
        service, _, resource = chain.partition("/")
        head = self._vault.head(chain)
        if head is None or service not in SERVICES:
            return
        _, sha256 = self._vault.stored_snapshot(chain, head.number)
        catalog, at = self._vault.catalog(head), parse_iso(head.created)
        before = self._app.resources.get(self._org, service, resource)
        about = head.about
        fresh = before or ResourceRow(
            org=self._org,
            service=service,
            resource=resource,
            kind=SERVICES[service].resource_kind,
            name=str(about.get("title", "")),
            address=str(about.get("address", "")),
            last_run=head.by,
            last_outcome="done",
            verified_at=at,
            facts=dict(about.get("facts", {})),
        )
        if fresh.head < head.number:
            fresh = replace(
                fresh,
                head=head.number,
                head_sha256=sha256,
                head_at=at,
                items=catalog.total,
                cursor_stored_at=at,
            )
            self._app.resources.put_many([fresh])
        if before is None:
            self._ledger(service, resource, head.by, catalog.items(), at)

    def _ledger(
        self, service: str, resource: str, run: str, entries: Iterator[Any], at: Any
    ) -> None:
        troubles = [
            Trouble(
                entry.id, *_part_and_cause(missing), retry=bool(entry.facts.get("retry", False))
            )
            for entry in entries
            for missing in entry.facts.get("missing", ())
        ]
        self._app.ledger.note(self._org, service, resource, troubles, run=run, now=at)

    def _chunks(self, after: str) -> str:
        for through in self._vault.index_packs(after, _PACKS_AT_ONCE):
            if not self._more():
                return f"{CHUNKS}:{through}"
        return ""


def _part_and_cause(missing: str) -> tuple[str, str]:
    """What entries keep of a trouble: "part: cause"."""
    part, _, cause = missing.rpartition(": ")
    return part, cause
