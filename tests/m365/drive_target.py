"""A simulated drive to restore into, stored files to restore, and processes that die on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import simulator
from base.item import StoredItem, StoredPart
from m365.drive_writer import DriveWriter
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphWriter, Place
from m365.graph.throttle import Limiter, Permit
from m365.quickxorhash import QuickXorHash
from m365.service import Existing, Folder, Resource
from simulator.drive_item import Item
from simulator.drive_state import Drive, recycled
from simulator.filebytes import LiteralBytes, pieces
from tests.m365.stage import TenantClock

CREATED = "2024-03-01T08:00:00Z"
SOMEBODY = {"user": {"displayName": "Somebody"}}
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class MortalLimiter(Limiter):
    """The gate every request passes: the process dies before its n-th."""

    left = 0

    def enter(self, *given: Any, **named: Any) -> Permit:
        self.left -= 1
        if self.left == 0:
            raise Killed
        return super().enter(*given, **named)


class Target:
    """One drive of a served tenant."""

    def __init__(self, running: simulator.Running) -> None:
        self.tenant = running.tenant
        self.drive = Drive("b!target", SOMEBODY, NOW)
        self.tenant.drives[self.drive.id] = self.drive
        self._place = Place(running.url, running.url, running.ca)
        self._app = self.tenant.add_app("Writer", ("Files.ReadWrite.All",))
        self.into = Folder(self.drive.root.id)

    def writer(self, dies_at: int = 0, **options: bool) -> DriveWriter:
        """A fresh process; with `dies_at` it dies before its n-th request."""
        clock = TenantClock(self.tenant)
        limiter = MortalLimiter(clock=clock)
        limiter.left = dies_at
        secret = ClientSecret(self.tenant.id, self._app.app_id, next(iter(self._app.secrets)))
        self.graph = GraphWriter(self._place, secret, limiter, clock)
        return DriveWriter(self.graph, Resource("drive", self.drive.id), **options)

    def put(self, name: str, data: bytes, parent: Item | None = None) -> Item:
        """A file that somebody has in the drive."""
        above = parent or self.drive.root
        item, _ = self.drive.put_file(above, name, LiteralBytes(data), "fail", SOMEBODY, NOW)
        return item

    def folder(self, name: str) -> Folder:
        made = self.drive.create_folder(self.drive.root, name, "fail", SOMEBODY, NOW)
        return Folder(made.id, (name,))

    def find(self, name: str) -> Existing | None:
        """What a restore into the root collides with."""
        key = self.writer().identity(stored(name, b"")).key
        there = self.writer().existing(self.into)
        return next((one for one in there if one.key == key), None)

    def files(self, data: bool = True) -> dict[str, Any]:
        """Files that live, by path."""
        return {
            "/".join(self.drive.path(item)): bytes_of(item) if data else item
            for item in self.drive.living()
            if item.is_file
        }

    def item(self, path: str) -> Item:
        found: Item = self.files(data=False)[path]
        return found

    def history(self, path: str) -> list[tuple[bytes, str]]:
        """(bytes, modified) of every version, oldest first."""
        item = self.item(path)
        older = [(content_of(one.content), shown(one.modified)) for one in item.versions]
        return [*older[::-1], (bytes_of(item), shown(item.modified))]

    def bin(self) -> list[tuple[str, int]]:
        """What lies in the recycle bin: name and size."""
        return [(row["path"][-1], row["size"]) for row in recycled(self.drive)]


@contextmanager
def target() -> Iterator[Target]:
    tenant = simulator.Tenant(7)
    with simulator.serve(tenant) as running:
        yield Target(running)
    assert tenant.counters.violations == []
    assert not tenant.counters.offences
    assert not tenant.counters.sharing_mail, "somebody was mailed"


def stored(
    name: str,
    data: bytes,
    older: Sequence[tuple[bytes, str]] = (),
    permissions: Sequence[Mapping[str, Any]] | None = None,
    modified: str = "2026-06-01T08:00:00Z",
) -> StoredItem:
    """A stored file; `older`: (bytes, modified) of versions, oldest first."""
    hasher = QuickXorHash()
    hasher.update(data)
    raw = {
        "id": f"stored {name}",
        "name": name,
        "size": len(data),
        "file": {"hashes": {"quickXorHash": hasher.base64()}},
        "fileSystemInfo": {"createdDateTime": CREATED, "lastModifiedDateTime": modified},
    }
    parts = [part("content", data)]
    for number, (content, when) in enumerate(older, 1):
        meta = {"id": f"{number}.0", "modified": when, "size": len(content), "by": "Somebody"}
        parts.insert(1, part("version", content, meta))  # Graph lists the newest first
    if permissions is not None:
        parts.append(part("permissions", json.dumps(permissions).encode()))
    row = {"size": len(data)}
    return StoredItem(f"stored {name}", "p", "file", name, row, raw, tuple(parts))


def part(role: str, data: bytes, meta: Mapping[str, Any] | None = None) -> StoredPart:
    return StoredPart(role, len(data), meta or {}, lambda: iter((data,) if data else ()))


def shown(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def bytes_of(item: Item) -> bytes:
    assert item.content is not None
    return content_of(item.content)


def content_of(content: Any) -> bytes:
    return b"".join(pieces(content))
