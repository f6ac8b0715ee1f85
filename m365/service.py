"""The contract a service fills: a Source that reads, a Writer that restores, a Service naming both.

Adding a service is one file beside this one and its name in m365/__init__.py. Everything else -
tests, API, console, the list of permissions, coverage - follows the registry.

Errors a service may raise: base.errors.Throttled (wait and go on), m365.graph.errors.GraphProblem
and its subclasses (ResourceGone when the mailbox or drive itself vanished). One bad item is never
raised: it is a Trouble in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any, Protocol, runtime_checkable

from base.errors import Problem, Throttled
from base.item import Cause, Change, FeedPage, Part, StoredItem, Trouble
from m365.graph.errors import (
    Corrupt,
    Forbidden,
    Locked,
    Malware,
    ResourceGone,
    ResourceLocked,
    Unauthorized,
)

# What a service never turns into an item's Trouble: it concerns the whole resource.
PASSED_ON = (Throttled, ResourceGone, ResourceLocked, Unauthorized, Forbidden)

_PERMANENT: tuple[tuple[type[Problem], Cause], ...] = (
    (Malware, Cause.MALWARE),
    (Locked, Cause.LOCKED),
    (Corrupt, Cause.CORRUPT),
    (Forbidden, Cause.FORBIDDEN),
)


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing with its own change feed. `id` is "{kind}:{graph_id}"."""

    kind: str  # "mailbox", "drive"
    graph_id: str
    owner: str = ""  # Graph id of the user, group or site it belongs to

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.graph_id}"


@dataclass(frozen=True, slots=True)
class Column:
    """One type-specific column of a listing: key in Change.row, title, and how to show it."""

    key: str
    title: str
    type: str  # "text", "address", "addresses", "datetime", "bytes", "flag", "count"


@dataclass(frozen=True, slots=True)
class LiveCount:
    """How many items the tenant says one feed has now, to compare with what is stored.

    `scope`: the folder whose stored items the feed is about (FeedPage.scope). Where the two differ
    for good the engine forgets the feed's link, and the Source reads it from nothing.
    """

    part: str
    scope: str | None
    items: int


class Source(Protocol):
    """Reads one resource. Made anew for every step, holds nothing that a crash may lose."""

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        """Follows the change feeds.

        `links` maps each known feed to the link its last FeedPage gave; `finished` names feeds
        already brought to their end in this round (a resumed one) and not to be asked again. Feeds
        that are not in `links`, or whose link is "", start from nothing, with a reset. Every page
        is yielded, empty ones too.
        """
        ...

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        """The parts of one item, a folder too, without those whose roles `leave` names: they follow
        later (Service.follows), or are stored as they are. Who gives them all the same is believed.

        An item that vanished meanwhile raises ItemGone.
        """
        ...

    def complete(self, item_id: str) -> Change:
        """The whole object of an item of which a feed gave only a piece. Raises ItemGone."""
        ...

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        """A whole Change from the stored object and a partial change."""
        ...

    def counts(self) -> Iterator[LiveCount]:
        """What the tenant says it holds, feed by feed, where asking is cheap; else nothing."""
        ...


class OnConflict(StrEnum):
    """What to do when the target holds the same item already."""

    SKIP = "skip"
    COPY = "copy"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the target while a restore runs."""

    id: str
    path: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()  # it is not quite what was stored: renamed, say


@dataclass(frozen=True, slots=True)
class Existing:
    """An item found in a target folder."""

    id: str
    key: str  # what collides: Message-ID for mail, the name in lower case for files
    same: str  # equal to identity(item).same: the very same content (without markers: put by us)
    marker: str = ""  # the marker of the restore that made it, where the service can keep one
    complete: bool = True  # false: a killed attempt left it unfinished; remove it and write anew


@dataclass(frozen=True, slots=True)
class Identity:
    """What a stored item collides on."""

    key: str
    same: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one item: written (new id), skipped (why) or partly set (notes)."""

    id: str
    outcome: str  # "created", "replaced", "copied", "skipped"
    troubles: tuple[Trouble, ...] = ()


class Writer(Protocol):
    """Restores into one resource. Never deletes before the new item is complete and checked."""

    @property
    def keeps_markers(self) -> bool:
        """Whether existing() can give back the markers that write() was given."""
        ...

    def root(self) -> Folder:
        """The top folder of the resource."""
        ...

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        """The child folder of that name, made if missing; safe to repeat."""
        ...

    def original_folder(self, stored: StoredItem) -> Folder | None:
        """The folder itself where it still exists in the target: same id or well-known role."""
        ...

    def identity(self, item: StoredItem) -> Identity: ...

    def existing(self, into: Folder) -> Iterator[Existing]:
        """What lies in a target folder: for collisions, and to find writes of a killed attempt."""
        ...

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        """Writes one item with all that can be set.

        `marker` is stored on the new item where the service allows: a repeated step finds it.
        `replace`: the new item is written and checked first, then takes the old one's place.
        `new_name`: keep both, under a name of its own.
        """
        ...

    def remove(self, item_id: str) -> None:
        """Takes away an item that a restore made: an unfinished one, or all of them for an undo.

        It goes where the service puts what a person deletes (Deleted Items, the recycle bin). An
        item that is not there any more is fine.
        """
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Something a policy decides about how a service is backed up: a keyword of its source.

    The value is one of `values`, or a whole number from 1 to `most`.
    """

    says: str  # for people: what is decided
    default: bool | int | str
    values: tuple[bool | str, ...] = (False, True)
    most: int = 0

    def allows(self, value: Any) -> bool:
        """Whether a policy may hold this value."""
        if isinstance(value, int) and not isinstance(value, bool):
            return 1 <= value <= self.most
        return any(type(value) is type(one) and value == one for one in self.values)


class Unfinished(Problem):
    """The step's time is over in the middle of an item; the next step goes on with it."""

    code = "unfinished"
    status = 503
    hint = "Nothing to do: the next step goes on."


