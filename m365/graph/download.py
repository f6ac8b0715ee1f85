"""Large bodies in blocks, resumed at the byte where the connection broke.

Rules
- A body, or the stretch of it that is asked for, is yielded once, in order, without a gap; the last
  block comes only when the announced length, and the size the caller knows, are both right.
- A resumed piece has to belong to the same content: If-Range where the service gave a strong ETag,
  else the total length, and where the service starts over at the first byte, a checksum of what
  is skipped.
- Several breaks in a row without a new byte end it.
- A pre-authenticated address is a secret, gets no token, and is asked for anew when it is refused.

Theory of operation
A Body is asked for blocks; it opens the answer when it has none (at first, after a break, after
being parked) with Range: bytes={offset}-. park() closes an open answer of a stream nobody is
reading just now, so that the slot it holds in its mailbox goes to another request of the same
thread; reading on is then the same as after a break. What fits into the first few blocks is read at
once and never holds a slot.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable, Iterator

from base.errors import Throttled
from m365.graph.errors import (
    Forbidden,
    ForeignHost,
    ItemGone,
    LinkExpired,
    ResyncNeeded,
    TransientFailure,
    Unauthorized,
    problem_of,
)
from m365.graph.exchange import Exchange, Expects, Request, read_error
from m365.graph.throttle import Scope
from m365.graph.wire import BLOCK_BYTES, Broken, Opened

_READ_AHEAD_BLOCKS = 4  # an answer of up to 4 MiB is read at once
_PIECE_BYTES = 128 * 1024  # a broken connection costs at most so much again
_STALLS_MAX = 5  # breaks in a row without a new byte
_EXPIRED_MAX = 3  # fresh addresses in a row without a new byte
_HOPS_MAX = 3
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

_TO_ITS_END = 1 << 63

OpenAt = Callable[[int, str], Opened]  # (first byte, ETag to insist on) -> an answer of 200 or 206


class Changed(TransientFailure):
    """The content is another one now than when reading began."""

    code = "content-changed"
    hint = "Nothing to do: the next run reads it from the start."


class Body:
    """One large body. `blocks()` yields it; `park()` may be called between blocks."""

    def __init__(
        self,
        open_at: OpenAt,
        size: int | None,
        back_off: Callable[[int], None],
        begin: int = 0,
        end: int | None = None,
    ) -> None:
        """`size`: of the whole body; bytes from `begin` to before `end` are wanted of it."""
        self._open_at = open_at
        self._size = size
        self._back_off = back_off
        self._begin = begin
        self._end = _TO_ITS_END if end is None else end
        self._opened: Opened | None = None
        self._lock = threading.Lock()
        self._offset = begin
        self._total: int | None = None
        self._etag = ""
        self._checksum = 0
        self._stalls = 0

    def blocks(self) -> Iterator[bytes]:
        """The whole body in blocks of 1 MiB. Raises TransientFailure, and what opening raises."""
        ahead_max = _READ_AHEAD_BLOCKS
        ahead: list[bytes] = []
        finished = False
        try:
            while not finished:
                with self._lock:
                    block, finished = self._next_block()
                if block:
                    ahead.append(block)
                if finished or len(ahead) >= ahead_max:
                    yield from ahead
                    ahead, ahead_max = [], 1
        finally:
            self._drop()

    def park(self) -> bool:
        """Gives the connection and its slot back; True if there was one."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._drop()
        finally:
            self._lock.release()

    def _next_block(self) -> tuple[bytes, bool]:
        """Up to 1 MiB, and whether the body ends with it. A break is mended or raised."""
        while True:
            try:
                opened = self._opened or self._open()
                block, ended = _fill(opened, min(BLOCK_BYTES, self._end - self._offset))
            except Broken as broken:
                self._drop()
                self._stalled(broken.reason)
                continue
            if block:
                self._stalls = 0
                self._offset += len(block)
                if not self._etag:
                    self._checksum = zlib.crc32(block, self._checksum)
            if ended is None:  # the connection broke behind this block
                self._drop()
                self._stalled("Broken")
                ended = False
            if self._offset == self._end:
                return block, True
            if ended:
                self._check_size(self._offset)
            return block, ended

    def _open(self) -> Opened:
        opened = self._open_at(self._offset, self._etag)
        try:
            self._judge(opened)
        except BaseException:
            opened.abandon()
            raise
        self._opened = opened
        return opened

    def _judge(self, opened: Opened) -> None:
        """Makes sure that the answer goes on where we are, in the same content."""
        etag = opened.headers.get("etag", "")
        etag = "" if etag.startswith("W/") else etag
        if self._etag and etag and etag != self._etag:
            raise _changed()
        if opened.status == 206:
            match = _RANGE.fullmatch(opened.headers.get("content-range", "").strip())
            if match is None or int(match[1]) != self._offset:
                raise Broken(sent=True, reason="WrongRange")
            total = int(match[3]) if match[3] != "*" else None
        else:
            if not opened.end_is_known:
                raise Broken(sent=True, reason="EndUnknown")
            total = opened.length
        if self._total is not None and total not in (None, self._total):
            raise _changed()
        if total is not None:
            self._total = total
            self._check_size(total)
        if self._offset == self._begin:
            self._etag = etag
        if opened.status != 206:
            self._skip(opened)

    def _skip(self, opened: Opened) -> None:
        """The service began at the first byte: reads over what we have, and compares it."""
        at, checksum = 0, 0
        while at < self._offset:
            stop = self._begin if at < self._begin else self._offset
            piece = opened.read(min(stop - at, _PIECE_BYTES))
            if not piece:
                raise _changed()
            if at >= self._begin:
                checksum = zlib.crc32(piece, checksum)
            at += len(piece)
        if not self._etag and checksum != self._checksum:
            raise _changed()

    def _check_size(self, total: int) -> None:
        if self._size is not None and total != self._size:
            raise _changed()
        if self._total is not None and total != self._total:
            raise _changed()

    def _stalled(self, reason: str) -> None:
        self._stalls += 1
        if self._stalls > _STALLS_MAX:
            raise TransientFailure("Content broke off too many times in a row.", graph_code=reason)
        self._back_off(self._stalls)

    def _drop(self) -> bool:
        opened, self._opened = self._opened, None
        if opened is None:
            return False
        held = not opened.closed
        opened.abandon() if held else None
        return held


