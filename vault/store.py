"""The port to where bytes lie: named blobs that are created once and never changed.

Rule 1: put_new never overwrites. False means the name is taken and nothing was written.
Rule 2: bytes are durable when put_new returns True, and are all there or not there at all.
Rule 3: delete is for collectors, for parts that expire and for superseded key files; a store
        without the right to delete serves everything else.
Rule 4: names are ours: a-z, 0-9 and - . / only, no part ends with a dot or is a device of Windows,
        so that every store can spell them; none is another one's folder.
Rule 5: reads, sizes and put_new by name are what is true now. A listing may lag behind writes by
        minutes without harm, as everything decides by creating a name: a head or a page that is
        not listed yet makes a step build what is there already, lose, and adopt it. A hole in a
        listing is a problem, never taken for the end, and a change of keys asks by name for the
        file it follows. Collecting alone needs a bound: a lag below half of wait_s.
Rule 6: one put_new ends within an hour, its own retries included: waits are planned with that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from base.errors import InvalidInput

_DEVICE = r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:[./]|$))"
_PART = _DEVICE + r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9-])?"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_OURS = re.compile(
    r"config/0001|keys/\d{4}|p/[0-9a-f]{2}/[0-9a-f]{64}|fwd/[0-9a-f]{2}/[0-9a-f]{64}|gc/\d{10}"
    r"|s/[0-9a-f]{40}/\d{10}|m/[0-9a-f]{40}/\d{10}/\d{6}|[rx]/.+"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One blob in a listing; `modified` is the store's own time, aware."""

    name: str
    size: int
    modified: datetime


class Store(Protocol):
    """Where a vault's blobs lie; safe to use from several threads."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Creates a blob; False when the name is taken. Raises StoreProblem."""
        ...

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes from `offset`, at most `length` of them. Raises Missing, StoreProblem."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a blob, None when there is none of that name."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Blobs whose name starts with `prefix` and sorts behind `after`, in name order."""
        ...

    def delete(self, name: str) -> None:
        """Removes a blob; a missing one is fine. See rule 3."""
        ...


def checked_name(name: str) -> str:
    """The name itself, if every store can spell it."""
    if not _NAME.fullmatch(name) or len(name) > 200:
        raise InvalidInput("A blob name is at most 200 of a-z, 0-9 and - . / characters.")
    return name


def is_ours(name: str) -> bool:
    """Whether a vault makes blobs of such a name; others are what somebody put beside it."""
    return _OURS.fullmatch(name) is not None


class OwnNames:
    """A vault's view of its store: what is listed under a prefix is the vault's own. Everything, as
    a verification wants it, is listed without a prefix.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put_new(self, name: str, data: bytes) -> bool:
        return self._store.put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.read(name, offset, length)

    def size(self, name: str) -> int | None:
        return self._store.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        found = self._store.list(prefix, after)
        return (one for one in found if is_ours(one.name)) if prefix else found

    def delete(self, name: str) -> None:
        self._store.delete(name)


class CountingStore:
    """Counts what passes through to another store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reset()

    def reset(self) -> None:
        """Starts counting from zero."""
        self.writes = 0
        self.reads = 0
        self.lists = 0
        self.deletes = 0
        self.bytes_written = 0
        self.bytes_read = 0

    def put_new(self, name: str, data: bytes) -> bool:
        self.writes += 1
        self.bytes_written += len(data)
        return self._store.put_new(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.reads += 1
        data = self._store.read(name, offset, length)
        self.bytes_read += len(data)
        return data

    def size(self, name: str) -> int | None:
        self.reads += 1
        return self._store.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self.lists += 1
        return self._store.list(prefix, after)

    def delete(self, name: str) -> None:
        self.deletes += 1
        self._store.delete(name)
