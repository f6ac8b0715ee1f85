"""Pages of changes from a service into the vault, resumable at every page.

Rule 1: data and the link that covers it commit together, in one page manifest; links are only ever
        read from committed manifests (the vault keeps these rules).
Rule 2: a step may run twice, run beside its ghost or die anywhere: page names come from the vault's
        own count, so the loser of a race adopts the winner's page and goes on from there.
Rule 3: a resource without changes writes nothing, save a refresh of its links before they could
        expire.
Rule 4: a feed is not believed for ever: counts are compared on a schedule (engine/reconcile.py);
        where they differ a second round of the same run reads that feed from nothing.
Rule 5: parts that may follow (mail's MIME) are copied by steps of their own, once every resource of
        the run has had its feeds read, into a round of their own: what the feeds brought is a
        restore point by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from functools import cached_property

from base import log
from base.clock import parse_iso
from base.errors import Problem, Throttled
from base.messages import Drain, Drained
from engine import audit, ledger, patience, policies, reconcile, resources, runs
from engine.assembly import App, OrganizationShredded
from engine.backlog import Backlog, feeds_of
from engine.copying import Copier
from m365 import SERVICES
from m365.graph.errors import Forbidden, ResourceGone, ResourceLocked, Unauthorized
from m365.graph.throttle import Purpose
from m365.service import Source
from vault import (
    Repository,
    Round,
    RoundLost,
    RoundOutOfOrder,
    StepTooOld,
    VaultDamaged,
)

_ROUNDS_MAX = 100  # how far a stale plan may lie behind; more means the vault and the plan disagree


class _StepOver(Exception):
    """The step's time is up, or another attempt is ahead; the next step goes on from the vault."""


class _Cancelled(Exception):
    """Somebody cancelled the run."""


def drain(app: App, request: Drain) -> Drained:
    """Copies changes of one service of one resource until they end or the step's time is up."""
    work = _Work(app, request)
    state, wait_s, code = work.outcome()
    answer = Drained(state, wait_s, code, {k: n for k, n in work.counts.items() if n})
    try:
        resources.note_step(app, request, answer)
    except OrganizationShredded as gone:  # there is nothing to wait for
        answer = Drained("failed", 0.0, gone.code)
    except Problem as problem:  # nothing is lost: a repeated step finds its work done
        answer = Drained("throttled", patience.WAIT_S, problem.code)
    log.event(
        "step-ended",
        org=request.org,
        run=request.run,
        service=request.service,
        state=answer.state,
        code=answer.code,
        **answer.counts,
    )
    return answer