class Step(Protocol):
    """What a Writer knows of the step it works in."""

    def is_first(self) -> bool:
        """Whether no step before it can have written any of its items; to be asked when it is told
        to work (LongWriter), not later.
        """
        ...

    def is_over(self) -> bool:
        """Whether to raise Unfinished at the next place from which a step can go on."""
        ...

    def kept(self, key: str) -> Sequence[str]:
        """Everything that was kept under a key, in order."""
        ...

    def keep(self, key: str, number: int, value: str) -> None:
        """Keeps the `number`-th value, sealed: it may be a secret."""
        ...

    def noted(self, key: str) -> str:
        """What a step of this restore, whatever its items, noted first under a key; else ""."""
        ...

    def note(self, key: str, value: str) -> None:
        """Notes something for all later steps of the restore, sealed; what is noted stays."""
        ...

    def written(self, item_id: str) -> str:
        """The id in the target of what not long ago became of a stored item; "" for none."""
        ...


@runtime_checkable
class LongWriter(Protocol):
    """A Writer of items that may take longer than a step."""

    def work_in(self, step: Step) -> None:
        """Says which step it works in. What was begun in an earlier one goes on."""
        ...


@runtime_checkable
class FolderFinisher(Protocol):
    """A Writer whose folders have something that is set once they are there."""

    def finish_folder(self, stored: StoredItem, folder: Folder) -> tuple[Trouble, ...]:
        """Of a folder that the restore names: what it is shared with, say. Safe to repeat."""
        ...


@runtime_checkable
class ItemFinisher(Protocol):
    """A Writer whose items get something once they are there: files attached to a row, say."""

    def finish_item(self, item: StoredItem, item_id: str) -> tuple[Trouble, ...]:
        """Of an item that a killed attempt wrote: what it may lack. Safe to repeat."""
        ...


@runtime_checkable
class Finisher(Protocol):
    """A Writer that leaves something to be put right when a restore with options is over."""

    def finish(self) -> None:
        """Whatever became of the restore; safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of the registry."""

    name: str  # "mail"
    title: str  # "Mail"
    resource_kind: str  # "mailbox"
    item_kind: str  # "message"
    reads: tuple[str, ...]  # least application permissions to back up
    writes: tuple[str, ...]  # least application permissions to restore
    columns: tuple[Column, ...]
    source: Callable[..., Source]  # of a GraphReader, a Resource and the choices by keyword
    writer: Callable[..., Writer] | None  # of a GraphWriter and a Resource; None: export only
    not_restorable: Sequence[str] = ()  # sentences shown in every plan
    not_captured: Sequence[str] = ()  # sentences: what Graph does not give, and what is left out
    follows: tuple[str, ...] = ()  # roles of parts that may be copied after the items themselves
    options: Mapping[str, str] = field(default_factory=dict)  # of restores: keyword of the writer
    # that is true where somebody asks for it, and the sentence that says what it does
    option_writes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by option: what a
    # restore that asks for it needs in place of `writes`
    choices: Mapping[str, Choice] = field(default_factory=dict)
    swaps: bool = False  # a replacement takes the place of the old item, which goes to the recycle
    # bin: taking the restore back takes the replacement away too
    page_unless: str = ""  # the option without which a restore writes a folder's messages as one
    # page: an item of kind "page" with the facts of a file, whose part "content" is HTML
    optional: bool = False  # protected only where a policy names it
    refusable: bool = False  # 401 and 403 are how some tenants answer: coverage, not an error

    def writes_with(self, options: Collection[str]) -> tuple[str, ...]:
        """The least application permissions of a restore that asks for these options."""
        special = (self.option_writes.get(one, ()) for one in options)
        return tuple(dict.fromkeys(chain.from_iterable(special))) or self.writes


def trouble_of(item_id: str, part: str, problem: Problem) -> Trouble:
    """The ledger row of a problem with one part: permanent where a Cause is documented."""
    detail = " ".join(
        str(value)
        for value in (getattr(problem, "graph_code", ""), getattr(problem, "request_id", ""))
        if value
    )
    for kind, cause in _PERMANENT:
        if isinstance(problem, kind):
            return Trouble(item_id, part, cause, retry=False, detail=detail)
    return Trouble(item_id, part, problem.code, retry=True, detail=detail)
