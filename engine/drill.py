"""A restore drill: random items of the newest restore points are restored to nowhere, and compared
with what the tenant said of them when they were backed up.

Of every item all parts are read whole: unsealed, put together, their sizes right. A message has to
be a message still; a file has to have the quickXorHash that the tenant had for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesFeedParser

from base.errors import Problem
from base.ids import fraction
from base.item import StoredItem
from engine.assembly import App
from engine.browse import View
from engine.entries import stored_item
from formats import ContentMissing, file_of
from m365.quickxorhash import QuickXorHash
from state.resources import ResourceRow
from vault import Disease, Entry, Finding, Repository

ITEM_BYTES_MAX = 512 * 1024 * 1024  # what is larger would take a step's time alone
_CONTENT = "content"


@dataclass(slots=True)
class Drill:
    """What was restored to nowhere, and what did not come back."""

    items: int = 0
    bytes: int = 0
    too_large: int = 0
    findings: list[Finding] = field(default_factory=list)

    def finding(self, snapshot: str) -> Finding:
        """The one for all items of a restore point."""
        for known in self.findings:
            if known.name == snapshot:
                return known
        self.findings.append(Finding.of(Disease.ITEM_DAMAGED, snapshot, 3))
        return self.findings[-1]


class _Differs(Exception):
    """An item is not what it was."""


def drill(app: App, org: str, vault: Repository, samples: int, more: Callable[[], bool]) -> Drill:
    """Restores up to `samples` items, at least one, while `more()`."""
    done = Drill()
    for view, entry in _drawn(app, org, vault, samples):
        if done.items and not more():
            break
        if sum(content.size for content in entry.contents) > ITEM_BYTES_MAX:
            done.too_large += 1
            continue
        done.items += 1
        try:
            done.bytes += _restored(stored_item(vault, entry))
        except (Problem, _Differs):
            finding = done.finding(vault.blob_of(view.snapshot))
            finding.touches(view.snapshot.chain, entry.id, entry.parent, newest=True)
    return done


def _drawn(app: App, org: str, vault: Repository, samples: int) -> Iterator[tuple[View, Entry]]:
    """Items by chance, each as likely as any other; damaged catalogs are for other levels."""
    rows = [row for row in app.resources.all(org) if row.head > 0 and row.items > 0]
    total = sum(row.items for row in rows)
    views: dict[str, View | None] = {}
    for _ in range(samples if total else 0):
        row, index = _at(rows, int(fraction() * total))
        chain = f"{row.service}/{row.resource}"
        try:
            if chain not in views:
                head = vault.head(chain)
                views[chain] = None if head is None else View(vault, head)
            view = views[chain]
            entry = None if view is None else view.catalog.at(index)
        except Problem:
            continue
        if view is not None and entry is not None and entry.kind != "folder":
            yield view, entry


def _at(rows: list[ResourceRow], index: int) -> tuple[ResourceRow, int]:
    """The resource and place of the item of a number, counted through all of them."""
    for row in rows:
        if index < row.items:
            return row, index
        index -= row.items
    return rows[-1], 0


def _restored(item: StoredItem) -> int:
    """Bytes of an item that is what it was. Raises _Differs, Missing, VaultDamaged."""
    size = 0
    told = ((item.raw.get("file") or {}).get("hashes") or {}).get("quickXorHash")
    for part in item.parts:
        wanted = part.meta.get("quickXorHash", told)  # where the service handed out something else
        hashed = QuickXorHash() if wanted and part.role == _CONTENT else None
        for block in part.open():
            size += len(block)
            if hashed is not None:
                hashed.update(block)
        if hashed is not None and hashed.base64() != wanted:
            raise _Differs
    if item.kind == "message":
        _insist_on_message(item)
    return size


def _insist_on_message(item: StoredItem) -> None:
    try:
        file = file_of(item)
    except ContentMissing:
        if item.missing:
            return  # it could not be copied; the ledger says why
        raise
    parser = BytesFeedParser()
    for block in file.blocks():
        parser.feed(block)
    if not parser.close().keys():
        raise _Differs
