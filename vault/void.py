"""Giving a round up for good: a void snapshot takes the name, so that nobody can close it.

A restart is a void snapshot without links and with an empty catalog: the round behind it reads
every feed from nothing. So a chain goes on whose newest restore point is damaged or does not open.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from base.clock import iso
from vault.page import open_page
from vault.problems import RoundLost, RoundOutOfOrder
from vault.round import Bench, read_snapshot
from vault.snapshot import NO_ROOTS, VOID, Snapshot, seal_snapshot
from vault.snapshot import name_of as snapshot_name


def void(bench: Bench, chain: str, number: int) -> None:
    """Raises RoundLost when the round was closed, RoundOutOfOrder."""
    tools = bench.tools
    parent, parent_sha256 = None, ""
    if number > 1:
        found = read_snapshot(tools, chain, number - 1)
        if found is None:
            raise RoundOutOfOrder("The snapshot before this one is missing.", number=number)
        parent, parent_sha256 = found
    snapshot = Snapshot(
        chain=chain,
        number=number,
        status=VOID,
        parent_sha256=parent_sha256,
        pages=(),
        links={} if parent is None else parent.links,
        roots=NO_ROOTS if parent is None else parent.roots,
        created=iso(tools.clock.now()),
    )
    name = snapshot_name(tools.ring.chain_hash(chain), number)
    if not tools.store.put_new(name, seal_snapshot(tools.ring, name, snapshot)):
        winner = read_snapshot(tools, chain, number)
        if winner is None or winner[0].status != VOID:
            raise RoundLost("The snapshot is closed already.", number=number)


def restart(bench: Bench, chain: str, by: str) -> int:
    """Gives up an open round of the chain, if there is one, and lets the next one begin with
    nothing; answers the number this took. `by`: who asked for it. Raises RoundLost.
    """
    tools = bench.tools
    chain_hash = tools.ring.chain_hash(chain)
    names = [listed.name for listed in tools.store.list(f"s/{chain_hash}/")]
    number = int(names[-1][-10:]) + 1 if names else 1
    # Of what is stored, whether it opens or not: so the next ones prove that it was there.
    parent_sha256 = hashlib.sha256(tools.store.read(names[-1])).hexdigest() if names else ""
    snapshot = Snapshot(
        chain=chain,
        number=number,
        status=VOID,
        parent_sha256=parent_sha256,
        pages=(),
        links={},
        roots=NO_ROOTS,
        created=iso(tools.clock.now()),
        by=by,
    )
    name = snapshot_name(chain_hash, number)
    if not tools.store.put_new(name, seal_snapshot(tools.ring, name, snapshot)):
        winner = read_snapshot(tools, chain, number)
        if winner is None or not winner[0].is_restart:
            raise RoundLost("The snapshot is closed already.", number=number)
    return number


def give_up_abandoned(bench: Bench, chain_hash: str, before: datetime) -> int:
    """Voids the open round of a chain whose newest page is older than `before`; how many: 0 or 1.

    Raises VaultDamaged when that page cannot be read.
    """
    store = bench.tools.store
    snapshots = [listed.name for listed in store.list(f"s/{chain_hash}/")]
    newest = int(snapshots[-1][-10:]) if snapshots else 0
    pages = [
        listed
        for listed in store.list(f"m/{chain_hash}/")
        if int(listed.name.split("/")[2]) > newest
    ]
    if not pages or max(listed.modified for listed in pages) >= before:
        return 0
    name = pages[-1].name
    page = open_page(bench.tools.ring, name, store.read(name))
    void(bench, page.chain, page.number)
    return 1
