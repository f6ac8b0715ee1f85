"""Whole items of a mailbox as opaque bytes: exportItems, and the import session's address.

Rules
- exportItems is the one POST beside $batch that only reads. What is sent is a list of ids to
  …/exportItems, whatever the caller gives: nothing is changed by it, so it is repeated like any
  read, and a reader may have it.
- An answer has an entry per item: bytes, or an error of its own. What an answer does not speak of
  is not made up: the caller asks again.
- An answer of many items is held as JSON, so the caller keeps it below JSON_BYTES_MAX. One item
  alone may be as large as it likes: it is decoded while it is read, and nothing of it is held.

Theory of operation
The service writes an item as base64 inside JSON. decoded() walks over the answer and cuts the
string behind "data" out of it; what is left is a few hundred bytes of JSON, read at the end, which
says whether there was an error. Base64 may come in either alphabet, padded or not, and with the
escapes JSON allows ("\\/", "\\u002B").

https://learn.microsoft.com/graph/api/mailbox-exportitems
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from base.errors import InvalidInput
from m365.graph.download import Body
from m365.graph.errors import GraphProblem, ItemGone, TransientFailure, problem_of
from m365.graph.exchange import Exchange, Expects, Request
from m365.graph.throttle import Scope
from m365.graph.wire import Opened

PER_CALL_MAX = 20
_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL)
_DATA_KEY = re.compile(rb'"data"\s*:\s*\Z')
_STRUCTURE_BYTES_MAX = 1024 * 1024  # of an answer about one item, without its data
_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,80}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class NotExported(TransientFailure):
    """The service gave neither the copy of an item nor a reason, also when asked for it alone."""

    code: ClassVar[str] = "item-not-exported"


@dataclass(frozen=True, slots=True)
class Exported:
    """One item of an answer: its bytes, or what its error means."""

    data: bytes = b""
    problem: GraphProblem | None = None


def items(
    exchange: Exchange,
    mailbox: str,
    item_ids: Sequence[str],
    scope: Scope,
    headers: Mapping[str, str],
) -> dict[str, Exported]:
    """What the service says of up to twenty items of one mailbox; it may leave some out.

    `mailbox` is the path or link of the mailbox. Raises AnswerTooLarge, and what a GET raises.
    """
    answer = exchange.perform(_request(exchange, mailbox, item_ids, scope, headers))
    value = answer.value.get("value") if isinstance(answer.value, dict) else None
    if not isinstance(value, list):
        raise TransientFailure("An export was not answered with a list.")
    found: dict[str, Exported] = {}
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("itemId"), str):
            continue
        exported = _exported(entry)
        if exported is not None:
            found[entry["itemId"]] = exported
    return found


def body(
    exchange: Exchange, mailbox: str, item_id: str, scope: Scope, headers: Mapping[str, str]
) -> Body:
    """The answer about one item as it comes, for decoded(); begun anew where it breaks."""

    def open_at(offset: int, etag: str) -> Opened:
        request = _request(exchange, mailbox, [item_id], scope, headers, Expects.STREAM)
        answer = exchange.perform(request)
        assert answer.opened is not None
        return answer.opened

    return Body(open_at, None, exchange.back_off)


def decoded(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of the one item an answer is about. Raises ItemGone, Corrupt, NotExported, …

    The problem comes last where the answer had data and an error, so what was yielded counts only
    when the end is reached.
    """
    reading = _Reading()
    for block in blocks:
        yield from reading.take(block)
    yield from reading.end()


def import_item(exchange: Exchange, url: str, data: bytes, scope: Scope) -> dict[str, Any]:
    """Sends one item to the address of an import session, once; the answer, {} for none."""
    request = Request(
        "POST",
        exchange.place.content_link(url),
        scope,
        "import",
        {"Accept": "application/json", "Content-Type": "application/json"},
        data,
        cost=2,
        writing=True,
        repeatable=False,
        with_token=False,
    )
    answer = exchange.perform(request)
    return answer.value if isinstance(answer.value, dict) else {}


