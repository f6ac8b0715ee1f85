"""Rows as CSV (RFC 4180) that every spreadsheet opens and none takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

MARK = "\ufeff".encode()  # tells a spreadsheet that the file is UTF-8
# What a cell may begin with that some spreadsheet computes; the wide ones are read as the others.
_COMPUTES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """The file in pieces: the mark, the header, a row at a time."""
    yield MARK + _line(head)
    for row in rows:
        yield _line(row)


def cell(value: object) -> str:
    """A value as a cell: text that would be computed begins with an apostrophe instead."""
    text = "" if value is None else str(value)
    harmless = isinstance(value, int | float) or not text.lstrip(" ").startswith(_COMPUTES)
    return text if harmless else f"'{text}"


def _line(values: Iterable[object]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow([cell(value) for value in values])
    return out.getvalue().encode("utf-8", "replace")
