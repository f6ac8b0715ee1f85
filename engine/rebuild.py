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

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base import log
from base.clock import parse_iso
from base.errors import Problem
from base.ids import new_run_id
from base.item import Trouble
from base.messages import Message
from engine import audit, runs
from engine.assembly import App
from engine.mirror import kept_names, kept_row, newest_version
from engine.patience import WAIT_S, passes
from engine.resources import mirror_of
from m365 import SERVICES
from state.names import ORGANIZATIONS
from state.organizations import ALL
from state.port import RowExists
from state.resources import ResourceRow
from state.runs import Run
from vault import Entry, Repository, Snapshot

KIND = "rebuild"
ROWS, CHAINS, CHUNKS = "rows", "chains", "chunks"
AUDIT_ALTERED = "audit-altered"  # a row is not what the vault keeps of it
_PACKS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class RebuildRun(Message):
    """Starts the story of one organization's rebuild; `next` is a position."""

    org: str
    run: str
    next: str = f"{ROWS}:0:"


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


def tables_lost(app: App) -> bool:
    """Whether there is no organization, yet a vault of one that was not deleted; logged if so.

    Costs a listing of vaults where there is no organization, else one read.
    """
    if app.organizations.page(limit=1).items:
        return False
    for org in app.vaults():
        try:
            if newest_version(app.vault(org)).values is None:
                continue
        except Problem as problem:  # a rebuild says the same, and people should hear of it
            log.event("vault-not-opened", org=org, code=problem.code)
        log.event("tables-lost", level=logging.WARNING, hint="holdfast upkeep rebuild")
        return True
    return False


def rebuild_slice(app: App, request: RebuildRun) -> dict[str, Any]:
    """Does the next part of a rebuild. Answers {"state": more|done|throttled|failed|cancelled,
    "next", "code", "retry_after_s"}.
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
        proof = audit.check(app, org)
        runs.close(
            app,
            org,
            run,
            "green" if proof.intact and not work.lost else "amber",
            counts={"lost": work.lost},
            code="" if proof.intact else AUDIT_ALTERED,
            detail={} if proof.intact else {"entry": proof.broken_at, "reason": proof.reason},
        )
        return {"state": "done", "code": ""}
    except Problem as problem:
        if passes(problem):
            return {
                "state": "throttled",
                "next": request.next,
                "code": problem.code,
                "retry_after_s": WAIT_S,
            }
        runs.close(app, org, run, "red", code=problem.code)
        return {"state": "failed", "code": problem.code}


def _brought_back(app: App, org: str) -> bool:
    """Writes an organization's row from its vault; False where it was deleted or never kept."""
    newest = newest_version(app.vault(org))
    if newest.values is None:
        return False
    with suppress(RowExists):
        app.unmirrored.insert(ORGANIZATIONS, ALL, org, newest.values)
    return True


class _Rebuild:
    """One slice over one organization. Positions are "phase:lost so far:done through"."""

    def __init__(self, app: App, org: str, more: Callable[[], bool]) -> None:
        self._app, self._org, self._more = app, org, more
        self._vault: Repository = app.vault(org)
        self.lost = 0

    def run(self, position: str) -> str:
        """Goes on from a position; answers where to go on, "" at the end."""
        phase, lost, after = position.split(":", 2)
        self.lost = int(lost)
        if phase == ROWS:
            phase, after = self._rows(after)
        elif phase == CHAINS:
            phase, after = self._chains(after)
        else:
            phase, after = self._chunks(after)
        return f"{phase}:{self.lost}:{after}" if phase else ""

    def _rows(self, after: str) -> tuple[str, str]:
        if not after:
            self._app.tables.keep_organization(self._org)  # its writer may have died before
        for name in kept_names(self._vault, after):
            with self._counting_loss("rebuild-row-left-out"):
                row = kept_row(self._vault, name)
                if row.values is not None:
                    with suppress(RowExists):
                        self._app.unmirrored.insert(row.table, self._org, row.key, row.values)
            if not self._more():
                return ROWS, name
        return CHAINS, ""

    def _chains(self, after: str) -> tuple[str, str]:
        behind, opened = not after, 0
        for chain in self._vault.chains():
            opened += 1
            if behind:
                with self._counting_loss("rebuild-chain-left-out"):
                    self._chain(chain)
                if not self._more():
                    return CHAINS, chain
            behind = behind or chain == after
        if not behind:
            return CHAINS, ""  # the one that was done last does not open any more
        names = self._app.store(self._org).list("s/")
        there = {listed.name.rpartition("/")[0] for listed in names}
        if len(there) > opened:  # nothing of them opens, not even their name
            self.lost += len(there) - opened
            log.event("rebuild-chains-unreadable", org=self._org, chains=len(there) - opened)
        return CHUNKS, ""

    @contextmanager
    def _counting_loss(self, event: str) -> Iterator[None]:
        """What does not open is counted, and a verification names it; a busy storage is no loss."""
        try:
            yield
        except Problem as problem:
            if passes(problem):
                raise
            self.lost += 1
            log.event(event, org=self._org, code=problem.code)

    def _chain(self, chain: str) -> None:
        """A resource's row and its rows of the ledger, from its newest restore point.

        The ledger first: the row says that both are there.
        """
        service, _, resource = chain.partition("/")
        with self._counting_loss("rebuild-newest-left-out"):
            self._vault.snapshot(chain, self._vault.numbers(chain)[-1])
        head = self._vault.head(chain)
        if head is None or service not in SERVICES:
            return
        before = self._app.resources.get(self._org, service, resource)
        if before is not None and before.head >= head.number:
            return
        _, sha256 = self._vault.stored_snapshot(chain, head.number)
        catalog, at = self._vault.catalog(head), parse_iso(head.created)
        self._ledger(service, resource, head.by, catalog.items(), at)
        known = mirror_of(self._vault, head, sha256)
        if before is None:
            try:
                self._app.resources.create(known(self._described(service, resource, head)))
                return
            except RowExists:
                pass  # a plan was faster
        self._app.resources.change(self._org, service, resource, known)

    def _described(self, service: str, resource: str, head: Snapshot) -> ResourceRow:
        return ResourceRow(
            org=self._org,
            service=service,
            resource=resource,
            kind=SERVICES[service].resource_kind,
            name=str(head.about.get("title", "")),
            address=str(head.about.get("address", "")),
            last_run=head.by,
            last_outcome="done",
            verified_at=parse_iso(head.created),
            facts=dict(head.about.get("facts", {})),
        )

    def _ledger(
        self, service: str, resource: str, run: str, entries: Iterator[Entry], at: datetime
    ) -> None:
        known = {(row.item, row.part) for row in self._app.ledger.all(self._org, service, resource)}
        troubles = [
            trouble
            for entry in entries
            for trouble in _troubles(entry)
            if (trouble.item_id, trouble.part) not in known
        ]
        self._app.ledger.note(self._org, service, resource, troubles, run=run, now=at)

    def _chunks(self, after: str) -> tuple[str, str]:
        for through in self._vault.index_packs(after, _PACKS_AT_ONCE):
            if not self._more():
                return CHUNKS, through
        return "", ""


def _troubles(entry: Entry) -> Iterator[Trouble]:
    """What an entry keeps of its troubles: "part: cause"."""
    for missing in entry.facts.get("missing", ()):
        part, _, cause = missing.rpartition(": ")
        yield Trouble(entry.id, part, cause, retry=bool(entry.facts.get("retry", False)))