class _Work:
    """One step: the round it builds on, the copier, and the budget."""

    def __init__(self, app: App, request: Drain) -> None:
        self.app = app
        self.request = request
        self.counts: Counter[str] = Counter()
        self.deadline = app.clock.monotonic() + app.settings.step_seconds
        self.chain = resources.chain(request.service, request.resource)

    def outcome(self) -> tuple[str, float, str]:
        """State, seconds to wait, and the code of what went wrong."""
        try:
            return self._run(), 0.0, ""
        except Throttled as wait:
            return "throttled", wait.retry_after_s, wait.code
        except (_StepOver, StepTooOld, RoundLost):
            return "more", 0.0, ""
        except _Cancelled:
            return "cancelled", 0.0, ""
        except (Unauthorized, Forbidden) as refused:
            if SERVICES[self.request.service].refusable:
                return "refused", 0.0, refused.code
            return self._failed(refused)
        except ResourceGone as gone:
            return "gone", 0.0, gone.code
        except ResourceLocked as locked:
            return "locked", 0.0, locked.code
        except Problem as problem:
            if patience.passes(problem):
                return "throttled", patience.WAIT_S, problem.code
            return self._failed(problem)

    def _failed(self, problem: Problem) -> tuple[str, float, str]:
        log.event("step-failed", org=self.request.org, run=self.request.run, code=problem.code)
        return "failed", 0.0, problem.code

    def _run(self) -> str:
        self._still_wanted()
        repository = self.app.vault(self.request.org)
        round_ = self._open_round(repository)
        if round_ is None:
            return "done"
        self.round = round_
        # A step that died behind its commit left them out of the ledger.
        ledger.note(self.app, self.request, ledger.of_page(round_.troubles), ())
        if round_.complete:
            return self._close()
        first = round_.parent is None or self.request.follow_up
        purpose = Purpose.FIRST if first else Purpose.BACKUP
        reader = self.app.reader(self.request.org, purpose=purpose)
        org, service = self.request.org, self.request.service
        chosen = policies.choices(self.app, org, service)
        resource = resources.resource_of(self.request.resource)
        source = SERVICES[service].source(reader, resource, **chosen)
        self.copier = Copier(repository, source, round_, self._left_out)
        try:
            return self._follow(source)
        finally:
            self.copier.close()
            reader.finish()
            self.counts["requests"] += reader.counters.requests

    def _open_round(self, repository: Repository) -> Round | None:
        """The round to build; None where this very run has closed it (a ghost, or a retried step).

        The planned number may be stale: the record of the newest snapshot is only a cache, and a
        step that died right after closing left it behind. A round closed by another run is history:
        go on.
        """
        number = self.request.snapshot
        for _ in range(_ROUNDS_MAX):
            round_ = self._round_of(repository, number)
            if not round_.closed:
                return round_
            self._mirror(repository, round_.number)
            if round_.closed_by == self.request.run and not self._goes_before(round_):
                return None
            number = round_.number + 1
        raise Problem(
            "The plan of this run lies too far behind the vault.", hint="Start a new run."
        )

    def _round_of(self, repository: Repository, number: int) -> Round:
        """The round of a number; where the restore point before it is gone or does not open, the
        one behind the newest that is there: the chain goes on, and a verification names the loss.
        """
        try:
            return repository.round(self.chain, number)
        except (RoundOutOfOrder, VaultDamaged):
            stored = repository.numbers(self.chain)
            following = stored[-1] + 1 if stored else 1
            if following == number:
                raise
        org, run = self.request.org, self.request.run
        audit.note(
            self.app, org, "holdfast", "restore-point-lost", run=run, at=number, next=following
        )
        return repository.round(self.chain, following)

    def _goes_before(self, round_: Round) -> bool:
        """Whether this step's work starts behind a round that this run has closed."""
        if self.request.follow_up:
            return Backlog.of(round_.links).round != round_.number
        return bool(self._sweep)

    def _follow(self, source: Source) -> str:
        live: reconcile.Counts | None = None
        try:
            if self.request.follow_up:
                if not self.copier.can_catch_up():
                    return "unchanged"
                self.copier.catch_up(self._after_each)
            else:
                live = reconcile.live(source) if self._counts() else None
                self._read_feeds(source)
        except Throttled:
            self._commit()
            raise
        except (ResourceGone, ResourceLocked):
            # What was copied until then becomes a restore point; unfinished feeds delete nothing.
            if self.copier.step.has_changes or self.round.pages:
                self._commit(complete=True)
                self._close()
            raise
        state = "unchanged"
        if self._worth_keeping():
            self._commit(complete=True)
            state = self._close()
        else:
            self._note()
        return self._reconciled(live, source, state) if live is not None or self._sweep else state

    def _read_feeds(self, source: Source) -> None:
        # What earlier runs could not copy and whose pause is over, or the last step left half done.
        new = self.round.pages == 0
        again = ledger.due(self.app, self.request) if new else self.copier.interrupted()
        self.copier.retry(again, self._after_each)
        links = feeds_of(self.round.links)
        for part in self._sweep:
            if part in links and part not in self.round.state.links:
                links[part] = ""
        for page in source.changes(links, self.round.finished):
            self.copier.copy(page, self._after_each)
            self._after_each()

    def _counts(self) -> bool:
        """Whether this step can compare: it reads all feeds, from their beginning to their end."""
        return self.request.recount and self.round.pages == 0 and self.round.parent is not None

    @cached_property
    def _sweep(self) -> tuple[str, ...]:
        """Feeds that counts have found to be wrong."""
        request = self.request
        if not request.recount:
            return ()
        row = self.app.resources.get(request.org, request.service, request.resource)
        return row.sweep if row else ()

    def _reconciled(self, before: reconcile.Counts | None, source: Source, state: str) -> str:
        """Compares live and stored counts; "more" where a feed is to be read from nothing. Without
        counts of before the feeds were read, what differs now is taken as it is.
        """
        repository = self.app.vault(self.request.org)
        head, after = repository.head(self.chain), reconcile.live(source)
        if head is None or after is None:
            return state
        found = reconcile.differences(before or after, after, repository.catalog(head), head.links)
        swept = bool(self._sweep)
        sweep = resources.note_counts(self.app, self.request, found, swept=swept)
        if sweep:
            log.event("counts-differ", org=self.request.org, run=self.request.run, feeds=len(sweep))
        return "more" if sweep else state

    def _left_out(self) -> Collection[str]:
        """Roles of parts that follow later, by what the policy wants first."""
        follows = SERVICES[self.request.service].follows
        if not follows or self._protection == policies.FULL:
            return ()
        return follows if self._protection == policies.FAST or not self.round.parent else ()

    @cached_property
    def _protection(self) -> str:
        return str(policies.current(self.app, self.request.org)["protection"])

    def _after_each(self) -> None:
        """Commits a full step, and ends the step when its time is up or the run was cancelled."""
        step, settings = self.copier.step, self.app.settings
        over = self.app.clock.monotonic() >= self.deadline
        if over or step.stored_bytes >= settings.step_bytes or step.items >= settings.step_items:
            self._commit()
            self._still_wanted()
            if over:
                raise _StepOver

    def _still_wanted(self) -> None:
        org, run = self.request.org, self.request.run
        runs.heartbeat(self.app, org, run)
        if runs.is_cancelled(self.app, org, run) or not runs.keeps_lease(self.app, org, run):
            raise _Cancelled

    def _worth_keeping(self) -> bool:
        if self.copier.step.has_changes or self.round.pages:
            return True
        parent = self.round.parent
        if parent is None:
            return True
        age = self.app.clock.now() - parse_iso(parent.created)
        return age >= timedelta(days=self.app.settings.cursor_refresh_days)

    def _commit(self, *, complete: bool = False) -> None:
        """Commits the step. Where another attempt of it was faster, this one ends: the feed may
        have been read further here than the winner's page says.
        """
        self.copier.keep_place()
        step = self.copier.step
        if not (complete or step.dirty):
            self._note()
            return
        self.round = step.commit(complete=complete)
        if step.lost:
            raise _StepOver
        self.counts["items"] += step.items
        self.counts["stored_bytes"] += step.stored_bytes
        self.counts["pages"] += 1
        self.counts["blob_writes"] += self.round.packs + 1
        self.counts["raw_bytes"] += step.raw_bytes
        self.counts["new_bytes"] += step.new_bytes
        self._note()
        if not complete:
            self.copier.exchange(self.round)

    def _note(self) -> None:
        """Brings the ledger up to what was tried and is safe now."""
        troubles, mended = self.copier.told()
        permanent = sum(not trouble.retry for trouble in troubles)
        self.counts["left_out"] += permanent  # the service will never give these
        self.counts["failed_items"] += len(troubles) - permanent
        ledger.note(self.app, self.request, troubles, mended)

    def _close(self) -> str:
        snapshot = self.round.close(
            by=self.request.run, about=resources.about(self.app, self.request)
        )
        self.counts["blob_writes"] += 1
        self._mirror(self.app.vault(self.request.org), snapshot.number)
        return "done"

    def _mirror(self, repository: Repository, number: int) -> None:
        """Brings the tables up to a restore point; a step that died behind its close did not."""
        ledger.forget_deleted(self.app, self.request, repository, number)
        resources.note_snapshot(self.app, self.request, repository, number)
