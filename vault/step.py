"""A step: one page of a round being made, from content that streams in to the page's create-only
write.

The rules of the commit stand at the top of vault/round.py. A step is not for several threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain as chained
from typing import Any

from base.clock import Clock, iso
from base.errors import InvalidInput
from vault.box import BoxKind, IdType, identify
from vault.catalog import Catalog, roots_of
from vault.chunker import Chunker
from vault.config import SMALL_BYTES, WHOLE_BYTES
from vault.entry import INLINE_REFERENCES_MAX, Content, Entry, Reference, Segment, dumps
from vault.lift import stretches, written_bytes
from vault.merge import Merge
from vault.packing import Packer
from vault.page import (
    DROP,
    END,
    PUT,
    REMOVE,
    RESET,
    STATE_EVERY,
    PageManifest,
    links_sha256,
    name_of,
    seal_page,
)
from vault.problems import RoundLost, StepTooOld
from vault.round import Committed, Round, RoundPages
from vault.tree import Node, TreeWriter

LIST_REFERENCES = 4096  # references in one reference list
COMMON_SHARED_BYTES = 4 * 1024  # what others surely hold too: a picture of a chat
LIFTED_SHARED_BYTES = 32 * 1024  # attachments repeat far more than other small pieces do

_Stored = tuple[list[Reference], tuple[Segment, ...], int]  # with the size of the content


class Step:
    """Collects one page; nothing counts until commit()."""

    def __init__(self, round_: Round, clock: Clock | None = None) -> None:
        self._round = round_
        self._tools = round_.bench.tools
        self._clock = clock or self._tools.clock
        self._packer = Packer(self._tools)
        self._chunker: Chunker | None = None
        self._ops: list[list[Any]] = []
        self._entries: list[Entry] = []
        self._links: dict[str, str] = {}
        self._finished: list[str] = []
        self._dropped: list[str] = []
        self._troubles: list[dict[str, Any]] = []
        self._raw_bytes = 0
        self._removed = 0
        self.lost = False  # another attempt committed this page; nothing of ours counts
        self.merge: Merge | None = None  # of a complete commit: what it held and how often it read

    @property
    def items(self) -> int:
        """Entries put so far."""
        return len(self._entries)

    @property
    def stored_bytes(self) -> int:
        """Sealed bytes so far, full packs and the one being filled."""
        return self._packer.stored_bytes

    @property
    def raw_bytes(self) -> int:
        """Bytes of content given to it so far, before anything was saved."""
        return self._raw_bytes

    @property
    def new_bytes(self) -> int:
        """Of those, what the vault did not hold yet; complete once the step is committed."""
        return self._packer.new_bytes

    @property
    def held_bytes_max(self) -> int:
        """The most content this step ever held in memory."""
        return self._packer.held_bytes_max

    @property
    def dirty(self) -> bool:
        """Whether a commit would write anything."""
        return bool(self._ops or self._links or self._troubles)

    @property
    def has_changes(self) -> bool:
        """Whether it says more than where feeds continue."""
        return bool(self._troubles) or any(op[0] != END for op in self._ops)

    def add(
        self,
        role: str,
        data: bytes | Iterable[bytes],
        meta: Mapping[str, Any] | None = None,
        previous: Content | None = None,
        lift: bool = False,
        common: bool = False,
    ) -> Content:
        """Stores bytes (an iterable is read once, as a stream) and says what an entry keeps of
        them.

        `previous`: the same content in the chain's newest snapshot; equal small bytes are not
        stored anew. `lift`: a message; its attachments are stored as the files they are. `common`:
        other chains hold the same bytes, so short ones are looked up as well.
        """
        meta = {} if meta is None else dict(meta)
        if not isinstance(data, bytes):
            data = _whole_if_short(iter(data))
        if isinstance(data, bytes) and previous is not None and self._is_same(data, previous):
            return Content(role, meta, len(data), previous.refs)
        small_bytes = COMMON_SHARED_BYTES if common else SMALL_BYTES
        refs, segments, size = self._lifted(data) if lift else self._plain(data, small_bytes)
        self._raw_bytes += size
        if len(refs) <= INLINE_REFERENCES_MAX:
            return Content(role, meta, size, tuple(refs), segments=segments)
        return Content(role, meta, size, self._list(refs), listed=True, segments=segments)

    def join(self, role: str, pieces: Sequence[Content]) -> Content:
        """One content of several that are stored, in their order; no byte of them is read.

        The pieces may be of earlier steps of this round, or of the snapshot before it.
        """
        size = sum(piece.size for piece in pieces)
        refs = [ref for piece in pieces for ref in piece.refs]
        if not any(piece.listed for piece in pieces) and len(refs) <= INLINE_REFERENCES_MAX:
            return Content(role, {}, size, tuple(refs))
        lists = [piece.refs if piece.listed else self._list(list(piece.refs)) for piece in pieces]
        return Content(role, {}, size, tuple(ref for some in lists for ref in some), listed=True)

    def put(self, entry: Entry, part: str) -> None:
        """The item is there, like this; `part` is the feed that said so."""
        self._ops.append([PUT, entry.id, entry.parent, entry.sort, part])
        self._entries.append(entry)

    def remove(self, id: str, parent: str | None = None, recursive: bool = False) -> None:
        """The item is gone; with `parent` only if it lies there; `recursive`: all below it too."""
        self._ops.append([REMOVE, id, parent, int(recursive)])
        self._removed += 1

    def reset(self, part: str, scope: str | None) -> None:
        """The feed starts from nothing: what lies in `scope` (a parent id; None: everything) and is
        not put again until the feed is finished is gone."""
        self._ops.append([RESET, part, scope])

    def link(self, part: str, link: str, finished: bool = False) -> None:
        """Where the feed continues; `finished`: it reached its end in this round."""
        self._links[part] = link
        if part in self._dropped:
            self._dropped.remove(part)
        if finished:
            self._ops.append([END, part])
            self._finished.append(part)
        elif part in self._finished:
            self._finished.remove(part)

    def drop_part(self, part: str) -> None:
        """The feed no longer exists; its link is forgotten. Its items go only by remove()."""
        self._ops.append([DROP, part])
        self._links.pop(part, None)
        self._dropped.append(part)
        if part in self._finished:
            self._finished.remove(part)

    def trouble(self, trouble: dict[str, Any]) -> None:
        """Something that was not copied, kept with the page."""
        self._troubles.append(dict(trouble))

    def commit(self, complete: bool = False) -> Round:
        """Stores packs and creates the page; answers the round after it, or after the winner's.

        Then `lost` is set: the winner may have read less of the feed, so go on from the links of
        the answered round only.
        `complete`: the round ends with this page; the catalog is merged. With nothing to say
        nothing is written and the round comes back as it was. Raises StepTooOld, RoundLost,
        StoreProblem.
        """
        round_ = self._round
        if round_.closed or round_.complete:
            raise RoundLost("The round was completed before this step.", number=round_.number)
        if not self.dirty and not (complete and round_.pages):
            return round_
        self._packer.settle()
        page = self._drafted()
        if complete:
            page = self._merged(page)
        page = replace(page, packs=self._packer.finish(), complete=complete)
        self._refuse_if_old()
        ring = self._tools.ring
        name = name_of(ring.chain_hash(round_.chain), round_.number, page.seq)
        sealed = seal_page(ring, name, page)
        if not self._tools.store.put_new(name, sealed):
            self.lost = True
            return round_.reopened()
        return round_.after(Committed(page, hashlib.sha256(sealed).hexdigest()))

    def _drafted(self) -> PageManifest:
        round_ = self._round
        page = PageManifest(
            chain=round_.chain,
            number=round_.number,
            seq=round_.pages,
            prior=round_.last_sha256,
            started=links_sha256(round_.links),
            created=iso(self._clock.now()),
            ops=self._ops,
            lines=[dumps(entry.to_json()) for entry in self._entries],
            links=self._links,
            finished=self._finished,
            dropped=self._dropped,
            troubles=self._troubles,
            packs=[],
            counts={
                "put": len(self._entries),
                "removed": self._removed,
                "raw_bytes": self._raw_bytes,
                "stored_bytes": self._packer.stored_bytes,
                "troubles": len(self._troubles),
            },
        )
        if page.seq % STATE_EVERY == 0:
            return replace(page, state=round_.state.after(page))
        return page

    def _merged(self, page: PageManifest) -> PageManifest:
        """The page with the catalog's roots; the nodes below them go into this step's packs."""
        bench = self._round.bench
        pages = RoundPages(self._round, page)

        def load(reference: Reference) -> Node:
            data = self._packer.unsent(reference)
            return bench.reader.node(reference) if data is None else Node.parse(data)

        def write(data: bytes) -> Reference:
            return self._packer.add_box(BoxKind.NODE, IdType.NODE, data)

        previous = self._round.previous or Catalog({}, load)
        self.merge = merge = Merge(previous, pages, bench.limits)
        shape = bench.limits.shape
        rows, items = merge.run(
            TreeWriter(load, write, atoms=True, shape=shape),
            TreeWriter(load, write, atoms=False, shape=shape),
        )
        totals = {**pages.totals, "items": rows.count, "pages": page.seq + 1}
        return replace(
            page,
            roots=roots_of(rows, items),
            pages=pages.sha256s,
            totals=totals,
            began=pages.began,
        )

    def _refuse_if_old(self) -> None:
        if self._packer.age_s > self._tools.config.t_max_s:
            raise StepTooOld("The step took too long to commit what it found and stored.")

    def _plain(self, data: bytes | Iterable[bytes], small_bytes: int) -> _Stored:
        refs = self._whole(data, small_bytes) if isinstance(data, bytes) else self._cut(data)
        return refs, (), sum(ref.length for ref in refs)

    def _lifted(self, data: bytes | Iterable[bytes]) -> _Stored:
        """Stores every stretch by itself; a content of one plain stretch is a plain content."""
        refs: list[Reference] = []
        segments: list[Segment] = []
        size = 0
        for stretch in stretches(data):
            small_bytes = SMALL_BYTES if stretch.text is None else LIFTED_SHARED_BYTES
            found, _, stored = self._plain(_whole_if_short(stretch.blocks), small_bytes)
            if found:
                refs += found
                segments.append(Segment(len(found), stretch.text))
                size += stored if stretch.text is None else written_bytes(stretch.text, stored)
        if all(segment.text is None for segment in segments):
            segments.clear()
        return refs, tuple(segments), size

    def _whole(self, data: bytes, small_bytes: int) -> list[Reference]:
        if not data:
            return []
        if len(data) < small_bytes:
            return [self._packer.add_small(data)]
        if len(data) <= WHOLE_BYTES:
            return [self._packer.add_shared(data)]
        return self._cut(data)

    def _cut(self, data: bytes | Iterable[bytes]) -> list[Reference]:
        if self._chunker is None:
            self._chunker = Chunker(self._tools.config.chunking, self._tools.ring.seed)
        return [self._piece(chunk) for chunk in self._chunker.cut(data)]

    def _piece(self, data: bytes) -> Reference:
        if len(data) < SMALL_BYTES:
            return self._packer.add_small(data)
        return self._packer.add_shared(data)

    def _list(self, refs: list[Reference]) -> tuple[Reference, ...]:
        """Stores a long list of references, which can only be written when all places are known."""
        self._packer.settle()
        lists = []
        for start in range(0, len(refs), LIST_REFERENCES):
            rows = [ref.to_json() for ref in refs[start : start + LIST_REFERENCES]]
            lists.append(self._packer.add_box(BoxKind.LIST, IdType.LIST, dumps(rows)))
        return tuple(lists)

    def _is_same(self, data: bytes, previous: Content) -> bool:
        if previous.listed or len(previous.refs) != 1 or previous.size != len(data):
            return False
        return identify(self._tools.ring, IdType.CONTENT, data) == previous.refs[0].id


def _whole_if_short(pieces: Iterator[bytes]) -> bytes | Iterable[bytes]:
    """Short content as bytes; longer content as the stream it is."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise InvalidInput("Content is bytes or an iterable of bytes.")
        held.append(piece)
        size += len(piece)
        if size > WHOLE_BYTES:
            return chained(held, pieces)
    return b"".join(held)
