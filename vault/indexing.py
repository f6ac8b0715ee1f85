"""Makes the duplicate look-up anew from the directories of packs.

Rule 1: a pack that is condemned gets no row: nobody may find it any more. The log is read before
        every batch, and a batch that took longer than t_max_s is given up and done again; the
        collector's wait counts on that.
Rule 2: a row that is there stays: it may be newer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from base.errors import Problem
from vault.box import Domain
from vault.entry import Location
from vault.forward import pack_of
from vault.gc_log import read_history
from vault.index import Moment
from vault.pack import read_directory
from vault.store import Listed

if TYPE_CHECKING:
    from vault.packing import Tools


def index_packs(tools: Tools, after: str, at_once: int) -> Iterator[str]:
    """Works through the packs behind `after` in name order; after each batch the last of it."""
    while True:
        packs = list(islice(tools.store.list("p/", after), at_once))
        if not packs:
            return
        if _remembered(tools, packs):
            after = packs[-1].name
            yield after


def _remembered(tools: Tools, packs: list[Listed]) -> bool:
    """False: it took too long, and nothing was written."""
    begun = Moment.now(tools.clock)
    condemned = read_history(tools.store, tools.ring).condemned
    rows: dict[bytes, Location] = {}
    for listed in packs:
        if pack_of(listed.name) not in condemned:
            rows.update(_shared(tools, listed))
    known = tools.index.find(list(rows))
    missing = {id_: place for id_, place in rows.items() if id_ not in known}
    if begun.age_s(tools.clock) > tools.config.t_max_s:
        return False
    if missing:
        tools.index.remember(missing)
    return True


def _shared(tools: Tools, listed: Listed) -> dict[bytes, Location]:
    """The shared chunks of a pack; none of one that cannot be read, which a verification names."""
    pack = pack_of(listed.name)
    try:
        directory = read_directory(
            tools.ring,
            pack,
            listed.size,
            lambda at, length: tools.store.read(listed.name, at, length),
        )
    except Problem:
        return {}
    return {
        row.members[0].id: Location(pack, row.number, row.at, row.size)
        for row in directory
        if row.domain == Domain.SHARED
    }
