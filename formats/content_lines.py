"""Content lines, the form vCard and iCalendar share: escaped, folded, UTF-8; pure functions.

Rules
- A line ends with CRLF and is folded at 75 octets, never within a character (RFC 6350 3.2,
  RFC 5545 3.1).
- In a text, backslash, comma, semicolon and line break are escaped, so that what a person typed
  never becomes another property; other control characters are left out, for no reader takes them.
- A parameter's value stands in quotes where it holds what would end it; quotes in it become
  apostrophes, since neither standard can carry them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from itertools import chain

LINE_OCTETS_MAX = 75
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r"[:;,]")


def text(value: object) -> str:
    """A text as a property's value."""
    plain = str(value).replace("\r\n", "\n").replace("\r", "\n")
    plain = plain.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    return _CONTROL.sub("", plain).replace("\n", "\\n")


def texts(values: Iterable[object], separator: str = ",") -> str:
    """Several texts as one value: a list with commas, or components with semicolons."""
    return separator.join(text(value or "") for value in values)


def address(value: object) -> str:
    """A URI as a property's value: not escaped, and nothing in it that could end the line."""
    return re.sub(r"[\x00-\x20\x7f]", "", str(value))


def parameter(name: str, value: object) -> str:
    """ ";NAME=value", quoted where that is needed."""
    plain = _CONTROL.sub("", re.sub(r"[\r\n\t]+", " ", str(value))).replace('"', "'")
    return f';{name}="{plain}"' if _NEEDS_QUOTES.search(plain) else f";{name}={plain}"


def line(name: str, value: str) -> bytes:
    """One property, with its parameters in the name, folded."""
    return b"".join(_folded(f"{name}:{value}".encode("utf-8", "replace")))


def encoded(name: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """One property whose value is base64, folded while it streams."""
    *full, last = _folded(f"{name}:".encode("utf-8", "replace"))
    yield from full
    held, rest = last.removesuffix(b"\r\n"), b""
    room = LINE_OCTETS_MAX - bool(full)
    for block in chain(blocks, (None,)):
        rest += block or b""
        whole = len(rest) if block is None else len(rest) - len(rest) % 3
        held += base64.b64encode(rest[:whole])
        rest = rest[whole:]
        at, lines = 0, []
        while len(held) - at > room:
            lines.append(held[at : at + room] + b"\r\n ")
            at += room
            room = LINE_OCTETS_MAX - 1  # the space counts
        held = held[at:]
        yield b"".join(lines)
    yield held + b"\r\n"


def _folded(data: bytes) -> Iterator[bytes]:
    room = LINE_OCTETS_MAX
    while len(data) > room:
        cut = room
        while data[cut] & 0xC0 == 0x80:  # within a character
            cut -= 1
        yield data[:cut] + b"\r\n "
        data = data[cut:]
        room = LINE_OCTETS_MAX - 1  # the space counts
    yield data + b"\r\n"
