"""Reads bytes back: one ranged read per box, checked by seal and by id, with the last boxes kept.

Rule 1: what does not authenticate, or is not what its id says, is never handed out.
Rule 2: a reference is enough: no index and no pack directory is needed to read. Where a pack is
        missing, its forward says where its boxes are now.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice

from vault.box import BoxKind, Member, blob_name, check_member, open_box
from vault.entry import Content, Location, Reference, Segment
from vault.forward import MOVES_MAX, Forward, get_forward
from vault.keys import KeyRing
from vault.lift import written
from vault.problems import Missing, VaultDamaged
from vault.store import Store
from vault.tree import Node

CACHE_BYTES = 32 * 1024 * 1024
NODES_MAX = 256
FORWARDS_MAX = 1000


class Reader:
    """Reads references; safe for several threads."""

    def __init__(self, store: Store, ring: KeyRing, cache_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._ring = ring
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._boxes: OrderedDict[Location, tuple[BoxKind, bytes]] = OrderedDict()
        self._boxes_bytes = 0
        self._nodes: OrderedDict[bytes, Node] = OrderedDict()
        self._forwards: OrderedDict[str, Forward] = OrderedDict()

    def read(self, content: Content, start: int = 0) -> Iterator[bytes]:
        """The content's bytes from `start` on, one chunk after another; chunks before it are not
        read where nothing of the content is stored decoded. Raises VaultDamaged, Missing.
        """
        size = 0
        references = self.references(content)
        if content.segments:
            chunks = _put_together(content.segments, map(self.chunk, references))
        else:
            before, references = _before(references, start)
            size, chunks = before, map(self.chunk, references)
        for data in chunks:
            size += len(data)
            if size > start:
                yield data[-(size - start) :] if size - start < len(data) else data
        if size != content.size:
            raise VaultDamaged("A content has another size than it had when it was stored.")

    def references(self, content: Content) -> Iterator[Reference]:
        """The references of the content itself, reference lists resolved."""
        if not content.listed:
            yield from content.refs
            return
        for reference in content.refs:
            try:
                rows = json.loads(self.chunk(reference))
                found = [Reference.from_json(row) for row in rows]
            except (ValueError, TypeError, IndexError) as damage:
                raise VaultDamaged("A reference list cannot be read.") from damage
            yield from found

    def chunk(self, reference: Reference) -> bytes:
        """One chunk, checked."""
        kind, plain = self._box(reference)
        member = Member(reference.id, reference.offset, reference.length)
        check_member(self._ring, kind, plain, member)
        if member.offset == 0 and member.length == len(plain):
            return plain
        return plain[member.offset : member.offset + member.length]

    def node(self, reference: Reference) -> Node:
        """A catalog node; the last few hundred are kept parsed."""
        with self._lock:
            node = self._nodes.get(reference.id)
            if node is not None:
                self._nodes.move_to_end(reference.id)
                return node
        node = Node.parse(self.chunk(reference))
        with self._lock:
            self._nodes[reference.id] = node
            while len(self._nodes) > NODES_MAX:
                self._nodes.popitem(last=False)
        return node

    def _box(self, reference: Reference) -> tuple[BoxKind, bytes]:
        location = reference.place.location
        with self._lock:
            box = self._boxes.get(location)
            if box is not None:
                self._boxes.move_to_end(location)
                return box
        place, sealed = self._sealed(location)
        box = open_box(self._ring, place, reference.id, sealed)
        if box[0] != BoxKind.NODE:
            self._keep(location, box)
        return box

    def _sealed(self, location: Location) -> tuple[Location, bytes]:
        """A box's bytes and where they were found: in its pack, or where a compaction moved it."""
        place = location
        for _ in range(MOVES_MAX):
            moved = self._forwards.get(place.pack)  # known: the old pack need not be asked again
            if moved is None:
                try:
                    sealed = self._store.read(blob_name(place.pack), place.at, place.size)
                    return place, sealed
                except Missing:
                    moved = self._forward(place.pack)
                    if moved is None or place.box not in moved.boxes:
                        raise
            if place.box not in moved.boxes:
                raise VaultDamaged("A box was not moved with its pack.", name=blob_name(place.pack))
            place = moved.boxes[place.box]
        raise VaultDamaged("Forwards of packs go in a circle.", name=blob_name(location.pack))

    def _forward(self, pack: str) -> Forward | None:
        moved = get_forward(self._store, self._ring, pack)
        if moved is not None:
            with self._lock:
                self._forwards[pack] = moved
                while len(self._forwards) > FORWARDS_MAX:
                    self._forwards.popitem(last=False)
        return moved

    def _keep(self, location: Location, box: tuple[BoxKind, bytes]) -> None:
        with self._lock:
            if location in self._boxes:
                return
            self._boxes[location] = box
            self._boxes_bytes += len(box[1])
            while self._boxes_bytes > self._cache_bytes and len(self._boxes) > 1:
                _, (_, dropped) = self._boxes.popitem(last=False)
                self._boxes_bytes -= len(dropped)


def _before(references: Iterator[Reference], start: int) -> tuple[int, Iterator[Reference]]:
    """How many bytes lie in the chunks that end before `start`, and the references of the rest."""
    size = 0
    for reference in references:
        if size + reference.length > start:
            return size, chain((reference,), references)
        size += reference.length
    return size, iter(())


def _put_together(segments: tuple[Segment, ...], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content whose parts were stored decoded."""
    for segment in segments:
        blocks = islice(chunks, segment.refs)
        yield from blocks if segment.text is None else written(segment.text, blocks)
    if next(chunks, None) is not None:
        raise VaultDamaged("The segments of a content do not cover it.")
