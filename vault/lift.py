"""Lifts attachments out of MIME: base64 in regular lines is stored as the bytes it stands for.

Rule 1: only what is written out again byte for byte is lifted: lines of one length and of the plain
        alphabet, and a last line that is what encoding its bytes gives.
Rule 2: MIME is not parsed. Whatever a message claims about itself, a run of such lines is a run.
Rule 3: content of any size passes through in blocks; one block and a short look-ahead are held.

Theory of operation: the text of a mail differs in every mailbox that received it, its attachments
do not, and they lie in drives too. Decoded they are the same chunks wherever they come from, and
compress better even where they are seen once. A full line of a multiple of 4 characters and its
bytes determine each other, so only the last line has to be compared.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pybase64 import b64decode, b64encode

from vault.entry import Base64

LIFT_BYTES = 8 * 1024  # a shorter attachment saves less than its references cost
LINES = (76, 72, 64, 60)  # characters, as MIME, PEM and older mailers write them
_ENDS = (b"\r\n", b"\n")
_BLOCK_BYTES = 2 * 1024 * 1024  # of content in memory; most messages are one block
_ALPHABET = rb"[A-Za-z0-9+/]"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _run(line: int, end: bytes, lines: bytes) -> bytes:
    return rb"(?:%b{%d}%b)%b" % (_ALPHABET, line, end, lines)


# The line end before it comes first: the search then jumps from line to line.
_FIRST_LINE = re.compile(
    rb"\n(?:%b)" % b"|".join(_run(line, end, b"") for line in LINES for end in _ENDS)
)
_FULL_LINES = {(line, end): re.compile(_run(line, end, b"++")) for line in LINES for end in _ENDS}
_LAST_LINE = re.compile(rb"(?:%b{4})*+(?:%b{2}==|%b{3}=)?(?=\r?\n|\Z)" % ((_ALPHABET,) * 3))
_LINE_BYTES_MAX = max(LINES) + 3


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a content: bytes as they are, or those that `text` stands for. Read `blocks` to
    their end before the next stretch.
    """

    text: Base64 | None
    blocks: Iterator[bytes]


def stretches(data: bytes | Iterable[bytes]) -> Iterator[Stretch]:
    """The content as stretches; written out one after another they are the content."""
    splitter = _Splitter(_in_blocks(data) if isinstance(data, bytes) else iter(data))
    while not splitter.at_end:
        yield Stretch(None, splitter.until_lines())
        if splitter.text is not None:
            yield Stretch(splitter.text, splitter.lines(splitter.text))


def written(text: Base64, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The base64 text of some bytes, as long as it takes; nothing for no bytes."""
    size = text.line_chars // 4 * 3
    rest, first = b"", True
    for block in blocks:
        rest += block
        whole = len(rest) // size * size
        if whole:
            yield _joined(text, rest[:whole], first)
            rest, first = rest[whole:], False
    if rest:
        yield _joined(text, rest, first)


def written_bytes(text: Base64, size: int) -> int:
    """How long the text of `size` bytes is."""
    chars = -(-size // 3) * 4
    return chars + max(0, -(-chars // text.line_chars) - 1) * len(text.line_end)


def _in_blocks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _BLOCK_BYTES):
        yield data[at : at + _BLOCK_BYTES]


def _joined(text: Base64, data: bytes, first: bool) -> bytes:
    encoded = b64encode(data)
    step = text.line_chars
    lines = [encoded[at : at + step] for at in range(0, len(encoded), step)]
    return text.line_end.join(lines if first else [b"", *lines])


class _Splitter:
    """Reads a content once, from stretch to stretch."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._held = b""
        self._ended = False
        self.text: Base64 | None = None  # of the lines that begin right here
        self._run_bytes = 0  # of those, as far as they are held
        self._more()

    @property
    def at_end(self) -> bool:
        return self._ended and not self._held

    def until_lines(self) -> Iterator[bytes]:
        """What comes before the next run of base64 lines."""
        self.text = None
        while True:
            keep = max(self._held.rfind(b"\n"), len(self._held) - _LINE_BYTES_MAX)
            for start, run_bytes, text in self._runs():
                lines = run_bytes // (text.line_chars + len(text.line_end))
                if lines * text.line_chars * 3 // 4 >= LIFT_BYTES:
                    self.text, self._run_bytes = text, run_bytes
                    yield self._taken(start)
                    return
                if start + run_bytes > len(self._held) - _LINE_BYTES_MAX:  # it may go on
                    keep = start - 1
            if self._ended:
                if self._held:
                    yield self._taken(len(self._held))
                return
            if keep > 0:
                yield self._taken(keep)
            self._more()

    def lines(self, text: Base64) -> Iterator[bytes]:
        """The bytes of the run that begins here."""
        end = text.line_end
        yield b64decode(self._taken(self._run_bytes))  # it passes over line ends
        while not self._ended and len(self._held) <= text.line_chars + len(end):
            self._more()
            full = _full_lines(self._held, 0, text)
            if full:
                yield b64decode(self._taken(full))
        last = _LAST_LINE.match(self._held)
        if last is not None and 0 < last.end() <= text.line_chars and _canonical(last.group()):
            yield b64decode(self._taken(last.end()))
        else:
            self._held = end + self._held  # of the last line: line ends stand between lines only

    def _runs(self) -> Iterator[tuple[int, int, Base64]]:
        """Where runs of lines begin in what is held, their bytes, and how they are written. A run
        is taken whole or passed over whole: many short ones cost no more than one long one.
        """
        at = 0
        while (found := _FIRST_LINE.search(self._held, at)) is not None:
            start = found.start() + 1
            text = self._text_at(start)
            run_bytes = _full_lines(self._held, start, text)
            yield start, run_bytes, text
            at = start + run_bytes

    def _text_at(self, start: int) -> Base64:
        line = self._held[start : self._held.index(b"\n", start) + 1]
        end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        return Base64(len(line) - len(end), end)

    def _taken(self, count: int) -> bytes:
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _more(self) -> None:
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
        else:
            self._held += block


def _full_lines(data: bytes, start: int, text: Base64) -> int:
    """Bytes of the full lines that begin at `start`; the time it takes grows with them alone.

    Stretches of doubling length are looked at as wholes, which is twice as fast as the expression
    that finds where the last of them breaks off.
    """
    line_bytes = text.line_chars + len(text.line_end)
    at, lines = start, 32
    while True:
        count = min(lines, (len(data) - at) // line_bytes)
        run = data[at : at + count * line_bytes]
        if not run or not _are_lines(run, text, count):
            break
        at += len(run)
        lines *= 2
    found = _FULL_LINES[text.line_chars, text.line_end].match(data, at)
    return (found.end() if found else at) - start


def _are_lines(run: bytes, text: Base64, count: int) -> bool:
    line_bytes = text.line_chars + len(text.line_end)
    ends = (run[text.line_chars + at :: line_bytes] for at in range(len(text.line_end)))
    return all(
        found == text.line_end[at : at + 1] * count for at, found in enumerate(ends)
    ) and run.translate(None, _LETTERS) == (text.line_end * count)


def _canonical(line: bytes) -> bool:
    """Whether encoding what the line stands for gives the line (spare bits may be anything)."""
    try:
        return b2a_base64(a2b_base64(line), newline=False) == line
    except Error:
        return False
