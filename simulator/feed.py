"""Delta feeds: what changed since when, rounds cut into pages, and opaque tokens.

Rules
- A round is planned once, from the change log, and then only read: asking for the same page
  twice gives the same page, whatever the dice said.
- The token a round ends with stands for the moment the round began, so what changes while a
  reader pages is reported again in the next round (documented: replays are allowed).
- A token belongs to one feed; its query options are inside it.

Theory of operation. A ChangeLog keeps for every key its last change, oldest first; changes since
a sequence number are read from the end, so an idle feed costs nothing. A plan is a list of
(key, variant): "now" the item as it is when the page is served, "older" an earlier state of it,
"read" the piece {id, isRead}, "deleted" or "changed" the reason of an @removed entry.
"""

import base64
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from simulator.quirks import Quirks
from simulator.web import GraphError

K = TypeVar("K", int, str)
Kind = Literal["full", "read", "deleted", "changed"]
Variant = Literal["now", "older", "read", "deleted", "changed"]
_EMPTY_IN_A_ROW_MAX = 2


@dataclass(frozen=True, slots=True)
class Change:
    """The last change of a key; full_sequence is the last one that was more than a read flip."""

    sequence: int
    kind: Kind
    full_sequence: int


class ChangeLog(Generic[K]):
    """Every key's last change, oldest first."""

    def __init__(self) -> None:
        self._changes: dict[K, Change] = {}

    def record(self, key: K, sequence: int, kind: Kind) -> None:
        """Note a change; sequence grows from call to call."""
        old = self._changes.pop(key, None)
        full = old.full_sequence if old is not None and kind == "read" else sequence
        self._changes[key] = Change(sequence, kind, full)

    def forget(self, key: K) -> None:
        """The service loses the change: no feed that begins after this tells of the key's end."""
        self._changes.pop(key, None)

    def present(self) -> list[K]:
        """Keys that exist."""
        return [key for key, change in self._changes.items() if change.kind in ("full", "read")]

    def removed(self) -> list[tuple[K, Literal["deleted", "changed"]]]:
        """Keys that were removed, with the reason."""
        return [
            (key, "deleted" if change.kind == "deleted" else "changed")
            for key, change in self._changes.items()
            if change.kind in ("deleted", "changed")
        ]

    def since(self, sequence: int) -> list[tuple[K, Kind]]:
        """(key, kind) of everything changed after sequence, oldest first."""
        found: list[tuple[K, Kind]] = []
        for key in reversed(self._changes):
            change = self._changes[key]
            if change.sequence <= sequence:
                break
            kind = change.kind
            if kind == "read" and change.full_sequence > sequence:
                kind = "full"
            found.append((key, kind))
        found.reverse()
        return found


@dataclass(slots=True)
class Plan(Generic[K]):
    """One round: what it reports, in order, and the sequence the next round starts from."""

    entries: list[tuple[K, Variant]]
    sequence: int


def plan_first(log: ChangeLog[K], sequence: int, quirks: Quirks, dice: random.Random) -> Plan[K]:
    """A round without a token: everything that exists, and what the documentation allows."""
    entries: list[tuple[K, Variant]] = [(key, "now") for key in log.present()]
    entries = _with_older_states(entries, quirks, dice)
    if quirks.removed_in_first_round:
        for key, reason in log.removed():
            at = dice.randint(0, len(entries))
            entries.insert(at, (key, reason))
    return Plan(entries, sequence)


def plan_since(
    log: ChangeLog[K], since: int, sequence: int, quirks: Quirks, dice: random.Random
) -> Plan[K]:
    """A round with a token: what changed after it."""
    entries: list[tuple[K, Variant]] = [
        (key, "now" if kind == "full" else kind) for key, kind in log.since(since)
    ]
    return Plan(_with_older_states(entries, quirks, dice), sequence)


def _with_older_states(
    entries: list[tuple[K, Variant]], quirks: Quirks, dice: random.Random
) -> list[tuple[K, Variant]]:
    """Put an older state of some items before them, sometimes far before."""
    if not quirks.p_duplicate:
        return entries
    early: list[tuple[K, Variant]] = []
    result: list[tuple[K, Variant]] = []
    for key, variant in entries:
        if variant == "now" and dice.random() < quirks.p_duplicate:
            gone = quirks.removed_in_first_round and dice.random() < 0.25
            place = early if dice.random() < 0.5 else result
            place.append((key, "deleted" if gone else "older"))
        result.append((key, variant))
    return early + result


