"""The bytes of files and of their older versions: where they are fetched, and how they are checked.

Rules
- A download address is a secret of the moment: used while its page is worked on, asked for anew by
  item, never stored; no token goes with it.
- Bytes are checked against size and quickXorHash while they stream. What does not match is not
  content, but for what SharePoint rewrites: there the feed may be wrong for good, and the hash of
  what was handed out is kept beside the bytes. A size alone may be wrong for any file, as metadata
  of a library may count in it: the hash decides then.
- A file longer than a step is read in pieces by ranges. A piece belongs to one fingerprint; when
  all are there, their vectors have to give the hash of the whole, and without a hash the item has
  to be in the very state still in which it was when its first piece was read.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-get-content,
/api/driveitemversion-get-contents; onedrive-api-docs, QuickXorHash and issue 935.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from base.errors import Problem
from base.item import Change, Part, Pieces
from m365.drive_history import VERSION, is_rewritten
from m365.drive_item import ADDRESSES, quick_xor
from m365.graph.client import GraphReader, Scope
from m365.graph.download import Changed
from m365.graph.errors import ForeignHost
from m365.quickxorhash import QuickXorHash, as_text, joined

SMALL_BYTES = 4 * 1024 * 1024  # held in memory and read by the fetching threads; more is streamed
PIECE_BYTES = 64 * 1024 * 1024  # at least; some seconds of work, which is what a death costs
PIECES_MAX = 400  # an unfinished file names them all in every page: 250 GB are pieces of 640 MB
CONTENT = "content"
_EMPTY = QuickXorHash().base64()  # of no bytes at all
HASH = "quickXorHash"  # in a part's meta: that of these bytes, where the object tells another one

State = Callable[[], Change]  # the item as the service has it now


class ContentMismatch(Problem):
    """The bytes of a file are not those its size and hash speak of."""

    code = "content-mismatch"
    status = 502
    hint = "The file is read again in the next run; it may have changed while it was read."


class Addresses:
    """Where some bytes can be fetched: what a page told, then fresh addresses."""

    def __init__(self, told: Sequence[str], ask: Callable[[], str]) -> None:
        self._told = list(told)
        self._ask = ask
        self._last = ""

    def opener(self) -> Callable[[], str]:
        """For one download: the address that served last, and when it is refused the next."""
        first = True

        def fresh_url() -> str:
            nonlocal first
            if not (first and self._last):
                self._last = self._told.pop(0) if self._told else self._ask()
            first = False
            return self._last

        return fresh_url


class Bytes:
    """Downloads of one drive."""

    def __init__(self, reader: GraphReader, scope: Scope, piece_bytes: int = PIECE_BYTES) -> None:
        self._reader = reader
        self._scope = scope
        self.piece_bytes = piece_bytes

    def content(self, change: Change, path: str, now: State) -> Part:
        """The content of a file, opened: what refuses it is raised here."""
        try:
            return self._opened(change, path, now)
        except (ContentMismatch, Changed):
            again = now()  # it may have changed since the page was made
        try:
            part = self._opened(again, path, now)
        except (ContentMismatch, Changed) as problem:
            return self._of_another_size(again, path, problem)
        meta = {} if again.fingerprint == change.fingerprint else {HASH: quick_xor(again.raw)}
        return Part(part.role, part.data, meta or part.meta, part.same)

    def _of_another_size(self, change: Change, path: str, problem: Problem) -> Part:
        """What is handed out, whatever size the feed tells: believed where its hash is the one
        that is told, and where SharePoint rewrites files.
        """
        addresses, meta = self._addresses(change, path), dict[str, str]()
        if is_rewritten(change.name):
            return Part(CONTENT, _opened(self._hashed(self._stretch(addresses, None), meta)), meta)
        if isinstance(problem, ContentMismatch) or not quick_xor(change.raw):
            raise problem
        return Part(CONTENT, _opened(self._checked(change, addresses, None, None)))

    def version(self, path: str, size: Any, same: str) -> bytes | Iterator[bytes] | Pieces:
        """The bytes of an older version, which never change; nothing is asked for yet."""

        def ask() -> str:
            return self._reader.location(f"{path}/content", scope=self._scope)

        if size == 0:
            return b""
        addresses = Addresses((), ask)
        if same and isinstance(size, int) and size > self.piece_bytes:
            return _Pieces(self._reader, self._scope, addresses, size, self.piece_bytes)
        return self._stretch(addresses, size if isinstance(size, int) else None)

    def _opened(self, change: Change, path: str, now: State) -> Part:
        size, state = change.raw.get("size"), change.fingerprint
        same = state if VERSION in change.prints else ""  # it may take a step of its own
        if size == 0 and quick_xor(change.raw) in ("", _EMPTY):
            return Part(CONTENT, b"", same=same)  # the service has no address for an empty file
        addresses = self._addresses(change, path)
        if state and size is not None and size > self.piece_bytes:
            pieces = _FilePieces(
                self._reader, self._scope, addresses, size, self.piece_bytes, change, now
            )
            pieces.probe()
            return Part(CONTENT, pieces, same=state)
        if size is None or size > SMALL_BYTES:
            meta: dict[str, str] = {}
            told = meta if is_rewritten(change.name) else None
            blocks = self._checked(change, addresses, told, size)
            return Part(CONTENT, _opened(blocks), meta, same)
        return Part(CONTENT, b"".join(self._checked(change, addresses, None, size)), same=same)

    def _checked(
        self, change: Change, addresses: Addresses, meta: dict[str, str] | None, size: int | None
    ) -> Iterator[bytes]:
        """The bytes of a file; behind the last one ContentMismatch, or another hash in `meta`."""
        expected = quick_xor(change.raw)
        told: dict[str, str] = {}
        yield from self._hashed(self._stretch(addresses, size), told)
        if expected and told[HASH] != expected:
            if meta is None:
                raise ContentMismatch("The file has another hash than the service says.")
            meta.update(told)

    def _hashed(self, blocks: Iterator[bytes], meta: dict[str, str]) -> Iterator[bytes]:
        """The same blocks; their hash is in `meta` once the last one was read."""
        hasher = QuickXorHash()
        for block in blocks:
            hasher.update(block)
            yield block
        meta[HASH] = hasher.base64()

    def _stretch(self, addresses: Addresses, size: int | None) -> Iterator[bytes]:
        yield from self._reader.download(addresses.opener(), size, self._scope)

    def _addresses(self, change: Change, path: str) -> Addresses:
        return Addresses(self._told(change.secret), lambda: self._address(path))

    def _address(self, path: str) -> str:
        """A fresh pre-authenticated address, by item: one unit, where a sweep would cost all."""
        item = self._reader.get(path, params={"$select": f"id,{ADDRESSES[0]}"}, scope=self._scope)
        told = self._told(item)
        return told[0] if told else self._reader.location(f"{path}/content", scope=self._scope)

    def _told(self, item: Mapping[str, Any]) -> list[str]:
        """The addresses an item comes with, but for those nobody should follow."""
        found = []
        for name in ADDRESSES:
            with suppress(ForeignHost):
                if item.get(name):
                    found.append(self._reader.place.content_link(str(item[name])))
        return found


class _Pieces(Pieces):
    """Bytes of a known size, by ranges."""

    def __init__(
        self,
        reader: GraphReader,
        scope: Scope,
        addresses: Addresses,
        size: int,
        piece_bytes: int,
    ) -> None:
        self._piece_bytes = max(piece_bytes, -(-size // PIECES_MAX))
        self.count = -(-size // self._piece_bytes)
        self._reader = reader
        self._scope = scope
        self._addresses = addresses
        self._size = size
        self._begun: Iterator[bytes] | None = None
        self._marks: dict[int, str] = {}

    def probe(self) -> None:
        """Opens the first piece, so that a refusal shows before anything is stored."""
        self._begun = _opened(self._blocks(0))

    def read(self, number: int) -> Iterator[bytes]:
        begun, self._begun = self._begun, None
        return begun if begun is not None and number == 0 else self._blocks(number)

    def _blocks(self, number: int) -> Iterator[bytes]:
        begin = number * self._piece_bytes
        end = min(begin + self._piece_bytes, self._size)
        seen, hasher = 0, QuickXorHash(begin)
        opener = self._addresses.opener()
        for block in self._reader.download(opener, self._size, self._scope, begin, end):
            seen += len(block)
            hasher.update(block)
            yield block
        self._marks[number] = f"{seen} {hasher.vector().hex()}"

    def mark(self, number: int) -> str:
        return self._marks[number]

    def check(self, marks: Sequence[str]) -> None:
        if sum(int(mark.partition(" ")[0]) for mark in marks) != self._size:
            raise ContentMismatch("The pieces of a file are not all of it.")


class _FilePieces(_Pieces):
    """The content of a file in pieces."""

    def __init__(
        self,
        reader: GraphReader,
        scope: Scope,
        addresses: Addresses,
        size: int,
        piece_bytes: int,
        change: Change,
        now: State,
    ) -> None:
        super().__init__(reader, scope, addresses, size, piece_bytes)
        self._change = change
        self._now = now

    def check(self, marks: Sequence[str]) -> None:
        super().check(marks)
        expected = quick_xor(self._change.raw)
        if not expected:
            if self._now().fingerprint != self._change.fingerprint:
                raise ContentMismatch("The file changed while its pieces were read.")
            return
        vectors = [bytes.fromhex(mark.partition(" ")[2]) for mark in marks]
        if as_text(joined(vectors, self._size)) != expected:
            raise ContentMismatch("The file has another hash than the service says.")


def _opened(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, the first of them read: a refusal is to show here, not where the bytes are
    stored.
    """
    first = next(blocks, b"")
    return chain((first,), blocks)