def _request(
    exchange: Exchange,
    mailbox: str,
    item_ids: Sequence[str],
    scope: Scope,
    headers: Mapping[str, str],
    expects: Expects = Expects.JSON,
) -> Request:
    if not 0 < len(item_ids) <= PER_CALL_MAX:
        raise InvalidInput("An export names one to twenty items.", field="item_ids")
    return Request(
        "POST",
        exchange.place.graph_link(f"{mailbox}/exportItems"),
        scope,
        "export",
        {**headers, "Content-Type": "application/json"},
        json.dumps({"itemIds": list(item_ids)}, separators=(",", ":")).encode(),
        expects=expects,
    )


def _exported(entry: Mapping[str, Any]) -> Exported | None:
    """None where the entry says nothing: neither bytes nor an error."""
    if entry.get("error"):
        return Exported(problem=_problem(entry["error"]))
    text = entry.get("data")
    if not isinstance(text, str) or not text:
        return None
    try:
        return Exported(_bytes(text.encode("ascii", "replace")))
    except ValueError:
        return None


def _problem(error: Any) -> GraphProblem:
    """What the error of one item means for this item; it never speaks of the mailbox."""
    code = error.get("code") if isinstance(error, dict) else None
    code = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    if "notfound" in code.lower():
        return ItemGone("The item is not there any more.", graph_code=code, status_code=404)
    status = 403 if "accessdenied" in code.lower() else 500
    return problem_of(status, {}, json.dumps({"error": {"code": code}}).encode())


def _bytes(text: bytes) -> bytes:
    text = text.translate(_TO_STANDARD, b"\r\n =")
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)


class _Reading:
    """Walks over an answer; holds its structure, and of the data what no four characters end."""

    def __init__(self) -> None:
        self._structure = bytearray()
        self._held = b""  # of the data: an escape or a group of four that is not complete
        self._in_data = False
        self._in_string = False
        self._escaped = False
        self._pieces = 0

    def take(self, block: bytes) -> Iterator[bytes]:
        """What a block has of the data."""
        at = 0
        while at < len(block):
            if self._in_data:
                end = block.find(b'"', at)
                yield from self._data(block[at : end if end >= 0 else len(block)], last=end >= 0)
                self._in_data = end < 0
                at = end if end >= 0 else len(block)  # the closing quote belongs to the structure
                self._in_string = not self._in_data
            else:
                at = self._walk(block, at)

    def end(self) -> Iterator[bytes]:
        """Nothing, or the problem the answer speaks of."""
        try:
            value = json.loads(self._structure)["value"]
            entry = next(one for one in value if isinstance(one, dict))
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise NotExported("An answer about an item makes no sense.") from error
        if entry.get("error"):
            raise _problem(entry["error"])
        if not self._pieces:
            raise NotExported("The service gave no copy of the item.")
        yield from ()

    def _walk(self, block: bytes, at: int) -> int:
        """Goes on in the structure until data begins or the block ends; where that is."""
        start = at
        while at < len(block):
            byte = block[at]
            at += 1
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = byte == 0x5C
                self._in_string = byte != 0x22
            elif byte == 0x22:
                self._in_string = True
                if _DATA_KEY.search(self._structure[-32:] + block[start : at - 1][-32:]):
                    self._in_data = True
                    break
        self._structure += block[start:at]
        if len(self._structure) > _STRUCTURE_BYTES_MAX:
            raise NotExported("An answer about an item makes no sense.")
        return at

    def _data(self, piece: bytes, *, last: bool) -> Iterator[bytes]:
        text = self._held + piece
        if b"\\" in text:
            cut = text.rfind(b"\\", max(0, len(text) - 5))
            whole = text if last or cut < 0 else text[:cut]
            rest = text[len(whole) :]
            text = _ESCAPE.sub(_unescaped, whole)
        else:
            rest = b""
        text = text.translate(_TO_STANDARD, b"\r\n =")
        end = len(text) if last else len(text) // 4 * 4
        self._held = text[end:] + rest
        if not end:
            return
        try:
            data = _bytes(text[:end])
        except ValueError as error:
            raise NotExported("The copy of an item is not base64.") from error
        self._pieces += 1
        yield data


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return chr(int(match[1], 16)).encode("ascii", "replace")
    return b"" if match[2] in b"nrt" else match[2]
