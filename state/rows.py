"""What a row may be, the same on every adapter: limits, spelling of keys, and `after` of a query.

Rule 1: every adapter checks every row with check_row before it sends anything, so that a row that
        fails in Azure fails on a laptop too, and a batch with a bad row writes nothing.
Rule 2: spell() keeps the order of keys and can be undone: key order is the same everywhere.

Theory of operation: Table Storage forbids / \\ # ? and control characters in keys, has trouble
with %, and nobody documents how it orders characters beyond ASCII. Each of those is spelled with
the nearest allowed character below it and a suffix, and that neighbour gets a smaller suffix
itself: '.' becomes '.0' and '/' becomes '.1', so that './' < '/x' stays true. Source of the limits:
Table Storage scale targets, and "Understanding the Table service data model" (keys up to 1 KiB in
UTF-16, 252 own properties).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from base.errors import InvalidInput
from state.port import Value

KEY_MAX = 512  # characters of a spelled key: 1 KiB in UTF-16
TEXT_UNITS_MAX = 32_000  # UTF-16 units of one string; the service takes 32,768
ROW_BYTES_MAX = 900_000  # counted as the service does; it takes 1 MiB
COLUMNS_MAX = 250
BATCH_ROWS_MAX = 100
BATCH_BYTES_MAX = 3_500_000  # the service takes 4 MiB with headers

_TABLE = re.compile(r"[a-zA-Z]{3,40}")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_RESERVED = frozenset({"PartitionKey", "RowKey", "Timestamp", "etag"})


class RowInvalid(InvalidInput):
    """The row breaks a limit that every adapter has; nothing was written."""

    code = "row-invalid"
    hint = "This is a fault of the program: report the code and the named limit."


class CursorInvalid(InvalidInput):
    """`after` is not what an earlier page answered."""

    code = "cursor-invalid"
    hint = "Start the listing again without it."


def _spellings() -> dict[str, str]:
    """One entry per ASCII character that is not spelled as itself; beyond there is a rule."""
    table = {"\x7f": "~7f", "~": "~7e", " ": " ~"}
    table |= {chr(code): f" {code:02x}" for code in range(0x20)}
    for below, forbidden in (('"', "#"), ("$", "%"), (".", "/"), (">", "?"), ("[", "\\")):
        table[below] = f"{below}0"
        table[forbidden] = f"{below}1"
    return table


_SPELLED = _spellings()
_UNUSUAL = re.compile(r'[\x00-\x20"-%./>?\[\\~\x7f-\U0010ffff]')
_READ = {spelled: plain for plain, spelled in _SPELLED.items()}
_WORD = re.compile(r' ~| [01][0-9a-f]|~z[0-9a-f]{6}|~7[ef]|["$.>\[][01]')


def spell(key: str) -> str:
    """The key as Table Storage takes it: ASCII without forbidden characters, in the same order."""
    return _UNUSUAL.sub(lambda found: _spelled(found[0]), key)


def _spelled(character: str) -> str:
    return _SPELLED.get(character) or f"~z{ord(character):06x}"


def read_spelled(spelled: str) -> str:
    """The key that spell() was given."""
    return _WORD.sub(lambda found: _plain(found[0]), spelled)


def _plain(word: str) -> str:
    return _READ.get(word) or chr(int(word[2:], 16))  # noqa: FURB166 - ~z is our prefix, not Python's 0x


def check_table(table: str) -> None:
    """Table names become part of names in Azure, which know letters and digits only."""
    if not _TABLE.fullmatch(table):
        raise RowInvalid("A table's name is 3 to 40 letters.", table=table)


def check_key(*keys: str) -> None:
    """Raises RowInvalid for keys that some adapter could not keep."""
    for key in keys:
        if not key or len(spell(key)) > KEY_MAX:
            raise RowInvalid(f"A key has 1 to {KEY_MAX} characters when spelled for Table Storage.")
        if not _is_text(key):
            raise RowInvalid("A key holds half of a surrogate pair.")


def check_row(partition: str, key: str, values: Mapping[str, Value]) -> int:
    """The size of a row in bytes as Table Storage counts it; raises RowInvalid over a limit."""
    check_key(partition, key)
    if len(values) > COLUMNS_MAX:
        raise RowInvalid(f"A row has at most {COLUMNS_MAX} columns.")
    size = 4 + 2 * (len(spell(partition)) + len(spell(key)))
    for column, value in values.items():
        if not _COLUMN.fullmatch(column) or column in _RESERVED:
            raise RowInvalid(
                "A column's name is a letter, then letters, digits and _.", column=column
            )
        size += 8 + 2 * len(column) + _value_bytes(column, value)
    if size > ROW_BYTES_MAX:
        raise RowInvalid(f"A row has at most {ROW_BYTES_MAX} bytes.", bytes=size)
    return size


def _value_bytes(column: str, value: object) -> int:
    match value:
        case bool() | float():
            return 8
        case int():
            if not -(2**63) <= value < 2**63:
                raise RowInvalid("A number has more than 64 bits.", column=column)
            return 8
        case str():
            if not _is_text(value):
                raise RowInvalid("A text holds half of a surrogate pair.", column=column)
            units = len(value) + sum(character > "\uffff" for character in value)
            if units > TEXT_UNITS_MAX:
                raise RowInvalid("A text is too long for one column.", column=column, units=units)
            return 4 + 2 * units
        case _:
            raise RowInvalid("A value is a text, a number or a flag.", column=column)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def batches(
    partition: str, rows: Mapping[str, Mapping[str, Value]]
) -> Iterator[list[tuple[str, Mapping[str, Value]]]]:
    """Rows in transactions that every adapter takes; all are checked before the first is made."""
    for key, values in rows.items():
        check_row(partition, key, values)
    return _cut(rows)


def _cut(
    rows: Mapping[str, Mapping[str, Value]],
) -> Iterator[list[tuple[str, Mapping[str, Value]]]]:
    held: list[tuple[str, Mapping[str, Value]]] = []
    held_bytes = 0
    for key, values in rows.items():
        row_bytes = _wire_bytes(values)
        if held and (len(held) == BATCH_ROWS_MAX or held_bytes + row_bytes > BATCH_BYTES_MAX):
            yield held
            held, held_bytes = [], 0
        held.append((key, values))
        held_bytes += row_bytes
    if held:
        yield held


def _wire_bytes(values: Mapping[str, Value]) -> int:
    """Bytes of a row inside a transaction: escaped JSON, a type per column, headers and keys."""
    return len(json.dumps(dict(values))) + 50 * len(values) + 3_000


class Cursor:
    """`after` of a page: the last key that was seen, not meant to be read by callers."""

    _MARK: ClassVar[str] = "k:"

    @classmethod
    def of(cls, key: str) -> str:
        return base64.urlsafe_b64encode((cls._MARK + key).encode()).decode().rstrip("=")

    @classmethod
    def read(cls, after: str) -> str:
        """The key to go on behind; "" for the start."""
        if not after:
            return ""
        try:
            text = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode()
        except (binascii.Error, ValueError) as error:
            raise CursorInvalid("This is not the continuation of a listing.") from error
        if not text.startswith(cls._MARK):
            raise CursorInvalid("This is not the continuation of a listing.")
        return text[len(cls._MARK) :]