@dataclass(slots=True)
class Round(Generic[K]):
    """A planned round of one feed with the options of its first request."""

    feed: str
    plan: Plan[K]
    options: dict[str, str]
    generation: int
    seed: int
    tokens: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position(Generic[K]):
    """Where a token points: into a round, or (offset -1) behind its end."""

    round: Round[K]
    offset: int
    empties: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[K]):
    """Entries of one page and the tokens after it; exactly one of the two is set."""

    entries: list[tuple[K, Variant]]
    next_token: str | None
    delta_token: str | None


class Feeds:
    """All tokens this tenant ever gave out, and which feeds have lost theirs."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._positions: dict[str, Position[int] | Position[str]] = {}
        self._generations: dict[str, int] = {}
        self._losses = 0

    def start(self, feed: str, plan: Plan[K], options: dict[str, str]) -> Position[K]:
        """Begin a round; feed names the feed, e.g. messages/{user}/{folder}."""
        generation = self._generations.get(feed, 0)
        found = Round(feed, plan, options, generation, self._dice.getrandbits(48))
        return Position(found, 0)

    def lose(self, matches: Callable[[str], bool]) -> int:
        """Forget the tokens of every feed whose name matches; how many feeds that were."""
        feeds = {position.round.feed for position in self._positions.values()}
        lost = [feed for feed in feeds if matches(feed)]
        for feed in lost:
            self._generations[feed] = self._generations.get(feed, 0) + 1
        return len(lost)

    def find(self, feed: str, token: str, quirks: Quirks) -> Position[int] | Position[str]:
        """The position of a token; GraphError when it is lost, foreign or nonsense."""
        position = self._positions.get(token)
        if position is not None and position.round.feed != feed:
            raise GraphError(400, "SyncStateInvalid", "The sync state belongs to another feed.")
        if position is None or position.round.generation != self._generations.get(feed, 0):
            self._losses += 1
            raise lost_token(self._losses, quirks)
        return position

    def page(self, position: Position[K], size: int, quirks: Quirks) -> Page[K]:
        """Up to size entries from position on, with the token to go on."""
        current, entries = position.round, position.round.plan.entries
        dice = random.Random(hash((current.seed, position.offset, position.empties)))
        if position.empties < _EMPTY_IN_A_ROW_MAX and dice.random() < quirks.p_empty_page:
            after = (position.offset, position.empties + 1)
            return Page([], self._token(current, *after), None)
        if size > 1 and dice.random() < quirks.p_short_page:
            size = dice.randint(1, size - 1)
        end = min(position.offset + size, len(entries))
        part = entries[position.offset : end]
        more = end < len(entries) or (bool(part) and dice.random() < quirks.p_empty_page)
        if more:
            return Page(part, self._token(current, end, 0), None)
        return Page(part, None, self._token(current, -1, 0))

    def _token(self, current: Round[K], offset: int, empties: int) -> str:
        token = current.tokens.get((offset, empties))
        if token is None:
            token = base64.urlsafe_b64encode(self._dice.randbytes(66)).decode("ascii")
            current.tokens[offset, empties] = token
            self._positions[token] = Position(current, offset, empties)
        return token


def lost_token(count: int, quirks: Quirks) -> GraphError:
    """Outlook's answer to a token it no longer knows."""
    status, code = quirks.lost_tokens[(count - 1) % len(quirks.lost_tokens)]
    return GraphError(
        status,
        code,
        f"The sync state generation is not found; generation={1600 + count};[highest=1612].",
    )


def top_of_total(plan: Plan[K], top: int | None) -> Plan[K]:
    """$top on a delta caps the whole round, not the page; the rest is never reported."""
    return plan if top is None else Plan(plan.entries[:top], plan.sequence)


def keys_of(entries: Iterable[tuple[K, Variant]]) -> list[K]:
    """The keys of entries, in order."""
    return [key for key, _ in entries]
