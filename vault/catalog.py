"""The catalog of a snapshot: every item, and every folder in the order a listing shows it.

Two trees (vault/tree.py). `rows`: (parent, sort, id) -> the whole entry, so that a page of a folder
is one leaf. `items`: (id) -> [parent, sort], the way from an id to its row. The roots lie inside
the snapshot, so the first page of any folder costs at most three reads: snapshot, one inner node,
one leaf.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from operator import itemgetter

from base.errors import InvalidInput
from vault.entry import Entry, bytes_of, dumps, text_of
from vault.tree import EMPTY, Load, Node, Tree
from vault.tree_diff import differences

ROWS, ITEMS = "rows", "items"


def row_key(entry: Entry) -> tuple[str, str, str]:
    """Where an entry stands among the rows."""
    return entry.parent, entry.sort, entry.id


def end_of(parent: str) -> tuple[str]:
    """Above every row of a folder, not above any other folder's."""
    return (parent + "\x00",)


class Catalog:
    """What a snapshot holds; immutable, reads nodes as they are needed."""

    def __init__(self, roots: Mapping[str, str], load: Load) -> None:
        self.rows = Tree(_root(roots, ROWS), load)
        self.items_tree = Tree(_root(roots, ITEMS), load)

    @property
    def roots(self) -> dict[str, str]:
        """The root nodes as a snapshot holds them."""
        return roots_of(self.rows.root, self.items_tree.root)

    @property
    def total(self) -> int:
        """Entries in all folders."""
        return self.rows.count

    def place_of(self, id_: str) -> tuple[str, str] | None:
        """Parent and sort text of an item."""
        line = self.items_tree.get((id_,))
        if line is None:
            return None
        parent, sort = json.loads(line)
        return parent, sort

    def get(self, id_: str) -> Entry | None:
        """The entry of an item."""
        place = self.place_of(id_)
        if place is None:
            return None
        line = self.rows.get((*place, id_))
        return None if line is None else Entry.from_json(json.loads(line))

    def children(self, parent: str, after: str = "", limit: int = 100) -> tuple[list[Entry], str]:
        """A page of a folder in listing order, and where the next one starts ("" at the end).

        A page stays within one leaf: it may be shorter than `limit` although more follow.
        """
        low = _opened(parent, after) if after else (parent,)
        leaf, at, beyond = self.rows.leaf_from(low)
        end = at
        while end < len(leaf.keys) and leaf.keys[end][0] == parent and end - at < max(limit, 1):
            end += 1
        entries = [Entry.from_json(json.loads(line)) for line in leaf.lines[at:end]]
        following = leaf.keys[end] if end < len(leaf.keys) else beyond
        if not entries or following is None or following[0] != parent:
            return entries, ""
        return entries, text_of(dumps(following[1:]))

    def count(self, parent: str) -> int:
        """Entries directly in a folder; two paths of nodes."""
        return self.rows.rank(end_of(parent)) - self.rows.rank((parent,))

    def count_items(self, parent: str | None) -> int:
        """Items directly in a folder, without its folders; None: in all of the resource."""
        if parent is None:
            return sum(self.count_items(one) for one in self._parents())
        first_item = (parent, "1")  # Entry.sort
        return self.rows.rank(end_of(parent)) - self.rows.rank(first_item)

    def at(self, index: int) -> Entry | None:
        """The entry of that number, from 0, counted folder by folder."""
        line = self.rows.at(index)
        return None if line is None else _entry(line)

    def items(self) -> Iterator[Entry]:
        """Every entry, folder by folder."""
        for _, line in self.rows.scan():
            yield Entry.from_json(json.loads(line))

    def in_order(self, after: tuple[str, str] = ("", "")) -> Iterator[Entry]:
        """Every entry behind (sort, id), all folders together in the order of a listing.

        Holds one leaf for every folder.
        """
        folders = [self._rows_behind(parent, after) for parent in self._parents()]
        for _, line in heapq.merge(*folders, key=itemgetter(0)):
            yield _entry(line)

    def _rows_behind(
        self, parent: str, after: tuple[str, str]
    ) -> Iterator[tuple[tuple[str, ...], bytes]]:
        for key, line in self.rows.scan((parent, *after), end_of(parent)):
            if key[1:] != after:
                yield key[1:], line

    def _parents(self) -> Iterator[str]:
        """Every folder that holds something; one path of nodes each."""
        low: tuple[str, ...] = ()
        while True:
            leaf, at, _ = self.rows.leaf_from(low)
            if at == len(leaf.keys):
                return
            yield leaf.keys[at][0]
            low = end_of(leaf.keys[at][0])

    def changes_since(self, older: Catalog) -> Iterator[tuple[Entry | None, Entry | None]]:
        """(before, after) of every item that differs; equal subtrees are not read.

        A moved or renamed item comes once, as (before, after).
        """
        for key, before, after in differences(older.rows, self.rows):
            if before is not None and after is not None:
                yield _entry(before), _entry(after)
            elif before is not None:
                yield _entry(before), self.get(key[2])
            elif older.place_of(key[2]) is None:
                assert after is not None
                yield None, _entry(after)


def roots_of(rows: Node, items: Node) -> dict[str, str]:
    """Root nodes as text for pages and snapshots."""
    return {ROWS: rows.to_bytes().decode("ascii"), ITEMS: items.to_bytes().decode("ascii")}


def _root(roots: Mapping[str, str], name: str) -> Node:
    text = roots.get(name)
    return EMPTY if text is None else Node.parse(text.encode("ascii"))


def _entry(line: bytes) -> Entry:
    return Entry.from_json(json.loads(line))


def _opened(parent: str, after: str) -> tuple[str, str, str]:
    try:
        sort, id_ = json.loads(bytes_of(after))
        if isinstance(sort, str) and isinstance(id_, str):
            return parent, sort, id_
    except (ValueError, TypeError):
        pass
    raise InvalidInput("That is not a mark this listing gave out.", field="after")
