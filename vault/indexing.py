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
from vault.gc_log import History, is_newest, read_history
from vault.index import Moment
from vault.pack import read_directory
from vault.store import Listed

if TYPE_CHECKING:
    from vault.packing import Tools


def index_packs(tools: Tools, after: str, at_once: int) -> Iterator[str]:
    """Works through the packs behind `after` in name order; after each batch the last of it."""
    history = read_history(tools.store, tools.ring)
    while True:
        packs = list(islice(tools.store.list("p/", after), at_once))
        if not packs:
            return
        begun = Moment.now(tools.clock)
        if not is_newest(tools.store, history):  # its marks are large: read anew only when it grew
            history = read_history(tools.store, tools.ring)
        if _remembered(tools, packs, history, begun):
            after = packs[-1].name
            yield after


def shared_chunks(tools: Tools, listed: Listed) -> dict[bytes, Location] | None:
    """The chunks of a pack that others may find, by its directory; None where it cannot be read,
    which a verification names.
    """
    pack = pack_of(listed.name)
    try:
        directory = read_directory(
            tools.ring,
            pack,
            listed.size,
            lambda at, length: tools.store.read(listed.name, at, length),
        )
    except Problem:
        return None
    return {
        row.members[0].id: Location(pack, row.number, row.at, row.size)
        for row in directory
        if row.domain == Domain.SHARED
    }


def _remembered(tools: Tools, packs: list[Listed], history: History, begun: Moment) -> bool:
    """False: it took too long since `begun`, and nothing was written."""
    rows: dict[bytes, Location] = {}
    for listed in packs:
        if pack_of(listed.name) not in history.condemned:
            rows.update(shared_chunks(tools, listed) or {})
    known = tools.index.find(list(rows))
    missing = {id_: place for id_, place in rows.items() if id_ not in known}
    if begun.age_s(tools.clock) > tools.config.t_max_s:
        return False
    if missing:
        tools.index.remember(missing)
    return True
