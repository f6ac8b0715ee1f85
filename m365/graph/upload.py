"""Upload sessions: large content in ranges, resumed where the service says.

Rules
- No token: the address is itself the permission, and Graph answers 401 to a token
  (createUploadSession docs).
- Every range but the last is a multiple of 320 KiB; for Outlook one stays under 4 MB.
- After anything but a clear answer the session is asked what it expects next. What it already took
  is not sent again; what it lost before the block in hand cannot be sent again: SessionGone, start
  anew.
- A lost answer to the last range, and a session that is gone then, may mean success: MaybeDone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from base.errors import InvalidInput, Throttled
from m365.graph.errors import (
    Forbidden,
    ItemGone,
    MaybeDone,
    ResyncNeeded,
    SessionGone,
    TransientFailure,
    Unauthorized,
    problem_of,
)
from m365.graph.exchange import Exchange, Expects, Request, read_error
from m365.graph.throttle import Scope
from m365.graph.wire import Broken

RANGE_UNIT_BYTES = 327_680
UPLOAD_BLOCK_BYTES = 16 * RANGE_UNIT_BYTES  # 5 MiB, the least of what Microsoft recommends
_OUTLOOK_BLOCK_BYTES = 12 * RANGE_UNIT_BYTES  # a request to Outlook stays under 4 MB
_BLOCK_BYTES_MAX = 60 * 1024 * 1024
_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_STALLS_MAX = 5
_COST = 2


class UploadSession:
    """Sends one file or attachment to the address a createUploadSession gave."""

    def __init__(
        self, exchange: Exchange, url: str, size: int, scope: Scope, block_bytes: int
    ) -> None:
        if size <= 0:
            raise InvalidInput("An upload session cannot hold an empty file.", field="size")
        if block_bytes % RANGE_UNIT_BYTES or not 0 < block_bytes < _BLOCK_BYTES_MAX:
            raise InvalidInput("Ranges are multiples of 320 KiB below 60 MiB.", field="block_bytes")
        self._exchange = exchange
        self._url = exchange.place.content_link(url)
        self._size = size
        self._scope = scope
        self._block_bytes = block_bytes
        if scope.kind == "mailbox":
            self._block_bytes = min(block_bytes, _OUTLOOK_BLOCK_BYTES)
        self._stalls = 0

    def resume(self, blocks: Callable[[int], Iterator[bytes]]) -> dict[str, Any]:
        """The same for a session that may have taken something: `blocks` from the offset on."""
        offset = self._expected(maybe_done=False)
        return self.send(blocks(offset), offset)

    def send(self, blocks: Iterator[bytes], offset: int = 0) -> dict[str, Any]:
        """The new item, or {}. Raises SessionGone, Clash, QuotaFull, MaybeDone."""
        try:
            for block in _ranges(blocks, self._block_bytes, self._size - offset):
                item = self._send_range(offset, block)
                offset += len(block)
                if item is not None and offset < self._size:
                    raise TransientFailure("An upload session ended before the content did.")
                if item is not None:
                    return item
        except InvalidInput:
            self._cancel()
            raise
        raise TransientFailure("An upload session took all bytes and did not finish.")

    def _send_range(self, start: int, block: bytes) -> dict[str, Any] | None:
        """The item when the session is complete, None when it goes on."""
        end = start + len(block)
        at = start
        while at < end:
            outcome = self._try_range(at, block[at - start :], end == self._size)
            if isinstance(outcome, dict):
                return outcome
            if outcome > at:
                self._stalls = 0
            at = outcome
            if at < start:
                raise SessionGone("The upload session lost what it had taken.")
        return None

    def _try_range(self, at: int, data: bytes, is_last: bool) -> dict[str, Any] | int:
        """The item, or the offset the session expects next."""
        headers = {
            "Content-Range": f"bytes {at}-{at + len(data) - 1}/{self._size}",
            "Content-Type": "application/octet-stream",
            "Accept": "application/json",
        }
        try:
            status, answer_headers, body = self._once("PUT", headers, data)
        except Broken as broken:
            self._stalled(broken.reason)
            return self._expected(maybe_done=is_last)
        if status in (200, 201, 202):
            return self._next_of(status, body, at + len(data))
        if status == 416:  # it has that range already
            self._stalled("416")
            return self._expected(maybe_done=is_last)
        self._refused(status, answer_headers, body)
        return self._expected(maybe_done=is_last)

    def _next_of(self, status: int, body: bytes, sent: int) -> dict[str, Any] | int:
        value = _object(body)
        expected = _expected_offset(value)
        if expected is not None:
            return expected
        if status != 202 and sent == self._size:
            return value
        return sent

    def _expected(self, maybe_done: bool) -> int:
        """Where the session wants to go on, by its status."""
        while True:
            try:
                status, headers, body = self._once("GET", {"Accept": "application/json"}, None)
            except Broken as broken:
                self._stalled(broken.reason)
                continue
            if status < 300:
                expected = _expected_offset(_object(body))
                if expected is None:
                    if maybe_done:
                        raise MaybeDone("The last part of an upload was sent, its answer was lost.")
                    raise SessionGone("The upload session does not say what it expects.")
                return expected
            if status in (404, 410) and maybe_done:
                raise MaybeDone("The last part of an upload was sent, its answer was lost.")
            self._refused(status, headers, body)

    def _refused(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Returns when it is worth asking again, else raises."""
        if status in (429, 503, 509):
            wait_s = self._exchange.note_refusal(self._scope, headers, status)
            if wait_s > self._exchange.limiter.limits.wait_max_s:
                raise Throttled("Microsoft 365 asks for a pause.", wait_s, scope=self._scope.kind)
            self._stalled(f"Status{status}")
            return
        problem = problem_of(status, headers, body)
        if isinstance(problem, TransientFailure):
            self._stalled(f"Status{status}")
            return
        if isinstance(problem, (Unauthorized, Forbidden, ItemGone, ResyncNeeded)):
            raise problem.told_as(SessionGone, "The upload session is gone.") from problem
        raise problem

    def _once(
        self, method: str, headers: dict[str, str], data: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        request = Request(
            method,
            self._url,
            self._scope,
            "upload" if method == "PUT" else "upload-status",
            headers,
            data,
            _COST if method == "PUT" else 1,
            Expects.STREAM,
            writing=True,
            with_token=False,
        )
        opened = self._exchange.open(request)
        if opened.status >= 400:
            return opened.status, opened.headers, read_error(opened)
        body = opened.read(_ANSWER_BYTES_MAX)
        opened.close()
        return opened.status, opened.headers, body

    def _stalled(self, reason: str) -> None:
        self._stalls += 1
        if self._stalls > _STALLS_MAX:
            raise TransientFailure(
                "An upload broke off too many times in a row.", graph_code=reason
            )
        self._exchange.back_off(self._stalls)

    def _cancel(self) -> None:
        """Frees the space of an upload that cannot be completed; it would expire by itself."""
        try:
            self._once("DELETE", {}, None)
        except (Broken, Throttled):
            return


def _ranges(blocks: Iterator[bytes], block_bytes: int, size: int) -> Iterator[bytes]:
    """The same bytes in ranges of `block_bytes`; insists on exactly `size` of them."""
    held = bytearray()
    total = 0
    for block in blocks:
        total += len(block)
        if total > size:
            break
        held += block
        while len(held) >= block_bytes:
            yield bytes(held[:block_bytes])
            del held[:block_bytes]
    if total != size:
        raise InvalidInput("The content does not have the size that was announced.", field="size")
    if held:
        yield bytes(held)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body) if body else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _expected_offset(value: dict[str, Any]) -> int | None:
    """The first byte of nextExpectedRanges ("12345-" or "0-25000"); None where there is none."""
    ranges = value.get("nextExpectedRanges", value.get("NextExpectedRanges"))
    if not isinstance(ranges, list) or not ranges:
        return None
    first = str(ranges[0]).partition("-")[0]
    return int(first) if first.isdecimal() else None
