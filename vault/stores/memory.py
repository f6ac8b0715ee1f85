"""A vault in memory: for tests and for demonstrations that leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

from base.clock import Clock, SystemClock
from vault.problems import Missing
from vault.store import Listed, checked_name


class MemoryStore:
    """Blobs in a dict; one lock makes creation atomic."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._blobs: dict[str, tuple[bytes, datetime]] = {}

    def put_new(self, name: str, data: bytes) -> bool:
        checked_name(name)
        with self._lock:
            if name in self._blobs:
                return False
            self._blobs[name] = (bytes(data), self._clock.now())
            return True

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._lock:
            found = self._blobs.get(name)
        if found is None:
            raise Missing("There is no such blob.", name=name)
        data = found[0]
        end = len(data) if length is None else offset + length
        return data[offset:end]

    def size(self, name: str) -> int | None:
        with self._lock:
            found = self._blobs.get(name)
        return None if found is None else len(found[0])

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        with self._lock:
            names = sorted(n for n in self._blobs if n.startswith(prefix) and n > after)
            rows = [Listed(n, len(self._blobs[n][0]), self._blobs[n][1]) for n in names]
        return iter(rows)

    def delete(self, name: str) -> None:
        with self._lock:
            self._blobs.pop(name, None)