def _fill(opened: Opened, room: int) -> tuple[bytes, bool | None]:
    """Up to `room` bytes in pieces; whether the body ended, or None where it broke after some."""
    pieces: list[bytes] = []
    while room:
        wanted = min(room, _PIECE_BYTES)
        try:
            piece = opened.read(wanted)
        except Broken:
            if not pieces:
                raise
            return b"".join(pieces), None
        if piece:
            pieces.append(piece)
        room -= len(piece)
        if len(piece) < wanted:
            return b"".join(pieces), True
    return b"".join(pieces), False


def _changed() -> Changed:
    return Changed(
        "The content is not the one it was announced to be, or changed while it was read."
    )


def range_headers(offset: int, etag: str, end: int | None = None) -> dict[str, str]:
    """What asks for the rest of a body, or for that up to before `end`; nothing for all of it."""
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if offset or end is not None:
        headers["Range"] = f"bytes={offset}-{end - 1 if end is not None else ''}"
        if etag:
            headers["If-Range"] = etag
    return headers


class ContentSource:
    """Opens a pre-authenticated address at any byte; asks for a fresh one when it is refused."""

    def __init__(
        self,
        exchange: Exchange,
        fresh_url: Callable[[], str],
        scope: Scope,
        end: int | None = None,
    ) -> None:
        """`end`: no more bytes than those before it are wanted."""
        self._end = end
        self._exchange = exchange
        self._fresh_url = fresh_url
        self._scope = scope
        self._url = ""
        self._expired = 0
        self._expired_at = -1

    def open_at(self, offset: int, etag: str) -> Opened:
        """Raises LinkExpired after some fresh addresses, Malware, Throttled, Broken."""
        if offset > self._expired_at:
            self._expired = 0
        while True:
            self._url = self._url or self._fresh_url()
            opened = self._followed(self._url, range_headers(offset, etag, self._end))
            if opened.status in (200, 206):
                return opened
            self._refused(opened)
            self._url = ""
            self._expired += 1
            self._expired_at = offset
            if self._expired > _EXPIRED_MAX:
                raise LinkExpired("Fresh content addresses are refused.", status_code=opened.status)

    def _followed(self, url: str, headers: dict[str, str]) -> Opened:
        for _ in range(_HOPS_MAX):
            opened = self._exchange.open(
                Request(
                    "GET",
                    self._exchange.place.content_link(url),
                    self._scope,
                    "download",
                    headers,
                    expects=Expects.STREAM,
                    with_token=False,
                )
            )
            if opened.status not in (301, 302, 303, 307, 308):
                return opened
            url = opened.headers.get("location", "")
            opened.dismiss()
        raise ForeignHost("A content address redirects too often.")

    def _refused(self, opened: Opened) -> None:
        """Returns where a fresh address may help; else raises."""
        status, headers = opened.status, opened.headers
        body = read_error(opened)
        if status in (429, 503, 509) and (status != 503 or "retry-after" in headers):
            wait_s = self._exchange.note_refusal(self._scope, headers, status)
            if wait_s > self._exchange.limiter.limits.wait_max_s:
                raise Throttled(
                    "Microsoft 365 asks for a pause.",
                    wait_s,
                    scope=self._scope.kind,
                    refused=status,  # this very content, where other pauses are anybody's
                )
            raise Broken(sent=True, reason=f"Status{status}")
        problem = problem_of(status, headers, body)
        if isinstance(problem, TransientFailure):
            raise Broken(sent=True, reason=f"Status{status}")
        if type(problem) not in (Unauthorized, Forbidden, ItemGone, ResyncNeeded):
            raise problem
