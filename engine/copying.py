"""One page of a change feed into the step being built: what to fetch, what to reuse, what to note
in the ledger.

Rule 1: an item whose fingerprint is the stored one is not downloaded again; moves, renames and read
        flips cost a few bytes. Of one that changed in part only those parts are fetched. A round
        that was told nothing but what is stored says nothing.
Rule 2: one bad item is a Trouble beside what could be kept of it; only Throttled, a vanished
        resource and a lost permission end the page.
Rule 3: parts that may follow are left out where the protection wants items first: in the first
        round, or always. Their entries say so, and catch_up() copies them later.
Rule 4: whatever was put into the step may be committed at any moment, also in the middle of a page:
        the feed's link moves on only when the whole page is in. An item whose parts take longer
        than a step goes in unfinished (engine/parts.py).

Theory of operation: a few threads look ahead and fetch parts (the wire keeps the mailbox's slots);
this thread alone adds to the step, in the order of the feed, so that the last occurrence of an item
wins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from base.errors import Problem
from base.item import Cause, Change, FeedPage, Gone, Part, Trouble
from engine.ahead import in_turn, ready
from engine.backlog import LATER, Backlog, waiting_in
from engine.entries import (
    ITEM,
    RAW,
    as_told,
    change_of,
    completed,
    encode_raw,
    entry_of,
    is_at,
    lacking_the_same,
    raw_of,
    standing,
    unfinished,
    unfinished_by,
)
from engine.parts import ENDS_THE_PAGE, Gathering, failed, known_of
from m365.graph.errors import ItemGone
from m365.service import Source
from vault import Content, Entry, Lost, Missing, Repository, Round, Step, VaultDamaged

FETCHERS = 4  # threads; the wire lets at most three reads of one mailbox fly
_RETRY = "retry"  # the feed that entries of retry() are put down to
_FOLLOWING = "following"  # the feed that entries of catch_up() are put down to

TOUCHED_MAX = 50_000  # ids remembered of a step; behind them pieces are completed one by one


@dataclass(frozen=True, slots=True)
class _Fetched:
    """An item ready to be put, or nothing where it vanished between list and get. `kept`: roles of
    which all parts stay as they are stored; `whole`: that is all there is to the item. `later`:
    roles that are to follow.
    """

    change: Change | None
    previous: Entry | None = None
    whole: bool = False
    kept: Collection[str] = ()
    parts: tuple[Part, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    later: Collection[str] = ()


_Job = Gone | Entry | _Fetched


@dataclass(frozen=True, slots=True)
class _Followed:
    """An entry with the parts it waited for; None: the item is gone."""

    entry: Entry
    parts: tuple[Part, ...] | None
    troubles: tuple[Trouble, ...] = ()


class Progress(Protocol):
    """Asked after every item: may end the page by raising, may exchange the step for a fresh
    one.
    """

    def __call__(self) -> None: ...


class Copier:
    """Copies pages of one resource; `step` is exchanged by the caller after each commit."""

    def __init__(
        self,
        repository: Repository,
        source: Source,
        round_: Round,
        left_out: Callable[[], Collection[str]],
        touched_max: int = TOUCHED_MAX,
    ) -> None:
        """`left_out`: roles of the parts that are to follow their items. `touched_max`: ids of a
        step that are remembered.
        """
        self._repository = repository
        self._source = source
        self._left_out = left_out
        self._round = round_
        self._pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")
        self._fresh = round_.pages == 0
        self._before = repository.reusable(round_)
        self._lost: Lost | None = None  # read once something could be reused
        self._touched: set[str] = set()
        self._touched_max = touched_max
        self.step: Step = round_.step()
        self.backlog = Backlog.of(round_.links)
        self._under_way: tuple[Entry, str] | None = None  # an unfinished item, and its feed
        self._troubles: list[Trouble] = []
        self._mended: list[str] = []  # ids whose rows in the ledger are done with

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def exchange(self, round_: Round) -> None:
        """Goes on in a new step after a commit."""
        self._round = round_
        self.step = round_.step()

    def keep_place(self) -> None:
        """Puts what is half done into the step, and what waits; to be called before a commit."""
        if self._under_way is not None:
            self.step.put(*self._under_way)
        if self.backlog != Backlog.of(self._round.links):
            self.step.link(*self.backlog.link())

    def told(self) -> tuple[list[Trouble], list[str]]:
        """Troubles since the last call, and ids whose rows in the ledger are done with."""
        told = self._troubles, self._mended
        self._troubles, self._mended = [], []
        return told

    def retry(self, item_ids: Iterable[str], after_each: Progress) -> None:
        """Tries items again that earlier runs could not copy whole; what fails again stays as it
        is.
        """
        for item_id in item_ids:
            try:
                change = self._source.complete(item_id)
                previous = self._stored(change)[0]
                fetched = self._read(as_told(change, previous), previous)
            except ItemGone:
                self._mended.append(item_id)
                continue
            except ENDS_THE_PAGE:
                raise
            except Problem as problem:
                self._troubles.append(failed(item_id, ITEM, problem))
                continue
            if fetched.troubles:
                self._troubles.extend(fetched.troubles)
            else:
                self._touch(item_id)
                if self._put(fetched, _RETRY, after_each):
                    self._mended.append(item_id)
            after_each()

    def interrupted(self) -> list[str]:
        """The item that retry() was reading when the last step ended."""
        entries = self._round.recent_entries()
        return [entry.id for entry in entries if unfinished_by(entry) == _RETRY]

    def can_catch_up(self) -> bool:
        """Whether anything waits, and the round holds no pages but those of catching up."""
        own = self._round.pages == 0 or self.backlog.round == self._round.number
        return own and self.backlog.waiting > 0

    def catch_up(self, after_each: Progress) -> None:
        """Copies the parts that were left out, of what the restore point before the round holds."""
        catalog = self._round.previous
        if catalog is None:
            return
        self.backlog = replace(self.backlog, round=self._round.number)
        entries = waiting_in(catalog, self.backlog.mark)
        jobs = (self._pool.submit(self._fetch_left_out, entry) for entry in entries)
        for followed in in_turn(jobs):
            self._put_left_out(followed)
            after_each()
        self.backlog = self.backlog.ended()

    def copy(self, page: FeedPage, after_each: Progress) -> None:
        """Puts a whole page into the step, then lets the feed's link move on."""
        if self.backlog.round == self._round.number:  # feeds go on in a round that was catching up
            self.backlog = replace(self.backlog, round=0)
        if page.reset:
            self.step.reset(page.part, page.scope)
        for job in self._ahead(_last_of_each(page)):
            match job:
                case Gone():
                    self.step.remove(job.id, job.parent, recursive=True)
                case Entry():
                    # Nothing new, so no reason to stop: a step ends behind new work only, or a page
                    # that takes longer than a step would never end.
                    self.step.put(job, page.part)
                    continue
                case _Fetched():
                    self._put(job, page.part, after_each)
            if self.step.has_changes:
                after_each()
        for part in page.dropped_parts:
            self.step.drop_part(part)
        if page.link:
            self.step.link(page.part, page.link, finished=not page.more)

    def _ahead(self, entries: list[Change | Gone]) -> Iterator[_Job]:
        """What a page's entries come to, fetched ahead."""

        def jobs() -> Iterator[Future[_Job]]:
            for entry in entries:
                if isinstance(entry, Gone):
                    yield ready(entry)
                elif (known := self._is_in(entry)) is not None:
                    yield ready(known)
                else:
                    again = entry.id in self._touched or not self._fresh
                    self._touch(entry.id)
                    yield self._pool.submit(self._fetch, entry, again)

        return in_turn(jobs())

    def _is_in(self, change: Change) -> Entry | None:
        """The entry, where a step that was cut has already committed exactly this state of the
        item.
        """
        known = self._round.recent(change.id)
        same = (
            known is not None
            and is_at(change, known)
            and (not known.facts.get("retry", False) or _refused_for_now(known))
        )
        return known if same else None

    def _touch(self, item_id: str) -> None:
        """Notes that a stored object is no longer the newest; a step that notes too many stops."""
        if self._fresh:
            self._touched.add(item_id)
            if len(self._touched) > self._touched_max:
                self._fresh = False
                self._touched.clear()

    def _fetch(self, change: Change, again: bool) -> _Job:
        previous, stored = self._stored(change)
        try:
            if change.partial and stored and not again:
                change = self._source.merge(stored, change)
            elif change.partial:  # never stored, or changed in this round already
                change = self._source.complete(change.id)
            return self._read(change, previous)
        except ItemGone:
            return _Fetched(None)
        except ENDS_THE_PAGE:
            raise
        except Problem as problem:
            return _Fetched(change, previous, troubles=(failed(change.id, ITEM, problem),))

    def _read(self, change: Change, previous: Entry | None) -> _Fetched:
        """What of an item is to be read; bytes that may be kept are not asked for yet."""
        whole, kept = standing(change, previous)
        waiting = previous.facts.get(LATER, ()) if previous else ()
        if whole:
            return _Fetched(change, previous, True, kept, later=waiting)
        later = waiting if kept else self._leave(change)
        parts, troubles = self._source.fetch(change, kept.union(later))
        kept = kept.difference(part.role for part in parts)
        return _Fetched(change, previous, False, kept, tuple(parts), tuple(troubles), later)

    def _fetch_left_out(self, entry: Entry) -> _Followed:
        here = {content.role for content in entry.contents}
        try:
            change = change_of(entry, raw_of(self._repository, entry))
            parts, troubles = self._source.fetch(change, leave=here)
            return _Followed(entry, tuple(parts), tuple(troubles))
        except ItemGone:  # its feed will say so
            return _Followed(entry, None)
        except ENDS_THE_PAGE:
            raise
        except Problem as problem:
            return _Followed(entry, (), (failed(entry.id, ITEM, problem),))

    def _put_left_out(self, followed: _Followed) -> None:
        entry = followed.entry
        self.backlog = self.backlog.passed(entry)
        if followed.parts is None:
            return
        gathering = Gathering(entry.id, lambda: self.step, {}, lambda _: None)
        gathering.contents += entry.contents
        gathering.troubles += followed.troubles
        for part in followed.parts:
            gathering.add(part)
        troubles = gathering.troubles
        self.step.put(completed(entry, gathering.contents, troubles), _FOLLOWING)
        self._note(troubles)

    def _leave(self, change: Change) -> Collection[str]:
        return () if change.kind == "folder" else self._left_out()

    def _stored(self, change: Change) -> tuple[Entry | None, Mapping[str, Any]]:
        """The item as the newest restore point has it, and of a piece's item the stored object;
        nothing, where any of it is lost: then all of it is fetched again.
        """
        try:
            previous = self._before.get(change.id) if self._before else None
            if previous is None or self._is_lost(previous):
                return None, {}
            return previous, raw_of(self._repository, previous) if change.partial else {}
        except (VaultDamaged, Missing):
            return None, {}

    def _is_lost(self, entry: Entry) -> bool:
        if self._lost is None:
            self._lost = self._repository.lost()
        return self._repository.needs_lost(entry, self._lost)

    def _put(self, fetched: _Fetched, feed: str, after_each: Progress) -> bool:
        """Whether the item is whole now."""
        change = fetched.change
        if change is None:
            return False
        if change.partial:  # could not be completed: keep what is stored, try again next time
            self._note(fetched.troubles)
            return False
        before = fetched.previous
        gathering = self._gathering(change, before, feed, after_each)
        gathering.troubles += fetched.troubles
        if before is not None:
            kept = [one for one in before.contents if one.role in fetched.kept]
            gathering.contents += kept
        for part in fetched.parts:
            gathering.add(part)
        self._under_way = None
        troubles = gathering.troubles
        entry = entry_of(change, gathering.contents, troubles, fetched.later)
        if fetched.whole and before is not None:
            entry = lacking_the_same(entry, before)
        as_before = not self._round.pages and self._before is self._round.previous
        # Behind a reset or a removal, what is told as it is stored says that the item is there.
        if entry != before or not as_before or self.step.has_changes:
            self.step.put(entry, feed)
        if fetched.later:
            self.backlog = self.backlog.joined(new=not (before and LATER in before.facts))
        missing = bool(entry.facts.get("missing"))
        if not missing and before and before.facts.get("missing"):
            self._mended.append(change.id)
        self._note(troubles)
        return not missing

    def _gathering(
        self, change: Change, before: Entry | None, feed: str, after_each: Progress
    ) -> Gathering:
        """What collects the parts of an item, the object itself first."""

        def reached(contents: Sequence[Content]) -> None:
            self._under_way = (unfinished(entry_of(change, contents, ()), feed), feed)
            after_each()

        known = known_of((before, self._round.recent(change.id)), change.stale)
        gathering = Gathering(change.id, lambda: self.step, known, reached)
        stored = next((c for c in before.contents if c.role == RAW), None) if before else None
        if change.raw:
            gathering.contents.append(self.step.add(RAW, encode_raw(change.raw), previous=stored))
        return gathering

    def _note(self, troubles: tuple[Trouble, ...] | list[Trouble]) -> None:
        for trouble in troubles:
            self._troubles.append(trouble)
            self.step.trouble(
                {
                    "item": trouble.item_id,
                    "part": trouble.part,
                    "cause": trouble.cause,
                    "retry": trouble.retry,
                    "detail": trouble.detail,
                }
            )


def _refused_for_now(entry: Entry) -> bool:
    """Whether asking again in the same round would only pause the whole drive again."""
    tail = f": {Cause.NOT_DOWNLOADABLE}"
    return all(str(missing).endswith(tail) for missing in entry.facts.get("missing", ()))


def _last_of_each(page: FeedPage) -> list[Change | Gone]:
    """A page without earlier occurrences of the same item; pieces are not folded away."""
    if any(isinstance(entry, Change) and entry.partial for entry in page.entries):
        return list(page.entries)
    last = {entry.id: entry for entry in page.entries}
    return [entry for entry in page.entries if last[entry.id] is entry]
