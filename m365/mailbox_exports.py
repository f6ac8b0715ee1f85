"""Exports asked for together: items of a page are fetched one by one, and travel twenty at a time.

Rules
- The order in which items will be asked for is told beforehand, a page at a time; an item that was
  not told is exported by itself.
- A batch holds at most twenty items of one mailbox, and so many that its answer stays below
  ANSWER_BYTES_MAX. What an answer does not speak of is asked for once more, alone.
- Whoever needs an item first asks for the whole batch; the others wait for that answer. Nobody who
  waits holds a request slot.
- Nothing is kept beyond the batches in hand: an item is handed out once, and what was passed over
  is dropped.

Theory of operation
The caller (the engine, from a few threads, a few items ahead) skips items it has in the vault
already, and only it knows which. So a batch is a guess, and the guess is corrected like the
read-ahead of a disk: the next batch is at most twice as long as the number of items of the last one
that were really asked for. A first backup travels in twenties; where a lost link makes a whole
mailbox come by of which one item in a thousand is new, that item travels with one neighbour.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from base.errors import Throttled
from m365.graph.errors import GraphProblem, ResourceGone, Unauthorized
from m365.graph.export import PER_CALL_MAX, Exported, NotExported

ANSWER_BYTES_MAX = 24 * 1024 * 1024  # of JSON in memory; a few batches are held at a time
_UNKNOWN_SIZE_BYTES = 512 * 1024  # for an item whose size is not told

# What an answer cannot be blamed on one of its items for.
_OF_ALL = (Throttled, ResourceGone, Unauthorized)

Ask = Callable[[str, Sequence[str]], dict[str, Exported]]  # (mailbox, ids) -> what was answered


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item that may be asked for: its Graph id, size in bytes (None: not told), mailbox."""

    id: str
    size: int | None
    mailbox: str

    @property
    def answer_bytes(self) -> int:
        """What it adds to an answer, as base64."""
        return (_UNKNOWN_SIZE_BYTES if self.size is None else self.size) * 4 // 3


@dataclass(slots=True)
class _Batch:
    items: tuple[Wanted, ...]
    first: int  # where in the page it begins
    answered: threading.Event = field(default_factory=threading.Event)
    found: dict[str, Exported] = field(default_factory=dict)
    problem: BaseException | None = None
    asked_for: int = 0


class Exports:
    """Batches of one Source. Safe to use from several threads."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._page: list[Wanted] = []
        self._places: dict[str, int] = {}
        self._batches: dict[str, _Batch] = {}  # by item
        self._newest: _Batch | None = None

    def expect(self, page: Sequence[Wanted]) -> None:
        """The items of the next page in their order; what is left of the last one is dropped."""
        with self._lock:
            self._page = list(page)
            self._places = {one.id: at for at, one in enumerate(page)}
            self._batches.clear()

    def take(self, wanted: Wanted) -> bytes:
        """The bytes of one item.

        Raises ItemGone, NotExported and what the service says of the item, and what ends a whole
        page: Throttled, ResourceGone, Unauthorized.
        """
        with self._lock:
            batch = self._batches.pop(wanted.id, None)
            mine = batch is None
            if batch is None:
                batch = self._new_batch(wanted)
            batch.asked_for += 1
        if mine:
            self._run(batch)
        batch.answered.wait()
        if batch.problem is not None:
            raise batch.problem
        with self._lock:
            exported = batch.found.pop(wanted.id, None)
        if exported is None:
            exported = self._ask(wanted.mailbox, [wanted.id]).get(wanted.id)
        if exported is None:
            raise NotExported("The service gave no copy of the item, also when asked for it alone.")
        if exported.problem is not None:
            raise exported.problem
        return exported.data

    def _new_batch(self, wanted: Wanted) -> _Batch:
        """The item and those behind it in the page, as far as they fit and nobody has them yet."""
        at = self._places.get(wanted.id)
        if at is None:
            return _Batch((wanted,), -1)
        length_max = PER_CALL_MAX
        if self._newest is not None:
            length_max = min(PER_CALL_MAX, 2 * self._newest.asked_for)
        chosen, size = [wanted], wanted.answer_bytes
        for one in self._page[at + 1 :]:
            size += one.answer_bytes
            full = len(chosen) == length_max or size > ANSWER_BYTES_MAX
            if full or one.mailbox != wanted.mailbox or one.id in self._batches:
                break
            chosen.append(one)
        batch = _Batch(tuple(chosen), at)
        self._batches = {
            key: older
            for key, older in self._batches.items()
            if older.first > at - 2 * PER_CALL_MAX
        }
        self._batches |= {one.id: batch for one in chosen[1:]}
        self._newest = batch
        return batch

    def _run(self, batch: _Batch) -> None:
        try:
            batch.found = self._ask(batch.items[0].mailbox, [one.id for one in batch.items])
        except _OF_ALL as problem:
            batch.problem = problem
        except GraphProblem as problem:
            # One of them may be to blame: everybody asks for his own.
            batch.problem = problem if len(batch.items) == 1 else None
        except BaseException as error:
            batch.problem = error
            raise
        finally:
            batch.answered.set()
