"""The parts of one item into the step: kept where they are stored, read, or read over many steps.

Rule 1: a part that says what it is (Part.same) is kept where the stored item has one of that role
        that is the same; its bytes are not asked for. Parts of a role that the feed calls stale are
        read.
Rule 2: whatever is half done may be committed: before a commit the item goes into the step as far
        as it has come, with a note that it is unfinished, and without its piece under way. The feed
        names it again in the next step, as its link has not moved on, and rule 1 keeps what is
        there.
Rule 3: pieces of a long part have a role of their own, which nobody who restores or exports sees.
        When all are there and Pieces.check() is content they are joined, and the part looks like
        any other. Pieces of another state of the bytes say something else in `same` and go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from base.errors import Problem, Throttled
from base.item import Part, Pieces, Trouble
from engine.entries import MIME, PIECE, SAME
from m365.graph.errors import Forbidden, Locked, ResourceGone, ResourceLocked, Unauthorized
from m365.service import trouble_of
from vault import Content, Entry, Step

ENDS_THE_PAGE = (Throttled, ResourceGone, ResourceLocked, Unauthorized)

Known = Mapping[tuple[str, str], Content]  # by role and what it says it is


class _SourceBroke(Exception):
    """A part broke while it was being read: its item's trouble, unlike a fault of the vault."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def known_of(entries: Iterable[Entry | None], stale: Collection[str]) -> Known:
    """What earlier entries of an item hold of parts that say what they are."""
    return {
        (content.role, content.meta[SAME]): content
        for entry in entries
        if entry is not None
        for content in entry.contents
        if SAME in content.meta and content.role not in stale
    }


def failed(item_id: str, part: str, problem: Problem) -> Trouble:
    """A row of the ledger. Rights come back and locks are lifted: those are tried again."""
    trouble = trouble_of(item_id, part, problem)
    return replace(trouble, retry=True) if isinstance(problem, (Forbidden, Locked)) else trouble


class Gathering:
    """Collects the contents of one item. `reached` is told what there is, between two reads, once
    something was read that the next step would recognize.
    """

    def __init__(
        self,
        item_id: str,
        step: Callable[[], Step],  # exchanged by a commit
        known: Known,
        reached: Callable[[Sequence[Content]], None],
    ) -> None:
        self._item_id = item_id
        self._step = step
        self._known = known
        self._reached = reached
        self._news = False
        self.contents: list[Content] = []
        self.troubles: list[Trouble] = []

    def add(self, part: Part) -> None:
        """Adds one part; a download that breaks for good costs this part, not the item."""
        stored = self._known.get((part.role, part.same)) if part.same else None
        if stored is not None:
            self.contents.append(stored)
            return
        self._tell(self.contents)
        try:
            if isinstance(part.data, Pieces):
                content = self._joined(part.role, part.same, part.data)
            else:
                content = self._whole(part)
            meta: dict[str, Any] = {**part.meta, SAME: part.same} if part.same else {**part.meta}
            self.contents.append(replace(content, meta=meta))
        except _SourceBroke as broke:
            name = f"{part.role}:{part.meta['id']}" if part.meta.get("id") else part.role
            self.troubles.append(failed(self._item_id, name, broke.problem))
        self._news = self._news or part.same != ""

    def _tell(self, contents: Sequence[Content]) -> None:
        if self._news:
            self._news = False
            self._reached(contents)

    def _whole(self, part: Part) -> Content:
        data = part.data if isinstance(part.data, bytes) else _from_source(part.data)
        lift = part.role == MIME  # the same file lies in other mails and in drives
        return self._step().add(part.role, data, lift=lift, common=part.common)

    def _joined(self, role: str, same: str, pieces: Pieces) -> Content:
        found: list[Content] = []
        for number in range(pieces.count):
            said = f"{role}/{number}/{same}"
            piece = self._known.get((PIECE, said)) if same else None
            if piece is None:
                self._tell([*self.contents, *found])
                data = _from_source(pieces.read(number))
                piece = self._step().add(PIECE, data)
                piece = replace(piece, meta={SAME: said, "mark": pieces.mark(number)})
                self._news = same != ""
            found.append(piece)
        try:
            pieces.check([str(piece.meta["mark"]) for piece in found])
        except ENDS_THE_PAGE:
            raise
        except Problem as problem:
            raise _SourceBroke(problem) from problem
        return self._step().join(role, found)


def _from_source(blocks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from blocks
    except ENDS_THE_PAGE:
        raise
    except Problem as problem:
        raise _SourceBroke(problem) from problem
