"""What of a chain has been copied without the parts that may follow, and how far those have come.

Rule 1: an entry says itself what is still to come: facts["later"], a list of roles. The backlog is
        only the way to those entries, and a number for people.
Rule 2: it lies in the round's links, under a name no service uses, so it commits with the pages it
        speaks of. A feed that puts an entry which waits begins the way anew.
Rule 3: parts follow in the order of the listing over all folders, which for mail is newest first:
        everything up to `mark` in the restore point before the round has had its turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from vault import Catalog, Entry

LATER = "later"  # the key in an entry's facts
_LINK = ".later"  # among the links of a round; a service's feeds begin with a letter
_START = ("", "")


@dataclass(frozen=True, slots=True)
class Backlog:
    """`waiting`: entries whose parts are to follow, about: those deleted meanwhile still count.
    `round`: the snapshot number that a pass over them is building.
    """

    waiting: int = 0
    mark: tuple[str, str] = _START
    round: int = 0

    @classmethod
    def of(cls, links: Mapping[str, str]) -> Self:
        """As the links of a round or of a restore point have it."""
        if _LINK not in links:
            return cls()
        waiting, sort, id_, number = json.loads(links[_LINK])
        return cls(waiting, (sort, id_), number)

    def joined(self, *, new: bool) -> Self:
        """One more entry that waits, or one that did already was put again."""
        return replace(self, waiting=self.waiting + new, mark=_START)

    def passed(self, entry: Entry) -> Self:
        """An entry has had its turn."""
        return replace(self, waiting=max(self.waiting - 1, 0), mark=(entry.sort, entry.id))

    def ended(self) -> Self:
        """Everybody has had a turn."""
        return replace(self, waiting=0)

    def link(self) -> tuple[str, str]:
        """Name and text to keep among a round's links."""
        return _LINK, json.dumps([self.waiting, *self.mark, self.round], separators=(",", ":"))


def feeds_of(links: Mapping[str, str]) -> dict[str, str]:
    """The links that belong to the service."""
    return {part: link for part, link in links.items() if part != _LINK}


def waiting_in(catalog: Catalog, mark: tuple[str, str]) -> Iterator[Entry]:
    """The entries behind the mark whose parts are to follow."""
    for entry in catalog.in_order(after=mark):
        if LATER in entry.facts:
            yield entry
