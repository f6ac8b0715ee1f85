"""What we know of a tenant's directory: records of users, groups and sites, and where their feeds
go on. A cache: without it everything is read anew.

Rule 1: records lie on shelves, many to a row, by the hash of their id: an idle night reads a few
        rows and writes none, and one changed user rewrites one shelf.
Rule 2: a feed's link speaks of what all shelves hold. Whoever writes shelves takes the feed first
        (if nobody changed it since he read it), and gives it back with the new link. A feed that is
        taken was left by somebody who died: its shelves are of two ages, and nothing is known.
Rule 3: a shelf that does not open, or is not there, means that nothing is known either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from state.columns import Plain, Sealing, from_columns, sealed, to_columns
from state.names import DIRECTORY
from state.port import Row, RowChanged, RowExists, Tables, Value

PIECE_CHARS = 200_000  # of a packed shelf in one row: sealed about 270,000 of at most 450,000

_NUMBERS = tuple(f"{number:02x}" for number in range(256))  # of all shelves

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """The records of one feed by id. `link` is "" where the whole has to be read, `whole_at` None
    where nothing is known; `etag` belongs to the feed's row, "" while there is none.
    """

    records: Mapping[str, Record] = field(default_factory=dict)
    link: str = ""
    link_at: datetime | None = None  # when the service gave the link
    whole_at: datetime | None = None  # when everything was last read
    etag: str = ""


@dataclass(frozen=True, slots=True)
class _Feed:
    org: str
    name: str
    link: str = sealed("")
    link_at: datetime | None = None
    whole_at: datetime | None = None
    records: int = 0
    taken: bool = False


@dataclass(frozen=True, slots=True)
class _Shelf:
    org: str
    pieces: int
    digest: str  # of the whole shelf, so that pieces of two ages do not pass for one
    text: str = sealed("")


class DirectoryRecords:
    """The directory records of all organizations."""

    def __init__(self, tables: Tables, sealing: Sealing | None = None) -> None:
        self._tables = tables
        self._sealing = sealing or Plain()

    def read(self, org: str, name: str) -> Kept:
        """Everything of one feed; no records where nothing is known for certain."""
        row = self._tables.get(DIRECTORY, org, name)
        if row is None:
            return Kept()
        feed = from_columns(_Feed, row.values, lambda text: self._sealing.open(org, text))
        records = None if feed.taken else self._records(org, name)
        if records is None or len(records) != feed.records:
            return Kept(etag=row.etag)
        return Kept(records, feed.link, feed.link_at, feed.whole_at, row.etag)

    def write(self, org: str, name: str, before: Kept, after: Kept) -> bool:
        """Stores what `before`, as it was read, has become. False: another writer was faster, and
        what he wrote stays.
        """
        shelves = _changed(before.records, after.records)
        if before.etag and before.whole_at is None:  # nobody knows what the shelves hold now
            shelves = {number: shelves.get(number, {}) for number in _NUMBERS}
        feed = _Feed(
            org, name, after.link, after.link_at, after.whole_at, records=len(after.records)
        )
        try:
            etag = before.etag
            if shelves:
                etag = self._put(replace(feed, taken=True), etag)
                self._tables.upsert_many(DIRECTORY, org, dict(self._rows(org, name, shelves)))
            self._put(feed, etag)
        except (RowChanged, RowExists):
            return False
        return True

    def delete_all(self, org: str) -> None:
        self._tables.delete_partition(DIRECTORY, org)

    def _put(self, feed: _Feed, etag: str) -> str:
        values = to_columns(feed, lambda text: self._sealing.seal(feed.org, text))
        if not etag:
            return self._tables.insert(DIRECTORY, feed.org, feed.name, values)
        return self._tables.replace(DIRECTORY, feed.org, feed.name, values, etag)

    def _rows(
        self, org: str, name: str, shelves: Mapping[str, Mapping[str, Record]]
    ) -> Iterator[tuple[str, Mapping[str, Value]]]:
        for number, records in shelves.items():
            packed = _packed(records)
            digest = hashlib.sha256(packed.encode()).hexdigest()[:32]
            pieces = range(0, len(packed), PIECE_CHARS)
            for at, start in enumerate(pieces):
                shelf = _Shelf(org, len(pieces), digest, packed[start : start + PIECE_CHARS])
                yield (
                    f"{name}/{number}/{at:04d}",
                    to_columns(shelf, lambda text: self._sealing.seal(org, text)),
                )

    def _records(self, org: str, name: str) -> dict[str, Record] | None:
        shelves: dict[str, list[Row]] = defaultdict(list)
        for row in self._tables.scan(DIRECTORY, org, first=f"{name}/", last=f"{name}0"):
            shelves[row.key.split("/")[1]].append(row)
        records: dict[str, Record] = {}
        for rows in shelves.values():
            held = self._opened(org, rows)
            if held is None:
                return None
            records |= held
        return records

    def _opened(self, org: str, rows: list[Row]) -> dict[str, Record] | None:
        """The records of one shelf; pieces behind the last one are of a time when it was larger."""
        first = from_columns(_Shelf, rows[0].values, lambda text: self._sealing.open(org, text))
        pieces = [first] + [
            from_columns(_Shelf, row.values, lambda text: self._sealing.open(org, text))
            for row in rows[1 : first.pieces]
        ]
        packed = "".join(piece.text for piece in pieces)
        if hashlib.sha256(packed.encode()).hexdigest()[:32] != first.digest:
            return None
        return _unpacked(packed)


def _changed(
    before: Mapping[str, Record], after: Mapping[str, Record]
) -> dict[str, dict[str, Record]]:
    """The shelves that are to be written, whole."""
    touched = {
        _number(key)
        for key in before.keys() | after.keys()
        if before.get(key) is not after.get(key) and before.get(key) != after.get(key)
    }
    shelves: dict[str, dict[str, Record]] = {number: {} for number in touched}
    for key, record in after.items():
        number = _number(key)
        if number in touched:
            shelves[number][key] = record
    return shelves


def _number(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:2]


def _packed(records: Mapping[str, Record]) -> str:
    text = json.dumps(records, separators=(",", ":"), sort_keys=True)
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _unpacked(packed: str) -> dict[str, Record] | None:
    try:
        found: dict[str, Record] = json.loads(zlib.decompress(base64.b64decode(packed)))
    except (ValueError, binascii.Error, zlib.error):
        return None
    return found
